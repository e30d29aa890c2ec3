/* proxy/status.c: the status pages. Layer: proxy. RFC 9110 by libevent's evhttp.
 *
 * evhttp (2.1) does not count connections nor end slow ones, adds a body to the answer to HEAD, takes the
 * body of a GET for the next request, and asks for no Host: all that is looked after here. */
#include "proxy/status.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/clock.h"
#include "net/listen.h"

#define HEADERS_MAX   8192
#define LOOK_EVERY_US 200000

struct connection {
    struct bufferevent *bufferevent; /* a reference */
    uint64_t since;
};

struct status {
    struct status_source source;
    struct event_base *base;
    struct evhttp *http;
    struct listeners listeners;
    struct evconnlistener *accepting[LISTENERS_MAX];
    struct connection connections[STATUS_CONNECTIONS];
    size_t connections_len;
    struct event *look;
    bool is_unix;
};

/* ---- how many connections, for how long ---- */

/* evhttp tells nobody that a connection has ended; but it takes its callbacks off, and we keep the object. */
static bool is_over(struct bufferevent *b)
{
    bufferevent_event_cb on_event = NULL;
    bufferevent_getcb(b, NULL, NULL, &on_event, NULL);
    return on_event == NULL;
}

static void look_through(struct status *s)
{
    uint64_t now = clock_monotonic_ns();
    size_t kept = 0;
    for (size_t i = 0; i < s->connections_len; i++) {
        struct connection *c = &s->connections[i];
        if (is_over(c->bufferevent)) {
            (void)bufferevent_decref(c->bufferevent);
            continue;
        }
        if (now - c->since > STATUS_LONGEST_S * UINT64_C(1000000000))
            (void)shutdown(bufferevent_getfd(c->bufferevent), SHUT_RDWR); /* evhttp sees the end */
        s->connections[kept++] = *c;
    }
    s->connections_len = kept;
}

static void accept_more(struct status *s)
{
    for (size_t i = 0; i < s->listeners.n; i++) {
        if (s->connections_len < STATUS_CONNECTIONS)
            (void)evconnlistener_enable(s->accepting[i]);
        else
            (void)evconnlistener_disable(s->accepting[i]);
    }
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct status *s = arg;
    const struct timeval again = {0, LOOK_EVERY_US};
    (void)fd;
    (void)what;
    look_through(s);
    accept_more(s);
    if (s->connections_len > 0)
        (void)event_add(s->look, &again);
}

static struct bufferevent *connection_made(struct event_base *base, void *arg)
{
    struct status *s = arg;
    const struct timeval soon = {0, LOOK_EVERY_US};
    struct bufferevent *b = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (b == NULL || s->connections_len >= STATUS_CONNECTIONS)
        return b; /* a burst that was accepted before the listener stopped */
    bufferevent_incref(b);
    s->connections[s->connections_len++] = (struct connection){b, clock_monotonic_ns()};
    if (event_pending(s->look, EV_TIMEOUT, NULL) == 0)
        (void)event_add(s->look, &soon);
    accept_more(s);
    return b;
}

/* ---- answers ---- */

struct answer {
    int code;
    const char *reason, *type;
    struct evbuffer *body;
};

static void send_answer(struct evhttp_request *req, const struct answer *a)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    char length[24];
    (void)evhttp_add_header(headers, "Content-Type", a->type);
    (void)evhttp_add_header(headers, "Cache-Control", "no-store");
    (void)evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    (void)snprintf(length, sizeof length, "%zu", evbuffer_get_length(a->body));
    (void)evhttp_add_header(headers, "Content-Length", length);
    if (a->code >= 400 && a->code != 404 && a->code != 503)
        (void)evhttp_add_header(headers, "Connection", "close");
    bool is_head = evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
    evhttp_send_reply(req, a->code, a->reason, is_head ? NULL : a->body);
}

static void send_text(struct evhttp_request *req, int code, const char *reason, const char *text)
{
    const struct answer a = {code, reason, "text/plain; charset=utf-8", evbuffer_new()};
    if (a.body == NULL || evbuffer_add(a.body, text, strlen(text)) != 0)
        evhttp_send_error(req, 500, "out of memory");
    else
        send_answer(req, &a);
    if (a.body != NULL)
        evbuffer_free(a.body);
}

static int add_chunk(const char *text, size_t n, void *arg)
{
    return evbuffer_add(arg, text, n);
}

static void send_status(struct status *s, struct evhttp_request *req)
{
    const struct answer a = {200, "OK", "application/json", evbuffer_new()};
    json_t *page = s->source.status(s->source.arg);
    if (a.body == NULL || page == NULL || json_dump_callback(page, add_chunk, a.body, JSON_INDENT(2)) != 0 ||
        evbuffer_add(a.body, "\n", 1) != 0)
        send_text(req, 500, "Internal Server Error", "out of memory\n");
    else
        send_answer(req, &a);
    json_decref(page);
    if (a.body != NULL)
        evbuffer_free(a.body);
}

static void send_metrics(struct status *s, struct evhttp_request *req)
{
    const struct answer a = {200, "OK", "text/plain; version=0.0.4; charset=utf-8", evbuffer_new()};
    char *page = s->source.metrics(s->source.arg);
    if (a.body == NULL || page == NULL || evbuffer_add(a.body, page, strlen(page)) != 0)
        send_text(req, 500, "Internal Server Error", "out of memory\n");
    else
        send_answer(req, &a);
    mem_free(page);
    if (a.body != NULL)
        evbuffer_free(a.body);
}

static void send_ready(struct status *s, struct evhttp_request *req)
{
    if (s->source.is_ready(s->source.arg))
        send_text(req, 200, "OK", "ready\n");
    else
        send_text(req, 503, "Service Unavailable", "not ready\n");
}

