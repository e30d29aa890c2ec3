/* lab/chip.h: the TPM behind the lab, and the commands that the lab sends it itself. Layer: lab. They are not
 * part of what the user counts, and what they answer is as hostile as everything a TPM answers. */
#ifndef LAB_CHIP_H
#define LAB_CHIP_H

#include <tss2/tss2_tcti.h>

#include "lab/command.h"

/* The first handle of each kind. The header's own constants shift into the sign bit of an int. */
#define LAB_TRANSIENT       0x80000000U
#define LAB_LOADED_SESSIONS 0x02000000U
#define LAB_SAVED_SESSIONS  0x03000000U

struct lab_chip {
    TSS2_TCTI_CONTEXT *inner;
    uint8_t answer[LAB_MAX_MESSAGE]; /* to a command of the lab's own */
    uint64_t newest;                 /* sequence number of the newest object context seen */
    uint64_t stale;                  /* object contexts up to this one were saved before the last restart */
};

/* lab_chip_run: one command; *ret_len is the whole response's length, in ret (LAB_MAX_MESSAGE bytes). */
TT_MUST_USE bool lab_chip_run(struct lab_chip *chip, struct tt_bytes command, uint8_t *ret, size_t *ret_len);

/* lab_chip_handles: up to cap handles from `first` on, of first's kind; returns how many. */
size_t lab_chip_handles(struct lab_chip *chip, uint32_t first, uint32_t *ret, size_t cap);

/* lab_chip_public: what is at a handle; type 0 when that cannot be read. */
struct lab_public lab_chip_public(struct lab_chip *chip, uint32_t handle);

/* lab_chip_hash: ret has size bytes, the digest's. */
TT_MUST_USE bool lab_chip_hash(struct lab_chip *chip, uint16_t alg, struct tt_bytes data, uint8_t *ret,
                               size_t size);

/* lab_chip_forget: what a restart does: no objects, no sessions, and saved contexts are worth nothing. */
void lab_chip_forget(struct lab_chip *chip);
/* lab_chip_watch: note the sequence number of a context that was saved or loaded. */
void lab_chip_watch(struct lab_chip *chip, const struct lab_command *c, struct tt_bytes response);
/* lab_chip_is_stale: a TPM2_ContextLoad of an object saved before the last restart. */
bool lab_chip_is_stale(const struct lab_chip *chip, const struct lab_command *c);

/* lab_put16 / lab_put32: big-endian, at the front of p. */
void lab_put16(uint8_t *p, uint16_t v);
void lab_put32(uint8_t *p, uint32_t v);

#endif
