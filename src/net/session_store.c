/* net/session_store.c: see session_store.h. Layer: net. The files' text is session_entry.c's, the directory
 * session_dir.c's; sessions in memory are in session_memory.c. */
#include "net/session_store.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rc.h"
#include "net/file_write.h"
#include "net/files.h"
#include "net/session_dir.h"
#include "net/session_entry.h"
#include "net/session_memory.h"

struct session_store {
    enum session_mode mode;
    char dir[512];
    struct tt_tpm *tpm;
    struct vault *vault;           /* sealed, held */
    struct session_memory *memory; /* in memory */
};

static const char *const mode_names[] = {"off", "memory", "sealed", "held"};

const char *session_mode_name(enum session_mode mode)
{
    return mode_names[mode];
}

bool session_mode_parse(enum session_mode *ret, const char *name)
{
    for (size_t i = 0; i < TT_COUNT(mode_names); i++)
        if (strcmp(name, mode_names[i]) == 0) {
            *ret = (enum session_mode)i;
            return true;
        }
    return false;
}

tt_rc session_dir_default(char *ret, size_t cap, struct tt_error *err)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n = 0;
    if (state != NULL && state[0] == '/')
        n = snprintf(ret, cap, "%s/tpmtls/sessions", state);
    else if (home != NULL && home[0] == '/')
        n = snprintf(ret, cap, "%s/.local/state/tpmtls/sessions", home);
    if (n > 0 && (size_t)n < cap)
        return TT_OK;
    (void)error_set(err, TT_ERR_USAGE, "cannot tell where sessions are kept: HOME is not set, or too long");
    error_hint(err, "set XDG_STATE_HOME");
    return TT_ERR_USAGE;
}

/* Of the kind in rc.h's TT_AUTO. */
static void dir_close_auto(struct session_dir *d)
{
    session_dir_close(d);
}

/* ---- opening ---- */

static tt_rc path_of(char *ret, size_t cap, const char *dir, const char *name, struct tt_error *err)
{
    int n = snprintf(ret, cap, "%s/%s", dir, name);
    return n > 0 && (size_t)n < cap ? TT_OK : error_set(err, TT_ERR_USAGE, "the name %s is too long", dir);
}

/* The key that the sessions are sealed under: made by the first process that wants one. */
static tt_rc open_vault(struct session_store *s, const struct session_store_options *opt,
                        struct tt_error *err)
{
    char path[600];
    TT_AUTO(dir_close_auto) struct session_dir d = {-1, -1};
    TT_AUTO(mem_free_auto) char *pem = NULL;
    struct tt_error why = {0};
    size_t len = 0;
    TT_TRY(path_of(path, sizeof path, s->dir,
                   s->mode == SESSIONS_HELD ? SESSION_HELD_NAME : SESSION_SEAL_NAME, err));
    TT_TRY(session_dir_open(&d, s->dir, true, err));
    tt_rc rc = file_read_owned_text(&pem, &len, FILE_TRUSTED, path, &why);
    if (rc == TT_ERR_NOT_FOUND) {
        TT_TRY(vault_new(&s->vault, &pem, s->tpm, opt->pcrs, err));
        return file_write(NULL, path, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)},
                          (struct file_want){0600, FILE_NEW}, err);
    }
    if (rc != TT_OK) {
        error_hint(err, "%s", why.hint);
        return error_set(err, rc, "%s", why.text);
    }
    why = (struct tt_error){0};
    rc = vault_open(&s->vault, s->tpm, (struct tt_bytes){(const uint8_t *)pem, len}, &why);
    if (rc == TT_OK)
        return TT_OK;
    (void)error_set(err, rc, "%s", why.text);
    error_hint(err, "sessions of another TPM, or under other PCR values, are lost: `tpmtls session "
                    "clear` begins anew");
    return rc;
}

static tt_rc store_set_up(struct session_store *s, const struct session_store_options *opt,
                          struct tt_error *err)
{
    if (s->mode == SESSIONS_IN_MEMORY)
        return session_memory_new(&s->memory, err);
    if (s->tpm == NULL)
        return error_set(err, TT_ERR_USAGE, "%s sessions need a TPM", session_mode_name(s->mode));
    if (opt->dir != NULL)
        TT_TRY(snprintf(s->dir, sizeof s->dir, "%s", opt->dir) < (int)sizeof s->dir
                   ? TT_OK
                   : error_set(err, TT_ERR_USAGE, "the directory name %s is too long", opt->dir));
    else
        TT_TRY(session_dir_default(s->dir, sizeof s->dir, err));
    return open_vault(s, opt, err);
}

tt_rc session_store_open(struct session_store **ret, const struct session_store_options *opt,
                         struct tt_error *err)
{
    struct session_store *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    s->mode = opt->mode;
    s->tpm = opt->tpm;
    tt_rc rc = store_set_up(s, opt, err);
    if (rc != TT_OK) {
        session_store_free(s);
        return rc;
    }
    *ret = s;
    return TT_OK;
}

