/* pki/cert.c: certificates as others made them: lists from PEM, a description, whose key. Layer: pki. RFC
 * 5280, RFC 7468. Never decides about trust. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "pki/cert.h"
#include "pki/key.h"
#include "pki/san.h"
#include "pki/text.h"
#include "wire/pem.h"

#define LIST_MAX 4096

X509 *cert_read(struct tt_bytes der)
{
    const uint8_t *at = der.data;
    X509 *x = der.len == 0 || der.len > INT32_MAX ? NULL : d2i_X509(NULL, &at, (long)der.len);
    if (x != NULL && at != der.data + der.len) {
        X509_free(x);
        x = NULL;
    }
    ERR_clear_error();
    return x;
}

tt_rc pki_no_memory(struct tt_error *err)
{
    ERR_clear_error();
    return error_set(err, TT_ERR_MEMORY, "out of memory");
}

/* ---- lists ---- */

void tt_cert_list_free(struct tt_cert_list *list)
{
    if (list == NULL)
        return;
    for (size_t i = 0; i < list->len; i++)
        mem_free((void *)(uintptr_t)list->certs[i].data);
    mem_free(list->certs);
    mem_free(list);
}

tt_rc cert_list_add(struct tt_cert_list *list, uint8_t *der, size_t len)
{
    struct tt_bytes *more = mem_resize(list->certs, (list->len + 1) * sizeof *more);
    if (more == NULL)
        return TT_ERR_MEMORY;
    list->certs = more;
    more[list->len++] = (struct tt_bytes){der, len};
    return TT_OK;
}

static tt_rc list_damaged(size_t number, const char *what, struct tt_error *err)
{
    return error_set(err, TT_ERR_DECODE, "certificate number %zu %s", number, what);
}

/* The next CERTIFICATE of *text, checked; *text moves behind it. TT_ERR_NOT_FOUND at the end. */
static tt_rc list_next(struct pem_block *ret, struct tt_bytes *text, size_t number, struct tt_error *err)
{
    struct pem_block b;
    tt_rc rc = pem_find(&b, *text, "CERTIFICATE");
    if (rc == TT_ERR_MEMORY)
        return pki_no_memory(err);
    if (rc == TT_ERR_DECODE)
        return list_damaged(number, "is cut off or is not base64", err);
    TT_TRY(rc);
    X509 *x = cert_read((struct tt_bytes){b.der, b.len});
    X509_free(x);
    if (x == NULL) {
        pem_block_free(&b);
        return list_damaged(number, "is damaged: inside the PEM is no X.509 certificate", err);
    }
    const uint8_t *rest = b.label.data + b.label.len;
    *text = (struct tt_bytes){rest, (size_t)(text->data + text->len - rest)};
    *ret = b;
    return TT_OK;
}

static tt_rc list_empty(struct tt_bytes pem, struct tt_error *err)
{
    (void)error_set(err, TT_ERR_DECODE, "there is no certificate in PEM form");
    if (text_contains(pem, "PRIVATE KEY-----"))
        error_hint(err, "this is a private key; the certificate that was issued for it is needed");
    else if (text_contains(pem, "CERTIFICATE REQUEST-----"))
        error_hint(err, "this is a certificate request; a CA makes the certificate from it (tpmtls ca sign)");
    else if (pem.len > 1 && pem.data[0] == 0x30 && pem.data[1] >= 0x80)
        error_hint(
            err, "this looks like DER; make PEM of it with: openssl x509 -inform DER -in FILE -out FILE.pem");
    return TT_ERR_DECODE;
}

tt_rc tt_cert_list_from_pem(struct tt_cert_list **ret, struct tt_bytes pem, struct tt_error *err)
{
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *list = mem_alloc(sizeof *list);
    if (list == NULL)
        return pki_no_memory(err);
    struct tt_bytes text = pem;
    for (;;) {
        struct pem_block b = {0};
        tt_rc rc = list_next(&b, &text, list->len + 1, err);
        if (rc == TT_ERR_NOT_FOUND)
            break;
        TT_TRY(rc);
        if (list->len == LIST_MAX || cert_list_add(list, b.der, b.len) != TT_OK) {
            pem_block_free(&b);
            return list->len == LIST_MAX
                       ? error_set(err, TT_ERR_DECODE, "there are more than %d certificates", LIST_MAX)
                       : pki_no_memory(err);
        }
    }
    if (list->len == 0)
        return list_empty(pem, err);
    *ret = TT_TAKE(list);
    return TT_OK;
}

tt_rc tt_cert_list_to_pem(char **ret, const struct tt_cert_list *list, size_t n, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf b = {0};
    for (size_t i = 0; i < n && i < list->len; i++)
        if (pem_write(&b, "CERTIFICATE", list->certs[i]) != TT_OK)
            return pki_no_memory(err);
    return text_take(ret, &b) == TT_OK ? TT_OK : pki_no_memory(err);
}

/* ---- description ---- */

void tt_cert_info_free(struct tt_cert_info *info)
{
    if (info == NULL)
        return;
    mem_free(info->subject);
    mem_free(info->issuer);
    mem_free(info->serial);
    mem_free(info->sans);
    mem_free(info->key);
    mem_free(info);
}
TT_DEFINE_AUTO(struct tt_cert_info, tt_cert_info_free)

