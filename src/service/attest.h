/* service/attest.h: evidence that comes with requests: what is asked for, challenges, the verdict. Layer:
 * service. Immutable, and used by the loop and by the CA's thread at once. */
#ifndef SERVICE_ATTEST_H
#define SERVICE_ATTEST_H

#include "est/attested.h"
#include "http/server.h"

/* struct attest_desk: policy NULL: no evidence is asked for, and what comes is passed over. */
struct attest_desk {
    const struct tt_attest_policy *policy;
    const uint8_t *key; /* TT_ATTEST_KEY_SIZE */
};

/* attest_desk_wish: the values of the attribute in csrattrs, with a nonce of its own. */
TT_MUST_USE tt_rc attest_desk_wish(struct buf *to, const struct attest_desk *d, int64_t now);
/* attest_desk_take: answer a request for a challenge; ret_status and ret_text (300 bytes) for the log. */
void attest_desk_take(const struct attest_desk *d, struct http_request *r, int64_t now, int *ret_status,
                      char *ret_text);

/* struct attested: what came with a request. */
struct attested {
    uint8_t *evidence; /* owned: mem_free */
    size_t len;
    struct tt_attest_verdict verdict;
    bool is_past; /* good but for its age: the verdict says why not, and it counts for a request that was
                     asked before alone (ca_asked_before) */
    char ek_sha256[65]; /* where it is good, or past */
};
/* attest_desk_judge: of a request (DER). TT_OK: good, or past. TT_ERR_NOT_FOUND: it brings none, or none is
 * wanted. TT_ERR_VERIFY: refused, the verdict says why. */
TT_MUST_USE tt_rc attest_desk_judge(struct attested *ret, const struct attest_desk *d, struct tt_bytes csr,
                                    int64_t now, struct tt_error *err);

#endif
