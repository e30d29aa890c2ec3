/* bench/identity.h: a CA and the certificates of a client and a server, P-256 throughout. Layer: bench. */
#ifndef BENCH_IDENTITY_H
#define BENCH_IDENTITY_H

#include <openssl/x509.h>

#include "tpmtls/key.h"

/* struct identity: one key pair with its certificate; the software key signs for our engine, pkey for libssl.
 */
struct identity {
    EVP_PKEY *pkey;
    X509 *cert;
    struct tt_bytes der;
    char *key_pem;
    struct tt_key *key;
};

struct identities {
    struct identity ca, server, client;
    char *ca_pem;
};

void identities_make(struct identities *all);
void identities_free(struct identities *all);

/* identity_replace: another key with its certificate (libcrypto's allocation); both are the identity's from
 * now on. identity_release_key: free them early, before the TPM is closed. */
void identity_replace(struct identity *id, struct tt_key *key, struct tt_bytes der);
void identity_release_key(struct identity *id);

/* identity_adopt: the client's identity becomes this key (of the TPM), with a certificate made for it. */
void identity_adopt(struct identities *ids, struct tt_key *key);

/* identity_certify: a certificate of the CA for a public key. eku: "serverAuth" or "clientAuth"; dns may be
 * NULL.
 */
X509 *identity_certify(const struct identity *ca, EVP_PKEY *subject, const char *eku, const char *dns);

#endif
