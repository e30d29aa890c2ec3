/* pki/ca_store.c: the CA's store. Layer: pki. Knows SQL and nothing of X.509. */
#include "pki/ca_store.h"

#include <string.h>

#define BUSY_MILLISECONDS 10000
#define APPLICATION_ID    0x74706d43 /* "tpmC" */
#define SCHEMA_VERSION    1

static const char schema[] = "BEGIN;"
                             "CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);"
                             "CREATE TABLE certificate ("
                             "  serial TEXT PRIMARY KEY," /* lower-case hexadecimal */
                             "  subject TEXT NOT NULL,"
                             "  not_before INTEGER NOT NULL," /* seconds since 1970 */
                             "  not_after INTEGER NOT NULL,"
                             "  sha256 TEXT NOT NULL UNIQUE,"
                             "  status TEXT NOT NULL CHECK (status IN ('valid', 'revoked')),"
                             "  der BLOB NOT NULL);"
                             "PRAGMA application_id = 0x74706d43;"
                             "PRAGMA user_version = 1;"
                             "COMMIT;";

static tt_rc store_fail(sqlite3 *db, const char *doing, struct tt_error *err)
{
    int why = db == NULL ? SQLITE_NOMEM : sqlite3_errcode(db) & 0xff;
    tt_rc rc = why == SQLITE_BUSY || why == SQLITE_LOCKED      ? TT_ERR_BUSY
               : why == SQLITE_NOMEM                           ? TT_ERR_MEMORY
               : why == SQLITE_NOTADB || why == SQLITE_CORRUPT ? TT_ERR_DECODE
                                                               : TT_ERR_IO;
    (void)error_set(err, rc, "cannot %s the CA's store (ca.db): %s", doing,
                    db == NULL ? "out of memory" : sqlite3_errmsg(db));
    if (rc == TT_ERR_BUSY)
        error_hint(err, "another process holds it; try again when it is done");
    else if (why == SQLITE_READONLY || why == SQLITE_CANTOPEN)
        error_hint(err, "the directory and ca.db must be writable for you");
    else if (rc == TT_ERR_DECODE)
        error_hint(err, "restore ca.db from a backup; the other files of the CA are not affected");
    return rc;
}

void ca_store_close(sqlite3 *db)
{
    (void)sqlite3_close(db);
}

/* A handle comes back also when opening fails, and holds the reason. */
static tt_rc db_open(sqlite3 **ret, const char *path, int flags, struct tt_error *err)
{
    TT_AUTO(ca_store_close_auto) sqlite3 *db = NULL;
    if (sqlite3_open_v2(path, &db, flags, NULL) != SQLITE_OK)
        return store_fail(db, "open", err);
    (void)sqlite3_extended_result_codes(db, 1);
    if (sqlite3_busy_timeout(db, BUSY_MILLISECONDS) != SQLITE_OK ||
        sqlite3_exec(db, "PRAGMA trusted_schema = OFF; PRAGMA synchronous = FULL;", NULL, NULL, NULL) !=
            SQLITE_OK)
        return store_fail(db, "open", err);
    *ret = TT_TAKE(db);
    return TT_OK;
}

/* ---- statements ---- */

static void statement_auto(sqlite3_stmt **s)
{
    (void)sqlite3_finalize(*s);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s = NULL;
    return sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK ? s : NULL;
}

static bool bind_text(sqlite3_stmt *s, int at, const char *text)
{
    return (text == NULL ? sqlite3_bind_null(s, at) : sqlite3_bind_text(s, at, text, -1, SQLITE_TRANSIENT)) ==
           SQLITE_OK;
}

/* ---- create, open ---- */

tt_rc ca_store_create(const char *path, const char *key, struct tt_error *err)
{
    TT_AUTO(ca_store_close_auto) sqlite3 *db = NULL;
    TT_TRY(db_open(&db, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err));
    if (sqlite3_exec(db, schema, NULL, NULL, NULL) != SQLITE_OK)
        return store_fail(db, "make", err);
    TT_AUTO(statement_auto)
    sqlite3_stmt *s = prepare(db, "INSERT INTO setting (name, value) VALUES ('key', ?1)");
    if (s == NULL || !bind_text(s, 1, key) || sqlite3_step(s) != SQLITE_DONE)
        return store_fail(db, "make", err);
    return TT_OK;
}

static tt_rc pragma_get(int *ret, sqlite3 *db, const char *sql, struct tt_error *err)
{
    TT_AUTO(statement_auto) sqlite3_stmt *s = prepare(db, sql);
    if (s == NULL || sqlite3_step(s) != SQLITE_ROW)
        return store_fail(db, "read", err);
    *ret = sqlite3_column_int(s, 0);
    return TT_OK;
}

