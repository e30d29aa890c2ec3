/* cli/trace_svg.h: `--trace-svg`: a handshake as a sequence diagram: messages with their sizes, times, and
 * the TPM's commands to scale. Layer: cli. Collects events; a picture is made at the end, of a handshake that
 * failed, too. */
#ifndef CLI_TRACE_SVG_H
#define CLI_TRACE_SVG_H

#include "net/stream.h"

#define TRACE_SVG_MAX 64 /* events; a handshake has about 20 */

struct trace_svg {
    const char *path; /* NULL: none is wanted */
    const char *peer; /* what the other end is called */
    struct stream_trace events[TRACE_SVG_MAX];
    size_t len, left_out;
    bool complete; /* the handshake was */
    double ms;     /* how long it took */
};

void trace_svg_event(struct trace_svg *t, const struct stream_trace *event);
/* trace_svg_connected: from now on nothing belongs to the handshake. */
void trace_svg_connected(struct trace_svg *t, const struct stream *s);
/* trace_svg_write: nothing where none is wanted. */
TT_MUST_USE tt_rc trace_svg_write(const struct trace_svg *t, struct tt_error *err);

#endif
