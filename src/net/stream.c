/* net/stream.c: the stream's socket and life. Layer: net. Reads, writes, ends; what the bytes mean is the
 * engine's business (stream_tls.c).
 *
 * Everything happens in stream_run, called from the loop: feed, sign, flush, tell, until nothing moves; then
 * the socket's events are set to what is wanted. Calls from outside only schedule it, so nothing re-enters.
 */
#include "net/stream_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/clock.h"

#define READ_SIZE       (64 * 1024)
#define LINGER_FAILED_S 1 /* time for our alert to arrive before the socket is closed */
#define LINGER_FINISH_S 5
#define LINGER_MAX_S    300 /* however slowly it takes what is left */
#define IDLE_MS         250 /* a pause; what is only needed to go on is given back then: 4 KiB a connection */
#define UNSENT_MAX      (512 * 1024) /* while more is unsent nothing is read: answers cannot pile up */

void stream_schedule(struct stream *s)
{
    event_active(s->run, EV_TIMEOUT, 0);
}

static void timer_set(struct stream *s, uint64_t ms)
{
    const struct timeval t = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    (void)event_add(s->timer, &t);
    s->timer_is_long = ms > IDLE_MS;
}

void stream_fail(struct stream *s, tt_rc rc, const char *fmt, ...)
{
    char text[sizeof(((struct tt_error *)0)->text)];
    va_list args;
    if (s->failed != TT_OK)
        return;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    s->failed = rc;
    s->why = mem_strdup(text);
}

/* ---- ending ---- */

static void diagnose_end(struct stream *s, struct tt_error *err)
{
    const struct tt_conn_status *status = tt_conn_error(s->conn);
    *err = status->error;
    if (err->rc == TT_OK && s->failed != TT_OK)
        (void)error_set(err, s->failed, "%s", s->why != NULL ? s->why : "the connection failed");
    if (err->rc == TT_OK)
        return;
    const struct diagnose_facts facts = {
        .peer = s->peer,
        .role = s->opt.role,
        .connected = s->stats.connected || tt_conn_error(s->conn)->handshake_complete,
        .alert_sent = status->alert_sent,
        .alert_received = status->alert_received,
        .was_reset = s->loss == STREAM_RESET,
        .first = {s->first, s->first_len},
    };
    diagnose(err, &facts);
}

static void close_socket(struct stream *s)
{
    if (s->fd < 0)
        return;
    (void)event_del(s->readable);
    (void)event_del(s->writable);
    (void)close(s->fd);
    s->fd = -1;
    pcap_flow_end(&s->flow, PCAP_US);
}

static void finish_now(struct stream *s)
{
    if (s->phase == STREAM_DONE)
        return;
    s->phase = STREAM_DONE;
    (void)event_del(s->timer);
    stream_stop_asking(s);
    close_socket(s);
    struct tt_error err = {0};
    diagnose_end(s, &err);
    if (s->opt.handlers.closed != NULL)
        s->opt.handlers.closed(s->opt.arg, s, err.rc != TT_OK ? &err : NULL);
}

/* Closing a socket with unread input makes the kernel reset the connection, and the reset may overtake our
 * alert or close_notify. So: send, FIN, throw away what comes, for a bounded time. */
static void linger(struct stream *s, unsigned seconds)
{
    if (s->phase != STREAM_OPEN)
        return;
    s->phase = STREAM_LINGER;
    s->linger_s = seconds;
    s->linger_until = clock_monotonic_ns() + LINGER_MAX_S * UINT64_C(1000000000);
    stream_stop_asking(s);
    timer_set(s, seconds * UINT64_C(1000));
}

/* ---- the socket ---- */

static void fail_transport(struct stream *s, const char *doing, int why)
{
    if (why == ECONNRESET || why == EPIPE)
        stream_fail(s, TT_ERR_CLOSED, "%s reset the connection", s->peer);
    else
        stream_fail(s, TT_ERR_IO, "cannot %s %s: %s", doing, s->peer, strerror(why));
}

static void on_eof(struct stream *s)
{
    s->got_eof = true;
    pcap_flow_end(&s->flow, PCAP_PEER);
    if (s->phase != STREAM_OPEN || tt_conn_feed_eof(s->conn) == TT_OK)
        return;
    if (!stream_has_failed(s))
        stream_fail(s, TT_ERR_CLOSED, "%s hung up", s->peer);
    if (s->stats.connected)
        s->loss = s->is_reset ? STREAM_RESET : STREAM_CUT;
}

