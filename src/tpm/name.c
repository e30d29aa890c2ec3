/* tpm/name.c: see name.h. Layer: tpm. */
#include "tpm/name.h"

enum hash_id hash_of_alg(uint16_t alg)
{
    return alg == TPM_HASH_SHA256   ? HASH_SHA256
           : alg == TPM_HASH_SHA384 ? HASH_SHA384
           : alg == TPM_HASH_SHA512 ? HASH_SHA512
                                    : HASH_NONE;
}

tt_rc name_of_public(uint8_t *ret, size_t *ret_len, const struct crypto_lib *lib,
                     const struct soft_public *pub)
{
    enum hash_id hash = hash_of_alg(pub->name_alg);
    if (hash == HASH_NONE)
        return TT_ERR_UNSUPPORTED;
    TT_TRY(hash_digest(lib, hash, pub->area, ret + 2));
    ret[0] = (uint8_t)(pub->name_alg >> 8);
    ret[1] = (uint8_t)pub->name_alg;
    *ret_len = 2 + hash_size(hash);
    return TT_OK;
}
