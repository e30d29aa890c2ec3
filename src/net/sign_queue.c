/* net/sign_queue.c: the worker that owns the TPM. Layer: net. The only file of the library that starts a
 * thread.
 *
 * A job is in one of three places: the waiting list, the worker's hands, the finished list; `lock` guards
 * which. The worker touches a job's fields without the lock only while it holds the job; the loop only while
 * it does not. */
#include "net/sign_queue.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net/clock.h"

#define SIGNATURE_MAX 8192 /* room for ML-DSA; RSA and EC need at most 1,024 */

struct sign_job {
    struct sign_queue *queue;
    struct sign_job *next;
    struct sign_request request;
    uint8_t *message; /* owned copy */
    enum {
        JOB_WAITING,
        JOB_RUNNING,
        JOB_FINISHED
    } where;
    bool cancelled; /* while running: nobody waits for it any more */
    uint64_t submitted_at, started_at, finished_at;
    struct tt_error error;
    struct tt_tpm_event commands[SIGN_MAX_COMMANDS];
    size_t commands_len;
    size_t signature_len;
    uint8_t signature[SIGNATURE_MAX];
};

struct job_list {
    struct sign_job *head;
    size_t len;
};

struct sign_queue {
    struct event_base *base;
    struct tt_tpm *tpm;
    size_t capacity;
    struct event
        *wakeup; /* pending only while somebody waits, so that an idle queue does not keep a loop alive */
    int event_fd;
    size_t expected; /* jobs that will call back; loop thread only */
    pthread_t worker;
    bool worker_runs;
    struct sign_job *current; /* worker only: where the TPM's trace goes */

    pthread_mutex_t lock;
    pthread_cond_t work;
    bool stop;
    struct job_list waiting, finished;
};

static void list_append(struct job_list *list, struct sign_job *job)
{
    struct sign_job **at = &list->head;
    while (*at != NULL)
        at = &(*at)->next;
    job->next = NULL;
    *at = job;
    list->len++;
}

static struct sign_job *list_take_first(struct job_list *list)
{
    struct sign_job *job = list->head;
    if (job != NULL) {
        list->head = job->next;
        list->len--;
    }
    return job;
}

static void list_remove(struct job_list *list, struct sign_job *job)
{
    for (struct sign_job **at = &list->head; *at != NULL; at = &(*at)->next) {
        if (*at == job) {
            *at = job->next;
            list->len--;
            return;
        }
    }
}

static void job_free(struct sign_job *job)
{
    if (job == NULL)
        return;
    mem_free(job->message);
    mem_free(job);
}

/* ---- the worker ---- */

static void record_command(void *arg, const struct tt_tpm_event *event)
{
    struct sign_job *job = ((struct sign_queue *)arg)->current;
    if (job != NULL && job->commands_len < SIGN_MAX_COMMANDS)
        job->commands[job->commands_len++] = *event;
}

static void job_run(struct sign_queue *q, struct sign_job *job)
{
    q->current = job;
    job->started_at = clock_monotonic_ns();
    tt_rc rc = tt_key_sign(job->request.key, job->request.scheme,
                           (struct tt_bytes){job->message, job->request.message.len}, job->signature,
                           sizeof job->signature, &job->signature_len, &job->error);
    if (rc != TT_OK)
        (void)error_set(&job->error, rc, "the key could not sign");
    job->finished_at = clock_monotonic_ns();
    q->current = NULL;
}

/* Returns NULL when the queue ends. */
static struct sign_job *worker_next(struct sign_queue *q)
{
    pthread_mutex_lock(&q->lock);
    while (q->waiting.head == NULL && !q->stop)
        pthread_cond_wait(&q->work, &q->lock);
    struct sign_job *job = q->stop ? NULL : list_take_first(&q->waiting);
    if (job != NULL)
        job->where = JOB_RUNNING;
    pthread_mutex_unlock(&q->lock);
    return job;
}

