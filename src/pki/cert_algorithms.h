/* pki/cert_algorithms.h: what a certificate's key is, and what it was signed with, in the words that programs
 * know. Layer: pki. */
#ifndef PKI_CERT_ALGORITHMS_H
#define PKI_CERT_ALGORITHMS_H

#include "base/rc.h"

struct cert_algorithms {
    char key[24];       /* "EC256", "RSA2048"; else libcrypto's short name, such as "ED25519" */
    char signature[48]; /* libcrypto's short name: "ecdsa-with-SHA256", "RSA-SHA256" */
};
/* cert_algorithms_read: TT_ERR_DECODE when der is no certificate. */
TT_MUST_USE tt_rc cert_algorithms_read(struct cert_algorithms *ret, struct tt_bytes der);

#endif
