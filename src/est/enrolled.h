/* est/enrolled.h: what is remembered of an enrolment: from whom the certificate came, for which key, where
 * it lies, and how the renewals went. Layer: est. Files only; nothing of the network, no decision.
 *
 * In the directory of enrolments: NAME.json (mode 0600; docs/enroll.md has its fields), NAME.trust.pem (the
 * CA's certificates that are believed), NAME.installed.pem (the certificate that was installed last, leaf to
 * root: what puts a half-written file right again), NAME.request.pem and NAME.answered.pem (requests),
 * NAME.lock. */
#ifndef EST_ENROLLED_H
#define EST_ENROLLED_H

#include "base/rc.h"
#include "tpmtls/pki.h"

#define ENROLLED_SANS 100

struct enrolled {
    /* Texts: of the caller where it made the struct, of `owned` where it was read. NULL: none. Paths are
     * absolute. */
    const char *name;   /* of its files */
    const char *server; /* HOST[:PORT][/LABEL] */
    const char *ca;     /* as --ca had it: whom to believe besides NAME.trust.pem as the server */
    const char *key, *cert, *chain;
    const char *tpm;     /* --tpm */
    const char *subject; /* what was asked for, for --bootstrap */
    const char *sans[ENROLLED_SANS];
    size_t sans_len;
    const char *type;       /* of the key */
    const char *token_file; /* for --bootstrap */
    const char *ek_cert;    /* of the endorsement key, for attestation */
    /* --auth-* of the key, --endorsement-auth-* of the TPM, where they are no secrets themselves: "file" or
     * "credential" */
    const char *auth_kind, *auth_value;
    const char *endorsement_kind, *endorsement_value;
    const char *exec_after;
    bool attest;
    uint32_t jitter;
    /* How it went. */
    int64_t renewed_at, failed_at, retry_at;
    unsigned failures;
    const char *last_error;
    void *owned;
    int lock; /* 0: none */
};
void enrolled_free(struct enrolled *e);

/* enrolled_dir: $XDG_STATE_HOME/tpmtls/enrolments; without it /var/lib/tpmtls/enrolments for root and
 * ~/.local/state/tpmtls/enrolments for others; mem_free. */
TT_MUST_USE tt_rc enrolled_dir(char **ret, struct tt_error *err);

/* enrolled_name_is_valid: as of an identity: 1 to 64 of A-Z a-z 0-9 . _ @ + -, the first one a letter or a
 * digit. enrolled_name_for: one made from the certificate's path, the same for the same path; mem_free. */
bool enrolled_name_is_valid(const char *name);
TT_MUST_USE tt_rc enrolled_name_for(char **ret, const char *dir, const char *cert, struct tt_error *err);

/* enrolled_path: the file as an absolute path, its directory without links; mem_free. */
TT_MUST_USE tt_rc enrolled_path(char **ret, const char *path, struct tt_error *err);

/* enrolled_lock: before it is read and written again. TT_ERR_BUSY: another process has it. */
TT_MUST_USE tt_rc enrolled_lock(struct enrolled *e, const char *dir, struct tt_error *err);
/* enrolled_read: ret is empty but for its lock. TT_ERR_NOT_FOUND, TT_ERR_DECODE. */
TT_MUST_USE tt_rc enrolled_read(struct enrolled *ret, const char *dir, const char *name,
                                struct tt_error *err);
/* enrolled_write: makes the directory (mode 0700). */
TT_MUST_USE tt_rc enrolled_write(const struct enrolled *e, const char *dir, struct tt_error *err);
/* enrolled_find: the name of the one whose certificate is at this path, or which is called so; mem_free.
 * TT_ERR_NOT_FOUND. */
TT_MUST_USE tt_rc enrolled_find(char **ret, const char *dir, const char *cert_or_name, struct tt_error *err);
/* enrolled_each: calls fn with each name, sorted, until it returns something else than TT_OK. */
typedef tt_rc (*enrolled_fn)(void *arg, const char *name);
TT_MUST_USE tt_rc enrolled_each(enrolled_fn fn, void *arg, const char *dir, struct tt_error *err);

/* The certificates beside it. TT_ERR_NOT_FOUND: there is no such file. */
enum enrolled_certs {
    ENROLLED_TRUST,    /* NAME.trust.pem */
    ENROLLED_INSTALLED /* NAME.installed.pem */
};
TT_MUST_USE tt_rc enrolled_certs_read(struct tt_cert_list **ret, const struct enrolled *e, const char *dir,
                                      enum enrolled_certs which, struct tt_error *err);
TT_MUST_USE tt_rc enrolled_certs_write(const struct enrolled *e, const char *dir, enum enrolled_certs which,
                                       const struct tt_cert_list *certs, struct tt_error *err);

/* Requests. read: NULL: none; mem_free. answered: the one that was sent is to be sent again by renewals
 * (keep), or forgotten. */
enum enrolled_request {
    ENROLLED_SENT,    /* NAME.request.pem: sent, and not answered */
    ENROLLED_ANSWERED /* NAME.answered.pem */
};
char *enrolled_request_read(const struct enrolled *e, const char *dir, enum enrolled_request which);
TT_MUST_USE tt_rc enrolled_request_write(const struct enrolled *e, const char *dir, const char *pem,
                                         struct tt_error *err);
void enrolled_request_answered(const struct enrolled *e, const char *dir, bool keep);

#endif
