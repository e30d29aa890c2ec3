/* est/plan.c: see plan.h. Layer: est. */
#include "est/plan.h"

#define MINUTE 60
#define HOUR   (60 * MINUTE)

static int64_t life_of(const struct plan_facts *f)
{
    return f->not_after > f->not_before ? f->not_after - f->not_before : 0;
}

int64_t plan_due(const struct plan_facts *f)
{
    int64_t life = life_of(f), spread = life / 20;
    int64_t jitter = (int64_t)((double)spread * ((double)f->jitter / ((double)UINT32_MAX + 1)));
    return f->not_before + life - life / 3 + jitter;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* 10 minutes, doubled with each failure, at most 12 hours or an eighth of what is left; for certificates of
 * hours in proportion. A quarter of it is the device's own. */
static int64_t back_off(const struct plan_facts *f)
{
    int64_t first = most(10, least(10 * MINUTE, life_of(f) / 200));
    int64_t left = f->not_after - f->failed_at;
    int64_t limit =
        left > 0 ? most(first, least(12 * HOUR, left / 8)) : most(first, least(HOUR, life_of(f) / 8));
    int64_t wait = first;
    for (unsigned i = 1; i < f->failures && wait < limit; i++)
        wait *= 2;
    wait = least(wait, limit);
    return wait - (int64_t)((f->jitter ^ (f->failures * 2654435761U)) % (uint64_t)(wait / 4 + 1));
}

/* A failure in the future is one of a clock that was wrong. The server's word counts as far as it leaves
 * time: it may say a year. */
static int64_t not_before_this(const struct plan_facts *f, int64_t now)
{
    if (f->failures == 0 || f->failed_at > now)
        return now;
    int64_t at = f->failed_at + back_off(f);
    int64_t limit = most(HOUR, (f->not_after - f->failed_at) / 4);
    return f->retry_at > at ? least(f->retry_at, f->failed_at + limit) : at;
}

struct plan plan_renewal(const struct plan_facts *f, int64_t now)
{
    struct plan p = {.at = now, .ended = now > f->not_after, .urgent = f->not_after - now <= life_of(f) / 10};
    if (now < f->not_before)
        return (struct plan){.verdict = PLAN_CLOCK, .at = f->not_before};
    int64_t due = plan_due(f), again = not_before_this(f, now);
    p.verdict = now < due ? PLAN_WAIT : now < again ? PLAN_BACK_OFF : PLAN_RENEW;
    if (p.verdict == PLAN_WAIT)
        p.at = due;
    else if (p.verdict == PLAN_BACK_OFF)
        p.at = again;
    return p;
}
