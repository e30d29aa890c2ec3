/* pki/dn.h: distinguished names from what a person types, and checks on those that others typed. Layer: pki.
 */
#ifndef PKI_DN_H
#define PKI_DN_H

#include "pki/x509.h"

/* dn_parse: '/O=Example/CN=device-1'. '\' takes the next character as it is; '+' joins an attribute to the
 * relative name before it. TT_ERR_USAGE with a sentence and a hint. */
TT_MUST_USE tt_rc dn_parse(X509_NAME **ret, const char *text, struct tt_error *err);

/* dn_check: a name from a request: may it go into a certificate. TT_ERR_UNSUPPORTED says why not. */
TT_MUST_USE tt_rc dn_check(const X509_NAME *name, struct tt_error *err);

#endif
