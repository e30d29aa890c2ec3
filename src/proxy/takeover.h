/* proxy/takeover.h: a new process takes the listening sockets of the one that runs, which then only ends what
 * it has. Layer: proxy.
 *
 * Both are given one path. The new one asks there for the sockets (SCM_RIGHTS), starts, says that it listens,
 * and waits until the former has let go of them and of the path; from then on it answers there itself. One
 * that ends before it is ready changes nothing. Only the same user, or
 * root, may ask, and only the same or root is believed: whose sockets those are sees who connects. */
#ifndef PROXY_TAKEOVER_H
#define PROXY_TAKEOVER_H

#include <event2/event.h>

#include "net/listen.h"

/* takeover_ask: *ret_former is the connection to the one that runs; -1: nobody does. */
TT_MUST_USE tt_rc takeover_ask(struct listen_handed *ret, int *ret_former, const char *path,
                               struct tt_error *err);
/* takeover_ready: this process listens. Waits for the former to let go; closes the connection. */
TT_MUST_USE tt_rc takeover_ready(int former, struct tt_error *err);

struct takeover;
struct takeover_source {
    size_t (*listeners)(void *arg, int *ret, size_t cap); /* all descriptors */
    void (*let_go)(void *arg); /* the new one listens: accept no more, remove no path, end in order */
    void *arg;
};
/* takeover_open: answer there. */
TT_MUST_USE tt_rc takeover_open(struct takeover **ret, struct event_base *base, const char *path,
                                const struct takeover_source *source, struct tt_error *err);
void takeover_free(struct takeover *t); /* NULL is fine */

#endif
