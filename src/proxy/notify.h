/* proxy/notify.h: telling the service manager how we are: the protocol of sd_notify(3). Layer: proxy.
 *
 * Without NOTIFY_SOCKET nothing is sent and nothing fails. Every function takes NULL for a notify. Each that
 * tells something returns whether a manager was told. */
#ifndef PROXY_NOTIFY_H
#define PROXY_NOTIFY_H

#include <event2/event.h>

#include "base/rc.h"

struct notify;

/* notify_new: where the manager wants to hear that we live (WATCHDOG_USEC, sd_watchdog_enabled(3)), it does
 * at half of that time as long as the base's loop turns. The environment is left as it is. */
TT_MUST_USE tt_rc notify_new(struct notify **ret, struct event_base *base, struct tt_error *err);
void notify_free(struct notify *n);

bool notify_ready(struct notify *n);
bool notify_reloading(struct notify *n); /* notify_ready follows when it is done */
bool notify_stopping(struct notify *n);
bool notify_status(struct notify *n, const char *text); /* one line for `systemctl status` */

/* notify_store: have the descriptor kept over a restart (FileDescriptorStoreMax=) under this name: it comes
 * back as `systemd:NAME` does (net/listen.h). notify_remove: no longer. */
bool notify_store(struct notify *n, int fd, const char *name);
bool notify_remove(struct notify *n, const char *name);

/* notify_watchdog_ms: how often the manager is told; 0: never. */
unsigned notify_watchdog_ms(void);

#endif
