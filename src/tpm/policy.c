/* tpm/policy.c: satisfy a key's policy: send the statements of its file on the policy session. Layer: tpm.
 * draft-bottomley-tpm2-keys, "TPMPolicy Syntax", "TPMAuthPolicy Syntax"; TPM 2.0 part 3, section 23. A file's
 * statements are hostile input; the TPM is the judge, this only asks. */
#include <stdio.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/object.h"
#include "tpm/persistent.h"
#include "tpm/session.h"

#define MAX_STATEMENTS 32

/* struct policy_job: one policy being run. */
struct policy_job {
    struct tpm_object *o;
    struct tt_tpm *tpm;
    ESYS_TR session;
};

static tt_rc damaged(const char *what, struct tt_error *err)
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

static tt_rc statement_end(const struct tpm_op *op, const char *unmet, struct tt_error *err)
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
        return damaged("PolicyPCR", err);
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
    tt_rc rc = statement_end(&op, unmet, err);
    if (rc == TT_ERR_AUTH)
        error_hint(err, "`tpm2_pcrread` shows the values; if the change was meant, make a new key, or sign a "
                        "new policy with `tpmtls policy sign`");
    return rc;
}

/* PolicyPassword has the same digest; PolicyAuthValue keeps the password off the bus. */
static tt_rc run_auth_value(struct policy_job *job, struct tt_bytes body, struct tt_error *err)
{
    (void)body;
    const struct tpm_object *o = job->o;
    bool counts = (o->pub.publicArea.objectAttributes & TPMA_OBJECT_NODA) == 0;
    if (!o->has_password && (!o->file.empty_auth || counts)) {
        (void)error_set(err, TT_ERR_AUTH, "the key's policy demands its password, and none was given");
        error_hint(err, "give it with --auth-file FILE, --auth-fd N or --auth-credential NAME");
        return TT_ERR_AUTH;
    }
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
        return damaged("PolicyCommandCode", err);
    struct tpm_op op = tpm_op_start(job->tpm, "satisfy the key's policy (PolicyCommandCode)");
    do
        op.rc = Esys_PolicyCommandCode(job->tpm->esys, job->session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                       code);
    while (tpm_op_again(&op));
    return statement_end(&op, "it allows another command only", err);
}

static tt_rc run_locality(struct policy_job *job, struct tt_bytes body, struct tt_error *err)
{
    if (body.len != 1)
        return damaged("PolicyLocality", err);
    struct tpm_op op = tpm_op_start(job->tpm, "satisfy the key's policy (PolicyLocality)");
    do
        op.rc = Esys_PolicyLocality(job->tpm->esys, job->session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                    body.data[0]);
    while (tpm_op_again(&op));
    return statement_end(&op, "it demands another locality", err);
}

static tt_rc run_counter_timer(struct policy_job *job, struct tt_bytes body, struct tt_error *err)
{
    TPM2B_OPERAND operand = {0};
    UINT16 offset = 0, operation = 0;
    size_t at = 0;
    if (Tss2_MU_TPM2B_OPERAND_Unmarshal(body.data, body.len, &at, &operand) != TSS2_RC_SUCCESS ||
        Tss2_MU_UINT16_Unmarshal(body.data, body.len, &at, &offset) != TSS2_RC_SUCCESS ||
        Tss2_MU_UINT16_Unmarshal(body.data, body.len, &at, &operation) != TSS2_RC_SUCCESS || at != body.len)
        return damaged("PolicyCounterTimer", err);
    struct tpm_op op = tpm_op_start(job->tpm, "satisfy the key's policy (PolicyCounterTimer)");
    do
        op.rc = Esys_PolicyCounterTimer(job->tpm->esys, job->session, ESYS_TR_NONE, ESYS_TR_NONE,
                                        ESYS_TR_NONE, &operand, offset, operation);
    while (tpm_op_again(&op));
    return statement_end(&op, "it has expired (PolicyCounterTimer)", err);
}

