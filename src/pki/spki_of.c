/* pki/spki_of.c: tt_spki_of: the public key in a certificate, a request, or a file of its own. Layer: pki.
 * Judges nothing. */
#include <string.h>

#include "pki/csr.h"
#include "pki/fields.h"
#include "wire/der.h"
#include "wire/pem.h"

/* CertificationRequestInfo ::= SEQUENCE { version, subject, subjectPKInfo, attributes } */
static struct tt_bytes request_key(struct tt_bytes der)
{
    struct reader outer = reader_of(der), csr = der_enter(&outer, DER_SEQUENCE),
                  info = der_enter(&csr, DER_SEQUENCE);
    (void)der_get(&info, DER_INTEGER);
    (void)der_get(&info, DER_SEQUENCE);
    const uint8_t *from = info.at;
    (void)der_get(&info, DER_SEQUENCE);
    return info.failed ? (struct tt_bytes){NULL, 0} : (struct tt_bytes){from, (size_t)(info.at - from)};
}

/* A SubjectPublicKeyInfo is a SEQUENCE and a BIT STRING. */
static struct tt_bytes key_in(struct tt_bytes der)
{
    struct cert_fields fields;
    if (cert_fields_read(&fields, der) == TT_OK)
        return fields.spki;
    if (spki_public_key(der).len > 0)
        return der;
    struct tt_bytes key = request_key(der);
    return spki_public_key(key).len > 0 ? key : (struct tt_bytes){NULL, 0};
}

static tt_rc take(uint8_t **ret, size_t *ret_len, struct tt_bytes key, struct tt_error *err)
{
    if (key.len == 0)
        return error_set(err, TT_ERR_DECODE,
                         "there is no certificate, certificate request or public key in it");
    uint8_t *copy = mem_dup(key.data, key.len);
    if (copy == NULL)
        return pki_no_memory(err);
    *ret = copy;
    *ret_len = key.len;
    return TT_OK;
}

tt_rc tt_spki_of(uint8_t **ret, size_t *ret_len, struct tt_bytes text, struct tt_error *err)
{
    static const char *const labels[] = {"CERTIFICATE", "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST",
                                         "PUBLIC KEY"};
    if (text.len > 0 && text.data[0] == DER_SEQUENCE)
        return take(ret, ret_len, key_in(text), err);
    for (size_t i = 0; i < TT_COUNT(labels); i++) {
        TT_AUTO(pem_block_free) struct pem_block b = {0};
        if (pem_find(&b, text, labels[i]) == TT_OK)
            return take(ret, ret_len, key_in((struct tt_bytes){b.der, b.len}), err);
    }
    return take(ret, ret_len, (struct tt_bytes){NULL, 0}, err);
}
