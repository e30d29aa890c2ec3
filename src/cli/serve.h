/* cli/serve.h: the inside of `tpmtls serve`: the command (cmd_serve.c), its configuration, again and again
 * (serve_config.c, serve_reload.c), its connections (serve_session.c), and what answers them (serve_echo.c,
 * serve_www.c, serve_exec.c). Layer: cli. */
#ifndef CLI_SERVE_H
#define CLI_SERVE_H

#include <stdatomic.h>

#include "cli/cli.h"
#include "cli/delegate.h"
#include "cli/keylog.h"
#include "cli/serve_tickets.h"
#include "cli/tls_options.h"
#include "cli/trace.h"
#include "cli/trust_options.h"
#include "net/ech_files.h"
#include "net/attest_gate.h"
#include "net/server.h"

struct session;

/* struct serve_mode: what is done with a connection. Each may be NULL. */
struct serve_mode {
    tt_rc (*connected)(struct session *x, struct tt_error *err);
    void (*early)(struct session *x); /* 0-RTT data, before `connected`; NULL: it comes with the rest */
    void (*plaintext)(struct session *x);
    void (*writable)(struct session *x);
    void (*ended)(struct session *x);
    /* The stream is closed: clean up. False: something is still busy and will call session_release itself. */
    bool (*closed)(struct session *x);
    void (*stop)(struct session *x); /* the server ends: hurry */
    void (*lost)(struct session *x); /* before `closed`: nobody is there any more */
    bool request_is_answered;        /* see stream_options */
};
extern const struct serve_mode serve_echo, serve_www, serve_exec;

struct serve_options {
    struct tls_options tls;
    struct trust_options trust;
    struct ticket_options tickets;
    struct option_list ech_keys;
    const char *listen, *command, *attestation;
    unsigned long accept, max_connections;       /* 0: without end; the default */
    unsigned long request_timeout, idle_timeout; /* seconds; 0: for ever */
    bool echo, www, require_client_cert, force_retry;
};

/* struct generation: a configuration and what it needs. One is current; those before it stay as long as a
 * connection uses them. Made at the start, and then on the thread that owns the TPM; there they end, too. */
struct generation {
    struct serve *serve;
    struct generation *next; /* among those that are to end */
    struct tt_config *config;
    struct tls_identities identities;
    size_t users;        /* connections, and being the current one */
    bool is_leaving;     /* its end is asked for */
    atomic_bool is_over; /* but for the struct itself */
};

struct serve_reload;

struct serve {
    const struct cli *cli;
    const struct serve_options *options;
    const struct serve_mode *mode;
    struct trace trace;

    struct cli_delegate delegate;
    struct generation *current;
    struct generation *ending; /* by `next` */
    struct tt_tpm *tpm;        /* of keys and PSKs */
    struct tls_psks psks;
    struct keylog keylog;
    struct pcap *pcap;
    struct serve_reload *reload;
    struct event_base *base;
    struct sign_queue *signer;
    struct serve_tickets tickets;
    struct tt_attest_policy *attest; /* or NULL: --require-attestation */
    uint8_t attest_secret[TT_ATTEST_KEY_SIZE];
    struct tt_tpm *ech_tpm; /* opened for the ECH keys alone, or NULL */
    struct ech_files *ech;
    struct server *server;
    struct event *signals[3], *child_exit;
    struct session *sessions; /* doubly linked */
    unsigned long next_number;
    bool is_stopping, had_terminal;
};

/* struct session: one connection. `mode_data` is the mode's own. */
struct session {
    struct serve *serve;
    struct generation *generation;
    struct session *next, *prev;
    struct stream *stream; /* NULL once closed */
    unsigned long number;
    char peer[ADDRESS_TEXT_MAX];
    struct trace trace;
    struct attest_gate *gate;   /* while the client shows its TPM */
    bool is_waiting, has_ended; /* no data may pass yet; the client has ended its side */
    void *mode_data;
};

/* For server_options. */
void *session_accepted(void *arg, struct stream_options *opt, const char *peer);
void session_opened(void *arg, void *session, struct stream *s);
/* serve_ech: --ech-key. *tpm: the one that is open, or NULL, which may change. */
TT_MUST_USE tt_rc serve_ech(struct serve *serve, struct tt_tpm **tpm, struct tt_error *err);

/* generation_first: and what all of them share: the TPM, PSKs, tickets, ECH keys. *ret_tpm: for the queue. */
TT_MUST_USE tt_rc generation_first(struct serve *serve, struct tt_tpm **ret_tpm, struct tt_error *err);
/* generation_next: from the files as they are now; on the queue's thread. */
TT_MUST_USE tt_rc generation_next(struct generation **ret, struct serve *serve, struct tt_error *err);
/* generation_use: make it current, for connections to come. */
void generation_use(struct serve *serve, struct generation *g);
struct generation *generation_hold(struct generation *g);
void generation_drop(struct generation *g); /* NULL is fine */
/* generation_end: at once; on the queue's thread, or after the queue. NULL is fine. */
void generation_end(struct generation *g);
/* generations_end_all: after the queue, before the TPM. */
void generations_end_all(struct serve *serve);

/* serve_reload_start: watch the files that the configuration is made of, and our certificates' ends. */
TT_MUST_USE tt_rc serve_reload_start(struct serve *serve, struct tt_error *err);
void serve_reload_now(struct serve *serve);  /* for SIGHUP */
void serve_reload_stop(struct serve *serve); /* before the queue */

/* session_release: forget a session whose stream is gone. */
void session_release(struct session *x);
/* serve_exec_reap: look which children have ended; for SIGCHLD. */
void serve_exec_reap(struct serve *serve);

#endif
