/* est/limit.c: see limit.h. Layer: est. A bucket for each requester: a_minute tokens, filled over a minute. A
 * new name takes the place that was quiet for longest of the four that it hashes to; the hash is keyed, so
 * that nobody can choose whom he pushes out. */
#include "est/limit.h"

#include <sys/random.h>

#include "base/mem.h"

#define PLACES 4096 /* a multiple of WAYS */
#define WAYS   4

struct place {
    uint64_t who;
    int64_t at;
    uint64_t left_ms; /* of the bucket: a request costs 60,000 / a_minute */
};

struct est_limit {
    unsigned a_minute;
    uint64_t key;
    struct place places[PLACES];
};

tt_rc est_limit_new(struct est_limit **ret, unsigned a_minute, struct tt_error *err)
{
    struct est_limit *l = mem_alloc(sizeof *l);
    if (l == NULL || getrandom(&l->key, sizeof l->key, 0) != sizeof l->key) {
        mem_free(l);
        return error_set(err, TT_ERR_MEMORY, "no memory for the limit of requests");
    }
    l->a_minute = a_minute;
    *ret = l;
    return TT_OK;
}

void est_limit_set(struct est_limit *l, unsigned a_minute)
{
    l->a_minute = a_minute;
}

void est_limit_free(struct est_limit *l)
{
    mem_free(l);
}

/* FNV-1a from a secret start, mixed once more. */
static uint64_t hash(uint64_t key, struct tt_bytes b)
{
    uint64_t h = key ^ UINT64_C(14695981039346656037);
    for (size_t i = 0; i < b.len; i++)
        h = (h ^ b.data[i]) * UINT64_C(1099511628211);
    h ^= h >> 32;
    h *= key | 1;
    return h ^ h >> 29;
}

static struct place *place_of(struct est_limit *l, uint64_t who)
{
    struct place *at = &l->places[who % (PLACES / WAYS) * WAYS], *oldest = at;
    for (size_t i = 0; i < WAYS; i++) {
        if (at[i].who == who)
            return &at[i];
        if (at[i].at < oldest->at)
            oldest = &at[i];
    }
    *oldest = (struct place){.who = who, .at = INT64_MIN};
    return oldest;
}

bool est_limit_take(struct est_limit *l, struct tt_bytes who, int64_t now)
{
    if (l->a_minute == 0)
        return true;
    struct place *p = place_of(l, hash(l->key, who));
    uint64_t cost = 60000 / l->a_minute > 0 ? 60000 / l->a_minute : 1, full = cost * l->a_minute;
    if (p->at == INT64_MIN || now - p->at >= 60)
        p->left_ms = full;
    else if (now > p->at)
        p->left_ms += (uint64_t)(now - p->at) * 1000;
    p->left_ms = p->left_ms > full ? full : p->left_ms;
    p->at = now;
    if (p->left_ms < cost)
        return false;
    p->left_ms -= cost;
    return true;
}
