/* crypto/ocsp.c: the OCSP response that a peer stapled to its certificate. Layer: crypto. It asks no server.
 * RFC 6960, RFC 9846 section 4.5.1.1, RFC 7633 (must-staple).
 *
 * A response counts when it is signed by the CA that issued the certificate, or by a responder which that CA
 * certified for this with its own key (RFC 6960 section 4.2.2.2) and did not revoke since (where there are
 * CRLs), and when it is of this time. The verdict ends with the responder's certificate, too. libcrypto's own
 * check of the times reads the clock, so they are compared here. */
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "crypto/trust_internal.h"

#define CLOCK_SKEW     300   /* seconds by which the responder's clock may differ from ours */
#define UNDATED_MAX    86400 /* seconds that a response without nextUpdate counts */
#define STATUS_REQUEST 5     /* the TLS extension that a must-staple certificate names */
#define MAX_ANSWERS    64

bool x509_wants_staple(const X509 *x)
{
    int critical = -1;
    TLS_FEATURE *features = X509_get_ext_d2i(x, NID_tlsfeature, &critical, NULL);
    /* -1: there is no such extension. One that cannot be read is taken for the stricter one. */
    bool wants = features == NULL && critical != -1;
    for (int i = 0; i < sk_ASN1_INTEGER_num(features); i++)
        wants |= ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == STATUS_REQUEST;
    sk_ASN1_INTEGER_pop_free(features, ASN1_INTEGER_free);
    return wants;
}

bool cert_wants_staple(struct tt_bytes der)
{
    const uint8_t *at = der.data;
    X509 *x = der.len > 0 && der.len <= INT32_MAX ? d2i_X509(NULL, &at, (long)der.len) : NULL;
    bool wants = x != NULL && x509_wants_staple(x);
    X509_free(x);
    ERR_clear_error();
    return wants;
}

static tt_rc refuse(struct path *p, struct tt_error *err, const char *text)
{
    error_hint(err,
               "the server has to fetch a new OCSP response from its CA; its log may say why it did not");
    return path_refuse(p, TT_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE, err, "%s", text);
}

static tt_rc refuse_none(struct path *p, int status, struct tt_error *err)
{
    error_hint(err, "the server has to ask its CA again, and to keep the last good response until then");
    return path_refuse(p, TT_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE, err,
                       "the peer's OCSP response is none: its CA answered \"%s\"",
                       OCSP_response_status_str(status));
}

