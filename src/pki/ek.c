/* pki/ek.c: does a TPM's endorsement certificate lead to a vendor's root. Layer: pki. RFC 5280 section 6, by
 * libcrypto; TCG EK Credential Profile section 3.2. The certificate's extended key usage
 * (tcg-kp-EKCertificate) is not one of TLS, so no purpose is demanded; some vendors' chains are not in the
 * TPM, so the roots' file may hold intermediates as well. */
#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "base/rc.h"
#include "tpmtls/pki.h"

static X509 *certificate_read(struct tt_bytes der)
{
    const unsigned char *at = der.data;
    return der.len > INT32_MAX ? NULL : d2i_X509(NULL, &at, (long)der.len);
}

/* What came with the certificate: trusted for nothing. What cannot be read is passed over. */
static bool load_between(STACK_OF(X509) * between, const struct tt_cert_list *list)
{
    for (size_t i = 0; list != NULL && i < list->len; i++) {
        X509 *x = certificate_read(list->certs[i]);
        if (x != NULL && sk_X509_push(between, x) <= 0) {
            X509_free(x);
            return false;
        }
    }
    return true;
}

/* Self-signed ones are anchors; the others may stand between. */
static bool load(X509_STORE *store, STACK_OF(X509) * between, const struct tt_cert_list *roots)
{
    for (size_t i = 0; i < roots->len; i++) {
        X509 *x = certificate_read(roots->certs[i]);
        if (x == NULL)
            return false;
        bool anchor = X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x)) == 0;
        bool ok =
            anchor ? X509_STORE_add_cert(store, x) == 1 : sk_X509_push(between, x) > 0 && X509_up_ref(x) == 1;
        X509_free(x);
        if (!ok)
            return false;
    }
    return true;
}

static tt_rc verify(X509_STORE_CTX *ctx, int64_t now, struct tt_error *err)
{
    X509_STORE_CTX_set_time(ctx, 0, (time_t)now);
    if (X509_verify_cert(ctx) == 1)
        return TT_OK;
    return error_set(err, TT_ERR_VERIFY, "the certificate leads to no root: %s",
                     X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
}

tt_rc tt_cert_leads_to(struct tt_bytes der, const struct tt_cert_list *roots, int64_t now,
                       struct tt_error *err)
{
    return tt_cert_leads_to_through(der, NULL, roots, now, err);
}

tt_rc tt_cert_leads_to_through(struct tt_bytes der, const struct tt_cert_list *through,
                               const struct tt_cert_list *roots, int64_t now, struct tt_error *err)
{
    X509 *leaf = certificate_read(der);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *between = sk_X509_new_null();
    tt_rc rc = TT_OK;
    if (leaf == NULL)
        rc = error_set(err, TT_ERR_DECODE, "this is not a certificate");
    else if (store == NULL || ctx == NULL || between == NULL || !load(store, between, roots) ||
             !load_between(between, through) || X509_STORE_CTX_init(ctx, store, leaf, between) != 1)
        rc = error_set(err, TT_ERR_DECODE, "the roots cannot be read");
    else
        rc = verify(ctx, now, err);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    sk_X509_pop_free(between, X509_free);
    X509_free(leaf);
    ERR_clear_error();
    return rc;
}
