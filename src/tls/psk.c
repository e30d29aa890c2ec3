/* tls/psk.c: binders and ticket keys. Layer: tls. RFC 9846 sections 4.3.11.2, 4.7.1, 7.1. */
#include "tls/psk.h"

#include "base/mem.h"

tt_rc psk_split(const struct crypto_lib *lib, const struct psk *psk, struct ks_secret *ret_k1,
                struct ks_secret *ret_k2)
{
    struct key_schedule ks;
    struct ks_secret binder_key;
    uint8_t empty_hash[HASH_MAX_SIZE];
    if (psk->held)
        return TT_ERR_INTERNAL;
    TT_TRY(hash_digest(lib, psk->hash, (struct tt_bytes){(const uint8_t *)"", 0}, empty_hash));
    ks_init(&ks, lib, psk->hash);
    tt_rc rc = ks_early(&ks, (struct tt_bytes){psk->key, psk->len});
    const char *label = psk->imported ? "imp binder" : psk->external ? "ext binder" : "res binder";
    if (rc == TT_OK)
        rc = ks_derive(&ks, KS_EARLY, label, empty_hash, &binder_key);
    if (rc == TT_OK)
        rc = ks_expand_label(lib, psk->hash, binder_key.data, (struct ks_label){"finished", {NULL, 0}},
                             ret_k1->data, hash_size(psk->hash));
    if (rc == TT_OK)
        rc = ks_derive(&ks, KS_EARLY, "derived", empty_hash, ret_k2);
    ks_wipe(&ks);
    mem_wipe(&binder_key, sizeof binder_key);
    return rc;
}

tt_rc psk_binder(const struct crypto_lib *lib, const struct psk *psk, const uint8_t *transcript_hash,
                 uint8_t *ret)
{
    struct ks_secret k1, k2;
    TT_TRY(psk_split(lib, psk, &k1, &k2));
    const struct tt_bytes data = {transcript_hash, hash_size(psk->hash)};
    tt_rc rc = hmac(lib, psk->hash, (struct tt_bytes){k1.data, hash_size(psk->hash)}, &data, 1, ret);
    mem_wipe(&k1, sizeof k1);
    mem_wipe(&k2, sizeof k2);
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
