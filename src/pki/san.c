/* pki/san.c: subject alternative names. Layer: pki. RFC 5280 section 4.2.1.6; host names per RFC 1034
 * section 3.5 with the underscore that private networks use; URIs per RFC 3986; mailboxes per RFC 5321
 * section 4.1.2, dot-atoms only.
 *
 * Attack: a name with a NUL or other odd bytes that two programs read as two different hosts. */
#include "pki/san.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "pki/san_other.h"
#include "pki/text.h"

static bool is_alnum(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_in(uint8_t c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static bool label_ok(struct tt_bytes label)
{
    if (label.len == 0 || label.len > 63 || label.data[0] == '-' || label.data[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++)
        if (!is_alnum(label.data[i]) && !is_in(label.data[i], "-_"))
            return false;
    return true;
}

static bool all_digits(struct tt_bytes b)
{
    for (size_t i = 0; i < b.len; i++)
        if (b.data[i] < '0' || b.data[i] > '9')
            return false;
    return true;
}

/* Labels between dots; the last is not a number, else it reads as an IPv4 address. */
bool san_host_ok(struct tt_bytes name)
{
    if (name.len == 0 || name.len > 253)
        return false;
    for (;;) {
        const uint8_t *dot = memchr(name.data, '.', name.len);
        struct tt_bytes label = {name.data, dot == NULL ? name.len : (size_t)(dot - name.data)};
        if (!label_ok(label))
            return false;
        if (dot == NULL)
            return !all_digits(label);
        name = (struct tt_bytes){dot + 1, name.len - label.len - 1};
    }
}

/* "*." may stand for the left-most label, with two labels or more behind it (RFC 9525 section 6.3). */
static bool dns_ok(struct tt_bytes b)
{
    if (b.len > 2 && b.data[0] == '*' && b.data[1] == '.')
        return san_host_ok((struct tt_bytes){b.data + 2, b.len - 2}) &&
               memchr(b.data + 2, '.', b.len - 2) != NULL;
    return san_host_ok(b);
}

static bool email_ok(struct tt_bytes b)
{
    const uint8_t *at = b.len == 0 ? NULL : memchr(b.data, '@', b.len);
    if (at == NULL)
        return false;
    size_t local = (size_t)(at - b.data);
    if (local == 0 || local > 64 || b.data[0] == '.' || at[-1] == '.')
        return false;
    for (size_t i = 0; i < local; i++) {
        bool twice = b.data[i] == '.' && b.data[i + 1] == '.';
        if (twice || (!is_alnum(b.data[i]) && !is_in(b.data[i], "!#$%&'*+-/=?^_`{|}~.")))
            return false;
    }
    return san_host_ok((struct tt_bytes){at + 1, b.len - local - 1});
}

/* scheme ":" rest, where the rest is of the characters RFC 3986 section 2 allows. "The name MUST NOT be a
 * relative URI" (RFC 5280 section 4.2.1.6). */
static bool uri_ok(struct tt_bytes b)
{
    const uint8_t *colon = b.len == 0 ? NULL : memchr(b.data, ':', b.len);
    if (colon == NULL || b.len > 2048 || !is_alnum(b.data[0]) || (b.data[0] >= '0' && b.data[0] <= '9'))
        return false;
    size_t scheme = (size_t)(colon - b.data);
    for (size_t i = 0; i < scheme; i++)
        if (!is_alnum(b.data[i]) && !is_in(b.data[i], "+-."))
            return false;
    struct tt_bytes rest = {colon + 1, b.len - scheme - 1};
    for (size_t i = 0; i < rest.len; i++) {
        if (rest.data[i] == '%') {
            static const char hex[] = "0123456789abcdefABCDEF";
            if (rest.len - i < 3 || !is_in(rest.data[i + 1], hex) || !is_in(rest.data[i + 2], hex))
                return false;
        } else if (!is_alnum(rest.data[i]) && !is_in(rest.data[i], "-._~:/?#[]@!$&'()*+,;=")) {
            return false;
        }
    }
    bool authority = rest.len >= 2 && memcmp(rest.data, "//", 2) == 0;
    return rest.len > 0 && (!authority || (rest.len > 2 && rest.data[2] != '/' && rest.data[2] != '?'));
}

static bool ip_ok(struct tt_bytes b)
{
    return b.len == 4 || b.len == 16;
}

/* The kinds of names we certify; the type is GeneralName's tag. */
static const struct kind {
    const char *prefix;
    int type;
    bool (*ok)(struct tt_bytes value);
    const char *what;
    const char *hint;
} kinds[] = {
    {"DNS:", GEN_DNS, dns_ok, "a DNS name",
     "labels of letters, digits and - between dots; *. may stand first; other scripts in their xn-- form; an "
     "address "
     "is written IP:..."},
    {"IP:", GEN_IPADD, ip_ok, "an IP address",
     "write it like 192.0.2.1 or 2001:db8::1, without a zone or a prefix"},
    {"URI:", GEN_URI, uri_ok, "an absolute URI",
     "write it like spiffe://example.org/service; escape others as %HH"},
    {"email:", GEN_EMAIL, email_ok, "an e-mail address", "write it like device@example.org"},
};

static const struct kind *kind_of_type(int type)
{
    for (size_t i = 0; i < TT_COUNT(kinds); i++)
        if (kinds[i].type == type)
            return &kinds[i];
    return NULL;
}

static const struct kind *kind_of_text(const char *text)
{
    for (size_t i = 0; i < TT_COUNT(kinds); i++)
        if (strncasecmp(text, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
            return &kinds[i];
    return NULL;
}

/* All four kinds hold their value in an ASN1_STRING: IA5String, or OCTET STRING for addresses. */
static struct tt_bytes value_of(const GENERAL_NAME *name)
{
    int type;
    const ASN1_STRING *s = GENERAL_NAME_get0_value(name, &type);
    return (struct tt_bytes){ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)};
}

static int type_of(const GENERAL_NAME *name)
{
    int type = -1;
    (void)GENERAL_NAME_get0_value(name, &type);
    return type;
}

/* The value in the certificate's form: addresses in binary. */
static struct tt_bytes value_parse(const struct kind *kind, const char *text, uint8_t address[16])
{
    if (kind->type != GEN_IPADD)
        return (struct tt_bytes){(const uint8_t *)text, strlen(text)};
    if (inet_pton(AF_INET, text, address) == 1)
        return (struct tt_bytes){address, 4};
    return (struct tt_bytes){address, inet_pton(AF_INET6, text, address) == 1 ? 16 : 0};
}

/* Said twice is said once. Takes the name over, also on failure. */
static tt_rc names_add(GENERAL_NAMES *to, GENERAL_NAME *name)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(to); i++)
        if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(to, i), name) == 0) {
            GENERAL_NAME_free(name);
            return TT_OK;
        }
    if (sk_GENERAL_NAME_push(to, name) > 0)
        return TT_OK;
    GENERAL_NAME_free(name);
    return TT_ERR_MEMORY;
}

