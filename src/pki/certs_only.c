/* pki/certs_only.c: see certs_only.h. Layer: pki. RFC 2315 section 9, RFC 5652 section 5.1. Reading is by
 * libcrypto, since what others write is not always DER; writing is by our own writer. */
#include "pki/certs_only.h"

#include <openssl/pkcs7.h>
#include <string.h>

#include "wire/der.h"

TT_DEFINE_AUTO(PKCS7, PKCS7_free)

#define MESSAGE_MAX (1 << 20)

/* ---- writing ---- */

tt_rc certs_only_write(struct buf *to, const struct tt_cert_list *certs)
{
    static const uint8_t signed_data[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2};
    static const uint8_t data[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1};
    struct tt_bytes sorted[CERTS_ONLY_MAX];
    if (certs->len > CERTS_ONLY_MAX)
        return TT_ERR_USAGE;
    if (certs->len > 0)
        memcpy(sorted, certs->certs, certs->len * sizeof *sorted);
    der_sort(sorted, certs->len);
    struct writer w = writer_to(to);
    struct der_mark message = der_open(&w, DER_SEQUENCE);
    der_put(&w, DER_OID, (struct tt_bytes){signed_data, sizeof signed_data});
    struct der_mark explicit_0 = der_open(&w, DER_EXPLICIT_0);
    struct der_mark body = der_open(&w, DER_SEQUENCE);
    der_put_u32(&w, 1);
    der_put(&w, 0x31, (struct tt_bytes){0}); /* digestAlgorithms */
    struct der_mark content = der_open(&w, DER_SEQUENCE);
    der_put(&w, DER_OID, (struct tt_bytes){data, sizeof data});
    der_close(&w, content);
    struct der_mark set = der_open(&w, DER_EXPLICIT_0); /* [0] IMPLICIT: the tag is the same */
    for (size_t i = 0; i < certs->len; i++)
        if (i == 0 || der_order(sorted[i - 1], sorted[i]) != 0)
            wr_bytes(&w, sorted[i]);
    der_close(&w, set);
    der_put(&w, 0x31, (struct tt_bytes){0}); /* signerInfos */
    der_close(&w, body);
    der_close(&w, explicit_0);
    der_close(&w, message);
    return wr_status(&w);
}

/* ---- reading ---- */

static bool has(const struct tt_cert_list *list, struct tt_bytes der)
{
    for (size_t i = 0; i < list->len; i++)
        if (der_order(list->certs[i], der) == 0)
            return true;
    return false;
}

static tt_rc add(struct tt_cert_list *list, const X509 *x, struct tt_error *err)
{
    TT_AUTO(ossl_free_auto) uint8_t *der = NULL;
    int len = i2d_X509(x, &der);
    if (len <= 0)
        return pki_no_memory(err);
    if (has(list, (struct tt_bytes){der, (size_t)len}))
        return TT_OK;
    TT_AUTO(mem_free_auto) uint8_t *copy = mem_dup(der, (size_t)len);
    if (copy == NULL || cert_list_add(list, copy, (size_t)len) != TT_OK)
        return pki_no_memory(err);
    copy = NULL;
    return TT_OK;
}

static tt_rc take_all(struct tt_cert_list *list, const STACK_OF(X509) * certs, struct tt_error *err)
{
    if (sk_X509_num(certs) > CERTS_ONLY_MAX)
        return error_set(err, TT_ERR_DECODE, "the PKCS#7 message holds more than %d certificates",
                         CERTS_ONLY_MAX);
    for (int i = 0; i < sk_X509_num(certs); i++)
        TT_TRY(add(list, sk_X509_value(certs, i), err));
    return list->len > 0 ? TT_OK
                         : error_set(err, TT_ERR_DECODE, "there is no certificate in the PKCS#7 message");
}

tt_rc certs_only_read(struct tt_cert_list **ret, struct tt_bytes der, struct tt_error *err)
{
    if (der.len > MESSAGE_MAX)
        return error_set(err, TT_ERR_DECODE, "the PKCS#7 message is larger than %d bytes", MESSAGE_MAX);
    const uint8_t *at = der.data;
    TT_AUTO(PKCS7_free_auto) PKCS7 *p7 = der.len == 0 ? NULL : d2i_PKCS7(NULL, &at, (long)der.len);
    ERR_clear_error();
    if (p7 == NULL || at != der.data + der.len)
        return error_set(err, TT_ERR_DECODE, "these %zu bytes are no PKCS#7 message", der.len);
    if (!PKCS7_type_is_signed(p7) || p7->d.sign == NULL)
        return error_set(err, TT_ERR_DECODE,
                         "the PKCS#7 message is not of the kind that carries certificates");
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *list = mem_alloc(sizeof *list);
    if (list == NULL)
        return pki_no_memory(err);
    tt_rc rc = take_all(list, p7->d.sign->cert, err);
    ERR_clear_error();
    TT_TRY(rc);
    *ret = TT_TAKE(list);
    return TT_OK;
}
