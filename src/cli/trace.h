/* cli/trace.h: what `--trace` shows: handshake messages, TPM commands, and what they cost. Layer: cli. On
 * stderr; as one JSON object a line with --json. */
#ifndef CLI_TRACE_H
#define CLI_TRACE_H

#include "cli/cli.h"
#include "net/stream.h"

struct trace {
    bool on;
    bool json;
    unsigned long connection; /* its number on a server; 0 on a client */
};

/* trace_load: a tt_tpm_trace_fn with a struct trace: TPM commands before any handshake. */
void trace_load(void *arg, const struct tt_tpm_event *event);
/* trace_delegate: a TPM command for a delegated credential, between handshakes. */
void trace_delegate(const struct trace *t, const struct tt_tpm_event *event);
/* trace_event: one event of a connection. */
void trace_event(const struct trace *t, const struct stream_trace *event);
/* trace_handshake: the summary, once the handshake is complete. */
void trace_handshake(const struct trace *t, const struct stream *s, enum tt_role role, const char *peer);

/* trace_connected: who is at the other end, and whether the session was resumed: with -v, or as an event.
 * connection is 0 on a client. */
void trace_connected(const struct cli *cli, const struct stream *s, unsigned long connection,
                     const char *peer);

/* trace_peer_psk: the identity of the external PSK, escaped; *ret is NULL when none was used; mem_free. */
TT_MUST_USE tt_rc trace_peer_psk(char **ret, const struct tt_conn *conn);
/* trace_peer_subject: the subject of the peer's certificate, escaped for a terminal, or "raw public key
 * sha256:..."; *ret is NULL without one; mem_free. Whole, however long: two peers must not look the same. */
TT_MUST_USE tt_rc trace_peer_subject(char **ret, const struct tt_conn *conn);

#endif
