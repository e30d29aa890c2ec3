/* pki/csr_create.c: tt_csr_create: a PKCS#10 request. Layer: pki. RFC 2986 section 4; the names go into an
 * extensionRequest attribute (RFC 2985 section 5.4.2). */
#include <string.h>

#include "pki/csr.h"
#include "pki/dn.h"
#include "pki/key.h"
#include "pki/san.h"
#include "pki/signed.h"
#include "pki/text.h"
#include "wire/pem.h"

/* The attribute extensionRequest. */
static tt_rc extension_request_put(struct buf *to, const GENERAL_NAMES *sans, bool critical)
{
    static const uint8_t extension_request[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14};
    TT_AUTO(extensions_free_auto) extensions *exts = NULL;
    TT_AUTO(ossl_free_auto) uint8_t *der = NULL;
    if (X509V3_add1_i2d(&exts, NID_subject_alt_name, (void *)(uintptr_t)sans, critical, 0) != 1)
        return TT_ERR_MEMORY;
    int len = i2d_X509_EXTENSIONS(exts, &der);
    if (len <= 0)
        return TT_ERR_MEMORY;
    struct writer w = writer_to(to);
    struct der_mark attribute = der_open(&w, DER_SEQUENCE);
    der_put(&w, DER_OID, (struct tt_bytes){extension_request, sizeof extension_request});
    der_put(&w, 0x31, (struct tt_bytes){der, (size_t)len});
    der_close(&w, attribute);
    return wr_status(&w);
}

/* attributes [0] { extensionRequest, those of the caller }: a SET OF, there also when it is empty. */
static tt_rc attributes_put(struct writer *w, const GENERAL_NAMES *sans, bool critical,
                            const struct tt_csr_params *params)
{
    TT_AUTO(buf_free) struct buf names = {0};
    TT_AUTO(mem_free_auto) struct tt_bytes *all = mem_alloc((params->attributes_len + 1) * sizeof *all);
    if (all == NULL)
        return TT_ERR_MEMORY;
    size_t n = 0;
    for (; n < params->attributes_len; n++)
        all[n] = params->attributes[n];
    if (sans != NULL) {
        TT_TRY(extension_request_put(&names, sans, critical));
        all[n++] = buf_bytes(&names);
    }
    der_sort(all, n);
    struct der_mark set0 = der_open(w, DER_EXPLICIT_0);
    for (size_t i = 0; i < n; i++)
        wr_bytes(w, all[i]);
    der_close(w, set0);
    return wr_status(w);
}

/* CertificationRequestInfo. */
static tt_rc info_build(struct buf *to, const X509_NAME *subject, const GENERAL_NAMES *sans,
                        const struct tt_csr_params *params, struct tt_bytes spki)
{
    const uint8_t *name = NULL;
    size_t name_len = 0;
    if (X509_NAME_get0_der(subject, &name, &name_len) != 1)
        return TT_ERR_MEMORY;
    struct writer w = writer_to(to);
    struct der_mark info = der_open(&w, DER_SEQUENCE);
    der_put_u32(&w, 0); /* version v1 */
    wr_bytes(&w, (struct tt_bytes){name, name_len});
    wr_bytes(&w, spki);
    /* "If the subject field contains an empty sequence, then the issuing CA MUST include a subjectAltName
     * extension that is marked as critical" (RFC 5280 section 4.2.1.6): so it is asked for. */
    TT_TRY(attributes_put(&w, sans, X509_NAME_entry_count(subject) == 0, params));
    der_close(&w, info);
    return wr_status(&w);
}

/* Verify after sign: a request that no CA will take is better refused here. */
static tt_rc result_check(struct tt_bytes der, struct tt_error *err)
{
    struct csr check;
    struct tt_error why = {0};
    tt_rc rc = csr_read(&check, der, &why);
    if (rc == TT_OK)
        csr_free(&check);
    else if (rc == TT_ERR_VERIFY)
        return error_set(err, TT_ERR_INTERNAL,
                         "the key made a signature that its public key does not verify");
    else
        return error_set(err, rc, "%s", why.text);
    return TT_OK;
}

static tt_rc subject_parse(X509_NAME **ret, const struct tt_csr_params *params, struct tt_error *err)
{
    const char *text = params->subject;
    if (text != NULL && text[0] != '\0' && strcmp(text, "/") != 0)
        return dn_parse(ret, text, err);
    if (params->sans_len == 0) {
        (void)error_set(err, TT_ERR_USAGE, "the request has neither a subject nor alternative names");
        error_hint(err, "give a subject such as /CN=device-1, or names with --san");
        return TT_ERR_USAGE;
    }
    *ret = X509_NAME_new();
    return *ret != NULL ? TT_OK : pki_no_memory(err);
}

