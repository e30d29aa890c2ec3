/* attest/credential.c: TPM2_MakeCredential without a TPM. Layer: attest. TPM 2.0 part 1, section 24 and
 * annexes B.10.4 (RSA) and C.6.4 (ECC): a secret that comes out of the TPM which has both keys, and out of no
 * other. */
#include <string.h>

#include "attest/evidence.h"
#include "crypto/kdf.h"
#include "crypto/kx.h"
#include "crypto/wrap.h"
#include "wire/writer.h"

static const char label[] = "IDENTITY";

/* struct making: one credential on its way. */
struct making {
    const struct crypto_lib *lib;
    const struct at_public *ek;
    struct tt_bytes spki;
    enum hash_id hash; /* the endorsement key's name algorithm */
    uint8_t seed[HASH_MAX_SIZE];
    struct buf *encrypted;
};

void credential_free(struct credential *c)
{
    buf_free(&c->blob);
    buf_free(&c->encrypted);
}

static tt_rc seed_rsa(struct making *m)
{
    const struct wrap_oaep key = {
        .spki = m->spki, .hash = m->hash, .label = {(const uint8_t *)label, sizeof label}};
    struct buf text = {0};
    if (!crypto_random(NULL, m->seed, hash_size(m->hash)))
        return TT_ERR_INTERNAL;
    tt_rc rc = wrap_oaep(&text, &key, (struct tt_bytes){m->seed, hash_size(m->hash)});
    struct writer w = writer_to(m->encrypted);
    if (rc == TT_OK) {
        wr_vec16(&w, buf_bytes(&text));
        rc = wr_status(&w);
    }
    buf_free(&text);
    return rc;
}

static uint16_t group_of(uint16_t curve)
{
    return curve == 3 ? TT_GROUP_SECP256R1 : curve == 4 ? TT_GROUP_SECP384R1 : TT_GROUP_SECP521R1;
}

/* TPMS_ECC_POINT of an ephemeral key travels; the seed is KDFe of the shared x coordinate. */
static tt_rc seed_ecc(struct making *m)
{
    struct kx_response ours;
    size_t field = m->ek->curve == 3 ? 32 : m->ek->curve == 4 ? 48 : 66;
    if (m->spki.len < 1 + 2 * field)
        return TT_ERR_UNSUPPORTED;
    struct tt_bytes point = {m->spki.data + m->spki.len - 1 - 2 * field, 1 + 2 * field}; /* uncompressed */
    tt_rc rc =
        kx_respond(&ours, m->lib, group_of(m->ek->curve), (struct kx_random){crypto_random, NULL}, point);
    if (rc == TT_ERR_PROTOCOL)
        return TT_ERR_UNSUPPORTED; /* not on the curve */
    TT_TRY(rc);
    struct tt_bytes x = {ours.share + 1, field}, y = {ours.share + 1 + field, field};
    const struct kdf seed = {.lib = m->lib,
                             .hash = m->hash,
                             .key = {ours.secret.data, ours.secret.len},
                             .label = label,
                             .u = x,
                             .v = {point.data + 1, field}};
    rc = ours.share_len == 1 + 2 * field ? kdf_e(m->seed, &seed) : TT_ERR_INTERNAL;
    mem_wipe(&ours.secret, sizeof ours.secret);
    TT_TRY(rc);
    struct writer w = writer_to(m->encrypted);
    struct wr_mark all = wr_open16(&w);
    wr_vec16(&w, x);
    wr_vec16(&w, y);
    wr_close(&w, all);
    return wr_status(&w);
}

/* TPM2B_ID_OBJECT: TPM2B_DIGEST outerHMAC, then the encrypted TPM2B_DIGEST of the secret. */
static tt_rc blob_put(struct buf *to, const struct making *m, struct tt_bytes ak, const uint8_t *secret)
{
    uint8_t key[32], mac_key[HASH_MAX_SIZE], mac[HASH_MAX_SIZE], text[2 + CREDENTIAL_SECRET];
    size_t h = hash_size(m->hash), key_len = m->ek->sym_bits / 8;
    struct kdf k = {.lib = m->lib, .hash = m->hash, .key = {m->seed, h}, .label = "STORAGE", .u = ak};
    TT_TRY(kdf_a(key, key_len, &k));
    k.label = "INTEGRITY";
    k.u = (struct tt_bytes){NULL, 0};
    TT_TRY(kdf_a(mac_key, h, &k));
    text[0] = 0;
    text[1] = CREDENTIAL_SECRET;
    memcpy(text + 2, secret, CREDENTIAL_SECRET);
    tt_rc rc = wrap_cfb(text, sizeof text, (struct tt_bytes){key, key_len});
    const struct tt_bytes data[] = {{text, sizeof text}, ak};
    if (rc == TT_OK)
        rc = hmac(m->lib, m->hash, (struct tt_bytes){mac_key, h}, data, TT_COUNT(data), mac);
    mem_wipe(key, sizeof key);
    mem_wipe(mac_key, sizeof mac_key);
    TT_TRY(rc);
    struct writer w = writer_to(to);
    struct wr_mark all = wr_open16(&w);
    wr_vec16(&w, (struct tt_bytes){mac, h});
    wr_bytes(&w, (struct tt_bytes){text, sizeof text});
    wr_close(&w, all);
    return wr_status(&w);
}

tt_rc credential_make(struct credential *ret, const struct crypto_lib *lib, const struct at_public *ek,
                      const struct at_name *ak, const uint8_t secret[CREDENTIAL_SECRET])
{
    struct credential c = {.blob = {0}};
    TT_AUTO(buf_free) struct buf spki = {0};
    struct making m = {.lib = lib, .ek = ek, .hash = at_hash(ek->name_alg), .encrypted = &c.encrypted};
    if (m.hash == HASH_NONE || ek->sym_alg != ALG_AES || ek->sym_mode != ALG_CFB ||
        (ek->sym_bits != 128 && ek->sym_bits != 256))
        return TT_ERR_UNSUPPORTED;
    TT_TRY(at_public_spki(&spki, ek));
    m.spki = buf_bytes(&spki);
    tt_rc rc = ek->type == ALG_RSA ? seed_rsa(&m) : seed_ecc(&m);
    if (rc == TT_OK)
        rc = blob_put(&c.blob, &m, (struct tt_bytes){ak->data, ak->len}, secret);
    mem_wipe(m.seed, sizeof m.seed);
    if (rc == TT_OK)
        *ret = c;
    else
        credential_free(&c);
    return rc;
}
