/* signer/vault.c: see vault.h. Layer: signer. */
#include "signer/vault.h"

#include <string.h>

#include "crypto/box.h"

struct vault {
    struct crypto_lib *lib;
    uint8_t key[BOX_KEY_SIZE];
};

void vault_free(struct vault *v)
{
    if (v == NULL)
        return;
    crypto_lib_free(v->lib);
    mem_free(v);
}
TT_DEFINE_AUTO(struct vault, vault_free)

/* NULL with the reason in err. */
static struct vault *vault_alloc(struct tt_error *err)
{
    TT_AUTO(vault_free_auto) struct vault *v = mem_alloc(sizeof *v);
    if (v == NULL)
        (void)error_set(err, TT_ERR_MEMORY, "out of memory");
    return v != NULL && crypto_lib_new(&v->lib, err) == TT_OK ? TT_TAKE(v) : NULL;
}

tt_rc vault_new(struct vault **ret, char **ret_pem, struct tt_tpm *tpm, const char *pcrs,
                struct tt_error *err)
{
    TT_AUTO(vault_free_auto) struct vault *v = vault_alloc(err);
    if (v == NULL)
        return TT_ERR_MEMORY;
    if (!crypto_random(NULL, v->key, sizeof v->key))
        return error_set(err, TT_ERR_INTERNAL, "there is no randomness for a key");
    TT_TRY(tt_seal(ret_pem, tpm, (struct tt_bytes){v->key, sizeof v->key},
                   &(struct tt_key_params){.pcrs = pcrs, .description = "tpmtls sessions"}, err));
    *ret = TT_TAKE(v);
    return TT_OK;
}

tt_rc vault_open(struct vault **ret, struct tt_tpm *tpm, struct tt_bytes pem, struct tt_error *err)
{
    TT_AUTO(vault_free_auto) struct vault *v = vault_alloc(err);
    TT_AUTO(mem_free_auto) uint8_t *key = NULL;
    size_t len = 0;
    if (v == NULL)
        return TT_ERR_MEMORY;
    TT_TRY(tt_unseal(&key, &len, tpm, pem, NULL, err));
    if (key == NULL || len != sizeof v->key)
        return error_set(err, TT_ERR_DECODE, "the sealed file does not hold a key of %zu bytes",
                         sizeof v->key);
    memcpy(v->key, key, len);
    *ret = TT_TAKE(v);
    return TT_OK;
}

static struct box_key box_of(const struct vault *v, struct tt_bytes aad)
{
    return (struct box_key){.lib = v->lib, .key = v->key, .aad = aad};
}

tt_rc vault_seal(const struct vault *v, struct tt_bytes aad, struct tt_bytes plain, struct buf *out)
{
    const struct box_key k = box_of(v, aad);
    return box_seal(&k, (struct kx_random){crypto_random, NULL}, plain, out);
}

tt_rc vault_unseal(const struct vault *v, struct tt_bytes aad, struct tt_bytes box, struct buf *out)
{
    const struct box_key k = box_of(v, aad);
    return box_open(&k, box, out);
}
