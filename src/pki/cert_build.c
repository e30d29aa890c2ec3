/* pki/cert_build.c: TBSCertificate and its extensions. Layer: pki. RFC 5280 sections 4.1 and 4.2; the
 * extensions' values are libcrypto's work. Reads no clock. */
#include "pki/cert_build.h"

#include <string.h>
#include <time.h>

#include "crypto/lib.h"
#include "pki/signed.h"

tt_rc cert_serial(uint8_t ret[SERIAL_SIZE], struct tt_error *err)
{
    uint8_t n[SERIAL_SIZE];
    if (!crypto_random(NULL, n, sizeof n))
        return error_set(err, TT_ERR_INTERNAL, "there is no randomness for a serial number");
    n[0] = (uint8_t)((n[0] & 0x7f) | 0x40); /* positive, and always the same length */
    memcpy(ret, n, sizeof n);
    return TT_OK;
}

/* ---- extensions ---- */

static tt_rc put_key_ids(struct writer *w, struct tt_bytes spki, struct tt_bytes issuer, struct tt_error *err)
{
    uint8_t id[EXTENSION_KEY_ID_SIZE];
    if (!extension_key_id(id, spki))
        return error_set(err, TT_ERR_DECODE, "the public key is no SubjectPublicKeyInfo");
    extension_subject_key_id(w, (struct tt_bytes){id, sizeof id});
    if (issuer.len > 0)
        extension_authority_key_id(w, issuer);
    return wr_status(w) == TT_OK ? TT_OK : pki_no_memory(err);
}

tt_rc extensions_ca(struct buf *ret, struct tt_bytes spki, struct tt_error *err)
{
    struct writer w = writer_to(ret);
    extension_constraints(&w, true, 0);
    extension_key_usage(&w, USAGE_KEY_CERT_SIGN | USAGE_CRL_SIGN);
    return put_key_ids(&w, spki, (struct tt_bytes){0}, err);
}

tt_rc extensions_leaf(struct buf *ret, const struct leaf_plan *plan, struct tt_error *err)
{
    static const uint8_t server[] = {0x2b, 6, 1, 5, 5, 7, 3, 1}, client[] = {0x2b, 6, 1, 5, 5, 7, 3, 2};
    const struct tt_bytes both[] = {{server, sizeof server}, {client, sizeof client}};
    struct writer w = writer_to(ret);
    extension_constraints(&w, false, -1);
    extension_key_usage(&w, USAGE_SIGNATURE);
    extension_purposes(&w, plan->server ? both : both + 1,
                       (plan->server ? 1u : 0u) + (plan->client ? 1u : 0u));
    if (plan->names.len > 0)
        extension_names(&w, plan->names, false);
    return put_key_ids(&w, plan->spki, plan->issuer_key_id, err);
}

/* ---- TBSCertificate ---- */

bool cert_put_name(struct writer *w, const X509_NAME *name)
{
    const uint8_t *der = NULL;
    size_t len = 0;
    if (X509_NAME_get0_der(name, &der, &len) != 1)
        return false;
    wr_bytes(w, (struct tt_bytes){der, len});
    return true;
}

static void two_digits(uint8_t *to, int n)
{
    to[0] = (uint8_t)('0' + n / 10 % 10);
    to[1] = (uint8_t)('0' + n % 10);
}

bool cert_put_time(struct writer *w, int64_t seconds)
{
    struct tm t;
    time_t when = (time_t)seconds;
    if (gmtime_r(&when, &t) == NULL || t.tm_year < 50 || t.tm_year > 8099)
        return false;
    uint8_t text[15];
    two_digits(text, (t.tm_year + 1900) / 100);
    two_digits(text + 2, t.tm_year % 100);
    const int rest[] = {t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec};
    for (size_t i = 0; i < TT_COUNT(rest); i++)
        two_digits(text + 4 + 2 * i, rest[i]);
    text[14] = 'Z';
    bool utc = t.tm_year < 150; /* "through the year 2049" */
    der_put(w, utc ? 0x17 : 0x18, utc ? (struct tt_bytes){text + 2, 13} : (struct tt_bytes){text, 15});
    return true;
}

static tt_rc tbs_build(struct buf *to, const struct cert_plan *plan, struct tt_bytes algorithm,
                       struct tt_error *err)
{
    struct writer w = writer_to(to);
    struct der_mark tbs = der_open(&w, DER_SEQUENCE);
    struct der_mark version = der_open(&w, DER_EXPLICIT_0);
    der_put_u32(&w, 2); /* v3 */
    der_close(&w, version);
    der_put_uint(&w, (struct tt_bytes){plan->serial, SERIAL_SIZE});
    wr_bytes(&w, algorithm);
    bool ok = cert_put_name(&w, plan->issuer);
    struct der_mark validity = der_open(&w, DER_SEQUENCE);
    ok = ok && cert_put_time(&w, plan->not_before) && cert_put_time(&w, plan->not_after);
    der_close(&w, validity);
    ok = ok && cert_put_name(&w, plan->subject);
    wr_bytes(&w, plan->spki);
    struct der_mark outer = der_open(&w, DER_EXPLICIT_0 + 3), list = der_open(&w, DER_SEQUENCE);
    wr_bytes(&w, plan->extensions);
    der_close(&w, list);
    der_close(&w, outer);
    der_close(&w, tbs);
    ERR_clear_error();
    return ok && wr_status(&w) == TT_OK ? TT_OK : pki_no_memory(err);
}

static tt_rc result_check(struct tt_bytes der, struct tt_bytes issuer_spki, struct tt_error *err)
{
    TT_AUTO(X509_free_auto) X509 *x = cert_read(der);
    TT_AUTO(EVP_PKEY_free_auto) EVP_PKEY *key = spki_read(issuer_spki);
    bool ok = x != NULL && key != NULL && X509_verify(x, key) == 1;
    ERR_clear_error();
    return ok ? TT_OK
              : error_set(err, TT_ERR_INTERNAL,
                          "the CA's key made a signature that its public key does not verify");
}

tt_rc cert_build(struct buf *to, const struct cert_plan *plan, const struct tt_pki_signer *issuer,
                 struct tt_error *err)
{
    struct tt_bytes algorithm;
    TT_AUTO(buf_free) struct buf tbs = {0};
    TT_TRY(signed_algorithm(&algorithm, issuer->scheme, err));
    TT_TRY(tbs_build(&tbs, plan, algorithm, err));
    TT_TRY(signed_build(to, buf_bytes(&tbs), issuer, err));
    return issuer->checks_itself ? TT_OK : result_check(buf_bytes(to), issuer->spki, err);
}
