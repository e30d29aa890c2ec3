/* tests/attest/world.h: a TPM in software, whose every statement a test can change before or after it is
 * signed. Tests only; aborts on failure. */
#ifndef TESTS_ATTEST_WORLD_H
#define TESTS_ATTEST_WORLD_H

#include "attest/evidence.h"
#include "attest/sealed.h"
#include "support/testca.h"
#include "tpmtls/attest.h"

/* struct public_of: a TPMT_PUBLIC that is to be built. */
struct public_of {
    uint16_t name_alg, scheme, scheme_hash, sym_bits;
    uint32_t attributes;
};
/* struct statement_of: a TPMS_ATTEST that is to be built and signed. */
struct statement_of {
    uint32_t magic;
    uint16_t type;
    uint64_t clock, firmware;
    uint32_t resets, restarts;
    uint8_t safe;
    bool other_nonce, other_use, other_name, other_signer, other_digest;
    uint32_t pcrs; /* of the bank SHA-256 */
};

struct world {
    struct crypto_lib *lib;
    struct node *root, *ek;
    EVP_PKEY *ak, *key;
    struct public_of ek_is, ak_is, key_is;
    struct statement_of certify_is, quote_is;
    uint8_t nonce[32], token_key[32], secret[32];
    bool with_quote;
    /* what was built */
    struct buf ek_public, ak_public, key_public, certify, certify_signature, quote, quote_signature, values,
        token;
    struct buf key_spki, ek_spki;
    struct tt_evidence e;
    struct tt_attest_policy *policy;
    struct tt_attest_want want;
};

/* world_new: all is good. ek_key: "P-256", "P-384" or "RSA-2048". */
struct world *world_new(const char *ek_key);
void world_free(struct world *w);
/* world_policy: another policy than the default; its roots are the world's. */
void world_policy(struct world *w, struct tt_attest_policy_params params);
/* world_certify: another certificate for the endorsement key. Its issuer is the root where o says none. */
void world_certify(struct world *w, struct node_options o);
/* world_build: make and sign everything anew; w->e is the evidence. */
void world_build(struct world *w);
/* world_judge: of w->e as it is now. */
enum tt_attest_reason world_judge(struct world *w, struct tt_attest_verdict *ret);

/* the SAN of an endorsement certificate: IFX, SLB9670, id:00070055 */
extern const char ek_san[];

#endif
