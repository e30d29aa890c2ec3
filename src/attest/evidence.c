/* attest/evidence.c: the form in which evidence travels. Layer: attest. draft-ietf-lamps-csr-attestation: an
 * AttestationBundle of two statements and the certificates.
 *
 *     tcg-attest-tpm-certify (2.23.133.20.1): SEQUENCE { tpmSAttest OCTET STRING, signature OCTET STRING,
 *                                                        tpmTPublic OCTET STRING OPTIONAL }
 *     ours (2.25.143693206112119294378124338606665122229.1): what that one has no place for:
 *     SEQUENCE { version INTEGER (1), use INTEGER, nonce OCTET STRING, akPublic OCTET STRING, ekPublic OCTET
 * STRING, quote [0] SEQUENCE { tpmSAttest OCTET STRING, signature OCTET STRING, values OCTET STRING }
 * OPTIONAL, proof [1] SEQUENCE { token OCTET STRING, secret OCTET STRING } OPTIONAL }
 *
 * Statements of other types are passed over. */
#include "attest/evidence.h"

#include <string.h>

#include "wire/attest_form.h"
#include "wire/der.h"

#define MAX_BUNDLE     65536
#define MAX_STATEMENTS 8

static const uint8_t oid_certify[] = {0x67, 0x81, 0x05, 0x14, 0x01};
static const uint8_t oid_device[] = {0x69, 0x81, 0xd8, 0x9a, 0xa7, 0x82, 0xcb, 0xd0, 0xda, 0xb1, 0xaf,
                                     0x9a, 0x9f, 0xcb, 0xed, 0xd7, 0xf4, 0xb1, 0x83, 0x35, 0x01};

static bool bytes_are(struct tt_bytes b, const uint8_t *what, size_t len)
{
    return b.len == len && memcmp(b.data, what, len) == 0;
}

tt_rc evidence_extra(uint8_t ret[32], const struct crypto_lib *lib, const struct tt_evidence *e, bool quote)
{
    struct buf text = {0};
    tt_rc rc = form_extra(&text, e->use == TT_ATTEST_TLS, quote, e->nonce);
    if (rc == TT_OK)
        rc = hash_digest(lib, HASH_SHA256, buf_bytes(&text), ret);
    buf_free(&text);
    return rc;
}

/* ---- writing ---- */

static void certify_put(struct writer *w, const struct tt_evidence *e)
{
    struct der_mark statement = der_open(w, DER_SEQUENCE);
    der_put(w, DER_OID, (struct tt_bytes){oid_certify, sizeof oid_certify});
    struct der_mark body = der_open(w, DER_SEQUENCE);
    der_put(w, DER_OCTET_STRING, e->certify);
    der_put(w, DER_OCTET_STRING, e->certify_signature);
    der_put(w, DER_OCTET_STRING, e->key_public);
    der_close(w, body);
    der_close(w, statement);
}

static void quote_put(struct writer *w, const struct tt_evidence *e)
{
    struct der_mark quote = der_open(w, DER_EXPLICIT_0);
    struct der_mark body = der_open(w, DER_SEQUENCE);
    der_put(w, DER_OCTET_STRING, e->quote);
    der_put(w, DER_OCTET_STRING, e->quote_signature);
    der_put(w, DER_OCTET_STRING, e->pcr_values);
    der_close(w, body);
    der_close(w, quote);
}

static void proof_put(struct writer *w, const struct tt_evidence *e)
{
    struct der_mark proof = der_open(w, DER_EXPLICIT_0 + 1);
    struct der_mark body = der_open(w, DER_SEQUENCE);
    der_put(w, DER_OCTET_STRING, e->token);
    der_put(w, DER_OCTET_STRING, e->secret);
    der_close(w, body);
    der_close(w, proof);
}

static void device_put(struct writer *w, const struct tt_evidence *e)
{
    struct der_mark statement = der_open(w, DER_SEQUENCE);
    der_put(w, DER_OID, (struct tt_bytes){oid_device, sizeof oid_device});
    struct der_mark body = der_open(w, DER_SEQUENCE);
    der_put_u32(w, 1);
    der_put_u32(w, (uint32_t)e->use);
    der_put(w, DER_OCTET_STRING, e->nonce);
    der_put(w, DER_OCTET_STRING, e->ak_public);
    der_put(w, DER_OCTET_STRING, e->ek_public);
    if (e->quote.len > 0)
        quote_put(w, e);
    if (e->token.len > 0)
        proof_put(w, e);
    der_close(w, body);
    der_close(w, statement);
}

tt_rc tt_evidence_write(uint8_t **ret, size_t *ret_len, const struct tt_evidence *e, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf der = {.max = MAX_BUNDLE};
    struct writer w = writer_to(&der);
    struct der_mark bundle = der_open(&w, DER_SEQUENCE), statements = der_open(&w, DER_SEQUENCE);
    certify_put(&w, e);
    device_put(&w, e);
    der_close(&w, statements);
    if (e->certs_len > 0) {
        struct der_mark certs = der_open(&w, DER_SEQUENCE);
        for (size_t i = 0; i < e->certs_len && i < TT_EVIDENCE_CERTS; i++)
            wr_bytes(&w, e->certs[i]);
        der_close(&w, certs);
    }
    der_close(&w, bundle);
    uint8_t *copy = wr_status(&w) == TT_OK ? mem_dup(buf_front(&der), buf_size(&der)) : NULL;
    if (copy == NULL)
        return error_set(err, TT_ERR_MEMORY, "the evidence is too long, or there is no memory");
    *ret = copy;
    *ret_len = buf_size(&der);
    return TT_OK;
}

