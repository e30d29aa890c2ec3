/* pki/chain.c: see chain.h. Layer: pki. */
#include "pki/chain.h"

#include <openssl/x509_vfy.h>
#include <string.h>

#include "pki/dn.h"
#include "pki/san.h"
#include "pki/text.h"
#include "wire/der.h"

TT_DEFINE_AUTO(X509_STORE, X509_STORE_free)
TT_DEFINE_AUTO(X509_STORE_CTX, X509_STORE_CTX_free)

typedef STACK_OF(X509) certs;
static inline void certs_free(certs *c)
{
    sk_X509_pop_free(c, X509_free);
}
TT_DEFINE_AUTO(certs, certs_free)

static const struct tt_cert_list no_certs;

/* ---- lists ---- */

static tt_rc list_new(struct tt_cert_list **ret, struct tt_error *err)
{
    *ret = mem_alloc(sizeof **ret);
    return *ret != NULL ? TT_OK : pki_no_memory(err);
}

static bool list_has(const struct tt_cert_list *list, struct tt_bytes der)
{
    for (size_t i = 0; i < list->len; i++)
        if (der_order(list->certs[i], der) == 0)
            return true;
    return false;
}

static tt_rc list_copy(struct tt_cert_list *to, struct tt_bytes der, struct tt_error *err)
{
    if (list_has(to, der))
        return TT_OK;
    uint8_t *copy = mem_dup(der.data, der.len);
    if (copy != NULL && cert_list_add(to, copy, der.len) == TT_OK)
        return TT_OK;
    mem_free(copy);
    return pki_no_memory(err);
}

tt_rc chain_list_add(struct tt_cert_list **list, struct tt_bytes der, struct tt_error *err)
{
    if (*list == NULL)
        TT_TRY(list_new(list, err));
    return list_copy(*list, der, err);
}

bool chain_lists_equal(const struct tt_cert_list *a, const struct tt_cert_list *b)
{
    for (size_t i = 0; i < a->len; i++)
        if (!list_has(b, a->certs[i]))
            return false;
    for (size_t i = 0; i < b->len; i++)
        if (!list_has(a, b->certs[i]))
            return false;
    return true;
}

/* ---- the leaf ---- */

static bool ends_later(struct tt_bytes a, struct tt_bytes than)
{
    TT_AUTO(X509_free_auto) X509 *x = cert_read(a);
    TT_AUTO(X509_free_auto) X509 *y = cert_read(than);
    return x != NULL && (y == NULL || ASN1_TIME_compare(X509_get0_notAfter(x), X509_get0_notAfter(y)) > 0);
}

tt_rc chain_leaf(struct tt_bytes *ret, const struct tt_cert_list *sent, struct tt_bytes spki,
                 struct tt_error *err)
{
    struct tt_bytes found = {0};
    for (size_t i = 0; i < sent->len; i++)
        if (tt_cert_matches_key(sent->certs[i], spki) &&
            (found.len == 0 || ends_later(sent->certs[i], found)))
            found = sent->certs[i];
    ERR_clear_error();
    if (found.len == 0)
        return error_set(err, TT_ERR_NOT_FOUND, "none of the %zu certificates in the answer is for this key",
                         sent->len);
    *ret = found;
    return TT_OK;
}

/* ---- the path ---- */

/* What cannot be read is passed over. */
static tt_rc push_all(certs *to, const struct tt_cert_list *list, struct tt_error *err)
{
    for (size_t i = 0; i < list->len; i++) {
        X509 *x = cert_read(list->certs[i]);
        if (x == NULL)
            continue;
        if (sk_X509_push(to, x) <= 0) {
            X509_free(x);
            return pki_no_memory(err);
        }
    }
    return TT_OK;
}

