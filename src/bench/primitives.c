/* bench/primitives.c: see primitives.h. Layer: bench. */
#include "bench/primitives.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "base/mem.h"
#include "bench/report.h"

struct primitives {
    EVP_PKEY_CTX *keygen, *derive, *sign, *verify;
    EVP_PKEY *own, *peer;
    EVP_PKEY_CTX *kem_keygen, *encapsulate, *decapsulate; /* NULL: this libcrypto has no ML-KEM */
    EVP_PKEY *kem_key;
    uint8_t kem_ciphertext[1088];
    EVP_MAC_CTX *hmac;
    EVP_MD *sha256;
    EVP_MD_CTX *hash;
    uint8_t data[1024], signature[80];
    size_t signature_len;
};

static void hashes_make(struct primitives *p)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t) "SHA2-256", 0),
        OSSL_PARAM_construct_end()};
    p->hmac = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);
    p->sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    p->hash = EVP_MD_CTX_new();
    if (EVP_MAC_CTX_set_params(p->hmac, params) != 1 || EVP_DigestInit_ex2(p->hash, p->sha256, NULL) != 1)
        die("the hashes");
}

/* One ciphertext serves all decapsulations. */
static void kem_make(struct primitives *p)
{
    uint8_t secret[32];
    size_t len = sizeof p->kem_ciphertext, secret_len = sizeof secret;
    if (!libcrypto_is_new())
        return;
    p->kem_keygen = EVP_PKEY_CTX_new_from_name(NULL, "ML-KEM-768", NULL);
    bool ok = EVP_PKEY_keygen_init(p->kem_keygen) == 1 && EVP_PKEY_keygen(p->kem_keygen, &p->kem_key) == 1;
    p->encapsulate = EVP_PKEY_CTX_new_from_pkey(NULL, p->kem_key, NULL);
    p->decapsulate = EVP_PKEY_CTX_new_from_pkey(NULL, p->kem_key, NULL);
    ok = ok && EVP_PKEY_encapsulate_init(p->encapsulate, NULL) == 1 &&
         EVP_PKEY_decapsulate_init(p->decapsulate, NULL) == 1 &&
         EVP_PKEY_encapsulate(p->encapsulate, p->kem_ciphertext, &len, secret, &secret_len) == 1;
    if (!ok)
        die("ML-KEM");
}

struct primitives *primitives_make(EVP_PKEY *ecdsa)
{
    struct primitives *p = mem_alloc(sizeof *p);
    if (p == NULL)
        die("memory");
    p->signature_len = sizeof p->signature;
    p->keygen = EVP_PKEY_CTX_new_from_name(NULL, "X25519", NULL);
    bool ok = EVP_PKEY_keygen_init(p->keygen) == 1 && EVP_PKEY_keygen(p->keygen, &p->own) == 1 &&
              EVP_PKEY_keygen(p->keygen, &p->peer) == 1;
    p->derive = EVP_PKEY_CTX_new_from_pkey(NULL, p->own, NULL);
    ok = ok && EVP_PKEY_derive_init(p->derive) == 1 && EVP_PKEY_derive_set_peer(p->derive, p->peer) == 1;
    p->sign = EVP_PKEY_CTX_new_from_pkey(NULL, ecdsa, NULL);
    p->verify = EVP_PKEY_CTX_new_from_pkey(NULL, ecdsa, NULL);
    ok = ok && EVP_PKEY_sign_init(p->sign) == 1 && EVP_PKEY_verify_init(p->verify) == 1 &&
         EVP_PKEY_sign(p->sign, p->signature, &p->signature_len, p->data, 32) == 1;
    if (!ok)
        die("the primitives");
    hashes_make(p);
    kem_make(p);
    return p;
}

void primitives_free(struct primitives *p)
{
    EVP_PKEY_CTX_free(p->keygen);
    EVP_PKEY_CTX_free(p->derive);
    EVP_PKEY_CTX_free(p->sign);
    EVP_PKEY_CTX_free(p->verify);
    EVP_PKEY_free(p->own);
    EVP_PKEY_free(p->peer);
    EVP_PKEY_CTX_free(p->kem_keygen);
    EVP_PKEY_CTX_free(p->encapsulate);
    EVP_PKEY_CTX_free(p->decapsulate);
    EVP_PKEY_free(p->kem_key);
    EVP_MAC_CTX_free(p->hmac);
    EVP_MD_CTX_free(p->hash);
    EVP_MD_free(p->sha256);
    mem_free(p);
}

