/* tpm/meter.h: a TCTI that stands between ESAPI and the real one and sees every command that is really sent,
 * ESAPI's own ones and resubmissions included: counts, times, traces, slows repeats down, and refuses to send
 * from a forked child. Layer: tpm. Knows no command's meaning beyond the header. */
#ifndef TPM_METER_H
#define TPM_METER_H

#include <sys/types.h>
#include <tss2/tss2_tcti.h>

#include "base/rc.h"
#include "tpmtls/key.h"

#define METER_HEADER_SIZE 10 /* of a response without sessions: tag, size, code */

/* struct meter_listener: where to copy successful responses to; each one replaces the one before. */
struct meter_listener {
    uint8_t *to;
    size_t cap, len;
};

struct meter {
    TSS2_TCTI_CONTEXT_COMMON_V1 tcti; /* must be first: ESAPI is given the address of the struct */
    TSS2_TCTI_CONTEXT *inner;         /* owned */
    void (*close_inner)(TSS2_TCTI_CONTEXT **inner);
    pid_t owner; /* the process that may send */
    tt_tpm_trace_fn trace;
    void *trace_arg;
    uint64_t count;
    uint32_t command; /* TPM_CC in flight */
    uint64_t started; /* nanoseconds */
    unsigned backoff_ms;
    struct meter_listener listen;
};

/* meter_init: m must stay where it is. Takes over inner, closed with close_inner by meter_close. */
void meter_init(struct meter *m, TSS2_TCTI_CONTEXT *inner, void (*close_inner)(TSS2_TCTI_CONTEXT **));
void meter_close(struct meter *m);

static inline TSS2_TCTI_CONTEXT *meter_tcti(struct meter *m)
{
    return (TSS2_TCTI_CONTEXT *)m;
}

/* meter_command_name: "TPM2_Sign"; "TPM2 command" for one we have no name for. */
const char *meter_command_name(uint32_t command);

/* meter_wants_retry: RETRY, YIELDED or TESTING (TPM 2.0 part 2, 6.6.3): the same command may work a little
 * later. */
bool meter_wants_retry(TSS2_RC rc);

#endif
