/* cli/trust_options.h: whom to believe: --ca, --pin and --crl of connect and serve. Layer: cli. Reads the
 * files that the library does not read. */
#ifndef CLI_TRUST_OPTIONS_H
#define CLI_TRUST_OPTIONS_H

#include "cli/cli.h"
#include "cli/options.h"
#include "tpmtls/tls.h"

#define TRUST_SYSTEM_STORE  "/etc/ssl/certs/ca-certificates.crt"
#define TRUST_OPTION_VALUES 32

struct trust_options {
    const char *ca_option;         /* how the command calls it: "--ca" */
    struct option_list ca;         /* a file, a directory, or "system": the command's own row */
    struct option_list pins, crls; /* --pin, --crl */
    bool lax;                      /* --insecure-lax-certificates */
};
extern const struct option_row trust_rows[]; /* but for the CAs */

/* trust_is_given: is there a CA or a pin? */
bool trust_is_given(const struct trust_options *o);

/* trust_config: make the set and put it into cfg. again: the same options as before. A CA's file or directory
 * that is gone, or empty, is then said, and nobody is believed for it any more. */
TT_MUST_USE tt_rc trust_config(struct tt_config *cfg, const struct trust_options *o, bool again,
                               struct tt_error *err);

/* trust_advise: to an error about the peer's certificate, add the option that changes it. The library's hint
 * says what to do, not how it is typed here. */
void trust_advise(struct tt_error *err, const struct tt_conn *c, const struct trust_options *o);

#endif
