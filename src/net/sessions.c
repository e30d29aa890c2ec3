/* net/sessions.c: sessions in memory for blocking streams of many threads, with what burst.h says of many at
 * once. Layer: net. One store and one burst for each peer; peers that nobody was at for long make room. */
#include "net/sessions.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/lock.h"
#include "base/mem.h"
#include "net/clock.h"

#define PEERS_MAX 256

struct sessions_entry {
    struct tt_sessions *of;
    struct session_key key; /* its texts are owned */
    char *peer, *server_name;
    struct session_store *store;
    struct burst *burst;
    atomic_uint seekers; /* also those who were woken, and have not asked again yet */
    unsigned users;      /* under the lock, like: */
    uint64_t used;
};

struct tt_sessions {
    struct lock lock;
    struct sessions_entry *at[PEERS_MAX];
    uint64_t clock;
};

tt_rc tt_sessions_new(struct tt_sessions **ret, struct tt_error *err)
{
    struct tt_sessions *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    lock_init(&s->lock);
    *ret = s;
    return TT_OK;
}

static void entry_free(struct sessions_entry *e)
{
    if (e == NULL)
        return;
    burst_free(e->burst);
    session_store_free(e->store);
    mem_free(e->peer);
    mem_free(e->server_name);
    mem_free(e);
}

void tt_sessions_free(struct tt_sessions *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < PEERS_MAX; i++)
        entry_free(s->at[i]);
    lock_destroy(&s->lock);
    mem_free(s);
}

static struct sessions_entry *entry_new(struct tt_sessions *s, const struct session_key *key)
{
    const struct session_store_options memory = {.mode = SESSIONS_IN_MEMORY};
    struct sessions_entry *e = mem_alloc(sizeof *e);
    if (e == NULL)
        return NULL;
    e->of = s;
    e->key = *key;
    e->key.peer = e->peer = mem_strdup(key->peer);
    e->key.server_name = e->server_name = mem_strdup(key->server_name != NULL ? key->server_name : "");
    if (e->peer != NULL && e->server_name != NULL && session_store_open(&e->store, &memory, NULL) == TT_OK &&
        burst_new(&e->burst, e->store, true, NULL) == TT_OK)
        return e;
    entry_free(e);
    return NULL;
}

static bool is_for(const struct sessions_entry *e, const struct session_key *key)
{
    return strcmp(e->peer, key->peer) == 0 &&
           strcmp(e->server_name, key->server_name != NULL ? key->server_name : "") == 0 &&
           memcmp(e->key.config, key->config, sizeof key->config) == 0;
}

/* Under the lock: the one there is, or a place for it. */
static struct sessions_entry **find(struct tt_sessions *s, const struct session_key *key)
{
    struct sessions_entry **place = NULL;
    for (size_t i = 0; i < PEERS_MAX; i++) {
        struct sessions_entry *e = s->at[i];
        if (e != NULL && is_for(e, key))
            return &s->at[i];
        if (e == NULL ? place == NULL || *place != NULL
                      : e->users == 0 && (place == NULL || (*place != NULL && e->used < (*place)->used)))
            place = &s->at[i];
    }
    return place;
}

static struct sessions_entry *use(struct tt_sessions *s, const struct session_key *key)
{
    lock_take(&s->lock);
    struct sessions_entry **at = find(s, key), *e = NULL;
    if (at != NULL && *at != NULL && !is_for(*at, key)) {
        entry_free(*at);
        *at = NULL;
    }
    if (at != NULL && *at == NULL)
        *at = entry_new(s, key);
    e = at != NULL ? *at : NULL;
    if (e != NULL) {
        e->users++;
        e->used = ++s->clock;
    }
    lock_give(&s->lock);
    return e;
}

void sessions_leave(struct sessions_entry *e)
{
    struct tt_sessions *s = e->of;
    lock_take(&s->lock);
    e->users--;
    lock_give(&s->lock);
}

/* ---- waiting ---- */

struct waiting {
    struct burst_waiter waiter;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_woken;
};

static void wake(struct burst_waiter *w)
{
    struct waiting *x = (struct waiting *)((char *)w - offsetof(struct waiting, waiter));
    pthread_mutex_lock(&x->lock);
    x->is_woken = true;
    pthread_cond_signal(&x->changed);
    pthread_mutex_unlock(&x->lock);
}

/* False: the time is over. */
static bool wait_until(struct waiting *x, uint64_t deadline_ns)
{
    const struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000U),
                                   .tv_nsec = (long)(deadline_ns % 1000000000U)};
    int rc = 0;
    pthread_mutex_lock(&x->lock);
    while (!x->is_woken && rc == 0)
        rc = pthread_cond_timedwait(&x->changed, &x->lock, &until);
    bool woken = x->is_woken;
    x->is_woken = false;
    pthread_mutex_unlock(&x->lock);
    return woken;
}

static void seek(struct sessions_entry *e, const struct session_key *key, uint64_t deadline_ns,
                 struct session_taken *ret, bool *ret_brings)
{
    struct waiting x = {.waiter = {.wake = wake}};
    pthread_condattr_t monotonic;
    (void)pthread_mutex_init(&x.lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&x.changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    enum burst_answer answer;
    while ((answer = burst_ask(e->burst, &x.waiter, key, clock_wall_ms(), ret)) == BURST_WAIT)
        if (!wait_until(&x, deadline_ns))
            break;
    burst_leave(e->burst, &x.waiter);
    *ret_brings = answer != BURST_WAIT;
    (void)pthread_mutex_destroy(&x.lock);
    (void)pthread_cond_destroy(&x.changed);
}

void sessions_seek(struct tt_sessions *s, const struct session_key *key, uint64_t deadline_ns,
                   struct session_taken *ret, struct sessions_entry **ret_entry)
{
    bool brings = false;
    struct sessions_entry *e = use(s, key);
    if (e != NULL) {
        atomic_fetch_add(&e->seekers, 1);
        seek(e, key, deadline_ns, ret, &brings);
        atomic_fetch_sub(&e->seekers, 1);
    }
    if (e != NULL && !brings)
        sessions_leave(e);
    *ret_entry = brings ? e : NULL;
}

void sessions_keep(struct sessions_entry *e, const struct session_key *key, const struct tt_session *session)
{
    (void)!burst_keep(e->burst, key, session, clock_wall_ms(), NULL); /* what is not kept is not resumed */
}

bool sessions_are_awaited(struct sessions_entry *e)
{
    return atomic_load(&e->seekers) > 0;
}

void sessions_gone(struct sessions_entry *e, const struct burst_outcome *what)
{
    burst_gone(e->burst, what, clock_wall_ms());
}
