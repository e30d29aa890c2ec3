/* tls/msg_client_hello.c: ClientHello, both sides. Layer: tls. RFC 9846 sections 4.2.2 and 4.2.4. */
#include <string.h>

#include "tls/client_hello.h"
#include "tls/ech.h"
#include "tls/ext.h"

tt_rc client_hello_put(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    struct hs_message m = hs_begin(c, TT_HS_CLIENT_HELLO);
    wr_u16(&m.w, TLS_VERSION_1_2); /* legacy_version */
    wr_bytes(&m.w, (struct tt_bytes){hs->client_random, sizeof hs->client_random});
    wr_vec8(&m.w, (struct tt_bytes){hs->session_id, hs->session_id_len});
    struct wr_mark suites = wr_open16(&m.w);
    if (hs->grease[GREASE_SUITE] != 0)
        wr_u16(&m.w, hs->grease[GREASE_SUITE]);
    for (size_t i = 0; i < c->cfg->suites.n; i++)
        wr_u16(&m.w, c->cfg->suites.items[i]);
    wr_close(&m.w, suites);
    wr_u8(&m.w, 1); /* legacy_compression_methods: exactly the null method */
    wr_u8(&m.w, 0);
    ext_build_block(c, IN_CH, &m.w);
    struct tt_bytes whole;
    TT_TRY(hs_close(c, &m, &whole));
    c->hs->binders_len = 0;
    return psk_offer_binders(c);
}

/* The flight holds nothing else. */
tt_rc client_hello_commit(struct tt_conn *c)
{
    const struct hs_message m = {.at = 0, .type = TT_HS_CLIENT_HELLO};
    return ech_is_inner(c) ? ech_client_wrap(c) : hs_commit(c, &m);
}

tt_rc client_hello_parse(struct client_hello *ret, struct tt_bytes message)
{
    struct reader r = reader_of(message);
    (void)rd_bytes(&r, 4);
    ret->legacy_version = rd_u16(&r);
    ret->random = rd_bytes(&r, HS_RANDOM_SIZE);
    ret->session_id = rd_vec8(&r, 0);
    ret->suites = rd_vec16(&r, 2);
    ret->compression = rd_vec8(&r, 1);
    /* Before TLS 1.3 the extensions could be left out altogether. */
    ret->extensions = rd_left(&r) > 0 ? rd_vec16(&r, 0) : (struct tt_bytes){NULL, 0};
    if (ret->session_id.len > 32 || ret->suites.len % 2 != 0)
        return TT_ERR_DECODE;
    return rd_done(&r);
}

/* "the client MUST send the same ClientHello without modification, except" for key_share, early_data, cookie,
 * pre_shared_key, padding (section 4.2.2) and encrypted_client_hello, whose payload is another one each time
 * (RFC 9849 section 6.1.5): a digest of everything else. "extensions MAY appear in any order" (section 4.3),
 * and wolfSSL's do change places (findings/wolfssl-second-client-hello.sh): the digests of the single ones
 * are combined so that their order does not count. */
static tt_rc client_hello_fingerprint(struct tt_conn *c, const struct client_hello *ch, uint8_t *ret)
{
    uint8_t digest[32];
    const uint8_t *fields = ch->random.data, *end = ch->compression.data + ch->compression.len;
    TT_TRY(hash_digest(c->cfg->lib, HASH_SHA256, (struct tt_bytes){fields, (size_t)(end - fields)}, ret));
    struct reader r = reader_of(ch->extensions);
    while (rd_left(&r) > 0) {
        const uint8_t *start = r.at;
        uint16_t type = rd_u16(&r);
        (void)rd_vec16(&r, 0);
        bool may_change = type == EXT_KEY_SHARE || type == EXT_EARLY_DATA || type == EXT_COOKIE ||
                          type == EXT_PRE_SHARED_KEY || type == EXT_PADDING ||
                          type == EXT_ENCRYPTED_CLIENT_HELLO;
        if (may_change)
            continue;
        TT_TRY(
            hash_digest(c->cfg->lib, HASH_SHA256, (struct tt_bytes){start, (size_t)(r.at - start)}, digest));
        for (size_t i = 0; i < sizeof digest; i++)
            ret[i] ^= digest[i];
    }
    return TT_OK;
}

