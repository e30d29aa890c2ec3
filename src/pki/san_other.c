/* pki/san_other.c: see san_other.h. Layer: pki. RFC 5280 section 4.2.1.6 (OtherName), RFC 4108 section 5
 * (HardwareModuleName); the UPN is Microsoft's 1.3.6.1.4.1.311.20.2.3.
 *
 * Attack: a UPN that the server who trusts it reads as somebody else's: so one '@', a host name behind it,
 * and nothing that is not seen. */
#include "pki/san_other.h"

#include <string.h>
#include <strings.h>

#include "pki/san.h"
#include "pki/text.h"
#include "wire/der.h"

#define UPN_MAX    1024
#define SERIAL_MAX 64

static const uint8_t oid_upn[] = {0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x14, 0x02, 0x03};
static const uint8_t oid_hardware[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x04};
static const char upn_prefix[] = "UPN:", hardware_prefix[] = "HardwareModuleName:",
                  openssl_upn[] = "otherName:1.3.6.1.4.1.311.20.2.3;UTF8:", any_other[] = "otherName:";

/* What stands behind the prefix, or NULL. */
static const char *behind(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncasecmp(text, prefix, n) == 0 ? text + n : NULL;
}

bool other_is_text(const char *text)
{
    return behind(text, upn_prefix) != NULL || behind(text, hardware_prefix) != NULL ||
           behind(text, any_other) != NULL;
}

/* ---- values ---- */

static bool upn_ok(struct tt_bytes b)
{
    const uint8_t *at = b.len == 0 ? NULL : memchr(b.data, '@', b.len);
    if (at == NULL || at == b.data || b.len > UPN_MAX || !text_is_printable(b))
        return false;
    for (const uint8_t *p = b.data; p < at; p++)
        if (*p == ' ' || strchr("\"/\\[]:;|=,+*?<>", *p) != NULL)
            return false;
    struct tt_bytes realm = {at + 1, b.len - (size_t)(at + 1 - b.data)};
    return realm.len > 0 && memchr(realm.data, '@', realm.len) == NULL && san_host_ok(realm);
}

/* struct hardware: HardwareModuleName ::= SEQUENCE { hwType OBJECT IDENTIFIER, hwSerialNum OCTET STRING } */
struct hardware {
    struct tt_bytes type, serial;
};

static bool hardware_read(struct hardware *ret, struct tt_bytes der)
{
    struct reader r = reader_of(der);
    struct reader inner = der_enter(&r, DER_SEQUENCE);
    *ret = (struct hardware){.type = der_get(&inner, DER_OID), .serial = der_get(&inner, DER_OCTET_STRING)};
    return rd_done(&inner) == TT_OK && rd_done(&r) == TT_OK && ret->type.len > 0 && ret->serial.len > 0 &&
           ret->serial.len <= SERIAL_MAX;
}

/* ---- from text ---- */

static tt_rc name_build(GENERAL_NAME **ret, struct tt_bytes oid, int type, struct tt_bytes value)
{
    TT_AUTO(buf_free) struct buf der = {0};
    struct writer w = writer_to(&der);
    der_put(&w, DER_OID, oid);
    TT_TRY(wr_status(&w));
    const uint8_t *at = buf_front(&der);
    ASN1_OBJECT *id = d2i_ASN1_OBJECT(NULL, &at, (long)buf_size(&der));
    ASN1_STRING *s = ASN1_STRING_type_new(type);
    ASN1_TYPE *any = ASN1_TYPE_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    bool ok = id != NULL && s != NULL && any != NULL && name != NULL &&
              ASN1_STRING_set(s, value.data, (int)value.len) == 1;
    if (ok) {
        ASN1_TYPE_set(any, type, s);
        s = NULL;
        ok = GENERAL_NAME_set0_othername(name, id, any) == 1;
    }
    if (ok) {
        *ret = name;
        return TT_OK;
    }
    ASN1_STRING_free(s);
    ASN1_TYPE_free(any);
    ASN1_OBJECT_free(id);
    GENERAL_NAME_free(name);
    return TT_ERR_MEMORY;
}