static tt_rc run_physical_presence(struct policy_job *job, struct tt_bytes body, struct tt_error *err)
{
    (void)body;
    struct tpm_op op = tpm_op_start(job->tpm, "satisfy the key's policy (PolicyPhysicalPresence)");
    do
        op.rc = Esys_PolicyPhysicalPresence(job->tpm->esys, job->session, ESYS_TR_NONE, ESYS_TR_NONE,
                                            ESYS_TR_NONE);
    while (tpm_op_again(&op));
    return statement_end(&op, "it demands physical presence", err);
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
        return damaged("PolicySecret", err);
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
    if (tpm_rc_is(op.rc, TPM2_RC_AUTH_FAIL))
        o->refused = true;
    return tpm_op_end(&op, err);
}

static tt_rc run_secret(struct policy_job *job, struct tt_bytes body, struct tt_error *err)
{
    struct secret_body b = {0};
    ESYS_TR entity = ESYS_TR_NONE;
    bool counts = false;
    TT_TRY(secret_body_parse(&b, body, err));
    TT_TRY(secret_entity(&entity, &counts, job->tpm, &b, err));
    tt_rc rc;
    if (counts && !job->o->has_password) {
        rc = error_set(err, TT_ERR_AUTH,
                       "the key's policy demands the password of 0x%08x (PolicySecret), and none was given",
                       b.hint);
        error_hint(err, "give it with --auth-file FILE, --auth-fd N or --auth-credential NAME");
    } else {
        rc = secret_send(job, entity, &b, err);
    }
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

static tt_rc run_statement(struct policy_job *job, const struct keyfile_policy *p, struct tt_error *err)
{
    for (size_t i = 0; i < TT_COUNT(statements); i++)
        if (statements[i].command == p->command)
            return statements[i].run(job, p->body, err);
    return error_set(err, TT_ERR_UNSUPPORTED,
                     "the key's policy has a statement that this version cannot satisfy (%s, TPM_CC 0x%x)",
                     meter_command_name(p->command), p->command);
}

/* Up to a PolicyAuthorize, which is left to the caller: *rest starts with it, or is empty. */
static tt_rc run_statements(struct policy_job *job, struct tt_bytes *rest, struct tt_error *err)
{
    struct keyfile_policy p;
    for (unsigned n = 0; rest->len > 0; n++) {
        struct tt_bytes next = *rest;
        if (n >= MAX_STATEMENTS || !keyfile_policy_next(&p, &next))
            return damaged("it is too long", err);
        if (p.command == TPM2_CC_PolicyAuthorize)
            return TT_OK;
        TT_TRY(run_statement(job, &p, err));
        *rest = next;
    }
    return TT_OK;
}

static tt_rc restart(struct policy_job *job, struct tt_error *err)
{
    struct tpm_op op = tpm_op_start(job->tpm, "restart the policy session");
    do
        op.rc = Esys_PolicyRestart(job->tpm->esys, job->session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE);
    while (tpm_op_again(&op));
    return tpm_op_end(&op, err);
}

/* ---- PolicyAuthorize ---- */

struct authorize_body {
    TPM2B_PUBLIC signer;
    TPM2B_DIGEST ref;
    TPMT_SIGNATURE signature;
};

static tt_rc authorize_parse(struct authorize_body *ret, struct tt_bytes body, struct tt_error *err)
{
    struct authorize_body b = {0};
    size_t at = 0;
    if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(body.data, body.len, &at, &b.signer) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPM2B_DIGEST_Unmarshal(body.data, body.len, &at, &b.ref) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPMT_SIGNATURE_Unmarshal(body.data, body.len, &at, &b.signature) != TSS2_RC_SUCCESS ||
        at != body.len)
        return damaged("PolicyAuthorize", err);
    *ret = b;
    return TT_OK;
}

