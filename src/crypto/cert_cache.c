/* crypto/cert_cache.c: see cert_cache.h. Layer: crypto. */
#include "crypto/cert_cache.h"

#include <string.h>

#include "base/lock.h"
#include "base/mem.h"

#define PLACES 64
#define MARKS  1024
#define TAIL   64 /* of a certificate: its signature, which no two have in common */

struct place {
    X509 *x; /* NULL: free */
    uint8_t *der;
    size_t len;
    uint64_t mark, used;
};

struct cert_cache {
    struct lock lock;
    uint64_t clock; /* counts uses */
    uint64_t marks[MARKS];
    struct place places[PLACES];
};

tt_rc cert_cache_new(struct cert_cache **ret)
{
    struct cert_cache *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return TT_ERR_MEMORY;
    lock_init(&c->lock);
    *ret = c;
    return TT_OK;
}

static void place_clear(struct place *p)
{
    X509_free(p->x);
    mem_free(p->der);
    *p = (struct place){0};
}

void cert_cache_free(struct cert_cache *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < PLACES; i++)
        place_clear(&c->places[i]);
    lock_destroy(&c->lock);
    mem_free(c);
}

/* FNV-1a: who makes two of them meet gains that one is read anew. */
static uint64_t mark_of(struct tt_bytes der)
{
    uint64_t h = 0xcbf29ce484222325U ^ der.len;
    for (size_t i = der.len > TAIL ? der.len - TAIL : 0; i < der.len; i++)
        h = (h ^ der.data[i]) * 0x100000001b3U;
    return h;
}

static struct place *find(struct cert_cache *c, uint64_t mark, struct tt_bytes der)
{
    for (size_t i = 0; i < PLACES; i++) {
        struct place *p = &c->places[i];
        if (p->x != NULL && p->mark == mark && p->len == der.len && memcmp(p->der, der.data, der.len) == 0)
            return p;
    }
    return NULL;
}

X509 *cert_cache_get(struct cert_cache *c, bool *ret_again, struct tt_bytes der)
{
    uint64_t mark = mark_of(der);
    lock_take(&c->lock);
    struct place *p = find(c, mark, der);
    X509 *x = p != NULL && X509_up_ref(p->x) == 1 ? p->x : NULL;
    if (x != NULL)
        p->used = ++c->clock;
    *ret_again = x == NULL && c->marks[mark % MARKS] == mark;
    c->marks[mark % MARKS] = mark;
    lock_give(&c->lock);
    return x;
}

static struct place *oldest(struct cert_cache *c)
{
    struct place *p = &c->places[0];
    for (size_t i = 1; i < PLACES; i++)
        if (c->places[i].used < p->used)
            p = &c->places[i];
    return p;
}

void cert_cache_put(struct cert_cache *c, struct tt_bytes der, X509 *x)
{
    struct place fresh = {.der = mem_dup(der.data, der.len), .len = der.len, .mark = mark_of(der)},
                 former = {0};
    if (fresh.der == NULL || X509_up_ref(x) != 1) {
        mem_free(fresh.der);
        return;
    }
    fresh.x = x;
    lock_take(&c->lock);
    if (find(c, fresh.mark, der) == NULL) {
        struct place *p = oldest(c);
        former = *p;
        fresh.used = ++c->clock;
        *p = fresh;
    } else {
        former = fresh; /* another thread was quicker */
    }
    lock_give(&c->lock);
    place_clear(&former);
}
