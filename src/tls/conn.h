/* tls/conn.h: one end of one connection, and what the parts of the engine ask of it. Layer: tls.
 *
 * Order of the files: key_schedule, transcript, record -> ext, msg_* -> hs, client, server -> conn. The
 * struct is known to all of them; public functions are in conn.c, reading in conn_input.c, sending in
 * conn_output.c. */
#ifndef TLS_CONN_H
#define TLS_CONN_H

#include "tls/auth.h"
#include "tls/kept.h"
#include "tls/record.h"
#include "tls/transcript.h"

/* States as in RFC 9846 appendix A, plus the *_WAIT_SIGN ones of the pull model. */
enum conn_state {
    CLIENT_START,
    CLIENT_WAIT_PSK_BINDER, /* ClientHello is built but for the binder of a held PSK */
    CLIENT_WAIT_SH,
    CLIENT_WAIT_PSK_SECRET, /* ServerHello chose a held PSK: its holder computes the Handshake Secret */
    CLIENT_WAIT_EE,
    CLIENT_WAIT_CERT_CR,
    CLIENT_WAIT_CERT,
    CLIENT_WAIT_CV,
    CLIENT_WAIT_FINISHED,
    CLIENT_WAIT_SIGN,
    CLIENT_CONNECTED,
    CLIENT_POST_WAIT_SIGN, /* connected, and a post-handshake request awaits our signature */
    SERVER_START,
    SERVER_WAIT_ECH,        /* ClientHelloOuter is there: the holder of an ECH key is asked */
    SERVER_WAIT_CH2,        /* after our HelloRetryRequest; START again in the standard's diagram */
    SERVER_WAIT_PSK_BINDER, /* ClientHello offers a held PSK: its holder computes the binder */
    SERVER_WAIT_PSK_SECRET, /* ServerHello is sent: it computes the Handshake Secret */
    SERVER_WAIT_SIGN,
    SERVER_WAIT_EOED,
    SERVER_WAIT_CERT,
    SERVER_WAIT_CV,
    SERVER_WAIT_FINISHED,
    SERVER_CONNECTED,
    SERVER_POST_WAIT_CV, /* connected, in the middle of the answer to a post-handshake request */
    SERVER_POST_WAIT_FINISHED,
    CONN_STATE_COUNT
};
const char *conn_state_name(enum conn_state s);

#define CONN_MAX_SESSIONS 8
#define CONN_MAX_UNSENT   ((size_t)256 * 1024)

struct hs; /* the handshake's own memory, hs.h; NULL once connected, but for an open post-handshake request */

struct tt_conn {
    struct tt_config *cfg;
    enum conn_state state;
    const struct suite *suite;
    struct hs *hs;

    /* records */
    struct rec_key read_key, write_key;
    struct ks_secret read_secret, write_secret; /* application_traffic_secret_N of each direction */
    struct buf in;                              /* a record that has not arrived whole */
    struct buf plain;                           /* unread application data */
    struct buf msg;                             /* a handshake message that has not arrived whole */
    struct buf out;                             /* records to send */
    size_t quiet_records;   /* since the last application data: empty records, ChangeCipherSpecs, ... */
    size_t quiet_messages;  /* and KeyUpdates, tickets */
    bool ccs_allowed;       /* a ChangeCipherSpec is dropped, not refused (section 5) */
    bool first_record_done; /* something was read with the present read key */
    uint64_t write_epoch;   /* KeyUpdates sent */
    bool key_update_owed;   /* the peer asked for one */
    bool key_update_asked;  /* we asked, and the peer has not yet answered */
    bool read_closed, write_closed;
    bool offloaded; /* somebody else has the records: offload.c */

    /* pre-shared keys and 0-RTT */
    bool resumed; /* a PSK was used (without certificates) */
    bool certificate_with_psk;
    struct tt_session *external_psk; /* the one that was used, or NULL */
    bool peer_can_resume;            /* server: the client offered psk_dhe_ke */
    bool peer_takes_tickets;         /* server: that, or it named no mode at all */
    enum tt_early early;
    enum hash_id early_hash; /* of the PSK the early secrets come from */
    bool ccs_sent;
    bool plain_is_early;        /* what stands in plain is 0-RTT data */
    uint32_t early_left;        /* bytes of 0-RTT data that may still come or go */
    size_t skip_left;           /* server: bytes of rejected 0-RTT data to be skipped still */
    bool tickets_refused;       /* client: the application wants none */
    uint8_t tickets_sent;       /* also the next ticket_nonce */
    int64_t ticket_age_skew_ms; /* server: the client's age of the ticket less ours */
    struct tt_session *sessions[CONN_MAX_SESSIONS]; /* client: received, oldest first */
    size_t sessions_len;

