/* bench/tls.c: bench-tls: what the engine costs, as ratios within one run. Layer: bench.
 * BENCH_ONLY=handshake|ech|bulk|heap|growth runs one part;
 * BENCH_PROFILE=full|known|resumed|ech|aes128_16k|... runs only our side of one kind of handshake or data,
 * for a profiler. */
#include "bench/tls.h"

#include <stdlib.h>
#include <string.h>

static bool chosen(const char *part)
{
    const char *only = getenv("BENCH_ONLY");
    return only == NULL || strcmp(only, part) == 0;
}

int main(int argc, char **argv)
{
    const char *profiled = getenv("BENCH_PROFILE");
    struct report *r = report_open(argc, argv, "tpmtls: the TLS engine");
#ifndef BENCH_RUSTLS
    report_note(r, "rustls is not beside it: not in this build (Debian 13: ./dev setup bench13)");
#endif
    struct identities ids;
    identities_make(&ids);
    if (profiled != NULL || chosen("handshake"))
        bench_handshake(r, &ids, profiled);
    if (profiled != NULL || chosen("handshake") || chosen("ech"))
        bench_ech(r, &ids, profiled);
    if (profiled != NULL || chosen("bulk"))
        bench_bulk(r, &ids, profiled);
    if (profiled == NULL && chosen("heap"))
        bench_heap(r, &ids);
    if (profiled == NULL && chosen("growth"))
        bench_growth(r, &ids);
    identities_free(&ids);
    return report_close(r);
}
