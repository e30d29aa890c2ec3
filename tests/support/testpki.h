/* tests/support/testpki.h: certificates and keys for tests, made on the spot by libcrypto. Tests only. */
#ifndef TESTS_TESTPKI_H
#define TESTS_TESTPKI_H

#include <openssl/evp.h>

#include "tpmtls/tls.h"

/* struct test_key: one key pair with its certificate. */
struct test_key {
    EVP_PKEY *pkey;
    uint16_t scheme; /* what it signs CertificateVerify with */
    uint8_t *cert;   /* DER */
    size_t cert_len;
    char *cert_pem;
    uint8_t *spki; /* made when first asked for */
    size_t spki_len;
};

/* 2026-06-01 00:00:00 UTC: the tests' present. */
#define TEST_NOW ((int64_t)1780272000)

/* struct test_cert: what a certificate says; zero is a sensible default. */
struct test_cert {
    const char *cn;
    const char *dns;               /* DNS subjectAltName, or NULL */
    const char *eku;               /* "serverAuth", "clientAuth", or NULL for none */
    const struct test_key *issuer; /* NULL: self-signed CA */
    int64_t not_before, not_after; /* 0: TEST_NOW -/+ 30 days */
    bool delegation;               /* with DelegationUsage (RFC 9345) */
    bool no_key_usage;
};

/* kind: "P-256", "P-384", "P-521", "ED25519", "RSA" (2048), "RSA-PSS" (2048). Aborts the test program on
 * failure. */
struct test_key *test_key_new(const char *kind, const struct test_cert *cert);
void test_key_free(struct test_key *k);
/* test_key_spki: its DER SubjectPublicKeyInfo, as a view that lives as long as k; test_key_pin: the SHA-256
 * of it. */
struct tt_bytes test_key_spki(struct test_key *k);
void test_key_pin(struct test_key *k, uint8_t ret[32]);
/* test_sign: sign as the scheme demands; returns the length. */
size_t test_sign(const struct test_key *k, uint16_t scheme, struct tt_bytes message, uint8_t *sig,
                 size_t cap);
char *test_key_pem(const struct test_key *k); /* PKCS#8 PEM, free() */

#endif