/* ---- reading ---- */

static void certify_get(struct tt_evidence *e, struct reader *statement)
{
    struct reader r = der_enter(statement, DER_SEQUENCE);
    if (e->certify.len > 0)
        rd_fail(&r); /* there twice: which one counts? */
    e->certify = der_get(&r, DER_OCTET_STRING);
    e->certify_signature = der_get(&r, DER_OCTET_STRING);
    e->key_public = der_get(&r, DER_OCTET_STRING);
    if (rd_done(&r) != TT_OK)
        rd_fail(statement);
}

static void quote_get(struct tt_evidence *e, struct reader *body)
{
    struct reader tagged = der_enter(body, DER_EXPLICIT_0), r = der_enter(&tagged, DER_SEQUENCE);
    e->quote = der_get(&r, DER_OCTET_STRING);
    e->quote_signature = der_get(&r, DER_OCTET_STRING);
    e->pcr_values = der_get(&r, DER_OCTET_STRING);
    if (rd_done(&r) != TT_OK || rd_done(&tagged) != TT_OK || e->quote.len == 0)
        rd_fail(body);
}

static void proof_get(struct tt_evidence *e, struct reader *body)
{
    struct reader tagged = der_enter(body, DER_EXPLICIT_0 + 1), r = der_enter(&tagged, DER_SEQUENCE);
    e->token = der_get(&r, DER_OCTET_STRING);
    e->secret = der_get(&r, DER_OCTET_STRING);
    if (rd_done(&r) != TT_OK || rd_done(&tagged) != TT_OK || e->token.len == 0)
        rd_fail(body);
}

static void device_get(struct tt_evidence *e, struct reader *statement)
{
    struct reader r = der_enter(statement, DER_SEQUENCE);
    if (e->ak_public.len > 0 || der_get_u32(&r) != 1)
        rd_fail(&r);
    uint32_t use = der_get_u32(&r);
    e->use = use == TT_ATTEST_TLS ? TT_ATTEST_TLS : TT_ATTEST_ENROL;
    e->nonce = der_get(&r, DER_OCTET_STRING);
    e->ak_public = der_get(&r, DER_OCTET_STRING);
    e->ek_public = der_get(&r, DER_OCTET_STRING);
    if (der_next_tag(&r) == DER_EXPLICIT_0)
        quote_get(e, &r);
    if (der_next_tag(&r) == DER_EXPLICIT_0 + 1)
        proof_get(e, &r);
    if (use > TT_ATTEST_TLS || e->nonce.len != TT_ATTEST_NONCE || e->ak_public.len == 0 ||
        rd_done(&r) != TT_OK)
        rd_fail(statement);
}

static void statement_get(struct tt_evidence *e, struct reader *statements)
{
    struct reader r = der_enter(statements, DER_SEQUENCE);
    struct tt_bytes type = der_get(&r, DER_OID);
    if (bytes_are(type, oid_certify, sizeof oid_certify))
        certify_get(e, &r);
    else if (bytes_are(type, oid_device, sizeof oid_device))
        device_get(e, &r);
    else
        (void)rd_rest(&r);
    if (rd_done(&r) != TT_OK)
        rd_fail(statements);
}

/* LimitedCertChoices: `other` ([3]) is passed over. */
static void certs_get(struct tt_evidence *e, struct reader *bundle)
{
    struct reader r = der_enter(bundle, DER_SEQUENCE);
    while (rd_left(&r) > 0 && !r.failed) {
        const uint8_t *from = r.at;
        int tag = der_next_tag(&r);
        (void)der_get(&r, (unsigned)tag);
        if (tag != DER_SEQUENCE && tag != 0xa3)
            rd_fail(&r);
        if (tag != DER_SEQUENCE || r.failed)
            continue;
        if (e->certs_len == TT_EVIDENCE_CERTS)
            rd_fail(&r);
        else
            e->certs[e->certs_len++] = (struct tt_bytes){from, (size_t)(r.at - from)};
    }
    if (rd_done(&r) != TT_OK)
        rd_fail(bundle);
}

tt_rc tt_evidence_read(struct tt_evidence *ret, struct tt_bytes der, struct tt_error *err)
{
    struct tt_evidence e = {.certs_len = 0};
    struct reader outer = reader_of(der), bundle = der_enter(&outer, DER_SEQUENCE);
    struct reader statements = der_enter(&bundle, DER_SEQUENCE);
    size_t n = 0;
    if (der.len > MAX_BUNDLE)
        rd_fail(&outer);
    while (rd_left(&statements) > 0 && !statements.failed && n++ < MAX_STATEMENTS)
        statement_get(&e, &statements);
    if (rd_left(&bundle) > 0)
        certs_get(&e, &bundle);
    if (rd_done(&statements) != TT_OK || rd_done(&bundle) != TT_OK || rd_done(&outer) != TT_OK)
        return error_set(err, TT_ERR_DECODE, "the evidence is damaged: it is no AttestationBundle");
    if (e.ak_public.len == 0)
        return error_set(err, TT_ERR_DECODE,
                         "the evidence lacks the statement with the attestation key and the endorsement key");
    *ret = e;
    return TT_OK;
}
