/* http/client.c: see client.h. Layer: http. RFC 9112 by libevent's evhttp.
 *
 * evhttp 2.1 insists on making its connections itself, by TCP. So it is given a port of this machine that
 * listens for as long as the call takes and accepts nobody; before the loop looks again, the socket it began
 * is replaced by our end of the pair (bridge.h), which is connected already. */
#include "http/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "http/bridge.h"

struct http_client {
    struct http_client_options opt;
    char host[sizeof(struct address)]; /* of the header Host */
    void (*session)(void *arg, struct stream *s, struct tt_session *session);
    struct dial *dial;
    struct stream *stream;
    struct bridge *bridge;
    int http_fd; /* evhttp's end, until it has it */
    struct evhttp_connection *evhttp;
    struct event *run, *late;

    struct evhttp_request *question; /* made, not yet given to evhttp */
    enum evhttp_cmd_type method;
    char *path;
    unsigned timeout_s;
    http_reply_fn done; /* NULL: nothing is asked */
    void *done_arg;
    bool is_asked;                 /* evhttp has it */
    bool is_answered;              /* `answer`, or the error */
    struct evhttp_request *answer; /* ours */
    enum evhttp_request_error why;

    bool is_connected, is_over, is_closed_told;
    struct tt_error error;
    bool is_running, is_freed;
};

static void schedule(struct http_client *c)
{
    event_active(c->run, EV_TIMEOUT, 0);
}

/* The connection is no more; what evhttp still has to read of it, it reads. */
static void connection_over(struct http_client *c, const struct tt_error *error)
{
    if (c->is_over)
        return;
    c->is_over = true;
    if (error != NULL)
        c->error = *error;
    dial_free(TT_TAKE(c->dial));
    stream_free(TT_TAKE(c->stream));
    bridge_free(TT_TAKE(c->bridge));
    if (c->done != NULL && !c->is_asked)
        c->is_answered = true;
    schedule(c);
}

/* ---- the question ---- */

/* Who answers nothing of the whole answer in time is left; whatever the reason, it is told. */
static void on_late(evutil_socket_t fd, short what, void *arg)
{
    struct http_client *c = arg;
    struct tt_error err = {0};
    (void)fd;
    (void)what;
    (void)error_set(&err, TT_ERR_DEADLINE, "%s did not answer within %u seconds", c->host, c->timeout_s);
    connection_over(c, &err);
}

static void on_reply(struct evhttp_request *req, void *arg)
{
    struct http_client *c = arg;
    if (c->done == NULL)
        return; /* it was told already that there is none */
    c->is_answered = true;
    if (req != NULL && evhttp_request_get_response_code(req) != 0) {
        evhttp_request_own(req);
        c->answer = req;
    }
    schedule(c);
}

static void on_failure(enum evhttp_request_error why, void *arg)
{
    struct http_client *c = arg;
    c->why = why;
}

/* A port where somebody listens, for evhttp to begin with. */
static int listen_for_a_moment(struct sockaddr_in *ret)
{
    socklen_t len = sizeof *ret;
    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)ret, len) == 0 && listen(fd, 1) == 0 &&
        getsockname(fd, (struct sockaddr *)ret, &len) == 0)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

static void set_limits(struct http_client *c)
{
    size_t body = c->opt.body_max, headers = c->opt.headers_max;
    evhttp_connection_set_max_body_size(c->evhttp, (ev_ssize_t)(body > 0 ? body : HTTP_CLIENT_BODY_MAX));
    evhttp_connection_set_max_headers_size(c->evhttp,
                                           (ev_ssize_t)(headers > 0 ? headers : HTTP_CLIENT_HEADERS_MAX));
    evhttp_connection_set_retries(c->evhttp, 0);
    evhttp_connection_set_timeout(c->evhttp, (int)c->timeout_s + 1); /* ours comes first */
}

static bool ask_evhttp(struct http_client *c)
{
    c->is_asked = true;
    return evhttp_make_request(c->evhttp, TT_TAKE(c->question), c->method, c->path) == 0;
}