static tt_rc name_new(GENERAL_NAME **ret, const struct kind *kind, struct tt_bytes value)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *s = ASN1_STRING_type_new(kind->type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    if (name != NULL && s != NULL && ASN1_STRING_set(s, value.data, (int)value.len) == 1) {
        GENERAL_NAME_set0_value(name, kind->type, s);
        *ret = name;
        return TT_OK;
    }
    ASN1_STRING_free(s);
    GENERAL_NAME_free(name);
    return TT_ERR_MEMORY;
}

static tt_rc name_parse(GENERAL_NAME **ret, const char *text, struct tt_error *err)
{
    const struct kind *kind = kind_of_text(text);
    if (other_is_text(text))
        return other_parse(ret, text, err);
    if (kind == NULL) {
        (void)error_set(err, TT_ERR_USAGE, "'%.80s' does not say what kind of name it is", text);
        error_hint(err, "write DNS:name, IP:address, URI:uri, email:address, UPN:name@realm or "
                        "HardwareModuleName:OID:HEX");
        return TT_ERR_USAGE;
    }
    uint8_t address[16];
    struct tt_bytes value = value_parse(kind, text + strlen(kind->prefix), address);
    if (!kind->ok(value)) {
        (void)error_set(err, TT_ERR_USAGE, "'%.80s' is not %s", text + strlen(kind->prefix), kind->what);
        error_hint(err, "%s", kind->hint);
        return TT_ERR_USAGE;
    }
    return name_new(ret, kind, value) == TT_OK ? TT_OK : pki_no_memory(err);
}

static tt_rc text_add(GENERAL_NAMES *to, const char *text, struct tt_error *err)
{
    GENERAL_NAME *name = NULL;
    TT_TRY(name_parse(&name, text, err));
    return names_add(to, name) == TT_OK ? TT_OK : pki_no_memory(err);
}

