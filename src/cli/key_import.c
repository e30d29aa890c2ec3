/* cli/key_import.c: `tpmtls key import`, `wrap` and `srk`: software keys on their way into a TPM. Layer: cli.
 */
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/cmd_key.h"

struct import_options {
    const char *key, *out, *target, *parent, *under;
    bool lockout, no_lockout;
    struct tt_wrap_params wrap;
};

/* struct texts: what was read, freed when the command ends. */
struct texts {
    char *key, *target;
    struct cli_password key_password, password;
};

static void texts_free(struct texts *t)
{
    tt_free(t->key);
    tt_free(t->target);
    cli_password_free(&t->key_password);
    cli_password_free(&t->password);
}

static tt_rc read_inputs(struct texts *t, struct import_options *o, const struct cli *cli,
                         struct tt_error *err)
{
    size_t len = 0;
    uint32_t parent = 0;
    TT_TRY(key_refuse_taken(o->out, err));
    TT_TRY(cli_read_file(&t->key, &len, o->key, err));
    o->wrap.key = (struct tt_bytes){(const uint8_t *)t->key, len};
    if (o->target != NULL) {
        TT_TRY(cli_read_file(&t->target, &len, o->target, err));
        o->wrap.parent_public = (struct tt_bytes){(const uint8_t *)t->target, len};
    }
    if (o->parent != NULL)
        TT_TRY(cli_parse_handle(&parent, o->parent, err));
    o->wrap.parent = parent;
    if (strstr(t->key, "ENCRYPTED") != NULL)
        TT_TRY(cli_read_password(&t->key_password, cli, o->key, err));
    o->wrap.key_password = cli_password_of(&t->key_password);
    struct cli_auth_want want = {.what = "the new key", .is_new = true};
    TT_TRY(cli_auth_password(&t->password, cli, &want, err));
    o->wrap.params.password = cli_password_of(&t->password);
    o->wrap.params.count_failures =
        key_counts(&(struct key_lockout){o->lockout, o->no_lockout}, cli, &t->password);
    return TT_OK;
}

static tt_rc import(char **ret_pem, const struct import_options *o, const struct cli *cli,
                    struct tt_error *err)
{
    struct tt_tpm *tpm = NULL;
    TT_TRY(cli_open_tpm_under(&tpm, cli, o->under, err));
    tt_rc rc = tt_key_import(ret_pem, tpm, &o->wrap, err);
    tt_tpm_close(tpm);
    return rc;
}

static tt_rc run(struct import_options *o, const struct cli *cli, bool wrap, struct tt_error *err)
{
    TT_AUTO(texts_free) struct texts texts = {0};
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_TRY(read_inputs(&texts, o, cli, err));
    TT_TRY(wrap ? tt_key_wrap(&pem, &o->wrap, err) : import(&pem, o, cli, err));
    return cli_write_file(o->out, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)},
                          (struct file_want){0600, FILE_NEW}, err);
}

static int end(const struct import_options *o, bool wrap)
{
    bool done = o->out == NULL || strcmp(o->out, "-") == 0;
    if (!done && wrap)
        cli_note("wrote %s: the TPM that owns %s can use it as it is, or `tpmtls key import` it", o->out,
                 o->target);
    else if (!done)
        cli_note("wrote %s: only this TPM can use it", o->out);
    cli_note("warning: this key was made outside of the TPM. Whoever has copied %s, or finds it on a disk, a "
             "backup or in memory, has the key; the TPM protects only this copy of it",
             o->key);
    cli_hint("remove %s and its backups; better, make a key that never was outside: `tpmtls key create`",
             o->key);
    return CLI_OK;
}

/* ---- the commands ---- */

static int import_or_wrap(const struct cli *cli, struct import_options *o, bool wrap)
{
    struct tt_error err = {0};
    return run(o, cli, wrap, &err) == TT_OK ? end(o, wrap) : cli_fail(&err);
}

static int run_import(const struct cli *cli, void *options)
{
    return import_or_wrap(cli, options, false);
}

static int run_wrap(const struct cli *cli, void *options)
{
    return import_or_wrap(cli, options, true);
}

