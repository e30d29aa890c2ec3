/* ca/token.c: passwords for one enrolment. Layer: ca.
 *
 * A password has 160 random bits, so that its plain SHA-256 in the store gives nothing away, and the search
 * by that hash tells nobody by its time how near he was. */
#include <stdio.h>
#include <string.h>

#include "ca/authority.h"
#include "ca/name_rule.h"
#include "crypto/lib.h"
#include "pki/dn.h"
#include "pki/san.h"
#include "pki/text.h"

#define PASSWORD_BYTES 20

struct creation {
    const struct ca_token_plan *plan;
    char names[CA_TOKEN_NAMES_MAX]; /* one a line */
    char hash[CA_SHA256_HEX];
    char id[CA_ID_HEX];
    int64_t now;
};

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

/* Base 32 in lower case without l, o, 0, 1 look-alikes: read out over a telephone. */
static void password_text(char ret[CA_PASSWORD_MAX], const uint8_t bytes[PASSWORD_BYTES])
{
    static const char digits[] = "abcdefghijkmnpqrstuvwxyz23456789";
    size_t n = 0;
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < PASSWORD_BYTES; i++) {
        bits = bits << 8 | bytes[i];
        have += 8;
        while (have >= 5) {
            have -= 5;
            ret[n++] = digits[bits >> have & 31];
            if (n % 5 == 4 && n < 39)
                ret[n++] = '-';
        }
    }
    ret[n] = '\0';
}

static tt_rc create(void *arg, struct ca *ca, struct head *h, struct tt_error *err)
{
    struct creation *c = arg;
    const struct ca_token_plan *p = c->plan;
    const struct statement put = {
        .sql = "INSERT INTO token (number, hash, subject, profile, made_by, made, expires, revoked, uses, "
               "used, names) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, 0, $9)",
        STORE_ARGS(store_int(h->tokens + 1), store_text(c->hash), store_text(or_empty(p->subject)),
                   store_text(or_empty(p->profile)), store_text(or_empty(p->by)), store_int(c->now),
                   store_int(p->expires), store_int(p->uses == 0 ? 1 : p->uses), store_text(c->names))};
    TT_TRY(store_run(ca->store, &put, NULL, err));
    id_text(c->id, ++h->tokens);
    return act_add(ca, h, "token",
                   json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "by", or_empty(p->by), "token", c->id,
                             "subject", or_empty(p->subject), "names", c->names, "profile",
                             or_empty(p->profile), "expires", (json_int_t)p->expires),
                   c->now, err);
}

static tt_rc plan_check(const struct ca *ca, const struct ca_token_plan *p, int64_t now, struct tt_error *err)
{
    TT_AUTO(X509_NAME_free_auto) X509_NAME *name = NULL;
    if (p->expires <= now)
        return error_set(err, TT_ERR_USAGE, "the token would have expired already");
    if (p->profile != NULL && profiles_find(ca->profiles, p->profile) == NULL)
        return error_set(err, TT_ERR_USAGE, "this CA has no profile '%.60s'", p->profile);
    if (p->subject != NULL && strlen(p->subject) > 255)
        return error_set(err, TT_ERR_USAGE, "the subject is longer than 255 bytes");
    if (p->subject != NULL &&
        !text_is_printable((struct tt_bytes){(const uint8_t *)p->subject, strlen(p->subject)}))
        return error_set(err, TT_ERR_USAGE, "the subject has characters that are no text");
    if (p->subject != NULL && p->subject[0] == '/')
        TT_TRY(dn_parse(&name, p->subject, err));
    return TT_OK;
}

/* As they stand in requests, so that they are compared as such. */
static tt_rc names_write(char ret[CA_TOKEN_NAMES_MAX], const struct ca_token_plan *p, struct tt_error *err)
{
    TT_AUTO(GENERAL_NAMES_free_auto) GENERAL_NAMES *names = NULL;
    size_t len = 0;
    ret[0] = '\0';
    if (p->names_len == 0)
        return TT_OK;
    TT_TRY(san_parse(&names, p->names, p->names_len, err));
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        TT_AUTO(asked_name_free) struct asked_name name = {0};
        TT_TRY(asked_name_of(&name, sk_GENERAL_NAME_value(names, i), err));
        int n = snprintf(ret + len, CA_TOKEN_NAMES_MAX - len, "%s%s", i > 0 ? "\n" : "", name.text);
        if (n < 0 || (size_t)n >= CA_TOKEN_NAMES_MAX - len)
            return error_set(err, TT_ERR_USAGE, "the names of a token have more than %d bytes",
                             CA_TOKEN_NAMES_MAX - 1);
        len += (size_t)n;
    }
    return TT_OK;
}

