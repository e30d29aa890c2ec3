/* tests/fuzz/fuzz_der_chain.c: wire/der_chain.h: what a TPM's NV memory may hold in place of certificates.
 * Each one found is a whole SEQUENCE, they lie in order, and nothing but padding is left out between them. */
#include "fuzz.h"

#include "wire/der.h"
#include "wire/der_chain.h"

static void check_padding(const uint8_t *from, const uint8_t *to)
{
    for (; from < to; from++)
        FUZZ_CHECK(*from == 0x00 || *from == 0xff);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tt_bytes rest = {data, size}, one;
    const uint8_t *at = data;
    while (der_chain_next(&one, &rest)) {
        struct reader r = reader_of(one);
        (void)der_get(&r, DER_SEQUENCE);
        FUZZ_CHECK(rd_done(&r) == TT_OK);
        check_padding(at, one.data);
        at = one.data + one.len;
        FUZZ_CHECK(rest.data == at && rest.len == size - (size_t)(at - data));
    }
    check_padding(at, rest.data);
    FUZZ_CHECK(rest.data + rest.len == data + size);
    return 0;
}
