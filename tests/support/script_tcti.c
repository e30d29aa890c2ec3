/* tests/support/script_tcti.c */
#include "support/script_tcti.h"

#include <string.h>
#include <tss2/tss2_tctildr.h>

#include "base/mem.h"

struct script_tcti {
    TSS2_TCTI_CONTEXT_COMMON_V1 v1;
    TSS2_TCTI_CONTEXT *inner;
    struct script *script;
    uint32_t command;
    bool answered;
    size_t len;
    uint8_t response[4096];
};

static struct script_tcti *of(TSS2_TCTI_CONTEXT *tcti)
{
    return (struct script_tcti *)tcti;
}

void script_code(uint8_t *response, size_t *len, uint32_t rc)
{
    uint8_t bytes[10] = {
        0x80, 0x01, 0, 0, 0, 10, (uint8_t)(rc >> 24), (uint8_t)(rc >> 16), (uint8_t)(rc >> 8), (uint8_t)rc};
    memcpy(response, bytes, sizeof bytes);
    *len = sizeof bytes;
}

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *tcti, size_t size, const uint8_t *command)
{
    struct script_tcti *t = of(tcti);
    t->command =
        (uint32_t)command[6] << 24 | (uint32_t)command[7] << 16 | (uint32_t)command[8] << 8 | command[9];
    t->script->seen++;
    if (t->script->heard != NULL)
        t->script->heard(t->script, command, size);
    t->answered = t->script->answer != NULL && t->script->answer(t->script, t->command, t->response, &t->len);
    if (t->answered)
        return TSS2_RC_SUCCESS;
    return t->inner == NULL ? TSS2_TCTI_RC_IO_ERROR : Tss2_Tcti_Transmit(t->inner, size, command);
}

static TSS2_RC receive(TSS2_TCTI_CONTEXT *tcti, size_t *size, uint8_t *response, int32_t timeout)
{
    struct script_tcti *t = of(tcti);
    if (response == NULL) {
        *size = sizeof t->response;
        return TSS2_RC_SUCCESS;
    }
    if (!t->answered) {
        t->len = sizeof t->response;
        TSS2_RC rc = Tss2_Tcti_Receive(t->inner, &t->len, t->response, timeout);
        if (rc != TSS2_RC_SUCCESS)
            return rc;
    }
    if (!t->answered && t->script->change != NULL)
        t->script->change(t->script, t->command, t->response, &t->len);
    if (t->script->heard != NULL)
        t->script->heard(t->script, t->response, t->len);
    if (t->len > *size || t->len > sizeof t->response)
        return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
    memcpy(response, t->response, t->len);
    *size = t->len;
    return TSS2_RC_SUCCESS;
}

TSS2_TCTI_CONTEXT *script_tcti_new(const char *inner, struct script *script)
{
    struct script_tcti *t = mem_alloc(sizeof *t);
    if (t == NULL)
        return NULL;
    t->v1 = (TSS2_TCTI_CONTEXT_COMMON_V1){.magic = 1, .version = 1, .transmit = transmit, .receive = receive};
    t->script = script;
    if (inner != NULL && Tss2_TctiLdr_Initialize(inner, &t->inner) != TSS2_RC_SUCCESS) {
        mem_free(t);
        return NULL;
    }
    return (TSS2_TCTI_CONTEXT *)t;
}

void script_tcti_close(TSS2_TCTI_CONTEXT **tcti)
{
    if (of(*tcti)->inner != NULL)
        Tss2_TctiLdr_Finalize(&of(*tcti)->inner);
    mem_free(*tcti);
    *tcti = NULL;
}
