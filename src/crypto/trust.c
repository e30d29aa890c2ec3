/* crypto/trust.c: chain verification by libcrypto, with a reason a person can act on. Layer: crypto.
 * RFC 5280 (paths), RFC 9525 (names), RFC 9846 section 4.5.1.2 (what a TLS leaf may be). */
#include "crypto/trust.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "crypto/cert_internal.h"

struct tt_trust {
    atomic_uint refs;
    bool frozen;
    X509_STORE *store;
    size_t count;
};

tt_rc tt_trust_new(struct tt_trust **ret, struct tt_error *err)
{
    struct tt_trust *t = mem_alloc(sizeof *t);
    X509_STORE *store = X509_STORE_new();
    if (t == NULL || store == NULL) {
        mem_free(t);
        X509_STORE_free(store);
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    }
    atomic_init(&t->refs, 1);
    t->store = store;
    *ret = t;
    return TT_OK;
}

void trust_ref(struct tt_trust *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
}

void trust_freeze(struct tt_trust *t)
{
    t->frozen = true;
}

void tt_trust_free(struct tt_trust *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) > 1)
        return;
    X509_STORE_free(t->store);
    mem_free(t);
}

size_t tt_trust_count(const struct tt_trust *t)
{
    return t->count;
}

tt_rc tt_trust_add_pem(struct tt_trust *t, struct tt_bytes pem, struct tt_error *err)
{
    if (t->frozen)
        return error_set(err, TT_ERR_USAGE, "the set of trust anchors is in use and cannot change");
    BIO *bio = pem.len <= INT32_MAX ? BIO_new_mem_buf(pem.data, (int)pem.len) : NULL;
    if (bio == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    size_t added = 0;
    bool stored = true;
    for (X509 *x; stored && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL; X509_free(x)) {
        stored = X509_STORE_add_cert(t->store, x) == 1;
        added += stored;
    }
    /* The loop ends with "no start line" at the end of the text; anything else is a certificate it cannot
     * read. */
    bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    BIO_free(bio);
    t->count += added;
    if (!stored)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    if (!at_end)
        return error_set(err, TT_ERR_DECODE, "CA certificate number %zu is damaged", added + 1);
    if (added == 0)
        return error_set(err, TT_ERR_DECODE, "there is no CERTIFICATE in PEM form");
    return TT_OK;
}

tt_rc trust_each_subject(const struct tt_trust *t, tt_rc (*fn)(void *arg, struct tt_bytes name), void *arg)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(t->store);
    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        const X509 *x = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        const unsigned char *der = NULL;
        size_t len = 0;
        if (x != NULL && X509_NAME_get0_der(X509_get_subject_name(x), &der, &len) == 1)
            TT_TRY(fn(arg, (struct tt_bytes){der, len}));
    }
    return TT_OK;
}

/* One line for a person. X509_NAME_ONELINE escapes what is not printable, so that a peer cannot draw on the
 * terminal. */
static void cert_subject(char *ret, size_t cap, const X509 *x)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    long len = bio != NULL && X509_NAME_print_ex(bio, X509_get_subject_name(x), 0, XN_FLAG_RFC2253) >= 0
                   ? BIO_get_mem_data(bio, &text)
                   : 0;
    size_t n = len > 0 && (size_t)len < cap ? (size_t)len : len > 0 ? cap - 1 : 0;
    if (n > 0)
        memcpy(ret, text, n);
    ret[n] = '\0';
    BIO_free(bio);
}

static void cert_date(char *ret, size_t cap, const ASN1_TIME *when)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(when, &tm) != 1 || strftime(ret, cap, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        ret[0] = '\0';
}

/* struct reason: a rule of libcrypto's, the alert it means, and what to do. */
struct reason {
    int code;
    unsigned alert;
    const char *text; /* %s: the subject */
    const char *hint;
};

