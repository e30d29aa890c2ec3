/* tests/support/lab_tcti.h: the lab's TCTI, linked into a test instead of loaded, so that the sanitizers see
 * it. */
#ifndef SUPPORT_LAB_TCTI_H
#define SUPPORT_LAB_TCTI_H

#include <tss2/tss2_tcti.h>

/* lab_tcti_new: over OPTIONS:INNER; NULL when it cannot be opened. Fits tpm_open_tcti with lab_tcti_close. */
TSS2_TCTI_CONTEXT *lab_tcti_new(const char *config);
void lab_tcti_close(TSS2_TCTI_CONTEXT **tcti);

#endif
