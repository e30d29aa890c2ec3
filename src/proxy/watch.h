/* proxy/watch.h: tells when one of some files has changed: written, renamed over, or reached through a
 * symbolic link that leads elsewhere now. Layer: proxy. Reads no file. */
#ifndef PROXY_WATCH_H
#define PROXY_WATCH_H

#include <event2/event.h>

#include "base/rc.h"

#define WATCH_SETTLE_MS 200  /* nothing has happened for so long */
#define WATCH_LATEST_MS 2000 /* or something all the time */
#define WATCH_LOOK_S    60   /* where the kernel tells nothing, such as on NFS; without inotify every 5 s */

struct watch;
typedef void (*watch_fn)(void *arg);

/* watch_new: fn is called from the loop, once for changes that come together. The files are copied; they and
 * their directories may be missing, now or later. A file that vanishes is no change, its return is. Make it
 * before the files are read: what changes in between is told then. */
TT_MUST_USE tt_rc watch_new(struct watch **ret, struct event_base *base, const char *const *files, size_t n,
                            watch_fn fn, void *arg, struct tt_error *err);
/* watch_set: other files from now on. On failure the former ones stay. */
TT_MUST_USE tt_rc watch_set(struct watch *w, const char *const *files, size_t n, struct tt_error *err);
/* watch_free: also from within fn. NULL is fine. */
void watch_free(struct watch *w);

#endif
