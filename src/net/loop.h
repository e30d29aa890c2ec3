/* net/loop.h: the event base, made the way this program needs it. Layer: net. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <event2/event.h>

#include "base/rc.h"

/* loop_new: with any_fd the base also watches regular files and /dev/null (always ready), which epoll
 * refuses; it is slower with many descriptors. Free with event_base_free. */
TT_MUST_USE tt_rc loop_new(struct event_base **ret, bool any_fd, struct tt_error *err);

#endif