static tt_rc store_make(X509_STORE **ret, const struct tt_cert_list *roots, struct tt_error *err)
{
    TT_AUTO(X509_STORE_free_auto) X509_STORE *store = X509_STORE_new();
    if (store == NULL || X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) != 1)
        return pki_no_memory(err);
    for (size_t i = 0; i < roots->len; i++) {
        TT_AUTO(X509_free_auto) X509 *x = cert_read(roots->certs[i]);
        if (x != NULL && X509_STORE_add_cert(store, x) != 1)
            return pki_no_memory(err);
    }
    *ret = TT_TAKE(store);
    return TT_OK;
}

/* Without a path: which certificate it is about. */
static tt_rc no_path(X509_STORE_CTX *ctx, struct tt_error *err)
{
    int code = X509_STORE_CTX_get_error(ctx);
    TT_AUTO(mem_free_auto) char *name = NULL;
    const X509 *at = X509_STORE_CTX_get_current_cert(ctx);
    if (at != NULL && text_name(&name, X509_get_subject_name(at)) != TT_OK)
        name = NULL;
    return error_set(err, TT_ERR_VERIFY,
                     "the certificate leads to none of the CAs that are believed: %s%s%.100s",
                     X509_verify_cert_error_string(code), name != NULL ? ": " : "", name != NULL ? name : "");
}

static tt_rc path_take(struct tt_cert_list **ret, const certs *path, struct tt_error *err)
{
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *list = NULL;
    TT_TRY(list_new(&list, err));
    for (int i = 0; i < sk_X509_num(path); i++) {
        TT_AUTO(ossl_free_auto) uint8_t *der = NULL;
        int len = i2d_X509(sk_X509_value(path, i), &der);
        if (len <= 0)
            return pki_no_memory(err);
        TT_TRY(list_copy(list, (struct tt_bytes){der, (size_t)len}, err));
    }
    *ret = TT_TAKE(list);
    return TT_OK;
}

static tt_rc path_find(struct tt_cert_list **ret, X509 *leaf, const struct chain_source *from,
                       struct tt_error *err)
{
    TT_AUTO(X509_STORE_free_auto) X509_STORE *store = NULL;
    TT_AUTO(X509_STORE_CTX_free_auto) X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    TT_AUTO(certs_free_auto) certs *between = sk_X509_new_null();
    if (ctx == NULL || between == NULL)
        return pki_no_memory(err);
    TT_TRY(store_make(&store, from->roots, err));
    TT_TRY(push_all(between, from->sent, err));
    TT_TRY(push_all(between, from->also != NULL ? from->also : &no_certs, err));
    if (X509_STORE_CTX_init(ctx, store, leaf, between) != 1)
        return pki_no_memory(err);
    X509_STORE_CTX_set_time(ctx, 0, (time_t)from->now);
    return X509_verify_cert(ctx) == 1 ? path_take(ret, X509_STORE_CTX_get0_chain(ctx), err)
                                      : no_path(ctx, err);
}

tt_rc chain_build(struct tt_cert_list **ret, struct tt_bytes leaf, const struct chain_source *from,
                  struct tt_error *err)
{
    TT_AUTO(X509_free_auto) X509 *x = cert_read(leaf);
    if (x == NULL)
        return error_set(err, TT_ERR_DECODE, "this is not a certificate");
    tt_rc rc = path_find(ret, x, from, err);
    ERR_clear_error();
    return rc;
}

/* ---- names ---- */

static bool entry_is_in(const X509_NAME *name, const X509_NAME_ENTRY *wanted)
{
    const ASN1_OBJECT *type = X509_NAME_ENTRY_get_object(wanted);
    TT_AUTO(ossl_free_auto) uint8_t *text = NULL;
    int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(wanted));
    for (int at = -1; (at = X509_NAME_get_index_by_OBJ(name, type, at)) >= 0;) {
        TT_AUTO(ossl_free_auto) uint8_t *has = NULL;
        int n = ASN1_STRING_to_UTF8(&has, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
        if (n == len && n >= 0 && memcmp(has, text, (size_t)n) == 0)
            return true;
    }
    return false;
}

