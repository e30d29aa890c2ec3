/* tests/fuzz/fuzz_server.c: a whole server connection that is fed arbitrary bytes; client authentication is
 * on unless the options say otherwise, and its signatures are answered at once. Input: options (engine.h),
 * size of the pieces, then what the "client" sends. */
#include "engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fz_input in = {data, size};
    fz_begin();
    struct tt_conn *c = fz_conn(TT_SERVER, fz_u16(&in));
    size_t split = fz_u8(&in);
    fz_feed_all(c, fz_bytes(&in, in.left), split);
    FUZZ_CHECK(tt_conn_feed_eof(c) == tt_conn_error(c)->error.rc);
    fz_check_sane(c);
    tt_conn_free(c);
    return 0;
}
