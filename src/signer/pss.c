/* signer/pss.c: EMSA-PSS (RFC 8017 section 9.1.1) and MGF1 (appendix B.2.1). Layer: signer. */
#include "signer/pss.h"

#include <string.h>

/* XOR data with MGF1(seed). */
static tt_rc mgf1_xor(uint8_t *data, size_t len, const struct crypto_lib *lib, enum hash_id hash,
                      const uint8_t *seed)
{
    size_t h = hash_size(hash);
    uint8_t in[HASH_MAX_SIZE + 4], mask[HASH_MAX_SIZE];
    memcpy(in, seed, h);
    uint32_t counter = 0;
    for (size_t at = 0; at < len; at += h, counter++) {
        for (size_t i = 0; i < 4; i++)
            in[h + i] = (uint8_t)(counter >> (24 - 8 * i));
        TT_TRY(hash_digest(lib, hash, (struct tt_bytes){in, h + 4}, mask));
        for (size_t i = 0; i < h && at + i < len; i++)
            data[at + i] ^= mask[i];
    }
    return TT_OK;
}

tt_rc pss_encode(uint8_t *ret, const struct crypto_lib *lib, const struct pss_request *req)
{
    size_t h = hash_size(req->hash), s = req->salt.len, modulus = (req->modulus_bits + 7) / 8;
    /* Step 3: emBits = modBits - 1, emLen = ceil(emBits / 8) >= hLen + sLen + 2. */
    size_t em_bits = req->modulus_bits - 1U, em_len = (em_bits + 7) / 8;
    if (h == 0 || modulus > PSS_MAX_BYTES || em_len < h + 2 || em_len - h - 2 < s)
        return TT_ERR_USAGE;
    uint8_t em_buf[PSS_MAX_BYTES] = {0};
    uint8_t *em = em_buf + (modulus - em_len);
    size_t db_len = em_len - h - 1;
    /* Steps 5 and 6: H = Hash(eight zeros || mHash || salt). */
    uint8_t m[8 + HASH_MAX_SIZE + PSS_MAX_BYTES] = {0};
    memcpy(m + 8, req->digest, h);
    if (s > 0)
        memcpy(m + 8 + h, req->salt.data, s);
    TT_TRY(hash_digest(lib, req->hash, (struct tt_bytes){m, 8 + h + s}, em + db_len));
    /* Steps 7 to 10: DB = PS || 0x01 || salt, masked. */
    em[db_len - s - 1] = 0x01;
    memcpy(em + db_len - s, m + 8 + h, s);
    TT_TRY(mgf1_xor(em, db_len, lib, req->hash, em + db_len));
    /* Step 11: the leftmost 8 emLen - emBits bits are zero, so that the number is below the modulus. */
    em[0] &= (uint8_t)(0xff >> (8 * em_len - em_bits));
    em[em_len - 1] = 0xbc;
    memcpy(ret, em_buf, modulus);
    return TT_OK;
}
