/* http/server.c: see server.h. Layer: http. Connections and their time; a request is request.c's.
 *
 * evhttp accepts a socket and keeps its number. Where there is TLS, the number is given another meaning
 * before the loop looks at it: it becomes our end of a pair (bridge.h), and the socket goes to a stream.
 * evhttp tells nobody when a connection is over, but takes its callbacks off: so each is looked at a few
 * times a second, which is also how its time is measured. */
#include "http/server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "http/bridge.h"
#include "http/server_internal.h"
#include "net/clock.h"
#include "net/stream.h"
#include "net/tcp.h"

#define LOOK_EVERY_US  100000
#define RETRY_AFTER_US 100000
#define FDS_A_TLS      3  /* the socket and the pair */
#define FDS_FOR_OTHERS 64 /* of the program */

/* ---- the end of a connection ---- */

static bool is_over(const struct http_connection *c)
{
    bufferevent_event_cb on_event = NULL;
    bufferevent_getcb(c->evhttp, NULL, NULL, &on_event, NULL);
    return on_event == NULL && c->swap == NULL;
}

/* evhttp sees the end, and lets the connection go. */
static void cut(struct http_connection *c)
{
    c->is_cut = true;
    (void)shutdown(bufferevent_getfd(c->evhttp), SHUT_RDWR);
    if (c->stream != NULL && c->bridge == NULL)
        stream_finish(c->stream);
}

static void tell_failed(struct http_connection *c, const struct tt_error *error)
{
    struct http_server *s = c->server;
    if (s->opt.failed != NULL && error != NULL && !c->is_failure_told && !s->is_stopping)
        s->opt.failed(s->opt.arg, c->from, error);
    c->is_failure_told = true;
}

static void on_bytes(struct evbuffer *in, const struct evbuffer_cb_info *info, void *arg);

static void connection_free(struct http_connection *c)
{
    requests_lose(c);
    if (c->swap != NULL)
        event_free(c->swap);
    stream_free(c->stream);
    bridge_free(c->bridge);
    if (c->our_fd >= 0)
        (void)close(c->our_fd);
    (void)evbuffer_remove_cb(bufferevent_get_input(c->evhttp), on_bytes, c);
    (void)bufferevent_decref(c->evhttp);
    mem_free(c);
}

static void too_slow(struct http_connection *c, const char *what, unsigned seconds)
{
    struct tt_error err = {0};
    (void)error_set(&err, TT_ERR_DEADLINE, "%s %s within %u s", c->from, what, seconds);
    tell_failed(c, &err);
    cut(c);
}

static void look_at(struct http_connection *c, uint64_t now)
{
    struct http_server *s = c->server;
    uint64_t age_s = (now - c->since) / 1000000000u;
    if (c->is_cut)
        return;
    if (c->state == HTTP_IDLE && (s->is_stopping || age_s >= s->opt.idle_s))
        cut(c);
    else if (c->state == HTTP_READING && age_s >= s->opt.request_s)
        too_slow(c, "did not send its request", s->opt.request_s);
    else if (c->state == HTTP_WRITING && age_s >= s->opt.request_s)
        too_slow(c, "did not take its answer", s->opt.request_s);
}

static void accept_more(struct http_server *s)
{
    bool on = s->connections_len < s->opt.connections && !s->is_stopping;
    for (size_t i = 0; i < s->listeners.n; i++)
        if (s->accepting[i] != NULL)
            (void)(on ? evconnlistener_enable(s->accepting[i]) : evconnlistener_disable(s->accepting[i]));
}

static void look_through(struct http_server *s)
{
    uint64_t now = clock_monotonic_ns();
    size_t kept = 0;
    for (size_t i = 0; i < s->connections_len; i++) {
        struct http_connection *c = s->connections[i];
        if (is_over(c) && c->stream == NULL) {
            connection_free(c);
            continue;
        }
        look_at(c, now);
        s->connections[kept++] = c;
    }
    s->connections_len = kept;
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *s = arg;
    const struct timeval again = {0, LOOK_EVERY_US};
    (void)fd;
    (void)what;
    look_through(s);
    accept_more(s);
    if (s->is_stopping && s->stopped != NULL &&
        (s->connections_len == 0 || clock_monotonic_ns() >= s->stop_until)) {
        void (*stopped)(void *) = TT_TAKE(s->stopped);
        stopped(s->stopped_arg); /* may free s */
        return;
    }
    if (s->connections_len > 0)
        (void)event_add(s->look, &again);
}

static void look_soon(struct http_server *s)
{
    const struct timeval soon = {0, LOOK_EVERY_US};
    if (event_pending(s->look, EV_TIMEOUT, NULL) == 0)
        (void)event_add(s->look, &soon);
}

/* ---- TLS ---- */

static void on_plaintext(void *arg, struct stream *st)
{
    struct http_connection *c = arg;
    (void)st;
    if (c->bridge != NULL)
        bridge_plaintext(c->bridge);
}

static void on_writable(void *arg, struct stream *st)
{
    struct http_connection *c = arg;
    (void)st;
    if (c->bridge != NULL)
        bridge_writable(c->bridge);
}

