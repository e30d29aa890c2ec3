/* tests/lab/lab_test.h: what the tests of the lab share: a chip, and our library on it through the lab. */
#ifndef LAB_TEST_H
#define LAB_TEST_H

#include "tpm/tpm_test.h"

#include "support/lab_tcti.h"
#include "support/temp_tpm.h"
#include "tpm/context.h"

/* lab_open: struct tt_tpm through "OPTIONS:" and a chip. */
struct tt_tpm *lab_open(const struct temp_tpm *chip, const char *options);

/* lab_open_lossy: the same, but when it is lost it is opened again without the OPTIONS. */
struct tt_tpm *lab_open_lossy(const struct temp_tpm *chip, const char *options);

/* lab_flush: take every transient object and session out of a chip that has no resource manager. */
void lab_flush(const struct temp_tpm *chip);

#endif
