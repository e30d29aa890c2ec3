/* pki/csr_read.c: a PKCS#10 request from anybody: read, verified, and judged. Layer: pki. RFC 2986, RFC 5280.
 *
 * What a request may ask for is a subject and alternative names. Attacks: asking to become a CA, somebody
 * else's key without its private half, a weak key, names that two programs read differently, sizes that keep
 * us busy. */
#include <string.h>

#include "pki/csr.h"
#include "pki/dn.h"
#include "pki/key.h"
#include "pki/san.h"
#include "pki/signed.h"
#include "pki/text.h"
#include "wire/pem.h"

#define CSR_MAX        65536
#define EXTENSIONS_MAX 32

void csr_free(struct csr *csr)
{
    X509_REQ_free(csr->req);
    GENERAL_NAMES_free(csr->sans);
    *csr = (struct csr){0};
}

/* ---- the form ---- */

/* Says in csr->flaw, beside the sentence, what was wrong. */
static tt_rc flawed(struct csr *csr, enum csr_flaw flaw, tt_rc rc)
{
    csr->flaw = flaw;
    return rc;
}

static tt_rc pem_decode(struct pem_block *ret, struct tt_bytes text, struct tt_error *err)
{
    tt_rc rc = pem_find(ret, text, "CERTIFICATE REQUEST");
    if (rc == TT_ERR_NOT_FOUND)
        rc = pem_find(ret, text, "NEW CERTIFICATE REQUEST"); /* RFC 7468 section 7 lets it pass */
    if (rc == TT_ERR_MEMORY)
        return pki_no_memory(err);
    if (rc == TT_ERR_DECODE)
        return error_set(err, rc, "the certificate request is cut off or is not base64");
    if (rc != TT_OK) {
        bool cert = text_contains(text, "-----BEGIN CERTIFICATE-----");
        (void)error_set(err, TT_ERR_DECODE, "there is no certificate request in PEM form%s",
                        cert ? ", but a certificate" : "");
        error_hint(err, "make a request with: tpmtls csr --key FILE --subject /CN=name");
        return TT_ERR_DECODE;
    }
    return TT_OK;
}

static tt_rc der_parse(X509_REQ **ret, struct tt_bytes der, struct tt_error *err)
{
    const uint8_t *at = der.data;
    TT_AUTO(X509_REQ_free_auto) X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)der.len);
    ERR_clear_error();
    if (req == NULL || at != der.data + der.len || X509_REQ_get_version(req) != X509_REQ_VERSION_1)
        return error_set(err, TT_ERR_DECODE, "the certificate request is damaged: it is no PKCS#10");
    *ret = TT_TAKE(req);
    return TT_OK;
}

static tt_rc csr_parse(struct csr *csr, struct tt_bytes text, struct tt_error *err)
{
    csr->flaw = FLAW_DAMAGED;
    if (text.len > CSR_MAX)
        return error_set(err, flawed(csr, FLAW_TOO_LARGE, TT_ERR_DECODE),
                         "the certificate request is larger than %d bytes, which none needs to be", CSR_MAX);
    if (text.len > 0 && text.data[0] == DER_SEQUENCE)
        return der_parse(&csr->req, text, err);
    TT_AUTO(pem_block_free) struct pem_block b = {0};
    tt_rc rc = pem_decode(&b, text, err);
    if (rc != TT_OK)
        return rc == TT_ERR_MEMORY ? flawed(csr, FLAW_NONE, rc) : rc;
    return der_parse(&csr->req, (struct tt_bytes){b.der, b.len}, err);
}

/* ---- proof of possession ---- */

