/* tpm/context.c: the life of struct tt_tpm, and the loop each command runs in. Layer: tpm. */
#include "tpm/context.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tpm/caps.h"
#include "tpm/reopen.h"
#include "tpm/session.h"

/* With the meter's waits of 1, 2, 4 .. 250 ms, and ESAPI's own five repeats a call, this is about six
 * seconds. */
#define MAX_TRIES 6

void tt_tpm_close(struct tt_tpm *tpm)
{
    if (tpm == NULL)
        return;
    if (tpm->esys != NULL) {
        session_close(tpm, TPM_SESSION_HMAC);
        session_close(tpm, TPM_SESSION_POLICY);
    }
    Esys_Free(tpm->srk);
    crypto_lib_free(tpm->own_lib);
    if (tpm->esys != NULL)
        Esys_Finalize(&tpm->esys);
    meter_close(&tpm->meter);
    mem_free(tpm->where);
    mem_free(tpm);
}

TT_DEFINE_AUTO(struct tt_tpm, tt_tpm_close)

unsigned tt_tpm_reopenings(const struct tt_tpm *tpm)
{
    return tpm->meter.openings;
}

void tt_tpm_rest(struct tt_tpm *tpm)
{
    if (!tpm->idle_costs_others || tpm->esys == NULL || tpm->meter.broken || !tpm_is_ours(tpm))
        return;
    session_close(tpm, TPM_SESSION_HMAC);
    session_close(tpm, TPM_SESSION_POLICY);
}

void tpm_silence(void)
{
    (void)setenv("TSS2_LOG", "all+NONE", 0);
}

tt_rc tpm_open_tcti(struct tt_tpm **ret, TSS2_TCTI_CONTEXT *tcti, void (*close_tcti)(TSS2_TCTI_CONTEXT **),
                    const char *where, struct tt_error *err)
{
    TT_AUTO(tt_tpm_close_auto) struct tt_tpm *tpm = mem_alloc(sizeof *tpm);
    if (tpm == NULL) {
        close_tcti(&tcti);
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    }
    tpm_silence();
    meter_init(&tpm->meter, tcti, close_tcti);
    tpm->where = mem_strdup(where);
    if (tpm->where == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    TSS2_RC rc = Esys_Initialize(&tpm->esys, meter_tcti(&tpm->meter), NULL);
    if (rc != TSS2_RC_SUCCESS)
        return error_set(err, TT_ERR_TPM, "cannot start the TPM software stack for %s (0x%x)", where, rc);
    *ret = TT_TAKE(tpm);
    return TT_OK;
}

const struct crypto_lib *tpm_lib(struct tt_tpm *tpm, struct tt_error *err)
{
    if (tpm->lib == NULL && crypto_lib_new_apart(&tpm->own_lib, NULL, err) == TT_OK)
        tpm->lib = tpm->own_lib;
    return tpm->lib;
}

void tpm_use_lib(struct tt_tpm *tpm, const struct crypto_lib *lib)
{
    tpm->lib = lib;
}

bool tpm_is_ours(const struct tt_tpm *tpm)
{
    return tpm->meter.owner == getpid();
}

void tt_tpm_set_trace(struct tt_tpm *tpm, tt_tpm_trace_fn fn, void *arg)
{
    tpm->meter.trace = fn;
    tpm->meter.trace_arg = arg;
}

uint64_t tt_tpm_command_count(const struct tt_tpm *tpm)
{
    return tpm->meter.count;
}

struct tpm_op tpm_op_start(struct tt_tpm *tpm, const char *what)
{
    return (struct tpm_op){.tpm = tpm, .what = what, .rc = TSS2_RC_SUCCESS, .tries = 0};
}

/* A TPM that nobody has started since its power came: where there is no firmware or driver in between, some
 * TCTIs leave that to us. Only before its first answer: one that loses its power later has lost what we had
 * loaded, too, and tpm_try_again sees to that. */
static bool start_first(const struct tpm_op *op)
{
    struct tt_tpm *tpm = op->tpm;
    if (tpm->started)
        return false;
    tpm->started = true;
    return tpm_rc_is(op->rc, TPM2_RC_INITIALIZE) && Esys_Startup(tpm->esys, TPM2_SU_CLEAR) == TSS2_RC_SUCCESS;
}

bool tpm_op_again(struct tpm_op *op)
{
    if (start_first(op))
        return true;
    if (!meter_wants_retry(op->rc))
        return false;
    return op->tpm->meter.deadline > 0 ? meter_has_time(&op->tpm->meter) : ++op->tries < MAX_TRIES;
}

tt_rc tpm_op_end(const struct tpm_op *op, struct tt_error *err)
{
    if (op->rc == TSS2_RC_SUCCESS)
        return TT_OK;
    op->tpm->last_failure = op->rc;
    tt_rc rc = tpm_fail(op, err);
    if (session_is_spoilt(op->rc)) /* else the next command would fail like this one */
        (void)sessions_prove(op->tpm);
    return rc;
}

bool tpm_holds(struct tt_tpm *tpm, ESYS_TR object, const TPM2B_NAME *name)
{
    TPM2B_NAME *there = NULL;
    struct tpm_op op = tpm_op_start(tpm, "look who is there");
    do
        op.rc =
            Esys_ReadPublic(tpm->esys, object, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL, &there, NULL);
    while (tpm_op_again(&op));
    bool same = op.rc == TSS2_RC_SUCCESS && there->size == name->size &&
                memcmp(there->name, name->name, name->size) == 0;
    Esys_Free(there);
    return same;
}

void tpm_flush(struct tt_tpm *tpm, ESYS_TR *handle)
{
    if (*handle == ESYS_TR_NONE)
        return;
    if (tpm_is_ours(tpm)) {
        struct tpm_op op = tpm_op_start(tpm, "unload an object");
        do
            op.rc = Esys_FlushContext(tpm->esys, *handle);
        while (tpm_op_again(&op));
    }
    *handle = ESYS_TR_NONE;
}

/* What the TPM says about itself is asked for once, when somebody wants to know: starting must stay cheap.
 * The public functions take a const pointer because for the caller nothing changes. */
static const struct tt_tpm *identified(const struct tt_tpm *tpm)
{
    struct tt_tpm *t = (struct tt_tpm *)(uintptr_t)tpm;
    if (!t->identified)
        caps_identify(t);
    return t;
}

bool tt_tpm_is_emulated(const struct tt_tpm *tpm)
{
    return tpm->software || identified(tpm)->vendor_is_software;
}

const char *tt_tpm_describe(const struct tt_tpm *tpm)
{
    return identified(tpm)->description;
}
