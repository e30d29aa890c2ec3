/* cli/tls_options.h: the options that connect and serve have in common, and the configuration made from them.
 * Layer: cli. */
#ifndef CLI_TLS_OPTIONS_H
#define CLI_TLS_OPTIONS_H

#include <getopt.h>

#include "cli/cli.h"
#include "tpmtls/tls.h"

struct tls_options {
    const char *key, *cert;
    const char *alpn, *groups, *suites; /* comma separated */
    const char *handshake_timeout;      /* seconds */
    const char *sign_deadline;          /* milliseconds */
    const char *delegate;               /* hours, or a number with s, m or h; NULL: no delegation */
    bool refuse_delegated;
    bool trace;
};

/* What a command puts into its table, and tls_option_take understands. */
enum tls_option {
    TLS_OPT_KEY = CLI_OPT + 100,
    TLS_OPT_CERT,
    TLS_OPT_ALPN,
    TLS_OPT_GROUPS,
    TLS_OPT_SUITES,
    TLS_OPT_TRACE,
    TLS_OPT_TIMEOUT,
    TLS_OPT_SIGN_DEADLINE,
    TLS_OPT_DELEGATE,
    TLS_OPT_REFUSE_DELEGATED
};
#define TLS_OPTIONS                                                                                          \
    {"key", required_argument, NULL, TLS_OPT_KEY}, {"cert", required_argument, NULL, TLS_OPT_CERT},          \
        {"alpn", required_argument, NULL, TLS_OPT_ALPN},                                                     \
        {"groups", required_argument, NULL, TLS_OPT_GROUPS},                                                 \
        {"suites", required_argument, NULL, TLS_OPT_SUITES}, {"trace", no_argument, NULL, TLS_OPT_TRACE},    \
        {"sign-deadline", required_argument, NULL, TLS_OPT_SIGN_DEADLINE},                                   \
        {"delegate", optional_argument, NULL, TLS_OPT_DELEGATE},                                             \
        {"refuse-delegated", no_argument, NULL, TLS_OPT_REFUSE_DELEGATED},                                   \
    {                                                                                                        \
        "handshake-timeout", required_argument, NULL, TLS_OPT_TIMEOUT                                        \
    }
#define TLS_OPTIONS_USAGE                                                                                    \
    "  --alpn A,B            application protocols, most wanted first\n"                                     \
    "  --groups A,B          x25519, secp256r1, secp384r1\n"                                                 \
    "  --suites A,B          TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256\n" \
    "  --handshake-timeout S seconds a handshake may take (30)\n"                                            \
    "  --sign-deadline MS    milliseconds until our signature must be made (5000); one that would come "     \
    "later "                                                                                                 \
    "is\n                        refused at once\n"                                                          \
    "  --delegate[=HOURS]    let our key sign a credential for a software key that lives in memory for "     \
    "HOURS (1,\n                        at most 168; or 30m, 90s), and with that the handshakes of peers "   \
    "that accept it\n"                                                                                       \
    "  --refuse-delegated    do not accept delegated credentials of peers\n"                                 \
    "  --trace               show each handshake message and what the TPM did, on stderr\n"

/* tls_option_take: true when c was one of them. Values are looked at later. */
bool tls_option_take(struct tls_options *o, int c, const char *value);

/* tls_config_lists: put --alpn, --groups and --suites into cfg. */
TT_MUST_USE tt_rc tls_config_lists(struct tt_config *cfg, const struct tls_options *o, struct tt_error *err);
/* struct tls_identity: --key, --cert and --delegate; must live as long as the configuration. */
struct tls_identity {
    struct cli_key key;
    struct tt_delegation *delegation; /* --delegate */
};
TT_MUST_USE tt_rc tls_config_identity(struct tt_config *cfg, struct tls_identity *ret, enum tt_role role,
                                      const struct cli *cli, const struct tls_options *o,
                                      struct tt_error *err);
void tls_identity_close(struct tls_identity *id);
/* tls_delegate_seconds: --delegate; 0: not given. */
TT_MUST_USE tt_rc tls_delegate_seconds(unsigned *ret, const struct tls_options *o, struct tt_error *err);

/* struct cli_range: what a number may be. */
struct cli_range {
    const char *option; /* its name, for the message */
    unsigned long min, max;
};
/* cli_number: the value of an option; text NULL leaves *ret as it is. */
TT_MUST_USE tt_rc cli_number(unsigned long *ret, const char *text, const struct cli_range *range,
                             struct tt_error *err);
/* tls_sign_deadline: --sign-deadline in milliseconds; 0: not given. */
TT_MUST_USE tt_rc tls_sign_deadline(unsigned *ret, const struct tls_options *o, struct tt_error *err);
/* cli_seconds: the same for 1 .. 3600 seconds. */
TT_MUST_USE tt_rc cli_seconds(unsigned *ret, const char *text, const char *option, struct tt_error *err);

#endif
