/* net/sign_queue.h: one worker thread that owns the TPM; everybody else sends it requests. Layer: net.
 *
 * Invariants
 *  - All tt_key_sign calls happen on the worker, one after the other. A TPM is handed over with the queue:
 * nobody else may use it, or a key on it, until sign_queue_free.
 *  - Everything else (submit, cancel, completions, free) belongs to the thread of the event base. Several
 * loops share a worker by a queue each, made and freed while no other loop runs.
 *  - A request's bytes are copied in. A cancelled job never calls back.
 *  - Each request has a deadline, at which its `done` is called at the latest. One that could not be met at
 * the recent median latency is refused at once; one that is over never reaches the key.
 *  - The queue is bounded. Handshakes go before other work; within a class, flows take turns. */
#ifndef NET_SIGN_QUEUE_H
#define NET_SIGN_QUEUE_H

#include <event2/event.h>

#include "base/mem.h"
#include "net/outage.h"
#include "tpmtls/key.h"

#define SIGN_QUEUE_DEFAULT_CAPACITY    256
#define SIGN_QUEUE_DEFAULT_DEADLINE_MS 5000
#define SIGN_QUEUE_DEFAULT_PATIENCE_MS 10000
#define SIGN_QUEUE_DEFAULT_REST_MS     10000
#define SIGN_MAX_COMMANDS              8 /* TPM commands reported a job; more are counted, not listed */

struct sign_queue;
struct sign_job;

/* enum sign_class: all of a class are served before the next one. */
enum sign_class {
    SIGN_HANDSHAKE, /* a peer waits */
    SIGN_OTHER,     /* key generation, renewal, ... */
    SIGN_CLASSES
};

/* struct sign_answer: what became of a job; valid during the callback. */
struct sign_answer {
    struct tt_error error; /* error.rc is TT_OK on success; TT_ERR_DEADLINE: it was not done in time */
    struct tt_bytes signature;
    const struct tt_tpm_event *commands; /* what the TPM did for it, in order */
    size_t commands_len;
    uint64_t waited_ns; /* in the queue */
    uint64_t worked_ns; /* on the worker; 0 when it never got there */
};
typedef void (*sign_done_fn)(void *arg, const struct sign_answer *answer);

/* What there is to say of an outage of the TPM; on the thread of the queue that met it. */
typedef void (*sign_outage_fn)(void *arg, const struct outage_news *news);

struct sign_queue_options {
    struct event_base *base;
    struct sign_queue *beside; /* share its worker; everything below is then as it was given there. Or NULL */
    struct tt_tpm *tpm; /* its commands are traced into the answers; NULL when there are only software keys */
    size_t capacity;    /* jobs that may wait; 0 = SIGN_QUEUE_DEFAULT_CAPACITY */
    unsigned deadline_ms; /* of a request that names none; 0 = SIGN_QUEUE_DEFAULT_DEADLINE_MS */
    unsigned
        patience_ms;       /* what a TPM is given for one command of a signature, see tt_tpm_set_deadline;
                              0 = SIGN_QUEUE_DEFAULT_PATIENCE_MS; for other work its deadline, if that is more */
    unsigned rest_ms;      /* after so long without work tt_tpm_rest; 0 = SIGN_QUEUE_DEFAULT_REST_MS */
    sign_outage_fn outage; /* or NULL: each failure is told by whoever asked */
    void *outage_arg;
};
TT_MUST_USE tt_rc sign_queue_new(struct sign_queue **ret, const struct sign_queue_options *opt,
                                 struct tt_error *err);

/* sign_queue_free: waits for the job that is being worked on (on a TPM no longer than its deadline and the
 * patience), drops the others without calling back. Of queues that share a worker the last one waits; until
 * then their keys must live. Handles of jobs are void afterwards. NULL is fine. */
void sign_queue_free(struct sign_queue *q);

/* struct sign_work: something else than a signature to be done on the worker, such as making a key. */
struct sign_work {
    tt_rc (*run)(void *arg, struct tt_tpm *tpm, struct tt_error *err); /* on the worker; tpm: the queue's */
    /* Called once, on either thread, when the queue will not touch arg again; before `done`, if that comes.
     */
    void (*release)(void *arg);
    void *arg;
};

struct sign_request {
    struct tt_key *key;
    uint16_t scheme;
    struct tt_bytes message;      /* what is signed, not its digest; copied */
    const struct sign_work *work; /* instead of a signature; copied */
    enum sign_class class;
    uint64_t flow;        /* whose it is: flows take turns. 0: nobody's */
    unsigned deadline_ms; /* from now; 0 = the queue's */
    sign_done_fn done;
    void *arg;
};
/* sign_queue_submit: *ret is valid until `done` is called or the job is cancelled. Refused with TT_ERR_BUSY
 * when the queue is full, with TT_ERR_DEADLINE when there is too much to do first. `done` is never called
 * from inside. */
TT_MUST_USE tt_rc sign_queue_submit(struct sign_queue *q, struct sign_job **ret,
                                    const struct sign_request *what, struct tt_error *err);

/* sign_job_cancel: forget a job in any state; a signature that is already being made is thrown away. NULL is
 * fine. */
void sign_job_cancel(struct sign_job *job);

/* sign_queue_look: how busy the worker is; from any thread. */
struct sign_queue_state {
    size_t waiting;      /* jobs, the one that runs among them */
    uint64_t median_ns;  /* of the last signatures; 0: none yet */
    unsigned reopenings; /* of the TPM */
    bool is_out;         /* an outage of the TPM was told, and not yet its end */
};
void sign_queue_look(const struct sign_queue *q, struct sign_queue_state *ret);

#endif