static tt_rc request_build(char **ret_pem, const X509_NAME *subject, const GENERAL_NAMES *sans,
                           const struct tt_csr_params *params, const struct tt_pki_signer *signer,
                           struct tt_error *err)
{
    TT_AUTO(EVP_PKEY_free_auto) EVP_PKEY *key = spki_read(signer->spki);
    TT_TRY(key_accept(key, "the", NULL, err));
    TT_AUTO(buf_free) struct buf info = {0};
    TT_AUTO(buf_free) struct buf der = {0};
    TT_AUTO(buf_free) struct buf pem = {0};
    if (info_build(&info, subject, sans, params, signer->spki) != TT_OK)
        return pki_no_memory(err);
    TT_TRY(signed_build(&der, buf_bytes(&info), signer, err));
    TT_TRY(result_check(buf_bytes(&der), err));
    if (pem_write(&pem, "CERTIFICATE REQUEST", buf_bytes(&der)) != TT_OK || text_take(ret_pem, &pem) != TT_OK)
        return pki_no_memory(err);
    return TT_OK;
}

tt_rc tt_csr_create(char **ret_pem, const struct tt_csr_params *params, const struct tt_pki_signer *signer,
                    struct tt_error *err)
{
    TT_AUTO(X509_NAME_free_auto) X509_NAME *subject = NULL;
    TT_AUTO(GENERAL_NAMES_free_auto) GENERAL_NAMES *sans = NULL;
    TT_TRY(subject_parse(&subject, params, err));
    TT_TRY(san_parse(&sans, params->sans, params->sans_len, err));
    return request_build(ret_pem, subject, sans, params, signer, err);
}

tt_rc csr_create_like(char **ret_pem, struct tt_bytes cert, const struct tt_csr_params *params,
                      const struct tt_pki_signer *signer, struct tt_error *err)
{
    TT_AUTO(X509_free_auto) X509 *x = cert_read(cert);
    if (x == NULL)
        return error_set(err, TT_ERR_DECODE, "the certificate that is to be renewed is none");
    TT_AUTO(GENERAL_NAMES_free_auto)
    GENERAL_NAMES *sans = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    tt_rc rc = request_build(ret_pem, X509_get_subject_name(x), sans, params, signer, err);
    ERR_clear_error();
    return rc;
}

/* The info, then the AlgorithmIdentifier of the scheme, then a signature. */
static bool begins_with(struct tt_bytes der, struct tt_bytes info, struct tt_bytes algorithm)
{
    struct reader r = reader_of(der), whole = der_enter(&r, DER_SEQUENCE);
    struct tt_bytes is_info = rd_bytes(&whole, info.len), is_algorithm = rd_bytes(&whole, algorithm.len);
    return !whole.failed && info.len > 0 && memcmp(is_info.data, info.data, info.len) == 0 &&
           memcmp(is_algorithm.data, algorithm.data, algorithm.len) == 0;
}

/* Is this PEM what request_build would make, but for the signature? */
static bool request_is(const char *pem, const X509_NAME *subject, const GENERAL_NAMES *sans,
                       const struct tt_csr_params *params, const struct tt_pki_signer *signer)
{
    TT_AUTO(buf_free) struct buf info = {0};
    TT_AUTO(pem_block_free) struct pem_block block = {0};
    struct tt_bytes algorithm;
    return pem_find(&block, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)}, "CERTIFICATE REQUEST") ==
               TT_OK &&
           signed_algorithm(&algorithm, signer->scheme, NULL) == TT_OK &&
           info_build(&info, subject, sans, params, signer->spki) == TT_OK &&
           begins_with((struct tt_bytes){block.der, block.len}, buf_bytes(&info), algorithm) &&
           result_check((struct tt_bytes){block.der, block.len}, NULL) == TT_OK;
}

bool csr_asks_the_same(const char *pem, const struct tt_csr_params *params,
                       const struct tt_pki_signer *signer)
{
    TT_AUTO(X509_NAME_free_auto) X509_NAME *subject = NULL;
    TT_AUTO(GENERAL_NAMES_free_auto) GENERAL_NAMES *sans = NULL;
    bool is = subject_parse(&subject, params, NULL) == TT_OK &&
              san_parse(&sans, params->sans, params->sans_len, NULL) == TT_OK &&
              request_is(pem, subject, sans, params, signer);
    ERR_clear_error();
    return is;
}

bool csr_is_like(const char *pem, struct tt_bytes cert, const struct tt_csr_params *params,
                 const struct tt_pki_signer *signer)
{
    TT_AUTO(X509_free_auto) X509 *x = cert_read(cert);
    TT_AUTO(GENERAL_NAMES_free_auto)
    GENERAL_NAMES *sans = x == NULL ? NULL : X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    bool is = x != NULL && request_is(pem, X509_get_subject_name(x), sans, params, signer);
    ERR_clear_error();
    return is;
}