tt_rc cert_time(int64_t *ret, const ASN1_TIME *t)
{
    struct tm tm;
    if (t == NULL || ASN1_TIME_to_tm(t, &tm) != 1)
        return TT_ERR_DECODE;
    *ret = (int64_t)timegm(&tm);
    return TT_OK;
}

static tt_rc info_serial(char **ret, const X509 *x)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
    struct tt_bytes b = {ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial)};
    char *text = mem_alloc(2 * b.len + 2);
    if (text == NULL)
        return TT_ERR_MEMORY;
    text[0] = '-';
    text_hex(text + (ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER), b);
    *ret = text;
    return TT_OK;
}

static tt_rc info_sans(char **ret, const X509 *x)
{
    TT_AUTO(GENERAL_NAMES_free_auto)
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    TT_AUTO(buf_free) struct buf b = {0};
    TT_TRY(san_print(&b, names));
    return text_take(ret, &b);
}

void tt_spki_sha256(char ret[65], struct tt_bytes spki)
{
    uint8_t digest[32] = {0};
    (void)EVP_Digest(spki.data, spki.len, digest, NULL, EVP_sha256(), NULL);
    text_hex(ret, (struct tt_bytes){digest, sizeof digest});
}

static tt_rc info_key_pin(char ret[65], X509 *x)
{
    uint8_t *spki = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki);
    if (len <= 0)
        return TT_ERR_INTERNAL;
    tt_spki_sha256(ret, (struct tt_bytes){spki, (size_t)len});
    OPENSSL_free(spki);
    return TT_OK;
}

tt_rc cert_spki(uint8_t **ret, size_t *ret_len, struct tt_bytes der, struct tt_error *err)
{
    TT_AUTO(X509_free_auto) X509 *x = cert_read(der);
    TT_AUTO(ossl_free_auto) uint8_t *spki = NULL;
    if (x == NULL)
        return error_set(err, TT_ERR_DECODE, "these %zu bytes are no X.509 certificate", der.len);
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki);
    uint8_t *copy = len > 0 ? mem_dup(spki, (size_t)len) : NULL;
    if (copy == NULL)
        return pki_no_memory(err);
    *ret = copy;
    *ret_len = (size_t)len;
    return TT_OK;
}

/* RFC 7633: the TLS extension status_request, number 5, among its features. */
static bool demands_staple(const X509 *x)
{
    TLS_FEATURE *features = X509_get_ext_d2i(x, NID_tlsfeature, NULL, NULL);
    bool demands = false;
    for (int i = 0; i < sk_ASN1_INTEGER_num(features); i++)
        demands = demands || ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == 5;
    sk_ASN1_INTEGER_pop_free(features, ASN1_INTEGER_free);
    return demands;
}

static tt_rc info_fill(struct tt_cert_info *info, X509 *x, struct tt_bytes der)
{
    TT_TRY(text_name(&info->subject, X509_get_subject_name(x)));
    TT_TRY(text_name(&info->issuer, X509_get_issuer_name(x)));
    TT_TRY(info_serial(&info->serial, x));
    TT_TRY(info_sans(&info->sans, x));
    TT_TRY(key_describe(&info->key, X509_get0_pubkey(x)));
    TT_TRY(cert_time(&info->not_before, X509_get0_notBefore(x)));
    TT_TRY(cert_time(&info->not_after, X509_get0_notAfter(x)));
    text_time(info->not_before_text, info->not_before);
    text_time(info->not_after_text, info->not_after);
    uint8_t digest[32];
    if (EVP_Digest(der.data, der.len, digest, NULL, EVP_sha256(), NULL) != 1)
        return TT_ERR_INTERNAL;
    text_hex(info->sha256, (struct tt_bytes){digest, sizeof digest});
    TT_AUTO(BASIC_CONSTRAINTS_free_auto)
    BASIC_CONSTRAINTS *bc = X509_get_ext_d2i(x, NID_basic_constraints, NULL, NULL);
    info->is_ca = bc != NULL && bc->ca != 0;
    info->must_staple = demands_staple(x);
    return info_key_pin(info->spki_sha256, x);
}

tt_rc tt_cert_describe(struct tt_cert_info **ret, struct tt_bytes der, struct tt_error *err)
{
    TT_AUTO(X509_free_auto) X509 *x = cert_read(der);
    if (x == NULL)
        return error_set(err, TT_ERR_DECODE, "these %zu bytes are no X.509 certificate", der.len);
    TT_AUTO(tt_cert_info_free_auto) struct tt_cert_info *info = mem_alloc(sizeof *info);
    if (info == NULL)
        return pki_no_memory(err);
    tt_rc rc = info_fill(info, x, der);
    ERR_clear_error();
    if (rc == TT_ERR_MEMORY)
        return pki_no_memory(err);
    if (rc != TT_OK)
        return error_set(err, rc,
                         "the certificate holds a value that cannot be shown, such as an impossible date");
    *ret = TT_TAKE(info);
    return TT_OK;
}

bool tt_cert_matches_key(struct tt_bytes cert_der, struct tt_bytes spki)
{
    TT_AUTO(X509_free_auto) X509 *x = cert_read(cert_der);
    TT_AUTO(EVP_PKEY_free_auto) EVP_PKEY *key = spki_read(spki);
    EVP_PKEY *certified = x == NULL ? NULL : X509_get0_pubkey(x);
    bool same = key != NULL && certified != NULL && EVP_PKEY_eq(key, certified) == 1;
    ERR_clear_error();
    return same;
}
