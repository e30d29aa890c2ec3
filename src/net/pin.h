/* net/pin.h: a pin as people write it. Layer: net. */
#ifndef NET_PIN_H
#define NET_PIN_H

#include "base/rc.h"

/* pin_parse: "sha256:" and 64 hex digits, or 43 base64 digits and, as it may be, "=". TT_ERR_USAGE with what
 * makes one. */
TT_MUST_USE tt_rc pin_parse(uint8_t ret[32], const char *text, struct tt_error *err);

#endif
