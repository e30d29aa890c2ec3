/* bench/ends.h: our client and our server in memory. Layer: bench. */
#ifndef BENCH_ENDS_H
#define BENCH_ENDS_H

#include "bench/identity.h"
#include "tpmtls/tls.h"

/* struct ends: both configurations, mutual authentication, one suite, one group. */
struct ends {
    struct tt_config *client_cfg, *server_cfg;
    struct tt_trust *trust;
    struct tt_tickets *tickets;
    struct tt_session *session;   /* to resume; NULL before ends_get_session */
    struct tt_ech_keys *ech_keys; /* or NULL */
    struct tt_bytes ech_pem;      /* the key of these, or empty */
    struct tt_bytes ech_list;     /* that the client offers Encrypted Client Hello with, or empty */
    int64_t now_ms;
};
struct ends_options {
    uint16_t suite, group;
    bool ech;
};
/* ends_make_with: *options; ends_make: that suite, X25519, no ECH. */
void ends_make_with(struct ends *e, const struct identities *ids, const struct ends_options *options);
void ends_make(struct ends *e, const struct identities *ids, uint16_t suite);
void ends_free(struct ends *e);
/* ends_get_session: by a handshake and a ticket. */
void ends_get_session(struct ends *e);

enum ends_kind {
    ENDS_FULL,   /* with chains that are judged anew */
    ENDS_KNOWN,  /* with chains that an earlier handshake judged, if there was one */
    ENDS_RESUMED /* with e->session */
};

/* struct pair: one connection. */
struct pair {
    struct tt_conn *client, *server;
};
/* pair_connect: a handshake, without tickets. turn(0) and turn(1) are called before each step of the client
 * and of the server (count_turn, or no_turn). */
void pair_connect(struct pair *p, const struct ends *e, enum ends_kind kind, void (*turn)(int end));
void no_turn(int end);
void pair_free(struct pair *p);
/* end_move: what one has to say goes to the other; false when there is nothing. end_sign: a signature that is
 * wanted is made; false when none is. Both end the program when they fail. */
bool end_move(struct tt_conn *from, struct tt_conn *to);
bool end_sign(struct tt_conn *c);
/* pair_move: what the client has to say goes to the server; false when there is nothing. */
bool pair_move(struct pair *p);

#endif
