/* tpm/keyfile.c: TPMKey ::= SEQUENCE { type, [0]..[5], parent, pubkey, privkey }. Layer: tpm.
 * draft-bottomley-tpm2-keys, "TPMkey Syntax", "TPMPolicy Syntax", "TPMAuthPolicy Syntax". A file is hostile
 * input. */
#include "tpm/keyfile.h"

#include <string.h>

#include "wire/der.h"
#include "wire/pem.h"

#define PARENT_NAME "tpmtls-parent-name: "

/* id-tpmkey, 2.23.133.10.1; the arc behind it is the kind. */
static const uint8_t id_tpmkey[] = {0x67, 0x81, 0x05, 0x0a, 0x01};

/* TPMPolicy ::= SEQUENCE { [0] EXPLICIT INTEGER, [1] EXPLICIT OCTET STRING }, one or more of them. */
static tt_rc policies_check(struct tt_bytes content)
{
    struct reader r = reader_of(content);
    while (der_next_tag(&r) >= 0) {
        struct reader one = der_enter(&r, DER_SEQUENCE);
        struct reader code = der_enter(&one, DER_EXPLICIT_0 + 0);
        (void)der_get_u32(&code);
        TT_TRY(rd_done(&code));
        struct reader body = der_enter(&one, DER_EXPLICIT_0 + 1);
        (void)der_get(&body, DER_OCTET_STRING);
        TT_TRY(rd_done(&body));
        TT_TRY(rd_done(&one));
    }
    return rd_done(&r);
}

/* TPMAuthPolicy ::= SEQUENCE { name [0] EXPLICIT UTF8String OPTIONAL, policy [1] EXPLICIT SEQUENCE OF
 * TPMPolicy } */
static tt_rc auth_policies_check(struct tt_bytes content)
{
    struct reader r = reader_of(content);
    while (der_next_tag(&r) >= 0) {
        struct reader one = der_enter(&r, DER_SEQUENCE);
        if (der_next_tag(&one) == DER_EXPLICIT_0) {
            struct reader name = der_enter(&one, DER_EXPLICIT_0);
            (void)der_get(&name, DER_UTF8_STRING);
            TT_TRY(rd_done(&name));
        }
        struct reader policy = der_enter(&one, DER_EXPLICIT_0 + 1);
        TT_TRY(policies_check(der_get(&policy, DER_SEQUENCE)));
        TT_TRY(rd_done(&policy));
        TT_TRY(rd_done(&one));
    }
    return rd_done(&r);
}

/* One optional field, entered through its explicit tag. */
static tt_rc field_check(struct keyfile *f, unsigned number, struct reader *r)
{
    switch (number) {
    case 0:
        f->empty_auth = der_get_bool(r);
        return rd_done(r);
    case 1:
        f->has_policy = true;
        f->policy = der_get(r, DER_SEQUENCE);
        TT_TRY(rd_done(r));
        return policies_check(f->policy);
    case 2:
        f->secret = der_get(r, DER_OCTET_STRING);
        return rd_done(r);
    case 3:
        f->has_auth_policy = true;
        f->auth_policy = der_get(r, DER_SEQUENCE);
        TT_TRY(rd_done(r));
        return auth_policies_check(f->auth_policy);
    case 4:
        f->description = der_get(r, DER_UTF8_STRING);
        return rd_done(r);
    default:
        f->rsa_parent = der_get_bool(r);
        return rd_done(r);
    }
}

static tt_rc field_parse(struct keyfile *f, unsigned number, struct reader *r, struct tt_error *err)
{
    static const char *const names[] = {"emptyAuth",  "policy",      "secret",
                                        "authPolicy", "description", "rsaParent"};
    return field_check(f, number, r) == TT_OK
               ? TT_OK
               : error_set(err, TT_ERR_DECODE, "the key file's field [%u], %s, does not have its form",
                           number, names[number]);
}

