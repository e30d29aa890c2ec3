/* proxy/status.h: how the proxy is, by HTTP for those on this machine: /_status (JSON), /_metrics
 * (Prometheus' text),
 * /_live and /_ready. Layer: proxy. What the pages say is the source's. */
#ifndef PROXY_STATUS_H
#define PROXY_STATUS_H

#include <event2/event.h>
#include <jansson.h>

#include "net/listen.h"

#include "base/rc.h"

#define STATUS_CONNECTIONS 32 /* at once; more wait in the kernel */
#define STATUS_TIMEOUT_S   5  /* without a byte */
#define STATUS_LONGEST_S   30 /* a connection, whatever it does */

struct status;

/* struct status_source: asked from the loop, once a request. */
struct status_source {
    json_t *(*status)(void *arg); /* a new reference, or NULL: no memory */
    char *(*metrics)(void *arg);  /* of mem_alloc, or NULL */
    bool (*is_ready)(void *arg);
    void *arg;
    struct listen_handed *handed; /* sockets that are there already; or NULL */
};

/* status_open: where is 127.0.0.1:PORT, unix:PATH or systemd:NAME (net/listen.h). TT_ERR_USAGE: others than
 * those of this machine could reach it. */
TT_MUST_USE tt_rc status_open(struct status **ret, struct event_base *base, const char *where,
                              const struct status_source *source, struct tt_error *err);
/* status_check: whether where is such a place. Opens nothing. */
TT_MUST_USE tt_rc status_check(const char *where, struct tt_error *err);
/* status_listeners: to be looked at. */
struct listeners *status_listeners(struct status *s);
/* status_address: the first one, with its port. */
const char *status_address(const struct status *s);
void status_free(struct status *s);

#endif
