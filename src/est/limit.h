/* est/limit.h: how much one asks in a minute. Layer: est. Reads no clock. A fixed table: whoever comes with
 * many names pushes out names, not memory. */
#ifndef EST_LIMIT_H
#define EST_LIMIT_H

#include "base/rc.h"

struct est_limit;

/* est_limit_new: a_minute: requests of one requester; 0: any number. */
TT_MUST_USE tt_rc est_limit_new(struct est_limit **ret, unsigned a_minute, struct tt_error *err);
/* est_limit_set: another number from now on. */
void est_limit_set(struct est_limit *l, unsigned a_minute);
void est_limit_free(struct est_limit *l);
/* est_limit_take: one more of `who`, at `now` (seconds of any clock that goes forward): may it be answered?
 */
bool est_limit_take(struct est_limit *l, struct tt_bytes who, int64_t now);

#endif