static tt_rc subject_has(const X509 *leaf, const X509_NAME *wanted, struct tt_error *err)
{
    const X509_NAME *name = X509_get_subject_name(leaf);
    TT_AUTO(mem_free_auto) char *has = NULL;
    for (int i = 0; i < X509_NAME_entry_count(wanted); i++) {
        const X509_NAME_ENTRY *e = X509_NAME_get_entry(wanted, i);
        if (entry_is_in(name, e))
            continue;
        if (text_name(&has, name) != TT_OK)
            return pki_no_memory(err);
        return error_set(
            err, TT_ERR_VERIFY,
            "the certificate that was issued has another subject than was asked for: %.150s lacks its %s",
            has, OBJ_nid2sn(OBJ_obj2nid(X509_NAME_ENTRY_get_object(e))));
    }
    return TT_OK;
}

static bool san_is_in(const GENERAL_NAMES *names, GENERAL_NAME *wanted)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
        if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(names, i), wanted) == 0)
            return true;
    return false;
}

static tt_rc san_missing(GENERAL_NAME *name, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf text = {0};
    GENERAL_NAMES *one = sk_GENERAL_NAME_new_null();
    tt_rc rc = one != NULL && sk_GENERAL_NAME_push(one, name) > 0 ? san_print(&text, one) : TT_ERR_MEMORY;
    sk_GENERAL_NAME_free(one);
    if (rc != TT_OK)
        return pki_no_memory(err);
    return error_set(err, TT_ERR_VERIFY,
                     "the certificate that was issued lacks a name that was asked for: %.*s",
                     (int)(buf_size(&text) > 150 ? 150 : buf_size(&text)), (const char *)buf_front(&text));
}

static tt_rc sans_have(const X509 *leaf, const GENERAL_NAMES *wanted, struct tt_error *err)
{
    TT_AUTO(GENERAL_NAMES_free_auto)
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(wanted); i++)
        if (!san_is_in(names, sk_GENERAL_NAME_value(wanted, i)))
            return san_missing(sk_GENERAL_NAME_value(wanted, i), err);
    return TT_OK;
}

static tt_rc has_names(struct tt_bytes leaf, const X509_NAME *subject, const GENERAL_NAMES *sans,
                       struct tt_error *err)
{
    TT_AUTO(X509_free_auto) X509 *x = cert_read(leaf);
    if (x == NULL)
        return error_set(err, TT_ERR_DECODE, "this is not a certificate");
    tt_rc rc = subject != NULL ? subject_has(x, subject, err) : TT_OK;
    if (rc == TT_OK)
        rc = sans_have(x, sans, err);
    ERR_clear_error();
    return rc;
}

tt_rc chain_has_asked(struct tt_bytes leaf, const struct tt_csr_params *asked, struct tt_error *err)
{
    TT_AUTO(X509_NAME_free_auto) X509_NAME *subject = NULL;
    TT_AUTO(GENERAL_NAMES_free_auto) GENERAL_NAMES *sans = NULL;
    const char *text = asked->subject;
    if (text != NULL && text[0] != '\0' && strcmp(text, "/") != 0)
        TT_TRY(dn_parse(&subject, text, err));
    TT_TRY(san_parse(&sans, asked->sans, asked->sans_len, err));
    return has_names(leaf, subject, sans, err);
}

tt_rc chain_same_names(struct tt_bytes leaf, struct tt_bytes before, struct tt_error *err)
{
    TT_AUTO(X509_free_auto) X509 *old = cert_read(before);
    if (old == NULL)
        return error_set(err, TT_ERR_DECODE, "this is not a certificate");
    TT_AUTO(GENERAL_NAMES_free_auto)
    GENERAL_NAMES *sans = X509_get_ext_d2i(old, NID_subject_alt_name, NULL, NULL);
    return has_names(leaf, X509_get_subject_name(old), sans, err);
}

/* ---- what it is good for ---- */

