/* gauge/commands.h: every TPM command that TLS needs, one by one. Layer: gauge. */
#ifndef GAUGE_COMMANDS_H
#define GAUGE_COMMANDS_H

#include "gauge/gauge.h"

/* struct gauge_run: what the parts of one run share. */
struct gauge_run {
    struct gauge_page *page;
    const struct gauge_options *opt;
    unsigned rows;
};
/* run_row: tell the progress. */
void run_row(struct gauge_run *run, const char *name, const char *key);

/* gauge_commands: fills in page->commands. All objects are of the null hierarchy, which has no password. */
TT_MUST_USE tt_rc gauge_commands(struct gauge_run *run, struct tt_tpm *tpm, struct tt_error *err);

/* command_find: a row that has values, or NULL. */
const struct gauge_command *command_find(const struct gauge_page *page, const char *name, const char *key,
                                         bool encrypted);

#endif
