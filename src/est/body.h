/* est/body.h: what EST carries in bodies: base64 of DER (RFC 7030 section 4, RFC 8951 section 3). Layer: est.
 * Formats only: no HTTP, no trust.
 *
 * Reading is wide: base64 with or without white space of any kind, PEM around it, or the DER itself; whatever
 * a Content-Transfer-Encoding says is passed over ("any value in such a header MUST be ignored", RFC 8951
 * section 3). Writing is one form: lines of 64 digits, which every reader that was seen takes. */
#ifndef EST_BODY_H
#define EST_BODY_H

#include "base/buf.h"
#include "tpmtls/pki.h"

#define EST_BODY_MAX (1 << 20) /* bytes; no body of ours or of anybody else comes near */

#define EST_TYPE_PKCS10   "application/pkcs10"
#define EST_TYPE_CERTS    "application/pkcs7-mime; smime-type=certs-only"
#define EST_TYPE_CSRATTRS "application/csrattrs"

/* est_body_read: the DER in a body. ret is empty before. TT_ERR_DECODE: neither base64 nor DER, nothing, or
 * larger than EST_BODY_MAX. What it is the DER of is not looked at. */
TT_MUST_USE tt_rc est_body_read(struct buf *ret, struct tt_bytes body, struct tt_error *err);

/* est_body_write: append DER as a body. */
TT_MUST_USE tt_rc est_body_write(struct buf *to, struct tt_bytes der);

/* est_certs_read: the certificates of an answer to cacerts, simpleenroll, simplereenroll; as they stand in
 * it, which means nothing, each once. */
TT_MUST_USE tt_rc est_certs_read(struct tt_cert_list **ret, struct tt_bytes body, struct tt_error *err);

/* est_certs_write: append the body of such an answer; at most 64 certificates. TT_ERR_USAGE. */
TT_MUST_USE tt_rc est_certs_write(struct buf *to, const struct tt_cert_list *certs);

/* ---- what a server wants in a request (RFC 7030 section 4.5.2 as RFC 8951 section 4 has it) ---- */

#define EST_CSRATTRS_MAX 64

/* struct est_attr: AttrOrOID. */
struct est_attr {
    struct tt_bytes oid;    /* the content of the OBJECT IDENTIFIER */
    bool attribute;         /* Attribute, with a SET of values; else an OID alone */
    struct tt_bytes values; /* DER: what is in the SET, one value after the other */
};

/* struct est_csrattrs: views into der. */
struct est_csrattrs {
    struct est_attr list[EST_CSRATTRS_MAX];
    size_t len;
    struct buf der; /* owned */
};

/* est_csrattrs_read: an empty body is an empty list. TT_ERR_DECODE. */
TT_MUST_USE tt_rc est_csrattrs_read(struct est_csrattrs *ret, struct tt_bytes body, struct tt_error *err);
void est_csrattrs_free(struct est_csrattrs *a);

/* est_csrattrs_find: the first with this OID, or NULL. */
const struct est_attr *est_csrattrs_find(const struct est_csrattrs *a, struct tt_bytes oid);

/* est_csrattrs_write: append the body of an answer. */
TT_MUST_USE tt_rc est_csrattrs_write(struct buf *to, const struct est_attr *list, size_t n);

/* OIDs that are asked for here; contents, without tag and length. */
extern const struct tt_bytes EST_OID_CHALLENGE_PASSWORD; /* 1.2.840.113549.1.9.7 */
extern const struct tt_bytes EST_OID_EXTENSION_REQUEST;  /* 1.2.840.113549.1.9.14 */

#endif