/* The optional fields, each at most once and in ascending order, as DER has the components of a SEQUENCE. A
 * field of a later specification may change how the key must be loaded, so it cannot be skipped. */
static tt_rc fields_parse(struct keyfile *f, struct reader *r, struct tt_error *err)
{
    int last = -1;
    for (int tag = der_next_tag(r); tag >= 0 && tag != DER_INTEGER; tag = der_next_tag(r)) {
        int number = tag - DER_EXPLICIT_0;
        if (number >= 0 && number <= last && number <= 5)
            return error_set(err, TT_ERR_DECODE,
                             "the key file's field [%d] is there twice or behind a later one", number);
        if (number < 0 || number > 30 || number <= last)
            return error_set(err, TT_ERR_DECODE,
                             "the key file has something (tag 0x%02x) where a field or the parent belongs",
                             tag);
        if (number > 5)
            return error_set(err, TT_ERR_UNSUPPORTED,
                             "the key file has a field [%d] that this version does not know", number);
        struct reader field = der_enter(r, (unsigned)tag);
        TT_TRY(field_parse(f, (unsigned)number, &field, err));
        last = number;
    }
    return rd_status(r);
}

/* 2.23.133.10.1.2 was TPM 1.2's, in an old draft. */
static tt_rc kind_refuse(struct tt_bytes oid, struct tt_error *err)
{
    bool ours = oid.len == sizeof id_tpmkey + 1 && memcmp(oid.data, id_tpmkey, sizeof id_tpmkey) == 0;
    if (!ours)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the key file is of an unknown type: its OID is not one of "
                         "2.23.133.10.1 (id-tpmkey)");
    return error_set(err, TT_ERR_UNSUPPORTED,
                     "the key file is of an unknown type: 2.23.133.10.1.%u is neither a loadable key (3), an "
                     "importable key (4) nor sealed data (5)",
                     oid.data[oid.len - 1]);
}

static tt_rc kind_parse(enum keyfile_kind *ret, struct tt_bytes oid, struct tt_error *err)
{
    if (oid.len != sizeof id_tpmkey + 1 || memcmp(oid.data, id_tpmkey, sizeof id_tpmkey) != 0 ||
        oid.data[oid.len - 1] < KEYFILE_LOADABLE || oid.data[oid.len - 1] > KEYFILE_SEALED)
        return kind_refuse(oid, err);
    *ret = (enum keyfile_kind)oid.data[oid.len - 1];
    return TT_OK;
}

static tt_rc part_check(const struct reader *r, const char *what, struct tt_error *err)
{
    return rd_status(r) == TT_OK ? TT_OK : error_set(err, TT_ERR_DECODE, "the key file lacks its %s", what);
}

