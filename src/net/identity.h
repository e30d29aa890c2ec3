/* net/identity.h: a key and a certificate file become the identity of a configuration. Layer: net. */
#ifndef NET_IDENTITY_H
#define NET_IDENTITY_H

#include "tpmtls/key.h"
#include "tpmtls/tls.h"

struct identity_source {
    struct tt_key *key;                /* borrowed for as long as the configuration lives */
    struct tt_bytes chain_pem;         /* leaf first */
    const char *key_name, *chain_name; /* how messages call them, usually file names */
    enum tt_role role;
    struct tt_delegation **ret_delegation; /* not NULL: the identity uses delegated credentials, from here */
};

/* identity_add: check that the leaf belongs to the key, then add both to cfg. TT_ERR_USAGE naming both files
 * when it does not. */
TT_MUST_USE tt_rc identity_add(struct tt_config *cfg, const struct identity_source *src,
                               struct tt_error *err);

#endif