static void worker_hand_back(struct sign_queue *q, struct sign_job *job)
{
    pthread_mutex_lock(&q->lock);
    bool wanted = !job->cancelled && !q->stop;
    if (wanted) {
        job->where = JOB_FINISHED;
        list_append(&q->finished, job);
    }
    pthread_mutex_unlock(&q->lock);
    if (!wanted) {
        job_free(job);
        return;
    }
    const uint64_t one = 1;
    while (write(q->event_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

static void *worker_main(void *arg)
{
    struct sign_queue *q = arg;
    for (struct sign_job *job; (job = worker_next(q)) != NULL;) {
        job_run(q, job);
        worker_hand_back(q, job);
    }
    return NULL;
}

/* Signals are the loop's business. */
static int worker_start(struct sign_queue *q)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&q->worker, NULL, worker_main, q);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

/* ---- the loop's side ---- */

static void forget_one(struct sign_queue *q)
{
    if (--q->expected == 0)
        (void)event_del(q->wakeup);
}

static void job_deliver(struct sign_job *job)
{
    struct sign_answer answer = {
        .error = job->error,
        .signature = {job->signature, job->error.rc == TT_OK ? job->signature_len : 0},
        .commands = job->commands,
        .commands_len = job->commands_len,
        .waited_ns = job->started_at - job->submitted_at,
        .worked_ns = job->finished_at - job->started_at,
    };
    job->request.done(job->request.arg, &answer);
}

/* One at a time: a callback may cancel any other job. */
static void on_wakeup(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct sign_queue *q = arg;
    uint64_t count;
    (void)!read(fd, &count, sizeof count);
    for (;;) {
        pthread_mutex_lock(&q->lock);
        struct sign_job *job = list_take_first(&q->finished);
        pthread_mutex_unlock(&q->lock);
        if (job == NULL)
            return;
        forget_one(q);
        job_deliver(job);
        job_free(job);
    }
}

static tt_rc queue_start(struct sign_queue *q, struct tt_error *err)
{
    q->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->event_fd < 0)
        return error_set(err, TT_ERR_IO, "cannot make an eventfd: %s", strerror(errno));
    q->wakeup = event_new(q->base, q->event_fd, EV_READ | EV_PERSIST, on_wakeup, q);
    if (q->wakeup == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for the signature queue");
    if (q->tpm != NULL)
        tt_tpm_set_trace(q->tpm, record_command, q);
    int rc = worker_start(q);
    if (rc != 0)
        return error_set(err, TT_ERR_IO, "cannot start the signing thread: %s", strerror(rc));
    q->worker_runs = true;
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
    q->event_fd = -1;
    (void)pthread_mutex_init(&q->lock, NULL);
    (void)pthread_cond_init(&q->work, NULL);
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
    if (q->worker_runs) {
        pthread_mutex_lock(&q->lock);
        q->stop = true;
        pthread_cond_signal(&q->work);
        pthread_mutex_unlock(&q->lock);
        (void)pthread_join(q->worker, NULL);
    }
    for (struct sign_job *job; (job = list_take_first(&q->waiting)) != NULL;)
        job_free(job);
    for (struct sign_job *job; (job = list_take_first(&q->finished)) != NULL;)
        job_free(job);
    if (q->tpm != NULL)
        tt_tpm_set_trace(q->tpm, NULL, NULL);
    if (q->wakeup != NULL)
        event_free(q->wakeup);
    if (q->event_fd >= 0)
        (void)close(q->event_fd);
    (void)pthread_mutex_destroy(&q->lock);
    (void)pthread_cond_destroy(&q->work);
    mem_free(q);
}

static struct sign_job *job_new(struct sign_queue *q, const struct sign_request *what)
{
    struct sign_job *job = mem_alloc(sizeof *job);
    uint8_t *message = mem_dup(what->message.data, what->message.len);
    if (job == NULL || message == NULL) {
        mem_free(message);
        mem_free(job);
        return NULL;
    }
    job->queue = q;
    job->request = *what;
    job->message = message;
    job->submitted_at = clock_monotonic_ns();
    return job;
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
    bool full = q->waiting.len >= q->capacity;
    if (!full) {
        list_append(&q->waiting, job);
        pthread_cond_signal(&q->work);
    }
    pthread_mutex_unlock(&q->lock);
    if (full) {
        job_free(job);
        return error_set(err, TT_ERR_BUSY, "%zu signatures are waiting for the key already", q->capacity);
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
        list_remove(&q->waiting, job);
    else if (job->where == JOB_FINISHED)
        list_remove(&q->finished, job);
    else
        job->cancelled = true;
    pthread_mutex_unlock(&q->lock);
    if (ours)
        job_free(job);
    forget_one(q);
}
