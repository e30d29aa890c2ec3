/* net/splice.c: see splice.h. Layer: net.
 *
 * A pipe each way. What the kernel cannot decide (alerts, tickets, KeyUpdates) stops a splice and is read by
 * ktls_receive for the engine; what the engine has to say goes out before more data. Keys are changed where
 * the engine changed them: right behind the KeyUpdate. */
#include "net/splice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/clock.h"
#include "net/ktls.h"

#define CHUNK        (256 * 1024)
#define TURNS        8    /* splices in a row, then others have their turn */
#define LINGER_MS    1000 /* time for our alert to arrive before the socket is closed */
#define FALSE_ALARMS 4    /* readable, and nothing there: a record without content, half a record */
#define CALM_MS      20
#define RECORD_SIZE  16384

struct pipe {
    int fd[2];
    size_t held; /* bytes in it */
};

struct splicer {
    struct splice_options opt;
    struct pipe out, in; /* to the peer; to the program */
    struct event *tls_readable, *tls_writable, *plain_readable, *plain_writable, *run, *timer;
    struct relay_counts counts;
    bool plain_ended, peer_ended, plain_shut, is_running, is_freed, is_lingering, data_came, is_plain_fault;
    unsigned false_alarms;
    uint64_t records; /* sent under the present key, at least */
    uint64_t record_limit;
    struct tt_error error;
};

/* ---- the end ---- */

static void fail(struct splicer *s, unsigned alert, tt_rc rc, const char *what, int why)
{
    if (s->error.rc != TT_OK)
        return;
    (void)error_set(&s->error, rc, "%s%s%s", what, why != 0 ? ": " : "", why != 0 ? strerror(why) : "");
    if (alert != 0)
        (void)!tt_conn_abort(s->opt.conn, alert, s->error.text);
}

static void fail_by_engine(struct splicer *s)
{
    if (s->error.rc == TT_OK)
        s->error = tt_conn_error(s->opt.conn)->error;
}

static void hang_up(struct splicer *s)
{
    if (s->opt.tls_fd < 0)
        return;
    (void)event_del(s->tls_readable);
    (void)event_del(s->tls_writable);
    (void)close(s->opt.tls_fd);
    s->opt.tls_fd = -1;
}

/* The alert is sent; the socket is closed when the peer has had time to read it, since a socket that is
 * closed with data unread is reset. */
static void linger(struct splicer *s)
{
    const struct timeval t = {.tv_sec = LINGER_MS / 1000};
    unsigned type;
    struct tt_bytes item;
    while (tt_conn_offload_output(s->opt.conn, &type, &item)) {
        (void)ktls_send(s->opt.tls_fd, type, item);
        tt_conn_offload_output_done(s->opt.conn);
    }
    s->is_lingering = true;
    (void)event_del(s->plain_readable);
    (void)event_del(s->plain_writable);
    (void)event_del(s->tls_writable);
    (void)shutdown(s->opt.tls_fd, SHUT_WR);
    (void)event_add(s->tls_readable, NULL);
    (void)event_add(s->timer, &t);
}

static void finish(struct splicer *s)
{
    hang_up(s);
    (void)event_del(s->timer);
    s->opt.closed(s->opt.arg, s->error.rc != TT_OK ? &s->error : NULL, s->is_plain_fault);
}

/* ---- what is no data ---- */

/* False: not now. */
static bool say(struct splicer *s)
{
    unsigned type;
    struct tt_bytes item;
    while (s->error.rc == TT_OK && tt_conn_offload_output(s->opt.conn, &type, &item)) {
        bool is_key_update = type == 22 && item.len > 0 && item.data[0] == TT_HS_KEY_UPDATE;
        int why = ktls_send(s->opt.tls_fd, type, item);
        if (why == EAGAIN || why == EWOULDBLOCK) {
            (void)event_add(s->tls_writable, NULL);
            return false;
        }
        if (why != 0) {
            fail(s, 0, TT_ERR_CLOSED, s->opt.peer, why);
            return false;
        }
        tt_conn_offload_output_done(s->opt.conn);
        struct tt_record_keys keys;
        if (is_key_update) {
            tt_rc rc = tt_conn_record_keys(s->opt.conn, true, &keys);
            if (rc == TT_OK)
                rc = ktls_rekey(s->opt.tls_fd, true, &keys, &s->error);
            mem_wipe(&keys, sizeof keys);
            s->records = 0;
            if (rc != TT_OK)
                fail(s, 0, rc, "the sending keys could not be changed", 0);
        }
    }
    return s->error.rc == TT_OK;
}

