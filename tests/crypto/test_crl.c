/* tests/crypto/test_crl.c: revocation lists: what is taken into a set, and what they decide. RFC 5280
 * sections 5, 6.3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/pem.h>
#include <string.h>

#include "crypto/judge.h"

#define DAY INT64_C(86400)

static struct {
    struct crypto_lib *lib;
    struct node *root, *middle, *leaf, *direct, *stranger;
} w;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(crypto_lib_new(&w.lib, NULL), TT_OK);
    w.root = node_ca("root", NULL);
    w.middle = node_ca("middle", w.root);
    w.leaf = node_server(w.middle, "host.example");
    w.direct = node_server(w.root, "host.example");
    w.stranger = node_ca("stranger", NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    node_free(w.root);
    node_free(w.middle);
    node_free(w.leaf);
    node_free(w.direct);
    node_free(w.stranger);
    crypto_lib_free(w.lib);
    return 0;
}

static void add(struct tt_trust *t, tt_rc expected, const struct crl_options *o, const char *text)
{
    struct tt_error err = {0};
    struct tt_bytes der = crl_new(o);
    assert_int_equal(tt_trust_add_crl(t, der, &err), expected);
    if (strstr(err.text, text) == NULL)
        fail_msg("\"%s\" and not \"%s\"", err.text, text);
    der_free(der);
}
#define ADD(t, ...) add(t, TT_OK, &(struct crl_options){__VA_ARGS__}, "")

#define TRIAL(t, ...) (&(struct trial){.lib = w.lib, .trust = t, .chain = {__VA_ARGS__}})

static void revoked_and_not(void **state)
{
    (void)state;
    struct tt_trust *t = trust_of(w.root, w.middle);
    ADD(t, .issuer = w.middle, .revoked = w.leaf);
    trial_refuse(TRIAL(t, w.leaf, w.middle), TT_ALERT_CERTIFICATE_REVOKED,
                 "\"CN=server\" (number 1 in the chain) was revoked by \"CN=middle\"", "a new certificate");
    struct node *sister = node_server(w.middle, "host.example");
    trial_accept(TRIAL(t, sister, w.middle));
    node_free(sister);
    tt_trust_free(t);
}

/* A list for the leaf's issuer is a must once there is any; further up it is looked at where it is there. */
static void the_policy(void **state)
{
    (void)state;
    struct tt_trust *t = trust_of(w.root, w.middle);
    trial_accept(TRIAL(t, w.leaf, w.middle));
    ADD(t, .issuer = w.root);
    trial_accept(TRIAL(t, w.direct));
    trial_refuse(TRIAL(t, w.leaf, w.middle), TT_ALERT_CERTIFICATE_UNKNOWN,
                 "may be revoked: there is no CRL of \"CN=middle\"", "add the CRL of that CA");
    ADD(t, .issuer = w.middle);
    trial_accept(TRIAL(t, w.leaf, w.middle));
    tt_trust_free(t);
    t = trust_of(w.root, w.middle);
    ADD(t, .issuer = w.middle);
    trial_accept(TRIAL(t, w.leaf, w.middle)); /* none of the root's */
    ADD(t, .issuer = w.root, .revoked = w.middle);
    trial_refuse(TRIAL(t, w.leaf, w.middle), TT_ALERT_CERTIFICATE_REVOKED,
                 "\"CN=middle\" (number 2 in the chain) was revoked by \"CN=root\"", "new certificate");
    tt_trust_free(t);
}

static void out_of_date(void **state)
{
    (void)state;
    struct tt_trust *t = trust_of(w.root, NULL);
    ADD(t, .issuer = w.root, .from = TEST_NOW - 3 * DAY, .until = TEST_NOW - DAY);
    trial_refuse(TRIAL(t, w.direct), TT_ALERT_CERTIFICATE_UNKNOWN,
                 "may be revoked: the CRL of \"CN=root\" expired on 2026-05-31 00:00:00 UTC",
                 "get a new CRL");
    ADD(t, .issuer = w.root); /* a newer one beside it */
    trial_accept(TRIAL(t, w.direct));
    tt_trust_free(t);
    t = trust_of(w.root, NULL);
    ADD(t, .issuer = w.root, .from = TEST_NOW + DAY, .until = TEST_NOW + 2 * DAY);
    trial_refuse(TRIAL(t, w.direct), TT_ALERT_CERTIFICATE_UNKNOWN, "is not valid before 2026-06-02", "clock");
    tt_trust_free(t);
    /* further up as well: a list that is there has to be of this time */
    t = trust_of(w.root, w.middle);
    ADD(t, .issuer = w.middle);
    ADD(t, .issuer = w.root, .from = TEST_NOW - 3 * DAY, .until = TEST_NOW - DAY);
    trial_refuse(TRIAL(t, w.leaf, w.middle), TT_ALERT_CERTIFICATE_UNKNOWN,
                 "\"CN=middle\" (number 2 in the chain) may be revoked: the CRL of \"CN=root\" expired", "");
    tt_trust_free(t);
}

