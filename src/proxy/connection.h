/* proxy/connection.h: one connection through a tunnel: from the socket that was accepted to the one at the
 * target. Layer: proxy. Belongs to one carrier. */
#ifndef PROXY_CONNECTION_H
#define PROXY_CONNECTION_H

#include "net/relay.h"
#include "proxy/carrier.h"

/* connection_hand_over: on the accepting thread: fd becomes w's. False: no memory; fd is still the caller's.
 */
bool connection_hand_over(struct carrier *w, struct tunnel *t, int fd, const char *peer);
/* connection_check: the time is now: does any of its time-outs end it? It may be gone afterwards. */
void connection_check(struct connection *c, uint64_t now_ns);
/* connection_cut: at once; both ends see that it was not the end. */
void connection_cut(struct connection *c, const struct tt_error *why);
struct connection *connection_next(const struct connection *c);

#endif