static tt_rc keyfile_decode(struct keyfile *ret, struct tt_bytes der, struct tt_error *err)
{
    struct keyfile f = {0};
    struct reader outer = reader_of(der);
    struct reader r = der_enter(&outer, DER_SEQUENCE);
    TT_TRY(rd_done(&outer));
    struct tt_bytes oid = der_get(&r, DER_OID);
    TT_TRY(rd_status(&r));
    TT_TRY(kind_parse(&f.kind, oid, err));
    TT_TRY(fields_parse(&f, &r, err));
    f.parent = der_get_u32(&r);
    TT_TRY(part_check(&r, "parent, a 32-bit INTEGER", err));
    f.pubkey = der_get(&r, DER_OCTET_STRING);
    TT_TRY(part_check(&r, "public area, an OCTET STRING", err));
    f.privkey = der_get(&r, DER_OCTET_STRING);
    TT_TRY(part_check(&r, "private area, an OCTET STRING", err));
    if (rd_done(&r) != TT_OK)
        return error_set(err, TT_ERR_DECODE, "the key file goes on behind its private area");
    *ret = f;
    return TT_OK;
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The last line of its kind counts. What is malformed says nothing. */
static void parent_name_parse(struct keyfile *f, struct tt_bytes text)
{
    static const char word[] = "\n" PARENT_NAME;
    const uint8_t *end = text.data + text.len, *at = NULL;
    for (size_t i = 0; i + sizeof word - 2 <= text.len; i++)
        if ((i == 0 || text.data[i - 1] == '\n') && memcmp(text.data + i, word + 1, sizeof word - 2) == 0)
            at = text.data + i + sizeof word - 2;
    if (at == NULL)
        return;
    size_t n = 0;
    for (; end - at >= 2 && hex_digit(at[0]) >= 0 && hex_digit(at[1]) >= 0; at += 2)
        if (n < KEYFILE_MAX_NAME)
            f->parent_name.data[n++] = (uint8_t)(hex_digit(at[0]) << 4 | hex_digit(at[1]));
    if (at < end && (*at == '\n' || *at == '\r') && n > 2)
        f->parent_name.len = n;
}

tt_rc keyfile_parse(struct keyfile *ret, struct tt_bytes pem, struct tt_error *err)
{
    struct pem_block block;
    tt_rc rc = pem_find(&block, pem, KEYFILE_LABEL);
    if (rc == TT_ERR_NOT_FOUND)
        return error_set(err, rc, "there is no %s block in the key file", KEYFILE_LABEL);
    if (rc != TT_OK)
        return error_set(err, rc, "the %s block is damaged or cut off", KEYFILE_LABEL);
    struct keyfile f;
    rc = keyfile_decode(&f, (struct tt_bytes){block.der, block.len}, err);
    if (rc != TT_OK) {
        pem_block_free(&block);
        return error_set(err, rc, "the %s block does not have the form of a TPM key file", KEYFILE_LABEL);
    }
    f.der = block.der;
    parent_name_parse(&f, pem);
    *ret = f;
    return TT_OK;
}

void keyfile_free(struct keyfile *f)
{
    mem_free(f->der);
    *f = (struct keyfile){0};
}

static void put_field(struct writer *w, unsigned number, unsigned tag, struct tt_bytes content)
{
    struct der_mark m = der_open(w, DER_EXPLICIT_0 + number);
    der_put(w, tag, content);
    der_close(w, m);
}

static void put_flag(struct writer *w, unsigned number, bool value)
{
    static const uint8_t no[1] = {0};
    struct der_mark m = der_open(w, DER_EXPLICIT_0 + number);
    if (value)
        der_put_true(w);
    else
        der_put(w, DER_BOOLEAN, (struct tt_bytes){no, sizeof no});
    der_close(w, m);
}

static tt_rc keyfile_encode(struct buf *to, const struct keyfile *f)
{
    struct writer w = writer_to(to);
    struct der_mark all = der_open(&w, DER_SEQUENCE);
    struct der_mark oid = der_open(&w, DER_OID);
    wr_bytes(&w, (struct tt_bytes){id_tpmkey, sizeof id_tpmkey});
    wr_u8(&w, (uint8_t)f->kind);
    der_close(&w, oid);
    /* The draft recommends to say false by absence, which tpm2-openssl 1.1.1 takes for true. */
    put_flag(&w, 0, f->empty_auth);
    if (f->has_policy)
        put_field(&w, 1, DER_SEQUENCE, f->policy);
    if (f->secret.len > 0)
        put_field(&w, 2, DER_OCTET_STRING, f->secret);
    if (f->has_auth_policy)
        put_field(&w, 3, DER_SEQUENCE, f->auth_policy);
    if (f->description.len > 0)
        put_field(&w, 4, DER_UTF8_STRING, f->description);
    if (f->rsa_parent)
        put_flag(&w, 5, true);
    der_put_u32(&w, f->parent);
    der_put(&w, DER_OCTET_STRING, f->pubkey);
    der_put(&w, DER_OCTET_STRING, f->privkey);
    der_close(&w, all);
    return wr_status(&w);
}

static tt_rc parent_name_write(struct buf *to, const struct keyfile *f)
{
    static const char digits[] = "0123456789abcdef";
    TT_TRY(buf_append(to, PARENT_NAME, sizeof PARENT_NAME - 1));
    for (size_t i = 0; i < f->parent_name.len; i++) {
        uint8_t b = f->parent_name.data[i];
        const char hex[2] = {digits[b >> 4], digits[b & 15]};
        TT_TRY(buf_append(to, hex, sizeof hex));
    }
    return buf_append(to, "\n", 1);
}

tt_rc keyfile_write(struct buf *to, const struct keyfile *f)
{
    struct buf der = {0};
    tt_rc rc = keyfile_encode(&der, f);
    if (rc == TT_OK)
        rc = pem_write(to, KEYFILE_LABEL, buf_bytes(&der));
    if (rc == TT_OK && f->parent_name.len > 0)
        rc = parent_name_write(to, f);
    buf_free(&der);
    return rc;
}

tt_rc keyfile_text(char **ret, const struct keyfile *f, struct tt_error *err)
{
    struct buf pem = {0};
    tt_rc rc = keyfile_write(&pem, f);
    char *text = rc == TT_OK ? mem_dup(buf_front(&pem), buf_size(&pem)) : NULL; /* NUL-terminated */
    buf_free(&pem);
    if (text == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    *ret = text;
    return TT_OK;
}

/* ---- policies ---- */

bool keyfile_policy_next(struct keyfile_policy *ret, struct tt_bytes *content)
{
    struct reader r = reader_of(*content);
    struct reader one = der_enter(&r, DER_SEQUENCE);
    struct reader code = der_enter(&one, DER_EXPLICIT_0 + 0);
    struct reader body = der_enter(&one, DER_EXPLICIT_0 + 1);
    *ret = (struct keyfile_policy){.command = der_get_u32(&code), .body = der_get(&body, DER_OCTET_STRING)};
    *content = rd_rest(&r);
    return rd_status(&r) == TT_OK && rd_status(&one) == TT_OK && rd_status(&code) == TT_OK &&
           rd_status(&body) == TT_OK;
}

tt_rc keyfile_policy_put(struct buf *to, uint32_t command, struct tt_bytes body)
{
    struct writer w = writer_to(to);
    struct der_mark one = der_open(&w, DER_SEQUENCE);
    struct der_mark code = der_open(&w, DER_EXPLICIT_0 + 0);
    der_put_u32(&w, command);
    der_close(&w, code);
    put_field(&w, 1, DER_OCTET_STRING, body);
    der_close(&w, one);
    return wr_status(&w);
}

bool keyfile_branch_next(struct keyfile_branch *ret, struct tt_bytes *content)
{
    struct reader r = reader_of(*content);
    struct reader one = der_enter(&r, DER_SEQUENCE);
    *ret = (struct keyfile_branch){0};
    if (der_next_tag(&one) == DER_EXPLICIT_0) {
        struct reader name = der_enter(&one, DER_EXPLICIT_0);
        ret->name = der_get(&name, DER_UTF8_STRING);
    }
    struct reader policy = der_enter(&one, DER_EXPLICIT_0 + 1);
    ret->policy = der_get(&policy, DER_SEQUENCE);
    *content = rd_rest(&r);
    return rd_status(&r) == TT_OK && rd_status(&policy) == TT_OK;
}

tt_rc keyfile_branch_put(struct buf *to, const struct keyfile_branch *branch)
{
    struct writer w = writer_to(to);
    struct der_mark one = der_open(&w, DER_SEQUENCE);
    if (branch->name.len > 0)
        put_field(&w, 0, DER_UTF8_STRING, branch->name);
    put_field(&w, 1, DER_SEQUENCE, branch->policy);
    der_close(&w, one);
    return wr_status(&w);
}
