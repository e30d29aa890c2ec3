/* bench/handshake.c: a full mutual handshake, both ends in memory, against the sum of its primitives as
 * libcrypto does them with everything prefetched, and against libssl. CPU time; the variants take turns in
 * short rounds, so that what disturbs the machine disturbs all of them. Layer: bench. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "bench/ends.h"
#include "bench/ssl.h"
#include "bench/tls.h"

#define ROUNDS     41
#define HANDSHAKES 25 /* of each variant in a round */

/* struct primitives: everything that can be made ready before. */
struct primitives {
    EVP_PKEY_CTX *keygen, *derive, *sign, *verify;
    EVP_PKEY *own, *peer;
    uint8_t digest[32], signature[80];
    size_t signature_len;
};

static void primitives_make(struct primitives *p, EVP_PKEY *ecdsa)
{
    memset(p, 0, sizeof *p);
    p->signature_len = sizeof p->signature;
    p->keygen = EVP_PKEY_CTX_new_from_name(NULL, "X25519", NULL);
    bool ok = EVP_PKEY_keygen_init(p->keygen) == 1 && EVP_PKEY_keygen(p->keygen, &p->own) == 1 &&
              EVP_PKEY_keygen(p->keygen, &p->peer) == 1;
    p->derive = EVP_PKEY_CTX_new_from_pkey(NULL, p->own, NULL);
    ok = ok && EVP_PKEY_derive_init(p->derive) == 1 && EVP_PKEY_derive_set_peer(p->derive, p->peer) == 1;
    p->sign = EVP_PKEY_CTX_new_from_pkey(NULL, ecdsa, NULL);
    p->verify = EVP_PKEY_CTX_new_from_pkey(NULL, ecdsa, NULL);
    ok = ok && EVP_PKEY_sign_init(p->sign) == 1 && EVP_PKEY_verify_init(p->verify) == 1 &&
         EVP_PKEY_sign(p->sign, p->signature, &p->signature_len, p->digest, sizeof p->digest) == 1;
    if (!ok)
        die("the primitives");
}

static void primitives_free(struct primitives *p)
{
    EVP_PKEY_CTX_free(p->keygen);
    EVP_PKEY_CTX_free(p->derive);
    EVP_PKEY_CTX_free(p->sign);
    EVP_PKEY_CTX_free(p->verify);
    EVP_PKEY_free(p->own);
    EVP_PKEY_free(p->peer);
}

static bool primitive_keygen(struct primitives *p)
{
    EVP_PKEY *fresh = NULL;
    bool ok = EVP_PKEY_keygen(p->keygen, &fresh) == 1;
    EVP_PKEY_free(fresh);
    return ok;
}

static bool primitive_derive(struct primitives *p)
{
    uint8_t secret[32];
    size_t len = sizeof secret;
    return EVP_PKEY_derive(p->derive, secret, &len) == 1;
}

static bool primitive_sign(struct primitives *p)
{
    uint8_t sig[80];
    size_t len = sizeof sig;
    return EVP_PKEY_sign(p->sign, sig, &len, p->digest, sizeof p->digest) == 1;
}

static bool primitive_verify(struct primitives *p)
{
    return EVP_PKEY_verify(p->verify, p->signature, p->signature_len, p->digest, sizeof p->digest) == 1;
}

/* What one mutual handshake with chains of one link needs, both ends together. */
static const struct {
    bool (*run)(struct primitives *p);
    int times;
    const char *key, *text;
} needs[] = {{primitive_keygen, 2, "x25519_keygen_us", "  X25519 key pair (2 in a handshake)"},
             {primitive_derive, 2, "x25519_derive_us", "  X25519 agreement (2)"},
             {primitive_sign, 2, "ecdsa_sign_us", "  ECDSA P-256 signature (2)"},
             {primitive_verify, 4, "ecdsa_verify_us", "  ECDSA P-256 verification (4)"}};
#define NEEDS (sizeof needs / sizeof *needs)

