/* tpm/courier.h: a thread that carries commands to a TCTI and waits for the answers, so that whoever wants an
 * answer can give up waiting. Layer: tpm; for meter.c. Most TCTIs block whatever time-out they are given, and
 * so does the kernel's poll() on a TPM.
 *
 * Invariants
 *  - The TCTI is touched by the courier's thread only, its opening included.
 *  - One command at a time. Command and answer are the courier's own copies: once it was given up, nothing of
 * the caller's is touched. It closes the TCTI itself when the TPM lets go of it, perhaps never. */
#ifndef TPM_COURIER_H
#define TPM_COURIER_H

#include <tss2/tss2_tcti.h>

#include "base/rc.h"

#define COURIER_MAX_RESPONSE 8192
#define COURIER_ESAPI_MAX                                                                                    \
    4096 /* tpm2-tss has no room for more, and does not ask for answers that have it                         \
          */

/* struct courier_tcti: a TCTI, and how to close it. */
struct courier_tcti {
    TSS2_TCTI_CONTEXT *tcti;
    void (*close)(TSS2_TCTI_CONTEXT **tcti);
};

struct courier;

/* courier_new: over a TCTI that is open, which is taken over, also on failure. */
TT_MUST_USE tt_rc courier_new(struct courier **ret, struct courier_tcti tcti);
/* courier_open: over a TCTI that the courier's thread opens with `open` (spec is copied). Waits until
 * `until_ns` of CLOCK_MONOTONIC (0: for ever); TT_ERR_DEADLINE when that passes first. *ret is to be freed
 * also when the opening failed; it is untouched only when there was no memory or no thread. */
TT_MUST_USE tt_rc courier_open(struct courier **ret,
                               tt_rc (*open)(struct courier_tcti *ret, const char *spec,
                                             struct tt_error *err),
                               const char *spec, uint64_t until_ns, struct tt_error *err);
/* courier_free: closes the TCTI; when a command is still under way the courier does that itself, later. NULL
 * is fine. In a child forked since, only the descriptor is closed. */
void courier_free(struct courier *c);
/* courier_is_under_way: a command, or the opening, has not ended. */
bool courier_is_under_way(struct courier *c);

TSS2_RC courier_send(struct courier *c, const uint8_t *command, size_t size);
/* courier_wait: TSS2_TCTI_RC_TRY_AGAIN: no answer before until_ns (0: waits for ever). */
TSS2_RC courier_wait(struct courier *c, uint8_t *response, size_t *size, uint64_t until_ns);
/* courier_tcti: for calls between two commands. */
TSS2_TCTI_CONTEXT *courier_tcti(struct courier *c);

#endif
