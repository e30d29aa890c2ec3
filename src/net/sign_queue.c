/* net/sign_queue.c: the loop's side of the queue: submit, deliver, cancel, deadlines. Layer: net. The worker
 * is in sign_worker.c, what decides who is next in sign_plan.c. */
#include "net/sign_queue.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net/clock.h"
#include "net/sign_queue_internal.h"

#define MS 1000000U

static void work_release(struct sign_job *job)
{
    if (job->work.release != NULL)
        job->work.release(job->work.arg);
    job->work = (struct sign_work){0};
}

void job_free(struct sign_job *job)
{
    if (job == NULL)
        return;
    work_release(job);
    mem_free(job->message);
    mem_free(job->signature);
    mem_free(job);
}

/* ---- waiting for something to happen ---- */

/* `lock` is held, or nobody else is there. */
static void set_timer(struct sign_queue *q)
{
    uint64_t at = plan_next_deadline(&q->plan), now = clock_monotonic_ns();
    if (at == 0) {
        (void)event_del(q->timer);
        return;
    }
    uint64_t us = at > now ? (at - now) / 1000 + 1 : 0;
    const struct timeval t = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
    (void)event_add(q->timer, &t);
}

static void forget_one(struct sign_queue *q)
{
    if (--q->expected > 0)
        return;
    (void)event_del(q->wakeup);
    (void)event_del(q->timer);
}

bool queue_refuse_late(struct sign_queue *q)
{
    struct job_list late = {0};
    plan_refuse_late(&q->plan, &late, clock_monotonic_ns());
    bool some = late.head != NULL;
    for (struct sign_job *job; (job = job_list_take_first(&late)) != NULL;) {
        job->where = JOB_FINISHED;
        job_list_append(&q->finished, job);
    }
    return some;
}

/* ---- delivering ---- */

static void job_deliver(struct sign_job *job)
{
    uint64_t ended_waiting = job->started_at != 0 ? job->started_at : clock_monotonic_ns();
    work_release(job);
    struct sign_answer answer = {
        .error = job->error,
        .signature = {job->signature, job->error.rc == TT_OK ? job->signature_len : 0},
        .commands = job->commands,
        .commands_len = job->commands_len,
        .waited_ns = ended_waiting - job->submitted_at,
        .worked_ns = job->started_at != 0 ? job->finished_at - job->started_at : 0,
    };
    job->request.done(job->request.arg, &answer);
}

/* One at a time: a callback may cancel any other job. */
static void deliver_finished(struct sign_queue *q)
{
    for (;;) {
        pthread_mutex_lock(&q->lock);
        struct sign_job *job = job_list_take_first(&q->finished);
        pthread_mutex_unlock(&q->lock);
        if (job == NULL)
            return;
        forget_one(q);
        job_deliver(job);
        job_free(job);
    }
}

static void on_wakeup(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct sign_queue *q = arg;
    uint64_t count;
    (void)!read(fd, &count, sizeof count);
    deliver_finished(q);
}

/* The worker still has it: who waits is told, and the worker throws it away when it comes back. The job's own
 * fields are the worker's, so that the answer is made from a copy of what does not change. */
static bool give_up_running(struct sign_queue *q, struct sign_job *ret, uint64_t now)
{
    struct sign_job *job = q->plan.running;
    if (job == NULL || job->cancelled || now < job->deadline_at)
        return false;
    job->cancelled = true;
    *ret = (struct sign_job){.where = JOB_RUNNING,
                             .request = job->request,
                             .submitted_at = job->submitted_at,
                             .started_at = job->started_at,
                             .finished_at = now,
                             .deadline_at = job->deadline_at};
    job_overdue(ret);
    return true;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct sign_queue *q = arg;
    struct sign_job given_up;
    pthread_mutex_lock(&q->lock);
    bool some = give_up_running(q, &given_up, clock_monotonic_ns());
    (void)queue_refuse_late(q);
    set_timer(q);
    pthread_mutex_unlock(&q->lock);
    if (some) {
        forget_one(q);
        job_deliver(&given_up);
    }
    deliver_finished(q);
}

/* ---- the queue's life ---- */

static tt_rc queue_start(struct sign_queue *q, struct tt_error *err)
{
    q->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->event_fd < 0)
        return error_set(err, TT_ERR_IO, "cannot make an eventfd: %s", strerror(errno));
    q->wakeup = event_new(q->base, q->event_fd, EV_READ | EV_PERSIST, on_wakeup, q);
    q->timer = evtimer_new(q->base, on_timer, q);
    if (q->wakeup == NULL || q->timer == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for the signature queue");
    if (q->tpm != NULL)
        tt_tpm_set_trace(q->tpm, worker_record, q);
    int rc = worker_start(q);
    if (rc != 0)
        return error_set(err, TT_ERR_IO, "cannot start the signing thread: %s", strerror(rc));
    return TT_OK;
}

