/* wire/attest_form.h: the messages of attestation that both its ends read and write: what an attestation key
 * signs, and a challenge. Layer: wire. docs/attestation.md has them in words.
 *
 *     Challenge ::= SEQUENCE { version INTEGER (1), credential OCTET STRING, secret OCTET STRING, token OCTET
 * STRING } */
#ifndef WIRE_ATTEST_FORM_H
#define WIRE_ATTEST_FORM_H

#include "base/buf.h"
#include "wire/reader.h"

/* form_extra: append what the extraData of a statement is the SHA-256 of. use: 0 a certificate, 1 a
 * connection (enum tt_attest_use); quote: of PCRs, else of a key. Whoever gives out nonces for the one gets
 * no statement for the other. */
TT_MUST_USE tt_rc form_extra(struct buf *to, unsigned use, bool quote, struct tt_bytes nonce);

/* struct form_challenge: credential: TPM2B_ID_OBJECT; secret: TPM2B_ENCRYPTED_SECRET; token: whoever made it
 * knows. */
struct form_challenge {
    struct tt_bytes credential, secret, token;
};
TT_MUST_USE tt_rc form_challenge_put(struct buf *to, const struct form_challenge *c);
TT_MUST_USE tt_rc form_challenge_get(struct form_challenge *ret, struct tt_bytes der);

#endif
