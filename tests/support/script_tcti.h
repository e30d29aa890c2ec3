/* tests/support/script_tcti.h: a TCTI between the code and a TPM that a test scripts: it may answer itself,
 * or change what the real TPM answered. */
#ifndef SUPPORT_SCRIPT_TCTI_H
#define SUPPORT_SCRIPT_TCTI_H

#include <stdbool.h>
#include <tss2/tss2_tcti.h>

/* struct script: answer() is asked first: true means that response[0 .. *len) is the answer and the TPM is
 * not asked. change() sees each answer of the TPM and may change it. Either may be NULL. A response holds
 * 4,096 bytes. */
struct script {
    bool (*answer)(struct script *s, uint32_t command, uint8_t *response, size_t *len);
    void (*change)(struct script *s, uint32_t command, uint8_t *response, size_t *len);
    unsigned left; /* for the functions: how often to act */
    unsigned seen; /* commands so far */
    /* heard() is told of each command and each answer, as they stand on the bus; or NULL. */
    void (*heard)(struct script *s, const uint8_t *bytes, size_t len);
};

/* script_tcti_new: over the TCTI of this string, or (NULL) over nothing, where each command must be answered.
 */
TSS2_TCTI_CONTEXT *script_tcti_new(const char *inner, struct script *script);
void script_tcti_close(TSS2_TCTI_CONTEXT **tcti);

/* script_code: a response that is only a code. */
void script_code(uint8_t *response, size_t *len, uint32_t rc);

#endif
