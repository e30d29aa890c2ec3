/* tls/ticket.c: ticket keys, sealing, opening, and the strike register. Layer: tls.
 * RFC 9846 sections 4.7.1, 8.1, 8.2; appendix C.4 (tracking: nothing of a ticket shows). */
#include "tls/ticket.h"

#include <string.h>

#include "base/lock.h"
#include "base/process.h"
#include "crypto/box.h"

#define TICKET_FORMAT    4
#define TICKET_NAME_SIZE 16
#define STRIKE_SLOTS     4096

/* struct strike: a hello whose 0-RTT was taken; from `until_ms` on its age refuses it. */
struct strike {
    uint8_t id[16];
    int64_t until_ms;
};

struct tt_tickets {
    atomic_uint refs;
    struct lock lock;
    struct tt_ticket_key keys[TT_MAX_TICKET_KEYS]; /* the first seals, all open */
    size_t keys_len;
    uint64_t sealed; /* under keys[0] */
    int64_t born_ms;
    uint8_t issuer[TICKET_ISSUER_SIZE]; /* random: tells our tickets from those of before a restart or a
                                           fork, or of others */
    int64_t pid;                        /* whose issuer and strikes these are */
    int64_t steady_ms;                  /* never goes back: the highest time that was told */
    struct strike *strikes;             /* made with the first 0-RTT */
};

/* The register is the process's own: a child has a copy, of which the others know nothing, so it begins with
 * nothing, and with tickets of its own. */
static bool become_issuer(struct tt_tickets *t)
{
    int64_t pid = process_id();
    if (t->pid == pid)
        return true;
    if (!crypto_random(NULL, t->issuer, sizeof t->issuer))
        return false;
    if (t->strikes != NULL)
        mem_wipe(t->strikes, STRIKE_SLOTS * sizeof *t->strikes);
    t->pid = pid;
    return true;
}

/* Under the lock. */
static void see_time(struct tt_tickets *t, int64_t now_ms)
{
    t->steady_ms = now_ms > t->steady_ms ? now_ms : t->steady_ms;
}

tt_rc tt_tickets_new(struct tt_tickets **ret, int64_t now_ms, struct tt_error *err)
{
    struct tt_tickets *t = mem_alloc(sizeof *t);
    if (t == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    if (!become_issuer(t)) {
        mem_free(t);
        return error_set(err, TT_ERR_INTERNAL, "there is no randomness");
    }
    atomic_init(&t->refs, 1);
    lock_init(&t->lock);
    t->born_ms = now_ms;
    *ret = t;
    return TT_OK;
}

void tickets_ref(struct tt_tickets *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
}

void tt_tickets_free(struct tt_tickets *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) > 1)
        return;
    lock_destroy(&t->lock);
    mem_free(t->strikes);
    mem_free(t);
}

tt_rc tt_tickets_set_keys(struct tt_tickets *t, const struct tt_ticket_key *keys, size_t n)
{
    if (n > TT_MAX_TICKET_KEYS)
        return TT_ERR_USAGE;
    lock_take(&t->lock);
    if (t->keys_len == 0 || n == 0 || !mem_equal_ct(t->keys[0].key, keys[0].key, sizeof keys[0].key))
        t->sealed = 0;
    mem_wipe(t->keys, sizeof t->keys);
    if (n > 0)
        memcpy(t->keys, keys, n * sizeof *keys);
    t->keys_len = n;
    lock_give(&t->lock);
    return TT_OK;
}

uint64_t tt_tickets_sealed(struct tt_tickets *t)
{
    lock_take(&t->lock);
    uint64_t sealed = t->sealed;
    lock_give(&t->lock);
    return sealed;
}

/* The key with this name; with name NULL the one that seals. */
static bool ticket_key(struct tt_tickets *t, const uint8_t *name, struct tt_ticket_key *ret)
{
    bool found = false;
    lock_take(&t->lock);
    for (size_t i = 0; i < t->keys_len && !found; i++)
        if (name == NULL || memcmp(t->keys[i].name, name, TICKET_NAME_SIZE) == 0) {
            *ret = t->keys[i];
            found = true;
        }
    t->sealed += name == NULL;
    lock_give(&t->lock);
    return found;
}

static tt_rc ticket_write(const struct ticket_state *s, struct buf *out)
{
    struct writer w = writer_to(out);
    wr_u8(&w, TICKET_FORMAT);
    wr_bytes(&w, (struct tt_bytes){s->issuer, sizeof s->issuer});
    wr_u16(&w, s->suite);
    wr_u32(&w, s->age_add);
    wr_u32(&w, s->lifetime);
    wr_u32(&w, s->max_early_data);
    wr_u64(&w, (uint64_t)s->issued_ms);
    wr_u64(&w, (uint64_t)s->issued_steady_ms);
    wr_vec8(&w, (struct tt_bytes){s->psk.key, s->psk.len});
    wr_vec8(&w, s->server_name);
    wr_vec8(&w, s->alpn);
    auth_put(&w, &s->auth);
    return wr_status(&w);
}

