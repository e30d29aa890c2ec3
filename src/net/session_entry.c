/* net/session_entry.c: see session_entry.h. Layer: net. */
#include "net/session_entry.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

#define ENTRY_FORMAT 2
#define TEXT_MAX     512 /* of peer, name and suite together */

void session_entry_free(struct session_entry *e)
{
    if (e == NULL)
        return;
    mem_free(e->peer);
    mem_free(e->server_name);
    mem_free(e->suite);
    mem_free(e->secret);
    held_files_free(&e->files);
    *e = (struct session_entry){0};
}
TT_DEFINE_AUTO(struct session_entry, session_entry_free)

tt_rc session_entry_describe(struct session_entry *ret, const struct session_key *key,
                             const struct tt_session *s)
{
    struct tt_session_info info;
    tt_session_info(s, &info);
    *ret = (struct session_entry){.peer = mem_strdup(key->peer),
                                  .server_name = mem_strdup(key->server_name != NULL ? key->server_name : ""),
                                  .suite = mem_strdup(tt_suite_name(info.suite)),
                                  .received_ms = info.received_ms,
                                  .expires_ms = info.received_ms + (int64_t)info.lifetime * 1000,
                                  .early = info.max_early_data > 0};
    memcpy(ret->config, key->config, sizeof ret->config);
    return ret->peer != NULL && ret->server_name != NULL && ret->suite != NULL ? TT_OK : TT_ERR_MEMORY;
}

/* ---- hexadecimal ---- */

