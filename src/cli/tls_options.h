/* cli/tls_options.h: the options that connect and serve have in common, and the configuration made from them.
 * Layer: cli. */
#ifndef CLI_TLS_OPTIONS_H
#define CLI_TLS_OPTIONS_H

#include <getopt.h>

#include "cli/cli.h"
#include "cli/psk_file.h"
#include "tpmtls/tls.h"

#define TLS_IDENTITIES 8
#define TLS_MAX_PSKS   16

struct tls_options {
    /* The n-th --key goes with the n-th --cert, and an --ocsp-response with the --cert before it. */
    const char *keys[TLS_IDENTITIES], *certs[TLS_IDENTITIES], *staples[TLS_IDENTITIES];
    size_t keys_len, certs_len; /* more than fit are counted, and refused */
    bool stray_staple;          /* one that no --cert goes before */
    bool raw_public_key, peer_raw_public_key;
    const char *alpn, *groups, *key_shares, *suites, *schemes, *compression; /* comma separated */
    const char *record_size_limit, *padding, *max_handshake_message;         /* bytes */
    const char *handshake_timeout;                                           /* seconds */
    const char *sign_deadline;                                               /* milliseconds */
    const char *psks[TLS_MAX_PSKS];                                          /* files */
    size_t psks_len;
    bool too_many_psks, psk_and_certificate;
    const char *keylog, *trace_pcap; /* files */
    const char *delegate;            /* hours, or a number with s, m or h; NULL: no delegation */
    bool refuse_delegated, accept_delegated;
    bool trace;
};

/* What a command puts into its table, and tls_option_take understands. */
enum tls_option {
    TLS_OPT_KEY = CLI_OPT + 100,
    TLS_OPT_CERT,
    TLS_OPT_ALPN,
    TLS_OPT_GROUPS,
    TLS_OPT_SUITES,
    TLS_OPT_KEY_SHARES,
    TLS_OPT_SCHEMES,
    TLS_OPT_COMPRESSION,
    TLS_OPT_RECORD_SIZE,
    TLS_OPT_PADDING,
    TLS_OPT_MAX_MESSAGE,
    TLS_OPT_STAPLE,
    TLS_OPT_RAW,
    TLS_OPT_PEER_RAW,
    TLS_OPT_KEYLOG,
    TLS_OPT_TRACE,
    TLS_OPT_TRACE_PCAP,
    TLS_OPT_TIMEOUT,
    TLS_OPT_SIGN_DEADLINE,
    TLS_OPT_DELEGATE,
    TLS_OPT_REFUSE_DELEGATED,
    TLS_OPT_PSK,
    TLS_OPT_PSK_AND_CERTIFICATE,
    TLS_OPT_ACCEPT_DELEGATED
};
#define TLS_OPTIONS                                                                                          \
    {"key", required_argument, NULL, TLS_OPT_KEY}, {"cert", required_argument, NULL, TLS_OPT_CERT},          \
        {"alpn", required_argument, NULL, TLS_OPT_ALPN},                                                     \
        {"groups", required_argument, NULL, TLS_OPT_GROUPS},                                                 \
        {"key-shares", required_argument, NULL, TLS_OPT_KEY_SHARES},                                         \
        {"suites", required_argument, NULL, TLS_OPT_SUITES},                                                 \
        {"schemes", required_argument, NULL, TLS_OPT_SCHEMES},                                               \
        {"compress-certificates", required_argument, NULL, TLS_OPT_COMPRESSION},                             \
        {"record-size-limit", required_argument, NULL, TLS_OPT_RECORD_SIZE},                                 \
        {"padding", required_argument, NULL, TLS_OPT_PADDING},                                               \
        {"max-handshake-message", required_argument, NULL, TLS_OPT_MAX_MESSAGE},                             \
        {"ocsp-response", required_argument, NULL, TLS_OPT_STAPLE},                                          \
        {"raw-public-key", no_argument, NULL, TLS_OPT_RAW},                                                  \
        {"peer-raw-public-key", no_argument, NULL, TLS_OPT_PEER_RAW},                                        \
        {"insecure-keylog", required_argument, NULL, TLS_OPT_KEYLOG},                                        \
        {"trace", no_argument, NULL, TLS_OPT_TRACE},                                                         \
        {"trace-pcap", required_argument, NULL, TLS_OPT_TRACE_PCAP},                                         \
        {"sign-deadline", required_argument, NULL, TLS_OPT_SIGN_DEADLINE},                                   \
        {"delegate", optional_argument, NULL, TLS_OPT_DELEGATE},                                             \
        {"refuse-delegated", no_argument, NULL, TLS_OPT_REFUSE_DELEGATED},                                   \
        {"psk", required_argument, NULL, TLS_OPT_PSK},                                                       \
        {"psk-and-certificate", no_argument, NULL, TLS_OPT_PSK_AND_CERTIFICATE},                             \
        {"accept-delegated", no_argument, NULL, TLS_OPT_ACCEPT_DELEGATED},                                   \
    {                                                                                                        \
        "handshake-timeout", required_argument, NULL, TLS_OPT_TIMEOUT                                        \
    }
