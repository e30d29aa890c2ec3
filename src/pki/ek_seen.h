/* pki/ek_seen.h: endorsement certificates that were found to lead to a vendor's root, so that they are not
 * verified again. Layer: pki.
 *
 * An attested enrolment shows the same chain twice within seconds: for the challenge, and with its answer.
 * The key is a SHA-256 over all certificates that came; each set of roots has one of these of its own. Only
 * good verdicts are kept, each with the time in which it stays true; outside of it there is no answer. The
 * size is fixed, so that nobody can make it grow. May be used by several threads. */
#ifndef PKI_EK_SEEN_H
#define PKI_EK_SEEN_H

#include "pki/ek_chain.h"

#define EK_SEEN_KEY 32

struct ek_seen;
struct ek_seen *ek_seen_new(void); /* NULL: no memory */
void ek_seen_free(struct ek_seen *s);

/* ek_seen_key: false: libcrypto has no memory; then nothing is asked and nothing kept. */
bool ek_seen_key(uint8_t ret[EK_SEEN_KEY], const struct ek_chain *chain);
/* ek_seen_get: what it says (the views are left empty), when the verdict is true now. */
bool ek_seen_get(struct ek_seen *s, struct ek_facts *ret, const uint8_t key[EK_SEEN_KEY], int64_t now);
/* ek_seen_put: path: what was verified, leaf to root. */
void ek_seen_put(struct ek_seen *s, const uint8_t key[EK_SEEN_KEY], const struct ek_facts *facts,
                 const STACK_OF(X509) * path);

#endif
