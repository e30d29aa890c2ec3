/* wire/der.h: the few pieces of DER (X.690) that key files, public keys and ECDSA signatures need. Layer:
 * wire.
 *
 * Reading is a set of functions over struct reader and keeps its sticky failure; lengths must be minimal, as
 * DER demands, and at most 2^24-1. A constructed value is entered with der_enter and ended with rd_done on
 * the inner reader. Writing opens a value as a scope, like wire/writer.h: m = der_open(w, tag); ...;
 * der_close(w, m). */
#ifndef WIRE_DER_H
#define WIRE_DER_H

#include "wire/reader.h"
#include "wire/writer.h"

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_UTF8_STRING = 0x0c,
    DER_SEQUENCE = 0x30,
    DER_EXPLICIT_0 = 0xa0 /* [0] EXPLICIT; add n for [n] */
};

/* der_next_tag: the tag of the next value, or -1 at the end. */
int der_next_tag(const struct reader *r);

/* der_get: the content of the next value, which must have this tag. */
struct tt_bytes der_get(struct reader *r, unsigned tag);

/* der_enter: a reader over the content of the next value; already failed when r is. */
struct reader der_enter(struct reader *r, unsigned tag);

/* der_get_uint: a non-negative INTEGER as big-endian bytes without leading zeros (empty for 0). */
struct tt_bytes der_get_uint(struct reader *r);

/* der_get_u32: a 32-bit INTEGER. A negative one of exactly four bytes is taken as its unsigned bit pattern,
 * since some tools write a TPM handle so. */
uint32_t der_get_u32(struct reader *r);

/* der_get_bool: any non-zero octet is true (draft-bottomley-tpm2-keys, "Implementation Considerations"). */
bool der_get_bool(struct reader *r);

/* struct der_mark: where the content of an open value starts, relative to the front of the buf. */
struct der_mark {
    size_t at;
};
struct der_mark der_open(struct writer *w, unsigned tag);
void der_close(struct writer *w, struct der_mark m);

/* der_put: a whole primitive value. */
void der_put(struct writer *w, unsigned tag, struct tt_bytes content);

/* der_put_uint: an INTEGER from big-endian bytes: leading zeros are dropped, one is put back where the top
 * bit is set, so that the encoding is the only one DER allows. */
void der_put_uint(struct writer *w, struct tt_bytes magnitude);
void der_put_u32(struct writer *w, uint32_t v);
void der_put_true(struct writer *w);

/* der_sort: the order of the values of a SET OF (X.690 section 11.6). */
void der_sort(struct tt_bytes *values, size_t n);
/* der_order: <0, 0, >0, as memcmp, by that order. */
int der_order(struct tt_bytes a, struct tt_bytes b);

#endif
