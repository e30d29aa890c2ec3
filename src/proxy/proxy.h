/* proxy/proxy.h: tunnels between TLS 1.3 and plaintext, many in one process, on one TPM. Layer: proxy. Knows
 * no option and no key file: whoever starts it makes each tunnel's setup, and makes it again on a reload.
 *
 * One thread accepts, watches files and answers for the status; carrier threads carry the connections, each
 * with a loop of its own, and one more thread owns the TPM (net/sign_queue.h). */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include <stdatomic.h>

#include "net/attest_gate.h"
#include "net/ech_offer.h"
#include "net/session_store.h"
#include "pki/cert_algorithms.h"
#include "proxy/rule.h"

/* struct tunnel_setup: by what a new connection is made; replaced as a whole by a reload, kept by the
 * connections that began with it. */
struct tunnel_setup {
    atomic_uint holders;
    struct tt_config *config;         /* frozen */
    uint8_t fingerprint[32];          /* of config */
    struct rules rules;               /* server: who may pass */
    struct ech_offer ech;             /* client: what is offered to hide the server's name */
    struct tt_key *key;               /* of delegation */
    struct tt_delegation *delegation; /* or NULL */
    bool attests;                     /* client: shows that key's TPM on each connection */
    struct tt_key *attest_key;        /* with attests */
    struct buf ek_certificates;       /* with attests: see net/attest_gate.h */
    struct tt_attest_policy *attest;  /* server: what clients have to show; or NULL */
    uint8_t attest_secret[TT_ATTEST_KEY_SIZE];
    struct cert_algorithms algorithms; /* of our certificate, where there is one identity alone */
    int64_t not_after;                 /* of our certificate, seconds since 1970; 0: there is none */
    void *owned;                       /* the maker's */
    struct tunnel_setup *next;         /* of those that nobody holds any more */
};

struct tunnel_options {
    const char *name;               /* in logs, status and metrics */
    void *maker;                    /* what `make` makes its setups from */
    enum tt_role role;              /* client: plaintext in, TLS out. server: TLS in, plaintext out */
    const char *listen;             /* see listen_open */
    const char *connect;            /* HOST:PORT or unix:PATH */
    const char *server_name;        /* client: of the server that is meant */
    struct session_store *sessions; /* client: or NULL; must outlive the proxy */
    enum session_mode session_mode; /* of sessions */
    bool burst;                     /* client: wait for the tickets of a handshake that is under way */
    bool proxy_protocol;            /* server: begin with a header of the PROXY protocol, version 2 */
    unsigned connect_timeout_s,
        handshake_timeout_s; /* from the first byte until data may pass; of TLS alone */
    unsigned idle_timeout_s, close_timeout_s, lifetime_s; /* 0: none */
    size_t max_connections;
    unsigned delegate_s;
};

/* struct proxy_tunnels: what reread found. */
struct proxy_tunnels {
    const struct tunnel_options *tunnels;
    size_t tunnels_len;
    const char *const *watched;
    size_t watched_len;
};

struct proxy_options {
    struct event_base *base; /* the caller's; proxy_run runs it */
    const struct tunnel_options *tunnels;
    size_t tunnels_len;
    struct tt_tpm *const *tpm; /* of all keys; looked at once the first setups are made. Or NULL */
    unsigned sign_deadline_ms;
    unsigned threads; /* 0: one a core */
    unsigned shutdown_timeout_s;
    bool no_ktls;               /* the kernel gets no records */
    const char *takeover;       /* a path: see takeover.h; or NULL */
    const char *status;         /* unix:PATH or 127.0.0.1:PORT; or NULL */
    const char *const *watched; /* files that lead to a reload when they change */
    size_t watched_len;
    /* make: a setup of a tunnel from the files as they are now; `before` is the one in force. NULL: it is the
     * tunnel's first, and make may complete t (its sessions). Before proxy_run listens on the caller's
     * thread, later on the thread of the TPM. unmake: the same way. */
    tt_rc (*make)(void *arg, struct tunnel_options *t, const struct tunnel_setup *before,
                  struct tunnel_setup **ret, struct tt_error *err);
    void (*unmake)(void *arg, struct tunnel_setup *setup);
    /* reread: at the beginning of a reload: which tunnels there are to be now. One that is in force, as it
     * is, has its `maker`; another `maker` under its name takes its place, once its first setup is made. What
     * ret points to is valid until the next call. When it fails all stays. NULL: they never change. */
    tt_rc (*reread)(void *arg, struct proxy_tunnels *ret, struct tt_error *err);
    /* began: the tunnel listens. left: nobody new comes to it, and reread must not name it any more; also of
     * one that did not begin, and perhaps more than once. Both
     * on the accepting thread, whose loop and queue are for what it has beside it (ticket keys). release:
     * nothing of the tunnel is left; on the thread of the TPM, or when that has ended. Each may be NULL. */
    void (*began)(void *arg, const struct tunnel_options *t, struct sign_queue *queue);
    void (*left)(void *arg, const struct tunnel_options *t);
    void (*release)(void *arg, void *maker);
    /* started: all is set up and listening; what is done now is done before the first connection. May be
     * NULL. */
    tt_rc (*started)(void *arg, struct tt_error *err);
    void *arg;
};

/* proxy_run: until SIGTERM or SIGINT; those in order, a second one at once. An error is of the start. */
TT_MUST_USE tt_rc proxy_run(const struct proxy_options *opt, struct tt_error *err);

#endif
