/* ca/list.c: what was issued, and what was asked for: questions to the store. Layer: ca. */
#include <stdio.h>
#include <string.h>

#include "ca/authority.h"

#define SUBJECT_MAX 256

/* ---- certificates ---- */

struct entries_to {
    ca_entry_fn fn;
    void *arg;
    int64_t now;
};

static tt_rc entry_row(void *arg, const struct store_row *row)
{
    struct entries_to *to = arg;
    struct ca_entry e = {
        .serial = row_text(row, 0),
        .subject = row_text(row, 1),
        .names = row_text(row, 2),
        .not_before = row_int(row, 3),
        .not_after = row_int(row, 4),
        .issued = row_int(row, 5),
        .sha256 = row_text(row, 6),
        .profile = row_text(row, 7),
        .who = (enum ca_who)row_int(row, 8),
        .requester = row_text(row, 9),
        .attested = row_int(row, 10) != 0,
        .state = row_text(row, 11),
        .reason = (int)row_int(row, 12),
        .revoked = row_int(row, 13),
        .der = row_blob(row, 14),
    };
    if (strcmp(e.state, "valid") == 0 && e.not_after <= to->now)
        e.state = "expired";
    return to->fn(to->arg, &e);
}

#define ENTRY_COLUMNS                                                                                        \
    "SELECT serial, subject, names, not_before, not_after, issued, sha256, profile, who, requester, "        \
    "attested, status, "                                                                                     \
    "reason, revoked, der FROM certificate "
#define ENTRY_FILTER                                                                                         \
    "WHERE (CAST($1 AS TEXT) = '' OR status = $1) AND not_after < $2 AND not_after > $3 AND (CAST($4 AS "    \
    "TEXT) = '' OR "                                                                                         \
    "lower(subject) LIKE lower($4) ESCAPE '!' OR lower(names) LIKE lower($4) ESCAPE '!') "

/* A part of a text, for LIKE: % and _ are meant as they are. */
static void like(char ret[2 * SUBJECT_MAX + 3], const char *part)
{
    size_t n = 0;
    if (part == NULL || part[0] == '\0') {
        ret[0] = '\0';
        return;
    }
    ret[n++] = '%';
    for (size_t i = 0; i < SUBJECT_MAX && part[i] != '\0'; i++) {
        if (strchr("%_!", part[i]) != NULL)
            ret[n++] = '!';
        ret[n++] = part[i];
    }
    ret[n++] = '%';
    ret[n] = '\0';
}

static int64_t limit_of(unsigned long limit)
{
    return limit == 0 || limit > INT64_MAX ? INT64_MAX : (int64_t)limit;
}

tt_rc ca_find(struct ca *ca, const char *serial, int64_t now, ca_entry_fn fn, void *arg, struct tt_error *err)
{
    struct entries_to to = {fn, arg, now};
    char plain[CA_SERIAL_HEX] = "";
    int64_t rows = 0;
    if (serial_plain(plain, serial)) {
        const struct statement ask = {.sql = ENTRY_COLUMNS "WHERE serial = $1",
                                      STORE_ARGS(store_text(plain)),
                                      .fn = entry_row,
                                      .arg = &to};
        TT_TRY(ca_ask(ca, &ask, &rows, err));
    }
    return rows > 0 ? TT_OK
                    : error_set(err, TT_ERR_NOT_FOUND,
                                "this CA issued no certificate with the serial number %.80s", serial);
}

