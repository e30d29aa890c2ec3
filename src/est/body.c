/* est/body.c: see body.h. Layer: est. RFC 7030 section 4, RFC 8951 sections 3 and 4. */
#include "est/body.h"

#include <string.h>

#include "pki/certs_only.h"
#include "wire/base64.h"
#include "wire/der.h"
#include "wire/pem.h"

static const uint8_t challenge_password[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 7};
static const uint8_t extension_request[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14};
const struct tt_bytes EST_OID_CHALLENGE_PASSWORD = {challenge_password, sizeof challenge_password};
const struct tt_bytes EST_OID_EXTENSION_REQUEST = {extension_request, sizeof extension_request};

/* ---- base64, or what others send instead ---- */

static tt_rc no_memory(struct tt_error *err)
{
    return error_set(err, TT_ERR_MEMORY, "out of memory");
}

/* PEM: whatever its label is, since servers disagree (PKCS7, CMS, CERTIFICATE REQUEST). */
static tt_rc pem_read(struct buf *ret, struct tt_bytes body)
{
    TT_AUTO(pem_block_free) struct pem_block block = {0};
    TT_TRY(pem_next(&block, &body));
    return buf_append(ret, block.der, block.len);
}

static tt_rc base64_read(struct buf *ret, struct tt_bytes body)
{
    uint8_t *room = buf_reserve(ret, base64_room(body.len));
    size_t len = 0;
    if (room == NULL)
        return TT_ERR_MEMORY;
    TT_TRY(base64_decode(room, &len, body));
    buf_commit(ret, len);
    return TT_OK;
}

static tt_rc any_read(struct buf *ret, struct tt_bytes body)
{
    static const char begin[] = "-----BEGIN ";
    tt_rc rc = body.len >= sizeof begin - 1 && memmem(body.data, body.len, begin, sizeof begin - 1) != NULL
                   ? pem_read(ret, body)
                   : base64_read(ret, body);
    /* The second octet of DER is a length: of more than 127 no base64 digit, of fewer one that a tag follows,
     * which is none either. */
    if (rc == TT_ERR_DECODE && body.len > 1 && body.data[0] == DER_SEQUENCE)
        rc = buf_append(ret, body.data, body.len);
    return rc;
}

tt_rc est_body_read(struct buf *ret, struct tt_bytes body, struct tt_error *err)
{
    if (body.len > EST_BODY_MAX)
        return error_set(err, TT_ERR_DECODE, "the body is larger than %d bytes", EST_BODY_MAX);
    tt_rc rc = any_read(ret, body);
    if (rc == TT_ERR_MEMORY)
        return no_memory(err);
    if (rc != TT_OK)
        return error_set(err, TT_ERR_DECODE, "the body of %zu bytes is not base64", body.len);
    return buf_size(ret) > 0 ? TT_OK : error_set(err, TT_ERR_DECODE, "the body is empty");
}

tt_rc est_body_write(struct buf *to, struct tt_bytes der)
{
    return base64_put_lines(to, der);
}

/* ---- certificates ---- */

tt_rc est_certs_read(struct tt_cert_list **ret, struct tt_bytes body, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf der = {0};
    TT_TRY(est_body_read(&der, body, err));
    return certs_only_read(ret, buf_bytes(&der), err);
}

tt_rc est_certs_write(struct buf *to, const struct tt_cert_list *certs)
{
    TT_AUTO(buf_free) struct buf der = {0};
    TT_TRY(certs_only_write(&der, certs));
    return est_body_write(to, buf_bytes(&der));
}

/* ---- attributes ---- */

void est_csrattrs_free(struct est_csrattrs *a)
{
    buf_free(&a->der);
    *a = (struct est_csrattrs){0};
}

const struct est_attr *est_csrattrs_find(const struct est_csrattrs *a, struct tt_bytes oid)
{
    for (size_t i = 0; i < a->len; i++)
        if (a->list[i].oid.len == oid.len && memcmp(a->list[i].oid.data, oid.data, oid.len) == 0)
            return &a->list[i];
    return NULL;
}

/* AttrOrOID ::= CHOICE { oid OBJECT IDENTIFIER, attribute Attribute }. */
static struct est_attr attr_read(struct reader *r)
{
    struct est_attr a = {0};
    if (der_next_tag(r) == DER_OID) {
        a.oid = der_get(r, DER_OID);
    } else {
        struct reader inner = der_enter(r, DER_SEQUENCE);
        a.attribute = true;
        a.oid = der_get(&inner, DER_OID);
        a.values = der_get(&inner, 0x31);
        if (rd_done(&inner) != TT_OK)
            rd_fail(r);
    }
    if (a.oid.len == 0)
        rd_fail(r);
    return a;
}

/* CsrAttrs ::= SEQUENCE SIZE (0..MAX) OF AttrOrOID. */
static tt_rc attrs_read(struct est_csrattrs *a)
{
    struct reader r = reader_of(buf_bytes(&a->der));
    struct reader list = der_enter(&r, DER_SEQUENCE);
    TT_TRY(rd_done(&r));
    while (rd_left(&list) > 0 && a->len < EST_CSRATTRS_MAX && !list.failed)
        a->list[a->len++] = attr_read(&list);
    return rd_done(&list);
}

/* Nothing but white space: a server that sends 200 and means 204. */
static bool is_blank(struct tt_bytes body)
{
    size_t i = 0;
    while (i < body.len && memchr(" \t\r\n", body.data[i], 4) != NULL)
        i++;
    return i == body.len;
}

tt_rc est_csrattrs_read(struct est_csrattrs *ret, struct tt_bytes body, struct tt_error *err)
{
    TT_AUTO(est_csrattrs_free) struct est_csrattrs a = {0};
    if (!is_blank(body)) {
        TT_TRY(est_body_read(&a.der, body, err));
        if (attrs_read(&a) != TT_OK)
            return error_set(err, TT_ERR_DECODE,
                             "the server's list of CSR attributes is damaged or too long");
    }
    *ret = a;
    a = (struct est_csrattrs){0};
    return TT_OK;
}

tt_rc est_csrattrs_write(struct buf *to, const struct est_attr *list, size_t n)
{
    TT_AUTO(buf_free) struct buf der = {0};
    struct writer w = writer_to(&der);
    struct der_mark all = der_open(&w, DER_SEQUENCE);
    for (size_t i = 0; i < n; i++) {
        if (!list[i].attribute) {
            der_put(&w, DER_OID, list[i].oid);
            continue;
        }
        struct der_mark attribute = der_open(&w, DER_SEQUENCE);
        der_put(&w, DER_OID, list[i].oid);
        der_put(&w, 0x31, list[i].values);
        der_close(&w, attribute);
    }
    der_close(&w, all);
    TT_TRY(wr_status(&w));
    return est_body_write(to, buf_bytes(&der));
}
