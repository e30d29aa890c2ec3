/* tls/hs.h: the handshake's own memory and the functions its messages share. Layer: tls.
 * One allocation, made with the connection and wiped when it is connected. Messages are in msg_*.c (building
 * and receiving side by side), flights in client.c and server.c, the edge table in hs.c. */
#ifndef TLS_HS_H
#define TLS_HS_H

#include "tls/conn.h"

#define HS_MAX_SHARES  (CONFIG_MAX_LIST + 1) /* all that can be configured, and a known group */
#define HS_MAX_NEXT    6
#define HS_RANDOM_SIZE 32
/* ClientHello with all its vectors full: legacy_version, random, legacy_session_id<0..32>,
 * cipher_suites<2..2^16-2>, legacy_compression_methods<1..2^8-1>, extensions<7..2^16-1> (section 4.2.2). */
#define HS_CLIENT_HELLO_MAX ((size_t)2 + 32 + 33 + 65536 + 256 + 65537)
#define HS_MAX_COOKIE       1024 /* ours is 32 bytes; a server's is echoed up to this */

/* What was learnt about the peer. Nothing but the verifier sets PEER_CERTIFICATE; CONNECTED demands it. */
enum peer_auth {
    PEER_UNKNOWN,
    PEER_CHAIN_JUDGED, /* Certificate accepted by the verifier; the key is not yet proven */
    PEER_CERTIFICATE,  /* and CertificateVerify made with that key */
    PEER_PSK,          /* binder or Finished made with a PSK that we share with it */
    PEER_ANONYMOUS     /* server only: a client without a certificate, where that is allowed */
};

/* struct peer_hello: views into the message that is being received; empty outside its handler. */
struct peer_hello {
    struct tt_bytes versions, groups, shares, schemes, schemes_cert, alpn, server_name, cookie, authorities;
    uint16_t selected_version, selected_group; /* ServerHello, HelloRetryRequest */
    struct tt_bytes selected_share;
    struct tt_bytes compression, delegated_schemes;
    struct tt_bytes client_types, server_types; /* CertificateType lists of a ClientHello */
    struct tt_bytes psk_identities, psk_binders, psk_modes;
    uint16_t selected_psk;
    struct tt_bytes ech_confirmation; /* HelloRetryRequest */
    uint64_t seen;                    /* bit i: extension i of the table was in the last block */
};

/* What a ClientHello offers of PSKs that are ours. */
enum psk_offered {
    PSK_OFFERED_NONE,
    PSK_OFFERED_TICKET,
    PSK_OFFERED_EXTERNAL
};

struct sign_state {
    uint64_t id;
    bool open;
    uint16_t scheme;
    uint8_t content[64 + 34 + HASH_MAX_SIZE]; /* section 4.5.2 */
    size_t content_len;
    uint8_t digest[HASH_MAX_SIZE];
    size_t digest_len;
};

/* struct psk_pull: the open request to the holder of a PSK. */
struct psk_pull {
    uint64_t id;
    bool open;
    enum tt_psk_operation operation;
    void *key;
    uint8_t input[KX_MAX_SECRET];
    size_t input_len;
    uint8_t binder[HASH_MAX_SIZE]; /* server: what the client says it is */
    size_t binder_len;
};

/* Where a reserved value of RFC 8701 stands. */
enum grease_at {
    GREASE_SUITE, /* and the version */
    GREASE_GROUP, /* and its key share */
    GREASE_FIRST, /* an empty extension in front of all */
    GREASE_LAST,  /* one with a byte behind all, but for pre_shared_key */
    GREASE_SCHEME,
    GREASE_PROTOCOL, /* ALPN */
    GREASE_COUNT
};

struct hs {
    struct psk_pull pull;
    struct ech *ech; /* NULL: none is offered */
    struct transcript transcript;
    struct key_schedule ks;
    struct ks_secret client_hs, server_hs; /* *_handshake_traffic_secret */
    struct ks_secret client_ap, server_ap; /* *_application_traffic_secret_0 */
    struct buf flight;                     /* messages built and not yet in records */
    uint8_t client_random[HS_RANDOM_SIZE];
    uint8_t session_id[32]; /* legacy_session_id */
    size_t session_id_len;
    uint16_t grease[GREASE_COUNT]; /* reserved values by enum grease_at; 0: none */
    uint8_t extension_order[64];   /* client: a permutation of the table */
    bool staple_ocsp, staple_scts; /* the peer wants them with our certificate */
    uint16_t compression;          /* how our certificate goes out; 0: as it is */
    size_t entry;                  /* which certificate's extensions are being built or parsed */
    uint64_t offered;              /* bit i: extension i of the table was in our last request (ClientHello,
                                      CertificateRequest) */
    struct peer_hello peer;

