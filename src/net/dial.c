/* net/dial.c: name lookup and connecting. Layer: net. Tries the addresses of a host in the resolver's
 * order; one that does not answer is given up early while another is left. Then what its protocol says before
 * TLS. */
#include "net/dial.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/clock.h"
#include "net/tcp.h"

#define TRY_NEXT_AFTER_S 5

struct dial {
    struct dial_options opt;
    char host[256];
    char peer[TCP_PEER_MAX]; /* HOST:PORT as it was typed */
    struct addrinfo *addresses, *next;
    struct event *attempt; /* the connecting socket, or only a timer to get onto the loop */
    int fd;
    uint64_t give_up_at;
    int last_errno;
    struct starttls before;
};

static void close_attempt(struct dial *c)
{
    if (c->attempt != NULL)
        event_free(TT_TAKE(c->attempt));
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
}

void dial_free(struct dial *c)
{
    if (c == NULL)
        return;
    close_attempt(c);
    if (c->addresses != NULL)
        freeaddrinfo(c->addresses);
    tt_config_free(c->opt.stream.config);
    mem_free(c);
}

static void fail(struct dial *c, const struct tt_error *err)
{
    close_attempt(c);
    c->opt.failed(c->opt.arg, err);
}

static void fail_with_errno(struct dial *c)
{
    struct tt_error err = {0};
    (void)tcp_explain(&err, c->peer, c->last_errno);
    fail(c, &err);
}

static void hand_over(struct dial *c)
{
    struct stream_options opt = c->opt.stream;
    tcp_prepare(c->fd);
    opt.peer = c->peer;
    if (opt.server_name == NULL)
        opt.server_name = c->host;
    event_free(TT_TAKE(c->attempt));
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
    return event_add(c->attempt, &limit) == 0 ? TT_OK : error_set(err, TT_ERR_MEMORY, "no memory to connect");
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
    event_free(TT_TAKE(c->attempt));
    c->attempt = event_new(c->opt.stream.base, c->fd, EV_READ, on_before, c);
    tt_rc rc =
        c->attempt == NULL ? error_set(&err, TT_ERR_MEMORY, "no memory to connect") : send_before(c, &err);
    if (rc == TT_OK)
        rc = wait_before(c, &err);
    if (rc != TT_OK)
        fail_before(c, &err);
}

/* ---- connecting ---- */

static void try_next(struct dial *c);

static void on_attempt(evutil_socket_t fd, short what, void *arg)
{
    struct dial *c = arg;
    socklen_t len = sizeof c->last_errno;
    c->last_errno = ETIMEDOUT;
    if ((what & EV_WRITE) != 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &c->last_errno, &len) == 0 &&
        c->last_errno == 0 && c->opt.starttls != STARTTLS_NONE)
        begin_before(c);
    else if (c->last_errno == 0)
        hand_over(c);
    else
        try_next(c);
}

/* Returns 0 or an errno. */
static int attempt_start(struct dial *c, const struct addrinfo *to)
{
    uint64_t now = clock_monotonic_ns();
    if (now >= c->give_up_at)
        return ETIMEDOUT;
    c->fd = socket(to->ai_family, to->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, to->ai_protocol);
    if (c->fd < 0)
        return errno;
    if (connect(c->fd, to->ai_addr, to->ai_addrlen) != 0 && errno != EINPROGRESS)
        return errno;
    c->attempt = event_new(c->opt.stream.base, c->fd, EV_WRITE, on_attempt, c);
    uint64_t left_us = (c->give_up_at - now) / 1000;
    if (to->ai_next != NULL && left_us > TRY_NEXT_AFTER_S * 1000000u)
        left_us = TRY_NEXT_AFTER_S * 1000000u;
    const struct timeval limit = {(time_t)(left_us / 1000000), (suseconds_t)(left_us % 1000000)};
    return c->attempt == NULL || event_add(c->attempt, &limit) != 0 ? ENOMEM : 0;
}

static void try_next(struct dial *c)
{
    close_attempt(c);
    while (c->next != NULL) {
        const struct addrinfo *to = c->next;
        c->next = to->ai_next;
        int rc = attempt_start(c, to);
        if (rc == 0)
            return;
        c->last_errno = rc;
        close_attempt(c);
    }
    fail_with_errno(c);
}

static void on_start(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    try_next(arg);
}

static tt_rc dial_set_up(struct dial *c, const struct address *to, struct tt_error *err)
{
    (void)snprintf(c->host, sizeof c->host, "%s", to->name);
    tcp_peer_name(c->peer, to);
    TT_TRY(tcp_look_up(&c->addresses, to, err));
    c->next = c->addresses;
    c->attempt = evtimer_new(c->opt.stream.base, on_start, c);
    const struct timeval now = {0};
    if (c->attempt == NULL || event_add(c->attempt, &now) != 0)
        return error_set(err, TT_ERR_MEMORY, "no memory to connect");
    unsigned seconds = c->opt.connect_timeout_s > 0 ? c->opt.connect_timeout_s : DIAL_TIMEOUT_S;
    c->give_up_at = clock_monotonic_ns() + seconds * UINT64_C(1000000000);
    return TT_OK;
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
