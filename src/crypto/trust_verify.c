/* crypto/trust_verify.c: the judgement of a chain, step by step: what was judged before, the path, the pins,
 * what the leaf may be used for, its OCSP response, its key. Layer: crypto. RFC 5280 (paths), RFC 9525
 * (names), RFC 9846 section 4.5.1.2 (what a TLS leaf may be), RFC 7671 section 5.1 (a leaf by its key). */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "crypto/refusal.h"
#include "crypto/trust_internal.h"

#define MAX_DEPTH 10 /* intermediate CAs */

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

/* ---- the path, by libcrypto ---- */

/* Digits, dots and colons alone are an address, or nothing: libcrypto's own look at it takes "10.0.0.1 evil"
 * for one, and 010.0.0.1, which a resolver reads as octal. */
static bool host_is_ip(const char *host)
{
    return strchr(host, ':') != NULL || host[strspn(host, "0123456789.")] == '\0';
}

/* A dot at the end says that the name is absolute, and is in no certificate (RFC 6066 section 3). */
static bool name_setup(X509_VERIFY_PARAM *p, const char *host)
{
    size_t len = strlen(host);
    if (host_is_ip(host))
        return X509_VERIFY_PARAM_set1_ip_asc(p, host) == 1;
    return X509_VERIFY_PARAM_set1_host(p, host, len - (len > 1 && host[len - 1] == '.')) == 1;
}

/* An address with nothing that sscanf would pass over: no sign, no space, no zero in front of a number. */
static bool is_address(const char *ip)
{
    bool plain = ip[strspn(ip, "0123456789abcdefABCDEF:.")] == '\0';
    for (const char *at = ip; plain && strchr(ip, ':') == NULL && at != NULL; at = strchr(at, '.')) {
        at += *at == '.';
        plain = at[0] != '0' || at[1] == '.' || at[1] == '\0';
    }
    ASN1_OCTET_STRING *read = plain ? a2i_IPADDRESS(ip) : NULL;
    ASN1_OCTET_STRING_free(read);
    ERR_clear_error();
    return read != NULL;
}

/* libcrypto takes a name with a dot in front for every name below it. */
static bool name_is_usable(const char *host)
{
    if (host_is_ip(host))
        return is_address(host);
    return host[0] != '.' && strcspn(host, " \t") == strlen(host);
}

static bool verify_setup(X509_VERIFY_PARAM *p, const struct trust_request *req)
{
    X509_VERIFY_PARAM_set_time(p, (time_t)req->now);
    X509_VERIFY_PARAM_set_auth_level(p, 2); /* 112 bits: no RSA below 2048, no SHA-1 */
    X509_VERIFY_PARAM_set_depth(p, MAX_DEPTH);
    X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                           X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    int purpose = req->peer_is_server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT;
    if (X509_VERIFY_PARAM_set_purpose(p, purpose) != 1)
        return false;
    if (req->host == NULL)
        return true;
    return name_setup(p, req->host);
}

/* struct attempt: where a path is looked for. */
struct attempt {
    STACK_OF(X509) * anchors; /* trust these instead of the set's, whatever issued them; NULL: the set's */
    STACK_OF(X509) * between; /* what may lead there */
    X509 *dead_end;           /* one of these, from where nothing leads on */
};

static bool attempt_setup(X509_STORE_CTX *ctx, struct path *p, const struct attempt *a)
{
    X509_STORE *store = a->anchors != NULL ? NULL : p->trust->store;
    if (ctx == NULL || X509_STORE_CTX_init(ctx, store, p->leaf, a->between) != 1 ||
        !verify_setup(X509_STORE_CTX_get0_param(ctx), p->req))
        return false;
    if (a->anchors == NULL)
        return crl_setup(ctx, p);
    X509_STORE_CTX_set0_trusted_stack(ctx, a->anchors);
    X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_PARTIAL_CHAIN);
    return true;
}

static X509 *dead_end_of(X509_STORE_CTX *ctx)
{
    int code = X509_STORE_CTX_get_error(ctx);
    bool at_end = code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
                  code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
                  code == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN;
    return at_end && X509_STORE_CTX_get_error_depth(ctx) > 0 ? X509_STORE_CTX_get_current_cert(ctx) : NULL;
}

static tt_rc attempt_run(struct attempt *a, struct path *p, struct tt_error *err)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    tt_rc rc = TT_ERR_INTERNAL;
    a->dead_end = NULL;
    if (attempt_setup(ctx, p, a)) {
        rc = X509_verify_cert(ctx) == 1 ? TT_OK : path_explain(p, ctx, err);
        if (rc == TT_OK && (p->built = X509_STORE_CTX_get1_chain(ctx)) == NULL)
            rc = TT_ERR_MEMORY;
        if (rc == TT_ERR_VERIFY)
            a->dead_end = dead_end_of(ctx);
    }
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}

