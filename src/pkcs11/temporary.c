/* pkcs11/temporary.c: see temporary.h. Layer: pkcs11. */
#include "pkcs11/temporary.h"

#include <string.h>

#include "pkcs11/object.h"
#include "pkcs11/template.h"
#include "wire/der.h"

/* ---- the list ---- */

static CK_RV list_add(struct session *s, struct contents *c, CK_OBJECT_HANDLE_PTR ret)
{
    struct token *t = s->token;
    CK_RV rv = CKR_DEVICE_MEMORY;
    atomic_init(&c->refs, 1);
    c->temporary_session = s->handle;
    mutex_take(&module.mutex);
    for (size_t i = 0; i < TOKEN_MAX_TEMPORARIES && rv != CKR_OK; i++)
        if (t->temporaries[i] == NULL) {
            c->key_generation = c->cert_generation = ++module.generations;
            t->temporaries[i] = c;
            *ret = object_handle(c, c->temporary_class, 0);
            rv = CKR_OK;
        }
    mutex_give(&module.mutex);
    if (rv != CKR_OK)
        contents_free(c);
    return rv;
}

static struct contents **place_of(struct contents **list, CK_OBJECT_HANDLE handle)
{
    for (size_t i = 0; i < TOKEN_MAX_TEMPORARIES; i++)
        if (list[i] != NULL && object_handle(list[i], list[i]->temporary_class, 0) == handle)
            return &list[i];
    return NULL;
}

bool temporary_remove(struct token *t, CK_OBJECT_HANDLE handle)
{
    mutex_take(&module.mutex);
    struct contents **place = place_of(t->temporaries, handle);
    if (place != NULL)
        contents_free(TT_TAKE(*place));
    mutex_give(&module.mutex);
    return place != NULL;
}

struct contents *temporary_contents(const struct token *t, CK_OBJECT_HANDLE handle)
{
    for (size_t i = 0; i < TOKEN_MAX_TEMPORARIES; i++) {
        struct contents *c = t->temporaries[i];
        if (c == NULL || object_handle(c, c->temporary_class, 0) != handle)
            continue;
        (void)atomic_fetch_add(&c->refs, 1);
        return c;
    }
    return NULL;
}

size_t temporaries_take(const struct token *t, struct contents *ret[TOKEN_MAX_TEMPORARIES])
{
    size_t n = 0;
    for (size_t i = 0; i < TOKEN_MAX_TEMPORARIES; i++)
        if (t->temporaries[i] != NULL) {
            (void)atomic_fetch_add(&t->temporaries[i]->refs, 1);
            ret[n++] = t->temporaries[i];
        }
    return n;
}

void temporaries_end(struct token *t, CK_SESSION_HANDLE session)
{
    for (size_t i = 0; i < TOKEN_MAX_TEMPORARIES; i++)
        if (t->temporaries[i] != NULL && (session == 0 || t->temporaries[i]->temporary_session == session))
            contents_free(TT_TAKE(t->temporaries[i]));
}

/* ---- a public key ---- */

/* SubjectPublicKeyInfo (RFC 5280 section 4.1). CKA_EC_POINT is an OCTET STRING with the point (2.40, Current
 * Mechanisms section 2.3.3); some give the point itself. */
