/* ca/crl.c: the list of what was revoked: made anew after each revocation, and before the old one ends.
 * Layer: ca. RFC 5280 section 5. Complete lists: what is released from a hold is missing in the next one, as
 * section 5.3.1 wants (removeFromCRL stands in delta CRLs alone: crl_delta.c). */
#include <stdio.h>
#include <string.h>

#include "ca/authority.h"
#include "pki/crl_build.h"
#include "pki/text.h"
#include "wire/pem.h"

/* struct latest: the newest CRL of the store, without its bytes. */
struct latest {
    int64_t revision;     /* of the head */
    int64_t number;       /* 0: there is none */
    int64_t crl_revision; /* of the head when it was made */
    int64_t ca_key;       /* that signed it */
    struct ca_fresh fresh;
};

static tt_rc latest_take(void *arg, const struct store_row *row)
{
    struct latest *l = arg;
    l->revision = row_int(row, 0);
    l->number = row_int(row, 1);
    l->crl_revision = row_int(row, 2);
    l->fresh.this_update = row_int(row, 3);
    l->fresh.next_update = row_int(row, 4);
    l->ca_key = row_int(row, 5);
    return TT_OK;
}

static tt_rc latest_read(struct latest *ret, struct ca *ca, struct tt_error *err)
{
    *ret = (struct latest){0};
    const struct statement ask = {
        .sql = "SELECT head.revision, coalesce(crl.number, 0), coalesce(crl.revision, 0), "
               "coalesce(crl.this_update, 0), "
               "coalesce(crl.next_update, 0), coalesce(crl.ca_key, 0) FROM head LEFT JOIN crl ON crl.number "
               "= head.crls",
        .fn = latest_take,
        .arg = ret};
    return ca_ask(ca, &ask, NULL, err);
}

/* ---- make ---- */

