/* cli/key_create.c: `tpmtls key create` and `tpmtls key seal`: what is made in the TPM, and its protection.
 * Layer: cli. */
#include "cli/cmd_key.h"

#include <getopt.h>
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"

struct create_options {
    const char *path, *persist, *policy_key;
    uint32_t handle;
    bool no_lockout;
    bool seal; /* data, not a new key */
    struct tt_bytes data;
    struct tt_key_params params;
};

enum {
    OPT_PERSIST = CLI_OPT,
    OPT_PCR,
    OPT_POLICY_KEY,
    OPT_POLICY_SECRET,
    OPT_DESCRIPTION,
    OPT_NO_LOCKOUT
};

static void tell(const struct cli *cli, const struct create_options *o, struct tt_tpm *tpm)
{
    const char *type = tt_key_type_name(o->params.type);
    const char *path = o->path != NULL ? o->path : "";
    if (o->seal)
        return;
    if (cli->json && strcmp(path, "-") != 0) {
        json_t *root = json_pack("{s:s, s:s*}", "type", type, "file", o->path);
        if (o->persist != NULL)
            (void)json_object_set_new(root, "handle", json_sprintf("0x%08x", o->handle));
        (void)json_dumpf(root, stdout, JSON_COMPACT);
        (void)putchar('\n');
        json_decref(root);
        return;
    }
    if (o->path != NULL && strcmp(path, "-") != 0)
        cli_note("made a %s key in the TPM (%s), wrote %s", type, tt_tpm_describe(tpm), path);
    if (o->persist != NULL)
        cli_note("made a %s key persistent at 0x%08x: --key handle:0x%08x", type, o->handle, o->handle);
}

/* The file first: a key at a handle that cannot be written down is better than a file that was lost. */
static tt_rc create(const struct cli *cli, struct create_options *o, struct tt_tpm *tpm, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_TRY(o->seal ? tt_seal(&pem, tpm, o->data, &o->params, err)
                   : tt_key_create_with(&pem, tpm, &o->params, err));
    struct tt_bytes text = {(const uint8_t *)pem, strlen(pem)};
    if (o->persist != NULL)
        TT_TRY(tt_key_persist(tpm, text, o->handle, err));
    if (o->path != NULL)
        TT_TRY(cli_write_file(o->path, text, 0600, true, err));
    tell(cli, o, tpm);
    return TT_OK;
}

/* Whatever can be refused is refused before the TPM works: an RSA key takes it seconds. */
static tt_rc handle_is_free(struct tt_tpm *tpm, uint32_t handle, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) struct tt_persistent *list = NULL;
    size_t n = 0;
    TT_TRY(tt_persistent_list(&list, &n, tpm, err));
    for (size_t i = 0; i < n; i++)
        if (list[i].handle == handle) {
            (void)error_set(err, TT_ERR_EXISTS, "something is at 0x%08x already, and is not overwritten",
                            handle);
            error_hint(err, "`tpmtls key list` shows what is where; choose a free handle");
            return TT_ERR_EXISTS;
        }
    return TT_OK;
}

static tt_rc run_with_tpm(const struct cli *cli, struct create_options *o, struct tt_error *err)
{
    struct tt_tpm *tpm = NULL;
    TT_TRY(cli_open_tpm(&tpm, cli, err));
    tt_rc rc = o->persist == NULL ? TT_OK : handle_is_free(tpm, o->handle, err);
    if (rc == TT_OK)
        rc = create(cli, o, tpm, err);
    tt_tpm_close(tpm);
    return rc;
}

static tt_rc run(const struct cli *cli, struct create_options *o, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *password = NULL;
    TT_AUTO(mem_free_auto) char *signer = NULL;
    size_t signer_len = 0;
    TT_TRY(key_refuse_taken(o->path, err));
    if (o->persist != NULL)
        TT_TRY(key_parse_handle(&o->handle, o->persist, err));
    if (o->policy_key != NULL) {
        TT_TRY(cli_read_file(&signer, &signer_len, o->policy_key, err));
        o->params.signer = (struct tt_bytes){(const uint8_t *)signer, signer_len};
    }
    TT_TRY(cli_auth_password(
        &password, cli,
        &(struct cli_auth_want){.what = o->seal ? "the sealed data" : "the new key", .is_new = true}, err));
    o->params.password = password;
    o->params.count_failures = !o->no_lockout;
    return run_with_tpm(cli, o, err);
}

