/* tls/msg_certificate_verify.c: CertificateVerify, both sides. Layer: tls. RFC 9846 section 4.5.2. */
#include <string.h>

#include "tls/hs.h"

tt_rc certificate_verify_content(struct tt_conn *c, enum tt_role signer, uint8_t *ret, size_t *ret_len)
{
    static const char server[] = "TLS 1.3, server CertificateVerify"; /* with its zero byte, the separator */
    static const char client[] = "TLS 1.3, client CertificateVerify";
    _Static_assert(sizeof server == 34 && sizeof client == 34, "the context strings and a zero byte");
    memset(ret, 0x20, 64);
    memcpy(ret + 64, signer == TT_SERVER ? server : client, 34);
    TT_TRY(transcript_hash(&c->hs->transcript, ret + 98));
    *ret_len = 98 + hash_size(c->suite->hash);
    return TT_OK;
}

tt_rc certificate_verify_put(struct tt_conn *c, struct tt_bytes signature)
{
    struct hs_message m = hs_begin(c, TT_HS_CERTIFICATE_VERIFY);
    wr_u16(&m.w, c->hs->sign.scheme);
    wr_vec16(&m.w, signature);
    c->local_scheme = c->hs->sign.scheme;
    c->local_delegated = c->hs->credential != NULL;
    return hs_end(c, &m);
}

tt_rc certificate_verify_recv(struct tt_conn *c, struct tt_bytes message)
{
    struct hs *hs = c->hs;
    struct reader r = reader_of(message);
    (void)rd_bytes(&r, 4);
    uint16_t scheme = rd_u16(&r);
    struct tt_bytes signature = rd_vec16(&r, 0);
    if (rd_done(&r) != TT_OK)
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "CertificateVerify is malformed");
    /* "the signature algorithm MUST be one offered in the client's "signature_algorithms" extension", and of
     * a client "one of those present in the supported_signature_algorithms field of the
     * "signature_algorithms" extension in the CertificateRequest message"; it "MUST be compatible with the
     * key in the sender's end-entity certificate" (section 4.5.2). */
    if (hs->delegated_scheme == 0 && !u16_list_has(&c->cfg->verify_schemes, scheme))
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "the peer signed with %s (0x%04x), which was not offered", tt_scheme_name(scheme),
                           scheme);
    /* RFC 9345: "Verify that dc_cert_verify_algorithm matches the scheme indicated in the peer's
     * CertificateVerify message" */
    if (hs->delegated_scheme != 0 && scheme != hs->delegated_scheme)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "the peer signed with %s (0x%04x), its delegated credential is for %s (0x%04x)",
                           tt_scheme_name(scheme), scheme, tt_scheme_name(hs->delegated_scheme),
                           hs->delegated_scheme);
    if (!pubkey_fits(hs->peer_key, scheme))
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "the peer signed with %s, which does not fit its key", tt_scheme_name(scheme));
    uint8_t content[sizeof hs->sign.content];
    size_t len = 0;
    enum tt_role signer = c->cfg->role == TT_CLIENT ? TT_SERVER : TT_CLIENT;
    TT_OWN(c, certificate_verify_content(c, signer, content, &len));
    tt_rc rc = pubkey_verify(c->cfg->lib, hs->peer_key, scheme, (struct tt_bytes){content, len}, signature);
    if (rc == TT_ERR_VERIFY) {
        error_hint(&c->status.error,
                   "the peer's key does not belong to its certificate, or its signer is faulty%s",
                   scheme >= TT_SCHEME_RSA_PSS_RSAE_SHA256 && scheme <= TT_SCHEME_RSA_PSS_RSAE_SHA512
                       ? " (a TPM that salts RSA-PSS with the maximum length fails like this)"
                       : "");
        return conn_fail(c, TT_ERR_VERIFY, TT_ALERT_DECRYPT_ERROR,
                         "the peer's signature in CertificateVerify is wrong");
    }
    TT_OWN(c, rc);
    c->peer_scheme = scheme;
    c->peer_delegated = hs->delegated_scheme != 0;
    c->auth.scheme = scheme;
    c->auth.delegated = c->peer_delegated;
    c->peer_proven = true;
    hs->peer_auth = PEER_CERTIFICATE; /* the only place: the chain was judged and the key is proven */
    TT_OWN(c, transcript_add(&hs->transcript, message));
    return hs_set_state(c, c->cfg->role == TT_CLIENT         ? CLIENT_WAIT_FINISHED
                           : c->state == SERVER_POST_WAIT_CV ? SERVER_POST_WAIT_FINISHED
                                                             : SERVER_WAIT_FINISHED);
}
