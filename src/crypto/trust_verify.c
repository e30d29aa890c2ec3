/* crypto/trust_verify.c: the judgement of a chain, step by step: what was judged before, the path
 * (trust_path.c), the pins, what the leaf may be used for, its OCSP response, its key. Layer: crypto. RFC
 * 9846 section 4.5.1.2 (what a TLS leaf may be), RFC 7671 section 5.1 (a leaf by its key). */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/mem.h"
#include "crypto/refusal.h"
#include "crypto/trust_internal.h"
#include "wire/host.h"

tt_rc path_refuse(struct path *p, unsigned alert, struct tt_error *err, const char *fmt, ...)
{
    tt_rc rc = refusal_end(TT_ERR_VERIFY);
    if (rc != TT_ERR_VERIFY) {
        error_clear(err);
        return rc;
    }
    char text[sizeof err->text];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    p->verdict.alert = alert;
    return error_set(err, TT_ERR_VERIFY, "%s", text);
}

/* ---- pins ---- */

/* By its own key: then the rest of the certificate says nothing that is not known (RFC 7671 section 5.1). */
static tt_rc accept_pinned_leaf(struct path *p, struct tt_error *err)
{
    if (p->req->require_ocsp) {
        error_hint(err, "trust the CA of the peer instead of its key, or do without OCSP");
        return path_refuse(p, TT_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE, err,
                           "an OCSP response is required, but a peer that is trusted by its key has no CA to "
                           "sign it");
    }
    p->verdict.basis = TRUST_BY_PIN;
    p->verdict.not_after = INT64_MAX;
    return TT_OK;
}

static tt_rc pinned_of(struct path *p, STACK_OF(X509) * ret)
{
    for (int i = 0; i < sk_X509_num(p->rest); i++) {
        bool pinned;
        TT_TRY(cert_is_pinned(&pinned, p->trust, p->lib, sk_X509_value(p->rest, i)));
        if (pinned && sk_X509_push(ret, sk_X509_value(p->rest, i)) <= 0)
            return TT_ERR_MEMORY;
    }
    return TT_OK;
}

/* Pins alone: the leaf's own key, or a CA among what the peer sent, which becomes the anchor. */
static tt_rc judge_by_pins(struct path *p, struct tt_error *err)
{
    bool pinned;
    TT_TRY(cert_is_pinned(&pinned, p->trust, p->lib, p->leaf));
    if (pinned)
        return accept_pinned_leaf(p, err);
    STACK_OF(X509) *anchors = sk_X509_new_null();
    tt_rc rc = anchors == NULL ? TT_ERR_MEMORY : pinned_of(p, anchors);
    if (rc == TT_OK && sk_X509_num(anchors) > 0) {
        rc = path_find(p, anchors, err);
    } else if (rc == TT_OK) {
        path_hint_pin(p, err);
        rc = path_refuse(p, TT_ALERT_UNKNOWN_CA, err, "none of the keys in the peer's chain is a pinned one");
    }
    sk_X509_free(anchors);
    return rc;
}

/* ---- the whole ---- */

/* leaf: see x509_read. */
static tt_rc read_one(X509 **ret, struct path *p, struct tt_bytes der, struct leaf_key *leaf)
{
    bool again = false;
    X509 *x = p->trust != NULL && !p->is_second ? cert_cache_get(p->trust->certs, &again, der) : NULL;
    bool keep = again && p->keep_len < PATH_KEPT;
    if (x == NULL)
        TT_TRY(x509_read(&x, p->lib, der, keep ? NULL : leaf));
    if (keep) {
        p->keep[p->keep_len].x = x;
        p->keep[p->keep_len++].der = der;
    }
    *ret = x;
    return TT_OK;
}

/* The path was found good with them in it, so nothing in them is left undecided. */
static void keep_read(const struct path *p)
{
    for (size_t i = 0; i < p->keep_len; i++)
        for (int k = 0; k < sk_X509_num(p->built); k++)
            if (sk_X509_value(p->built, k) == p->keep[i].x)
                cert_cache_put(p->trust->certs, p->keep[i].der, p->keep[i].x);
}

