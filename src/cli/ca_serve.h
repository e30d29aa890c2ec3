/* cli/ca_serve.h: the keys of the file of `tpmtls ca serve`. Layer: cli. */
#ifndef CLI_CA_SERVE_H
#define CLI_CA_SERVE_H

#include "cli/command.h"
#include "cli/ini_file.h"
#include "cli/tls_options.h"
#include "est/server.h"

/* struct ca_serve_options: the section [ca]. */
struct ca_serve_options {
    const char *dir, *store, *listen, *publish, *status, *user, *attest_policy, *attest_key;
    struct tls_options tls;
    enum est_binding binding;
    enum ca_serve_sandbox {
        CA_SANDBOX_ON,
        CA_SANDBOX_OFF
    } sandbox;
    unsigned long connections, rate, retry_after, shutdown_timeout;
};
extern const struct option_part ca_serve_parts[];
extern const struct command command_ca_serve;

/* ca_serve_check: what rows cannot say. */
TT_MUST_USE tt_rc ca_serve_check(const struct ca_serve_options *o, struct tt_error *err);

/* ca_serve_sandbox: give up what is not needed; before all else. key: the CA's, where it is a file. */
TT_MUST_USE tt_rc ca_serve_sandbox(const struct cli *cli, const struct ca_serve_options *o, const char *file,
                                   struct tt_error *err);

/* ca_serve_run: `ca serve FILE`: until a signal. Returns the exit code. ca_check_run: `ca serve --check`. */
int ca_serve_run(const struct cli *cli, const char *file);
int ca_serve_check_run(const struct cli *cli, const char *file);

#endif