/* "SSL 2.0, SSL 3.0, TLS 1.0, and TLS 1.1 are considered insufficient for the reasons enumerated in" ...
 * "and they MUST NOT be negotiated for any reason" (appendix E.5).
 * The fields whose values the standard fixes. */
static tt_rc client_hello_check(struct tt_conn *c, const struct client_hello *ch)
{
    const struct peer_hello *p = &c->hs->peer;
    if (!list_has(p->versions, TLS_VERSION_1_3))
        return conn_refuse(c, TT_ALERT_PROTOCOL_VERSION, "the client does not offer TLS 1.3");
    /* "A server which receives a legacy_version value not equal to 0x0303 MUST abort the handshake with a
     * "protocol_version" alert" */
    if (ch->legacy_version != TLS_VERSION_1_2)
        return conn_refuse(c, TT_ALERT_PROTOCOL_VERSION, "legacy_version of the ClientHello is 0x%04x",
                           ch->legacy_version);
    /* "If a TLS 1.3 ClientHello is received with any other value in this field, the server MUST abort the
     * handshake with an "illegal_parameter" alert." */
    if (ch->compression.len != 1 || ch->compression.data[0] != 0)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "the client offers compression");
    /* Section 9.2: "If not containing a "pre_shared_key" extension, it MUST contain both a
     * "signature_algorithms" extension and a "supported_groups" extension. If containing a "supported_groups"
     * extension, it MUST also contain a "key_share" extension, and vice versa." */
    bool psk = ext_seen(c, EXT_PRE_SHARED_KEY), groups = ext_seen(c, EXT_SUPPORTED_GROUPS);
    if (!psk && (!ext_seen(c, EXT_SIGNATURE_ALGORITHMS) || !groups))
        return conn_refuse(c, TT_ALERT_MISSING_EXTENSION,
                           "the client sent no signature_algorithms, or no supported_groups");
    if (groups != ext_seen(c, EXT_KEY_SHARE))
        return conn_refuse(c, TT_ALERT_MISSING_EXTENSION,
                           "the client sent only one of supported_groups and key_share");
    /* "If clients offer "pre_shared_key" without a "psk_key_exchange_modes" extension, servers MUST abort"
     * (4.3.9) */
    if (psk && !ext_seen(c, EXT_PSK_KEY_EXCHANGE_MODES))
        return conn_refuse(c, TT_ALERT_MISSING_EXTENSION, "the client sent pre_shared_key without its modes");
    /* RFC 8773 section 4: "MUST be accompanied by the "key_share", "psk_key_exchange_modes", and
     * "pre_shared_key" extensions"; "If the client includes both ... and the "early_data" extension, then the
     * server MUST terminate the connection with an "illegal_parameter" alert." */
    if (ext_seen(c, EXT_CERT_WITH_EXTERN_PSK) && (!psk || !ext_seen(c, EXT_KEY_SHARE)))
        return conn_refuse(
            c, TT_ALERT_MISSING_EXTENSION,
            "the client sent tls_cert_with_extern_psk without pre_shared_key, or without key_share");
    if (ext_seen(c, EXT_CERT_WITH_EXTERN_PSK) && ext_seen(c, EXT_EARLY_DATA))
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "the client sent tls_cert_with_extern_psk with early_data");
    return TT_OK;
}

