/* crypto/cert_delegation.c: may this certificate's key sign delegated credentials. Layer: crypto. RFC 9345
 * section 4.2. */
#include "crypto/cert_delegation.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "crypto/trust_internal.h"

/* "DelegationUsage ::= NULL"; the value is not looked at, nor is "MUST be marked non-critical": libcrypto
 * refuses a critical extension it does not know when it judges the path. */
static bool has_delegation_usage(const X509 *x)
{
    static const uint8_t oid[] = {0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xda, 0x4b, 0x2c};
    for (int i = 0; i < X509_get_ext_count(x); i++) {
        const ASN1_OBJECT *object = X509_EXTENSION_get_object(X509_get_ext(x, i));
        if (OBJ_length(object) == sizeof oid && memcmp(OBJ_get0_data(object), oid, sizeof oid) == 0)
            return true;
    }
    return false;
}

/* X509_get_key_usage gives all bits for a certificate without the extension. */
static bool has_digital_signature(X509 *x)
{
    uint32_t usage = X509_get_key_usage(x);
    return usage != UINT32_MAX && (usage & KU_DIGITAL_SIGNATURE) != 0;
}

tt_rc cert_delegation_read(struct cert_delegation *ret, const struct crypto_lib *lib, struct tt_bytes der)
{
    X509 *x = NULL;
    TT_TRY(x509_read(&x, lib, der, NULL));
    struct cert_delegation d = {0};
    tt_rc rc = TT_OK;
    if (X509_check_purpose(x, -1, 0) != 1) /* takes note of the extensions */
        rc = TT_ERR_INTERNAL;
    else if (!time_seconds(&d.not_before, X509_get0_notBefore(x)) ||
             !time_seconds(&d.not_after, X509_get0_notAfter(x)))
        rc = TT_ERR_DECODE;
    if (rc == TT_OK) {
        d.has_delegation_usage = has_delegation_usage(x);
        d.has_digital_signature = has_digital_signature(x);
        *ret = d;
    }
    X509_free(x);
    ERR_clear_error();
    return rc;
}
