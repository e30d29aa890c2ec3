/* tls/msg_auth.c: EncryptedExtensions, CertificateRequest and Certificate, both sides. Layer: tls.
 * RFC 9846 sections 4.4.1, 4.4.2, 4.5.1. */
#include "tls/ext.h"

#define MAX_PEER_CERTIFICATES 16

tt_rc encrypted_extensions_put(struct tt_conn *c)
{
    struct hs_message m = hs_begin(c, TT_HS_ENCRYPTED_EXTENSIONS);
    ext_build_block(c, IN_EE, &m.w);
    return hs_end(c, &m);
}

tt_rc encrypted_extensions_recv(struct tt_conn *c, struct tt_bytes message)
{
    struct reader r = reader_of(message);
    (void)rd_bytes(&r, 4);
    struct tt_bytes extensions = rd_vec16(&r, 0);
    if (rd_done(&r) != TT_OK)
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "EncryptedExtensions is malformed");
    TT_TRY(ext_parse_block(c, IN_EE, extensions));
    TT_OWN(c, transcript_add(&c->hs->transcript, message));
    TT_TRY(client_early_answer(c, ext_seen(c, EXT_EARLY_DATA)));
    return hs_set_state(c, c->hs->psk.len > 0 ? CLIENT_WAIT_FINISHED : CLIENT_WAIT_CERT_CR);
}

tt_rc certificate_request_put(struct tt_conn *c)
{
    struct hs_message m = hs_begin(c, TT_HS_CERTIFICATE_REQUEST);
    wr_u8(&m.w, 0); /* certificate_request_context: empty in the handshake */
    ext_build_block(c, IN_CR, &m.w);
    c->hs->certificate_requested = true;
    return hs_end(c, &m);
}

/* The first identity that can sign in a way the server accepts; none is fine: an empty Certificate is sent
 * then. */
static void choose_client_identity(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    for (size_t i = 0; i < c->cfg->identities_len && hs->identity == NULL; i++) {
        const struct identity *id = &c->cfg->identities[i];
        for (size_t j = 0; j < id->schemes.n && hs->identity == NULL; j++)
            if (list_has(hs->peer.schemes, id->schemes.items[j])) {
                hs->identity = id;
                hs->scheme = id->schemes.items[j];
            }
    }
}

tt_rc certificate_request_recv(struct tt_conn *c, struct tt_bytes message)
{
    struct reader r = reader_of(message);
    (void)rd_bytes(&r, 4);
    struct tt_bytes context = rd_vec8(&r, 0);
    struct tt_bytes extensions = rd_vec16(&r, 0);
    if (rd_done(&r) != TT_OK)
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "CertificateRequest is malformed");
    /* "This field SHALL be zero length unless used for the post-handshake authentication exchanges" */
    if (context.len != 0)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "CertificateRequest has a context in the handshake");
    TT_TRY(ext_parse_block(c, IN_CR, extensions));
    /* "The "signature_algorithms" extension MUST be specified" */
    if (!ext_seen(c, EXT_SIGNATURE_ALGORITHMS))
        return conn_refuse(c, TT_ALERT_MISSING_EXTENSION, "CertificateRequest names no signature_algorithms");
    choose_client_identity(c);
    c->hs->certificate_requested = true;
    TT_OWN(c, transcript_add(&c->hs->transcript, message));
    return hs_set_state(c, CLIENT_WAIT_CERT);
}

tt_rc certificate_put(struct tt_conn *c)
{
    const struct identity *id = c->hs->identity;
    struct hs_message m = hs_begin(c, TT_HS_CERTIFICATE);
    wr_u8(&m.w, 0); /* certificate_request_context */
    struct wr_mark list = wr_open24(&m.w);
    for (size_t i = 0; id != NULL && i < id->chain_len; i++) {
        wr_vec24(&m.w, id->chain[i]);
        ext_build_block(c, IN_CT, &m.w);
    }
    wr_close(&m.w, list);
    return hs_end(c, &m);
}

