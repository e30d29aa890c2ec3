/* tests/fuzz/fuzz_starttls.c: what a server may say before TLS, in pieces. The first byte chooses the
 * protocol, the second the pieces' size. */
#include "fuzz.h"

#include "net/starttls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct starttls s;
    if (size < 2)
        return 0;
    size_t piece = data[1] % 64 + 1u;
    starttls_begin(&s, (enum starttls_kind)(STARTTLS_SMTP + data[0] % 4));
    for (size_t at = 2; at < size && !s.done; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        struct tt_error err = {0};
        if (starttls_feed(&s, (struct tt_bytes){data + at, n}, &err) != TT_OK) {
            FUZZ_CHECK(!s.done && err.text[0] != '\0');
            return 0;
        }
        FUZZ_CHECK(s.len <= sizeof s.answer);
        FUZZ_CHECK(!s.done || at + n <= size);
    }
    return 0;
}
