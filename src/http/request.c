/* http/request.c: one request from evhttp to the owner and its answer back. Layer: http.
 *
 * What evhttp 2.1 leaves to us (RFC 9110, 9112): a request of HTTP/1.1 has a Host; a GET has no body (evhttp
 * would take it for the next request); one Content-Length, and none beside Transfer-Encoding; an answer to
 * HEAD has no body; no Content-Type is made up. */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "http/server_internal.h"
#include "net/clock.h"

struct http_request {
    struct http_request *next, **link;
    struct http_server *server;         /* NULL: it is gone */
    struct http_connection *connection; /* NULL: it is gone */
    struct evhttp_request *evhttp;      /* NULL: gone with the server */
    enum http_method method;
    char *path;
    struct tt_bytes body;
    char from[ADDRESS_TEXT_MAX];
};

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {202, "Accepted"},
    {204, "No Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {429, "Too Many Requests"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
};

static const char *reason_of(int status)
{
    for (size_t i = 0; i < TT_COUNT(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Status";
}

/* ---- answers ---- */

static bool is_text(const char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return false;
    return true;
}

static void on_sent(struct evhttp_request *req, void *arg)
{
    struct http_connection *c = arg;
    (void)req;
    c->state = HTTP_IDLE;
    c->since = clock_monotonic_ns();
}

static void add_headers(struct evkeyvalq *headers, const struct http_answer *a, bool close)
{
    char length[24];
    (void)snprintf(length, sizeof length, "%zu", a->body.len);
    if (a->type != NULL)
        (void)evhttp_add_header(headers, "Content-Type", a->type);
    if (a->status != 204 && a->status != 304)
        (void)evhttp_add_header(headers, "Content-Length", length);
    for (size_t i = 0; i < a->headers_len; i++)
        if (is_text(a->headers[i][1]))
            (void)evhttp_add_header(headers, a->headers[i][0], a->headers[i][1]);
    if (close)
        (void)evhttp_add_header(headers, "Connection", "close");
}

static void send_answer(struct evhttp_request *req, struct http_server *s, struct http_connection *c,
                        const struct http_answer *a)
{
    bool is_head = evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
    struct evbuffer *body = is_head || a->body.len == 0 ? NULL : evbuffer_new();
    if (body != NULL && evbuffer_add(body, a->body.data, a->body.len) != 0) {
        evbuffer_free(body);
        body = NULL;
    }
    if (body == NULL && a->body.len > 0 && !is_head) {
        evhttp_send_error(req, 500, "no memory"); /* which closes the connection */
        return;
    }
    add_headers(evhttp_request_get_output_headers(req), a, a->close || s->is_stopping);
    if (c != NULL) {
        c->state = HTTP_WRITING;
        c->since = clock_monotonic_ns();
        evhttp_request_set_on_complete_cb(req, on_sent, c);
    }
    evhttp_send_reply(req, a->status, reason_of(a->status), body);
    if (body != NULL)
        evbuffer_free(body);
}

static void forget(struct http_request *r)
{
    if (r->next != NULL)
        r->next->link = r->link;
    if (r->link != NULL)
        *r->link = r->next;
    mem_free(r->path);
    mem_free(r);
}

void http_answer(struct http_request *r, const struct http_answer *answer)
{
    if (r->evhttp != NULL)
        send_answer(r->evhttp, r->server, r->connection,
                    answer); /* a connection that is gone is evhttp's business */
    forget(r);
}

void http_answer_text(struct http_request *r, int status, const char *text)
{
    static const char *const no_store[][2] = {{"Cache-Control", "no-store"}};
    const struct http_answer a = {.status = status,
                                  .type = "text/plain; charset=utf-8",
                                  .body = {(const uint8_t *)text, strlen(text)},
                                  .headers = no_store,
                                  .headers_len = 1};
    http_answer(r, &a);
}

void requests_lose(const struct http_connection *c)
{
    for (struct http_request *r = c->server->requests; r != NULL; r = r->next)
        if (r->connection == c)
            r->connection = NULL;
}

void requests_abandon(struct http_server *s)
{
    while (s->requests != NULL) {
        struct http_request *r = s->requests;
        s->requests = r->next;
        r->next = NULL;
        r->link = NULL;
        r->server = NULL;
        r->connection = NULL;
        r->evhttp = NULL;
        r->body = (struct tt_bytes){NULL, 0};
    }
}

/* ---- what is no good HTTP ---- */

static size_t count(const struct evkeyvalq *headers, const char *name)
{
    size_t n = 0;
    for (const struct evkeyval *h = headers->tqh_first; h != NULL; h = h->next.tqe_next)
        n += strcasecmp(h->key, name) == 0;
    return n;
}

/* NULL: nothing is wrong. */
static const char *what_is_wrong(struct evhttp_request *req, int *ret_status)
{
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(req);
    size_t lengths = count(headers, "Content-Length"), chunked = count(headers, "Transfer-Encoding");
    const char *length = evhttp_find_header(headers, "Content-Length");
    *ret_status = 400;
    if (evhttp_request_get_evhttp_uri(req) == NULL)
        return "the request line is not one of HTTP/1.1\n";
    if (count(headers, "Host") != 1 && (req->major > 1 || req->minor > 0))
        return "a request has one Host\n";
    if (lengths > 1 || (lengths > 0 && chunked > 0))
        return "how long the body is is said twice\n";
    *ret_status = 413;
    if (evhttp_request_get_command(req) != EVHTTP_REQ_POST &&
        (chunked > 0 || (length != NULL && strcmp(length, "0") != 0)))
        return "such a request has no body here\n";
    return NULL;
}

static void refuse(struct http_server *s, struct evhttp_request *req, struct http_connection *c, int status,
                   const char *why)
{
    const struct http_answer a = {.status = status,
                                  .type = "text/plain; charset=utf-8",
                                  .body = {(const uint8_t *)why, strlen(why)},
                                  .close = true};
    send_answer(req, s, c, &a);
}

/* ---- requests ---- */

static struct http_connection *connection_of(struct http_server *s, struct evhttp_request *req)
{
    struct evhttp_connection *evcon = evhttp_request_get_connection(req);
    const struct bufferevent *b = evcon == NULL ? NULL : evhttp_connection_get_bufferevent(evcon);
    for (size_t i = 0; i < s->connections_len; i++)
        if (s->connections[i]->evhttp == b)
            return s->connections[i];
    return NULL;
}

static enum http_method method_of(struct evhttp_request *req)
{
    switch (evhttp_request_get_command(req)) {
    case EVHTTP_REQ_POST:
        return HTTP_POST;
    case EVHTTP_REQ_HEAD:
        return HTTP_HEAD;
    default:
        return HTTP_GET;
    }
}

static struct http_request *request_make(struct http_server *s, struct http_connection *c,
                                         struct evhttp_request *req)
{
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
    struct evbuffer *body = evhttp_request_get_input_buffer(req);
    struct http_request *r = mem_alloc(sizeof *r);
    if (r == NULL)
        return NULL;
    r->body.len = evbuffer_get_length(body);
    r->body.data = r->body.len > 0 ? evbuffer_pullup(body, -1) : NULL;
    r->path = mem_strdup(path == NULL || path[0] == '\0' ? "/" : path);
    if (r->path == NULL || (r->body.len > 0 && r->body.data == NULL)) {
        forget(r);
        return NULL;
    }
    r->server = s;
    r->connection = c;
    r->evhttp = req;
    r->method = method_of(req);
    memcpy(r->from, c->from, sizeof r->from);
    r->next = s->requests;
    r->link = &s->requests;
    if (r->next != NULL)
        r->next->link = &r->next;
    s->requests = r;
    return r;
}

void on_evhttp_request(struct evhttp_request *req, void *arg)
{
    struct http_server *s = arg;
    struct http_connection *c = connection_of(s, req);
    int status;
    const char *wrong = c == NULL ? NULL : what_is_wrong(req, &status);
    struct http_request *r = c == NULL || wrong != NULL ? NULL : request_make(s, c, req);
    if (wrong != NULL) {
        refuse(s, req, c, status, wrong);
    } else if (r == NULL) {
        refuse(s, req, c, 503, "out of memory\n");
    } else {
        c->state = HTTP_WAITING;
        c->since = clock_monotonic_ns();
        s->opt.request(s->opt.arg, r);
    }
}

enum http_method http_request_method(const struct http_request *r)
{
    return r->method;
}

const char *http_request_path(const struct http_request *r)
{
    return r->path;
}

const char *http_request_header(const struct http_request *r, const char *name)
{
    return r->evhttp == NULL ? NULL : evhttp_find_header(evhttp_request_get_input_headers(r->evhttp), name);
}

size_t http_request_count(const struct http_request *r, const char *name)
{
    return r->evhttp == NULL ? 0 : count(evhttp_request_get_input_headers(r->evhttp), name);
}

struct tt_bytes http_request_body(const struct http_request *r)
{
    return r->body;
}

const char *http_request_from(const struct http_request *r)
{
    return r->from;
}

const struct tt_conn *http_request_conn(const struct http_request *r)
{
    return r->connection == NULL || r->connection->stream == NULL ? NULL : stream_conn(r->connection->stream);
}
