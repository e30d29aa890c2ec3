/* tpm/meter.h: a TCTI that stands between ESAPI and the real one and sees every command that is really sent,
 * ESAPI's own ones and resubmissions included: counts, times, traces, slows repeats down, refuses to send
 * after a deadline or from a forked child, and gives up a TPM that does not answer. Layer: tpm. Knows no
 * command's meaning beyond the header.
 *
 * After a failure of the transport it stays broken, since an answer may still be on its way to the wrong
 * question, until meter_reopen. */
#ifndef TPM_METER_H
#define TPM_METER_H

#include <sys/types.h>
#include <tss2/tss2_tcti.h>

#include "base/rc.h"
#include "tpm/courier.h"
#include "tpm/loaded.h"
#include "tpmtls/key.h"

#define METER_HEADER_SIZE 10 /* of a response without sessions: tag, size, code */
#define METER_MAX_LOST    4  /* commands that hang; while so many do, the TPM is not opened again */

/* struct meter_listener: where to copy successful responses to; each one replaces the one before. */
struct meter_listener {
    uint8_t *to;
    size_t cap, len;
};

/* meter_open_fn: opens the TPM that spec names; run on a thread of its own. */
typedef tt_rc meter_open_fn(struct courier_tcti *ret, const char *spec, struct tt_error *err);

struct meter {
    TSS2_TCTI_CONTEXT_COMMON_V1 tcti; /* must be first: ESAPI is given the address of the struct */
    TSS2_TCTI_CONTEXT *inner;         /* owned; NULL when the courier has it */
    void (*close_inner)(TSS2_TCTI_CONTEXT **inner);
    struct courier *courier;              /* from the first deadline on */
    struct courier *lost[METER_MAX_LOST]; /* were given up, and may be stuck for ever */
    meter_open_fn *open;                  /* NULL: it cannot be opened again */
    char *spec;                           /* owned; for open */
    unsigned openings;                    /* handles of an earlier one mean nothing */
    bool broken, given_up;
    uint64_t deadline; /* of CLOCK_MONOTONIC in ns; 0: none */
    unsigned patience_ms;
    enum {
        METER_IN_TIME,
        METER_LATE,
        METER_LATE_SINCE_BUSY
    } lateness;  /* of the last command; a late one is answered with TPM_RC_CANCELED and not sent */
    pid_t owner; /* the process that may send */
    tt_tpm_trace_fn trace;
    void *trace_arg;
    uint64_t count;
    uint32_t command;  /* TPM_CC in flight */
    uint64_t started;  /* nanoseconds */
    uint64_t answered; /* when the TPM answered last */
    unsigned backoff_ms;
    struct meter_listener listen;
    struct loaded_question question;
    struct loaded loaded;
};

/* meter_init: m must stay where it is. Takes over inner, closed with close_inner by meter_close. */
void meter_init(struct meter *m, TSS2_TCTI_CONTEXT *inner, void (*close_inner)(TSS2_TCTI_CONTEXT **));
void meter_close(struct meter *m);

/* meter_set_deadline: see tt_tpm_set_deadline. */
void meter_set_deadline(struct meter *m, uint64_t at_ns, unsigned patience_ms);
/* meter_patience_ms: how long the command in flight is waited for; 0: for ever. */
uint64_t meter_patience_ms(const struct meter *m);
/* meter_quiet_ms: so long nothing was heard of the TPM. */
uint64_t meter_quiet_ms(const struct meter *m);
/* meter_has_time: the deadline is not over, or there is none. */
bool meter_has_time(const struct meter *m);
/* meter_reopen: close the inner TCTI, or leave it to its stuck courier, and open it again; ESAPI's context
 * over the meter must be made anew. */
TT_MUST_USE tt_rc meter_reopen(struct meter *m, struct tt_error *err);

/* meter_release: broken and not to be opened again now: let go of the device, which could not come back under
 * its name while we have it open. */
void meter_release(struct meter *m);

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
