/* crypto/trust_path.c: from a leaf to somebody who is trusted. Layer: crypto. RFC 5280 section 6, RFC 9525
 * (names), RFC 4158 (building).
 *
 * libcrypto builds and judges. It takes one issuer for each certificate: where that leads nowhere, for
 * whatever reason, the other ways are walked here, over every certificate that the peer sent or the set has,
 * by names, key identifiers and signatures, and each that ends at an anchor is judged by libcrypto alone. The
 * first reason is the one that is told. How many signatures a peer may have us verify in vain is limited. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "crypto/trust_internal.h"
#include "wire/host.h"

#define MAX_SIGNATURES 100 /* verified in search of another way */

/* ---- one attempt, by libcrypto ---- */

/* What an issuer's serial number says is void when the CA renewed its certificate and kept the key: the key
 * identifier and the signature decide. What else keeps it from issuing is told by name later. */
static bool may_issue(asked_x509 *issuer, asked_x509 *x)
{
    switch (X509_check_issued(issuer, x)) {
    case X509_V_OK:
    case X509_V_ERR_AKID_ISSUER_SERIAL_MISMATCH:
    case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
    case X509_V_ERR_KEYUSAGE_NO_DIGITAL_SIGNATURE:
        return true;
    default:
        return false;
    }
}

int path_may_issue(X509_STORE_CTX *ctx, asked_x509 *x, asked_x509 *issuer)
{
    (void)ctx;
    return may_issue(issuer, x);
}

static int on_error(int ok, X509_STORE_CTX *ctx)
{
    struct path *p = X509_STORE_CTX_get_app_data(ctx);
    if (ok != 0)
        return ok;
    if (!crl_forgives(ctx, p) && !profile_forgives(ctx, p))
        return 0;
    X509_STORE_CTX_set_error(ctx, X509_V_OK);
    return 1;
}

static bool name_setup(X509_VERIFY_PARAM *p, const char *name)
{
    struct host h;
    if (host_parse(&h, name, NULL) != TT_OK)
        return false;
    if (h.kind == HOST_NAME)
        return X509_VERIFY_PARAM_set1_host(p, h.text, 0) == 1;
    return X509_VERIFY_PARAM_set1_ip(p, h.address, h.kind == HOST_IPV4 ? 4 : 16) == 1;
}

static bool verify_setup(X509_VERIFY_PARAM *p, const struct tt_trust *t, const struct trust_request *req)
{
    X509_VERIFY_PARAM_set_time(p, (time_t)req->now);
    X509_VERIFY_PARAM_set_auth_level(p, 2); /* 112 bits: no RSA below 2048, no SHA-1 */
    X509_VERIFY_PARAM_set_depth(p, (int)t->max_between);
    X509_VERIFY_PARAM_set_hostflags(p, TRUST_HOST_FLAGS);
    int purpose = req->peer_is_server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT;
    if (X509_VERIFY_PARAM_set_purpose(p, purpose) != 1)
        return false;
    return req->host == NULL || name_setup(p, req->host);
}

/* struct attempt: where a path is looked for. */
struct attempt {
    STACK_OF(X509) * anchors; /* trust these instead of the set's; NULL: the set's */
    STACK_OF(X509) * between; /* what may lead there */
    bool whatever_issued;     /* the anchors need not be self-signed */
};

/* The callback that may forgive costs two allocations, and most paths need none of it. */
static bool attempt_setup(X509_STORE_CTX *ctx, struct path *p, const struct attempt *a, bool forgiving)
{
    if (ctx == NULL || X509_STORE_CTX_init(ctx, p->trust->store, p->leaf, a->between) != 1 ||
        !verify_setup(X509_STORE_CTX_get0_param(ctx), p->trust, p->req) ||
        (forgiving && X509_STORE_CTX_set_app_data(ctx, p) != 1))
        return false;
    if (forgiving)
        X509_STORE_CTX_set_verify_cb(ctx, on_error);
    if (!p->trust->lax)
        X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT);
    crl_setup(ctx, p);
    if (a->anchors != NULL)
        X509_STORE_CTX_set0_trusted_stack(ctx, a->anchors);
    if (a->whatever_issued)
        X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_PARTIAL_CHAIN);
    return true;
}

/* Beside anchors, pins are one more demand: the path has to go through a pinned key. */
static tt_rc demand_pin(struct path *p, struct tt_error *err)
{
    bool pinned = trust_pins(p->trust) == 0;
    for (int i = 0; !pinned && i < sk_X509_num(p->built); i++)
        TT_TRY(cert_is_pinned(&pinned, p->trust, p->lib, sk_X509_value(p->built, i)));
    if (pinned)
        return TT_OK;
    path_hint_pin(p, err);
    return path_refuse(
        p, TT_ALERT_BAD_CERTIFICATE, err,
        "the peer's certificate is from a trusted CA, but no key in its chain is a pinned one");
}

