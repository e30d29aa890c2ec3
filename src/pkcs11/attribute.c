/* pkcs11/attribute.c: see attribute.h. Layer: pkcs11. PKCS#11 2.40, sections 4.4 to 4.9, and Current
 * Mechanisms 2.1.2, 2.1.3 (RSA), 2.3.3, 2.3.4 (elliptic curves). One table says which attributes an object
 * has; what is not constant is computed below it. */
#include "pkcs11/attribute.h"

#include <stdio.h>
#include <string.h>

#include "wire/der.h"

/* ---- the parts of a public key ---- */

struct key_parts {
    struct tt_bytes params, point;     /* elliptic curve: the curve's OID, whole; the point */
    struct tt_bytes modulus, exponent; /* RSA */
};

static struct key_parts parts_of(const struct raw_info *info)
{
    struct key_parts parts = {0};
    struct tt_bytes spki = {info->spki, info->spki_len};
    struct reader outer = reader_of(spki);
    struct reader r = der_enter(&outer, DER_SEQUENCE);
    struct reader algorithm = der_enter(&r, DER_SEQUENCE);
    (void)der_get(&algorithm, DER_OID);
    struct tt_bytes key = spki_public_key(spki);
    if (!info->key.rsa) {
        parts.params = rd_rest(&algorithm);
        parts.point = key;
        return parts;
    }
    struct reader whole = reader_of(key);
    struct reader rsa = der_enter(&whole, DER_SEQUENCE);
    parts.modulus = der_get_uint(&rsa);
    parts.exponent = der_get_uint(&rsa);
    return parts;
}

/* ---- values ---- */

static CK_RV give(struct value *v, struct tt_bytes bytes)
{
    v->bytes = bytes;
    return CKR_OK;
}

static CK_RV give_own(struct value *v, const void *data, size_t n)
{
    memcpy(v->own, data, n);
    return give(v, (struct tt_bytes){v->own, n});
}

static CK_RV give_bool(struct value *v, bool b)
{
    CK_BBOOL bbool = b ? CK_TRUE : CK_FALSE;
    return give_own(v, &bbool, sizeof bbool);
}

static CK_RV give_ulong(struct value *v, CK_ULONG n)
{
    return give_own(v, &n, sizeof n);
}

static CK_RV give_point(struct value *v, struct tt_bytes point)
{
    struct buf b = {0};
    struct writer w = writer_to(&b);
    der_put(&w, DER_OCTET_STRING, point);
    CK_RV rv = CKR_HOST_MEMORY;
    if (wr_status(&w) == TT_OK && buf_size(&b) <= sizeof v->own)
        rv = give_own(v, buf_front(&b), buf_size(&b));
    buf_free(&b);
    return rv;
}

static CK_RV give_mechanisms(struct value *v, const struct raw_info *info)
{
    size_t n = 0;
    for (size_t i = 0; i < mechanisms_len; i++)
        if (mechanism_fits(&mechanisms[i], info) && (n + 1) * sizeof(CK_MECHANISM_TYPE) <= sizeof v->own) {
            memcpy(v->own + n * sizeof(CK_MECHANISM_TYPE), &mechanisms[i].type, sizeof(CK_MECHANISM_TYPE));
            n++;
        }
    return give(v, (struct tt_bytes){v->own, n * sizeof(CK_MECHANISM_TYPE)});
}

static CK_RV give_label(struct value *v, const struct object *o)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%s", o->token->name);
    if (o->cert != NULL && !o->cert->is_own) /* so that the identity's own can be named by its label */
        n = snprintf(text, sizeof text, "%s CA %td", o->token->name, o->cert - o->contents->certs);
    return give_own(v, text, (size_t)n);
}

/* ---- keys ---- */

