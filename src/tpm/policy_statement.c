/* tpm/policy_statement.c: the statements of a policy, each one command. Layer: tpm.
 * draft-bottomley-tpm2-keys, "TPMPolicy Syntax" and the exceptions to it; TPM 2.0 part 3, section 23. The
 * bodies come from a file: hostile. */
#include <stdio.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/guard.h"
#include "tpm/policy_job.h"
#include "tpm/session.h"

tt_rc policy_damaged(const char *what, struct tt_error *err)
{
    return error_set(err, TT_ERR_DECODE, "the key file's policy is damaged: %s", what);
}

/* What a TPM answers when a condition is not met (and not: when it cannot be asked). */
static bool is_unmet(TSS2_RC rc)
{
    return tpm_rc_is(rc, TPM2_RC_VALUE) || tpm_rc_is(rc, TPM2_RC_POLICY) ||
           tpm_rc_is(rc, TPM2_RC_POLICY_FAIL) || tpm_rc_is(rc, TPM2_RC_LOCALITY) ||
           tpm_rc_is(rc, TPM2_RC_RANGE) || tpm_rc_is(rc, TPM2_RC_EXPIRED) || tpm_rc_is(rc, TPM2_RC_PP);
}

tt_rc policy_statement_end(const struct tpm_op *op, const char *unmet, struct tt_error *err)
{
    if (!is_unmet(op->rc))
        return tpm_op_end(op, err);
    return error_set(err, TT_ERR_AUTH, "the key's policy is not met: %s (0x%x)", unmet, op->rc);
}

/* ---- statements ---- */

static void pcr_text(char *ret, size_t cap, const TPML_PCR_SELECTION *pcrs)
{
    size_t n = 0;
    ret[0] = '\0';
    for (UINT32 i = 0; i < pcrs->count && i < TPM2_NUM_PCR_BANKS; i++)
        for (unsigned bit = 0; bit < pcrs->pcrSelections[i].sizeofSelect * 8U && bit < 32 && n < cap; bit++)
            if ((pcrs->pcrSelections[i].pcrSelect[bit / 8] >> bit % 8 & 1) != 0)
                n += (size_t)snprintf(ret + n, cap - n, "%s%u", n > 0 ? ", " : "", bit);
}

static tt_rc run_pcr(struct policy_job *job, struct tt_bytes body, struct tt_error *err)
{
    TPM2B_DIGEST digest = {0};
    TPML_PCR_SELECTION pcrs = {0};
    size_t at = 0;
    char list[96], unmet[192];
    if (Tss2_MU_TPM2B_DIGEST_Unmarshal(body.data, body.len, &at, &digest) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPML_PCR_SELECTION_Unmarshal(body.data, body.len, &at, &pcrs) != TSS2_RC_SUCCESS ||
        at != body.len)
        return policy_damaged("PolicyPCR", err);
    struct tpm_op op = tpm_op_start(job->tpm, "check the PCRs of the key's policy");
    do
        op.rc = Esys_PolicyPCR(job->tpm->esys, job->session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                               &digest, &pcrs);
    while (tpm_op_again(&op));
    pcr_text(list, sizeof list, &pcrs);
    (void)snprintf(
        unmet, sizeof unmet,
        "PCRs %s have other values than the policy demands: the machine was not started in the state "
        "the key is bound to",
        list);
    tt_rc rc = policy_statement_end(&op, unmet, err);
    if (rc == TT_ERR_AUTH)
        error_hint(err, "`tpm2_pcrread` shows the values; if the change was meant, make a new key, or sign a "
                        "new policy with `tpmtls policy sign`");
    return rc;
}

/* PolicyPassword has the same digest; PolicyAuthValue keeps the password off the bus. */
static tt_rc run_auth_value(struct policy_job *job, struct tt_bytes body, struct tt_error *err)
{
    (void)body;
    TT_TRY(guard_policy_password(job->o, err));
    struct tpm_op op = tpm_op_start(job->tpm, "satisfy the key's policy (PolicyAuthValue)");
    do
        op.rc = Esys_PolicyAuthValue(job->tpm->esys, job->session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE);
    while (tpm_op_again(&op));
    return tpm_op_end(&op, err);
}

