/* tpm/meter.c: the metering TCTI. Layer: tpm. TCG TSS 2.0 TCTI API specification; headers of commands and
 * responses: TPM 2.0 part 1, section 18. A response is hostile: its header is checked before anybody reads
 * on. */
#include "tpm/meter.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "wire/reader.h"

#define METER_MAGIC    0x74706d746c736d74ULL
#define BACKOFF_MAX_MS 250
#define LAYER_MASK     0x00ff0000U /* where a TSS2_RC says who speaks */

static uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

const char *meter_command_name(uint32_t command)
{
    static const struct {
        uint32_t command;
        const char *name;
    } names[] = {
        {TPM2_CC_Sign, "TPM2_Sign"},
        {TPM2_CC_RSA_Decrypt, "TPM2_RSA_Decrypt"},
        {TPM2_CC_Load, "TPM2_Load"},
        {TPM2_CC_CreatePrimary, "TPM2_CreatePrimary"},
        {TPM2_CC_Create, "TPM2_Create"},
        {TPM2_CC_FlushContext, "TPM2_FlushContext"},
        {TPM2_CC_ReadPublic, "TPM2_ReadPublic"},
        {TPM2_CC_ContextSave, "TPM2_ContextSave"},
        {TPM2_CC_ContextLoad, "TPM2_ContextLoad"},
        {TPM2_CC_GetCapability, "TPM2_GetCapability"},
        {TPM2_CC_TestParms, "TPM2_TestParms"},
        {TPM2_CC_LoadExternal, "TPM2_LoadExternal"},
        {TPM2_CC_Import, "TPM2_Import"},
        {TPM2_CC_EvictControl, "TPM2_EvictControl"},
        {TPM2_CC_StartAuthSession, "TPM2_StartAuthSession"},
        {TPM2_CC_HMAC, "TPM2_HMAC"},
        {TPM2_CC_Unseal, "TPM2_Unseal"},
        {TPM2_CC_GetRandom, "TPM2_GetRandom"},
        {TPM2_CC_Startup, "TPM2_Startup"},
        {TPM2_CC_Certify, "TPM2_Certify"},
        {TPM2_CC_Quote, "TPM2_Quote"},
        {TPM2_CC_PCR_Read, "TPM2_PCR_Read"},
        {TPM2_CC_NV_Read, "TPM2_NV_Read"},
        {TPM2_CC_NV_ReadPublic, "TPM2_NV_ReadPublic"},
        {TPM2_CC_ActivateCredential, "TPM2_ActivateCredential"},
        {TPM2_CC_PolicySecret, "TPM2_PolicySecret"},
        {TPM2_CC_PolicyPCR, "TPM2_PolicyPCR"},
        {TPM2_CC_PolicyAuthorize, "TPM2_PolicyAuthorize"},
        {TPM2_CC_VerifySignature, "TPM2_VerifySignature"},
    };
    for (size_t i = 0; i < TT_COUNT(names); i++)
        if (names[i].command == command)
            return names[i].name;
    return "TPM2 command";
}

bool meter_wants_retry(TSS2_RC rc)
{
    if ((rc & LAYER_MASK) == TSS2_RESMGR_TPM_RC_LAYER)
        rc &= ~LAYER_MASK;
    return rc == TPM2_RC_RETRY || rc == TPM2_RC_YIELDED || rc == TPM2_RC_TESTING;
}

static struct meter *meter_of(TSS2_TCTI_CONTEXT *tcti)
{
    return (struct meter *)tcti;
}

static void meter_ended(struct meter *m, TSS2_RC rc)
{
    if (meter_wants_retry(rc))
        m->backoff_ms = m->backoff_ms == 0 ? 1 : m->backoff_ms * 2;
    else
        m->backoff_ms = 0;
    if (m->backoff_ms > BACKOFF_MAX_MS)
        m->backoff_ms = BACKOFF_MAX_MS;
    if (m->trace == NULL)
        return;
    struct tt_tpm_event event = {.command = m->command,
                                 .name = meter_command_name(m->command),
                                 .response = rc,
                                 .nanoseconds = now_ns() - m->started};
    m->trace(m->trace_arg, &event);
}

