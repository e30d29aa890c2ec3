/* bench/tls.c: bench-tls: what the engine costs, as ratios within one run. Layer: bench.
 * BENCH_ONLY=handshake|bulk|heap runs one part, BENCH_ONLY=profile-handshake|profile-bulk only our side of
 * it. */
#include "bench/tls.h"

#include <stdlib.h>
#include <string.h>

#include "bench/count.h"

int main(int argc, char **argv)
{
    count_install(); /* before libcrypto allocates anything */
    const char *only = getenv("BENCH_ONLY");
    struct report *r = report_open(argc, argv, "tpmtls: the TLS engine");
    struct identities ids;
    identities_make(&ids);
    if (only == NULL || strstr(only, "handshake") != NULL)
        bench_handshake(r, &ids);
    if (only == NULL || strstr(only, "bulk") != NULL)
        bench_bulk(r, &ids);
    if (only == NULL || strcmp(only, "heap") == 0)
        bench_heap(r, &ids);
    identities_free(&ids);
    return report_close(r);
}
