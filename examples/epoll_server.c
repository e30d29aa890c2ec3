/* epoll_server.c: an echo server that drives the engine itself, with epoll: what tpmtls/tls.h looks like
 * without any of the library's own I/O. The key is a software key, so signing is done at once; with a key
 * that takes its time, keep tt_sign_request.id, go on with other connections, and answer later.
 *
 *     epoll_server PORT KEY CERT [CONNECTIONS]          listens on 127.0.0.1; ends after so many connections
 *
 *     cc epoll_server.c $(pkg-config --cflags --libs tpmtls) -o epoll_server
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <tpmtls/stream.h>

static struct tt_error err;
static int loop = -1;

struct peer {
    int fd;
    struct tt_conn *conn;
    uint8_t in[16384];
    size_t in_len; /* of `in`: what the engine did not take yet */
};

static void die(const char *what)
{
    fprintf(stderr, "epoll_server: %s\n", what);
    exit(1);
}

static void must(tt_rc rc)
{
    if (rc != TT_OK)
        die(err.text);
}

/* A small file, whole; the view is valid until the next call. */
static struct tt_bytes file(const char *path)
{
    static uint8_t data[1 << 16];
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        die(path);
    size_t n = fread(data, 1, sizeof data, f);
    fclose(f);
    return (struct tt_bytes){data, n};
}

/* ---- one connection ---- */

static void answer(struct tt_conn *c)
{
    struct tt_sign_request request;
    uint8_t signature[1024];
    size_t n;
    struct tt_error why = {0};
    if ((tt_conn_wants(c) & TT_WANT_SIGN) == 0 || tt_conn_sign_request(c, &request) != TT_OK)
        return;
    tt_rc rc =
        tt_key_sign(request.key, request.scheme, request.to_sign, signature, sizeof signature, &n, &why);
    rc = rc == TT_OK ? tt_conn_sign_complete(c, request.id, (struct tt_bytes){signature, n})
                     : tt_conn_sign_fail(c, request.id, &why);
    (void)rc; /* sticky: tt_conn_error tells */
}

static bool feed(struct peer *p)
{
    size_t n = 0;
    if (p->in_len == 0 || tt_conn_feed(p->conn, p->in, p->in_len, &n) != TT_OK)
        return false;
    memmove(p->in, p->in + n, p->in_len -= n);
    return n > 0;
}

static bool echo(struct tt_conn *c)
{
    size_t n = 0;
    struct tt_bytes got = tt_conn_plaintext(c);
    if (got.len == 0)
        return false;
    tt_rc rc = tt_conn_write(c, got.data, got.len, &n);
    if (rc == TT_OK && n > 0)
        rc = tt_conn_plaintext_done(c, n);
    return rc == TT_OK && n > 0;
}

/* False when the socket takes no more now. */
static bool send_all(struct peer *p)
{
    for (struct tt_bytes out; (out = tt_conn_output(p->conn)).len > 0;) {
        ssize_t n = send(p->fd, out.data, out.len, MSG_NOSIGNAL);
        if (n < 0)
            return errno != EAGAIN;
        tt_conn_output_done(p->conn, (size_t)n);
    }
    return true;
}

static void receive(struct peer *p)
{
    ssize_t n = recv(p->fd, p->in + p->in_len, sizeof p->in - p->in_len, 0);
    if (n > 0)
        p->in_len += (size_t)n;
    else if (n == 0 && tt_conn_feed_eof(p->conn) != TT_OK)
        fprintf(stderr, "epoll_server: a client hung up\n");
}

/* Everything that can be done now; true when the connection is over. */
static bool run(struct peer *p)
{
    bool moved;
    do {
        answer(p->conn);
        moved = feed(p);
        moved = echo(p->conn) || moved;
    } while (moved);
    if (tt_conn_received_close_notify(p->conn) && tt_conn_close(p->conn) != TT_OK)
        return true;
    bool sent = send_all(p);
    const struct tt_conn_status *status = tt_conn_error(p->conn);
    if (status->error.rc != TT_OK)
        fprintf(stderr, "epoll_server: %s\n", status->error.text);
    return sent && (status->error.rc != TT_OK || tt_conn_received_close_notify(p->conn));
}

static void watch(struct peer *p, int how)
{
    struct epoll_event e = {.data.ptr = p};
    if (p->in_len < sizeof p->in)
        e.events |= EPOLLIN;
    if (tt_conn_output(p->conn).len > 0)
        e.events |= EPOLLOUT;
    if (epoll_ctl(loop, how, p->fd, &e) != 0)
        die("epoll_ctl");
}

static void on_event(struct peer *p, uint32_t events, int *left)
{
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && p->in_len < sizeof p->in)
        receive(p);
    if (!run(p)) {
        watch(p, EPOLL_CTL_MOD);
        return;
    }
    tt_conn_free(p->conn);
    close(p->fd);
    free(p);
    (*left)--;
}

/* ---- the listener ---- */

static void on_connection(int listener, struct tt_config *cfg)
{
    const struct tt_conn_options options = {.now = (int64_t)time(NULL)};
    struct peer *p = calloc(1, sizeof *p);
    if (p == NULL)
        die("out of memory");
    p->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (p->fd < 0) {
        free(p);
        return;
    }
    must(tt_conn_new(&p->conn, cfg, &options, &err));
    watch(p, EPOLL_CTL_ADD);
}

static int listen_at(int port)
{
    const int on = 1;
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 16) != 0)
        die(strerror(errno));
    struct epoll_event e = {.events = EPOLLIN}; /* data.ptr NULL: the listener */
    if (epoll_ctl(loop, EPOLL_CTL_ADD, fd, &e) != 0)
        die("epoll_ctl");
    return fd;
}

int main(int argc, char **argv)
{
    struct tt_key *key;
    struct tt_config *cfg;
    if (argc < 4)
        die("usage: epoll_server PORT KEY CERT [CONNECTIONS]");
    int left = argc > 4 ? atoi(argv[4]) : -1;
    must(tt_key_open_software(&key, file(argv[2]), NULL, &err));
    must(tt_config_new(&cfg, TT_SERVER, &err));
    must(tt_config_add_key_file(cfg, key, argv[3], &err));
    must(tt_config_freeze(cfg, &err));
    loop = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_at(atoi(argv[1]));
    printf("listening\n");
    fflush(stdout);
    while (left != 0) {
        struct epoll_event events[16];
        int n = epoll_wait(loop, events, 16, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                on_connection(listener, cfg);
            else
                on_event(events[i].data.ptr, events[i].events, &left);
        }
    }
    close(listener);
    close(loop);
    tt_config_free(cfg);
    tt_key_free(key);
    return 0;
}