static TSS2_RC meter_transmit(TSS2_TCTI_CONTEXT *tcti, size_t size, const uint8_t *command)
{
    struct meter *m = meter_of(tcti);
    if (getpid() != m->owner)
        return TSS2_TCTI_RC_NOT_PERMITTED;
    struct reader r = reader_of((struct tt_bytes){command, size});
    (void)rd_bytes(&r, 6);
    m->command = rd_u32(&r);
    if (m->backoff_ms > 0)
        (void)usleep(m->backoff_ms * 1000);
    m->count++;
    m->started = now_ns();
    TSS2_RC rc = Tss2_Tcti_Transmit(m->inner, size, command);
    if (rc != TSS2_RC_SUCCESS)
        meter_ended(m, rc);
    return rc;
}

static TSS2_RC meter_receive(TSS2_TCTI_CONTEXT *tcti, size_t *size, uint8_t *response, int32_t timeout)
{
    struct meter *m = meter_of(tcti);
    TSS2_RC rc = Tss2_Tcti_Receive(m->inner, size, response, timeout);
    if (rc == TSS2_TCTI_RC_TRY_AGAIN || (rc == TSS2_RC_SUCCESS && response == NULL))
        return rc; /* not there yet, or only asked how long it is */
    if (rc != TSS2_RC_SUCCESS) {
        meter_ended(m, rc);
        return rc;
    }
    struct reader r = reader_of((struct tt_bytes){response, *size});
    (void)rd_u16(&r);
    uint32_t claimed = rd_u32(&r);
    uint32_t code = rd_u32(&r);
    if (r.failed || claimed != *size) {
        meter_ended(m, TSS2_TCTI_RC_MALFORMED_RESPONSE);
        return TSS2_TCTI_RC_MALFORMED_RESPONSE;
    }
    struct meter_listener *l = &m->listen;
    l->len = code == TPM2_RC_SUCCESS && *size <= l->cap ? *size : 0;
    if (l->len > 0)
        memcpy(l->to, response, l->len);
    meter_ended(m, code);
    return TSS2_RC_SUCCESS;
}

/* ESAPI's caller finalizes nothing: the meter is part of struct tt_tpm and ends in meter_close. */
static void meter_finalize(TSS2_TCTI_CONTEXT *tcti)
{
    (void)tcti;
}

static TSS2_RC meter_cancel(TSS2_TCTI_CONTEXT *tcti)
{
    return Tss2_Tcti_Cancel(meter_of(tcti)->inner);
}

static TSS2_RC meter_poll_handles(TSS2_TCTI_CONTEXT *tcti, TSS2_TCTI_POLL_HANDLE *handles, size_t *n)
{
    return Tss2_Tcti_GetPollHandles(meter_of(tcti)->inner, handles, n);
}

static TSS2_RC meter_set_locality(TSS2_TCTI_CONTEXT *tcti, uint8_t locality)
{
    return Tss2_Tcti_SetLocality(meter_of(tcti)->inner, locality);
}

void meter_init(struct meter *m, TSS2_TCTI_CONTEXT *inner, void (*close_inner)(TSS2_TCTI_CONTEXT **))
{
    *m = (struct meter){.tcti = {.magic = METER_MAGIC,
                                 .version = 1,
                                 .transmit = meter_transmit,
                                 .receive = meter_receive,
                                 .finalize = meter_finalize,
                                 .cancel = meter_cancel,
                                 .getPollHandles = meter_poll_handles,
                                 .setLocality = meter_set_locality},
                        .inner = inner,
                        .close_inner = close_inner,
                        .owner = getpid()};
}

void meter_close(struct meter *m)
{
    if (m->inner != NULL)
        m->close_inner(&m->inner);
    m->inner = NULL;
}
