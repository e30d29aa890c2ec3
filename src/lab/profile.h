/* lab/profile.h: how long which chip takes for which command. Layer: lab. Knows nothing of clocks: it answers
 * with a number of microseconds, which depends on the profile, the command, the seed and the command's number
 * only. */
#ifndef LAB_PROFILE_H
#define LAB_PROFILE_H

#include "lab/command.h"

/* struct lab_profile: microseconds a command of each kind takes, on average or (log-normal) in the median. */
struct lab_profile {
    const char *name;
    const char *chip;
    uint32_t sign, verify, ecdh, ecc_keygen;      /* P-256 */
    uint32_t rsa_private, rsa_public, rsa_keygen; /* 2048 bits */
    uint32_t brief;                               /* any command without asymmetric arithmetic */
    bool has_sha384;
    double sigma; /* of the logarithm; 0: uniform within 10% of the average */
};

const struct lab_profile *lab_profile_find(const char *name);
/* lab_profile_names: all of them, separated by spaces. */
void lab_profile_names(char *ret, size_t cap);

/* struct lab_exchange: a command and the chip's answer to it. */
struct lab_exchange {
    const struct lab_command *command;
    struct tt_bytes response;
};

/* lab_profile_cost: microseconds, before jitter. A refused command is brief. */
uint64_t lab_profile_cost(const struct lab_profile *p, const struct lab_exchange *x);

/* lab_profile_jitter: the same cost as this chip would show it the nth time. */
uint64_t lab_profile_jitter(const struct lab_profile *p, uint64_t cost, uint64_t seed, uint64_t n);

/* lab_random: the nth 64-bit number of a seed's sequence (splitmix64). */
uint64_t lab_random(uint64_t seed, uint64_t n);

#endif