/* Section 4.2.4: what a second ClientHello must and must not change. */
static tt_rc client_hello_check_second(struct tt_conn *c, const struct client_hello *ch)
{
    struct hs *hs = c->hs;
    uint8_t fingerprint[sizeof hs->hello_fingerprint];
    TT_OWN(c, client_hello_fingerprint(c, ch, fingerprint));
    if (memcmp(fingerprint, hs->hello_fingerprint, sizeof fingerprint) != 0)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "the second ClientHello changed what it must not");
    if (ext_seen(c, EXT_EARLY_DATA))
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "early_data stands in the second ClientHello");
    /* "Updating the "pre_shared_key" extension if present by recomputing the "obfuscated_ticket_age" and
     * binder values and (optionally) removing any PSKs which are incompatible with the server's indicated
     * cipher suite": one that fits the suite stays. (A ticket may have run out in between.) */
    if (hs->psk_before_retry != PSK_OFFERED_NONE && !ext_seen(c, EXT_PRE_SHARED_KEY))
        return conn_refuse(c, TT_ALERT_MISSING_EXTENSION, "the second ClientHello has lost its PSK");
    if (hs->psk_before_retry == PSK_OFFERED_EXTERNAL && psk_offered(c) != PSK_OFFERED_EXTERNAL)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "the second ClientHello has another PSK");
    struct tt_bytes sent = buf_bytes(&hs->cookie);
    if (sent.len > 0 && !ext_seen(c, EXT_COOKIE))
        return conn_refuse(c, TT_ALERT_MISSING_EXTENSION, "the second ClientHello carries no cookie");
    if (hs->peer.cookie.len != sent.len || !mem_equal_ct(hs->peer.cookie.data, sent.data, sent.len))
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "the cookie is not the one that was sent");
    if (hs->retry_group == 0)
        return TT_OK;
    /* "replacing the list of shares with a list containing a single KeyShareEntry from the indicated group"
     */
    struct reader r = reader_of(hs->peer.shares);
    uint16_t group = rd_u16(&r);
    (void)rd_vec16(&r, 1);
    if (rd_done(&r) != TT_OK || group != hs->retry_group)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "the second ClientHello does not carry the share asked for");
    return TT_OK;
}

/* A client that puts ChaCha20 first has no AES in its hardware; it counts more than our default order. */
static bool wants_chacha20(const struct tt_conn *c, struct tt_bytes suites)
{
    struct reader r = reader_of(suites);
    uint16_t first = 0;
    while (first == 0 && rd_left(&r) > 0) {
        uint16_t suite = rd_u16(&r);
        first = u16_list_has(&c->cfg->suites, suite) ? suite : 0;
    }
    return !c->cfg->suites_are_chosen && first == TT_SUITE_CHACHA20_POLY1305_SHA256;
}

/* Our most wanted common suite; before that, one for which there is an external PSK. */
static tt_rc choose_suite(struct tt_conn *c, struct tt_bytes suites)
{
    for (size_t i = 0; c->cfg->psks_len > 0 && i < c->cfg->suites.n; i++) {
        const struct suite *s = suite_of(c->cfg->suites.items[i]);
        if (list_has(suites, s->id) && psk_external_offered(c, s->hash)) {
            c->suite = s;
            return TT_OK;
        }
    }
    if (wants_chacha20(c, suites)) {
        c->suite = suite_of(TT_SUITE_CHACHA20_POLY1305_SHA256);
        return TT_OK;
    }
    for (size_t i = 0; i < c->cfg->suites.n; i++)
        if (list_has(suites, c->cfg->suites.items[i])) {
            c->suite = suite_of(c->cfg->suites.items[i]);
            return TT_OK;
        }
    return conn_refuse(c, TT_ALERT_HANDSHAKE_FAILURE, "the client offers no cipher suite of ours");
}

/* What a client sends as 0-RTT data that we do not take is skipped, within reason (section 4.3.10). */
static void early_data_reject(struct tt_conn *c)
{
    c->early = TT_EARLY_REJECTED;
    size_t ours = (size_t)c->cfg->max_early_data + REC_MAX_PLAINTEXT, theirs = c->hs->ticket_early_data;
    c->skip_left = ours > theirs ? ours : theirs;
}

/* The client's share for a group, or empty. */
static struct tt_bytes share_for(struct tt_bytes shares, uint16_t group)
{
    struct reader r = reader_of(shares);
    while (rd_left(&r) > 0) {
        uint16_t g = rd_u16(&r);
        struct tt_bytes share = rd_vec16(&r, 1);
        if (rd_status(&r) == TT_OK && g == group)
            return share;
    }
    return (struct tt_bytes){NULL, 0};
}

/* "receiving implementations MUST permit reuse by the peer": nothing is remembered of shares. "Servers
 * MUST NOT send a KeyShareEntry for any group not indicated in the client's "supported_groups" extension"
 * (section 4.3.8).
 * Our most wanted common group for which a share is there; else our most wanted common one, by
 * HelloRetryRequest. */
