/* pki/dn.c: '/O=Example/CN=device-1' to a Name. Layer: pki. RFC 5280 section 4.1.2.4 and appendix A.1 (upper
 * bounds, which libcrypto's string table holds). The form is that of `openssl req -subj`. */
#include "pki/dn.h"

#include <string.h>
#include <strings.h>

#include "pki/text.h"

#define DN_TEXT_MAX       4096
#define DN_ATTRIBUTES_MAX 32

static tt_rc dn_fail(struct tt_error *err)
{
    error_hint(err,
               "write it like '/O=Example/CN=device-1'; put \\ in front of a / or + that belongs to a value");
    return TT_ERR_USAGE;
}

/* The attribute types of RFC 5280 appendix A.1 and RFC 4519 that certificates use; others by their number. */
static const int known_types[] = {
    NID_commonName,
    NID_organizationName,
    NID_organizationalUnitName,
    NID_countryName,
    NID_localityName,
    NID_stateOrProvinceName,
    NID_serialNumber,
    NID_domainComponent,
    NID_userId,
    NID_surname,
    NID_givenName,
    NID_initials,
    NID_title,
    NID_name,
    NID_pseudonym,
    NID_streetAddress,
    NID_postalCode,
    NID_dnQualifier,
    NID_description,
    NID_businessCategory,
    NID_generationQualifier,
    NID_organizationIdentifier,
    NID_pkcs9_emailAddress,
};

static ASN1_OBJECT *type_find(const char *name)
{
    for (size_t i = 0; i < TT_COUNT(known_types); i++) {
        int nid = known_types[i];
        if (strcasecmp(name, OBJ_nid2sn(nid)) == 0 || strcasecmp(name, OBJ_nid2ln(nid)) == 0)
            return OBJ_nid2obj(nid);
    }
    if (name[0] >= '0' && name[0] <= '2' && name[strspn(name, "0123456789.")] == '\0')
        return OBJ_txt2obj(name, 1);
    return NULL;
}

/* struct attribute: one type=value of the text, unescaped. */
struct attribute {
    char type[64];
    char value[DN_TEXT_MAX + 1];
    bool joined; /* came behind '+' */
};

