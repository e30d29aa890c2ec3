/* tpm/leftovers.h: what processes that are gone left in a TPM without a resource manager. Layer: tpm.
 *
 * Removed is what a record (tpm/loaded.h) of a process that is gone (its lock is free) lists, as far as it
 * can be shown to be that: an object by its name at the handle; one whose load was not answered by its public
 * area at any handle; a session that is loaded while nobody's record says that it is his, in a TPM that was
 * not restarted since. What a process that lives lists is left alone, and so is what no record lists. Records
 * of TPMs that are gone are removed. */
#ifndef TPM_LEFTOVERS_H
#define TPM_LEFTOVERS_H

#include "base/rc.h"
#include "tpmtls/key.h"

/* leftovers_clean: on a new connection, before anything is loaded: flush what an earlier connection of ours
 * left, and what others left, unless a resource manager does. */
void leftovers_clean(struct tt_tpm *tpm);

#endif