tt_rc ca_token_create(struct ca *ca, char ret_id[CA_ID_HEX], char ret_password[CA_PASSWORD_MAX],
                      const struct ca_token_plan *plan, int64_t now, struct tt_error *err)
{
    struct creation c = {.plan = plan, .now = now};
    uint8_t random[PASSWORD_BYTES];
    char password[CA_PASSWORD_MAX];
    TT_TRY(plan_check(ca, plan, now, err));
    TT_TRY(names_write(c.names, plan, err));
    if (!crypto_random(NULL, random, sizeof random))
        return error_set(err, TT_ERR_INTERNAL, "there is no randomness for a password");
    password_text(password, random);
    mem_wipe(random, sizeof random);
    sha256_text(c.hash, (struct tt_bytes){(const uint8_t *)password, strlen(password)});
    tt_rc rc = ca_write(ca, create, &c, err);
    if (rc == TT_OK) {
        memcpy(ret_password, password, sizeof password);
        memcpy(ret_id, c.id, sizeof c.id);
    }
    mem_wipe(password, sizeof password);
    return rc;
}

/* ---- looked at ---- */

struct tokens_to {
    ca_token_fn fn;
    void *arg;
};

static void token_of(struct ca_token *ret, const struct store_row *row)
{
    *ret = (struct ca_token){
        .made = row_int(row, 4),
        .expires = row_int(row, 5),
        .revoked = row_int(row, 6),
        .uses = (unsigned)row_int(row, 7),
        .used = (unsigned)row_int(row, 8),
    };
    id_text(ret->id, row_int(row, 0));
    (void)snprintf(ret->subject, sizeof ret->subject, "%s", row_text(row, 1));
    (void)snprintf(ret->profile, sizeof ret->profile, "%s", row_text(row, 2));
    (void)snprintf(ret->by, sizeof ret->by, "%s", row_text(row, 3));
    (void)snprintf(ret->names, sizeof ret->names, "%s", row_text(row, 9));
}

static tt_rc token_take(void *arg, const struct store_row *row)
{
    token_of(arg, row);
    return TT_OK;
}

static tt_rc token_row(void *arg, const struct store_row *row)
{
    struct tokens_to *to = arg;
    struct ca_token t;
    token_of(&t, row);
    return to->fn(to->arg, &t);
}

#define TOKEN_COLUMNS                                                                                        \
    "SELECT number, subject, profile, made_by, made, expires, revoked, uses, used, names FROM token "

tt_rc ca_token_check(struct ca *ca, struct ca_token *ret, const char *password, int64_t now,
                     struct tt_error *err)
{
    char hash[CA_SHA256_HEX];
    struct ca_token t = {0};
    int64_t rows = 0;
    sha256_text(hash, (struct tt_bytes){(const uint8_t *)password, strlen(password)});
    const struct statement ask = {
        .sql = TOKEN_COLUMNS "WHERE hash = $1", STORE_ARGS(store_text(hash)), .fn = token_take, .arg = &t};
    TT_TRY(ca_ask(ca, &ask, &rows, err));
    if (rows == 0 || t.revoked != 0)
        return error_set(err, TT_ERR_AUTH, "the token is unknown or was revoked");
    if (t.expires <= now)
        return error_set(err, TT_ERR_AUTH, "the token has expired");
    *ret = t;
    return TT_OK;
}

tt_rc ca_tokens(struct ca *ca, ca_token_fn fn, void *arg, struct tt_error *err)
{
    struct tokens_to to = {fn, arg};
    const struct statement ask = {.sql = TOKEN_COLUMNS "ORDER BY number", .fn = token_row, .arg = &to};
    return ca_ask(ca, &ask, NULL, err);
}

struct withdrawal {
    int64_t number, now;
    const char *by;
};

static tt_rc withdraw(void *arg, struct ca *ca, struct head *h, struct tt_error *err)
{
    const struct withdrawal *w = arg;
    int64_t changed = 0;
    char id[CA_ID_HEX];
    const struct statement put = {.sql = "UPDATE token SET revoked = $1 WHERE number = $2 AND revoked = 0",
                                  STORE_ARGS(store_int(w->now), store_int(w->number))};
    TT_TRY(store_run(ca->store, &put, &changed, err));
    id_text(id, w->number < 0 ? 0 : w->number);
    if (changed == 0) {
        (void)error_set(err, TT_ERR_NOT_FOUND, "there is no token %s that could be revoked", id);
        error_hint(err, "tpmtls ca token list shows them");
        return TT_ERR_NOT_FOUND;
    }
    return act_add(ca, h, "token-revoke", json_pack("{s:s, s:s}", "by", or_empty(w->by), "token", id), w->now,
                   err);
}

tt_rc ca_token_revoke(struct ca *ca, const char *id, const char *by, int64_t now, struct tt_error *err)
{
    struct withdrawal w = {id_number(id), now, by};
    return ca_write(ca, withdraw, &w, err);
}
