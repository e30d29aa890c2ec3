/* http/client.h: HTTP/1.1 questions to one server over our TLS, by libevent's evhttp. Layer: http.
 *
 * Invariants
 *  - SIGPIPE is ignored: evhttp writes to sockets of which the other end may be gone.
 *  - One client is one TLS connection, kept for as long as the server keeps it; one question at a time.
 *  - Nothing blocks. All calls and callbacks belong to the thread of the event base; a callback may call
 *    anything, also http_client_free and http_client_ask.
 *  - `connected` comes before any answer: there the exporter can be asked (tt_conn_channel_binding).
 *  - When the connection could not be made, or was lost, the TLS stream's error is told, which knows why.
 *
 * evhttp 2.1 takes no answer whose chunks have extensions (RFC 9112 section 7.1.1): TT_ERR_PROTOCOL. */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include "net/dial.h"

#define HTTP_CLIENT_TIMEOUT_S   60
#define HTTP_CLIENT_BODY_MAX    (1024 * 1024)
#define HTTP_CLIENT_HEADERS_MAX (16 * 1024)

struct http_client;

/* struct http_header: a name and a value. */
struct http_header {
    const char *name, *value;
};

/* struct http_question: everything is copied. */
struct http_question {
    const char *path;                  /* "/.well-known/est/cacerts": as it is sent, quoted already */
    bool is_post;                      /* else GET */
    struct tt_bytes body;              /* of a POST */
    const struct http_header *headers; /* besides Host and Content-Length: Content-Type, Authorization, ... */
    size_t headers_len;
    unsigned timeout_s; /* for the whole answer; 0: HTTP_CLIENT_TIMEOUT_S */
};

/* struct http_reply: valid during the callback. */
struct http_reply {
    int status; /* 200 */
    struct tt_bytes body;
    void *headers; /* for http_reply_header */
};
/* http_reply_header: the value of the first header of that name (case does not matter), or NULL. */
const char *http_reply_header(const struct http_reply *reply, const char *name);

/* http_reply_fn: exactly once for each question that http_client_ask took, from the loop. reply is NULL when
 * there is none; error then says why. */
typedef void (*http_reply_fn)(void *arg, const struct http_reply *reply, const struct tt_error *error);

struct http_client_options {
    struct stream_options stream; /* base, config, signer, sessions, ...; role, handlers and arg are set here,
                                     and what was set in handlers.session is called with `arg` */
    unsigned connect_timeout_s;   /* see dial.h */
    size_t body_max, headers_max; /* of an answer; 0: HTTP_CLIENT_BODY_MAX, HTTP_CLIENT_HEADERS_MAX */
    /* The handshake is complete: ask. May be NULL: a question that was taken before is sent by itself. */
    void (*connected)(void *arg, struct http_client *c);
    /* The connection is over, or never came to be (error says why; NULL: both ended as they should). Comes
     * once, after the answer that it took with it; questions are refused from then on. May be NULL. */
    void (*closed)(void *arg, struct http_client *c, const struct tt_error *error);
    void *arg;
};

/* http_client_open: reach `to` by Happy Eyeballs and do the handshake. What opt.stream points to
 * (server_name, sessions, ECH's list) must live until `connected` or `closed`. */
TT_MUST_USE tt_rc http_client_open(struct http_client **ret, const struct address *to,
                                   const struct http_client_options *opt, struct tt_error *err);
/* http_client_ask: TT_ERR_BUSY while another question is open, TT_ERR_CLOSED when the connection is over (a
 * new client makes a new one), TT_ERR_USAGE for a path or header that has control characters. */
TT_MUST_USE tt_rc http_client_ask(struct http_client *c, const struct http_question *q, http_reply_fn done,
                                  void *arg, struct tt_error *err);
/* http_client_conn: the engine's connection, to look at: NULL before the socket is open and once it is over.
 */
const struct tt_conn *http_client_conn(const struct http_client *c);
/* http_client_close: end the connection with close_notify; `closed` follows. */
void http_client_close(struct http_client *c);
/* http_client_free: at once, in any state; no callback follows. NULL is fine. */
void http_client_free(struct http_client *c);

#endif
