/* net/session_memory.h: sessions that are never written. Layer: net. One thread at a time. */
#ifndef NET_SESSION_MEMORY_H
#define NET_SESSION_MEMORY_H

#include "net/session_store.h"

struct session_memory;
TT_MUST_USE tt_rc session_memory_new(struct session_memory **ret, struct tt_error *err);
void session_memory_free(struct session_memory *m);
/* session_memory_take, session_memory_put: as session_store_take and _put; take returns the caller's, or
 * NULL. */
struct tt_session *session_memory_take(struct session_memory *m, const struct session_key *key, bool early,
                                       int64_t now_ms);
TT_MUST_USE tt_rc session_memory_put(struct session_memory *m, const struct session_key *key,
                                     const struct tt_session *session, int64_t now_ms, struct tt_error *err);

#endif
