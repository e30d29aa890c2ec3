/* tests/fuzz/fuzz_client.c: a whole client connection that is fed arbitrary bytes after its ClientHello.
 * Input: options (engine.h), size of the pieces, then what the "server" sends. */
#include "engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fz_input in = {data, size};
    fz_begin();
    struct tt_conn *c = fz_conn(TT_CLIENT, fz_u16(&in));
    tt_conn_output_done(c, tt_conn_output(c).len);
    size_t split = fz_u8(&in);
    fz_feed_all(c, fz_bytes(&in, in.left), split);
    FUZZ_CHECK(tt_conn_feed_eof(c) == tt_conn_error(c)->error.rc);
    fz_check_sane(c);
    tt_conn_free(c);
    return 0;
}
