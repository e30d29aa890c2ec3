/* pki/ek_chain.c: see ek_chain.h. Layer: pki. RFC 5280 section 6 by libcrypto. Vendors' certificates are
 * taken as they are: without an extended key usage, with the TPM's attributes in the subject instead of the
 * alternative name, with a serial number of 0, a key called id-RSAES-OAEP, critical extensions of the TCG's
 * own, no AIA. */
#include "pki/ek_chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pki/ek_seen.h"
#include "pki/fields.h"
#include "pki/text.h"

#define EK_CERTIFICATE "2.23.133.8.1" /* tcg-kp-EKCertificate */
#define TCG            "2.23.133."
#define DIRECTORY      "2.5.29.9" /* subjectDirectoryAttributes: the TPM's specification */

struct ek_roots {
    X509_STORE *store;
    STACK_OF(X509) * between;
    struct ek_seen *seen;
};

void ek_roots_free(struct ek_roots *r)
{
    if (r == NULL)
        return;
    X509_STORE_free(r->store);
    sk_X509_pop_free(r->between, X509_free);
    ek_seen_free(r->seen);
    mem_free(r);
}
TT_DEFINE_AUTO(struct ek_roots, ek_roots_free)

/* Does libcrypto say that it lacked memory? Empties its queue. */
static bool lacked_memory(void)
{
    bool did = false;
    for (unsigned long e; (e = ERR_get_error()) != 0;)
        did = did || ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE;
    return did;
}

/* Self-signed ones are anchors; the others may stand between. libcrypto reads their extensions with the first
 * use, and what it could not read then, for want of memory, it would never again. */
static bool root_add(struct ek_roots *r, X509 *x)
{
    ERR_clear_error();
    (void)X509_check_purpose(x, -1, 0);
    if (lacked_memory())
        return false;
    int order = X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x));
    if (order == -2) /* no memory to compare them */
        return false;
    if (order == 0)
        return X509_STORE_add_cert(r->store, x) == 1;
    return X509_up_ref(x) == 1 && sk_X509_push(r->between, x) > 0;
}

tt_rc ek_roots_new(struct ek_roots **ret, const struct tt_cert_list *roots, struct tt_error *err)
{
    TT_AUTO(ek_roots_free_auto) struct ek_roots *r = mem_alloc(sizeof *r);
    if (r == NULL || (r->store = X509_STORE_new()) == NULL || (r->between = sk_X509_new_null()) == NULL ||
        (r->seen = ek_seen_new()) == NULL)
        return pki_no_memory(err);
    for (size_t i = 0; roots != NULL && i < roots->len; i++) {
        TT_AUTO(X509_free_auto) X509 *x = cert_read(roots->certs[i]);
        if (x == NULL) /* libcrypto does not always say that memory was what it lacked */
            x = cert_read(roots->certs[i]);
        if (x == NULL)
            return error_set(err, TT_ERR_DECODE, "vendors' root %zu is not a certificate", i + 1);
        if (!root_add(r, x))
            return pki_no_memory(err);
    }
    *ret = TT_TAKE(r);
    return TT_OK;
}

/* ---- what it says ---- */

/* What is no text is passed over. */
static tt_rc take_text(char *ret, size_t cap, const ASN1_STRING *s)
{
    TT_AUTO(buf_free) struct buf text = {0};
    TT_AUTO(ossl_free_auto) uint8_t *utf8 = NULL;
    int len = ASN1_STRING_to_UTF8(&utf8, s);
    if (len < 0)
        return TT_OK;
    TT_TRY(text_escape(&text, (struct tt_bytes){utf8, (size_t)len}));
    (void)snprintf(ret, cap, "%.*s", (int)buf_size(&text),
                   buf_size(&text) > 0 ? (const char *)buf_front(&text) : "");
    error_cut(ret);
    return TT_OK;
}

/* "id:" and hexadecimal digits; of a manufacturer they are characters (TCG Vendor ID Registry): "id:49465800"
 * is "IFX". */