static void on_read_error(struct stream *s, int why)
{
    if (why == EAGAIN || why == EWOULDBLOCK || why == EINTR)
        return;
    s->got_eof = true;
    s->is_write_broken = true;
    if (why == ECONNRESET)
        pcap_flow_reset(&s->flow);
    if (s->phase != STREAM_OPEN)
        return;
    s->loss = STREAM_RESET;
    fail_transport(s, "receive from", why);
}

/* While nothing is read, because what came is not taken, only asking tells that the peer is gone. EPIPE: it
 * had ended before, in order as it may be, and all of that is here to be read. */
static void look_for_reset(struct stream *s)
{
    struct pollfd p = {.fd = s->fd};
    int why = 0;
    socklen_t len = sizeof why;
    if (s->is_write_broken || poll(&p, 1, 0) <= 0 || (p.revents & (POLLERR | POLLHUP)) == 0 ||
        getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &why, &len) != 0 || why == 0)
        return;
    if (why == EPIPE)
        s->is_write_broken = true;
    else
        on_read_error(s, why);
    stream_schedule(s);
}

static void receive(struct stream *s)
{
    uint8_t data[READ_SIZE];
    size_t room = s->is_aligning ? tt_conn_missing(s->conn) : sizeof data;
    ssize_t n = recv(s->fd, data, room < sizeof data ? room : sizeof data, MSG_DONTWAIT);
    if (n > 0)
        pcap_flow_data(&s->flow, PCAP_PEER, (struct tt_bytes){data, (size_t)n});
    if (n == 0)
        on_eof(s);
    else if (n < 0)
        on_read_error(s, errno);
    else if (s->phase == STREAM_OPEN)
        stream_feed(s, (struct tt_bytes){data, (size_t)n});
}

/* A broken pipe is not told at once: the alert that explains it may wait in the receive queue. */
static void flush(struct stream *s)
{
    while (!s->is_write_broken) {
        struct tt_bytes out = tt_conn_output(s->conn);
        if (out.len == 0)
            return;
        ssize_t n = send(s->fd, out.data, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n < 0) {
            s->is_write_broken = true;
            s->is_reset = errno != EPIPE; /* told once, here or to who reads */
            if (s->is_end_told && !s->is_closing)
                fail_transport(s, "send to", errno);
            return;
        }
        pcap_flow_data(&s->flow, PCAP_US, (struct tt_bytes){out.data, (size_t)n});
        tt_conn_output_done(s->conn, (size_t)n);
        s->is_active = true;
        if (s->phase == STREAM_LINGER && clock_monotonic_ns() < s->linger_until)
            timer_set(s, s->linger_s * UINT64_C(1000));
    }
}

static bool has_unsent(const struct stream *s)
{
    return !s->is_write_broken && tt_conn_output(s->conn).len > 0;
}

static void event_want(struct event *ev, bool wanted)
{
    bool pending = event_pending(ev, EV_READ | EV_WRITE, NULL) != 0;
    if (wanted && !pending)
        (void)event_add(ev, NULL);
    else if (!wanted && pending)
        (void)event_del(ev);
}

/* What came waits for us to read it. */
static bool has_unread(const struct stream *s)
{
    return buf_size(&s->in) > 0 ||
           (tt_conn_wants(s->conn) & (TT_WANT_PLAINTEXT | TT_WANT_EARLY_PLAINTEXT)) != 0;
}

static bool is_held_up(const struct stream *s)
{
    return s->phase == STREAM_OPEN && !s->got_eof &&
           (has_unread(s) || tt_conn_output(s->conn).len > UNSENT_MAX);
}

static bool is_aligned(const struct stream *s)
{
    return s->is_aligning && s->phase == STREAM_OPEN && s->stats.connected && !s->got_eof && !has_unread(s) &&
           tt_conn_is_between_records(s->conn);
}

static void watch_socket(struct stream *s)
{
    bool held_up = is_held_up(s);
    event_want(s->readable, !s->got_eof && !held_up && !is_aligned(s));
    event_want(s->writable, has_unsent(s));
    struct timeval unused;
    bool timed = s->phase == STREAM_LINGER || !s->stats.connected;
    bool waits = !s->timer_is_long && event_pending(s->timer, EV_TIMEOUT, &unused) != 0;
    if (!timed && !waits && (s->is_active || held_up))
        timer_set(s, IDLE_MS);
}