void session_store_free(struct session_store *s)
{
    if (s == NULL)
        return;
    vault_free(s->vault);
    session_memory_free(s->memory);
    mem_free(s);
}

void session_taken_free(struct session_taken *t)
{
    tt_session_free(t->session);
    held_free(t->holder);
    *t = (struct session_taken){0};
}

/* ---- names ---- */

/* FNV-1a; only to find files quickly: what is in them is compared whole. */
static uint64_t mix(uint64_t h, const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001b3U;
    return h;
}

static uint64_t peer_hash(const struct session_key *key)
{
    uint64_t h = mix(0xcbf29ce484222325U, key->peer, strlen(key->peer) + 1);
    if (key->server_name != NULL)
        h = mix(h, key->server_name, strlen(key->server_name));
    return mix(h, key->config, sizeof key->config);
}

/* ---- taking ---- */

static tt_rc entry_open(struct session_entry *ret, const char *dir, const struct session_name *n)
{
    char name[SESSION_NAME_MAX], path[600];
    TT_AUTO(mem_free_auto) char *text = NULL;
    size_t len = 0;
    session_name_text(name, n);
    TT_TRY(path_of(path, sizeof path, dir, name, NULL));
    TT_TRY(file_read_owned_text(&text, &len, FILE_TRUSTED, path, NULL));
    return session_entry_read(ret, text, len);
}

static tt_rc entry_session(const struct session_store *s, struct session_taken *ret,
                           const struct session_entry *e, struct tt_error *err)
{
    if (e->mode == SESSIONS_SEALED)
        return session_entry_unseal(&ret->session, e, s->vault, NULL);
    struct held_psk *holder = NULL;
    TT_TRY(held_open(&holder, s->tpm, &e->files, err));
    tt_rc rc = session_entry_unseal(&ret->session, e, s->vault, holder);
    if (rc == TT_OK)
        ret->holder = holder;
    else
        held_free(holder);
    return rc;
}

/* One file: TT_OK: it is *ret's now. It is removed first, so that no crash makes it be used twice. That is
 * not synced, which would hold up the handshake: a power cut in this moment can bring it back, which harms
 * nobody. */
static tt_rc take_one(const struct session_store *s, struct session_dir *d, const struct session_name *n,
                      const struct session_key *key, bool early, struct session_taken *ret,
                      struct tt_error *err)
{
    struct session_entry e;
    tt_rc rc = entry_open(&e, s->dir, n);
    if (rc == TT_ERR_DECODE)
        (void)session_dir_remove(d, n); /* nobody can use it */
    TT_TRY(rc);
    bool wanted = e.mode == s->mode && session_entry_is_for(&e, key) && (!early || e.early);
    rc = TT_ERR_NOT_FOUND;
    if (wanted && session_dir_remove(d, n))
        rc = entry_session(s, ret, &e, err);
    session_entry_free(&e);
    return rc;
}

static tt_rc take_from(const struct session_store *s, struct session_dir *d, const struct session_key *key,
                       bool early, int64_t now_ms, struct session_taken *ret, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) struct session_name *names = NULL;
    size_t n = 0;
    uint64_t peer = peer_hash(key);
    TT_TRY(session_dir_scan(d, &names, &n, err));
    for (size_t i = 0; i < n && ret->session == NULL; i++) {
        struct tt_error why = {0};
        if (names[i].peer != peer)
            continue;
        if (names[i].expires_ms <= now_ms)
            (void)session_dir_remove(d, &names[i]);
        else if (take_one(s, d, &names[i], key, early, ret, &why) == TT_ERR_MEMORY)
            return error_set(err, TT_ERR_MEMORY, "out of memory");
    }
    return TT_OK;
}

tt_rc session_store_take(struct session_store *s, struct session_taken *ret, const struct session_key *key,
                         bool early, int64_t now_ms, struct tt_error *err)
{
    struct session_taken taken = {0};
    TT_AUTO(dir_close_auto) struct session_dir d = {-1, -1};
    if (s->mode == SESSIONS_IN_MEMORY) {
        *ret = (struct session_taken){.session = session_memory_take(s->memory, key, early, now_ms)};
        return TT_OK;
    }
    tt_rc rc = session_dir_open(&d, s->dir, false, err);
    if (rc == TT_OK && early)
        rc = take_from(s, &d, key, true, now_ms, &taken, err);
    if (rc == TT_OK && taken.session == NULL)
        rc = take_from(s, &d, key, false, now_ms, &taken, err);
    if (rc == TT_OK || rc == TT_ERR_NOT_FOUND)
        *ret = taken;
    return rc == TT_ERR_NOT_FOUND ? TT_OK : rc;
}

/* ---- putting ---- */

