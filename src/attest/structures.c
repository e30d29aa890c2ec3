/* attest/structures.c: see structures.h. Layer: attest. */
#include "attest/structures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/der.h"

enum hash_id at_hash(uint16_t alg)
{
    return alg == ALG_SHA256   ? HASH_SHA256
           : alg == ALG_SHA384 ? HASH_SHA384
           : alg == ALG_SHA512 ? HASH_SHA512
                               : HASH_NONE;
}

const char *at_alg_text(uint16_t alg)
{
    static const struct {
        uint16_t alg;
        const char *text;
    } known[] = {{ALG_RSA, "RSA"},       {ALG_SHA1, "sha1"},  {ALG_SHA256, "sha256"}, {ALG_SHA384, "sha384"},
                 {ALG_SHA512, "sha512"}, {ALG_NULL, "none"},  {ALG_RSASSA, "RSASSA"}, {ALG_RSAPSS, "RSAPSS"},
                 {ALG_ECDSA, "ECDSA"},   {ALG_ECC, "ECC"},    {ALG_AES, "AES"},       {ALG_CFB, "CFB"},
                 {0x0012, "sm3_256"},    {0x0027, "sha3_256"}};
    for (size_t i = 0; i < TT_COUNT(known); i++)
        if (known[i].alg == alg)
            return known[i].text;
    return "another algorithm";
}

void at_attributes_text(char *ret, size_t cap, uint32_t attributes)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {
        {1, "fixedtpm"},     {2, "stclear"},         {4, "fixedparent"}, {5, "sensitivedataorigin"},
        {6, "userwithauth"}, {7, "adminwithpolicy"}, {10, "noda"},       {11, "encryptedduplication"},
        {16, "restricted"},  {17, "decrypt"},        {18, "sign"},       {19, "x509sign"}};
    size_t at = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < TT_COUNT(names) && at < cap; i++)
        if ((attributes >> names[i].bit & 1) != 0)
            at += (size_t)snprintf(ret + at, cap - at, "%s%s", at > 0 ? "|" : "", names[i].name);
}

/* ---- TPMT_PUBLIC ---- */

/* TPMT_SYM_DEF_OBJECT. */
static void symmetric_read(struct at_public *p, struct reader *r)
{
    p->sym_alg = rd_u16(r);
    if (p->sym_alg == ALG_NULL)
        return;
    p->sym_bits = rd_u16(r);
    p->sym_mode = rd_u16(r);
}

/* TPMT_RSA_SCHEME, TPMT_ECC_SCHEME: those with a hash, and no more (ECDAA has a count, RSAES nothing). */
static void scheme_read(struct at_public *p, struct reader *r)
{
    static const uint16_t hashed[] = {ALG_RSASSA,
                                      ALG_RSAPSS,
                                      ALG_ECDSA,
                                      0x0017 /* OAEP */,
                                      0x0019 /* ECDH */,
                                      0x001b /* SM2 */,
                                      0x001c /* ECSCHNORR */,
                                      0x001d /* ECMQV */};
    p->scheme = rd_u16(r);
    for (size_t i = 0; i < TT_COUNT(hashed); i++)
        if (p->scheme == hashed[i]) {
            p->scheme_hash = rd_u16(r);
            return;
        }
    if (p->scheme == 0x001a) { /* ECDAA */
        p->scheme_hash = rd_u16(r);
        (void)rd_u16(r);
    } else if (p->scheme != ALG_NULL && p->scheme != 0x0015 /* RSAES */) {
        rd_fail(r);
    }
}

static void rsa_read(struct at_public *p, struct reader *r)
{
    p->bits = rd_u16(r);
    p->exponent = rd_u32(r);
    if (p->exponent == 0)
        p->exponent = 65537;
    p->modulus = rd_vec16(r, 0);
    if (p->bits < 1024 || p->bits > 4096 || p->modulus.len != p->bits / 8U ||
        (p->modulus.len > 0 && (p->modulus.data[0] & 0x80) == 0))
        rd_fail(r);
}