static bool ask_first(struct http_client *c)
{
    struct sockaddr_in at;
    int listener = listen_for_a_moment(&at);
    struct bufferevent *b = bufferevent_socket_new(c->opt.stream.base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (listener >= 0 && b != NULL)
        c->evhttp = evhttp_connection_base_bufferevent_new(c->opt.stream.base, NULL, b, "127.0.0.1",
                                                           ntohs(at.sin_port));
    if (c->evhttp == NULL && b != NULL)
        bufferevent_free(b);
    bool ok = false;
    if (c->evhttp != NULL) {
        set_limits(c);
        ok = ask_evhttp(c);
        int begun = bufferevent_getfd(b);
        ok = ok && begun >= 0 && bufferevent_setfd(b, c->http_fd) == 0;
        if (begun >= 0)
            (void)close(begun);
        c->http_fd = ok ? -1 : c->http_fd;
    }
    if (listener >= 0)
        (void)close(listener);
    return ok;
}

static void send_question(struct http_client *c)
{
    struct tt_error err = {0};
    if (c->evhttp != NULL ? ask_evhttp(c) : ask_first(c))
        return;
    (void)error_set(&err, TT_ERR_IO, "cannot hand a request to evhttp");
    c->is_asked = false;
    connection_over(c, &err);
}

static bool is_sendable(const char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return false;
    return true;
}

static tt_rc check_question(const struct http_question *q, struct tt_error *err)
{
    bool ok = q->path[0] == '/' && is_sendable(q->path) && strchr(q->path, ' ') == NULL;
    for (size_t i = 0; ok && i < q->headers_len; i++)
        ok = is_sendable(q->headers[i].name) && is_sendable(q->headers[i].value);
    return ok ? TT_OK
              : error_set(err, TT_ERR_USAGE, "a path or header that HTTP cannot carry: control characters");
}

static bool fill_question(struct http_client *c, const struct http_question *q)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(c->question);
    bool ok = evhttp_add_header(headers, "Host", c->host) == 0;
    for (size_t i = 0; ok && i < q->headers_len; i++)
        ok = evhttp_add_header(headers, q->headers[i].name, q->headers[i].value) == 0;
    evhttp_request_set_error_cb(c->question, on_failure);
    c->path = mem_strdup(q->path);
    return ok && c->path != NULL &&
           (!q->is_post ||
            evbuffer_add(evhttp_request_get_output_buffer(c->question), q->body.data, q->body.len) == 0);
}

static void forget_question(struct http_client *c)
{
    (void)event_del(c->late);
    if (c->question != NULL)
        evhttp_request_free(TT_TAKE(c->question));
    mem_free(TT_TAKE(c->path));
    c->done = NULL;
    c->is_asked = c->is_answered = false;
}

tt_rc http_client_ask(struct http_client *c, const struct http_question *q, http_reply_fn done, void *arg,
                      struct tt_error *err)
{
    if (c->is_over)
        return error_set(err, TT_ERR_CLOSED, "the connection with %s is over", c->host);
    if (c->done != NULL)
        return error_set(err, TT_ERR_BUSY, "%s has not answered yet", c->host);
    TT_TRY(check_question(q, err));
    c->question = evhttp_request_new(on_reply, c);
    if (c->question == NULL || !fill_question(c, q)) {
        forget_question(c);
        return error_set(err, TT_ERR_MEMORY, "no memory for a request");
    }
    c->method = q->is_post ? EVHTTP_REQ_POST : EVHTTP_REQ_GET;
    c->timeout_s = q->timeout_s > 0 ? q->timeout_s : HTTP_CLIENT_TIMEOUT_S;
    c->done = done;
    c->done_arg = arg;
    c->why = EVREQ_HTTP_EOF;
    const struct timeval until = {.tv_sec = (time_t)c->timeout_s};
    (void)event_add(c->late, &until);
    if (c->is_connected)
        schedule(c);
    return TT_OK;
}

