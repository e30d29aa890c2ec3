/* gauge/peer.h: a thread in which the server takes what the client has sent. The engine sends the client's
 * certificate before its signature is there; over a network the server judges it while the client's TPM
 * works, so it does here. Layer: gauge. */
#ifndef GAUGE_PEER_H
#define GAUGE_PEER_H

#include <pthread.h>

#include "base/lock.h"
#include "gauge/gauge.h"
#include "tpmtls/tls.h"

enum peer_state {
    PEER_IDLE,
    PEER_FED, /* conn and data are the thread's */
    PEER_OVER /* the thread ends */
};

struct peer {
    pthread_t thread;
    struct lock lock;
    pthread_cond_t changed;
    enum peer_state state;
    struct tt_conn *conn;
    struct tt_bytes data;
    size_t used; /* of data */
    tt_rc rc;
};
/* peer_new: to be ended with peer_free, which may be given NULL. */
TT_MUST_USE tt_rc peer_new(struct peer **ret, struct tt_error *err);
void peer_free(struct peer *p);

/* peer_feed: as tt_conn_feed, in the thread; conn and data must not be touched until peer_wait, whose rc and
 * *ret_used are what came of it. */
void peer_feed(struct peer *p, struct tt_conn *conn, struct tt_bytes data);
TT_MUST_USE tt_rc peer_wait(struct peer *p, size_t *ret_used);

#endif
