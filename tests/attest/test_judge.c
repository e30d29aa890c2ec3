/* tests/attest/test_judge.c: evidence that is good, and every field of it changed: each change is refused
 * with a reason of its own. docs/attestation.md has the same table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "world.h"

#define REASON(w) tt_attest_reason_name(world_judge(w, NULL))

static void test_good(void **state)
{
    static const char *const keys[] = {"P-256", "P-384", "RSA-2048"};
    (void)state;
    for (size_t i = 0; i < TT_COUNT(keys); i++) {
        struct world *w = world_new(keys[i]);
        struct tt_attest_verdict v;
        assert_string_equal(tt_attest_reason_name(world_judge(w, &v)), "good");
        assert_true(v.proved && v.quoted && v.counters_are_true && v.safe);
        assert_string_equal(v.manufacturer, "IFX");
        assert_string_equal(v.model, "SLB9670");
        assert_string_equal(v.version, "id:00070055");
        assert_string_equal(v.ek_issuer, "CN=Root of Vendors");
        assert_int_equal(strlen(v.ek_sha256), 64);
        assert_true(v.firmware == 0x0007005500000000 && v.clock_ms == 5000 && v.resets == 3);
        assert_int_equal(v.key_name_len, 34);
        world_free(w);
    }
}

/* ---- what a device could be made to say, signed by its attestation key ---- */

/* struct change: before everything is made and signed anew. */
struct change {
    const char *reason;
    void (*fn)(struct world *w);
};
#define CHANGE(name, statement)                                                                              \
    static void name(struct world *w)                                                                        \
    {                                                                                                        \
        statement;                                                                                           \
    }
CHANGE(certify_magic, w->certify_is.magic ^= 1)
CHANGE(certify_magic_external, w->certify_is.magic = 0)
CHANGE(certify_type, w->certify_is.type = 0x8014)
CHANGE(certify_as_quote, w->certify_is.type = ATTEST_TYPE_QUOTE)
CHANGE(certify_nonce, w->certify_is.other_nonce = true)
CHANGE(certify_use, w->certify_is.other_use = true)
CHANGE(certify_name, w->certify_is.other_name = true)
CHANGE(certify_safe, w->certify_is.safe = 2)
CHANGE(certify_clock, w->certify_is.clock++)
CHANGE(certify_resets, w->certify_is.resets++)
CHANGE(quote_magic, w->quote_is.magic ^= 1)
CHANGE(quote_type, w->quote_is.type = 0x8019)
CHANGE(quote_nonce, w->quote_is.other_nonce = true)
CHANGE(quote_use, w->quote_is.other_use = true)
CHANGE(quote_pcrs_more, w->quote_is.pcrs |= 2)
CHANGE(quote_pcrs_less, w->quote_is.pcrs = 1)
CHANGE(quote_bank_not_allocated, w->quote_is.pcrs = 0)
CHANGE(quote_digest, w->quote_is.other_digest = true)
CHANGE(quote_left_out, w->with_quote = false)
CHANGE(key_not_fixed, w->key_is.attributes &= ~(uint32_t)ATTR_FIXED_TPM)
CHANGE(key_parent, w->key_is.attributes &= ~(uint32_t)ATTR_FIXED_PARENT)
CHANGE(key_origin, w->key_is.attributes &= ~(uint32_t)ATTR_SENSITIVE_DATA_ORIGIN)
CHANGE(key_no_sign, w->key_is.attributes &= ~(uint32_t)ATTR_SIGN)
CHANGE(key_hash, w->key_is.name_alg = ALG_SHA1)
CHANGE(ak_not_fixed, w->ak_is.attributes &= ~(uint32_t)ATTR_FIXED_TPM)
CHANGE(ak_parent, w->ak_is.attributes &= ~(uint32_t)ATTR_FIXED_PARENT)
CHANGE(ak_origin, w->ak_is.attributes &= ~(uint32_t)ATTR_SENSITIVE_DATA_ORIGIN)
CHANGE(ak_unrestricted, w->ak_is.attributes &= ~(uint32_t)ATTR_RESTRICTED)
CHANGE(ak_no_sign, w->ak_is.attributes &= ~(uint32_t)ATTR_SIGN)
CHANGE(ak_decrypts, w->ak_is.attributes |= ATTR_DECRYPT)
CHANGE(ak_scheme, w->ak_is.scheme = ALG_NULL)
CHANGE(ak_scheme_other, w->ak_is.scheme = 0x001c)
CHANGE(ak_hash, w->ak_is.scheme_hash = ALG_SHA1)
CHANGE(ek_unrestricted, w->ek_is.attributes &= ~(uint32_t)ATTR_RESTRICTED)
CHANGE(ek_signs, w->ek_is.attributes |= ATTR_SIGN)
CHANGE(ek_not_fixed, w->ek_is.attributes &= ~(uint32_t)ATTR_FIXED_TPM)
CHANGE(ek_hash, w->ek_is.name_alg = ALG_SHA1)
CHANGE(ek_symmetric, w->ek_is.sym_bits = 0)

