/* ca/audit.c: the head of the store and its acts: whoever writes holds the head, and says in one JSON line
 * what was done, with the hash of the line before. Layer: ca.
 *
 * What it protects: an act that is taken out, changed or put in later shows, unless all behind it were made
 * anew; so the last hash is worth writing down elsewhere (`ca audit verify` prints it, and takes it). */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ca/authority.h"
#include "pki/text.h"

/* ---- the head ---- */

static tt_rc head_take(void *arg, const struct store_row *row)
{
    struct head *h = arg;
    h->certificates = row_int(row, 0);
    h->requests = row_int(row, 1);
    h->tokens = row_int(row, 2);
    h->crls = row_int(row, 3);
    h->acts = row_int(row, 4);
    h->revision = row_int(row, 5);
    (void)snprintf(h->hash, sizeof h->hash, "%s", row_text(row, 6));
    return TT_OK;
}

tt_rc head_read(struct ca *ca, struct head *ret, struct tt_error *err)
{
    int64_t rows = 0;
    const struct statement ask = {
        .sql = "SELECT certificates, requests, tokens, crls, acts, revision, hash FROM head WHERE one = 1",
        .fn = head_take,
        .arg = ret};
    TT_TRY(store_run(ca->store, &ask, &rows, err));
    return rows == 1 ? TT_OK : error_set(err, TT_ERR_DECODE, "the CA's store has no head");
}

tt_rc head_write(struct ca *ca, const struct head *h, struct tt_error *err)
{
    const struct statement put = {
        .sql = "UPDATE head SET certificates = $1, requests = $2, tokens = $3, crls = $4, "
               "acts = $5, revision = $6, hash = $7 WHERE one = 1",
        STORE_ARGS(store_int(h->certificates), store_int(h->requests), store_int(h->tokens),
                   store_int(h->crls), store_int(h->acts), store_int(h->revision), store_text(h->hash))};
    return store_run(ca->store, &put, NULL, err);
}

tt_rc ca_ask(struct ca *ca, const struct statement *what, int64_t *ret_rows, struct tt_error *err)
{
    struct tt_error first = {0};
    tt_rc rc = store_run(ca->store, what, ret_rows, &first);
    if (rc != TT_OK && store_lost(ca->store) && !store_in_transaction(ca->store))
        return store_run(ca->store, what, ret_rows, err);
    if (rc != TT_OK) {
        if (first.text[0] == '\0') /* it was fn that stopped */
            return rc;
        error_hint(err, "%s", first.hint);
        return error_set(err, rc, "%s", first.text);
    }
    return TT_OK;
}

static tt_rc write_once(struct ca *ca, struct head *h, ca_write_fn fn, void *arg, struct tt_error *err)
{
    TT_TRY(store_begin(ca->store, err));
    tt_rc rc = head_read(ca, h, err);
    if (rc == TT_OK)
        rc = fn(arg, ca, h, err);
    if (rc == TT_OK)
        rc = head_write(ca, h, err);
    if (rc == TT_OK)
        return store_commit(ca->store, err);
    store_rollback(ca->store);
    return rc;
}

/* The connection went while the commit was under way: is what we wrote there? Its last hash tells. */
static bool arrived(struct ca *ca, const struct head *wrote)
{
    struct head now = {0};
    if (head_read(ca, &now, NULL) != TT_OK)
        return false;
    if (strcmp(now.hash, wrote->hash) == 0)
        return true;
    char hash[CA_SHA256_HEX] = "";
    return now.acts > wrote->acts && act_hash(ca, wrote->acts, hash) == TT_OK &&
           strcmp(hash, wrote->hash) == 0;
}

tt_rc ca_write(struct ca *ca, ca_write_fn fn, void *arg, struct tt_error *err)
{
    struct head h = {0};
    struct tt_error first = {0};
    tt_rc rc = write_once(ca, &h, fn, arg, &first);
    if (rc != TT_OK && store_lost(ca->store)) {
        bool unsure = store_unsure(ca->store);
        if (unsure && arrived(ca, &h))
            return TT_OK;
        if (!unsure || !store_lost(ca->store)) /* it is not there, or never got as far */
            return write_once(ca, &h, fn, arg, err);
        error_hint(err, "whether it was recorded shows when the database is back; ask again then");
    }
    if (rc != TT_OK) {
        error_hint(err, "%s", first.hint);
        return error_set(err, rc, "%s", first.text);
    }
    return TT_OK;
}

/* ---- acts ---- */

tt_rc act_add(struct ca *ca, struct head *h, const char *act, json_t *what, int64_t now, struct tt_error *err)
{
    char when[24];
    const json_int_t number = h->acts + 1;
    text_time(when, now);
    json_t *line =
        what == NULL ? NULL : json_pack("{s:I, s:s, s:s}", "number", number, "time", when, "act", act);
    bool ok = line != NULL && json_object_update(line, what) == 0 &&
              json_object_set_new(line, "previous", json_string(h->hash)) == 0;
    char *text = ok ? json_dumps(line, JSON_COMPACT) : NULL;
    json_decref(line);
    json_decref(what);
    if (text == NULL)
        return ca_no_memory(err);
    const struct statement put = {.sql = "INSERT INTO act (number, line) VALUES ($1, $2)",
                                  STORE_ARGS(store_int(h->acts + 1), store_text(text))};
    tt_rc rc = store_run(ca->store, &put, NULL, err);
    if (rc == TT_OK) {
        h->acts++;
        sha256_text(h->hash, (struct tt_bytes){(const uint8_t *)text, strlen(text)});
    }
    mem_free_theirs(text);
    return rc;
}

struct acts_to {
    ca_act_fn fn;
    void *arg;
};

static tt_rc act_row(void *arg, const struct store_row *row)
{
    struct acts_to *to = arg;
    struct tt_bytes line = row_blob(row, 1);
    char hash[CA_SHA256_HEX];
    sha256_text(hash, line);
    return to->fn(to->arg,
                  &(struct ca_act){.number = row_int(row, 0), .line = row_text(row, 1), .hash = hash});
}

tt_rc ca_acts(struct ca *ca, bool newest, unsigned long limit, ca_act_fn fn, void *arg, struct tt_error *err)
{
    struct acts_to to = {fn, arg};
    int64_t most = limit == 0 || limit > INT64_MAX ? INT64_MAX : (int64_t)limit;
    const struct statement ask = {.sql = newest ? "SELECT number, line FROM act ORDER BY number DESC LIMIT $1"
                                                : "SELECT number, line FROM act ORDER BY number LIMIT $1",
                                  STORE_ARGS(store_int(most)),
                                  .fn = act_row,
                                  .arg = &to};
    return ca_ask(ca, &ask, NULL, err);
}

static tt_rc hash_take(void *arg, const struct store_row *row)
{
    sha256_text(arg, row_blob(row, 0));
    return TT_OK;
}

tt_rc act_hash(struct ca *ca, int64_t number, char ret[CA_SHA256_HEX])
{
    int64_t rows = 0;
    const struct statement ask = {.sql = "SELECT line FROM act WHERE number = $1",
                                  STORE_ARGS(store_int(number)),
                                  .fn = hash_take,
                                  .arg = ret};
    TT_TRY(store_run(ca->store, &ask, &rows, NULL));
    return rows == 1 ? TT_OK : TT_ERR_NOT_FOUND;
}
