/* bench/ssl.h: libssl in memory BIOs, to compare with; set up to do what our ends do. Layer: bench. */
#ifndef BENCH_SSL_H
#define BENCH_SSL_H

#include "bench/identity.h"

struct ssl_ends;
struct ssl_pair;

/* ssl_ends_make: NULL when this build has no libssl. suite: "TLS_AES_128_GCM_SHA256", ... */
struct ssl_ends *ssl_ends_make(const struct identities *ids, const char *suite);
void ssl_ends_free(struct ssl_ends *e);

struct ssl_pair *ssl_pair_connect(struct ssl_ends *e, void (*turn)(int end));
void ssl_pair_free(struct ssl_pair *p);
/* ssl_pair_send: n bytes from the client to the server, who reads them into scratch. */
void ssl_pair_send(struct ssl_pair *p, const void *data, size_t n, void *scratch);

#endif
