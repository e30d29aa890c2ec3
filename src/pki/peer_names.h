/* pki/peer_names.h: every name that a peer's certificate gives it, for those who decide by name. Layer: pki.
 * Judges nothing: that the certificate is to be believed must be known already.
 *
 * Values are bytes with a length, as they are in the certificate: a NUL within is a byte like others, so that
 * a comparison with the whole value cannot be fooled by it. */
#ifndef PKI_PEER_NAMES_H
#define PKI_PEER_NAMES_H

#include "base/mem.h"

enum peer_name_kind {
    PEER_NAME_CN, /* of the subject, each there is; UTF-8, whatever the type of string */
    PEER_NAME_OU,
    PEER_NAME_DNS, /* of the subjectAltName; ASCII letters in lower case */
    PEER_NAME_URI
};

struct peer_name {
    enum peer_name_kind kind;
    uint8_t *value; /* owned; one NUL stands behind it */
    size_t len;
};

struct peer_names {
    struct peer_name *at;
    size_t len;
    char *subject;          /* for a person: RFC 4514, escaped */
    uint8_t key_sha256[32]; /* of the SubjectPublicKeyInfo */
};

/* peer_names_read: TT_ERR_DECODE when der is not exactly one certificate. A string that is no text, and a
 * subjectAltName that cannot be read or is there twice, give no names. */
TT_MUST_USE tt_rc peer_names_read(struct peer_names **ret, struct tt_bytes der, struct tt_error *err);
void peer_names_free(struct peer_names *n);
TT_DEFINE_AUTO(struct peer_names, peer_names_free)

/* peer_names_first: the first one of this kind, or NULL. */
const struct peer_name *peer_names_first(const struct peer_names *n, enum peer_name_kind kind);

#endif
