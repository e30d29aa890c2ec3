/* net/burst.h: many connections to one peer at once cost one signature. Layer: net.
 *
 * While a handshake that will bring tickets is under way, further connections wait for them and resume; each
 * resumed one brings the tickets for the next: 1, 2, 4, 8 ... A peer that gives no tickets, or refuses them,
 * is found out once and remembered for a while; then each connection signs for itself. A ticket is used once.
 *
 * While somebody waits, there is a handshake that may bring tickets, or one who was woken and will ask: who
 * leaves instead passes the wake on.
 *
 * Any thread may call. `wake` comes on the thread that brought the news, under the burst's lock, so that
 * nobody goes away in between: it only posts. */
#ifndef NET_BURST_H
#define NET_BURST_H

#include "net/session_store.h"

struct burst;
struct burst_waiter {
    struct burst_waiter *next;
    bool waits;    /* under the burst's lock, as is: */
    bool is_woken; /* and has not asked again */
    /* It does not wait any more, and is to ask again. */
    void (*wake)(struct burst_waiter *w);
};

enum burst_answer {
    BURST_RESUME, /* *ret has a session; burst_gone follows when its handshake is over */
    BURST_SIGN,   /* a full handshake; burst_gone follows */
    BURST_WAIT    /* wake follows, unless burst_leave comes first */
};

/* burst_new: sessions NULL: nobody resumes, nobody waits. waits: as --burst says. */
TT_MUST_USE tt_rc burst_new(struct burst **ret, struct session_store *sessions, bool waits,
                            struct tt_error *err);
void burst_free(struct burst *b); /* when nobody waits; NULL is fine */

enum burst_answer burst_ask(struct burst *b, struct burst_waiter *w, const struct session_key *key,
                            int64_t now_ms, struct session_taken *ret);
void burst_leave(struct burst *b, struct burst_waiter *w);

/* burst_keep: a ticket came: it is put into the store, and one that waits is woken. Held sessions: on the
 * thread of the TPM. */
TT_MUST_USE tt_rc burst_keep(struct burst *b, const struct session_key *key, const struct tt_session *session,
                             int64_t now_ms, struct tt_error *err);

/* burst_gone: who was told to resume or to sign brings no more: how did it end? */
struct burst_outcome {
    bool offered; /* a session was */
    bool connected, resumed;
    bool waited; /* long enough for tickets to come */
    unsigned tickets;
};
void burst_gone(struct burst *b, const struct burst_outcome *what, int64_t now_ms);

/* burst_waiting: how many wait now. */
size_t burst_waiting(struct burst *b);

#endif
