/* wire/pem.h: textual encoding of DER (RFC 7468): find blocks, decode, write. Layer: wire. Knows no label's
 * meaning.
 *
 * Text between blocks is skipped. A block must be whole, hold only base64 and white space, and be padded
 * rightly; the old encapsulated headers ("Proc-Type:") are refused as TT_ERR_DECODE. */
#ifndef WIRE_PEM_H
#define WIRE_PEM_H

#include "base/buf.h"

struct pem_block {
    struct tt_bytes label; /* "CERTIFICATE"; a view into the text */
    uint8_t *der;          /* owned: pem_block_free */
    size_t len;
};

/* pem_next: decode the first block of *text and move *text behind it. TT_ERR_NOT_FOUND: no block is left.
 * TT_ERR_DECODE: a block that is broken (*text is unchanged). */
TT_MUST_USE tt_rc pem_next(struct pem_block *ret, struct tt_bytes *text);

/* pem_find: the first block with this label; broken blocks of other labels are skipped. */
TT_MUST_USE tt_rc pem_find(struct pem_block *ret, struct tt_bytes text, const char *label);

void pem_block_free(struct pem_block *b);

/* pem_write: append one block, lines of 64 characters. */
TT_MUST_USE tt_rc pem_write(struct buf *to, const char *label, struct tt_bytes der);

#endif
