/* tpm/policy_job.h: one policy being run, for policy.c (the order of things, PolicyAuthorize) and
 * policy_statement.c (each other statement). Layer: tpm; for these two files only. */
#ifndef TPM_POLICY_JOB_H
#define TPM_POLICY_JOB_H

#include "tpm/object.h"

/* struct policy_job: one policy being run. */
struct policy_job {
    struct tpm_object *o;
    struct tt_tpm *tpm;
    ESYS_TR session;
};

/* policy_statement: run one; TT_ERR_AUTH when its condition is not met, TT_ERR_UNSUPPORTED when it is
 * unknown. */
TT_MUST_USE tt_rc policy_statement(struct policy_job *job, const struct keyfile_policy *p,
                                   struct tt_error *err);
/* policy_statement_end: after a command: unmet says what it means that the TPM refused. */
TT_MUST_USE tt_rc policy_statement_end(const struct tpm_op *op, const char *unmet, struct tt_error *err);
tt_rc policy_damaged(const char *what, struct tt_error *err);

#endif
