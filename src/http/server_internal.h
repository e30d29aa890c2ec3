/* http/server_internal.h: the server's inside, shared by server.c (connections) and request.c (requests).
 * Layer: http. */
#ifndef HTTP_SERVER_INTERNAL_H
#define HTTP_SERVER_INTERNAL_H

#include <event2/event.h>
#include <event2/listener.h>

#include "http/bridge.h"
#include "http/server.h"

enum http_state {
    HTTP_IDLE,    /* since it was accepted, or its last answer was sent */
    HTTP_READING, /* the first byte of a request has come */
    HTTP_WAITING, /* the request is with the owner, who takes the time that he takes */
    HTTP_WRITING  /* the answer is on its way */
};

struct http_connection {
    struct http_server *server;
    struct bufferevent *evhttp; /* evhttp's; a reference */
    struct event *swap;         /* until evhttp's descriptor was looked at */
    int our_fd;                 /* of the pair, until the handshake is complete */
    struct stream *stream;      /* NULL: in the clear, or closed */
    struct bridge *bridge;
    char from[ADDRESS_TEXT_MAX];
    enum http_state state;
    uint64_t since; /* of the state */
    bool is_cut, is_failure_told;
};

struct http_server {
    struct http_server_options opt;
    struct evhttp *evhttp;
    struct listeners listeners;
    struct evconnlistener *accepting[LISTENERS_MAX];
    struct stream_gate gate;
    struct http_connection **connections;
    size_t connections_len;
    struct http_request *requests; /* that were not answered yet */
    struct event *look, *retry;
    bool is_stopping;
    uint64_t stop_until;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

struct evhttp_request;

/* on_evhttp_request: an evhttp callback; arg is the server. */
void on_evhttp_request(struct evhttp_request *req, void *arg);
/* requests_lose: this connection is gone. */
void requests_lose(const struct http_connection *c);
/* requests_abandon: the server goes; what is answered later goes nowhere. */
void requests_abandon(struct http_server *s);

#endif