typedef EXTENDED_KEY_USAGE purposes;
static inline void purposes_free(purposes *p)
{
    EXTENDED_KEY_USAGE_free(p);
}
TT_DEFINE_AUTO(purposes, purposes_free)

/* NULL: for all. */
static purposes *purposes_of(const X509 *x)
{
    return X509_get_ext_d2i(x, NID_ext_key_usage, NULL, NULL);
}

static bool has_purpose(const purposes *p, const ASN1_OBJECT *wanted)
{
    for (int i = 0; i < sk_ASN1_OBJECT_num(p); i++) {
        const ASN1_OBJECT *o = sk_ASN1_OBJECT_value(p, i);
        if (OBJ_cmp(o, wanted) == 0 || OBJ_obj2nid(o) == NID_anyExtendedKeyUsage)
            return true;
    }
    return false;
}

static tt_rc purpose_missing(const ASN1_OBJECT *wanted, struct tt_error *err)
{
    char text[80] = "";
    (void)OBJ_obj2txt(text, sizeof text, wanted, 0);
    return error_set(
        err, TT_ERR_VERIFY,
        "the certificate that was issued may not be used for what it is for: its extended key usage "
        "lacks %s",
        text);
}

/* Everything the one before was for; where that was for everything, or there was none: TLS, at one end of it.
 */
static tt_rc purposes_check(const X509 *x, const X509 *before, struct tt_error *err)
{
    TT_AUTO(purposes_free_auto) purposes *has = purposes_of(x);
    TT_AUTO(purposes_free_auto) purposes *had = before != NULL ? purposes_of(before) : NULL;
    const ASN1_OBJECT *client = OBJ_nid2obj(NID_client_auth), *server = OBJ_nid2obj(NID_server_auth);
    if (has == NULL)
        return TT_OK;
    for (int i = 0; had != NULL && i < sk_ASN1_OBJECT_num(had); i++)
        if (!has_purpose(has, sk_ASN1_OBJECT_value(had, i)))
            return purpose_missing(sk_ASN1_OBJECT_value(had, i), err);
    bool is_for_tls = has_purpose(has, client) || (before == NULL && has_purpose(has, server));
    return had != NULL || is_for_tls ? TT_OK : purpose_missing(client, err);
}

tt_rc chain_uses(struct tt_bytes leaf, struct tt_bytes before, struct tt_error *err)
{
    TT_AUTO(X509_free_auto) X509 *x = cert_read(leaf);
    TT_AUTO(X509_free_auto) X509 *old = before.len > 0 ? cert_read(before) : NULL;
    if (x == NULL || (before.len > 0 && old == NULL))
        return error_set(err, TT_ERR_DECODE, "this is not a certificate");
    bool signs = (X509_get_key_usage(x) & KU_DIGITAL_SIGNATURE) != 0; /* all bits, where it has none */
    tt_rc rc = signs
                   ? purposes_check(x, old, err)
                   : error_set(err, TT_ERR_VERIFY,
                               "the certificate that was issued may not be used for TLS: its key usage lacks "
                               "digitalSignature");
    ERR_clear_error();
    return rc;
}

/* ---- roots ---- */

bool chain_is_root(struct tt_bytes der)
{
    TT_AUTO(X509_free_auto) X509 *x = cert_read(der);
    bool is = x != NULL && X509_self_signed(x, 1) == 1;
    ERR_clear_error();
    return is;
}

static bool has_ended(struct tt_bytes der, int64_t now)
{
    TT_AUTO(X509_free_auto) X509 *x = cert_read(der);
    return x == NULL || ASN1_TIME_cmp_time_t(X509_get0_notAfter(x), (time_t)now) < 0;
}

static bool same_name_and_key(struct tt_bytes a, struct tt_bytes b)
{
    TT_AUTO(X509_free_auto) X509 *x = cert_read(a);
    TT_AUTO(X509_free_auto) X509 *y = cert_read(b);
    return x != NULL && y != NULL && X509_NAME_cmp(X509_get_subject_name(x), X509_get_subject_name(y)) == 0 &&
           EVP_PKEY_eq(X509_get0_pubkey(x), X509_get0_pubkey(y)) == 1;
}

