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
    uint64_t at = plan_next_deadline(&q->worker->plan, q), now = clock_monotonic_ns();
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

/* ---- delivering ---- */

/* A failure of the TPM's own, or an answer of it: what was refused for want of time or room says nothing. */
static void watch_outage(struct sign_queue *q, const struct sign_job *job, const struct tt_error *error)
{
    struct sign_worker *w = q->worker;
    struct outage_news news = {.state = OUTAGE_QUIET};
    if (w->tpm == NULL || w->outage_told == NULL)
        return;
    pthread_mutex_lock(&w->lock);
    if (error->rc == TT_ERR_TPM || error->rc == TT_ERR_AUTH || job->is_stuck)
        news = outage_failed(&w->outage, error, clock_monotonic_ns());
    else if (error->rc == TT_OK && job->commands_len > 0)
        news = outage_worked(&w->outage, clock_monotonic_ns());
    pthread_mutex_unlock(&w->lock);
    if (news.state != OUTAGE_QUIET)
        w->outage_told(w->outage_arg, &news);
}

static void job_deliver(struct sign_job *job)
{
    watch_outage(job->queue, job, &job->error);
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
        pthread_mutex_lock(&q->worker->lock);
        struct sign_job *job = job_list_take_first(&q->finished);
        pthread_mutex_unlock(&q->worker->lock);
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
    struct sign_job *job = q->worker->plan.running;
    if (job == NULL || job->queue != q || job->cancelled || now < job->deadline_at)
        return false;
    job->cancelled = true;
    *ret = (struct sign_job){.where = JOB_RUNNING,
                             .queue = q,
                             .work.run = job->work.run,
                             .request = job->request,
                             .submitted_at = job->submitted_at,
                             .started_at = job->started_at,
                             .finished_at = now,
                             .deadline_at = job->deadline_at};
    job_overdue(ret, &q->worker->plan, now);
    return true;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct sign_queue *q = arg;
    struct sign_job given_up;
    pthread_mutex_lock(&q->worker->lock);
    bool some = give_up_running(q, &given_up, clock_monotonic_ns());
    worker_refuse_late(q->worker);
    set_timer(q);
    pthread_mutex_unlock(&q->worker->lock);
    if (some) {
        forget_one(q);
        job_deliver(&given_up);
    }
    deliver_finished(q);
}

/* ---- the queue's life ---- */

static tt_rc queue_set_up(struct sign_queue *q, struct tt_error *err)
{
    q->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->event_fd < 0)
        return error_set(err, TT_ERR_IO, "cannot make an eventfd: %s", strerror(errno));
    q->wakeup = event_new(q->base, q->event_fd, EV_READ | EV_PERSIST, on_wakeup, q);
    q->timer = evtimer_new(q->base, on_timer, q);
    return q->wakeup != NULL && q->timer != NULL
               ? TT_OK
               : error_set(err, TT_ERR_MEMORY, "no memory for the signature queue");
}

