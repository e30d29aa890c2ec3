/* cli/tls_options.h: the options that connect and serve have in common, and the configuration made from them.
 * Layer: cli. */
#ifndef CLI_TLS_OPTIONS_H
#define CLI_TLS_OPTIONS_H

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/psk_file.h"
#include "tpmtls/tls.h"

#define TLS_IDENTITIES 8
#define TLS_MAX_PSKS   16

struct tls_options {
    /* The n-th --key goes with the n-th --cert, and an --ocsp-response with the --cert before it. */
    struct option_list keys, certs;
    const char *staples[TLS_IDENTITIES];
    bool stray_staple; /* one that no --cert goes before */
    bool raw_public_key, peer_raw_public_key;
    const char *alpn, *groups, *key_shares, *suites, *schemes, *compression; /* comma separated */
    unsigned long record_size_limit, padding, max_handshake_message;         /* bytes */
    unsigned long handshake_timeout;                                         /* seconds */
    unsigned long sign_deadline;                                             /* milliseconds */
    struct option_list psks;                                                 /* files */
    bool psk_and_certificate;
    const char *keylog, *trace_pcap; /* files */
    unsigned delegate_s;             /* 0: no delegation */
    bool refuse_delegated, accept_delegated;
    enum hello_like {
        HELLO_OWN,
        HELLO_BROWSER
    } hello_like; /* client */
    bool trace;
};

/* Their rows: who we are, what is negotiated, what is shown of it. */
extern const struct option_row tls_identity_rows[], tls_protocol_rows[], tls_trace_rows[];
#define TLS_OPTION_PARTS(at)                                                                                 \
    {"identity", tls_identity_rows, at}, {"protocol", tls_protocol_rows, at},                                \
    {                                                                                                        \
        "what is shown", tls_trace_rows, at                                                                  \
    }

/* tls_config_values: put everything but identities and trust into cfg. */
TT_MUST_USE tt_rc tls_config_values(struct tt_config *cfg, const struct tls_options *o, struct tt_error *err);

/* struct tls_key: an open key, shared by what was loaded before and after its certificate was renewed. */
struct tls_key {
    struct tt_key *key;
    size_t holders;
    char file[65]; /* the SHA-256 of its file, in hexadecimal; "" for one at a handle */
};
/* struct tls_identities: the keys behind --key; they must live as long as the configuration. */
struct tls_identities {
    struct tls_key *keys[TLS_IDENTITIES];
    size_t len;
    struct tt_tpm *tpm;               /* that all TPM keys among them are on, or NULL */
    bool is_guest;                    /* the TPM is somebody else's */
    struct tt_delegation *delegation; /* --delegate: of the first, which is then the only one */
    struct tls_end {
        int64_t from, until; /* seconds: when all of the chain is valid; 0: there is no certificate */
        size_t number;       /* which certificate ends first */
    } ends[TLS_IDENTITIES];
    struct buf leaf; /* DER; of the first one's certificate */
};
/* struct tls_load: what they are for. */
struct tls_load {
    struct tt_config *config;
    enum tt_role role;
    const struct cli *cli;
    const struct tls_options *options;
    /* What was loaded before from the same options, or NULL. A key whose file is as it was, and that is its
     * certificate's, is shared; another one in the TPM needs the TPM that is open. */
    const struct tls_identities *before;
    struct tt_tpm *tpm; /* without `before`: somebody's TPM, where the keys are; NULL: the first one that
                           needs it opens it */
};
/* tls_config_identities: --key, --cert, --ocsp-response, --raw-public-key and --delegate. */
TT_MUST_USE tt_rc tls_config_identities(struct tls_identities *ret, const struct tls_load *load,
                                        struct tt_error *err);
/* tls_identities_close: on the thread that owns the TPM, as long as there is one. */
void tls_identities_close(struct tls_identities *ids);
/* tls_identities_say_ends: a note for each certificate of ours that does not count now (seconds since 1970),
 * or not for a week more. */
void tls_identities_say_ends(const struct tls_identities *ids, const struct tls_options *o, int64_t now);
/* tls_alpn_has: is that name among those of --alpn? */
bool tls_alpn_has(const struct tls_options *o, const char *name);
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
/* tls_config_psks_again: the same ones into another configuration of a server. */
TT_MUST_USE tt_rc tls_config_psks_again(const struct tls_psks *psks, struct tt_config *cfg,
                                        const struct tls_options *o, bool has_certificates);
void tls_psks_close(struct tls_psks *psks);

#endif
