/* bench/bulk.c: application data from our client to our server on one core, against what libcrypto's AEAD
 * alone does when it seals and opens the same records in turn (half of its one-way speed), and against
 * other implementations. Layer: bench. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/ends.h"
#include "bench/rival.h"
#include "bench/tls.h"

#define ROUNDS     41
#define MAX_RIVALS 4

/* struct kind: one row: a suite, the size of a write, and how many of them go out together. */
struct kind {
    const char *key, *text;
    uint16_t suite;
    const char *cipher;
    size_t size, batch;
    double at_least, at_least_libssl;
};

#define AES    TT_SUITE_AES_128_GCM_SHA256, "AES-128-GCM"
#define CHACHA TT_SUITE_CHACHA20_POLY1305_SHA256, "ChaCha20-Poly1305"
static const struct kind kinds[] = {
    {"aes128_16k", "AES-128-GCM, 16 KiB", AES, 16384, 1, 0.95, 1},
    {"aes128_16k_x4", "AES-128-GCM, 16 KiB, 4 at a time", AES, 16384, 4, 0, 1},
    {"aes128_1k", "AES-128-GCM, 1 KiB", AES, 1024, 1, 0, 1},
    {"aes128_1k_x16", "AES-128-GCM, 1 KiB, 16 at a time", AES, 1024, 16, 0, 1},
    {"aes128_64", "AES-128-GCM, 64 B", AES, 64, 1, 0, 1},
    {"aes128_64_x64", "AES-128-GCM, 64 B, 64 at a time", AES, 64, 64, 0, 1},
    {"chacha_16k", "ChaCha20-Poly1305, 16 KiB", CHACHA, 16384, 1, 0, 1},
    {"chacha_1k", "ChaCha20-Poly1305, 1 KiB", CHACHA, 1024, 1, 0, 1},
};

static _Alignas(64) uint8_t plain[16384], sealed[16384 + 64], back[16384 + 64]; /* cache lines */

/* struct raw: libcrypto's AEAD, one context for each direction, as a record layer could not do better. */
struct raw {
    EVP_CIPHER_CTX *seal, *open;
    uint64_t seq;
};

static void raw_make(struct raw *r, const char *name)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    static const uint8_t key[32];
    r->seal = EVP_CIPHER_CTX_new();
    r->open = EVP_CIPHER_CTX_new();
    r->seq = 0;
    if (EVP_EncryptInit_ex2(r->seal, cipher, key, NULL, NULL) != 1 ||
        EVP_DecryptInit_ex2(r->open, cipher, key, NULL, NULL) != 1)
        die(name);
    EVP_CIPHER_free(cipher);
}

static void raw_free(struct raw *r)
{
    EVP_CIPHER_CTX_free(r->seal);
    EVP_CIPHER_CTX_free(r->open);
}

