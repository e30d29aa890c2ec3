/* cli/trust_options.h: whom to believe: --ca, --pin and --crl of connect and serve. Layer: cli. Reads the
 * files that the library does not read. */
#ifndef CLI_TRUST_OPTIONS_H
#define CLI_TRUST_OPTIONS_H

#include "cli/cli.h"
#include "tpmtls/tls.h"

#define TRUST_SYSTEM_STORE  "/etc/ssl/certs/ca-certificates.crt"
#define TRUST_OPTION_VALUES 32

/* struct trust_values: an option that may be given several times. */
struct trust_values {
    const char *at[TRUST_OPTION_VALUES];
    size_t len; /* more than fit are counted, and refused by trust_config */
};

struct trust_options {
    const char *ca_option;          /* how the command calls it: "--ca" */
    struct trust_values ca;         /* a file, a directory, or "system" */
    struct trust_values pins, crls; /* --pin, --crl */
};

/* What a command puts into its table, and trust_option_take understands. */
enum trust_option {
    TRUST_OPT_CA = CLI_OPT + 200,
    TRUST_OPT_PIN,
    TRUST_OPT_CRL
};
#define TRUST_OPTIONS(ca)                                                                                    \
    {ca, required_argument, NULL, TRUST_OPT_CA}, {"pin", required_argument, NULL, TRUST_OPT_PIN},            \
    {                                                                                                        \
        "crl", required_argument, NULL, TRUST_OPT_CRL                                                        \
    }
#define TRUST_OPTIONS_USAGE                                                                                  \
    "  --pin sha256:KEY      a public key (hex or base64 of the SHA-256 of its SubjectPublicKeyInfo): "      \
    "with\n"                                                                                                 \
    "                        CAs, one that the peer's chain must contain; alone, the one that is trusted\n"  \
    "  --crl FILE            revoked certificates (PEM or DER); then the peer's CA must have a valid CRL\n"  \
    "                        (these options may be given several times)\n"

/* trust_option_take: true when c was one of them. Values are looked at later. */
bool trust_option_take(struct trust_options *o, int c, const char *value);
/* trust_is_given: is there a CA or a pin? */
bool trust_is_given(const struct trust_options *o);

/* trust_config: make the set and put it into cfg. */
TT_MUST_USE tt_rc trust_config(struct tt_config *cfg, const struct trust_options *o, struct tt_error *err);

/* trust_advise: to an error about the peer's certificate, add the option that changes it. The library's hint
 * says what to do, not how it is typed here. */
void trust_advise(struct tt_error *err, const struct tt_conn *c, const struct trust_options *o);

#endif
