/* cli/key_unseal.c: `tpmtls key unseal`: sealed data, back again. Layer: cli. */
#include "base/mem.h"
#include "base/rc.h"
#include "cli/cmd_key.h"

static tt_rc unseal(const struct cli *cli, const char *path, const char *out, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_AUTO(cli_password_free) struct cli_password password = {.given = false};
    TT_AUTO(mem_free_auto) uint8_t *data = NULL;
    size_t pem_len = 0, len = 0;
    struct tt_tpm *tpm = NULL;
    struct tt_keyfile_info info;
    struct cli_auth_want want = {.what = path};
    TT_TRY(key_refuse_taken(out, err));
    TT_TRY(cli_read_file(&pem, &pem_len, path, err));
    struct tt_bytes text = {(const uint8_t *)pem, pem_len};
    TT_TRY(tt_keyfile_inspect(&info, text, err));
    want.ask = info.needs_password && cli_can_ask();
    TT_TRY(cli_auth_password(&password, cli, &want, err));
    TT_TRY(cli_open_tpm(&tpm, cli, err));
    tt_rc rc = cli_tpm_says(tt_unseal(&data, &len, tpm, text, cli_password_of(&password), err), err);
    tt_tpm_close(tpm);
    TT_TRY(rc);
    return cli_write_file(out, (struct tt_bytes){data, len}, (struct file_want){0600, FILE_NEW}, err);
}

struct unseal_options {
    const char *file, *out;
};

static int run(const struct cli *cli, void *options)
{
    const struct unseal_options *o = options;
    struct tt_error err = {0};
    tt_rc rc = unseal(cli, o->file, o->out, &err);
    if (rc == TT_OK)
        cli_wrote(o->out, "what was sealed");
    else
        cli_name_key(&err, o->file);
    return rc == TT_OK ? CLI_OK : cli_fail(&err);
}

static const struct option_row unseal_rows[] = {
    {NULL, "FILE", "that `tpmtls key seal` made", OPTION_TO(struct unseal_options, file),
     .needed = "which file? one"},
    {"out", "FILE", "where it goes; default: standard output", OPTION_TO(struct unseal_options, out),
     .letter = 'o', .elsewhere = "output"},
    {0},
};
static const struct option_part unseal_parts[] = {{NULL, unseal_rows, 0}, {0}};

const struct command command_key_unseal = {
    .name = "unseal",
    .summary = "sealed data, back again",
    .example = "  tpmtls key unseal secret.sealed",
    .parts = unseal_parts,
    .size = sizeof(struct unseal_options),
    .run = run,
};
