/* tests/crypto/test_hpke.c: HPKE against the vectors of RFC 9180 appendix A, its keys, and what it refuses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "crypto/hpke.h"
#include "vectors/rfc9180.h"

static struct crypto_lib *lib;
static const struct kx_random libcrypto_random = {crypto_random, NULL};

struct bytes {
    uint8_t data[256];
    size_t len;
};

static struct bytes unhex(const char *hex)
{
    struct bytes b = {.len = strlen(hex) / 2};
    assert_true(b.len <= sizeof b.data);
    for (size_t i = 0; i < b.len; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'}, *end = NULL;
        b.data[i] = (uint8_t)strtoul(digits, &end, 16);
        assert_ptr_equal(end, digits + 2);
    }
    return b;
}

static struct tt_bytes view(const struct bytes *b)
{
    return (struct tt_bytes){b->data, b->len};
}

/* The ephemeral key of the vector instead of a random one. */
static bool ephemeral(void *arg, uint8_t *buf, size_t n)
{
    const struct bytes *b = arg;
    assert_int_equal(n, b->len);
    memcpy(buf, b->data, n);
    return true;
}

static void receiver_of(struct hpke *ret, struct hpke_suite suite, const struct hpke_keypair *own,
                        struct tt_bytes enc, struct tt_bytes info)
{
    uint8_t dh[HPKE_SECRET];
    assert_int_equal(hpke_enc_check(lib, suite.kem, enc), TT_OK);
    assert_int_equal(hpke_dh(lib, own, enc, dh), TT_OK);
    const struct hpke_decap d = {{dh, sizeof dh}, enc, {own->public_key, own->public_len}};
    assert_int_equal(hpke_setup_receiver(ret, lib, suite, &d, info), TT_OK);
}

static void check_vector(const struct rfc9180_vector *v)
{
    const struct hpke_suite suite = {(uint16_t)v->kem, HPKE_HKDF_SHA256, (uint16_t)v->aead};
    struct bytes info = unhex(v->info), sk_em = unhex(v->skEm), sk_rm = unhex(v->skRm),
                 pk_rm = unhex(v->pkRm), enc = unhex(v->enc);
    struct hpke sender, receiver;
    struct hpke_encapsulated made;
    struct hpke_keypair own;
    assert_int_equal(hpke_setup_sender(&sender, &made, lib, suite, view(&pk_rm), view(&info),
                                       (struct kx_random){ephemeral, &sk_em}),
                     TT_OK);
    assert_int_equal(made.len, enc.len);
    assert_memory_equal(made.data, enc.data, enc.len);
    assert_int_equal(hpke_keypair_of_secret(&own, lib, suite.kem, view(&sk_rm)), TT_OK);
    assert_memory_equal(own.public_key, pk_rm.data, pk_rm.len);
    receiver_of(&receiver, suite, &own, view(&enc), view(&info));
    for (size_t i = 0; i < sizeof v->encryptions / sizeof *v->encryptions; i++) {
        struct bytes pt = unhex(v->encryptions[i].pt), aad = unhex(v->encryptions[i].aad),
                     ct = unhex(v->encryptions[i].ct);
        uint8_t out[256];
        sender.seq = receiver.seq = v->encryptions[i].seq;
        assert_int_equal(hpke_seal(&sender, view(&aad), view(&pt), out), TT_OK);
        assert_int_equal(ct.len, pt.len + HPKE_TAG_SIZE);
        assert_memory_equal(out, ct.data, ct.len);
        assert_int_equal(hpke_open(&receiver, view(&aad), view(&ct), out), TT_OK);
        assert_memory_equal(out, pt.data, pt.len);
        ct.data[0] ^= 1;
        assert_int_equal(hpke_open(&receiver, view(&aad), view(&ct), out), TT_ERR_DECODE);
    }
    hpke_wipe(&sender);
    hpke_wipe(&receiver);
}

static void vectors_of_the_rfc(void **state)
{
    (void)state;
    assert_int_equal(sizeof rfc9180_vectors / sizeof *rfc9180_vectors, 4);
    for (size_t i = 0; i < sizeof rfc9180_vectors / sizeof *rfc9180_vectors; i++)
        check_vector(&rfc9180_vectors[i]);
}

static void keys_as_pkcs8(void **state)
{
    (void)state;
    static const uint16_t kems[] = {HPKE_DHKEM_X25519, HPKE_DHKEM_P256};
    for (size_t i = 0; i < 2; i++) {
        struct hpke_keypair k, back;
        uint8_t *der = NULL;
        size_t len = 0;
        assert_int_equal(hpke_generate(&k, lib, kems[i], libcrypto_random), TT_OK);
        assert_int_equal(hpke_keypair_der(&k, &der, &len), TT_OK);
        assert_int_equal(hpke_keypair_of_der(&back, lib, (struct tt_bytes){der, len}), TT_OK);
        assert_int_equal(back.kem, kems[i]);
        assert_memory_equal(back.secret, k.secret, sizeof k.secret);
        assert_memory_equal(back.public_key, k.public_key, k.public_len);
        assert_int_equal(hpke_keypair_of_der(&back, lib, (struct tt_bytes){der, len - 1}), TT_ERR_DECODE);
        mem_free(der);
    }
}

static void refusals(void **state)
{
    (void)state;
    const struct hpke_suite p256 = {HPKE_DHKEM_P256, HPKE_HKDF_SHA256, HPKE_AES_128_GCM};
    struct hpke_suite suite = {0x0012, HPKE_HKDF_SHA256, HPKE_AES_128_GCM}; /* P-521 */
    assert_false(hpke_suite_available(lib, suite));
    suite = (struct hpke_suite){HPKE_DHKEM_X25519, 2, HPKE_AES_128_GCM};
    assert_false(hpke_suite_available(lib, suite));
    suite = (struct hpke_suite){HPKE_DHKEM_X25519, HPKE_HKDF_SHA256, 0xffff}; /* export-only */
    assert_false(hpke_suite_available(lib, suite));
    struct hpke_keypair k;
    uint8_t zeros[65] = {0}, out[HPKE_SECRET];
    struct hpke h;
    struct hpke_encapsulated enc;
    assert_int_equal(hpke_generate(&k, lib, HPKE_DHKEM_X25519, libcrypto_random), TT_OK);
    assert_int_equal(hpke_enc_check(lib, k.kem, (struct tt_bytes){zeros, 31}), TT_ERR_PROTOCOL);
    assert_int_equal(hpke_dh(lib, &k, (struct tt_bytes){zeros, 32}, out), TT_ERR_PROTOCOL);
    assert_int_equal(hpke_keypair_of_secret(&k, lib, HPKE_DHKEM_P256, (struct tt_bytes){zeros, 32}),
                     TT_ERR_DECODE);
    zeros[0] = 4; /* not on the curve */
    assert_int_equal(hpke_enc_check(lib, HPKE_DHKEM_P256, (struct tt_bytes){zeros, 65}), TT_ERR_PROTOCOL);
    assert_int_equal(hpke_setup_sender(&h, &enc, lib, p256, (struct tt_bytes){zeros, 65},
                                       (struct tt_bytes){NULL, 0}, libcrypto_random),
                     TT_ERR_PROTOCOL);
}

static int open_lib(void **state)
{
    (void)state;
    return crypto_lib_new(&lib, NULL) == TT_OK ? 0 : -1;
}

static int close_lib(void **state)
{
    (void)state;
    crypto_lib_free(lib);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_the_rfc),
        cmocka_unit_test(keys_as_pkcs8),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, open_lib, close_lib);
}