static void on_gone(void *arg, struct stream *st)
{
    struct http_connection *c = arg;
    (void)st;
    if (c->bridge != NULL)
        bridge_gone(c->bridge);
}

static void on_connected(void *arg, struct stream *st)
{
    struct http_connection *c = arg;
    struct tt_error err = {0};
    c->since = clock_monotonic_ns();
    if (bridge_new(&c->bridge, c->server->opt.base, st, c->our_fd, &err) != TT_OK) {
        tell_failed(c, &err);
        cut(c);
        return;
    }
    c->our_fd = -1;
}

static void on_closed(void *arg, struct stream *st, const struct tt_error *error)
{
    struct http_connection *c = arg;
    bool was_idle = c->bridge != NULL && c->state == HTTP_IDLE; /* kept open, then dropped: no failure */
    if (!was_idle)
        tell_failed(c, error);
    stream_free(st);
    c->stream = NULL;
    bridge_free(TT_TAKE(c->bridge));
    if (c->our_fd >= 0)
        (void)close(c->our_fd);
    c->our_fd = -1;
}

static tt_rc make_stream(struct http_connection *c, int fd, struct tt_error *err)
{
    struct http_server *s = c->server;
    const struct stream_options opt = {
        .base = s->opt.base,
        .gate = &s->gate,
        .config = s->opt.config,
        .role = TT_SERVER,
        .peer = c->from,
        .signer = s->opt.signer,
        .handshake_timeout_s = s->opt.handshake_s,
        .now = s->opt.now,
        .handlers = {.connected = on_connected,
                     .plaintext = on_plaintext,
                     .writable = on_writable,
                     .gone = on_gone,
                     .closed = on_closed},
        .arg = c,
    };
    return stream_new(&c->stream, fd, &opt, err);
}

/* The number evhttp knows becomes one end of a pair; the socket it was is the stream's. */
static tt_rc swap(struct http_connection *c, int number, struct tt_error *err)
{
    int pair[2], tcp = fcntl(number, F_DUPFD_CLOEXEC, 0);
    if (tcp < 0)
        return error_set(err, TT_ERR_IO, "no descriptor for a connection: %s", strerror(errno));
    tt_rc rc = bridge_pair(pair, err);
    if (rc == TT_OK && dup3(pair[0], number, O_CLOEXEC) < 0)
        rc = error_set(err, TT_ERR_IO, "no descriptor for a connection: %s", strerror(errno));
    if (rc == TT_OK) {
        (void)close(pair[0]);
        c->our_fd = pair[1];
        rc = make_stream(c, tcp, err);
    }
    if (rc != TT_OK)
        (void)close(tcp);
    return rc;
}

static void on_swap(evutil_socket_t fd, short what, void *arg)
{
    struct http_connection *c = arg;
    struct tt_error err = {0};
    (void)fd;
    (void)what;
    int number = bufferevent_getfd(c->evhttp);
    event_free(TT_TAKE(c->swap));
    if (is_over(c) || number < 0)
        return;
    struct sockaddr_storage from = {0};
    socklen_t len = sizeof from;
    if (getpeername(number, (struct sockaddr *)&from, &len) == 0)
        address_format(c->from, (const struct sockaddr *)&from);
    tcp_prepare(number);
    if (c->server->opt.config == NULL)
        return;
    (void)bufferevent_setfd(c->evhttp, -1); /* epoll forgets the socket */
    tt_rc rc = swap(c, number, &err);
    (void)bufferevent_setfd(c->evhttp, number);
    if (rc == TT_OK)
        return;
    tell_failed(c, &err);
    cut(c);
}

/* ---- accepting ---- */

/* The first byte of a request: from now on it has its time. */
static void on_bytes(struct evbuffer *in, const struct evbuffer_cb_info *info, void *arg)
{
    struct http_connection *c = arg;
    (void)in;
    if (info->n_added == 0 || c->state != HTTP_IDLE)
        return;
    c->state = HTTP_READING;
    c->since = clock_monotonic_ns();
}

static struct http_connection *connection_make(struct http_server *s, struct bufferevent *b)
{
    struct http_connection *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return NULL;
    c->server = s;
    c->our_fd = -1;
    c->since = clock_monotonic_ns();
    c->swap = event_new(s->opt.base, -1, 0, on_swap, c);
    if (c->swap == NULL || evbuffer_add_cb(bufferevent_get_input(b), on_bytes, c) == NULL) {
        if (c->swap != NULL)
            event_free(c->swap);
        mem_free(c);
        return NULL;
    }
    (void)strcpy(c->from, "a local socket");
    c->evhttp = b;
    bufferevent_incref(b);
    s->connections[s->connections_len++] = c;
    event_active(c->swap, EV_TIMEOUT, 0);
    look_soon(s);
    return c;
}

/* Called by evhttp for each connection, before it says which. One that we do not know (no memory) is evhttp's
 * alone, in the clear, and request.c refuses what comes by it. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    struct http_server *s = arg;
    struct bufferevent *b = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (b != NULL && s->connections_len < s->opt.connections)
        (void)connection_make(s, b);
    accept_more(s);
    return b;
}

/* Out of descriptors: the listener would spin. */
static void on_accept_failed(struct evconnlistener *l, void *arg)
{
    struct http_server *s = arg;
    const struct timeval later = {0, RETRY_AFTER_US};
    (void)evconnlistener_disable(l);
    (void)event_add(s->retry, &later);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    accept_more(arg);
}