static size_t utf8_count(const char *s)
{
    size_t n = 0;
    for (; *s != '\0'; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

/* The bounds of RFC 5280 appendix A.1, said before libcrypto says less. */
static tt_rc value_check(const struct attribute *a, int nid, struct tt_error *err)
{
    const ASN1_STRING_TABLE *bounds = nid == NID_undef ? NULL : ASN1_STRING_TABLE_get(nid);
    size_t n = utf8_count(a->value);
    if (n == 0)
        (void)error_set(err, TT_ERR_USAGE, "the attribute %s of the subject has no value", a->type);
    else if (!text_is_printable((struct tt_bytes){(const uint8_t *)a->value, strlen(a->value)}))
        (void)error_set(err, TT_ERR_USAGE,
                        "the value of %s in the subject has control characters or is not UTF-8", a->type);
    else if (bounds != NULL && bounds->maxsize > 0 && n > (size_t)bounds->maxsize)
        (void)error_set(err, TT_ERR_USAGE,
                        "the value of %s in the subject has %zu characters; at most %ld fit", a->type, n,
                        bounds->maxsize);
    else if (bounds != NULL && bounds->minsize > 0 && n < (size_t)bounds->minsize)
        (void)error_set(err, TT_ERR_USAGE,
                        "the value of %s in the subject has %zu characters; at least %ld are needed", a->type,
                        n, bounds->minsize);
    else
        return TT_OK;
    return dn_fail(err);
}

static tt_rc attribute_add(X509_NAME *to, const struct attribute *a, struct tt_error *err)
{
    TT_AUTO(ASN1_OBJECT_free_auto) ASN1_OBJECT *type = type_find(a->type);
    if (type == NULL) {
        (void)error_set(err, TT_ERR_USAGE, "there is no attribute '%s' for a subject", a->type);
        error_hint(
            err, "known are CN, O, OU, C, ST, L, serialNumber, DC, UID, emailAddress and others of RFC 5280, "
                 "or a number like 2.5.4.3; put \\ in front of a / or + that belongs to a value");
        return TT_ERR_USAGE;
    }
    TT_TRY(value_check(a, OBJ_obj2nid(type), err));
    if (X509_NAME_entry_count(to) >= DN_ATTRIBUTES_MAX)
        return error_set(err, TT_ERR_USAGE, "the subject has more than %d attributes", DN_ATTRIBUTES_MAX);
    if (X509_NAME_add_entry_by_OBJ(to, type, MBSTRING_UTF8, (const uint8_t *)a->value, -1, -1,
                                   a->joined ? -1 : 0) != 1) {
        (void)error_set(err, TT_ERR_USAGE, "the value of %s in the subject has characters it may not have",
                        a->type);
        return dn_fail(err);
    }
    return TT_OK;
}

/* One type=value from *at, which stands behind '/' or '+'; *at ends on '/', '+' or NUL. */
static tt_rc attribute_parse(struct attribute *ret, const char **at, struct tt_error *err)
{
    size_t n = strcspn(*at, "=/+\\");
    if (n == 0 || n >= sizeof ret->type || (*at)[n] != '=') {
        (void)error_set(err, TT_ERR_USAGE,
                        n == 0 ? "the subject lacks an attribute behind '/' or '+'"
                               : "'%.*s' in the subject is not of the form type=value",
                        n < 60 ? (int)n : 60, *at);
        return dn_fail(err);
    }
    memcpy(ret->type, *at, n);
    ret->type[n] = '\0';
    const char *p = *at + n + 1;
    size_t len = 0;
    for (; *p != '\0' && *p != '/' && *p != '+'; p++) {
        if (*p == '\\' && *++p == '\0') {
            (void)error_set(err, TT_ERR_USAGE, "the subject ends with a lone '\\'");
            return dn_fail(err);
        }
        ret->value[len++] = *p;
    }
    ret->value[len] = '\0';
    *at = p;
    return TT_OK;
}

tt_rc dn_parse(X509_NAME **ret, const char *text, struct tt_error *err)
{
    if (text[0] != '/') {
        (void)error_set(err, TT_ERR_USAGE, "the subject '%.80s' does not begin with '/'", text);
        return dn_fail(err);
    }
    if (strlen(text) > DN_TEXT_MAX)
        return error_set(err, TT_ERR_USAGE, "the subject is longer than %d bytes", DN_TEXT_MAX);
    TT_AUTO(X509_NAME_free_auto) X509_NAME *name = X509_NAME_new();
    TT_AUTO(mem_free_auto) struct attribute *a = mem_alloc(sizeof *a);
    if (name == NULL || a == NULL)
        return pki_no_memory(err);
    for (const char *at = text; *at != '\0';) {
        a->joined = *at++ == '+';
        tt_rc rc = attribute_parse(a, &at, err);
        if (rc == TT_OK)
            rc = attribute_add(name, a, err);
        ERR_clear_error();
        TT_TRY(rc);
    }
    *ret = TT_TAKE(name);
    return TT_OK;
}

tt_rc dn_check(const X509_NAME *name, struct tt_error *err)
{
    int n = X509_NAME_entry_count(name);
    if (n > DN_ATTRIBUTES_MAX)
        return error_set(err, TT_ERR_UNSUPPORTED, "the request's subject has more than %d attributes",
                         DN_ATTRIBUTES_MAX);
    for (int i = 0; i < n; i++) {
        TT_AUTO(ossl_free_auto) uint8_t *utf8 = NULL;
        int len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i)));
        ERR_clear_error();
        if (len <= 0 || len > DN_TEXT_MAX || !text_is_printable((struct tt_bytes){utf8, (size_t)len}))
            return error_set(
                err, TT_ERR_UNSUPPORTED,
                "attribute %d of the request's subject is empty, too long, not text, or has control "
                "characters",
                i + 1);
    }
    return TT_OK;
}
