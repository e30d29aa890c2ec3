/* net/reach.h: from a name to a connected socket, by Happy Eyeballs (RFC 8305). Layer: net.
 *
 * The addresses of both families take turns; the next is tried after 250 ms, or at once when one fails, while
 * the earlier ones go on; the first that answers wins and the others are closed. Nothing blocks. */
#ifndef NET_REACH_H
#define NET_REACH_H

#include "net/resolver.h"

#define REACH_TIMEOUT_MS    30000
#define REACH_NEXT_AFTER_MS 250 /* RFC 8305 section 8: Connection Attempt Delay */
#define REACH_ADDRESSES     16  /* of a name with more the first ones are tried */

struct reach;

struct reach_options {
    struct event_base *base;
    const char *target;                /* HOST:PORT or unix:PATH; copied */
    const struct address *address;     /* instead of target, parsed already; copied */
    const struct addrinfo *candidates; /* or NULL: these are the addresses of the target; copied */
    struct resolver *resolver;         /* must outlive the reach; NULL: one of its own */
    unsigned timeout_ms;               /* for all of it; 0: REACH_TIMEOUT_MS */
    /* Exactly once, from the loop: fd is connected, non-blocking, close-on-exec and the callee's, with
     * tcp_prepare done; or -1 with the reason. reach_free is due then, also from within. */
    void (*done)(void *arg, int fd, const struct tt_error *error);
    void *arg;
};

/* reach_start: TT_ERR_USAGE when the target has no such form; what else goes wrong is told by done. */
TT_MUST_USE tt_rc reach_start(struct reach **ret, const struct reach_options *opt, struct tt_error *err);
/* reach_free: stops trying; done is not called any more. NULL is fine. */
void reach_free(struct reach *r);
/* reach_check: has the target one of the forms. */
TT_MUST_USE tt_rc reach_check(const char *target, struct tt_error *err);

/* reach_order: the order of attempts (RFC 8305 section 4), of at most max of them: the resolver's (RFC 6724),
 * but with the families taking turns. Returns how many. */
size_t reach_order(const struct addrinfo **ret, size_t max, const struct addrinfo *found);

#endif
