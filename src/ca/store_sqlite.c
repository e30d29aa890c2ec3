/* ca/store_sqlite.c: a store in one SQLite file: write-ahead log, synchronous=FULL, any number of processes.
 * Layer: ca. What SQLite tells is turned into a sentence here, and nowhere else. */
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ca/store_kind.h"

#define BUSY_MILLISECONDS 10000
#define APPLICATION_ID    0x74706d43 /* "tpmC" */
#define STATEMENTS_MAX    96
#define COPIES_MAX        100

struct sqlite_store {
    struct store store; /* first */
    sqlite3 *db;
    char path[PATH_MAX];
    struct {
        const char *sql;
        sqlite3_stmt *s;
    } kept[STATEMENTS_MAX];
    size_t kept_len;
};

static struct sqlite_store *mine(struct store *s)
{
    return (struct sqlite_store *)s;
}

/* ---- failures ---- */

static const struct {
    int code;
    tt_rc rc;
    const char *hint;
} reasons[] = {
    {SQLITE_BUSY, TT_ERR_BUSY, "another process holds it; try again when it is done"},
    {SQLITE_LOCKED, TT_ERR_BUSY, "another process holds it; try again when it is done"},
    {SQLITE_NOMEM, TT_ERR_MEMORY, NULL},
    {SQLITE_CONSTRAINT, TT_ERR_DECODE, NULL}, /* by what was to be written */
    {SQLITE_TOOBIG, TT_ERR_DECODE, NULL},
    {SQLITE_NOTADB, TT_ERR_DECODE, "restore it from a backup; the other files of the CA are not affected"},
    {SQLITE_CORRUPT, TT_ERR_DECODE, "restore it from a backup; the other files of the CA are not affected"},
    {SQLITE_READONLY, TT_ERR_IO, "the directory, the file and its -wal and -shm must be writable for you"},
    {SQLITE_CANTOPEN, TT_ERR_IO, "the directory, the file and its -wal and -shm must be writable for you"},
    {SQLITE_PERM, TT_ERR_IO, "the directory, the file and its -wal and -shm must be writable for you"},
    {SQLITE_FULL, TT_ERR_IO, "make room on that disk; nothing was issued, and what was stands in the store"},
    {SQLITE_IOERR, TT_ERR_IO,
     "the disk is full, over its quota, or failing; nothing was issued, and what was stands in the store"},
};

static tt_rc failed(struct sqlite_store *s, const char *doing, struct tt_error *err)
{
    int why = s->db == NULL ? SQLITE_NOMEM : sqlite3_errcode(s->db) & 0xff;
    tt_rc rc = TT_ERR_IO;
    const char *hint = NULL;
    for (size_t i = 0; i < TT_COUNT(reasons); i++)
        if (reasons[i].code == why) {
            rc = reasons[i].rc;
            hint = reasons[i].hint;
        }
    (void)error_set(err, rc, "cannot %s the CA's store %.120s: %s", doing, s->path,
                    s->db == NULL ? "out of memory" : sqlite3_errmsg(s->db));
    if (hint != NULL)
        error_hint(err, "%s", hint);
    return rc;
}

/* ---- statements ---- */

/* The placeholders must be numbered by SQLite as they are called, or arguments would go astray. */
static bool numbered(sqlite3_stmt *s)
{
    for (int i = 1; i <= sqlite3_bind_parameter_count(s); i++) {
        char name[16];
        const char *has = sqlite3_bind_parameter_name(s, i);
        (void)snprintf(name, sizeof name, "$%d", i);
        if (has == NULL || strcmp(name, has) != 0)
            return false;
    }
    return true;
}

static tt_rc prepare(sqlite3_stmt **ret, struct sqlite_store *s, const char *sql, struct tt_error *err)
{
    for (size_t i = 0; i < s->kept_len; i++)
        if (s->kept[i].sql == sql) {
            *ret = s->kept[i].s;
            return TT_OK;
        }
    sqlite3_stmt *made = NULL;
    if (s->kept_len == STATEMENTS_MAX)
        return error_set(err, TT_ERR_INTERNAL, "more than %d statements", STATEMENTS_MAX);
    if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &made, NULL) != SQLITE_OK)
        return failed(s, "ask", err);
    if (!numbered(made)) {
        (void)sqlite3_finalize(made);
        return error_set(err, TT_ERR_INTERNAL, "the placeholders do not ascend: %.200s", sql);
    }
    s->kept[s->kept_len].sql = sql;
    s->kept[s->kept_len++].s = made;
    *ret = made;
    return TT_OK;
}

