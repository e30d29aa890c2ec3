/* pkcs11/object.c: see object.h. Layer: pkcs11. */
#include "pkcs11/object.h"

#include <stdlib.h>
#include <string.h>

#include "pkcs11/attribute.h"
#include "pkcs11/temporary.h"

#define PLACE_BITS      8
#define PLACE_TEMPORARY 0
#define PLACE_PRIVATE   1
#define PLACE_PUBLIC    2
#define PLACE_CERT      3

bool objects_may_be_destroyed(void)
{
    const char *said = secure_getenv("TPMTLS_PKCS11_UNSAFE_DESTROY");
    return said != NULL && said[0] != '\0';
}

CK_OBJECT_HANDLE object_handle(const struct contents *c, CK_OBJECT_CLASS class, size_t cert)
{
    if (c->temporary_class != 0)
        return (CK_OBJECT_HANDLE)c->key_generation << PLACE_BITS | PLACE_TEMPORARY;
    CK_OBJECT_HANDLE generation = class == CKO_CERTIFICATE ? c->cert_generation : c->key_generation;
    return generation << PLACE_BITS | (class == CKO_PRIVATE_KEY  ? PLACE_PRIVATE
                                       : class == CKO_PUBLIC_KEY ? PLACE_PUBLIC
                                                                 : PLACE_CERT + cert);
}

CK_RV object_find(struct object *ret, const struct token *t, const struct contents *c, bool logged_in,
                  CK_OBJECT_HANDLE handle)
{
    CK_ULONG generation = handle >> PLACE_BITS, place = handle & ((1U << PLACE_BITS) - 1);
    struct object o = {.token = t, .contents = c};
    bool is_key = place == PLACE_PRIVATE || place == PLACE_PUBLIC;
    if (c->temporary_class != 0 && place == PLACE_TEMPORARY && generation == c->key_generation)
        o.class = c->temporary_class;
    else if (is_key && c->key_text_len > 0 && generation == c->key_generation)
        o.class = place == PLACE_PRIVATE ? CKO_PRIVATE_KEY : CKO_PUBLIC_KEY;
    else if (place >= PLACE_CERT && place - PLACE_CERT < c->certs_len && generation == c->cert_generation) {
        o.class = CKO_CERTIFICATE;
        o.cert = &c->certs[place - PLACE_CERT];
    } else
        return CKR_OBJECT_HANDLE_INVALID;
    if (o.class == CKO_PRIVATE_KEY && token_has_pin(c) && !logged_in)
        return CKR_USER_NOT_LOGGED_IN;
    *ret = o;
    return CKR_OK;
}

struct contents *object_contents(struct token *t, CK_OBJECT_HANDLE handle)
{
    struct contents *c = temporary_contents(t, handle);
    return c != NULL ? c : token_contents(t);
}

/* The object with a reference to what it views; contents_free it in any case. */
static CK_RV object_take(struct object *ret, struct contents **ret_contents, struct session *s,
                         CK_OBJECT_HANDLE handle)
{
    mutex_take(&module.mutex);
    struct contents *c = object_contents(s->token, handle);
    bool logged_in = s->token->logged_in;
    mutex_give(&module.mutex);
    *ret_contents = c;
    CK_RV rv = object_find(ret, s->token, c, logged_in, handle);
    return rv == CKR_USER_NOT_LOGGED_IN ? CKR_OBJECT_HANDLE_INVALID : rv;
}

/* ---- attributes ---- */

static CK_RV get_one(const struct object *o, CK_ATTRIBUTE *a)
{
    struct value v;
    CK_RV rv = attribute_value(&v, o, a->type);
    if (rv == CKR_OK && a->pValue != NULL && a->ulValueLen < v.bytes.len)
        rv = CKR_BUFFER_TOO_SMALL;
    if (rv != CKR_OK) {
        a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return rv;
    }
    if (a->pValue != NULL && v.bytes.len > 0)
        memcpy(a->pValue, v.bytes.data, v.bytes.len);
    a->ulValueLen = v.bytes.len;
    return CKR_OK;
}

/* All of them are worked on, whatever the first one said; the first failure is returned. */
CK_RV object_get_attributes(struct session *s, CK_OBJECT_HANDLE handle, CK_ATTRIBUTE_PTR template, CK_ULONG n)
{
    struct object o;
    struct contents *c;
    if (template == NULL)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = object_take(&o, &c, s, handle);
    for (CK_ULONG i = 0, found = rv; found == CKR_OK && i < n; i++) {
        CK_RV one = get_one(&o, &template[i]);
        rv = rv == CKR_OK ? one : rv;
    }
    contents_free(c);
    return rv;
}