/* ---- life ---- */

static tt_rc no_memory(struct tt_error *err)
{
    return error_set(err, TT_ERR_MEMORY, "no memory for an HTTP server");
}

static tt_rc serve_on(struct http_server *s, size_t i, struct tt_error *err)
{
    struct evconnlistener *l =
        evconnlistener_new(s->opt.base, NULL, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, s->listeners.fd[i]);
    if (l == NULL)
        return no_memory(err);
    if (evhttp_bind_listener(s->evhttp, l) == NULL) {
        evconnlistener_free(l);
        return no_memory(err);
    }
    evconnlistener_set_error_cb(l, on_accept_failed);
    s->accepting[i] = l;
    return TT_OK;
}

static void set_defaults(struct http_server_options *o)
{
    struct rlimit files;
    size_t a_connection = o->config != NULL ? FDS_A_TLS : 1;
    if (o->connections == 0)
        o->connections = HTTP_CONNECTIONS;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur > (rlim_t)FDS_FOR_OTHERS + a_connection &&
        files.rlim_cur - FDS_FOR_OTHERS < o->connections * a_connection)
        o->connections = (size_t)(files.rlim_cur - FDS_FOR_OTHERS) / a_connection;
    if (o->headers_max == 0)
        o->headers_max = HTTP_HEADERS_MAX;
    if (o->handshake_s == 0)
        o->handshake_s = HTTP_HANDSHAKE_S;
    if (o->idle_s == 0)
        o->idle_s = HTTP_IDLE_S;
    if (o->request_s == 0)
        o->request_s = HTTP_REQUEST_S;
}

static tt_rc set_up(struct http_server *s, struct tt_error *err)
{
    set_defaults(&s->opt);
    s->connections = mem_alloc(s->opt.connections * sizeof(struct http_connection *));
    s->evhttp = evhttp_new(s->opt.base);
    s->look = evtimer_new(s->opt.base, on_look, s);
    s->retry = evtimer_new(s->opt.base, on_retry, s);
    if (s->connections == NULL || s->evhttp == NULL || s->look == NULL || s->retry == NULL)
        return no_memory(err);
    unsigned longest = s->opt.request_s + s->opt.idle_s + s->opt.handshake_s; /* ours come first */
    evhttp_set_allowed_methods(s->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD |
                                              (s->opt.body_max > 0 ? EVHTTP_REQ_POST : 0));
    evhttp_set_max_headers_size(s->evhttp, (ev_ssize_t)s->opt.headers_max);
    evhttp_set_max_body_size(s->evhttp, (ev_ssize_t)s->opt.body_max);
    evhttp_set_timeout(s->evhttp, (int)longest);
    evhttp_set_default_content_type(s->evhttp, NULL);
    evhttp_set_bevcb(s->evhttp, on_accept, s);
    evhttp_set_gencb(s->evhttp, on_evhttp_request, s);
    for (size_t i = 0; i < s->listeners.n; i++)
        TT_TRY(serve_on(s, i, err));
    return TT_OK;
}

tt_rc http_server_open(struct http_server **ret, const struct listeners *listeners,
                       const struct http_server_options *opt, struct tt_error *err)
{
    struct http_server *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return no_memory(err);
    s->opt = *opt;
    s->opt.config = opt->config == NULL ? NULL : tt_config_ref(opt->config);
    s->listeners = *listeners;
    tt_rc rc = set_up(s, err);
    if (rc != TT_OK) {
        s->listeners.n = 0; /* still the caller's */
        s->listeners.owns_path = false;
        http_server_free(s);
        return rc;
    }
    *ret = s;
    return TT_OK;
}

void http_server_use(struct http_server *s, struct tt_config *config)
{
    struct tt_config *former = s->opt.config;
    s->opt.config = tt_config_ref(config);
    tt_config_free(former);
}

void http_server_stop(struct http_server *s, unsigned within_s, void (*stopped)(void *arg), void *arg)
{
    s->is_stopping = true;
    s->stop_until = clock_monotonic_ns() + within_s * UINT64_C(1000000000);
    s->stopped = stopped;
    s->stopped_arg = arg;
    accept_more(s);
    event_active(s->look, EV_TIMEOUT, 0);
}

size_t http_server_connections(const struct http_server *s)
{
    return s->connections_len;
}

void http_server_free(struct http_server *s)
{
    if (s == NULL)
        return;
    requests_abandon(s);
    if (s->evhttp != NULL)
        evhttp_free(s->evhttp);
    for (size_t i = 0; i < s->connections_len; i++)
        connection_free(s->connections[i]);
    if (s->look != NULL)
        event_free(s->look);
    if (s->retry != NULL)
        event_free(s->retry);
    listen_close(&s->listeners);
    tt_config_free(s->opt.config);
    mem_free(s->connections);
    mem_free(s);
}
