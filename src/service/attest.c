/* service/attest.c: see attest.h. Layer: service. */
#include "service/attest.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

tt_rc attest_desk_wish(struct buf *to, const struct attest_desk *d, int64_t now)
{
    struct est_attest_wish wish = {.pcrs = ""};
    const char *pcrs = tt_attest_policy_pcrs(d->policy);
    if (pcrs != NULL)
        (void)snprintf(wish.pcrs, sizeof wish.pcrs, "%s", pcrs);
    TT_TRY(tt_attest_nonce(wish.nonce, d->policy, d->key, now, NULL));
    return est_attest_wish_put(to, &wish);
}

static bool type_is(const struct http_request *r, const char *want)
{
    const char *type = http_request_header(r, "Content-Type");
    size_t n = strlen(want);
    return type != NULL && strncasecmp(type, want, n) == 0 &&
           (type[n] == '\0' || type[n] == ';' || type[n] == ' ');
}

static tt_rc challenge(struct buf *ret_body, const struct attest_desk *d, struct tt_bytes body, int64_t now,
                       char *ret_text)
{
    TT_AUTO(buf_free) struct buf evidence = {0};
    TT_AUTO(mem_free_auto) uint8_t *der = NULL;
    size_t len = 0;
    struct tt_error err = {0};
    struct tt_attest_verdict v = {.reason = TT_ATTEST_GOOD};
    const struct tt_attest_want want = {.use = TT_ATTEST_ENROL, .key = d->key, .now = now};
    tt_rc rc = est_body_read(&evidence, body, &err);
    if (rc == TT_OK)
        rc = tt_attest_challenge(&der, &len, &v, d->policy, buf_bytes(&evidence), &want, &err);
    if (rc == TT_OK)
        return est_body_write(ret_body, (struct tt_bytes){der, len});
    (void)snprintf(ret_text, 400, "%s%s%s\n", rc == TT_ERR_VERIFY ? "attestation-" : "",
                   rc == TT_ERR_VERIFY ? tt_attest_reason_name(v.reason) : "damaged", "");
    if (rc == TT_ERR_VERIFY || rc == TT_ERR_DECODE)
        (void)snprintf(ret_text, 400, "%s%s: %s\n", rc == TT_ERR_VERIFY ? "attestation-" : "",
                       rc == TT_ERR_VERIFY ? tt_attest_reason_name(v.reason) : "damaged", err.text);
    return rc;
}

void attest_desk_take(const struct attest_desk *d, struct http_request *r, int64_t now, int *ret_status,
                      char *ret_text)
{
    static const char *const headers[][2] = {{"Cache-Control", "no-store"}};
    TT_AUTO(buf_free) struct buf body = {0};
    char text[400] = "";
    int status = 200;
    if (http_request_method(r) != HTTP_POST) {
        status = 405;
        (void)snprintf(text, sizeof text, "ask for this with POST\n");
    } else if (!type_is(r, EST_TYPE_EVIDENCE)) {
        status = 415;
        (void)snprintf(text, sizeof text, "the Content-Type of evidence is %s\n", EST_TYPE_EVIDENCE);
    } else {
        tt_rc rc = challenge(&body, d, http_request_body(r), now, text);
        status = rc == TT_OK ? 200 : rc == TT_ERR_VERIFY ? 403 : rc == TT_ERR_DECODE ? 400 : 503;
    }
    *ret_status = status;
    (void)snprintf(ret_text, 300, "%.*s", (int)strcspn(text, "\n"), text);
    if (status != 200) {
        http_answer_text(r, status, text[0] != '\0' ? text : "not at the moment\n");
        return;
    }
    http_answer(r, &(struct http_answer){.status = 200,
                                         .type = EST_TYPE_CHALLENGE,
                                         .body = buf_bytes(&body),
                                         .headers = headers,
                                         .headers_len = 1});
}

static tt_rc malformed(struct attested *ret, const struct tt_error *why)
{
    ret->verdict = (struct tt_attest_verdict){.reason = TT_ATTEST_MALFORMED};
    (void)snprintf(ret->verdict.text, sizeof ret->verdict.text, "%s", why->text);
    return TT_ERR_VERIFY;
}

/* Of another time, or from before the last start of a service without attest-key; all else may be good. */
static bool is_of_the_past(enum tt_attest_reason reason)
{
    return reason == TT_ATTEST_NONCE_OLD || reason == TT_ATTEST_NONCE_WRONG ||
           reason == TT_ATTEST_PROOF_OLD || reason == TT_ATTEST_PROOF_TOKEN;
}

static tt_rc judge(struct attested *ret, const struct attest_desk *d, struct tt_bytes evidence,
                   const struct tt_attest_want *want, struct tt_error *err)
{
    struct tt_attest_verdict v;
    struct tt_attest_want whenever = *want;
    tt_rc rc = tt_attest_judge(&v, d->policy, evidence, want, err);
    if (rc == TT_OK || rc == TT_ERR_VERIFY)
        ret->verdict = v;
    if (rc == TT_ERR_VERIFY && is_of_the_past(v.reason)) {
        whenever.key = NULL;
        rc = tt_attest_judge(&v, d->policy, evidence, &whenever, NULL);
        ret->is_past = rc == TT_OK;
    }
    if (rc == TT_OK)
        memcpy(ret->ek_sha256, v.ek_sha256, sizeof ret->ek_sha256);
    return rc;
}

tt_rc attest_desk_judge(struct attested *ret, const struct attest_desk *d, struct tt_bytes csr, int64_t now,
                        struct tt_error *err)
{
    TT_AUTO(mem_free_auto) uint8_t *spki = NULL;
    TT_AUTO(mem_free_auto) uint8_t *evidence = NULL;
    size_t spki_len = 0, len = 0;
    struct tt_error why = {0};
    if (d == NULL || d->policy == NULL)
        return TT_ERR_NOT_FOUND;
    tt_rc rc = tt_csr_evidence(&evidence, &len, csr, &why);
    if (rc == TT_ERR_DECODE) /* or a request that is none: who reads it says so */
        return malformed(ret, &why);
    TT_TRY(rc);
    rc = tt_spki_of(&spki, &spki_len, csr, &why);
    if (rc == TT_ERR_DECODE)
        return malformed(ret, &why);
    if (rc != TT_OK)
        return error_set(err, rc, "%s", why.text);
    const struct tt_attest_want want = {
        .use = TT_ATTEST_ENROL, .spki = {spki, spki_len}, .key = d->key, .now = now};
    TT_TRY(judge(ret, d, (struct tt_bytes){evidence, len}, &want, err));
    ret->evidence = TT_TAKE(evidence);
    ret->len = len;
    return TT_OK;
}
