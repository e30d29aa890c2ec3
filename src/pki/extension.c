/* pki/extension.c: see extension.h. Layer: pki. The encodings are written out here, and not by libcrypto's
 * builders, because a CA makes thousands a second. */
#include "pki/extension.h"

#include <string.h>

#define OID(...)     ((struct tt_bytes){(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})})
#define ID_CE(n)     OID(0x55, 0x1d, n)
#define ID_PE(n)     OID(0x2b, 6, 1, 5, 5, 7, 1, n)
#define ID_AD(n)     OID(0x2b, 6, 1, 5, 5, 7, 48, n)
#define CONTEXT(n)   (0x80u + (n))
#define CONTEXT_C(n) (0xa0u + (n))

/* struct open_extension: one whose value is being written. */
struct open_extension {
    struct der_mark whole, value;
};

static struct open_extension begin(struct writer *w, struct tt_bytes oid, bool critical)
{
    struct open_extension e = {.whole = der_open(w, DER_SEQUENCE)};
    der_put(w, DER_OID, oid);
    if (critical)
        der_put_true(w);
    e.value = der_open(w, DER_OCTET_STRING);
    return e;
}

static void end(struct writer *w, struct open_extension e)
{
    der_close(w, e.value);
    der_close(w, e.whole);
}

void extension_put(struct writer *w, struct tt_bytes oid, bool critical, struct tt_bytes value)
{
    struct open_extension e = begin(w, oid, critical);
    wr_bytes(w, value);
    end(w, e);
}

void extension_constraints(struct writer *w, bool ca, int path_len)
{
    struct open_extension e = begin(w, ID_CE(19), true);
    struct der_mark bc = der_open(w, DER_SEQUENCE);
    if (ca)
        der_put_true(w);
    if (ca && path_len >= 0)
        der_put_u32(w, (uint32_t)path_len);
    der_close(w, bc);
    end(w, e);
}

/* "keyUsage ... a named bit list": trailing zero bits are left out (X.690 section 11.2.2). */
void extension_key_usage(struct writer *w, unsigned bits)
{
    uint8_t content[3] = {0};
    unsigned last = 0;
    for (unsigned n = 0; n < 9; n++)
        if ((bits & KEY_USAGE(n)) != 0) {
            content[1 + n / 8] = (uint8_t)(content[1 + n / 8] | 0x80u >> n % 8);
            last = n;
        }
    content[0] = (uint8_t)(7 - last % 8);
    struct open_extension e = begin(w, ID_CE(15), true);
    der_put(w, DER_BIT_STRING, (struct tt_bytes){content, last / 8 + 2});
    end(w, e);
}

void extension_purposes(struct writer *w, const struct tt_bytes *oids, size_t n)
{
    struct open_extension e = begin(w, ID_CE(37), false);
    struct der_mark list = der_open(w, DER_SEQUENCE);
    for (size_t i = 0; i < n; i++)
        der_put(w, DER_OID, oids[i]);
    der_close(w, list);
    end(w, e);
}

void extension_policies(struct writer *w, const struct tt_bytes *oids, size_t n)
{
    struct open_extension e = begin(w, ID_CE(32), false);
    struct der_mark list = der_open(w, DER_SEQUENCE);
    for (size_t i = 0; i < n; i++) {
        struct der_mark policy = der_open(w, DER_SEQUENCE);
        der_put(w, DER_OID, oids[i]);
        der_close(w, policy);
    }
    der_close(w, list);
    end(w, e);
}

bool extension_key_id(uint8_t ret[EXTENSION_KEY_ID_SIZE], struct tt_bytes spki)
{
    struct reader r = reader_of(spki);
    struct reader info = der_enter(&r, DER_SEQUENCE);
    (void)der_get(&info, DER_SEQUENCE);
    struct tt_bytes bits = der_get(&info, DER_BIT_STRING);
    uint8_t digest[32];
    if (rd_status(&info) != TT_OK || bits.len < 2 || SHA256(bits.data + 1, bits.len - 1, digest) == NULL)
        return false;
    memcpy(ret, digest, EXTENSION_KEY_ID_SIZE);
    return true;
}

void extension_subject_key_id(struct writer *w, struct tt_bytes id)
{
    struct open_extension e = begin(w, ID_CE(14), false);
    der_put(w, DER_OCTET_STRING, id);
    end(w, e);
}

void extension_authority_key_id(struct writer *w, struct tt_bytes id)
{
    struct open_extension e = begin(w, ID_CE(35), false);
    struct der_mark aki = der_open(w, DER_SEQUENCE);
    der_put(w, CONTEXT(0), id);
    der_close(w, aki);
    end(w, e);
}