static void send_live(struct status *s, struct evhttp_request *req)
{
    (void)s;
    send_text(req, 200, "OK", "live\n");
}

/* ---- requests ---- */

static const struct {
    const char *path;
    void (*send)(struct status *s, struct evhttp_request *req);
} pages[] = {
    {"/_status", send_status}, {"/_metrics", send_metrics}, {"/_ready", send_ready}, {"/_live", send_live}};

/* A page of a stranger's, whose name was made to mean this machine (DNS rebinding), asks for that name. */
static bool is_own_host(const char *host)
{
    char where[300];
    const char *colon = strrchr(host, ':');
    bool has_port = colon != NULL && (host[0] != '[' || colon[-1] == ']');
    int n = snprintf(where, sizeof where, "%s%s", host, has_port ? "" : ":80");
    return n > 0 && (size_t)n < sizeof where && strncmp(where, "unix:", 5) != 0 &&
           strncasecmp(where, "systemd", 7) != 0 && listen_is_local(where);
}

static bool may_ask(const struct status *s, struct evhttp_request *req)
{
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(req);
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *named = uri == NULL ? NULL : evhttp_uri_get_host(uri);
    if (s->is_unix) /* no browser gets here */
        return true;
    if (evhttp_find_header(headers, "Host") == NULL || (named != NULL && !is_own_host(named)))
        return false;
    for (const struct evkeyval *h = headers->tqh_first; h != NULL; h = h->next.tqe_next)
        if (strcasecmp(h->key, "Host") == 0 && !is_own_host(h->value))
            return false;
    return true;
}

static bool has_body(struct evhttp_request *req)
{
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(req);
    const char *length = evhttp_find_header(headers, "Content-Length");
    return evhttp_find_header(headers, "Transfer-Encoding") != NULL ||
           (length != NULL && strcmp(length, "0") != 0);
}

static void on_request(struct evhttp_request *req, void *arg)
{
    struct status *s = arg;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *path = uri == NULL ? NULL : evhttp_uri_get_path(uri);
    if (has_body(req)) {
        send_text(req, 413, "Content Too Large", "a request here has no body\n");
        return;
    }
    if (!may_ask(s, req)) {
        send_text(req, 403, "Forbidden",
                  "the Host of the request is not this machine's own: ask for 127.0.0.1\n");
        return;
    }
    for (size_t i = 0; i < TT_COUNT(pages) && path != NULL; i++)
        if (strcmp(path, pages[i].path) == 0) {
            pages[i].send(s, req);
            return;
        }
    send_text(req, 404, "Not Found", "there are /_status, /_metrics, /_live and /_ready\n");
}

/* ---- opening ---- */

static tt_rc no_memory(struct tt_error *err)
{
    return error_set(err, TT_ERR_MEMORY, "no memory for the status pages");
}

static tt_rc serve_on(struct status *s, size_t i, struct tt_error *err)
{
    struct evconnlistener *l =
        evconnlistener_new(s->base, NULL, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, s->listeners.fd[i]);
    if (l == NULL)
        return no_memory(err);
    s->accepting[i] = l;
    if (evhttp_bind_listener(s->http, l) != NULL)
        return TT_OK;
    evconnlistener_free(l);
    return no_memory(err);
}

tt_rc status_check(const char *where, struct tt_error *err)
{
    TT_TRY(listen_check(where, err));
    if (listen_is_local(where))
        return TT_OK;
    error_hint(err, "127.0.0.1:PORT or unix:PATH");
    return error_set(err, TT_ERR_USAGE, "status %s: others than this machine could read it", where);
}

static tt_rc set_up(struct status *s, const char *where, struct tt_error *err)
{
    TT_TRY(status_check(where, err));
    s->http = evhttp_new(s->base);
    s->look = evtimer_new(s->base, on_look, s);
    if (s->http == NULL || s->look == NULL)
        return no_memory(err);
    evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_max_headers_size(s->http, HEADERS_MAX);
    evhttp_set_max_body_size(s->http, 0);
    evhttp_set_timeout(s->http, STATUS_TIMEOUT_S);
    evhttp_set_bevcb(s->http, connection_made, s);
    evhttp_set_gencb(s->http, on_request, s);
    TT_TRY(listen_adopt(&s->listeners, where, s->source.handed, err));
    s->is_unix = strncmp(s->listeners.name[0], "unix:", 5) == 0;
    if (!listeners_are_local(&s->listeners))
        return error_set(err, TT_ERR_USAGE, "--status %s: a socket of it can be reached from elsewhere",
                         where);
    for (size_t i = 0; i < s->listeners.n; i++)
        TT_TRY(serve_on(s, i, err));
    return TT_OK;
}

tt_rc status_open(struct status **ret, struct event_base *base, const char *where,
                  const struct status_source *source, struct tt_error *err)
{
    struct status *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return no_memory(err);
    s->base = base;
    s->source = *source;
    tt_rc rc = set_up(s, where, err);
    if (rc != TT_OK) {
        status_free(s);
        return rc;
    }
    *ret = s;
    return TT_OK;
}

struct listeners *status_listeners(struct status *s)
{
    return &s->listeners;
}

const char *status_address(const struct status *s)
{
    return s->listeners.name[0];
}

void status_free(struct status *s)
{
    if (s == NULL)
        return;
    if (s->http != NULL)
        evhttp_free(s->http);
    for (size_t i = 0; i < s->connections_len; i++)
        (void)bufferevent_decref(s->connections[i].bufferevent);
    if (s->look != NULL)
        event_free(s->look);
    listen_close(&s->listeners);
    mem_free(s);
}