static const struct change changes[] = {
    {"certify-magic", certify_magic},
    {"certify-magic", certify_magic_external},
    {"certify-type", certify_type},
    {"certify-malformed", certify_as_quote},
    {"certify-nonce", certify_nonce},
    {"certify-nonce", certify_use},
    {"certify-name", certify_name},
    {"certify-malformed", certify_safe},
    {"good", certify_clock}, /* nobody can say what it must be */
    {"good", certify_resets},
    {"quote-magic", quote_magic},
    {"quote-type", quote_type},
    {"quote-nonce", quote_nonce},
    {"quote-nonce", quote_use},
    {"quote-selection", quote_pcrs_more},
    {"quote-selection", quote_pcrs_less},
    {"quote-selection", quote_bank_not_allocated},
    {"quote-values", quote_digest},
    {"quote-missing", quote_left_out},
    {"key-attributes", key_not_fixed},
    {"key-attributes", key_parent},
    {"key-attributes", key_origin},
    {"key-attributes", key_no_sign},
    {"key-malformed", key_hash},
    {"ak-attributes", ak_not_fixed},
    {"ak-attributes", ak_parent},
    {"ak-attributes", ak_origin},
    {"ak-attributes", ak_unrestricted},
    {"ak-attributes", ak_no_sign},
    {"ak-attributes", ak_decrypts},
    {"ak-attributes", ak_scheme},
    {"certify-signature", ak_scheme_other},
    {"ak-attributes", ak_hash},
    {"ek-attributes", ek_unrestricted},
    {"ek-attributes", ek_signs},
    {"ek-attributes", ek_not_fixed},
    {"ek-attributes", ek_hash},
    {"ek-attributes", ek_symmetric},
};

static void test_said_otherwise(void **state)
{
    (void)state;
    for (size_t i = 0; i < TT_COUNT(changes); i++) {
        struct world *w = world_new("P-256");
        changes[i].fn(w);
        world_build(w);
        const char *got = REASON(w);
        if (strcmp(got, changes[i].reason) != 0)
            fail_msg("change %zu: %s, not %s", i, got, changes[i].reason);
        world_free(w);
    }
}

/* ---- what somebody changes on the way ---- */

/* struct field: of TPMS_ATTEST, where it begins, and what is said when a bit of it is turned. */
struct field {
    size_t at;
    const char *reason;
};
#define SIGNER 34 /* bytes of a name with SHA-256 */

static void turn(struct world *w, const struct buf *of, const struct field *f)
{
    uint8_t *at = buf_front(of) + f->at;
    *at ^= 1;
    const char *got = REASON(w);
    if (strcmp(got, f->reason) != 0)
        fail_msg("byte %zu: %s, not %s", f->at, got, f->reason);
    *at ^= 1;
}

static void test_fields_of_certify(void **state)
{
    const size_t extra = 6 + 2 + SIGNER, clock = extra + 2 + 32, name = clock + 8 + 4 + 4 + 1 + 8;
    const struct field fields[] = {
        {0, "certify-magic"},
        {5, "certify-type"},
        {6 + 2 + 5, "certify-signature"}, /* the signer: of which hierarchy is not judged here */
        {extra + 2, "certify-nonce"},
        {clock + 7, "certify-signature"},
        {clock + 11, "certify-signature"}, /* resetCount */
        {clock + 15, "certify-signature"}, /* restartCount */
        {clock + 16, "certify-signature"}, /* safe */
        {clock + 24, "certify-signature"}, /* firmwareVersion */
        {name + 2 + 9, "certify-name"},
        {name + 2 + SIGNER + 2 + 9, "certify-signature"}, /* the qualified name */
        {name + 1, "certify-malformed"}};
    struct world *w = world_new("P-256");
    (void)state;
    assert_int_equal(buf_size(&w->certify), name + 2 * (2 + SIGNER));
    for (size_t i = 0; i < TT_COUNT(fields); i++)
        turn(w, &w->certify, &fields[i]);
    assert_string_equal(REASON(w), "good");
    world_free(w);
}

