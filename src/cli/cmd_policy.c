/* cli/cmd_policy.c: `tpmtls policy sign`: a signed policy for a key that takes them. Layer: cli. */
#include <getopt.h>
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/cli.h"

static const char usage[] = "usage: tpmtls policy sign FILE --policy-key KEY [--pcr PCRS] [--with-password] "
                            "[--name NAME] [-o FILE]\n";
static const char help[] =
    "\n"
    "FILE is a key made with `tpmtls key create --policy-key PUBLIC`. The key gets one more policy under "
    "which it\n"
    "may be used; those it has stay good: a signature cannot be taken back.\n"
    "\n"
    "  --policy-key KEY  the private half of PUBLIC: a file or handle as for --key elsewhere\n"
    "  --pcr PCRS        while these PCRs have the values they have now in the TPM (--tpm), such as "
    "sha256:0,2,7\n"
    "  --with-password   and its password is given\n"
    "  --name NAME       a mnemonic, for `tpmtls key show`\n"
    "  -o FILE           where it goes (default: FILE itself)\n";

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
    return cli_write_file(o->out != NULL ? o->out : o->file,
                          (struct tt_bytes){(const uint8_t *)pem, strlen(pem)}, 0600, false, err);
}

static int cmd_policy_sign(const struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"policy-key", required_argument, NULL, 'k'},
        {"pcr", required_argument, NULL, 'p'},
        {"with-password", no_argument, NULL, 'w'},
        {"name", required_argument, NULL, 'n'},
        {"out", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct policy_options o = {0};
    for (int c; (c = cli_getopt(argc, argv, "o:h", options)) != -1;) {
        if (c == 'k')
            o.key = optarg;
        else if (c == 'p')
            o.params.pcrs = optarg;
        else if (c == 'w')
            o.params.with_password = true;
        else if (c == 'n')
            o.params.name = optarg;
        else if (c == 'o')
            o.out = optarg;
        else if (c == 'h')
            return printf("%s%s", usage, help) < 0 ? CLI_FAILURE : CLI_OK;
        else
            return cli_bad_option(usage, argv, c);
    }
    if (argc - optind != 1)
        return cli_usage(usage, "for which key? one FILE");
    o.file = argv[optind];
    if (o.key == NULL)
        return cli_usage(usage, "who signs? --policy-key KEY");
    if (o.params.pcrs == NULL && !o.params.with_password)
        return cli_usage(usage, "what does the policy demand? --pcr or --with-password");
    struct tt_error err = {0};
    return run(&o, cli, &err) == TT_OK ? CLI_OK : cli_fail(&err);
}

int cmd_policy(const struct cli *cli, int argc, char **argv)
{
    if (argc < 2)
        return cli_usage(usage, "policy: sign?");
    if (strcmp(argv[1], "sign") == 0)
        return cmd_policy_sign(cli, argc - 1, argv + 1);
    if (strcmp(argv[1], "--help") == 0)
        return printf("%s%s", usage, help) < 0 ? CLI_FAILURE : CLI_OK;
    return cli_usage(usage, "there is no command 'policy %s'", argv[1]);
}