static tt_rc run_command_code(struct policy_job *job, struct tt_bytes body, struct tt_error *err)
{
    TPM2_CC code = 0;
    size_t at = 0;
    if (Tss2_MU_TPM2_CC_Unmarshal(body.data, body.len, &at, &code) != TSS2_RC_SUCCESS || at != body.len)
        return policy_damaged("PolicyCommandCode", err);
    struct tpm_op op = tpm_op_start(job->tpm, "satisfy the key's policy (PolicyCommandCode)");
    do
        op.rc = Esys_PolicyCommandCode(job->tpm->esys, job->session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                       code);
    while (tpm_op_again(&op));
    return policy_statement_end(&op, "it allows another command only", err);
}

static tt_rc run_locality(struct policy_job *job, struct tt_bytes body, struct tt_error *err)
{
    if (body.len != 1)
        return policy_damaged("PolicyLocality", err);
    struct tpm_op op = tpm_op_start(job->tpm, "satisfy the key's policy (PolicyLocality)");
    do
        op.rc = Esys_PolicyLocality(job->tpm->esys, job->session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                    body.data[0]);
    while (tpm_op_again(&op));
    return policy_statement_end(&op, "it demands another locality", err);
}

static tt_rc run_counter_timer(struct policy_job *job, struct tt_bytes body, struct tt_error *err)
{
    TPM2B_OPERAND operand = {0};
    UINT16 offset = 0, operation = 0;
    size_t at = 0;
    if (Tss2_MU_TPM2B_OPERAND_Unmarshal(body.data, body.len, &at, &operand) != TSS2_RC_SUCCESS ||
        Tss2_MU_UINT16_Unmarshal(body.data, body.len, &at, &offset) != TSS2_RC_SUCCESS ||
        Tss2_MU_UINT16_Unmarshal(body.data, body.len, &at, &operation) != TSS2_RC_SUCCESS || at != body.len)
        return policy_damaged("PolicyCounterTimer", err);
    struct tpm_op op = tpm_op_start(job->tpm, "satisfy the key's policy (PolicyCounterTimer)");
    do
        op.rc = Esys_PolicyCounterTimer(job->tpm->esys, job->session, ESYS_TR_NONE, ESYS_TR_NONE,
                                        ESYS_TR_NONE, &operand, offset, operation);
    while (tpm_op_again(&op));
    return policy_statement_end(&op, "it has expired (PolicyCounterTimer)", err);
}

static tt_rc run_physical_presence(struct policy_job *job, struct tt_bytes body, struct tt_error *err)
{
    (void)body;
    struct tpm_op op = tpm_op_start(job->tpm, "satisfy the key's policy (PolicyPhysicalPresence)");
    do
        op.rc = Esys_PolicyPhysicalPresence(job->tpm->esys, job->session, ESYS_TR_NONE, ESYS_TR_NONE,
                                            ESYS_TR_NONE);
    while (tpm_op_again(&op));
    return policy_statement_end(&op, "it demands physical presence", err);
}

/* ---- PolicySecret ---- */

struct secret_body {
    uint32_t hint;
    TPM2B_NAME name;
    TPM2B_DIGEST ref;
};

static tt_rc secret_body_parse(struct secret_body *ret, struct tt_bytes body, struct tt_error *err)
{
    struct secret_body b = {0};
    size_t at = 0;
    if (Tss2_MU_UINT32_Unmarshal(body.data, body.len, &at, &b.hint) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPM2B_NAME_Unmarshal(body.data, body.len, &at, &b.name) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPM2B_DIGEST_Unmarshal(body.data, body.len, &at, &b.ref) != TSS2_RC_SUCCESS ||
        at != body.len || b.name.size < 4)
        return policy_damaged("PolicySecret", err);
    /* The name of a permanent entity is its handle. */
    if (b.name.size == 4)
        b.hint = (uint32_t)b.name.name[0] << 24 | (uint32_t)b.name.name[1] << 16 |
                 (uint32_t)b.name.name[2] << 8 | b.name.name[3];
    *ret = b;
    return TT_OK;
}

static ESYS_TR permanent(uint32_t handle)
{
    return handle == TPM2_RH_OWNER         ? ESYS_TR_RH_OWNER
           : handle == TPM2_RH_ENDORSEMENT ? ESYS_TR_RH_ENDORSEMENT
           : handle == TPM2_RH_PLATFORM    ? ESYS_TR_RH_PLATFORM
           : handle == TPM2_RH_LOCKOUT     ? ESYS_TR_RH_LOCKOUT
           : handle == TPM2_RH_NULL        ? ESYS_TR_RH_NULL
                                           : ESYS_TR_NONE;
}

static bool has_name(struct tt_tpm *tpm, ESYS_TR object, const TPM2B_NAME *want)
{
    TPM2B_NAME *name = NULL;
    bool same = Esys_TR_GetName(tpm->esys, object, &name) == TSS2_RC_SUCCESS && name->size == want->size &&
                memcmp(name->name, want->name, name->size) == 0;
    Esys_Free(name);
    return same;
}