static void manufacturer_text(char *text, size_t cap)
{
    char c[5] = "";
    if (strncasecmp(text, "id:", 3) != 0 || strlen(text) != 11 ||
        strspn(text + 3, "0123456789abcdefABCDEF") != 8)
        return;
    unsigned long v = strtoul(text + 3, NULL, 16);
    for (int i = 0; i < 4; i++)
        c[i] = (char)(v >> (24 - 8 * i));
    size_t n = strnlen(c, 4);
    while (n > 0 && c[n - 1] == ' ')
        c[--n] = '\0';
    for (size_t i = 0; i < n; i++)
        if (c[i] < '!' || c[i] > '~') /* swtpm's id:00001014: as it stands */
            return;
    if (n > 0)
        (void)snprintf(text, cap, "%s", c);
}

static tt_rc attributes_take(struct ek_facts *f, const X509_NAME *name)
{
    for (int i = 0; i < X509_NAME_entry_count(name); i++) {
        const X509_NAME_ENTRY *e = X509_NAME_get_entry(name, i);
        const ASN1_STRING *value = X509_NAME_ENTRY_get_data(e);
        char oid[40] = "";
        (void)OBJ_obj2txt(oid, sizeof oid, X509_NAME_ENTRY_get_object(e), 1);
        if (strcmp(oid, TCG "2.1") == 0)
            TT_TRY(take_text(f->manufacturer, sizeof f->manufacturer, value));
        else if (strcmp(oid, TCG "2.2") == 0)
            TT_TRY(take_text(f->model, sizeof f->model, value));
        else if (strcmp(oid, TCG "2.3") == 0)
            TT_TRY(take_text(f->version, sizeof f->version, value));
    }
    return TT_OK;
}

static tt_rc facts_take(struct ek_facts *f, X509 *x)
{
    ERR_clear_error();
    TT_AUTO(GENERAL_NAMES_free_auto)
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    TT_AUTO(mem_free_auto) char *issuer = NULL;
    const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
    TT_TRY(attributes_take(f, X509_get_subject_name(x)));
    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        if (n->type == GEN_DIRNAME)
            TT_TRY(attributes_take(f, n->d.directoryName));
    }
    manufacturer_text(f->manufacturer, sizeof f->manufacturer);
    TT_TRY(text_name(&issuer, X509_get_issuer_name(x)));
    (void)snprintf(f->issuer, sizeof f->issuer, "%s", issuer);
    error_cut(f->issuer);
    for (int i = 0; serial != NULL && i < ASN1_STRING_length(serial) && i < 32; i++)
        (void)snprintf(f->serial + 2 * i, 3, "%02x", ASN1_STRING_get0_data(serial)[i]);
    return lacked_memory() ? TT_ERR_MEMORY : TT_OK;
}

static tt_rc views_take(struct ek_facts *f, struct tt_bytes der)
{
    struct cert_fields fields;
    TT_TRY(cert_fields_read(&fields, der));
    f->spki = fields.spki;
    f->public_key = fields.public_key;
    return TT_OK;
}

static tt_rc facts_of(struct ek_facts *f, X509 **ret, struct tt_bytes der)
{
    TT_TRY(views_take(f, der));
    *ret = cert_read(der);
    ERR_clear_error();
    return *ret == NULL ? TT_ERR_DECODE : facts_take(f, *ret);
}

tt_rc ek_facts_read(struct ek_facts *ret, struct tt_bytes der)
{
    TT_AUTO(X509_free_auto) X509 *x = NULL;
    *ret = (struct ek_facts){.spki = {0}};
    return facts_of(ret, &x, der);
}

/* ---- what it was issued for ---- */

/* The profile wants an extended key usage; certificates of older chips have none, but say of which TPM they
 * are, which no certificate for anything else does. */
