/* cli/proxy.h: the options of `tpmtls proxy`, of the command line and of a file, and what is made from them.
 * Layer: cli. */
#ifndef CLI_PROXY_H
#define CLI_PROXY_H

#include "cli/command.h"
#include "cli/ech_options.h"
#include "cli/ini_file.h"
#include "cli/serve_tickets.h"
#include "cli/tls_options.h"
#include "cli/trust_options.h"
#include "net/ech_files.h"
#include "net/session_store.h"
#include "proxy/proxy.h"

#define PROXY_TUNNELS_MAX 64
#define PROXY_NAMES_MAX   16 /* of a server, by each option; 16 in all */

/* struct proxy_tunnel: the options of one tunnel. */
struct proxy_tunnel {
    const char *name;
    struct buf text; /* its section in a file, as it was read: key=value lines */
    enum tt_role role;
    const char *listen, *connect;
    bool unsafe_listen, unsafe_target;
    struct tls_options tls;
    struct trust_options trust;
    unsigned long connect_timeout, idle_timeout, close_timeout, lifetime; /* seconds */
    unsigned long max_connections;
    /* client */
    bool attest;
    const char *ek_cert;
    struct option_list verify_dns, verify_uri;
    struct ech_options ech;
    enum session_mode resume;
    const char *resume_pcrs;
    enum proxy_burst {
        BURST_ON,
        BURST_OFF
    } burst;
    /* server */
    struct ticket_options tickets;
    struct option_list ech_keys;
    const char *attestation;
    bool allow_all, proxy_protocol;
    struct option_list allow_cn, allow_ou, allow_dns, allow_uri, allow_pin;
};

/* struct proxy_common: what all tunnels of a process share. */
struct proxy_common {
    const char *status, *user, *takeover;
    enum proxy_sandbox {
        SANDBOX_ON,
        SANDBOX_OFF
    } sandbox;
    unsigned long threads, shutdown_timeout;
    enum proxy_ktls {
        KTLS_AUTO,
        KTLS_OFF
    } ktls;
};

/* What `proxy client` and `proxy server` fill; a section of a file fills a struct proxy_tunnel. */
struct proxy_command {
    struct proxy_common common;
    struct proxy_tunnel tunnel;
};
extern const struct option_part proxy_client_parts[], proxy_server_parts[];
extern const struct option_part proxy_common_file_parts[], proxy_client_file_parts[],
    proxy_server_file_parts[];

/* proxy_tunnel_check, proxy_common_check: every fault that rows cannot say. They open nothing. */
void proxy_tunnel_check(const struct proxy_tunnel *t, struct option_faults *f);
void proxy_common_check(const struct proxy_common *c, struct option_faults *f);
/* proxy_rules_add: those of --allow-...; each that cannot be one is told, or ends it where f is NULL. */
TT_MUST_USE tt_rc proxy_rules_add(struct rules *rules, const struct proxy_tunnel *t, struct option_faults *f,
                                  struct tt_error *err);

/* struct proxy_file: a file of tunnels, as it was read. */
struct proxy_file {
    struct proxy_common common;
    struct buf common_text; /* as proxy_tunnel.text */
    struct proxy_tunnel *tunnels;
    size_t tunnels_len;
    struct ini_file ini; /* what the options point to */
};
/* proxy_file_read: tells every fault of it on stderr. TT_ERR_USAGE when there was one. */
TT_MUST_USE tt_rc proxy_file_read(struct proxy_file *ret, const char *path, struct tt_error *err);
void proxy_file_free(struct proxy_file *f);

/* proxy_start: run these tunnels until a signal. Returns the exit code. */
struct proxy_plan {
    const struct cli *cli;
    const struct proxy_common *common;
    struct proxy_tunnel *tunnels;
    size_t tunnels_len;
    const char *file;              /* where they come from, or NULL */
    const struct buf *common_text; /* with a file */
};
/* proxy_sandbox: give up what the plan does not need; before all else. */
TT_MUST_USE tt_rc proxy_sandbox(const struct proxy_plan *plan, struct tt_error *err);
int proxy_start(const struct proxy_plan *plan);

#endif
