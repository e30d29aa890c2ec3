/* tls/key_schedule.h: RFC 9846 section 7. Layer: tls. Pure computation; knows no connection.
 *
 *             0 -> HKDF-Extract = Early Secret     KS_EARLY      (input: PSK, or zeros)
 *   Derive "derived" -> Extract = Handshake Secret KS_HANDSHAKE  (input: key exchange)
 *   Derive "derived" -> Extract = Main Secret      KS_MAIN       (input: zeros)
 *
 * Calls out of order are TT_ERR_INTERNAL, never a wrong key. */
#ifndef TLS_KEY_SCHEDULE_H
#define TLS_KEY_SCHEDULE_H

#include "crypto/aead.h"
#include "crypto/hash.h"

/* struct suite: a cipher suite of RFC 9846 appendix B.4. */
struct suite {
    uint16_t id;
    enum hash_id hash;
    enum aead_id aead;
    uint64_t record_limit; /* records under one key before a KeyUpdate (section 5.5) */
};
const struct suite *suite_of(uint16_t id); /* NULL for one we do not know */

enum ks_phase {
    KS_START,
    KS_EARLY,
    KS_HANDSHAKE,
    KS_MAIN
};

struct key_schedule {
    const struct crypto_lib *lib;
    enum hash_id hash;
    enum ks_phase phase;
    bool without_psk;
    uint8_t secret[HASH_MAX_SIZE]; /* the secret of the phase */
};

/* struct ks_secret: a derived secret of hash_size bytes. */
struct ks_secret {
    uint8_t data[HASH_MAX_SIZE];
};

void ks_init(struct key_schedule *ks, const struct crypto_lib *lib, enum hash_id hash);
void ks_wipe(struct key_schedule *ks);
/* ks_early: psk of any length; an empty one stands for hash_size zeros (no PSK). */
TT_MUST_USE tt_rc ks_early(struct key_schedule *ks, struct tt_bytes psk);
TT_MUST_USE tt_rc ks_handshake(struct key_schedule *ks, struct tt_bytes shared_secret);
/* ks_handshake_given: the Handshake Secret was computed elsewhere (a held PSK); from KS_START. */
TT_MUST_USE tt_rc ks_handshake_given(struct key_schedule *ks, struct tt_bytes secret);
TT_MUST_USE tt_rc ks_main(struct key_schedule *ks);

/* ks_derive: Derive-Secret(secret of the phase, label, transcript hash); the schedule must be in `phase`. */
TT_MUST_USE tt_rc ks_derive(const struct key_schedule *ks, enum ks_phase phase, const char *label,
                            const uint8_t *transcript_hash, struct ks_secret *ret);

/* ks_expand_label: HKDF-Expand-Label(secret, label, context, len) of section 7.1. */
struct ks_label {
    const char *label; /* without "tls13 " */
    struct tt_bytes context;
};
TT_MUST_USE tt_rc ks_expand_label(const struct crypto_lib *lib, enum hash_id hash, const uint8_t *secret,
                                  struct ks_label label, uint8_t *ret, size_t len);

/* ks_finished: verify_data of section 4.5.3 from a traffic secret (the base key). */
TT_MUST_USE tt_rc ks_finished(const struct crypto_lib *lib, enum hash_id hash, const uint8_t *base_key,
                              const uint8_t *transcript_hash, uint8_t *ret);

/* ks_next_traffic: application_traffic_secret_N+1 in place (section 7.2). */
TT_MUST_USE tt_rc ks_next_traffic(const struct crypto_lib *lib, enum hash_id hash, struct ks_secret *secret);

#endif
