/* tests/fuzz/fuzz_rsa_spki.c: crypto/wrap.c: an RSA key's SubjectPublicKeyInfo, which is read without
 * libcrypto's decoder. What we take libcrypto takes with the same numbers, and what libcrypto would write
 * itself we take. */
#include "fuzz.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

#include "crypto/sig_internal.h"
#include "crypto/wrap.h"

#define BITS_MAX 16384 /* of ours */

static EVP_PKEY *theirs(const uint8_t *data, size_t size)
{
    const uint8_t *at = data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)size);
    if (key != NULL && (at != data + size || !EVP_PKEY_is_a(key, "RSA"))) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    ERR_clear_error();
    return key;
}

static bool is_same(const EVP_PKEY *a, const EVP_PKEY *b, const char *number)
{
    BIGNUM *of_a = NULL, *of_b = NULL;
    bool is = EVP_PKEY_get_bn_param(a, number, &of_a) == 1 && EVP_PKEY_get_bn_param(b, number, &of_b) == 1 &&
              BN_cmp(of_a, of_b) == 0;
    BN_free(of_a);
    BN_free(of_b);
    return is;
}

/* In DER, and of a size that we take: as libcrypto writes it. */
static bool is_plain(EVP_PKEY *key, const uint8_t *data, size_t size)
{
    BIGNUM *e = NULL;
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    bool is = len > 0 && (size_t)len == size && memcmp(der, data, size) == 0 &&
              EVP_PKEY_get_bits(key) <= BITS_MAX &&
              EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_num_bits(e) <= BITS_MAX;
    BN_free(e);
    OPENSSL_free(der);
    ERR_clear_error();
    return is;
}

/* Whatever the numbers are worth: as many bytes as the modulus has, or none. */
static void encrypt(struct tt_bytes spki, const EVP_PKEY *key)
{
    static const uint8_t message[] = "seed";
    struct buf text = {0};
    const struct wrap_oaep to = {spki, HASH_SHA256, {(const uint8_t *)"DUPLICATE", 10}};
    tt_rc rc = wrap_oaep(&text, &to, (struct tt_bytes){message, sizeof message});
    FUZZ_CHECK(key != NULL || rc != TT_OK);
    FUZZ_CHECK(buf_size(&text) == (rc == TT_OK ? (size_t)EVP_PKEY_get_size(key) : 0));
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct tt_bytes spki = {data, size};
    EVP_PKEY *our = spki_rsa(spki), *their = theirs(data, size);
    ERR_clear_error();
    FUZZ_CHECK(our == NULL || their != NULL);
    if (our != NULL) {
        FUZZ_CHECK(is_same(our, their, OSSL_PKEY_PARAM_RSA_N));
        FUZZ_CHECK(is_same(our, their, OSSL_PKEY_PARAM_RSA_E));
    } else if (their != NULL) {
        FUZZ_CHECK(!is_plain(their, data, size));
    }
    encrypt(spki, our);
    EVP_PKEY_free(our);
    EVP_PKEY_free(their);
    return 0;
}
