/* lab/salt.h: a chip that signs RSASSA-PSS with the longest salt that fits, as many do, and TLS 1.3 does not
 * allow (RFC 9846 section 4.3.3). Layer: lab. */
#ifndef LAB_SALT_H
#define LAB_SALT_H

#include "lab/chip.h"

/* lab_salt_sign: answer a TPM2_Sign that asks for RSAPSS. False: it is another command, or none the lab can
 * answer; the chip is to be asked. */
TT_MUST_USE bool lab_salt_sign(struct lab_chip *chip, const struct lab_command *c, uint64_t random,
                               uint8_t *response, size_t *len);

/* lab_salt_spoil: the chip has answered a TPM2_Sign itself, since its key may not decrypt and so nobody can
 * sign for it in another way: make the signature wrong for every length of salt, which is what a peer says of
 * it, too. */
void lab_salt_spoil(const struct lab_command *c, uint8_t *response, size_t len);

#endif