static char *hex_of(const uint8_t *data, size_t len)
{
    char *text = mem_alloc(2 * len + 1);
    for (size_t i = 0; text != NULL && i < len; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", data[i]);
    return text;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_read(uint8_t *ret, size_t len, const char *text)
{
    for (size_t i = 0; i < len; i++) {
        int high = digit_of(text[2 * i]), low = high < 0 ? -1 : digit_of(text[2 * i + 1]);
        if (low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return text[2 * len] == '\0';
}

/* ---- sealing ---- */

/* All that decides to whom a session is given, and for how long, and by which keys. */
static tt_rc aad_put(struct buf *to, const struct session_entry *e)
{
    char numbers[80];
    (void)snprintf(numbers, sizeof numbers, "%d %" PRId64 " %" PRId64, e->early, e->received_ms,
                   e->expires_ms);
    const char *const lines[] = {"tpmtls session",
                                 session_mode_name(e->mode),
                                 e->peer,
                                 e->server_name,
                                 e->suite,
                                 numbers,
                                 e->files.k1 != NULL ? e->files.k1 : "",
                                 e->files.k2 != NULL ? e->files.k2 : ""};
    for (size_t i = 0; i < TT_COUNT(lines); i++) /* with its NUL, which ends it */
        TT_TRY(buf_append(to, lines[i], strlen(lines[i]) + 1));
    return buf_append(to, e->config, sizeof e->config);
}

static tt_rc take_bytes(struct session_entry *e, struct buf *from)
{
    e->secret_len = buf_size(from);
    e->secret = mem_dup(buf_front(from), buf_size(from));
    buf_free(from);
    return e->secret != NULL ? TT_OK : TT_ERR_MEMORY;
}

tt_rc session_entry_seal(struct session_entry *e, const struct vault *v, const struct tt_session *s)
{
    TT_AUTO(mem_free_auto) uint8_t *plain = NULL;
    TT_AUTO(buf_free) struct buf aad = {0};
    struct buf box = {0};
    size_t len = 0;
    TT_TRY(aad_put(&aad, e));
    TT_TRY(tt_session_export(s, &plain, &len));
    tt_rc rc = vault_seal(v, buf_bytes(&aad), (struct tt_bytes){plain, len}, &box);
    if (rc == TT_OK)
        rc = take_bytes(e, &box);
    buf_free(&box);
    return rc;
}

tt_rc session_entry_unseal(struct tt_session **ret, const struct session_entry *e, const struct vault *v,
                           struct held_psk *holder)
{
    TT_AUTO(buf_free) struct buf aad = {0};
    TT_AUTO(buf_free) struct buf plain = {0};
    TT_TRY(aad_put(&aad, e));
    TT_TRY(vault_unseal(v, buf_bytes(&aad), (struct tt_bytes){e->secret, e->secret_len}, &plain));
    return holder != NULL ? tt_session_import_held(ret, buf_bytes(&plain), holder)
                          : tt_session_import(ret, buf_bytes(&plain));
}

/* ---- text ---- */

char *session_entry_write(const struct session_entry *e)
{
    TT_AUTO(mem_free_auto) char *config = hex_of(e->config, sizeof e->config);
    TT_AUTO(mem_free_auto) char *secret = hex_of(e->secret, e->secret_len);
    if (config == NULL || secret == NULL)
        return NULL;
    json_t *json =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:b, s:s}", "tpmtls_session", ENTRY_FORMAT,
                  "mode", session_mode_name(e->mode), "peer", e->peer, "server_name", e->server_name, "suite",
                  e->suite, "config", config, "received_ms", (json_int_t)e->received_ms, "expires_ms",
                  (json_int_t)e->expires_ms, "early_data", e->early, "session", secret);
    if (json != NULL && e->mode == SESSIONS_HELD)
        (void)json_object_set_new(json, "keys", json_pack("[s, s]", e->files.k1, e->files.k2));
    size_t len = json_dumpb(json, NULL, 0, JSON_INDENT(2));
    char *text = len > 0 ? mem_alloc(len + 1) : NULL;
    if (text != NULL)
        (void)json_dumpb(json, text, len, JSON_INDENT(2));
    json_decref(json);
    return text;
}

/* struct entry_views: what json_unpack gives; they end with the JSON. */
struct entry_views {
    const char *mode, *peer, *server_name, *suite, *config, *secret;
};

static tt_rc entry_take(struct session_entry *e, const struct entry_views *v)
{
    size_t len = strlen(v->secret) / 2;
    if (!session_mode_parse(&e->mode, v->mode) || e->mode < SESSIONS_SEALED ||
        strlen(v->config) != 2 * sizeof e->config || !hex_read(e->config, sizeof e->config, v->config) ||
        len == 0 || strlen(v->peer) + strlen(v->server_name) + strlen(v->suite) > TEXT_MAX)
        return TT_ERR_DECODE;
    e->peer = mem_strdup(v->peer);
    e->server_name = mem_strdup(v->server_name);
    e->suite = mem_strdup(v->suite);
    e->secret = mem_alloc(len);
    e->secret_len = len;
    if (e->peer == NULL || e->server_name == NULL || e->suite == NULL || e->secret == NULL)
        return TT_ERR_MEMORY;
    return hex_read(e->secret, len, v->secret) ? TT_OK : TT_ERR_DECODE;
}

static tt_rc files_take(struct session_entry *e, json_t *json)
{
    const char *k1 = NULL, *k2 = NULL;
    if (e->mode != SESSIONS_HELD)
        return TT_OK;
    if (json_unpack(json, "{s:[s, s!]}", "keys", &k1, &k2) != 0)
        return TT_ERR_DECODE;
    e->files.k1 = mem_strdup(k1);
    e->files.k2 = mem_strdup(k2);
    return e->files.k1 != NULL && e->files.k2 != NULL ? TT_OK : TT_ERR_MEMORY;
}

tt_rc session_entry_read(struct session_entry *ret, const char *text, size_t len)
{
    TT_AUTO(session_entry_free_auto) struct session_entry *e = ret;
    struct entry_views v;
    json_int_t received = 0, expires = 0;
    int format = 0, early = 0;
    *ret = (struct session_entry){0};
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    tt_rc rc = json_unpack(json, "{s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:b, s:s}", "tpmtls_session",
                           &format, "mode", &v.mode, "peer", &v.peer, "server_name", &v.server_name, "suite",
                           &v.suite, "config", &v.config, "received_ms", &received, "expires_ms", &expires,
                           "early_data", &early, "session", &v.secret) == 0 &&
                       format == ENTRY_FORMAT
                   ? entry_take(ret, &v)
                   : TT_ERR_DECODE;
    if (rc == TT_OK)
        rc = files_take(ret, json);
    json_decref(json);
    TT_TRY(rc);
    ret->received_ms = received;
    ret->expires_ms = expires;
    ret->early = early != 0;
    (void)TT_TAKE(e);
    return TT_OK;
}

bool session_entry_is_for(const struct session_entry *e, const struct session_key *key)
{
    return strcmp(e->peer, key->peer) == 0 &&
           strcmp(e->server_name, key->server_name != NULL ? key->server_name : "") == 0 &&
           memcmp(e->config, key->config, sizeof e->config) == 0;
}
