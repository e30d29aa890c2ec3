/* ca/store_kind.h: what each database does for store.c. Layer: ca; included by the store's files only. */
#ifndef CA_STORE_KIND_H
#define CA_STORE_KIND_H

#include "ca/store.h"

struct store {
    const struct store_kind *kind;
    bool lost, unsure, in_transaction;
};

enum store_lock {
    STORE_LOCK_READ, /* a snapshot */
    STORE_LOCK_WRITE,
    STORE_LOCK_MIGRATE /* as WRITE, where there may be no table yet */
};

struct store_kind {
    const char *dialect; /* lines of a migration that begin with "--DIALECT " are for it alone */
    void (*close)(struct store *s);
    tt_rc (*run)(struct store *s, const struct statement *what, int64_t *ret_rows, struct tt_error *err);
    tt_rc (*begin)(struct store *s, enum store_lock lock, struct tt_error *err);
    tt_rc (*commit)(struct store *s, struct tt_error *err);
    void (*rollback)(struct store *s);
    /* script: several statements, within a transaction. */
    tt_rc (*script)(struct store *s, const char *sql, struct tt_error *err);
    /* version: 0: no table of ours. TT_ERR_DECODE: it is not ours. */
    tt_rc (*version)(struct store *s, int *ret, struct tt_error *err);
    tt_rc (*set_version)(struct store *s, int version, struct tt_error *err);
    /* keep: a copy of a store of this version, before it is migrated. May be NULL. */
    tt_rc (*keep)(struct store *s, int version, struct tt_error *err);
};

/* Opened without a look at what is in them. create: as in store_create. */
TT_MUST_USE tt_rc store_sqlite_open(struct store **ret, const char *path, bool create, struct tt_error *err);
TT_MUST_USE tt_rc store_postgres_open(struct store **ret, const char *url, struct tt_error *err);

/* struct store_row: the columns are behind functions, since each database has them elsewhere. */
struct store_row {
    void *of;
    int64_t (*number)(void *of, int column);
    struct tt_bytes (*bytes)(void *of, int column); /* with a NUL behind them */
};

/* Made from migrations/NNN-*.sql: [0] is version 1. */
extern const char *const store_migrations[];
extern const int store_version;
/* store_migrated: what a migration cannot say in SQL; after the script of `version`, in its transaction. */
TT_MUST_USE tt_rc store_migrated(struct store *s, int version, struct tt_error *err);

#endif
