/* tls/msg_server_parameters.c: EncryptedExtensions and CertificateRequest, both sides. Layer: tls.
 * RFC 9846 sections 4.4.1, 4.4.2. */
#include <string.h>

#include "tls/ext.h"

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
    return hs_set_state(c, c->hs->psk.len > 0 && !c->certificate_with_psk ? CLIENT_WAIT_FINISHED
                                                                          : CLIENT_WAIT_CERT_CR);
}

tt_rc certificate_request_put(struct tt_conn *c)
{
    TT_TRY(grease_choose_request(c));
    struct hs_message m = hs_begin(c, TT_HS_CERTIFICATE_REQUEST);
    /* certificate_request_context: empty in the handshake */
    wr_vec8(&m.w, (struct tt_bytes){c->hs->context, c->hs->context_len});
    ext_build_block(c, IN_CR, &m.w);
    c->hs->certificate_requested = true;
    return hs_end(c, &m);
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
    bool post = c->state == CLIENT_CONNECTED;
    if (!post && context.len != 0)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "CertificateRequest has a context in the handshake");
    TT_TRY(ext_parse_block(c, IN_CR, extensions));
    /* "The "signature_algorithms" extension MUST be specified" */
    if (!ext_seen(c, EXT_SIGNATURE_ALGORITHMS))
        return conn_refuse(c, TT_ALERT_MISSING_EXTENSION, "CertificateRequest names no signature_algorithms");
    /* "If the server requests certificate-based client authentication but no suitable certificate is
     * available, the client MUST send a Certificate message containing no certificates"; or it goes no
     * further. Where ECH was rejected: "the client MUST respond with an empty Certificate message" (RFC 9849
     * section 6.1.7), whatever there is. */
    bool chosen = c->ech != TT_ECH_REJECTED && identity_choose(c);
    if (!chosen && c->ech != TT_ECH_REJECTED && c->cfg->never_anonymous && c->cfg->identities_len > 0)
        return conn_refuse(c, TT_ALERT_HANDSHAKE_FAILURE,
                           "the server asks for a certificate and takes none of ours");
    c->hs->certificate_requested = true;
    TT_OWN(c, transcript_add(&c->hs->transcript, message));
    if (!post)
        return hs_set_state(c, CLIENT_WAIT_CERT);
    memcpy(c->hs->context, context.data, context.len);
    c->hs->context_len = context.len;
    return TT_OK;
}