static tt_rc ticket_read(struct tt_bytes plain, struct ticket_state *ret)
{
    struct reader r = reader_of(plain);
    struct ticket_state s = {0};
    if (rd_u8(&r) != TICKET_FORMAT)
        return TT_ERR_NOT_FOUND;
    struct tt_bytes issuer = rd_bytes(&r, TICKET_ISSUER_SIZE);
    s.suite = rd_u16(&r);
    s.age_add = rd_u32(&r);
    s.lifetime = rd_u32(&r);
    s.max_early_data = rd_u32(&r);
    s.issued_ms = (int64_t)rd_u64(&r);
    s.issued_steady_ms = (int64_t)rd_u64(&r);
    struct tt_bytes key = rd_vec8(&r, 1);
    s.server_name = rd_vec8(&r, 0);
    s.alpn = rd_vec8(&r, 0);
    s.auth = auth_read(&r);
    const struct suite *suite = suite_of(s.suite);
    if (rd_done(&r) != TT_OK || suite == NULL || key.len != hash_size(suite->hash))
        return TT_ERR_NOT_FOUND;
    s.psk.hash = suite->hash;
    s.psk.len = key.len;
    memcpy(s.psk.key, key.data, key.len);
    memcpy(s.issuer, issuer.data, issuer.len);
    *ret = s;
    return TT_OK;
}

/* name || box, where the name is authenticated too. */
static struct box_key ticket_box(const struct crypto_lib *lib, const struct tt_ticket_key *key)
{
    return (struct box_key){.lib = lib, .key = key->key, .aad = {key->name, TICKET_NAME_SIZE}};
}

/* By whom, and when by the clock that never goes back. */
static bool ticket_stamp(struct tt_tickets *t, struct ticket_state *state)
{
    lock_take(&t->lock);
    bool ours = become_issuer(t);
    memcpy(state->issuer, t->issuer, sizeof state->issuer);
    see_time(t, state->issued_steady_ms);
    state->issued_steady_ms = t->steady_ms;
    lock_give(&t->lock);
    return ours;
}

tt_rc ticket_seal(struct tt_tickets *t, const struct crypto_lib *lib, struct kx_random random,
                  struct ticket_state *state, struct buf *out)
{
    struct tt_ticket_key key;
    struct buf plain = {0};
    if (!ticket_stamp(t, state))
        return TT_ERR_INTERNAL;
    if (!ticket_key(t, NULL, &key))
        return TT_ERR_NOT_FOUND;
    const struct box_key box = ticket_box(lib, &key);
    tt_rc rc = ticket_write(state, &plain);
    if (rc == TT_OK)
        rc = buf_append(out, key.name, TICKET_NAME_SIZE);
    if (rc == TT_OK)
        rc = box_seal(&box, random, buf_bytes(&plain), out);
    buf_free(&plain);
    mem_wipe(&key, sizeof key);
    return rc;
}

tt_rc ticket_open(struct tt_tickets *t, const struct crypto_lib *lib, struct tt_bytes ticket,
                  struct buf *plain, struct ticket_state *ret)
{
    struct tt_ticket_key key;
    if (ticket.len <= TICKET_NAME_SIZE || !ticket_key(t, ticket.data, &key))
        return TT_ERR_NOT_FOUND;
    const struct box_key box = ticket_box(lib, &key);
    tt_rc rc = box_open(
        &box, (struct tt_bytes){ticket.data + TICKET_NAME_SIZE, ticket.len - TICKET_NAME_SIZE}, plain);
    mem_wipe(&key, sizeof key);
    TT_TRY(rc);
    return ticket_read(buf_bytes(plain), ret);
}

/* Linear search is enough: the register lives for 20 s and is only asked for 0-RTT. */
static bool strike_add(struct tt_tickets *t, const uint8_t *id, int64_t until_ms)
{
    struct strike *free_slot = NULL;
    for (size_t i = 0; i < STRIKE_SLOTS; i++) {
        struct strike *s = &t->strikes[i];
        if (s->until_ms <= t->steady_ms)
            free_slot = free_slot == NULL ? s : free_slot;
        else if (memcmp(s->id, id, sizeof s->id) == 0)
            return false;
    }
    if (free_slot == NULL)
        return false;
    memcpy(free_slot->id, id, sizeof free_slot->id);
    free_slot->until_ms = until_ms;
    return true;
}

/* Fresh by the clock that never goes back: what is no longer in the register is too old for it, whatever
 * became of the wall clock. */
static bool is_fresh_and_new(struct tt_tickets *t, const struct ticket_state *ticket,
                             const struct ticket_use *use)
{
    int64_t sent_ms = ticket->issued_steady_ms + (int64_t)use->age_ms, apart = t->steady_ms - sent_ms;
    if (apart > TICKET_AGE_TOLERANCE_MS || apart < -TICKET_AGE_TOLERANCE_MS)
        return false;
    if (t->strikes == NULL)
        t->strikes = mem_alloc(STRIKE_SLOTS * sizeof *t->strikes);
    return t->strikes != NULL && strike_add(t, use->binder.data, sent_ms + TICKET_AGE_TOLERANCE_MS + 1);
}

bool ticket_first_use(struct tt_tickets *t, const struct ticket_state *ticket, const struct ticket_use *use)
{
    if (use->binder.len < 32 || ticket->issued_ms < t->born_ms)
        return false;
    lock_take(&t->lock);
    see_time(t, use->now_ms);
    bool first = become_issuer(t) && memcmp(ticket->issuer, t->issuer, sizeof t->issuer) == 0 &&
                 is_fresh_and_new(t, ticket, use);
    lock_give(&t->lock);
    return first;
}
