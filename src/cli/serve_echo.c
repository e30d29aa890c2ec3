/* cli/serve_echo.c: `serve --echo`: everything comes back; the peer's end is answered with ours. Layer: cli.
 */
#include "cli/serve.h"

#include <string.h>

#define CHUNK 16384

/* Through a copy: a view of the plaintext is void as soon as the stream is written to. */
static void echo(struct session *x)
{
    uint8_t copy[CHUNK];
    for (;;) {
        struct tt_bytes from = stream_plaintext(x->stream);
        size_t n = from.len < sizeof copy ? from.len : sizeof copy;
        if (n == 0)
            return;
        memcpy(copy, from.data, n);
        size_t taken = stream_write(x->stream, copy, n);
        stream_plaintext_done(x->stream, taken);
        if (taken < n)
            return; /* `writable` goes on */
    }
}

static void echo_ended(struct session *x)
{
    stream_close(x->stream);
}

const struct serve_mode serve_echo = {
    .early = echo, .plaintext = echo, .writable = echo, .ended = echo_ended};
