/* net/resolver.h: names looked up by getaddrinfo on threads of its own, for event loops that must not wait.
 * Layer: net. getaddrinfo knows what this machine says about names (nsswitch.conf, /etc/hosts, a resolv.conf
 * that changes); nothing is kept here, so that each question finds what is true now.
 *
 * Shared by threads and loops. One question at a time for a name: who asks meanwhile gets the same answer. */
#ifndef NET_RESOLVER_H
#define NET_RESOLVER_H

#include <event2/event.h>
#include <netdb.h>

#include "net/address.h"

#define RESOLVER_THREADS 4   /* at once; they end when nobody asks */
#define RESOLVER_WAITING 256 /* different names; more are refused */

struct resolver;
struct lookup;

TT_MUST_USE tt_rc resolver_new(struct resolver **ret, struct tt_error *err);
/* resolver_free: after the last lookup_free. A thread that hangs in getaddrinfo is left to its end. */
void resolver_free(struct resolver *r);

/* lookup_done_fn: from the loop. gai is getaddrinfo's result (why: errno with EAI_SYSTEM); found is valid
 * until lookup_free. */
typedef void (*lookup_done_fn)(void *arg, int gai, int why, const struct addrinfo *found);

/* lookup_start: stream sockets of to->host and to->port. TT_ERR_BUSY: too many wait. */
TT_MUST_USE tt_rc lookup_start(struct lookup **ret, struct resolver *r, struct event_base *base,
                               const struct address *to, lookup_done_fn done, void *arg,
                               struct tt_error *err);
/* lookup_free: at any time, also within done; nothing follows. NULL is fine. */
void lookup_free(struct lookup *l);

#endif
