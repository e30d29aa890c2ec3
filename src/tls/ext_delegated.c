/* tls/ext_delegated.c: delegated_credential: offering it, sending ours, judging the peer's. Layer: tls.
 * RFC 9345 section 4.1. */
#include "crypto/cert_delegation.h"
#include "tls/ext.h"

bool delegated_credential_wants(const struct tt_conn *c, enum ext_place in)
{
    if (in == IN_CT)
        return c->hs->entry == 0 && c->hs->credential != NULL;
    return c->cfg->delegated_schemes.n > 0;
}

void delegated_credential_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    if (in == IN_CT) {
        wr_bytes(w, buf_bytes(&c->hs->credential->encoded));
        return;
    }
    struct wr_mark list = wr_open16(w); /* SignatureScheme supported_signature_algorithm<2..2^16-2> */
    for (size_t i = 0; i < c->cfg->delegated_schemes.n; i++)
        wr_u16(w, c->cfg->delegated_schemes.items[i]);
    wr_close(w, list);
}

/* The peer's credential is kept until its certificate has been judged. */
static tt_rc credential_keep(struct tt_conn *c, struct reader *r)
{
    struct tt_bytes whole = rd_rest(r);
    struct delegated_credential dc;
    /* "the client SHOULD ignore delegated credentials sent as extensions to any other certificate." */
    if (c->hs->entry != 0)
        return TT_OK;
    if (delegated_credential_parse(&dc, whole) != TT_OK) {
        rd_fail(r);
        return TT_OK;
    }
    TT_OWN(c, buf_append(&c->hs->peer_credential, whole.data, whole.len));
    return TT_OK;
}

tt_rc delegated_credential_parse_ext(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    if (in == IN_CT)
        return credential_keep(c, r);
    c->hs->peer.delegated_schemes = rd_schemes(r);
    return TT_OK;
}

/* "The algorithm field MUST be of a type advertised by the client in the "signature_algorithms" extension ...
 * and the dc_cert_verify_algorithm field MUST be of a type advertised by the client in the
 * SignatureSchemeList"; the same for a server's request. */
void credential_choose(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    const struct peer_hello *p = &hs->peer;
    tt_credential_free(hs->credential);
    hs->credential = NULL;
    if (hs->identity->delegation == NULL || p->delegated_schemes.len == 0 ||
        c->own_type != TT_CERTIFICATE_X509)
        return;
    struct tt_credential *ours = delegation_current(hs->identity->delegation, c->now_ms / 1000);
    if (ours == NULL || !list_has(p->delegated_schemes, ours->key_scheme) ||
        !list_has(p->schemes, ours->algorithm)) {
        tt_credential_free(ours);
        return;
    }
    hs->credential = ours;
    hs->scheme = ours->key_scheme;
}

/* The checks of section 4.1.3 in its order; NULL when all is well. */
static const char *credential_fault(const struct tt_conn *c, const struct delegated_credential *dc,
                                    const struct cert_delegation *cert)
{
    int64_t now = c->now_ms / 1000, expiry = cert->not_before + (int64_t)dc->valid_time;
    if (now > expiry)
        return "it has expired";
    if (expiry > now + CREDENTIAL_MAX_VALIDITY)
        return "it is valid for more than 7 days";
    if (!u16_list_has(&c->cfg->delegated_schemes, dc->dc_cert_verify_algorithm))
        return "its key is for a signature scheme that was not offered";
    if (!cert->has_delegation_usage)
        return "its certificate has no DelegationUsage extension";
    if (!cert->has_digital_signature)
        return "the KeyUsage of its certificate lacks digitalSignature";
    if (!u16_list_has(&c->cfg->verify_schemes, dc->algorithm))
        return "it is signed under a signature scheme that was not offered";
    return NULL;
}

/* The peer's credential against its certificate: its key, and when it expires. TT_ERR_VERIFY: it is not
 * valid, for the reason in *ret_fault; other failures are our own. */
struct credential_verdict {
    struct pubkey *key;
    int64_t expiry;
    const char *fault;
};
static tt_rc credential_check(struct tt_conn *c, struct credential_verdict *ret,
                              const struct delegated_credential *dc, struct tt_bytes leaf)
{
    struct cert_delegation cert;
    TT_AUTO(buf_free) struct buf content = {0};
    struct writer w = writer_to(&content);
    enum tt_role holder = c->cfg->role == TT_CLIENT ? TT_SERVER : TT_CLIENT;
    const struct credential_signed what = {holder, leaf, dc->cred, dc->algorithm};
    ret->fault = "its certificate cannot be read";
    TT_TRY(cert_delegation_read(&cert, c->cfg->lib, leaf));
    ret->fault = credential_fault(c, dc, &cert);
    if (ret->fault != NULL)
        return TT_ERR_VERIFY;
    credential_content_put(&w, &what);
    TT_TRY(wr_status(&w));
    ret->fault = "its signature is wrong";
    TT_TRY(pubkey_verify(c->cfg->lib, c->hs->peer_key, dc->algorithm, buf_bytes(&content), dc->signature));
    ret->fault = "its key cannot be read";
    TT_TRY(pubkey_from_spki(&ret->key, c->cfg->lib, dc->spki));
    ret->fault = "its key does not fit its signature scheme";
    ret->expiry = cert.not_before + (int64_t)dc->valid_time;
    return pubkey_fits(ret->key, dc->dc_cert_verify_algorithm) ? TT_OK : TT_ERR_VERIFY;
}

/* "If one or more of these checks fail, then the delegated credential is deemed not valid. Clients and
 * servers that receive non-valid delegated credentials MUST terminate the connection with an
 * "illegal_parameter" alert." */
tt_rc credential_judge(struct tt_conn *c, struct tt_bytes leaf)
{
    struct hs *hs = c->hs;
    struct delegated_credential dc;
    struct credential_verdict verdict = {0};
    if (buf_size(&hs->peer_credential) == 0)
        return TT_OK;
    TT_OWN(c, delegated_credential_parse(&dc, buf_bytes(&hs->peer_credential)));
    tt_rc rc = credential_check(c, &verdict, &dc, leaf);
    if (rc != TT_OK) {
        pubkey_free(verdict.key);
        if (rc != TT_ERR_VERIFY && rc != TT_ERR_DECODE)
            return conn_broken(c, rc);
        return conn_fail(c, TT_ERR_VERIFY, TT_ALERT_ILLEGAL_PARAMETER,
                         "the peer's delegated credential is not valid: %s", verdict.fault);
    }
    /* "the participant receiving the Certificate message uses the public key in DelegatedCredential.cred to
     * verify the signature in the peer's CertificateVerify message." */
    pubkey_free(hs->peer_key);
    hs->peer_key = verdict.key;
    hs->delegated_scheme = dc.dc_cert_verify_algorithm;
    if (verdict.expiry < c->auth.until)
        c->auth.until = verdict.expiry;
    return TT_OK;
}