/* What is TRUE or FALSE of every key of a class. */
static bool key_flag(bool *ret, const struct object *o, CK_ATTRIBUTE_TYPE type)
{
    const struct raw_info *info = &o->contents->info;
    bool is_private = o->class == CKO_PRIVATE_KEY;
    switch (type) {
    case CKA_SIGN:
        *ret = !info->key.decrypts;
        return is_private;
    case CKA_SENSITIVE:
        *ret = true;
        return is_private;
    case CKA_VERIFY:
        *ret = !info->key.decrypts;
        return !is_private;
    case CKA_LOCAL:
        *ret = info->local;
        return true;
    case CKA_ALWAYS_SENSITIVE:
        *ret = info->local;
        return is_private;
    case CKA_NEVER_EXTRACTABLE:
        *ret = info->local && info->fixed;
        return is_private;
    case CKA_DERIVE:
        *ret = is_private && info->key.decrypts && !info->key.rsa;
        return true;
    case CKA_DECRYPT:
        *ret = info->key.decrypts && info->key.rsa;
        return is_private;
    case CKA_SIGN_RECOVER:
    case CKA_UNWRAP:
    case CKA_EXTRACTABLE:
    case CKA_WRAP_WITH_TRUSTED:
    case CKA_ALWAYS_AUTHENTICATE:
        *ret = false;
        return is_private;
    case CKA_ENCRYPT:
    case CKA_VERIFY_RECOVER:
    case CKA_WRAP:
    case CKA_TRUSTED:
        *ret = false;
        return !is_private;
    default:
        return false;
    }
}

