/* tests/tpm/own_chip.c: see own_chip.h. */
#include "own_chip.h"

#include <stdlib.h>

struct temp_tpm chip;

int start_chip(void **state)
{
    (void)state;
    if (!temp_tpm_start(&chip))
        return -1;
    return setenv("TPM2TOOLS_TCTI", chip.tcti, 1) == 0 && setenv("TPM2OPENSSL_TCTI", chip.tcti, 1) == 0 &&
                   setenv("D", chip.dir, 1) == 0
               ? 0
               : -1;
}

int stop_chip(void **state)
{
    (void)state;
    temp_tpm_stop(&chip);
    return 0;
}
