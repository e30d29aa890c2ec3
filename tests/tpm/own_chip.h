/* tests/tpm/own_chip.h: one swtpm for all cases of a test program, by cmocka's group fixtures. Outside
 * programs (tpm2-tools, tpm2-openssl) find it by their environment, and a directory of its own as $D. */
#ifndef TESTS_TPM_OWN_CHIP_H
#define TESTS_TPM_OWN_CHIP_H

#include "support/temp_tpm.h"

extern struct temp_tpm chip;
int start_chip(void **state);
int stop_chip(void **state);

#endif
