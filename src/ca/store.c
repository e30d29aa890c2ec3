/* ca/store.c: which database a store is in, and its migrations: applied in one transaction, each once, never
 * backwards. Layer: ca. */
#include "ca/store.h"

#include <string.h>

#include "base/buf.h"
#include "ca/store_kind.h"

/* ---- values ---- */

struct store_value store_int(int64_t n)
{
    return (struct store_value){.type = STORE_INT, .number = n};
}

struct store_value store_text(const char *text)
{
    return text == NULL
               ? store_null()
               : (struct store_value){.type = STORE_TEXT, .bytes = {(const uint8_t *)text, strlen(text)}};
}

struct store_value store_blob(struct tt_bytes b)
{
    return (struct store_value){.type = STORE_BLOB,
                                .bytes = {b.len == 0 ? (const uint8_t *)"" : b.data, b.len}};
}

struct store_value store_null(void)
{
    return (struct store_value){.type = STORE_NULL};
}

int64_t row_int(const struct store_row *row, int column)
{
    return row->number(row->of, column);
}

const char *row_text(const struct store_row *row, int column)
{
    const uint8_t *text = row->bytes(row->of, column).data;
    return text == NULL ? "" : (const char *)text;
}

struct tt_bytes row_blob(const struct store_row *row, int column)
{
    return row->bytes(row->of, column);
}

/* ---- running ---- */

tt_rc store_run(struct store *s, const struct statement *what, int64_t *ret_rows, struct tt_error *err)
{
    tt_rc rc = s->kind->run(s, what, ret_rows, err);
    /* Who takes rows says no sentence for this. */
    return rc == TT_ERR_MEMORY ? error_set(err, rc, "out of memory") : rc;
}

tt_rc store_begin(struct store *s, struct tt_error *err)
{
    TT_TRY(s->kind->begin(s, STORE_LOCK_WRITE, err));
    s->in_transaction = true;
    return TT_OK;
}

tt_rc store_begin_read(struct store *s, struct tt_error *err)
{
    TT_TRY(s->kind->begin(s, STORE_LOCK_READ, err));
    s->in_transaction = true;
    return TT_OK;
}

tt_rc store_commit(struct store *s, struct tt_error *err)
{
    s->in_transaction = false;
    return s->kind->commit(s, err);
}

void store_rollback(struct store *s)
{
    if (s->in_transaction)
        s->kind->rollback(s);
    s->in_transaction = false;
}

bool store_in_transaction(const struct store *s)
{
    return s->in_transaction;
}

bool store_lost(const struct store *s)
{
    return s->lost;
}

bool store_unsure(const struct store *s)
{
    return s->unsure;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    store_rollback(s);
    s->kind->close(s);
}

/* ---- migrations ---- */

/* The lines for this database; those of the other are left out. */
static tt_rc script_for(struct buf *ret, const char *script, const char *dialect)
{
    size_t n = strlen(dialect);
    for (const char *line = script; *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        const char *from = line;
        bool mine = strncmp(line, "--", 2) == 0 && strncmp(line + 2, dialect, n) == 0 && line[2 + n] == ' ';
        if (mine)
            from = line + 3 + n;
        if (mine || strncmp(line, "--", 2) != 0) {
            TT_TRY(buf_append(ret, from, (size_t)(end - from)));
            TT_TRY(buf_append(ret, "\n", 1));
        }
        line = *end == '\0' ? end : end + 1;
    }
    return buf_append(ret, "", 1);
}

static tt_rc step(struct store *s, int version, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf script = {0};
    if (script_for(&script, store_migrations[version - 1], s->kind->dialect) != TT_OK)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    TT_TRY(s->kind->script(s, (const char *)buf_front(&script), err));
    return store_migrated(s, version, err);
}

static tt_rc steps(struct store *s, bool create, struct tt_error *err)
{
    int version = 0;
    TT_TRY(s->kind->version(s, &version, err)); /* again: another process may have been first */
    if (create && version != 0) {
        (void)error_set(err, TT_ERR_EXISTS, "the database is already the store of a CA");
        error_hint(err, "every CA needs a database of its own");
        return TT_ERR_EXISTS;
    }
    if (version >= store_version)
        return TT_OK;
    while (version < store_version)
        TT_TRY(step(s, ++version, err));
    return s->kind->set_version(s, store_version, err);
}

static tt_rc migrate(struct store *s, bool create, struct tt_error *err)
{
    TT_TRY(s->kind->begin(s, STORE_LOCK_MIGRATE, err));
    s->in_transaction = true;
    tt_rc rc = steps(s, create, err);
    if (rc == TT_OK)
        return store_commit(s, err);
    store_rollback(s);
    return rc;
}

static tt_rc version_check(struct store *s, struct tt_error *err)
{
    int version = 0;
    TT_TRY(s->kind->version(s, &version, err));
    if (version == 0)
        return error_set(err, TT_ERR_DECODE, "the database is not the store of a CA of tpmtls");
    if (version > store_version) {
        (void)error_set(err, TT_ERR_UNSUPPORTED,
                        "the CA's store was written by a newer tpmtls (store version %d)", version);
        error_hint(err, "this one knows version %d; use the newer program", store_version);
        return TT_ERR_UNSUPPORTED;
    }
    if (version == store_version)
        return TT_OK;
    if (s->kind->keep != NULL)
        TT_TRY(s->kind->keep(s, version, err));
    return migrate(s, false, err);
}

/* ---- open ---- */

static tt_rc open_url(struct store **ret, const char *url, bool create, struct tt_error *err)
{
    static const char sqlite[] = "sqlite:";
    if (strncmp(url, sqlite, sizeof sqlite - 1) == 0)
        return store_sqlite_open(ret, url + sizeof sqlite - 1, create, err);
    if (strncmp(url, "postgresql://", 13) == 0 || strncmp(url, "postgres://", 11) == 0)
        return store_postgres_open(ret, url, err);
    (void)error_set(err, TT_ERR_USAGE, "'%.40s' names no store", url);
    error_hint(err, "write sqlite:FILE, or postgresql://USER@HOST/DATABASE");
    return TT_ERR_USAGE;
}

tt_rc store_create(struct store **ret, const char *url, struct tt_error *err)
{
    TT_AUTO(store_close_auto) struct store *s = NULL;
    TT_TRY(open_url(&s, url, true, err));
    TT_TRY(migrate(s, true, err));
    *ret = TT_TAKE(s);
    return TT_OK;
}

tt_rc store_open(struct store **ret, const char *url, struct tt_error *err)
{
    TT_AUTO(store_close_auto) struct store *s = NULL;
    TT_TRY(open_url(&s, url, false, err));
    TT_TRY(version_check(s, err));
    *ret = TT_TAKE(s);
    return TT_OK;
}
