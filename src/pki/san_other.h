/* pki/san_other.h: the two kinds of otherName (RFC 5280 section 4.2.1.6) that are asked for and certified:
 * the UPN by which Windows and EAP-TLS servers know who it is, and the HardwareModuleName of devices (RFC
 * 4108 section 5, IEEE 802.1AR section 8.10). Layer: pki. */
#ifndef PKI_SAN_OTHER_H
#define PKI_SAN_OTHER_H

#include "pki/x509.h"

/* other_is_text: the text names one of these kinds: "UPN:name@realm", "HardwareModuleName:OID:HEX", or what
 * OpenSSL's configuration calls "otherName:OID;...". */
bool other_is_text(const char *text);
/* other_parse: TT_ERR_USAGE with a hint. */
TT_MUST_USE tt_rc other_parse(GENERAL_NAME **ret, const char *text, struct tt_error *err);
/* other_check: a name of a request: TT_ERR_UNSUPPORTED unless it is one of these kinds, whole and in order.
 */
TT_MUST_USE tt_rc other_check(const GENERAL_NAME *name, struct tt_error *err);
/* other_print: append it as other_parse takes it; "(other)" for what is none of these. */
TT_MUST_USE tt_rc other_print(struct buf *to, const GENERAL_NAME *name);

#endif
