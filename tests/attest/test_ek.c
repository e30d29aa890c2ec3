/* tests/attest/test_ek.c: endorsement certificates as vendors make them: what is taken, and what is refused,
 * each with its reason. TCG EK Credential Profile for TPM 2.0, section 3.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "pki/ek_chain.h"
#include "world.h"

#define EKU                                                                                                  \
    {                                                                                                        \
        "extendedKeyUsage", "2.23.133.8.1"                                                                   \
    }
#define SAN                                                                                                  \
    {                                                                                                        \
        "subjectAltName", ek_san                                                                             \
    }

/* The manufacturer alone. */
static const char ek_san_short[] = "critical,DER:301ca41a30183116301406056781050201"
                                   "0c0b69643a3439343635383030";

/* struct row: a certificate, and what is said of it. */
struct row {
    const char *what, *reason;
    struct node_options o;
};

static const char *judged(struct world *w, const struct node_options *o, struct tt_attest_verdict *v)
{
    world_certify(w, *o);
    world_build(w);
    return tt_attest_reason_name(world_judge(w, v));
}

static void test_quirks(void **state)
{
    const struct row rows[] = {
        {"as the profile has it",
         "good",
         {.cn = "",
          .extensions = {EKU,
                         SAN,
                         {"keyUsage", "critical,keyEncipherment"},
                         {"basicConstraints", "critical,CA:FALSE"}}}},
        {"an elliptic curve's key usage",
         "good",
         {.cn = "", .extensions = {EKU, SAN, {"keyUsage", "critical,keyAgreement"}}}},
        {"no extended key usage", "good", {.cn = "", .extensions = {SAN, {"keyUsage", "keyEncipherment"}}}},
        {"neither an extended key usage nor a word about a TPM", "ek-usage", {.cn = "unknown"}},
        {"nor its model",
         "ek-usage",
         {.cn = "", .extensions = {{"subjectAltName", ek_san_short}, {"keyUsage", "keyEncipherment"}}}},
        {"a critical extended key usage",
         "good",
         {.cn = "", .extensions = {{"extendedKeyUsage", "critical,2.23.133.8.1"}, SAN}}},
        {"any extended key usage",
         "good",
         {.cn = "", .extensions = {{"extendedKeyUsage", "anyExtendedKeyUsage"}}}},
        {"serial number 0", "good", {.cn = "", .serial = "0", .extensions = {EKU, SAN}}},
        {"critical subjectDirectoryAttributes",
         "good",
         {.cn = "", .extensions = {EKU, SAN, {"2.5.29.9", "critical,DER:3000"}}}},
        {"a critical extension of the TCG",
         "good",
         {.cn = "", .extensions = {EKU, SAN, {"2.23.133.6.1", "critical,DER:0500"}}}},
        {"no key identifiers", "good", {.cn = "", .no_ski = true, .no_aki = true, .extensions = {EKU, SAN}}},
        {"valid for ever", "good", {.cn = "", .until = 253402300799, .extensions = {EKU, SAN}}},
        {"another critical extension",
         "ek-extension",
         {.cn = "", .extensions = {EKU, SAN, {"1.2.3.4", "critical,DER:0500"}}}},
        {"for TLS", "ek-usage", {.cn = "", .extensions = {{"extendedKeyUsage", "clientAuth"}, SAN}}},
        {"of an attestation key",
         "ek-usage",
         {.cn = "", .extensions = {{"extendedKeyUsage", "2.23.133.8.3"}, SAN}}},
        {"a CA's", "ek-usage", {.cn = "CA", .extensions = {EKU, {"basicConstraints", "critical,CA:TRUE"}}}},
        {"that signs",
         "ek-usage",
         {.cn = "", .extensions = {EKU, SAN, {"keyUsage", "critical,digitalSignature"}}}},
        {"that has ended", "ek-time", {.cn = "", .until = TEST_NOW - 1, .extensions = {EKU, SAN}}},
        {"of tomorrow", "ek-time", {.cn = "", .from = TEST_NOW + 86400, .extensions = {EKU, SAN}}},
    };
    struct world *w = world_new("P-256");
    (void)state;
    for (size_t i = 0; i < TT_COUNT(rows); i++) {
        const char *got = judged(w, &rows[i].o, NULL);
        if (strcmp(got, rows[i].reason) != 0)
            fail_msg("%s: %s, not %s", rows[i].what, got, rows[i].reason);
    }
    world_free(w);
}

