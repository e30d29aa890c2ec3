/* tests/fuzz/fuzz_est_body.c: bodies from an EST server. What is read is written in a form that is read again
 * as the same. */
#include "fuzz.h"

#include <string.h>

#include "est/body.h"
#include "est/request.h"
#include "pki/certs_only.h"

static bool has(const struct tt_cert_list *list, struct tt_bytes der)
{
    for (size_t i = 0; i < list->len; i++)
        if (list->certs[i].len == der.len && memcmp(list->certs[i].data, der.data, der.len) == 0)
            return true;
    return false;
}

static void certificates(struct tt_bytes body)
{
    struct tt_cert_list *list = NULL, *again = NULL;
    if (est_certs_read(&list, body, NULL) != TT_OK)
        return;
    FUZZ_CHECK(list->len > 0 && list->len <= CERTS_ONLY_MAX);
    struct buf out = {0};
    FUZZ_CHECK(est_certs_write(&out, list) == TT_OK);
    FUZZ_CHECK(est_certs_read(&again, buf_bytes(&out), NULL) == TT_OK && again->len == list->len);
    for (size_t i = 0; i < list->len; i++)
        FUZZ_CHECK(has(again, list->certs[i]));
    tt_cert_list_free(list);
    tt_cert_list_free(again);
    buf_free(&out);
}

static void attributes(struct tt_bytes body)
{
    struct est_csrattrs a = {0}, again = {0};
    if (est_csrattrs_read(&a, body, NULL) != TT_OK)
        return;
    struct buf out = {0};
    struct est_wants wants;
    est_wants_read(&wants, &a);
    FUZZ_CHECK(!wants.has_type || wants.type < TT_KEY_OTHER);
    FUZZ_CHECK(est_csrattrs_write(&out, a.list, a.len) == TT_OK);
    FUZZ_CHECK(est_csrattrs_read(&again, buf_bytes(&out), NULL) == TT_OK && again.len == a.len);
    for (size_t i = 0; i < a.len; i++)
        FUZZ_CHECK(again.list[i].attribute == a.list[i].attribute && a.list[i].oid.len > 0 &&
                   again.list[i].values.len == a.list[i].values.len);
    est_csrattrs_free(&a);
    est_csrattrs_free(&again);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    certificates((struct tt_bytes){data, size});
    attributes((struct tt_bytes){data, size});
    return 0;
}
