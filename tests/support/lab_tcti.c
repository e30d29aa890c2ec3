/* tests/support/lab_tcti.c: what tpm2-tss' loader does, without it. */
#include "support/lab_tcti.h"

#include "base/mem.h"
#include "lab/tcti.h"

TSS2_TCTI_CONTEXT *lab_tcti_new(const char *config)
{
    const TSS2_TCTI_INFO *info = Tss2_Tcti_Info();
    size_t size = 0;
    if (info->init(NULL, &size, config) != TSS2_RC_SUCCESS)
        return NULL;
    TSS2_TCTI_CONTEXT *tcti = mem_alloc(size);
    if (tcti != NULL && info->init(tcti, &size, config) != TSS2_RC_SUCCESS) {
        mem_free(tcti);
        return NULL;
    }
    return tcti;
}

void lab_tcti_close(TSS2_TCTI_CONTEXT **tcti)
{
    if (*tcti == NULL)
        return;
    Tss2_Tcti_Finalize(*tcti);
    mem_free(*tcti);
    *tcti = NULL;
}