void extension_names(struct writer *w, struct tt_bytes names, bool critical)
{
    extension_put(w, ID_CE(17), critical, names);
}

/* CRLDistributionPoints ::= SEQUENCE SIZE (1..MAX) OF DistributionPoint; FreshestCRL is the same. */
static void points_put(struct writer *w, const struct tt_bytes *urls, size_t n)
{
    struct der_mark list = der_open(w, DER_SEQUENCE);
    for (size_t i = 0; i < n; i++) {
        struct der_mark point = der_open(w, DER_SEQUENCE);
        struct der_mark name = der_open(w, CONTEXT_C(0)); /* distributionPoint */
        struct der_mark full = der_open(w, CONTEXT_C(0)); /* fullName */
        der_put(w, CONTEXT(6), urls[i]);
        der_close(w, full);
        der_close(w, name);
        der_close(w, point);
    }
    der_close(w, list);
}

void extension_crl_points(struct writer *w, const struct tt_bytes *urls, size_t n)
{
    struct open_extension e = begin(w, ID_CE(31), false);
    points_put(w, urls, n);
    end(w, e);
}

/* "The extension MUST be marked as non-critical" (RFC 5280 section 5.2.6). */
void extension_freshest_crl(struct writer *w, struct tt_bytes url)
{
    struct open_extension e = begin(w, ID_CE(46), false);
    points_put(w, &url, 1);
    end(w, e);
}

static void access_put(struct writer *w, struct tt_bytes method, struct tt_bytes url)
{
    if (url.len == 0)
        return;
    struct der_mark access = der_open(w, DER_SEQUENCE);
    der_put(w, DER_OID, method);
    der_put(w, CONTEXT(6), url);
    der_close(w, access);
}

void extension_authority_info(struct writer *w, struct tt_bytes ocsp, struct tt_bytes issuers)
{
    struct open_extension e = begin(w, ID_PE(1), false);
    struct der_mark list = der_open(w, DER_SEQUENCE);
    access_put(w, ID_AD(1), ocsp);
    access_put(w, ID_AD(2), issuers);
    der_close(w, list);
    end(w, e);
}

void extension_must_staple(struct writer *w)
{
    extension_put(w, ID_PE(24), false, OID(0x30, 3, 0x02, 1, 5)); /* status_request */
}

/* "DelegationUsage ::= NULL", "MUST be marked non-critical" (RFC 9345 section 4.2). 1.3.6.1.4.1.44363.44 */
void extension_delegation_usage(struct writer *w)
{
    extension_put(w, OID(0x2b, 6, 1, 4, 1, 0x82, 0xda, 0x4b, 44), false, OID(0x05, 0));
}

void extension_ocsp_nocheck(struct writer *w)
{
    extension_put(w, OID(0x2b, 6, 1, 5, 5, 7, 48, 1, 5), false, OID(0x05, 0));
}

static void number_put(struct writer *w, struct tt_bytes oid, bool critical, int64_t number)
{
    uint8_t be[8];
    for (int i = 0; i < 8; i++)
        be[i] = (uint8_t)((uint64_t)number >> 8 * (7 - i));
    struct open_extension e = begin(w, oid, critical);
    der_put_uint(w, (struct tt_bytes){be, sizeof be});
    end(w, e);
}

void extension_crl_number(struct writer *w, int64_t number)
{
    number_put(w, ID_CE(20), false, number);
}

/* Critical: "the delta CRL indicator is a critical CRL extension" (RFC 5280 section 5.2.4). */
void extension_delta_indicator(struct writer *w, int64_t base)
{
    number_put(w, ID_CE(27), true, base);
}

void extension_crl_reason(struct writer *w, int reason)
{
    extension_put(w, ID_CE(21), false, OID(0x0a, 1, (uint8_t)reason)); /* ENUMERATED */
}

tt_rc oid_append(struct buf *to, const char *text, struct tt_error *err)
{
    TT_AUTO(ASN1_OBJECT_free_auto) ASN1_OBJECT *o = OBJ_txt2obj(text, 0);
    ERR_clear_error();
    if (o == NULL || OBJ_length(o) == 0)
        return error_set(err, TT_ERR_USAGE,
                         "'%.80s' is no object identifier: write it like 1.3.6.1.5.5.7.3.2", text);
    return buf_append(to, OBJ_get0_data(o), OBJ_length(o)) == TT_OK ? TT_OK : pki_no_memory(err);
}
