/* ca/migrate.c: what a migration cannot say in SQL: what is read from certificates. Layer: ca. */
#include <stdio.h>

#include "ca/authority.h"
#include "ca/identity.h"
#include "ca/store_kind.h"

/* struct old: one certificate of an older version, copied, since a statement must not run within another's
 * rows. */
struct old {
    int64_t number, not_before;
    char serial[CA_SERIAL_HEX], requester[65], profile[PROFILE_NAME_MAX];
    struct buf der;
};

static tt_rc old_take(void *arg, const struct store_row *row)
{
    struct old *o = arg;
    struct tt_bytes der = row_blob(row, 2);
    o->number = row_int(row, 0);
    o->not_before = row_int(row, 1);
    return buf_append(&o->der, der.data, der.len);
}

static tt_rc take_over(struct ca *ca, struct head *h, const struct old *o, struct tt_error *err)
{
    struct tt_cert_info *info = NULL;
    TT_TRY(tt_cert_describe(&info, buf_bytes(&o->der), err));
    const struct statement put = {.sql = "UPDATE certificate SET names = $1 WHERE number = $2",
                                  STORE_ARGS(store_text(info->sans), store_int(o->number))};
    tt_rc rc = store_run(ca->store, &put, NULL, err);
    if (rc == TT_OK)
        rc = act_add(ca, h, "issue",
                     json_pack("{s:s, s:s, s:s, s:s, s:s}", "by", "migration", "serial", info->serial,
                               "subject", info->subject, "names", info->sans, "sha256", info->sha256),
                     o->not_before, err);
    tt_cert_info_free(info);
    return rc;
}

static tt_rc authority(struct ca *ca, struct tt_error *err)
{
    struct head h = {0};
    int64_t last = -1;
    TT_TRY(head_read(ca, &h, err));
    for (;;) {
        struct old o = {0};
        int64_t rows = 0;
        const struct statement ask = {
            .sql =
                "SELECT number, not_before, der FROM certificate WHERE number > $1 ORDER BY number LIMIT 1",
            STORE_ARGS(store_int(last)),
            .fn = old_take,
            .arg = &o};
        tt_rc rc = store_run(ca->store, &ask, &rows, err);
        if (rc == TT_OK && rows > 0)
            rc = take_over(ca, &h, &o, err);
        last = o.number;
        buf_free(&o.der);
        TT_TRY(rc);
        if (rows == 0)
            return head_write(ca, &h, err);
    }
}

/* Who came by evidence before the table identity was there. */
static tt_rc identity_take_over(struct ca *ca, const struct old *o, struct tt_error *err)
{
    TT_AUTO(identity_free) struct identity of = {0};
    const struct identity_claim c = {.identity = &of, .requester = o->requester, .profile = o->profile};
    TT_TRY(identity_of_certificate(&of, buf_bytes(&o->der), err));
    return identity_put(ca, &c, o->serial, err);
}

static tt_rc attested_take(void *arg, const struct store_row *row)
{
    struct old *o = arg;
    struct tt_bytes der = row_blob(row, 4);
    o->number = row_int(row, 0);
    (void)snprintf(o->serial, sizeof o->serial, "%s", row_text(row, 1));
    (void)snprintf(o->requester, sizeof o->requester, "%s", row_text(row, 2));
    (void)snprintf(o->profile, sizeof o->profile, "%s", row_text(row, 3));
    return buf_append(&o->der, der.data, der.len);
}

static tt_rc identities(struct ca *ca, struct tt_error *err)
{
    int64_t last = -1, rows = 1;
    while (rows > 0) {
        struct old o = {.number = last};
        const struct statement ask = {
            .sql = "SELECT number, serial, requester, profile, der FROM certificate WHERE who "
                   "= $1 AND number > $2 ORDER BY number LIMIT 1",
            STORE_ARGS(store_int(CA_BY_ATTESTATION), store_int(last)),
            .fn = attested_take,
            .arg = &o};
        tt_rc rc = store_run(ca->store, &ask, &rows, err);
        if (rc == TT_OK && rows > 0)
            rc = identity_take_over(ca, &o, err);
        last = o.number;
        buf_free(&o.der);
        TT_TRY(rc);
    }
    return TT_OK;
}

tt_rc store_migrated(struct store *s, int version, struct tt_error *err)
{
    struct ca ca = {.store = s};
    return version == 2 ? authority(&ca, err) : version == 4 ? identities(&ca, err) : TT_OK;
}
