/* tests/est/test_parts.c: what the EST server is made of: the header of HTTP Basic, the limit of requests,
 * the challengePassword of a request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "est/basic.h"
#include "est/body.h"
#include "est/challenge.h"
#include "est/limit.h"
#include "wire/base64.h"
#include "wire/der.h"

/* ---- Basic ---- */

static const struct {
    const char *header, *user, *password; /* user NULL: refused */
} basics[] = {
    {"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"}, /* RFC 7617 section 2 */
    {"basic   QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"},
    {"Basic OmE=", "", "a"},
    {"Basic YTpiOmM=", "a", "b:c"},
    {"Basic dGVzdDoxMjPCow==", "test", "123\xc2\xa3"}, /* section 2.1 */
    {"Basic YTo=", NULL, NULL},                        /* no password */
    {"Basic YWI=", NULL, NULL},                        /* no colon */
    {"Basic ", NULL, NULL},
    {"Basic", NULL, NULL},
    {"", NULL, NULL},
    {"Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", NULL, NULL},
    {"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ", NULL, NULL}, /* no padding */
    {"Basic !!!!", NULL, NULL},
    {"Basic YTpiAGM=", NULL, NULL}, /* a NUL */
    {"Basic YTpiCmM=", NULL, NULL}, /* a line */
};

static void test_basic(void **state)
{
    (void)state;
    for (size_t i = 0; i < TT_COUNT(basics); i++) {
        struct est_basic b = {{0}, {0}};
        bool ok = est_basic_read(&b, basics[i].header);
        if (ok != (basics[i].user != NULL))
            fail_msg("%s", basics[i].header);
        assert_string_equal(b.user, ok ? basics[i].user : "");
        assert_string_equal(b.password, ok ? basics[i].password : "");
    }
    struct est_basic none;
    assert_false(est_basic_read(&none, NULL));
}

static void test_basic_lengths(void **state)
{
    (void)state;
    for (size_t n = 1; n < 400; n++) {
        TT_AUTO(buf_free) struct buf header = {0};
        char text[600];
        struct est_basic b = {{0}, {0}};
        memset(text, 'p', n);
        text[0] = ':';
        assert_int_equal(buf_append(&header, "Basic ", 6), TT_OK);
        assert_int_equal(base64_put(&header, (struct tt_bytes){(const uint8_t *)text, n}), TT_OK);
        assert_int_equal(buf_append(&header, "", 1), TT_OK);
        assert_int_equal(est_basic_read(&b, (const char *)buf_front(&header)),
                         n > 1 && n <= EST_PASSWORD_MAX + 1);
    }
}

/* ---- the limit ---- */

static unsigned taken(struct est_limit *l, const char *who, int64_t now, unsigned tries)
{
    unsigned n = 0;
    for (unsigned i = 0; i < tries; i++)
        n += est_limit_take(l, (struct tt_bytes){(const uint8_t *)who, strlen(who)}, now);
    return n;
}

static void test_limit(void **state)
{
    struct tt_error err = {0};
    struct est_limit *l = NULL;
    (void)state;
    assert_int_equal(est_limit_new(&l, 6, &err), TT_OK);
    assert_int_equal(taken(l, "a", 1000, 20), 6);
    assert_int_equal(taken(l, "b", 1000, 20), 6);
    assert_int_equal(taken(l, "a", 1009, 20), 0);
    assert_int_equal(taken(l, "a", 1010, 20), 1); /* each ten seconds one more */
    assert_int_equal(taken(l, "a", 1030, 20), 2);
    assert_int_equal(taken(l, "a", 5000, 20), 6);
    assert_int_equal(taken(l, "a", 4000, 20), 0); /* a clock that goes back gives nothing */
    for (int i = 0; i < 100000; i++) {            /* whoever comes with many names has each once */
        char name[16];
        (void)snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(taken(l, name, 6000, 1), 1);
    }
    est_limit_set(l, 0);
    assert_int_equal(taken(l, "a", 6000, 500), 500);
    est_limit_set(l, 1000000);
    assert_int_equal(taken(l, "z", 6000, 100), 100);
    est_limit_free(l);
}

/* ---- challengePassword ---- */

static const uint8_t binding[32] = {1, 2, 3, 4, 5, 6, 7, 8};

