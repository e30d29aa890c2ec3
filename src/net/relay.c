/* net/relay.c: between a stream and two descriptors. Layer: net. Holds no queue of its own but for what the
 * stream did not take of one read; what the descriptor does not take stays in the stream. */
#include "net/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

#define CHUNK (64 * 1024)
#define BLOCKING_SAFE                                                                                        \
    4096 /* PIPE_BUF: a pipe that poll() calls writable takes this much without blocking                     \
          */

struct relay {
    struct relay_options opt;
    struct event *in_ready, *out_ready;
    size_t out_chunk;
    bool has_failed, is_held_back;
    struct buf held; /* read from in_fd, not taken by the stream yet */
    struct relay_counts counts;
};

/* One socket both ways is closed when both directions have ended. */
static void close_in(struct relay *r)
{
    if (r->in_ready != NULL)
        event_free(TT_TAKE(r->in_ready));
    if (r->opt.owns_fds && r->opt.in_fd >= 0 && r->opt.in_fd != r->opt.out_fd)
        (void)close(r->opt.in_fd);
    r->opt.in_fd = -1;
}

static void close_out(struct relay *r)
{
    if (r->out_ready != NULL)
        event_free(TT_TAKE(r->out_ready));
    if (r->opt.out_fd >= 0 && r->opt.in_fd == r->opt.out_fd)
        (void)shutdown(r->opt.out_fd, SHUT_WR);
    else if (r->opt.owns_fds && r->opt.out_fd >= 0)
        (void)close(r->opt.out_fd);
    r->opt.out_fd = -1;
}

static void fail(struct relay *r, const char *whom, int why)
{
    struct tt_error err = {0};
    (void)error_set(&err, TT_ERR_IO, whom == r->opt.in_name ? "cannot read %s: %s" : "cannot write %s: %s",
                    whom, strerror(why));
    if (!r->has_failed && r->opt.failed != NULL) {
        r->has_failed = true;
        r->opt.failed(r->opt.arg, &err);
    }
}

/* ---- from in_fd to the peer ---- */

static size_t send_some(struct relay *r, struct tt_bytes data)
{
    size_t taken = stream_write(r->opt.stream, data.data, data.len);
    r->counts.to_peer += taken;
    return taken;
}

/* True when everything that was read is with the stream. */
static bool send_held(struct relay *r)
{
    struct tt_bytes *first = &r->opt.first;
    if (first->len > 0) {
        size_t n = send_some(r, *first);
        *first = (struct tt_bytes){first->data + n, first->len - n};
        return first->len == 0;
    }
    if (buf_size(&r->held) == 0)
        return true;
    buf_consume(&r->held, send_some(r, buf_bytes(&r->held)));
    if (buf_size(&r->held) > 0)
        return false;
    buf_free(&r->held);
    return true;
}

static void on_input(struct relay *r, struct tt_bytes data)
{
    size_t taken = send_some(r, data);
    if (taken == data.len)
        return;
    (void)event_del(r->in_ready);
    if (buf_append(&r->held, data.data + taken, data.len - taken) != TT_OK)
        fail(r, r->opt.in_name, ENOMEM);
}

static void on_in_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct relay *r = arg;
    uint8_t data[CHUNK];
    ssize_t n = read(fd, data, sizeof data);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        on_input(r, (struct tt_bytes){data, (size_t)n});
        return;
    }
    int why = n < 0 ? errno : 0;
    close_in(r);
    if (why != 0 && why != EIO) { /* EIO: the terminal or its other end is gone, which is an end too */
        fail(r, r->opt.in_name, why);
        return;
    }
    stream_close(r->opt.stream);
    if (r->opt.in_ended != NULL)
        r->opt.in_ended(r->opt.arg);
}

void relay_writable(struct relay *r)
{
    if (r->in_ready != NULL && send_held(r) && !r->is_held_back)
        (void)event_add(r->in_ready, NULL);
}