/* What was accepted with a list is only remembered while that list is valid. */
static void memory_ends_with_the_list(void **state)
{
    (void)state;
    struct tt_trust *t = trust_of(w.root, NULL);
    ADD(t, .issuer = w.root, .until = TEST_NOW + DAY);
    struct trial at = *TRIAL(t, w.direct);
    assert_false(trial_accept(&at).cached);
    at.now = TEST_NOW + DAY;
    assert_true(trial_accept(&at).cached);
    at.now = TEST_NOW + DAY + 1;
    trial_refuse(&at, TT_ALERT_CERTIFICATE_UNKNOWN, "expired", "");
    /* and a new list makes a new judgement */
    at.now = TEST_NOW;
    assert_true(trial_accept(&at).cached);
    ADD(t, .issuer = w.root, .from = TEST_NOW - 60, .revoked = w.direct);
    struct trial again = *TRIAL(t, w.direct);
    trial_refuse(&again, TT_ALERT_CERTIFICATE_REVOKED, "revoked", "");
    tt_trust_free(t);
}

static void what_is_not_taken(void **state)
{
    (void)state;
    struct tt_trust *t = trust_of(w.root, NULL);
    add(t, TT_ERR_NOT_FOUND, &(struct crl_options){.issuer = w.stranger},
        "the CRL of \"CN=stranger\" is of a CA that is not trusted here");
    add(t, TT_ERR_VERIFY, &(struct crl_options){.issuer = w.root, .signer = w.stranger->pkey},
        "was not signed by the CA");
    add(t, TT_ERR_UNSUPPORTED, &(struct crl_options){.issuer = w.root, .delta = true}, "delta CRL");
    struct tt_error err = {0};
    assert_int_equal(tt_trust_add_crl(t, w.root->cert, &err), TT_ERR_DECODE);
    assert_int_equal(tt_trust_add_crl(t, (struct tt_bytes){NULL, 0}, NULL), TT_ERR_DECODE);
    struct tt_bytes der = crl_new(&(struct crl_options){.issuer = w.root});
    assert_int_equal(tt_trust_add_crl(t, (struct tt_bytes){der.data, der.len - 1}, NULL), TT_ERR_DECODE);
    der_free(der);
    trial_accept(TRIAL(t, w.direct)); /* none of them counts */
    tt_trust_free(t);
}

static size_t pem_of(char *ret, size_t cap, const struct crl_options *o)
{
    struct tt_bytes der = crl_new(o);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio(bio, "X509 CRL", "", der.data, (long)der.len) > 0, 1);
    char *text;
    long n = BIO_get_mem_data(bio, &text);
    assert_true(n > 0 && (size_t)n <= cap);
    memcpy(ret, text, (size_t)n);
    BIO_free(bio);
    der_free(der);
    return (size_t)n;
}

static void lists_in_pem(void **state)
{
    (void)state;
    char text[8192] = "some text before\n";
    size_t n = strlen(text);
    n += pem_of(text + n, sizeof text - n, &(struct crl_options){.issuer = w.root, .revoked = w.direct});
    n += pem_of(text + n, sizeof text - n, &(struct crl_options){.issuer = w.middle, .revoked = w.leaf});
    struct tt_trust *t = trust_of(w.root, w.middle);
    assert_int_equal(tt_trust_add_crl(t, (struct tt_bytes){(const uint8_t *)text, n}, NULL), TT_OK);
    trial_refuse(TRIAL(t, w.direct), TT_ALERT_CERTIFICATE_REVOKED, "revoked", "");
    trial_refuse(TRIAL(t, w.leaf, w.middle), TT_ALERT_CERTIFICATE_REVOKED, "revoked", "");
    struct tt_error err = {0};
    assert_int_equal(tt_trust_add_crl(t, (struct tt_bytes){(const uint8_t *)text, n - 60}, &err),
                     TT_ERR_DECODE);
    assert_non_null(strstr(err.text, "CRL number 2 is damaged"));
    assert_int_equal(tt_trust_add_crl(t, (struct tt_bytes){(const uint8_t *)text, 16}, NULL), TT_ERR_DECODE);
    tt_trust_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(revoked_and_not),   cmocka_unit_test(the_policy),
        cmocka_unit_test(out_of_date),       cmocka_unit_test(memory_ends_with_the_list),
        cmocka_unit_test(what_is_not_taken), cmocka_unit_test(lists_in_pem),
    };
    return cmocka_run_group_tests_name("crypto/crl", tests, set_up, tear_down);
}
