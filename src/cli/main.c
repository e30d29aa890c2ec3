/* cli/main.c: the program's entry: the tree of commands, the global options, then one command. Layer: cli.
 * One command, one file: cmd_*.c.
 *
 * The process never dumps core: keys of peers and software keys live in its memory. Must not hold any logic
 * of a command. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/command.h"
#include "gauge/versions.h"

static const struct option_row global_rows[] = {
    {"tpm", "TPM",
     "device or /dev/tpmrm0, embedded[:DIR] (an emulated one), or a TCTI string of tpm2-tss; default: the "
     "environment "
     "variable TPMTLS_TPM, else /dev/tpmrm0 when it is there",
     OPTION_TO(struct cli, tpm),
     .words = "device /dev/tpmrm0 embedded embedded: swtpm:path= swtpm:port= mssim: tabrmd lab:profile="},
    {"tpm-timeout", "S",
     "give up a TPM that does not answer a command for S seconds; ten times as long for making a key",
     OPTION_TO(struct cli, tpm_timeout), .min = 1, .max = 3600, .initial = 60},
    {"srk-name", "NAME",
     "what the TPM's storage key is called (hexadecimal, as `tpmtls key srk` shows it): nothing is made "
     "under "
     "another "
     "one, and nothing secret sent to it. Default: as the key's file says, else the first one seen",
     OPTION_TO(struct cli, srk_name)},
    {"json", NULL, "results and events as JSON", OPTION_TO(struct cli, json)},
    {"verbose", NULL, "say more", OPTION_TO(struct cli, verbose), .letter = 'v'},
    {"help", NULL, "tell about the command", OPTION_TO(struct cli, wants_help), .letter = 'h'},
    {"version", NULL, "tell the version; with -v those of the libraries, too",
     OPTION_TO(struct cli, wants_version), .letter = 'V'},
    {0},
};

static const struct option_row password_rows[] = {
    {"key-password-file", "FILE|fd:N",
     "where the password of an encrypted software key is read from; default: asked on the terminal",
     OPTION_TO(struct cli, key_password_file)},
    {"auth-file", "FILE",
     "the password of a TPM key is the first line of FILE; default: asked on the terminal. It is never an "
     "argument",
     OPTION_TO(struct cli, auth), .take = cli_take_auth, .min = CLI_AUTH_FILE, .elsewhere = "password-file"},
    {"auth-fd", "N", "the same, from a descriptor", OPTION_TO(struct cli, auth), .take = cli_take_auth,
     .min = CLI_AUTH_FD},
    {"auth-credential", "NAME",
     "the same, from a credential of systemd; one that is called tpmtls.auth needs no option",
     OPTION_TO(struct cli, auth), .take = cli_take_auth, .min = CLI_AUTH_CREDENTIAL},
    {"auth-ask", NULL, "ask for it", OPTION_TO(struct cli, auth), .take = cli_take_auth, .min = CLI_AUTH_ASK,
     .elsewhere = "password"},
    {"auth-empty", NULL, "it is empty", OPTION_TO(struct cli, auth), .take = cli_take_auth,
     .min = CLI_AUTH_EMPTY},
    {"owner-auth-file", "FILE",
     "the password of the TPM's owner hierarchy is the first line of FILE: where it is set, and the storage "
     "root "
     "key has to be derived, or a persistent handle is taken or given up",
     OPTION_TO(struct cli, owner_auth), .take = cli_take_auth, .min = CLI_AUTH_FILE},
    {"owner-auth-fd", "N", "the same, from a descriptor", OPTION_TO(struct cli, owner_auth),
     .take = cli_take_auth, .min = CLI_AUTH_FD},
    {"owner-auth-credential", "NAME", "the same, from a credential of systemd",
     OPTION_TO(struct cli, owner_auth), .take = cli_take_auth, .min = CLI_AUTH_CREDENTIAL},
    {"owner-auth-ask", NULL, "ask for it", OPTION_TO(struct cli, owner_auth), .take = cli_take_auth,
     .min = CLI_AUTH_ASK},
    {"endorsement-auth-file", "FILE",
     "the password of the TPM's endorsement hierarchy is the first line of FILE: where it is set, and a key "
     "is to be "
     "attested, or an endorsement key used",
     OPTION_TO(struct cli, endorsement_auth), .take = cli_take_auth, .min = CLI_AUTH_FILE},
    {"endorsement-auth-fd", "N", "the same, from a descriptor", OPTION_TO(struct cli, endorsement_auth),
     .take = cli_take_auth, .min = CLI_AUTH_FD},
    {"endorsement-auth-credential", "NAME", "the same, from a credential of systemd",
     OPTION_TO(struct cli, endorsement_auth), .take = cli_take_auth, .min = CLI_AUTH_CREDENTIAL},
    {"endorsement-auth-ask", NULL, "ask for it", OPTION_TO(struct cli, endorsement_auth),
     .take = cli_take_auth, .min = CLI_AUTH_ASK},
    {0},
};

const struct option_part cli_global_options[] = {
    {"options of every command, before or behind it", global_rows, 0}, {"passwords", password_rows, 0}, {0}};

static int run_version(const struct cli *cli, void *options)
{
    (void)options;
    printf("tpmtls %s\n", tt_version());
    if (cli->verbose > 0)
        gauge_print_versions(stdout);
    return CLI_OK;
}

const struct command command_version = {
    .name = "version",
    .summary = "tell the version; with -v those of the libraries, too",
    .example = "  tpmtls version -v",
    .run = run_version,
};

static const struct command *const commands[] = {
    &command_key,        &command_attest,   &command_doctor,
    &command_bench,      &command_policy,   &command_psk,
    &command_csr,        &command_identity, &command_enroll,
    &command_renew,      &command_ca,       &command_connect,
    &command_session,    &command_serve,    &command_proxy,
    &command_ticket_key, &command_ech_key,  &command_help_command,
    &command_completion, &command_version,  NULL};

const struct command cli_program = {
    .name = "tpmtls",
    .summary = "TLS 1.3 with keys that live in a TPM 2.0",
    .about =
        "TLS 1.3 with keys that live in a TPM 2.0. `tpmtls help COMMAND [SUBCOMMAND]` tells about a command.",
    .subcommands = commands,
};

/* A descriptor 0, 1 or 2 that is closed would be given to the next file or socket, and messages or data would
 * go there. */