static tt_rc join_worker(struct sign_queue *q, const struct sign_queue_options *opt, struct tt_error *err)
{
    if (opt->beside != NULL) {
        q->worker = opt->beside->worker;
        q->worker->queues++;
        return TT_OK;
    }
    q->worker = worker_new(opt);
    if (q->worker == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for the signature queue");
    q->worker->queues = 1;
    int rc = worker_start(q->worker);
    return rc == 0 ? TT_OK : error_set(err, TT_ERR_IO, "cannot start the signing thread: %s", strerror(rc));
}

tt_rc sign_queue_new(struct sign_queue **ret, const struct sign_queue_options *opt, struct tt_error *err)
{
    struct sign_queue *q = mem_alloc(sizeof *q);
    if (q == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for the signature queue");
    q->base = opt->base;
    q->event_fd = -1;
    tt_rc rc = queue_set_up(q, err);
    if (rc == TT_OK)
        rc = join_worker(q, opt, err);
    if (rc != TT_OK) {
        sign_queue_free(q);
        return rc;
    }
    *ret = q;
    return TT_OK;
}

/* What waits is dropped, and what the worker has is thrown away when it comes back. */
static void leave_worker(struct sign_queue *q)
{
    struct sign_worker *w = q->worker;
    struct job_list dropped = {0};
    pthread_mutex_lock(&w->lock);
    if (w->plan.running != NULL && w->plan.running->queue == q)
        w->plan.running->cancelled = true;
    for (struct sign_job *job = w->plan.waiting.head, *next; job != NULL; job = next) {
        next = job->next;
        if (job->queue != q)
            continue;
        job_list_remove(&w->plan.waiting, job);
        job_list_append(&dropped, job);
    }
    pthread_mutex_unlock(&w->lock);
    for (struct sign_job *job; (job = job_list_take_first(&dropped)) != NULL;)
        job_free(job);
    for (struct sign_job *job; (job = job_list_take_first(&q->finished)) != NULL;)
        job_free(job);
    if (--w->queues == 0)
        worker_free(w);
}

void sign_queue_free(struct sign_queue *q)
{
    if (q == NULL)
        return;
    if (q->worker != NULL)
        leave_worker(q);
    if (q->wakeup != NULL)
        event_free(q->wakeup);
    if (q->timer != NULL)
        event_free(q->timer);
    if (q->event_fd >= 0)
        (void)close(q->event_fd);
    mem_free(q);
}

void sign_queue_look(const struct sign_queue *q, struct sign_queue_state *ret)
{
    struct sign_worker *w = q->worker;
    pthread_mutex_lock(&w->lock);
    *ret = (struct sign_queue_state){.waiting = w->plan.waiting.len + (w->plan.running != NULL),
                                     .median_ns = plan_median(&w->plan),
                                     .reopenings = w->reopenings,
                                     .is_out = w->outage.out};
    pthread_mutex_unlock(&w->lock);
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
    unsigned deadline_ms = what->deadline_ms > 0 ? what->deadline_ms : q->worker->deadline_ms;
    job->queue = q;
    job->request = *what;
    job->request.work = NULL;
    job->work = what->work != NULL ? *what->work : (struct sign_work){0};
    job->message = message;
    job->submitted_at = clock_monotonic_ns();
    job->deadline_at = job->submitted_at + (uint64_t)deadline_ms * MS;
    return job;
}

/* With the lock held. One that has to give way is told from its loop. */
static tt_rc admit(struct sign_worker *w, struct sign_job *job, struct tt_error *err)
{
    if (w->plan.waiting.len >= w->capacity) {
        struct sign_job *last = plan_displace(&w->plan, job);
        if (last == NULL)
            return error_set(err, TT_ERR_BUSY, "%zu signatures are waiting for the key already", w->capacity);
        (void)error_set(&last->error, TT_ERR_BUSY, "%zu signatures are waiting for the key already",
                        w->capacity);
        worker_finish(last);
    }
    return plan_admit(&w->plan, job, job->submitted_at, err);
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
    struct tt_error why = {0};
    pthread_mutex_lock(&q->worker->lock);
    tt_rc rc = admit(q->worker, job, &why);
    worker_refuse_late(q->worker); /* what it goes before may have become hopeless */
    set_timer(q);
    pthread_cond_signal(&q->worker->work);
    pthread_mutex_unlock(&q->worker->lock);
    if (rc != TT_OK) {
        watch_outage(q, job, &why);
        if (err != NULL && err->rc == TT_OK)
            *err = why;
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
    pthread_mutex_lock(&q->worker->lock);
    bool ours = job->where != JOB_RUNNING;
    if (job->where == JOB_WAITING)
        job_list_remove(&q->worker->plan.waiting, job);
    else if (job->where == JOB_FINISHED)
        job_list_remove(&q->finished, job);
    else
        job->cancelled = true;
    pthread_mutex_unlock(&q->worker->lock);
    if (ours)
        job_free(job);
    forget_one(q);
}