static int bind(sqlite3_stmt *s, int at, const struct store_value *v)
{
    switch (v->type) {
    case STORE_INT:
        return sqlite3_bind_int64(s, at, v->number);
    case STORE_TEXT:
        return sqlite3_bind_text64(s, at, (const char *)v->bytes.data, v->bytes.len, SQLITE_STATIC,
                                   SQLITE_UTF8);
    case STORE_BLOB:
        return sqlite3_bind_blob64(s, at, v->bytes.data, v->bytes.len, SQLITE_STATIC);
    case STORE_NULL:
        break;
    }
    return sqlite3_bind_null(s, at);
}

static int64_t column_number(void *of, int column)
{
    return sqlite3_column_int64(of, column);
}

static struct tt_bytes column_bytes(void *of, int column)
{
    bool blob = sqlite3_column_type(of, column) == SQLITE_BLOB;
    const uint8_t *data = blob ? sqlite3_column_blob(of, column) : sqlite3_column_text(of, column);
    return (struct tt_bytes){data, (size_t)sqlite3_column_bytes(of, column)};
}

static tt_rc rows(struct sqlite_store *s, sqlite3_stmt *st, const struct statement *what, int64_t *ret_rows,
                  struct tt_error *err)
{
    const struct store_row row = {.of = st, .number = column_number, .bytes = column_bytes};
    int64_t n = 0;
    int got;
    while ((got = sqlite3_step(st)) == SQLITE_ROW) {
        n++;
        if (what->fn != NULL)
            TT_TRY(what->fn(what->arg, &row));
    }
    if (got != SQLITE_DONE)
        return failed(s, sqlite3_stmt_readonly(st) != 0 ? "read" : "write to", err);
    if (ret_rows != NULL)
        *ret_rows = sqlite3_stmt_readonly(st) != 0 ? n : sqlite3_changes(s->db);
    return TT_OK;
}

static tt_rc sqlite_run(struct store *store, const struct statement *what, int64_t *ret_rows,
                        struct tt_error *err)
{
    struct sqlite_store *s = mine(store);
    sqlite3_stmt *st = NULL;
    TT_TRY(prepare(&st, s, what->sql, err));
    for (size_t i = 0; i < what->n; i++)
        if (bind(st, (int)i + 1, &what->args[i]) != SQLITE_OK)
            return failed(s, "ask", err);
    tt_rc rc = rows(s, st, what, ret_rows, err);
    (void)sqlite3_reset(st);
    (void)sqlite3_clear_bindings(st);
    return rc;
}

static tt_rc exec(struct sqlite_store *s, const char *sql, const char *doing, struct tt_error *err)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? TT_OK : failed(s, doing, err);
}

/* ---- transactions ---- */

static tt_rc sqlite_begin(struct store *s, enum store_lock lock, struct tt_error *err)
{
    return lock == STORE_LOCK_READ ? exec(mine(s), "BEGIN", "read", err)
                                   : exec(mine(s), "BEGIN IMMEDIATE", "write to", err);
}

/* SQLite ends some transactions by itself, when the disk is full for one. */
static void sqlite_rollback(struct store *s)
{
    if (sqlite3_get_autocommit(mine(s)->db) == 0)
        (void)sqlite3_exec(mine(s)->db, "ROLLBACK", NULL, NULL, NULL);
}

static tt_rc sqlite_commit(struct store *s, struct tt_error *err)
{
    if (sqlite3_get_autocommit(mine(s)->db) != 0)
        return error_set(err, TT_ERR_IO, "the CA's store ended the transaction by itself");
    tt_rc rc = exec(mine(s), "COMMIT", "write to", err);
    if (rc != TT_OK)
        sqlite_rollback(s);
    return rc;
}

/* ---- versions ---- */

static tt_rc pragma_get(int *ret, struct sqlite_store *s, const char *sql, struct tt_error *err)
{
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW;
    if (ok)
        *ret = sqlite3_column_int(st, 0);
    tt_rc rc = ok ? TT_OK : failed(s, "read", err);
    (void)sqlite3_finalize(st);
    return rc;
}

static tt_rc sqlite_version(struct store *store, int *ret, struct tt_error *err)
{
    struct sqlite_store *s = mine(store);
    int id = 0, version = 0, tables = 0;
    TT_TRY(pragma_get(&id, s, "PRAGMA application_id", err));
    TT_TRY(pragma_get(&version, s, "PRAGMA user_version", err));
    TT_TRY(pragma_get(&tables, s, "SELECT count(*) FROM sqlite_master", err));
    if (id != APPLICATION_ID && (id != 0 || version != 0 || tables != 0))
        return error_set(err, TT_ERR_DECODE, "%.200s is an SQLite file, but not the store of a CA of tpmtls",
                         s->path);
    *ret = id == 0 ? 0 : version;
    return TT_OK;
}

