/* cli/delegate.h: `--delegate` of connect and serve: a delegated credential kept in use, and what is told of
 * it. Layer: cli. */
#ifndef CLI_DELEGATE_H
#define CLI_DELEGATE_H

#include "cli/tls_options.h"
#include "cli/trace.h"
#include "net/delegate.h"

struct cli_delegate {
    const struct trace *trace;
    int verbose;
    void (*ready)(void *arg); /* after the first attempt, whatever became of it; may be NULL */
    void *arg;
    bool is_ready;
    struct delegator *delegator;
};

/* cli_delegate_start: the other fields are set. */
TT_MUST_USE tt_rc cli_delegate_start(struct cli_delegate *d, struct event_base *base,
                                     struct sign_queue *queue, const struct tls_identities *ids,
                                     const struct tls_options *o, struct tt_error *err);

#endif
