/* ca/revoke.c: certificates taken back, held and released. Layer: ca. RFC 5280 section 5.3.1. */
#include <string.h>
#include <strings.h>

#include "ca/authority.h"

#define REASON_HOLD 6

static const char *const reasons[] = {
    "unspecified",   "keyCompromise",        "cACompromise",    "affiliationChanged",
    "superseded",    "cessationOfOperation", "certificateHold", NULL,
    "removeFromCRL", "privilegeWithdrawn",   "aACompromise"};

const char *ca_reason_word(int reason)
{
    return reason >= 0 && (size_t)reason < TT_COUNT(reasons) && reasons[reason] != NULL ? reasons[reason]
                                                                                        : "";
}

int ca_reason_of(const char *word)
{
    for (size_t i = 0; i < TT_COUNT(reasons); i++)
        if (reasons[i] != NULL && strcasecmp(reasons[i], word) == 0)
            return (int)i;
    return -1;
}

struct change {
    char serial[CA_SERIAL_HEX];
    int reason;
    const char *by;
    int64_t now;
};

static tt_rc status_take(void *arg, const struct store_row *row)
{
    const char *status = row_text(row, 0);
    char *to = arg;
    size_t n = strlen(status) < 8 ? strlen(status) : 7;
    memcpy(to, status, n);
    to[n] = '\0';
    return TT_OK;
}

static tt_rc status_read(char ret[8], struct ca *ca, const struct change *c, struct tt_error *err)
{
    ret[0] = '\0';
    const struct statement ask = {.sql = "SELECT status FROM certificate WHERE serial = $1",
                                  STORE_ARGS(store_text(c->serial)),
                                  .fn = status_take,
                                  .arg = ret};
    TT_TRY(store_run(ca->store, &ask, NULL, err));
    return ret[0] != '\0' ? TT_OK
                          : error_set(err, TT_ERR_NOT_FOUND,
                                      "this CA issued no certificate with the serial number %s", c->serial);
}

static tt_rc status_put(struct ca *ca, struct head *h, const struct change *c, const char *status,
                        struct tt_error *err)
{
    bool valid = strcmp(status, "valid") == 0;
    const struct statement put = {
        .sql = "UPDATE certificate SET status = $1, reason = $2, revoked = $3 WHERE serial = $4",
        STORE_ARGS(store_text(status), store_int(valid ? -1 : c->reason), store_int(valid ? 0 : c->now),
                   store_text(c->serial))};
    TT_TRY(store_run(ca->store, &put, NULL, err));
    h->revision++; /* the CRL in the store is of yesterday now */
    json_t *what = valid ? json_pack("{s:s, s:s}", "by", c->by, "serial", c->serial)
                         : json_pack("{s:s, s:s, s:s}", "by", c->by, "serial", c->serial, "reason",
                                     ca_reason_word(c->reason));
    return act_add(ca, h, valid ? "unrevoke" : "revoke", what, c->now, err);
}

static tt_rc revoke(void *arg, struct ca *ca, struct head *h, struct tt_error *err)
{
    const struct change *c = arg;
    char status[8];
    TT_TRY(status_read(status, ca, c, err));
    bool hold = c->reason == REASON_HOLD;
    if (strcmp(status, "revoked") == 0 || (hold && strcmp(status, "held") == 0))
        return error_set(err, TT_ERR_EXISTS, "the certificate %s is %s already", c->serial,
                         strcmp(status, "held") == 0 ? "on hold" : "revoked");
    return status_put(ca, h, c, hold ? "held" : "revoked", err);
}

static tt_rc release(void *arg, struct ca *ca, struct head *h, struct tt_error *err)
{
    const struct change *c = arg;
    char status[8];
    TT_TRY(status_read(status, ca, c, err));
    if (strcmp(status, "held") == 0)
        return status_put(ca, h, c, "valid", err);
    if (strcmp(status, "valid") == 0)
        return error_set(err, TT_ERR_EXISTS, "the certificate %s is not revoked", c->serial);
    (void)error_set(err, TT_ERR_UNSUPPORTED, "the certificate %s is revoked for good", c->serial);
    error_hint(err,
               "only what was revoked with --reason certificateHold comes back (RFC 5280 section 5.3.1)");
    return TT_ERR_UNSUPPORTED;
}

static tt_rc change_run(struct ca *ca, ca_write_fn fn, struct change *c, const char *serial,
                        struct tt_error *err)
{
    if (!serial_plain(c->serial, serial))
        return error_set(err, TT_ERR_NOT_FOUND, "'%.80s' is no serial number", serial);
    if (c->by == NULL)
        c->by = "";
    return ca_write(ca, fn, c, err);
}

tt_rc ca_revoke(struct ca *ca, const char *serial, int reason, const char *by, int64_t now,
                struct tt_error *err)
{
    struct change c = {.reason = reason, .by = by, .now = now};
    if (ca_reason_word(reason)[0] == '\0' || reason == 8)
        return error_set(err, TT_ERR_USAGE, "%d is no reason to revoke", reason);
    return change_run(ca, revoke, &c, serial, err);
}

tt_rc ca_release(struct ca *ca, const char *serial, const char *by, int64_t now, struct tt_error *err)
{
    struct change c = {.reason = -1, .by = by, .now = now};
    return change_run(ca, release, &c, serial, err);
}