void relay_hold(struct relay *r, bool on)
{
    r->is_held_back = on;
    if (r->in_ready != NULL && on)
        (void)event_del(r->in_ready);
    else if (r->in_ready != NULL && relay_is_empty(r))
        (void)event_add(r->in_ready, NULL);
}

bool relay_is_empty(const struct relay *r)
{
    return buf_size(&r->held) == 0 && r->opt.first.len == 0;
}

/* ---- from the peer to out_fd ---- */

/* 0, or the errno of a write that failed for good; EAGAIN: not now. */
static int write_some(struct relay *r)
{
    struct tt_bytes plaintext = stream_plaintext(r->opt.stream);
    while (plaintext.len > 0) {
        size_t chunk = plaintext.len < r->out_chunk ? plaintext.len : r->out_chunk;
        ssize_t n = r->opt.out_fd >= 0 ? write(r->opt.out_fd, plaintext.data, chunk) : (ssize_t)plaintext.len;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        r->counts.from_peer += (size_t)n;
        stream_plaintext_done(r->opt.stream, (size_t)n);
        if (r->opt.out_fd >= 0 && r->out_chunk == BLOCKING_SAFE)
            return EAGAIN; /* ask poll again before the next one */
        plaintext = stream_plaintext(r->opt.stream);
    }
    return 0;
}

void relay_plaintext(struct relay *r)
{
    int rc = write_some(r);
    if (rc == EAGAIN) {
        (void)event_add(r->out_ready, NULL);
    } else if (rc != 0 && r->opt.out_may_close) {
        close_out(r);
        (void)write_some(r); /* away with the rest */
    } else if (rc != 0) {
        close_out(r);
        fail(r, r->opt.out_name, rc);
    }
}

static void on_out_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    relay_plaintext(arg);
}

struct relay_counts relay_counts(const struct relay *r)
{
    return r->counts;
}

void relay_ended(struct relay *r)
{
    close_out(r);
}

/* ---- life ---- */

static bool may_block(int fd)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);
    return fstat(fd, &st) == 0 && !S_ISREG(st.st_mode) && (flags & O_NONBLOCK) == 0;
}

static tt_rc relay_set_up(struct relay *r, struct tt_error *err)
{
    if (r->opt.in_fd >= 0) {
        r->in_ready = event_new(r->opt.base, r->opt.in_fd, EV_READ | EV_PERSIST, on_in_ready, r);
        if (r->in_ready == NULL || (send_held(r) && event_add(r->in_ready, NULL) != 0))
            return error_set(err, TT_ERR_IO, "cannot watch the input");
    }
    if (r->opt.out_fd >= 0) {
        r->out_chunk = may_block(r->opt.out_fd) ? BLOCKING_SAFE : CHUNK;
        r->out_ready = event_new(r->opt.base, r->opt.out_fd, EV_WRITE, on_out_ready, r);
        if (r->out_ready == NULL)
            return error_set(err, TT_ERR_IO, "cannot watch the output");
    }
    return TT_OK;
}

tt_rc relay_new(struct relay **ret, const struct relay_options *opt, struct tt_error *err)
{
    struct relay *r = mem_alloc(sizeof *r);
    if (r == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory to pass data on");
    r->opt = *opt;
    if (r->opt.in_name == NULL)
        r->opt.in_name = "standard input";
    if (r->opt.out_name == NULL)
        r->opt.out_name = "standard output";
    tt_rc rc = relay_set_up(r, err);
    if (rc != TT_OK) {
        r->opt.owns_fds = false; /* still the caller's */
        relay_free(r);
        return rc;
    }
    *ret = r;
    return TT_OK;
}

void relay_free(struct relay *r)
{
    if (r == NULL)
        return;
    if (r->opt.in_fd == r->opt.out_fd)
        r->opt.out_fd = -1; /* closed once, and not shut down: what has no end must not look as if it had */
    if (r->out_ready != NULL)
        event_free(TT_TAKE(r->out_ready));
    close_in(r);
    close_out(r);
    buf_free(&r->held);
    mem_free(r);
}