static tt_rc signature_check(struct csr *csr, struct tt_error *err)
{
    X509_REQ *req = csr->req;
    const X509_ALGOR *algorithm;
    const ASN1_OBJECT *oid;
    X509_REQ_get0_signature(req, NULL, &algorithm);
    X509_ALGOR_get0(&oid, NULL, NULL, algorithm);
    int nid = OBJ_obj2nid(oid);
    if (!signed_accepted(oid))
        return error_set(err, flawed(csr, FLAW_SIGNATURE_KIND, TT_ERR_UNSUPPORTED),
                         "the request is signed with %s, which is not accepted",
                         nid == NID_undef ? "an unknown algorithm" : OBJ_nid2ln(nid));
    bool ok = X509_REQ_verify(req, X509_REQ_get0_pubkey(req)) == 1;
    ERR_clear_error();
    if (ok)
        return TT_OK;
    csr->flaw = FLAW_SIGNATURE;
    (void)error_set(err, TT_ERR_VERIFY,
                    "the request's signature is wrong: nothing shows that its sender has the key");
    error_hint(err, "the request was changed on its way, or was not signed by its own key; make a new one");
    return TT_ERR_VERIFY;
}

/* ---- what it asks for ---- */

static tt_rc refuse_ca(struct csr *csr, const char *what, struct tt_error *err)
{
    csr->flaw = FLAW_ASKS_CA;
    (void)error_set(err, TT_ERR_UNSUPPORTED, "the request asks to become a CA (%s)", what);
    error_hint(err, "this CA issues certificates for clients and servers only");
    return TT_ERR_UNSUPPORTED;
}

static tt_rc extension_damaged(struct csr *csr, int nid, struct tt_error *err)
{
    return error_set(err, flawed(csr, FLAW_DAMAGED, TT_ERR_DECODE), "the request's extension %s is damaged",
                     OBJ_nid2sn(nid));
}

static tt_rc key_usage_check(struct csr *csr, X509_EXTENSION *ext, struct tt_error *err)
{
    ASN1_BIT_STRING *bits = X509V3_EXT_d2i(ext);
    if (bits == NULL)
        return extension_damaged(csr, NID_key_usage, err);
    bool ca = ASN1_BIT_STRING_get_bit(bits, 5) != 0 || ASN1_BIT_STRING_get_bit(bits, 6) != 0;
    ASN1_BIT_STRING_free(bits);
    return ca ? refuse_ca(csr, "keyUsage keyCertSign or cRLSign", err) : TT_OK;
}

static tt_rc constraints_check(struct csr *csr, X509_EXTENSION *ext, struct tt_error *err)
{
    TT_AUTO(BASIC_CONSTRAINTS_free_auto) BASIC_CONSTRAINTS *bc = X509V3_EXT_d2i(ext);
    if (bc == NULL)
        return extension_damaged(csr, NID_basic_constraints, err);
    return bc->ca != 0 ? refuse_ca(csr, "basicConstraints CA:TRUE", err) : TT_OK;
}

/* One DER value and nothing behind it, which libcrypto would pass over. */
static bool extension_whole(X509_EXTENSION *ext)
{
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(ext);
    struct reader r =
        reader_of((struct tt_bytes){ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value)});
    int tag = der_next_tag(&r);
    if (tag < 0)
        return false;
    (void)der_get(&r, (unsigned)tag);
    return rd_done(&r) == TT_OK;
}

static tt_rc extension_check(struct csr *csr, X509_EXTENSION *ext, struct tt_error *err)
{
    int nid = OBJ_obj2nid(X509_EXTENSION_get_object(ext));
    if (nid != NID_undef && !extension_whole(ext))
        return extension_damaged(csr, nid, err);
    switch (nid) {
    case NID_subject_alt_name:
        csr->sans = X509V3_EXT_d2i(ext);
        return csr->sans == NULL ? extension_damaged(csr, nid, err) : san_check(csr->sans, &csr->flaw, err);
    case NID_basic_constraints:
        return constraints_check(csr, ext, err);
    case NID_key_usage:
        return key_usage_check(csr, ext, err);
    case NID_name_constraints:
    case NID_policy_constraints:
    case NID_policy_mappings:
    case NID_inhibit_any_policy:
        return refuse_ca(csr, OBJ_nid2sn(nid), err);
    case NID_ext_key_usage: /* the profile decides */
    case NID_subject_key_identifier:
        return TT_OK;
    default:
        break;
    }
    if (X509_EXTENSION_get_critical(ext) == 0)
        return TT_OK; /* left out of the certificate */
    char oid[80] = "";
    (void)OBJ_obj2txt(oid, sizeof oid, X509_EXTENSION_get_object(ext), 1);
    return error_set(err, flawed(csr, FLAW_CRITICAL_EXTENSION, TT_ERR_UNSUPPORTED),
                     "the request marks an extension as critical that is not known here (%s)", oid);
}