tt_rc ca_store_open(sqlite3 **ret, const char *path, struct tt_error *err)
{
    TT_AUTO(ca_store_close_auto) sqlite3 *db = NULL;
    int id = 0, version = 0;
    TT_TRY(db_open(&db, path, SQLITE_OPEN_READWRITE, err));
    TT_TRY(pragma_get(&id, db, "PRAGMA application_id", err));
    TT_TRY(pragma_get(&version, db, "PRAGMA user_version", err));
    if (id != APPLICATION_ID)
        return error_set(err, TT_ERR_DECODE, "ca.db is an SQLite file, but not the store of a CA of tpmtls");
    if (version > SCHEMA_VERSION) {
        (void)error_set(err, TT_ERR_UNSUPPORTED, "ca.db was written by a newer tpmtls (store version %d)",
                        version);
        error_hint(err, "this one knows version %d; use the newer program", SCHEMA_VERSION);
        return TT_ERR_UNSUPPORTED;
    }
    *ret = TT_TAKE(db);
    return TT_OK;
}

tt_rc ca_store_key(char **ret, sqlite3 *db, struct tt_error *err)
{
    TT_AUTO(statement_auto) sqlite3_stmt *s = prepare(db, "SELECT value FROM setting WHERE name = 'key'");
    if (s == NULL || sqlite3_step(s) != SQLITE_ROW)
        return store_fail(db, "read", err);
    const char *text = (const char *)sqlite3_column_text(s, 0);
    char *copy = text == NULL ? NULL : mem_strdup(text);
    if (copy == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    *ret = copy;
    return TT_OK;
}

/* ---- certificates ---- */

tt_rc ca_store_add(sqlite3 *db, const struct tt_ca_entry *e, struct tt_error *err)
{
    TT_AUTO(statement_auto)
    sqlite3_stmt *s =
        prepare(db, "INSERT INTO certificate (serial, subject, not_before, not_after, sha256, status, der) "
                    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    bool ok = s != NULL && bind_text(s, 1, e->serial) && bind_text(s, 2, e->subject) &&
              sqlite3_bind_int64(s, 3, e->not_before) == SQLITE_OK &&
              sqlite3_bind_int64(s, 4, e->not_after) == SQLITE_OK && bind_text(s, 5, e->sha256) &&
              bind_text(s, 6, e->status) &&
              sqlite3_bind_blob64(s, 7, e->der.data, e->der.len, SQLITE_TRANSIENT) == SQLITE_OK;
    /* One statement is one transaction: it commits, durably, before sqlite3_step returns. */
    return ok && sqlite3_step(s) == SQLITE_DONE ? TT_OK : store_fail(db, "write to", err);
}

static const char *column_text(sqlite3_stmt *s, int i)
{
    const char *text = (const char *)sqlite3_column_text(s, i);
    return text == NULL ? "" : text;
}

static struct tt_ca_entry entry_of_row(sqlite3_stmt *s)
{
    struct tt_ca_entry e = {
        .serial = column_text(s, 0),
        .subject = column_text(s, 1),
        .not_before = sqlite3_column_int64(s, 2),
        .not_after = sqlite3_column_int64(s, 3),
        .sha256 = column_text(s, 4),
        .status = column_text(s, 5),
    };
    e.der.data = sqlite3_column_blob(s, 6);
    e.der.len = (size_t)sqlite3_column_bytes(s, 6);
    return e;
}

tt_rc ca_store_each(sqlite3 *db, const char *serial, tt_ca_entry_fn fn, void *arg, struct tt_error *err)
{
    TT_AUTO(statement_auto)
    sqlite3_stmt *s =
        prepare(db, "SELECT serial, subject, not_before, not_after, sha256, status, der FROM certificate "
                    "WHERE ?1 IS NULL OR serial = ?1 ORDER BY rowid");
    if (s == NULL || !bind_text(s, 1, serial))
        return store_fail(db, "read", err);
    size_t n = 0;
    int step;
    for (; (step = sqlite3_step(s)) == SQLITE_ROW; n++) {
        struct tt_ca_entry e = entry_of_row(s);
        TT_TRY(fn(arg, &e));
    }
    if (step != SQLITE_DONE)
        return store_fail(db, "read", err);
    if (n == 0 && serial != NULL)
        return error_set(err, TT_ERR_NOT_FOUND, "this CA issued no certificate with the serial number %.80s",
                         serial);
    return TT_OK;
}
