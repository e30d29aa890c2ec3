/* http/bridge.h: what lets evhttp speak over our streams: a pair of local sockets. evhttp has the one end and
 * treats it like any connection; the other is joined to the stream by net/relay.h. So each has the ends, the
 * half-closes and the back-pressure that it expects, and nothing of evhttp's inside is touched. Layer: http.
 * Knows nothing of requests.
 *
 * The owner of the stream forwards its callbacks to bridge_plaintext, bridge_writable and bridge_gone. */
#ifndef HTTP_BRIDGE_H
#define HTTP_BRIDGE_H

#include "net/stream.h"

struct bridge;

/* bridge_pair: two joined local sockets, non-blocking and close-on-exec. */
TT_MUST_USE tt_rc bridge_pair(int ret_fd[2], struct tt_error *err);

/* bridge_new: `s` is connected; our_fd, one of bridge_pair, is the bridge's from success on. When the other
 * end is closed the stream is finished (stream_finish). */
TT_MUST_USE tt_rc bridge_new(struct bridge **ret, struct event_base *base, struct stream *s, int our_fd,
                             struct tt_error *err);
void bridge_plaintext(struct bridge *b);
void bridge_writable(struct bridge *b);
/* bridge_gone: the peer has ended and will read no more: evhttp sees the end of its input. After close_notify
 * alone it may still wait for an answer, which evhttp would not give after an end. */
void bridge_gone(struct bridge *b);
/* bridge_free: evhttp's end sees that the connection is over. NULL is fine; the stream is not touched. */
void bridge_free(struct bridge *b);

#endif