static void test_untrusted(void **state)
{
    struct world *w = world_new("P-256");
    struct node *stranger = node_ca("Root of Vendors", NULL), *between = node_ca("On Die", w->root);
    struct node_options o = {.cn = "", .issuer = stranger, .extensions = {EKU, SAN}};
    (void)state;
    assert_string_equal(judged(w, &o, NULL), "ek-untrusted"); /* of the same name, by another key */
    o.issuer = between;
    assert_string_equal(judged(w, &o, NULL), "ek-untrusted"); /* what is between is missing */
    w->e.certs[w->e.certs_len++] = stranger->cert;
    w->e.certs[w->e.certs_len++] =
        (struct tt_bytes){(const uint8_t *)"\x30\x03\x02\x01\x01", 5}; /* passed over */
    w->e.certs[w->e.certs_len++] = between->cert;
    assert_string_equal(tt_attest_reason_name(world_judge(w, NULL)), "good"); /* in any order */
    w->e.certs[0] = between->cert; /* a CA of the vendor's is no endorsement key */
    assert_string_equal(tt_attest_reason_name(world_judge(w, NULL)), "ek-usage");
    node_free(stranger);
    node_free(between);
    world_free(w);
}

static void test_what_it_says(void **state)
{
    struct world *w = world_new("RSA-2048");
    struct tt_attest_verdict v;
    (void)state;
    assert_string_equal(
        judged(w, &(struct node_options){.cn = "", .serial = "0A0B", .extensions = {EKU, SAN}}, &v), "good");
    assert_string_equal(v.manufacturer, "IFX");
    assert_string_equal(v.ek_serial, "0a0b");
    assert_string_equal(judged(w, &(struct node_options){.cn = "x", .extensions = {EKU}}, &v), "good");
    assert_string_equal(v.manufacturer, "");
    world_free(w);
}

/* Any bit of the certificate: another certificate, which nobody issued. */
static void test_any_bit(void **state)
{
    struct world *w = world_new("P-256");
    uint8_t copy[2048];
    size_t len = w->ek->cert.len;
    (void)state;
    assert_true(len <= sizeof copy);
    assert_int_equal(world_judge(w, NULL), TT_ATTEST_GOOD); /* which is remembered: it is no other's */
    for (size_t bit = 0; bit < 8 * len; bit++) {
        memcpy(copy, w->ek->cert.data, len);
        copy[bit / 8] ^= (uint8_t)(1U << bit % 8);
        w->e.certs[0] = (struct tt_bytes){copy, len};
        if (world_judge(w, NULL) == TT_ATTEST_GOOD)
            fail_msg("bit %zu of the certificate can be turned", bit);
    }
    world_free(w);
}

/* What was found good is remembered as long as it is, with these certificates, by these roots. */
static void test_again(void **state)
{
    struct world *w = world_new("P-256");
    struct node *stranger = node_ca("Another Root", NULL);
    struct tt_attest_verdict first, again;
    const struct node_options o = {
        .cn = "", .from = TEST_NOW - 10, .until = TEST_NOW + 100, .extensions = {EKU, SAN}};
    (void)state;
    assert_string_equal(judged(w, &o, &first), "good");
    w->want.key = NULL; /* nonces have a time of their own */
    for (int64_t now = TEST_NOW - 11; now <= TEST_NOW + 101; now++) {
        bool is_in_time = now >= TEST_NOW - 10 && now < TEST_NOW + 100;
        if (now == TEST_NOW + 100) /* libcrypto counts notAfter's own second from 4.0 on */
            continue;
        w->want.now = now;
        assert_int_equal(world_judge(w, &again), is_in_time ? TT_ATTEST_GOOD : TT_ATTEST_EK_TIME);
        assert_string_equal(first.manufacturer, again.manufacturer);
        assert_string_equal(first.ek_serial, again.ek_serial);
    }
    w->want.now = TEST_NOW;
    w->e.certs[w->e.certs_len++] = stranger->cert;
    assert_int_equal(world_judge(w, &again), TT_ATTEST_GOOD); /* verified, since more came with it */
    assert_string_equal(first.ek_sha256, again.ek_sha256);
    w->ek_is.attributes |= 1U << 18; /* the rest is judged each time */
    world_build(w);
    assert_int_equal(world_judge(w, NULL), TT_ATTEST_EK_ATTRIBUTES);
    node_free(stranger);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quirks),  cmocka_unit_test(test_untrusted), cmocka_unit_test(test_what_it_says),
        cmocka_unit_test(test_any_bit), cmocka_unit_test(test_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
