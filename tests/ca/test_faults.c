/* tests/ca/test_faults.c: each allocation of ours fails once: an error says so, nothing leaks, the next try
 * works. Needs -Dfault_injection=true; libcrypto's and SQLite's own allocations are theirs. */

#include <string.h>

#include "ca_test.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

struct world {
    struct soft_key key, ca_key;
    char *dir;
    char path[128];
    char *csr;
    char serial[CA_SERIAL_HEX];
    unsigned round;
};

static tt_rc do_csr(struct world *w, struct tt_error *err)
{
    static const char *const sans[] = {"DNS:a.example", "IP:192.0.2.1"};
    struct tt_pki_signer signer = key_signs(&w->key);
    struct tt_csr_params params = {.subject = "/O=Example/CN=a", .sans = sans, .sans_len = 2};
    char *pem = NULL;
    tt_rc rc = tt_csr_create(&pem, &params, &signer, err);
    tt_free(pem);
    return rc;
}

static tt_rc do_ca_create(struct world *w, struct tt_error *err)
{
    char path[160];
    char *key_pem = NULL;
    (void)snprintf(path, sizeof path, "%s/new%u", w->dir, w->round);
    TT_TRY(tt_ca_key_generate(&key_pem, err));
    struct ca_make params = {.place = {.dir = path}, .subject = "/CN=CA", .key_pem = key_pem, .now = NOW};
    struct tt_pki_signer signer = key_signs(&w->ca_key);
    tt_rc rc = ca_make(&params, &signer, NULL, err);
    tt_free(key_pem);
    return rc;
}

static tt_rc do_ca_sign(struct world *w, struct tt_error *err)
{
    struct ca *ca = NULL;
    struct tt_cert_list *list = NULL;
    TT_TRY(test_ca_open(&ca, w->path, err));
    struct test_order req = {.csr = bytes_of(w->csr), .profile = "both", .now = NOW};
    struct tt_pki_signer signer = key_signs(&w->ca_key);
    tt_rc rc = test_ca_issue(&list, ca, &req, &signer, err);
    tt_cert_list_free(list);
    ca_close(ca);
    return rc;
}

static tt_rc do_revoke(struct world *w, struct tt_error *err)
{
    struct ca *ca = NULL;
    struct buf crl = {0};
    struct ca_fresh fresh;
    TT_TRY(test_ca_open(&ca, w->path, err));
    struct tt_pki_signer signer = key_signs(&w->ca_key);
    tt_rc rc = ca_set_signer(ca, &signer, err);
    if (rc == TT_OK)
        rc = ca_revoke(ca, w->serial, 6, "me", NOW, err);
    if (rc == TT_ERR_EXISTS) { /* by a round before */
        *err = (struct tt_error){0};
        rc = TT_OK;
    }
    if (rc == TT_OK)
        rc = ca_crl(ca, &crl, &fresh, NOW, err);
    if (rc == TT_OK)
        rc = ca_crl_delta(ca, &crl, &fresh, NOW, err);
    if (rc == TT_OK)
        rc = ca_release(ca, w->serial, "me", NOW, err);
    if (rc == TT_OK)
        rc = ca_tend(ca, NOW, err);
    buf_free(&crl);
    ca_close(ca);
    return rc;
}

static tt_rc do_token(struct world *w, struct tt_error *err)
{
    struct ca *ca = NULL;
    struct ca_answer a = {0};
    struct ca_token t;
    char id[CA_ID_HEX], password[CA_PASSWORD_MAX];
    TT_TRY(test_ca_open(&ca, w->path, err));
    struct tt_pki_signer signer = key_signs(&w->ca_key);
    tt_rc rc = ca_set_signer(ca, &signer, err);
    static const char *const names[] = {"DNS:a.example"};
    const struct ca_token_plan plan = {
        .subject = "/CN=a", .expires = NOW + 60, .by = "me", .names = names, .names_len = 1};
    if (rc == TT_OK)
        rc = ca_token_create(ca, id, password, &plan, NOW, err);
    if (rc == TT_OK)
        rc = ca_token_check(ca, &t, password, NOW, err);
    const struct ca_order order = {.csr = bytes_of(w->csr), .by = {CA_BY_TOKEN, t.id, "192.0.2.1"}};
    if (rc == TT_OK)
        rc = ca_issue(ca, &order, &a, 1, NOW, err);
    if (rc == TT_OK)
        assert_int_equal(a.verdict, CA_ISSUED);
    ca_answer_free(&a);
    if (rc == TT_OK)
        rc = ca_issue(ca, &order, &a, 1, NOW, err); /* the same again */
    ca_answer_free(&a);
    ca_close(ca);
    return rc;
}

