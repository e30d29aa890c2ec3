/* bench/tls.h: the parts of bench-tls. Layer: bench. */
#ifndef BENCH_TLS_H
#define BENCH_TLS_H

#include "bench/identity.h"
#include "bench/report.h"

/* profiled: run only our side of the part of this name, for a profiler; NULL: the whole. */
void bench_handshake(struct report *r, const struct identities *ids, const char *profiled);
void bench_ech(struct report *r, const struct identities *ids, const char *profiled);
void bench_bulk(struct report *r, const struct identities *ids, const char *profiled);
void bench_heap(struct report *r, const struct identities *ids);
void bench_growth(struct report *r, const struct identities *ids);

#endif
