/* cli/key_import.c: `tpmtls key import`, `wrap` and `srk`: software keys on their way into a TPM. Layer: cli.
 */
#include <getopt.h>
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/cmd_key.h"

struct import_options {
    const char *key, *out, *target, *parent;
    bool no_lockout;
    struct tt_wrap_params wrap;
};

enum {
    OPT_FOR = CLI_OPT,
    OPT_PARENT,
    OPT_DESCRIPTION,
    OPT_NO_LOCKOUT
};

/* -1: go on; else how the command ends. */
static int parse(struct import_options *o, int argc, char **argv, bool wrap)
{
    static const struct option options[] = {
        {"out", required_argument, NULL, 'o'},
        {"description", required_argument, NULL, OPT_DESCRIPTION},
        {"no-lockout", no_argument, NULL, OPT_NO_LOCKOUT},
        {"help", no_argument, NULL, 'h'},
        {"for", required_argument, NULL, OPT_FOR},
        {"parent", required_argument, NULL, OPT_PARENT},
        {0},
    };
    for (int c; (c = cli_getopt(argc, argv, "o:h", options)) != -1;) {
        if (c == 'o')
            o->out = optarg;
        else if (c == OPT_DESCRIPTION)
            o->wrap.params.description = optarg;
        else if (c == OPT_NO_LOCKOUT)
            o->no_lockout = true;
        else if (c == OPT_FOR && wrap)
            o->target = optarg;
        else if (c == OPT_PARENT && wrap)
            o->parent = optarg;
        else if (c == 'h')
            return key_help();
        else if (c == OPT_FOR || c == OPT_PARENT)
            return cli_usage(key_usage, "--for and --parent are options of wrap");
        else
            return cli_bad_option(key_usage, argv, c);
    }
    if (argc - optind != 1)
        return cli_usage(key_usage, "which key? one FILE");
    o->key = argv[optind];
    if (o->out == NULL)
        return cli_usage(key_usage, "where should the key go? -o FILE");
    if (wrap && o->target == NULL)
        return cli_usage(key_usage, "for which TPM? --for FILE with its storage root key's public part");
    return -1;
}

/* struct texts: what was read, freed when the command ends. */
struct texts {
    char *key, *target, *key_password, *password;
};

static void texts_free(struct texts *t)
{
    tt_free(t->key);
    tt_free(t->target);
    tt_free(t->key_password);
    tt_free(t->password);
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
        TT_TRY(key_parse_handle(&parent, o->parent, err));
    o->wrap.parent = parent;
    if (strstr(t->key, "ENCRYPTED") != NULL)
        TT_TRY(cli_read_password(&t->key_password, cli, o->key, err));
    o->wrap.key_password = t->key_password;
    struct cli_auth_want want = {.what = "the new key", .is_new = true};
    TT_TRY(cli_auth_password(&t->password, cli, &want, err));
    o->wrap.params.password = t->password;
    o->wrap.params.count_failures = !o->no_lockout;
    return TT_OK;
}

static tt_rc import(char **ret_pem, const struct import_options *o, const struct cli *cli,
                    struct tt_error *err)
{
    struct tt_tpm *tpm = NULL;
    TT_TRY(cli_open_tpm(&tpm, cli, err));
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
    return cli_write_file(o->out, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)}, 0600, true, err);
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

static int cmd_import(const struct cli *cli, int argc, char **argv, bool wrap)
{
    struct import_options o = {0};
    struct tt_error err = {0};
    int early = parse(&o, argc, argv, wrap);
    if (early >= 0)
        return early;
    return run(&o, cli, wrap, &err) == TT_OK ? end(&o, wrap) : cli_fail(&err);
}

int cmd_key_import(const struct cli *cli, int argc, char **argv)
{
    return cmd_import(cli, argc, argv, false);
}

int cmd_key_wrap(const struct cli *cli, int argc, char **argv)
{
    return cmd_import(cli, argc, argv, true);
}

int cmd_key_srk(const struct cli *cli, int argc, char **argv)
{
    const char *out = NULL;
    int early = key_only_out(&out, argc, argv);
    if (early >= 0)
        return early;
    if (optind < argc || out == NULL)
        return cli_usage(key_usage, "where should the public key go? -o FILE");
    struct tt_error err = {0};
    struct tt_tpm *tpm = NULL;
    uint8_t *pub = NULL;
    size_t len = 0;
    tt_rc rc = cli_open_tpm(&tpm, cli, &err);
    if (rc == TT_OK)
        rc = tt_storage_public(&pub, &len, tpm, &err);
    tt_tpm_close(tpm);
    if (rc == TT_OK)
        rc = cli_write_file(out, (struct tt_bytes){pub, len}, 0644, true, &err);
    tt_free(pub);
    return rc == TT_OK ? CLI_OK : cli_fail(&err);
}
