/* pki/fields.c: see fields.h. Layer: pki. RFC 5280 section 4.1. */
#include "pki/fields.h"

/* The next value with its tag and length. */
static struct tt_bytes whole(struct reader *r, unsigned tag)
{
    const uint8_t *start = r->at;
    (void)der_get(r, tag);
    return r->failed ? (struct tt_bytes){NULL, 0} : (struct tt_bytes){start, (size_t)(r->at - start)};
}

struct tt_bytes spki_public_key(struct tt_bytes spki)
{
    struct reader outer = reader_of(spki);
    struct reader r = der_enter(&outer, DER_SEQUENCE);
    (void)der_get(&r, DER_SEQUENCE);
    struct tt_bytes bits = der_get(&r, DER_BIT_STRING);
    if (rd_done(&r) != TT_OK || bits.len < 1)
        return (struct tt_bytes){NULL, 0};
    return (struct tt_bytes){bits.data + 1, bits.len - 1};
}

tt_rc cert_fields_read(struct cert_fields *ret, struct tt_bytes der)
{
    struct cert_fields f;
    struct reader outer = reader_of(der);
    struct reader cert = der_enter(&outer, DER_SEQUENCE);
    TT_TRY(rd_done(&outer));
    struct reader tbs = der_enter(&cert, DER_SEQUENCE);
    (void)der_get(&cert, DER_SEQUENCE); /* signatureAlgorithm */
    (void)der_get(&cert, DER_BIT_STRING);
    TT_TRY(rd_done(&cert));
    if (der_next_tag(&tbs) == DER_EXPLICIT_0)
        (void)der_get(&tbs, DER_EXPLICIT_0); /* version */
    f.serial = whole(&tbs, DER_INTEGER);
    (void)der_get(&tbs, DER_SEQUENCE); /* signature */
    f.issuer = whole(&tbs, DER_SEQUENCE);
    (void)der_get(&tbs, DER_SEQUENCE); /* validity */
    f.subject = whole(&tbs, DER_SEQUENCE);
    f.spki = whole(&tbs, DER_SEQUENCE);
    TT_TRY(rd_status(&tbs)); /* what follows is optional */
    f.public_key = spki_public_key(f.spki);
    if (f.public_key.len == 0)
        return TT_ERR_DECODE;
    *ret = f;
    return TT_OK;
}
