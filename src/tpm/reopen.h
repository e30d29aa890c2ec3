/* tpm/reopen.h: what is done when the TPM went away, forgot what was loaded, or was given up: everything is
 * opened and loaded again, once. Layer: tpm.
 *
 * After tpm_reopen no handle from before means anything: objects and sessions are forgotten (object.c
 * compares meter.openings), and loaded again by their next use. */
#ifndef TPM_REOPEN_H
#define TPM_REOPEN_H

#include "base/rc.h"
#include "tpmtls/key.h"

/* tpm_can_reopen: remember how the TPM was opened. */
TT_MUST_USE tt_rc tpm_can_reopen(struct tt_tpm *tpm, const char *spec, struct tt_error *err);
TT_MUST_USE tt_rc tpm_reopen(struct tt_tpm *tpm, struct tt_error *err);

/* tpm_silence: tpm2-tss prints to stderr what its callers are told anyway, and has no other switch than the
 * variable TSS2_LOG. It is set for this process unless it is set already: who sets it gets its messages. */
void tpm_silence(void);

/* tpm_use_lib: libcrypto as a guest in somebody else's process has it; it outlives the TPM. */
struct crypto_lib;
void tpm_use_lib(struct tt_tpm *tpm, const struct crypto_lib *lib);

/* tpm_never_reopen: that would start a thread (tpm/courier.h): what is lost stays lost, and the caller opens
 * a TPM anew. tpm_is_lost: it has to. */
void tpm_never_reopen(struct tt_tpm *tpm);
bool tpm_is_lost(const struct tt_tpm *tpm);

/* struct tpm_try: something that is done once more after a loss; TPM_TWICE is how it is used. */
struct tpm_try {
    struct tt_tpm *tpm;
    unsigned tries;
};
/* tpm_try_start: opens the TPM again if it was lost before. */
TT_MUST_USE tt_rc tpm_try_start(struct tpm_try *ret, struct tt_tpm *tpm, struct tt_error *err);
/* tpm_try_again: true: the TPM was lost, is there again, and why was cleared. */
bool tpm_try_again(struct tpm_try *t, tt_rc rc, struct tt_error *why);

/* tpm_is_stuck: the last command was given up, and the TPM was not opened again since. */
bool tpm_is_stuck(const struct tt_tpm *tpm);

/* TPM_TWICE: the value of `call`, a tt_rc, which is evaluated once more after a loss. */
#define TPM_TWICE(tpm, err, call)                                                                            \
    __extension__({                                                                                          \
        struct tpm_try twice_;                                                                               \
        tt_rc twice_rc_ = tpm_try_start(&twice_, tpm, err);                                                  \
        if (twice_rc_ == TT_OK)                                                                              \
            do                                                                                               \
                twice_rc_ = (call);                                                                          \
            while (tpm_try_again(&twice_, twice_rc_, err));                                                  \
        twice_rc_;                                                                                           \
    })

#endif