/* A request that has nothing but its attributes. */
static void put_request(struct buf *to, const char *const *values, size_t n, unsigned tag)
{
    struct writer w = writer_to(to);
    struct der_mark request = der_open(&w, DER_SEQUENCE), info = der_open(&w, DER_SEQUENCE);
    der_put_u32(&w, 0);
    der_put(&w, DER_SEQUENCE, (struct tt_bytes){NULL, 0});
    der_put(&w, DER_SEQUENCE, (struct tt_bytes){NULL, 0});
    struct der_mark attributes = der_open(&w, DER_EXPLICIT_0);
    for (size_t i = 0; i < n; i++) {
        struct der_mark a = der_open(&w, DER_SEQUENCE);
        der_put(&w, DER_OID, EST_OID_CHALLENGE_PASSWORD);
        struct der_mark set = der_open(&w, 0x31);
        der_put(&w, tag, (struct tt_bytes){(const uint8_t *)values[i], strlen(values[i])});
        der_close(&w, set);
        der_close(&w, a);
    }
    der_close(&w, attributes);
    der_close(&w, info);
    der_put(&w, DER_SEQUENCE, (struct tt_bytes){NULL, 0});
    der_put(&w, DER_BIT_STRING, (struct tt_bytes){(const uint8_t *)"", 1});
    der_close(&w, request);
    assert_int_equal(wr_status(&w), TT_OK);
}

static enum est_challenge find(struct tt_bytes *ret, struct buf *csr, const char *const *values, size_t n,
                               unsigned tag)
{
    buf_free(csr);
    put_request(csr, values, n, tag);
    return est_challenge_find(ret, buf_bytes(csr));
}

static void test_challenge(void **state)
{
    TT_AUTO(buf_free) struct buf csr = {0};
    TT_AUTO(buf_free) struct buf text = {0};
    const char *two[2] = {"one", "two"};
    struct tt_bytes found = {NULL, 0};
    uint8_t other[32] = {0};
    (void)state;
    assert_int_equal(base64_put(&text, (struct tt_bytes){binding, 32}), TT_OK);
    assert_int_equal(buf_append(&text, "", 1), TT_OK);
    const char *right[1] = {(const char *)buf_front(&text)};
    for (size_t i = 0; i < 4; i++) {
        static const unsigned tags[] = {DER_UTF8_STRING, 0x13, 0x14, 0x16};
        assert_int_equal(find(&found, &csr, right, 1, tags[i]), EST_CHALLENGE_THERE);
        assert_true(est_challenge_is(found, binding));
        assert_false(est_challenge_is(found, other));
    }
    assert_int_equal(find(&found, &csr, NULL, 0, 0x13), EST_CHALLENGE_NONE);
    assert_int_equal(find(&found, &csr, two, 2, 0x13), EST_CHALLENGE_DAMAGED);
    assert_int_equal(find(&found, &csr, two, 1, DER_OCTET_STRING), EST_CHALLENGE_DAMAGED);
    assert_int_equal(find(&found, &csr, two, 1, 0x13), EST_CHALLENGE_THERE);
    assert_false(est_challenge_is(found, binding));
    /* Cut off anywhere: found or not, never read beyond. */
    (void)find(&found, &csr, right, 1, 0x13);
    for (size_t n = 0; n < buf_size(&csr); n++) {
        uint8_t *cut = mem_dup(buf_front(&csr), n);
        (void)est_challenge_find(&found, (struct tt_bytes){cut, n});
        mem_free(cut);
    }
}

/* Somebody on the way cannot make "none" of one that is there by writing its outside in another way, which
 * other readers take: with a longer length (BER), or as PEM. */
static void test_challenge_hidden(void **state)
{
    TT_AUTO(buf_free) struct buf csr = {0};
    TT_AUTO(buf_free) struct buf other = {0};
    const char *one[1] = {"one"};
    struct tt_bytes found = {NULL, 0};
    (void)state;
    assert_int_equal(find(&found, &csr, one, 1, 0x13), EST_CHALLENGE_THERE);
    const uint8_t *der = buf_front(&csr);
    assert_true(der[1] < 0x80);
    const uint8_t longer[] = {0x30, 0x82, 0x00, der[1]}, endless[] = {0x30, 0x80};
    assert_int_equal(buf_append(&other, longer, sizeof longer), TT_OK);
    assert_int_equal(buf_append(&other, der + 2, buf_size(&csr) - 2), TT_OK);
    assert_int_equal(est_challenge_find(&found, buf_bytes(&other)), EST_CHALLENGE_UNREADABLE);
    buf_free(&other);
    assert_int_equal(buf_append(&other, endless, sizeof endless), TT_OK);
    assert_int_equal(buf_append(&other, der + 2, buf_size(&csr) - 2), TT_OK);
    assert_int_equal(buf_append(&other, "\0\0", 2), TT_OK);
    assert_int_equal(est_challenge_find(&found, buf_bytes(&other)), EST_CHALLENGE_UNREADABLE);
    static const char pem[] = "-----BEGIN CERTIFICATE REQUEST-----";
    assert_int_equal(est_challenge_find(&found, (struct tt_bytes){(const uint8_t *)pem, sizeof pem - 1}),
                     EST_CHALLENGE_UNREADABLE);
    assert_int_equal(est_challenge_find(&found, (struct tt_bytes){NULL, 0}), EST_CHALLENGE_UNREADABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_basic),
        cmocka_unit_test(test_basic_lengths),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_challenge),
        cmocka_unit_test(test_challenge_hidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
