/* pki/ek_seen.c: see ek_seen.h. Layer: pki. A table of SETS x WAYS, as in crypto/chain_cache.c: a key's first
 * byte chooses the set, and in it the entry that was put there first makes room. */
#include "pki/ek_seen.h"

#include <string.h>

#include "base/lock.h"
#include "base/mem.h"
#include "pki/cert.h"

#define SETS 64
#define WAYS 4

struct entry {
    uint8_t key[EK_SEEN_KEY];
    int64_t from, until; /* until: no longer then, as libcrypto has it */
    struct ek_facts facts;
    bool is_there;
};

struct ek_seen {
    struct lock lock;
    unsigned next[SETS];
    struct entry entries[SETS][WAYS];
};

struct ek_seen *ek_seen_new(void)
{
    struct ek_seen *s = mem_alloc(sizeof *s);
    if (s != NULL)
        lock_init(&s->lock);
    return s;
}

void ek_seen_free(struct ek_seen *s)
{
    if (s != NULL)
        lock_destroy(&s->lock);
    mem_free(s);
}

/* Each certificate with its length before it, so that no two chains give the same bytes. */
bool ek_seen_key(uint8_t ret[EK_SEEN_KEY], const struct ek_chain *chain)
{
    EVP_MD_CTX *h = EVP_MD_CTX_new();
    bool ok = h != NULL && EVP_DigestInit_ex(h, EVP_sha256(), NULL) == 1;
    for (size_t i = 0; ok && i < chain->len; i++) {
        uint8_t len[8];
        for (size_t k = 0; k < sizeof len; k++)
            len[k] = (uint8_t)((uint64_t)chain->certs[i].len >> (8 * k));
        ok = EVP_DigestUpdate(h, len, sizeof len) == 1 &&
             EVP_DigestUpdate(h, chain->certs[i].data, chain->certs[i].len) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(h, ret, NULL) == 1;
    EVP_MD_CTX_free(h);
    ERR_clear_error();
    return ok;
}

static struct entry *find(struct ek_seen *s, const uint8_t *key)
{
    struct entry *set = s->entries[key[0] % SETS];
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].is_there && memcmp(set[i].key, key, EK_SEEN_KEY) == 0)
            return &set[i];
    return NULL;
}

bool ek_seen_get(struct ek_seen *s, struct ek_facts *ret, const uint8_t key[EK_SEEN_KEY], int64_t now)
{
    lock_take(&s->lock);
    const struct entry *e = find(s, key);
    bool is_good = e != NULL && now >= e->from && now < e->until;
    if (is_good)
        *ret = e->facts;
    lock_give(&s->lock);
    return is_good;
}

static bool limit(struct entry *e, const X509 *x)
{
    int64_t from, until;
    if (cert_time(&from, X509_get0_notBefore(x)) != TT_OK ||
        cert_time(&until, X509_get0_notAfter(x)) != TT_OK)
        return false;
    e->from = from > e->from ? from : e->from;
    e->until = until < e->until ? until : e->until;
    return true;
}

void ek_seen_put(struct ek_seen *s, const uint8_t key[EK_SEEN_KEY], const struct ek_facts *facts,
                 const STACK_OF(X509) * path)
{
    struct entry e = {.from = INT64_MIN, .until = INT64_MAX, .facts = *facts, .is_there = true};
    memcpy(e.key, key, sizeof e.key);
    e.facts.spki = e.facts.public_key = (struct tt_bytes){NULL, 0};
    for (int i = 0; i < sk_X509_num(path); i++)
        if (!limit(&e, sk_X509_value(path, i)))
            return;
    lock_take(&s->lock);
    struct entry *to = find(s, key);
    if (to == NULL)
        to = &s->entries[key[0] % SETS][s->next[key[0] % SETS]++ % WAYS];
    *to = e;
    lock_give(&s->lock);
}
