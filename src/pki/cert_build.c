/* pki/cert_build.c: TBSCertificate and its extensions. Layer: pki. RFC 5280 sections 4.1 and 4.2; the
 * extensions' values are libcrypto's work. Reads no clock. */
#include "pki/cert_build.h"

#include <string.h>
#include <time.h>

#include "crypto/lib.h"
#include "pki/key.h"
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

static bool add(extensions **to, int nid, const void *value, bool critical)
{
    return value != NULL && X509V3_add1_i2d(to, nid, (void *)(uintptr_t)value, critical, 0) == 1;
}

/* The first 160 bits of SHA-256 over the key's bits (RFC 7093 section 2, method 1). */
static ASN1_OCTET_STRING *key_id(struct tt_bytes spki)
{
    struct reader r = reader_of(spki);
    struct reader info = der_enter(&r, DER_SEQUENCE);
    (void)der_get(&info, DER_SEQUENCE);
    struct tt_bytes bits = der_get(&info, DER_BIT_STRING);
    uint8_t digest[32];
    if (rd_status(&info) != TT_OK || bits.len < 2 ||
        EVP_Digest(bits.data + 1, bits.len - 1, digest, NULL, EVP_sha256(), NULL) != 1)
        return NULL;
    ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
    if (id != NULL && ASN1_OCTET_STRING_set(id, digest, 20) == 1)
        return id;
    ASN1_OCTET_STRING_free(id);
    return NULL;
}

static bool add_subject_key_id(extensions **to, struct tt_bytes spki)
{
    TT_AUTO(ASN1_OCTET_STRING_free_auto) ASN1_OCTET_STRING *id = key_id(spki);
    return add(to, NID_subject_key_identifier, id, false);
}

static bool add_issuer_key_id(extensions **to, const ASN1_OCTET_STRING *id)
{
    if (id == NULL)
        return true;
    AUTHORITY_KEYID *aki = AUTHORITY_KEYID_new();
    bool ok = aki != NULL && (aki->keyid = ASN1_OCTET_STRING_dup(id)) != NULL &&
              add(to, NID_authority_key_identifier, aki, false);
    AUTHORITY_KEYID_free(aki);
    return ok;
}

/* pathlen < 0: not a CA. */
static bool add_constraints(extensions **to, long pathlen)
{
    TT_AUTO(BASIC_CONSTRAINTS_free_auto) BASIC_CONSTRAINTS *bc = BASIC_CONSTRAINTS_new();
    if (bc == NULL)
        return false;
    if (pathlen >= 0) {
        bc->ca = 0xff;
        bc->pathlen = ASN1_INTEGER_new();
        if (bc->pathlen == NULL || ASN1_INTEGER_set(bc->pathlen, pathlen) != 1)
            return false;
    }
    return add(to, NID_basic_constraints, bc, true);
}

/* bits: numbers of RFC 5280 section 4.2.1.3, ended by -1. */
static bool add_key_usage(extensions **to, const int *bits)
{
    ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
    bool ok = usage != NULL;
    for (; ok && *bits >= 0; bits++)
        ok = ASN1_BIT_STRING_set_bit(usage, *bits, 1) == 1;
    ok = ok && add(to, NID_key_usage, usage, true);
    ASN1_BIT_STRING_free(usage);
    return ok;
}

static bool add_purposes(extensions **to, bool client, bool server)
{
    EXTENDED_KEY_USAGE *eku = EXTENDED_KEY_USAGE_new();
    bool ok = eku != NULL;
    if (ok && server)
        ok = sk_ASN1_OBJECT_push(eku, OBJ_nid2obj(NID_server_auth)) > 0;
    if (ok && client)
        ok = sk_ASN1_OBJECT_push(eku, OBJ_nid2obj(NID_client_auth)) > 0;
    ok = ok && add(to, NID_ext_key_usage, eku, false);
    EXTENDED_KEY_USAGE_free(eku);
    return ok;
}

/* "DelegationUsage ::= NULL", "MUST be marked non-critical" (RFC 9345 section 4.2). */
static bool add_delegation_usage(extensions **to)
{
    static const uint8_t null_value[] = {0x05, 0x00};
    ASN1_OBJECT *id = OBJ_txt2obj("1.3.6.1.4.1.44363.44", 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *e = NULL;
    bool ok =
        id != NULL && value != NULL && ASN1_OCTET_STRING_set(value, null_value, sizeof null_value) == 1 &&
        (e = X509_EXTENSION_create_by_OBJ(NULL, id, 0, value)) != NULL && X509v3_add_ext(to, e, -1) != NULL;
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(id);
    return ok;
}

tt_rc extensions_ca(extensions **ret, struct tt_bytes spki, struct tt_error *err)
{
    static const int usage[] = {5 /* keyCertSign */, 6 /* cRLSign */, -1};
    TT_AUTO(extensions_free_auto) extensions *e = NULL;
    if (!add_constraints(&e, 0) || !add_key_usage(&e, usage) || !add_subject_key_id(&e, spki))
        return pki_no_memory(err);
    *ret = TT_TAKE(e);
    return TT_OK;
}

tt_rc extensions_leaf(extensions **ret, const struct leaf_plan *plan, struct tt_error *err)
{
    static const int usage[] = {0 /* digitalSignature */, -1};
    TT_AUTO(extensions_free_auto) extensions *e = NULL;
    if (!add_constraints(&e, -1) || !add_key_usage(&e, usage) ||
        !add_purposes(&e, plan->client, plan->server) || !add_subject_key_id(&e, plan->spki) ||
        !add_issuer_key_id(&e, plan->issuer_key_id) || (plan->delegation && !add_delegation_usage(&e)) ||
        (plan->sans != NULL && !add(&e, NID_subject_alt_name, plan->sans, plan->san_critical)))
        return pki_no_memory(err);
    *ret = TT_TAKE(e);
    return TT_OK;
}

/* ---- TBSCertificate ---- */

static bool put_name(struct writer *w, const X509_NAME *name)
{
    const uint8_t *der = NULL;
    size_t len = 0;
    if (X509_NAME_get0_der(name, &der, &len) != 1)
        return false;
    wr_bytes(w, (struct tt_bytes){der, len});
    return true;
}

/* UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5): ASN1_TIME_set knows. */
static bool put_time(struct writer *w, int64_t seconds)
{
    ASN1_TIME *t = ASN1_TIME_set(NULL, (time_t)seconds);
    TT_AUTO(ossl_free_auto) uint8_t *der = NULL;
    int len = t == NULL ? -1 : i2d_ASN1_TIME(t, &der);
    ASN1_TIME_free(t);
    if (len <= 0)
        return false;
    wr_bytes(w, (struct tt_bytes){der, (size_t)len});
    return true;
}

static bool put_extensions(struct writer *w, const extensions *exts)
{
    TT_AUTO(ossl_free_auto) uint8_t *der = NULL;
    int len = i2d_X509_EXTENSIONS(exts, &der);
    if (len <= 0)
        return false;
    der_put(w, DER_EXPLICIT_0 + 3, (struct tt_bytes){der, (size_t)len});
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
    bool ok = put_name(&w, plan->issuer);
    struct der_mark validity = der_open(&w, DER_SEQUENCE);
    ok = ok && put_time(&w, plan->not_before) && put_time(&w, plan->not_after);
    der_close(&w, validity);
    ok = ok && put_name(&w, plan->subject);
    wr_bytes(&w, plan->spki);
    ok = ok && put_extensions(&w, plan->exts);
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
    return result_check(buf_bytes(to), issuer->spki, err);
}