/* The entity whose password is asked for. An object must have the name that the policy has; *ret_counts:
 * wrong passwords of it count. */
static tt_rc secret_entity(ESYS_TR *ret, bool *ret_counts, struct tt_tpm *tpm, const struct secret_body *b,
                           struct tt_error *err)
{
    ESYS_TR entity = permanent(b->hint);
    *ret_counts = entity == ESYS_TR_RH_LOCKOUT;
    if (entity != ESYS_TR_NONE) {
        *ret = entity;
        return TT_OK;
    }
    struct tpm_op op = tpm_op_start(tpm, "find the object of the key's policy (PolicySecret)");
    do
        op.rc = Esys_TR_FromTPMPublic(tpm->esys, b->hint, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &entity);
    while (tpm_op_again(&op));
    if (op.rc == TSS2_RC_SUCCESS && !has_name(tpm, entity, &b->name)) {
        (void)Esys_TR_Close(tpm->esys, &entity);
        return error_set(err, TT_ERR_AUTH,
                         "the key's policy demands the password of an object (PolicySecret), and 0x%08x is "
                         "another one",
                         b->hint);
    }
    TT_TRY(tpm_op_end(&op, err));
    *ret_counts = true; /* to be on the safe side: not asked */
    *ret = entity;
    return TT_OK;
}

static tt_rc secret_send(struct policy_job *job, ESYS_TR entity, const struct secret_body *b,
                         struct tt_error *err)
{
    struct tpm_object *o = job->o;
    struct tt_tpm *tpm = job->tpm;
    ESYS_TR session = ESYS_TR_PASSWORD;
    if (o->password.size > 0) {
        if (Esys_TR_SetAuth(tpm->esys, entity, &o->password) != TSS2_RC_SUCCESS)
            return error_set(err, TT_ERR_INTERNAL, "cannot set the password");
        session = session_use(tpm, TPM_SESSION_HMAC, 0);
    }
    struct tpm_op op = tpm_op_start(tpm, "satisfy the key's policy (PolicySecret)");
    do
        op.rc = Esys_PolicySecret(tpm->esys, entity, job->session, session, ESYS_TR_NONE, ESYS_TR_NONE, NULL,
                                  NULL, &b->ref, 0, NULL, NULL);
    while (tpm_op_again(&op));
    (void)Esys_TR_SetAuth(tpm->esys, entity, NULL);
    guard_answer(o, op.rc, true);
    return tpm_op_end(&op, err);
}

static tt_rc run_secret(struct policy_job *job, struct tt_bytes body, struct tt_error *err)
{
    struct secret_body b = {0};
    ESYS_TR entity = ESYS_TR_NONE;
    bool counts = false;
    TT_TRY(secret_body_parse(&b, body, err));
    TT_TRY(secret_entity(&entity, &counts, job->tpm, &b, err));
    tt_rc rc = guard_policy_secret(job->o, b.hint, counts, err);
    if (rc == TT_OK)
        rc = secret_send(job, entity, &b, err);
    if (permanent(b.hint) == ESYS_TR_NONE)
        (void)Esys_TR_Close(job->tpm->esys, &entity);
    return rc;
}

/* ---- the table ---- */

static const struct statement {
    uint32_t command;
    tt_rc (*run)(struct policy_job *job, struct tt_bytes body, struct tt_error *err);
} statements[] = {
    {TPM2_CC_PolicyPCR, run_pcr},
    {TPM2_CC_PolicyAuthValue, run_auth_value},
    {TPM2_CC_PolicyPassword, run_auth_value},
    {TPM2_CC_PolicySecret, run_secret},
    {TPM2_CC_PolicyCommandCode, run_command_code},
    {TPM2_CC_PolicyLocality, run_locality},
    {TPM2_CC_PolicyCounterTimer, run_counter_timer},
    {TPM2_CC_PolicyPhysicalPresence, run_physical_presence},
};

tt_rc policy_statement(struct policy_job *job, const struct keyfile_policy *p, struct tt_error *err)
{
    for (size_t i = 0; i < TT_COUNT(statements); i++)
        if (statements[i].command == p->command)
            return statements[i].run(job, p->body, err);
    return error_set(err, TT_ERR_UNSUPPORTED,
                     "the key's policy has a statement that this version cannot satisfy (%s, TPM_CC 0x%x)",
                     meter_command_name(p->command), p->command);
}
