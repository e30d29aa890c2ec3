/* crypto/trust_pin.c: keys that are trusted by their hash: the SHA-256 of a SubjectPublicKeyInfo, as in DANE
 * (RFC 7671, selector SPKI) and HPKP (RFC 7469). Raw public keys (RFC 7250) are judged by nothing else.
 * Layer: crypto. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "crypto/trust_internal.h"

bool trust_has_pins_alone(const struct tt_trust *t)
{
    return t->anchors == 0 && buf_size(&t->pins) > 0;
}

bool trust_takes_raw_keys(const struct tt_trust *t)
{
    return trust_has_pins_alone(t);
}

static tt_rc key_is_pinned(bool *ret, const struct tt_trust *t, const struct crypto_lib *lib,
                           struct tt_bytes spki)
{
    uint8_t pin[PIN_SIZE];
    TT_TRY(hash_digest(lib, HASH_SHA256, spki, pin));
    const struct tt_bytes pins = buf_bytes(&t->pins);
    *ret = false;
    for (size_t at = 0; at < pins.len; at += PIN_SIZE)
        *ret |= memcmp(pins.data + at, pin, PIN_SIZE) == 0;
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
    return rc;
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
