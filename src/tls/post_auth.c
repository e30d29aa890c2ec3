/* tls/post_auth.c: client authentication after the handshake, both sides. Layer: tls. RFC 9846 section 4.7.2.
 * Each exchange has its own struct hs, whose transcript starts as ClientHello ... client Finished +
 * CertificateRequest. */
#include <string.h>

#include "tls/hs.h"

static tt_rc post_auth_begin(struct tt_conn *c)
{
    TT_TRY(hs_new(&c->hs));
    c->hs->transcript.id = c->suite->hash;
    return hash_copy(&c->hs->transcript.hash, c->post_hash);
}

static void post_auth_end(struct tt_conn *c)
{
    hs_free(c->hs);
    c->hs = NULL;
}

/* ---- client ---- */

tt_rc post_auth_request_recv(struct tt_conn *c, struct tt_bytes message)
{
    /* "A client that receives a post-handshake CertificateRequest message without having sent the
     * "post_handshake_auth" extension MUST send an "unexpected_message" fatal alert." */
    if (c->post_hash == NULL)
        return conn_refuse(c, TT_ALERT_UNEXPECTED_MESSAGE,
                           "the server asks for a certificate after the handshake");
    TT_OWN(c, post_auth_begin(c));
    TT_TRY(certificate_request_recv(c, message));
    TT_TRY(certificate_put(c));
    return c->hs->identity == NULL ? post_auth_finish(c) : hs_ask_signature(c, CLIENT_POST_WAIT_SIGN);
}

/* Certificate, CertificateVerify and Finished go out as one. */
tt_rc post_auth_finish(struct tt_conn *c)
{
    TT_TRY(finished_put(c));
    TT_TRY(hs_flush(c));
    TT_TRY(hs_set_state(c, CLIENT_CONNECTED));
    post_auth_end(c);
    return TT_OK;
}

/* ---- server ---- */

tt_rc tt_conn_request_certificate(struct tt_conn *c)
{
    if (c->cfg->role != TT_SERVER || !tt_conn_can_write(c))
        return TT_ERR_USAGE;
    if (c->post_hash == NULL)
        return c->peer_post_auth && c->external_psk == NULL ? TT_ERR_USAGE : TT_ERR_UNSUPPORTED;
    if (c->hs != NULL)
        return TT_ERR_BUSY;
    TT_OWN(c, post_auth_begin(c));
    /* "unpredictable to the client" and unique in the connection (section 4.4.2) */
    c->hs->context_len = 32;
    if (!conn_random(c, c->hs->context, c->hs->context_len))
        return conn_broken(c, TT_ERR_INTERNAL);
    TT_TRY(certificate_request_put(c));
    return hs_flush(c);
}

bool tt_conn_certificate_requested(const struct tt_conn *c)
{
    return c->cfg->role == TT_SERVER && tt_conn_is_connected(c) && c->hs != NULL;
}

tt_rc post_auth_certificate_recv(struct tt_conn *c, struct tt_bytes message)
{
    if (c->hs == NULL)
        return conn_refuse(c, TT_ALERT_UNEXPECTED_MESSAGE, "the client sent a certificate nobody asked for");
    const enum kept_item before[] = {KEPT_CHAIN, KEPT_OCSP, KEPT_SCTS};
    for (size_t i = 0; i < TT_COUNT(before); i++)
        kept_drop(&c->kept, before[i]);
    c->peer_chain_len = 0;
    c->peer_proven = c->peer_ocsp_good = false;
    c->auth = (struct auth){.authenticated_ms = c->auth.authenticated_ms, .until = INT64_MAX};
    return message.data[0] == TT_HS_CERTIFICATE ? certificate_recv(c, message)
                                                : compressed_certificate_recv(c, message);
}

tt_rc post_auth_done(struct tt_conn *c)
{
    TT_TRY(hs_set_state(c, SERVER_CONNECTED));
    post_auth_end(c);
    return TT_OK;
}
