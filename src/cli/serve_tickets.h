/* cli/serve_tickets.h: the tickets of `tpmtls serve`: how many, how long, under which keys, and 0-RTT. Layer:
 * cli. */
#ifndef CLI_SERVE_TICKETS_H
#define CLI_SERVE_TICKETS_H

#include <getopt.h>

#include "cli/tls_options.h"
#include "net/ticket_keys.h"

struct ticket_options {
    const char *count, *lifetime, *key, *rotation, *scope, *max_early_data;
};
enum {
    TICKET_OPT_COUNT = CLI_OPT + 400,
    TICKET_OPT_LIFETIME,
    TICKET_OPT_KEY,
    TICKET_OPT_ROTATION,
    TICKET_OPT_SCOPE,
    TICKET_OPT_EARLY
};
#define TICKET_OPTIONS                                                                                       \
    {"tickets", required_argument, NULL, TICKET_OPT_COUNT},                                                  \
        {"ticket-lifetime", required_argument, NULL, TICKET_OPT_LIFETIME},                                   \
        {"ticket-key", required_argument, NULL, TICKET_OPT_KEY},                                             \
        {"ticket-rotation", required_argument, NULL, TICKET_OPT_ROTATION},                                   \
        {"ticket-scope", required_argument, NULL, TICKET_OPT_SCOPE},                                         \
    {                                                                                                        \
        "max-early-data", required_argument, NULL, TICKET_OPT_EARLY                                          \
    }
#define TICKET_OPTIONS_USAGE                                                                                 \
    "  --tickets N           tickets for each handshake (2; 0: nobody resumes)\n"                            \
    "  --ticket-lifetime S   seconds they count (7200; at most 604800)\n"                                    \
    "  --ticket-key PATH     a file of `tpmtls ticket-key`, or a directory of such; read again when it "     \
    "changes. Or a\n"                                                                                        \
    "                        root in the TPM (ticket-key --in-tpm). Default: keys in memory only\n"          \
    "  --ticket-rotation S   seconds until the next key, where it is made here (the lifetime)\n"             \
    "  --ticket-scope NAME   servers with the same name take each other's tickets (the ADDR:PORT given)\n"   \
    "  --max-early-data N    accept N bytes of 0-RTT data with a ticket (0: none). They can be replayed\n"

/* ticket_option_take: true when c was one of them. */
bool ticket_option_take(struct ticket_options *o, int c, const char *value);

struct serve_tickets {
    const struct cli *cli;
    struct tt_tickets *tickets; /* NULL: none are given out */
    struct tt_tpm *own_tpm;     /* of the root, where the key has none */
    struct tt_hmac *root;
    struct ticket_keys *keys;
};
/* struct tickets_at: what they are for. */
struct tickets_at {
    struct event_base *base;
    const char *listen;
    struct tt_tpm **tpm; /* the key's; opened here where it is NULL and needed */
};
/* tickets_begin: before cfg is frozen, and before a queue owns the TPM. */
TT_MUST_USE tt_rc tickets_begin(struct serve_tickets *t, const struct cli *cli,
                                const struct ticket_options *o, struct tt_config *cfg,
                                const struct tickets_at *at, struct tt_error *err);
void tickets_end_keys(struct serve_tickets *t); /* before the queue */
void tickets_end(struct serve_tickets *t);      /* after it, before the TPM */

#endif
