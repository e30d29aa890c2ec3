/* bench/provider.h: libssl with tpm2-openssl, to compare with. Layer: bench. */
#ifndef BENCH_PROVIDER_H
#define BENCH_PROVIDER_H

#include "bench/identity.h"

struct provider_ends;
struct provider_pair;

/* provider_ends_make: the server's key is the client's one of ids, which is at this URI of the TPM that
 * $TPM2OPENSSL_TCTI names, through tpm2-openssl; NULL without libssl or this provider. The client is not
 * asked for a certificate: the provider would check it in the TPM, and load more than fits without a resource
 * manager. */
struct provider_ends *provider_ends_make(const struct identities *ids, const char *suite, const char *uri);
void provider_ends_free(struct provider_ends *e);

/* provider_connect: a full handshake, in memory. */
struct provider_pair *provider_connect(struct provider_ends *e);
void provider_pair_free(struct provider_pair *p);

#endif
