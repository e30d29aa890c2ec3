/* tests/support/named_cert.h: certificates whose names are any bytes. Tests only; aborts on failure. */
#ifndef TESTS_NAMED_CERT_H
#define TESTS_NAMED_CERT_H

#include <openssl/x509v3.h>

#include "tpmtls/error.h"

/* struct name_of: nid (NID_commonName, ...) of the subject, as a string of this type (V_ASN1_UTF8STRING,
 * ...); or nid 0 and GEN_DNS, GEN_URI, ... of the subjectAltName. */
struct name_of {
    int nid, type;
    const char *value;
    size_t len; /* 0: up to the NUL */
};
/* named_cert: DER, to be freed with OPENSSL_free; names ends with a zero value. twice: its subjectAltName is.
 */
struct tt_bytes named_cert(const struct name_of *names, bool twice);

#endif
