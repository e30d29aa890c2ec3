/* est/server.h: the server's side of EST (RFC 7030 as RFC 8951 clarifies it): who may ask what, and the forms
 * of the answers. Layer: est. Issues nothing, keeps nothing, reads no clock but for limits: the authority
 * behind it is an interface.
 *
 *      /.well-known/est[/LABEL]/cacerts         GET   the CA's certificates, for everybody
 *      /.well-known/est[/LABEL]/csrattrs        GET   what a request should have, for everybody
 *      /.well-known/est[/LABEL]/simpleenroll    POST  a certificate of ours, or a token (HTTP Basic)
 *      /.well-known/est[/LABEL]/simplereenroll  POST  the certificate of ours that is renewed
 *      .../serverkeygen                         403: a key belongs into the client's TPM
 *      .../fullcmc                              501
 *
 * A request is tied to its connection (RFC 7030 section 3.5, RFC 9266) where it has a challengePassword. */
#ifndef EST_SERVER_H
#define EST_SERVER_H

#include "est/body.h"
#include "http/server.h"

#define EST_LABEL_MAX 64

struct est_server;
struct est_call;

/* struct est_order: what the authority is asked; everything is gone when `enroll` returns. */
struct est_order {
    struct tt_bytes csr;         /* DER */
    const char *label;           /* or NULL */
    bool renews;                 /* simplereenroll */
    const char *password;        /* of a token, or NULL; neither that nor a certificate: evidence is there */
    struct tt_bytes certificate; /* the client's, DER, proven in the handshake; or empty */
    const char *from;            /* "192.0.2.1:4711" */
    /* NULL, or why not: it names another connection than its own, and may only be one that was asked before,
     * by the same requester, and was judged then. A sentence, for ever. */
    const char *unbound;
};

enum est_outcome {
    EST_ISSUED,
    EST_WAITS,   /* for a person: 202 */
    EST_REFUSED, /* the request is at fault: 400 */
    EST_UNKNOWN, /* who asks: 401 where he may come back with a password, else 403 */
    EST_FAILED   /* we: 503 */
};
/* struct est_answer: text: a sentence for whoever reads the answer, without a newline. */
struct est_answer {
    enum est_outcome outcome;
    struct tt_bytes certificate; /* EST_ISSUED: DER */
    unsigned retry_after_s;      /* EST_WAITS, EST_FAILED */
    const char *text;
};

/* struct est_authority: called on the loop's thread. */
struct est_authority {
    /* Answer once, then or later, by est_answer, on the loop's thread. */
    void (*enroll)(void *arg, struct est_call *call, const struct est_order *order);
    /* The chain and what belongs to a change of keys; NULL: not known at the moment. */
    const struct tt_cert_list *(*certificates)(void *arg);
    bool (*has_label)(void *arg, const char *label);
    /* Attributes to ask for besides, into ret; how many of at most cap. May be NULL. */
    size_t (*attributes)(void *arg, const char *label, struct est_attr *ret, size_t cap);
    /* Paths of EST that are none of the above (a nonce for evidence ...): true when it took the request. May
     * be NULL. */
    bool (*other)(void *arg, struct http_request *r, const char *label, const char *operation);
    void *arg;
};
void est_answer(struct est_call *call, const struct est_answer *answer);

enum est_binding {
    EST_BINDING_OFFERED,  /* a challengePassword has to be this connection's */
    EST_BINDING_REQUIRED, /* there has to be one; csrattrs says so */
    EST_BINDING_OFF       /* challengePassword means nothing */
};
struct est_server_options {
    struct est_authority authority;
    enum est_binding binding;
    bool takes_evidence; /* who has neither certificate nor token may come with evidence in the request */
    unsigned a_minute;   /* enrolments of one requester (certificate, else address); 0: any number */
    /* For the log and the counters: the operation, what became of it, what was said; may be NULL. */
    void (*told)(void *arg, const struct http_request *r, const char *operation, int status,
                 const char *text);
};
TT_MUST_USE tt_rc est_server_new(struct est_server **ret, const struct est_server_options *opt,
                                 struct tt_error *err);
/* est_server_free: calls that are open may be answered later all the same. */
void est_server_free(struct est_server *s);
/* est_server_set: other limits from now on. */
void est_server_set(struct est_server *s, enum est_binding binding, unsigned a_minute);
/* est_server_take: true when the request is one of EST's, and will be answered. */
bool est_server_take(struct est_server *s, struct http_request *r);

#endif
