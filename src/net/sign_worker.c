/* net/sign_worker.c: the worker that owns the TPM. Layer: net. The only file of this layer that starts a
 * thread.
 *
 * It cannot be interrupted: a TPM that does not answer is given up by tt_tpm_set_deadline's patience, and the
 * loop tells whoever waits at the deadline (sign_queue.c), whether the worker is back or not. */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "net/clock.h"
#include "net/sign_queue_internal.h"

#define SIGNATURE_MAX 8192 /* room for ML-DSA; RSA and EC need at most 1,024 */

void worker_record(void *arg, const struct tt_tpm_event *event)
{
    struct sign_job *job = ((struct sign_queue *)arg)->current;
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

static tt_rc job_work(struct sign_queue *q, struct sign_job *job)
{
    if (q->tpm != NULL)
        TT_TRY(tt_tpm_revive(q->tpm, &job->error));
    return job->work.run(job->work.arg, q->tpm, &job->error);
}

static void job_run(struct sign_queue *q, struct sign_job *job)
{
    uint64_t allowed_ms = (job->deadline_at - job->submitted_at) / 1000000;
    bool longer = job->work.run != NULL && allowed_ms > q->patience_ms; /* a new RSA key takes its time */
    q->current = job;
    q->worked = true;
    if (q->tpm != NULL)
        tt_tpm_set_deadline(q->tpm, job->deadline_at, longer ? (unsigned)allowed_ms : q->patience_ms);
    tt_rc rc = job->work.run != NULL ? job_work(q, job) : job_sign(job);
    if (rc != TT_OK)
        (void)error_set(&job->error, rc, "the key could not sign");
    q->current = NULL;
}

static void wake_loop(struct sign_queue *q)
{
    const uint64_t one = 1;
    while (write(q->event_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

/* With the lock held. The first pause that is long enough is the TPM's rest. */
static void worker_wait(struct sign_queue *q)
{
    uint64_t until_ns = clock_monotonic_ns() + q->rest_ms * UINT64_C(1000000);
    const struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000U),
                                   .tv_nsec = (long)(until_ns % 1000000000U)};
    if (!q->worked || q->tpm == NULL)
        (void)pthread_cond_wait(&q->work, &q->lock);
    else if (pthread_cond_timedwait(&q->work, &q->lock, &until) == ETIMEDOUT) {
        pthread_mutex_unlock(&q->lock);
        tt_tpm_set_deadline(q->tpm, 0, q->patience_ms);
        tt_tpm_rest(q->tpm);
        q->worked = false;
        pthread_mutex_lock(&q->lock);
    }
}

/* Returns NULL when the queue ends. */
static struct sign_job *worker_next(struct sign_queue *q)
{
    struct sign_job *job = NULL;
    pthread_mutex_lock(&q->lock);
    while (job == NULL && !q->stop) {
        if (queue_refuse_late(q))
            wake_loop(q);
        job = plan_next(&q->plan);
        if (job == NULL && !q->stop)
            worker_wait(q);
    }
    if (job != NULL)
        job->started_at = clock_monotonic_ns();
    pthread_mutex_unlock(&q->lock);
    return job;
}

static void worker_hand_back(struct sign_queue *q, struct sign_job *job)
{
    pthread_mutex_lock(&q->lock);
    job->finished_at = clock_monotonic_ns();
    if (job->error.rc == TT_OK && job->work.run == NULL)
        plan_add_latency(&q->plan, job->finished_at - job->started_at);
    q->plan.running = NULL;
    bool wanted = !job->cancelled && !q->stop;
    if (wanted) {
        job->where = JOB_FINISHED;
        job_list_append(&q->finished, job);
    }
    pthread_mutex_unlock(&q->lock);
    if (wanted)
        wake_loop(q);
    else
        job_free(job);
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
int worker_start(struct sign_queue *q)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&q->worker, NULL, worker_main, q);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    q->worker_runs = rc == 0;
    return rc;
}

void worker_stop(struct sign_queue *q)
{
    if (!q->worker_runs)
        return;
    pthread_mutex_lock(&q->lock);
    q->stop = true;
    pthread_cond_signal(&q->work);
    pthread_mutex_unlock(&q->lock);
    (void)pthread_join(q->worker, NULL);
    q->worker_runs = false;
}