CK_RV object_set_attributes(struct session *s, CK_OBJECT_HANDLE handle, CK_ATTRIBUTE_PTR template, CK_ULONG n)
{
    struct object o;
    struct contents *c;
    if (template == NULL && n > 0)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = object_take(&o, &c, s, handle);
    contents_free(c);
    return rv != CKR_OK ? rv : CKR_ACTION_PROHIBITED; /* CKA_MODIFIABLE is false */
}

CK_RV object_size(struct session *s, CK_OBJECT_HANDLE handle, CK_ULONG_PTR ret)
{
    struct object o;
    struct contents *c;
    if (ret == NULL)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = object_take(&o, &c, s, handle);
    if (rv == CKR_OK)
        *ret = o.class == CKO_CERTIFICATE   ? o.cert->der_len
               : o.class == CKO_PRIVATE_KEY ? c->key_text_len
               : o.class == CKO_SECRET_KEY  ? c->secret_len
                                            : c->info.spki_len;
    contents_free(c);
    return rv;
}

/* ---- searching ---- */

static bool matches(const struct object *o, const CK_ATTRIBUTE *template, CK_ULONG n)
{
    for (CK_ULONG i = 0; i < n; i++) {
        struct value v;
        if (attribute_value(&v, o, template[i].type) != CKR_OK || v.bytes.len != template[i].ulValueLen ||
            (v.bytes.len > 0 && memcmp(v.bytes.data, template[i].pValue, v.bytes.len) != 0))
            return false;
    }
    return true;
}

static void found_add(struct session *s, const struct contents *c, bool logged_in, CK_OBJECT_HANDLE handle,
                      const CK_ATTRIBUTE *template, CK_ULONG n)
{
    struct object o;
    if (object_find(&o, s->token, c, logged_in, handle) == CKR_OK && matches(&o, template, n))
        s->found[s->found_len++] = handle;
}

CK_RV object_search(struct session *s, CK_ATTRIBUTE_PTR template, CK_ULONG n)
{
    if (template == NULL && n > 0)
        return CKR_ARGUMENTS_BAD;
    for (CK_ULONG i = 0; i < n; i++)
        if (template[i].pValue == NULL && template[i].ulValueLen > 0)
            return CKR_ATTRIBUTE_VALUE_INVALID;
    if (s->finding)
        return CKR_OPERATION_ACTIVE;
    mutex_take(&module.mutex);
    CK_RV rv = token_refresh(s->token);
    struct contents *c = token_contents(s->token), *temporaries[TOKEN_MAX_TEMPORARIES];
    size_t temporaries_len = temporaries_take(s->token, temporaries);
    bool logged_in = s->token->logged_in, present = s->token->present;
    mutex_give(&module.mutex);
    s->found_len = s->found_at = 0;
    s->finding = rv == CKR_OK && present;
    if (s->finding) {
        found_add(s, c, logged_in, object_handle(c, CKO_PRIVATE_KEY, 0), template, n);
        found_add(s, c, logged_in, object_handle(c, CKO_PUBLIC_KEY, 0), template, n);
        for (size_t i = 0; i < c->certs_len; i++)
            found_add(s, c, logged_in, object_handle(c, CKO_CERTIFICATE, i), template, n);
    }
    contents_free(c);
    for (size_t i = 0; i < temporaries_len; i++) {
        if (s->finding)
            found_add(s, temporaries[i], false,
                      object_handle(temporaries[i], temporaries[i]->temporary_class, 0), template, n);
        contents_free(temporaries[i]);
    }
    return rv == CKR_OK && !present ? CKR_DEVICE_REMOVED : rv;
}

CK_RV object_search_next(struct session *s, CK_OBJECT_HANDLE_PTR ret, CK_ULONG max, CK_ULONG_PTR n)
{
    if (n == NULL || (ret == NULL && max > 0))
        return CKR_ARGUMENTS_BAD;
    if (!s->finding)
        return CKR_OPERATION_NOT_INITIALIZED;
    for (*n = 0; *n < max && s->found_at < s->found_len; ++*n)
        ret[*n] = s->found[s->found_at++];
    return CKR_OK;
}

CK_RV object_search_end(struct session *s)
{
    if (!s->finding)
        return CKR_OPERATION_NOT_INITIALIZED;
    s->finding = false;
    return CKR_OK;
}
