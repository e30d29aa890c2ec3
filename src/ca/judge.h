/* ca/judge.h: may this request have a certificate, by these rules, for this requester? Layer: ca. */
#ifndef CA_JUDGE_H
#define CA_JUDGE_H

#include "ca/authority.h"
#include "pki/csr.h"

/* struct known: what the store knows of a requester. */
struct known {
    bool there;
    char profile[PROFILE_NAME_MAX]; /* of his token, or of his certificate */
    char subject[256];              /* a token's bond, or "" */
    char names[CA_TOKEN_NAMES_MAX]; /* those that may be asked for by it, one a line */
    int64_t expires, revoked, uses, used;
    char state[12];         /* of his certificate in the store */
    enum ca_who who;        /* CA_BY_CERTIFICATE: whose it is ... */
    char requester[65];     /* ... with his id */
    struct buf certificate; /* and its DER */
};
void known_free(struct known *k);

/* struct judged: a request as far as it was read. */
struct judged {
    struct csr csr;
    const struct profile *profile;
    uint8_t *spki; /* libcrypto's */
    size_t spki_len;
    uint8_t *names; /* libcrypto's: DER of GeneralNames, NULL for none */
    size_t names_len;
    char *subject, *sans, *key; /* as text */
};
void judged_free(struct judged *j);

/* judge: TT_OK and a->why says whether it is refused (then j has what was read); else it could not be judged.
 */
TT_MUST_USE tt_rc judge(struct judged *ret, struct ca_answer *a, const struct ca *ca,
                        const struct ca_order *order, const struct known *known, struct tt_error *err);

/* refuse: the sentence (and hint, or NULL) into the answer. Always false, for `return refuse(...)`. */
bool refuse(struct ca_answer *a, enum ca_refusal why, tt_rc rc, const char *hint, const char *fmt, ...)
    TT_PRINTF(5, 6);

#endif
