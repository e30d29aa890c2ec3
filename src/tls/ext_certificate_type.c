/* tls/ext_certificate_type.c: client_certificate_type and server_certificate_type: X.509 certificates or raw
 * public keys. Layer: tls. RFC 7250 section 4, RFC 9846 section 4.5.1. Neither is sent where X.509 is all
 * there is; what was settled stands in c->own_type and c->peer_type. */
#include <string.h>

#include "tls/ext.h"

static bool x509_alone(const struct u16_list *types)
{
    return types->n == 0 || (types->n == 1 && types->items[0] == TT_CERTIFICATE_X509);
}

static void build_types(const struct u16_list *types, struct writer *w)
{
    struct wr_mark list = wr_open8(w);
    for (size_t i = 0; i < types->n; i++)
        wr_u8(w, (uint8_t)types->items[i]);
    wr_close(w, list);
}

/* Do certificates authenticate this handshake (beside a PSK: RFC 8773)? */
static bool with_certificates(const struct tt_conn *c)
{
    return c->hs->psk.len == 0 || c->certificate_with_psk;
}

/* Will this client be asked for a certificate, now or later? */
static bool will_ask(const struct tt_conn *c)
{
    bool now = c->cfg->client_auth != TT_CLIENT_AUTH_NONE && with_certificates(c);
    return now || (c->cfg->post_handshake_auth && c->peer_post_auth);
}

bool client_certificate_type_wants(const struct tt_conn *c, enum ext_place in)
{
    if (in == IN_CH)
        return !x509_alone(&c->cfg->own_types);
    /* "the client_certificate_type extension ... MUST be omitted" where no certificate is requested
     * (section 4.2) */
    return ext_seen(c, EXT_CLIENT_CERTIFICATE_TYPE) && will_ask(c);
}

void client_certificate_type_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    if (in == IN_CH)
        build_types(&c->cfg->own_types, w);
    else
        wr_u8(w, (uint8_t)c->peer_type);
}

bool server_certificate_type_wants(const struct tt_conn *c, enum ext_place in)
{
    if (in == IN_CH)
        return !x509_alone(&c->cfg->peer_types);
    /* Also beside a PSK: "extensions are negotiated for each handshake even when in resumption-PSK mode"
     * (RFC 9846 section 4.3). */
    return ext_seen(c, EXT_SERVER_CERTIFICATE_TYPE) && c->hs->own_type_settled;
}

void server_certificate_type_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    if (in == IN_CH)
        build_types(&c->cfg->peer_types, w);
    else
        wr_u8(w, (uint8_t)c->own_type);
}

/* The server's answer: one of those we offered. */
static tt_rc parse_answer(struct tt_conn *c, const struct u16_list *offered, uint16_t *type, struct reader *r)
{
    *type = rd_u8(r);
    if (rd_status(r) == TT_OK && !u16_list_has(offered, *type))
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "the server chose certificate type %u, which was not offered", *type);
    return TT_OK;
}

/* "If the client has no remaining certificate types to send in the client hello, other than the default X.509
 * type, it MUST omit the client_certificate_type extension in the client hello." (RFC 7250 section 4.1; the
 * same is said of server_certificate_type.) */
static tt_rc check_offer(struct tt_conn *c, struct tt_bytes types)
{
    if (types.len == 1 && types.data[0] == TT_CERTIFICATE_X509)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "the client offers X.509 certificates alone, which goes without saying");
    return TT_OK;
}

tt_rc client_certificate_type_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    if (in == IN_EE)
        return parse_answer(c, &c->cfg->own_types, &c->own_type, r);
    c->hs->peer.client_types = rd_vec8(r, 1);
    return check_offer(c, c->hs->peer.client_types);
}

tt_rc server_certificate_type_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    if (in == IN_EE)
        return parse_answer(c, &c->cfg->peer_types, &c->peer_type, r);
    c->hs->peer.server_types = rd_vec8(r, 1);
    return check_offer(c, c->hs->peer.server_types);
}

tt_rc certificate_types_choose(struct tt_conn *c)
{
    struct tt_bytes offered = c->hs->peer.client_types;
    if (offered.len == 0 || !will_ask(c))
        return TT_OK;
    for (size_t i = 0; i < c->cfg->peer_types.n; i++) /* our own order: what we want most */
        if (memchr(offered.data, c->cfg->peer_types.items[i], offered.len) != NULL) {
            c->peer_type = c->cfg->peer_types.items[i];
            return TT_OK;
        }
    /* RFC 7250 section 4.2: "the server supports the extension ... but ... does not have any certificate type
     * in common with the client. Then, the server terminates the session with a fatal alert of type
     * "unsupported_certificate"." */
    return conn_refuse(c, TT_ALERT_UNSUPPORTED_CERTIFICATE,
                       "the client shows no certificate of a type that is taken here");
}