static tt_rc sqlite_set_version(struct store *s, int version, struct tt_error *err)
{
    char sql[96];
    (void)snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID,
                   version);
    return exec(mine(s), sql, "make", err);
}

static tt_rc sqlite_script(struct store *s, const char *sql, struct tt_error *err)
{
    return exec(mine(s), sql, "make", err);
}

/* A copy beside it, ca.db.v1, or ca.db.v1.2 where that is taken. It gets its name when it is whole. */
static tt_rc sqlite_keep(struct store *store, int version, struct tt_error *err)
{
    struct sqlite_store *s = mine(store);
    char part[PATH_MAX + 32], name[PATH_MAX + 32];
    (void)snprintf(part, sizeof part, "%s.part-%ld", s->path, (long)getpid());
    (void)unlink(part);
    char *sql = sqlite3_mprintf("VACUUM INTO %Q", part);
    tt_rc rc = sql == NULL ? failed(s, "copy", err) : exec(s, sql, "copy", err);
    sqlite3_free(sql);
    bool named = false;
    for (int i = 1; rc == TT_OK && !named && i <= COPIES_MAX; i++) {
        if (i == 1)
            (void)snprintf(name, sizeof name, "%s.v%d", s->path, version);
        else
            (void)snprintf(name, sizeof name, "%s.v%d.%d", s->path, version, i);
        named = link(part, name) == 0;
    }
    (void)unlink(part);
    if (rc == TT_OK && !named)
        return error_set(err, TT_ERR_IO,
                         "cannot keep a copy of the CA's store beside %.120s, and so it is not migrated",
                         s->path);
    return rc;
}

/* ---- open ---- */

static void sqlite_close(struct store *store)
{
    struct sqlite_store *s = mine(store);
    for (size_t i = 0; i < s->kept_len; i++)
        (void)sqlite3_finalize(s->kept[i].s);
    (void)sqlite3_close(s->db);
    mem_free(s);
}

static const struct store_kind sqlite_kind = {
    .dialect = "sqlite",
    .close = sqlite_close,
    .run = sqlite_run,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .script = sqlite_script,
    .version = sqlite_version,
    .set_version = sqlite_set_version,
    .keep = sqlite_keep,
};

/* While another one turns the file to its write-ahead log SQLite does not wait, but says that it is busy. */
static tt_rc write_ahead(struct sqlite_store *s, struct tt_error *err)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    struct tt_error why = {0};
    tt_rc rc = exec(s, "PRAGMA journal_mode = WAL", "open", &why);
    for (int waited = 0; rc == TT_ERR_BUSY && waited < BUSY_MILLISECONDS; waited += 20) {
        (void)nanosleep(&pause, NULL);
        why = (struct tt_error){0};
        rc = exec(s, "PRAGMA journal_mode = WAL", "open", &why);
    }
    if (rc != TT_OK) {
        error_hint(err, "%s", why.hint);
        return error_set(err, rc, "%s", why.text);
    }
    return TT_OK;
}

/* A handle comes back also when opening fails, and holds the reason. */
static tt_rc open_file(struct sqlite_store *s, bool create, struct tt_error *err)
{
    /* SQLite would make it as the umask says: it has requests, evidence, and the hashes of tokens. */
    int fd = create ? open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0)
        (void)close(fd);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
    if (sqlite3_open_v2(s->path, &s->db, flags, NULL) != SQLITE_OK)
        return failed(s, "open", err);
    (void)sqlite3_extended_result_codes(s->db, 1);
    (void)sqlite3_busy_timeout(s->db, BUSY_MILLISECONDS);
    TT_TRY(exec(s, "PRAGMA trusted_schema = OFF; PRAGMA synchronous = FULL", "open", err));
    /* Only what is a store, or is to become one, is changed. */
    int version = 0;
    TT_TRY(sqlite_version(&s->store, &version, err));
    if (version == 0 && !create)
        return TT_OK;
    return write_ahead(s, err);
}

tt_rc store_sqlite_open(struct store **ret, const char *path, bool create, struct tt_error *err)
{
    TT_AUTO(store_close_auto) struct store *store = NULL;
    if (strlen(path) >= PATH_MAX)
        return error_set(err, TT_ERR_USAGE, "the store's name is too long: %.100s...", path);
    if (create && access(path, F_OK) == 0) {
        (void)error_set(err, TT_ERR_EXISTS, "%.200s is already there", path);
        error_hint(err, "a store is never overwritten");
        return TT_ERR_EXISTS;
    }
    struct sqlite_store *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    s->store.kind = &sqlite_kind;
    store = &s->store;
    (void)snprintf(s->path, sizeof s->path, "%s", path);
    TT_TRY(open_file(s, create, err));
    *ret = TT_TAKE(store);
    return TT_OK;
}