static void raw_send(struct raw *r, size_t n)
{
    uint8_t nonce[12] = {0}, tag[16], aad[5] = {23, 3, 3, 0, 0};
    int done = 0;
    memcpy(nonce, &r->seq, sizeof r->seq);
    r->seq++;
    bool ok = EVP_EncryptInit_ex2(r->seal, NULL, NULL, nonce, NULL) == 1 &&
              EVP_EncryptUpdate(r->seal, NULL, &done, aad, sizeof aad) == 1 &&
              EVP_EncryptUpdate(r->seal, sealed, &done, plain, (int)n) == 1 &&
              EVP_EncryptFinal_ex(r->seal, sealed + n, &done) == 1 &&
              EVP_CIPHER_CTX_ctrl(r->seal, EVP_CTRL_AEAD_GET_TAG, sizeof tag, tag) == 1 &&
              EVP_DecryptInit_ex2(r->open, NULL, NULL, nonce, NULL) == 1 &&
              EVP_DecryptUpdate(r->open, NULL, &done, aad, sizeof aad) == 1 &&
              EVP_DecryptUpdate(r->open, back, &done, sealed, (int)n) == 1 &&
              EVP_CIPHER_CTX_ctrl(r->open, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1 &&
              EVP_DecryptFinal_ex(r->open, back + n, &done) == 1;
    if (!ok)
        die("libcrypto's AEAD");
}

static void ours_send(struct pair *p, size_t n, size_t batch)
{
    size_t done = 0, got = 0;
    for (size_t i = 0; i < batch; i++)
        if (tt_conn_write(p->client, plain, n, &done) != TT_OK || done != n)
            die("our client does not write");
    while (pair_move(p)) {
        struct tt_bytes data = tt_conn_plaintext(p->server);
        got += data.len;
        if (tt_conn_plaintext_done(p->server, data.len) != TT_OK)
            die("our server's plaintext");
    }
    if (got != n * batch)
        die("our server does not have the data");
}

/* struct bench: all that takes turns. */
struct bench {
    const struct kind *kind;
    struct pair ours;
    struct raw raw;
    void *pairs[MAX_RIVALS];
    size_t batches; /* in a round */
    double raw_s[ROUNDS], ours_s[ROUNDS], to_raw[ROUNDS];
    double rival_s[MAX_RIVALS][ROUNDS], to_rival[MAX_RIVALS][ROUNDS];
};

static double run_raw(struct bench *b)
{
    double start = cpu_now();
    for (size_t i = 0; i < b->batches * b->kind->batch; i++)
        raw_send(&b->raw, b->kind->size);
    return cpu_now() - start;
}

static double run_ours(struct bench *b)
{
    double start = cpu_now();
    for (size_t i = 0; i < b->batches; i++)
        ours_send(&b->ours, b->kind->size, b->kind->batch);
    return cpu_now() - start;
}

static double run_rival(struct bench *b, size_t k)
{
    double start = cpu_now();
    for (size_t i = 0; i < b->batches; i++)
        rivals[k]->pair_send(b->pairs[k], plain, b->kind->size, b->kind->batch, back);
    return cpu_now() - start;
}

static void one_round(struct bench *b, int i)
{
    b->raw_s[i] = run_raw(b);
    b->ours_s[i] = run_ours(b);
    b->to_raw[i] = b->raw_s[i] / b->ours_s[i];
    for (size_t k = 0; rivals[k] != NULL; k++) {
        b->rival_s[k][i] = run_rival(b, k);
        b->to_rival[k][i] = b->rival_s[k][i] / b->ours_s[i];
    }
}

/* MB/s at the median time of a round. */
static double speed(const struct bench *b, double *times)
{
    return (double)(b->batches * b->kind->batch * b->kind->size) / median(times, ROUNDS) / 1e6;
}

static void row(struct report *r, const struct kind *k, const char *key_end, const char *text,
                struct figure f)
{
    char key[64];
    (void)snprintf(key, sizeof key, "bulk_%s_%s", k->key, key_end);
    f.key = key;
    f.text = text;
    report_figure(r, &f);
}

static void report_kind(struct report *r, struct bench *b)
{
    const struct kind *k = b->kind;
    char key[32], text[80];
    (void)snprintf(text, sizeof text, "%s: our two ends", k->text);
    row(r, k, "mbs", text, (struct figure){.unit = "MB/s", .value = speed(b, b->ours_s)});
    row(r, k, "raw_mbs", "  libcrypto's AEAD, seal and open in turn",
        (struct figure){.unit = "MB/s", .value = speed(b, b->raw_s)});
    row(r, k, "to_raw", "  ours / that",
        (struct figure){.unit = "x", .value = median(b->to_raw, ROUNDS), .at_least = k->at_least});
    for (size_t i = 0; rivals[i] != NULL; i++) {
        (void)snprintf(key, sizeof key, "%s_mbs", rivals[i]->key);
        (void)snprintf(text, sizeof text, "  %s's two ends", rivals[i]->name);
        row(r, k, key, text, (struct figure){.unit = "MB/s", .value = speed(b, b->rival_s[i])});
        (void)snprintf(key, sizeof key, "to_%s", rivals[i]->key);
        (void)snprintf(text, sizeof text, "  ours / %s", rivals[i]->name);
        bool libssl = strcmp(rivals[i]->key, "libssl") == 0;
        row(r, k, key, text,
            (struct figure){.unit = "x",
                            .value = median(b->to_rival[i], ROUNDS),
                            .at_least = libssl ? k->at_least_libssl : 0});
    }
}

static void contest(struct report *r, const struct identities *ids, struct bench *b)
{
    void *ends[MAX_RIVALS] = {NULL};
    for (size_t k = 0; rivals[k] != NULL; k++) {
        ends[k] = rivals[k]->ends_make(ids, b->kind->suite);
        b->pairs[k] = rivals[k]->pair_connect(ends[k], false, no_turn);
    }
    raw_make(&b->raw, b->kind->cipher);
    for (int i = -2; i < ROUNDS; i++) /* two to warm up */
        one_round(b, i < 0 ? 0 : i);
    report_kind(r, b);
    raw_free(&b->raw);
    for (size_t k = 0; rivals[k] != NULL; k++) {
        rivals[k]->pair_free(b->pairs[k]);
        rivals[k]->ends_free(ends[k]);
    }
}

void bench_bulk(struct report *r, const struct identities *ids, const char *profiled)
{
    if (profiled == NULL)
        report_section(r, "Application data, both ends on one core");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        static struct bench b;
        struct ends e;
        size_t bytes = kinds[i].size * kinds[i].batch;
        b = (struct bench){.kind = &kinds[i]};
        b.batches = bytes >= 16384 ? 200 * 16384 / bytes : bytes >= 1024 ? 2000 * 1024 / bytes : 2000;
        ends_make(&e, ids, kinds[i].suite);
        pair_connect(&b.ours, &e, ENDS_KNOWN, no_turn);
        if (profiled == NULL)
            contest(r, ids, &b);
        for (int round = 0; profiled != NULL && strcmp(profiled, kinds[i].key) == 0 && round < 20; round++)
            (void)run_ours(&b);
        pair_free(&b.ours);
        ends_free(&e);
    }
}
