/* cli/serve.h: the inside of `tpmtls serve`: the command (cmd_serve.c), its connections (serve_session.c),
 * and what answers them (serve_echo.c, serve_www.c, serve_exec.c). Layer: cli. */
#ifndef CLI_SERVE_H
#define CLI_SERVE_H

#include "cli/cli.h"
#include "cli/delegate.h"
#include "cli/keylog.h"
#include "cli/serve_tickets.h"
#include "cli/tls_options.h"
#include "cli/trace.h"
#include "cli/trust_options.h"
#include "net/ech_files.h"
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
    const char *listen, *command;
    unsigned long accept, max_connections;       /* 0: without end; the default */
    unsigned long request_timeout, idle_timeout; /* seconds; 0: for ever */
    bool echo, www, require_client_cert, force_retry;
};

struct serve {
    const struct cli *cli;
    const struct serve_options *options;
    const struct serve_mode *mode;
    struct trace trace;

    struct cli_delegate delegate;
    struct tls_identities identities;
    struct tls_psks psks;
    struct keylog keylog;
    struct pcap *pcap;
    struct tt_config *config;
    struct event_base *base;
    struct sign_queue *signer;
    struct serve_tickets tickets;
    struct tt_tpm *ech_tpm; /* opened for the ECH keys alone, or NULL */
    struct ech_files *ech;
    struct server *server;
    struct event *signals[2], *child_exit;
    struct session *sessions; /* doubly linked */
    unsigned long next_number;
    bool is_stopping;
};

/* struct session: one connection. `mode_data` is the mode's own. */
struct session {
    struct serve *serve;
    struct session *next, *prev;
    struct stream *stream; /* NULL once closed */
    unsigned long number;
    char peer[ADDRESS_TEXT_MAX];
    struct trace trace;
    void *mode_data;
};

/* For server_options. */
void *session_accepted(void *arg, struct stream_options *opt, const char *peer);
void session_opened(void *arg, void *session, struct stream *s);
/* serve_ech: --ech-key, for the configuration. *tpm: the one that is open, or NULL, which may change. */
TT_MUST_USE tt_rc serve_ech(struct serve *serve, struct tt_tpm **tpm, struct tt_error *err);

/* session_release: forget a session whose stream is gone. */
void session_release(struct session *x);
/* serve_exec_reap: look which children have ended; for SIGCHLD. */
void serve_exec_reap(struct serve *serve);

#endif
