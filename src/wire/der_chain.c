/* wire/der_chain.c: see der_chain.h. Layer: wire. What an NV index holds is hostile. */
#include "wire/der_chain.h"

#include "wire/der.h"

/* Erased NV memory. No DER value starts so: 0x00 ends an indefinite length, 0xff a tag number. */
static bool is_padding(uint8_t b)
{
    return b == 0x00 || b == 0xff;
}

bool der_chain_next(struct tt_bytes *ret, struct tt_bytes *rest)
{
    struct tt_bytes left = *rest;
    while (left.len > 0 && is_padding(left.data[0]))
        left = (struct tt_bytes){left.data + 1, left.len - 1};
    *rest = left;
    struct reader r = reader_of(left);
    (void)der_get(&r, DER_SEQUENCE);
    if (rd_status(&r) != TT_OK)
        return false;
    *ret = (struct tt_bytes){left.data, (size_t)(r.at - left.data)};
    *rest = rd_rest(&r);
    return true;
}