static OCSP_BASICRESP *read_response(struct path *p, struct tt_error *err)
{
    const uint8_t *at = p->req->ocsp.data;
    size_t len = p->req->ocsp.len;
    OCSP_RESPONSE *r = len <= INT32_MAX ? d2i_OCSP_RESPONSE(NULL, &at, (long)len) : NULL;
    OCSP_BASICRESP *basic = NULL;
    if (r == NULL || at != p->req->ocsp.data + len)
        (void)refuse(p, err, "the peer's OCSP response cannot be read");
    else if (OCSP_response_status(r) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        (void)refuse_none(p, OCSP_response_status(r), err);
    else if ((basic = OCSP_response_get1_basic(r)) == NULL)
        (void)refuse(p, err, "the peer's OCSP response is of an unknown kind");
    OCSP_RESPONSE_free(r);
    return basic;
}

static bool hash_is_weak(const OCSP_BASICRESP *basic)
{
    int md = NID_undef;
    const ASN1_OBJECT *algorithm;
    X509_ALGOR_get0(&algorithm, NULL, NULL, OCSP_resp_get0_tbs_sigalg(basic));
    return OBJ_find_sigid_algs(OBJ_obj2nid(algorithm), &md, NULL) == 1 && (md == NID_sha1 || md == NID_md5);
}

/* A store of its own: the issuer is the only anchor, and the time is ours. */
static X509_STORE *issuer_store(X509 *issuer, int64_t now)
{
    X509_STORE *store = X509_STORE_new();
    if (store == NULL || X509_STORE_add_cert(store, issuer) != 1) {
        X509_STORE_free(store);
        return NULL;
    }
    X509_VERIFY_PARAM_set_time(X509_STORE_get0_param(store), (time_t)now);
    X509_VERIFY_PARAM_set_auth_level(X509_STORE_get0_param(store), 2);
    return store;
}

static bool is_signed_for(OCSP_BASICRESP *basic, X509 *issuer, int64_t now, X509 **ret_signer)
{
    X509_STORE *store = issuer_store(issuer, now);
    STACK_OF(X509) *extra = sk_X509_new_null();
    bool ok = store != NULL && extra != NULL && sk_X509_push(extra, issuer) > 0 &&
              OCSP_basic_verify(basic, extra, store, OCSP_PARTIAL_CHAIN | OCSP_NOEXPLICIT) == 1 &&
              OCSP_resp_get0_signer(basic, ret_signer, extra) == 1;
    sk_X509_free(extra);
    X509_STORE_free(store);
    return ok;
}

/* Is this answer about the leaf? The responder chooses the hash that names the certificate. */
static bool is_about(OCSP_SINGLERESP *single, X509 *leaf, X509 *issuer)
{
    OCSP_CERTID *id = (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single);
    ASN1_OBJECT *hash;
    if (OCSP_id_get0_info(NULL, &hash, NULL, NULL, id) != 1)
        return false;
    const EVP_MD *md = EVP_get_digestbyobj(hash);
    OCSP_CERTID *wanted = md == NULL ? NULL : OCSP_cert_to_id(md, leaf, issuer);
    bool same = wanted != NULL && OCSP_id_cmp(wanted, id) == 0;
    OCSP_CERTID_free(wanted);
    return same;
}

static OCSP_SINGLERESP *find_answer(OCSP_BASICRESP *basic, X509 *leaf, X509 *issuer)
{
    for (int i = 0; i < OCSP_resp_count(basic) && i < MAX_ANSWERS; i++)
        if (is_about(OCSP_resp_get0(basic, i), leaf, issuer))
            return OCSP_resp_get0(basic, i);
    return NULL;
}

static tt_rc judge_time(struct path *p, const ASN1_TIME *this_update, const ASN1_TIME *next_update,
                        struct tt_error *err)
{
    int64_t now = p->req->now, from, until;
    char date[40];
    if (!time_seconds(&from, this_update) || (next_update != NULL && !time_seconds(&until, next_update)))
        return refuse(p, err, "the peer's OCSP response has a date that cannot be read");
    if (next_update == NULL)
        until = from + UNDATED_MAX;
    if (now < from - CLOCK_SKEW) {
        date_text(date, sizeof date, this_update);
        error_hint(err, "set this machine's clock");
        return path_refuse(p, TT_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE, err,
                           "the peer's OCSP response is of the future: %s", date);
    }
    if (now > until + CLOCK_SKEW) {
        date_text(date, sizeof date, next_update != NULL ? next_update : this_update);
        error_hint(err, "the server has to fetch a new one from its CA; if the date is wrong, set this "
                        "machine's clock");
        return path_refuse(p, TT_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE, err,
                           "the peer's OCSP response is out of date: %s %s",
                           next_update != NULL ? "it was good until" : "it is of", date);
    }
    p->when.from = from - CLOCK_SKEW > p->when.from ? from - CLOCK_SKEW : p->when.from;
    p->when.until = until + CLOCK_SKEW < p->when.until ? until + CLOCK_SKEW : p->when.until;
    return TT_OK;
}

static tt_rc judge_answer(struct path *p, OCSP_SINGLERESP *single, struct tt_error *err)
{
    ASN1_GENERALIZEDTIME *revoked_at = NULL, *this_update = NULL, *next_update = NULL;
    int reason = -1;
    int status = OCSP_single_get0_status(single, &reason, &revoked_at, &this_update, &next_update);
    if (status == V_OCSP_CERTSTATUS_REVOKED) { /* also when the answer is old: nobody comes back from there */
        char date[40];
        date_text(date, sizeof date, revoked_at);
        error_hint(err, "the peer needs a new certificate");
        return path_refuse(p, TT_ALERT_CERTIFICATE_REVOKED, err,
                           "the peer's certificate was revoked on %s, its CA says by OCSP%s%s", date,
                           reason >= 0 ? ": " : "", reason >= 0 ? OCSP_crl_reason_str(reason) : "");
    }
    TT_TRY(judge_time(p, this_update, next_update, err));
    if (status != V_OCSP_CERTSTATUS_GOOD)
        return refuse(p, err, "the peer's OCSP response says that its CA does not know the certificate");
    p->verdict.ocsp_good = true;
    return TT_OK;
}

/* A certificate that the CA gave a responder has an end, and may be revoked, also where it asks not to be
 * looked up (id-pkix-ocsp-nocheck): a list that is at hand counts. */
static tt_rc judge_responder(struct path *p, X509 *issuer, X509 *signer, struct tt_error *err)
{
    if (X509_cmp(signer, issuer) == 0)
        return TT_OK;
    if (crl_lists(p->trust, issuer, signer))
        return refuse(p, err, "the peer's OCSP response is of a responder whose certificate was revoked");
    validity_limit(&p->when, signer);
    return TT_OK;
}

static tt_rc judge_basic(struct path *p, OCSP_BASICRESP *basic, struct tt_error *err)
{
    /* A self-signed leaf has no other issuer than itself. */
    X509 *issuer = sk_X509_value(p->built, sk_X509_num(p->built) > 1 ? 1 : 0);
    if (hash_is_weak(basic))
        return refuse(p, err, "the peer's OCSP response is signed with a hash that is too weak");
    X509 *signer = NULL;
    if (!is_signed_for(basic, issuer, p->req->now, &signer))
        return refuse(p, err,
                      "the peer's OCSP response was not signed by the CA of its certificate, nor by a "
                      "responder of that CA");
    TT_TRY(judge_responder(p, issuer, signer, err));
    OCSP_SINGLERESP *single = find_answer(basic, p->leaf, issuer);
    return single == NULL ? refuse(p, err, "the peer's OCSP response is about another certificate")
                          : judge_answer(p, single, err);
}

static tt_rc judge_absent(struct path *p, struct tt_error *err)
{
    /* RFC 7633: what the certificate names counts for what the ClientHello asked for. */
    if (p->req->require_ocsp)
        return refuse(p, err, "the peer sent no OCSP response with its certificate, and one is required");
    if (p->req->asked_ocsp && x509_wants_staple(p->leaf))
        return refuse(p, err, "the peer sent no OCSP response, which its certificate demands (must-staple)");
    return TT_OK;
}

tt_rc ocsp_judge(struct path *p, struct tt_error *err)
{
    if (p->req->ocsp.len == 0)
        return judge_absent(p, err);
    OCSP_BASICRESP *basic = read_response(p, err);
    tt_rc rc = basic == NULL ? TT_ERR_VERIFY : judge_basic(p, basic, err);
    OCSP_BASICRESP_free(basic);
    ERR_clear_error();
    return rc;
}
