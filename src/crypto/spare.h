/* crypto/spare.h: contexts and keys of libcrypto that are costly to make, kept between two uses. Layer:
 * crypto.
 *
 * Whoever needs one takes it, has it for himself, and gives it back; when there is none he makes one. What
 * belongs to no connection is kept here, so a few are enough for many threads. */
#ifndef CRYPTO_SPARE_H
#define CRYPTO_SPARE_H

#include "base/lock.h"
#include "base/rc.h"

#define SPARE_MAX 8

struct spare {
    struct lock lock;
    void *items[SPARE_MAX];
    size_t n;
};

static inline void spare_init(struct spare *s)
{
    lock_init(&s->lock);
    s->n = 0;
}

/* spare_take: one of them, or NULL. */
static inline void *spare_take(struct spare *s)
{
    lock_take(&s->lock);
    void *item = s->n > 0 ? s->items[--s->n] : NULL;
    lock_give(&s->lock);
    return item;
}

/* spare_take_like: the first that `is` says fits, else the one that lay longest, or NULL. */
static inline void *spare_take_like(struct spare *s, bool (*is)(const void *item, const void *arg),
                                    const void *arg)
{
    lock_take(&s->lock);
    size_t at = s->n;
    for (size_t i = 0; i < s->n && at == s->n; i++)
        at = is(s->items[i], arg) ? i : at;
    void *item = NULL;
    if (s->n > 0) {
        at = at < s->n ? at : 0; /* the one that lay longest */
        item = s->items[at];
        s->n--;
        for (; at < s->n; at++)
            s->items[at] = s->items[at + 1];
    }
    lock_give(&s->lock);
    return item;
}

/* spare_give: false when there are enough; it is then the caller's to free. */
static inline bool spare_give(struct spare *s, void *item)
{
    lock_take(&s->lock);
    bool kept = s->n < SPARE_MAX;
    if (kept)
        s->items[s->n++] = item;
    lock_give(&s->lock);
    return kept;
}

#endif
