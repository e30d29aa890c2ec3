/* signer/key.c: tt_key_*: what holds for every signer. Layer: signer. */
#include <string.h>

#include "signer/signer.h"

static const char *const type_names[] = {
    [TT_KEY_P256] = "p256",       [TT_KEY_P384] = "p384",       [TT_KEY_P521] = "p521",
    [TT_KEY_RSA2048] = "rsa2048", [TT_KEY_RSA3072] = "rsa3072", [TT_KEY_RSA4096] = "rsa4096",
    [TT_KEY_MLDSA44] = "mldsa44", [TT_KEY_MLDSA65] = "mldsa65", [TT_KEY_MLDSA87] = "mldsa87",
    [TT_KEY_OTHER] = "other"};

const char *tt_key_type_name(enum tt_key_type type)
{
    return (size_t)type < TT_COUNT(type_names) ? type_names[type] : "unknown";
}

tt_rc tt_key_type_parse(enum tt_key_type *ret, const char *name)
{
    for (enum tt_key_type type = TT_KEY_P256; type < TT_KEY_OTHER; type++)
        if (strcmp(name, type_names[type]) == 0) {
            *ret = type;
            return TT_OK;
        }
    return TT_ERR_USAGE;
}

void tt_key_free(struct tt_key *key)
{
    if (key == NULL)
        return;
    key->ops->free(key);
    mem_free(key->spki);
    mem_free(key);
}

bool tt_key_is_tpm(const struct tt_key *key)
{
    return key->is_tpm;
}

enum tt_key_type tt_key_type(const struct tt_key *key)
{
    return key->type;
}

struct tt_bytes tt_key_spki(const struct tt_key *key)
{
    return (struct tt_bytes){key->spki, key->spki_len};
}

struct tt_bytes tt_key_name(const struct tt_key *key)
{
    return (struct tt_bytes){key->name, key->name_len};
}

size_t tt_key_schemes(const struct tt_key *key, uint16_t *ret, size_t cap)
{
    for (size_t i = 0; i < key->schemes_len && i < cap; i++)
        ret[i] = key->schemes[i];
    return key->schemes_len;
}

uint16_t tt_key_x509_scheme(const struct tt_key *key)
{
    return key->x509_scheme;
}

static bool key_has_scheme(const struct tt_key *key, uint16_t scheme)
{
    for (size_t i = 0; i < key->schemes_len; i++)
        if (key->schemes[i] == scheme)
            return true;
    return scheme == key->x509_scheme;
}

tt_rc tt_key_sign(struct tt_key *key, uint16_t scheme, struct tt_bytes message, uint8_t *ret_sig, size_t cap,
                  size_t *ret_len, struct tt_error *err)
{
    if (!key_has_scheme(key, scheme))
        return error_set(err, TT_ERR_USAGE, "this key (%s) cannot sign with %s", tt_key_type_name(key->type),
                         tt_scheme_name(scheme));
    return key->ops->sign(key, scheme, message, ret_sig, cap, ret_len, err);
}

void tt_free(void *p)
{
    mem_free(p);
}
