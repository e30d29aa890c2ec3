/* tests/tls/scene.h: a client and a server of the engine whose handshake passes through the test's hands
 * message by message, in the clear. Tests only; includes the engine's internals on purpose: it reads the
 * secrets out of the connections, so that any bytes can be put before either end under the right keys. */
#ifndef TESTS_SCENE_H
#define TESTS_SCENE_H

#include "support/testpki.h"
#include "tls/hs.h"

/* struct scene_options: zero is a plain handshake with X25519, AES-128-GCM and P-256 certificates. */
struct scene_options {
    uint16_t suite;        /* 0: the default list, on both ends */
    uint16_t client_group; /* the only group of the client (P-384: and P-256), 0: the default list */
    uint16_t server_group; /* the same for the server; P-384 makes a HelloRetryRequest with a group */
    uint16_t scheme;       /* the only one either end accepts in CertificateVerify, 0: the default list */
    bool force_retry;      /* a HelloRetryRequest with a cookie */
    bool alpn;             /* "mqtt" on both ends */
    bool no_compat;        /* the client does without middlebox compatibility */
    enum tt_client_auth client_auth;
    bool client_identity;
    const char *key_kind;                              /* NULL: "P-256" */
    const struct test_cert *server_cert, *client_cert; /* NULL: sensible ones; issuer NULL: the scene's CA */
    size_t max_message;                                /* 0: the default; of both ends */
    bool post_auth;                                    /* post-handshake authentication on both ends */
    bool raw_keys;                                     /* raw public keys on both ends, trusted by pins */
    bool resume;                                       /* tickets, and every handshake offers one */
    bool grease;                                       /* reserved values of the server's */
    bool early_data; /* tickets that allow 0-RTT; once there is one it is offered, with 0-RTT */
};

/* struct scene_alert: what an end sent as alerts. */
struct scene_alert {
    size_t count;
    uint8_t level, description; /* of the last one */
};

struct scene {
    struct scene_options options;
    struct test_key *ca, *key[2]; /* by enum tt_role */
    struct tt_config *cfg[2];
    struct tt_conn *conn[2];
    struct tt_tickets *tickets; /* resume, early_data */
    struct tt_session *session; /* offered by the next scene_open */
    struct buf inbox[2];        /* handshake bytes that wait to be delivered to that end */
    struct scene_alert alert[2];
    /* how the output of each end is read */
    struct ks_secret early_secret, hs_secret[2], ap_secret[2];
    struct rec_key tap[2];
    enum tap_phase {
        TAP_CLEAR,
        TAP_EARLY, /* the client's 0-RTT data and EndOfEarlyData */
        TAP_HANDSHAKE,
        TAP_APPLICATION
    } tap_phase[2];
    struct buf app[2]; /* application data that end sent */
    size_t ccs[2];     /* ChangeCipherSpec records that end sent */
};

/* scene_configs: keys, certificates and configurations; once for many handshakes. */
void scene_configs(struct scene *s, struct scene_options options);
void scene_free(struct scene *s);

/* scene_open: a fresh pair of connections; the ClientHello waits in the server's inbox. */
void scene_open(struct scene *s);
void scene_close(struct scene *s);

/* scene_collect: read what the ends have sent: messages into the inboxes, alerts into s->alert. */
void scene_collect(struct scene *s);

/* scene_next: the message that is delivered next to that end; empty when there is none. */
struct tt_bytes scene_next(const struct scene *s, enum tt_role to);

/* scene_deliver: hand that message over, in a record of its own. */
tt_rc scene_deliver(struct scene *s, enum tt_role to);

/* scene_tick: the next thing that happens in an honest handshake: a signature or one message. False: nothing
 * is left to do. */
bool scene_tick(struct scene *s);

/* scene_sign: answer the open request of that end; false when there is none. */
bool scene_sign(struct scene *s, enum tt_role of);

/* scene_reach: go on until that end is in the state, and then until its next message is there (the other end
 * works, this one does not). Fails the test when it never is. */
void scene_reach(struct scene *s, enum tt_role end, enum conn_state state);

/* scene_reach_early: the server is in SERVER_WAIT_EOED (options.early_data). */
void scene_reach_early(struct scene *s);

/* scene_reach_post: connected, and in one of the *_POST_* states (options.post_auth). */
void scene_reach_post(struct scene *s, enum conn_state state);

/* scene_finish: to the end of the handshake; both ends are connected. */
void scene_finish(struct scene *s);

/* struct scene_record: what is put before an end. */
struct scene_record {
    uint8_t type;
    struct tt_bytes content;
    size_t padding;
};
/* scene_seal: append the record to out, protected as that end expects its next one (or in the clear, when it
 * reads in the clear). `ahead` records were made before it and are not yet delivered. */
void scene_seal(struct scene *s, enum tt_role to, struct scene_record record, size_t ahead, struct buf *out);
/* scene_feed: raw bytes, in one piece that ASan watches; what the ends send is collected. */
tt_rc scene_feed(struct scene *s, enum tt_role to, struct tt_bytes bytes);
/* scene_put: seal and feed one record. */
tt_rc scene_put(struct scene *s, enum tt_role to, uint8_t type, struct tt_bytes content);
/* scene_put_clear: one record that is not protected, whatever the state. */
tt_rc scene_put_clear(struct scene *s, enum tt_role to, uint8_t type, struct tt_bytes content);

/* scene_expect_alert: that end has failed with this alert, said so once and in the right form (where its keys
 * are known), and stays failed. */
void scene_expect_alert(struct scene *s, enum tt_role end, const char *what, unsigned alert);
/* scene_expect_well: that end has no error. */
void scene_expect_well(const struct scene *s, enum tt_role end, const char *what);

static inline enum tt_role scene_other(enum tt_role r)
{
    return r == TT_CLIENT ? TT_SERVER : TT_CLIENT;
}

#endif