static tt_rc choose_group(struct tt_conn *c, struct tt_bytes *ret_share)
{
    const struct peer_hello *p = &c->hs->peer;
    uint16_t common = 0;
    for (size_t i = 0; i < c->cfg->groups.n; i++) {
        uint16_t group = c->cfg->groups.items[i];
        if (!list_has(p->groups, group))
            continue;
        *ret_share = share_for(p->shares, group);
        if (ret_share->len > 0) {
            c->group = group;
            return TT_OK;
        }
        common = common == 0 ? group : common;
    }
    if (common == 0)
        return conn_refuse(c, TT_ALERT_HANDSHAKE_FAILURE, "the client offers no key exchange group of ours");
    c->group = common;
    return TT_OK;
}

static tt_rc choose_identity(struct tt_conn *c)
{
    if (c->hs->peer.schemes.len == 0)
        return conn_refuse(c, TT_ALERT_MISSING_EXTENSION, "the client sent no signature_algorithms");
    if (!identity_type_possible(c))
        return conn_refuse(c, TT_ALERT_UNSUPPORTED_CERTIFICATE,
                           "the client takes no certificate of a type that we have");
    if (!identity_choose(c))
        return conn_refuse(c, TT_ALERT_HANDSHAKE_FAILURE,
                           "the client accepts no signature that our key can make");
    return TT_OK;
}

/* "implementations MUST use the value sent in the resumption ClientHello rather than the value sent in the
 * previous session" (section 4.7.1) */
static tt_rc keep_server_name(struct tt_conn *c)
{
    struct tt_bytes name = c->hs->peer.server_name;
    kept_drop(&c->kept, KEPT_SERVER_NAME);
    if (name.len > 0)
        TT_OWN(c, kept_add(&c->kept, KEPT_SERVER_NAME, name));
    return TT_OK;
}

static tt_rc client_hello_add(struct tt_conn *c, struct tt_bytes message)
{
    TT_OWN(c, transcript_choose(&c->hs->transcript, c->cfg->lib, c->suite->hash));
    TT_OWN(c, transcript_add(&c->hs->transcript, message));
    return TT_OK;
}

/* Ask for another ClientHello: when there is no share of a group of ours, or for the sake of a cookie. */
static tt_rc client_hello_retry(struct tt_conn *c, const struct client_hello *ch, struct tt_bytes message,
                                struct tt_bytes share)
{
    TT_OWN(c, client_hello_fingerprint(c, ch, c->hs->hello_fingerprint));
    c->hs->retry_group = share.len == 0 ? c->group : 0;
    c->hs->psk_before_retry = psk_offered(c);
    TT_TRY(client_hello_add(c, message));
    if (ext_seen(c, EXT_EARLY_DATA))
        early_data_reject(c);
    return server_retry(c);
}

/* Answer with ServerHello. */
static tt_rc client_hello_answer(struct tt_conn *c, struct tt_bytes message, struct tt_bytes share)
{
    struct hs *hs = c->hs;
    if (share.len == 0)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "the second ClientHello has no share of a group of ours");
    hs->hello_share = share;
    TT_TRY(psk_accept(c, message));
    return hs->pull.open ? hs_set_state(c, SERVER_WAIT_PSK_BINDER) : client_hello_accepted(c, message);
}

/* "In the absence of some other specification to the contrary, implementations MUST NOT combine external
 * PSKs with certificate-based authentication" (appendix F.1).
 * RFC 8773: both, where the client offers it and we can; and what the configuration demands. */
static tt_rc choose_psk_mode(struct tt_conn *c)
{
    c->certificate_with_psk =
        c->external_psk != NULL && ext_seen(c, EXT_CERT_WITH_EXTERN_PSK) && c->cfg->identities_len > 0;
    c->resumed = c->resumed && !c->certificate_with_psk;
    if (c->cfg->psk_policy == TT_PSK_WITH_CERTIFICATE && !c->certificate_with_psk)
        return conn_refuse(c, TT_ALERT_HANDSHAKE_FAILURE,
                           "the client does not want to use both a certificate and a PSK of ours");
    /* unknown_psk_identity: "Sent by servers when PSK key establishment is desired but no acceptable PSK
     * identity is provided by the client." */
    bool psk_only = c->cfg->psk_policy == TT_PSK_REQUIRE || c->cfg->identities_len == 0;
    if (c->hs->psk.len == 0 && psk_only)
        return conn_refuse(
            c, ext_seen(c, EXT_PRE_SHARED_KEY) ? TT_ALERT_UNKNOWN_PSK_IDENTITY : TT_ALERT_HANDSHAKE_FAILURE,
            "the client offers no PSK that is known here");
    return TT_OK;
}