static const struct reason *reason_of(int code)
{
    static const struct reason reasons[] = {
        {X509_V_ERR_CERT_REVOKED, TT_ALERT_CERTIFICATE_REVOKED, "was revoked by its issuer",
         "the peer needs a new certificate"},
        {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, TT_ALERT_UNKNOWN_CA,
         "is self-signed and not among the trusted ones",
         "trust it with --ca, or give the peer a certificate from a CA that is trusted here"},
        {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, TT_ALERT_UNKNOWN_CA,
         "is the root of the chain, and it is not trusted",
         "give the CA that issued the peer's certificate with --ca"},
        {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, TT_ALERT_UNKNOWN_CA,
         "was issued by somebody who is not trusted",
         "give the CA that issued the peer's certificate with --ca"},
        {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, TT_ALERT_UNKNOWN_CA,
         "was issued by somebody who is not trusted",
         "give the CA that issued the peer's certificate with --ca"},
        {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, TT_ALERT_UNKNOWN_CA,
         "was issued by somebody who is not trusted",
         "give the CA that issued the peer's certificate with --ca"},
        {X509_V_ERR_CERT_SIGNATURE_FAILURE, TT_ALERT_BAD_CERTIFICATE,
         "carries a signature its issuer did not make",
         "the certificate was changed, or two CAs have the same name"},
        {X509_V_ERR_INVALID_PURPOSE, TT_ALERT_UNSUPPORTED_CERTIFICATE, "is not meant for this purpose",
         "look at its extended key usage: a server needs serverAuth, a client clientAuth"},
        {X509_V_ERR_INVALID_CA, TT_ALERT_BAD_CERTIFICATE, "issued another one but is not a CA", ""},
        {X509_V_ERR_PATH_LENGTH_EXCEEDED, TT_ALERT_BAD_CERTIFICATE,
         "stands deeper below its CA than that allows", ""},
        {X509_V_ERR_CERT_CHAIN_TOO_LONG, TT_ALERT_BAD_CERTIFICATE,
         "stands at the end of a chain that is too long", ""},
        {X509_V_ERR_EE_KEY_TOO_SMALL, TT_ALERT_BAD_CERTIFICATE, "has a key that is too weak",
         "use P-256, or RSA with 2048 bits or more"},
        {X509_V_ERR_CA_KEY_TOO_SMALL, TT_ALERT_BAD_CERTIFICATE, "has a key that is too weak",
         "the CA needs P-256, or RSA with 2048 bits or more"},
        {X509_V_ERR_CA_MD_TOO_WEAK, TT_ALERT_BAD_CERTIFICATE, "is signed with a hash that is too weak",
         "the CA must sign with SHA-256 or better"},
        {X509_V_ERR_PERMITTED_VIOLATION, TT_ALERT_BAD_CERTIFICATE, "has a name its CA may not certify", ""},
        {X509_V_ERR_EXCLUDED_VIOLATION, TT_ALERT_BAD_CERTIFICATE, "has a name its CA may not certify", ""},
    };
    for (size_t i = 0; i < TT_COUNT(reasons); i++)
        if (reasons[i].code == code)
            return &reasons[i];
    return NULL;
}

static unsigned explain_time(X509 *x, bool expired, const char *who, struct tt_error *err)
{
    char date[40];
    cert_date(date, sizeof date, expired ? X509_get0_notAfter(x) : X509_get0_notBefore(x));
    error_hint(err, expired
                        ? "the peer needs a new certificate; if the date is wrong, set this machine's clock"
                        : "set this machine's clock, or wait");
    (void)error_set(err, TT_ERR_VERIFY, "the certificate %s %s %s", who,
                    expired ? "expired on" : "is not valid before", date);
    return TT_ALERT_CERTIFICATE_EXPIRED;
}

/* Turn libcrypto's verdict into our alert and sentence. */
static unsigned explain(X509_STORE_CTX *ctx, const struct trust_request *req, struct tt_error *err)
{
    int code = X509_STORE_CTX_get_error(ctx), depth = X509_STORE_CTX_get_error_depth(ctx);
    X509 *x = X509_STORE_CTX_get_current_cert(ctx);
    char subject[120] = "", who[160];
    if (x != NULL)
        cert_subject(subject, sizeof subject, x);
    (void)snprintf(who, sizeof who, "\"%s\" (number %d in the chain)", subject, depth + 1);
    if (x != NULL && (code == X509_V_ERR_CERT_HAS_EXPIRED || code == X509_V_ERR_CERT_NOT_YET_VALID))
        return explain_time(x, code == X509_V_ERR_CERT_HAS_EXPIRED, who, err);
    if (code == X509_V_ERR_HOSTNAME_MISMATCH || code == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        error_hint(err,
                   "connect to a name that is in its subjectAltName, or give that name with --servername");
        (void)error_set(err, TT_ERR_VERIFY, "the certificate %s is not for \"%.100s\"", who, req->host);
        return TT_ALERT_BAD_CERTIFICATE;
    }
    const struct reason *r = reason_of(code);
    if (r != NULL && r->hint[0] != '\0')
        error_hint(err, "%s", r->hint);
    (void)error_set(err, TT_ERR_VERIFY, "the certificate %s %s", who,
                    r != NULL ? r->text : X509_verify_cert_error_string(code));
    return r != NULL ? r->alert : TT_ALERT_CERTIFICATE_UNKNOWN;
}

static bool host_is_ip(const char *host)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(host);
    ASN1_OCTET_STRING_free(ip);
    ERR_clear_error();
    return ip != NULL;
}

