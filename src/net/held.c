/* net/held.c: see held.h. Layer: net. */
#include "net/held.h"

#include <stdatomic.h>
#include <string.h>

struct held_psk {
    struct tt_hmac *keys[2]; /* by enum tt_psk_operation */
};

void held_files_free(struct held_files *f)
{
    mem_free(f->k1);
    mem_free(f->k2);
    *f = (struct held_files){0};
}

void held_free(struct held_psk *h)
{
    if (h == NULL)
        return;
    for (size_t i = 0; i < TT_COUNT(h->keys); i++)
        tt_hmac_free(h->keys[i]);
    mem_free(h);
}
TT_DEFINE_AUTO(struct held_psk, held_free)

static tt_rc import_both(struct held_files *ret, struct tt_tpm *tpm, uint8_t keys[2][32],
                         const char *description, struct tt_error *err)
{
    const struct tt_key_params params = {.description = description};
    TT_TRY(tt_hmac_create(&ret->k1, tpm, (struct tt_bytes){keys[0], 32}, &params, err));
    return tt_hmac_create(&ret->k2, tpm, (struct tt_bytes){keys[1], 32}, &params, err);
}

tt_rc held_provision(struct tt_session **ret, struct held_files *ret_files, struct tt_tpm *tpm,
                     const struct tt_session *s, const char *description, struct tt_error *err)
{
    uint8_t keys[2][32];
    struct held_files files = {0};
    struct tt_session *held = NULL;
    TT_TRY(tt_session_hold(&held, s, NULL, keys[0], keys[1], err));
    tt_rc rc = import_both(&files, tpm, keys, description, err);
    mem_wipe(keys, sizeof keys);
    if (rc != TT_OK) {
        held_files_free(&files);
        tt_session_free(held);
        return rc;
    }
    *ret_files = files;
    *ret = held;
    return TT_OK;
}

static struct tt_bytes text(const char *s)
{
    return (struct tt_bytes){(const uint8_t *)s, strlen(s)};
}

tt_rc held_open(struct held_psk **ret, struct tt_tpm *tpm, const struct held_files *files,
                struct tt_error *err)
{
    TT_AUTO(held_free_auto) struct held_psk *h = mem_alloc(sizeof *h);
    if (h == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    TT_TRY(tt_hmac_open_pem(&h->keys[TT_PSK_BINDER], tpm, text(files->k1), NULL, err));
    TT_TRY(tt_hmac_open_pem(&h->keys[TT_PSK_HANDSHAKE_SECRET], tpm, text(files->k2), NULL, err));
    *ret = TT_TAKE(h);
    return TT_OK;
}

tt_rc held_load(struct held_psk *h, struct tt_error *err)
{
    TT_TRY(tt_hmac_load(h->keys[TT_PSK_HANDSHAKE_SECRET], TT_HMAC_SECRET, err));
    return tt_hmac_load(h->keys[TT_PSK_BINDER], TT_HMAC_ONCE, err); /* the first to be used */
}

tt_rc held_compute(struct held_psk *h, enum tt_psk_operation operation, uint8_t ret[32],
                   struct tt_bytes input, struct tt_error *err)
{
    return tt_hmac_compute(h->keys[operation], ret, input, operation == TT_PSK_HANDSHAKE_SECRET, err);
}

/* ---- on the queue ---- */

/* Two have it: whoever submitted it, and the queue until it will not touch it again. */
struct held_job {
    atomic_uint holders;
    struct sign_job *job; /* NULL once it was done */
    struct held_question question;
    uint8_t input[128];
    uint8_t output[32];
    sign_done_fn done;
    void *arg;
};

static void job_drop(void *arg)
{
    struct held_job *job = arg;
    if (atomic_fetch_sub_explicit(&job->holders, 1, memory_order_acq_rel) == 1)
        mem_free(job); /* wipes */
}

static tt_rc job_run(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    struct held_job *job = arg;
    (void)tpm;
    return job->question.compute(&job->question, job->output, err);
}

static void job_done(void *arg, const struct sign_answer *answer)
{
    struct held_job *job = arg;
    job->job = NULL;
    job->done(job->arg, answer);
}

static tt_rc psk_compute(const struct held_question *q, uint8_t ret[32], struct tt_error *err)
{
    return held_compute(q->key, q->operation, ret, q->input, err);
}

static tt_rc ech_compute(const struct held_question *q, uint8_t ret[32], struct tt_error *err)
{
    const struct held_ech *ech = q->key;
    return tt_ecdh_compute(ech->key, ret, q->input, err);
}

struct held_question held_of_psk(const struct tt_psk_request *request)
{
    return (struct held_question){psk_compute, request->key, request->operation, request->input};
}

struct held_question held_of_ech(const struct tt_ech_request *request)
{
    return (struct held_question){.compute = ech_compute, .key = request->key, .input = request->enc};
}

tt_rc held_job_submit(struct held_job **ret, struct sign_queue *q, const struct held_question *question,
                      const struct sign_request *how, struct tt_error *err)
{
    struct held_job *job = question->input.len <= sizeof job->input ? mem_alloc(sizeof *job) : NULL;
    if (job == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for a computation of the TPM");
    atomic_init(&job->holders, 2);
    memcpy(job->input, question->input.data, question->input.len);
    job->question = *question;
    job->question.input.data = job->input;
    job->done = how->done;
    job->arg = how->arg;
    const struct sign_work work = {.run = job_run, .release = job_drop, .arg = job};
    struct sign_request queued = *how;
    queued.work = &work;
    queued.done = job_done;
    queued.arg = job;
    tt_rc rc = sign_queue_submit(q, &job->job, &queued, err);
    if (rc != TT_OK) {
        mem_free(job); /* the queue did not take it */
        return rc;
    }
    *ret = job;
    return TT_OK;
}

struct tt_bytes held_job_output(const struct held_job *job)
{
    return (struct tt_bytes){job->output, sizeof job->output};
}

void held_job_free(struct held_job *job)
{
    if (job == NULL)
        return;
    sign_job_cancel(TT_TAKE(job->job));
    job_drop(job);
}
