/* est/client.h: a client of EST (RFC 7030 as RFC 8951 clarifies it): questions to one server, one after the
 * other, each until it is answered. Layer: est. Judges no certificate and writes no file.
 *
 * Invariants
 *  - Redirections are followed within the same origin alone (section 3.2.1): whoever is asked, and gets the
 *    password, is who was named.
 *  - The password is sent on connections whose server was authenticated (sections 3.2.3, 4.1.1), and never
 *    with cacerts.
 *  - Every wait has an end. */
#ifndef EST_CLIENT_H
#define EST_CLIENT_H

#include "est/body.h"
#include "net/address.h"
#include "tpmtls/key.h"
#include "tpmtls/tls.h"

/* struct est_at: where: HOST[:PORT][/LABEL], or https:// in front of it. */
struct est_at {
    struct address address;
    char origin[320]; /* "host:port", for messages and redirections */
    char path[160];   /* "/.well-known/est" or "/.well-known/est/LABEL" */
};
/* est_at_parse: TT_ERR_USAGE with a hint. */
TT_MUST_USE tt_rc est_at_parse(struct est_at *ret, const char *text, struct tt_error *err);

/* est_basic_make: the header Authorization (RFC 7617) for "USER:PASSWORD", or for a password alone; mem_free,
 * which wipes. */
TT_MUST_USE tt_rc est_basic_make(char **ret, const char *token, struct tt_error *err);

struct est_client;
struct est_client_options {
    struct est_at at;
    struct tt_config *config;  /* frozen: whom to believe, and who we are; a reference is taken */
    bool has_identity;         /* it has a key */
    struct tt_tpm *tpm;        /* of that key; nobody else uses it until est_client_free. Or NULL */
    const char *authorization; /* "Basic ...", or NULL; copied */
    unsigned timeout_s;        /* of each answer; 0: 60 */
    unsigned work_ms;          /* how long est_client_work may take; 0: a minute */
};
TT_MUST_USE tt_rc est_client_new(struct est_client **ret, const struct est_client_options *opt,
                                 struct tt_error *err);
void est_client_free(struct est_client *c); /* NULL is fine */

/* The errors of all that follow: TT_ERR_VERIFY the server is not trusted; TT_ERR_PEER_ALERT it refuses (an
 * alert, or a status 4xx: what it says is in the text); TT_ERR_BUSY not now (5xx, 429, or 202 for longer than
 * we wait); TT_ERR_IO, TT_ERR_CLOSED, TT_ERR_DEADLINE, TT_ERR_NOT_FOUND not reached; TT_ERR_DECODE,
 * TT_ERR_PROTOCOL what came is no answer. */

TT_MUST_USE tt_rc est_client_cacerts(struct tt_cert_list **ret, struct est_client *c, struct tt_error *err);
/* est_client_csrattrs: an empty list where the server has none (204, 404). */
TT_MUST_USE tt_rc est_client_csrattrs(struct est_csrattrs *ret, struct est_client *c, struct tt_error *err);

/* est_client_binding: tls-exporter (RFC 9266) of the connection, which is made where there is none. */
TT_MUST_USE tt_rc est_client_binding(struct est_client *c, uint8_t ret[32], struct tt_error *err);

/* est_client_work: run(arg) where the TPM may be used while the connection lives. When it returns, nobody
 * runs. */
TT_MUST_USE tt_rc est_client_work(struct est_client *c, tt_rc (*run)(void *arg, struct tt_error *err),
                                  void *arg, struct tt_error *err);

/* est_client_ask: another question to the same server: operation ("nonce"), a body of that type or none. ret
 * is the body of an answer with status 200. */
TT_MUST_USE tt_rc est_client_ask(struct buf *ret, struct est_client *c, const char *operation,
                                 const char *content_type, struct tt_bytes body, struct tt_error *err);

struct est_enroll {
    bool renews; /* simplereenroll */
    /* make: the request in DER, for the connection as it is now; called again for another connection where
     * bound is set, since the request names it. */
    tt_rc (*make)(void *arg, struct buf *ret, struct tt_error *err);
    bool bound;                                                   /* until the server has it, and says 202 */
    unsigned wait_s;                                              /* how long a server may say 202 in all */
    void (*waits)(void *arg, unsigned seconds, const char *text); /* it does; may be NULL */
    void *arg;
};
/* est_client_enroll: *ret_retry_s: with TT_ERR_BUSY, after how long the server wants to be asked again; 0: it
 * did not say. */
TT_MUST_USE tt_rc est_client_enroll(struct tt_cert_list **ret, struct est_client *c,
                                    const struct est_enroll *what, unsigned *ret_retry_s,
                                    struct tt_error *err);

/* est_retry_after: the seconds of a header Retry-After (RFC 9110 section 10.2.3), a number or a date; 0: none
 * that can be read. At most a week. */
unsigned est_retry_after(const char *value, int64_t now);

#endif
