/* net/tcp.h: what every way to connect has in common: looking a host up, saying why it cannot be reached, the
 * socket's own options. Layer: net. */
#ifndef NET_TCP_H
#define NET_TCP_H

#include <netdb.h>

#include "net/address.h"

#define TCP_PEER_MAX (sizeof(((struct address *)0)->host) + 8)

/* tcp_peer_name: "HOST:PORT" for messages, with brackets around an IPv6 address. */
void tcp_peer_name(char ret[TCP_PEER_MAX], const struct address *to);
/* tcp_look_up: the stream addresses of a host; may block for the resolver. freeaddrinfo frees them.
 * TT_ERR_NOT_FOUND when the name is unknown, TT_ERR_USAGE when there is none. */
TT_MUST_USE tt_rc tcp_look_up(struct addrinfo **ret, const struct address *to, struct tt_error *err);
/* tcp_explain_look_up: what getaddrinfo said about the host, with errno where it is EAI_SYSTEM:
 * TT_ERR_NOT_FOUND.
 */
tt_rc tcp_explain_look_up(struct tt_error *err, const char *host, int gai, int why);
/* tcp_explain: why connecting to peer failed with this errno; ETIMEDOUT is TT_ERR_DEADLINE, others TT_ERR_IO.
 */
tt_rc tcp_explain(struct tt_error *err, const char *peer, int why);
/* tcp_prepare: what every connection of ours has, accepted or dialled: small writes leave at once, and a peer
 * whose machine is gone is noticed after about two minutes, whether it owes us something (keepalive) or has
 * not acknowledged what we sent (TCP_USER_TIMEOUT). */
void tcp_prepare(int fd);

#endif