/* aHash = H(approvedPolicy || policyRef), by the TPM: this layer has no hash. */
static tt_rc authorize_digest(TPM2B_DIGEST *ret, struct tt_tpm *tpm, const struct authorize_body *b,
                              const TPM2B_DIGEST *approved, struct tt_error *err)
{
    TPM2B_MAX_BUFFER in = {.size = (UINT16)(approved->size + b->ref.size)};
    TPM2B_DIGEST *out = NULL;
    if (in.size > sizeof in.buffer)
        return damaged("PolicyAuthorize", err);
    memcpy(in.buffer, approved->buffer, approved->size);
    memcpy(in.buffer + approved->size, b->ref.buffer, b->ref.size);
    struct tpm_op op = tpm_op_start(tpm, "hash the signed policy");
    do
        op.rc = Esys_Hash(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &in,
                          b->signer.publicArea.nameAlg, ESYS_TR_RH_NULL, &out, NULL);
    while (tpm_op_again(&op));
    TT_TRY(tpm_op_end(&op, err));
    *ret = *out;
    Esys_Free(out);
    return TT_OK;
}

static tt_rc authorize_verify(struct object_ticket *t, struct tt_tpm *tpm, ESYS_TR key,
                              const struct authorize_body *b, struct tt_error *err)
{
    TPM2B_NAME *name = NULL;
    TPM2B_DIGEST digest;
    TPMT_TK_VERIFIED *ticket = NULL;
    if (Esys_TR_GetName(tpm->esys, key, &name) != TSS2_RC_SUCCESS)
        return error_set(err, TT_ERR_TPM, "cannot get the name of the policy's signing key");
    t->signer = *name;
    Esys_Free(name);
    TT_TRY(authorize_digest(&digest, tpm, b, &t->approved, err));
    struct tpm_op op = tpm_op_start(tpm, "verify the signature of the key's policy");
    do
        op.rc = Esys_VerifySignature(tpm->esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &digest,
                                     &b->signature, &ticket);
    while (tpm_op_again(&op));
    if (tpm_rc_is(op.rc, TPM2_RC_SIGNATURE))
        return error_set(err, TT_ERR_AUTH, "the key's policy is not met: its signature is wrong (0x%x)",
                         op.rc);
    TT_TRY(tpm_op_end(&op, err));
    t->ticket = *ticket;
    Esys_Free(ticket);
    return TT_OK;
}

static tt_rc authorize_ticket(struct object_ticket *t, struct policy_job *job, const struct authorize_body *b,
                              struct tt_error *err)
{
    struct tt_tpm *tpm = job->tpm;
    TPM2B_DIGEST *approved = NULL;
    struct tpm_op op = tpm_op_start(tpm, "read the policy session");
    do
        op.rc = Esys_PolicyGetDigest(tpm->esys, job->session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                     &approved);
    while (tpm_op_again(&op));
    TT_TRY(tpm_op_end(&op, err));
    t->approved = *approved;
    Esys_Free(approved);
    ESYS_TR key = ESYS_TR_NONE;
    op = tpm_op_start(tpm, "load the policy's signing key");
    do
        op.rc = Esys_LoadExternal(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL, &b->signer,
                                  ESYS_TR_RH_OWNER, &key);
    while (tpm_op_again(&op));
    TT_TRY(tpm_op_end(&op, err));
    tt_rc rc = authorize_verify(t, tpm, key, b, err);
    tpm_flush(tpm, &key);
    return rc;
}

static tt_rc authorize_send(struct policy_job *job, const struct object_ticket *t, const TPM2B_DIGEST *ref,
                            struct tt_error *err)
{
    struct tpm_op op = tpm_op_start(job->tpm, "satisfy the key's policy (PolicyAuthorize)");
    do
        op.rc = Esys_PolicyAuthorize(job->tpm->esys, job->session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                     &t->approved, ref, &t->signer, &t->ticket);
    while (tpm_op_again(&op));
    return statement_end(&op, "the signed policy is for something else", err);
}

