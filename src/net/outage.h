/* net/outage.h: an outage of the TPM is told when it begins, once a minute while something fails, and when it
 * is over; not once for each connection that fails of it. Layer: net. No threads, no clock, no output: the
 * caller says what happened and when, and is told what is to be said. */
#ifndef NET_OUTAGE_H
#define NET_OUTAGE_H

#include "base/mem.h"
#include "base/rc.h"

#define OUTAGE_AGAIN_NS UINT64_C(60000000000)
#define OUTAGE_CALM_NS  UINT64_C(2000000000) /* nothing failed for so long: it is over */

/* struct outage: zero: none. */
struct outage {
    bool out;
    uint64_t began, last_failed, said, ended;
    uint64_t calm; /* of this one: longer after each that came soon after another */
    unsigned long failed;
};

enum outage_state {
    OUTAGE_QUIET,
    OUTAGE_BEGAN,
    OUTAGE_LASTS,
    OUTAGE_ENDED
};

/* struct outage_news: what is to be said; state OUTAGE_QUIET: nothing. */
struct outage_news {
    enum outage_state state;
    unsigned seconds;     /* since it began */
    unsigned long failed; /* requests to the TPM, since it began */
    struct tt_error why;  /* of the last one; rc TT_OK when it ended */
};

struct outage_news outage_failed(struct outage *o, const struct tt_error *why, uint64_t now);
struct outage_news outage_worked(struct outage *o, uint64_t now);

/* outage_state_name: "began", "lasts", "ended". */
const char *outage_state_name(enum outage_state state);
/* outage_text: the news as an error is told: a sentence, and what to do about it. */
void outage_text(struct tt_error *ret, const struct outage_news *news);
/* outage_is_of: would an outage of the TPM fail a connection with this? */
bool outage_is_of(const struct tt_error *error);

#endif