    struct tt_session *psks[PSK_MAX_OFFERED];      /* client: offered */
    struct auth_found psks_found[PSK_MAX_OFFERED]; /* of each; .psk is a reference */
    size_t psks_len;
    size_t binders_len;             /* so many of the binders stand in ClientHello */
    bool offer_early;               /* client: ClientHello carries early_data */
    struct psk psk;                 /* chosen; len 0: none */
    uint16_t psk_index;             /* which of the client's identities */
    struct tt_session *psk_session; /* the chosen one's, NULL for a ticket on a server; borrowed */
    struct buf hello; /* server: ClientHello, while the holder of a PSK is asked; ClientHelloInner */
    struct tt_bytes hello_share;    /* the share in it that is to be answered */
    bool accept_early;              /* server */
    uint32_t ticket_early_data;     /* server: what the offered ticket allows, whoever of us issued it */
    struct ks_secret early_traffic; /* client_early_traffic_secret */
    struct kx_offer *offers[HS_MAX_SHARES]; /* client */
    size_t offers_len;
    struct kx_secret shared; /* between ClientHello and ServerHello on a server */
    struct kx_response *response;
    uint16_t retry_group;              /* HelloRetryRequest: the group asked for, or 0 */
    struct buf cookie;                 /* HelloRetryRequest: the cookie to echo, or the one we sent */
    uint8_t hello_fingerprint[32];     /* server: what a second ClientHello must not change */
    enum psk_offered psk_before_retry; /* server: by the first ClientHello */
    bool own_type_settled;             /* server: there is an identity of a type that the client takes */

    enum peer_auth peer_auth;
    struct pubkey *peer_key;
    struct buf peer_credential; /* DelegatedCredential, until the peer's certificate was judged */
    uint16_t delegated_scheme;  /* of the peer's credential, whose key peer_key then is; 0: none */
    bool certificate_requested; /* a CertificateRequest was sent or received */
    uint8_t context[255];       /* certificate_request_context; empty in the first handshake */
    size_t context_len;
    const struct identity *identity;
    struct tt_credential *credential; /* its delegated credential, or NULL: the certificate's own key signs */
    uint16_t scheme;                  /* what our identity will sign with */
    struct sign_state sign;
};

TT_MUST_USE tt_rc hs_new(struct hs **ret);
void hs_free(struct hs *hs);

/* hs_set_state: only along the edges of the row that is being handled. */
TT_MUST_USE tt_rc hs_set_state(struct tt_conn *c, enum conn_state next);

/* hs_begin, hs_end: build one message at the end of the flight; hs_end closes its length, adds it to the
 * transcript and traces it. */
struct hs_message {
    struct writer w;
    size_t at;
    struct wr_mark body;
    uint8_t type;
};
struct hs_message hs_begin(struct tt_conn *c, enum tt_handshake_type type);
TT_MUST_USE tt_rc hs_end(struct tt_conn *c, struct hs_message *m);
/* hs_close, hs_commit: the two halves of hs_end, for ClientHello, whose binders go in between. */
TT_MUST_USE tt_rc hs_close(struct tt_conn *c, struct hs_message *m, struct tt_bytes *ret_whole);
TT_MUST_USE tt_rc hs_commit(struct tt_conn *c, const struct hs_message *m);
/* hs_sent: hs_commit for a message that is no part of the transcript: it is traced. */
void hs_sent(struct tt_conn *c, const struct hs_message *m);
/* hs_flush: put the flight into records under the present write key. */
TT_MUST_USE tt_rc hs_flush(struct tt_conn *c);

/* hs_agree: Handshake Secret and both handshake traffic secrets, from the shared secret and the transcript up
 * to ServerHello. hs_main: Main Secret and the application secrets, from the transcript up to the server's
 * Finished. */
TT_MUST_USE tt_rc hs_agree(struct tt_conn *c, struct tt_bytes shared);
TT_MUST_USE tt_rc hs_agree_given(struct tt_conn *c, struct tt_bytes handshake_secret);
TT_MUST_USE tt_rc hs_main(struct tt_conn *c);
/* hs_early: Early Secret from the chosen PSK (or none) and, where 0-RTT is offered, its secrets; `hash` is
 * that of the whole ClientHello, NULL when there is no 0-RTT. */