static int run_srk(const struct cli *cli, void *options)
{
    const struct import_options *o = options;
    struct tt_error err = {0};
    struct tt_tpm *tpm = NULL;
    uint8_t *pub = NULL, name[66];
    char hex[2 * sizeof name + 1];
    size_t len = 0, name_len = 0;
    tt_rc rc = cli_open_tpm_under(&tpm, cli, o->under, &err);
    if (rc == TT_OK)
        rc = tt_storage_public(&pub, &len, tpm, &err);
    tt_tpm_close(tpm);
    if (rc == TT_OK)
        rc = cli_write_file(o->out, (struct tt_bytes){pub, len}, (struct file_want){0644, FILE_NEW}, &err);
    if (rc == TT_OK)
        rc = tt_public_name(name, &name_len, (struct tt_bytes){pub, len}, &err);
    tt_free(pub);
    if (rc != TT_OK)
        return cli_fail(&err);
    key_hex(hex, (struct tt_bytes){name, name_len});
    cli_wrote(o->out, "the public part of this TPM's storage root key, for `tpmtls key wrap --for`");
    cli_note("its name, for --srk-name: %s", hex);
    return CLI_OK;
}

#define TO(member) OPTION_TO(struct import_options, member)

static const struct option_row import_rows[] = {
    {NULL, "FILE", "a software key (PKCS#8), or an importable key file", TO(key), .needed = "which key?"},
    {"out", "FILE", "where the key goes; it is never overwritten", TO(out), .letter = 'o',
     .needed = "where should the key go?", .elsewhere = "output"},
    {"description", "TEXT", "a mnemonic for the file", TO(wrap.params.description)},
    {"lockout", NULL, KEY_LOCKOUT_TEXT, TO(lockout), .not_with = "no-lockout"},
    {"no-lockout", NULL, KEY_NO_LOCKOUT_TEXT, TO(no_lockout)},
    {0},
};
static const struct option_row wrap_rows[] = {
    {"for", "PUBLIC",
     "the target's storage root key: of `tpmtls key srk` there, a TPM2B_PUBLIC, or a PEM PUBLIC KEY",
     TO(target), .needed = "for which TPM?"},
    {"parent", "HANDLE", "where the target has that key, when it is not its storage root key", TO(parent)},
    {0},
};
static const struct option_row srk_rows[] = {
    {"out", "FILE", "where it goes; it is never overwritten", TO(out), .letter = 'o',
     .needed = "where should the public key go?", .elsewhere = "output"},
    {0},
};
static const struct option_row under_rows[] = {CLI_PARENT_ROW(TO(under)), {0}};
static const struct option_part import_parts[] = {{NULL, import_rows, 0}, {NULL, under_rows, 0}, {0}};
static const struct option_part wrap_parts[] = {{NULL, import_rows, 0}, {NULL, wrap_rows, 0}, {0}};
static const struct option_part srk_parts[] = {{NULL, srk_rows, 0}, {NULL, under_rows, 0}, {0}};

const struct command command_key_import = {
    .name = "import",
    .summary = "bring a software key, or an importable key file, into this TPM",
    .about = "FILE then works like one that `key create` made. A key that was ever outside of a TPM may have "
             "been copied: "
             "importing it cannot undo that.",
    .example = "  tpmtls key import soft.key -o imported.key",
    .parts = import_parts,
    .size = sizeof(struct import_options),
    .run = run_import,
};
const struct command command_key_wrap = {
    .name = "wrap",
    .summary = "wrap a software key for another machine's TPM; needs no TPM",
    .about = "Does the first half of `key import` on another machine, which needs no TPM. A key that was "
             "ever outside of a "
             "TPM may have been copied: wrapping it cannot undo that.",
    .example = "  tpmtls key wrap soft.key --for srk.pub -o wrapped.key",
    .parts = wrap_parts,
    .size = sizeof(struct import_options),
    .run = run_wrap,
};
const struct command command_key_srk = {
    .name = "srk",
    .summary = "write the public part of this TPM's storage root key, for `key wrap`",
    .example = "  tpmtls key srk -o srk.pub",
    .parts = srk_parts,
    .size = sizeof(struct import_options),
    .run = run_srk,
};
