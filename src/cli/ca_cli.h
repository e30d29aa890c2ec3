/* cli/ca_cli.h: what the commands of `tpmtls ca` share. Layer: cli. One file for what is made (ca_make.c),
 * looked at (ca_list.c), changed (ca_change.c). */
#ifndef CLI_CA_CLI_H
#define CLI_CA_CLI_H

#include <jansson.h>

#include "ca/ca.h"
#include "cli/ca_keys.h"
#include "cli/command.h"

/* struct ca_options: of all of them; each command has rows for its own. */
struct ca_options {
    const char *dir, *store, *subject, *key, *out, *word, *profile, *parent;
    const char *crl_url, *ocsp_url, *issuer_url;
    const char *state, *expires, *reason, *head, *key_id;
    struct option_list sans;
    unsigned long days, path_len, limit, uses; /* 0: not given */
    bool chain, delegation, force, newest, der, delta, no_crl, evidence;
};
#define CA_TO(member) OPTION_TO(struct ca_options, member)
extern const struct option_row ca_dir_rows[];

/* ca_cli_open: with a look at who else may write there. */
TT_MUST_USE tt_rc ca_cli_open(struct ca **ret, const struct ca_options *o, struct tt_error *err);
/* ca_cli_person: who is at the keyboard, for the audit log. */
const char *ca_cli_person(void);
/* ca_cli_until: "90m", "12h", "30d" from now on; or "2026-12-31". */
TT_MUST_USE tt_rc ca_cli_until(int64_t *ret, const char *text, int64_t now, struct tt_error *err);
void ca_cli_time(char ret[24], int64_t seconds);

int ca_cli_json(json_t *root);
/* ca_cli_fail: cli_fail, where whoever took the rows may have stopped without a word. */
int ca_cli_fail(tt_rc rc, struct tt_error *err);
/* ca_cli_former_json: the keys it had before, an array; NULL: none. */
json_t *ca_cli_former_json(struct ca *ca);
json_t *ca_cli_info_json(const struct tt_cert_info *i);
/* ca_cli_pem: n certificates to --out, or to standard output. */
TT_MUST_USE tt_rc ca_cli_pem(const struct ca_options *o, const struct tt_cert_list *list, size_t n,
                             struct tt_error *err);
enum file_over ca_cli_over(const struct ca_options *o);

int run_ca_init(const struct cli *cli, void *options);
int run_ca_rollover(const struct cli *cli, void *options);
int run_ca_sign(const struct cli *cli, void *options);
int run_ca_show(const struct cli *cli, void *options);
int run_ca_list(const struct cli *cli, void *options);
int run_ca_export(const struct cli *cli, void *options);
int run_ca_stats(const struct cli *cli, void *options);
int run_ca_pending(const struct cli *cli, void *options);
int run_ca_revoke(const struct cli *cli, void *options);
int run_ca_unrevoke(const struct cli *cli, void *options);
int run_ca_crl(const struct cli *cli, void *options);
int run_ca_approve(const struct cli *cli, void *options);
int run_ca_reject(const struct cli *cli, void *options);
int run_ca_token_create(const struct cli *cli, void *options);
int run_ca_token_list(const struct cli *cli, void *options);
int run_ca_token_revoke(const struct cli *cli, void *options);
int run_ca_audit_verify(const struct cli *cli, void *options);
int run_ca_audit_list(const struct cli *cli, void *options);

#endif
