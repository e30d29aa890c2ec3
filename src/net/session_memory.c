/* net/session_memory.c: see session_memory.h. Layer: net. The newest is at the end. */
#include "net/session_memory.h"

#include <string.h>

struct kept {
    char *peer, *server_name;
    uint8_t config[32];
    struct tt_session *session;
    int64_t expires_ms;
    bool early;
};

struct session_memory {
    struct kept kept[SESSIONS_MAX];
    size_t n;
};

tt_rc session_memory_new(struct session_memory **ret, struct tt_error *err)
{
    *ret = mem_alloc(sizeof **ret);
    return *ret != NULL ? TT_OK : error_set(err, TT_ERR_MEMORY, "out of memory");
}

static void kept_free(struct kept *k)
{
    mem_free(k->peer);
    mem_free(k->server_name);
    tt_session_free(k->session);
}

void session_memory_free(struct session_memory *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->n; i++)
        kept_free(&m->kept[i]);
    mem_free(m);
}

static void close_gap(struct session_memory *m, size_t i)
{
    m->n--;
    memmove(&m->kept[i], &m->kept[i + 1], (m->n - i) * sizeof m->kept[0]);
}

static void forget(struct session_memory *m, size_t i)
{
    kept_free(&m->kept[i]);
    close_gap(m, i);
}

static bool is_for(const struct kept *k, const struct session_key *key)
{
    return strcmp(k->peer, key->peer) == 0 &&
           strcmp(k->server_name, key->server_name != NULL ? key->server_name : "") == 0 &&
           memcmp(k->config, key->config, sizeof k->config) == 0;
}

/* Expired ones go whenever one looks. */
static void tidy(struct session_memory *m, int64_t now_ms)
{
    for (size_t i = m->n; i-- > 0;)
        if (m->kept[i].expires_ms <= now_ms)
            forget(m, i);
}

struct tt_session *session_memory_take(struct session_memory *m, const struct session_key *key, bool early,
                                       int64_t now_ms)
{
    tidy(m, now_ms);
    size_t found = m->n;
    for (size_t i = m->n; i-- > 0;) {
        if (!is_for(&m->kept[i], key) || (found < m->n && !m->kept[i].early))
            continue;
        found = i;
        if (!early || m->kept[i].early)
            break;
    }
    if (found == m->n)
        return NULL;
    struct tt_session *s = TT_TAKE(m->kept[found].session);
    forget(m, found);
    return s;
}

tt_rc session_memory_put(struct session_memory *m, const struct session_key *key,
                         const struct tt_session *session, int64_t now_ms, struct tt_error *err)
{
    struct tt_session_info info;
    size_t of_peer = 0;
    uint8_t *bytes = NULL;
    size_t len = 0;
    tt_session_info(session, &info);
    tidy(m, now_ms);
    for (size_t i = m->n; i-- > 0;)
        if (is_for(&m->kept[i], key) && ++of_peer >= SESSIONS_PER_PEER)
            forget(m, i);
    if (m->n == SESSIONS_MAX)
        forget(m, 0);
    struct kept k = {.peer = mem_strdup(key->peer),
                     .server_name = mem_strdup(key->server_name != NULL ? key->server_name : ""),
                     .expires_ms = info.received_ms + (int64_t)info.lifetime * 1000,
                     .early = info.max_early_data > 0};
    memcpy(k.config, key->config, sizeof k.config);
    tt_rc rc = tt_session_export(session, &bytes, &len);
    if (rc == TT_OK)
        rc = tt_session_import(&k.session, (struct tt_bytes){bytes, len});
    mem_free(bytes);
    if (rc != TT_OK || k.peer == NULL || k.server_name == NULL) {
        kept_free(&k);
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    }
    m->kept[m->n++] = k;
    return TT_OK;
}
