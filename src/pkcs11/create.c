/* pkcs11/create.c: see create.h. Layer: pkcs11. */
#include "pkcs11/create.h"

#include <string.h>

#include "pkcs11/object.h"
#include "pkcs11/template.h"
#include "pkcs11/temporary.h"
#include "pkcs11/vault.h"
#include "wire/pem.h"

/* ---- keys ---- */

static CK_RV type_of_curve(enum tt_key_type *ret, const CK_ATTRIBUTE *params)
{
    static const uint8_t p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    static const uint8_t p384[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
    static const uint8_t p521[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23};
    static const struct {
        struct tt_bytes oid;
        enum tt_key_type type;
    } curves[] = {{{p256, sizeof p256}, TT_KEY_P256},
                  {{p384, sizeof p384}, TT_KEY_P384},
                  {{p521, sizeof p521}, TT_KEY_P521}};
    if (params == NULL)
        return CKR_TEMPLATE_INCOMPLETE;
    for (size_t i = 0; i < TT_COUNT(curves); i++)
        if (params->ulValueLen == curves[i].oid.len &&
            memcmp(params->pValue, curves[i].oid.data, curves[i].oid.len) == 0) {
            *ret = curves[i].type;
            return CKR_OK;
        }
    return CKR_CURVE_NOT_SUPPORTED;
}

static CK_RV type_of_size(enum tt_key_type *ret, const CK_ATTRIBUTE *bits, const CK_ATTRIBUTE *exponent)
{
    static const uint8_t f4[] = {0x01, 0x00, 0x01};
    CK_ULONG n = 0;
    CK_RV rv = bits == NULL ? CKR_TEMPLATE_INCOMPLETE : template_ulong(&n, bits);
    if (rv != CKR_OK)
        return rv;
    if (exponent != NULL && exponent->ulValueLen > 0) {
        const uint8_t *e = exponent->pValue;
        size_t zeros = 0;
        while (zeros < exponent->ulValueLen && e[zeros] == 0)
            zeros++;
        if (exponent->ulValueLen - zeros != sizeof f4 || memcmp(e + zeros, f4, sizeof f4) != 0)
            return CKR_ATTRIBUTE_VALUE_INVALID; /* a TPM's default, and ours, is 65537 */
    }
    *ret = n == 2048 ? TT_KEY_RSA2048 : n == 3072 ? TT_KEY_RSA3072 : TT_KEY_RSA4096;
    return n == 2048 || n == 3072 || n == 4096 ? CKR_OK : CKR_KEY_SIZE_RANGE;
}

static CK_KEY_TYPE key_type_of(const struct mechanism *m)
{
    return m->type == CKM_EC_KEY_PAIR_GEN ? CKK_EC : CKK_RSA;
}

/* A key is for signing, or for decryption (RSA) or Diffie-Hellman (EC), not for both: what asks for both gets
 * one that signs. */
static bool is_for_decryption(const CK_ATTRIBUTE *priv, CK_ULONG n, CK_KEY_TYPE type)
{
    CK_ATTRIBUTE_TYPE use = type == CKK_EC ? CKA_DERIVE : CKA_DECRYPT;
    return template_find(priv, n, use) != NULL && template_demand_bool(priv, n, use, true) == CKR_OK &&
           template_demand_bool(priv, n, CKA_SIGN, false) == CKR_OK;
}

static CK_RV check_pair(enum tt_key_type *ret, const struct mechanism *m, const CK_ATTRIBUTE *pub,
                        CK_ULONG pub_len, const CK_ATTRIBUTE *priv, CK_ULONG priv_len)
{
    CK_KEY_TYPE type = key_type_of(m);
    const CK_RV checks[] = {
        template_demand_ulong(pub, pub_len, CKA_CLASS, CKO_PUBLIC_KEY),
        template_demand_ulong(priv, priv_len, CKA_CLASS, CKO_PRIVATE_KEY),
        template_demand_ulong(pub, pub_len, CKA_KEY_TYPE, type),
        template_demand_ulong(priv, priv_len, CKA_KEY_TYPE, type),
        template_demand_bool(priv, priv_len, CKA_EXTRACTABLE, false),
        template_demand_bool(priv, priv_len, CKA_SENSITIVE, true),
        template_demand_bool(priv, priv_len, CKA_SIGN, !is_for_decryption(priv, priv_len, type)),
        template_demand_bool(priv, priv_len, CKA_ALWAYS_AUTHENTICATE, false),
        template_demand_bool(pub, pub_len, CKA_TOKEN, true),
        template_demand_bool(priv, priv_len, CKA_TOKEN, true)};
    CK_RV rv = template_first_failure(checks, TT_COUNT(checks));
    if (rv == CKR_OK && template_find(priv, priv_len, CKA_TOKEN) == NULL)
        rv = CKR_TEMPLATE_INCONSISTENT; /* there are no keys that last as long as a session */
    if (rv != CKR_OK)
        return rv;
    return type == CKK_EC ? type_of_curve(ret, template_find(pub, pub_len, CKA_EC_PARAMS))
                          : type_of_size(ret, template_find(pub, pub_len, CKA_MODULUS_BITS),
                                         template_find(pub, pub_len, CKA_PUBLIC_EXPONENT));
}

/* What was written is read like what anybody else might have written. */
static CK_RV reread(struct contents **ret, struct session *s)
{
    mutex_take(&module.mutex);
    CK_RV rv = token_refresh(s->token);
    *ret = token_contents(s->token);
    mutex_give(&module.mutex);
    return rv;
}

static CK_RV keep_pair(struct session *s, const char *pem, CK_OBJECT_HANDLE_PTR ret_pub,
                       CK_OBJECT_HANDLE_PTR ret_priv)
{
    struct contents *c;
    struct tt_bytes text = {(const uint8_t *)pem, strlen(pem)};
    CK_RV rv = token_write(s->token, TT_IDENTITY_KEY_FILE, text, true);
    if (rv != CKR_OK)
        return rv;
    rv = reread(&c, s);
    if (rv == CKR_OK && c->key_text_len == 0)
        rv = CKR_FUNCTION_FAILED;
    if (rv == CKR_OK) {
        *ret_pub = object_handle(c, CKO_PUBLIC_KEY, 0);
        *ret_priv = object_handle(c, CKO_PRIVATE_KEY, 0);
    }
    contents_free(c);
    return rv;
}

CK_RV create_key_pair(struct session *s, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR pub, CK_ULONG pub_len,
                      CK_ATTRIBUTE_PTR priv, CK_ULONG priv_len, CK_OBJECT_HANDLE_PTR ret_pub,
                      CK_OBJECT_HANDLE_PTR ret_priv)
{
    struct request request;
    enum tt_key_type type;
    struct contents *c;
    TT_AUTO(mem_free_auto) char *pem = NULL;
    if (m == NULL || ret_pub == NULL || ret_priv == NULL || !template_is_whole(pub, pub_len) ||
        !template_is_whole(priv, priv_len))
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = request_read(&request, m, MECHANISM_KEY_PAIR);
    if (rv == CKR_OK)
        rv = check_pair(&type, request.mechanism, pub, pub_len, priv, priv_len);
    if (rv != CKR_OK)
        return rv;
    if (!s->is_rw)
        return CKR_SESSION_READ_ONLY;
    rv = reread(&c, s);
    if (rv == CKR_OK && (c->key_text_len > 0 || c->certs_len > 0))
        rv = CKR_DEVICE_MEMORY; /* one key a token */
    contents_free(c);
    if (rv == CKR_OK)
        rv = vault_create(&pem, type, is_for_decryption(priv, priv_len, key_type_of(request.mechanism)),
                          s->token->name);
    return rv == CKR_OK ? keep_pair(s, pem, ret_pub, ret_priv) : rv;
}

/* ---- certificates ---- */

static bool same(struct tt_bytes a, struct tt_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static struct tt_bytes der_of(const struct cert_object *cert)
{
    return (struct tt_bytes){cert->der, cert->der_len};
}

/* The new chain: a leaf takes the old leaf's place, and the rest stays if it is its issuer's; another
 * certificate goes to the end. */
static CK_RV put_chain(struct buf *ret, const struct contents *c, struct tt_bytes der, bool is_leaf,
                       const struct cert_fields *fields)
{
    bool ok = !is_leaf || pem_write(ret, "CERTIFICATE", der) == TT_OK;
    size_t rest = is_leaf ? 1 : 0;
    while (is_leaf && rest < c->certs_len && c->certs[rest].is_own)
        rest++;
    if (is_leaf && rest < c->certs_len && !same(c->certs[rest].fields.subject, fields->issuer))
        rest = c->certs_len;
    for (size_t i = rest; ok && i < c->certs_len; i++)
        ok = pem_write(ret, "CERTIFICATE", der_of(&c->certs[i])) == TT_OK;
    if (ok && !is_leaf)
        ok = pem_write(ret, "CERTIFICATE", der) == TT_OK;
    return ok ? CKR_OK : CKR_HOST_MEMORY;
}

static CK_RV add_cert(struct session *s, const struct contents *c, struct tt_bytes der)
{
    struct cert_fields fields;
    TT_AUTO(buf_free) struct buf text = {0};
    if (cert_fields_read(&fields, der) != TT_OK)
        return CKR_ATTRIBUTE_VALUE_INVALID;
    struct tt_bytes spki = {c->info.spki, c->info.spki_len};
    bool is_leaf = c->key_text_len > 0 && same(fields.spki, spki);
    if (!is_leaf && (c->certs_len == 0 || c->certs_len == TOKEN_MAX_CERTS ||
                     !same(c->certs[c->certs_len - 1].fields.issuer, fields.subject)))
        return CKR_TEMPLATE_INCONSISTENT; /* it belongs to nothing here */
    CK_RV rv = put_chain(&text, c, der, is_leaf, &fields);
    return rv == CKR_OK ? token_write(s->token, TT_IDENTITY_CERT_FILE, buf_bytes(&text), false) : rv;
}

static bool has_der(const struct contents *c, struct tt_bytes der, size_t *ret)
{
    for (size_t i = 0; i < c->certs_len; i++)
        if (same(der_of(&c->certs[i]), der)) {
            *ret = i;
            return true;
        }
    return false;
}

static CK_RV check_cert(const CK_ATTRIBUTE *template, CK_ULONG n)
{
    const CK_ATTRIBUTE *class = template_find(template, n, CKA_CLASS);
    if (class == NULL || template_find(template, n, CKA_VALUE) == NULL)
        return CKR_TEMPLATE_INCOMPLETE;
    const CK_RV checks[] = {template_demand_ulong(template, n, CKA_CLASS, CKO_CERTIFICATE),
                            template_demand_ulong(template, n, CKA_CERTIFICATE_TYPE, CKC_X_509),
                            template_demand_bool(template, n, CKA_TOKEN, true),
                            template_demand_bool(template, n, CKA_PRIVATE, false),
                            template_demand_bool(template, n, CKA_TRUSTED, false)};
    CK_RV rv = template_first_failure(checks, TT_COUNT(checks));
    if (rv == CKR_OK && template_find(template, n, CKA_TOKEN) == NULL)
        rv = CKR_TEMPLATE_INCONSISTENT;
    return rv;
}

CK_RV create_object(struct session *s, CK_ATTRIBUTE_PTR template, CK_ULONG n, CK_OBJECT_HANDLE_PTR ret)
{
    struct contents *c;
    size_t at = 0;
    if (ret == NULL || template == NULL || !template_is_whole(template, n))
        return CKR_ARGUMENTS_BAD;
    const CK_ATTRIBUTE *class = template_find(template, n, CKA_CLASS);
    const CK_OBJECT_CLASS public_key = CKO_PUBLIC_KEY;
    if (class != NULL && class->ulValueLen == sizeof public_key &&
        memcmp(class->pValue, &public_key, sizeof public_key) == 0)
        return temporary_public_key(s, template, n, ret);
    CK_RV rv = check_cert(template, n);
    if (rv != CKR_OK)
        return rv;
    if (!s->is_rw)
        return CKR_SESSION_READ_ONLY;
    const CK_ATTRIBUTE *value = template_find(template, n, CKA_VALUE);
    struct tt_bytes der = {value->pValue, value->ulValueLen};
    rv = reread(&c, s);
    if (rv == CKR_OK && !has_der(c, der, &at)) {
        rv = add_cert(s, c, der);
        contents_free(c);
        CK_RV again = reread(&c, s);
        rv = rv == CKR_OK ? again : rv;
    }
    if (rv == CKR_OK)
        rv = has_der(c, der, &at) ? CKR_OK : CKR_FUNCTION_FAILED;
    if (rv == CKR_OK)
        *ret = object_handle(c, CKO_CERTIFICATE, at);
    contents_free(c);
    return rv;
}

/* ---- the end ---- */

/* A chain is nothing without its leaf. */
static CK_RV remove_cert(const struct token *t, const struct contents *c, const struct cert_object *gone)
{
    TT_AUTO(buf_free) struct buf text = {0};
    bool all = gone == &c->certs[0] && (c->certs_len == 1 || !c->certs[1].is_own);
    for (size_t i = 0; i < c->certs_len; i++)
        if (!all && &c->certs[i] != gone && pem_write(&text, "CERTIFICATE", der_of(&c->certs[i])) != TT_OK)
            return CKR_HOST_MEMORY;
    return token_write(t, TT_IDENTITY_CERT_FILE, buf_bytes(&text), false);
}

static CK_RV destroy(struct session *s, const struct object *o)
{
    if (!s->is_rw)
        return CKR_SESSION_READ_ONLY;
    if (o->class == CKO_PUBLIC_KEY || !objects_may_be_destroyed())
        return CKR_ACTION_PROHIBITED;
    return o->class == CKO_PRIVATE_KEY
               ? token_write(s->token, TT_IDENTITY_KEY_FILE, (struct tt_bytes){NULL, 0}, false)
               : remove_cert(s->token, o->contents, o->cert);
}

CK_RV destroy_object(struct session *s, CK_OBJECT_HANDLE handle)
{
    struct object o;
    struct contents *c;
    if (temporary_remove(s->token, handle))
        return CKR_OK;
    CK_RV rv = reread(&c, s);
    mutex_take(&module.mutex);
    bool logged_in = s->token->logged_in;
    mutex_give(&module.mutex);
    if (rv == CKR_OK)
        rv = object_find(&o, s->token, c, logged_in, handle);
    if (rv == CKR_USER_NOT_LOGGED_IN)
        rv = CKR_OBJECT_HANDLE_INVALID;
    if (rv == CKR_OK)
        rv = destroy(s, &o);
    contents_free(c);
    if (rv == CKR_OK)
        rv = reread(&c, s);
    else
        return rv;
    contents_free(c);
    return rv;
}
