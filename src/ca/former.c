/* ca/former.c: the keys that a CA had before (ca/rollover.c). Layer: ca. RFC 4210 section 4.4, RFC 6960
 * section 4.2.2.2.
 *
 * Whoever believes an old root alone takes a CRL, or an OCSP answer, only if the old key vouches for it. So a
 * former key goes on signing those two, and nothing else, until the last certificate that it signed has
 * ended. Here it is a CA like the one of today, on the same store; its certificate stands in
 * DIR/rollover.pem. */
#include <stdio.h>
#include <string.h>

#include "ca/authority.h"
#include "ca/dir.h"
#include "pki/cert.h"
#include "pki/crl_build.h"
#include "pki/text.h"

TT_DEFINE_AUTO(struct tt_cert_info, tt_cert_info_free)

/* ---- which there are ---- */

static bool has(const struct ca *ca, const X509 *cert)
{
    bool found = EVP_PKEY_eq(X509_get0_pubkey(cert), X509_get0_pubkey(ca->cert)) == 1;
    for (size_t i = 0; !found && i < ca->former_len; i++)
        found = EVP_PKEY_eq(X509_get0_pubkey(cert), X509_get0_pubkey(ca->former[i]->cert)) == 1;
    ERR_clear_error();
    return found;
}

static tt_rc add(struct ca *ca, struct tt_bytes der, int64_t number, char **key, struct tt_error *err)
{
    struct ca *f = mem_alloc(sizeof *f);
    if (f == NULL)
        return ca_no_memory(err);
    f->is_former = true;
    ca->former[ca->former_len++] = f; /* ca_close frees it */
    f->store = ca->store;
    f->profiles = ca->profiles;
    f->chain = ca->chain;
    f->rollover = ca->rollover;
    f->key_number = number;
    f->key = TT_TAKE(*key);
    (void)snprintf(f->dir, sizeof f->dir, "%s", ca->dir);
    return ca_of_certificate(f, der, err);
}

/* One of ours, under our name, from before: not one that a change of keys had made when it was interrupted.
 */
static tt_rc consider(struct ca *ca, struct tt_bytes der, struct tt_error *err)
{
    TT_AUTO(X509_free_auto) X509 *cert = cert_read(der);
    TT_AUTO(tt_cert_info_free_auto) struct tt_cert_info *info = NULL;
    TT_AUTO(mem_free_auto) char *key = NULL;
    bool there = false;
    int64_t number = 0;
    if (cert == NULL || ca->former_len == CA_FORMER_MAX || X509_check_ca(cert) != 1 ||
        X509_NAME_cmp(X509_get_subject_name(cert), X509_get_subject_name(ca->cert)) != 0 || has(ca, cert)) {
        ERR_clear_error();
        return TT_OK;
    }
    TT_TRY(tt_cert_describe(&info, der, err));
    TT_TRY(ca_key_of(ca, info->spki_sha256, &there, &number, &key, err));
    return there && number < ca->key_number ? add(ca, der, number, &key, err) : TT_OK;
}

tt_rc former_load(struct ca *ca, struct tt_error *err)
{
    for (size_t i = 0; i < ca->rollover->len; i++)
        TT_TRY(consider(ca, ca->rollover->certs[i], err));
    return TT_OK;
}

/* ---- how they are ---- */

const char *ca_key_id(const struct ca *ca)
{
    return ca->key_id_text;
}

size_t ca_former_count(const struct ca *ca)
{
    return ca->former_len;
}

const char *ca_former_key_id(const struct ca *ca, size_t i)
{
    return ca->former[i]->key_id_text;
}

struct tt_bytes ca_former_certificate(const struct ca *ca, size_t i)
{
    return ca_certificate(ca->former[i]);
}

static tt_rc needed_take(void *arg, const struct store_row *row)
{
    struct ca_former *f = arg;
    f->certificates = row_int(row, 0);
    f->until = row_int(row, 1);
    return TT_OK;
}

tt_rc ca_former(struct ca *ca, struct ca_former *ret, size_t i, int64_t now, struct tt_error *err)
{
    const struct ca *f = ca->former[i];
    /* The certificate of its own responder, which renews itself, is no reason to have one. */
    struct ca_former is = {.key_id = f->key_id_text, .key = f->key, .not_after = f->not_after};
    const struct statement ask = {.sql =
                                      "SELECT count(*), coalesce(max(not_after), 0) FROM certificate WHERE "
                                      "ca_key = $1 AND not_after > $2 AND profile <> 'ocsp'",
                                  STORE_ARGS(store_int(f->key_number), store_int(now)),
                                  .fn = needed_take,
                                  .arg = &is};
    TT_TRY(ca_ask(ca, &ask, NULL, err));
    *ret = is;
    return TT_OK;
}

tt_rc ca_set_former_signer(struct ca *ca, size_t i, const struct tt_pki_signer *signer, struct tt_error *err)
{
    return ca_set_signer(ca->former[i], signer, err);
}

/* ---- its CRL ---- */

struct making {
    struct ca *former;
    int64_t now;
};

static tt_rc number_take(void *arg, const struct store_row *row)
{
    *(int64_t *)arg = row_int(row, 0);
    return TT_OK;
}

