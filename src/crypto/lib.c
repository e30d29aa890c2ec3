/* crypto/lib.c: fetch libcrypto's algorithms once. Layer: crypto. */
#include "crypto/lib.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "base/mem.h"
#include "crypto/ec_verify.h"
#include "crypto/lib_internal.h"

static bool lib_has_keytype(const char *name)
{
    EVP_KEYMGMT *m = EVP_KEYMGMT_fetch(NULL, name, NULL);
    EVP_KEYMGMT_free(m);
    return m != NULL;
}

static struct spare *spares_new(void)
{
    struct spare *s = mem_alloc(sizeof *s);
    if (s != NULL)
        spare_init(s);
    return s;
}

static void contexts_free(struct spare *s)
{
    for (EVP_PKEY_CTX *ctx; s != NULL && (ctx = spare_take(s)) != NULL;)
        EVP_PKEY_CTX_free(ctx);
    mem_free(s);
}

static void hashes_free(struct spare *s)
{
    for (EVP_MD_CTX *ctx; s != NULL && (ctx = spare_take(s)) != NULL;)
        EVP_MD_CTX_free(ctx);
    mem_free(s);
}

static void keys_free(struct spare *s)
{
    for (EVP_PKEY *key; s != NULL && (key = spare_take(s)) != NULL;)
        EVP_PKEY_free(key);
    mem_free(s);
}

/* EC_GROUP_new_curve_GFp does not know that it is given a curve that libcrypto has arithmetic of its own for.
 */
static EC_GROUP *plain_group(const EC_GROUP *group)
{
    BIGNUM *p = BN_new(), *a = BN_new(), *b = BN_new(), *x = BN_new(), *y = BN_new();
    EC_GROUP *plain = NULL;
    EC_POINT *g = NULL;
    bool ok =
        p != NULL && a != NULL && b != NULL && x != NULL && y != NULL &&
        EC_GROUP_get_curve(group, p, a, b, NULL) == 1 &&
        EC_POINT_get_affine_coordinates(group, EC_GROUP_get0_generator(group), x, y, NULL) == 1 &&
        (plain = EC_GROUP_new_curve_GFp(p, a, b, NULL)) != NULL && (g = EC_POINT_new(plain)) != NULL &&
        EC_POINT_set_affine_coordinates(plain, g, x, y, NULL) == 1 &&
        EC_GROUP_set_generator(plain, g, EC_GROUP_get0_order(group), EC_GROUP_get0_cofactor(group)) == 1;
    BIGNUM *const all[] = {p, a, b, x, y};
    for (size_t i = 0; i < TT_COUNT(all); i++)
        BN_free(all[i]);
    EC_POINT_free(g);
    if (!ok) {
        EC_GROUP_free(plain);
        return NULL;
    }
    EC_GROUP_set_curve_name(plain, EC_GROUP_get_curve_name(group));
    EC_GROUP_set_asn1_flag(plain, OPENSSL_EC_NAMED_CURVE);
    return plain;
}

static bool lib_fetch_curve(struct curve *c, const char *name, int nid, size_t field_size)
{
    c->name = name;
    c->field_size = field_size;
    c->group = EC_GROUP_new_by_curve_name(nid);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)name, 0),
        OSSL_PARAM_construct_end()};
    bool ok = c->group != NULL && ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, &c->template, EVP_PKEY_KEY_PARAMETERS, params) == 1;
    EVP_PKEY_CTX_free(ctx);
    c->plain = ok ? plain_group(c->group) : NULL;
    c->verifiers = spares_new();
    c->leaf_keys = spares_new();
    return c->plain != NULL && c->verifiers != NULL && c->leaf_keys != NULL;
}

/* Without it certificates are read slowly, but just as well: so with a libcrypto newer than those this was
 * tried with (3.0 to 3.5). */
static void lib_make_bare(struct crypto_lib *lib)
{
    lib->bare = OPENSSL_VERSION_MAJOR == 3 ? OSSL_LIB_CTX_new() : NULL;
    lib->bare_null = lib->bare == NULL ? NULL : OSSL_PROVIDER_load(lib->bare, "null");
    if (lib->bare_null == NULL) {
        OSSL_LIB_CTX_free(lib->bare);
        lib->bare = NULL;
    }
}