static void test_fields_of_quote(void **state)
{
    const size_t extra = 6 + 2 + SIGNER, clock = extra + 2 + 32, list = clock + 8 + 4 + 4 + 1 + 8;
    const struct field fields[] = {{1, "quote-magic"},
                                   {4, "quote-type"},
                                   {extra + 33, "quote-nonce"},
                                   {clock, "quote-signature"},
                                   {list + 3, "quote-malformed"}, /* how many banks */
                                   {list + 5, "quote-selection"}, /* which bank */
                                   {list + 7, "quote-selection"}, /* which PCRs */
                                   {list + 10 + 1, "quote-malformed"},
                                   {list + 10 + 2, "quote-values"}};
    struct world *w = world_new("P-256");
    (void)state;
    for (size_t i = 0; i < TT_COUNT(fields); i++)
        turn(w, &w->quote, &fields[i]);
    turn(w, &w->values, &(struct field){40, "quote-values"});
    assert_string_equal(REASON(w), "good");
    world_free(w);
}

static void test_fields_of_the_rest(void **state)
{
    struct world *w = world_new("P-256");
    (void)state;
    const struct {
        struct buf *of;
        struct field field;
    } all[] = {
        {&w->certify_signature, {1, "certify-signature"}}, /* its algorithm */
        {&w->certify_signature, {3, "certify-signature"}}, /* its hash */
        {&w->certify_signature, {20, "certify-signature"}},
        {&w->quote_signature, {20, "quote-signature"}},
        {&w->key_public, {0, "key-malformed"}},
        {&w->key_public, {3, "key-malformed"}}, /* the hash of its name */
        {&w->key_public, {5, "certify-name"}},  /* an attribute that nobody demands */
        {&w->key_public, {7, "certify-name"}},
        {&w->key_public, {30, "key-other"}},
        {&w->ak_public, {1, "ak-malformed"}},
        {&w->ak_public, {5, "ak-attributes"}}, /* restricted */
        {&w->ak_public, {7, "proof-token"}},   /* another name than the one the challenge was for */
        {&w->ek_public, {1, "ek-key"}},
        {&w->ek_public, {12, "good"}}, /* its policy: no name of it is asked about */
        {&w->ek_public, {60, "ek-key"}},
        {&w->token, {3, "proof-token"}},
        {&w->token, {60, "proof-token"}},
    };
    for (size_t i = 0; i < TT_COUNT(all); i++) {
        struct field f = all[i].field;
        turn(w, all[i].of, &f);
    }
    w->secret[9] ^= 1;
    assert_string_equal(REASON(w), "proof-secret");
    w->secret[9] ^= 1;
    w->nonce[20] ^= 1;
    assert_string_equal(REASON(w), "nonce-wrong");
    w->nonce[20] ^= 1;
    assert_string_equal(REASON(w), "good");
    world_free(w);
}

/* Any bit of the evidence as it travels: it is never good, but for attributes and policy that the endorsement
 * key is said to have: no name is made of them, and the certificate says already whose key it is. */
static void test_any_bit(void **state)
{
    struct world *w = world_new("P-256");
    struct tt_error err = {0};
    uint8_t *der = NULL;
    size_t len = 0;
    (void)state;
    assert_int_equal(tt_evidence_write(&der, &len, &w->e, &err), TT_OK);
    const uint8_t *ek = memmem(der, len, buf_front(&w->ek_public), buf_size(&w->ek_public));
    assert_non_null(ek);
    for (size_t bit = 0; bit < 8 * len; bit += 3) {
        struct tt_attest_verdict v = {.reason = TT_ATTEST_REASONS};
        der[bit / 8] ^= (uint8_t)(1U << bit % 8);
        error_clear(&err);
        tt_rc rc = tt_attest_judge(&v, w->policy, (struct tt_bytes){der, len}, &w->want, &err);
        der[bit / 8] ^= (uint8_t)(1U << bit % 8);
        bool said_of_ek = der + bit / 8 >= ek + 4 && der + bit / 8 < ek + 4 + 4 + 2 + 32;
        if (rc != TT_ERR_VERIFY && !(rc == TT_OK && said_of_ek))
            fail_msg("bit %zu: %s: %s", bit, tt_rc_name(rc), err.text);
    }
    mem_free(der);
    world_free(w);
}