static tt_rc do_read(struct world *w, struct tt_error *err)
{
    struct ca *ca = NULL;
    struct tt_cert_list *list = NULL;
    struct tt_cert_info *info = NULL;
    char *pem = NULL;
    TT_TRY(test_ca_open(&ca, w->path, err));
    struct tt_bytes der = ca_certificate(ca);
    tt_rc rc = tt_cert_describe(&info, der, err);
    if (rc == TT_OK)
        rc = tt_cert_list_to_pem(&pem, &(struct tt_cert_list){&der, 1}, 1, err);
    if (rc == TT_OK)
        rc = tt_cert_list_from_pem(&list, bytes_of(pem), err);
    tt_cert_info_free(info);
    tt_cert_list_free(list);
    tt_free(pem);
    ca_close(ca);
    return rc;
}

/* Until a round succeeds: then the failure lay behind the last allocation. */
static void fail_each(struct world *w, tt_rc (*what)(struct world *w, struct tt_error *err))
{
    for (w->round = 1; w->round < 10000; w->round++) {
        struct tt_error err = {0};
        mem_test_reset();
        mem_test_fail_nth(w->round);
        tt_rc rc = what(w, &err);
        struct mem_test_stats stats = mem_test_stats();
        mem_test_fail_nth(0);
        assert_int_equal(stats.live_blocks, 0);
        assert_int_equal(ERR_peek_error(), 0);
        if (rc == TT_OK && stats.allocations < w->round) {
            assert_true(w->round > 5); /* there was something to fail */
            return;
        }
        check_error(rc, TT_ERR_MEMORY, &err, "memory", "an allocation that failed");
    }
    fail_msg("it never ends");
}

static void each_allocation_fails(void **state)
{
    struct world *w = *state;
    fail_each(w, do_csr);
    fail_each(w, do_ca_create);
    fail_each(w, do_ca_sign);
    fail_each(w, do_read);
    fail_each(w, do_revoke);
    fail_each(w, do_token);
    assert_int_equal(run(w->dir, "test -z \"$(ls | grep '\\.')\""), 0); /* no half directories */
}

int main(void)
{
    struct world w = {.key = key_make("P-256"), .ca_key = key_make("P-256"), .dir = dir_make()};
    struct tt_pki_signer ca_signer = key_signs(&w.ca_key), signer = key_signs(&w.key);
    (void)snprintf(w.path, sizeof w.path, "%s/ca", w.dir);
    struct ca_make params = {
        .place = {.dir = w.path}, .subject = "/CN=CA", .key = "handle:0x81000099", .now = NOW};
    static const char *const sans[] = {"DNS:a.example"};
    struct tt_csr_params csr = {.subject = "/CN=a", .sans = sans, .sans_len = 1};
    if (ca_make(&params, &ca_signer, NULL, NULL) != TT_OK ||
        tt_csr_create(&w.csr, &csr, &signer, NULL) != TT_OK)
        return 1;
    struct ca *ca = NULL;
    struct ca_answer a = {0};
    const struct ca_order order = {.csr = bytes_of(w.csr)};
    if (test_ca_open(&ca, w.path, NULL) != TT_OK || ca_set_signer(ca, &ca_signer, NULL) != TT_OK ||
        ca_issue(ca, &order, &a, 1, NOW, NULL) != TT_OK || ca_tend(ca, NOW, NULL) != TT_OK)
        return 1;
    memcpy(w.serial, a.serial, sizeof w.serial);
    ca_answer_free(&a);
    ca_close(ca);
    struct CMUnitTest tests[] = {{"each_allocation_fails", each_allocation_fails, NULL, NULL, &w}};
    int failed = cmocka_run_group_tests_name("ca/faults", tests, NULL, NULL);
    tt_free(w.csr);
    dir_drop(w.dir);
    key_drop(&w.key);
    key_drop(&w.ca_key);
    return failed;
}
