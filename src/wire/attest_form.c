/* wire/attest_form.c: see attest_form.h. Layer: wire. */
#include "wire/attest_form.h"

#include <string.h>

#include "wire/der.h"

tt_rc form_extra(struct buf *to, unsigned use, bool quote, struct tt_bytes nonce)
{
    static const char *const labels[2][2] = {
        {"tpmtls attestation 1: certify to enrol", "tpmtls attestation 1: quote to enrol"},
        {"tpmtls attestation 1: certify in TLS", "tpmtls attestation 1: quote in TLS"}};
    const char *label = labels[use != 0][quote];
    struct writer w = writer_to(to);
    wr_bytes(&w, (struct tt_bytes){(const uint8_t *)label, strlen(label) + 1});
    wr_bytes(&w, nonce);
    return wr_status(&w);
}

tt_rc form_challenge_put(struct buf *to, const struct form_challenge *c)
{
    struct writer w = writer_to(to);
    struct der_mark all = der_open(&w, DER_SEQUENCE);
    der_put_u32(&w, 1);
    der_put(&w, DER_OCTET_STRING, c->credential);
    der_put(&w, DER_OCTET_STRING, c->secret);
    der_put(&w, DER_OCTET_STRING, c->token);
    der_close(&w, all);
    return wr_status(&w);
}

tt_rc form_challenge_get(struct form_challenge *ret, struct tt_bytes der)
{
    struct reader outer = reader_of(der);
    struct reader r = der_enter(&outer, DER_SEQUENCE);
    if (der_get_u32(&r) != 1)
        rd_fail(&r);
    struct form_challenge c = {.credential = der_get(&r, DER_OCTET_STRING)};
    c.secret = der_get(&r, DER_OCTET_STRING);
    c.token = der_get(&r, DER_OCTET_STRING);
    TT_TRY(rd_done(&r));
    TT_TRY(rd_done(&outer));
    *ret = c;
    return TT_OK;
}
