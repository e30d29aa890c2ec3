/* ca/crl_delta.c: delta CRLs: what changed since an older complete list. Layer: ca. RFC 5280 section 5.2.4.
 *
 * A delta is the difference of two complete lists that are in the store, and nothing else: so that base and
 * delta together are always the newest complete list, whose number and times it has ("the complete CRLs and
 * delta CRLs MUST share one numbering sequence"). Made when it is asked for, once for each complete list. */
#include <openssl/err.h>
#include <stdio.h>

#include "ca/authority.h"
#include "pki/cert.h"
#include "pki/crl_build.h"

#define REMOVE_FROM_CRL 8

TT_DEFINE_AUTO(X509_CRL, X509_CRL_free)

/* ---- two lists compared ---- */

/* struct entry: of a list, what can change in it. */
struct entry {
    int64_t revoked;
    int reason; /* 0: none */
};

static bool entry_read(struct entry *ret, X509_REVOKED *r)
{
    ASN1_ENUMERATED *reason = X509_REVOKED_get_ext_d2i(r, NID_crl_reason, NULL, NULL);
    ret->reason = reason == NULL ? 0 : (int)ASN1_ENUMERATED_get(reason);
    ASN1_ENUMERATED_free(reason);
    return cert_time(&ret->revoked, X509_REVOKED_get0_revocationDate(r)) == TT_OK;
}

static struct tt_bytes serial_of(const X509_REVOKED *r)
{
    const ASN1_INTEGER *serial = X509_REVOKED_get0_serialNumber(r);
    return (struct tt_bytes){ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial)};
}

static X509_REVOKED *find(X509_CRL *in, const X509_REVOKED *like)
{
    X509_REVOKED *found = NULL;
    return X509_CRL_get0_by_serial(in, &found, X509_REVOKED_get0_serialNumber(like)) != 0 ? found : NULL;
}

/* What is new, or has another reason than in the base: a hold that became a revocation for good. */
static bool put_changed(struct writer *w, X509_CRL *base, X509_REVOKED *r)
{
    struct entry now, before;
    X509_REVOKED *old = find(base, r);
    if (!entry_read(&now, r) || (old != NULL && !entry_read(&before, old)))
        return false;
    if (old == NULL || now.reason != before.reason || now.revoked != before.revoked)
        crl_entry_put(w, serial_of(r), now.revoked, now.reason);
    return true;
}

/* What has expired, or is no longer on hold, is taken out (RFC 5280 section 5.3.1, removeFromCRL). */
static void put_removed(struct writer *w, X509_CRL *newest, X509_REVOKED *r, int64_t when)
{
    if (find(newest, r) == NULL)
        crl_entry_put(w, serial_of(r), when, REMOVE_FROM_CRL);
}

static tt_rc difference(struct buf *to, X509_CRL *base, X509_CRL *newest, int64_t when, struct tt_error *err)
{
    struct writer w = writer_to(to);
    STACK_OF(X509_REVOKED) *old = X509_CRL_get_REVOKED(base), *now = X509_CRL_get_REVOKED(newest);
    for (int i = 0; i < sk_X509_REVOKED_num(now); i++)
        if (!put_changed(&w, base, sk_X509_REVOKED_value(now, i)))
            return error_set(err, TT_ERR_DECODE, "a CRL in the store cannot be read");
    for (int i = 0; i < sk_X509_REVOKED_num(old); i++)
        put_removed(&w, newest, sk_X509_REVOKED_value(old, i), when);
    return wr_status(&w) == TT_OK ? TT_OK : ca_no_memory(err);
}

/* ---- make ---- */

static X509_CRL *list_parse(struct tt_bytes der)
{
    const uint8_t *at = der.data;
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)der.len);
    ERR_clear_error();
    return crl;
}

static int64_t number_of(const X509_CRL *crl)
{
    ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    int64_t n = 0;
    if (number == NULL || ASN1_INTEGER_get_int64(&n, number) != 1)
        n = 0;
    ASN1_INTEGER_free(number);
    ERR_clear_error();
    return n;
}

struct delta {
    int64_t number, now;
    struct ca_fresh times; /* of the newest */
    X509_CRL *newest;
    struct buf der;
};

static tt_rc der_take(void *arg, const struct store_row *row)
{
    struct tt_bytes der = row_blob(row, 0);
    return buf_append(arg, der.data, der.len);
}

static tt_rc made_read(struct buf *ret, struct ca *ca, int64_t number, struct tt_error *err)
{
    const struct statement ask = {.sql = "SELECT der FROM delta WHERE number = $1",
                                  STORE_ARGS(store_int(number)),
                                  .fn = der_take,
                                  .arg = ret};
    tt_rc rc = store_run(ca->store, &ask, NULL, err);
    return rc == TT_ERR_MEMORY ? ca_no_memory(err) : rc;
}

/* The oldest list of this key that is still valid, so that the delta helps whoever has any of those since;
 * crl.c keeps it. */