/* With number and end of the newest complete list, and the same in it. */
static tt_rc make(void *arg, struct ca *ca, struct head *h, struct tt_error *err)
{
    const struct making *m = arg;
    const struct ca *f = m->former;
    TT_AUTO(buf_free) struct buf der = {0};
    char sha256[CA_SHA256_HEX];
    struct crl_plan plan = {.number = h->crls};
    TT_TRY(crl_make(&der, &plan, ca, f, m->now, err));
    const struct statement drop = {.sql = "DELETE FROM former_crl WHERE ca_key = $1",
                                   STORE_ARGS(store_int(f->key_number))};
    const struct statement put = {
        .sql =
            "INSERT INTO former_crl (ca_key, number, this_update, next_update, der) VALUES ($1, $2, $3, $4, "
            "$5)",
        STORE_ARGS(store_int(f->key_number), store_int(plan.number), store_int(plan.this_update),
                   store_int(plan.next_update), store_blob(buf_bytes(&der)))};
    TT_TRY(store_run(ca->store, &drop, NULL, err));
    TT_TRY(store_run(ca->store, &put, NULL, err));
    sha256_text(sha256, buf_bytes(&der));
    return act_add(
        ca, h, "crl",
        json_pack("{s:I, s:s, s:s}", "crl", (json_int_t)plan.number, "key", f->key_id_text, "sha256", sha256),
        m->now, err);
}

static tt_rc is_new(bool *ret, struct ca *ca, const struct ca *f, int64_t now, struct tt_error *err)
{
    int64_t rows = 0, none = 0;
    const struct statement ask = {
        .sql = "SELECT former_crl.number FROM former_crl JOIN head ON head.crls = former_crl.number WHERE "
               "former_crl.ca_key = $1 AND former_crl.next_update > $2",
        STORE_ARGS(store_int(f->key_number), store_int(now)),
        .fn = number_take,
        .arg = &none};
    TT_TRY(ca_ask(ca, &ask, &rows, err));
    *ret = rows > 0;
    return TT_OK;
}

static tt_rc crl_tend(struct ca *ca, struct ca *f, int64_t now, struct tt_error *err)
{
    bool fresh = false;
    struct making m = {f, now};
    TT_TRY(is_new(&fresh, ca, f, now, err));
    return fresh ? TT_OK : ca_write(ca, make, &m, err);
}

struct taken {
    struct buf der;
    struct ca_fresh fresh;
};

static tt_rc crl_take(void *arg, const struct store_row *row)
{
    struct taken *t = arg;
    struct tt_bytes der = row_blob(row, 2);
    t->fresh.this_update = row_int(row, 0);
    t->fresh.next_update = row_int(row, 1);
    return buf_append(&t->der, der.data, der.len);
}

static tt_rc crl_read(struct taken *t, struct ca *ca, const struct ca *f, int64_t now, struct tt_error *err)
{
    char sha256[CA_SHA256_HEX];
    int64_t rows = 0;
    const struct statement ask = {
        .sql = "SELECT this_update, next_update, der FROM former_crl WHERE ca_key = $1 AND next_update > $2",
        STORE_ARGS(store_int(f->key_number), store_int(now)),
        .fn = crl_take,
        .arg = t};
    TT_TRY(ca_ask(ca, &ask, &rows, err));
    if (rows == 0) {
        (void)error_set(err, TT_ERR_NOT_FOUND, "there is no CRL of the CA's former key that is valid");
        error_hint(err, "tpmtls ca crl makes one where that key is at hand: %.200s", f->key);
        return TT_ERR_NOT_FOUND;
    }
    sha256_text(sha256, buf_bytes(&t->der));
    (void)snprintf(t->fresh.etag, sizeof t->fresh.etag, "%.32s", sha256);
    return TT_OK;
}

static struct ca *former_of(struct ca *ca, const char *key_id)
{
    for (size_t i = 0; i < ca->former_len; i++)
        if (strcmp(ca->former[i]->key_id_text, key_id) == 0)
            return ca->former[i];
    return NULL;
}

tt_rc ca_crl_of(struct ca *ca, const char *key_id, struct buf *ret, struct ca_fresh *ret_fresh, int64_t now,
                struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf newest = {0};
    struct ca *f = former_of(ca, key_id);
    if (strcmp(key_id, ca->key_id_text) == 0)
        return ca_crl(ca, ret, ret_fresh, now, err);
    if (f == NULL)
        return error_set(err, TT_ERR_NOT_FOUND, "this CA has, and had, no key with the identifier %.80s",
                         key_id);
    if (ca->has_signer)
        TT_TRY(ca_crl(ca, &newest, ret_fresh, now, err)); /* whose number it shares */
    if (f->has_signer)
        TT_TRY(crl_tend(ca, f, now, err));
    struct taken t = {0};
    tt_rc rc = crl_read(&t, ca, f, now, err);
    if (rc == TT_OK && buf_append(ret, buf_front(&t.der), buf_size(&t.der)) != TT_OK)
        rc = ca_no_memory(err);
    if (rc == TT_OK)
        *ret_fresh = t.fresh;
    buf_free(&t.der);
    return rc;
}

/* ---- in time ---- */

tt_rc former_tend(struct ca *ca, int64_t now, struct tt_error *err)
{
    for (size_t i = 0; i < ca->former_len; i++) {
        struct ca *f = ca->former[i];
        struct ca_former is;
        if (!f->has_signer || now >= f->not_after)
            continue;
        TT_TRY(ca_former(ca, &is, i, now, err));
        if (is.certificates == 0)
            continue;
        TT_TRY(crl_tend(ca, f, now, err));
        TT_TRY(ocsp_tend(f, now, err));
    }
    return TT_OK;
}
