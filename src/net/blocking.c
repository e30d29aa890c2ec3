/* net/blocking.c: tt_stream: one connection over one socket, with calls that block. Layer: net. Knows the
 * engine's public face only. All waiting is in wait_for, all moving of bytes in turn. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/rc.h"
#include "net/blocking.h"
#include "net/clock.h"
#include "net/diagnose.h"
#include "net/sessions.h"

#define HANDSHAKE_TIMEOUT_MS 30000
#define TICKETS_MS           500                 /* how long one that others wait for waits for its tickets */
#define RECEIVE_SIZE         ((size_t)17 * 1024) /* a record, and what stands beside it */

struct tt_stream {
    struct tt_conn *conn;
    struct tt_config *config;
    struct stream_owned owned;
    int fd;
    unsigned handshake_timeout_ms, timeout_ms;
    bool is_connected, is_ended; /* ended: the transport will bring nothing more */
    struct tt_error error;       /* the first one */
    char peer[280], server_name[256];
    uint8_t first[DIAGNOSE_FIRST_BYTES];
    size_t first_len;
    struct session_key key;          /* of shared sessions */
    struct sessions_entry *sessions; /* where tickets go; NULL once they are expected no more */
    struct session_taken taken;
    struct burst_outcome outcome;
    bool is_gone;         /* others do not wait for its tickets any more */
    size_t in_at, in_len; /* of `in`: what the engine has not taken yet */
    uint8_t in[RECEIVE_SIZE];
};

/* ---- errors ---- */

static tt_rc fail(struct tt_stream *s, tt_rc rc, const char *what, const char *why)
{
    return error_set(&s->error, rc, "cannot %s %s: %s", what, s->peer, why);
}

/* The engine's error, if it has one, as a sentence for the user. */
static tt_rc engine_error(struct tt_stream *s)
{
    const struct tt_conn_status *status = tt_conn_error(s->conn);
    if (status->error.rc == TT_OK || s->error.rc != TT_OK)
        return s->error.rc;
    struct tt_conn_info info;
    tt_conn_info(s->conn, &info);
    const struct diagnose_facts facts = {
        .peer = s->peer,
        .role = info.role,
        .connected = s->is_connected || tt_conn_error(s->conn)->handshake_complete,
        .alert_sent = status->alert_sent,
        .alert_received = status->alert_received,
        .first = {s->first, s->first_len},
    };
    s->error = status->error;
    diagnose(&s->error, &facts);
    return s->error.rc;
}

static tt_rc result(const struct tt_stream *s, tt_rc rc, struct tt_error *err)
{
    if (rc != TT_OK && err != NULL)
        *err = s->error;
    return rc;
}

/* ---- the socket ---- */

static uint64_t deadline_after(unsigned ms)
{
    return ms == 0 ? UINT64_MAX : clock_monotonic_ns() + (uint64_t)ms * 1000000u;
}

/* TT_ERR_DEADLINE is not kept: only the caller knows whether it is the end. */
static tt_rc wait_for(struct tt_stream *s, short events, uint64_t deadline)
{
    struct pollfd p = {.fd = s->fd, .events = events};
    for (;;) {
        uint64_t now = clock_monotonic_ns();
        if (now >= deadline)
            return TT_ERR_DEADLINE;
        uint64_t left_ms = deadline == UINT64_MAX ? INT_MAX : (deadline - now) / 1000000u + 1;
        int n = poll(&p, 1, left_ms < INT_MAX ? (int)left_ms : INT_MAX);
        if (n > 0)
            return TT_OK;
        if (n < 0 && errno != EINTR)
            return fail(s, TT_ERR_IO, "wait for", strerror(errno));
    }
}