static tt_rc base_read(X509_CRL **ret, struct ca *ca, const struct delta *d, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf der = {0};
    const struct statement ask = {
        .sql = "SELECT der FROM crl WHERE next_update > $1 AND number <= $2 AND "
               "ca_key = $3 ORDER BY number LIMIT 1",
        STORE_ARGS(store_int(d->now), store_int(d->number), store_int(ca->key_number)),
        .fn = der_take,
        .arg = &der};
    tt_rc rc = store_run(ca->store, &ask, NULL, err);
    if (rc != TT_OK)
        return rc == TT_ERR_MEMORY ? ca_no_memory(err) : rc;
    *ret = list_parse(buf_bytes(&der));
    return *ret != NULL ? TT_OK : error_set(err, TT_ERR_DECODE, "a CRL in the store cannot be read");
}

static tt_rc record(struct ca *ca, struct head *h, const struct delta *d, int64_t base, struct tt_error *err)
{
    char sha256[CA_SHA256_HEX];
    const struct statement put = {
        .sql = "INSERT INTO delta (number, base, der) VALUES ($1, $2, $3)",
        STORE_ARGS(store_int(d->number), store_int(base), store_blob(buf_bytes(&d->der)))};
    const struct statement drop = {.sql = "DELETE FROM delta WHERE number < $1",
                                   STORE_ARGS(store_int(d->number))};
    TT_TRY(store_run(ca->store, &put, NULL, err));
    TT_TRY(store_run(ca->store, &drop, NULL, err));
    sha256_text(sha256, buf_bytes(&d->der));
    return act_add(ca, h, "delta",
                   json_pack("{s:I, s:I, s:s}", "crl", (json_int_t)d->number, "base", (json_int_t)base,
                             "sha256", sha256),
                   d->now, err);
}

static tt_rc make(void *arg, struct ca *ca, struct head *h, struct tt_error *err)
{
    struct delta *d = arg;
    TT_AUTO(X509_CRL_free_auto) X509_CRL *base = NULL;
    TT_AUTO(buf_free) struct buf entries = {0};
    buf_free(&d->der);
    TT_TRY(made_read(&d->der, ca, d->number, err)); /* by another process, a moment ago */
    if (buf_size(&d->der) > 0)
        return TT_OK;
    TT_TRY(base_read(&base, ca, d, err));
    TT_TRY(difference(&entries, base, d->newest, d->times.this_update, err));
    const struct crl_plan plan = {
        .issuer = X509_get_subject_name(ca->cert),
        .this_update = d->times.this_update,
        .next_update = d->times.next_update,
        .number = d->number,
        .base = number_of(base),
        .issuer_key_id = {ca->key_id, ca->key_id_len},
        .entries = buf_bytes(&entries),
    };
    TT_TRY(crl_build(&d->der, &plan, &ca->signer, err));
    return record(ca, h, d, plan.base, err);
}

/* ---- give ---- */

static tt_rc latest_take(void *arg, const struct store_row *row)
{
    struct delta *d = arg;
    d->times.this_update = row_int(row, 1);
    d->times.next_update = row_int(row, 2);
    return der_take(&d->der, row);
}

/* That of the newest list, if it was made: without a look into a list of 100,000. */
static tt_rc latest_read(struct delta *d, struct ca *ca, struct tt_error *err)
{
    const struct statement ask = {
        .sql =
            "SELECT delta.der, crl.this_update, crl.next_update FROM head JOIN crl ON crl.number = head.crls "
            "JOIN delta ON delta.number = crl.number",
        .fn = latest_take,
        .arg = d};
    tt_rc rc = ca_ask(ca, &ask, NULL, err);
    return rc == TT_ERR_MEMORY ? ca_no_memory(err) : rc;
}

static tt_rc delta_get(struct delta *d, struct ca *ca, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf der = {0};
    TT_TRY(ca_crl(ca, &der, &d->times, d->now, err));
    TT_TRY(latest_read(d, ca, err));
    if (buf_size(&d->der) > 0)
        return TT_OK;
    d->newest = list_parse(buf_bytes(&der));
    d->number = d->newest == NULL ? 0 : number_of(d->newest);
    if (d->number == 0)
        return error_set(err, TT_ERR_DECODE, "a CRL in the store cannot be read");
    if (ca->has_signer)
        return ca_write(ca, make, d, err);
    (void)error_set(err, TT_ERR_NOT_FOUND, "there is no delta CRL of the newest CRL");
    error_hint(err, "tpmtls ca crl --delta makes one, with the CA's key");
    return TT_ERR_NOT_FOUND;
}

tt_rc ca_crl_delta(struct ca *ca, struct buf *ret, struct ca_fresh *ret_fresh, int64_t now,
                   struct tt_error *err)
{
    struct delta d = {.now = now};
    char sha256[CA_SHA256_HEX];
    tt_rc rc = delta_get(&d, ca, err);
    if (rc == TT_OK && buf_append(ret, buf_front(&d.der), buf_size(&d.der)) != TT_OK)
        rc = ca_no_memory(err);
    if (rc == TT_OK) {
        sha256_text(sha256, buf_bytes(&d.der));
        *ret_fresh = d.times;
        (void)snprintf(ret_fresh->etag, sizeof ret_fresh->etag, "%.32s", sha256);
    }
    X509_CRL_free(d.newest);
    buf_free(&d.der);
    return rc;
}