static tt_rc entry_fill(struct session_store *s, struct session_entry *e, const struct session_key *key,
                        const struct tt_session *session, struct tt_error *err)
{
    struct tt_session *held = NULL;
    TT_TRY(session_entry_describe(e, key, session));
    e->mode = s->mode;
    if (s->mode == SESSIONS_SEALED)
        return session_entry_seal(e, s->vault, session);
    e->early = false; /* there is none with a held PSK */
    TT_TRY(held_provision(&held, &e->files, s->tpm, session, e->peer, err));
    tt_rc rc = session_entry_seal(e, s->vault, held);
    tt_session_free(held);
    return rc;
}

static tt_rc entry_save(struct session_store *s, const struct session_entry *e, uint64_t peer, int64_t now_ms,
                        struct tt_error *err)
{
    char name[SESSION_NAME_MAX], path[600];
    TT_AUTO(dir_close_auto) struct session_dir d = {-1, -1};
    TT_AUTO(mem_free_auto) char *text = session_entry_write(e);
    struct session_name n = {.peer = peer, .received_ms = e->received_ms, .expires_ms = e->expires_ms};
    if (text == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    n.random = mix(0xcbf29ce484222325U, e->secret, e->secret_len);
    session_name_text(name, &n);
    TT_TRY(path_of(path, sizeof path, s->dir, name, err));
    TT_TRY(session_dir_open(&d, s->dir, true, err));
    TT_TRY(session_dir_make_room(&d, peer, now_ms, err));
    return file_write(NULL, path, (struct tt_bytes){(const uint8_t *)text, strlen(text)},
                      (struct file_want){0600, FILE_OURS}, err);
}

tt_rc session_store_put(struct session_store *s, const struct session_key *key,
                        const struct tt_session *session, int64_t now_ms, struct tt_error *err)
{
    if (s->mode == SESSIONS_IN_MEMORY)
        return session_memory_put(s->memory, key, session, now_ms, err);
    struct session_entry e = {0};
    tt_rc rc = entry_fill(s, &e, key, session, err);
    if (rc == TT_OK)
        rc = entry_save(s, &e, peer_hash(key), now_ms, err);
    else
        (void)error_set(err, rc, "cannot keep the session");
    session_entry_free(&e);
    return rc;
}

/* ---- the files alone ---- */

/* A directory that is not there has nothing in it, and stays unopened. */
static tt_rc open_and_scan(struct session_dir *ret, struct session_name **ret_names, size_t *ret_n,
                           const char *dir, struct tt_error *err)
{
    tt_rc rc = session_dir_open(ret, dir, false, err);
    if (rc == TT_ERR_NOT_FOUND) {
        *err = (struct tt_error){0};
        return TT_OK;
    }
    TT_TRY(rc);
    return session_dir_scan(ret, ret_names, ret_n, err);
}

tt_rc session_dir_list(const char *dir, int64_t now_ms, void (*fn)(void *arg, const struct session_listed *x),
                       void *arg, struct tt_error *err)
{
    TT_AUTO(dir_close_auto) struct session_dir d = {-1, -1};
    TT_AUTO(mem_free_auto) struct session_name *names = NULL;
    size_t n = 0;
    TT_TRY(open_and_scan(&d, &names, &n, dir, err));
    for (size_t i = 0; i < n; i++) {
        struct session_entry e;
        if (names[i].expires_ms <= now_ms) {
            (void)session_dir_remove(&d, &names[i]);
            continue;
        }
        if (entry_open(&e, dir, &names[i]) != TT_OK)
            continue;
        const struct session_listed x = {.mode = e.mode,
                                         .peer = e.peer,
                                         .server_name = e.server_name,
                                         .suite = e.suite,
                                         .received_ms = e.received_ms,
                                         .expires_ms = e.expires_ms,
                                         .size = e.secret_len};
        fn(arg, &x);
        session_entry_free(&e);
    }
    return TT_OK;
}

static bool belongs_to(const char *dir, const struct session_name *n, const char *peer)
{
    struct session_entry e;
    if (peer == NULL)
        return true;
    if (entry_open(&e, dir, n) != TT_OK)
        return false;
    bool same = strcmp(e.peer, peer) == 0;
    session_entry_free(&e);
    return same;
}

tt_rc session_dir_clear(const char *dir, const char *peer, size_t *ret_n, struct tt_error *err)
{
    TT_AUTO(dir_close_auto) struct session_dir d = {-1, -1};
    TT_AUTO(mem_free_auto) struct session_name *names = NULL;
    size_t n = 0;
    *ret_n = 0;
    TT_TRY(open_and_scan(&d, &names, &n, dir, err));
    if (d.fd < 0)
        return TT_OK;
    for (size_t i = 0; i < n; i++)
        *ret_n += belongs_to(dir, &names[i], peer) && session_dir_remove(&d, &names[i]);
    if (peer == NULL) {
        (void)unlinkat(d.fd, SESSION_SEAL_NAME, 0);
        (void)unlinkat(d.fd, SESSION_HELD_NAME, 0);
    }
    session_dir_sync(&d);
    return TT_OK;
}