static tt_rc upn_parse(GENERAL_NAME **ret, const char *text, struct tt_error *err)
{
    struct tt_bytes value = {(const uint8_t *)text, strlen(text)};
    if (!upn_ok(value)) {
        (void)error_set(err, TT_ERR_USAGE, "'%.80s' is not a user principal name", text);
        error_hint(err, "write it like UPN:device@corp.example");
        return TT_ERR_USAGE;
    }
    return name_build(ret, (struct tt_bytes){oid_upn, sizeof oid_upn}, V_ASN1_UTF8STRING, value) == TT_OK
               ? TT_OK
               : pki_no_memory(err);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* 0: it is no hexadecimal, or too long. */
static size_t hex_read(uint8_t ret[SERIAL_MAX], const char *text)
{
    size_t n = 0;
    for (; text[0] != '\0'; text += 2) {
        int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0 || n == SERIAL_MAX)
            return 0;
        ret[n++] = (uint8_t)(high << 4 | low);
    }
    return n;
}

/* "OID:HEX" as DER. */
static tt_rc hardware_put(struct buf *to, const char *text)
{
    char dotted[128];
    uint8_t serial[SERIAL_MAX];
    size_t n = strcspn(text, ":");
    if (text[n] != ':' || n == 0 || n >= sizeof dotted)
        return TT_ERR_USAGE;
    memcpy(dotted, text, n);
    dotted[n] = '\0';
    size_t serial_len = hex_read(serial, text + n + 1);
    TT_AUTO(ASN1_OBJECT_free_auto) ASN1_OBJECT *type = OBJ_txt2obj(dotted, 1);
    ERR_clear_error();
    if (type == NULL || serial_len == 0)
        return TT_ERR_USAGE;
    struct writer w = writer_to(to);
    struct der_mark all = der_open(&w, DER_SEQUENCE);
    der_put(&w, DER_OID, (struct tt_bytes){OBJ_get0_data(type), OBJ_length(type)});
    der_put(&w, DER_OCTET_STRING, (struct tt_bytes){serial, serial_len});
    der_close(&w, all);
    return wr_status(&w);
}

static tt_rc hardware_parse(GENERAL_NAME **ret, const char *text, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf der = {0};
    tt_rc rc = hardware_put(&der, text);
    if (rc == TT_ERR_USAGE) {
        (void)error_set(err, TT_ERR_USAGE, "'%.80s' is not the type and the serial number of a device", text);
        error_hint(
            err,
            "write it like HardwareModuleName:1.3.6.1.4.1.99999.1:534e30303031: the type's OID, then the "
            "serial number in hexadecimal, at most %d bytes",
            SERIAL_MAX);
        return TT_ERR_USAGE;
    }
    if (rc == TT_OK)
        rc = name_build(ret, (struct tt_bytes){oid_hardware, sizeof oid_hardware}, V_ASN1_SEQUENCE,
                        buf_bytes(&der));
    return rc == TT_OK ? TT_OK : pki_no_memory(err);
}

tt_rc other_parse(GENERAL_NAME **ret, const char *text, struct tt_error *err)
{
    const char *value = behind(text, upn_prefix);
    if (value == NULL)
        value = behind(text, openssl_upn);
    if (value != NULL)
        return upn_parse(ret, value, err);
    value = behind(text, hardware_prefix);
    if (value != NULL)
        return hardware_parse(ret, value, err);
    (void)error_set(err, TT_ERR_USAGE, "'%.80s' is an otherName of a kind that is not known here", text);
    error_hint(err, "there are UPN:name@realm and HardwareModuleName:OID:HEX");
    return TT_ERR_USAGE;
}