/* ---- the answer ---- */

const char *http_reply_header(const struct http_reply *reply, const char *name)
{
    return evhttp_find_header(reply->headers, name);
}

/* Without a length of its own an answer ends with the connection: then that has to have ended well (RFC 9112
 * section 8), or what came may be half of it. */
static bool is_whole(const struct http_client *c)
{
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(c->answer);
    return c->error.rc == TT_OK || evhttp_find_header(headers, "Content-Length") != NULL ||
           evhttp_find_header(headers, "Transfer-Encoding") != NULL;
}

static void explain(const struct http_client *c, struct tt_error *err)
{
    if (c->error.rc != TT_OK) {
        *err = c->error;
        return;
    }
    switch (c->why) {
    case EVREQ_HTTP_DATA_TOO_LONG:
        (void)error_set(err, TT_ERR_PROTOCOL, "the answer of %s is longer than is taken", c->host);
        break;
    case EVREQ_HTTP_INVALID_HEADER:
        (void)error_set(err, TT_ERR_PROTOCOL, "the answer of %s is not HTTP/1.1", c->host);
        break;
    case EVREQ_HTTP_TIMEOUT:
        (void)error_set(err, TT_ERR_DEADLINE, "%s was silent in its answer", c->host);
        break;
    default:
        (void)error_set(err, TT_ERR_CLOSED, "%s hung up before its answer was complete", c->host);
    }
}

static void deliver(struct http_client *c)
{
    http_reply_fn done = c->done;
    void *arg = c->done_arg;
    struct evhttp_request *answer = c->answer;
    struct tt_error err = {0};
    if (answer == NULL || !is_whole(c)) {
        explain(c, &err);
        forget_question(c);
        done(arg, NULL, &err);
    } else {
        struct evbuffer *body = evhttp_request_get_input_buffer(answer);
        size_t n = evbuffer_get_length(body);
        const struct http_reply reply = {.status = evhttp_request_get_response_code(answer),
                                         .body = {evbuffer_pullup(body, -1), n},
                                         .headers = evhttp_request_get_input_headers(answer)};
        forget_question(c);
        if (n > 0 && reply.body.data == NULL) {
            (void)error_set(&err, TT_ERR_MEMORY, "no memory for an answer");
            done(arg, NULL, &err);
        } else {
            done(arg, &reply, NULL);
        }
    }
    c->answer = NULL;
    if (answer != NULL)
        evhttp_request_free(answer);
}

/* ---- the stream ---- */

static void on_plaintext(void *arg, struct stream *s)
{
    struct http_client *c = arg;
    (void)s;
    if (c->bridge != NULL)
        bridge_plaintext(c->bridge);
}

static void on_writable(void *arg, struct stream *s)
{
    struct http_client *c = arg;
    (void)s;
    if (c->bridge != NULL)
        bridge_writable(c->bridge);
}

static void on_ended(void *arg, struct stream *s)
{
    struct http_client *c = arg;
    (void)s;
    if (c->bridge != NULL)
        bridge_gone(c->bridge);
}

static void on_session(void *arg, struct stream *s, struct tt_session *session)
{
    struct http_client *c = arg;
    c->session(c->opt.arg, s, session);
}

static void on_closed(void *arg, struct stream *s, const struct tt_error *error)
{
    (void)s;
    connection_over(arg, error);
}

static tt_rc build_bridge(struct http_client *c, struct stream *s, struct tt_error *err)
{
    int pair[2];
    TT_TRY(bridge_pair(pair, err));
    tt_rc rc = bridge_new(&c->bridge, c->opt.stream.base, s, pair[1], err);
    if (rc != TT_OK) {
        (void)close(pair[0]);
        (void)close(pair[1]);
        return rc;
    }
    c->http_fd = pair[0];
    return TT_OK;
}