tt_rc ca_list(struct ca *ca, const struct ca_filter *f, int64_t now, ca_entry_fn fn, void *arg,
              struct tt_error *err)
{
    struct entries_to to = {fn, arg, now};
    char part[2 * SUBJECT_MAX + 3];
    const char *state = f->state == NULL ? "" : f->state;
    int64_t before = f->expires_before == 0 ? INT64_MAX : f->expires_before;
    int64_t after = f->expires_after;
    if (f->serial != NULL)
        return ca_find(ca, f->serial, now, fn, arg, err);
    if (strcmp(state, "expired") == 0) {
        state = "valid";
        before = before > now + 1 ? now + 1 : before;
    } else if (strcmp(state, "valid") == 0) {
        after = after < now ? now : after;
    }
    like(part, f->subject);
    const struct statement ask = {.sql = f->newest ? ENTRY_COLUMNS ENTRY_FILTER
                                             "ORDER BY number DESC LIMIT $5"
                                                   : ENTRY_COLUMNS ENTRY_FILTER "ORDER BY number LIMIT $5",
                                  STORE_ARGS(store_text(state), store_int(before), store_int(after),
                                             store_text(part), store_int(limit_of(f->limit))),
                                  .fn = entry_row,
                                  .arg = &to};
    return ca_ask(ca, &ask, NULL, err);
}

/* ---- requests ---- */

struct requests_to {
    ca_request_fn fn;
    void *arg;
};

static tt_rc request_row(void *arg, const struct store_row *row)
{
    struct requests_to *to = arg;
    char id[CA_ID_HEX];
    id_text(id, row_int(row, 0));
    struct ca_request r = {
        .id = id,
        .state = row_text(row, 1),
        .why = row_text(row, 2),
        .profile = row_text(row, 3),
        .subject = row_text(row, 4),
        .names = row_text(row, 5),
        .key = row_text(row, 6),
        .who = (enum ca_who)row_int(row, 7),
        .requester = row_text(row, 8),
        .address = row_text(row, 9),
        .made = row_int(row, 10),
        .decided = row_int(row, 11),
        .attested = row_int(row, 12) != 0,
        .serial = row_text(row, 13),
        .csr = row_blob(row, 14),
        .evidence = row_blob(row, 15),
    };
    return to->fn(to->arg, &r);
}

/* Of those that are not issued there is an index, which an OR would not use. */
#define REQUEST_COLUMNS                                                                                      \
    "SELECT number, state, why, profile, subject, names, key, who, requester, address, made, decided, "      \
    "attested, serial, csr, evidence FROM request "
#define REQUEST_ANY "WHERE (CAST($1 AS TEXT) = '' OR state = $1) AND (CAST($2 AS BIGINT) < 0 OR number = $2) "
#define REQUEST_OPEN                                                                                         \
    "WHERE state = CAST($1 AS TEXT) AND state <> 'issued' AND (CAST($2 AS BIGINT) < 0 OR number = $2) "

static tt_rc request_of(struct ca *ca, const char *serial, struct requests_to *to, struct tt_error *err)
{
    char plain[CA_SERIAL_HEX] = "";
    int64_t rows = 0;
    if (serial_plain(plain, serial)) {
        const struct statement ask = {.sql = REQUEST_COLUMNS
                                      "WHERE number = (SELECT request FROM certificate WHERE serial = $1)",
                                      STORE_ARGS(store_text(plain)),
                                      .fn = request_row,
                                      .arg = to};
        TT_TRY(ca_ask(ca, &ask, &rows, err));
    }
    return rows > 0 ? TT_OK
                    : error_set(err, TT_ERR_NOT_FOUND,
                                "the store has no request for the certificate with the serial number %.80s",
                                serial);
}

tt_rc ca_requests(struct ca *ca, const struct ca_request_filter *f, ca_request_fn fn, void *arg,
                  struct tt_error *err)
{
    struct requests_to to = {fn, arg};
    int64_t rows = 0, number = f->id == NULL ? -1 : id_number(f->id);
    if (f->id != NULL && number < 0)
        return error_set(err, TT_ERR_NOT_FOUND, "there is no request %.40s", f->id);
    if (f->serial != NULL)
        return request_of(ca, f->serial, &to, err);
    static const char *const sql[2][2] = {{REQUEST_COLUMNS REQUEST_ANY "ORDER BY number LIMIT $3",
                                           REQUEST_COLUMNS REQUEST_ANY "ORDER BY number DESC LIMIT $3"},
                                          {REQUEST_COLUMNS REQUEST_OPEN "ORDER BY number LIMIT $3",
                                           REQUEST_COLUMNS REQUEST_OPEN "ORDER BY number DESC LIMIT $3"}};
    bool open = f->state != NULL && strcmp(f->state, "issued") != 0;
    const struct statement ask = {.sql = sql[open][f->newest],
                                  STORE_ARGS(store_text(f->state == NULL ? "" : f->state), store_int(number),
                                             store_int(limit_of(f->limit))),
                                  .fn = request_row,
                                  .arg = &to};
    TT_TRY(ca_ask(ca, &ask, &rows, err));
    return rows > 0 || f->id == NULL ? TT_OK
                                     : error_set(err, TT_ERR_NOT_FOUND, "there is no request %.40s", f->id);
}

