/* pki/csr_evidence.c: the attestation that comes with a request. Layer: pki.
 * draft-ietf-lamps-csr-attestation, section "CSR Attribute and Extension": one attribute id-aa-attestation at
 * the most, with one AttestationBundle in it. A request is hostile. */
#include <string.h>

#include "pki/csr.h"
#include "pki/text.h"
#include "tpmtls/attest.h"
#include "wire/der.h"
#include "wire/pem.h"

/* id-aa-attestation (id-aa-evidence), 1.2.840.113549.1.9.16.2.59 */
static const uint8_t id_aa_attestation[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x02, 0x3b};

tt_rc tt_evidence_attribute(uint8_t **ret, size_t *ret_len, struct tt_bytes bundle, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf der = {0};
    struct writer w = writer_to(&der);
    struct der_mark attribute = der_open(&w, DER_SEQUENCE);
    der_put(&w, DER_OID, (struct tt_bytes){id_aa_attestation, sizeof id_aa_attestation});
    der_put(&w, 0x31, bundle); /* SET */
    der_close(&w, attribute);
    uint8_t *copy = wr_status(&w) == TT_OK ? mem_dup(buf_front(&der), buf_size(&der)) : NULL;
    if (copy == NULL)
        return pki_no_memory(err);
    *ret = copy;
    *ret_len = buf_size(&der);
    return TT_OK;
}

/* CertificationRequest ::= SEQUENCE { CertificationRequestInfo { version, subject, subjectPKInfo, attributes
 * [0] }, ...
 */
static tt_rc evidence_find(struct tt_bytes *ret, struct tt_bytes der)
{
    struct tt_bytes found = {NULL, 0};
    struct reader outer = reader_of(der), csr = der_enter(&outer, DER_SEQUENCE),
                  info = der_enter(&csr, DER_SEQUENCE);
    (void)der_get(&info, DER_INTEGER);
    (void)der_get(&info, DER_SEQUENCE);
    (void)der_get(&info, DER_SEQUENCE);
    if (rd_status(&info) == TT_OK && rd_left(&info) == 0)
        return TT_ERR_NOT_FOUND; /* some leave the empty SET out */
    struct reader attributes = der_enter(&info, DER_EXPLICIT_0);
    while (rd_left(&attributes) > 0 && !attributes.failed) {
        struct reader attribute = der_enter(&attributes, DER_SEQUENCE);
        struct tt_bytes type = der_get(&attribute, DER_OID);
        struct reader values = der_enter(&attribute, 0x31);
        if (type.len != sizeof id_aa_attestation || memcmp(type.data, id_aa_attestation, type.len) != 0)
            continue;
        const uint8_t *from = values.at;
        (void)der_get(&values, DER_SEQUENCE);
        if (rd_done(&values) != TT_OK || rd_done(&attribute) != TT_OK || found.len > 0)
            return TT_ERR_DECODE;
        found = (struct tt_bytes){from, (size_t)(values.at - from)};
    }
    TT_TRY(rd_done(&attributes));
    if (found.len == 0)
        return TT_ERR_NOT_FOUND;
    *ret = found;
    return TT_OK;
}

static tt_rc evidence_take(uint8_t **ret, size_t *ret_len, struct tt_bytes der, struct tt_error *err)
{
    struct tt_bytes found = {NULL, 0};
    tt_rc rc = evidence_find(&found, der);
    if (rc == TT_ERR_NOT_FOUND)
        return error_set(err, rc, "the certificate request comes without attestation evidence");
    if (rc != TT_OK)
        return error_set(err, TT_ERR_DECODE,
                         "the request's attestation attribute is damaged, or there twice");
    uint8_t *copy = mem_dup(found.data, found.len);
    if (copy == NULL)
        return pki_no_memory(err);
    *ret = copy;
    *ret_len = found.len;
    return TT_OK;
}

tt_rc tt_csr_evidence(uint8_t **ret, size_t *ret_len, struct tt_bytes csr, struct tt_error *err)
{
    TT_AUTO(pem_block_free) struct pem_block b = {0};
    if (csr.len > 0 && csr.data[0] == DER_SEQUENCE)
        return evidence_take(ret, ret_len, csr, err);
    if (pem_find(&b, csr, "CERTIFICATE REQUEST") != TT_OK &&
        pem_find(&b, csr, "NEW CERTIFICATE REQUEST") != TT_OK)
        return error_set(err, TT_ERR_DECODE, "there is no certificate request in PEM form");
    return evidence_take(ret, ret_len, (struct tt_bytes){b.der, b.len}, err);
}
