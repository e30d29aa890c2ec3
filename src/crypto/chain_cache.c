/* crypto/chain_cache.c: chains that were found good. Layer: crypto. See chain_cache.h.
 *
 * A table of SETS x WAYS; a key's first byte chooses the set, and within it the entry that was used least
 * recently is replaced. Keys are hashes, so peers cannot aim at a set without work, and all they could gain
 * is that another chain is judged again. */
#include "crypto/chain_cache.h"

#include <string.h>

#include "base/lock.h"
#include "base/mem.h"
#include "crypto/lib_internal.h"
#include "crypto/trust.h"

#define SETS 64
#define WAYS 4

struct entry {
    uint8_t key[CHAIN_KEY_SIZE];
    struct validity when;
    struct trust_verdict verdict; /* leaf_key NULL: a free place */
    uint64_t used;
};

struct chain_cache {
    struct lock lock;
    uint64_t clock; /* counts uses */
    struct entry entries[SETS][WAYS];
};

tt_rc chain_cache_new(struct chain_cache **ret)
{
    struct chain_cache *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return TT_ERR_MEMORY;
    lock_init(&c->lock);
    *ret = c;
    return TT_OK;
}

void chain_cache_clear(struct chain_cache *c)
{
    lock_take(&c->lock);
    for (size_t i = 0; i < (size_t)SETS * WAYS; i++) {
        struct entry *e = &c->entries[i / WAYS][i % WAYS];
        if (e->verdict.leaf_key == NULL)
            continue;
        pubkey_free(e->verdict.leaf_key);
        *e = (struct entry){0};
    }
    lock_give(&c->lock);
}

void chain_cache_free(struct chain_cache *c)
{
    if (c == NULL)
        return;
    chain_cache_clear(c);
    lock_destroy(&c->lock);
    mem_free(c);
}

/* Each piece with its length before it, so that no two requests give the same bytes. */
static bool add_piece(EVP_MD_CTX *h, struct tt_bytes piece)
{
    uint8_t len[8];
    for (size_t i = 0; i < sizeof len; i++)
        len[i] = (uint8_t)((uint64_t)piece.len >> (8 * i));
    return EVP_DigestUpdate(h, len, sizeof len) == 1 &&
           (piece.len == 0 || EVP_DigestUpdate(h, piece.data, piece.len) == 1);
}

static bool add_request(EVP_MD_CTX *h, const struct trust_request *req)
{
    const uint8_t flags[] = {req->peer_is_server, req->asked_ocsp, req->require_ocsp, req->host != NULL};
    const struct tt_bytes host = {(const uint8_t *)req->host, req->host == NULL ? 0 : strlen(req->host)};
    bool ok =
        add_piece(h, (struct tt_bytes){flags, sizeof flags}) && add_piece(h, host) && add_piece(h, req->ocsp);
    for (size_t i = 0; ok && i < req->chain_len; i++)
        ok = add_piece(h, req->chain[i]);
    for (size_t i = 0; ok && i < req->names_len; i++) { /* no certificate begins like these */
        const char *text = req->names[i].text;
        const uint8_t kind = req->names[i].is_uri;
        ok = add_piece(h, (struct tt_bytes){&kind, 1}) &&
             add_piece(h, (struct tt_bytes){(const uint8_t *)text, strlen(text)});
    }
    return ok;
}

tt_rc chain_cache_key(uint8_t ret[CHAIN_KEY_SIZE], const struct crypto_lib *lib,
                      const struct trust_request *req)
{
    EVP_MD_CTX *h = hash_take(lib, HASH_SHA256);
    bool ok = h != NULL && add_request(h, req) && EVP_DigestFinal_ex(h, ret, NULL) == 1;
    hash_give(lib, HASH_SHA256, h);
    return ok ? TT_OK : TT_ERR_MEMORY;
}

static struct entry *find(struct chain_cache *c, const uint8_t key[CHAIN_KEY_SIZE])
{
    struct entry *set = c->entries[key[0] % SETS];
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].verdict.leaf_key != NULL && memcmp(set[i].key, key, CHAIN_KEY_SIZE) == 0)
            return &set[i];
    return NULL;
}

bool chain_cache_get(struct chain_cache *c, struct trust_verdict *ret, const uint8_t key[CHAIN_KEY_SIZE],
                     int64_t now)
{
    lock_take(&c->lock);
    struct entry *e = find(c, key);
    /* The clock may have been set back as well as forward. */
    bool found = e != NULL && now >= e->when.from && now <= e->when.until;
    if (found) {
        e->used = ++c->clock;
        *ret = e->verdict;
        ret->cached = true;
        pubkey_ref(ret->leaf_key);
    }
    lock_give(&c->lock);
    return found;
}

void chain_cache_put(struct chain_cache *c, const uint8_t key[CHAIN_KEY_SIZE],
                     const struct trust_verdict *verdict, struct validity when)
{
    if (when.from > when.until)
        return;
    lock_take(&c->lock);
    struct entry *set = c->entries[key[0] % SETS], *e = find(c, key);
    for (size_t i = 0; e == NULL && i < WAYS; i++)
        if (set[i].verdict.leaf_key == NULL)
            e = &set[i];
    if (e == NULL) {
        e = &set[0];
        for (size_t i = 1; i < WAYS; i++)
            if (set[i].used < e->used)
                e = &set[i];
    }
    pubkey_ref(verdict->leaf_key);
    pubkey_free(e->verdict.leaf_key);
    *e = (struct entry){.when = when, .verdict = *verdict, .used = ++c->clock};
    memcpy(e->key, key, CHAIN_KEY_SIZE);
    lock_give(&c->lock);
}