/* *ret_wait gets POLLOUT when the socket takes no more. */
static tt_rc send_output(struct tt_stream *s, short *ret_wait)
{
    for (struct tt_bytes out; (out = tt_conn_output(s->conn)).len > 0;) {
        ssize_t n = send(s->fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            tt_conn_output_done(s->conn, (size_t)n);
        else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return *ret_wait |= POLLOUT, TT_OK;
        else if (n == 0 || errno != EINTR)
            return fail(s, TT_ERR_IO, "send to", strerror(errno));
    }
    return TT_OK;
}

static void remember_first(struct tt_stream *s)
{
    size_t n = sizeof s->first - s->first_len;
    n = s->in_len < n ? s->in_len : n;
    memcpy(s->first + s->first_len, s->in, n);
    s->first_len += n;
}

/* *ret_wait gets POLLIN when nothing is there yet. */
static tt_rc receive(struct tt_stream *s, short *ret_wait)
{
    ssize_t n;
    do
        n = recv(s->fd, s->in, sizeof s->in, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return *ret_wait |= POLLIN, TT_OK;
    if (n < 0 && errno != ECONNRESET)
        return fail(s, TT_ERR_IO, "receive from", strerror(errno));
    if (n <= 0) {
        s->is_ended = true;
        return tt_conn_feed_eof(s->conn);
    }
    /* A peer that waited for another's tickets says hello long after it connected, and with a ticket that is
     * younger than this stream. */
    tt_conn_set_now(s->conn, clock_wall_ms());
    tt_conn_set_monotonic(s->conn, clock_boot_ms());
    s->in_at = 0;
    s->in_len = (size_t)n;
    remember_first(s);
    return TT_OK;
}

/* ---- the engine ---- */

static tt_rc sign(struct tt_stream *s)
{
    struct tt_sign_request request;
    TT_TRY(tt_conn_sign_request(s->conn, &request));
    uint8_t signature[1024];
    size_t n = 0;
    struct tt_error why = {0};
    if (tt_key_sign(request.key, request.scheme, request.to_sign, signature, sizeof signature, &n, &why) !=
        TT_OK)
        return tt_conn_sign_fail(s->conn, request.id, &why);
    return tt_conn_sign_complete(s->conn, request.id, (struct tt_bytes){signature, n});
}

/* A held PSK needs somebody who holds it; here is nobody. */
static tt_rc refuse_psk(struct tt_stream *s)
{
    struct tt_psk_request request;
    struct tt_error why = {0};
    TT_TRY(tt_conn_psk_request(s->conn, &request));
    (void)error_set(&why, TT_ERR_UNSUPPORTED, "a blocking stream cannot use a held PSK");
    return tt_conn_psk_fail(s->conn, request.id, &why);
}

/* Nobody else is there to ask the TPM. */
static tt_rc decrypt_hello(struct tt_stream *s)
{
    struct tt_ech_request request;
    struct tt_error why = {0};
    uint8_t secret[32];
    TT_TRY(tt_conn_ech_request(s->conn, &request));
    if (tt_ecdh_compute(request.key, secret, request.enc, &why) != TT_OK)
        return tt_conn_ech_fail(s->conn, request.id, &why);
    tt_rc rc = tt_conn_ech_complete(s->conn, request.id, (struct tt_bytes){secret, sizeof secret});
    mem_wipe(secret, sizeof secret);
    return rc;
}

static bool can_feed(const struct tt_stream *s)
{
    return (tt_conn_wants(s->conn) & (TT_WANT_INPUT | TT_WANT_PLAINTEXT | TT_WANT_CLOSED)) == TT_WANT_INPUT;
}

static void take_tickets(struct tt_stream *s)
{
    if (s->sessions == NULL)
        return;
    for (struct tt_session *x; (x = tt_conn_take_session(s->conn)) != NULL;) {
        s->outcome.tickets++;
        sessions_keep(s->sessions, &s->key, x);
        tt_session_free(x);
    }
}

static tt_rc feed(struct tt_stream *s)
{
    size_t n = 0;
    TT_TRY(tt_conn_feed(s->conn, s->in + s->in_at, s->in_len - s->in_at, &n));
    s->in_at += n;
    take_tickets(s);
    return TT_OK;
}

/* One turn: answer the engine, send, then take what is there. *ret_wait: what the socket has to allow for
 * another turn to be of use; 0: no need to wait. */
static tt_rc turn(struct tt_stream *s, short *ret_wait)
{
    *ret_wait = 0;
    unsigned wants = tt_conn_wants(s->conn);
    if ((wants & TT_WANT_SIGN) != 0)
        TT_TRY(sign(s));
    else if ((wants & TT_WANT_PSK) != 0)
        TT_TRY(refuse_psk(s));
    else if ((wants & TT_WANT_ECH) != 0)
        TT_TRY(decrypt_hello(s));
    TT_TRY(send_output(s, ret_wait));
    if (!can_feed(s))
        return TT_OK;
    if (s->in_at == s->in_len && !s->is_ended)
        TT_TRY(receive(s, ret_wait));
    return s->in_at < s->in_len ? feed(s) : TT_OK;
}

/* Turns until done(s). An alert that is still to be sent goes out, if the socket takes it at once. */
static tt_rc run_until(struct tt_stream *s, bool (*done)(const struct tt_stream *s), uint64_t deadline)
{
    while (s->error.rc == TT_OK && engine_error(s) == TT_OK && !done(s)) {
        short events = 0;
        tt_rc rc = turn(s, &events);
        if (rc == TT_OK && events != 0 && !done(s))
            rc = wait_for(s, events, deadline);
        if (rc == TT_ERR_DEADLINE && engine_error(s) == TT_OK)
            return rc;
        if (rc != TT_OK && engine_error(s) == TT_OK)
            (void)error_set(&s->error, rc, "%s: %s", s->peer, tt_rc_name(rc));
    }
    if (s->error.rc != TT_OK) {
        short unused = 0;
        (void)send_output(s, &unused);
    }
    return s->error.rc;
}

static tt_rc late(struct tt_stream *s, unsigned ms)
{
    return error_set(&s->error, TT_ERR_DEADLINE, "%s did not answer within %u ms", s->peer, ms);
}

/* ---- shared sessions ---- */

static const char *name_of(const struct tt_stream_options *opt)
{
    return opt->peer != NULL ? opt->peer : opt->server_name;
}

/* The texts of the key are those of the stream's peer and the options; what is kept copies them. */
static void seek_session(struct tt_stream *s, struct tt_config *cfg, const struct tt_stream_options *opt)
{
    const char *name = name_of(opt);
    if (name == NULL || tt_config_fingerprint(cfg, s->key.config) != TT_OK)
        return; /* an unfrozen one is refused next */
    (void)snprintf(s->server_name, sizeof s->server_name, "%s",
                   opt->server_name != NULL ? opt->server_name : "");
    (void)snprintf(s->peer, sizeof s->peer, "%s", name);
    s->key.peer = s->peer;
    s->key.server_name = s->server_name;
    sessions_seek(opt->shared_sessions, &s->key, deadline_after(s->handshake_timeout_ms), &s->taken,
                  &s->sessions);
    s->outcome.offered = s->taken.session != NULL;
}

static void brings_no_more(struct tt_stream *s)
{
    if (s->sessions != NULL && !s->is_gone)
        sessions_gone(s->sessions, &s->outcome);
    s->is_gone = true;
}

static void forget_sessions(struct tt_stream *s)
{
    brings_no_more(s);
    if (s->sessions != NULL)
        sessions_leave(s->sessions);
    s->sessions = NULL;
    session_taken_free(&s->taken);
    s->taken = (struct session_taken){0};
}

static bool has_tickets(const struct tt_stream *s)
{
    return s->outcome.tickets > 0 || (tt_conn_wants(s->conn) & (TT_WANT_PLAINTEXT | TT_WANT_CLOSED)) != 0;
}

/* Tickets come right behind a handshake. Nobody reads yet: while others wait for them, they are waited for
 * here. */
static void bring_tickets(struct tt_stream *s)
{
    struct tt_conn_info info;
    tt_conn_info(s->conn, &info);
    s->outcome.connected = true;
    s->outcome.resumed = info.resumed;
    if (s->outcome.tickets == 0 && sessions_are_awaited(s->sessions))
        s->outcome.waited = run_until(s, has_tickets, deadline_after(TICKETS_MS)) == TT_ERR_DEADLINE;
    brings_no_more(s); /* but what comes is still kept */
}

/* ---- the face ---- */

tt_rc tt_stream_new(struct tt_stream **ret, int fd, struct tt_config *cfg,
                    const struct tt_stream_options *opt, struct tt_error *err)
{
    const struct tt_stream_options none = {0};
    opt = opt != NULL ? opt : &none;
    struct tt_stream *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for a connection");
    s->handshake_timeout_ms =
        opt->handshake_timeout_ms != 0 ? opt->handshake_timeout_ms : HANDSHAKE_TIMEOUT_MS;
    if (opt->shared_sessions != NULL)
        seek_session(s, cfg, opt);
    const struct tt_conn_options conn = {
        .server_name = opt->server_name,
        .now_ms = clock_wall_ms(),
        .monotonic_ms = clock_boot_ms(),
        .sessions = s->taken.session != NULL ? &s->taken.session : opt->sessions,
        .sessions_len = s->taken.session != NULL ? 1 : opt->sessions_len,
        .ech_config_list = opt->ech_config_list,
        .ech_grease = opt->ech_grease,
    };
    tt_rc rc = tt_conn_new(&s->conn, cfg, &conn, err);
    if (rc != TT_OK) {
        forget_sessions(s);
        mem_free(s);
        return rc;
    }
    const char *peer = opt->peer != NULL ? opt->peer : opt->server_name;
    (void)snprintf(s->peer, sizeof s->peer, "%s", peer != NULL ? peer : "the peer");
    s->config = tt_config_ref(cfg);
    s->fd = fd;
    s->owned.fd = -1;
    s->timeout_ms = opt->timeout_ms;
    *ret = s;
    return TT_OK;
}

void tt_stream_free(struct tt_stream *s)
{
    if (s == NULL)
        return;
    forget_sessions(s);
    tt_conn_free(s->conn);
    tt_config_free(s->config);
    stream_owned_free(&s->owned);
    mem_free(s);
}

void blocking_own(struct tt_stream *s, const struct stream_owned *owned)
{
    s->owned = *owned;
}

struct tt_conn *tt_stream_conn(struct tt_stream *s)
{
    return s->conn;
}

/* Complete, and our last flight is on its way. */
static bool is_connected(const struct tt_stream *s)
{
    return tt_conn_is_connected(s->conn) && tt_conn_output(s->conn).len == 0;
}

static tt_rc handshake(struct tt_stream *s)
{
    if (s->is_connected || s->error.rc != TT_OK)
        return s->error.rc;
    tt_rc rc = run_until(s, is_connected, deadline_after(s->handshake_timeout_ms));
    s->is_connected = rc == TT_OK;
    if (s->sessions != NULL && rc == TT_OK)
        bring_tickets(s);
    else
        brings_no_more(s);
    return rc == TT_ERR_DEADLINE ? late(s, s->handshake_timeout_ms) : rc;
}

tt_rc tt_stream_handshake(struct tt_stream *s, struct tt_error *err)
{
    return result(s, handshake(s), err);
}

static bool has_plaintext_or_end(const struct tt_stream *s)
{
    return (tt_conn_wants(s->conn) & (TT_WANT_PLAINTEXT | TT_WANT_CLOSED)) != 0;
}

static tt_rc read_some(struct tt_stream *s, uint8_t *ret_buf, size_t cap, size_t *ret_n, struct tt_error *err)
{
    if (cap == 0)
        return error_set(&s->error, TT_ERR_USAGE, "tt_stream_read needs room for one byte");
    TT_TRY(handshake(s));
    if (tt_conn_plaintext(s->conn).len > 0) /* also when what came behind it was wrong */
        return tt_conn_read(s->conn, ret_buf, cap, ret_n);
    tt_conn_set_now(s->conn, clock_wall_ms());
    tt_conn_set_monotonic(s->conn, clock_boot_ms());
    tt_rc rc = run_until(s, has_plaintext_or_end, deadline_after(s->timeout_ms));
    if (rc == TT_ERR_DEADLINE)
        return error_set(err, rc, "%s sent nothing within %u ms", s->peer, s->timeout_ms);
    return rc == TT_OK ? tt_conn_read(s->conn, ret_buf, cap, ret_n) : rc;
}

tt_rc tt_stream_read(struct tt_stream *s, uint8_t *ret_buf, size_t cap, size_t *ret_n, struct tt_error *err)
{
    tt_rc rc = read_some(s, ret_buf, cap, ret_n, err);
    return s->error.rc != TT_OK ? result(s, rc, err) : rc;
}

static bool has_sent_all(const struct tt_stream *s)
{
    return tt_conn_output(s->conn).len == 0;
}

static tt_rc flush(struct tt_stream *s)
{
    tt_rc rc = run_until(s, has_sent_all, deadline_after(s->timeout_ms));
    return rc == TT_ERR_DEADLINE ? late(s, s->timeout_ms) : rc;
}

static tt_rc write_all(struct tt_stream *s, const uint8_t *data, size_t len)
{
    TT_TRY(handshake(s));
    for (size_t at = 0; at < len;) {
        size_t n = 0;
        tt_rc rc = tt_conn_write(s->conn, data + at, len - at, &n);
        if (rc != TT_OK && engine_error(s) == TT_OK)
            return error_set(&s->error, rc, "%s: our side was closed already", s->peer);
        at += n;
        TT_TRY(flush(s));
    }
    return TT_OK;
}

tt_rc tt_stream_write(struct tt_stream *s, const uint8_t *data, size_t len, struct tt_error *err)
{
    return result(s, write_all(s, data, len), err);
}

tt_rc tt_stream_close(struct tt_stream *s, struct tt_error *err)
{
    tt_rc rc = s->error.rc;
    if (rc == TT_OK && tt_conn_close(s->conn) != TT_OK)
        rc = error_set(&s->error, TT_ERR_MEMORY, "no memory for close_notify");
    return result(s, rc == TT_OK ? flush(s) : rc, err);
}
