/* cli/cmd_ticket_key.c: `tpmtls ticket-key`: make and rotate the keys of `serve --ticket-key`. Layer: cli. */
#include <getopt.h>
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/tls_options.h"
#include "net/ticket_keys.h"

static const char usage[] = "usage: tpmtls ticket-key -o FILE [--rotate [--keep N]] [--in-tpm]\n";
static const char help[] =
    "\n"
    "Makes a key for the tickets that servers give out. Servers that share the file resume each other's "
    "sessions, and\n"
    "read it again when it changes.\n"
    "\n"
    "  -o FILE       written with mode 0600; an existing file is only touched with:\n"
    "  --rotate      put a new key in front of those in FILE, and drop the oldest\n"
    "  --keep N      with --rotate: how many older keys still open tickets (1, at most 3)\n"
    "  --in-tpm      make a root in the TPM instead, from which the server derives a key for each epoch; the "
    "file "
    "is\n"
    "                useless elsewhere\n";

struct ticket_key {
    const char *out, *keep;
    bool rotate, in_tpm;
};

static tt_rc make(const struct ticket_key *t, struct tt_error *err)
{
    struct tt_ticket_key keys[TT_MAX_TICKET_KEYS + 1];
    size_t n = 0;
    unsigned long keep = 1;
    TT_TRY(cli_number(&keep, t->keep, &(struct cli_range){"--keep", 1, TT_MAX_TICKET_KEYS - 1}, err));
    if (t->rotate)
        TT_TRY(ticket_key_file_read(keys + 1, &n, t->out, err));
    n = n < keep ? n : keep;
    tt_rc rc = ticket_key_draw(&keys[0]);
    if (rc == TT_OK)
        rc = ticket_key_file_write(t->out, keys, n + 1, !t->rotate, err);
    mem_wipe(keys, sizeof keys);
    return rc == TT_OK ? TT_OK : error_set(err, rc, "no key could be drawn");
}

static tt_rc make_root(const struct cli *cli, const struct ticket_key *t, struct tt_error *err)
{
    struct tt_tpm *tpm = NULL;
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_TRY(cli_open_tpm(&tpm, cli, err));
    tt_rc rc = tt_hmac_create(&pem, tpm, (struct tt_bytes){NULL, 0},
                              &(struct tt_key_params){.description = "tpmtls ticket keys"}, err);
    if (rc == TT_OK)
        rc = cli_write_file(t->out, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)}, 0600, true, err);
    tt_tpm_close(tpm);
    return rc;
}

enum {
    OPT_ROTATE = CLI_OPT,
    OPT_KEEP,
    OPT_IN_TPM,
    OPT_HELP
};

int cmd_ticket_key(const struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"rotate", no_argument, NULL, OPT_ROTATE},
                                            {"keep", required_argument, NULL, OPT_KEEP},
                                            {"in-tpm", no_argument, NULL, OPT_IN_TPM},
                                            {"help", no_argument, NULL, OPT_HELP},
                                            {0}};
    struct ticket_key t = {0};
    struct tt_error err = {0};
    for (int c; (c = cli_getopt(argc, argv, "o:", options)) != -1;) {
        switch (c) {
        case 'o':
            t.out = optarg;
            break;
        case OPT_ROTATE:
            t.rotate = true;
            break;
        case OPT_KEEP:
            t.keep = optarg;
            break;
        case OPT_IN_TPM:
            t.in_tpm = true;
            break;
        case OPT_HELP:
            printf("%s%s", usage, help);
            return CLI_OK;
        default:
            return cli_bad_option(usage, argv, c);
        }
    }
    if (t.out == NULL || optind < argc)
        return cli_usage(usage, "where does the key go? -o FILE");
    if (t.keep != NULL && !t.rotate)
        return cli_usage(usage, "--keep goes with --rotate");
    if (t.in_tpm && t.rotate)
        return cli_usage(usage, "a root in the TPM is not rotated: each epoch has its own key");
    tt_rc rc = t.in_tpm ? make_root(cli, &t, &err) : make(&t, &err);
    return rc == TT_OK ? CLI_OK : cli_fail(&err);
}
