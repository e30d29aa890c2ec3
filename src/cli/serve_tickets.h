/* cli/serve_tickets.h: the tickets of `tpmtls serve`: how many, how long, under which keys, and 0-RTT. Layer:
 * cli. */
#ifndef CLI_SERVE_TICKETS_H
#define CLI_SERVE_TICKETS_H

#include "cli/tls_options.h"
#include "net/ticket_keys.h"

struct ticket_options {
    unsigned long count, max_early_data;
    unsigned long lifetime, rotation; /* seconds; a rotation of 0 is the lifetime */
    const char *key, *scope;
};
extern const struct option_row ticket_rows[];

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
    bool begins_later;   /* see ticket_keys_options */
};
/* tickets_begin: before cfg is frozen, and before a queue owns the TPM. */
TT_MUST_USE tt_rc tickets_begin(struct serve_tickets *t, const struct cli *cli,
                                const struct ticket_options *o, struct tt_config *cfg,
                                const struct tickets_at *at, struct tt_error *err);
/* tickets_put: the same tickets into another configuration. */
TT_MUST_USE tt_rc tickets_put(const struct serve_tickets *t, const struct ticket_options *o,
                              struct tt_config *cfg, const char *listen, struct tt_error *err);
void tickets_end_keys(struct serve_tickets *t); /* before the queue */
void tickets_end(struct serve_tickets *t);      /* after it, before the TPM */

#endif