/* An end entity's certificate vouches for nobody, whatever its owner calls his own root. */
static bool is_ca(struct tt_bytes der)
{
    TT_AUTO(X509_free_auto) X509 *x = cert_read(der);
    return x != NULL && X509_check_ca(x) == 1;
}

static bool is_cross(struct tt_bytes der, struct tt_bytes root, int64_t now)
{
    return same_name_and_key(der, root) && is_ca(der) && !chain_is_root(der) && !has_ended(der, now);
}

tt_rc chain_add_cross(struct tt_cert_list *path, const struct chain_source *from, struct tt_error *err)
{
    const struct tt_cert_list *also = from->also != NULL ? from->also : &no_certs;
    struct tt_bytes root = path->certs[path->len - 1];
    if (path->len < 2 || !chain_is_root(root))
        return TT_OK;
    for (size_t i = 0; i < also->len; i++) {
        if (!is_cross(also->certs[i], root, from->now))
            continue;
        uint8_t *copy = mem_dup(also->certs[i].data, also->certs[i].len);
        if (copy == NULL || cert_list_add(path, copy, also->certs[i].len) != TT_OK) {
            mem_free(copy);
            return pki_no_memory(err);
        }
        path->certs[path->len - 2] = path->certs[path->len - 1];
        path->certs[path->len - 1] = root;
        return TT_OK;
    }
    return TT_OK;
}

/* Does one of the roots, which has not ended, vouch for this new one? */
static bool is_vouched_for(struct tt_bytes root, const struct chain_source *from)
{
    for (size_t i = 0; i < from->roots->len; i++)
        if (same_name_and_key(root, from->roots->certs[i]) && !has_ended(from->roots->certs[i], from->now))
            return true;
    for (size_t i = 0; i < from->sent->len; i++) {
        TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *path = NULL;
        struct tt_bytes between = from->sent->certs[i];
        if (same_name_and_key(root, between) && is_ca(between) && !chain_is_root(between) &&
            chain_build(&path, between, from, NULL) == TT_OK)
            return true;
    }
    return false;
}

tt_rc chain_roots(struct tt_cert_list **ret, const struct tt_cert_list *old, const struct tt_cert_list *sent,
                  int64_t now, struct tt_error *err)
{
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *list = NULL;
    const struct chain_source from = {.sent = sent, .roots = old, .now = now};
    TT_TRY(list_new(&list, err));
    for (size_t i = 0; i < old->len; i++)
        if (!has_ended(old->certs[i], now))
            TT_TRY(list_copy(list, old->certs[i], err));
    for (size_t i = 0; i < sent->len; i++)
        if (chain_is_root(sent->certs[i]) && is_ca(sent->certs[i]) && !has_ended(sent->certs[i], now) &&
            is_vouched_for(sent->certs[i], &from))
            TT_TRY(list_copy(list, sent->certs[i], err));
    for (size_t i = 0; list->len == 0 && i < old->len; i++)
        TT_TRY(list_copy(list, old->certs[i], err));
    ERR_clear_error();
    *ret = TT_TAKE(list);
    return TT_OK;
}

tt_rc chain_roots_of(struct tt_cert_list **ret, const struct tt_cert_list *sent, struct tt_error *err)
{
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *list = NULL;
    TT_TRY(list_new(&list, err));
    for (size_t i = 0; i < sent->len; i++)
        if (chain_is_root(sent->certs[i]))
            TT_TRY(list_copy(list, sent->certs[i], err));
    bool none = list->len == 0;
    for (size_t i = 0; none && i < sent->len; i++)
        TT_TRY(list_copy(list, sent->certs[i], err));
    *ret = TT_TAKE(list);
    return TT_OK;
}
