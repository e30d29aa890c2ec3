/* pki/san.h: subject alternative names: from what a person types, and checks on those in requests. Layer:
 * pki. */
#ifndef PKI_SAN_H
#define PKI_SAN_H

#include "pki/flaw.h"
#include "pki/x509.h"

#define SAN_MAX 100

/* san_parse: texts "DNS:..", "IP:..", "URI:..", "email:..", and those of san_other.h. *ret is NULL for n = 0.
 * TT_ERR_USAGE with a hint.
 */
TT_MUST_USE tt_rc san_parse(GENERAL_NAMES **ret, const char *const *texts, size_t n, struct tt_error *err);

/* san_check: names from a request: TT_ERR_UNSUPPORTED for a kind or a value that is not certified here;
 * ret_flaw: the same for a program, on failure. */
TT_MUST_USE tt_rc san_check(const GENERAL_NAMES *names, enum csr_flaw *ret_flaw, struct tt_error *err);

/* san_has_host: there is a DNS or IP name among them. names may be NULL. */
bool san_has_host(const GENERAL_NAMES *names);

/* san_has_other: there is an otherName among them. names may be NULL. */
bool san_has_other(const GENERAL_NAMES *names);
/* san_host_ok: a host name, without a wildcard. */
bool san_host_ok(struct tt_bytes name);

/* san_print_one: append "DNS:a"; what is not printable is escaped. */
TT_MUST_USE tt_rc san_print_one(struct buf *to, const GENERAL_NAME *name);
/* san_print: append "DNS:a, IP:192.0.2.1"; what is not printable is escaped. names may be NULL. */
TT_MUST_USE tt_rc san_print(struct buf *to, const GENERAL_NAMES *names);

#endif
