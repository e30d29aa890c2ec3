/* est/attested.h: a request that shows a key to be in a TPM: what client and server say to each other about
 * it besides RFC 7030. Layer: est. docs/attestation.md has it in words.
 *
 *      csrattrs                    has an attribute 2.25.143693206112119294378124338606665122229.2 with the
 * nonce that the evidence is to be about, and the PCRs that are to be quoted POST .../attest-challenge
 * evidence in, a challenge out, which only the TPM of the evidence can answer POST .../simpleenroll       the
 * request has the evidence, with the answer, as its attribute id-aa-attestation */
#ifndef EST_ATTESTED_H
#define EST_ATTESTED_H

#include "est/client.h"
#include "tpmtls/attest.h"

#define EST_ATTEST_OPERATION "attest-challenge"
#define EST_TYPE_EVIDENCE    "application/tpmtls-evidence"
#define EST_TYPE_CHALLENGE   "application/tpmtls-challenge"

extern const struct tt_bytes EST_OID_ATTEST_NONCE;

/* struct est_attest_wish: what a server asks for: SEQUENCE { nonce OCTET STRING, pcrs UTF8String OPTIONAL }.
 */
struct est_attest_wish {
    uint8_t nonce[TT_ATTEST_NONCE];
    char pcrs[200]; /* "": none */
};
/* est_attest_wish_put: the values of the attribute. est_attest_wish_get: false: the server asks for no
 * evidence. */
TT_MUST_USE tt_rc est_attest_wish_put(struct buf *to, const struct est_attest_wish *wish);
bool est_attest_wish_get(struct est_attest_wish *ret, const struct est_csrattrs *attrs);

/* struct est_attested: whose key, in which TPM, for which server. */
struct est_attested {
    struct est_client *client;
    const struct est_csrattrs *attrs;        /* as the server has just said */
    struct tt_tpm *tpm;                      /* of the key */
    struct tt_key *key;                      /* to be certified */
    const struct tt_attester_params *params; /* or NULL */
};
/* est_attest: append the attribute for struct est_request.attribute: good for ten minutes. One question to
 * the server. TT_ERR_UNSUPPORTED: it asks for no evidence. Else as est_client_ask, and what the TPM says. */
TT_MUST_USE tt_rc est_attest(struct buf *ret, const struct est_attested *what, struct tt_error *err);

#endif