static void take_sessions(struct splicer *s)
{
    for (struct tt_session *x; (x = tt_conn_take_session(s->opt.conn)) != NULL;) {
        if (s->opt.session != NULL)
            s->opt.session(s->opt.arg, x);
        else
            tt_session_free(x);
    }
}

/* A record that is no data. False: nothing is there. */
static bool hear(struct splicer *s)
{
    uint8_t content[RECORD_SIZE];
    size_t len = 0;
    unsigned type = 0;
    struct tt_record_keys keys;
    int why = ktls_receive(s->opt.tls_fd, &type, content, sizeof content, &len);
    if (why == EAGAIN || why == EWOULDBLOCK)
        return false;
    if (why != 0) {
        fail(s, why == EBADMSG ? TT_ALERT_BAD_RECORD_MAC : TT_ALERT_INTERNAL_ERROR,
             why == ECONNRESET ? TT_ERR_CLOSED : TT_ERR_PROTOCOL,
             why == EBADMSG      ? "a record cannot be read: bad_record_mac"
             : why == ECONNRESET ? "the peer reset the connection"
                                 : "cannot receive",
             why == EBADMSG || why == ECONNRESET ? 0 : why);
        return false;
    }
    if (len == 0 && type == 23) {
        fail(s, 0, TT_ERR_CLOSED,
             "the connection ended without close_notify: what was received may be cut off", 0);
        return false;
    }
    if (type == 23) { /* it was data after all: not to be lost */
        ssize_t n = write(s->in.fd[1], content, len);
        if (n != (ssize_t)len)
            fail(s, TT_ALERT_INTERNAL_ERROR, TT_ERR_IO, "data between two records could not be passed on", 0);
        s->in.held += len;
        return true;
    }
    bool is_update = type == 22 && len > 0 && content[0] == TT_HS_KEY_UPDATE;
    tt_rc rc = tt_conn_offload_feed(s->opt.conn, type, (struct tt_bytes){content, len}, s->data_came);
    mem_wipe(content, len); /* a ticket's nonce and the like */
    s->data_came = false;
    if (rc == TT_OK && is_update) {
        rc = tt_conn_record_keys(s->opt.conn, false, &keys);
        if (rc == TT_OK)
            rc = ktls_rekey(s->opt.tls_fd, false, &keys, &s->error);
        mem_wipe(&keys, sizeof keys);
    }
    take_sessions(s);
    if (rc != TT_OK)
        fail_by_engine(s);
    if (tt_conn_received_close_notify(s->opt.conn) && !s->peer_ended) {
        s->peer_ended = true;
        s->opt.half_closed(s->opt.arg);
    }
    return s->error.rc == TT_OK;
}

/* ---- data ---- */

