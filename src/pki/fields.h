/* pki/fields.h: the fields of a certificate as they stand in it, without libcrypto. Layer: pki. */
#ifndef PKI_FIELDS_H
#define PKI_FIELDS_H

#include "wire/der.h"

/* struct cert_fields: views into the certificate; names, serial number and key are whole DER values. */
struct cert_fields {
    struct tt_bytes serial, issuer, subject, spki;
    struct tt_bytes public_key; /* the content of the key's BIT STRING */
};
/* cert_fields_read: TT_ERR_DECODE when der is not exactly one value of a certificate's form (RFC 5280 section
 * 4.1). Names, dates and the signature are not looked into. */
TT_MUST_USE tt_rc cert_fields_read(struct cert_fields *ret, struct tt_bytes der);
/* spki_public_key: the content of its BIT STRING (without the count of unused bits); empty when malformed. */
struct tt_bytes spki_public_key(struct tt_bytes spki);

#endif
