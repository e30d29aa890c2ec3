/* tests/interop/tt_peer_talk.c: one connection of the interop peer: the engine's wants against a socket and
 * poll, and what is said on it (echo, HTTP, or a file that must come back). See tt_peer.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tt_peer.h"

/* struct talk: one connection. `got` is all that came; `sent` counts of what is to be sent. */
struct talk {
    struct peer *p;
    struct tt_conn *c;
    int fd;
    unsigned number;
    uint8_t in[20000];
    size_t in_len;
    uint8_t *got;
    size_t got_len, got_cap, got_early, sent, answered;
    unsigned key_updates, tickets;
    struct tt_conn_info info; /* while all was well: a failed connection says nothing of its peer */
    bool updated, early_sent, closing, eof, held; /* held: the engine took less than there was */
};

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void on_trace(void *arg, const struct tt_trace_event *event)
{
    struct talk *t = arg;
    if (event->is_alert || event->sent)
        return;
    t->key_updates += event->type == TT_HS_KEY_UPDATE;
    t->tickets += event->type == TT_HS_NEW_SESSION_TICKET;
}

static void keep(struct talk *t, struct tt_bytes b)
{
    if (t->got_len + b.len > t->got_cap) {
        t->got_cap = 2 * (t->got_len + b.len);
        t->got = realloc(t->got, t->got_cap);
        if (t->got == NULL)
            peer_die("no memory", NULL);
    }
    memcpy(t->got + t->got_len, b.data, b.len);
    t->got_len += b.len;
}

static void take_plaintext(struct talk *t)
{
    struct tt_bytes b;
    while ((b = tt_conn_early_plaintext(t->c)).len > 0) {
        keep(t, b);
        t->got_early += b.len;
        if (tt_conn_early_plaintext_done(t->c, b.len) != TT_OK)
            return;
    }
    while ((b = tt_conn_plaintext(t->c)).len > 0) {
        keep(t, b);
        if (tt_conn_plaintext_done(t->c, b.len) != TT_OK)
            return;
    }
}

/* Write what is left of a text after `*at`. */
static void write_rest(struct talk *t, struct tt_bytes text, size_t *at)
{
    size_t n = 1;
    t->held = false;
    while (*at < text.len && n > 0 && tt_conn_can_write(t->c) && !t->closing) {
        if (tt_conn_write(t->c, text.data + *at, text.len - *at, &n) != TT_OK)
            return;
        *at += n;
        t->held = *at < text.len;
    }
}

static void end(struct talk *t)
{
    if (!t->closing && tt_conn_error(t->c)->error.rc == TT_OK && tt_conn_close(t->c) != TT_OK)
        t->eof = true;
    t->closing = true;
}

/* ---- what the client says ---- */

static bool came_back(const struct talk *t)
{
    const struct peer_text *data = &t->p->data;
    if (data->len == 0)
        return true;
    return t->sent == data->len && t->got_len >= data->len &&
           memcmp(t->got + t->got_len - data->len, data->data, data->len) == 0;
}

static void client_step(struct talk *t)
{
    struct peer *p = t->p;
    const struct tt_bytes data = {p->data.data, p->data.len}, half = {data.data, data.len / 2};
    if (p->early.len > 0 && !t->early_sent && tt_conn_early_status(t->c) == TT_EARLY_OFFERED) {
        size_t n = 0;
        t->early_sent =
            tt_conn_write_early(t->c, p->early.data, p->early.len, &n) == TT_OK && n == p->early.len;
    }
    if (!tt_conn_is_connected(t->c))
        return;
    if (p->o->key_update && !t->updated) {
        write_rest(t, half, &t->sent);
        if (t->sent == half.len)
            t->updated = tt_conn_key_update(t->c, true) == TT_OK;
    } else {
        write_rest(t, data, &t->sent);
    }
    bool has_ticket = !p->o->resume || t->number > 1 || t->tickets > 0;
    if (!p->o->until_close && came_back(t) && has_ticket)
        end(t);
}

/* ---- what the server says ---- */

static size_t content_length(const char *head, size_t len)
{
    for (size_t i = 0; i + 16 < len; i++) {
        if (strncasecmp(head + i, "\ncontent-length:", 16) == 0)
            return (size_t)strtoul(head + i + 16, NULL, 10);
    }
    return 0;
}