static void ecc_read(struct at_public *p, struct reader *r)
{
    p->curve = rd_u16(r);
    if (rd_u16(r) != ALG_NULL) /* kdf: reserved, but some set it */
        (void)rd_u16(r);
    p->x = rd_vec16(r, 1);
    p->y = rd_vec16(r, 1);
}

tt_rc at_public_read(struct at_public *ret, struct tt_bytes area)
{
    struct at_public p = {.area = area};
    struct reader r = reader_of(area);
    p.type = rd_u16(&r);
    p.name_alg = rd_u16(&r);
    p.attributes = rd_u32(&r);
    p.policy = rd_vec16(&r, 0);
    TT_TRY(rd_status(&r));
    if (p.type != ALG_RSA && p.type != ALG_ECC)
        return TT_ERR_UNSUPPORTED;
    symmetric_read(&p, &r);
    scheme_read(&p, &r);
    if (p.type == ALG_RSA)
        rsa_read(&p, &r);
    else
        ecc_read(&p, &r);
    TT_TRY(rd_done(&r));
    *ret = p;
    return TT_OK;
}

static const struct curve {
    uint16_t id;
    size_t bytes;
    struct tt_bytes oid;
} curves[] = {
    {0x0003, 32, {(const uint8_t *)"\x2a\x86\x48\xce\x3d\x03\x01\x07", 8}},
    {0x0004, 48, {(const uint8_t *)"\x2b\x81\x04\x00\x22", 5}},
    {0x0005, 66, {(const uint8_t *)"\x2b\x81\x04\x00\x23", 5}},
};

static bool coordinate_put(struct writer *w, struct tt_bytes v, size_t size)
{
    static const uint8_t zeros[66];
    if (v.len > size)
        return false;
    wr_bytes(w, (struct tt_bytes){zeros, size - v.len});
    wr_bytes(w, v);
    return true;
}

