/* http/server.h: an HTTP/1.1 server over our TLS or in the clear, by libevent's evhttp (RFC 9110, 9112).
 * Layer: http. What is answered is the owner's.
 *
 * Invariants
 *  - SIGPIPE is ignored: evhttp writes to sockets of which the other end may be gone.
 *  - Nothing blocks. All calls and callbacks belong to the thread of the event base.
 *  - Each request given to `request` is answered once, by http_answer, then or later; until that call it
 *    lives, also when its connection, or the server, is gone (the answer is then thrown away).
 *  - A request that is no good HTTP, has a body where it has none, or is over a limit never gets there.
 *  - A connection that takes longer than it may, in its handshake, idle, sending a request or taking an
 *    answer, is closed, however little by little it goes on.
 *
 * evhttp 2.1 refuses chunks with extensions (413), and answers methods that are not allowed with 501. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "net/listen.h"
#include "net/sign_queue.h"
#include "tpmtls/tls.h"

#define HTTP_CONNECTIONS 1024
#define HTTP_HEADERS_MAX 8192
#define HTTP_HANDSHAKE_S 15
#define HTTP_IDLE_S      30
#define HTTP_REQUEST_S   20 /* from a request's first byte to its last; the same for taking the answer */

struct event_base;
struct http_server;
struct http_request;

struct http_server_options {
    struct event_base *base;
    struct tt_config *config;  /* frozen, of a server; a reference is taken. NULL: in the clear */
    struct sign_queue *signer; /* of its keys; must outlive the server */
    int64_t now;               /* of the streams; 0: the wall clock */
    size_t connections;        /* at once; 0: HTTP_CONNECTIONS. More wait in the kernel; fewer where the limit
                                  of open files says so */
    size_t body_max;           /* of a POST; 0: no POST is taken at all */
    size_t headers_max;        /* 0: HTTP_HEADERS_MAX */
    unsigned handshake_s, idle_s, request_s; /* 0: as above */
    void (*request)(void *arg, struct http_request *r);
    /* A connection ended with an error (TLS, or too slow); from: the other end's address. May be NULL. */
    void (*failed)(void *arg, const char *from, const struct tt_error *error);
    void *arg;
};

/* http_server_open: accepting begins with the loop. `listeners` are the server's from success on. */
TT_MUST_USE tt_rc http_server_open(struct http_server **ret, const struct listeners *listeners,
                                   const struct http_server_options *opt, struct tt_error *err);
/* http_server_use: for connections from now on. */
void http_server_use(struct http_server *s, struct tt_config *config);
/* http_server_stop: accept no more, end what is idle, let the others have their answer. `stopped` is called
 * from the loop when no connection is left, after `within_s` seconds at the latest. */
void http_server_stop(struct http_server *s, unsigned within_s, void (*stopped)(void *arg), void *arg);
size_t http_server_connections(const struct http_server *s);
void http_server_free(struct http_server *s);

/* ---- a request ---- */

enum http_method {
    HTTP_GET,
    HTTP_HEAD, /* answer as a GET: the body stays here */
    HTTP_POST
};
enum http_method http_request_method(const struct http_request *r);
/* http_request_path: as it was sent, without a query; "/" at least. NULL-terminated, not decoded. */
const char *http_request_path(const struct http_request *r);
/* http_request_header: the first of that name, or NULL. */
const char *http_request_header(const struct http_request *r, const char *name);
/* http_request_count: how many headers of that name there are. */
size_t http_request_count(const struct http_request *r, const char *name);
struct tt_bytes http_request_body(const struct http_request *r);
/* http_request_from: "192.0.2.1:4711". */
const char *http_request_from(const struct http_request *r);
/* http_request_conn: the TLS connection it came by: tt_conn_peer_certificate, tt_conn_channel_binding. NULL
 * in the clear, and when the connection is gone. */
const struct tt_conn *http_request_conn(const struct http_request *r);

/* struct http_answer: a status, what it is, and headers besides (name, value; Content-Length and Date are
 * added). Everything is copied. */
struct http_answer {
    int status;
    const char *type; /* Content-Type; NULL: none, for a body that is empty */
    struct tt_bytes body;
    const char *const (*headers)[2];
    size_t headers_len;
    bool close; /* the connection ends with it */
};
/* http_answer: r is gone afterwards. */
void http_answer(struct http_request *r, const struct http_answer *answer);
/* http_answer_text: text/plain, no-store. */
void http_answer_text(struct http_request *r, int status, const char *text);

#endif