TT_MUST_USE tt_rc hs_early(struct tt_conn *c, enum hash_id id, const uint8_t *hash);
/* hs_resumption: resumption_secret, from the transcript up to the client's Finished. */
TT_MUST_USE tt_rc hs_resumption(struct tt_conn *c);
/* hs_connected: the end of the handshake: demands the proof of the peer, frees the handshake's memory. */
TT_MUST_USE tt_rc hs_connected(struct tt_conn *c, enum conn_state state);

/* hs_ask_signature: the content of CertificateVerify, and the pull request for its signature. */
TT_MUST_USE tt_rc hs_ask_signature(struct tt_conn *c, enum conn_state wait_state);

/* list_has: is v in a list of uint16 as it stands on the wire. */
bool list_has(struct tt_bytes list, uint16_t v);

/* is_hello_retry_request: a whole server_hello message whose random says that it is one. */
bool is_hello_retry_request(struct tt_bytes message);

/* messages: NAME_put builds, NAME_recv handles */
TT_MUST_USE tt_rc
client_hello_put(struct tt_conn *c); /* builds it; a held PSK may then be asked for its binder */
TT_MUST_USE tt_rc client_hello_commit(struct tt_conn *c); /* with all binders: into the transcript */
TT_MUST_USE tt_rc client_hello_recv(struct tt_conn *c, struct tt_bytes message);
TT_MUST_USE tt_rc server_hello_put(struct tt_conn *c, bool retry);
TT_MUST_USE tt_rc server_hello_recv(struct tt_conn *c, struct tt_bytes message);
TT_MUST_USE tt_rc encrypted_extensions_put(struct tt_conn *c);
TT_MUST_USE tt_rc encrypted_extensions_recv(struct tt_conn *c, struct tt_bytes message);
TT_MUST_USE tt_rc certificate_request_put(struct tt_conn *c);
TT_MUST_USE tt_rc certificate_request_recv(struct tt_conn *c, struct tt_bytes message);
TT_MUST_USE tt_rc certificate_put(struct tt_conn *c); /* or CompressedCertificate */
TT_MUST_USE tt_rc compressed_certificate_recv(struct tt_conn *c, struct tt_bytes message);
TT_MUST_USE tt_rc certificate_recv(struct tt_conn *c, struct tt_bytes message);
TT_MUST_USE tt_rc certificate_verify_put(struct tt_conn *c, struct tt_bytes signature);
TT_MUST_USE tt_rc certificate_verify_recv(struct tt_conn *c, struct tt_bytes message);
TT_MUST_USE tt_rc finished_put(struct tt_conn *c);
TT_MUST_USE tt_rc finished_recv(struct tt_conn *c, struct tt_bytes message);
TT_MUST_USE tt_rc client_early_start(struct tt_conn *c); /* after the first ClientHello */
void client_early_retry(struct tt_conn *c);              /* after a HelloRetryRequest */
TT_MUST_USE tt_rc client_early_answer(struct tt_conn *c, bool accepted);
TT_MUST_USE tt_rc end_of_early_data_put(struct tt_conn *c);
TT_MUST_USE tt_rc end_of_early_data_recv(struct tt_conn *c, struct tt_bytes message);
TT_MUST_USE tt_rc new_session_ticket_put(struct tt_conn *c);
TT_MUST_USE tt_rc new_session_ticket_recv(struct tt_conn *c, struct tt_bytes message);
TT_MUST_USE tt_rc key_update_recv(struct tt_conn *c, struct tt_bytes message);
/* certificate_verify_content: section 4.5.2's signed content for the given side. */
TT_MUST_USE tt_rc certificate_verify_content(struct tt_conn *c, enum tt_role signer, uint8_t *ret,
                                             size_t *ret_len);

/* psk_offer.c: the client's and the server's side of pre_shared_key */
void psk_offer_choose(struct tt_conn *c, const struct tt_conn_options *opt);
void psk_offer_drop_other_hashes(struct tt_conn *c); /* after a HelloRetryRequest */
/* psk_offer_binders: into the ClientHello in the flight; the holder of a held PSK may then be asked, and
 * psk_offer_binder_answered goes on. */
TT_MUST_USE tt_rc psk_offer_binders(struct tt_conn *c);
TT_MUST_USE tt_rc psk_offer_binder_answered(struct tt_conn *c, struct tt_bytes binder);
TT_MUST_USE tt_rc psk_offer_selected(struct tt_conn *c); /* from ServerHello */
TT_MUST_USE tt_rc psk_offer_mode(struct tt_conn *c);     /* from ServerHello: PSK, certificate, or both */
bool psk_external_offered(const struct tt_conn *c, enum hash_id hash); /* one that we have */
/* psk_accept: a PSK of the ClientHello, or none; the holder of a held one may then be asked. */
TT_MUST_USE tt_rc psk_accept(struct tt_conn *c, struct tt_bytes hello);
enum psk_offered psk_offered(const struct tt_conn *c);
TT_MUST_USE tt_rc psk_accept_answered(struct tt_conn *c, struct tt_bytes binder);
/* client_hello_accepted: the rest, when it is known which PSK it is, if any. */
TT_MUST_USE tt_rc client_hello_accepted(struct tt_conn *c, struct tt_bytes message);

