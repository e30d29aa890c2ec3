/* tpm/meter.c: the metering TCTI. Layer: tpm. TCG TSS 2.0 TCTI API specification; headers of commands and
 * responses: TPM 2.0 part 1, section 18. A response is hostile: its header is checked before anybody reads
 * on. */
#include "tpm/meter.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
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
        {TPM2_CC_ECDH_ZGen, "TPM2_ECDH_ZGen"},
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
        {TPM2_CC_PolicyAuthValue, "TPM2_PolicyAuthValue"},
        {TPM2_CC_PolicyPassword, "TPM2_PolicyPassword"},
        {TPM2_CC_PolicyCommandCode, "TPM2_PolicyCommandCode"},
        {TPM2_CC_PolicyLocality, "TPM2_PolicyLocality"},
        {TPM2_CC_PolicyCounterTimer, "TPM2_PolicyCounterTimer"},
        {TPM2_CC_PolicyPhysicalPresence, "TPM2_PolicyPhysicalPresence"},
        {TPM2_CC_PolicySigned, "TPM2_PolicySigned"},
        {TPM2_CC_PolicyOR, "TPM2_PolicyOR"},
        {TPM2_CC_PolicyNV, "TPM2_PolicyNV"},
        {TPM2_CC_PolicyRestart, "TPM2_PolicyRestart"},
        {TPM2_CC_PolicyGetDigest, "TPM2_PolicyGetDigest"},
        {TPM2_CC_Hash, "TPM2_Hash"},
        {TPM2_CC_HashSequenceStart, "TPM2_HashSequenceStart"},
        {TPM2_CC_SequenceUpdate, "TPM2_SequenceUpdate"},
        {TPM2_CC_SequenceComplete, "TPM2_SequenceComplete"},
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
    uint64_t now = now_ns();
    m->answered = m->broken ? m->answered : now;
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
                                 .nanoseconds = now - m->started};
    m->trace(m->trace_arg, &event);
}

/* ---- time ---- */

void meter_set_deadline(struct meter *m, uint64_t at_ns, unsigned patience_ms)
{
    m->deadline = at_ns;
    m->patience_ms = patience_ms;
    m->lateness = METER_IN_TIME;
}

uint64_t meter_quiet_ms(const struct meter *m)
{
    return (now_ns() - m->answered) / 1000000;
}

bool meter_has_time(const struct meter *m)
{
    return m->deadline == 0 || now_ns() < m->deadline;
}

/* Nothing is sent when its time is over, but what frees a slot of the TPM. */
static void judge_lateness(struct meter *m)
{
    m->lateness = METER_IN_TIME;
    if (m->deadline == 0 || m->command == TPM2_CC_FlushContext)
        return;
    if (now_ns() + m->backoff_ms * 1000000ULL >= m->deadline)
        m->lateness = m->backoff_ms > 0 ? METER_LATE_SINCE_BUSY : METER_LATE;
}

uint64_t meter_patience_ms(const struct meter *m)
{
    bool makes_key = m->command == TPM2_CC_Create || m->command == TPM2_CC_CreatePrimary;
    return m->patience_ms * (m->deadline == 0 && makes_key ? 10ULL : 1);
}

/* When the TPM is given up. 0: never. */
static uint64_t wait_until(const struct meter *m)
{
    if (m->patience_ms == 0)
        return 0;
    return m->started + meter_patience_ms(m) * 1000000;
}

/* ---- the way to the TPM ---- */

static TSS2_TCTI_CONTEXT *meter_way(struct meter *m)
{
    return m->courier != NULL ? courier_tcti(m->courier) : m->inner;
}

static TSS2_RC way_send(struct meter *m, size_t size, const uint8_t *command)
{
    if (m->patience_ms > 0 && m->courier == NULL) {
        struct courier_tcti way = {m->inner, m->close_inner};
        m->inner = NULL;
        if (courier_new(&m->courier, way) != TT_OK)
            return TSS2_TCTI_RC_IO_ERROR;
    }
    return m->courier != NULL ? courier_send(m->courier, command, size)
                              : Tss2_Tcti_Transmit(m->inner, size, command);
}

static TSS2_RC way_receive(struct meter *m, size_t *size, uint8_t *response, int32_t timeout)
{
    if (m->courier == NULL)
        return Tss2_Tcti_Receive(m->inner, size, response, timeout);
    if (response == NULL) {
        *size = COURIER_ESAPI_MAX;
        return TSS2_RC_SUCCESS;
    }
    TSS2_RC rc = courier_wait(m->courier, response, size, wait_until(m));
    if (rc != TSS2_TCTI_RC_TRY_AGAIN)
        return rc;
    m->given_up = true;
    return TSS2_TCTI_RC_IO_ERROR;
}

static TSS2_RC meter_broke(struct meter *m, TSS2_RC rc)
{
    m->broken = true;
    meter_ended(m, rc);
    return rc;
}

/* ---- TCTI ---- */

static TSS2_RC meter_transmit(TSS2_TCTI_CONTEXT *tcti, size_t size, const uint8_t *command)
{
    struct meter *m = meter_of(tcti);
    if (getpid() != m->owner)
        return TSS2_TCTI_RC_NOT_PERMITTED;
    if (m->broken)
        return TSS2_TCTI_RC_IO_ERROR;
    struct reader r = reader_of((struct tt_bytes){command, size});
    (void)rd_bytes(&r, 6);
    m->command = rd_u32(&r);
    judge_lateness(m);
    if (m->lateness != METER_IN_TIME)
        return TSS2_RC_SUCCESS;
    if (m->backoff_ms > 0)
        (void)usleep(m->backoff_ms * 1000);
    m->count++;
    loaded_command(&m->loaded, &m->question, (struct tt_bytes){command, size});
    m->started = now_ns();
    TSS2_RC rc = way_send(m, size, command);
    return rc == TSS2_RC_SUCCESS ? rc : meter_broke(m, rc);
}

