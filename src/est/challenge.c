/* est/challenge.c: see challenge.h. Layer: est. */
#include "est/challenge.h"

#include <string.h>

#include "base/mem.h"
#include "est/body.h"
#include "wire/base64.h"
#include "wire/der.h"

#define DER_SET 0x31

/* CertificationRequestInfo ::= SEQUENCE { version, subject, subjectPKInfo, attributes [0] IMPLICIT SET OF }
 * (RFC 2986 section 4.1). */
static struct reader attributes_of(struct tt_bytes csr)
{
    struct reader r = reader_of(csr);
    struct reader request = der_enter(&r, DER_SEQUENCE);
    struct reader info = der_enter(&request, DER_SEQUENCE);
    (void)der_get(&info, DER_INTEGER);
    (void)der_get(&info, DER_SEQUENCE);
    (void)der_get(&info, DER_SEQUENCE);
    if (!info.failed && rd_left(&info) == 0)
        return info; /* some leave the empty SET out */
    return der_enter(&info, DER_EXPLICIT_0);
}

/* The value: a DirectoryString, one in the SET. */
static enum est_challenge value_of(struct tt_bytes *ret, struct reader *attribute)
{
    struct reader set = der_enter(attribute, DER_SET);
    int tag = der_next_tag(&set);
    bool is_text =
        tag == DER_UTF8_STRING || tag == 0x13 || tag == 0x14 || tag == 0x16; /* Printable, T61, IA5 */
    struct tt_bytes text = is_text ? der_get(&set, (unsigned)tag) : (struct tt_bytes){NULL, 0};
    if (!is_text || rd_done(&set) != TT_OK || rd_done(attribute) != TT_OK)
        return EST_CHALLENGE_DAMAGED;
    *ret = text;
    return EST_CHALLENGE_THERE;
}

enum est_challenge est_challenge_find(struct tt_bytes *ret, struct tt_bytes csr)
{
    const struct tt_bytes want = EST_OID_CHALLENGE_PASSWORD;
    enum est_challenge found = EST_CHALLENGE_NONE;
    struct reader attributes = attributes_of(csr);
    while (rd_left(&attributes) > 0 && !attributes.failed) {
        struct reader attribute = der_enter(&attributes, DER_SEQUENCE);
        struct tt_bytes oid = der_get(&attribute, DER_OID);
        if (attribute.failed)
            rd_fail(&attributes);
        if (oid.len != want.len || memcmp(oid.data, want.data, want.len) != 0)
            continue;
        found = found == EST_CHALLENGE_NONE ? value_of(ret, &attribute) : EST_CHALLENGE_DAMAGED;
    }
    return attributes.failed ? EST_CHALLENGE_UNREADABLE : found;
}

bool est_challenge_is(struct tt_bytes text, const uint8_t binding[32])
{
    uint8_t bytes[64];
    size_t len = 0;
    return base64_room(text.len) <= sizeof bytes && base64_decode(bytes, &len, text) == TT_OK && len == 32 &&
           mem_equal_ct(bytes, binding, 32);
}
