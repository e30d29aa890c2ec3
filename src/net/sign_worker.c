/* net/sign_worker.c: the worker that owns the TPM. Layer: net.
 *
 * It cannot be interrupted: a TPM that does not answer is given up by tt_tpm_set_deadline's patience, and the
 * loop tells whoever waits at the deadline (sign_queue.c), whether the worker is back or not. */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "net/clock.h"
#include "net/sign_queue_internal.h"

#define SIGNATURE_MAX 8192 /* room for ML-DSA; RSA and EC need at most 1,024 */

static void record(void *arg, const struct tt_tpm_event *event)
{
    struct sign_job *job = ((struct sign_worker *)arg)->current;
    if (job != NULL && job->commands_len < SIGN_MAX_COMMANDS)
        job->commands[job->commands_len++] = *event;
}

static tt_rc job_sign(struct sign_job *job)
{
    uint8_t signature[SIGNATURE_MAX];
    size_t len = 0;
    TT_TRY(tt_key_sign(job->request.key, job->request.scheme,
                       (struct tt_bytes){job->message, job->request.message.len}, signature, sizeof signature,
                       &len, &job->error));
    job->signature = mem_dup(signature, len);
    if (job->signature == NULL)
        return error_set(&job->error, TT_ERR_MEMORY, "no memory for a signature");
    job->signature_len = len;
    return TT_OK;
}

static tt_rc job_work(struct sign_worker *w, struct sign_job *job)
{
    if (w->tpm != NULL)
        TT_TRY(tt_tpm_revive(w->tpm, &job->error));
    return job->work.run(job->work.arg, w->tpm, &job->error);
}

static void job_run(struct sign_worker *w, struct sign_job *job)
{
    uint64_t allowed_ms = (job->deadline_at - job->submitted_at) / 1000000;
    bool longer = job->work.run != NULL && allowed_ms > w->patience_ms; /* a new RSA key takes its time */
    w->current = job;
    w->worked = true;
    if (w->tpm != NULL)
        tt_tpm_set_deadline(w->tpm, job->deadline_at, longer ? (unsigned)allowed_ms : w->patience_ms);
    tt_rc rc = job->work.run != NULL ? job_work(w, job) : job_sign(job);
    if (rc != TT_OK)
        (void)error_set(&job->error, rc, "the key could not sign");
    w->current = NULL;
}

static void wake_loop(const struct sign_queue *q)
{
    const uint64_t one = 1;
    while (write(q->event_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

void worker_finish(struct sign_job *job)
{
    job->where = JOB_FINISHED;
    job_list_append(&job->queue->finished, job);
    wake_loop(job->queue);
}

void worker_refuse_late(struct sign_worker *w)
{
    struct job_list late = {0};
    plan_refuse_late(&w->plan, &late, clock_monotonic_ns());
    for (struct sign_job *job; (job = job_list_take_first(&late)) != NULL;)
        worker_finish(job);
}

/* With the lock held. The first pause that is long enough is the TPM's rest. */
static void worker_wait(struct sign_worker *w)
{
    uint64_t until_ns = clock_monotonic_ns() + w->rest_ms * UINT64_C(1000000);
    const struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000U),
                                   .tv_nsec = (long)(until_ns % 1000000000U)};
    if (!w->worked || w->tpm == NULL)
        (void)pthread_cond_wait(&w->work, &w->lock);
    else if (pthread_cond_timedwait(&w->work, &w->lock, &until) == ETIMEDOUT) {
        pthread_mutex_unlock(&w->lock);
        tt_tpm_set_deadline(w->tpm, 0, w->patience_ms);
        tt_tpm_rest(w->tpm);
        w->worked = false;
        pthread_mutex_lock(&w->lock);
    }
}

/* Returns NULL when the worker ends. */
static struct sign_job *worker_next(struct sign_worker *w)
{
    struct sign_job *job = NULL;
    pthread_mutex_lock(&w->lock);
    while (job == NULL && !w->stop) {
        worker_refuse_late(w);
        job = plan_next(&w->plan);
        if (job == NULL && !w->stop)
            worker_wait(w);
    }
    if (job != NULL)
        job->started_at = clock_monotonic_ns();
    pthread_mutex_unlock(&w->lock);
    return job;
}

/* Of a cancelled job the queue may be gone. */
static void worker_hand_back(struct sign_worker *w, struct sign_job *job)
{
    pthread_mutex_lock(&w->lock);
    job->finished_at = clock_monotonic_ns();
    if (job->error.rc == TT_OK && job->work.run == NULL)
        plan_add_latency(&w->plan, job->finished_at - job->started_at);
    w->plan.running = NULL;
    w->reopenings = w->tpm != NULL ? tt_tpm_reopenings(w->tpm) : 0;
    bool wanted = !job->cancelled;
    if (wanted)
        worker_finish(job);
    pthread_mutex_unlock(&w->lock);
    if (!wanted)
        job_free(job);
}

static void *worker_main(void *arg)
{
    struct sign_worker *w = arg;
    for (struct sign_job *job; (job = worker_next(w)) != NULL;) {
        job_run(w, job);
        worker_hand_back(w, job);
    }
    return NULL;
}

/* ---- its life ---- */

struct sign_worker *worker_new(const struct sign_queue_options *opt)
{
    struct sign_worker *w = mem_alloc(sizeof *w);
    if (w == NULL)
        return NULL;
    w->tpm = opt->tpm;
    w->outage_told = opt->outage;
    w->outage_arg = opt->outage_arg;
    w->capacity = opt->capacity > 0 ? opt->capacity : SIGN_QUEUE_DEFAULT_CAPACITY;
    w->deadline_ms = opt->deadline_ms > 0 ? opt->deadline_ms : SIGN_QUEUE_DEFAULT_DEADLINE_MS;
    w->patience_ms = opt->patience_ms > 0 ? opt->patience_ms : SIGN_QUEUE_DEFAULT_PATIENCE_MS;
    w->rest_ms = opt->rest_ms > 0 ? opt->rest_ms : SIGN_QUEUE_DEFAULT_REST_MS;
    pthread_condattr_t monotonic;
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&w->work, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    return w;
}

/* Signals are the loops' business. */
int worker_start(struct sign_worker *w)
{
    sigset_t all, before;
    if (w->tpm != NULL)
        tt_tpm_set_trace(w->tpm, record, w);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&w->thread, NULL, worker_main, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    w->runs = rc == 0;
    return rc;
}

void worker_free(struct sign_worker *w)
{
    if (w->runs) {
        pthread_mutex_lock(&w->lock);
        w->stop = true;
        pthread_cond_signal(&w->work);
        pthread_mutex_unlock(&w->lock);
        (void)pthread_join(w->thread, NULL);
    }
    if (w->tpm != NULL) {
        tt_tpm_set_trace(w->tpm, NULL, NULL);
        tt_tpm_set_deadline(w->tpm, 0, w->patience_ms); /* whoever closes it must not hang, either */
    }
    (void)pthread_mutex_destroy(&w->lock);
    (void)pthread_cond_destroy(&w->work);
    mem_free(w);
}
