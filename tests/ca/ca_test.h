/* tests/ca/ca_test.h: a CA in one call, for the tests: made, opened, asked for one certificate. Tests only.
 */
#ifndef TESTS_CA_TEST_H
#define TESTS_CA_TEST_H

#include "../pki/pki_test.h"

#include "ca/ca.h"

/* struct test_order: one request by the operator. */
struct test_order {
    struct tt_bytes csr;
    const char *profile;
    unsigned days;
    int64_t now;
};

/* test_ca_issue: *ret is the new certificate, then the CA's; a refusal is its rc. Free with
 * tt_cert_list_free. */
static inline tt_rc test_ca_issue(struct tt_cert_list **ret, struct ca *ca, const struct test_order *req,
                                  const struct tt_pki_signer *signer, struct tt_error *err)
{
    struct ca_order order = {.csr = req->csr, .profile = req->profile, .days = req->days};
    struct ca_answer a = {0};
    TT_TRY(ca_set_signer(ca, signer, err));
    TT_TRY(ca_issue(ca, &order, &a, 1, req->now, err));
    tt_rc rc = TT_OK;
    if (a.verdict != CA_ISSUED) {
        rc = error_set(err, a.reason.rc, "%s", a.reason.text);
        error_hint(err, "%s", a.reason.hint);
    }
    if (rc == TT_OK) {
        struct tt_bytes both[] = {a.certificate, ca_certificate(ca)};
        char *pem = NULL;
        rc = tt_cert_list_to_pem(&pem, &(struct tt_cert_list){both, 2}, 2, err);
        if (rc == TT_OK)
            rc = tt_cert_list_from_pem(ret, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)}, err);
        tt_free(pem);
    }
    ca_answer_free(&a);
    return rc;
}

static inline tt_rc test_ca_open(struct ca **ret, const char *dir, struct tt_error *err)
{
    return ca_open(ret, &(struct ca_place){.dir = dir}, err);
}

#endif
