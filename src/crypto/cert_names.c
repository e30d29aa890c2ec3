/* crypto/cert_names.c: names in our own certificates. Layer: crypto. RFC 9525, RFC 5280 section 4.1.2.4. */
#include "crypto/cert_names.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

struct cert_names {
    X509 *x509;
};

tt_rc cert_names_read(struct cert_names **ret, struct tt_bytes der)
{
    const uint8_t *at = der.data;
    struct cert_names *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return TT_ERR_MEMORY;
    c->x509 = der.len <= INT32_MAX ? d2i_X509(NULL, &at, (long)der.len) : NULL;
    if (c->x509 == NULL) {
        ERR_clear_error();
        cert_names_free(c);
        return TT_ERR_DECODE;
    }
    *ret = c;
    return TT_OK;
}

void cert_names_free(struct cert_names *c)
{
    if (c == NULL)
        return;
    X509_free(c->x509);
    mem_free(c);
}

bool cert_names_cover(const struct cert_names *c, struct tt_bytes host)
{
    unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
    return host.len > 0 && X509_check_host(c->x509, (const char *)host.data, host.len, flags, NULL) == 1;
}

struct tt_bytes cert_names_issuer(const struct cert_names *c)
{
    const unsigned char *der = NULL;
    size_t len = 0;
    if (X509_NAME_get0_der(X509_get_issuer_name(c->x509), &der, &len) != 1)
        return (struct tt_bytes){NULL, 0};
    return (struct tt_bytes){der, len};
}