/* ---- the run ---- */

/* What follows from the engine's and the socket's state. */
static void settle(struct stream *s)
{
    bool both_ended = s->is_closing && s->is_end_told && !has_unsent(s);
    if (s->phase == STREAM_OPEN && both_ended && !stream_has_failed(s)) {
        finish_now(s);
        return;
    }
    if (s->is_write_broken && s->got_eof && !stream_has_failed(s))
        fail_transport(s, "send to", EPIPE);
    if (stream_has_failed(s))
        linger(s, LINGER_FAILED_S);
    if (s->phase != STREAM_LINGER || has_unsent(s))
        return;
    if (!s->is_shut_down)
        (void)shutdown(s->fd, SHUT_WR);
    s->is_shut_down = true;
    pcap_flow_end(&s->flow, PCAP_US);
    if (s->got_eof)
        finish_now(s);
}

static void stream_destroy(struct stream *s)
{
    close_socket(s);
    stream_stop_asking(s);
    struct event *const events[] = {s->readable, s->writable, s->run, s->timer};
    for (size_t i = 0; i < TT_COUNT(events); i++) {
        if (events[i] != NULL)
            event_free(events[i]);
    }
    tt_conn_free(s->conn);
    tt_config_free(s->opt.config);
    buf_free(&s->in);
    buf_free(&s->early);
    mem_free(s->peer);
    mem_free(s->why);
    mem_free(s);
}

static void step(struct stream *s)
{
    bool moved, was_read;
    do {
        moved = s->phase == STREAM_OPEN && stream_feed_kept(s);
        stream_ask_signer(s);
        stream_ask_holder(s);
        flush(s);
        bool unread = stream_plaintext(s).len > 0;
        if (!stream_tell(s))
            return;
        flush(s); /* what the callbacks wrote */
        was_read = unread && stream_plaintext(s).len == 0 && buf_size(&s->in) > 0;
    } while (moved || was_read);
    settle(s);
}

static void stream_run(struct stream *s)
{
    s->is_running = true;
    if (s->phase != STREAM_DONE)
        step(s);
    if (is_aligned(s) && !s->is_freed && s->opt.handlers.aligned != NULL)
        s->opt.handlers.aligned(s->opt.arg, s);
    s->is_running = false;
    if (s->is_freed)
        stream_destroy(s);
    else if (s->phase != STREAM_DONE)
        watch_socket(s);
}

static void on_run(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    stream_run(arg);
}

/* The loop's cached time changes from turn to turn (loop.c sees to its precision). Who is not let in is
 * readable in the next turn, too. */
static bool must_wait(const struct stream *s)
{
    struct stream_gate *gate = s->opt.gate;
    struct timeval turn;
    if (gate == NULL || s->stats.connected || s->phase != STREAM_OPEN ||
        event_base_gettimeofday_cached(s->opt.base, &turn) != 0)
        return false;
    bool taken = turn.tv_sec == gate->turn.tv_sec && turn.tv_usec == gate->turn.tv_usec;
    gate->turn = turn;
    return taken;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct stream *s = arg;
    if (must_wait(s))
        return;
    s->is_active = true;
    receive(s);
    stream_run(s);
}

/* ---- time ---- */

static void fail_silent(struct stream *s, const char *what, unsigned seconds)
{
    stream_fail(s, TT_ERR_DEADLINE, "%s %s %u second%s", s->peer, what, seconds, seconds == 1 ? "" : "s");
    s->loss = STREAM_SILENT;
}

/* A peer that has ended its side waits for us, and so does one whose data we have not read. */
static bool is_peers_turn(const struct stream *s)
{
    return has_unsent(s) || s->is_write_broken || (!has_unread(s) && !s->is_end_told);
}

/* Nanoseconds left to the peer; UINT64_MAX: as many as it likes. */
static uint64_t time_left(const struct stream *s, uint64_t now)
{
    uint64_t idle_ns = s->opt.idle_timeout_s * UINT64_C(1000000000);
    uint64_t until = s->request_until != 0 ? s->request_until
                     : idle_ns > 0         ? s->moved_at + idle_ns
                                           : UINT64_MAX;
    return until == UINT64_MAX ? until : until > now ? until - now : 0;
}

/* The peer is told that this is the end; whether it still listens or not, a second is enough. */
static void give_up(struct stream *s)
{
    stream_close(s);
    if (s->request_until != 0)
        fail_silent(s, "sent no request within", s->opt.request_timeout_s);
    else
        fail_silent(s, "was silent for", s->opt.idle_timeout_s);
}