/* "A certificate MUST NOT include more than one instance of a particular extension" (RFC 5280 section 4.2).
 */
static bool extension_repeated(const extensions *exts, int i)
{
    const ASN1_OBJECT *mine = X509_EXTENSION_get_object(sk_X509_EXTENSION_value(exts, i));
    for (int k = 0; k < i; k++)
        if (OBJ_cmp(mine, X509_EXTENSION_get_object(sk_X509_EXTENSION_value(exts, k))) == 0)
            return true;
    return false;
}

/* How many attributes carry extensions; more than one, and programs would disagree about which counts. */
static int extension_attributes(const X509_REQ *req)
{
    int found = 0;
    for (int i = 0; i < X509_REQ_get_attr_count(req); i++) {
        int nid = OBJ_obj2nid(X509_ATTRIBUTE_get0_object(X509_REQ_get_attr(req, i)));
        found += nid == NID_ext_req || nid == NID_ms_ext_req;
    }
    return found;
}

static tt_rc extensions_check(struct csr *csr, struct tt_error *err)
{
    int attributes = extension_attributes(csr->req);
    if (attributes == 0)
        return TT_OK;
    TT_AUTO(extensions_free_auto)
    extensions *exts = attributes == 1 ? X509_REQ_get_extensions(csr->req) : NULL;
    ERR_clear_error();
    if (exts == NULL || sk_X509_EXTENSION_num(exts) > EXTENSIONS_MAX)
        return error_set(err, flawed(csr, attributes > 1 ? FLAW_DUPLICATE : FLAW_DAMAGED, TT_ERR_DECODE),
                         "the request's extensions are damaged, given twice, or too many");
    for (int i = 0; i < sk_X509_EXTENSION_num(exts); i++) {
        if (extension_repeated(exts, i))
            return error_set(err, flawed(csr, FLAW_DUPLICATE, TT_ERR_DECODE),
                             "the request has the same extension twice");
        tt_rc rc = extension_check(csr, sk_X509_EXTENSION_value(exts, i), err);
        ERR_clear_error();
        TT_TRY(rc);
    }
    return TT_OK;
}

static tt_rc csr_check(struct csr *csr, struct tt_error *err)
{
    EVP_PKEY *key = X509_REQ_get0_pubkey(csr->req);
    ERR_clear_error();
    TT_TRY(key_accept(key, "the request's", &csr->flaw, err));
    TT_TRY(signature_check(csr, err));
    csr->flaw = FLAW_CHARACTERS;
    TT_TRY(dn_check(X509_REQ_get_subject_name(csr->req), err));
    csr->flaw = FLAW_NONE;
    TT_TRY(extensions_check(csr, err));
    if (X509_NAME_entry_count(X509_REQ_get_subject_name(csr->req)) == 0 && csr->sans == NULL)
        return error_set(err, flawed(csr, FLAW_SUBJECT_EMPTY, TT_ERR_UNSUPPORTED),
                         "the request has neither a subject nor alternative names");
    return TT_OK;
}

tt_rc csr_read(struct csr *ret, struct tt_bytes text, struct tt_error *err)
{
    TT_AUTO(csr_free) struct csr csr = {0};
    tt_rc rc = csr_parse(&csr, text, err);
    if (rc == TT_OK) {
        csr.flaw = FLAW_NONE;
        rc = csr_check(&csr, err);
    }
    if (rc != TT_OK) {
        ret->flaw = csr.flaw;
        return rc;
    }
    *ret = csr;
    csr = (struct csr){0};
    return TT_OK;
}
