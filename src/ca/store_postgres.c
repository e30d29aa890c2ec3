/* ca/store_postgres.c: a store in PostgreSQL, by libpq: for several servers on one database. Layer: ca.
 *
 * Within a transaction a statement whose result nobody waits for is sent, and its answer read later (libpq's
 * pipeline mode): three of them for a certificate, 128 certificates a commit, would else wait for the server
 * 384 times. What was wrong with one is told by the next that waits, at the latest by the commit.
 *
 * A connection that is lost is made again by the next statement that is not in a transaction. Who was in one
 * is told (store_lost), and, when the commit was under way, that nobody knows (store_unsure). */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "ca/libpq.h"
#include "ca/store_kind.h"

#define STATEMENTS_MAX    96
#define ARGS_MAX          24
#define RECONNECT_SECONDS 15
#define SENT_MAX          256 /* their answers have room in the socket: nobody waits for us to read them */
#define MIGRATION_LOCK    "1953525059" /* "tpmC" */

struct postgres_store {
    struct store store; /* first */
    PGconn *db;
    const char *prepared[STATEMENTS_MAX]; /* sN is the one at N */
    size_t prepared_len;
    size_t sent;  /* statements whose answers have yet to be read; more than none: in pipeline mode */
    bool gave_up; /* nobody was there for RECONNECT_SECONDS: until somebody is, one try is enough */
};

static struct libpq pq; /* the same for all */

static struct postgres_store *mine(struct store *s)
{
    return (struct postgres_store *)s;
}

/* ---- failures ---- */

static const struct {
    const char *state; /* SQLSTATE, or its beginning */
    tt_rc rc;
    const char *hint;
} reasons[] = {
    {"22", TT_ERR_DECODE, NULL}, /* by what was to be written */
    {"23", TT_ERR_DECODE, NULL},
    {"55P03", TT_ERR_BUSY, "another process holds it; try again when it is done"},
    {"40P01", TT_ERR_BUSY, "another process holds it; try again when it is done"},
    {"53100", TT_ERR_IO,
     "make room on the database's disk; nothing was issued, and what was stands in the store"},
    {"25006", TT_ERR_IO, "the database is read-only: a standby, or set so; name the one that may be written"},
    {"42501", TT_ERR_IO, "the user of the database may not do that; let him own its tables"},
};

/* The first line of what the server says. */
static void said(char ret[200], const char *message)
{
    size_t n = strcspn(message, "\r\n");
    (void)snprintf(ret, 200, "%.*s", (int)(n < 199 ? n : 199), message);
    error_cut(ret);
}

static tt_rc failed(struct postgres_store *s, const PGresult *result, const char *doing, struct tt_error *err)
{
    char text[200];
    const char *state = result == NULL ? NULL : pq.PQresultErrorField(result, PG_DIAG_SQLSTATE);
    tt_rc rc = TT_ERR_IO;
    bool going = state != NULL && (strncmp(state, "57P0", 4) == 0 || strncmp(state, "08", 2) == 0);
    said(text, result != NULL && pq.PQresultErrorMessage(result)[0] != '\0' ? pq.PQresultErrorMessage(result)
                                                                            : pq.PQerrorMessage(s->db));
    s->store.lost = going || pq.PQstatus(s->db) == CONNECTION_BAD;
    if (s->store.lost)
        error_hint(err, "is PostgreSQL running, and can it be reached? what was issued stands in the store");
    for (size_t i = 0; state != NULL && i < TT_COUNT(reasons); i++)
        if (strncmp(state, reasons[i].state, strlen(reasons[i].state)) == 0) {
            rc = reasons[i].rc;
            if (reasons[i].hint != NULL)
                error_hint(err, "%s", reasons[i].hint);
        }
    return error_set(err, rc, "cannot %s the CA's store in PostgreSQL: %s", doing, text);
}

