/* proxy/proxy_internal.h: what the accepting thread knows, shared by proxy.c (start and end) and reload.c
 * (changes). Layer: proxy.
 *
 * Tunnels belong to the accepting thread. One that is left (its acceptor stopped) lives on until nobody is in
 * it, and a while longer, and is freed on the thread of the TPM, as setups are. */
#ifndef PROXY_PROXY_INTERNAL_H
#define PROXY_PROXY_INTERNAL_H

#include "net/ktls.h"
#include "proxy/acceptor.h"
#include "proxy/notify.h"
#include "proxy/status.h"
#include "proxy/takeover.h"
#include "proxy/watch.h"

#define THREADS_MAX 64

struct reload;

/* struct step: one tunnel's part of a reload. */
struct step {
    struct tunnel *tunnel;
    struct tunnel *former; /* whose place a new one takes; or NULL */
    bool is_new;
};

struct proxy {
    struct proxy_options opt;
    struct event_base *base; /* opt.base */
    struct inbox inbox;
    struct sign_queue *queue;
    struct resolver *resolver;
    struct tunnel *tunnels; /* in force, a list */
    struct tunnel *leaving; /* a list */
    struct carrier carriers[THREADS_MAX];
    size_t carriers_len;
    struct watch *watch;
    struct status *status;
    struct notify *notify;
    struct takeover *takeover;
    int former;                  /* the process whose sockets are taken; -1 */
    struct listen_handed handed; /* of it, or of systemd's store */
    struct event *signals[3];
    bool is_draining;
    enum ktls_support ktls; /* KTLS_UNKNOWN: not wanted */

    /* a reload: one tunnel after the other, on the TPM's thread */
    bool reload_again;
    struct step *steps;
    size_t steps_len, step; /* equal: none is under way */
    struct sign_job *job;
    struct reload *reload;
    char file_error[sizeof(((struct tt_error *)0)->text)];
    struct event *leaving_look;

    struct lock lock;
    struct tunnel_setup *retired; /* under the lock, like: */
    struct tunnel *gone;          /* to be freed on the TPM's thread */
    struct post retiring;
    struct sign_job *unmaking;
};

/* proxy_tunnel_new: without a setup and an acceptor. NULL: no memory. proxy_tunnel_free: nobody knows it any
 * more; on the TPM's thread, or when that has ended. */
struct tunnel *proxy_tunnel_new(const struct tunnel_options *opt);
void proxy_tunnel_free(struct proxy *p, struct tunnel *t);
/* proxy_tunnel_fill: what comes with its first setup. */
TT_MUST_USE tt_rc proxy_tunnel_fill(struct tunnel *t, struct tunnel_setup *setup, struct tt_error *err);
TT_MUST_USE tt_rc proxy_tunnel_listen(struct proxy *p, struct tunnel *t, struct tt_error *err);
/* proxy_tunnel_begin: it listens, and what it has beside it begins. */
void proxy_tunnel_begin(struct proxy *p, struct tunnel *t);
/* proxy_tunnel_leave: nobody new; it is in no list any more. */
void proxy_tunnel_leave(struct proxy *p, struct tunnel *t);
/* proxy_delegate: its delegated credentials, as its setup has it now. */
void proxy_delegate(struct proxy *p, struct tunnel *t);

/* proxy_retire: a setup that nobody holds any more; on any thread. proxy_unmake_all: all of them, and the
 * tunnels that are gone. */
void proxy_retire(void *arg, struct tunnel_setup *setup);
void proxy_unmake_all(struct proxy *p);
void proxy_on_retiring(struct post *post);

/* proxy_reload: begin one, or one more behind the one that is under way. proxy_reload_end: what is under way
 * is forgotten. */
void proxy_reload(struct proxy *p);
void proxy_reload_end(struct proxy *p);

#endif
