/* tls/msg_new_session_ticket.c: NewSessionTicket, both sides. Layer: tls. RFC 9846 section 4.7.1. */
#include "tls/ext.h"
#include "tls/ticket.h"

#define MAX_AUTH_IN_TICKET 16384 /* a chain of ML-DSA-87 has half of that */

/* "The server MUST generate a fresh value for each ticket it sends." (section 4.7.1, ticket_age_add) */
static tt_rc ticket_state_now(struct tt_conn *c, struct ticket_state *ret, struct tt_bytes nonce)
{
    uint8_t age_add[4];
    if (!conn_random(c, age_add, sizeof age_add))
        return TT_ERR_INTERNAL;
    const struct auth auth = conn_auth(c);
    if (auth.chain.len + auth.ocsp.len > MAX_AUTH_IN_TICKET) /* it could not be judged again */
        return TT_ERR_NOT_FOUND;
    *ret = (struct ticket_state){.suite = c->suite->id,
                                 .lifetime = c->cfg->ticket_lifetime,
                                 .max_early_data = c->cfg->max_early_data,
                                 .issued_ms = c->now_ms,
                                 .issued_steady_ms = conn_steady_ms(c),
                                 .server_name = kept_get(&c->kept, KEPT_SERVER_NAME),
                                 .alpn = kept_get(&c->kept, KEPT_ALPN),
                                 .auth = auth};
    for (size_t i = 0; i < sizeof age_add; i++)
        ret->age_add = ret->age_add << 8 | age_add[i];
    return psk_of_ticket(&ret->psk, c->cfg->lib, c->suite->hash, &c->resumption_secret, nonce);
}

/* The body; the handshake's memory is gone, so it is built by hand into its own buf. */
static tt_rc ticket_message(struct tt_conn *c, struct buf *out)
{
    const struct tt_bytes nonce = {&c->tickets_sent, 1};
    struct ticket_state state;
    struct buf ticket = {0};
    TT_TRY(ticket_state_now(c, &state, nonce));
    tt_rc rc = ticket_seal(c->cfg->tickets, c->cfg->lib, c->cfg->random, &state, &ticket);
    struct writer w = writer_to(out);
    wr_u8(&w, TT_HS_NEW_SESSION_TICKET);
    struct wr_mark body = wr_open24(&w);
    wr_u32(&w, state.lifetime);
    wr_u32(&w, state.age_add);
    wr_vec8(&w, nonce);
    wr_vec16(&w, buf_bytes(&ticket));
    struct wr_mark extensions = wr_open16(&w);
    if (state.max_early_data > 0) {
        wr_u16(&w, EXT_EARLY_DATA);
        wr_u16(&w, 4);
        wr_u32(&w, state.max_early_data);
    }
    if (c->cfg->grease) { /* RFC 8701 section 4.1 */
        wr_u16(&w, grease_value((uint8_t)state.age_add));
        wr_u16(&w, 0);
    }
    wr_close(&w, extensions);
    wr_close(&w, body);
    buf_free(&ticket);
    mem_wipe(&state, sizeof state);
    return rc == TT_OK ? wr_status(&w) : rc;
}

tt_rc new_session_ticket_put(struct tt_conn *c)
{
    struct buf message = {0};
    tt_rc rc = ticket_message(c, &message);
    if (rc == TT_OK) {
        const struct tt_trace_event event = {
            .sent = true, .type = TT_HS_NEW_SESSION_TICKET, .size = buf_size(&message)};
        conn_trace(c, &event);
        rc = conn_send_handshake(c, buf_bytes(&message));
        c->tickets_sent++;
    }
    buf_free(&message);
    /* No keys, or a chain that fits into no ticket: not an error of the connection. */
    return rc == TT_ERR_NOT_FOUND ? TT_OK : rc;
}

tt_rc tt_conn_send_ticket(struct tt_conn *c)
{
    if (c->state != SERVER_CONNECTED || c->cfg->tickets == NULL || !tt_conn_can_write(c) ||
        c->tickets_sent == 255)
        return TT_ERR_USAGE;
    if (!c->peer_takes_tickets)
        return TT_ERR_UNSUPPORTED;
    TT_OWN(c, new_session_ticket_put(c));
    return TT_OK;
}

static tt_rc session_keep_field(struct buf *to, struct tt_bytes from)
{
    return from.len == 0 ? TT_OK : buf_append(to, from.data, from.len);
}

