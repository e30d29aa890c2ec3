/* net/stream.h: one TLS connection over one socket, driven by an event base. Layer: net. Knows the engine's
 * public face only.
 *
 * Invariants
 *  - Nothing blocks. All calls and callbacks belong to the thread of the event base.
 *  - Callbacks are made from the event loop only, never from inside a call into the stream; a callback may
 * call anything, also stream_free.
 *  - Back-pressure both ways: while plaintext is unread nothing is read from the socket; while about 256 KiB
 * are unsent stream_write takes nothing.
 *  - `closed` is the last callback and comes exactly once, unless the stream is freed first. */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <sys/socket.h>

#include "net/sign_queue.h"
#include "tpmtls/tls.h"

#define STREAM_HANDSHAKE_TIMEOUT_S 30

struct pcap;
struct stream;

/* struct stream_trace: a handshake message, an alert, or a TPM command made for this connection. */
struct stream_trace {
    bool is_tpm;
    uint64_t at_ns; /* since the handshake began */
    struct tt_trace_event message;
    struct tt_tpm_event tpm;
};

struct stream_handlers {
    /* Server: 0-RTT data is in stream_plaintext, before `connected`; it may be a replay (RFC 9846 section 8).
     * It may be answered at once. NULL: it is kept until the handshake is complete, which no replay ever is,
     * and then stands in front of what is read first. */
    void (*early)(void *arg, struct stream *s);
    void (*connected)(void *arg, struct stream *s); /* the handshake is complete */
    /* Client: a ticket came; the callee owns the session. NULL: they are not taken. */
    void (*session)(void *arg, struct stream *s, struct tt_session *session);
    void (*plaintext)(void *arg, struct stream *s); /* stream_plaintext is not empty */
    void (*writable)(void *arg,
                     struct stream *s);         /* there is room again after stream_write took too little */
    void (*ended)(void *arg, struct stream *s); /* close_notify came, and all before it was read */
    /* After `ended`: the peer closed its socket as well, so that hardly anybody reads what is still sent. */
    void (*gone)(void *arg, struct stream *s);
    /* The socket is closed. error is NULL when both sides ended as they should. */
    void (*closed)(void *arg, struct stream *s, const struct tt_error *error);
    /* After stream_align: all that was received is read, and what comes next begins with a record; nothing
     * more is received until stream_hand_over or stream_align(false). Told again as often as something was
     * sent. */
    void (*aligned)(void *arg, struct stream *s);
    void (*trace)(void *arg, const struct stream_trace *event); /* only looks; also from inside stream_new */
};

/* struct stream_gate: shared by streams, it lets one of those that are still in their handshakes receive in
 * each turn of the loop. A handshake costs a large part of a millisecond: a hundred that arrive together
 * would hold up the connections that are there already. Zero-initialise. */
struct stream_gate {
    struct timeval turn;
};

struct stream_options {
    struct event_base *base;
    struct stream_gate *gate; /* or NULL; must outlive the stream */
    struct tt_config *config; /* frozen; a reference is taken */
    enum tt_role role;        /* of the configuration */
    const char *server_name;  /* see tt_conn_options */
    const char *peer;         /* how messages call the other end: "example.org:443" */
    const char *flow_of; /* HOST:PORT or another name: whose turn a signature is, see sign_request.flow; NULL:
                            the client's at a server, nobody's at a client */
    struct sign_queue *signer; /* must outlive the stream; may be NULL where the configuration has no identity
                                  and no session is held */
    struct tt_session *const
        *sessions; /* client: see tt_conn_options; a held one's key is a struct held_psk */
    size_t sessions_len;
    struct tt_bytes early_data; /* client: sent as 0-RTT as far as the first session allows it; copied. What
                                   became of it: stream_stats.early_sent, tt_conn_early_status */
    struct tt_bytes ech_config_list; /* client: see tt_conn_options */
    bool ech_grease;
    unsigned handshake_timeout_s; /* 0 = STREAM_HANDSHAKE_TIMEOUT_S */
    /* How long a peer that is connected may keep us waiting; 0: for ever. request: until it has sent its
     * first data or ended, or we have sent some; with request_is_answered until we have. idle: then, while
     * nothing moves and it is not we who have data of the peer's to read first. */
    unsigned request_timeout_s, idle_timeout_s;
    bool request_is_answered;
    int64_t now;                  /* 0 = the wall clock */
    tt_keylog_fn insecure_keylog; /* see tt_conn_options */
    void *keylog_arg;
    struct pcap *pcap; /* what is sent and received goes there; or NULL; must outlive the stream */
    struct stream_handlers handlers; /* each may be NULL */
    void *arg;
};

