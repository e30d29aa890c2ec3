/* attest/policy.h: struct tt_attest_policy: what is demanded of evidence. Layer: attest. Immutable. */
#ifndef ATTEST_POLICY_H
#define ATTEST_POLICY_H

#include "attest/evidence.h"
#include "pki/ek_chain.h"

/* struct firmware_rule: at least major.minor of this manufacturer (TPM_PT_FIRMWARE_VERSION_1 is that on all
 * chips that we know), or exactly this one. */
struct firmware_rule {
    char manufacturer[16]; /* empty: exactly */
    uint64_t version;
};

#define POLICY_LIST_MAX 64
struct tt_attest_policy {
    struct crypto_lib *lib;
    struct ek_roots *roots;
    unsigned eks; /* bit n: at_kinds[n]; 0: all */
    char manufacturers[POLICY_LIST_MAX][16];
    size_t manufacturers_len;
    struct firmware_rule firmware[POLICY_LIST_MAX];
    size_t firmware_len;
    char pcrs[200]; /* empty: no quote */
    struct at_selection selection;
    uint8_t digests[POLICY_LIST_MAX][32];
    size_t digests_len;
};

#endif