struct decision {
    int64_t number, now;
    bool approve;
    const char *by;
};

static tt_rc decide(void *arg, struct ca *ca, struct head *h, struct tt_error *err)
{
    const struct decision *d = arg;
    int64_t changed = 0;
    const struct statement change = {
        .sql = "UPDATE request SET state = $1, decided = $2 WHERE number = $3 AND state = 'pending'",
        STORE_ARGS(store_text(d->approve ? "approved" : "rejected"), store_int(d->now),
                   store_int(d->number))};
    TT_TRY(store_run(ca->store, &change, &changed, err));
    if (changed == 0)
        return error_set(err, TT_ERR_NOT_FOUND, "no request %lld waits", (long long)d->number);
    return act_add(ca, h, d->approve ? "approve" : "reject",
                   json_pack("{s:s, s:I}", "by", d->by, "request", (json_int_t)d->number), d->now, err);
}

tt_rc ca_decide(struct ca *ca, const char *id, bool approve, const char *by, int64_t now,
                struct tt_error *err)
{
    struct decision d = {id_number(id), now, approve, by == NULL ? "" : by};
    if (d.number < 0) {
        (void)error_set(err, TT_ERR_NOT_FOUND, "no request %.40s waits", id);
        error_hint(err, "tpmtls ca pending lists those that do");
        return TT_ERR_NOT_FOUND;
    }
    tt_rc rc = ca_write(ca, decide, &d, err);
    if (rc == TT_ERR_NOT_FOUND)
        error_hint(err, "tpmtls ca pending lists those that do");
    return rc;
}

/* ---- refused ones ---- */

struct old {
    int64_t before, last; /* made before; or up to this number */
    int64_t now;
};

static tt_rc number_take(void *arg, const struct store_row *row)
{
    *(int64_t *)arg = row_int(row, 0);
    return TT_OK;
}

/* A few at a time, so that nobody waits for it. That they were refused stands in the audit log. */
static tt_rc forget(void *arg, struct ca *ca, struct head *h, struct tt_error *err)
{
    const struct old *o = arg;
    int64_t gone = 0;
    const struct statement drop = {.sql =
                                       "DELETE FROM request WHERE number IN (SELECT number FROM request "
                                       "WHERE state = 'refused' AND state <> "
                                       "'issued' AND (made < $1 OR number <= $2) ORDER BY number LIMIT 2000)",
                                   STORE_ARGS(store_int(o->before), store_int(o->last))};
    TT_TRY(store_run(ca->store, &drop, &gone, err));
    return gone == 0 ? TT_OK
                     : act_add(ca, h, "forget", json_pack("{s:I}", "refused", (json_int_t)gone), o->now, err);
}

tt_rc refused_forget(struct ca *ca, int64_t now, struct tt_error *err)
{
    struct old o = {.before = now - CA_DAY * (int64_t)ca->profiles->refused_days, .now = now};
    int64_t oldest = now;
    const struct statement first = {
        .sql = "SELECT made FROM request WHERE state = 'refused' AND state <> 'issued' "
               "ORDER BY number LIMIT 1",
        .fn = number_take,
        .arg = &oldest};
    const struct statement last = {
        .sql = "SELECT number FROM request WHERE state = 'refused' AND state <> 'issued' "
               "ORDER BY number DESC LIMIT 1 OFFSET $1",
        STORE_ARGS(store_int(CA_REFUSED_KEPT)),
        .fn = number_take,
        .arg = &o.last};
    TT_TRY(ca_ask(ca, &first, NULL, err));
    TT_TRY(ca_ask(ca, &last, NULL, err));
    return oldest < o.before || o.last > 0 ? ca_write(ca, forget, &o, err) : TT_OK;
}

