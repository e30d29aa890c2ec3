/* tests/pki/pki_test.h: software keys and hand-made requests for the tests of pki, by libcrypto directly.
 * Tests only. */
#ifndef TESTS_PKI_TEST_H
#define TESTS_PKI_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "tpmtls/key.h" /* tt_free */
#include "tpmtls/pki.h"

/* 2026-06-01 00:00:00 UTC: the tests' present. */
#define NOW INT64_C(1780272000)
#define DAY INT64_C(86400)

struct soft_key {
    EVP_PKEY *pkey;
    uint8_t *spki;
    size_t spki_len;
    uint16_t scheme;
    bool breaks; /* signatures come out wrong */
    bool fails;  /* no signature at all */
};

/* key_make: "P-256", "P-384", "P-521", "secp256k1", "RSA:2048", "ED25519", "ED448", "ML-DSA-65". */
struct soft_key key_make(const char *kind);
void key_drop(struct soft_key *k);
/* key_kind_known: can this libcrypto sign with "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"? */
bool key_kind_known(const char *kind);
struct tt_pki_signer key_signs(struct soft_key *k);

/* struct ext: an extension as openssl.cnf writes it, e.g. {"basicConstraints", "CA:TRUE"}. */
struct ext {
    const char *name, *value;
};

/* name_of_cn: a name of that CN alone; freed with X509_NAME_free. */
X509_NAME *name_of_cn(const char *cn);
/* csr_make: a request by libcrypto, DER, in a buf of the caller's. cn NULL: empty subject. */
void csr_make(struct buf *ret, const struct soft_key *k, const char *cn, const struct ext *exts, size_t n);
/* csr_finish: sign req and give its DER; frees req. */
void csr_finish(struct buf *ret, const struct soft_key *k, X509_REQ *req);

/* dir_make: a new private directory, removed with all in it by dir_drop. */
char *dir_make(void);
void dir_drop(char *dir);
/* dir_put: write a file into it. */
void dir_put(const char *dir, const char *name, const void *data, size_t n);
/* run: a shell command in dir; its exit code. Output goes to dir/out. */
int run(const char *dir, const char *command);

struct tt_bytes bytes_of(const char *text);
X509 *cert_of(struct tt_bytes der);

/* assert_error: rc is as wanted and the text has the words. */
void check_error(tt_rc rc, tt_rc wanted, const struct tt_error *err, const char *words, const char *what);

#endif
