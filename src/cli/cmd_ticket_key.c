/* cli/cmd_ticket_key.c: `tpmtls ticket-key`: make and rotate the keys of `serve --ticket-key`. Layer: cli. */
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/command.h"
#include "net/ticket_keys.h"

struct ticket_key {
    const char *out, *parent;
    unsigned long keep;
    bool rotate, in_tpm;
};

static tt_rc make(const struct ticket_key *t, struct tt_error *err)
{
    struct tt_ticket_key keys[TT_MAX_TICKET_KEYS + 1];
    size_t n = 0;
    if (t->rotate)
        TT_TRY(ticket_key_file_read(keys + 1, &n, t->out, err));
    n = n < t->keep ? n : t->keep;
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
    TT_TRY(cli_no_auth(cli, "ticket-key", err));
    TT_TRY(cli_open_tpm_under(&tpm, cli, t->parent, err));
    tt_rc rc = tt_hmac_create(&pem, tpm, (struct tt_bytes){NULL, 0},
                              &(struct tt_key_params){.description = "tpmtls ticket keys"}, err);
    if (rc == TT_OK)
        rc = cli_write_file(t->out, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)},
                            (struct file_want){0600, FILE_NEW}, err);
    tt_tpm_close(tpm);
    return rc;
}

static int run(const struct cli *cli, void *options)
{
    const struct ticket_key *t = options;
    struct tt_error err = {0};
    tt_rc rc = t->in_tpm ? make_root(cli, t, &err) : make(t, &err);
    if (rc != TT_OK)
        return cli_fail(&err);
    cli_wrote(t->out, t->in_tpm   ? "a root of ticket keys, useless without this TPM"
                      : t->rotate ? "a new ticket key in front of the older ones"
                                  : "a ticket key: whoever reads it can read and make sessions");
    return CLI_OK;
}

#define TO(member) OPTION_TO(struct ticket_key, member)

static const struct option_row ticket_key_rows[] = {
    {"out", "FILE", "written with mode 0600; an existing file is only touched with --rotate", TO(out),
     .letter = 'o', .needed = "where does the key go?", .elsewhere = "output"},
    {"rotate", NULL, "put a new key in front of those in FILE, and drop the oldest", TO(rotate)},
    {"keep", "N", "how many older keys still open tickets", TO(keep), .min = 1, .max = TT_MAX_TICKET_KEYS - 1,
     .initial = 1, .needs = "rotate"},
    {"in-tpm", NULL,
     "make a root in the TPM instead, from which the server derives a key for each epoch; the file is "
     "useless elsewhere",
     TO(in_tpm), .not_with = "rotate", .why = "a root in the TPM has its own key for each epoch"},
    CLI_PARENT_ROW(TO(parent)),
    {0},
};
static const struct option_part ticket_key_parts[] = {{NULL, ticket_key_rows, 0}, {0}};

const struct command command_ticket_key = {
    .name = "ticket-key",
    .summary = "make the keys of a server's tickets",
    .about = "Makes a key for the tickets that servers give out. Servers that share the file resume each "
             "other's sessions, "
             "and read it again when it changes.",
    .example = "  tpmtls ticket-key -o ticket.key\n  tpmtls ticket-key -o ticket.key --rotate",
    .parts = ticket_key_parts,
    .size = sizeof(struct ticket_key),
    .run = run,
};
