/* tests/crypto/test_pubkey.c: keys that are nothing but a point verify with a context that is shared by all
 * of them: each only what its own owner signed, whoever was verified before, also in several threads at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "crypto/sig.h"

static const struct tt_bytes message = {(const uint8_t *)"a message", 9};

/* struct owner: somebody with a key, and his signature of the message. */
struct owner {
    struct pubkey *key;
    uint16_t scheme;
    uint8_t spki[160], sig[128];
    size_t spki_len, sig_len;
};

static struct crypto_lib *lib;
static struct owner owners[4]; /* two on P-256, two on P-384 */

static void owner_make(struct owner *o, const char *curve, const EVP_MD *md, uint16_t scheme)
{
    EVP_PKEY *pkey = EVP_EC_gen(curve);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t *at = o->spki;
    o->scheme = scheme;
    o->spki_len = (size_t)i2d_PUBKEY(pkey, &at);
    o->sig_len = sizeof o->sig;
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, md, NULL, pkey), 1);
    assert_int_equal(EVP_DigestSign(ctx, o->sig, &o->sig_len, message.data, message.len), 1);
    assert_int_equal(pubkey_from_spki(&o->key, lib, (struct tt_bytes){o->spki, o->spki_len}), TT_OK);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
}

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(crypto_lib_new(&lib, NULL), TT_OK);
    for (size_t i = 0; i < 2; i++) {
        owner_make(&owners[i], "P-256", EVP_sha256(), TT_SCHEME_ECDSA_SECP256R1_SHA256);
        owner_make(&owners[2 + i], "P-384", EVP_sha384(), TT_SCHEME_ECDSA_SECP384R1_SHA384);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < TT_COUNT(owners); i++)
        pubkey_free(owners[i].key);
    crypto_lib_free(lib);
    return 0;
}

static tt_rc verify(const struct owner *key, const struct owner *signer)
{
    return pubkey_verify(lib, key->key, key->scheme, message,
                         (struct tt_bytes){signer->sig, signer->sig_len});
}

static void each_only_what_its_owner_signed(void **state)
{
    (void)state;
    for (size_t i = 0; i < TT_COUNT(owners); i++)
        for (size_t j = 0; j < TT_COUNT(owners); j++) {
            assert_int_equal(verify(&owners[j], &owners[j]), TT_OK); /* leaves a context behind */
            assert_int_equal(verify(&owners[i], &owners[j]), i == j ? TT_OK : TT_ERR_VERIFY);
        }
}

static void points_off_the_curve_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < TT_COUNT(owners); i++) {
        struct pubkey *none = NULL;
        struct owner bad = owners[i];
        bad.spki[bad.spki_len - 1] ^= 1;
        assert_int_equal(pubkey_from_spki(&none, lib, (struct tt_bytes){bad.spki, bad.spki_len}),
                         TT_ERR_DECODE);
        assert_null(none);
        assert_int_equal(verify(&owners[i], &owners[i]), TT_OK); /* what was kept is of use still */
    }
}

static void *verify_often(void *arg)
{
    const size_t mine = (size_t)(uintptr_t)arg;
    for (int i = 0; i < 50; i++)
        if (verify(&owners[mine], &owners[mine]) != TT_OK ||
            verify(&owners[mine], &owners[mine ^ 1]) == TT_OK)
            return &owners[mine];
    return NULL;
}

static void several_threads_at_once(void **state)
{
    (void)state;
    pthread_t threads[12]; /* more than contexts are kept */
    for (size_t i = 0; i < TT_COUNT(threads); i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, verify_often, (void *)(uintptr_t)(i % TT_COUNT(owners))), 0);
    for (size_t i = 0; i < TT_COUNT(threads); i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_only_what_its_owner_signed),
        cmocka_unit_test(points_off_the_curve_are_refused),
        cmocka_unit_test(several_threads_at_once),
    };
    return cmocka_run_group_tests_name("crypto/pubkey", tests, set_up, tear_down);
}
