/* net/sign_queue_internal.h: the queue's inside, shared by sign_queue.c (the loop's side) and sign_worker.c
 * (the worker's). Layer: net.
 *
 * A job is on the waiting list, in the worker's hands, or on the finished list; `lock` guards which. The
 * worker touches a job's fields without the lock only while it holds the job; the loop only while it does not
 * (but for `cancelled`, and the fields that nobody changes after submission). */
#ifndef NET_SIGN_QUEUE_INTERNAL_H
#define NET_SIGN_QUEUE_INTERNAL_H

#include <pthread.h>

#include "net/sign_plan.h"

struct sign_queue {
    struct event_base *base;
    struct tt_tpm *tpm;
    size_t capacity;
    unsigned deadline_ms, patience_ms, rest_ms;
    /* Both are pending only while somebody waits, so that an idle queue does not keep a loop alive. */
    struct event *wakeup, *timer;
    int event_fd;
    size_t expected; /* jobs that will call back; loop thread only */
    pthread_t worker;
    bool worker_runs;
    struct sign_job *current; /* worker only: where the TPM's trace goes */
    bool worked;              /* worker only: since the last rest */

    pthread_mutex_t lock;
    pthread_cond_t work;
    bool stop;
    struct sign_plan plan;
    struct job_list finished;
};

void job_free(struct sign_job *job);
/* queue_refuse_late: with the lock held: move what cannot be done in time to the finished list; true when
 * there was any. */
bool queue_refuse_late(struct sign_queue *q);

/* worker_start: returns an errno. worker_stop: waits for its end. */
int worker_start(struct sign_queue *q);
void worker_stop(struct sign_queue *q);
/* worker_record: a tt_tpm_trace_fn; arg is the queue. */
void worker_record(void *arg, const struct tt_tpm_event *event);

#endif
