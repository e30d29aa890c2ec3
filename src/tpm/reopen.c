/* tpm/reopen.c: recovery. Layer: tpm. Losses: an error of the transport (which leaves an ESAPI context
 * useless: "bad sequence" for ever), a TPM that was restarted, a resource manager that threw our objects out.
 */
#include "tpm/reopen.h"

#include <string.h>

#include "tpm/context.h"
#include "tpm/leftovers.h"
#include "tpm/session.h"

#define LAYER_MASK       0x00ff0000U
#define TIDY_PATIENCE_MS 2000

/* On the courier's thread. Only the way is kept: ESAPI's context belongs on our own meter. */
static tt_rc open_way(struct courier_tcti *ret, const char *spec, struct tt_error *err)
{
    struct tt_tpm *fresh = NULL;
    TT_TRY(tt_tpm_open(&fresh, spec, err));
    ret->tcti = fresh->meter.inner;
    ret->close = fresh->meter.close_inner;
    fresh->meter.inner = NULL;
    tt_tpm_close(fresh);
    return TT_OK;
}

/* Nobody has said yet how long a command may take, and this must not be what hangs. */
static void tidy_up(struct tt_tpm *tpm)
{
    meter_set_deadline(&tpm->meter, 0, TIDY_PATIENCE_MS);
    leftovers_clean(tpm);
    meter_set_deadline(&tpm->meter, 0, 0);
}

tt_rc tpm_can_reopen(struct tt_tpm *tpm, const char *spec, struct tt_error *err)
{
    tpm->meter.spec = mem_strdup(spec);
    if (tpm->meter.spec == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    tpm->meter.open = open_way;
    tpm->meter.loaded.managed = !loaded_needs_record(spec);
    /* our own keeper saves old sessions again (space.c) */
    tpm->idle_costs_others = tpm->meter.loaded.managed && strncmp(spec, "embedded", strlen("embedded")) != 0;
    if (!tpm->meter.loaded.managed) {
        loaded_record(&tpm->meter.loaded, tpm->where);
        tidy_up(tpm);
    }
    return TT_OK;
}

void tpm_never_reopen(struct tt_tpm *tpm)
{
    tpm->meter.open = NULL;
}

void tt_tpm_set_deadline(struct tt_tpm *tpm, uint64_t at_ns, unsigned patience_ms)
{
    meter_set_deadline(&tpm->meter, at_ns, patience_ms);
}

/* A TPM that lost its power without its computer noticing waits for TPM2_Startup, which nobody else sends. */
static void start_up(struct tt_tpm *tpm)
{
    if (tpm_rc_is(tpm->last_failure, TPM2_RC_INITIALIZE))
        (void)Esys_Startup(tpm->esys, TPM2_SU_CLEAR);
}

tt_rc tpm_reopen(struct tt_tpm *tpm, struct tt_error *err)
{
    for (int kind = 0; kind < TPM_SESSIONS; kind++)
        tpm->sessions[kind] = (struct tpm_session){.open = false};
    tpm->resident = NULL;
    if (tpm->esys != NULL)
        Esys_Finalize(&tpm->esys);
    struct tt_error why = {0};
    tt_rc rc = meter_reopen(&tpm->meter, &why);
    if (rc != TT_OK) {
        rc = error_set(err, TT_ERR_TPM, "the TPM at %s was lost and cannot be opened again: %s", tpm->where,
                       why.text);
        error_hint(err, "%s", why.hint[0] != '\0' ? why.hint : "it is tried again with the next request");
        return rc;
    }
    if (Esys_Initialize(&tpm->esys, meter_tcti(&tpm->meter), NULL) != TSS2_RC_SUCCESS) {
        tpm->meter.broken = true;
        return error_set(err, TT_ERR_TPM, "cannot start the TPM software stack again");
    }
    start_up(tpm);
    leftovers_clean(tpm);
    return TT_OK;
}

static bool is_broken(const struct tt_tpm *tpm)
{
    return tpm->meter.broken || tpm->esys == NULL;
}

/* Would the last failure not happen on a new connection with everything loaded again? */
static bool is_lost(const struct tt_tpm *tpm)
{
    static const TPM2_RC codes[] = {TPM2_RC_REFERENCE_H0, TPM2_RC_REFERENCE_H1,  TPM2_RC_REFERENCE_H2,
                                    TPM2_RC_HANDLE,       TPM2_RC_OBJECT_MEMORY, TPM2_RC_SESSION_MEMORY,
                                    TPM2_RC_CONTEXT_GAP,  TPM2_RC_INITIALIZE};
    TSS2_RC rc = tpm->last_failure;
    uint32_t layer = rc & LAYER_MASK;
    if (is_broken(tpm))
        return true;
    if (rc == TSS2_RC_SUCCESS)
        return false;
    if (layer != TSS2_TPM_RC_LAYER && layer != TSS2_RESMGR_TPM_RC_LAYER)
        return true; /* ESAPI, the resource manager, an answer that makes no sense */
    for (size_t i = 0; i < TT_COUNT(codes); i++)
        if (tpm_rc_is(rc, codes[i]))
            return true;
    return session_is_lost(rc);
}

bool tpm_is_lost(const struct tt_tpm *tpm)
{
    return is_lost(tpm);
}

tt_rc tpm_try_start(struct tpm_try *ret, struct tt_tpm *tpm, struct tt_error *err)
{
    *ret = (struct tpm_try){.tpm = tpm};
    if (tpm_is_ours(tpm) && is_broken(tpm) && tpm->meter.open != NULL)
        TT_TRY(tpm_reopen(tpm, err));
    tpm->last_failure = TSS2_RC_SUCCESS;
    return TT_OK;
}

/* Where it cannot be opened again, what the TPM forgot can still be loaded again. */
static bool recover(struct tt_tpm *tpm)
{
    struct tt_error unused = {0}; /* what failed first says more */
    return tpm->meter.open != NULL
               ? tpm_reopen(tpm, &unused) == TT_OK
               : session_is_lost(tpm->last_failure) || tpm_rc_is(tpm->last_failure, TPM2_RC_REFERENCE_H0);
}

bool tpm_is_stuck(const struct tt_tpm *tpm)
{
    return tpm->meter.given_up;
}

/* Who was waited for in vain, and for no deadline, would be waited for in vain again. */
static bool is_hopeless(const struct tt_tpm *tpm)
{
    return tpm->meter.deadline == 0 ? tpm_is_stuck(tpm) : !meter_has_time(&tpm->meter);
}

bool tpm_try_again(struct tpm_try *t, tt_rc rc, struct tt_error *why)
{
    struct tt_tpm *tpm = t->tpm;
    if (rc == TT_OK || !tpm_is_ours(tpm) || !is_lost(tpm))
        return false;
    if (t->tries++ > 0 || is_hopeless(tpm) || !recover(tpm)) {
        if (tpm->meter.open != NULL)
            meter_release(&tpm->meter);
        return false;
    }
    error_clear(why);
    return true;
}

tt_rc tt_tpm_revive(struct tt_tpm *tpm, struct tt_error *err)
{
    struct tpm_try unused;
    return tpm_try_start(&unused, tpm, err);
}