static bool eku_allows(X509 *x, const struct ek_facts *facts)
{
    int critical = 0;
    EXTENDED_KEY_USAGE *eku = X509_get_ext_d2i(x, NID_ext_key_usage, &critical, NULL);
    bool is_absent = eku == NULL && critical == -1;
    bool allows =
        is_absent && facts->manufacturer[0] != '\0' && facts->model[0] != '\0' && facts->version[0] != '\0';
    for (int i = 0; eku != NULL && i < sk_ASN1_OBJECT_num(eku); i++) {
        char oid[40] = "";
        const ASN1_OBJECT *o = sk_ASN1_OBJECT_value(eku, i);
        (void)OBJ_obj2txt(oid, sizeof oid, o, 1);
        allows = allows || strcmp(oid, EK_CERTIFICATE) == 0 || OBJ_obj2nid(o) == NID_anyExtendedKeyUsage;
    }
    EXTENDED_KEY_USAGE_free(eku);
    ERR_clear_error();
    return allows;
}

static bool usage_check(X509 *x, const struct ek_facts *facts, struct tt_error *err)
{
    uint32_t flags = X509_get_extension_flags(x), usage = X509_get_key_usage(x);
    ERR_clear_error();
    if ((flags & EXFLAG_CA) != 0)
        (void)error_set(err, TT_ERR_VERIFY, "the endorsement certificate is a CA's");
    else if ((flags & EXFLAG_KUSAGE) != 0 && (usage & (KU_KEY_ENCIPHERMENT | KU_KEY_AGREEMENT)) == 0)
        (void)error_set(err, TT_ERR_VERIFY,
                        "the endorsement certificate's key usage allows no key encipherment");
    else if (!eku_allows(x, facts))
        (void)error_set(
            err, TT_ERR_VERIFY,
            (flags & EXFLAG_XKUSAGE) != 0
                ? "the certificate is not one of an endorsement key: its extended key usage is another"
                : "the certificate is not one of an endorsement key: it has neither that extended key "
                  "usage nor a TPM's manufacturer, model and version");
    else
        return true;
    return false;
}

/* ---- whom it leads to ---- */

static bool extension_is_known(const X509 *x, int at)
{
    char oid[80] = "";
    (void)OBJ_obj2txt(oid, sizeof oid, X509_EXTENSION_get_object(X509_get_ext(x, at)), 1);
    return X509_supported_extension(X509_get_ext(x, at)) == 1 || strcmp(oid, DIRECTORY) == 0 ||
           strncmp(oid, TCG, sizeof TCG - 1) == 0;
}

/* libcrypto stops at critical extensions that it does not know: those of endorsement certificates are known
 * here. */
static int on_error(int ok, X509_STORE_CTX *ctx)
{
    const X509 *x = X509_STORE_CTX_get_current_cert(ctx);
    if (ok == 1 || X509_STORE_CTX_get_error(ctx) != X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION || x == NULL)
        return ok;
    for (int i = 0; i < X509_get_ext_count(x); i++)
        if (X509_EXTENSION_get_critical(X509_get_ext(x, i)) == 1 && !extension_is_known(x, i))
            return 0;
    X509_STORE_CTX_set_error(ctx, X509_V_OK);
    return 1;
}

static enum ek_refusal refusal_of(int code)
{
    switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return EK_TIME;
    case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
        return EK_EXTENSION;
    default:
        return EK_UNTRUSTED;
    }
}

static tt_rc path_verify(enum ek_refusal *ret, X509_STORE_CTX *ctx, int64_t now, struct tt_error *err)
{
    ERR_clear_error();
    X509_STORE_CTX_set_time(ctx, 0, (time_t)now);
    X509_STORE_CTX_set_verify_cb(ctx, on_error);
    if (X509_verify_cert(ctx) == 1)
        return TT_OK;
    int code = X509_STORE_CTX_get_error(ctx);
    if (code == X509_V_ERR_OUT_OF_MEM || lacked_memory())
        return pki_no_memory(err);
    *ret = refusal_of(code);
    return error_set(err, TT_ERR_VERIFY,
                     "the endorsement certificate leads to no vendor's root: %s (at depth %d)",
                     X509_verify_cert_error_string(code), X509_STORE_CTX_get_error_depth(ctx));
}

