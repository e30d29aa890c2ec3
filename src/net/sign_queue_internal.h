/* net/sign_queue_internal.h: the queue's inside, shared by sign_queue.c (the loop's side) and sign_worker.c
 * (the worker's). Layer: net.
 *
 * One worker, and a queue for each loop that sends it jobs: the plan is the worker's, the finished list the
 * queue's.
 *
 * A job is on the waiting list, in the worker's hands, or on the finished list; `lock` guards which. The
 * worker touches a job's fields without the lock only while it holds the job; the loop only while it does not
 * (but for `cancelled`, and the fields that nobody changes after submission). */
#ifndef NET_SIGN_QUEUE_INTERNAL_H
#define NET_SIGN_QUEUE_INTERNAL_H

#include <pthread.h>

#include "net/outage.h"
#include "net/sign_plan.h"

struct sign_worker {
    struct tt_tpm *tpm;
    size_t capacity;
    unsigned deadline_ms, patience_ms, rest_ms;
    unsigned queues; /* that share it; the last one ends it */
    sign_outage_fn outage_told;
    void *outage_arg;
    pthread_t thread;
    bool runs;
    struct sign_job *current; /* its thread only: where the TPM's trace goes */
    bool worked;              /* its thread only: since the last rest */

    pthread_mutex_t lock;
    pthread_cond_t work;
    bool stop;
    unsigned reopenings; /* of the TPM */
    struct sign_plan plan;
    struct outage outage;
};

struct sign_queue {
    struct event_base *base;
    struct sign_worker *worker;
    /* Both are pending only while somebody waits, so that an idle queue does not keep a loop alive. */
    struct event *wakeup, *timer;
    int event_fd;
    size_t expected;          /* jobs that will call back; loop thread only */
    struct job_list finished; /* under the worker's lock */
};

void job_free(struct sign_job *job);

/* worker_new: without its thread. NULL: no memory. */
struct sign_worker *worker_new(const struct sign_queue_options *opt);
/* worker_start: returns an errno. worker_free: waits for its end. */
int worker_start(struct sign_worker *w);
void worker_free(struct sign_worker *w);
/* worker_finish: with the lock held: its loop is to be told. */
void worker_finish(struct sign_job *job);
/* worker_refuse_late: with the lock held: finish what cannot be done in time. */
void worker_refuse_late(struct sign_worker *w);

#endif