/* Each request gets its body back, or a greeting when it has none. */
static void http_step(struct talk *t)
{
    const uint8_t *at = t->got + t->answered;
    size_t len = t->got_len - t->answered;
    const uint8_t *blank = len > 0 ? memmem(at, len, "\r\n\r\n", 4) : NULL;
    if (blank == NULL || t->closing)
        return;
    size_t head = (size_t)(blank - at) + 4, body = content_length((const char *)at, head);
    if (len - head < body || !tt_conn_is_connected(t->c))
        return;
    static const char hello[] = "hello from tt_peer\n";
    const struct tt_bytes answer = body > 0 ? (struct tt_bytes){at + head, body}
                                            : (struct tt_bytes){(const uint8_t *)hello, sizeof hello - 1};
    char text[256];
    if (t->sent == 0) {
        size_t n = 0;
        int made = snprintf(text, sizeof text,
                            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%s\r\n",
                            answer.len, t->p->o->key_update ? "" : "Connection: close\r\n");
        if (made < 0 || tt_conn_write(t->c, (const uint8_t *)text, (size_t)made, &n) != TT_OK)
            return;
    }
    write_rest(t, answer, &t->sent);
    if (t->sent < answer.len)
        return;
    t->answered += head + body;
    t->sent = 0;
    if (t->p->o->key_update && !t->updated)
        t->updated = tt_conn_key_update(t->c, true) == TT_OK;
    else if (!t->p->o->key_update)
        end(t);
}

static void server_step(struct talk *t)
{
    if (t->p->o->http) {
        http_step(t);
        return;
    }
    if (!tt_conn_is_connected(t->c))
        return;
    write_rest(t, (struct tt_bytes){t->got, t->got_len}, &t->sent);
    if (t->p->o->key_update && !t->updated && t->got_len > 0 && t->sent == t->got_len)
        t->updated = tt_conn_key_update(t->c, true) == TT_OK;
    if (tt_conn_received_close_notify(t->c) && t->sent == t->got_len)
        end(t);
}

/* ---- the engine and the socket ---- */

static void answer_sign(struct talk *t)
{
    struct tt_sign_request req;
    struct tt_error err = {0};
    uint8_t signature[8192];
    size_t n = 0;
    if (tt_conn_sign_request(t->c, &req) != TT_OK)
        return;
    tt_rc rc = tt_key_sign(req.key, req.scheme, req.to_sign, signature, sizeof signature, &n, &err);
    rc = rc == TT_OK ? tt_conn_sign_complete(t->c, req.id, (struct tt_bytes){signature, n})
                     : tt_conn_sign_fail(t->c, req.id, &err);
    if (rc != TT_OK)
        t->eof = true;
}

static void flush(struct talk *t)
{
    struct tt_bytes out;
    while ((out = tt_conn_output(t->c)).len > 0) {
        ssize_t n = send(t->fd, out.data, out.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) /* the peer is gone: what it sent before may still be read */
            n = (ssize_t)out.len;
        tt_conn_output_done(t->c, (size_t)n);
    }
}

/* True when bytes were taken. */
static bool feed(struct talk *t)
{
    size_t n = 0;
    if (t->in_len == 0 || tt_conn_feed(t->c, t->in, t->in_len, &n) != TT_OK)
        return false;
    memmove(t->in, t->in + n, t->in_len - n);
    t->in_len -= n;
    return n > 0;
}

static bool wait_and_receive(struct talk *t)
{
    bool is_full = t->in_len == sizeof t->in;
    struct pollfd p = {.fd = t->fd,
                       .events =
                           (short)((is_full ? 0 : POLLIN) | (tt_conn_output(t->c).len > 0 ? POLLOUT : 0))};
    if (poll(&p, 1, t->closing ? 1000 : PEER_WAIT_MS) <= 0)
        return false;
    if ((p.revents & (POLLIN | POLLHUP | POLLERR)) == 0 || is_full)
        return true;
    ssize_t n = recv(t->fd, t->in + t->in_len, sizeof t->in - t->in_len, 0);
    if (n < 0 && errno == EAGAIN)
        return true;
    if (n <= 0) {
        t->eof = true;
        return tt_conn_feed_eof(t->c) == TT_OK;
    }
    t->in_len += (size_t)n;
    return true;
}