tt_rc sign_queue_new(struct sign_queue **ret, const struct sign_queue_options *opt, struct tt_error *err)
{
    struct sign_queue *q = mem_alloc(sizeof *q);
    if (q == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for the signature queue");
    q->base = opt->base;
    q->tpm = opt->tpm;
    q->capacity = opt->capacity > 0 ? opt->capacity : SIGN_QUEUE_DEFAULT_CAPACITY;
    q->deadline_ms = opt->deadline_ms > 0 ? opt->deadline_ms : SIGN_QUEUE_DEFAULT_DEADLINE_MS;
    q->patience_ms = opt->patience_ms > 0 ? opt->patience_ms : SIGN_QUEUE_DEFAULT_PATIENCE_MS;
    q->rest_ms = opt->rest_ms > 0 ? opt->rest_ms : SIGN_QUEUE_DEFAULT_REST_MS;
    q->event_fd = -1;
    pthread_condattr_t monotonic;
    (void)pthread_mutex_init(&q->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&q->work, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    tt_rc rc = queue_start(q, err);
    if (rc != TT_OK) {
        sign_queue_free(q);
        return rc;
    }
    *ret = q;
    return TT_OK;
}

void sign_queue_free(struct sign_queue *q)
{
    if (q == NULL)
        return;
    worker_stop(q);
    for (struct sign_job *job; (job = job_list_take_first(&q->plan.waiting)) != NULL;)
        job_free(job);
    for (struct sign_job *job; (job = job_list_take_first(&q->finished)) != NULL;)
        job_free(job);
    if (q->tpm != NULL) {
        tt_tpm_set_trace(q->tpm, NULL, NULL);
        tt_tpm_set_deadline(q->tpm, 0, q->patience_ms); /* whoever closes it must not hang, either */
    }
    if (q->wakeup != NULL)
        event_free(q->wakeup);
    if (q->timer != NULL)
        event_free(q->timer);
    if (q->event_fd >= 0)
        (void)close(q->event_fd);
    (void)pthread_mutex_destroy(&q->lock);
    (void)pthread_cond_destroy(&q->work);
    mem_free(q);
}

/* ---- submitting ---- */

static struct sign_job *job_new(struct sign_queue *q, const struct sign_request *what)
{
    struct sign_job *job = mem_alloc(sizeof *job);
    uint8_t *message = mem_dup(what->message.data, what->message.len);
    if (job == NULL || message == NULL) {
        mem_free(message);
        mem_free(job);
        return NULL;
    }
    unsigned deadline_ms = what->deadline_ms > 0 ? what->deadline_ms : q->deadline_ms;
    job->queue = q;
    job->request = *what;
    job->request.work = NULL;
    job->work = what->work != NULL ? *what->work : (struct sign_work){0};
    job->message = message;
    job->submitted_at = clock_monotonic_ns();
    job->deadline_at = job->submitted_at + (uint64_t)deadline_ms * MS;
    return job;
}

/* With the lock held. One that has to give way is told from the loop. */
static tt_rc admit(struct sign_queue *q, struct sign_job *job, struct tt_error *err)
{
    struct sign_job *last = NULL;
    if (q->plan.waiting.len >= q->capacity) {
        last = plan_displace(&q->plan, job);
        if (last == NULL)
            return error_set(err, TT_ERR_BUSY, "%zu signatures are waiting for the key already", q->capacity);
        (void)error_set(&last->error, TT_ERR_BUSY, "%zu signatures are waiting for the key already",
                        q->capacity);
        last->where = JOB_FINISHED;
        job_list_append(&q->finished, last);
    }
    return plan_admit(&q->plan, job, job->submitted_at, err);
}

/* What was pushed back by a job that goes before it may have become hopeless. */
static void settle(struct sign_queue *q)
{
    (void)queue_refuse_late(q);
    if (q->finished.head != NULL)
        event_active(q->wakeup, EV_READ, 0);
    set_timer(q);
    pthread_cond_signal(&q->work);
}

tt_rc sign_queue_submit(struct sign_queue *q, struct sign_job **ret, const struct sign_request *what,
                        struct tt_error *err)
{
    struct sign_job *job = job_new(q, what);
    if (job == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for a signature");
    if (q->expected == 0 && event_add(q->wakeup, NULL) != 0) {
        job_free(job);
        return error_set(err, TT_ERR_INTERNAL, "cannot watch the signature queue");
    }
    pthread_mutex_lock(&q->lock);
    tt_rc rc = admit(q, job, err);
    settle(q);
    pthread_mutex_unlock(&q->lock);
    if (rc != TT_OK) {
        job->work = (struct sign_work){0}; /* still the caller's */
        job_free(job);
        q->expected++;
        forget_one(q);
        return rc;
    }
    q->expected++;
    *ret = job;
    return TT_OK;
}

void sign_job_cancel(struct sign_job *job)
{
    if (job == NULL)
        return;
    struct sign_queue *q = job->queue;
    pthread_mutex_lock(&q->lock);
    bool ours = job->where != JOB_RUNNING;
    if (job->where == JOB_WAITING)
        job_list_remove(&q->plan.waiting, job);
    else if (job->where == JOB_FINISHED)
        job_list_remove(&q->finished, job);
    else
        job->cancelled = true;
    pthread_mutex_unlock(&q->lock);
    if (ours)
        job_free(job);
    forget_one(q);
}
