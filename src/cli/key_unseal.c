/* cli/key_unseal.c: `tpmtls key unseal`: sealed data, back again. Layer: cli. */
#include <getopt.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/cmd_key.h"

static tt_rc unseal(const struct cli *cli, const char *path, const char *out, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_AUTO(mem_free_auto) char *password = NULL;
    TT_AUTO(mem_free_auto) uint8_t *data = NULL;
    size_t pem_len = 0, len = 0;
    struct tt_tpm *tpm = NULL;
    struct tt_keyfile_info info;
    struct cli_auth_want want = {.what = path};
    TT_TRY(key_refuse_taken(out, err));
    TT_TRY(cli_read_file(&pem, &pem_len, path, err));
    struct tt_bytes text = {(const uint8_t *)pem, pem_len};
    TT_TRY(tt_keyfile_inspect(&info, text, err));
    want.ask = info.needs_password && cli_has_terminal();
    TT_TRY(cli_auth_password(&password, cli, &want, err));
    TT_TRY(cli_open_tpm(&tpm, cli, err));
    tt_rc rc = tt_unseal(&data, &len, tpm, text, password, err);
    tt_tpm_close(tpm);
    TT_TRY(rc);
    return cli_write_file(out, (struct tt_bytes){data, len}, 0600, true, err);
}

int cmd_key_unseal(const struct cli *cli, int argc, char **argv)
{
    const char *out = NULL;
    int early = key_only_out(&out, argc, argv);
    if (early >= 0)
        return early;
    if (argc - optind != 1)
        return cli_usage(key_usage, "which file? one FILE that `tpmtls key seal` made");
    struct tt_error err = {0};
    tt_rc rc = unseal(cli, argv[optind], out, &err);
    if (rc != TT_OK)
        cli_name_key(&err, argv[optind]);
    return rc == TT_OK ? CLI_OK : cli_fail(&err);
}
