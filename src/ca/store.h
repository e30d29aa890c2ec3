/* ca/store.h: a database that runs the statements of this layer: SQLite (store_sqlite.c) or PostgreSQL
 * (store_postgres.c). Layer: ca. Knows SQL's mechanics and nothing of certificates.
 *
 * Invariants
 *  - Statements are string constants, prepared once each and known by their address. Placeholders are $1, $2,
 * ...; where they first occur they ascend, so that both databases number them alike.
 *  - All columns are BIGINT, TEXT or BYTEA; expressions are cast where PostgreSQL could not tell the type.
 *  - Between store_begin and store_commit nobody else writes: SQLite's BEGIN IMMEDIATE, a lock on the table
 * head. When store_commit returns TT_OK it is on the disk.
 *  - One thread at a time. */
#ifndef CA_STORE_H
#define CA_STORE_H

#include "base/mem.h"

enum store_type {
    STORE_NULL,
    STORE_INT,
    STORE_TEXT, /* bytes; need no NUL */
    STORE_BLOB
};
struct store_value {
    enum store_type type;
    int64_t number;
    struct tt_bytes bytes;
};
struct store_value store_int(int64_t n);
struct store_value store_text(const char *text); /* NULL: NULL */
struct store_value store_blob(struct tt_bytes b);
struct store_value store_null(void);

/* struct store_row: a row during the call it is handed to. */
struct store_row;
int64_t row_int(const struct store_row *row, int column);      /* 0 for NULL */
const char *row_text(const struct store_row *row, int column); /* "" for NULL */
struct tt_bytes row_blob(const struct store_row *row, int column);

struct store;
typedef tt_rc (*store_row_fn)(void *arg, const struct store_row *row);

/* store_create: a new and empty store of the newest version. sqlite: the file must not exist; postgresql: the
 * database must have no table of ours. url: "sqlite:FILE", "postgresql://..." (or "postgres://..."). */
TT_MUST_USE tt_rc store_create(struct store **ret, const char *url, struct tt_error *err);
/* store_open: migrated to this version first, if it is older; TT_ERR_UNSUPPORTED: it is newer; TT_ERR_DECODE:
 * it is something else. */
TT_MUST_USE tt_rc store_open(struct store **ret, const char *url, struct tt_error *err);
void store_close(struct store *s);
TT_DEFINE_AUTO(struct store, store_close)

/* struct statement: one statement with its arguments, and who takes its rows (NULL: nobody). */
struct statement {
    const char *sql;
    const struct store_value *args;
    size_t n;
    store_row_fn fn;
    void *arg;
};
/* store_run: what fn returns when that is not TT_OK. ret_rows: rows read, or changed; or NULL. fn must not
 * call back into the store. */
TT_MUST_USE tt_rc store_run(struct store *s, const struct statement *what, int64_t *ret_rows,
                            struct tt_error *err);
#define STORE_ARGS(...)                                                                                      \
    .args = (const struct store_value[]){__VA_ARGS__},                                                       \
    .n = sizeof((const struct store_value[]){__VA_ARGS__}) / sizeof(struct store_value)

TT_MUST_USE tt_rc store_begin(struct store *s, struct tt_error *err);
/* store_commit: on failure it is rolled back, or, where store_unsure, nobody knows. */
TT_MUST_USE tt_rc store_commit(struct store *s, struct tt_error *err);
void store_rollback(struct store *s);
/* store_lost: the last failure was the loss of the connection; the next call makes a new one. */
bool store_lost(const struct store *s);
/* store_unsure: the connection was lost while the commit was under way. */
bool store_unsure(const struct store *s);

bool store_in_transaction(const struct store *s);

/* store_begin_read: a snapshot: what is read until store_rollback belongs together. */
TT_MUST_USE tt_rc store_begin_read(struct store *s, struct tt_error *err);

#endif