/* One signed policy of the file: its statements, then PolicyAuthorize with its signature. */
static tt_rc run_branch(struct policy_job *job, const struct keyfile_branch *branch, size_t number,
                        struct tt_error *err)
{
    struct object_ticket *t = &job->o->ticket;
    struct tt_bytes rest = branch->policy;
    struct keyfile_policy last;
    struct authorize_body b;
    TT_TRY(run_statements(job, &rest, err));
    if (rest.len == 0 || !keyfile_policy_next(&last, &rest) || rest.len > 0)
        return damaged("a signed policy does not end with PolicyAuthorize", err);
    TT_TRY(authorize_parse(&b, last.body, err));
    if (!t->valid || t->branch != number) {
        struct object_ticket made = {.branch = number};
        TT_TRY(authorize_ticket(&made, job, &b, err));
        made.valid = true;
        *t = made;
    }
    tt_rc rc = authorize_send(job, t, &b.ref, err);
    t->valid = rc == TT_OK;
    return rc;
}

/* In the order of the file: the draft wants the likeliest first. The one that worked last is tried first. */
static tt_rc run_branches(struct policy_job *job, struct tt_error *err)
{
    struct object_ticket *t = &job->o->ticket;
    struct tt_bytes all = job->o->file.auth_policy;
    struct keyfile_branch branch;
    struct tt_error why = {0};
    tt_rc rc = error_set(&why, TT_ERR_AUTH, "the key needs a signed policy, and its file has none");
    error_hint(&why, "whoever holds the policy key makes one: `tpmtls policy sign`");
    bool known = t->valid, ran = false;
    for (size_t i = 0; i < MAX_STATEMENTS && keyfile_branch_next(&branch, &all); i++) {
        if (known && i != t->branch)
            continue;
        if (ran)
            TT_TRY(restart(job, err));
        ran = true;
        why = (struct tt_error){0};
        rc = run_branch(job, &branch, i, &why);
        if (rc == TT_OK || why.rc == TT_ERR_TPM || job->o->refused)
            break;
    }
    if (rc != TT_OK && known) { /* the known one no longer works: all of them */
        t->valid = false;
        TT_TRY(restart(job, err));
        return run_branches(job, err);
    }
    if (rc != TT_OK && err != NULL)
        *err = why;
    return rc;
}

static tt_rc run_all(struct policy_job *job, struct tt_error *err)
{
    struct tt_bytes rest = job->o->file.policy;
    struct keyfile_policy first;
    struct tt_bytes after = rest;
    if (keyfile_policy_next(&first, &after) && first.command == TPM2_CC_PolicyAuthorize) {
        TT_TRY(run_branches(job, err));
        rest = after;
    }
    TT_TRY(run_statements(job, &rest, err));
    return rest.len == 0 ? TT_OK : damaged("PolicyAuthorize is not the first statement", err);
}

tt_rc policy_run(struct tpm_object *o, struct tt_error *err)
{
    struct tpm_session *s = &o->tpm->sessions[TPM_SESSION_POLICY];
    struct policy_job job = {.o = o, .tpm = o->tpm, .session = session_use(o->tpm, TPM_SESSION_POLICY, 0)};
    if (s->dirty || s->ready != NULL)
        TT_TRY(restart(&job, err));
    s->ready = NULL;
    s->dirty = true;
    TT_TRY(run_all(&job, err));
    s->dirty = false;
    s->ready = o;
    return TT_OK;
}

static bool has_secret(struct tt_bytes content)
{
    struct keyfile_policy p;
    while (keyfile_policy_next(&p, &content))
        if (p.command == TPM2_CC_PolicySecret)
            return true;
    return false;
}

bool policy_wants_hmac(const struct tpm_object *o)
{
    struct tt_bytes all = o->file.auth_policy;
    struct keyfile_branch branch;
    if (has_secret(o->file.policy))
        return true;
    while (keyfile_branch_next(&branch, &all))
        if (has_secret(branch.policy))
            return true;
    return false;
}
