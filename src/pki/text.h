/* pki/text.h: names, numbers and times for a person. Layer: pki. Output is UTF-8 that cannot move a cursor.
 */
#ifndef PKI_TEXT_H
#define PKI_TEXT_H

#include "pki/x509.h"

/* text_is_printable: valid UTF-8 without control and bidirectional formatting characters. */
bool text_is_printable(struct tt_bytes utf8);

/* text_contains: word occurs in the text. */
bool text_contains(struct tt_bytes text, const char *word);

/* text_escape: append utf8; what is not printable becomes \HH for each byte. */
TT_MUST_USE tt_rc text_escape(struct buf *to, struct tt_bytes utf8);

/* text_name: a name in the manner of RFC 4514, NUL-terminated; mem_free. Names that libcrypto cannot print
 * become
 * "(unreadable name)". */
TT_MUST_USE tt_rc text_name(char **ret, const X509_NAME *name);

/* text_hex: lower case; ret holds 2 * b.len + 1 bytes. */
void text_hex(char *ret, struct tt_bytes b);

/* text_time: "2026-01-31T12:00:00Z", or "?" for a year that has not four digits. */
void text_time(char ret[24], int64_t seconds);

/* text_take: the bytes of a buf as a NUL-terminated string of the caller's (mem_free); the buf is emptied. */
TT_MUST_USE tt_rc text_take(char **ret, struct buf *from);

#endif
