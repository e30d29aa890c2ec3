/* tls/msg_server_hello.c: ServerHello and HelloRetryRequest, both sides. Layer: tls. RFC 9846
 * sections 4.2.3, 4.2.4. */
#include <string.h>

#include "tls/ext.h"

/* SHA-256 of "HelloRetryRequest" */
static const uint8_t retry_random[HS_RANDOM_SIZE] = {
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

bool is_hello_retry_request(struct tt_bytes message)
{
    return message.len >= 6 + sizeof retry_random && message.data[0] == TT_HS_SERVER_HELLO &&
           memcmp(message.data + 6, retry_random, sizeof retry_random) == 0;
}

tt_rc server_hello_put(struct tt_conn *c, bool retry)
{
    uint8_t random[HS_RANDOM_SIZE];
    memcpy(random, retry_random, sizeof random);
    if (!retry && !conn_random(c, random, sizeof random))
        return conn_broken(c, TT_ERR_INTERNAL);
    struct hs_message m = hs_begin(c, TT_HS_SERVER_HELLO);
    wr_u16(&m.w, TLS_VERSION_1_2);
    wr_bytes(&m.w, (struct tt_bytes){random, sizeof random});
    wr_vec8(&m.w, (struct tt_bytes){c->hs->session_id, c->hs->session_id_len});
    wr_u16(&m.w, c->suite->id);
    wr_u8(&m.w, 0); /* legacy_compression_method */
    ext_build_block(c, retry ? IN_HRR : IN_SH, &m.w);
    return hs_end(c, &m);
}

struct server_hello {
    uint16_t legacy_version, suite;
    struct tt_bytes random, session_id, extensions;
    uint8_t compression;
};

static tt_rc server_hello_parse(struct server_hello *ret, struct tt_bytes message)
{
    struct reader r = reader_of(message);
    (void)rd_bytes(&r, 4);
    ret->legacy_version = rd_u16(&r);
    ret->random = rd_bytes(&r, HS_RANDOM_SIZE);
    ret->session_id = rd_vec8(&r, 0);
    ret->suite = rd_u16(&r);
    ret->compression = rd_u8(&r);
    ret->extensions = rd_left(&r) > 0 ? rd_vec16(&r, 0) : (struct tt_bytes){NULL, 0};
    return ret->session_id.len > 32 ? TT_ERR_DECODE : rd_done(&r);
}

/* Looks for supported_versions before anything else: without it the message is of an older version, and its
 * other extensions mean other things. */
static bool has_supported_versions(struct tt_bytes extensions)
{
    struct reader r = reader_of(extensions);
    while (rd_left(&r) > 0) {
        uint16_t type = rd_u16(&r);
        (void)rd_vec16(&r, 0);
        if (rd_status(&r) == TT_OK && type == EXT_SUPPORTED_VERSIONS)
            return true;
    }
    return false;
}

static tt_rc refuse_old_version(struct tt_conn *c, const struct server_hello *sh)
{
    /* "TLS 1.3 clients receiving a ServerHello indicating TLS 1.2 or below MUST check that the last 8 bytes
     * are not equal to either of these values. ... If a match is found, the client MUST abort the handshake
     * with an "illegal_parameter" alert." */
    static const uint8_t sentinel[7] = {'D', 'O', 'W', 'N', 'G', 'R', 'D'};
    const uint8_t *tail = sh->random.data + HS_RANDOM_SIZE - 8;
    if (memcmp(tail, sentinel, sizeof sentinel) == 0 && tail[7] <= 1)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "the server can do TLS 1.3 but somebody made it answer with an older version");
    error_hint(&c->status.error, "the server must be set up for TLS 1.3; older versions are not spoken here");
    return conn_refuse(c, TT_ALERT_PROTOCOL_VERSION,
                       "the server does not speak TLS 1.3 (it chose version 0x%04x)", sh->legacy_version);
}

/* The checks that ServerHello and HelloRetryRequest share. */
static tt_rc server_hello_check(struct tt_conn *c, const struct server_hello *sh)
{
    struct hs *hs = c->hs;
    /* supported_versions: "If the selected_version is ... a version prior to TLS 1.3, the client MUST abort
     * the handshake with an "illegal_parameter" alert" */
    if (hs->peer.selected_version != TLS_VERSION_1_3)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "the server selected version 0x%04x",
                           hs->peer.selected_version);
    if (sh->legacy_version != TLS_VERSION_1_2)
        return conn_refuse(c, TT_ALERT_PROTOCOL_VERSION, "legacy_version of the ServerHello is 0x%04x",
                           sh->legacy_version);
    if (sh->session_id.len != hs->session_id_len ||
        (hs->session_id_len > 0 && memcmp(sh->session_id.data, hs->session_id, hs->session_id_len) != 0))
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "the server did not echo legacy_session_id");
    if (sh->compression != 0)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "the server chose compression");
    if (!u16_list_has(&c->cfg->suites, sh->suite))
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "the server chose a cipher suite that was not offered");
    /* "clients MUST check that the cipher suite supplied in the ServerHello is the same as that in the
     * HelloRetryRequest and otherwise abort the handshake with an "illegal_parameter" alert" */
    if (c->suite != NULL && c->suite->id != sh->suite)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "the server changed the cipher suite after its retry request");
    c->suite = suite_of(sh->suite);
    return TT_OK;
}

