/* crypto/trust_pin.c: keys and certificates that are trusted by their hash: the SHA-256 of a
 * SubjectPublicKeyInfo, as in DANE (RFC 7671, selector SPKI) and HPKP (RFC 7469), or of a certificate
 * (selector Cert). Raw public keys (RFC 7250) are judged by nothing else. Layer: crypto. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "crypto/trust_internal.h"

size_t trust_pins(const struct tt_trust *t)
{
    return (buf_size(&t->pins) + buf_size(&t->cert_pins)) / PIN_SIZE;
}

bool trust_has_pins_alone(const struct tt_trust *t)
{
    return t->anchors == 0 && trust_pins(t) > 0;
}

bool trust_takes_raw_keys(const struct tt_trust *t)
{
    return t->anchors == 0 && buf_size(&t->pins) > 0;
}

static bool pins_have(const struct buf *pins, const uint8_t pin[PIN_SIZE])
{
    const struct tt_bytes all = buf_bytes(pins);
    bool found = false;
    for (size_t at = 0; at < all.len; at += PIN_SIZE)
        found |= memcmp(all.data + at, pin, PIN_SIZE) == 0;
    return found;
}

static tt_rc key_is_pinned(bool *ret, const struct tt_trust *t, const struct crypto_lib *lib,
                           struct tt_bytes spki)
{
    uint8_t pin[PIN_SIZE];
    TT_TRY(hash_digest(lib, HASH_SHA256, spki, pin));
    *ret = pins_have(&t->pins, pin);
    return TT_OK;
}

tt_rc cert_is_pinned(bool *ret, const struct tt_trust *t, const struct crypto_lib *lib, X509 *x)
{
    uint8_t *spki = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki);
    if (len <= 0)
        return TT_ERR_MEMORY;
    tt_rc rc = key_is_pinned(ret, t, lib, (struct tt_bytes){spki, (size_t)len});
    OPENSSL_free(spki);
    uint8_t whole[EVP_MAX_MD_SIZE];
    if (rc != TT_OK || *ret || buf_size(&t->cert_pins) == 0)
        return rc;
    if (X509_digest(x, EVP_sha256(), whole, NULL) != 1)
        return TT_ERR_MEMORY;
    *ret = pins_have(&t->cert_pins, whole);
    return TT_OK;
}

void pin_text(char ret[PIN_TEXT], const struct crypto_lib *lib, struct tt_bytes spki)
{
    static const char prefix[] = "sha256:";
    uint8_t pin[PIN_SIZE];
    ret[0] = '\0';
    if (hash_digest(lib, HASH_SHA256, spki, pin) != TT_OK)
        return;
    memcpy(ret, prefix, sizeof prefix);
    for (size_t i = 0; i < PIN_SIZE; i++)
        (void)snprintf(ret + sizeof prefix - 1 + 2 * i, 3, "%02x", pin[i]);
}

void cert_pin_text(char ret[PIN_TEXT], const struct crypto_lib *lib, X509 *x)
{
    uint8_t *spki = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki);
    ret[0] = '\0';
    if (len > 0)
        pin_text(ret, lib, (struct tt_bytes){spki, (size_t)len});
    OPENSSL_free(spki);
}

void path_hint_pin(const struct path *p, struct tt_error *err)
{
    char shown[PIN_TEXT];
    cert_pin_text(shown, p->lib, p->leaf);
    error_hint(err, PIN_IT, shown);
}

static tt_rc refuse_raw(struct trust_verdict *ret, unsigned alert, struct tt_error *err, const char *text,
                        const char *hint)
{
    ret->alert = alert;
    error_hint(err, "%s", hint);
    return error_set(err, TT_ERR_VERIFY, "%s", text);
}

tt_rc trust_verify_raw_key(struct trust_verdict *ret, const struct crypto_lib *lib,
                           const struct tt_trust *trust, struct tt_bytes spki, struct tt_error *err)
{
    if (trust != NULL && !trust_takes_raw_keys(trust))
        return refuse_raw(ret, TT_ALERT_UNSUPPORTED_CERTIFICATE, err,
                          "the peer showed a bare public key, and only certificates are trusted here",
                          "pin the peer's key instead of trusting CAs, or give the peer a certificate");
    bool pinned = trust == NULL;
    tt_rc rc = pinned ? TT_OK : key_is_pinned(&pinned, trust, lib, spki);
    if (rc == TT_OK && !pinned) {
        char shown[PIN_TEXT];
        pin_text(shown, lib, spki);
        error_hint(err, PIN_IT, shown);
        return refuse_raw(ret, TT_ALERT_CERTIFICATE_UNKNOWN, err,
                          "the peer's public key is none of the pinned ones", "");
    }
    struct pubkey *key = NULL;
    if (rc == TT_OK)
        rc = pubkey_from_spki(&key, lib, spki);
    if (rc != TT_OK) {
        ret->alert = rc == TT_ERR_DECODE ? TT_ALERT_BAD_CERTIFICATE : TT_ALERT_INTERNAL_ERROR;
        return error_set(err, rc,
                         rc == TT_ERR_DECODE ? "the peer's public key cannot be read" : "out of memory");
    }
    *ret = (struct trust_verdict){.leaf_key = key,
                                  .not_after = INT64_MAX,
                                  .alert = TT_ALERT_NONE,
                                  .basis = trust == NULL ? TRUST_NOT_JUDGED : TRUST_BY_PIN};
    return TT_OK;
}