static bool x25519_keygen(struct primitives *p)
{
    EVP_PKEY *fresh = NULL;
    bool ok = EVP_PKEY_keygen(p->keygen, &fresh) == 1;
    EVP_PKEY_free(fresh);
    return ok;
}

static bool x25519_derive(struct primitives *p)
{
    uint8_t secret[32];
    size_t len = sizeof secret;
    return EVP_PKEY_derive(p->derive, secret, &len) == 1;
}

static bool ecdsa_sign(struct primitives *p)
{
    uint8_t sig[80];
    size_t len = sizeof sig;
    return EVP_PKEY_sign(p->sign, sig, &len, p->data, 32) == 1;
}

static bool ecdsa_verify(struct primitives *p)
{
    return EVP_PKEY_verify(p->verify, p->signature, p->signature_len, p->data, 32) == 1;
}

static bool hmac_sha256(struct primitives *p)
{
    uint8_t mac[32];
    size_t len = 0;
    return EVP_MAC_init(p->hmac, p->data, 32, NULL) == 1 && EVP_MAC_update(p->hmac, p->data, 54) == 1 &&
           EVP_MAC_final(p->hmac, mac, &len, sizeof mac) == 1;
}

static bool sha256_1k(struct primitives *p)
{
    uint8_t digest[32];
    return EVP_DigestInit_ex2(p->hash, NULL, NULL) == 1 &&
           EVP_DigestUpdate(p->hash, p->data, sizeof p->data) == 1 &&
           EVP_DigestFinal_ex(p->hash, digest, NULL) == 1;
}

static bool mlkem_keygen(struct primitives *p)
{
    EVP_PKEY *fresh = NULL;
    bool ok = EVP_PKEY_keygen(p->kem_keygen, &fresh) == 1;
    EVP_PKEY_free(fresh);
    return ok;
}

static bool mlkem_encapsulate(struct primitives *p)
{
    uint8_t ciphertext[sizeof p->kem_ciphertext], secret[32];
    size_t len = sizeof ciphertext, secret_len = sizeof secret;
    return EVP_PKEY_encapsulate(p->encapsulate, ciphertext, &len, secret, &secret_len) == 1;
}

static bool mlkem_decapsulate(struct primitives *p)
{
    uint8_t secret[32];
    size_t len = sizeof secret;
    return EVP_PKEY_decapsulate(p->decapsulate, secret, &len, p->kem_ciphertext, sizeof p->kem_ciphertext) ==
           1;
}

static const struct {
    bool (*run)(struct primitives *p);
    const char *key, *text;
} table[PRIMITIVES] = {
    [X25519_KEYGEN] = {x25519_keygen, "x25519_keygen_us", "X25519 key pair"},
    [X25519_DERIVE] = {x25519_derive, "x25519_derive_us", "X25519 agreement"},
    [ECDSA_SIGN] = {ecdsa_sign, "ecdsa_sign_us", "ECDSA P-256 signature"},
    [ECDSA_VERIFY] = {ecdsa_verify, "ecdsa_verify_us", "ECDSA P-256 verification"},
    [HMAC_SHA256] = {hmac_sha256, "hmac_us", "HMAC-SHA-256 under a new key"},
    [SHA256_1K] = {sha256_1k, "sha256_1k_us", "SHA-256 of 1,024 bytes"},
    [MLKEM_KEYGEN] = {mlkem_keygen, "mlkem768_keygen_us", "ML-KEM-768 key pair"},
    [MLKEM_ENCAPSULATE] = {mlkem_encapsulate, "mlkem768_encapsulate_us", "ML-KEM-768 encapsulation"},
    [MLKEM_DECAPSULATE] = {mlkem_decapsulate, "mlkem768_decapsulate_us", "ML-KEM-768 decapsulation"},
};

double primitives_run(struct primitives *p, enum primitive which, int n)
{
    double start = cpu_now();
    for (int i = 0; i < n; i++)
        if (!table[which].run(p))
            die(table[which].text);
    return cpu_now() - start;
}

const char *primitive_text(enum primitive which)
{
    return table[which].text;
}

const char *primitive_key(enum primitive which)
{
    return table[which].key;
}
