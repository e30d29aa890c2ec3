/* cli/resume.h: --resume and --early-data of `tpmtls connect`: the store of sessions, the one that is
 * offered, those that come, and what is sent before the handshake. Layer: cli. docs/resumption.md says what
 * each mode protects. */
#ifndef CLI_RESUME_H
#define CLI_RESUME_H

#include "cli/tls_options.h"
#include "net/session_store.h"
#include "net/stream.h"

struct resume_options {
    enum session_mode mode;
    const char *pcrs, *early_data;
    bool early_retry;
};
extern const struct option_row resume_rows[];

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
    struct tt_session *offered[1 + TLS_MAX_PSKS]; /* it, and the external PSKs */
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