static void trim(struct stream *s)
{
    tt_conn_trim(s->conn);
    if (buf_size(&s->in) == 0)
        buf_free(&s->in);
}

static void look_at_peer(struct stream *s)
{
    uint64_t now = clock_monotonic_ns();
    bool was_active = s->is_active, held_up = is_held_up(s);
    if (was_active || !is_peers_turn(s))
        s->moved_at = now;
    s->is_active = false;
    uint64_t left_ns = time_left(s, now),
             left_ms = left_ns == UINT64_MAX ? UINT64_MAX : left_ns / 1000000 + 1;
    if (left_ns == 0) {
        give_up(s);
        return;
    }
    if (held_up)
        look_for_reset(s);
    if (!was_active)
        trim(s);
    if ((was_active || held_up) && left_ms > IDLE_MS)
        timer_set(s, IDLE_MS);
    else if (left_ms != UINT64_MAX)
        timer_set(s, left_ms);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct stream *s = arg;
    if (s->phase == STREAM_LINGER) {
        finish_now(s);
    } else if (!s->stats.connected) {
        fail_silent(s, "did not complete the handshake within", s->opt.handshake_timeout_s);
        finish_now(s);
    } else {
        look_at_peer(s);
        stream_schedule(s);
    }
}

/* ---- the face ---- */