static bool lib_fetch_hashes(struct crypto_lib *lib, OSSL_LIB_CTX *ctx)
{
    static const char *const digests[] = {
        [HASH_SHA256] = "SHA2-256", [HASH_SHA384] = "SHA2-384", [HASH_SHA512] = "SHA2-512"};
    for (enum hash_id id = HASH_SHA256; id < HASH_COUNT; id++) {
        lib->md[id] = EVP_MD_fetch(ctx, digests[id], NULL);
        lib->hashes[id] = spares_new();
        if (lib->hashes[id] == NULL || lib->md[id] == NULL ||
            EVP_Digest("", 0, lib->empty_hash[id], NULL, lib->md[id], NULL) != 1)
            return false;
    }
    return true;
}

static bool lib_fetch(struct crypto_lib *lib)
{
    lib_make_bare(lib);
    lib->x25519_makers = spares_new();
    lib->x25519_peers = spares_new();
    if (lib->x25519_makers == NULL || lib->x25519_peers == NULL)
        return false;
    if (!lib_fetch_hashes(lib, NULL))
        return false;
    lib->aead[AEAD_AES_128_GCM] = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    lib->aead[AEAD_AES_256_GCM] = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    lib->aead[AEAD_CHACHA20_POLY1305] = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    lib->has_x25519 = lib_has_keytype("X25519");
    lib->has_x448 = lib_has_keytype("X448");
    lib->has_ed25519 = lib_has_keytype("ED25519");
    lib->has_ed448 = lib_has_keytype("ED448");
    lib->has_mlkem = lib_has_keytype("ML-KEM-768") && lib_has_keytype("ML-KEM-1024"); /* libcrypto >= 3.5 */
    static const char *const mldsa[] = {"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"};
    for (size_t i = 0; i < TT_COUNT(mldsa); i++)
        lib->has_mldsa[i] = lib_has_keytype(mldsa[i]);
    return lib->aead[AEAD_AES_128_GCM] != NULL && lib->aead[AEAD_AES_256_GCM] != NULL &&
           lib_fetch_curve(&lib->curves[CURVE_P256], "P-256", NID_X9_62_prime256v1, 32) &&
           lib_fetch_curve(&lib->curves[CURVE_P384], "P-384", NID_secp384r1, 48) &&
           lib_fetch_curve(&lib->curves[CURVE_P521], "P-521", NID_secp521r1, 66);
}

tt_rc crypto_lib_new_apart(struct crypto_lib **ret, void *ctx, struct tt_error *err)
{
    struct crypto_lib *lib = mem_alloc(sizeof *lib);
    if (lib == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    if (!lib_fetch_hashes(lib, ctx)) {
        crypto_lib_free(lib);
        return error_set(err, TT_ERR_INTERNAL, "libcrypto lacks SHA-2");
    }
    *ret = lib;
    return TT_OK;
}

tt_rc crypto_lib_new(struct crypto_lib **ret, struct tt_error *err)
{
    struct crypto_lib *lib = mem_alloc(sizeof *lib);
    if (lib == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    bool ok = lib_fetch(lib);
    ERR_clear_error(); /* optional algorithms that are missing leave entries in libcrypto's queue */
    if (!ok) {
        crypto_lib_free(lib);
        error_hint(err, "look at the providers in the OpenSSL configuration (openssl list -providers)");
        return error_set(err, TT_ERR_INTERNAL, "libcrypto lacks an algorithm that TLS 1.3 needs");
    }
    *ret = lib;
    return TT_OK;
}

void crypto_lib_free(struct crypto_lib *lib)
{
    if (lib == NULL)
        return;
    for (size_t i = 0; i < HASH_COUNT; i++) {
        hashes_free(lib->hashes[i]);
        EVP_MD_free(lib->md[i]);
    }
    for (size_t i = 0; i < AEAD_COUNT; i++)
        EVP_CIPHER_free(lib->aead[i]);
    for (size_t i = 0; i < CURVE_COUNT; i++) {
        ec_verifiers_free(lib->curves[i].verifiers);
        keys_free(lib->curves[i].leaf_keys);
        EC_GROUP_free(lib->curves[i].group);
        EC_GROUP_free(lib->curves[i].plain);
        EVP_PKEY_free(lib->curves[i].template);
    }
    contexts_free(lib->x25519_makers);
    keys_free(lib->x25519_peers);
    if (lib->bare != NULL) {
        (void)OSSL_PROVIDER_unload(lib->bare_null);
        OSSL_LIB_CTX_free(lib->bare);
    }
    mem_free(lib);
}

bool crypto_random(void *unused, uint8_t *buf, size_t n)
{
    (void)unused;
    return n <= INT32_MAX && RAND_bytes(buf, (int)n) == 1;
}
