/* net/identity.h: a key and a certificate file become the identity of a configuration. Layer: net. */
#ifndef NET_IDENTITY_H
#define NET_IDENTITY_H

#include "tpmtls/key.h"
#include "tpmtls/tls.h"

struct identity_source {
    struct tt_key *key;                /* borrowed for as long as the configuration lives */
    struct tt_bytes chain_pem;         /* leaf first; empty: only the raw public key is shown */
    struct tt_bytes ocsp_response;     /* DER, or empty */
    bool raw_public_key;               /* show the key alone to a peer that wants that */
    const char *key_name, *chain_name; /* how messages call them, usually file names */
    enum tt_role role;
    struct tt_delegation **ret_delegation; /* not NULL: the identity uses delegated credentials, from here */
};

/* identity_add: check that the leaf belongs to the key, then add both to cfg. TT_ERR_USAGE naming both files
 * when it does not. *ret_wants_staple: the certificate demands an OCSP response (must-staple, RFC 7633). */
TT_MUST_USE tt_rc identity_add(struct tt_config *cfg, const struct identity_source *src,
                               bool *ret_wants_staple, struct tt_error *err);

#endif
