/* tpmtls/stream.h: TLS 1.3 over a connected socket with calls that block, for programs without an event loop.
 * It stands on tpmtls/tls.h and does the waiting, the signing and the closing.
 *
 * Invariants
 *  - The socket stays the caller's (but for tt_connect): it is never closed and its flags are never changed;
 * it may be a blocking one or not. SIGPIPE is never raised.
 *  - A stream belongs to one thread at a time, and so does a key with its TPM (tpmtls/key.h): threads that
 *    share a configuration with a TPM key need a lock around their handshakes, or a key each.
 *  - Errors are sticky and the first one wins; the alert that belongs to it has been sent. Error text names
 *    the peer. */
#ifndef TPMTLS_STREAM_H
#define TPMTLS_STREAM_H

#include "tpmtls/key.h"
#include "tpmtls/tls.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tt_stream;

/* ---- the parts of a configuration, from keys and files ---- */

/* tt_config_add_key: an identity for cfg: a key and its certificates, PEM, the leaf first. The schemes are
 * those the key can do. The key is borrowed for as long as cfg lives. TT_ERR_USAGE when the leaf was not
 * issued for this key, TT_ERR_DECODE when there is no certificate. tt_config_add_key_file: the certificates
 * are in a file. */
TT_API TT_MUST_USE tt_rc tt_config_add_key(struct tt_config *cfg, struct tt_key *key,
                                           struct tt_bytes chain_pem, struct tt_error *err);
TT_API TT_MUST_USE tt_rc tt_config_add_key_file(struct tt_config *cfg, struct tt_key *key, const char *path,
                                                struct tt_error *err);
/* tt_key_open_file, tt_trust_add_file: tt_key_open_pem and tt_trust_add_pem with the contents of a file.
 * TT_ERR_NOT_FOUND, TT_ERR_IO; messages name the file. */
TT_API TT_MUST_USE tt_rc tt_key_open_file(struct tt_key **ret, struct tt_tpm *tpm, const char *path,
                                          struct tt_error *err);
TT_API TT_MUST_USE tt_rc tt_trust_add_file(struct tt_trust *trust, const char *path, struct tt_error *err);

/* ---- sessions of many streams ----
 *
 * A client that makes many connections to one server gives each the same struct tt_sessions: tickets go into
 * it by themselves, each new connection resumes with one, and costs no signature. While a handshake with the
 * server is under way, others wait for its tickets, and each that resumes brings the next ones: a hundred
 * threads that connect at once cost one signature. A server that gives no tickets, or refuses them, is found
 * out once; then each signs for itself. In memory only. */
struct tt_sessions;
TT_API TT_MUST_USE tt_rc tt_sessions_new(struct tt_sessions **ret, struct tt_error *err);
/* tt_sessions_free: behind the last stream that has it. NULL is fine. */
TT_API void tt_sessions_free(struct tt_sessions *s);

/* ---- streams ---- */

/* struct tt_stream_options: zero-initialise, then set what is needed. */
struct tt_stream_options {
    const char *server_name; /* client: as in tt_conn_options; copied */
    const char *peer; /* how messages call the other end; default: server_name, or "the peer"; copied */
    unsigned handshake_timeout_ms;      /* for the whole handshake; 0: 30,000 */
    unsigned timeout_ms;                /* a later call waits at most so long for the peer; 0: for ever */
    struct tt_session *const *sessions; /* client: as in tt_conn_options; none that is held */
    size_t sessions_len;
    struct tt_bytes ech_config_list; /* client: as in tt_conn_options */
    bool ech_grease;
    /* Client: in place of `sessions`, and any thread's; must outlive the stream. tt_stream_new then waits, no
     * longer than handshake_timeout_ms, while others that are under way to the same peer may bring tickets.
     * Sessions are for one `peer` (or server_name) and one configuration. */
    struct tt_sessions *shared_sessions;
};