/* ---- numbers ---- */

static tt_rc count_states(void *arg, const struct store_row *row)
{
    struct ca_counts *c = arg;
    c->valid = row_int(row, 0);
    c->expired = row_int(row, 1);
    c->held = row_int(row, 2);
    c->revoked = row_int(row, 3);
    c->attested = row_int(row, 4);
    c->issued_hour = row_int(row, 5);
    c->issued_day = row_int(row, 6);
    c->tokens = row_int(row, 7);
    return TT_OK;
}

static tt_rc count_requests(void *arg, const struct store_row *row)
{
    struct ca_counts *c = arg;
    const char *state = row_text(row, 0);
    int64_t n = row_int(row, 1);
    if (strcmp(state, "pending") == 0)
        c->pending = n;
    else if (strcmp(state, "approved") == 0)
        c->approved = n;
    else if (strcmp(state, "refused") == 0)
        c->refused = n;
    else if (strcmp(state, "rejected") == 0)
        c->rejected = n;
    return TT_OK;
}

tt_rc ca_count(struct ca *ca, struct ca_counts *ret, int64_t now, struct tt_error *err)
{
    struct ca_counts c = {0};
    const struct statement states = {
        .sql =
            "SELECT (SELECT count(*) FROM certificate WHERE status = 'valid' AND not_after > $1), "
            "(SELECT count(*) FROM certificate WHERE status = 'valid' AND not_after <= $1), "
            "(SELECT count(*) FROM certificate WHERE status = 'held'), "
            "(SELECT count(*) FROM certificate WHERE status = 'revoked'), "
            "(SELECT count(*) FROM certificate WHERE status = 'valid' AND not_after > $1 AND attested = 1), "
            "(SELECT count(*) FROM certificate WHERE issued > $2), "
            "(SELECT count(*) FROM certificate WHERE issued > $3), "
            "(SELECT count(*) FROM token WHERE used < uses AND revoked = 0 AND expires > $1)",
        STORE_ARGS(store_int(now), store_int(now - 3600), store_int(now - CA_DAY)),
        .fn = count_states,
        .arg = &c};
    const struct statement requests = {
        .sql = "SELECT state, count(*) FROM request WHERE state <> 'issued' GROUP BY state",
        .fn = count_requests,
        .arg = &c};
    TT_TRY(ca_ask(ca, &states, NULL, err));
    TT_TRY(ca_ask(ca, &requests, NULL, err));
    *ret = c;
    return TT_OK;
}

struct bars {
    int64_t *at;
    size_t n;
};

static tt_rc bar_row(void *arg, const struct store_row *row)
{
    struct bars *b = arg;
    int64_t i = row_int(row, 0);
    if (i >= 0 && (size_t)i < b->n)
        b->at[i] = row_int(row, 1);
    return TT_OK;
}

tt_rc ca_histogram(struct ca *ca, int64_t *ret, size_t n, bool by_issue, int64_t from, int64_t step,
                   struct tt_error *err)
{
    if (step <= 0 || n == 0 || n > 10000)
        return error_set(err, TT_ERR_USAGE, "a histogram of %zu bars, %lld seconds each", n, (long long)step);
    struct bars b = {ret, n};
    memset(ret, 0, n * sizeof *ret);
    const struct statement ask = {
        .sql =
            by_issue
                ? "SELECT (issued - $1) / $2 AS bar, count(*) FROM certificate WHERE issued >= $1 AND issued "
                  "< $3 "
                  "GROUP BY bar"
                : "SELECT (not_after - $1) / $2 AS bar, count(*) FROM certificate WHERE status = 'valid' AND "
                  "not_after >= $1 AND not_after < $3 GROUP BY bar",
        STORE_ARGS(store_int(from), store_int(step), store_int(from + (int64_t)n * step)),
        .fn = bar_row,
        .arg = &b};
    return ca_ask(ca, &ask, NULL, err);
}
