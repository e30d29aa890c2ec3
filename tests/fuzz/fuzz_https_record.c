/* tests/fuzz/fuzz_https_record.c: DNS messages with HTTPS records, as anybody on the way may send them. What
 * is taken from one lies within it. */
#include "fuzz.h"

#include <string.h>

#include "net/https_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct https_record r = {.port = 0};
    bool is_alias = false;
    if (https_record_parse(&r, &is_alias, (struct tt_bytes){data, size}) == TT_OK) {
        FUZZ_CHECK(buf_size(&r.ech) <= size);
        FUZZ_CHECK(memchr(r.target, '\0', sizeof r.target) != NULL);
        FUZZ_CHECK(!is_alias || (r.target[0] != '\0' && r.port == 0 && buf_size(&r.ech) == 0));
    }
    https_record_free(&r);
    return 0;
}