static tt_rc session_of(struct tt_conn *c, struct tt_bytes nonce, struct tt_bytes ticket,
                        struct tt_session **ret)
{
    struct tt_session *s = NULL;
    TT_TRY(session_alloc(&s));
    tt_rc rc = psk_of_ticket(&s->psk, c->cfg->lib, c->suite->hash, &c->resumption_secret, nonce);
    if (rc == TT_OK)
        rc = session_keep_field(&s->identity, ticket);
    if (rc == TT_OK)
        rc = session_keep_field(&s->alpn, kept_get(&c->kept, KEPT_ALPN));
    if (rc == TT_OK)
        rc = session_keep_field(&s->server_name, kept_get(&c->kept, KEPT_SERVER_NAME));
    const struct auth auth = conn_auth(c);
    struct writer w = writer_to(&s->auth);
    auth_put(&w, &auth);
    if (rc == TT_OK)
        rc = wr_status(&w);
    if (rc != TT_OK) {
        tt_session_free(s);
        return rc;
    }
    s->suite = c->suite->id;
    s->group = c->group;
    s->received_ms = c->now_ms;
    *ret = s;
    return TT_OK;
}

static void session_push(struct tt_conn *c, struct tt_session *s)
{
    if (c->sessions_len == CONN_MAX_SESSIONS)
        tt_session_free(tt_conn_take_session(c)); /* the newest win */
    c->sessions[c->sessions_len++] = s;
}

/* The extensions of a ticket; "Clients MUST ignore unrecognized extensions." */
static tt_rc ticket_extensions(struct tt_conn *c, struct tt_bytes block, uint32_t *ret_max_early_data)
{
    struct reader r = reader_of(block);
    bool seen = false;
    while (rd_left(&r) > 0) {
        uint16_t type = rd_u16(&r);
        struct reader data = reader_of(rd_vec16(&r, 0));
        if (type != EXT_EARLY_DATA)
            continue;
        if (seen)
            return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "NewSessionTicket has early_data twice");
        *ret_max_early_data = rd_u32(&data);
        if (rd_done(&data) != TT_OK)
            rd_fail(&r);
        seen = true;
    }
    if (rd_done(&r) != TT_OK)
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "an extension of NewSessionTicket is malformed");
    return TT_OK;
}

tt_rc new_session_ticket_recv(struct tt_conn *c, struct tt_bytes message)
{
    struct reader r = reader_of(message);
    (void)rd_bytes(&r, 4);
    uint32_t lifetime = rd_u32(&r), age_add = rd_u32(&r), max_early_data = 0;
    struct tt_bytes nonce = rd_vec8(&r, 0), ticket = rd_vec16(&r, 1), extensions = rd_vec16(&r, 0);
    if (rd_done(&r) != TT_OK)
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "NewSessionTicket is malformed");
    TT_TRY(ticket_extensions(c, extensions, &max_early_data));
    /* "The value of zero indicates that the ticket should be discarded immediately. Clients MUST NOT use
     * tickets for longer than 7 days" */
    if (lifetime == 0 || c->tickets_refused)
        return TT_OK;
    /* It ends with the first thing that the server's authentication rests on. */
    int64_t left = c->auth.until == INT64_MAX ? INT64_MAX : c->auth.until - c->now_ms / 1000;
    if (left <= 0)
        return TT_OK;
    struct tt_session *s = NULL;
    TT_OWN(c, session_of(c, nonce, ticket, &s));
    s->lifetime = lifetime < PSK_MAX_LIFETIME ? lifetime : PSK_MAX_LIFETIME;
    s->lifetime = left < s->lifetime ? (uint32_t)left : s->lifetime;
    s->age_add = age_add;
    s->max_early_data = max_early_data;
    session_push(c, s);
    return TT_OK;
}

tt_rc tt_conn_refuse_tickets(struct tt_conn *c)
{
    if (c->cfg->role != TT_CLIENT || conn_in_handshake(c))
        return TT_ERR_USAGE;
    c->tickets_refused = true;
    mem_wipe(&c->resumption_secret, sizeof c->resumption_secret);
    return TT_OK;
}

struct tt_session *tt_conn_take_session(struct tt_conn *c)
{
    if (c->sessions_len == 0)
        return NULL;
    struct tt_session *s = c->sessions[0];
    c->sessions_len--;
    for (size_t i = 0; i < c->sessions_len; i++)
        c->sessions[i] = c->sessions[i + 1];
    return s;
}