    /* what is kept after the handshake */
    uint16_t group, local_scheme, peer_scheme;
    bool hello_retry_request;
    enum tt_ech ech;
    bool local_delegated, peer_delegated; /* CertificateVerify was made with a delegated credential's key */
    bool peer_post_auth;                  /* server: the client offered post_handshake_auth */
    struct hash_ctx *post_hash; /* where it may be used: the transcript up to the client's Finished */
    struct ks_secret exporter_secret, early_exporter_secret, resumption_secret;
    struct kept kept;
    size_t peer_chain_len;
    struct auth auth;             /* what the peer's authentication rests on; conn_auth has it whole */
    bool peer_proven;             /* that it is who it shows: by its signature, or by the PSK */
    uint16_t own_type, peer_type; /* enum tt_certificate_type: of both ends' Certificate messages */
    bool peer_ocsp_good;
    size_t send_limit; /* content bytes in one protected record, with its padding */
    size_t read_limit; /* TLSInnerPlaintext bytes we accept */
    int64_t now_ms, monotonic_ms;
    tt_trace_fn trace;
    void *trace_arg;
    tt_keylog_fn insecure_keylog;
    void *keylog_arg;
    uint64_t handshake_bytes_in, handshake_bytes_out;
    struct tt_conn_status status;
};

/* conn_in_handshake: the first handshake is not complete. (Also of a connection that failed, of which
 * tt_conn_is_connected knows nothing.) */
bool conn_in_handshake(const struct tt_conn *c);
/* conn_steady_ms: for what must not go back. */
static inline int64_t conn_steady_ms(const struct tt_conn *c)
{
    return c->monotonic_ms != 0 ? c->monotonic_ms : c->now_ms;
}
/* conn_max_fragment: what we put into a record at most. */
static inline size_t conn_max_fragment(const struct tt_conn *c)
{
    return c->cfg->max_fragment != 0 ? c->cfg->max_fragment : REC_MAX_PLAINTEXT;
}
/* conn_auth: c->auth with what else of it stands in c; views into c->kept. */
struct auth conn_auth(const struct tt_conn *c);
/* conn_auth_take_over: a session's or ticket's, which holds. */
TT_MUST_USE tt_rc conn_auth_take_over(struct tt_conn *c, const struct auth *a,
                                      const struct auth_found *found);

/* conn_fail: the one way to give up: keeps the first error, queues the alert (TT_ALERT_NONE: none), wipes the
 * keys' further use. Returns rc so that `return conn_fail(...)` reads well. */
tt_rc conn_fail(struct tt_conn *c, tt_rc rc, unsigned alert, const char *fmt, ...) TT_PRINTF(4, 5);
/* conn_refuse: the peer broke the protocol: TT_ERR_PROTOCOL. */
#define conn_refuse(c, alert, ...) conn_fail((c), TT_ERR_PROTOCOL, (alert), __VA_ARGS__)
/* conn_fail_asked: whoever was asked (a signer, the holder of a PSK) failed; why may be NULL. */
tt_rc conn_fail_asked(struct tt_conn *c, const struct tt_error *why, const char *otherwise);
/* conn_broken: our own failure (memory, libcrypto): internal_error. */
tt_rc conn_broken(struct tt_conn *c, tt_rc rc);
/* TT_OWN: for calls whose failure is our own. */
#define TT_OWN(c, expr)                                                                                      \
    do {                                                                                                     \
        tt_rc tt_own_rc_ = (expr);                                                                           \
        if (tt_own_rc_ != TT_OK)                                                                             \
            return conn_broken((c), tt_own_rc_);                                                             \
    } while (0)

void conn_trace(struct tt_conn *c, const struct tt_trace_event *event);
bool conn_random(struct tt_conn *c, uint8_t *buf, size_t n);

/* conn_output.c */
TT_MUST_USE tt_rc conn_send_handshake(struct tt_conn *c,
                                      struct tt_bytes messages); /* in as few records as it takes */
TT_MUST_USE tt_rc conn_send_ccs(struct tt_conn *c);
TT_MUST_USE tt_rc conn_send_key_update(struct tt_conn *c, bool request_peer);
void conn_send_alert(struct tt_conn *c, unsigned alert);
TT_MUST_USE tt_rc conn_set_write_secret(struct tt_conn *c, const struct ks_secret *secret);

/* conn_clear_write_key: back to records in the clear (0-RTT given up after a HelloRetryRequest). */
void conn_clear_write_key(struct tt_conn *c);

/* conn_input.c */
/* conn_check_boundary: nothing of the handshake is left over where the keys change, or behind a ClientHello
 * or HelloRetryRequest, which end their records (section 5.1). */
TT_MUST_USE tt_rc conn_check_boundary(struct tt_conn *c);
/* conn_set_read_secret: "Handshake messages MUST NOT span key changes" (section 5.1): refuses with
 * unexpected_message when handshake bytes are left over. */
TT_MUST_USE tt_rc conn_set_read_secret(struct tt_conn *c, const struct ks_secret *secret);
/* conn_content_recv: one record's content, in the clear; application data stands in c->plain already. */
TT_MUST_USE tt_rc conn_content_recv(struct tt_conn *c, uint8_t type, struct tt_bytes content);
/* offload_put: in place of a record to send, once the records are somebody else's. */
TT_MUST_USE tt_rc offload_put(struct tt_conn *c, enum content_type type, struct tt_bytes content);
/* conn_process_messages: hand the complete messages in c->msg on, until one makes us wait. */
TT_MUST_USE tt_rc conn_process_messages(struct tt_conn *c);

/* hs.c */
TT_MUST_USE tt_rc hs_receive(struct tt_conn *c,
                             struct tt_bytes message); /* one whole message, header included */

#endif