static struct tt_bytes text_bytes(const char *text)
{
    return (struct tt_bytes){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}

static uint8_t nibble(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static tt_rc entry_row(void *arg, const struct store_row *row)
{
    struct writer *w = arg;
    const char *hex = row_text(row, 0);
    uint8_t serial[(CA_SERIAL_HEX - 1) / 2];
    size_t n = strlen(hex) / 2;
    if (n == 0 || n > sizeof serial)
        return TT_ERR_DECODE;
    for (size_t i = 0; i < n; i++)
        serial[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    crl_entry_put(w, (struct tt_bytes){serial, n}, row_int(row, 1), (int)row_int(row, 2));
    return wr_status(w);
}

struct making {
    int64_t now;
};

/* "An entry MUST NOT be removed from the CRL until it appears on one regularly scheduled CRL issued beyond
 * the revoked certificate's validity period" (RFC 5280 section 3.3): twice the period is enough. */
static tt_rc crl_entries(struct buf *to, struct ca *ca, int64_t now, struct tt_error *err)
{
    struct writer w = writer_to(to);
    const struct statement ask = {.sql = "SELECT serial, revoked, reason FROM certificate WHERE status IN "
                                         "('held', 'revoked') AND not_after > $1 "
                                         "ORDER BY number",
                                  STORE_ARGS(store_int(now - 2 * CA_DAY * (int64_t)ca->profiles->crl_days)),
                                  .fn = entry_row,
                                  .arg = &w};
    tt_rc rc = store_run(ca->store, &ask, NULL, err);
    return rc == TT_ERR_MEMORY ? ca_no_memory(err) : rc;
}

tt_rc crl_make(struct buf *ret, struct crl_plan *plan, struct ca *ca, const struct ca *key, int64_t now,
               struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf entries = {0};
    int64_t end = now + CA_DAY * (int64_t)ca->profiles->crl_days;
    plan->issuer = X509_get_subject_name(key->cert);
    plan->issuer_key_id = (struct tt_bytes){key->key_id, key->key_id_len};
    plan->this_update = now;
    plan->next_update = end > key->not_after ? key->not_after : end;
    TT_TRY(crl_entries(&entries, ca, now, err));
    plan->entries = buf_bytes(&entries);
    tt_rc rc = crl_build(ret, plan, &key->signer, err);
    plan->entries = (struct tt_bytes){NULL, 0};
    return rc;
}

static tt_rc make(void *arg, struct ca *ca, struct head *h, struct tt_error *err)
{
    const struct making *m = arg;
    TT_AUTO(buf_free) struct buf der = {0};
    struct crl_plan plan = {.number = h->crls + 1, .freshest = text_bytes(ca->profiles->delta_url)};
    TT_TRY(crl_make(&der, &plan, ca, ca, m->now, err));
    const struct statement put = {.sql = "INSERT INTO crl (number, revision, this_update, next_update, der, "
                                         "ca_key) VALUES ($1, $2, $3, $4, "
                                         "$5, $6)",
                                  STORE_ARGS(store_int(plan.number), store_int(h->revision),
                                             store_int(plan.this_update), store_int(plan.next_update),
                                             store_blob(buf_bytes(&der)), store_int(ca->key_number))};
    /* The oldest that is still valid is the base of delta CRLs. */
    const struct statement drop = {
        .sql = "DELETE FROM crl WHERE number < $1 AND number <> "
               "coalesce((SELECT min(number) FROM crl WHERE next_update > $2 AND ca_key = $3), 0)",
        STORE_ARGS(store_int(plan.number - 9), store_int(m->now), store_int(ca->key_number))};
    TT_TRY(store_run(ca->store, &put, NULL, err));
    TT_TRY(store_run(ca->store, &drop, NULL, err));
    h->crls++;
    char sha256[CA_SHA256_HEX];
    sha256_text(sha256, buf_bytes(&der));
    return act_add(ca, h, "crl", json_pack("{s:I, s:s}", "crl", (json_int_t)plan.number, "sha256", sha256),
                   m->now, err);
}

/* ---- give ---- */

static bool is_old(const struct ca *ca, const struct latest *l, int64_t now)
{
    int64_t overlap = INT64_C(3600) * ca->profiles->crl_overlap_hours;
    return l->number == 0 || l->ca_key != ca->key_number || l->crl_revision != l->revision ||
           now >= l->fresh.next_update - overlap;
}

static tt_rc der_take(void *arg, const struct store_row *row)
{
    struct tt_bytes der = row_blob(row, 0);
    return buf_append(arg, der.data, der.len);
}

static tt_rc renew(struct latest *l, struct ca *ca, int64_t now, struct tt_error *err)
{
    struct making m = {now};
    TT_TRY(ca_alive(ca, now, err));
    TT_TRY(ca_write(ca, make, &m, err));
    return latest_read(l, ca, err);
}

tt_rc ca_crl(struct ca *ca, struct buf *ret, struct ca_fresh *ret_fresh, int64_t now, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf der = {0};
    char sha256[CA_SHA256_HEX];
    struct latest l;
    TT_TRY(latest_read(&l, ca, err));
    if (is_old(ca, &l, now) && ca->has_signer)
        TT_TRY(renew(&l, ca, now, err));
    if (l.number == 0 || l.ca_key != ca->key_number || now >= l.fresh.next_update) {
        (void)error_set(err, TT_ERR_NOT_FOUND, "there is no CRL that is valid");
        error_hint(err, "tpmtls ca crl makes one, with the CA's key");
        return TT_ERR_NOT_FOUND;
    }
    const struct statement ask = {.sql = "SELECT der FROM crl WHERE number = $1",
                                  STORE_ARGS(store_int(l.number)),
                                  .fn = der_take,
                                  .arg = &der};
    tt_rc rc = ca_ask(ca, &ask, NULL, err);
    if (rc == TT_ERR_MEMORY || (rc == TT_OK && buf_append(ret, buf_front(&der), buf_size(&der)) != TT_OK))
        return ca_no_memory(err);
    TT_TRY(rc);
    sha256_text(sha256, buf_bytes(&der));
    (void)snprintf(l.fresh.etag, sizeof l.fresh.etag, "%.32s", sha256);
    *ret_fresh = l.fresh;
    return TT_OK;
}

tt_rc ca_crl_to_pem(char **ret, struct tt_bytes der, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf pem = {0};
    return pem_write(&pem, "X509 CRL", der) == TT_OK && text_take(ret, &pem) == TT_OK ? TT_OK
                                                                                      : ca_no_memory(err);
}

tt_rc ca_tend(struct ca *ca, int64_t now, struct tt_error *err)
{
    struct latest l;
    TT_AUTO(buf_free) struct buf delta = {0};
    struct ca_fresh fresh;
    TT_TRY(latest_read(&l, ca, err));
    if (is_old(ca, &l, now) && ca->has_signer)
        TT_TRY(renew(&l, ca, now, err));
    if (ca->profiles->delta_url != NULL && ca->has_signer)
        TT_TRY(ca_crl_delta(ca, &delta, &fresh, now, err));
    TT_TRY(former_tend(ca, now, err));
    if (ca->profiles->refused_days != 0)
        TT_TRY(refused_forget(ca, now, err));
    return ocsp_tend(ca, now, err);
}
