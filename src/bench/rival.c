/* bench/rival.c: see rival.h. Layer: bench. */
#include "bench/rival.h"

const struct rival *const rivals[] = {
#ifdef BENCH_LIBSSL
    &rival_libssl,
#endif
#ifdef BENCH_GNUTLS
    &rival_gnutls,
#endif
#ifdef BENCH_RUSTLS
    &rival_rustls,
#endif
    NULL};