static void keep_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            _exit(CLI_FAILURE);
    }
}

/* Nothing this process holds may end in a core file, and a peer that goes away is an error, not a signal. */
static void harden_process(void)
{
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)signal(SIGPIPE, SIG_IGN);
}

static int run(const struct command_line *line)
{
    if (line->cli.wants_help)
        command_help(line->path, line->depth);
    else if (line->cli.wants_version)
        return run_version(&line->cli, NULL);
    else
        return line->path[line->depth - 1]->run(&line->cli, line->options);
    return CLI_OK;
}

/* What was printed and did not arrive, on a full disk for instance, was not done. Where bytes go to the
 * descriptor itself (connect), it may be closed by now, and nothing waits here. */
static int flush_output(int code)
{
    struct tt_error err = {0};
    bool failed = ferror(stdout) != 0;
    if (fflush(stdout) == 0 && !failed)
        return code;
    (void)error_set(&err, TT_ERR_IO, "standard output could not be written: %s", strerror(errno));
    int lost = cli_fail(&err);
    return code == CLI_OK ? lost : code;
}

int main(int argc, char **argv)
{
    keep_standard_descriptors();
    harden_process();
    struct command_line line;
    struct tt_error err = {0};
    tt_rc rc = command_line_parse(&line, argc, argv, &err);
    cli_say_json(line.cli.json);
    int code = rc == TT_OK ? run(&line) : cli_fail(&err);
    mem_free(line.options);
    return flush_output(code);
}
