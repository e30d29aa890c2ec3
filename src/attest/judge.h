/* attest/judge.h: struct judging: evidence on its way to a verdict. Layer: attest; for the files of
 * src/attest only. */
#ifndef ATTEST_JUDGE_H
#define ATTEST_JUDGE_H

#include "attest/policy.h"
#include "crypto/sig.h"
#include "wire/attest_form.h"

struct judging {
    const struct tt_attest_policy *policy;
    const struct tt_attest_want *want;
    struct tt_evidence e;
    struct tt_attest_verdict v;
    struct ek_facts ek_facts;
    struct at_public ek, ak, key;
    struct at_name ak_name, key_name;
    struct buf ek_spki, ak_spki;
    struct pubkey *ak_key;
};
/* judge_run: TT_ERR_VERIFY: refused. Free with judging_free. */
TT_MUST_USE tt_rc judge_run(struct judging *j, struct tt_bytes evidence);
void judging_free(struct judging *j);

#endif