/* Copy the DER certificates out of the message, checking the extensions of each entry. */
static tt_rc certificate_list_keep(struct tt_conn *c, struct tt_bytes list)
{
    struct reader r = reader_of(list);
    struct writer w = writer_to(&c->peer_chain);
    while (rd_left(&r) > 0) {
        struct tt_bytes der = rd_vec24(&r, 1);
        struct tt_bytes extensions = rd_vec16(&r, 0);
        if (rd_status(&r) != TT_OK)
            return conn_refuse(c, TT_ALERT_DECODE_ERROR, "an entry of Certificate is malformed");
        if (c->peer_chain_len == MAX_PEER_CERTIFICATES)
            return conn_refuse(c, TT_ALERT_BAD_CERTIFICATE, "the peer sent more than %d certificates",
                               MAX_PEER_CERTIFICATES);
        TT_TRY(ext_parse_block(c, IN_CT, extensions));
        wr_vec24(&w, der);
        TT_OWN(c, wr_status(&w));
        c->peer_chain_len++;
    }
    return TT_OK;
}

/* Hand the chain to the verifier. Only here does a peer get PEER_CHAIN_JUDGED. */
static tt_rc certificate_judge(struct tt_conn *c)
{
    struct tt_bytes chain[MAX_PEER_CERTIFICATES];
    struct reader r = reader_of(buf_bytes(&c->peer_chain));
    for (size_t i = 0; i < c->peer_chain_len; i++)
        chain[i] = rd_vec24(&r, 1);
    const struct tt_config *cfg = c->cfg;
    char host[256];
    struct tt_bytes name = cfg->role == TT_CLIENT ? buf_bytes(&c->server_name) : (struct tt_bytes){NULL, 0};
    for (size_t i = 0; i < name.len; i++)
        host[i] = (char)name.data[i];
    host[name.len] = '\0';
    const struct trust_request req = {.chain = chain,
                                      .chain_len = c->peer_chain_len,
                                      .host = name.len > 0 ? host : NULL,
                                      .peer_is_server = cfg->role == TT_CLIENT,
                                      .now = c->now_ms / 1000};
    struct trust_verdict verdict = {0};
    const struct tt_trust *trust = cfg->accept_any_certificate ? NULL : cfg->trust;
    struct tt_error why = {0};
    tt_rc rc = trust_verify(&verdict, cfg->lib, trust, &req, &why);
    if (rc != TT_OK) {
        error_hint(&c->status.error, "%s", why.hint);
        return conn_fail(c, rc == TT_ERR_DECODE ? TT_ERR_VERIFY : rc, verdict.alert, "%s", why.text);
    }
    pubkey_free(c->hs->peer_key);
    c->hs->peer_key = verdict.leaf_key;
    c->peer_not_after = verdict.not_after;
    c->authenticated_ms = c->now_ms;
    c->hs->peer_auth = PEER_CHAIN_JUDGED;
    return TT_OK;
}

/* No certificate at all: from a server never allowed, from a client as the configuration says. */
static tt_rc certificate_absent(struct tt_conn *c)
{
    if (c->cfg->role == TT_CLIENT)
        /* "If the server supplies an empty Certificate message, the client MUST abort the handshake with a
         * "decode_error" alert." */
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "the server sent no certificate");
    if (c->cfg->client_auth == TT_CLIENT_AUTH_REQUIRE)
        return conn_fail(c, TT_ERR_VERIFY, TT_ALERT_CERTIFICATE_REQUIRED, "the client sent no certificate");
    c->hs->peer_auth = PEER_ANONYMOUS;
    return hs_set_state(c, SERVER_WAIT_FINISHED);
}

tt_rc certificate_recv(struct tt_conn *c, struct tt_bytes message)
{
    struct reader r = reader_of(message);
    (void)rd_bytes(&r, 4);
    struct tt_bytes context = rd_vec8(&r, 0);
    struct tt_bytes list = rd_vec24(&r, 0);
    if (rd_done(&r) != TT_OK)
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "Certificate is malformed");
    if (context.len != 0)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "Certificate has a context that was not asked for");
    TT_TRY(certificate_list_keep(c, list));
    TT_OWN(c, transcript_add(&c->hs->transcript, message));
    if (c->peer_chain_len == 0)
        return certificate_absent(c);
    TT_TRY(certificate_judge(c));
    return hs_set_state(c, c->cfg->role == TT_CLIENT ? CLIENT_WAIT_CV : SERVER_WAIT_CV);
}
