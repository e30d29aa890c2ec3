/* tpm/lab.h: "lab:OPTIONS:INNER", the TCTI that plays real chips (docs/lab-tcti.md): where its module is, and
 * what is wrong with its string. Layer: tpm; for spec.c. */
#ifndef TPM_LAB_H
#define TPM_LAB_H

#include "base/rc.h"

/* lab_config: what stands behind "lab:" or "tpmtls-lab:"; NULL: the spec names another TPM. */
const char *lab_config(const char *spec);
/* lab_inner: the TCTI string behind the options; "" when there is none. */
const char *lab_inner(const char *config);

/* lab_tcti_string: the string tpm2-tss' loader understands: the module's path where it is found in
 * $TPMTLS_LIBDIR or beside this program, else the name by which an installed one is found. */
TT_MUST_USE tt_rc lab_tcti_string(char *ret, size_t cap, const char *config, struct tt_error *err);

/* lab_explain: after that string could not be opened: TT_ERR_USAGE with the module's own sentence when its
 * options are wrong, TT_ERR_TPM with a hint when the module is not there; TT_OK: neither, it is the inner
 * TCTI. */
TT_MUST_USE tt_rc lab_explain(const char *config, struct tt_error *err);

#endif
