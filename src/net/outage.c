/* net/outage.c: see outage.h. Layer: net. */
#include "net/outage.h"

#include <stdio.h>

#define SECOND       UINT64_C(1000000000)
#define SOON_NS      (300 * SECOND) /* after another one: a TPM that comes and goes */
#define CALM_FACTOR  4
#define CALM_LONGEST OUTAGE_AGAIN_NS

static struct outage_news news_of(const struct outage *o, enum outage_state state, uint64_t now)
{
    return (struct outage_news){
        .state = state, .seconds = (unsigned)((now - o->began) / SECOND), .failed = o->failed};
}

/* One key that fails while others work would begin and end an outage with each turn. */
static uint64_t calm_of_next(const struct outage *o, uint64_t now)
{
    if (o->calm == 0 || now - o->ended > SOON_NS)
        return OUTAGE_CALM_NS;
    return o->calm * CALM_FACTOR < CALM_LONGEST ? o->calm * CALM_FACTOR : CALM_LONGEST;
}

struct outage_news outage_failed(struct outage *o, const struct tt_error *why, uint64_t now)
{
    bool begins = !o->out;
    if (begins) {
        o->calm = calm_of_next(o, now);
        o->out = true;
        o->began = now;
        o->failed = 0;
    }
    o->failed++;
    o->last_failed = now;
    if (!begins && now - o->said < OUTAGE_AGAIN_NS)
        return (struct outage_news){.state = OUTAGE_QUIET};
    o->said = now;
    struct outage_news news = news_of(o, begins ? OUTAGE_BEGAN : OUTAGE_LASTS, now);
    news.why = *why;
    return news;
}

struct outage_news outage_worked(struct outage *o, uint64_t now)
{
    if (!o->out || now - o->last_failed < o->calm)
        return (struct outage_news){.state = OUTAGE_QUIET};
    o->out = false;
    o->ended = now;
    return news_of(o, OUTAGE_ENDED, now);
}

const char *outage_state_name(enum outage_state state)
{
    static const char *const names[] = {"quiet", "began", "lasts", "ended"};
    return (size_t)state < TT_COUNT(names) ? names[state] : "quiet";
}

void outage_text(struct tt_error *ret, const struct outage_news *news)
{
    *ret = (struct tt_error){.rc = TT_OK};
    if (news->state == OUTAGE_ENDED) {
        (void)error_set(ret, TT_ERR_TPM, "the TPM works again after %u s, in which %lu requests to it failed",
                        news->seconds, news->failed);
        return;
    }
    if (news->state == OUTAGE_BEGAN)
        (void)error_set(ret, TT_ERR_TPM, "an outage of the TPM begins: %s", news->why.text);
    else
        (void)error_set(ret, TT_ERR_TPM, "the TPM has been out for %u s, and %lu requests to it failed: %s",
                        news->seconds, news->failed, news->why.text);
    if (news->why.hint[0] != '\0')
        error_hint(ret, "%s", news->why.hint);
}

bool outage_is_of(const struct tt_error *error)
{
    return error->rc == TT_ERR_TPM || error->rc == TT_ERR_AUTH || error->rc == TT_ERR_DEADLINE;
}
