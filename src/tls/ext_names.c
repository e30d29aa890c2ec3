/* tls/ext_names.c: server_name (RFC 6066 section 3) and application_layer_protocol_negotiation (RFC 7301).
 * Layer: tls. */
#include "tls/ext.h"

#include <string.h>

#include "wire/host.h"

/* Is the configured name one that may be sent: "Literal IPv4 and IPv6 addresses are not permitted in
 * "HostName"". It was read once (tt_conn_new), and has no dot at its end: "without a trailing dot". */
static bool name_is_dns(struct tt_bytes name)
{
    char text[HOST_NAME_MAX_LEN + 1] = "";
    struct host host;
    if (name.len > 0 && name.len < sizeof text)
        memcpy(text, name.data, name.len);
    return host_parse(&host, text, NULL) == TT_OK && host.kind == HOST_NAME;
}

bool server_name_wants(const struct tt_conn *c, enum ext_place in)
{
    if (in == IN_CH)
        return name_is_dns(kept_get(&c->kept, KEPT_SERVER_NAME));
    /* The answer in EncryptedExtensions is the server's word that it used the name. "When resuming a session,
     * the server MUST NOT include a server_name extension in the server hello." (RFC 6066 section 3) */
    return in == IN_EE && kept_get(&c->kept, KEPT_SERVER_NAME).len > 0 && !c->resumed;
}

void server_name_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    if (in == IN_EE)
        return; /* "The "extension_data" field of this extension SHALL be empty." */
    struct wr_mark list = wr_open16(w);
    wr_u8(w, 0); /* host_name */
    wr_vec16(w, kept_get(&c->kept, KEPT_SERVER_NAME));
    wr_close(w, list);
}

tt_rc server_name_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    if (in != IN_CH)
        return TT_OK; /* empty: the loop refuses anything else */
    struct reader list = reader_of(rd_vec16(r, 1));
    uint8_t type = rd_u8(&list);
    struct tt_bytes name = rd_vec16(&list, 1);
    /* There is no second name type, and "MUST NOT contain more than one name of the same name_type". */
    if (rd_done(&list) != TT_OK || type != 0 || name.len > 255 || memchr(name.data, 0, name.len) != NULL)
        rd_fail(r);
    else
        c->hs->peer.server_name = name;
    return TT_OK;
}

bool alpn_wants(const struct tt_conn *c, enum ext_place in)
{
    return in == IN_CH ? c->cfg->alpn_len > 0 : kept_get(&c->kept, KEPT_ALPN).len > 0;
}

void alpn_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    struct wr_mark list = wr_open16(w);
    if (in == IN_CH) {
        uint16_t reserved = c->hs->grease[GREASE_PROTOCOL];
        const uint8_t name[] = {(uint8_t)(reserved >> 8), (uint8_t)reserved};
        wr_bytes(w, (struct tt_bytes){c->cfg->alpn, c->cfg->alpn_len});
        if (reserved != 0) /* behind: some look at the first one alone */
            wr_vec8(w, (struct tt_bytes){name, sizeof name});
    } else
        wr_vec8(w, kept_get(&c->kept, KEPT_ALPN));
    wr_close(w, list);
}

/* Is name among the names of a list as it stands on the wire. */
static bool alpn_list_has(struct tt_bytes list, struct tt_bytes name)
{
    struct reader r = reader_of(list);
    while (rd_left(&r) > 0) {
        struct tt_bytes item = rd_vec8(&r, 1);
        if (rd_status(&r) == TT_OK && item.len == name.len && memcmp(item.data, name.data, name.len) == 0)
            return true;
    }
    return false;
}

bool alpn_is_ours(const struct tt_conn *c, struct tt_bytes name)
{
    return alpn_list_has((struct tt_bytes){c->cfg->alpn, c->cfg->alpn_len}, name);
}

/* The server: our preference among the client's names. "In the event that the server supports no protocols
 * that the client advertises, then the server SHALL respond with a fatal "no_application_protocol" alert." */
static tt_rc alpn_choose(struct tt_conn *c, struct tt_bytes offered)
{
    struct reader ours = reader_of((struct tt_bytes){c->cfg->alpn, c->cfg->alpn_len});
    while (rd_left(&ours) > 0) {
        struct tt_bytes name = rd_vec8(&ours, 1);
        if (alpn_list_has(offered, name)) {
            kept_drop(&c->kept, KEPT_ALPN); /* a second ClientHello chooses again */
            TT_OWN(c, kept_add(&c->kept, KEPT_ALPN, name));
            return TT_OK;
        }
    }
    return conn_refuse(c, TT_ALERT_NO_APPLICATION_PROTOCOL,
                       "the client offers no application protocol of ours");
}

tt_rc alpn_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    struct tt_bytes list = rd_vec16(r, 2);
    struct reader names = reader_of(list);
    struct tt_bytes first = rd_vec8(&names, 1);
    if (in == IN_CH) {
        while (rd_left(&names) > 0)
            (void)rd_vec8(&names, 1);
        if (rd_done(&names) != TT_OK)
            rd_fail(r);
        return rd_status(r) != TT_OK || c->cfg->alpn_len == 0 ? TT_OK : alpn_choose(c, list);
    }
    /* "The "ProtocolNameList" MUST contain exactly one "ProtocolName"." */
    if (rd_done(&names) != TT_OK) {
        rd_fail(r);
        return TT_OK;
    }
    if (!alpn_list_has((struct tt_bytes){c->cfg->alpn, c->cfg->alpn_len}, first))
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "the server chose a protocol that was not offered");
    TT_OWN(c, kept_add(&c->kept, KEPT_ALPN, first));
    return TT_OK;
}
