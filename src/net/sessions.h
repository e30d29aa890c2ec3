/* net/sessions.h: the inside of struct tt_sessions, for blocking.c. Layer: net. */
#ifndef NET_SESSIONS_H
#define NET_SESSIONS_H

#include "net/burst.h"
#include "tpmtls/stream.h"

struct sessions_entry;

/* sessions_seek: a session for this peer, after a wait where that is worth it; *ret stays empty where a full
 * handshake is due, or none came in time. *ret_entry: where tickets go; sessions_gone (others need not wait
 * for it any more), then sessions_leave follow. NULL: none are expected of it. */
void sessions_seek(struct tt_sessions *s, const struct session_key *key, uint64_t deadline_ns,
                   struct session_taken *ret, struct sessions_entry **ret_entry);
void sessions_keep(struct sessions_entry *e, const struct session_key *key, const struct tt_session *session);
bool sessions_are_awaited(struct sessions_entry *e);
void sessions_gone(struct sessions_entry *e, const struct burst_outcome *what);
void sessions_leave(struct sessions_entry *e);

#endif