static void run(struct talk *t)
{
    bool going = true;
    while (going && !t->eof) {
        tt_conn_set_now(t->c, now_ms());
        if ((tt_conn_wants(t->c) & TT_WANT_SIGN) != 0)
            answer_sign(t);
        if (tt_conn_is_connected(t->c))
            tt_conn_info(t->c, &t->info);
        take_plaintext(t);
        if (t->p->o->server)
            server_step(t);
        else
            client_step(t);
        flush(t);
        if (feed(t) || (t->held && tt_conn_output(t->c).len == 0 && tt_conn_error(t->c)->error.rc == TT_OK))
            continue;
        bool is_over = (tt_conn_wants(t->c) & TT_WANT_CLOSED) != 0 && tt_conn_plaintext(t->c).len == 0;
        if (tt_conn_error(t->c)->error.rc != TT_OK || (is_over && (t->closing || !t->p->o->server)))
            break;
        going = wait_and_receive(t);
    }
    take_plaintext(t);
    flush(t);
}

/* ---- the report ---- */

static const char *early_name(enum tt_early early)
{
    static const char *const names[] = {"none", "offered", "accepted", "rejected"};
    return names[early];
}

/* The text of an error as it may stand in JSON. */
static const char *quoted(char ret[512], const char *text)
{
    size_t n = 0;
    for (; n < 511 && text[n] != '\0'; n++)
        ret[n] = text[n] == '"' || text[n] == '\\' || (unsigned char)text[n] < 0x20 ? '\'' : text[n];
    ret[n] = '\0';
    return ret;
}

static bool report(struct talk *t)
{
    char why[512];
    const struct tt_conn_status *status = tt_conn_error(t->c);
    const struct peer *p = t->p;
    struct tt_conn_info info = t->info;
    if (tt_conn_error(t->c)->error.rc == TT_OK || !status->handshake_complete)
        tt_conn_info(t->c, &info);
    bool is_exact = t->got_len == p->data.len && came_back(t);
    bool said = p->o->server || p->o->until_close || came_back(t);
    /* A peer that hangs up without close_notify spoils no exchange that was whole before. */
    bool connected = tt_conn_is_connected(t->c) || status->handshake_complete;
    bool is_fine =
        connected && said && (t->closing || status->error.rc == TT_OK || status->error.rc == TT_ERR_CLOSED);
    if (p->o->until_close)
        (void)!write(STDERR_FILENO, t->got, t->got_len);
    printf(
        "{\"connection\":%u,\"ok\":%s,\"connected\":%s,\"suite\":\"%s\",\"group\":\"%s\",\"scheme\":\"%s\","
        "\"local_scheme\":\"%s\",\"resumed\":%s,\"hello_retry_request\":%s,\"early\":\"%s\",\"early_bytes\":%"
        "zu,"
        "\"tickets\":%u,\"key_updates\":%u,\"peer_chain\":%zu,\"received\":%zu,\"exact\":%s,\"error\":\"%s\"}"
        "\n",
        t->number, is_fine ? "true" : "false", connected ? "true" : "false", tt_suite_name(info.suite),
        tt_group_name(info.group), info.peer_scheme != 0 ? tt_scheme_name(info.peer_scheme) : "",
        info.local_scheme != 0 ? tt_scheme_name(info.local_scheme) : "", info.resumed ? "true" : "false",
        info.hello_retry_request ? "true" : "false", early_name(tt_conn_early_status(t->c)), t->got_early,
        t->tickets, t->key_updates, info.peer_chain_len, t->got_len, is_exact ? "true" : "false",
        is_fine ? "" : quoted(why, status->error.text[0] != '\0' ? status->error.text : "no answer in time"));
    (void)fflush(stdout);
    return is_fine;
}

static void take_sessions(struct talk *t)
{
    struct tt_session *s;
    while ((s = tt_conn_take_session(t->c)) != NULL) {
        tt_session_free(t->p->session);
        t->p->session = s;
    }
}

bool peer_talk(struct peer *p, int fd, unsigned number)
{
    static struct talk t;
    struct tt_error err = {0};
    t = (struct talk){.p = p, .fd = fd, .number = number};
    struct tt_session *offer = p->psk != NULL ? p->psk : p->session;
    const struct tt_conn_options opt = {.server_name = p->o->name,
                                        .now_ms = now_ms(),
                                        .sessions = &offer,
                                        .sessions_len = !p->o->server && offer != NULL ? 1 : 0,
                                        .early_data = !p->o->server && p->early.len > 0,
                                        .trace = on_trace,
                                        .trace_arg = &t};
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    if (tt_conn_new(&t.c, p->config, &opt, &err) != TT_OK)
        peer_die("connection", &err);
    run(&t);
    bool fine = report(&t);
    take_sessions(&t);
    tt_conn_free(t.c);
    (void)shutdown(fd, SHUT_WR);
    (void)close(fd);
    free(t.got);
    return fine;
}
