/* est/request.h: a request for a certificate: what a server wants to see in it (csrattrs), and making it so.
 * Layer: est. */
#ifndef EST_REQUEST_H
#define EST_REQUEST_H

#include "est/client.h"

/* struct est_wants: what is understood of csrattrs; the rest is passed over ("The client MUST ignore any OID
 * or attribute it does not recognize", RFC 8951 section 4). */
struct est_wants {
    bool bound;    /* challengePassword: the request names its connection (RFC 7030 section 3.5) */
    bool sans;     /* alternative names */
    bool has_type; /* of the key */
    enum tt_key_type type;
    uint16_t rsa_scheme; /* the signature of an RSA key; 0: any */
};
void est_wants_read(struct est_wants *ret, const struct est_csrattrs *a);

/* est_key_make: a key for it, made in the TPM and ready to sign; its file is *ret_pem (mem_free). */
TT_MUST_USE tt_rc est_key_make(struct tt_key **ret, char **ret_pem, struct tt_tpm *tpm,
                               const struct tt_key_params *params, struct tt_error *err);

struct est_request {
    struct est_client *client;
    struct tt_key *key;
    const struct est_wants *wants;
    const struct tt_csr_params *asked; /* the names; NULL: those of `like`, which is renewed */
    struct tt_bytes like;
    struct tt_bytes attribute; /* one more, such as evidence: DER; or empty */
    /* A request that was sent before, PEM: sent again where it is the same. One that was not answered the
     * server knows again; a renewal needs no second signature for it (docs/enroll.md says why). A renewal for
     * which the server does not take it, or answers it with what it has issued already, is signed anew; so is
     * one that names another connection, where the server does not know it. *keep
     * is told of a new one before it is sent (mem_free). Either may be NULL. */
    const char *former;
    void (*keep)(void *arg, const char *pem);
    unsigned wait_s;
    void (*waits)(void *arg, unsigned seconds, const char *text);
    void *arg;
};
/* est_request_send: as est_client_enroll. TT_ERR_UNSUPPORTED: the server wants another kind of key. */
TT_MUST_USE tt_rc est_request_send(struct tt_cert_list **ret, const struct est_request *r,
                                   unsigned *ret_retry_s, struct tt_error *err);

/* est_request_repeats: would the former be sent? */
bool est_request_repeats(const struct est_request *r);

/* est_request_evidence: append the attribute with evidence of a former request; false: it has none. */
bool est_request_evidence(struct buf *ret, const char *former);

#endif
