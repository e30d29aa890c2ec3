/* tls/auth.h: what the authentication of a peer rested on, and the one question about it: would it still be
 * accepted now, under this configuration? Layer: tls. RFC 9846 sections 2.2, 4.3.11, 4.7.1.
 *
 * Every session of a client and every ticket of a server carries it whole; the client asks before it offers
 * the one, the server before it accepts the other. It reads no clock and decides about nothing else. */
#ifndef TLS_AUTH_H
#define TLS_AUTH_H

#include "tls/config.h"
#include "wire/reader.h"
#include "wire/writer.h"

#define MAX_PEER_CERTIFICATES 64 /* the limit for messages is most often met before */

/* struct auth: the anchors, the demands and the switches of the judge are in `rules`; which of the anchors,
 * and which CRLs, is not kept: they are asked anew, and their ends are in `until`. */
struct auth {
    uint8_t rules[32];        /* config_fingerprint of the configuration that judged */
    uint8_t psk[32];          /* psk_digest of the external PSK; auth_no_psk: there was none */
    uint8_t peer_type;        /* enum tt_certificate_type: what chain holds */
    uint16_t scheme;          /* of the peer's CertificateVerify; 0: it made none */
    bool delegated;           /* by the key of a delegated credential */
    int64_t authenticated_ms; /* the full handshake at the root of a chain of tickets */
    int64_t until;            /* seconds: the earliest end of all that it rests on; INT64_MAX: none has one */
    struct tt_bytes chain;    /* vec24 each, leaf first; a view, like ocsp */
    struct tt_bytes ocsp;     /* the response that came with the leaf */
};
extern const uint8_t auth_no_psk[32];

void auth_put(struct writer *w, const struct auth *a);
/* auth_read: views into the reader's bytes; check the reader. */
struct auth auth_read(struct reader *r);

/* struct auth_asked: who asks: the configuration, the time, the name, and the external PSKs at hand. */
struct auth_asked {
    const struct tt_config *cfg;
    int64_t now_ms;
    struct tt_bytes server_name; /* a client's; whom it wants to reach */
    bool by_public_name;         /* that is the public name of ECH, and the peer's other names do not count */
    struct tt_session *const *psks; /* tickets among them are not looked at */
    size_t psks_len;
};

/* auth_judge: the verifier's word about what a peer shows: a chain, or a raw public key. The rules of
 * trust_verify hold. Only where the configuration has a trust set, or accepts any. */
TT_MUST_USE tt_rc auth_judge(struct trust_verdict *ret, const struct auth_asked *q, const struct auth *a,
                             struct tt_error *err);

/* struct auth_found: what was found out on the way. */
struct auth_found {
    struct tt_session *psk; /* the external PSK that it rests on; borrowed; NULL */
    bool ocsp_good;
};
/* auth_holds: would this still be accepted now, under this configuration? False also when it cannot be told
 * for lack of memory: a full handshake is always right. */
bool auth_holds(const struct auth *a, const struct auth_asked *q, struct auth_found *ret);

#endif