/* stream_new: fd is a connected, non-blocking stream socket; the stream owns it from success on. */
TT_MUST_USE tt_rc stream_new(struct stream **ret, int fd, const struct stream_options *opt,
                             struct tt_error *err);
/* stream_free: at once, in any state, without close_notify; no callback follows. NULL is fine. */
void stream_free(struct stream *s);

/* stream_refuse_tickets: see tt_conn_refuse_tickets. */
void stream_refuse_tickets(struct stream *s);

/* stream_plaintext: what the peer sent, valid until the next call on s or return to the loop. Acknowledge
 * what was used; `plaintext` is called again when more is there. What is left unread is not announced again
 * until some of it was acknowledged. */
struct tt_bytes stream_plaintext(const struct stream *s);
void stream_plaintext_done(struct stream *s, size_t n);

/* stream_write: returns how many bytes were taken; less than len: wait for `writable`. 0 before `connected`
 * (or `early`) and after stream_close. */
size_t stream_write(struct stream *s, const void *data, size_t len);

/* stream_close: end our side with close_notify; reading goes on until the peer ends its own (half-close). */
void stream_close(struct stream *s);
/* stream_finish: end both sides: close_notify, then wait a few seconds at most for the peer to hang up. What
 * the peer still sends is thrown away. `closed` follows. */
void stream_finish(struct stream *s);

/* stream_abort: the application ends it with a fatal alert (tt_conn_abort): what was sent so far is no whole.
 * `closed` follows. */
void stream_abort(struct stream *s, unsigned alert, const char *why);
/* stream_align: stop receiving at the end of a record, see `aligned`. stream_hand_over: the socket and the
 * connection become the caller's, of which tt_conn_can_offload was true; all that is left is stream_free. */
void stream_align(struct stream *s, bool on);
int stream_socket(const struct stream *s); /* -1: there is none any more */
void stream_hand_over(struct stream *s, int *ret_fd, struct tt_conn **ret);
/* stream_addresses: of the socket: false where it has none (any more). */
bool stream_addresses(const struct stream *s, struct sockaddr_storage *ret_peer,
                      struct sockaddr_storage *ret_own);

/* stream_conn: for tt_conn_info, tt_conn_error and tt_conn_peer_certificate; look only. */
const struct tt_conn *stream_conn(const struct stream *s);

/* enum stream_loss: how a connection came to its end without close_notify of the peer; complete in `closed`.
 */
enum stream_loss {
    STREAM_NOT_LOST,
    STREAM_CUT,   /* the peer hung up after the handshake: nobody can tell whether more was to come */
    STREAM_RESET, /* nobody is there any more */
    STREAM_SILENT /* one of the time-outs */
};
enum stream_loss stream_loss(const struct stream *s);

/* struct stream_stats: what the handshake cost; complete from `connected` on. */
struct stream_stats {
    bool connected;
    uint64_t handshake_ns; /* client: since the socket was open; server: since the first byte */
    size_t early_sent;     /* client: bytes that went out as 0-RTT, accepted or not */
    unsigned tpm_commands; /* TPM commands run for it */
    uint64_t tpm_ns;       /* time the TPM took for them */
    uint64_t sign_wait_ns; /* time the signature waited for its turn */
};
struct stream_stats stream_stats(const struct stream *s);

#endif