/* RFC 5480 section 2.1, RFC 3279 section 2.3.1. */
tt_rc at_public_spki(struct buf *to, const struct at_public *p)
{
    static const uint8_t rsa_encryption[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
    static const uint8_t ec_public_key[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
    const struct curve *curve = NULL;
    for (size_t i = 0; i < TT_COUNT(curves); i++)
        if (p->type == ALG_ECC && curves[i].id == p->curve)
            curve = &curves[i];
    if (p->type == ALG_ECC && curve == NULL)
        return TT_ERR_UNSUPPORTED;
    bool right = true;
    struct writer w = writer_to(to);
    struct der_mark spki = der_open(&w, DER_SEQUENCE), algorithm = der_open(&w, DER_SEQUENCE);
    der_put(&w, DER_OID,
            curve != NULL ? (struct tt_bytes){ec_public_key, sizeof ec_public_key}
                          : (struct tt_bytes){rsa_encryption, sizeof rsa_encryption});
    der_put(&w, curve != NULL ? DER_OID : DER_NULL, curve != NULL ? curve->oid : (struct tt_bytes){NULL, 0});
    der_close(&w, algorithm);
    struct der_mark bits = der_open(&w, DER_BIT_STRING);
    wr_u8(&w, 0);
    if (curve != NULL) {
        wr_u8(&w, 4);
        right = coordinate_put(&w, p->x, curve->bytes) && coordinate_put(&w, p->y, curve->bytes);
    } else {
        struct der_mark key = der_open(&w, DER_SEQUENCE);
        der_put_uint(&w, p->modulus);
        der_put_u32(&w, p->exponent);
        der_close(&w, key);
    }
    der_close(&w, bits);
    der_close(&w, spki);
    return right ? wr_status(&w) : TT_ERR_DECODE;
}

const char *const at_kinds[AT_KINDS] = {"p256", "p384", "p521", "rsa2048", "rsa3072", "rsa4096"};

size_t at_kind_of(const struct at_public *p)
{
    if (p->type == ALG_ECC)
        return p->curve >= 3 && p->curve <= 5 ? p->curve - 3U : AT_KINDS;
    return p->bits == 2048 ? 3 : p->bits == 3072 ? 4 : p->bits == 4096 ? 5 : AT_KINDS;
}

/* ---- names ---- */

static tt_rc name_digest(struct at_name *ret, const struct crypto_lib *lib, uint16_t alg,
                         struct tt_bytes data)
{
    enum hash_id hash = at_hash(alg);
    if (hash == HASH_NONE)
        return TT_ERR_UNSUPPORTED;
    TT_TRY(hash_digest(lib, hash, data, ret->data + 2));
    ret->data[0] = (uint8_t)(alg >> 8);
    ret->data[1] = (uint8_t)alg;
    ret->len = 2 + hash_size(hash);
    return TT_OK;
}

tt_rc at_name_of(struct at_name *ret, const struct crypto_lib *lib, const struct at_public *p)
{
    return name_digest(ret, lib, p->name_alg, p->area);
}

tt_rc at_qualified(struct at_name *ret, const struct crypto_lib *lib, struct tt_bytes parent,
                   const struct at_name *name)
{
    uint8_t both[2 * NAME_MAX_SIZE];
    if (parent.len > NAME_MAX_SIZE || name->len < 2)
        return TT_ERR_UNSUPPORTED;
    memcpy(both, parent.data, parent.len);
    memcpy(both + parent.len, name->data, name->len);
    uint16_t alg = (uint16_t)(name->data[0] << 8 | name->data[1]);
    return name_digest(ret, lib, alg, (struct tt_bytes){both, parent.len + name->len});
}

bool at_name_is(const struct at_name *name, struct tt_bytes bytes)
{
    return name->len == bytes.len && bytes.len > 0 && memcmp(name->data, bytes.data, bytes.len) == 0;
}

/* ---- TPMS_ATTEST ---- */

tt_rc at_attest_read(struct at_attest *ret, struct tt_bytes attest)
{
    struct reader r = reader_of(attest);
    struct at_attest a = {.magic = rd_u32(&r), .type = rd_u16(&r)};
    a.signer = rd_vec16(&r, 0);
    a.extra = rd_vec16(&r, 0);
    a.clock = rd_u64(&r);
    a.resets = rd_u32(&r);
    a.restarts = rd_u32(&r);
    a.safe = rd_u8(&r);
    a.firmware = rd_u64(&r);
    if (a.safe > 1) /* TPMI_YES_NO */
        rd_fail(&r);
    TT_TRY(rd_status(&r));
    if (a.magic == ATTEST_MAGIC && a.type == ATTEST_TYPE_CERTIFY) {
        a.name = rd_vec16(&r, 0);
        a.qualified_name = rd_vec16(&r, 0);
    } else if (a.magic == ATTEST_MAGIC && a.type == ATTEST_TYPE_QUOTE) {
        struct at_selection selection;
        const uint8_t *from = r.at;
        uint32_t count = rd_u32(&r);
        for (uint32_t i = 0; i < count && !r.failed; i++) {
            (void)rd_u16(&r);
            (void)rd_vec8(&r, 0);
        }
        TT_TRY(rd_status(&r));
        a.selection = (struct tt_bytes){from, (size_t)(r.at - from)};
        TT_TRY(at_selection_read(&selection, a.selection));
        a.digest = rd_vec16(&r, 0);
    } else {
        (void)rd_rest(&r);
    }
    TT_TRY(rd_done(&r));
    *ret = a;
    return TT_OK;
}

/* ---- PCRs ---- */

tt_rc at_selection_read(struct at_selection *ret, struct tt_bytes list)
{
    struct at_selection s = {.len = 0};
    struct reader r = reader_of(list);
    uint32_t count = rd_u32(&r);
    if (count > AT_BANKS)
        return TT_ERR_DECODE;
    for (uint32_t i = 0; i < count && !r.failed; i++) {
        s.alg[i] = rd_u16(&r);
        struct tt_bytes bits = rd_vec8(&r, 0);
        if (bits.len > 4)
            return TT_ERR_DECODE;
        for (size_t k = 0; k < bits.len; k++)
            s.bits[i] |= (uint32_t)bits.data[k] << (8 * k);
        for (uint32_t k = 0; k < i; k++)
            if (s.alg[k] == s.alg[i]) /* a bank twice: verifiers would disagree about what was quoted */
                return TT_ERR_DECODE;
        s.len++;
    }
    TT_TRY(rd_done(&r));
    *ret = s;
    return TT_OK;
}

static const struct {
    const char *name;
    uint16_t alg;
} banks[] = {{"sha1", ALG_SHA1},     {"sha256", ALG_SHA256}, {"sha384", ALG_SHA384},
             {"sha512", ALG_SHA512}, {"sha3_256", 0x0027},   {"sm3_256", 0x0012}};

static const char *bank_parse(uint16_t *ret, const char *at)
{
    for (size_t i = 0; i < TT_COUNT(banks); i++) {
        size_t n = strlen(banks[i].name);
        if (strncmp(at, banks[i].name, n) == 0 && at[n] == ':') {
            *ret = banks[i].alg;
            return at + n + 1;
        }
    }
    return NULL;
}

/* Numbers up to the end or a '+'; NULL when malformed. */
static const char *numbers_parse(uint32_t *to, const char *at)
{
    for (;;) {
        char *end = NULL;
        unsigned long n = at[0] >= '0' && at[0] <= '9' ? strtoul(at, &end, 10) : 24;
        if (n >= 24)
            return NULL;
        *to |= 1U << n;
        if (*end != ',')
            return end;
        at = end + 1;
    }
}

tt_rc at_selection_parse(struct at_selection *ret, const char *text)
{
    struct at_selection s = {.len = 0};
    for (const char *at = text;;) {
        if (s.len == AT_BANKS)
            return TT_ERR_USAGE;
        at = bank_parse(&s.alg[s.len], at);
        at = at == NULL ? NULL : numbers_parse(&s.bits[s.len], at);
        if (at == NULL || (*at != '\0' && *at != '+'))
            return TT_ERR_USAGE;
        s.len++;
        if (*at++ == '\0')
            break;
    }
    *ret = s;
    return TT_OK;
}

static uint32_t bits_of(const struct at_selection *s, uint16_t alg)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < s->len; i++)
        if (s->alg[i] == alg)
            bits |= s->bits[i];
    return bits;
}