/* tt_stream_new: one end of a connection over fd, a connected stream socket. cfg is frozen (a reference is
 * taken); each key in it is a struct tt_key (tt_config_add_key), each tt_ech_key.key a struct tt_ecdh. opt
 * may be NULL for a server. Sends and receives nothing yet. */
TT_API TT_MUST_USE tt_rc tt_stream_new(struct tt_stream **ret, int fd, struct tt_config *cfg,
                                       const struct tt_stream_options *opt, struct tt_error *err);
/* tt_stream_free: wipes; sends nothing (see tt_stream_close). NULL is fine. */
TT_API void tt_stream_free(struct tt_stream *s);

/* tt_stream_handshake: until both ends are authenticated. Reading and writing do it where it was not done.
 * TT_ERR_VERIFY: the peer is not trusted; TT_ERR_PEER_ALERT: it refused us; TT_ERR_TPM: no signature could be
 * had; TT_ERR_DEADLINE, TT_ERR_CLOSED, TT_ERR_IO, TT_ERR_PROTOCOL. */
TT_API TT_MUST_USE tt_rc tt_stream_handshake(struct tt_stream *s, struct tt_error *err);
/* tt_stream_read: waits for at least one byte and takes at most cap; *ret_n is 0 when the peer ended its side
 * with close_notify. TT_ERR_CLOSED: the transport ended without it, data may be missing. After
 * TT_ERR_DEADLINE the call may be made again. */
TT_API TT_MUST_USE tt_rc tt_stream_read(struct tt_stream *s, uint8_t *ret_buf, size_t cap, size_t *ret_n,
                                        struct tt_error *err);
/* tt_stream_write: returns when all of it was handed to the socket. As with plain sockets, two ends that both
 * write and never read block each other. Any failure, TT_ERR_DEADLINE too, ends the stream: it is not known
 * what the peer has received. */
TT_API TT_MUST_USE tt_rc tt_stream_write(struct tt_stream *s, const uint8_t *data, size_t len,
                                         struct tt_error *err);
/* tt_stream_close: sends close_notify: our side ends, reading may go on until the peer ends its own. */
TT_API TT_MUST_USE tt_rc tt_stream_close(struct tt_stream *s, struct tt_error *err);

/* tt_stream_conn: the engine's connection, to be asked (tt_conn_info, tt_conn_export, tt_conn_take_session,
 * ...), and not to be fed or written. */
TT_API struct tt_conn *tt_stream_conn(struct tt_stream *s);

/* struct tt_connect_options: what the commonest client is made of. Zero-initialise. */
struct tt_connect_options {
    const char *tpm;  /* as in tt_tpm_open; NULL: "device". Only opened when there is a key */
    const char *key;  /* a TSS2 PRIVATE KEY file, or "handle:0x81..."; NULL: a client without identity */
    const char *cert; /* its certificates, PEM, the leaf first */
    const char *ca;   /* whom to believe, PEM */
    struct tt_stream_options stream; /* server_name NULL: the host of target */
};
/* tt_connect: the key is opened, target ("HOST:PORT") is reached, and the handshake is done. The stream owns
 * the socket, the TPM, the key and the configuration: tt_stream_free closes them all. Where the server
 * rejects Encrypted Client Hello and sends other configs (retry_configs), the connection is made once more
 * with them; where it sends none, TT_ERR_ECH_REJECTED: whether the name may be sent in the clear is for the
 * caller to say. */
TT_API TT_MUST_USE tt_rc tt_connect(struct tt_stream **ret, const char *target,
                                    const struct tt_connect_options *opt, struct tt_error *err);
/* tt_dial: a connected TCP socket (close-on-exec, TCP_NODELAY, keepalive) to "HOST:PORT" or "[::1]:PORT", all
 * addresses of the host tried in turn; timeout_ms for each of them, 0: 30,000. The caller closes it. */
TT_API TT_MUST_USE tt_rc tt_dial(int *ret_fd, const char *target, unsigned timeout_ms, struct tt_error *err);

#ifdef __cplusplus
}
#endif
#endif
