/* pki/crl_build.c: see crl_build.h. Layer: pki. Written out by hand, since a list of 100,000 is made in one
 * go. */
#include "pki/crl_build.h"

#include "pki/cert_build.h"
#include "pki/signed.h"

void crl_entry_put(struct writer *w, struct tt_bytes serial, int64_t revoked, int reason)
{
    struct der_mark entry = der_open(w, DER_SEQUENCE);
    der_put_uint(w, serial);
    if (!cert_put_time(w, revoked))
        w->failed = true;
    /* "reasonCode ... should be absent instead of using the unspecified (0) reasonCode value" */
    if (reason > 0) {
        struct der_mark exts = der_open(w, DER_SEQUENCE);
        extension_crl_reason(w, reason);
        der_close(w, exts);
    }
    der_close(w, entry);
}

static tt_rc tbs_build(struct buf *to, const struct crl_plan *plan, struct tt_bytes algorithm,
                       struct tt_error *err)
{
    struct writer w = writer_to(to);
    struct der_mark whole = der_open(&w, DER_SEQUENCE);
    der_put_u32(&w, 1); /* v2 */
    wr_bytes(&w, algorithm);
    bool ok = cert_put_name(&w, plan->issuer) && cert_put_time(&w, plan->this_update) &&
              cert_put_time(&w, plan->next_update);
    if (plan->entries.len >
        0) /* "when there are no revoked certificates, the revoked certificates list MUST be absent" */
        der_put(&w, DER_SEQUENCE, plan->entries);
    struct der_mark outer = der_open(&w, DER_EXPLICIT_0), list = der_open(&w, DER_SEQUENCE);
    if (plan->issuer_key_id.len > 0)
        extension_authority_key_id(&w, plan->issuer_key_id);
    extension_crl_number(&w, plan->number);
    if (plan->base > 0)
        extension_delta_indicator(&w, plan->base);
    if (plan->freshest.len > 0)
        extension_freshest_crl(&w, plan->freshest);
    der_close(&w, list);
    der_close(&w, outer);
    der_close(&w, whole);
    return ok && wr_status(&w) == TT_OK ? TT_OK : pki_no_memory(err);
}

static tt_rc result_check(struct tt_bytes der, struct tt_bytes spki, struct tt_error *err)
{
    const uint8_t *at = der.data;
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)der.len);
    TT_AUTO(EVP_PKEY_free_auto) EVP_PKEY *key = spki_read(spki);
    bool ok = crl != NULL && key != NULL && X509_CRL_verify(crl, key) == 1;
    X509_CRL_free(crl);
    ERR_clear_error();
    return ok ? TT_OK
              : error_set(err, TT_ERR_INTERNAL,
                          "the CA's key made a signature that its public key does not verify");
}

tt_rc crl_build(struct buf *to, const struct crl_plan *plan, const struct tt_pki_signer *signer,
                struct tt_error *err)
{
    struct tt_bytes algorithm;
    TT_AUTO(buf_free) struct buf tbs = {0};
    if (plan->entries.len >> 30 != 0)
        return error_set(err, TT_ERR_UNSUPPORTED, "the CRL would be larger than a gigabyte");
    TT_TRY(signed_algorithm(&algorithm, signer->scheme, err));
    TT_TRY(tbs_build(&tbs, plan, algorithm, err));
    TT_TRY(signed_build(to, buf_bytes(&tbs), signer, err));
    return signer->checks_itself ? TT_OK : result_check(buf_bytes(to), signer->spki, err);
}
