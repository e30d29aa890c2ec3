/* pki/x509.h: libcrypto's X.509 as this layer uses it: the headers, cleanups, and small bridges. Layer: pki.
 *
 * libcrypto keeps a queue of errors a thread; every public function of this layer leaves it empty
 * (ERR_clear_error in pki_fail and at its end), since callers read struct tt_error instead. */
#ifndef PKI_X509_H
#define PKI_X509_H

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "tpmtls/pki.h"

TT_DEFINE_AUTO(X509, X509_free)
TT_DEFINE_AUTO(X509_REQ, X509_REQ_free)
TT_DEFINE_AUTO(X509_NAME, X509_NAME_free)
TT_DEFINE_AUTO(EVP_PKEY, EVP_PKEY_free)
TT_DEFINE_AUTO(GENERAL_NAMES, GENERAL_NAMES_free)
TT_DEFINE_AUTO(ASN1_OCTET_STRING, ASN1_OCTET_STRING_free)
TT_DEFINE_AUTO(ASN1_OBJECT, ASN1_OBJECT_free)
TT_DEFINE_AUTO(BASIC_CONSTRAINTS, BASIC_CONSTRAINTS_free)

typedef STACK_OF(X509_EXTENSION) extensions;
static inline void extensions_free(extensions *e)
{
    sk_X509_EXTENSION_pop_free(e, X509_EXTENSION_free);
}
TT_DEFINE_AUTO(extensions, extensions_free)

/* ossl_free_auto: for bytes that libcrypto allocated (i2d, to_UTF8). */
static inline void ossl_free_auto(uint8_t **p)
{
    OPENSSL_free(*p);
}

/* cert_read: exactly one DER certificate, or NULL. */
TT_MUST_USE X509 *cert_read(struct tt_bytes der);
/* spki_read: exactly one DER SubjectPublicKeyInfo, or NULL. */
TT_MUST_USE EVP_PKEY *spki_read(struct tt_bytes spki);

/* pki_no_memory: libcrypto's builders fail for want of memory only. */
tt_rc pki_no_memory(struct tt_error *err);

#endif