/* The answer to a command that was not sent. ESAPI does not repeat this one, and is not upset by it. */
static TSS2_RC answer_late(size_t *size, uint8_t *response)
{
    static const uint8_t canceled[METER_HEADER_SIZE] = {
        0x80, 0x01, 0, 0, 0, METER_HEADER_SIZE, 0, 0, TPM2_RC_CANCELED >> 8, TPM2_RC_CANCELED & 0xff};
    if (response != NULL && *size < sizeof canceled)
        return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
    if (response != NULL)
        memcpy(response, canceled, sizeof canceled);
    *size = sizeof canceled;
    return TSS2_RC_SUCCESS;
}

static TSS2_RC meter_receive(TSS2_TCTI_CONTEXT *tcti, size_t *size, uint8_t *response, int32_t timeout)
{
    struct meter *m = meter_of(tcti);
    if (m->lateness != METER_IN_TIME)
        return answer_late(size, response);
    TSS2_RC rc = way_receive(m, size, response, timeout);
    if (rc == TSS2_TCTI_RC_TRY_AGAIN || (rc == TSS2_RC_SUCCESS && response == NULL))
        return rc; /* not there yet, or only asked how long it is */
    if (rc != TSS2_RC_SUCCESS)
        return meter_broke(m, rc);
    struct reader r = reader_of((struct tt_bytes){response, *size});
    (void)rd_u16(&r);
    uint32_t claimed = rd_u32(&r);
    uint32_t code = rd_u32(&r);
    if (r.failed || claimed != *size)
        return meter_broke(m, TSS2_TCTI_RC_MALFORMED_RESPONSE);
    loaded_answer(&m->loaded, &m->question, code, (struct tt_bytes){response, *size});
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
    return Tss2_Tcti_Cancel(meter_way(meter_of(tcti)));
}

static TSS2_RC meter_poll_handles(TSS2_TCTI_CONTEXT *tcti, TSS2_TCTI_POLL_HANDLE *handles, size_t *n)
{
    return Tss2_Tcti_GetPollHandles(meter_way(meter_of(tcti)), handles, n);
}

static TSS2_RC meter_set_locality(TSS2_TCTI_CONTEXT *tcti, uint8_t locality)
{
    return Tss2_Tcti_SetLocality(meter_way(meter_of(tcti)), locality);
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
                        .owner = getpid(),
                        .loaded.fd = -1};
}

void meter_close(struct meter *m)
{
    if (m->inner != NULL)
        m->close_inner(&m->inner);
    m->inner = NULL;
    courier_free(TT_TAKE(m->courier));
    for (size_t i = 0; i < METER_MAX_LOST; i++)
        courier_free(TT_TAKE(m->lost[i]));
    if (getpid() == m->owner)
        loaded_close(&m->loaded);
    mem_free(TT_TAKE(m->spec));
}

/* ---- again ---- */

/* A courier that is stuck keeps its place until it comes back. False: there is no place left. */
static bool put_away(struct meter *m)
{
    bool done = m->courier == NULL || !courier_is_under_way(m->courier), room = false;
    for (size_t i = 0; i < METER_MAX_LOST; i++) {
        struct courier **place = &m->lost[i];
        if (*place != NULL && !courier_is_under_way(*place))
            courier_free(TT_TAKE(*place));
        if (*place == NULL && !done) {
            *place = TT_TAKE(m->courier);
            done = true;
        }
        room = room || *place == NULL;
    }
    if (done)
        courier_free(TT_TAKE(m->courier));
    return room;
}

static tt_rc refuse_to_open(struct tt_error *err)
{
    (void)error_set(err, TT_ERR_TPM, "%d commands to the TPM hang and it is not opened once more",
                    METER_MAX_LOST);
    error_hint(err,
               "the TPM, its driver or its emulator does not answer: restart the machine or the emulator");
    return TT_ERR_TPM;
}

/* False: there is no place left. */
static bool let_go(struct meter *m)
{
    if (m->inner != NULL)
        m->close_inner(&m->inner);
    m->inner = NULL;
    return put_away(m);
}

void meter_release(struct meter *m)
{
    if (m->broken)
        (void)let_go(m);
}

tt_rc meter_reopen(struct meter *m, struct tt_error *err)
{
    m->broken = true; /* until it is open again */
    m->backoff_ms = 0;
    if (!let_go(m))
        return refuse_to_open(err);
    if (m->open == NULL)
        return error_set(err, TT_ERR_TPM, "the connection to the TPM failed, and cannot be opened again");
    m->started = now_ns();
    tt_rc rc = courier_open(&m->courier, m->open, m->spec, wait_until(m), err);
    if (rc == TT_ERR_DEADLINE)
        rc = error_set(err, TT_ERR_TPM, "the TPM does not answer when it is opened again");
    if (rc != TT_OK)
        return rc;
    m->openings++;
    m->broken = m->given_up = false;
    m->lateness = METER_IN_TIME;
    return TT_OK;
}
