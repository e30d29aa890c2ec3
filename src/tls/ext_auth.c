/* tls/ext_auth.c: signature_algorithms, signature_algorithms_cert, certificate_authorities,
 * post_handshake_auth. Layer: tls. RFC 9846 sections 4.3.3, 4.3.4, 4.3.6. */
#include "tls/ext.h"

/* For the application, which may ask when the message is gone. */
static tt_rc keep_offer(struct tt_conn *c, enum kept_item item, struct tt_bytes list)
{
    if (!c->cfg->keep_offers)
        return TT_OK;
    kept_drop(&c->kept, item);
    TT_OWN(c, kept_add(&c->kept, item, list));
    return TT_OK;
}

bool signature_algorithms_wants(const struct tt_conn *c, enum ext_place in)
{
    (void)c;
    (void)in;
    return true;
}

/* The scheme of PKCS #1 with the same hash, for certificates alone; 0: there is none. */
static uint16_t pkcs1_beside(uint16_t scheme)
{
    switch (scheme) {
    case TT_SCHEME_RSA_PSS_RSAE_SHA256:
        return TT_SCHEME_RSA_PKCS1_SHA256;
    case TT_SCHEME_RSA_PSS_RSAE_SHA384:
        return TT_SCHEME_RSA_PKCS1_SHA384;
    case TT_SCHEME_RSA_PSS_RSAE_SHA512:
        return TT_SCHEME_RSA_PKCS1_SHA512;
    default:
        return 0;
    }
}

/* Browsers have one list for both, and so no second extension. */
bool signature_algorithms_cert_wants(const struct tt_conn *c, enum ext_place in)
{
    return in != IN_CH || !c->cfg->browser_hello;
}

void signature_algorithms_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    (void)in;
    struct wr_mark list = wr_open16(w);
    if (c->hs->grease[GREASE_SCHEME] != 0)
        wr_u16(w, c->hs->grease[GREASE_SCHEME]);
    for (size_t i = 0; i < c->cfg->verify_schemes.n; i++) {
        uint16_t scheme = c->cfg->verify_schemes.items[i], pkcs1 = pkcs1_beside(scheme);
        wr_u16(w, scheme);
        if (c->cfg->browser_hello && pkcs1 != 0)
            wr_u16(w, pkcs1);
    }
    wr_close(w, list);
}

struct tt_bytes rd_schemes(struct reader *r)
{
    struct tt_bytes list = rd_vec16(r, 2);
    if (list.len % 2 != 0)
        rd_fail(r);
    return list;
}

tt_rc signature_algorithms_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    (void)in;
    c->hs->peer.schemes = rd_schemes(r);
    return keep_offer(c, KEPT_PEER_SCHEMES, c->hs->peer.schemes);
}

/* Certificates may also be signed with PKCS#1, whose schemes "refer solely to signatures which appear in
 * certificates" (section 4.3.3). */
void signature_algorithms_cert_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    (void)in;
    struct wr_mark list = wr_open16(w);
    for (size_t i = 0; i < c->cfg->verify_schemes.n; i++)
        wr_u16(w, c->cfg->verify_schemes.items[i]);
    wr_u16(w, TT_SCHEME_RSA_PKCS1_SHA256);
    wr_u16(w, TT_SCHEME_RSA_PKCS1_SHA384);
    wr_u16(w, TT_SCHEME_RSA_PKCS1_SHA512);
    wr_close(w, list);
}

tt_rc signature_algorithms_cert_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    (void)in;
    c->hs->peer.schemes_cert = rd_schemes(r);
    return TT_OK;
}

bool certificate_authorities_wants(const struct tt_conn *c, enum ext_place in)
{
    (void)in;
    return buf_size(&c->cfg->authorities) > 0;
}

void certificate_authorities_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    (void)in;
    wr_vec16(w, buf_bytes(&c->cfg->authorities));
}

tt_rc certificate_authorities_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    (void)in;
    /* DistinguishedName authorities<3..2^16-1>; each opaque<1..2^16-1> */
    c->hs->peer.authorities = rd_vec16(r, 3);
    struct reader names = reader_of(c->hs->peer.authorities);
    while (rd_left(&names) > 0)
        (void)rd_vec16(&names, 1);
    if (rd_done(&names) != TT_OK)
        rd_fail(r);
    return keep_offer(c, KEPT_PEER_AUTHORITIES, c->hs->peer.authorities);
}

/* "Servers MUST NOT send this extension." (section 4.3.6): the table has it for ClientHello alone. */
bool post_handshake_auth_wants(const struct tt_conn *c, enum ext_place in)
{
    (void)in;
    return c->cfg->post_handshake_auth;
}

void post_handshake_auth_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    (void)c;
    (void)in;
    (void)w; /* "The "extension_data" field of the "post_handshake_auth" extension is zero length."
                (section 4.3.6) */
}

tt_rc post_handshake_auth_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    (void)in;
    (void)r;
    c->peer_post_auth = true;
    return TT_OK;
}