static void on_connected(void *arg, struct stream *s)
{
    struct http_client *c = arg;
    struct tt_error err = {0};
    if (build_bridge(c, s, &err) != TT_OK) {
        connection_over(c, &err);
        return;
    }
    c->is_connected = true;
    schedule(c);
    if (c->opt.connected != NULL)
        c->opt.connected(c->opt.arg, c);
}

static void on_opened(void *arg, struct stream *s)
{
    struct http_client *c = arg;
    c->stream = s;
}

static void on_unreached(void *arg, const struct tt_error *error)
{
    connection_over(arg, error);
}

/* ---- life ---- */

static void destroy(struct http_client *c)
{
    dial_free(c->dial);
    stream_free(c->stream);
    bridge_free(c->bridge);
    if (c->evhttp != NULL)
        evhttp_connection_free(c->evhttp);
    if (c->http_fd >= 0)
        (void)close(c->http_fd);
    if (c->late != NULL)
        forget_question(c);
    if (c->answer != NULL)
        evhttp_request_free(c->answer);
    if (c->run != NULL)
        event_free(c->run);
    if (c->late != NULL)
        event_free(c->late);
    mem_free(c);
}

static void run(struct http_client *c)
{
    if (c->is_connected && !c->is_over && c->question != NULL)
        send_question(c);
    if (c->is_answered)
        deliver(c);
    if (c->is_freed || !c->is_over || c->done != NULL || c->is_closed_told)
        return;
    c->is_closed_told = true;
    if (c->opt.closed != NULL)
        c->opt.closed(c->opt.arg, c, c->error.rc != TT_OK ? &c->error : NULL);
}

static void on_run(evutil_socket_t fd, short what, void *arg)
{
    struct http_client *c = arg;
    (void)fd;
    (void)what;
    c->is_running = true;
    run(c);
    c->is_running = false;
    if (c->is_freed)
        destroy(c);
}

static tt_rc set_up(struct http_client *c, const struct address *to, struct tt_error *err)
{
    bool is_v6 = strchr(to->name, ':') != NULL;
    (void)snprintf(c->host, sizeof c->host, "%s%s%s%s%s", is_v6 ? "[" : "", to->name, is_v6 ? "]" : "",
                   strcmp(to->port, "443") == 0 ? "" : ":", strcmp(to->port, "443") == 0 ? "" : to->port);
    c->run = event_new(c->opt.stream.base, -1, 0, on_run, c);
    c->late = evtimer_new(c->opt.stream.base, on_late, c);
    if (c->run == NULL || c->late == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for a connection");
    struct dial_options dial = {.stream = c->opt.stream,
                                .connect_timeout_s = c->opt.connect_timeout_s,
                                .opened = on_opened,
                                .failed = on_unreached,
                                .arg = c};
    c->session = c->opt.stream.handlers.session;
    dial.stream.role = TT_CLIENT;
    dial.stream.arg = c;
    dial.stream.handlers = (struct stream_handlers){.connected = on_connected,
                                                    .session = c->session != NULL ? on_session : NULL,
                                                    .plaintext = on_plaintext,
                                                    .writable = on_writable,
                                                    .ended = on_ended,
                                                    .closed = on_closed};
    return dial_start(&c->dial, to, &dial, err);
}

tt_rc http_client_open(struct http_client **ret, const struct address *to,
                       const struct http_client_options *opt, struct tt_error *err)
{
    struct http_client *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for a connection");
    c->opt = *opt;
    c->http_fd = -1;
    tt_rc rc = set_up(c, to, err);
    if (rc != TT_OK) {
        destroy(c);
        return rc;
    }
    *ret = c;
    return TT_OK;
}

const struct tt_conn *http_client_conn(const struct http_client *c)
{
    return c->stream == NULL ? NULL : stream_conn(c->stream);
}

void http_client_close(struct http_client *c)
{
    if (c->stream != NULL)
        stream_finish(c->stream);
    else
        connection_over(c, NULL);
}

void http_client_free(struct http_client *c)
{
    if (c == NULL)
        return;
    c->is_freed = true;
    if (!c->is_running)
        destroy(c);
}
