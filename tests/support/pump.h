/* tests/support/pump.h: a client and a server of the engine in one process, and a pump between them. Tests
 * only. */
#ifndef TESTS_PUMP_H
#define TESTS_PUMP_H

#include "support/testpki.h"
#include "tpmtls/tls.h"

enum pump_sign {
    SIGN_AT_ONCE,
    SIGN_LATE,
    SIGN_FAILS,
    SIGN_NEVER
};

/* struct pump: zero-initialise, set what differs from the default, pump_start, pump_run, pump_free. */
struct pump {
    /* options */
    uint16_t suite;        /* 0: default list */
    uint16_t server_group; /* 0: default; another than X25519 makes a HelloRetryRequest */
    bool force_retry;
    enum tt_client_auth client_auth;
    bool server_asks_later;                /* configure switches post-handshake authentication on */
    bool no_server_identity;               /* configure adds one */
    bool client_has_identity;              /* give the client a certificate */
    bool delegate;                         /* the server has a delegated credential */
    const char *key_kind;                  /* NULL: "P-256", for both ends */
    const char *alpn_client, *alpn_server; /* one protocol each, or NULL */
    const char *server_name;               /* NULL: "localhost" */
    size_t split;                          /* bytes per feed; 0: all */
    enum pump_sign sign;
    struct tt_tickets *tickets; /* server; the test keeps its own reference */
    unsigned tickets_count;
    uint32_t max_early_data;
    struct tt_session *external_psk; /* server */
    /* called on each configuration before it is frozen */
    void (*configure)(struct pump *p, struct tt_config *client, struct tt_config *server);
    /* live */
    struct test_key *ca, *server_key, *client_key, *delegated_key;
    struct tt_config *client_cfg, *server_cfg;
    struct tt_conn *client, *server;
    unsigned late_rounds; /* SIGN_LATE: rounds to wait still */
    size_t records_seen;
};

void pump_start(struct pump *p);
/* pump_start_configs: only the configurations, so that a test can make its own connections. */
void pump_configs(struct pump *p);
/* pump_run: move bytes and signatures until nothing moves; bounded. */
void pump_run(struct pump *p);
/* pump_move: everything one end has to send goes to the other; true when something moved. */
bool pump_move(struct pump *p, struct tt_conn *from, struct tt_conn *to);
void pump_free(struct pump *p);
/* pump_echo: n bytes from one end to the other, and compare. */
void pump_echo(struct pump *p, struct tt_conn *from, struct tt_conn *to, size_t n);

#endif
