/* net/sign_queue.h: one worker thread that owns the TPM; everybody else sends it requests. Layer: net.
 *
 * Invariants
 *  - All tt_key_sign calls happen on the worker, one after the other. A TPM is handed over with the queue:
 * nobody else may use it, or a key on it, until sign_queue_free.
 *  - Everything else (submit, cancel, completions, free) belongs to the thread of the event base.
 *  - A request's bytes are copied in. A cancelled job never calls back.
 *  - The queue is bounded: a full one refuses at once instead of letting waiting time grow. */
#ifndef NET_SIGN_QUEUE_H
#define NET_SIGN_QUEUE_H

#include <event2/event.h>

#include "base/mem.h"
#include "tpmtls/key.h"

#define SIGN_QUEUE_DEFAULT_CAPACITY 64
#define SIGN_MAX_COMMANDS           8 /* TPM commands reported a job; more are counted, not listed */

struct sign_queue;
struct sign_job;

/* struct sign_answer: what became of a job; valid during the callback. */
struct sign_answer {
    struct tt_error error; /* error.rc is TT_OK on success */
    struct tt_bytes signature;
    const struct tt_tpm_event *commands; /* what the TPM did for it, in order */
    size_t commands_len;
    uint64_t waited_ns; /* in the queue */
    uint64_t worked_ns; /* on the worker */
};
typedef void (*sign_done_fn)(void *arg, const struct sign_answer *answer);

struct sign_queue_options {
    struct event_base *base;
    struct tt_tpm *tpm; /* its commands are traced into the answers; NULL when there are only software keys */
    size_t capacity;    /* jobs that may wait; 0 = SIGN_QUEUE_DEFAULT_CAPACITY */
};
TT_MUST_USE tt_rc sign_queue_new(struct sign_queue **ret, const struct sign_queue_options *opt,
                                 struct tt_error *err);

/* sign_queue_free: waits for the job that is being worked on, drops the others without calling back. Handles
 * of jobs are void afterwards. NULL is fine. */
void sign_queue_free(struct sign_queue *q);

struct sign_request {
    struct tt_key *key;
    uint16_t scheme;
    struct tt_bytes message; /* what is signed, not its digest; copied */
    sign_done_fn done;
    void *arg;
};
/* sign_queue_submit: *ret is valid until `done` is called or the job is cancelled. TT_ERR_BUSY when the queue
 * is full. `done` is never called from inside. */
TT_MUST_USE tt_rc sign_queue_submit(struct sign_queue *q, struct sign_job **ret,
                                    const struct sign_request *what, struct tt_error *err);

/* sign_job_cancel: forget a job in any state; a signature that is already being made is thrown away. NULL is
 * fine. */
void sign_job_cancel(struct sign_job *job);

#endif