/* ---- the rest of what is asked ---- */

static void test_left_out(void **state)
{
    struct world *w = world_new("RSA-2048");
    (void)state;
    w->e.certs_len = 0;
    assert_string_equal(REASON(w), "ek-missing");
    world_build(w);
    w->e.certify = (struct tt_bytes){NULL, 0};
    assert_string_equal(REASON(w), "certify-missing");
    world_build(w);
    w->e.token = (struct tt_bytes){NULL, 0};
    assert_string_equal(REASON(w), "proof-missing");
    world_build(w);
    w->e.ak_public = (struct tt_bytes){NULL, 0};
    assert_string_equal(REASON(w), "malformed");
    world_build(w);
    w->e.nonce = (struct tt_bytes){w->nonce, 31};
    assert_string_equal(REASON(w), "malformed");
    world_free(w);
}

static void test_fresh(void **state)
{
    struct world *w = world_new("P-256");
    uint8_t other[32] = {1};
    (void)state;
    w->want.now = TEST_NOW + SEALED_LIFE;
    assert_string_equal(REASON(w), "good");
    w->want.now = TEST_NOW + SEALED_LIFE + 1;
    assert_string_equal(REASON(w), "nonce-old");
    w->want.nonce = (struct tt_bytes){w->nonce, 32}; /* the caller knows it: the token is older still */
    assert_string_equal(REASON(w), "proof-old");
    w->want.now = TEST_NOW - 61; /* from the future */
    assert_string_equal(REASON(w), "proof-old");
    w->want.now = TEST_NOW;
    w->want.nonce = (struct tt_bytes){other, 32};
    assert_string_equal(REASON(w), "nonce-wrong");
    w->want.nonce = (struct tt_bytes){NULL, 0};
    w->want.key = other;
    assert_string_equal(REASON(w), "nonce-wrong");
    w->want.key = NULL; /* nothing is known: neither is demanded, and the verdict says so */
    struct tt_attest_verdict v;
    assert_int_equal(world_judge(w, &v), TT_ATTEST_GOOD);
    assert_false(v.proved);
    w->want.use = TT_ATTEST_TLS;
    assert_string_equal(REASON(w), "certify-nonce");
    world_free(w);
}

/* The secret of one pair of keys is nothing for another. */
static void test_proof_of_others(void **state)
{
    struct world *w = world_new("P-256"), *other = world_new("P-256");
    (void)state;
    memcpy(other->token_key, w->token_key, sizeof w->token_key);
    w->e.token = buf_bytes(&other->token);
    assert_string_equal(REASON(w), "proof-token");
    world_build(w);
    w->e.secret = (struct tt_bytes){w->secret, 31};
    assert_string_equal(REASON(w), "proof-secret");
    world_free(w);
    world_free(other);
}

static void test_another_key(void **state)
{
    struct world *w = world_new("P-256"), *other = world_new("P-256");
    (void)state;
    w->want.spki = buf_bytes(&other->key_spki);
    assert_string_equal(REASON(w), "key-other");
    w->want.spki = (struct tt_bytes){NULL, 0};
    assert_string_equal(REASON(w), "good");
    w->e.ek_public = buf_bytes(&other->ek_public);
    assert_string_equal(REASON(w), "ek-key");
    world_build(w);
    w->e.ak_public = buf_bytes(&other->ak_public);
    assert_string_equal(REASON(w), "certify-signature");
    world_free(w);
    world_free(other);
}

