/* cli/cmd_policy.c: `tpmtls policy sign`: a signed policy for a key that takes them. Layer: cli. */
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/command.h"

struct policy_options {
    const char *file, *key, *out;
    struct tt_policy_params params;
};

static tt_rc sign_with(char **ret_pem, struct policy_options *o, struct cli_key *key, const struct cli *cli,
                       struct tt_error *err)
{
    struct tt_tpm *other = NULL;
    if (o->params.pcrs != NULL && key->tpm == NULL)
        TT_TRY(cli_open_tpm(&other, cli, err));
    o->params.signer = key->key;
    tt_rc rc = tt_policy_sign(ret_pem, &o->params, key->tpm != NULL ? key->tpm : other, err);
    tt_tpm_close(other);
    return rc;
}

static tt_rc run(struct policy_options *o, const struct cli *cli, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *text = NULL;
    TT_AUTO(mem_free_auto) char *pem = NULL;
    size_t len = 0;
    struct cli_key key;
    TT_TRY(cli_read_file(&text, &len, o->file, err));
    o->params.pem = (struct tt_bytes){(const uint8_t *)text, len};
    TT_TRY(cli_open_key(&key, cli, o->key, err));
    tt_rc rc = sign_with(&pem, o, &key, cli, err);
    cli_close_key(&key);
    TT_TRY(rc);
    const char *out = o->out != NULL ? o->out : o->file;
    TT_TRY(cli_write_file(out, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)},
                          (struct file_want){0600, FILE_REPLACE}, err));
    cli_wrote(out, "the key with one more signed policy");
    return TT_OK;
}

static int run_sign(const struct cli *cli, void *options)
{
    struct policy_options *o = options;
    struct tt_error err = {0};
    if (o->params.pcrs == NULL && !o->params.with_password)
        return cli_usage(cli, "what does the policy demand? --pcr or --with-password");
    return run(o, cli, &err) == TT_OK ? CLI_OK : cli_fail(&err);
}

#define TO(member) OPTION_TO(struct policy_options, member)

static const struct option_row sign_rows[] = {
    {NULL, "FILE", "a key made with `tpmtls key create --policy-key PUBLIC`", TO(file),
     .needed = "for which key?"},
    {"policy-key", "KEY", "the private half of PUBLIC: a file or handle as for --key elsewhere", TO(key),
     .needed = "who signs?"},
    {"pcr", "PCRS", "while these PCRs have the values they have now in the TPM (--tpm), such as sha256:0,2,7",
     TO(params.pcrs)},
    {"with-password", NULL, "and its password is given", TO(params.with_password)},
    {"name", "NAME", "a mnemonic, for `tpmtls key show`", TO(params.name)},
    {"out", "FILE", "where it goes; default: FILE itself", TO(out), .letter = 'o', .elsewhere = "output"},
    {0},
};
static const struct option_part sign_parts[] = {{NULL, sign_rows, 0}, {0}};

static const struct command command_sign = {
    .name = "sign",
    .summary = "sign one more policy under which a key may be used",
    .about = "The key gets one more policy under which it may be used; those it has stay good: a signature "
             "cannot be taken "
             "back.",
    .example = "  tpmtls policy sign bound.key --policy-key policy.key --pcr sha256:0,7 --name today",
    .parts = sign_parts,
    .size = sizeof(struct policy_options),
    .run = run_sign,
};

static const struct command *const subcommands[] = {&command_sign, NULL};

const struct command command_policy = {
    .name = "policy",
    .summary = "sign policies for keys that take signed ones",
    .subcommands = subcommands,
};