/* -1: go on; else how the command ends. */
static int take_option(struct create_options *o, char **argv, int c)
{
    switch (c) {
    case 'o':
        o->path = optarg;
        return -1;
    case 't':
        if (tt_key_type_parse(&o->params.type, optarg) != TT_OK)
            return cli_usage(key_usage, "'%s' is not a type of key", optarg);
        return -1;
    case OPT_PERSIST:
        o->persist = optarg;
        return -1;
    case OPT_PCR:
        o->params.pcrs = optarg;
        return -1;
    case OPT_POLICY_KEY:
        o->policy_key = optarg;
        return -1;
    case OPT_POLICY_SECRET:
        o->params.secret_of = optarg;
        return -1;
    case OPT_DESCRIPTION:
        o->params.description = optarg;
        return -1;
    case OPT_NO_LOCKOUT:
        o->no_lockout = true;
        return -1;
    case 'h':
        return key_help();
    default:
        return cli_bad_option(key_usage, argv, c);
    }
}

/* -1: go on; else how the command ends. */
static int parse(struct create_options *o, int argc, char **argv)
{
    static const struct option options[] = {
        {"out", required_argument, NULL, 'o'},
        {"type", required_argument, NULL, 't'},
        {"persist", required_argument, NULL, OPT_PERSIST},
        {"pcr", required_argument, NULL, OPT_PCR},
        {"policy-key", required_argument, NULL, OPT_POLICY_KEY},
        {"policy-secret", required_argument, NULL, OPT_POLICY_SECRET},
        {"description", required_argument, NULL, OPT_DESCRIPTION},
        {"no-lockout", no_argument, NULL, OPT_NO_LOCKOUT},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    for (int c; (c = cli_getopt(argc, argv, "o:t:h", options)) != -1;) {
        int end = take_option(o, argv, c);
        if (end >= 0)
            return end;
    }
    return -1;
}

int cmd_key_create(const struct cli *cli, int argc, char **argv)
{
    struct create_options o = {.params.type = TT_KEY_P256};
    int end = parse(&o, argc, argv);
    if (end >= 0)
        return end;
    if (optind < argc)
        return cli_usage(key_usage, "'%s' is one word too many", argv[optind]);
    bool policy = o.params.pcrs != NULL || o.policy_key != NULL || o.params.secret_of != NULL;
    if (o.path == NULL && (o.persist == NULL || policy))
        return cli_usage(key_usage, policy ? "a key under a policy needs a file that says which: -o FILE"
                                           : "where should the key go? -o FILE");
    struct tt_error err = {0};
    return run(cli, &o, &err) == TT_OK ? CLI_OK : cli_fail(&err);
}

int cmd_key_seal(const struct cli *cli, int argc, char **argv)
{
    struct create_options o = {.params.type = TT_KEY_OTHER, .seal = true};
    struct tt_error err = {0};
    TT_AUTO(mem_free_auto) char *data = NULL;
    int end = parse(&o, argc, argv);
    if (end >= 0)
        return end;
    if (o.params.type != TT_KEY_OTHER || o.persist != NULL)
        return cli_usage(key_usage, "data that is sealed has no --type and is kept in a file only");
    if (argc - optind > 1 || o.path == NULL)
        return cli_usage(key_usage, "what is to be sealed, and where does it go? [FILE] -o FILE");
    tt_rc rc = cli_read_file(&data, &o.data.len, optind < argc ? argv[optind] : "-", &err);
    o.data.data = (const uint8_t *)data;
    if (rc == TT_OK)
        rc = run(cli, &o, &err);
    return rc == TT_OK ? CLI_OK : cli_fail(&err);
}
