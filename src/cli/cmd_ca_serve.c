/* cli/cmd_ca_serve.c: the command `tpmtls ca serve`. Layer: cli. */
#include "cli/ca_serve.h"

struct file_options {
    const char *path;
    bool check;
};

static int run_serve(const struct cli *cli, void *options)
{
    const struct file_options *o = options;
    return o->check ? ca_serve_check_run(cli, o->path) : ca_serve_run(cli, o->path);
}

static const struct option_row file_rows[] = {
    {NULL, "FILE", "its section [ca] has the keys: docs/est.md", OPTION_TO(struct file_options, path),
     .needed = "which file?"},
    {"check", NULL, "say what it would do, and every fault of the file; open nothing",
     OPTION_TO(struct file_options, check)},
    {0},
};
static const struct option_part file_parts[] = {{NULL, file_rows, 0}, {0}};

const struct command command_ca_serve = {
    .name = "serve",
    .summary = "the CA as a service: EST (RFC 7030), CRL and OCSP, a page for its operators",
    .about =
        "Serves for years: what changes on disk is read again (or at SIGHUP), SIGTERM lets requests have "
        "their answers. What was answered is in the store; after a crash it just starts again.",
    .example = "  tpmtls ca serve ca.conf",
    .parts = file_parts,
    .size = sizeof(struct file_options),
    .run = run_serve,
};
