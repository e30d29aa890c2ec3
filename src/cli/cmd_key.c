/* cli/cmd_key.c: `tpmtls key`: its subcommands and its help. Layer: cli. */
#include "cli/cmd_key.h"

#include <string.h>
#include <unistd.h>

#include "base/rc.h"

tt_rc key_refuse_taken(const char *path, struct tt_error *err)
{
    if (path == NULL || strcmp(path, "-") == 0 || access(path, F_OK) != 0)
        return TT_OK;
    (void)error_set(err, TT_ERR_EXISTS, "%s is already there and is not overwritten", path);
    error_hint(err, "choose another name; a key that is removed cannot be made again");
    return TT_ERR_EXISTS;
}

bool key_counts(const struct key_lockout *said, const struct cli *cli, const struct cli_password *password)
{
    return said->always || (!said->never && cli_password_counts(cli, password));
}

void key_hex(char *ret, struct tt_bytes b)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < b.len; i++) {
        *ret++ = digits[b.data[i] >> 4];
        *ret++ = digits[b.data[i] & 15];
    }
    *ret = '\0';
}

static const struct command *const subcommands[] = {&command_key_create,
                                                    &command_key_show,
                                                    &command_key_list,
                                                    &command_key_persist,
                                                    &command_key_evict,
                                                    &command_key_import,
                                                    &command_key_wrap,
                                                    &command_key_srk,
                                                    &command_key_seal,
                                                    &command_key_unseal,
                                                    NULL};

const struct command command_key = {
    .name = "key",
    .summary = "make and look at keys in the TPM",
    .about =
        "Keys are made in the TPM and stay there; a key file (TSS2 PRIVATE KEY) is of use to that TPM alone.",
    .subcommands = subcommands,
};
