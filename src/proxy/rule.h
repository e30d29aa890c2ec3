/* proxy/rule.h: who may pass: rules over what a verified certificate says of its holder. Layer: proxy.
 *
 * One rule that fits is enough; without rules nobody passes, and neither does who has no certificate. Values
 * are compared whole and exactly, so that a NUL or a part of a name fits nothing. */
#ifndef PROXY_RULE_H
#define PROXY_RULE_H

#include "base/mem.h"

enum rule_kind {
    RULE_ALL, /* whoever the CA vouches for */
    RULE_CN,  /* one of the subject's common names */
    RULE_OU,  /* one of its organizational units */
    /* One of its DNS names, without regard to case. "*.example.org": any one label in front; a star in the
     * certificate is no name of a client. */
    RULE_DNS,
    /* One of its URIs. "spiffe://DOMAIN/PATH/..." fits the only URI there is (X509-SVID section 2); with "*"
     * as its last part whatever is below. */
    RULE_URI,
    RULE_PIN /* its key: sha256:... */
};

struct rule {
    enum rule_kind kind;
    char *value; /* as it is compared; owned */
    size_t len;
    uint8_t pin[32];
    char *shown; /* "allow-cn device-1" */
};

/* struct rules: zero is none. Once made it is only read, by any thread. */
struct rules {
    struct rule *at;
    size_t len;
};

/* rules_add: value is NULL for RULE_ALL. TT_ERR_USAGE with a hint: no certificate could ever fit it. */
TT_MUST_USE tt_rc rules_add(struct rules *rules, enum rule_kind kind, const char *value,
                            struct tt_error *err);
void rules_free(struct rules *rules);

/* struct rule_peer: who asks. certificate: the leaf of a chain that was verified; with is_raw_key a
 * SubjectPublicKeyInfo (RFC 7250). */
struct rule_peer {
    struct tt_bytes certificate;
    bool is_raw_key;
    const struct peer_names *names; /* of the certificate, where they were read already; or NULL */
};

#define RULE_SUBJECT_MAX 256

/* rules_allow: *ret_which (may be NULL) is the rule that fitted, as a person writes it, or NULL; it lives as
 * long as the rules. A certificate that cannot be read does not pass. */
bool rules_allow(const struct rules *rules, const struct rule_peer *peer, const char **ret_which);
/* rule_subject: the peer for a log: its subject and its alternative names; printable, one line, cut with
 * "...". */
void rule_subject(char ret[RULE_SUBJECT_MAX], const struct rule_peer *peer);

#endif
