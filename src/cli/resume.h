/* cli/resume.h: --resume and --early-data of `tpmtls connect`: the store of sessions, the one that is
 * offered, those that come, and what is sent before the handshake. Layer: cli. docs/resumption.md says what
 * each mode protects. */
#ifndef CLI_RESUME_H
#define CLI_RESUME_H

#include <getopt.h>

#include "cli/tls_options.h"
#include "net/session_store.h"
#include "net/stream.h"

struct resume_options {
    const char *mode, *pcrs, *early_data;
    bool early_retry;
};
enum {
    RESUME_OPT_MODE = CLI_OPT + 300,
    RESUME_OPT_PCRS,
    RESUME_OPT_EARLY,
    RESUME_OPT_EARLY_RETRY
};
#define RESUME_OPTIONS                                                                                       \
    {"resume", required_argument, NULL, RESUME_OPT_MODE},                                                    \
        {"resume-pcrs", required_argument, NULL, RESUME_OPT_PCRS},                                           \
        {"early-data", required_argument, NULL, RESUME_OPT_EARLY},                                           \
    {                                                                                                        \
        "early-data-retry", no_argument, NULL, RESUME_OPT_EARLY_RETRY                                        \
    }
#define RESUME_OPTIONS_USAGE                                                                                 \
    "  --resume MODE         keep tickets to resume with: sealed (on disk, under a key that only this TPM "  \
    "unseals),\n"                                                                                            \
    "                        held (on disk, the secret in the TPM for ever; SHA-256 suites), memory, off "   \
    "(the\n"                                                                                                 \
    "                        default). Kept in $XDG_STATE_HOME/tpmtls/sessions\n"                            \
    "  --resume-pcrs PCRS    sealed: only while these PCRs keep their present values, such as sha256:0,7\n"  \
    "  --early-data FILE     send FILE in the first flight (0-RTT), where a ticket allows it; whoever sees " \
    "it may\n"                                                                                               \
    "                        send it again, and a server may act on it twice\n"                              \
    "  --early-data-retry    send what was not accepted so as ordinary data instead of failing\n"

/* resume_option_take: true when c was one of them. */
bool resume_option_take(struct resume_options *o, int c, const char *value);

struct resume {
    const struct cli *cli;
    const struct resume_options *options;
    enum session_mode mode;
    struct tt_tpm *own_tpm; /* where the key has none */
    struct session_store *store;
    struct session_key key;
    char peer[300];
    struct sign_queue *queue;
    struct session_taken taken;
    char *early;
    size_t early_len;
    size_t pending;             /* sessions that are still being kept */
    void (*settled)(void *arg); /* called when the last one was; may be NULL */
    void *arg;
};
/* resume_begin: look at the options, read the early data. */
TT_MUST_USE tt_rc resume_begin(struct resume *r, const struct cli *cli, const struct resume_options *o,
                               struct tt_error *err);
/* resume_config: what a mode asks of a configuration. */
TT_MUST_USE tt_rc resume_config(const struct resume *r, struct tt_config *cfg, const struct tls_options *o,
                                struct tt_error *err);
/* resume_open: open the store and take a session for this peer, before a queue owns the TPM. *tpm is the
 * key's, and is opened here where it is NULL and needed. A store that cannot be used is told on stderr, and
 * the connection does without. */
struct resume_peer {
    const char *address, *server_name;
    const struct tt_config *config; /* frozen */
};
TT_MUST_USE tt_rc resume_open(struct resume *r, struct tt_tpm **tpm, const struct resume_peer *peer,
                              struct tt_error *err);
/* resume_offer: put what was taken, and the early data, into the stream's options. */
void resume_offer(struct resume *r, struct stream_options *opt);
/* resume_early_left: once connected: what of the early data is still to be sent, as ordinary data; with an
 * error when it was not accepted and is not to be sent again. */
TT_MUST_USE tt_rc resume_early_left(const struct resume *r, const struct stream *s, struct tt_bytes *ret,
                                    struct tt_error *err);
/* resume_keep: a session came; takes it. */
void resume_keep(struct resume *r, struct stream *s, struct tt_session *session);
void resume_end(struct resume *r); /* after the stream and the queue */

#endif