/* CPU seconds of n times one primitive. */
static double run_primitive(struct primitives *p, size_t which, int n)
{
    double start = cpu_now();
    for (int i = 0; i < n; i++)
        if (!needs[which].run(p))
            die(needs[which].text);
    return cpu_now() - start;
}

static double run_ours(const struct ends *e)
{
    double start = cpu_now();
    for (int i = 0; i < HANDSHAKES; i++) {
        struct pair p;
        pair_connect(&p, e, NULL);
        pair_free(&p);
    }
    return (cpu_now() - start) / HANDSHAKES;
}

static double run_libssl(struct ssl_ends *e)
{
    double start = cpu_now();
    for (int i = 0; i < HANDSHAKES; i++)
        ssl_pair_free(ssl_pair_connect(e, NULL));
    return (cpu_now() - start) / HANDSHAKES;
}

/* struct samples: one value a round. */
struct samples {
    double ours[ROUNDS], libssl[ROUNDS], sum[ROUNDS], each[NEEDS][ROUNDS];
    double to_sum[ROUNDS], to_libssl[ROUNDS];
};

static void one_round(struct samples *s, int i, const struct ends *ours, struct ssl_ends *libssl,
                      struct primitives *p)
{
    s->sum[i] = 0;
    for (size_t k = 0; k < NEEDS; k++) {
        double all = run_primitive(p, k, needs[k].times * HANDSHAKES) / HANDSHAKES;
        s->each[k][i] = all / needs[k].times * 1e6;
        s->sum[i] += all * 1e6;
    }
    s->ours[i] = run_ours(ours) * 1e6;
    s->libssl[i] = libssl == NULL ? 0 : run_libssl(libssl) * 1e6;
    s->to_sum[i] = s->ours[i] / s->sum[i];
    s->to_libssl[i] = libssl == NULL ? 0 : s->ours[i] / s->libssl[i];
}

static void report_samples(struct report *r, struct samples *s, bool libssl)
{
    report_figure(r,
                  &(struct figure){"handshake_us", "our two ends, CPU", "us", median(s->ours, ROUNDS), 0, 0});
    report_figure(r, &(struct figure){"primitives_us", "the primitives it needs, by libcrypto", "us",
                                      median(s->sum, ROUNDS), 0, 0});
    for (size_t k = 0; k < NEEDS; k++)
        report_figure(r,
                      &(struct figure){needs[k].key, needs[k].text, "us", median(s->each[k], ROUNDS), 0, 0});
    report_figure(r, &(struct figure){"handshake_to_primitives", "ours / primitives", "x",
                                      median(s->to_sum, ROUNDS), 2.0, 0});
    if (!libssl) {
        report_note(r, "libssl is not here (libssl-dev at build time): no comparison with it");
        return;
    }
    report_figure(r, &(struct figure){"libssl_handshake_us", "libssl, both ends in memory BIOs, CPU", "us",
                                      median(s->libssl, ROUNDS), 0, 0});
    report_figure(r, &(struct figure){"handshake_to_libssl", "ours / libssl", "x",
                                      median(s->to_libssl, ROUNDS), 0.6, 0});
}

void bench_handshake(struct report *r, const struct identities *ids)
{
    struct ends ours;
    const char *only = getenv("BENCH_ONLY");
    ends_make(&ours, ids, TT_SUITE_AES_128_GCM_SHA256);
    if (only != NULL && strcmp(only, "profile-handshake") == 0) {
        for (int i = 0; i < 20; i++)
            (void)run_ours(&ours);
        ends_free(&ours);
        return;
    }
    struct ssl_ends *libssl = ssl_ends_make(ids, "TLS_AES_128_GCM_SHA256");
    struct primitives primitives;
    primitives_make(&primitives, ids->server.pkey);
    static struct samples s;
    report_section(r, "Full mutual handshake: X25519, ECDSA P-256, AES-128-GCM, chains of one link");
    for (int i = -2; i < ROUNDS; i++) /* two to warm up */
        one_round(&s, i < 0 ? 0 : i, &ours, libssl, &primitives);
    report_samples(r, &s, libssl != NULL);
    primitives_free(&primitives);
    ssl_ends_free(libssl);
    ends_free(&ours);
}
