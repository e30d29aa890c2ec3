/* net/burst.c: see burst.h. Layer: net. */
#include "net/burst.h"

#include "base/lock.h"
#include "base/mem.h"

#define REFUSED_ENOUGH 2      /* sessions refused in a row: such a peer resumes nothing */
#define REMEMBERED_MS  600000 /* then it is tried again */

struct burst {
    struct lock lock;
    struct session_store *sessions;
    bool waits;
    unsigned bringers; /* handshakes under way that may bring tickets */
    unsigned refused;
    int64_t useless_until; /* the peer gives no tickets, or refuses them */
    struct burst_waiter *first, **last;
    size_t waiting;
};

tt_rc burst_new(struct burst **ret, struct session_store *sessions, bool waits, struct tt_error *err)
{
    struct burst *b = mem_alloc(sizeof *b);
    if (b == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    lock_init(&b->lock);
    b->sessions = sessions;
    b->waits = waits && sessions != NULL;
    b->last = &b->first;
    *ret = b;
    return TT_OK;
}

void burst_free(struct burst *b)
{
    if (b == NULL)
        return;
    lock_destroy(&b->lock);
    mem_free(b);
}

/* ---- who waits; under the lock ---- */

static void enqueue(struct burst *b, struct burst_waiter *w)
{
    w->next = NULL;
    w->waits = true;
    *b->last = w;
    b->last = &w->next;
    b->waiting++;
}

static void wake_first(struct burst *b)
{
    struct burst_waiter *w = b->first;
    if (w == NULL)
        return;
    b->first = w->next;
    if (b->first == NULL)
        b->last = &b->first;
    b->waiting--;
    w->waits = false;
    w->is_woken = true;
    w->wake(w);
}

void burst_leave(struct burst *b, struct burst_waiter *w)
{
    lock_take(&b->lock);
    struct burst_waiter **at = &b->first;
    while (w->waits && *at != w)
        at = &(*at)->next;
    if (w->waits) {
        *at = w->next;
        if (b->last == &w->next)
            b->last = at;
        b->waiting--;
        w->waits = false;
    } else if (w->is_woken) {
        w->is_woken = false;
        wake_first(b); /* what it was woken for is the next one's */
    }
    lock_give(&b->lock);
}

size_t burst_waiting(struct burst *b)
{
    lock_take(&b->lock);
    size_t n = b->waiting;
    lock_give(&b->lock);
    return n;
}

/* ---- asking ---- */

enum burst_answer burst_ask(struct burst *b, struct burst_waiter *w, const struct session_key *key,
                            int64_t now_ms, struct session_taken *ret)
{
    struct tt_error unread = {0};
    enum burst_answer answer = BURST_SIGN;
    lock_take(&b->lock);
    w->is_woken = false;
    bool useless = now_ms < b->useless_until;
    if (b->sessions != NULL && !useless &&
        session_store_take(b->sessions, ret, key, false, now_ms, &unread) == TT_OK && ret->session != NULL)
        answer = BURST_RESUME;
    else if (b->waits && !useless && b->bringers > 0)
        answer = BURST_WAIT;
    if (answer == BURST_WAIT)
        enqueue(b, w);
    else
        b->bringers++;
    lock_give(&b->lock);
    return answer;
}

/* ---- what became of it ---- */

tt_rc burst_keep(struct burst *b, const struct session_key *key, const struct tt_session *session,
                 int64_t now_ms, struct tt_error *err)
{
    if (b->sessions == NULL)
        return TT_OK;
    lock_take(&b->lock);
    tt_rc rc = session_store_put(b->sessions, key, session, now_ms, err);
    if (rc == TT_OK)
        wake_first(b);
    lock_give(&b->lock);
    return rc;
}

/* Connected, and worth no ticket: or with one that was refused, as the last ones were. */
static bool is_useless(struct burst *b, const struct burst_outcome *what)
{
    if (what->resumed)
        b->refused = 0;
    else if (what->offered && what->connected)
        b->refused++;
    return what->connected && !what->resumed &&
           ((what->waited && what->tickets == 0) || b->refused >= REFUSED_ENOUGH);
}

void burst_gone(struct burst *b, const struct burst_outcome *what, int64_t now_ms)
{
    lock_take(&b->lock);
    b->bringers--;
    if (is_useless(b, what)) {
        b->useless_until = now_ms + REMEMBERED_MS;
        b->refused = 0;
        while (b->first != NULL)
            wake_first(b);
    } else if (b->bringers == 0) {
        wake_first(b); /* it tries: with a session that is there, or by a signature */
    }
    lock_give(&b->lock);
}
