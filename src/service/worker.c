/* service/worker.c: see worker.h. Layer: service. */
#include "service/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/clock.h"
#include "service/enrolment.h"

struct queue {
    struct worker_task *first, **last;
    size_t len;
};

struct worker {
    struct worker_options opt;
    pthread_t thread;
    bool is_running;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct enrolment *orders, **orders_last; /* under the lock, down to counts */
    size_t orders_len;
    struct queue tasks, finished;
    struct enrolment *answered, **answered_last;
    bool stop, tend_failed;
    struct tt_error tend_error;
    struct worker_counts counts;
    int wake_fd;
    struct event *wake;
    int64_t tend_at; /* the worker's own */
};

static void queue_put(struct queue *q, struct worker_task *t)
{
    t->next = NULL;
    *q->last = t;
    q->last = &t->next;
    q->len++;
}

static struct worker_task *queue_take(struct queue *q)
{
    struct worker_task *t = q->first;
    if (t == NULL)
        return NULL;
    q->first = t->next;
    if (q->first == NULL)
        q->last = &q->first;
    q->len--;
    return t;
}

/* ---- on the worker ---- */

static void wake_loop(struct worker *w)
{
    const uint64_t one = 1;
    while (write(w->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

/* As many as wait, in their order. With the lock held. */
static size_t take_batch(struct worker *w, struct enrolment *batch[CA_BATCH_MAX])
{
    size_t n = 0;
    while (n < CA_BATCH_MAX && w->orders != NULL) {
        batch[n++] = w->orders;
        w->orders = w->orders->next;
    }
    if (w->orders == NULL)
        w->orders_last = &w->orders;
    w->orders_len -= n;
    return n;
}

static void do_batch(struct worker *w, struct enrolment **batch, size_t n)
{
    enrolments_issue(w->opt.ca, &(struct issuing){batch, n, w->opt.attest, clock_wall_s()});
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < n; i++) {
        batch[i]->next = NULL;
        *w->answered_last = batch[i];
        w->answered_last = &batch[i]->next;
    }
    w->counts.batches++;
    w->counts.orders += n;
    pthread_mutex_unlock(&w->lock);
    wake_loop(w);
}

static void do_task(struct worker *w, struct worker_task *t)
{
    t->rc = t->run(t, w->opt.ca, clock_wall_s(), &t->error);
    pthread_mutex_lock(&w->lock);
    queue_put(&w->finished, t);
    pthread_mutex_unlock(&w->lock);
    wake_loop(w);
}

static void tend(struct worker *w)
{
    struct tt_error err = {0};
    tt_rc rc = ca_tend(w->opt.ca, clock_wall_s(), &err);
    w->tend_at = clock_boot_ms() + WORKER_TEND_S * 1000;
    if (rc == TT_OK)
        return;
    (void)error_set(&err, rc, "the CRL could not be made");
    pthread_mutex_lock(&w->lock);
    w->tend_failed = true;
    w->tend_error = err;
    pthread_mutex_unlock(&w->lock);
    wake_loop(w);
}

/* With the lock held: until there is something to do, or it is time to tend. */
static void wait_for_work(struct worker *w)
{
    struct timespec until;
    int64_t ms = w->tend_at - clock_boot_ms();
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms > 0 ? (time_t)(ms / 1000) + 1 : 0;
    if (ms > 0)
        (void)pthread_cond_timedwait(&w->work, &w->lock, &until);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct enrolment *batch[CA_BATCH_MAX];
    for (;;) {
        pthread_mutex_lock(&w->lock);
        if (!w->stop && w->orders == NULL && w->tasks.first == NULL)
            wait_for_work(w);
        size_t n = take_batch(w, batch);
        struct worker_task *task = queue_take(&w->tasks);
        bool is_over = w->stop && n == 0 && task == NULL;
        pthread_mutex_unlock(&w->lock);
        if (is_over)
            return NULL;
        if (n > 0)
            do_batch(w, batch, n);
        if (task != NULL)
            do_task(w, task);
        if (clock_boot_ms() >= w->tend_at)
            tend(w);
    }
}

/* ---- on the loop ---- */

static struct enrolment *take_answered(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    struct enrolment *e = w->answered;
    if (e != NULL) {
        w->answered = e->next;
        if (w->answered == NULL)
            w->answered_last = &w->answered;
    }
    pthread_mutex_unlock(&w->lock);
    return e;
}

static struct worker_task *take_finished(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    struct worker_task *t = queue_take(&w->finished);
    pthread_mutex_unlock(&w->lock);
    return t;
}

static void deliver(struct worker *w)
{
    for (struct enrolment *e; (e = take_answered(w)) != NULL;) {
        e->done(e->arg, &e->verdict);
        enrolment_free(e);
    }
    for (struct worker_task *t; (t = take_finished(w)) != NULL;)
        t->done(t, t->rc, &t->error);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;
    struct tt_error err;
    uint64_t n;
    (void)what;
    (void)!read(fd, &n, sizeof n);
    pthread_mutex_lock(&w->lock);
    bool has_failed = w->tend_failed;
    w->tend_failed = false;
    err = w->tend_error;
    pthread_mutex_unlock(&w->lock);
    if (has_failed && w->opt.tend_failed != NULL)
        w->opt.tend_failed(w->opt.arg, &err);
    deliver(w);
}

static tt_rc busy(struct tt_error *err)
{
    return error_set(err, TT_ERR_BUSY, "too many requests wait for the CA");
}

tt_rc worker_enroll(struct worker *w, const struct est_order *order, worker_enrolled_fn done, void *arg,
                    struct tt_error *err)
{
    struct enrolment *e = enrolment_new(order);
    if (e == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    e->done = done;
    e->arg = arg;
    pthread_mutex_lock(&w->lock);
    bool is_full = w->orders_len >= WORKER_WAITING_MAX;
    if (!is_full) {
        *w->orders_last = e;
        w->orders_last = &e->next;
        w->orders_len++;
        pthread_cond_signal(&w->work);
    }
    pthread_mutex_unlock(&w->lock);
    if (!is_full)
        return TT_OK;
    enrolment_free(e);
    return busy(err);
}

tt_rc worker_do(struct worker *w, struct worker_task *task, struct tt_error *err)
{
    pthread_mutex_lock(&w->lock);
    bool is_full = w->tasks.len >= WORKER_WAITING_MAX;
    task->error = (struct tt_error){0};
    if (!is_full) {
        queue_put(&w->tasks, task);
        pthread_cond_signal(&w->work);
    }
    pthread_mutex_unlock(&w->lock);
    return is_full ? busy(err) : TT_OK;
}

struct worker_counts worker_look(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    struct worker_counts counts = w->counts;
    counts.waiting = w->orders_len + w->tasks.len;
    pthread_mutex_unlock(&w->lock);
    return counts;
}

/* ---- the CA opened again ---- */

tt_rc worker_read_again(struct worker *w, struct ca **ca, struct tt_error *err)
{
    struct ca *fresh = NULL;
    TT_TRY(ca_open(&fresh, &w->opt.place, err));
    tt_rc rc = w->opt.keys(w->opt.keys_arg, fresh, err);
    if (rc != TT_OK) {
        ca_close(fresh);
        return rc;
    }
    ca_close(w->opt.ca);
    *ca = w->opt.ca = fresh;
    return TT_OK;
}

/* ---- life ---- */

static tt_rc set_up(struct worker *w, struct tt_error *err)
{
    pthread_condattr_t attr;
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&w->work, &attr);
    (void)pthread_condattr_destroy(&attr);
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->wake_fd < 0)
        return error_set(err, TT_ERR_IO, "cannot make an eventfd: %s", strerror(errno));
    w->wake = event_new(w->opt.base, w->wake_fd, EV_READ | EV_PERSIST, on_wake, w);
    if (w->wake == NULL || event_add(w->wake, NULL) != 0)
        return error_set(err, TT_ERR_MEMORY, "no memory for the CA's thread");
    return TT_OK;
}

/* Signals are the loop's. */
static tt_rc start_thread(struct worker *w, struct tt_error *err)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int why = pthread_create(&w->thread, NULL, worker_main, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    w->is_running = why == 0;
    return why == 0 ? TT_OK : error_set(err, TT_ERR_IO, "cannot start the CA's thread: %s", strerror(why));
}

static void destroy(struct worker *w)
{
    if (w->wake != NULL)
        event_free(w->wake);
    if (w->wake_fd >= 0)
        (void)close(w->wake_fd);
    (void)pthread_cond_destroy(&w->work);
    (void)pthread_mutex_destroy(&w->lock);
    mem_free(w);
}

tt_rc worker_begin(struct worker **ret, const struct worker_options *opt, struct tt_error *err)
{
    struct worker *w = mem_alloc(sizeof *w);
    if (w == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for the CA's thread");
    w->opt = *opt;
    w->wake_fd = -1;
    w->orders_last = &w->orders;
    w->answered_last = &w->answered;
    w->tasks.last = &w->tasks.first;
    w->finished.last = &w->finished.first;
    tt_rc rc = set_up(w, err);
    if (rc == TT_OK)
        rc = start_thread(w, err);
    if (rc != TT_OK) {
        destroy(w);
        return rc;
    }
    *ret = w;
    return TT_OK;
}

void worker_end(struct worker *w)
{
    if (w == NULL)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
    if (w->is_running)
        (void)pthread_join(w->thread, NULL);
    deliver(w);
    ca_close(w->opt.ca);
    destroy(w);
}