static STACK_OF(X509) * between_of(const struct ek_roots *roots, const struct ek_chain *chain)
{
    STACK_OF(X509) *all = sk_X509_new_null();
    for (int i = 0; all != NULL && i < sk_X509_num(roots->between); i++) {
        X509 *x = sk_X509_value(roots->between, i);
        if (X509_up_ref(x) == 1 && sk_X509_push(all, x) <= 0)
            X509_free(x);
    }
    for (size_t i = 1; all != NULL && i < chain->len; i++) {
        X509 *x = cert_read(chain->certs[i]); /* what cannot be read is passed over */
        if (x != NULL && sk_X509_push(all, x) <= 0)
            X509_free(x);
    }
    return all;
}

/* struct wanted: a leaf, what is known of it, and where it is remembered. */
struct wanted {
    X509 *leaf;
    const struct ek_facts *facts;
    const uint8_t *key; /* NULL: nowhere */
};

static tt_rc path_judge(enum ek_refusal *ret, const struct ek_roots *roots, const struct wanted *w,
                        const struct ek_chain *chain, struct tt_error *err)
{
    STACK_OF(X509) *between = between_of(roots, chain);
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    tt_rc rc = TT_OK;
    if (ctx == NULL || between == NULL || X509_STORE_CTX_init(ctx, roots->store, w->leaf, between) != 1)
        rc = pki_no_memory(err);
    else
        rc = path_verify(ret, ctx, chain->now, err);
    if (rc == TT_OK && w->key != NULL)
        ek_seen_put(roots->seen, w->key, w->facts, X509_STORE_CTX_get0_chain(ctx));
    X509_STORE_CTX_free(ctx);
    sk_X509_pop_free(between, X509_free);
    ERR_clear_error();
    return rc;
}

static tt_rc judge_once(struct ek_facts *ret, enum ek_refusal *ret_refusal, const struct ek_roots *roots,
                        const struct ek_chain *chain, struct tt_error *err)
{
    TT_AUTO(X509_free_auto) X509 *x = NULL;
    struct ek_facts facts = {.spki = {0}};
    uint8_t key[EK_SEEN_KEY];
    bool has_key = ek_seen_key(key, chain);
    if (has_key && ek_seen_get(roots->seen, &facts, key, chain->now) &&
        views_take(&facts, chain->certs[0]) == TT_OK) {
        *ret = facts;
        *ret_refusal = EK_GOOD;
        return TT_OK;
    }
    *ret_refusal = EK_MALFORMED;
    tt_rc rc = facts_of(&facts, &x, chain->certs[0]);
    if (rc != TT_OK)
        return rc == TT_ERR_MEMORY
                   ? pki_no_memory(err)
                   : error_set(err, TT_ERR_VERIFY, "the endorsement certificate cannot be read");
    *ret = facts;
    *ret_refusal = EK_USAGE;
    if (!usage_check(x, &facts, err))
        return TT_ERR_VERIFY;
    const struct wanted w = {x, &facts, has_key ? key : NULL};
    TT_TRY(path_judge(ret_refusal, roots, &w, chain, err));
    *ret_refusal = EK_GOOD;
    return TT_OK;
}

/* What is refused is refused twice: libcrypto does not always say that memory was what it lacked, and then it
 * is not the device's fault (crypto/refusal.h). */
tt_rc ek_chain_judge(struct ek_facts *ret, enum ek_refusal *ret_refusal, const struct ek_roots *roots,
                     const struct ek_chain *chain, struct tt_error *err)
{
    tt_rc rc = judge_once(ret, ret_refusal, roots, chain, NULL);
    return rc == TT_ERR_VERIFY ? judge_once(ret, ret_refusal, roots, chain, err)
           : rc == TT_OK       ? rc
                               : error_set(err, rc, "the endorsement certificate could not be judged");
}
