/* cli/cmd_key.h: the subcommands of `tpmtls key`, and what they share. Layer: cli. */
#ifndef CLI_CMD_KEY_H
#define CLI_CMD_KEY_H

#include "cli/command.h"

extern const struct command command_key_create, command_key_show, command_key_list, command_key_persist,
    command_key_evict, command_key_import, command_key_wrap, command_key_srk, command_key_seal,
    command_key_unseal;

/* key_refuse_taken: TT_ERR_EXISTS before the TPM works for nothing; path "-" is standard output. */
TT_MUST_USE tt_rc key_refuse_taken(const char *path, struct tt_error *err);
/* struct key_lockout: what --lockout and --no-lockout say; key_counts: do wrong passwords of the new key
 * count towards the TPM's lockout. */
struct key_lockout {
    bool always, never;
};
bool key_counts(const struct key_lockout *said, const struct cli *cli, const struct cli_password *password);
#define KEY_LOCKOUT_TEXT                                                                                     \
    "wrong passwords (--auth-file F ... give it one) count towards the TPM's lockout: the default, unless "  \
    "the password comes from a file, descriptor or credential and has 16 bytes or more. Each loss of the "   \
    "TPM's power after the key was used counts, too"
#define KEY_NO_LOCKOUT_TEXT "they do not count"
/* key_hex: ret has room for 2 * b.len + 1. */
void key_hex(char *ret, struct tt_bytes b);

#endif
