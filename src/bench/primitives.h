/* bench/primitives.h: what a handshake cannot do without, as libcrypto does it in a tight loop with every
 * algorithm fetched and every context made before. Layer: bench. */
#ifndef BENCH_PRIMITIVES_H
#define BENCH_PRIMITIVES_H

#include <openssl/evp.h>

enum primitive {
    X25519_KEYGEN,
    X25519_DERIVE,
    ECDSA_SIGN,
    ECDSA_VERIFY,
    HMAC_SHA256,  /* 54 bytes under a new key: one HKDF-Expand-Label with a hash as its context */
    SHA256_1K,    /* 1,024 bytes of transcript */
    MLKEM_KEYGEN, /* the three of ML-KEM-768: from libcrypto 3.5 on */
    MLKEM_ENCAPSULATE,
    MLKEM_DECAPSULATE,
    PRIMITIVES
};

struct primitives;
struct primitives *primitives_make(EVP_PKEY *ecdsa);
void primitives_free(struct primitives *p);

/* primitives_run: CPU seconds of n times one of them. */
double primitives_run(struct primitives *p, enum primitive which, int n);
/* primitive_text: "X25519 key pair"; primitive_key: its name in the JSON. */
const char *primitive_text(enum primitive which);
const char *primitive_key(enum primitive which);

#endif
