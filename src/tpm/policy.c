/* tpm/policy.c: satisfy a key's policy: send the statements of its file on the policy session, with
 * PolicyAuthorize where it has signed ones. Layer: tpm. draft-bottomley-tpm2-keys, "TPMPolicy Syntax",
 * "TPMAuthPolicy Syntax"; TPM 2.0 part 3, section 23.16. A file's statements are hostile input; the TPM is
 * the judge, this only asks. */
#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/policy_job.h"
#include "tpm/session.h"

#define MAX_STATEMENTS 32

/* Up to a PolicyAuthorize, which is left to the caller: *rest starts with it, or is empty. */
static tt_rc run_statements(struct policy_job *job, struct tt_bytes *rest, struct tt_error *err)
{
    struct keyfile_policy p;
    for (unsigned n = 0; rest->len > 0; n++) {
        struct tt_bytes next = *rest;
        if (n >= MAX_STATEMENTS || !keyfile_policy_next(&p, &next))
            return policy_damaged("it is too long", err);
        if (p.command == TPM2_CC_PolicyAuthorize)
            return TT_OK;
        TT_TRY(policy_statement(job, &p, err));
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
        return policy_damaged("PolicyAuthorize", err);
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
        return policy_damaged("PolicyAuthorize", err);
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
    return policy_statement_end(&op, "the signed policy is for something else", err);
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
        return policy_damaged("a signed policy does not end with PolicyAuthorize", err);
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
    return rest.len == 0 ? TT_OK : policy_damaged("PolicyAuthorize is not the first statement", err);
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
