/* lab/salt.c: EMSA-PSS with the maximum salt, padded here, signed by the chip's TPM2_RSA_Decrypt without
 * padding. Layer: lab. RFC 8017 section 9.1.1 and appendix B.2.1; the hash is TPM2_Hash, since this layer has
 * no libcrypto. The authorisation area goes along unchanged, so it must be a password: an HMAC would cover
 * the command code. */
#include "lab/salt.h"

#include <string.h>
#include <tss2/tss2_tpm2_types.h>

#include "lab/profile.h"

#define MAX_EM   512
#define MAX_HASH 64

struct pss {
    struct lab_chip *chip;
    uint16_t hash;
    size_t hash_size;
    size_t em_size;
    uint64_t random;
    uint8_t em[MAX_EM];
};

static size_t hash_size(uint16_t alg)
{
    return alg == TPM2_ALG_SHA256 ? 32 : alg == TPM2_ALG_SHA384 ? 48 : alg == TPM2_ALG_SHA512 ? 64 : 0;
}

/* em[0 .. n) ^= MGF1(h) */
static bool mask(struct pss *p, size_t n, const uint8_t *h)
{
    uint8_t seed[MAX_HASH + 4], block[MAX_HASH];
    memcpy(seed, h, p->hash_size);
    for (size_t at = 0; at < n; at += p->hash_size) {
        lab_put32(seed + p->hash_size, (uint32_t)(at / p->hash_size));
        if (!lab_chip_hash(p->chip, p->hash, (struct tt_bytes){seed, p->hash_size + 4}, block, p->hash_size))
            return false;
        for (size_t i = 0; i < p->hash_size && at + i < n; i++)
            p->em[at + i] ^= block[i];
    }
    return true;
}

/* EM = maskedDB || H || 0xbc; DB = 0x01 || salt, since the maximum salt leaves no room for zeros before the
 * 0x01. */
static bool encode(struct pss *p, struct tt_bytes digest)
{
    uint8_t m[8 + MAX_HASH + MAX_EM] = {0}, h[MAX_HASH];
    size_t db = p->em_size - p->hash_size - 1;
    memcpy(m + 8, digest.data, digest.len);
    p->em[0] = 0x01;
    for (size_t i = 1; i < db; i++)
        p->em[i] = (uint8_t)lab_random(p->random, i);
    memcpy(m + 8 + digest.len, p->em + 1, db - 1);
    if (!lab_chip_hash(p->chip, p->hash, (struct tt_bytes){m, 8 + digest.len + db - 1}, h, p->hash_size) ||
        !mask(p, db, h))
        return false;
    p->em[0] &= 0x7f; /* the modulus has a multiple of 8 bits */
    memcpy(p->em + db, h, p->hash_size);
    p->em[p->em_size - 1] = 0xbc;
    return true;
}

/* TPM2_RSA_Decrypt: keyHandle, authorisation, cipherText, inScheme, label. */
static bool raw_private(struct pss *p, const struct lab_command *c, uint8_t *response, size_t *len)
{
    uint8_t command[LAB_MAX_MESSAGE];
    size_t at = LAB_HEADER;
    if (c->auth.len > 1024)
        return false;
    lab_put16(command, c->tag);
    lab_put32(command + 6, TPM2_CC_RSA_Decrypt);
    lab_put32(command + at, c->handle[0]);
    lab_put32(command + at + 4, (uint32_t)c->auth.len);
    memcpy(command + at + 8, c->auth.data, c->auth.len);
    at += 8 + c->auth.len;
    lab_put16(command + at, (uint16_t)p->em_size);
    memcpy(command + at + 2, p->em, p->em_size);
    at += 2 + p->em_size;
    lab_put16(command + at, TPM2_ALG_NULL);
    lab_put16(command + at + 2, 0);
    at += 4;
    lab_put32(command + 2, (uint32_t)at);
    if (!lab_chip_run(p->chip, (struct tt_bytes){command, at}, response, len))
        return false;
    struct reader r = reader_of((struct tt_bytes){response, *len});
    (void)rd_bytes(&r, 6);
    return rd_u32(&r) == TPM2_RC_SUCCESS;
}

/* The response to TPM2_RSA_Decrypt becomes one to TPM2_Sign: sigAlg and hash come in front of the number. */
static bool as_signature(const struct pss *p, uint8_t *response, size_t *len)
{
    size_t at = LAB_HEADER + 4; /* behind parameterSize */
    if (*len < at + 2 + p->em_size || *len + 4 > LAB_MAX_MESSAGE)
        return false;
    memmove(response + at + 4, response + at, *len - at);
    lab_put16(response + at, TPM2_ALG_RSAPSS);
    lab_put16(response + at + 2, p->hash);
    *len += 4;
    lab_put32(response + 2, (uint32_t)*len);
    lab_put32(response + LAB_HEADER, (uint32_t)(4 + 2 + p->em_size));
    return true;
}

/* struct wish: what a TPM2_Sign asks for. */
struct wish {
    struct tt_bytes digest;
    uint16_t scheme, hash;
};

static struct wish wish_of(const struct lab_command *c)
{
    struct reader r = reader_of(c->params);
    struct wish w = {.digest = rd_vec16(&r, 0)};
    w.scheme = rd_u16(&r);
    w.hash = rd_u16(&r);
    if (c->code != TPM2_CC_Sign || rd_status(&r) != TT_OK)
        w.scheme = TPM2_ALG_NULL;
    return w;
}

static bool has_password(const struct lab_command *c)
{
    struct reader r = reader_of(c->auth);
    return rd_u32(&r) == TPM2_RS_PW;
}

bool lab_salt_sign(struct lab_chip *chip, const struct lab_command *c, uint64_t random, uint8_t *response,
                   size_t *len)
{
    struct wish w = wish_of(c);
    if (w.scheme != TPM2_ALG_RSAPSS || !has_password(c))
        return false;
    struct lab_public pub = lab_chip_public(chip, c->handle[0]);
    struct pss p = {.chip = chip,
                    .hash = w.hash,
                    .hash_size = hash_size(w.hash),
                    .em_size = pub.bits / 8U,
                    .random = random};
    if (pub.type != TPM2_ALG_RSA || (pub.attributes & TPMA_OBJECT_DECRYPT) == 0 ||
        pub.scheme != TPM2_ALG_NULL)
        return false;
    if (p.hash_size == 0 || w.digest.len != p.hash_size || p.em_size > MAX_EM ||
        p.em_size < 2 * p.hash_size + 2)
        return false;
    return encode(&p, w.digest) && raw_private(&p, c, response, len) && as_signature(&p, response, len);
}

void lab_salt_spoil(const struct lab_command *c, uint8_t *response, size_t len)
{
    struct reader r = reader_of((struct tt_bytes){response, len});
    (void)rd_bytes(&r, 6);
    if (c->code != TPM2_CC_Sign || rd_u32(&r) != TPM2_RC_SUCCESS)
        return;
    (void)rd_u32(&r); /* parameterSize: signing is always authorised */
    uint16_t alg = rd_u16(&r);
    (void)rd_u16(&r);
    size_t n = rd_vec16(&r, 1).len;
    if (alg == TPM2_ALG_RSAPSS && rd_status(&r) == TT_OK)
        response[LAB_HEADER + 4 + 6 + n / 2] ^= 1;
}