/* "arbitrary orderings from any TLS version, with the exception of the end-entity certificate which MUST
 * be first" (RFC 9846 section 4.5.1) */
static tt_rc read_chain(struct path *p, struct tt_error *err)
{
    const struct trust_request *req = p->req;
    tt_rc rc = read_one(&p->leaf, p, req->chain[0], &p->leaf_key);
    if (rc == TT_ERR_DECODE)
        return error_set(err, rc, "the peer's certificate cannot be read");
    if (rc == TT_OK && req->chain_len > 1 && (p->rest = sk_X509_new_null()) == NULL)
        rc = TT_ERR_MEMORY;
    for (size_t i = 1; p->trust != NULL && rc == TT_OK && i < req->chain_len; i++) {
        X509 *x = NULL;
        rc = read_one(&x, p, req->chain[i], NULL);
        if (rc == TT_OK && sk_X509_push(p->rest, x) <= 0) {
            X509_free(x);
            rc = TT_ERR_MEMORY;
        }
        if (rc == TT_ERR_DECODE) /* is left out: it may be of no use to the path anyway */
            rc = TT_OK;
    }
    return rc;
}

void validity_limit(struct validity *when, const X509 *x)
{
    int64_t from = INT64_MAX, until = INT64_MIN;
    (void)time_seconds(&from, X509_get0_notBefore(x));
    (void)time_seconds(&until, X509_get0_notAfter(x));
    when->from = from > when->from ? from : when->from;
    when->until = until < when->until ? until : when->until;
}

/* "The certificate type MUST be X.509v3" (RFC 9846 section 4.5.1.2): what an older one may be used for, it
 * cannot say. */
static tt_rc judge_version(struct path *p, struct tt_error *err)
{
    if (X509_get_version(p->leaf) == X509_VERSION_3)
        return TT_OK;
    error_hint(err, "the peer needs a certificate of version 3: one with extensions, such as subjectAltName");
    return path_refuse(p, TT_ALERT_UNSUPPORTED_CERTIFICATE, err,
                       "the peer's certificate is of X.509 version %ld, and TLS 1.3 takes version 3 alone",
                       X509_get_version(p->leaf) + 1);
}

/* "the digitalSignature bit MUST be set if the Key Usage extension is present" (RFC 9846 section 4.5.1.2): a
 * rule of TLS, so it holds for a chain that nobody verifies, too.
 * "The end-entity certificate MUST allow the key to be used for signing with a signature scheme indicated
 * in the peer's" list: the scheme itself is looked at with CertificateVerify (section 4.5.1.2). */
static tt_rc judge_usage(struct path *p, struct tt_error *err)
{
    if ((X509_get_key_usage(p->leaf) & X509v3_KU_DIGITAL_SIGNATURE) != 0)
        return TT_OK;
    error_hint(err, "the peer needs a certificate whose key usage has digitalSignature");
    return path_refuse(p, TT_ALERT_UNSUPPORTED_CERTIFICATE, err,
                       "the peer's certificate does not allow digital signatures (key usage)");
}

/* The engine has refused it before, where it could. */
static tt_rc judge_host(struct path *p, struct tt_error *err)
{
    struct host h;
    struct tt_error why = {0};
    if (p->req->host == NULL || host_parse(&h, p->req->host, &why) == TT_OK)
        return TT_OK;
    error_hint(err, "%s", why.hint);
    return path_refuse(p, TT_ALERT_BAD_CERTIFICATE, err, "%s", why.text);
}

static tt_rc judge_chain(struct path *p, struct tt_error *err)
{
    TT_TRY(judge_host(p, err));
    if (trust_has_pins_alone(p->trust))
        TT_TRY(judge_by_pins(p, err));
    else
        TT_TRY(path_find(p, NULL, err));
    for (int i = 0; i < sk_X509_num(p->built); i++)
        validity_limit(&p->when, sk_X509_value(p->built, i));
    if (p->built == NULL)
        return TT_OK;
    if (p->req->names_len > 0)
        TT_TRY(names_judge(p, err));
    p->verdict.basis = TRUST_BY_ANCHOR;
    crl_limit(p);
    TT_TRY(ocsp_judge(p, err));
    p->verdict.not_after = p->when.until;
    return TT_OK;
}

