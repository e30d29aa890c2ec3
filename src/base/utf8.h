/* base/utf8.h: UTF-8, one character at a time. Layer: base. RFC 3629. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/rc.h"

/* utf8_next: the character at the front of b, which is not empty; returns its length, or 0 when it is none
 * (not the shortest form, a surrogate, cut short). */
size_t utf8_next(uint32_t *ret, struct tt_bytes b);

#endif
