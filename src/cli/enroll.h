/* cli/enroll.h: what `tpmtls enroll` and `tpmtls renew` share: a client of EST with or without an identity, a
 * first enrolment, what is run afterwards. Layer: cli. What is good and when is decided in src/est. */
#ifndef CLI_ENROLL_H
#define CLI_ENROLL_H

#include "cli/cli.h"
#include "est/renewal.h"
#include "est/request.h"

TT_DEFINE_AUTO(struct tt_cert_list, tt_cert_list_free)
TT_DEFINE_AUTO(struct tt_cert_info, tt_cert_info_free)
TT_DEFINE_AUTO(struct est_client, est_client_free)

/* enroll_read_ca: --ca FILE or "system", as certificates. */
TT_MUST_USE tt_rc enroll_read_ca(struct tt_cert_list **ret, const char *ca, struct tt_error *err);

/* struct enroll_peer: a server, and who we are to it. */
struct enroll_peer {
    const char *server;
    const struct tt_cert_list *roots,
        *more_roots;                  /* whom to believe; both NULL: anybody, to be judged later */
    struct cli_key *key;              /* NULL: nobody */
    const struct tt_cert_list *chain; /* of the key, leaf first */
    const char *token_file;           /* or NULL */
};
TT_MUST_USE tt_rc enroll_client(struct est_client **ret, const struct enroll_peer *p, struct tt_error *err);

/* struct enroll_first: a first enrolment, or one anew. */
struct enroll_first {
    const struct cli *cli;
    const char *dir;
    struct enrolled *e;               /* locked; what is asked for, and where it goes */
    const struct tt_cert_list *roots; /* believed already; NULL: by e->ca, or by the fingerprint */
    const char *sha256;               /* hexadecimal, or NULL */
    unsigned wait_s;
    bool force;                      /* write over other files */
    unsigned retry_s;                /* out: when a server that waits wants to be asked again */
    unsigned long long tpm_commands; /* out */
};
TT_MUST_USE tt_rc enroll_first(struct enroll_first *f, struct tt_error *err);

/* struct enroll_asking: a request, to be sent. */
struct enroll_asking {
    struct est_client *client;
    const struct est_csrattrs *attrs; /* as the server has just said; wants: what is understood of it */
    const struct est_wants *wants;
    const struct cli_key *key;
    const struct enrolled *e;
    const char *dir;
    const struct tt_csr_params *asked; /* the names; NULL: those of `like`, which is renewed */
    struct tt_bytes like;
    bool attest; /* show that the key is in a TPM; where the server does not ask for it: TT_ERR_UNSUPPORTED */
    unsigned wait_s;
};
TT_MUST_USE tt_rc enroll_ask(struct tt_cert_list **ret, const struct enroll_asking *a, unsigned *ret_retry_s,
                             struct tt_error *err);
/* enroll_after: run e->exec_after, if there is one; false: it failed, which was said. */
bool enroll_after(const struct enrolled *e);

/* enroll_trace: with -vv each TPM command that is not for a connection is said. */
struct cli enroll_trace(const struct cli *cli);

#endif