#define TLS_OPTIONS_USAGE                                                                                    \
    "  --ocsp-response FILE  an OCSP response (DER) that goes with the --cert before it\n"                   \
    "  --raw-public-key      show the key alone to a peer that wants that (RFC 7250); --cert is not "        \
    "needed\n"                                                                                               \
    "  --peer-raw-public-key take the peer's key alone, which --pin must name; no certificate\n"             \
    "  --alpn A,B            application protocols, most wanted first\n"                                     \
    "  --groups A,B          X25519MLKEM768, SecP256r1MLKEM768, SecP384r1MLKEM1024, MLKEM1024 (libcrypto\n"  \
    "                        3.5), x25519, x448, secp256r1, secp384r1, secp521r1\n"                          \
    "  --suites A,B          TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256\n" \
    "  --schemes A,B         what the peer may sign with: ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256, "     \
    "...\n"                                                                                                  \
    "  --compress-certificates A,B\n"                                                                        \
    "                        zlib, brotli, zstd (RFC 8879); default: none\n"                                 \
    "  --record-size-limit N the largest record we take (RFC 8449), 64 to 16385 bytes\n"                     \
    "  --padding N           pad what is sent to multiples of N bytes\n"                                     \
    "  --max-handshake-message N\n"                                                                          \
    "                        refuse longer messages of the peer (65536), 1024 to 1048576 bytes\n"            \
    "  --handshake-timeout S seconds a handshake may take (30)\n"                                            \
    "  --sign-deadline MS    milliseconds until our signature must be made (5000); one that would come "     \
    "later "                                                                                                 \
    "is\n                        refused at once\n"                                                          \
    "  --psk FILE            a pre-shared key (tpmtls psk import); may be repeated. Without certificates "   \
    "to go by "                                                                                              \
    "(--ca,\n                        --key), a PSK or no connection\n"                                       \
    "  --psk-and-certificate both together, or no connection (RFC 8773)\n"                                   \
    "  --delegate[=HOURS]    let our key sign a credential for a software key that lives in memory for "     \
    "HOURS (1,\n                        at most 168; or 30m, 90s), and with that the handshakes of peers "   \
    "that accept it\n"                                                                                       \
    "  --refuse-delegated    connect: do not accept delegated credentials of servers\n"                      \
    "  --accept-delegated    serve: accept them of clients; NSS (Firefox) refuses a server that offers it\n" \
    "  --insecure-keylog F   append the connections' secrets to F, for Wireshark: whoever reads it reads\n"  \
    "                        everything. The environment's SSLKEYLOGFILE does the same\n"                    \
    "  --trace               show each handshake message and what the TPM did, on stderr\n"                  \
    "  --trace-pcap FILE     what is sent and received, as a new pcap file for Wireshark. It is the "        \
    "ciphertext, "                                                                                           \
    "in\n                        TCP/IP headers made up; with what --insecure-keylog writes it can be "      \
    "read\n"

/* tls_option_take: true when c was one of them. Values are looked at later. */
bool tls_option_take(struct tls_options *o, int c, const char *value);

/* tls_config_values: put everything but identities and trust into cfg. */
TT_MUST_USE tt_rc tls_config_values(struct tt_config *cfg, const struct tls_options *o, struct tt_error *err);

/* struct tls_identities: the keys behind --key; they must live as long as the configuration. */
struct tls_identities {
    struct cli_key keys[TLS_IDENTITIES];
    size_t len;
    struct tt_tpm *tpm;               /* that all TPM keys among them are on, or NULL */
    struct tt_delegation *delegation; /* --delegate: of the first, which is then the only one */
};
/* tls_config_identities: --key, --cert, --ocsp-response, --raw-public-key and --delegate. */
TT_MUST_USE tt_rc tls_config_identities(struct tt_config *cfg, struct tls_identities *ret, enum tt_role role,
                                        const struct cli *cli, const struct tls_options *o,
                                        struct tt_error *err);
void tls_identities_close(struct tls_identities *ids);
/* tls_identities_conflict: what is wrong with how these options stand together; NULL: nothing. */
const char *tls_identities_conflict(const struct tls_options *o);

/* struct tls_psks: the PSKs behind --psk; they must live as long as the configuration. */
struct tls_psks {
    struct psk_file files[TLS_MAX_PSKS];
    struct tt_session *sessions[TLS_MAX_PSKS]; /* theirs, as a client offers them */
    size_t len;
};
/* struct tls_psks_where: what they are for. */
struct tls_psks_where {
    struct tt_config *config;
    enum tt_role role;
    struct tt_tpm **tpm; /* opened for a PSK that it holds, unless it is there */
    const struct cli *cli;
    bool has_certificates; /* the configuration may do without a PSK */
};
/* tls_config_psks: --psk and --psk-and-certificate. */
TT_MUST_USE tt_rc tls_config_psks(struct tls_psks *ret, const struct tls_psks_where *where,
                                  const struct tls_options *o, struct tt_error *err);
void tls_psks_close(struct tls_psks *psks);
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
