/* cli/main.c: the program's entry: global options, then one command. Layer: cli. One command, one file:
 * cmd_*.c.
 *
 * The process never dumps core: keys of peers and software keys live in its memory. Must not hold any logic
 * of a command. */
#include "cli/cli.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct command {
    const char *name;
    int (*run)(const struct cli *cli, int argc, char **argv);
    const char *what;
} commands[] = {
    {"key", cmd_key, "make and look at keys in the TPM"},
    {"doctor", cmd_doctor, "look at a TPM: can TLS 1.3 have its keys there, and what stands in the way"},
    {"bench", cmd_bench, "measure a TPM: each command TLS needs, and whole handshakes"},
    {"policy", cmd_policy, "sign policies for keys that take signed ones"},
    {"psk", cmd_psk, "put pre-shared keys into the TPM"},
    {"csr", cmd_csr, "write a certificate request signed by the TPM"},
    {"ca", cmd_ca, "a small CA: issue certificates"},
    {"connect", cmd_connect, "open a TLS 1.3 connection; stdin and stdout are the connection"},
    {"session", cmd_session, "look at the sessions that connect keeps, and remove them"},
    {"serve", cmd_serve, "accept TLS 1.3 connections"},
    {"ticket-key", cmd_ticket_key, "make the keys of a server's tickets"},
};

static const char usage_head[] =
    "usage: tpmtls [--tpm TPM] [--tpm-timeout S] [--json] [-v] COMMAND ...\n"
    "\n"
    "TLS 1.3 with keys that live in a TPM 2.0.\n"
    "\n"
    "  --tpm TPM   device (/dev/tpmrm0), embedded[:DIR] (an emulated one), or a TCTI string of tpm2-tss;\n"
    "              default: the environment variable TPMTLS_TPM, else /dev/tpmrm0 when it is there\n"
    "  --tpm-timeout S  give up a TPM that does not answer a command for S seconds (default: 60; ten times "
    "as\n"
    "              long for making a key)\n"
    "  --json      results and events as JSON\n"
    "  --key-password-file FILE|fd:N\n"
    "              where the password of an encrypted software key is read from (default: asked on the "
    "terminal)\n"
    "  --auth-file F, --auth-fd N, --auth-credential NAME, --auth-ask, --auth-empty\n"
    "              (also behind COMMAND) where the password of a TPM key comes from (default: asked on the "
    "terminal)\n"
    "  -v          say more\n"
    "  --help      this text; `tpmtls COMMAND --help` tells about a command\n"
    "  --version\n"
    "\n"
    "commands:\n";

static const char usage_tail[] =
    "\n"
    "exit codes: 0 ok, 1 failure, 2 usage, 3 peer not trusted, 4 TPM, 5 refused by the peer\n";

static void print_help(FILE *to)
{
    fputs(usage_head, to);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].what);
    fputs(usage_tail, to);
}

static const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

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

enum global_option {
    OPT_TPM = CLI_OPT,
    OPT_TPM_TIMEOUT,
    OPT_JSON,
    OPT_PASSWORD_FILE,
    OPT_HELP,
    OPT_VERSION
};

static const struct option global_options[] = {
    {"tpm", required_argument, NULL, OPT_TPM},
    {"tpm-timeout", required_argument, NULL, OPT_TPM_TIMEOUT},
    {"json", no_argument, NULL, OPT_JSON},
    {"key-password-file", required_argument, NULL, OPT_PASSWORD_FILE},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {0},
};

static bool is_timeout(const char *text)
{
    char *end = NULL;
    unsigned long seconds = text == NULL || text[0] < '1' || text[0] > '9' ? 0 : strtoul(text, &end, 10);
    return text == NULL || (end != NULL && *end == '\0' && seconds <= 3600);
}

int main(int argc, char **argv)
{
    keep_standard_descriptors();
    harden_process();
    struct cli cli = {0};
    struct tt_error err = {0};
    if (cli_take_auth(&cli, &argc, argv, &err) != TT_OK)
        return cli_fail(&err);
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "+:v", global_options, NULL)) != -1;) {
        switch (c) {
        case OPT_TPM:
            cli.tpm = optarg;
            break;
        case OPT_TPM_TIMEOUT:
            cli.tpm_timeout = optarg;
            break;
        case OPT_JSON:
            cli.json = true;
            break;
        case OPT_PASSWORD_FILE:
            cli.key_password_file = optarg;
            break;
        case 'v':
            cli.verbose++;
            break;
        case OPT_HELP:
            print_help(stdout);
            return CLI_OK;
        case OPT_VERSION:
            printf("tpmtls %s\n", tt_version());
            return CLI_OK;
        default:
            return cli_bad_option(NULL, argv, c);
        }
    }
    if (!is_timeout(cli.tpm_timeout)) {
        cli_note("--tpm-timeout: '%s' is not a number of seconds from 1 to 3600", cli.tpm_timeout);
        return CLI_USAGE;
    }
    if (optind >= argc) {
        cli_note("no command given");
        print_help(stderr);
        return CLI_USAGE;
    }
    const struct command *command = command_find(argv[optind]);
    if (command == NULL) {
        cli_note("there is no command '%s'", argv[optind]);
        cli_hint("`tpmtls --help` lists the commands");
        return CLI_USAGE;
    }
    int first = optind;
    optind = 0; /* the command parses its own options from the start */
    return command->run(&cli, argc - first, argv + first);
}