static tt_rc stream_set_up(struct stream *s, struct tt_error *err)
{
    const struct tt_conn_options conn = {
        .server_name = s->opt.server_name,
        .now_ms = s->opt.now != 0 ? s->opt.now * 1000 : clock_wall_ms(),
        .monotonic_ms = clock_boot_ms(),
        .sessions = s->opt.sessions,
        .sessions_len = s->opt.sessions_len,
        .early_data = s->opt.early_data.len > 0,
        .ech_config_list = s->opt.ech_config_list,
        .ech_grease = s->opt.ech_grease,
        .trace = stream_trace_message,
        .trace_arg = s,
        .insecure_keylog = s->opt.insecure_keylog,
        .keylog_arg = s->opt.keylog_arg,
    };
    if (s->opt.role == TT_CLIENT)
        s->began_at = clock_monotonic_ns();
    s->run = event_new(s->opt.base, -1, 0, on_run, s);
    s->timer = evtimer_new(s->opt.base, on_timer, s);
    s->readable = event_new(s->opt.base, s->fd, EV_READ | EV_PERSIST, on_readable, s);
    s->writable = event_new(s->opt.base, s->fd, EV_WRITE | EV_PERSIST, on_run, s);
    if (s->run == NULL || s->timer == NULL || s->readable == NULL || s->writable == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for a connection");
    TT_TRY(tt_conn_new(&s->conn, s->opt.config, &conn, err));
    if (tt_conn_early_status(s->conn) != TT_EARLY_OFFERED)
        return TT_OK;
    tt_rc rc =
        tt_conn_write_early(s->conn, s->opt.early_data.data, s->opt.early_data.len, &s->stats.early_sent);
    return rc == TT_OK ? TT_OK : error_set(err, rc, "no memory for the early data");
}

tt_rc stream_new(struct stream **ret, int fd, const struct stream_options *opt, struct tt_error *err)
{
    struct stream *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for a connection");
    s->peer = mem_strdup(opt->peer != NULL ? opt->peer : "the peer");
    if (s->peer == NULL) {
        mem_free(s);
        return error_set(err, TT_ERR_MEMORY, "no memory for a connection");
    }
    s->opt = *opt;
    s->opt.config = tt_config_ref(opt->config);
    s->opt.handshake_timeout_s =
        opt->handshake_timeout_s > 0 ? opt->handshake_timeout_s : STREAM_HANDSHAKE_TIMEOUT_S;
    s->opt.peer = s->peer;
    s->flow_hash = stream_flow(opt->flow_of != NULL ? opt->flow_of : opt->role == TT_SERVER ? s->peer : "");
    s->opt.flow_of = NULL;
    s->fd = fd;
    tt_rc rc = stream_set_up(s, err);
    if (rc != TT_OK) {
        s->fd = -1; /* still the caller's */
        stream_destroy(s);
        return rc;
    }
    pcap_flow_begin(&s->flow, s->opt.pcap, fd, s->opt.role);
    s->opt.server_name = NULL; /* was copied; the caller's text may go, and so may these: */
    s->opt.sessions = NULL;
    s->opt.early_data = s->opt.ech_config_list = (struct tt_bytes){NULL, 0};
    timer_set(s, s->opt.handshake_timeout_s * UINT64_C(1000));
    stream_schedule(s);
    *ret = s;
    return TT_OK;
}

void stream_free(struct stream *s)
{
    if (s == NULL)
        return;
    s->is_freed = true;
    if (!s->is_running)
        stream_destroy(s);
}

struct tt_bytes stream_plaintext(const struct stream *s)
{
    if (s->phase != STREAM_OPEN)
        return (struct tt_bytes){0};
    if (buf_size(&s->early) > 0)
        return buf_bytes(&s->early);
    struct tt_bytes early = tt_conn_early_plaintext(s->conn);
    return early.len > 0 ? early : tt_conn_plaintext(s->conn);
}

void stream_plaintext_done(struct stream *s, size_t n)
{
    if (n == 0 || s->phase != STREAM_OPEN)
        return;
    if (buf_size(&s->early) > 0) {
        buf_consume(&s->early, n);
    } else {
        bool is_early = tt_conn_early_plaintext(s->conn).len > 0;
        tt_rc rc = is_early ? tt_conn_early_plaintext_done(s->conn, n) : tt_conn_plaintext_done(s->conn, n);
        (void)rc; /* sticky in the engine */
    }
    s->is_plaintext_told = false;
    s->is_active = true;
    stream_schedule(s);
}

size_t stream_write(struct stream *s, const void *data, size_t len)
{
    size_t taken = 0;
    if (s->phase != STREAM_OPEN || s->is_closing || !tt_conn_can_write(s->conn))
        return 0;
    if (s->is_write_broken)
        return len; /* as into any dying connection; `closed` will tell */
    if (tt_conn_write(s->conn, data, len, &taken) != TT_OK)
        taken = 0;
    if (taken < len)
        s->wants_writable = true;
    if (taken > 0)
        stream_request_came(s);
    s->is_active = true;
    stream_schedule(s);
    return taken;
}

void stream_close(struct stream *s)
{
    if (s->phase != STREAM_OPEN || s->is_closing)
        return;
    s->is_closing = true;
    if (tt_conn_close(s->conn) == TT_OK && tt_conn_error(s->conn)->alert_sent != TT_ALERT_CLOSE_NOTIFY)
        stream_fail(s, TT_ERR_MEMORY, "no memory for close_notify"); /* the peer would wait for ever */
    stream_schedule(s);
}

void stream_finish(struct stream *s)
{
    stream_close(s);
    linger(s, LINGER_FINISH_S);
    stream_schedule(s);
}

void stream_abort(struct stream *s, unsigned alert, const char *why)
{
    if (s->phase != STREAM_OPEN)
        return;
    tt_rc rc = tt_conn_abort(s->conn, alert, why);
    (void)rc; /* the connection's error from now on */
    stream_schedule(s);
}

void stream_align(struct stream *s, bool on)
{
    s->is_aligning = on;
    stream_schedule(s);
}

int stream_socket(const struct stream *s)
{
    return s->fd;
}

void stream_hand_over(struct stream *s, int *ret_fd, struct tt_conn **ret)
{
    (void)event_del(s->readable);
    (void)event_del(s->writable);
    (void)event_del(s->timer);
    stream_stop_asking(s);
    *ret_fd = s->fd;
    *ret = TT_TAKE(s->conn);
    s->fd = -1;
    s->phase = STREAM_DONE;
}

bool stream_addresses(const struct stream *s, struct sockaddr_storage *ret_peer,
                      struct sockaddr_storage *ret_own)
{
    socklen_t peer = sizeof *ret_peer, own = sizeof *ret_own;
    return getpeername(s->fd, (struct sockaddr *)ret_peer, &peer) == 0 &&
           getsockname(s->fd, (struct sockaddr *)ret_own, &own) == 0;
}

void stream_refuse_tickets(struct stream *s)
{
    tt_rc rc = tt_conn_refuse_tickets(s->conn);
    (void)rc; /* before it is connected there are none */
}

const struct tt_conn *stream_conn(const struct stream *s)
{
    return s->conn;
}

enum stream_loss stream_loss(const struct stream *s)
{
    return s->loss;
}

struct stream_stats stream_stats(const struct stream *s)
{
    return s->stats;
}