bool at_selection_same(const struct at_selection *a, const struct at_selection *b)
{
    bool same = true;
    for (size_t i = 0; i < a->len; i++)
        same = same && bits_of(a, a->alg[i]) == bits_of(b, a->alg[i]);
    for (size_t i = 0; i < b->len; i++)
        same = same && bits_of(a, b->alg[i]) == bits_of(b, b->alg[i]);
    return same;
}

void at_selection_text(char *ret, size_t cap, const struct at_selection *s)
{
    size_t at = 0;
    (void)snprintf(ret, cap, "none");
    for (size_t i = 0; i < s->len && at < cap; i++) {
        char mark = ':';
        if (s->bits[i] == 0)
            continue;
        at += (size_t)snprintf(ret + at, cap - at, "%s%s", at > 0 ? "+" : "", at_alg_text(s->alg[i]));
        for (unsigned n = 0; n < 32 && at < cap; n++)
            if ((s->bits[i] >> n & 1) != 0) {
                at += (size_t)snprintf(ret + at, cap - at, "%c%u", mark, n);
                mark = ',';
            }
    }
}

/* ---- TPMT_SIGNATURE ---- */

tt_rc at_signature_read(struct at_signature *ret, struct tt_bytes signature)
{
    struct reader r = reader_of(signature);
    struct at_signature s = {.alg = rd_u16(&r), .hash = rd_u16(&r)};
    if (s.alg == ALG_ECDSA) {
        s.r = rd_vec16(&r, 1);
        s.s = rd_vec16(&r, 1);
    } else if (s.alg == ALG_RSASSA || s.alg == ALG_RSAPSS) {
        s.rsa = rd_vec16(&r, 1);
    } else {
        rd_fail(&r);
    }
    TT_TRY(rd_done(&r));
    *ret = s;
    return TT_OK;
}