static tt_rc leaf_key(struct path *p, struct tt_error *err)
{
    tt_rc rc = x509_key(&p->verdict.leaf_key, p->lib, p->leaf);
    if (rc != TT_ERR_DECODE)
        return rc;
    error_hint(err, "use a key that TLS 1.3 knows, such as one on P-256");
    return path_refuse(p, TT_ALERT_UNSUPPORTED_CERTIFICATE, err,
                       "the peer's certificate holds a key of an unknown kind");
}

static tt_rc judge(struct path *p, struct tt_error *err)
{
    TT_TRY(read_chain(p, err));
    if (!time_seconds(&p->verdict.not_after, X509_get0_notAfter(p->leaf)))
        p->verdict.not_after = 0;
    if (p->trust != NULL)
        TT_TRY(judge_chain(p, err));
    TT_TRY(judge_version(p, err));
    TT_TRY(judge_usage(p, err));
    return leaf_key(p, err);
}

static struct path path_of(const struct crypto_lib *lib, const struct tt_trust *trust,
                           const struct trust_request *req)
{
    return (struct path){.lib = lib,
                         .trust = trust,
                         .req = req,
                         .when = {INT64_MIN, INT64_MAX},
                         .verdict = {.alert = TT_ALERT_BAD_CERTIFICATE}};
}

static void path_free(struct path *p)
{
    X509_free(p->leaf);
    sk_X509_pop_free(p->rest, X509_free);
    X509_STORE_CTX_free(p->ctx);
    X509_CRL_free(p->bad_crl);
    leaf_key_give(&p->leaf_key);
}

/* What is refused is refused twice, read and judged anew, see refusal.h: in libcrypto 3.0 it is
 * ossl_x509v3_cache_extensions (an extension), do_check_string (a name), ASN1_item_verify_ctx (a signature).
 */
static tt_rc judge_fairly(struct path *p, struct tt_error *err)
{
    tt_rc rc = judge(p, NULL);
    if (rc != TT_ERR_VERIFY && rc != TT_ERR_DECODE)
        return rc;
    struct path again = path_of(p->lib, p->trust, p->req);
    again.is_second = true;
    path_free(p);
    *p = again;
    return judge(p, err);
}

tt_rc trust_verify(struct trust_verdict *ret, const struct crypto_lib *lib, const struct tt_trust *trust,
                   const struct trust_request *req, struct tt_error *err)
{
    uint8_t cache_key[CHAIN_KEY_SIZE];
    TT_AUTO(path_free)
    struct path p = path_of(lib, trust, req);
    ret->alert = TT_ALERT_INTERNAL_ERROR;
    tt_rc rc = trust != NULL ? chain_cache_key(cache_key, lib, req) : TT_OK;
    if (trust != NULL && rc == TT_OK && chain_cache_get(trust->cache, ret, cache_key, req->now))
        return TT_OK;
    if (rc == TT_OK)
        rc = judge_fairly(&p, err);
    /* What went wrong on our side is not the peer's fault. */
    if (rc != TT_OK) {
        bool ours = rc == TT_ERR_INTERNAL || rc == TT_ERR_MEMORY;
        ret->alert = ours ? TT_ALERT_INTERNAL_ERROR : p.verdict.alert;
        return error_set(
            err, rc, rc == TT_ERR_MEMORY ? "out of memory" : "libcrypto cannot check the certificate chain");
    }
    p.verdict.alert = TT_ALERT_NONE;
    if (trust != NULL)
        keep_read(&p);
    if (trust != NULL)
        chain_cache_put(trust->cache, cache_key, &p.verdict, p.when);
    *ret = p.verdict;
    return TT_OK;
}
