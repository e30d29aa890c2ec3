/* cli/ca_keys.h: the keys of a CA, opened: that of today, and former ones that still sign CRLs and OCSP
 * answers. Layer: cli. All on one TPM, for one thread. */
#ifndef CLI_CA_KEYS_H
#define CLI_CA_KEYS_H

#include <limits.h>

#include "ca/ca.h"
#include "cli/cli.h"

#define CA_KEYS_MAX 8

struct ca_keys {
    const struct cli *cli; /* the caller's */
    struct {
        char name[PATH_MAX];
        struct cli_key key; /* its tpm: NULL, or that of all of them */
    } at[CA_KEYS_MAX];
    size_t len;
    struct tt_tpm *tpm;
};
/* ca_keys_give: have them sign for ca, which must be closed before ca_keys_close; those that are open
 * already, and else opened. Of a former key that cannot be opened it is said, once, and the rest goes on. */
TT_MUST_USE tt_rc ca_keys_give(struct ca_keys *k, struct ca *ca, struct tt_error *err);
void ca_keys_close(struct ca_keys *k);

#endif
