/* bench/rustls.c: rustls with ring; the ends and connections are those of the crate bench/rustls. See
 * rival.h. Layer: bench. */
#include "bench/report.h"
#include "bench/rival.h"

/* struct rustls_identity: in DER, the key as RFC 5915 has it. */
struct rustls_identity {
    struct tt_bytes cert, key;
};

/* bench/rustls/lib.rs */
void *bench_rustls_ends_make(struct tt_bytes ca, struct rustls_identity client, struct rustls_identity server,
                             uint16_t suite);
void bench_rustls_ends_free(void *ends);
void *bench_rustls_pair_connect(void *ends, bool resumed, void (*turn)(int end));
void bench_rustls_pair_free(void *pair);
void bench_rustls_pair_send(void *pair, const void *data, size_t n, size_t times, void *scratch);

static struct tt_bytes encoded(uint8_t *der, int len)
{
    if (len <= 0)
        die("encoding for rustls");
    return (struct tt_bytes){der, (size_t)len};
}

static struct tt_bytes cert_der(const X509 *cert)
{
    uint8_t *der = NULL;
    int len = i2d_X509(cert, &der);
    return encoded(der, len);
}

static struct rustls_identity identity_open(const struct identity *id)
{
    uint8_t *der = NULL;
    int len = i2d_PrivateKey(id->pkey, &der);
    return (struct rustls_identity){.cert = id->der, .key = encoded(der, len)};
}

static void *rustls_ends_make(const struct identities *ids, uint16_t suite)
{
    struct tt_bytes ca = cert_der(ids->ca.cert);
    struct rustls_identity client = identity_open(&ids->client), server = identity_open(&ids->server);
    void *ends = bench_rustls_ends_make(ca, client, server, suite);
    OPENSSL_free((void *)(uintptr_t)ca.data);
    OPENSSL_free((void *)(uintptr_t)client.key.data);
    OPENSSL_free((void *)(uintptr_t)server.key.data);
    return ends;
}

const struct rival rival_rustls = {.key = "rustls",
                                   .name = BENCH_RUSTLS,
                                   .ends_make = rustls_ends_make,
                                   .ends_free = bench_rustls_ends_free,
                                   .pair_connect = bench_rustls_pair_connect,
                                   .pair_free = bench_rustls_pair_free,
                                   .pair_send = bench_rustls_pair_send};
