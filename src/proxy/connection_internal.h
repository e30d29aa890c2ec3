/* proxy/connection_internal.h: a connection's inside, for connection.c (its way), connection_ticket.c (its
 * sessions) and kernel.c (its records in the kernel). Layer: proxy. */
#ifndef PROXY_CONNECTION_INTERNAL_H
#define PROXY_CONNECTION_INTERNAL_H

#include "net/splice.h"
#include "proxy/connection.h"

#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

enum phase {
    WAITING,  /* client: for a ticket */
    LOADING,  /* client: the TPM loads a held session */
    REACHING, /* the target */
    SHAKING,  /* TLS */
    SHOWING,  /* the client's TPM */
    OPEN
};

struct connection {
    struct connection *next, **at;
    struct carrier *w;
    struct tunnel *t;
    struct tunnel_setup *setup;
    struct post post; /* it begins, or is woken */
    struct burst_waiter waiter;
    enum phase phase;
    int fd; /* of the plaintext's side, until the relay has it; server: what was accepted, until the stream
               has it */
    int target_fd; /* server: the plaintext's side */
    struct reach *reach;
    struct stream *stream;
    struct attest_gate *gate; /* SHOWING */
    struct relay *relay;
    struct splicer *splicer;     /* in place of the stream and the relay: the kernel has the records */
    struct relay_counts relayed; /* before */
    bool may_move;               /* to the kernel: not tried in vain yet */
    uint64_t aligning_ns;        /* since when it is being prepared; 0: it is not */
    struct session_taken taken;
    struct ech_offer *again; /* of Encrypted Client Hello, once the server has rejected the setup's */
    struct sign_job *loading;
    bool is_refused; /* SHOWING: it is on its way to its end */
    bool peer_ended; /* it may have nothing to say, before the target is reached */
    bool brings;     /* burst_gone is due */
    struct burst_outcome outcome;
    uint64_t began_ns, connected_ns, moved_ns, half_closed_ns;
    uint64_t moved; /* bytes, when it was looked at last */
    char peer[ADDRESS_TEXT_MAX];
    char id[17]; /* hexadecimal; in the log, and for the program behind */
};

static inline bool is_client(const struct connection *c)
{
    return c->t->opt.role == TT_CLIENT;
}

void connection_free(struct connection *c);
/* connection_passed: bytes of plaintext. connection_facts: for the log. */
struct relay_counts connection_passed(const struct connection *c);
json_t *connection_facts(const struct connection *c);
/* connection_reset_plaintext: what was cut must not look whole to the program behind it. */
void connection_reset_plaintext(const struct connection *c);
/* connection_refuse: counted and said. connection_reach: the target is next. */
void connection_refuse(struct connection *c, enum refusal cause, const struct tt_error *why);
void connection_reach(struct connection *c);

/* connection_seek_session: a client begins: with a session, after the wait for one, or without.
 * connection_wake: a burst_waiter's. connection_free_taken: the session that it began with. */
void connection_seek_session(struct connection *c);
void connection_wake(struct burst_waiter *w);
void connection_free_taken(struct connection *c);
/* connection_ticket: one came; the session is its. */
void connection_ticket(struct connection *c, struct tt_session *session);
bool connection_wants_tickets(const struct connection *c);

/* kernel_consider: now and then: has it carried enough to be worth a move? kernel_aligned: stream_handlers'.
 */
void kernel_consider(struct connection *c, uint64_t now_ns, uint64_t bytes);
void kernel_aligned(void *arg, struct stream *s);

#endif