static bool share_was_offered(const struct tt_conn *c, uint16_t group)
{
    for (size_t i = 0; i < c->hs->offers_len; i++)
        if (kx_offer_group(c->hs->offers[i]) == group)
            return true;
    return false;
}

static tt_rc hello_retry_request_recv(struct tt_conn *c, const struct server_hello *sh,
                                      struct tt_bytes message)
{
    struct hs *hs = c->hs;
    /* "If a client receives a second HelloRetryRequest in the same connection ... it MUST abort the handshake
     * with an "unexpected_message" alert." */
    if (c->hello_retry_request)
        return conn_refuse(c, TT_ALERT_UNEXPECTED_MESSAGE, "the server sent a second HelloRetryRequest");
    TT_TRY(ext_parse_block(c, IN_HRR, sh->extensions));
    TT_TRY(server_hello_check(c, sh));
    bool new_group = ext_seen(c, EXT_KEY_SHARE), cookie = ext_seen(c, EXT_COOKIE);
    uint16_t group = hs->peer.selected_group;
    /* "(1) the selected_group field corresponds to a group which was provided in the "supported_groups"
     * extension ... and (2) the selected_group field does not correspond to a group which was provided in the
     * "key_share" extension
     * ... If either of these checks fails, then the client MUST abort the handshake with an
     * "illegal_parameter"" */
    if (new_group && (!u16_list_has(&c->cfg->groups, group) || share_was_offered(c, group)))
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "the server asks for a share it must not ask for");
    /* "Clients MUST abort the handshake with an "illegal_parameter" alert if the HelloRetryRequest would not
     * result in any change in the ClientHello." */
    if (!new_group && !cookie)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "the HelloRetryRequest asks for nothing");
    if (cookie) {
        if (hs->peer.cookie.len > HS_MAX_COOKIE)
            return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "the server's cookie is too long");
        TT_OWN(c, buf_append(&hs->cookie, hs->peer.cookie.data, hs->peer.cookie.len));
    }
    hs->retry_group = new_group ? group : 0;
    c->hello_retry_request = true;
    TT_OWN(c, transcript_choose(&hs->transcript, c->cfg->lib, c->suite->hash));
    psk_offer_drop_other_hashes(c);
    if (c->cfg->psk_policy == TT_PSK_WITH_CERTIFICATE && hs->psks_len == 0)
        return conn_refuse(c, TT_ALERT_HANDSHAKE_FAILURE,
                           "the server chose a suite that does not fit our PSK");
    TT_OWN(c, transcript_retry(&hs->transcript));
    TT_OWN(c, transcript_add(&hs->transcript, message));
    return client_hello_again(c);
}

/* The share that the server chose to answer. */
static const struct kx_offer *offer_answered(struct tt_conn *c)
{
    for (size_t i = 0; i < c->hs->offers_len; i++)
        if (kx_offer_group(c->hs->offers[i]) == c->hs->peer.selected_group)
            return c->hs->offers[i];
    return NULL;
}

tt_rc server_hello_recv(struct tt_conn *c, struct tt_bytes message)
{
    struct server_hello sh;
    if (server_hello_parse(&sh, message) != TT_OK)
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "the ServerHello is malformed");
    if (!has_supported_versions(sh.extensions))
        return refuse_old_version(c, &sh);
    if (memcmp(sh.random.data, retry_random, sizeof retry_random) == 0)
        return hello_retry_request_recv(c, &sh, message);
    TT_TRY(ext_parse_block(c, IN_SH, sh.extensions));
    TT_TRY(server_hello_check(c, &sh));
    TT_TRY(psk_offer_selected(c));
    TT_TRY(psk_offer_mode(c));
    /* With a PSK it is an inconsistent choice of mode: "Clients MUST verify ... that a server "key_share"
     * extension is present if required by the ClientHello "psk_key_exchange_modes" extension. If these values
     * are not consistent, the client MUST abort the handshake with an "illegal_parameter" alert." */
    if (!ext_seen(c, EXT_KEY_SHARE))
        return conn_refuse(c, c->hs->psk.len > 0 ? TT_ALERT_ILLEGAL_PARAMETER : TT_ALERT_MISSING_EXTENSION,
                           "the ServerHello carries no key_share");
    const struct kx_offer *offer = offer_answered(c);
    if (offer == NULL)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "the server chose a group for which there was no share");
    c->group = c->hs->peer.selected_group;
    TT_OWN(c, transcript_choose(&c->hs->transcript, c->cfg->lib, c->suite->hash));
    TT_OWN(c, transcript_add(&c->hs->transcript, message));
    tt_rc rc = kx_offer_finish(offer, c->cfg->lib, c->hs->peer.selected_share, &c->hs->shared);
    if (rc == TT_ERR_PROTOCOL)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "the server's share for %s is not valid",
                           tt_group_name(c->group));
    TT_OWN(c, rc);
    return client_keys(c);
}
