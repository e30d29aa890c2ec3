/* net/dial.c: from an address to a stream: a connected socket (net/reach.h), then what its protocol says
 * before TLS. Layer: net. */
#include "net/dial.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/clock.h"
#include "net/reach.h"
#include "net/tcp.h"

struct dial {
    struct dial_options opt;
    char host[256];
    char peer[TCP_PEER_MAX]; /* HOST:PORT as it was typed */
    struct reach *reach;
    struct event *readable; /* before TLS */
    int fd;
    uint64_t give_up_at;
    struct starttls before;
};

static void stop(struct dial *c)
{
    reach_free(TT_TAKE(c->reach));
    if (c->readable != NULL)
        event_free(TT_TAKE(c->readable));
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
}

void dial_free(struct dial *c)
{
    if (c == NULL)
        return;
    stop(c);
    tt_config_free(c->opt.stream.config);
    mem_free(c);
}

static void fail(struct dial *c, const struct tt_error *err)
{
    stop(c);
    c->opt.failed(c->opt.arg, err);
}

static void hand_over(struct dial *c)
{
    struct stream_options opt = c->opt.stream;
    opt.peer = c->peer;
    if (opt.server_name == NULL)
        opt.server_name = c->host;
    if (c->readable != NULL)
        event_free(TT_TAKE(c->readable));
    struct tt_error err = {0};
    struct stream *s;
    if (stream_new(&s, c->fd, &opt, &err) != TT_OK) {
        fail(c, &err);
        return;
    }
    c->fd = -1;
    c->opt.opened(c->opt.arg, s);
}

/* ---- before TLS ---- */

static void fail_before(struct dial *c, const struct tt_error *err)
{
    struct tt_error named = {0};
    (void)error_set(&named, err->rc, "%s: %s", c->peer, err->text);
    error_hint(&named, "%s", err->hint);
    fail(c, &named);
}

/* A few bytes into a socket whose buffer is empty: they go at once. */
static tt_rc send_before(struct dial *c, struct tt_error *err)
{
    struct tt_bytes out = c->before.output;
    if (out.len == 0 || send(c->fd, out.data, out.len, MSG_NOSIGNAL) == (ssize_t)out.len)
        return TT_OK;
    return error_set(err, TT_ERR_IO, "cannot send: %s", strerror(errno));
}

static tt_rc read_before(struct dial *c, struct tt_error *err)
{
    uint8_t data[1024];
    ssize_t n = recv(c->fd, data, sizeof data, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return TT_OK;
    if (n <= 0)
        return error_set(err, TT_ERR_IO, "the connection ended before TLS could begin%s%s", n < 0 ? ": " : "",
                         n < 0 ? strerror(errno) : "");
    TT_TRY(starttls_feed(&c->before, (struct tt_bytes){data, (size_t)n}, err));
    return send_before(c, err);
}

static tt_rc wait_before(struct dial *c, struct tt_error *err)
{
    uint64_t now = clock_monotonic_ns(), left_us = now < c->give_up_at ? (c->give_up_at - now) / 1000 : 0;
    const struct timeval limit = {(time_t)(left_us / 1000000), (suseconds_t)(left_us % 1000000)};
    return event_add(c->readable, &limit) == 0 ? TT_OK
                                               : error_set(err, TT_ERR_MEMORY, "no memory to connect");
}

static void on_before(evutil_socket_t fd, short what, void *arg)
{
    struct dial *c = arg;
    struct tt_error err = {0};
    (void)fd;
    tt_rc rc = (what & EV_READ) != 0 ? read_before(c, &err)
                                     : error_set(&err, TT_ERR_DEADLINE, "no answer in time, before TLS");
    if (rc == TT_OK && !c->before.done)
        rc = wait_before(c, &err);
    if (rc != TT_OK)
        fail_before(c, &err);
    else if (c->before.done)
        hand_over(c);
}

static void begin_before(struct dial *c)
{
    struct tt_error err = {0};
    starttls_begin(&c->before, c->opt.starttls);
    c->readable = event_new(c->opt.stream.base, c->fd, EV_READ, on_before, c);
    tt_rc rc =
        c->readable == NULL ? error_set(&err, TT_ERR_MEMORY, "no memory to connect") : send_before(c, &err);
    if (rc == TT_OK)
        rc = wait_before(c, &err);
    if (rc != TT_OK)
        fail_before(c, &err);
}

/* ---- connecting ---- */

static void on_reached(void *arg, int fd, const struct tt_error *error)
{
    struct dial *c = arg;
    reach_free(TT_TAKE(c->reach));
    c->fd = fd;
    if (error != NULL)
        fail(c, error);
    else if (c->opt.starttls != STARTTLS_NONE)
        begin_before(c);
    else
        hand_over(c);
}

static tt_rc dial_set_up(struct dial *c, const struct address *to, struct tt_error *err)
{
    unsigned seconds = c->opt.connect_timeout_s > 0 ? c->opt.connect_timeout_s : DIAL_TIMEOUT_S;
    const struct reach_options opt = {.base = c->opt.stream.base,
                                      .address = to,
                                      .timeout_ms = seconds * 1000,
                                      .done = on_reached,
                                      .arg = c};
    (void)snprintf(c->host, sizeof c->host, "%s", to->name);
    tcp_peer_name(c->peer, to);
    c->give_up_at = clock_monotonic_ns() + seconds * UINT64_C(1000000000);
    return reach_start(&c->reach, &opt, err);
}

tt_rc dial_start(struct dial **ret, const struct address *to, const struct dial_options *opt,
                 struct tt_error *err)
{
    struct dial *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory to connect");
    c->opt = *opt;
    c->opt.stream.config = tt_config_ref(opt->stream.config);
    c->fd = -1;
    tt_rc rc = dial_set_up(c, to, err);
    if (rc != TT_OK) {
        dial_free(c);
        return rc;
    }
    *ret = c;
    return TT_OK;
}