static tt_rc attempt_run(const struct attempt *a, struct path *p, struct tt_error *err)
{
    X509_STORE_CTX_free(p->ctx);
    X509_STORE_CTX *ctx = p->ctx = X509_STORE_CTX_new();
    tt_rc rc = TT_ERR_INTERNAL;
    bool is_set_up = false, good = false;
    for (int forgiving = p->trust->crls > 0; !good && forgiving <= 1; forgiving++) {
        if (is_set_up)
            X509_STORE_CTX_cleanup(ctx);
        is_set_up = attempt_setup(ctx, p, a, forgiving);
        good = is_set_up && X509_verify_cert(ctx) == 1;
    }
    if (is_set_up) {
        rc = good ? TT_OK : path_explain(p, ctx, err);
        p->built = X509_STORE_CTX_get0_chain(ctx);
    }
    if (rc == TT_OK)
        rc = profile_judge(p, err);
    if (rc == TT_OK)
        rc = demand_pin(p, err);
    if (rc != TT_OK)
        p->built = NULL;
    ERR_clear_error();
    return rc;
}

/* ---- the other ways ---- */

struct search {
    struct path *path;
    STACK_OF(X509) * pool;      /* who may have issued something; what the peer sent comes first */
    int ours_from;              /* from here on they are of the set */
    STACK_OF(X509) * pinned;    /* instead of the set's self-signed ones, these are anchors; or NULL */
    X509 *way[MAX_BETWEEN + 2]; /* borrowed; leaf first */
    size_t len;
    unsigned left; /* signatures */
};

static bool pool_fill(struct search *s)
{
    STACK_OF(X509) *const ours = s->path->trust->cas;
    s->pool = sk_X509_new_null();
    bool filled = s->pool != NULL;
    for (int i = 0; filled && i < sk_X509_num(s->path->rest); i++)
        filled = sk_X509_push(s->pool, sk_X509_value(s->path->rest, i)) > 0;
    s->ours_from = sk_X509_num(s->pool);
    for (int i = 0; filled && i < sk_X509_num(ours); i++)
        filled = sk_X509_push(s->pool, sk_X509_value(ours, i)) > 0;
    return filled;
}

static bool is_self_signed(X509 *x)
{
    return (X509_get_extension_flags(x) & EXFLAG_SS) != 0;
}

static bool is_anchor(const struct search *s, int at)
{
    X509 *x = sk_X509_value(s->pool, at);
    if (s->pinned == NULL)
        return at >= s->ours_from && is_self_signed(x);
    for (int i = 0; i < sk_X509_num(s->pinned); i++)
        if (sk_X509_value(s->pinned, i) == x)
            return true;
    return false;
}

static bool is_on_way(const struct search *s, X509 *x)
{
    for (size_t i = 0; i < s->len; i++)
        if (X509_cmp(s->way[i], x) == 0)
            return true;
    return false;
}

static bool leads_to(struct search *s, X509 *issuer)
{
    X509 *x = s->way[s->len - 1];
    EVP_PKEY *key = X509_get0_pubkey(issuer);
    if (is_on_way(s, issuer) || !may_issue(issuer, x) || key == NULL || s->left == 0)
        return false;
    s->left--;
    bool signed_it = X509_verify(x, key) == 1;
    ERR_clear_error();
    return signed_it;
}

static tt_rc judge_way(struct search *s, X509 *anchor)
{
    struct attempt a = {
        .anchors = sk_X509_new_null(), .between = sk_X509_new_null(), .whatever_issued = s->pinned != NULL};
    bool filled = a.anchors != NULL && a.between != NULL && sk_X509_push(a.anchors, anchor) > 0;
    for (size_t i = 1; filled && i < s->len; i++)
        filled = sk_X509_push(a.between, s->way[i]) > 0;
    s->left = s->left > s->len ? s->left - (unsigned)s->len : 0;
    tt_rc rc = filled ? attempt_run(&a, s->path, NULL) : TT_ERR_MEMORY;
    sk_X509_free(a.anchors);
    sk_X509_free(a.between);
    return rc;
}

/* As deep as a path may be long. */
static tt_rc search_on(struct search *s)
{
    for (int i = 0; i < sk_X509_num(s->pool) && s->left > 0; i++) {
        X509 *issuer = sk_X509_value(s->pool, i);
        if (!leads_to(s, issuer))
            continue;
        tt_rc rc = TT_ERR_VERIFY;
        if (is_anchor(s, i)) {
            rc = judge_way(s, issuer);
        } else if (!is_self_signed(issuer) && s->len <= s->path->trust->max_between) {
            s->way[s->len++] = issuer;
            rc = search_on(s);
            s->len--;
        }
        if (rc != TT_ERR_VERIFY)
            return rc;
    }
    return TT_ERR_VERIFY;
}

static tt_rc search_others(struct path *p, STACK_OF(X509) * pinned)
{
    struct search s = {.path = p, .pinned = pinned, .way = {p->leaf}, .len = 1, .left = MAX_SIGNATURES};
    tt_rc rc = pool_fill(&s) ? search_on(&s) : TT_ERR_MEMORY;
    sk_X509_free(s.pool);
    return rc;
}

tt_rc path_find(struct path *p, STACK_OF(X509) * anchors, struct tt_error *err)
{
    const struct attempt usual = {.anchors = anchors, .between = p->rest, .whatever_issued = anchors != NULL};
    struct tt_error first = {0};
    tt_rc rc = attempt_run(&usual, p, &first);
    if (rc == TT_ERR_VERIFY) {
        const unsigned alert = p->verdict.alert;
        tt_rc again = search_others(p, anchors);
        p->verdict.alert = alert;
        if (again == TT_ERR_VERIFY && err != NULL && err->rc == TT_OK)
            *err = first;
        rc = again;
    } else if (rc != TT_OK && err != NULL && err->rc == TT_OK) {
        *err = first;
    }
    return rc;
}