/* Of a CA that two others certified, a peer may send both certificates. libcrypto tries one: where that leads
 * nowhere, it is taken away and the search goes on. The first reason is the one that is told. */
static tt_rc find_path(struct path *p, STACK_OF(X509) * anchors, struct tt_error *err)
{
    struct attempt a = {.anchors = anchors, .between = sk_X509_dup(p->rest)};
    struct tt_error first = {0};
    tt_rc rc = a.between == NULL ? TT_ERR_MEMORY : attempt_run(&a, p, &first);
    unsigned alert = p->verdict.alert;
    for (tt_rc again = rc; again == TT_ERR_VERIFY && a.dead_end != NULL;) {
        int at = 0;
        while (at < sk_X509_num(a.between) && sk_X509_value(a.between, at) != a.dead_end)
            at++;
        if (sk_X509_delete(a.between, at) == NULL)
            break; /* not one that the peer sent */
        again = attempt_run(&a, p, NULL);
        if (again != TT_ERR_VERIFY) {
            rc = again;
            error_clear(&first);
        }
    }
    sk_X509_free(a.between);
    p->verdict.alert = alert;
    if (rc != TT_OK && err != NULL && err->rc == TT_OK)
        *err = first;
    return rc;
}

/* ---- pins ---- */

/* Whoever knows the peer can be asked whether it is its key. */
static void hint_pin(const struct path *p, struct tt_error *err)
{
    char shown[PIN_TEXT];
    cert_pin_text(shown, p->lib, p->leaf);
    error_hint(err, PIN_IT, shown);
}

/* In addition to anchors: the path has to go through a pinned key. */
static tt_rc demand_pin(struct path *p, struct tt_error *err)
{
    bool pinned = buf_size(&p->trust->pins) == 0;
    for (int i = 0; !pinned && i < sk_X509_num(p->built); i++)
        TT_TRY(cert_is_pinned(&pinned, p->trust, p->lib, sk_X509_value(p->built, i)));
    if (pinned)
        return TT_OK;
    hint_pin(p, err);
    return path_refuse(
        p, TT_ALERT_BAD_CERTIFICATE, err,
        "the peer's certificate is from a trusted CA, but no key in its chain is a pinned one");
}

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
        rc = find_path(p, anchors, err);
    } else if (rc == TT_OK) {
        hint_pin(p, err);
        rc = path_refuse(p, TT_ALERT_UNKNOWN_CA, err, "none of the keys in the peer's chain is a pinned one");
    }
    sk_X509_free(anchors);
    return rc;
}

/* ---- the whole ---- */

/* "arbitrary orderings from any TLS version, with the exception of the end-entity certificate which MUST
 * be first" (RFC 9846 section 4.5.1) */
static tt_rc read_chain(struct path *p, struct tt_error *err)
{
    const struct trust_request *req = p->req;
    tt_rc rc = x509_read(&p->leaf, p->lib, req->chain[0], &p->leaf_key);
    if (rc == TT_ERR_DECODE)
        return error_set(err, rc, "the peer's certificate cannot be read");
    if (rc == TT_OK && (p->rest = sk_X509_new_null()) == NULL)
        rc = TT_ERR_MEMORY;
    for (size_t i = 1; p->trust != NULL && rc == TT_OK && i < req->chain_len; i++) {
        X509 *x = NULL;
        rc = x509_read(&x, p->lib, req->chain[i], NULL);
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

static tt_rc judge_chain(struct path *p, struct tt_error *err)
{
    if (p->req->host != NULL && !name_is_usable(p->req->host)) {
        error_hint(err, "write the name as DNS has it, or the address without zeros in front");
        return path_refuse(p, TT_ALERT_BAD_CERTIFICATE, err, "\"%.64s\" is no host name and no address",
                           p->req->host);
    }
    if (trust_has_pins_alone(p->trust)) {
        TT_TRY(judge_by_pins(p, err));
    } else {
        TT_TRY(find_path(p, NULL, err));
        TT_TRY(demand_pin(p, err));
    }
    for (int i = 0; i < sk_X509_num(p->built); i++)
        validity_limit(&p->when, sk_X509_value(p->built, i));
    if (p->built == NULL)
        return TT_OK;
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
    sk_X509_pop_free(p->built, X509_free);
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
        chain_cache_put(trust->cache, cache_key, &p.verdict, p.when);
    *ret = p.verdict;
    return TT_OK;
}
