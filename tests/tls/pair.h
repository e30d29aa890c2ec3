/* tests/tls/pair.h: a client and a server with certificates of any kind, over and over, for the tests of what
 * a session is worth. Tests only; aborts the program when the setting itself fails. */
#ifndef TESTS_PAIR_H
#define TESTS_PAIR_H

#include "support/testca.h"
#include "tls/conn.h"

#define NOW_MS         (TEST_NOW * 1000)
#define PAIR_LIFETIME  604800U
#define BYTES_OF(text) ((struct tt_bytes){(const uint8_t *)(text), sizeof(text) - 1})

/* struct pair_config: what an end is made of. */
struct pair_config {
    enum tt_role role;
    const struct node *chain[4], *signer; /* what it shows, leaf first; signer NULL: with the leaf's key */
    struct tt_bytes ocsp;                 /* stapled */
    const struct node *anchors[3];        /* none: no trust set */
    struct tt_bytes crl;
    bool accept_any, require_ocsp, post_auth;
    enum tt_client_auth client_auth;
    enum tt_psk_policy policy;
    struct tt_tickets *tickets;
    struct tt_session *psk; /* server */
    uint32_t max_early_data;
    uint16_t record_size_limit;
    uint16_t verify_scheme; /* 0: the default list */
};
/* pair_config_new: frozen. */
struct tt_config *pair_config_new(const struct pair_config *o);
struct tt_tickets *pair_tickets(void);

/* struct pair: two connections. */
struct pair {
    struct tt_conn *client, *server;
    size_t early_len; /* of "early data" that went out */
};
struct pair_options {
    struct tt_config *client, *server;
    struct tt_session *sessions[3];
    int64_t later_ms; /* than NOW_MS, for both */
    bool early;
};
/* pair_start: the first flight is ready; pair_run: until nothing moves. */
struct pair pair_start(const struct pair_options *o);
void pair_run(struct pair *p);
void pair_free(struct pair *p);
bool pair_connected(const struct pair *p);
/* pair_session: a full handshake, and the session that came of it. */
struct tt_session *pair_session(const struct pair_options *o);
/* pair_resumes: connect with these; was it a resumption, for both? When nothing is connected the answer is
 * no, and *ret_error has the client's sentence. */
bool pair_resumes(const struct pair_options *o, char ret_error[256]);

/* pair_psk: an external PSK "device-1" with a key that begins with this. */
struct tt_session *pair_psk(uint8_t key);
/* session_auth, session_set_auth: what a client's session says that the server's authentication rests on. */
struct auth session_auth(const struct tt_session *s);
void session_set_auth(struct tt_session *s, const struct auth *a);

#endif
