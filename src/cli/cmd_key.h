/* cli/cmd_key.h: the subcommands of `tpmtls key`, and what they share. Layer: cli. */
#ifndef CLI_CMD_KEY_H
#define CLI_CMD_KEY_H

#include "cli/cli.h"

int cmd_key_create(const struct cli *cli, int argc, char **argv);
int cmd_key_show(const struct cli *cli, int argc, char **argv);
int cmd_key_list(const struct cli *cli, int argc, char **argv);
int cmd_key_persist(const struct cli *cli, int argc, char **argv);
int cmd_key_evict(const struct cli *cli, int argc, char **argv);
int cmd_key_import(const struct cli *cli, int argc, char **argv);
int cmd_key_wrap(const struct cli *cli, int argc, char **argv);
int cmd_key_srk(const struct cli *cli, int argc, char **argv);
int cmd_key_seal(const struct cli *cli, int argc, char **argv);
int cmd_key_unseal(const struct cli *cli, int argc, char **argv);

extern const char key_usage[];

/* key_help: --help of any of them. */
int key_help(void);
/* key_only_help: for subcommands without options: true when *ret is how the command ends. */
bool key_only_help(int *ret, int argc, char **argv);
/* key_only_out: for those whose one option is -o: -1 to go on, else how the command ends. */
int key_only_out(const char **ret, int argc, char **argv);
/* key_parse_handle: "0x81000010" or "handle:0x81000010". */
TT_MUST_USE tt_rc key_parse_handle(uint32_t *ret, const char *text, struct tt_error *err);
/* key_refuse_taken: TT_ERR_EXISTS before the TPM works for nothing; path "-" is standard output. */
TT_MUST_USE tt_rc key_refuse_taken(const char *path, struct tt_error *err);
/* key_hex: ret has room for 2 * b.len + 1. */
void key_hex(char *ret, struct tt_bytes b);

#endif
