/* tls/psk.h: pre-shared keys of both kinds, and their binders (RFC 9846 sections 4.3.11 and 7.1). Layer: tls.
 */
#ifndef TLS_PSK_H
#define TLS_PSK_H

#include "tls/key_schedule.h"

#define PSK_MAX_SIZE     64
#define PSK_MIN_EXTERNAL 16      /* 128 bits (RFC 9257 section 6) */
#define PSK_MAX_IMPORTED 256     /* of an external PSK that is imported */
#define PSK_MAX_OFFERED  4       /* a client offers no more */
#define PSK_MAX_EXAMINED 8       /* a server looks at no more */
#define PSK_MAX_LIFETIME 604800U /* seconds: 7 days (section 4.7.1) */

/* struct psk: a key and what its binder depends on. */
struct psk {
    enum hash_id hash;
    bool external; /* "ext binder" or "imp binder", else "res binder" */
    bool imported; /* external, through the importer of RFC 9258 */
    bool held;     /* key is not here but with whoever answers tt_psk_request; len is that of the hash */
    uint8_t key[PSK_MAX_SIZE];
    size_t len;
};

/* psk_binder: the binder over Transcript-Hash(Truncate(ClientHello)); ret has hash_size bytes. */
TT_MUST_USE tt_rc psk_binder(const struct crypto_lib *lib, const struct psk *psk,
                             const uint8_t *transcript_hash, uint8_t *ret);

/* psk_split: the two constants of a PSK that its use needs (see tt_session_hold); hash_size bytes each. */
TT_MUST_USE tt_rc psk_split(const struct crypto_lib *lib, const struct psk *psk, struct ks_secret *ret_k1,
                            struct ks_secret *ret_k2);

/* struct psk_import: what the importer of RFC 9258 takes: an external PSK with the hash that belongs to it,
 * the serialised ImportedIdentity, and the hash of the suites that the imported PSK is for. */
struct psk_import {
    enum hash_id hash, target;
    struct tt_bytes epsk, imported_identity;
};
TT_MUST_USE tt_rc psk_import(struct psk *ret, const struct crypto_lib *lib, const struct psk_import *from);

/* psk_digest: which external PSK it is: SHA-256 over its kind, its identity and its key. */
TT_MUST_USE tt_rc psk_digest(uint8_t ret[32], const struct crypto_lib *lib, const struct psk *psk,
                             struct tt_bytes identity);

/* psk_of_ticket: HKDF-Expand-Label(resumption_secret, "resumption", ticket_nonce, Hash.length). */
TT_MUST_USE tt_rc psk_of_ticket(struct psk *ret, const struct crypto_lib *lib, enum hash_id hash,
                                const struct ks_secret *resumption_secret, struct tt_bytes nonce);

#endif
