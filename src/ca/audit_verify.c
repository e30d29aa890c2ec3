/* ca/audit_verify.c: is the audit log whole, and does the store say what it says? Layer: ca. */
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "ca/authority.h"

/* struct sum: of a set: the hashes of its members, xored, and their number. */
struct sum {
    uint8_t x[SHA256_DIGEST_LENGTH];
    int64_t n;
};

struct check {
    int64_t expected; /* the number of the next act */
    char hash[CA_SHA256_HEX];
    const char *wanted;
    bool found;
    struct sum certificates, stored;
    json_t *revoked; /* serial: true */
    int64_t tokens, stored_revoked;
    struct tt_error *err;
};

static void sum_add(struct sum *s, const char *a, const char *b)
{
    char text[CA_SERIAL_HEX + CA_SHA256_HEX + 8];
    uint8_t digest[SHA256_DIGEST_LENGTH];
    int n = snprintf(text, sizeof text, "%.41s %.64s", a, b);
    (void)SHA256((const uint8_t *)text, n > 0 ? (size_t)n : 0, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        s->x[i] ^= digest[i];
    s->n++;
}

static const char *member(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));
    return text == NULL ? "" : text;
}

static tt_rc broken(struct check *c, const char *why)
{
    (void)error_set(c->err, TT_ERR_VERIFY, "the audit log is broken at act %lld: %s", (long long)c->expected,
                    why);
    error_hint(c->err, "compare with a backup of the store: up to there it is whole");
    return TT_ERR_VERIFY;
}

static void act_count(struct check *c, const json_t *line)
{
    const char *act = member(line, "act"), *serial = member(line, "serial");
    if (strcmp(act, "issue") == 0)
        sum_add(&c->certificates, serial, member(line, "sha256"));
    else if (strcmp(act, "revoke") == 0)
        (void)json_object_set_new(c->revoked, serial, json_true());
    else if (strcmp(act, "unrevoke") == 0)
        (void)json_object_del(c->revoked, serial);
    else if (strcmp(act, "token") == 0)
        c->tokens++;
}

static tt_rc act_row(void *arg, const struct store_row *row)
{
    struct check *c = arg;
    struct tt_bytes text = row_blob(row, 1);
    json_t *line = json_loadb((const char *)text.data, text.len, 0, NULL);
    tt_rc rc = TT_OK;
    if (row_int(row, 0) != c->expected)
        rc = broken(c, "it is missing");
    else if (line == NULL || json_integer_value(json_object_get(line, "number")) != c->expected)
        rc = broken(c, "it is not what was written");
    else if (strcmp(member(line, "previous"), c->hash) != 0)
        rc = broken(c, "it does not have the hash of the one before");
    else
        act_count(c, line);
    json_decref(line);
    sha256_text(c->hash, text);
    c->found = c->found || (c->wanted != NULL && strcmp(c->wanted, c->hash) == 0);
    c->expected++;
    return rc;
}

static tt_rc certificate_row(void *arg, const struct store_row *row)
{
    struct check *c = arg;
    char sha256[CA_SHA256_HEX];
    const char *serial = row_text(row, 0);
    bool valid = strcmp(row_text(row, 1), "valid") == 0;
    sha256_text(sha256, row_blob(row, 2));
    sum_add(&c->stored, serial, sha256);
    c->stored_revoked += !valid;
    if (valid != (json_object_get(c->revoked, serial) == NULL))
        return error_set(c->err, TT_ERR_VERIFY,
                         "the store has the certificate %s as %s, which the audit log does not", serial,
                         row_text(row, 1));
    return TT_OK;
}

static tt_rc count_take(void *arg, const struct store_row *row)
{
    *(int64_t *)arg = row_int(row, 0);
    return TT_OK;
}

static tt_rc compare(struct check *c, struct ca *ca, const struct head *h, struct tt_error *err)
{
    int64_t tokens = 0;
    const struct statement all = {
        .sql = "SELECT serial, status, der FROM certificate", .fn = certificate_row, .arg = c};
    const struct statement count = {.sql = "SELECT count(*) FROM token", .fn = count_take, .arg = &tokens};
    if (h->acts != c->expected - 1 || strcmp(h->hash, c->hash) != 0)
        return error_set(err, TT_ERR_VERIFY, "the audit log ends at act %lld, and the store knows of %lld",
                         (long long)(c->expected - 1), (long long)h->acts);
    TT_TRY(store_run(ca->store, &all, NULL, err));
    TT_TRY(store_run(ca->store, &count, NULL, err));
    if (c->stored.n != c->certificates.n || memcmp(c->stored.x, c->certificates.x, sizeof c->stored.x) != 0)
        return error_set(err, TT_ERR_VERIFY,
                         "the store has %lld certificates, and the audit log %lld, or others",
                         (long long)c->stored.n, (long long)c->certificates.n);
    if (tokens != c->tokens)
        return error_set(err, TT_ERR_VERIFY, "the store has %lld tokens, and the audit log %lld",
                         (long long)tokens, (long long)c->tokens);
    if (c->wanted != NULL && !c->found)
        return error_set(err, TT_ERR_VERIFY, "no act of the audit log has the hash %.64s", c->wanted);
    return TT_OK;
}

static tt_rc verify(struct check *c, struct ca *ca, struct tt_error *err)
{
    struct head h = {0};
    const struct statement acts = {
        .sql = "SELECT number, line FROM act ORDER BY number", .fn = act_row, .arg = c};
    TT_TRY(head_read(ca, &h, err));
    (void)memset(c->hash, '0', CA_SHA256_HEX - 1);
    c->hash[CA_SHA256_HEX - 1] = '\0';
    TT_TRY(store_run(ca->store, &acts, NULL, err));
    return compare(c, ca, &h, err);
}

tt_rc ca_audit_verify(struct ca *ca, struct ca_audit *ret, const char *head, struct tt_error *err)
{
    struct check c = {.expected = 1, .wanted = head, .revoked = json_object(), .err = err};
    if (c.revoked == NULL)
        return ca_no_memory(err);
    tt_rc rc = store_begin_read(ca->store, err);
    if (rc == TT_OK)
        rc = verify(&c, ca, err);
    store_rollback(ca->store);
    json_decref(c.revoked);
    if (rc == TT_OK) {
        ret->acts = c.expected - 1;
        memcpy(ret->head, c.hash, sizeof ret->head);
    }
    return rc;
}