static ssize_t move(int from, int to, size_t n)
{
    ssize_t moved;
    do
        moved = splice(from, NULL, to, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (moved < 0 && errno == EINTR);
    return moved;
}

static bool is_later(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

static void fail_plain(struct splicer *s, const char *doing)
{
    int why = errno;
    char what[200];
    (void)snprintf(what, sizeof what, "cannot %s %s", doing, s->opt.plain_name);
    s->is_plain_fault = true;
    fail(s, TT_ALERT_INTERNAL_ERROR, TT_ERR_IO, what, why);
}

/* RFC 9846 section 5.5: long before the limit, since only a lower bound of the records is known. */
static void mind_the_limit(struct splicer *s, size_t sent)
{
    s->records += sent / RECORD_SIZE + 1;
    if (s->records >= s->record_limit / 4 && tt_conn_key_update(s->opt.conn, false) == TT_OK)
        s->records = 0;
}

/* True: there may be more to do at once. */
static bool pump_out(struct splicer *s)
{
    if (!say(s))
        return false;
    if (s->out.held == 0 && !s->plain_ended) {
        ssize_t n = move(s->opt.plain_fd, s->out.fd[1], CHUNK);
        if (n > 0)
            s->out.held = (size_t)n;
        else if (n == 0)
            s->plain_ended = true;
        else if (is_later())
            (void)event_add(s->plain_readable, NULL);
        else
            fail_plain(s, "read");
        if (n == 0) {
            (void)!tt_conn_close(s->opt.conn);
            s->opt.half_closed(s->opt.arg);
            return say(s);
        }
    }
    if (s->out.held == 0 || s->error.rc != TT_OK)
        return false;
    ssize_t n = move(s->out.fd[0], s->opt.tls_fd, s->out.held);
    if (n > 0) {
        s->out.held -= (size_t)n;
        s->counts.to_peer += (uint64_t)n;
        mind_the_limit(s, (size_t)n);
        return true;
    }
    if (n < 0 && is_later())
        (void)event_add(s->tls_writable, NULL);
    else
        fail(s, 0, TT_ERR_CLOSED, "cannot send", n < 0 ? errno : EPIPE);
    return false;
}

static bool deliver(struct splicer *s)
{
    while (s->in.held > 0) {
        ssize_t n = move(s->in.fd[0], s->opt.plain_fd, s->in.held);
        if (n > 0) {
            s->in.held -= (size_t)n;
            s->counts.from_peer += (uint64_t)n;
            continue;
        }
        if (n < 0 && is_later())
            (void)event_add(s->plain_writable, NULL);
        else
            fail_plain(s, "write");
        return false;
    }
    if (s->peer_ended && !s->plain_shut) {
        s->plain_shut = true;
        (void)shutdown(s->opt.plain_fd, SHUT_WR);
    }
    return true;
}

static void listen_again(struct splicer *s)
{
    const struct timeval calm = {.tv_usec = CALM_MS * 1000};
    if (s->false_alarms >= FALSE_ALARMS)
        (void)event_add(s->timer, &calm);
    else
        (void)event_add(s->tls_readable, NULL);
}

/* True: there may be more to do at once. */
static bool pump_in(struct splicer *s)
{
    if (!deliver(s) || s->peer_ended)
        return false;
    ssize_t n = move(s->opt.tls_fd, s->in.fd[1], CHUNK);
    if (n > 0) {
        s->in.held = (size_t)n;
        s->data_came = true;
        s->false_alarms = 0;
        return deliver(s);
    }
    if (n < 0 && is_later()) {
        listen_again(s);
        return false;
    }
    /* EINVAL: the next record is no data; 0, or another error: what is it? */
    if (hear(s)) {
        s->false_alarms = 0;
        return true;
    }
    if (s->error.rc == TT_OK)
        listen_again(s);
    return false;
}

/* ---- the run ---- */

static void pump(struct splicer *s)
{
    bool out = true, in = true;
    for (int i = 0; i < TURNS && (out || in) && s->error.rc == TT_OK && !s->is_freed; i++) {
        in = in && pump_in(s);
        out =
            s->error.rc == TT_OK && (out || in) && pump_out(s); /* the engine may have got something to say */
    }
    if ((out || in) && s->error.rc == TT_OK)
        event_active(s->run, EV_TIMEOUT, 0);
}

static void splicer_destroy(struct splicer *s)
{
    struct event *const events[] = {s->tls_readable,   s->tls_writable, s->plain_readable,
                                    s->plain_writable, s->run,          s->timer};
    struct pipe *const pipes[] = {&s->out, &s->in};
    if (s->tls_readable != NULL && s->tls_writable != NULL)
        hang_up(s);
    for (size_t i = 0; i < TT_COUNT(events); i++)
        if (events[i] != NULL)
            event_free(events[i]);
    for (size_t i = 0; i < TT_COUNT(pipes); i++)
        for (size_t j = 0; j < 2; j++)
            if (pipes[i]->fd[j] >= 0)
                (void)close(pipes[i]->fd[j]);
    tt_conn_free(s->opt.conn);
    mem_free(s);
}

static void run(struct splicer *s)
{
    s->is_running = true;
    pump(s);
    if (!s->is_freed && s->error.rc != TT_OK)
        linger(s);
    else if (!s->is_freed && s->plain_shut && s->plain_ended && s->out.held == 0 &&
             tt_conn_error(s->opt.conn)->alert_sent == TT_ALERT_CLOSE_NOTIFY && say(s))
        finish(s);
    s->is_running = false;
    if (s->is_freed)
        splicer_destroy(s);
}

static void on_run(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct splicer *s = arg;
    if (!s->is_lingering)
        run(s);
}

static void on_tls_readable(evutil_socket_t fd, short what, void *arg)
{
    struct splicer *s = arg;
    (void)what;
    if (!s->is_lingering) {
        s->false_alarms++;
        run(s);
        return;
    }
    uint8_t unread[RECORD_SIZE];
    unsigned type;
    size_t len = 0;
    if (ktls_receive(fd, &type, unread, sizeof unread, &len) == 0 && len > 0)
        (void)event_add(s->tls_readable, NULL);
    else
        finish(s);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct splicer *s = arg;
    if (s->is_lingering)
        finish(s);
    else
        run(s);
}

/* ---- life ---- */

static bool open_pipe(struct pipe *p)
{
    return pipe2(p->fd, O_NONBLOCK | O_CLOEXEC) == 0;
}

static tt_rc set_up(struct splicer *s, struct tt_error *err)
{
    struct event_base *base = s->opt.base;
    struct tt_record_keys keys;
    if (!open_pipe(&s->out) || !open_pipe(&s->in))
        return error_set(err, TT_ERR_IO, "no pipe to pass data through: %s", strerror(errno));
    (void)fcntl(s->out.fd[0], F_SETPIPE_SZ, CHUNK); /* else it holds 64 KiB */
    (void)fcntl(s->in.fd[0], F_SETPIPE_SZ, CHUNK);
    TT_TRY(tt_conn_record_keys(s->opt.conn, true, &keys));
    s->record_limit = keys.record_limit;
    mem_wipe(&keys, sizeof keys);
    s->tls_readable = event_new(base, s->opt.tls_fd, EV_READ, on_tls_readable, s);
    s->tls_writable = event_new(base, s->opt.tls_fd, EV_WRITE, on_run, s);
    s->plain_readable = event_new(base, s->opt.plain_fd, EV_READ, on_run, s);
    s->plain_writable = event_new(base, s->opt.plain_fd, EV_WRITE, on_run, s);
    s->run = event_new(base, -1, 0, on_run, s);
    s->timer = evtimer_new(base, on_timer, s);
    struct event *const events[] = {s->tls_readable,   s->tls_writable, s->plain_readable,
                                    s->plain_writable, s->run,          s->timer};
    for (size_t i = 0; i < TT_COUNT(events); i++)
        if (events[i] == NULL)
            return error_set(err, TT_ERR_MEMORY, "no memory to pass data on");
    return TT_OK;
}

tt_rc splicer_new(struct splicer **ret, const struct splice_options *opt, struct tt_error *err)
{
    struct splicer *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory to pass data on");
    s->opt = *opt;
    s->out.fd[0] = s->out.fd[1] = s->in.fd[0] = s->in.fd[1] = -1;
    tt_rc rc = set_up(s, err);
    if (rc != TT_OK) {
        s->opt.tls_fd = -1; /* still the caller's */
        s->opt.conn = NULL;
        splicer_destroy(s);
        return rc;
    }
    event_active(s->run, EV_TIMEOUT, 0);
    *ret = s;
    return TT_OK;
}

void splicer_abort(struct splicer *s, unsigned alert, const char *why)
{
    if (s->is_lingering || s->error.rc != TT_OK)
        return;
    (void)error_set(&s->error, TT_ERR_CLOSED, "%s", why);
    (void)!tt_conn_abort(s->opt.conn, alert, why);
    linger(s);
}

struct relay_counts splicer_counts(const struct splicer *s)
{
    return s->counts;
}

void splicer_free(struct splicer *s)
{
    if (s == NULL)
        return;
    s->is_freed = true;
    if (!s->is_running)
        splicer_destroy(s);
}
