/* tpm/fd_tcti.h: a TCTI over a stream descriptor that carries bare TPM commands and responses. Layer: tpm. */
#ifndef TPM_FD_TCTI_H
#define TPM_FD_TCTI_H

#include <tss2/tss2_tcti.h>

#include "base/rc.h"

/* fd_tcti_new: takes over fd on success. NULL: no memory. */
TT_MUST_USE TSS2_TCTI_CONTEXT *fd_tcti_new(int fd);

/* fd_tcti_close: closes the descriptor, frees, and clears *tcti. Fits tpm_open_tcti. */
void fd_tcti_close(TSS2_TCTI_CONTEXT **tcti);

#endif
