/* net/server.c: listening and accepting. Layer: net. */
#include "net/server.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

#include "net/tcp.h"

#define BACKLOG        128
#define ACCEPT_BURST   4 /* a turn of the loop, so that connections already there are served too */
#define RETRY_AFTER_US 100000

struct server {
    struct server_options opt;
    int fd;
    struct event *acceptable, *retry, *finish;
    struct stream_gate gate;
    char address[ADDRESS_TEXT_MAX];
    size_t connections, accepted;
    bool is_stopped;
};

static void accept_when_possible(struct server *srv)
{
    if (srv->is_stopped || srv->connections >= srv->opt.max_connections)
        (void)event_del(srv->acceptable);
    else
        (void)event_add(srv->acceptable, NULL);
}

static void finish_when_done(struct server *srv)
{
    if (srv->is_stopped && srv->connections == 0)
        event_active(srv->finish, EV_TIMEOUT, 0);
}

void server_stop(struct server *srv)
{
    if (srv->is_stopped)
        return;
    srv->is_stopped = true;
    (void)event_del(srv->acceptable);
    (void)event_del(srv->retry);
    (void)close(srv->fd);
    srv->fd = -1;
    finish_when_done(srv);
}

void server_use(struct server *srv, struct tt_config *config)
{
    struct tt_config *former = srv->opt.stream.config;
    srv->opt.stream.config = tt_config_ref(config);
    tt_config_free(former);
}

void server_release(struct server *srv)
{
    srv->connections--;
    if (!srv->is_stopped && event_pending(srv->retry, EV_TIMEOUT, NULL) == 0)
        accept_when_possible(srv);
    finish_when_done(srv);
}

static void connection_open(struct server *srv, int fd, const struct sockaddr *from)
{
    char peer[ADDRESS_TEXT_MAX];
    address_format(peer, from);
    tcp_prepare(fd);
    struct stream_options opt = srv->opt.stream;
    opt.peer = peer;
    opt.gate = &srv->gate;
    void *session = srv->opt.accepted(srv->opt.arg, &opt, peer);
    if (session == NULL) {
        (void)close(fd);
        return;
    }
    srv->connections++;
    struct tt_error err = {0};
    struct stream *s = NULL;
    if (stream_new(&s, fd, &opt, &err) != TT_OK) {
        (void)close(fd);
        srv->opt.failed(srv->opt.arg, &err);
    }
    srv->opt.opened(srv->opt.arg, session, s);
}

/* Out of descriptors or memory: the connection stays in the kernel's queue; look again a little later, not at
 * once. */
static void accept_failed(struct server *srv, int why)
{
    struct tt_error err = {0};
    bool is_transient = why == EAGAIN || why == EWOULDBLOCK || why == EINTR || why == ECONNABORTED ||
                        why == EPROTO || why == EPERM;
    if (is_transient)
        return;
    (void)event_del(srv->acceptable);
    const struct timeval later = {0, RETRY_AFTER_US};
    (void)event_add(srv->retry, &later);
    (void)error_set(&err, TT_ERR_IO, "cannot accept a connection: %s", strerror(why));
    if (why == EMFILE)
        error_hint(&err, "raise the limit of open files (ulimit -n)");
    srv->opt.failed(srv->opt.arg, &err);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct server *srv = arg;
    for (int i = 0; i < ACCEPT_BURST && !srv->is_stopped; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof from;
        if (srv->connections >= srv->opt.max_connections)
            break;
        int peer = accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (peer < 0) {
            accept_failed(srv, errno);
            return;
        }
        srv->accepted++;
        connection_open(srv, peer, (const struct sockaddr *)&from);
        if (srv->opt.accept_limit > 0 && srv->accepted >= srv->opt.accept_limit)
            server_stop(srv);
    }
    if (!srv->is_stopped)
        accept_when_possible(srv);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    accept_when_possible(arg);
}

static void on_finish(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct server *srv = arg;
    if (srv->connections == 0 && srv->opt.finished != NULL)
        srv->opt.finished(srv->opt.arg);
}

static int listen_on(const struct addrinfo *at)
{
    const int on = 1;
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int why = errno;
    (void)close(fd);
    errno = why;
    return -1;
}

static tt_rc open_listener(struct server *srv, const struct address *at, struct tt_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(at->host[0] != '\0' ? at->host : NULL, at->port, &hints, &found);
    if (rc != 0)
        return error_set(err, TT_ERR_NOT_FOUND, "cannot listen on '%s': %s", at->host, gai_strerror(rc));
    for (const struct addrinfo *a = found; a != NULL && srv->fd < 0; a = a->ai_next)
        srv->fd = listen_on(a);
    int why = errno;
    freeaddrinfo(found);
    if (srv->fd >= 0)
        return TT_OK;
    (void)error_set(err, TT_ERR_IO, "cannot listen on %s:%s: %s", at->host, at->port, strerror(why));
    if (why == EACCES)
        error_hint(err, "ports below 1024 need root or CAP_NET_BIND_SERVICE");
    if (why == EADDRINUSE)
        error_hint(err, "another program has that port; port 0 chooses a free one");
    return TT_ERR_IO;
}

static tt_rc server_set_up(struct server *srv, const struct address *at, struct tt_error *err)
{
    TT_TRY(open_listener(srv, at, err));
    struct sockaddr_storage bound = {0};
    socklen_t len = sizeof bound;
    if (getsockname(srv->fd, (struct sockaddr *)&bound, &len) != 0)
        return error_set(err, TT_ERR_IO, "cannot tell the port: %s", strerror(errno));
    address_format(srv->address, (const struct sockaddr *)&bound);
    struct event_base *base = srv->opt.stream.base;
    srv->acceptable = event_new(base, srv->fd, EV_READ | EV_PERSIST, on_acceptable, srv);
    srv->retry = evtimer_new(base, on_retry, srv);
    srv->finish = evtimer_new(base, on_finish, srv);
    if (srv->acceptable == NULL || srv->retry == NULL || srv->finish == NULL ||
        event_add(srv->acceptable, NULL) != 0)
        return error_set(err, TT_ERR_MEMORY, "no memory for the listener");
    return TT_OK;
}

tt_rc server_listen(struct server **ret, const struct address *at, const struct server_options *opt,
                    struct tt_error *err)
{
    struct server *srv = mem_alloc(sizeof *srv);
    if (srv == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for the listener");
    srv->opt = *opt;
    srv->opt.stream.config = tt_config_ref(opt->stream.config);
    if (srv->opt.max_connections == 0)
        srv->opt.max_connections = SERVER_DEFAULT_CONNECTIONS;
    srv->fd = -1;
    tt_rc rc = server_set_up(srv, at, err);
    if (rc != TT_OK) {
        server_free(srv);
        return rc;
    }
    *ret = srv;
    return TT_OK;
}

const char *server_address(const struct server *srv)
{
    return srv->address;
}

size_t server_connections(const struct server *srv)
{
    return srv->connections;
}

void server_free(struct server *srv)
{
    if (srv == NULL)
        return;
    struct event *const events[] = {srv->acceptable, srv->retry, srv->finish};
    for (size_t i = 0; i < TT_COUNT(events); i++) {
        if (events[i] != NULL)
            event_free(events[i]);
    }
    if (srv->fd >= 0)
        (void)close(srv->fd);
    tt_config_free(srv->opt.stream.config);
    mem_free(srv);
}
