/* est/renewal.h: an enrolment from one certificate to the next: is it due, is what came good, and the files.
 * Layer: est. The time is handed in and the exchange with the server is a function, so that a thousand days
 * pass in a test (tests/est/test_renewal.c). No network, no key.
 *
 * Invariants
 *  - No file changes before what came was judged: it is for the key, leads to a CA that is believed, is valid
 * now and has the names.
 *  - Whenever the power goes, the next run finds either the old certificate or the new one, and puts right
 * what is half of either: NAME.installed.pem is written first.
 *  - A certificate takes the place of another only when it ends later. */
#ifndef EST_RENEWAL_H
#define EST_RENEWAL_H

#include "est/enrolled.h"
#include "est/plan.h"

/* struct est_issued: what a server gave; lists are the receiver's. */
struct est_issued {
    struct tt_cert_list *issued;  /* of simpleenroll or simplereenroll */
    struct tt_cert_list *cacerts; /* or NULL */
};
void est_issued_free(struct est_issued *a);

/* renewal_accept: judge what came, then install it: NAME.trust.pem, NAME.installed.pem, then the chain's and
 * the certificate's own file, the old ones kept beside as FILE.old. asked: the names (of an enrolment); NULL:
 * those of `before`. force: also over a file that holds something else (it is known to be ours). On failure
 * no file of the certificate was touched. TT_ERR_VERIFY: what came is not good. *ret_changed_roots: there are
 * new ones. */
struct renewal_judge {
    const char *dir;
    const struct tt_csr_params *asked;
    struct tt_bytes before; /* the leaf that is renewed; empty at an enrolment */
    struct tt_bytes spki;   /* the key's */
    const struct tt_cert_list *roots;
    int64_t now;
    bool force;
};
TT_MUST_USE tt_rc renewal_accept(const struct enrolled *e, const struct est_issued *answer,
                                 const struct renewal_judge *judge, bool *ret_changed_roots,
                                 struct tt_error *err);

/* renewal_shown: of leaf to root, what is shown to peers; a view. */
struct tt_cert_list renewal_shown(const struct tt_cert_list *path);

/* renewal_first_roots: whom to believe from the first enrolment on. ca: whom the server was believed for:
 * those of them that its cacerts lead to; where none does (the server's own certificate is of another CA),
 * the roots that it tells, and *ret_told is true. sha256: a fingerprint, hexadecimal, in place of ca: the one
 * that has it, TT_ERR_VERIFY when there is none. */
TT_MUST_USE tt_rc renewal_first_roots(struct tt_cert_list **ret, bool *ret_told,
                                      const struct tt_cert_list *cacerts, const struct tt_cert_list *ca,
                                      const char *sha256, int64_t now, struct tt_error *err);

/* struct renewal_world: what a renewal needs from outside. */
struct renewal_world {
    const char *dir;
    int64_t now;
    bool force; /* although it is not due, or failed lately */
    /* exchange: ask the server. current: the certificate, leaf first; roots: who is believed. A server that
     * is not ready names the time in *ret_retry_at. */
    tt_rc (*exchange)(void *arg, const struct enrolled *e, const struct tt_cert_list *current,
                      const struct tt_cert_list *roots, struct est_issued *ret, int64_t *ret_retry_at,
                      struct tt_error *err);
    /* installed: the files are new. */
    void (*installed)(void *arg, const struct enrolled *e, bool changed_roots);
    void *arg;
};

/* struct renewal_state: what is known without asking anybody. */
struct renewal_state {
    struct tt_cert_list *current; /* the certificate that counts, leaf first; NULL: there is none */
    struct tt_cert_info *info;    /* of its leaf */
    struct plan plan;
    int64_t due;
    bool is_torn; /* a file is not what was installed */
};
void renewal_state_free(struct renewal_state *s);
/* renewal_look: TT_ERR_NOT_FOUND: no certificate is left, not even a copy. TT_ERR_EXISTS: the file has a
 * certificate for another key: somebody else's. */
TT_MUST_USE tt_rc renewal_look(struct renewal_state *ret, const struct enrolled *e, const char *dir,
                               int64_t now, struct tt_error *err);

enum renewal_result {
    RENEWAL_NOTHING, /* not due */
    RENEWAL_DONE,
    RENEWAL_MENDED, /* not due; files were put right */
    RENEWAL_LATER,  /* it failed lately, and is tried again at plan.at */
    RENEWAL_FAILED  /* err says why */
};
/* renewal_run: e is locked. What became of it is written into its file; a failure, too. A clock that is wrong
 * is RENEWAL_FAILED with TT_ERR_BUSY, and is not counted. */
TT_MUST_USE enum renewal_result renewal_run(struct enrolled *e, const struct renewal_world *w,
                                            struct tt_error *err);

#endif
