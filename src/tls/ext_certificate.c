/* tls/ext_certificate.c: what goes with certificates: status_request (OCSP stapling),
 * signed_certificate_timestamp, compress_certificate; and record_size_limit. Layer: tls. RFC 9846
 * section 4.5.1.1, RFC 6066 section 8, RFC 6962, RFC 8879, RFC 8449. */
#include "tls/ext.h"

enum {
    STATUS_TYPE_OCSP = 1
};

bool status_request_wants(const struct tt_conn *c, enum ext_place in)
{
    const struct hs *hs = c->hs;
    if (in == IN_CH)
        return c->cfg->ocsp != TT_OCSP_NONE;
    return in == IN_CT && hs->staple_ocsp && hs->entry == 0 && hs->identity->ocsp_response.len > 0 &&
           c->own_type == TT_CERTIFICATE_X509;
}

void status_request_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    wr_u8(w, STATUS_TYPE_OCSP);
    if (in == IN_CT) {
        wr_vec24(w, c->hs->identity->ocsp_response);
        return;
    }
    wr_u16(w, 0); /* responder_id_list */
    wr_u16(w, 0); /* request_extensions */
}

tt_rc status_request_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    if (in == IN_CT) {
        uint8_t type = rd_u8(r);
        struct tt_bytes response = rd_vec24(r, 1);
        if (rd_status(r) == TT_OK && type == STATUS_TYPE_OCSP && c->hs->entry == 0)
            TT_OWN(c, kept_add(&c->kept, KEPT_OCSP, response));
        else if (type != STATUS_TYPE_OCSP)
            rd_fail(r);
        return TT_OK;
    }
    if (in == IN_CR) { /* "an empty "status_request" extension" (section 4.5.1.1) */
        c->hs->staple_ocsp = true;
        return TT_OK;
    }
    c->hs->staple_ocsp = rd_u8(r) == STATUS_TYPE_OCSP;
    (void)rd_rest(r); /* responder ids and extensions do not matter for the one response we have */
    return TT_OK;
}

bool sct_wants(const struct tt_conn *c, enum ext_place in)
{
    const struct hs *hs = c->hs;
    if (in == IN_CH)
        return c->cfg->request_scts;
    return in == IN_CT && hs->staple_scts && hs->entry == 0 && hs->identity->sct_list.len > 0 &&
           c->own_type == TT_CERTIFICATE_X509;
}

void sct_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    if (in == IN_CT)
        wr_bytes(w, c->hs->identity->sct_list);
}

tt_rc sct_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    if (in != IN_CT) {
        c->hs->staple_scts = true; /* empty: the loop refuses anything else */
        return TT_OK;
    }
    /* SerializedSCT sct_list<1..2^16-1>, each opaque<1..2^16-1> */
    struct tt_bytes whole = {r->at, rd_left(r)};
    struct reader list = reader_of(rd_vec16(r, 1));
    while (rd_left(&list) > 0)
        (void)rd_vec16(&list, 1);
    if (rd_done(&list) != TT_OK)
        rd_fail(r);
    else if (rd_status(r) == TT_OK && c->hs->entry == 0)
        TT_OWN(c, kept_add(&c->kept, KEPT_SCTS, whole));
    return TT_OK;
}

bool compress_certificate_wants(const struct tt_conn *c, enum ext_place in)
{
    (void)in;
    return c->cfg->compression.n > 0;
}

void compress_certificate_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    (void)in;
    struct wr_mark list = wr_open8(w);
    for (size_t i = 0; i < c->cfg->compression.n; i++)
        wr_u16(w, c->cfg->compression.items[i]);
    wr_close(w, list);
}

tt_rc compress_certificate_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    (void)in;
    /* CertificateCompressionAlgorithm algorithms<2..2^8-2> */
    struct tt_bytes list = rd_vec8(r, 2);
    if (list.len % 2 != 0)
        rd_fail(r);
    /* "A list of supported certificate-compression algorithms, in order of preference" (RFC 8879 section 3):
     * one that stands there twice is preferred to itself. */
    for (size_t i = 2; i < list.len; i += 2)
        if (list_has((struct tt_bytes){list.data, i}, (uint16_t)(list.data[i] << 8 | list.data[i + 1])))
            return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "compress_certificate has an algorithm twice");
    c->hs->compression = 0;
    for (size_t i = c->cfg->compression.n; i > 0; i--)
        if (list_has(list, c->cfg->compression.items[i - 1]))
            c->hs->compression = c->cfg->compression.items[i - 1];
    return TT_OK;
}

bool record_size_limit_wants(const struct tt_conn *c, enum ext_place in)
{
    return in == IN_CH ? c->cfg->record_size_limit != 0 : ext_seen(c, EXT_RECORD_SIZE_LIMIT);
}

static size_t own_limit(const struct tt_conn *c)
{
    return c->cfg->record_size_limit != 0 ? c->cfg->record_size_limit : REC_MAX_PLAINTEXT + 1;
}

void record_size_limit_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    wr_u16(w, (uint16_t)own_limit(c));
    if (in == IN_EE)
        c->read_limit = own_limit(c); /* both have spoken: it is in force */
}

tt_rc record_size_limit_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    size_t limit = rd_u16(r);
    /* "Endpoints MUST NOT send a "record_size_limit" extension with a value smaller than 64. An endpoint MUST
     * treat receipt of a smaller value as a fatal error and generate an "illegal_parameter" alert." (RFC 8449
     * section 4) */
    if (rd_status(r) == TT_OK && limit < 64)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "record_size_limit is %zu", limit);
    size_t most = conn_max_fragment(c);
    c->send_limit = limit - 1 < most ? limit - 1 : most; /* without the type byte */
    if (in == IN_EE)
        c->read_limit = own_limit(c);
    return TT_OK;
}