static CK_RV rsa_value(struct value *v, const struct object *o, CK_ATTRIBUTE_TYPE type)
{
    struct key_parts parts = parts_of(&o->contents->info);
    bool is_private = o->class == CKO_PRIVATE_KEY;
    switch (type) {
    case CKA_MODULUS:
        return give(v, parts.modulus);
    case CKA_PUBLIC_EXPONENT:
        return give(v, parts.exponent);
    case CKA_MODULUS_BITS:
        return is_private ? CKR_ATTRIBUTE_TYPE_INVALID : give_ulong(v, o->contents->info.key.bits);
    case CKA_PRIVATE_EXPONENT:
    case CKA_PRIME_1:
    case CKA_PRIME_2:
    case CKA_EXPONENT_1:
    case CKA_EXPONENT_2:
    case CKA_COEFFICIENT:
        return is_private ? CKR_ATTRIBUTE_SENSITIVE : CKR_ATTRIBUTE_TYPE_INVALID;
    default:
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
}

static CK_RV ec_value(struct value *v, const struct object *o, CK_ATTRIBUTE_TYPE type)
{
    struct key_parts parts = parts_of(&o->contents->info);
    bool is_private = o->class == CKO_PRIVATE_KEY;
    switch (type) {
    case CKA_EC_PARAMS:
        return give(v, parts.params);
    case CKA_EC_POINT:
        return is_private ? CKR_ATTRIBUTE_TYPE_INVALID : give_point(v, parts.point);
    case CKA_VALUE:
        return is_private ? CKR_ATTRIBUTE_SENSITIVE : CKR_ATTRIBUTE_TYPE_INVALID;
    default:
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
}

static CK_RV key_value(struct value *v, const struct object *o, CK_ATTRIBUTE_TYPE type)
{
    const struct contents *c = o->contents;
    bool flag;
    if (key_flag(&flag, o, type))
        return give_bool(v, flag);
    switch (type) {
    case CKA_KEY_TYPE:
        return give_ulong(v, c->info.key.rsa ? CKK_RSA : CKK_EC);
    case CKA_ID:
        return give(v, (struct tt_bytes){c->id, sizeof c->id});
    case CKA_START_DATE:
    case CKA_END_DATE:
        return give(v, (struct tt_bytes){NULL, 0});
    case CKA_KEY_GEN_MECHANISM:
        return give_ulong(v, !c->info.local    ? CK_UNAVAILABLE_INFORMATION
                             : c->info.key.rsa ? CKM_RSA_PKCS_KEY_PAIR_GEN
                                               : CKM_EC_KEY_PAIR_GEN);
    case CKA_ALLOWED_MECHANISMS:
        return give_mechanisms(v, &c->info);
    case CKA_SUBJECT:
        return give(v, c->certs_len > 0 && c->certs[0].is_own ? c->certs[0].fields.subject
                                                              : (struct tt_bytes){NULL, 0});
    case CKA_PUBLIC_KEY_INFO:
        return give(v, (struct tt_bytes){c->info.spki, c->info.spki_len});
    default:
        return c->info.key.rsa ? rsa_value(v, o, type) : ec_value(v, o, type);
    }
}

/* What Diffie-Hellman gave: the application is to have it. */
static CK_RV secret_value(struct value *v, const struct object *o, CK_ATTRIBUTE_TYPE type)
{
    const struct contents *c = o->contents;
    switch (type) {
    case CKA_KEY_TYPE:
        return give_ulong(v, c->secret_type);
    case CKA_VALUE:
        return give(v, (struct tt_bytes){c->secret, c->secret_len});
    case CKA_VALUE_LEN:
        return give_ulong(v, c->secret_len);
    case CKA_EXTRACTABLE:
        return give_bool(v, true);
    case CKA_KEY_GEN_MECHANISM:
        return give_ulong(v, CK_UNAVAILABLE_INFORMATION);
    case CKA_ID:
    case CKA_START_DATE:
    case CKA_END_DATE:
        return give(v, (struct tt_bytes){NULL, 0});
    case CKA_SENSITIVE:
    case CKA_ALWAYS_SENSITIVE:
    case CKA_NEVER_EXTRACTABLE:
    case CKA_LOCAL:
    case CKA_DERIVE:
    case CKA_ENCRYPT:
    case CKA_DECRYPT:
    case CKA_SIGN:
    case CKA_VERIFY:
    case CKA_WRAP:
    case CKA_UNWRAP:
    case CKA_TRUSTED:
    case CKA_WRAP_WITH_TRUSTED:
        return give_bool(v, false);
    default:
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
}

/* ---- certificates ---- */

static CK_RV cert_value(struct value *v, const struct object *o, CK_ATTRIBUTE_TYPE type)
{
    const struct cert_object *cert = o->cert;
    switch (type) {
    case CKA_CERTIFICATE_TYPE:
        return give_ulong(v, CKC_X_509);
    case CKA_TRUSTED:
        return give_bool(v, false);
    case CKA_CERTIFICATE_CATEGORY: /* 1: a token user's, 2: an authority's (section 4.6.2) */
        return give_ulong(v, cert->is_own ? 1 : 2);
    case CKA_JAVA_MIDP_SECURITY_DOMAIN:
        return give_ulong(v, 0);
    case CKA_START_DATE:
    case CKA_END_DATE:
    case CKA_URL:
    case CKA_HASH_OF_SUBJECT_PUBLIC_KEY:
    case CKA_HASH_OF_ISSUER_PUBLIC_KEY:
        return give(v, (struct tt_bytes){NULL, 0});
    case CKA_ID:
        return give(v, (struct tt_bytes){cert->id, sizeof cert->id});
    case CKA_SUBJECT:
        return give(v, cert->fields.subject);
    case CKA_ISSUER:
        return give(v, cert->fields.issuer);
    case CKA_SERIAL_NUMBER:
        return give(v, cert->fields.serial);
    case CKA_PUBLIC_KEY_INFO:
        return give(v, cert->fields.spki);
    case CKA_VALUE:
        return give(v, (struct tt_bytes){cert->der, cert->der_len});
    default:
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
}

/* ---- all ---- */

CK_RV attribute_value(struct value *v, const struct object *o, CK_ATTRIBUTE_TYPE type)
{
    switch (type) {
    case CKA_CLASS:
        return give_ulong(v, o->class);
    case CKA_TOKEN:
        return give_bool(v, o->contents->temporary_class == 0);
    case CKA_PRIVATE:
        return give_bool(v, o->class == CKO_PRIVATE_KEY && token_has_pin(o->contents));
    case CKA_MODIFIABLE:
    case CKA_COPYABLE:
        return give_bool(v, false);
    case CKA_DESTROYABLE:
        return give_bool(v, o->contents->temporary_class != 0 ||
                                (o->class != CKO_PUBLIC_KEY && objects_may_be_destroyed()));
    case CKA_LABEL:
        return o->contents->temporary_class != 0 ? give(v, (struct tt_bytes){NULL, 0}) : give_label(v, o);
    default:
        if (o->class == CKO_SECRET_KEY)
            return secret_value(v, o, type);
        return o->class == CKO_CERTIFICATE ? cert_value(v, o, type) : key_value(v, o, type);
    }
}