static void test_policy(void **state)
{
    static const struct {
        const char *manufacturer, *firmware, *digest, *reason, *ek;
    } rows[] = {
        {NULL, NULL, NULL, "good", "p256"},
        {NULL, NULL, NULL, "ek-kind", "p384"},
        {NULL, NULL, NULL, "ek-kind", "rsa2048"},
        {"IFX", NULL, NULL, "good"},
        {"STM", NULL, NULL, "manufacturer"},
        {"ifx", NULL, NULL, "manufacturer"},
        {NULL, "IFX:7.85", NULL, "good"},
        {NULL, "IFX:7.86", NULL, "firmware"},
        {NULL, "IFX:7.9", NULL, "good"}, /* a number, not a text */
        {NULL, "STM:1.0", NULL, "firmware"},
        {NULL, "0007005500000000", NULL, "good"},
        {NULL, "0007005500000001", NULL, "firmware"},
        {NULL, NULL, "0000000000000000000000000000000000000000000000000000000000000000", "pcrs"},
    };
    struct world *w = world_new("P-256");
    (void)state;
    for (size_t i = 0; i < TT_COUNT(rows); i++) {
        world_policy(w, (struct tt_attest_policy_params){.eks = &rows[i].ek,
                                                         .eks_len = rows[i].ek != NULL,
                                                         .manufacturers = &rows[i].manufacturer,
                                                         .manufacturers_len = rows[i].manufacturer != NULL,
                                                         .firmware = &rows[i].firmware,
                                                         .firmware_len = rows[i].firmware != NULL,
                                                         .pcrs = "sha256:7,0",
                                                         .pcr_digests = &rows[i].digest,
                                                         .pcr_digests_len = rows[i].digest != NULL});
        const char *got = REASON(w);
        if (strcmp(got, rows[i].reason) != 0)
            fail_msg("row %zu: %s, not %s", i, got, rows[i].reason);
    }
    /* An attestation key of the owner's hierarchy says nothing true about the firmware; about keys it does.
     */
    w->certify_is.other_signer = true;
    world_build(w);
    const char *least = "IFX:7.85";
    world_policy(w, (struct tt_attest_policy_params){.firmware = &least, .firmware_len = 1});
    assert_string_equal(REASON(w), "certify-signer");
    world_policy(w, (struct tt_attest_policy_params){.pcrs = NULL});
    struct tt_attest_verdict v;
    assert_int_equal(world_judge(w, &v), TT_ATTEST_GOOD);
    assert_false(v.counters_are_true);
    world_free(w);
}

static void test_policy_refused(void **state)
{
    static const char *const firmware[] = {"IFX", "IFX:7", ":7.1", "IFX:7.85x", "00070055", "IFX:70000.1"};
    const char *digest = "12";
    struct tt_attest_policy *p = NULL;
    struct tt_error err = {0};
    (void)state;
    for (size_t i = 0; i < TT_COUNT(firmware); i++)
        assert_int_equal(
            tt_attest_policy_new(
                &p, &(struct tt_attest_policy_params){.firmware = &firmware[i], .firmware_len = 1}, &err),
            TT_ERR_USAGE);
    assert_int_equal(tt_attest_policy_new(&p, &(struct tt_attest_policy_params){.pcrs = "sha256:24"}, &err),
                     TT_ERR_USAGE);
    assert_int_equal(
        tt_attest_policy_new(
            &p, &(struct tt_attest_policy_params){.pcr_digests = &digest, .pcr_digests_len = 1}, &err),
        TT_ERR_USAGE);
    assert_int_equal(tt_attest_policy_new(&p,
                                          &(struct tt_attest_policy_params){.pcrs = "sha256:1",
                                                                            .pcr_digests = &digest,
                                                                            .pcr_digests_len = 1},
                                          &err),
                     TT_ERR_USAGE);
    const char *kind = "rsa1024";
    assert_int_equal(
        tt_attest_policy_new(&p, &(struct tt_attest_policy_params){.eks = &kind, .eks_len = 1}, &err),
        TT_ERR_USAGE);
    assert_null(p);
}

/* An attestation key that is RSA, as other programs make them. */
static void test_rsa_attestation_key(void **state)
{
    struct world *w = world_new("RSA-2048");
    (void)state;
    EVP_PKEY_free(w->ak);
    w->ak = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    w->ak_is.scheme = ALG_RSASSA;
    world_build(w);
    assert_string_equal(REASON(w), "good");
    w->ak_is.scheme = ALG_RSAPSS;
    world_build(w);
    assert_string_equal(REASON(w), "certify-signature"); /* the key's own scheme, and no other */
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_said_otherwise),
        cmocka_unit_test(test_fields_of_certify),
        cmocka_unit_test(test_fields_of_quote),
        cmocka_unit_test(test_fields_of_the_rest),
        cmocka_unit_test(test_any_bit),
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_fresh),
        cmocka_unit_test(test_proof_of_others),
        cmocka_unit_test(test_another_key),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_policy_refused),
        cmocka_unit_test(test_rsa_attestation_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
