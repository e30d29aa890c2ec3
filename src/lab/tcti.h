/* lab/tcti.h: the entry points of libtss2-tcti-tpmtls-lab.so. Layer: lab. See docs/lab-tcti.md. */
#ifndef LAB_TCTI_H
#define LAB_TCTI_H

#include <tss2/tss2_tcti.h>

#include "tpmtls/error.h"

/* Tss2_Tcti_Info: what tpm2-tss' loader asks a TCTI for. */
TT_API const TSS2_TCTI_INFO *Tss2_Tcti_Info(void);

/* tpmtls_lab_explain: what is wrong with a configuration string, since a TCTI can only answer with a number.
 * False, and an empty text, when nothing is. */
TT_API bool tpmtls_lab_explain(const char *config, char *text, size_t cap);

#endif