tt_rc san_parse(GENERAL_NAMES **ret, const char *const *texts, size_t n, struct tt_error *err)
{
    if (n > SAN_MAX)
        return error_set(err, TT_ERR_USAGE, "more than %d alternative names", SAN_MAX);
    TT_AUTO(GENERAL_NAMES_free_auto) GENERAL_NAMES *names = n == 0 ? NULL : GENERAL_NAMES_new();
    if (n > 0 && names == NULL)
        return pki_no_memory(err);
    for (size_t i = 0; i < n; i++)
        TT_TRY(text_add(names, texts[i], err));
    *ret = TT_TAKE(names);
    return TT_OK;
}

static tt_rc name_refuse(const GENERAL_NAME *name, const char *why, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf b = {0};
    TT_AUTO(mem_free_auto) char *shown = NULL;
    if (text_escape(&b, value_of(name)) != TT_OK || text_take(&shown, &b) != TT_OK)
        return pki_no_memory(err);
    return error_set(err, TT_ERR_UNSUPPORTED, "the request asks for the name '%.100s', which is not %s",
                     shown, why);
}

tt_rc san_check(const GENERAL_NAMES *names, enum csr_flaw *ret_flaw, struct tt_error *err)
{
    *ret_flaw = FLAW_NAMES_MANY;
    int n = sk_GENERAL_NAME_num(names);
    if (n <= 0 || n > SAN_MAX)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the request has %d alternative names; 1 to %d are accepted", n, SAN_MAX);
    for (int i = 0; i < n; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        const struct kind *kind = kind_of_type(type_of(name));
        *ret_flaw = FLAW_NAME_KIND;
        if (type_of(name) == GEN_OTHERNAME) {
            TT_TRY(other_check(name, err));
            continue;
        }
        if (kind == NULL)
            return error_set(
                err, TT_ERR_UNSUPPORTED,
                "the request asks for an alternative name of a kind that is not certified here (number "
                "%d); DNS, IP, URI and email are, the UPN and the HardwareModuleName",
                i + 1);
        bool text = kind->type == GEN_IPADD || text_is_printable(value_of(name));
        *ret_flaw = text ? FLAW_NAME_FORM : FLAW_CHARACTERS;
        if (!kind->ok(value_of(name)))
            return kind->type == GEN_IPADD ? error_set(err, TT_ERR_UNSUPPORTED,
                                                       "the request asks for an IP address of a wrong length")
                                           : name_refuse(name, kind->what, err);
        for (int k = 0; k < i; k++)
            if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(names, k), sk_GENERAL_NAME_value(names, i)) == 0) {
                *ret_flaw = FLAW_DUPLICATE;
                return error_set(err, TT_ERR_UNSUPPORTED,
                                 "the request asks for the same name twice (number %d)", i + 1);
            }
    }
    *ret_flaw = FLAW_NONE;
    return TT_OK;
}

bool san_has_host(const GENERAL_NAMES *names)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int type = type_of(sk_GENERAL_NAME_value(names, i));
        if (type == GEN_DNS || type == GEN_IPADD)
            return true;
    }
    return false;
}

bool san_has_other(const GENERAL_NAMES *names)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
        if (type_of(sk_GENERAL_NAME_value(names, i)) == GEN_OTHERNAME)
            return true;
    return false;
}

tt_rc san_print_one(struct buf *to, const GENERAL_NAME *name)
{
    const struct kind *kind = kind_of_type(type_of(name));
    if (type_of(name) == GEN_OTHERNAME)
        return other_print(to, name);
    if (kind == NULL)
        return buf_append(to, "(other)", 7);
    TT_TRY(buf_append(to, kind->prefix, strlen(kind->prefix)));
    struct tt_bytes value = value_of(name);
    char address[INET6_ADDRSTRLEN];
    if (kind->type != GEN_IPADD || !ip_ok(value))
        return text_escape(to, value);
    const char *text = inet_ntop(value.len == 4 ? AF_INET : AF_INET6, value.data, address, sizeof address);
    return text == NULL ? TT_ERR_INTERNAL : buf_append(to, text, strlen(text));
}

tt_rc san_print(struct buf *to, const GENERAL_NAMES *names)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        if (i > 0)
            TT_TRY(buf_append(to, ", ", 2));
        TT_TRY(san_print_one(to, sk_GENERAL_NAME_value(names, i)));
    }
    return TT_OK;
}
