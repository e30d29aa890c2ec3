/* tests/support/testca.h: certificates with any extension, CRLs and OCSP responses, made on the spot by
 * libcrypto. Tests only. All of it aborts the test program on failure. */
#ifndef TESTS_TESTCA_H
#define TESTS_TESTCA_H

#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "base/rc.h"
#include "support/testpki.h"

/* struct node: a key pair with a certificate. */
struct node {
    EVP_PKEY *pkey;
    X509 *x509;
    uint8_t *der;
    struct tt_bytes cert; /* der */
    uint8_t pin[32];      /* SHA-256 of the SubjectPublicKeyInfo */
};

/* struct node_options: what the certificate says; zero is a P-256 key and TEST_NOW -/+ 30 days. */
struct node_options {
    const char *cn;               /* "": an empty subject */
    const char *key;              /* "P-256", "RSA-1024", "RSA-2048", "ED25519"; NULL: P-256 */
    const struct node *same_key;  /* take the key of that one */
    const struct node *issuer;    /* NULL: self-signed */
    const char *extensions[6][2]; /* as in openssl.cnf: {"keyUsage", "critical,digitalSignature"} */
    int64_t from, until;          /* 0: TEST_NOW -/+ 30 days */
    const char *md;               /* "SHA1"; NULL: SHA-256, or none for Ed25519 */
    bool no_ski, no_aki;          /* without the key identifiers that every other one gets */
    bool v1;                      /* X.509 version 1, without any extension */
    const char *serial;           /* hex, "-1"; NULL: one of its own */
};
struct node *node_new(const struct node_options *o);
void node_free(struct node *n);

#define CA_EXTENSIONS                                                                                        \
    {                                                                                                        \
        {"basicConstraints", "critical,CA:TRUE"},                                                            \
        {                                                                                                    \
            "keyUsage", "critical,keyCertSign,cRLSign"                                                       \
        }                                                                                                    \
    }
/* node_ca, node_server: the usual ones. dns may be NULL. */
struct node *node_ca(const char *cn, const struct node *issuer);
struct node *node_server(const struct node *issuer, const char *dns);
/* node_anchor: add it to the set. */
void node_anchor(struct tt_trust *t, const struct node *n);

/* crl_new: DER, to be freed with OPENSSL_free; at most one certificate is revoked. */
struct crl_options {
    const struct node *issuer, *revoked;
    EVP_PKEY *signer;    /* NULL: the issuer's key */
    int64_t from, until; /* 0: TEST_NOW -/+ a day */
    bool delta;
};
struct tt_bytes crl_new(const struct crl_options *o);

/* ocsp_new: DER, to be freed with OPENSSL_free. */
struct ocsp_options {
    const struct node *leaf, *issuer;
    const struct node *responder; /* NULL: the issuer signs itself */
    int status;                   /* V_OCSP_CERTSTATUS_... */
    int64_t from, until;          /* 0: TEST_NOW -/+ a day; until -1: no nextUpdate */
    const EVP_MD *id_hash, *md;   /* NULL: SHA-1, SHA-256 */
    int response_status;          /* OCSP_RESPONSE_STATUS_... */
};
struct tt_bytes ocsp_new(const struct ocsp_options *o);
void der_free(struct tt_bytes der);

#endif