/* ---- from a request or a certificate ---- */

enum kind {
    KIND_NONE,
    KIND_UPN,
    KIND_HARDWARE
};

static bool is_oid(const ASN1_OBJECT *id, const uint8_t *oid, size_t len)
{
    return id != NULL && OBJ_length(id) == len && memcmp(OBJ_get0_data(id), oid, len) == 0;
}

/* *ret: the value's content; of a sequence, its whole DER. */
static enum kind kind_of(struct tt_bytes *ret, const GENERAL_NAME *name)
{
    ASN1_OBJECT *id = NULL;
    ASN1_TYPE *value = NULL;
    if (GENERAL_NAME_get0_otherName(name, &id, &value) != 1 || value == NULL)
        return KIND_NONE;
    int type = ASN1_TYPE_get(value);
    if (type != V_ASN1_UTF8STRING && type != V_ASN1_SEQUENCE)
        return KIND_NONE;
    const ASN1_STRING *s = value->value.asn1_string;
    *ret = (struct tt_bytes){ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)};
    if (type == V_ASN1_UTF8STRING && is_oid(id, oid_upn, sizeof oid_upn))
        return KIND_UPN;
    return type == V_ASN1_SEQUENCE && is_oid(id, oid_hardware, sizeof oid_hardware) ? KIND_HARDWARE
                                                                                    : KIND_NONE;
}

tt_rc other_check(const GENERAL_NAME *name, struct tt_error *err)
{
    struct tt_bytes value = {NULL, 0};
    struct hardware h;
    switch (kind_of(&value, name)) {
    case KIND_UPN:
        return upn_ok(value) ? TT_OK
                             : error_set(err, TT_ERR_UNSUPPORTED,
                                         "the request asks for a user principal name (UPN) that is none");
    case KIND_HARDWARE:
        return hardware_read(&h, value)
                   ? TT_OK
                   : error_set(err, TT_ERR_UNSUPPORTED,
                               "the request asks for a HardwareModuleName that is damaged");
    default:
        return error_set(
            err, TT_ERR_UNSUPPORTED,
            "the request asks for an otherName of a kind that is not certified here; the UPN and "
            "the HardwareModuleName are");
    }
}

static tt_rc hardware_print(struct buf *to, struct tt_bytes value)
{
    struct hardware h;
    char dotted[128], serial[2 * SERIAL_MAX + 1];
    TT_AUTO(buf_free) struct buf der = {0};
    if (!hardware_read(&h, value))
        return buf_append(to, "(other)", 7);
    struct writer w = writer_to(&der);
    der_put(&w, DER_OID, h.type);
    TT_TRY(wr_status(&w));
    const uint8_t *at = buf_front(&der);
    TT_AUTO(ASN1_OBJECT_free_auto) ASN1_OBJECT *type = d2i_ASN1_OBJECT(NULL, &at, (long)buf_size(&der));
    int n = type == NULL ? -1 : OBJ_obj2txt(dotted, sizeof dotted, type, 1);
    ERR_clear_error();
    if (n <= 0 || (size_t)n >= sizeof dotted)
        return buf_append(to, "(other)", 7);
    text_hex(serial, h.serial);
    TT_TRY(buf_append(to, hardware_prefix, strlen(hardware_prefix)));
    TT_TRY(buf_append(to, dotted, (size_t)n));
    TT_TRY(buf_append(to, ":", 1));
    return buf_append(to, serial, strlen(serial));
}

tt_rc other_print(struct buf *to, const GENERAL_NAME *name)
{
    struct tt_bytes value = {NULL, 0};
    enum kind kind = kind_of(&value, name);
    if (kind == KIND_NONE)
        return buf_append(to, "(other)", 7);
    if (kind == KIND_HARDWARE)
        return hardware_print(to, value);
    TT_TRY(buf_append(to, upn_prefix, strlen(upn_prefix)));
    return text_escape(to, value);
}