static CK_RV put_ec(struct writer *w, const CK_ATTRIBUTE *template, CK_ULONG n)
{
    static const uint8_t ec_key[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
    struct tt_bytes params = template_bytes(template_find(template, n, CKA_EC_PARAMS));
    struct tt_bytes point = template_bytes(template_find(template, n, CKA_EC_POINT));
    if (params.len == 0 || point.len == 0)
        return CKR_TEMPLATE_INCOMPLETE;
    struct reader r = reader_of(point);
    struct tt_bytes inner = der_get(&r, DER_OCTET_STRING);
    if (rd_done(&r) == TT_OK)
        point = inner;
    struct der_mark algorithm = der_open(w, DER_SEQUENCE);
    der_put(w, DER_OID, (struct tt_bytes){ec_key, sizeof ec_key});
    wr_bytes(w, params);
    der_close(w, algorithm);
    struct der_mark bits = der_open(w, DER_BIT_STRING);
    wr_u8(w, 0);
    wr_bytes(w, point);
    der_close(w, bits);
    return CKR_OK;
}

static CK_RV put_rsa(struct writer *w, const CK_ATTRIBUTE *template, CK_ULONG n)
{
    static const uint8_t rsa[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
    struct tt_bytes modulus = template_bytes(template_find(template, n, CKA_MODULUS));
    struct tt_bytes exponent = template_bytes(template_find(template, n, CKA_PUBLIC_EXPONENT));
    if (modulus.len == 0 || exponent.len == 0)
        return CKR_TEMPLATE_INCOMPLETE;
    struct der_mark algorithm = der_open(w, DER_SEQUENCE);
    der_put(w, DER_OID, (struct tt_bytes){rsa, sizeof rsa});
    der_put(w, DER_NULL, (struct tt_bytes){NULL, 0});
    der_close(w, algorithm);
    struct der_mark bits = der_open(w, DER_BIT_STRING);
    wr_u8(w, 0);
    struct der_mark key = der_open(w, DER_SEQUENCE);
    der_put_uint(w, modulus);
    der_put_uint(w, exponent);
    der_close(w, key);
    der_close(w, bits);
    return CKR_OK;
}

static CK_RV check_public(CK_KEY_TYPE *ret, const CK_ATTRIBUTE *template, CK_ULONG n)
{
    const CK_ATTRIBUTE *type = template_find(template, n, CKA_KEY_TYPE);
    if (type == NULL)
        return CKR_TEMPLATE_INCOMPLETE;
    const CK_RV checks[] = {template_demand_ulong(template, n, CKA_CLASS, CKO_PUBLIC_KEY),
                            template_demand_bool(template, n, CKA_TOKEN, false),
                            template_demand_bool(template, n, CKA_PRIVATE, false),
                            template_demand_bool(template, n, CKA_TRUSTED, false), template_ulong(ret, type)};
    CK_RV rv = template_first_failure(checks, TT_COUNT(checks));
    return rv == CKR_OK && *ret != CKK_EC && *ret != CKK_RSA ? CKR_ATTRIBUTE_VALUE_INVALID : rv;
}

static CK_RV build_spki(struct buf *ret, CK_KEY_TYPE type, const CK_ATTRIBUTE *template, CK_ULONG n)
{
    struct writer w = writer_to(ret);
    struct der_mark whole = der_open(&w, DER_SEQUENCE);
    CK_RV rv = type == CKK_EC ? put_ec(&w, template, n) : put_rsa(&w, template, n);
    der_close(&w, whole);
    return rv == CKR_OK && wr_status(&w) != TT_OK ? CKR_HOST_MEMORY : rv;
}

/* A point that is on no curve, or a modulus of no length that there is, is refused now. */
static CK_RV take_public(struct contents *c, struct tt_bytes spki)
{
    struct apart_key *key = NULL;
    struct tt_error why = {0};
    tt_rc rc = raw_info_of_public(&c->info, spki, &why);
    if (rc == TT_OK)
        rc = apart_key_new(&key, module.apart, spki);
    apart_key_free(key);
    if (rc == TT_OK)
        rc = token_key_id(c->id, spki_public_key(spki), &why);
    return rc == TT_OK ? CKR_OK : rc == TT_ERR_MEMORY ? CKR_HOST_MEMORY : CKR_ATTRIBUTE_VALUE_INVALID;
}

CK_RV temporary_public_key(struct session *s, const CK_ATTRIBUTE *template, CK_ULONG n,
                           CK_OBJECT_HANDLE_PTR ret)
{
    CK_KEY_TYPE type = 0;
    TT_AUTO(buf_free) struct buf spki = {0};
    CK_RV rv = check_public(&type, template, n);
    if (rv == CKR_OK)
        rv = build_spki(&spki, type, template, n);
    if (rv != CKR_OK)
        return rv;
    struct contents *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return CKR_HOST_MEMORY;
    c->temporary_class = CKO_PUBLIC_KEY;
    atomic_init(&c->refs, 1);
    rv = take_public(c, buf_bytes(&spki));
    if (rv == CKR_OK)
        return list_add(s, c, ret);
    contents_free(c);
    return rv;
}

/* ---- a secret ---- */

CK_RV temporary_secret(struct session *s, struct tt_bytes secret, CK_KEY_TYPE type, CK_OBJECT_HANDLE_PTR ret)
{
    struct contents *c = secret.len > sizeof c->secret ? NULL : mem_alloc(sizeof *c);
    if (c == NULL)
        return CKR_HOST_MEMORY;
    c->temporary_class = CKO_SECRET_KEY;
    c->secret_type = type;
    c->secret_len = secret.len;
    memcpy(c->secret, secret.data, secret.len);
    return list_add(s, c, ret);
}