/* psk_pull.c: ask the holder of a PSK, and wait in the given state. */
TT_MUST_USE tt_rc psk_pull_ask(struct tt_conn *c, const struct tt_session *held,
                               enum tt_psk_operation operation, struct tt_bytes input);
bool hs_awaits_answer(const struct tt_conn *c);

/* identity.c: which of our identities answers this peer; false when none can. */
bool identity_choose(struct tt_conn *c);
/* only c->own_type, for a handshake without our certificate; false when nothing fits. */
bool identity_choose_type(struct tt_conn *c);
/* identity_type_possible: is there an identity of a certificate type that the peer takes. */
bool identity_type_possible(const struct tt_conn *c);

/* ext_delegated.c: does our identity's delegated credential serve this peer; is the peer's a valid one. */
void credential_choose(struct tt_conn *c);
TT_MUST_USE tt_rc credential_judge(struct tt_conn *c, struct tt_bytes leaf);

/* grease.c */
#define GREASE_RANDOM (64 + GREASE_COUNT)
/* grease_choose: client: the order of the extensions and the reserved values, by random bytes. */
void grease_choose(struct tt_conn *c, const uint8_t random[GREASE_RANDOM]);
/* grease_choose_request: server: the reserved values of a CertificateRequest. */
TT_MUST_USE tt_rc grease_choose_request(struct tt_conn *c);
/* grease_extension_put: an extension of a reserved type, if there is one, with so many bytes. */
void grease_extension_put(const struct tt_conn *c, enum grease_at which, size_t len, struct writer *w);
/* grease_value: 0x0a0a, 0x1a1a, ... 0xfafa */
uint16_t grease_value(uint8_t random);

/* keylog.c: hand out a secret, where the application insists. */
void keylog_secret(const struct tt_conn *c, const char *label, enum hash_id hash,
                   const struct ks_secret *secret);

/* flights */
TT_MUST_USE tt_rc client_start(struct tt_conn *c, const struct tt_conn_options *opt);
TT_MUST_USE tt_rc client_hello_again(struct tt_conn *c);   /* after a HelloRetryRequest */
TT_MUST_USE tt_rc client_hello_sent(struct tt_conn *c);    /* with all its binders */
TT_MUST_USE tt_rc client_keys(struct tt_conn *c);          /* after ServerHello */
TT_MUST_USE tt_rc client_keys_known(struct tt_conn *c);    /* after that, with the Handshake Secret */
TT_MUST_USE tt_rc client_second_flight(struct tt_conn *c); /* after the server's Finished */
TT_MUST_USE tt_rc client_finish(struct tt_conn *c); /* after Certificate and CertificateVerify, if any */
TT_MUST_USE tt_rc server_retry(struct tt_conn *c);
TT_MUST_USE tt_rc server_flight(struct tt_conn *c);     /* ServerHello ... Certificate */
TT_MUST_USE tt_rc server_keys_known(struct tt_conn *c); /* the rest, with the Handshake Secret */
TT_MUST_USE tt_rc server_finish(struct tt_conn *c);     /* after CertificateVerify */
TT_MUST_USE tt_rc server_connected(struct tt_conn *c);

/* post_auth.c: post-handshake client authentication (section 4.7.2) */
TT_MUST_USE tt_rc post_auth_request_recv(struct tt_conn *c, struct tt_bytes message); /* client */
TT_MUST_USE tt_rc post_auth_finish(struct tt_conn *c);
TT_MUST_USE tt_rc post_auth_certificate_recv(struct tt_conn *c, struct tt_bytes message); /* server */
TT_MUST_USE tt_rc post_auth_done(struct tt_conn *c);

/* the edge table, for the dispatcher, the test of all 256 types, and the diagram in docs/ */
struct hs_edge {
    enum conn_state state;
    uint8_t message;
    tt_rc (*recv)(struct tt_conn *c, struct tt_bytes message);
    enum conn_state next[HS_MAX_NEXT]; /* where it may lead; CONN_STATE_COUNT = no more */
};
const struct hs_edge *hs_edges(size_t *ret_n);

#endif
