/* tls/ext_hello.c: the extensions that make the key exchange: supported_versions, supported_groups,
 * key_share, cookie. Layer: tls. RFC 9846 sections 4.3.1, 4.3.2, 4.3.7, 4.3.8. */
#include "tls/ext.h"

bool supported_versions_wants(const struct tt_conn *c, enum ext_place in)
{
    (void)c;
    (void)in;
    return true;
}

void supported_versions_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    uint16_t grease = in == IN_CH ? c->hs->grease[GREASE_SUITE] : 0;
    if (in == IN_CH)
        wr_u8(w, grease != 0 ? 4 : 2);
    if (grease != 0)
        wr_u16(w, grease);
    wr_u16(w, TLS_VERSION_1_3);
}

tt_rc supported_versions_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    if (in == IN_CH) {
        c->hs->peer.versions = rd_vec8(r, 2);
        if (c->hs->peer.versions.len % 2 != 0)
            rd_fail(r);
    } else {
        c->hs->peer.selected_version = rd_u16(r);
    }
    return TT_OK;
}

/* A list of 16-bit numbers with at least one in it. */
static struct tt_bytes rd_list16(struct reader *r)
{
    struct tt_bytes list = rd_vec16(r, 2);
    if (list.len % 2 != 0)
        rd_fail(r);
    return list;
}

bool supported_groups_wants(const struct tt_conn *c, enum ext_place in)
{
    (void)c;
    return in == IN_CH;
}

void supported_groups_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    (void)in;
    struct wr_mark list = wr_open16(w);
    if (c->hs->grease[GREASE_GROUP] != 0)
        wr_u16(w, c->hs->grease[GREASE_GROUP]);
    for (size_t i = 0; i < c->cfg->groups.n; i++)
        wr_u16(w, c->cfg->groups.items[i]);
    wr_close(w, list);
}

tt_rc supported_groups_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    /* "clients ... MUST NOT act upon any information found in "supported_groups" [of EncryptedExtensions]
     * prior to successful completion of the handshake": only its form is checked. */
    struct tt_bytes groups = rd_list16(r);
    if (in == IN_CH)
        c->hs->peer.groups = groups;
    return TT_OK;
}

bool key_share_wants(const struct tt_conn *c, enum ext_place in)
{
    return in == IN_HRR ? c->hs->retry_group != 0 : true;
}

static void wr_key_share_entry(struct writer *w, uint16_t group, struct tt_bytes share)
{
    wr_u16(w, group);
    wr_vec16(w, share);
}

void key_share_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    if (in == IN_HRR) {
        wr_u16(w, c->hs->retry_group);
        return;
    }
    if (in == IN_SH) {
        wr_key_share_entry(w, c->group,
                           (struct tt_bytes){c->hs->response->share, c->hs->response->share_len});
        return;
    }
    struct wr_mark shares = wr_open16(w);
    /* Not in a second ClientHello: it carries the one share that was asked for. */
    if (c->hs->grease[GREASE_GROUP] != 0 && !c->hello_retry_request)
        wr_key_share_entry(w, c->hs->grease[GREASE_GROUP], (struct tt_bytes){(const uint8_t *)"", 1});
    for (size_t i = 0; i < c->hs->offers_len; i++)
        wr_key_share_entry(w, kx_offer_group(c->hs->offers[i]), kx_offer_share(c->hs->offers[i]));
    wr_close(w, shares);
}

/* "Clients MUST NOT offer multiple KeyShareEntry values for the same group. Clients MUST NOT offer any
 * KeyShareEntry values for groups not listed in the client's "supported_groups" extension. Servers MAY check
 * for violations of these rules and abort the handshake with an "illegal_parameter" alert" (section 4.3.8).
 * supported_groups stands earlier in the table, so it is known here. */
static tt_rc client_shares_check(struct tt_conn *c, struct tt_bytes shares)
{
    uint8_t expected[65536 / 8] = {0}; /* a bit for each group: looking through lists would take a hostile
                                          client's thousands of shares times its thousands of groups */
    struct reader groups = reader_of(c->hs->peer.groups), r = reader_of(shares);
    while (rd_left(&groups) > 0) {
        uint16_t group = rd_u16(&groups);
        expected[group >> 3] |= (uint8_t)(1U << (group & 7));
    }
    while (rd_left(&r) > 0) {
        uint16_t group = rd_u16(&r);
        (void)rd_vec16(&r, 1);
        if (rd_status(&r) != TT_OK)
            return conn_refuse(c, TT_ALERT_DECODE_ERROR, "key_share is malformed");
        uint8_t bit = (uint8_t)(1U << (group & 7));
        if ((expected[group >> 3] & bit) == 0)
            return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                               "key_share has a group twice, or one that is not in supported_groups");
        expected[group >> 3] &= (uint8_t)~bit;
    }
    return TT_OK;
}

tt_rc key_share_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    if (in == IN_CH) {
        c->hs->peer.shares = rd_vec16(r, 0);
        if (rd_status(r) == TT_OK && c->hs->peer.groups.len > 0)
            return client_shares_check(c, c->hs->peer.shares);
        return TT_OK;
    }
    c->hs->peer.selected_group = rd_u16(r);
    if (in == IN_SH)
        c->hs->peer.selected_share = rd_vec16(r, 1);
    return TT_OK;
}

/* "Clients MUST NOT use cookies in their initial ClientHello in subsequent connections." (section 4.3.2):
 * it lives as long as the handshake. */
bool cookie_wants(const struct tt_conn *c, enum ext_place in)
{
    (void)in;
    return buf_size(&c->hs->cookie) > 0;
}

void cookie_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    (void)in;
    wr_vec16(w, buf_bytes(&c->hs->cookie));
}

tt_rc cookie_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    (void)in;
    c->hs->peer.cookie = rd_vec16(r, 1);
    return TT_OK;
}