static bool verify_setup(X509_VERIFY_PARAM *p, const struct trust_request *req)
{
    X509_VERIFY_PARAM_set_time(p, (time_t)req->now);
    X509_VERIFY_PARAM_set_auth_level(p, 2); /* 112 bits: no RSA below 2048, no SHA-1 */
    X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                           X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    int purpose = req->peer_is_server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT;
    if (X509_VERIFY_PARAM_set_purpose(p, purpose) != 1)
        return false;
    if (req->host == NULL)
        return true;
    return (host_is_ip(req->host) ? X509_VERIFY_PARAM_set1_ip_asc(p, req->host)
                                  : X509_VERIFY_PARAM_set1_host(p, req->host, 0)) == 1;
}

static tt_rc verify_chain(unsigned *ret_alert, const struct tt_trust *trust, X509 *leaf,
                          STACK_OF(X509) * rest, const struct trust_request *req, struct tt_error *err)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    tt_rc rc = TT_ERR_INTERNAL;
    if (ctx != NULL && X509_STORE_CTX_init(ctx, trust->store, leaf, rest) == 1 &&
        verify_setup(X509_STORE_CTX_get0_param(ctx), req)) {
        rc = X509_verify_cert(ctx) == 1 ? TT_OK : TT_ERR_VERIFY;
        if (rc != TT_OK)
            *ret_alert = explain(ctx, req, err);
    } else {
        (void)error_set(err, rc, "libcrypto cannot check the certificate chain");
    }
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}

static int64_t cert_not_after(const X509 *x)
{
    struct tm tm = {0};
    return ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static STACK_OF(X509) * read_rest(const struct crypto_lib *lib, const struct trust_request *req)
{
    STACK_OF(X509) *rest = sk_X509_new_null();
    for (size_t i = 1; rest != NULL && i < req->chain_len; i++) {
        X509 *x = x509_read(lib, req->chain[i]);
        if (x != NULL && sk_X509_push(rest, x) <= 0)
            X509_free(x);
        /* One that cannot be read is left out: it may be of no use to the path anyway. */
    }
    return rest;
}

static tt_rc leaf_key(struct pubkey **ret, unsigned *ret_alert, const struct crypto_lib *lib, X509 *leaf,
                      struct tt_error *err)
{
    tt_rc rc = x509_key(ret, lib, leaf);
    if (rc != TT_ERR_DECODE)
        return rc == TT_OK ? rc : error_set(err, rc, "out of memory");
    *ret_alert = TT_ALERT_UNSUPPORTED_CERTIFICATE;
    return error_set(err, TT_ERR_VERIFY, "the peer's certificate holds a key of an unknown kind");
}

/* "the digitalSignature bit MUST be set if the Key Usage extension is present" (RFC 9846 section 4.5.1.2): a
 * rule of TLS, so it holds for a chain that nobody verifies, too. */
static tt_rc leaf_may_sign(unsigned *ret_alert, X509 *leaf, struct tt_error *err)
{
    if ((X509_get_key_usage(leaf) & X509v3_KU_DIGITAL_SIGNATURE) != 0)
        return TT_OK;
    *ret_alert = TT_ALERT_UNSUPPORTED_CERTIFICATE;
    return error_set(err, TT_ERR_VERIFY,
                     "the peer's certificate does not allow digital signatures (key usage)");
}

tt_rc trust_verify(struct trust_verdict *ret, const struct crypto_lib *lib, const struct tt_trust *trust,
                   const struct trust_request *req, struct tt_error *err)
{
    ret->alert = TT_ALERT_BAD_CERTIFICATE;
    X509 *leaf = x509_read(lib, req->chain[0]);
    if (leaf == NULL)
        return error_set(err, TT_ERR_DECODE, "the peer's certificate cannot be read");
    STACK_OF(X509) *rest = trust == NULL ? NULL : read_rest(lib, req);
    struct pubkey *key = NULL;
    tt_rc rc = trust == NULL ? TT_OK : verify_chain(&ret->alert, trust, leaf, rest, req, err);
    if (rc == TT_OK)
        rc = leaf_may_sign(&ret->alert, leaf, err);
    if (rc == TT_OK)
        rc = leaf_key(&key, &ret->alert, lib, leaf, err);
    /* What went wrong on our side is not the peer's fault. */
    if (rc == TT_ERR_INTERNAL || rc == TT_ERR_MEMORY)
        ret->alert = TT_ALERT_INTERNAL_ERROR;
    int64_t not_after = cert_not_after(leaf);
    X509_free(leaf);
    sk_X509_pop_free(rest, X509_free);
    if (rc == TT_OK)
        *ret = (struct trust_verdict){.leaf_key = key, .not_after = not_after, .alert = TT_ALERT_NONE};
    return rc;
}
