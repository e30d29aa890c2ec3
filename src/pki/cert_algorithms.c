/* pki/cert_algorithms.c: see cert_algorithms.h. Layer: pki. The words are those that haproxy sends
 * (proxy-protocol.txt section 2.2.6 only gives examples). */
#include "pki/cert_algorithms.h"

#include <openssl/x509.h>
#include <stdio.h>

#include "base/mem.h"

static void key_name(char *ret, size_t cap, EVP_PKEY *key)
{
    int id = key == NULL ? EVP_PKEY_NONE : EVP_PKEY_get_base_id(key);
    const char *name = key == NULL ? "" : OBJ_nid2sn(id);
    if (id == EVP_PKEY_RSA || id == EVP_PKEY_EC)
        (void)snprintf(ret, cap, "%s%d", id == EVP_PKEY_RSA ? "RSA" : "EC", EVP_PKEY_get_bits(key));
    else
        (void)snprintf(ret, cap, "%s", name == NULL ? "" : name);
}

tt_rc cert_algorithms_read(struct cert_algorithms *ret, struct tt_bytes der)
{
    const uint8_t *at = der.data;
    X509 *x = der.len > 0 && der.len <= INT32_MAX ? d2i_X509(NULL, &at, (long)der.len) : NULL;
    if (x == NULL)
        return TT_ERR_DECODE;
    const char *signature = OBJ_nid2sn(X509_get_signature_nid(x));
    key_name(ret->key, sizeof ret->key, X509_get0_pubkey(x));
    (void)snprintf(ret->signature, sizeof ret->signature, "%s", signature == NULL ? "" : signature);
    X509_free(x);
    return TT_OK;
}
