/* tests/soak/talk.h: one connection of the soak of each sort, and what came of it. Tests only; loopback only;
 * every wait is bounded. */
#ifndef SOAK_TALK_H
#define SOAK_TALK_H

#include <stdatomic.h>

#include "base/rc.h"
#include "hostile.h"

/* Seconds until an end that does nothing counts as hanging; the server's own handshake time-out is shorter.
 */
#define TALK_PATIENCE_S 20

/* struct ends: what all connections share: keys, configurations (the hostile end accepts any certificate). */
struct ends {
    struct test_key *ca, *server_key, *client_key;
    struct tt_tickets *tickets;
    struct tt_config *hostile_clients[2]; /* without and with a certificate */
    struct tt_config
        *hostile_servers[3];    /* plain, one that asks for a certificate, one that always retries */
    struct tt_config *client;   /* the victim */
    struct tt_session *session; /* that a hostile client offers */
    struct tt_session *victim_session;
    char ca_file[256];
    const char *program; /* tpmtls */
};
void ends_new(struct ends *e, const char *dir, const char *program);
void ends_free(struct ends *e);

/* struct counts: shared between processes. */
struct counts {
    _Atomic unsigned long against_serve, against_client, against_connect;
    _Atomic unsigned long honest, honest_failed; /* of those against serve */
    _Atomic unsigned long established;           /* that got through although the peer was hostile */
    _Atomic unsigned long hangs, crashes;
};

/* A client against the server on that port of loopback. */
void talk_to_serve(struct ends *e, struct counts *n, uint16_t port, uint64_t seed);
/* A server against a client of the engine, in this process. */
void talk_to_client(struct ends *e, struct counts *n, uint64_t seed);
/* A server against a process of `tpmtls connect`. */
void talk_to_connect(struct ends *e, struct counts *n, uint64_t seed);

#endif