static void silence(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

/* ---- the connection ---- */

static tt_rc session(struct postgres_store *s, struct tt_error *err)
{
    /* remote_apply and remote_write are the administrator's to choose; off is not. */
    PGresult *r =
        pq.PQexec(s->db, "SET client_encoding = 'UTF8'; SET lock_timeout = '10s'; SET client_min_messages = "
                         "'error'; SELECT set_config('synchronous_commit', 'on', false) WHERE "
                         "current_setting('synchronous_commit') IN ('off', 'local')");
    bool ok = pq.PQresultStatus(r) == PGRES_TUPLES_OK || pq.PQresultStatus(r) == PGRES_COMMAND_OK;
    tt_rc rc = ok ? TT_OK : failed(s, r, "open", err);
    pq.PQclear(r);
    return rc;
}

static void pause_for(unsigned milliseconds)
{
    struct timespec t = {.tv_sec = milliseconds / 1000, .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    (void)nanosleep(&t, NULL);
}

static tt_rc reconnect(struct postgres_store *s, struct tt_error *err)
{
    unsigned waited = 0, step = 50;
    for (;;) {
        pq.PQreset(s->db);
        s->prepared_len = s->sent = 0;
        if (pq.PQstatus(s->db) == CONNECTION_OK)
            break;
        s->gave_up = s->gave_up || waited >= RECONNECT_SECONDS * 1000;
        if (s->gave_up)
            return failed(s, NULL, "reach", err);
        pause_for(step);
        waited += step;
        step = step < 1000 ? 2 * step : 1000;
    }
    s->store.lost = s->store.unsure = s->gave_up = false;
    return session(s, err);
}

static tt_rc ready(struct postgres_store *s, struct tt_error *err)
{
    if (!s->store.lost && pq.PQstatus(s->db) == CONNECTION_OK)
        return TT_OK;
    s->store.lost = true;
    if (s->store.in_transaction)
        return error_set(err, TT_ERR_IO, "the connection to the CA's store in PostgreSQL was lost");
    return reconnect(s, err);
}

/* ---- statements ---- */

static tt_rc prepare(char ret[16], struct postgres_store *s, const char *sql, struct tt_error *err)
{
    size_t i = 0;
    while (i < s->prepared_len && s->prepared[i] != sql)
        i++;
    (void)snprintf(ret, 16, "s%zu", i);
    if (i < s->prepared_len)
        return TT_OK;
    if (i == STATEMENTS_MAX)
        return error_set(err, TT_ERR_INTERNAL, "more than %d statements", STATEMENTS_MAX);
    PGresult *r = pq.PQprepare(s->db, ret, sql, 0, NULL);
    tt_rc rc = pq.PQresultStatus(r) == PGRES_COMMAND_OK ? TT_OK : failed(s, r, "ask", err);
    pq.PQclear(r);
    if (rc == TT_OK)
        s->prepared[s->prepared_len++] = sql;
    return rc;
}

struct arguments {
    const char *values[ARGS_MAX];
    int lengths[ARGS_MAX], formats[ARGS_MAX];
    char numbers[ARGS_MAX][24];
};

static void arguments_of(struct arguments *ret, const struct statement *what)
{
    for (size_t i = 0; i < what->n && i < ARGS_MAX; i++) {
        const struct store_value *v = &what->args[i];
        ret->formats[i] = v->type == STORE_BLOB;
        ret->lengths[i] = (int)v->bytes.len;
        ret->values[i] = v->type == STORE_NULL ? NULL : (const char *)v->bytes.data;
        if (v->type == STORE_INT) {
            (void)snprintf(ret->numbers[i], sizeof ret->numbers[i], "%lld", (long long)v->number);
            ret->values[i] = ret->numbers[i];
        }
    }
}

struct cursor {
    PGresult *result;
    int row;
};

/* All results come in binary: BIGINT and INTEGER most significant byte first. */
static int64_t column_number(void *of, int column)
{
    const struct cursor *c = of;
    const uint8_t *p = (const uint8_t *)pq.PQgetvalue(c->result, c->row, column);
    int n = pq.PQgetlength(c->result, c->row, column);
    uint64_t v = n > 0 && (p[0] & 0x80) != 0 ? ~UINT64_C(0) : 0;
    for (int i = 0; i < n && i < 8; i++)
        v = v << 8 | p[i];
    return (int64_t)v;
}

static struct tt_bytes column_bytes(void *of, int column)
{
    const struct cursor *c = of;
    if (pq.PQgetisnull(c->result, c->row, column) != 0)
        return (struct tt_bytes){NULL, 0};
    return (struct tt_bytes){(const uint8_t *)pq.PQgetvalue(c->result, c->row, column),
                             (size_t)pq.PQgetlength(c->result, c->row, column)};
}

static tt_rc rows_take(const struct statement *what, PGresult *r)
{
    struct cursor c = {.result = r};
    const struct store_row row = {.of = &c, .number = column_number, .bytes = column_bytes};
    for (; what->fn != NULL && c.row < pq.PQntuples(r); c.row++)
        TT_TRY(what->fn(what->arg, &row));
    return TT_OK;
}

static int64_t rows_of(const PGresult *r)
{
    const char *changed = pq.PQcmdTuples((PGresult *)(uintptr_t)r);
    int64_t n = 0;
    for (; *changed >= '0' && *changed <= '9'; changed++)
        n = n * 10 + (*changed - '0');
    return n;
}

/* Row by row, so that a list of millions is never whole in memory. What comes after a failure is thrown away.
 */
static tt_rc collect(struct postgres_store *s, const struct statement *what, int64_t *ret_rows,
                     struct tt_error *err)
{
    int64_t n = 0;
    tt_rc rc = TT_OK;
    for (PGresult *r; (r = pq.PQgetResult(s->db)) != NULL; pq.PQclear(r)) {
        ExecStatusType status = pq.PQresultStatus(r);
        bool row = status == PGRES_SINGLE_TUPLE || status == PGRES_TUPLES_OK;
        if (rc != TT_OK)
            continue;
        if (row) {
            n += pq.PQntuples(r);
            rc = rows_take(what, r);
        } else if (status == PGRES_COMMAND_OK) {
            n = rows_of(r);
        } else {
            rc = failed(s, r, "use", err);
        }
    }
    if (rc == TT_OK && ret_rows != NULL)
        *ret_rows = n;
    return rc;
}

/* The answers to what was sent. */
static tt_rc settle(struct postgres_store *s, struct tt_error *err)
{
    tt_rc rc = TT_OK;
    bool is_over = false, was_none = false;
    if (s->sent == 0)
        return TT_OK;
    if (pq.PQpipelineSync(s->db) != 1)
        rc = failed(s, NULL, "write to", err);
    while (rc == TT_OK ? !is_over : !is_over && pq.PQstatus(s->db) == CONNECTION_OK) {
        PGresult *r = pq.PQgetResult(s->db);
        ExecStatusType status = r == NULL ? PGRES_COMMAND_OK : pq.PQresultStatus(r);
        if (r == NULL && was_none) /* one stands between two answers: it is gone */
            return failed(s, NULL, "write to", err);
        was_none = r == NULL;
        is_over = status == PGRES_PIPELINE_SYNC;
        bool fine = is_over || status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
        if (rc == TT_OK && !fine) /* those behind it were not looked at */
            rc = failed(s, r, "write to", err);
        pq.PQclear(r);
    }
    s->sent = 0;
    return pq.PQexitPipelineMode(s->db) == 1 || rc != TT_OK ? rc : failed(s, NULL, "write to", err);
}

static tt_rc send_off(struct postgres_store *s, const struct statement *what, const char *name,
                      const struct arguments *a, struct tt_error *err)
{
    if (s->sent == 0 && pq.PQenterPipelineMode(s->db) != 1)
        return failed(s, NULL, "use", err);
    s->sent++;
    if (pq.PQsendQueryPrepared(s->db, name, (int)what->n, a->values, a->lengths, a->formats, 1) != 1)
        return failed(s, NULL, "use", err);
    return s->sent < SENT_MAX ? TT_OK : settle(s, err);
}

static bool is_prepared(const struct postgres_store *s, const char *sql)
{
    for (size_t i = 0; i < s->prepared_len; i++)
        if (s->prepared[i] == sql)
            return true;
    return false;
}

static tt_rc postgres_run(struct store *store, const struct statement *what, int64_t *ret_rows,
                          struct tt_error *err)
{
    struct postgres_store *s = mine(store);
    struct arguments a;
    char name[16];
    if (what->n > ARGS_MAX)
        return error_set(err, TT_ERR_INTERNAL, "more than %d arguments", ARGS_MAX);
    TT_TRY(ready(s, err));
    bool waits = !store->in_transaction || what->fn != NULL || ret_rows != NULL;
    if (waits || !is_prepared(s, what->sql))
        TT_TRY(settle(s, err));
    TT_TRY(prepare(name, s, what->sql, err));
    arguments_of(&a, what);
    if (!waits)
        return send_off(s, what, name, &a, err);
    if (pq.PQsendQueryPrepared(s->db, name, (int)what->n, a.values, a.lengths, a.formats, 1) != 1)
        return failed(s, NULL, "use", err);
    if (what->fn != NULL)
        (void)pq.PQsetSingleRowMode(s->db);
    return collect(s, what, ret_rows, err);
}

static tt_rc exec(struct postgres_store *s, const char *sql, const char *doing, struct tt_error *err)
{
    TT_TRY(settle(s, err));
    PGresult *r = pq.PQexec(s->db, sql);
    ExecStatusType status = pq.PQresultStatus(r);
    tt_rc rc = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? TT_OK : failed(s, r, doing, err);
    pq.PQclear(r);
    return rc;
}

/* ---- transactions ---- */

static void postgres_rollback(struct store *s)
{
    (void)settle(mine(s), NULL);
    if (pq.PQstatus(mine(s)->db) == CONNECTION_OK && pq.PQtransactionStatus(mine(s)->db) != PQTRANS_IDLE)
        pq.PQclear(pq.PQexec(mine(s)->db, "ROLLBACK"));
}

static tt_rc postgres_begin(struct store *store, enum store_lock lock, struct tt_error *err)
{
    static const char *const begin[] = {
        [STORE_LOCK_READ] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        [STORE_LOCK_WRITE] = "BEGIN; LOCK TABLE head IN EXCLUSIVE MODE",
        [STORE_LOCK_MIGRATE] = "BEGIN; SELECT pg_advisory_xact_lock(" MIGRATION_LOCK ")",
    };
    struct postgres_store *s = mine(store);
    TT_TRY(ready(s, err));
    tt_rc rc = exec(s, begin[lock], "write to", err);
    if (rc != TT_OK)
        postgres_rollback(store);
    return rc;
}

static tt_rc postgres_commit(struct store *store, struct tt_error *err)
{
    struct postgres_store *s = mine(store);
    tt_rc rc = settle(s, err);
    if (rc != TT_OK) {
        postgres_rollback(store);
        return rc;
    }
    PGresult *r = pq.PQexec(s->db, "COMMIT");
    if (pq.PQresultStatus(r) != PGRES_COMMAND_OK) {
        rc = failed(s, r, "write to", err);
        store->unsure = store->lost;
    } else if (strcmp(pq.PQcmdStatus(r), "COMMIT") != 0) { /* it says ROLLBACK where something had failed */
        rc = error_set(err, TT_ERR_IO, "the CA's store in PostgreSQL ended the transaction by itself");
    }
    pq.PQclear(r);
    if (rc != TT_OK)
        postgres_rollback(store);
    return rc;
}

/* ---- versions ---- */

static tt_rc version_take(void *arg, const struct store_row *row)
{
    *(int *)arg = (int)row_int(row, 0);
    return TT_OK;
}

static tt_rc postgres_version(struct store *store, int *ret, struct tt_error *err)
{
    int there = 0, version = 0;
    const struct statement has = {
        .sql = "SELECT CAST(CASE WHEN to_regclass('tpmtls_store') IS NULL THEN 0 ELSE 1 END AS BIGINT)",
        .fn = version_take,
        .arg = &there};
    const struct statement ask = {
        .sql = "SELECT version FROM tpmtls_store", .fn = version_take, .arg = &version};
    TT_TRY(postgres_run(store, &has, NULL, err));
    if (there != 0)
        TT_TRY(postgres_run(store, &ask, NULL, err));
    *ret = version;
    return TT_OK;
}

static tt_rc postgres_set_version(struct store *s, int version, struct tt_error *err)
{
    char sql[200];
    (void)snprintf(
        sql, sizeof sql,
        "CREATE TABLE IF NOT EXISTS tpmtls_store (version BIGINT NOT NULL); DELETE FROM tpmtls_store; "
        "INSERT INTO tpmtls_store VALUES (%d)",
        version);
    return exec(mine(s), sql, "make", err);
}

static tt_rc postgres_script(struct store *s, const char *sql, struct tt_error *err)
{
    return exec(mine(s), sql, "make", err);
}

static void postgres_close(struct store *store)
{
    struct postgres_store *s = mine(store);
    pq.PQfinish(s->db);
    mem_free(s);
}

static const struct store_kind postgres_kind = {
    .dialect = "postgres",
    .close = postgres_close,
    .run = postgres_run,
    .begin = postgres_begin,
    .commit = postgres_commit,
    .rollback = postgres_rollback,
    .script = postgres_script,
    .version = postgres_version,
    .set_version = postgres_set_version,
};

tt_rc store_postgres_open(struct store **ret, const char *url, struct tt_error *err)
{
    static const char *const names[] = {"dbname", "fallback_application_name", "connect_timeout", NULL};
    const char *const values[] = {url, "tpmtls", "10", NULL};
    TT_AUTO(store_close_auto) struct store *store = NULL;
    TT_TRY(libpq_load(&pq, err));
    struct postgres_store *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    s->store.kind = &postgres_kind;
    store = &s->store;
    s->db = pq.PQconnectdbParams(names, values, 1);
    if (s->db == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    pq.PQsetNoticeProcessor(s->db, silence, NULL);
    if (pq.PQstatus(s->db) != CONNECTION_OK)
        return failed(s, NULL, "reach", err);
    TT_TRY(session(s, err));
    *ret = TT_TAKE(store);
    return TT_OK;
}
