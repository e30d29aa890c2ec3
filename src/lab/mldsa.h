/* lab/mldsa.h: the commands of version 1.85 that an ML-DSA key needs, which no chip and no libtpms has yet:
 * the lab answers them itself, by libcrypto's ML-DSA (3.5), as part 3 of the specification says. Layer: lab;
 * the only place in it that knows libcrypto.
 *
 * What such a "chip" gives out as a private area is the key's seed: it protects nothing. Keys are in this
 * connection's chip alone; only the empty password is known. */
#ifndef LAB_MLDSA_H
#define LAB_MLDSA_H

#include "lab/command.h"

#define LAB_MLDSA_KEYS    3
#define LAB_MLDSA_MESSAGE 65536

struct lab_mldsa_key {
    void *pkey; /* EVP_PKEY; NULL: free */
    uint8_t name[34];
};

struct lab_mldsa {
    struct lab_mldsa_key keys[LAB_MLDSA_KEYS];
    struct lab_mldsa_key *signing; /* of the one sequence there is, or NULL */
    uint8_t *message;
    size_t message_len;
};

/* lab_mldsa_possible: libcrypto has it. */
bool lab_mldsa_possible(void);
/* lab_mldsa_answer: true: the command was for us, and this is the whole answer (LAB_MAX_MESSAGE bytes). */
bool lab_mldsa_answer(struct lab_mldsa *m, const struct lab_command *c, uint8_t *response, size_t *ret_len);
void lab_mldsa_forget(struct lab_mldsa *m);

#endif