tt_rc client_hello_accepted(struct tt_conn *c, struct tt_bytes message)
{
    struct hs *hs = c->hs;
    struct tt_bytes share = hs->hello_share;
    TT_TRY(choose_psk_mode(c));
    if (hs->psk.len == 0 || c->certificate_with_psk)
        TT_TRY(choose_identity(c));
    hs->own_type_settled = hs->identity != NULL || identity_choose_type(c);
    TT_TRY(certificate_types_choose(c));
    TT_TRY(client_hello_add(c, message));
    if (ext_seen(c, EXT_EARLY_DATA) && !hs->accept_early)
        early_data_reject(c);
    hs->response = mem_alloc(sizeof *hs->response);
    if (hs->response == NULL)
        return conn_broken(c, TT_ERR_MEMORY);
    tt_rc rc = kx_respond(hs->response, c->cfg->lib, c->group, c->cfg->random, share);
    if (rc == TT_ERR_PROTOCOL)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "the client's share for %s is not valid",
                           tt_group_name(c->group));
    TT_OWN(c, rc);
    return server_flight(c);
}

tt_rc client_hello_recv(struct tt_conn *c, struct tt_bytes message)
{
    TT_TRY(ech_server_recv(c, message));
    if (c->hs->ech != NULL && c->hs->ech->pull_open)
        return hs_set_state(c, SERVER_WAIT_ECH);
    return client_hello_process(c, c->ech == TT_ECH_ACCEPTED ? buf_bytes(&c->hs->hello) : message);
}

tt_rc client_hello_process(struct tt_conn *c, struct tt_bytes message)
{
    struct hs *hs = c->hs;
    struct client_hello ch;
    if (c->cfg->has_held_psk && c->ech != TT_ECH_ACCEPTED) { /* it has to outlive this call */
        buf_free(&hs->hello);
        TT_OWN(c, buf_append(&hs->hello, message.data, message.len));
        message = buf_bytes(&hs->hello);
    }
    if (client_hello_parse(&ch, message) != TT_OK)
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "the ClientHello is malformed");
    c->ccs_allowed = true;
    bool second = c->state == SERVER_WAIT_CH2;
    uint16_t suite_before = c->suite != NULL ? c->suite->id : 0;
    TT_TRY(ext_parse_block(c, IN_CH, ch.extensions));
    TT_TRY(client_hello_check(c, &ch));
    if (second)
        TT_TRY(client_hello_check_second(c, &ch));
    if (second) /* "The server then ignores early data by skipping": up to here (section 4.3.10) */
        c->skip_left = 0;
    /* "tickets that are not compatible with the advertised modes" SHOULD NOT be sent (section 4.3.9). A
     * client that advertises none may still say psk_dhe_ke once it has a ticket to offer: Erlang's does. */
    c->peer_takes_tickets = c->peer_can_resume || !ext_seen(c, EXT_PSK_KEY_EXCHANGE_MODES);
    TT_TRY(choose_suite(c, ch.suites));
    if (second && c->suite->id != suite_before)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "the second ClientHello changed the cipher suites");
    struct tt_bytes share = {NULL, 0};
    TT_TRY(choose_group(c, &share));
    TT_TRY(keep_server_name(c));
    memcpy(hs->client_random, ch.random.data, sizeof hs->client_random);
    if (ch.session_id.len > 0)
        memcpy(hs->session_id, ch.session_id.data, ch.session_id.len);
    hs->session_id_len = ch.session_id.len;
    if (!second && (share.len == 0 || c->cfg->force_retry))
        return client_hello_retry(c, &ch, message, share);
    return client_hello_answer(c, message, share);
}
