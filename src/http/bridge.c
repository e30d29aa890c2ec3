/* http/bridge.c: see bridge.h. Layer: http. */
#include "http/bridge.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "net/relay.h"

struct bridge {
    struct stream *stream;
    struct relay *relay;
};

tt_rc bridge_pair(int ret_fd[2], struct tt_error *err)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret_fd) != 0)
        return error_set(err, errno == ENOMEM || errno == ENOBUFS ? TT_ERR_MEMORY : TT_ERR_IO,
                         "cannot make a pair of sockets: %s", strerror(errno));
    return TT_OK;
}

static void on_in_ended(void *arg)
{
    struct bridge *b = arg;
    stream_finish(b->stream);
}

tt_rc bridge_new(struct bridge **ret, struct event_base *base, struct stream *s, int our_fd,
                 struct tt_error *err)
{
    struct bridge *b = mem_alloc(sizeof *b);
    if (b == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for a connection");
    b->stream = s;
    const struct relay_options opt = {.base = base,
                                      .stream = s,
                                      .in_fd = our_fd,
                                      .out_fd = our_fd,
                                      .owns_fds = true,
                                      .in_name = "evhttp",
                                      .out_name = "evhttp",
                                      .out_may_close = true,
                                      .in_ended = on_in_ended,
                                      .arg = b};
    tt_rc rc = relay_new(&b->relay, &opt, err);
    if (rc != TT_OK) {
        mem_free(b);
        return rc;
    }
    *ret = b;
    return TT_OK;
}

void bridge_plaintext(struct bridge *b)
{
    relay_plaintext(b->relay);
}

void bridge_writable(struct bridge *b)
{
    relay_writable(b->relay);
}

void bridge_gone(struct bridge *b)
{
    relay_ended(b->relay);
}

void bridge_free(struct bridge *b)
{
    if (b == NULL)
        return;
    relay_free(b->relay);
    mem_free(b);
}
