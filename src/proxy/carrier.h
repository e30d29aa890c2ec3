/* proxy/carrier.h: a thread with a loop that carries connections. Layer: proxy. */
#ifndef PROXY_CARRIER_H
#define PROXY_CARRIER_H

#include <pthread.h>

#include "net/resolver.h"
#include "net/stream.h"
#include "proxy/admit.h"
#include "proxy/inbox.h"
#include "proxy/tunnel.h"

#define CARRIER_TICK_MS 250

struct connection;

/* struct leftover: sessions whose keys the TPM holds, to be freed on its thread; when it did not take that
 * job, when it is gone. */
struct leftover {
    struct leftover *next;
    struct session_taken taken;
};

struct carrier {
    struct inbox inbox;
    struct event_base *base;
    struct sign_queue *queue;
    struct resolver *resolver; /* of all carriers */
    struct stream_gate gate;
    struct known_names known;
    bool ktls; /* the kernel may have records */
    struct event *tick;
    pthread_t thread;
    bool runs;
    struct connection *connections;
    struct leftover *leftovers;
    struct post draining;
    uint64_t drain_until_ns;     /* 0: not yet */
    atomic_uint open, beginning; /* connections; those whose handshake is not over */
    /* retire: a setup that nobody holds any more; on any thread. */
    void (*retire)(void *arg, struct tunnel_setup *setup);
    void *arg;
    unsigned shutdown_timeout_s;
};

struct carrier_options {
    struct sign_queue *beside;
    struct resolver *resolver;
    bool ktls;
    unsigned shutdown_timeout_s;
    void (*retire)(void *arg, struct tunnel_setup *setup);
    void *arg;
};
/* carrier_open: w is zero. Its thread begins with carrier_start. */
TT_MUST_USE tt_rc carrier_open(struct carrier *w, const struct carrier_options *opt, struct tt_error *err);
TT_MUST_USE tt_rc carrier_start(struct carrier *w, struct tt_error *err);
/* carrier_drain: from any thread: it ends when its last connection does, or when the time is over. */
void carrier_drain(struct carrier *w);
/* carrier_join: waits for its end. */
void carrier_join(struct carrier *w);
/* carrier_close: waits for its end; then its connections are cut. carrier_free_leftovers: when no queue is
 * left. */
void carrier_close(struct carrier *w);
void carrier_free_leftovers(struct carrier *w);

#endif
