/* lab/limits.h: a chip that has less: algorithms, curves, key sizes, object slots. Layer: lab. */
#ifndef LAB_LIMITS_H
#define LAB_LIMITS_H

#include "lab/chip.h"
#include "lab/options.h"

/* lab_limits_refuse: the response code with which the lesser chip refuses a command, or 0. */
uint32_t lab_limits_refuse(const struct lab_options *o, struct lab_chip *chip, const struct lab_command *c);

/* lab_limits_answer: make a TPM2_GetCapability say what the lesser chip would. */
void lab_limits_answer(const struct lab_options *o, struct lab_chip *chip, const struct lab_command *c,
                       uint8_t *response, size_t *len);

#endif
