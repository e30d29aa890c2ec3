/* tls/psk.c: binders and ticket keys. Layer: tls. RFC 9846 sections 4.3.11.2, 4.7.1, 7.1. */
#include "tls/psk.h"

#include "base/buf.h"
#include "wire/writer.h"

/* The early secret, in *ret, and the key under which the binder is an HMAC. */
static tt_rc psk_early(struct key_schedule *ret, struct ks_secret *ret_k1, const struct crypto_lib *lib,
                       const struct psk *psk)
{
    struct ks_secret binder_key;
    if (psk->held)
        return TT_ERR_INTERNAL;
    ks_init(ret, lib, psk->hash);
    const char *label = psk->imported ? "imp binder" : psk->external ? "ext binder" : "res binder";
    TT_TRY(ks_early(ret, (struct tt_bytes){psk->key, psk->len}));
    tt_rc rc = ks_derive(ret, KS_EARLY, label, hash_empty(lib, psk->hash).data, &binder_key);
    if (rc == TT_OK)
        rc = ks_expand_label(lib, psk->hash, binder_key.data, (struct ks_label){"finished", {NULL, 0}},
                             ret_k1->data, hash_size(psk->hash));
    mem_wipe(&binder_key, sizeof binder_key);
    return rc;
}

tt_rc psk_split(const struct crypto_lib *lib, const struct psk *psk, struct ks_secret *ret_k1,
                struct ks_secret *ret_k2)
{
    struct key_schedule ks;
    tt_rc rc = psk_early(&ks, ret_k1, lib, psk);
    if (rc == TT_OK)
        rc = ks_derive(&ks, KS_EARLY, "derived", hash_empty(lib, psk->hash).data, ret_k2);
    ks_wipe(&ks);
    return rc;
}

tt_rc psk_binder(const struct crypto_lib *lib, const struct psk *psk, const uint8_t *transcript_hash,
                 uint8_t *ret)
{
    struct key_schedule ks;
    struct ks_secret k1;
    const struct tt_bytes data = {transcript_hash, hash_size(psk->hash)};
    tt_rc rc = psk_early(&ks, &k1, lib, psk);
    if (rc == TT_OK)
        rc = hmac(lib, psk->hash, (struct tt_bytes){k1.data, hash_size(psk->hash)}, &data, 1, ret);
    ks_wipe(&ks);
    mem_wipe(&k1, sizeof k1);
    return rc;
}

/* "epskx = HKDF-Extract(0, epsk); ipskx = HKDF-Expand-Label(epskx, "derived psk", Hash(ImportedIdentity),
 * L)", with the hash of the external PSK, which is SHA-256 unless something else was said: "it is not the
 * hash function associated with ImportedIdentity.target_kdf". */
tt_rc psk_import(struct psk *ret, const struct crypto_lib *lib, const struct psk_import *from)
{
    static const uint8_t zeros[HASH_MAX_SIZE];
    const size_t n = hash_size(from->hash);
    uint8_t epskx[HASH_MAX_SIZE], hash[HASH_MAX_SIZE];
    struct psk psk = {
        .hash = from->target, .external = true, .imported = true, .len = hash_size(from->target)};
    TT_TRY(hash_digest(lib, from->hash, from->imported_identity, hash));
    tt_rc rc = hkdf_extract(lib, from->hash, (struct tt_bytes){zeros, n}, from->epsk, epskx);
    if (rc == TT_OK)
        rc = ks_expand_label(lib, from->hash, epskx, (struct ks_label){"derived psk", {hash, n}}, psk.key,
                             psk.len);
    if (rc == TT_OK)
        *ret = psk;
    mem_wipe(epskx, sizeof epskx);
    mem_wipe(&psk, sizeof psk);
    return rc;
}

tt_rc psk_digest(uint8_t ret[32], const struct crypto_lib *lib, const struct psk *psk,
                 struct tt_bytes identity)
{
    static const char label[] = "tpmtls external psk";
    TT_AUTO(buf_free) struct buf all = {0};
    struct writer w = writer_to(&all);
    if (psk->held)
        return TT_ERR_INTERNAL;
    wr_bytes(&w, (struct tt_bytes){(const uint8_t *)label, sizeof label});
    wr_u8(&w, (uint8_t)psk->hash);
    wr_u8(&w, psk->imported);
    wr_vec16(&w, identity);
    wr_vec8(&w, (struct tt_bytes){psk->key, psk->len});
    TT_TRY(wr_status(&w));
    return hash_digest(lib, HASH_SHA256, buf_bytes(&all), ret);
}

tt_rc psk_of_ticket(struct psk *ret, const struct crypto_lib *lib, enum hash_id hash,
                    const struct ks_secret *resumption_secret, struct tt_bytes nonce)
{
    struct psk psk = {.hash = hash, .len = hash_size(hash)};
    TT_TRY(ks_expand_label(lib, hash, resumption_secret->data, (struct ks_label){"resumption", nonce},
                           psk.key, psk.len));
    *ret = psk;
    mem_wipe(&psk, sizeof psk);
    return TT_OK;
}
