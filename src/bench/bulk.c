/* bench/bulk.c: application data from our client to our server on one core, against what libcrypto's AEAD
 * alone does when it seals and opens the same records in turn (half of its one-way speed), and against
 * libssl. Layer: bench. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/ends.h"
#include "bench/ssl.h"
#include "bench/tls.h"

#define ROUNDS 41

/* struct kind: one row: a suite and the size of a write. */
struct kind {
    const char *key, *text;
    uint16_t suite;
    const char *cipher, *suite_name;
    size_t size;
    double at_least;
};

static const struct kind kinds[] = {
    {"aes128_16k", "AES-128-GCM, 16 KiB", TT_SUITE_AES_128_GCM_SHA256, "AES-128-GCM",
     "TLS_AES_128_GCM_SHA256", 16384, 0.85},
    {"aes128_1k", "AES-128-GCM, 1 KiB", TT_SUITE_AES_128_GCM_SHA256, "AES-128-GCM", "TLS_AES_128_GCM_SHA256",
     1024, 0},
    {"aes128_64", "AES-128-GCM, 64 B", TT_SUITE_AES_128_GCM_SHA256, "AES-128-GCM", "TLS_AES_128_GCM_SHA256",
     64, 0},
    {"chacha_16k", "ChaCha20-Poly1305, 16 KiB", TT_SUITE_CHACHA20_POLY1305_SHA256, "ChaCha20-Poly1305",
     "TLS_CHACHA20_POLY1305_SHA256", 16384, 0},
};

static uint8_t plain[16384], sealed[16384 + 64], back[16384 + 64];

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

static void ours_send(struct pair *p, size_t n)
{
    size_t done = 0, used = 0;
    if (tt_conn_write(p->client, plain, n, &done) != TT_OK || done != n)
        die("our client does not write");
    struct tt_bytes out = tt_conn_output(p->client);
    if (tt_conn_feed(p->server, out.data, out.len, &used) != TT_OK || used != out.len)
        die("our server does not take the record");
    tt_conn_output_done(p->client, used);
    if (tt_conn_plaintext(p->server).len != n || tt_conn_plaintext_done(p->server, n) != TT_OK)
        die("our server does not have the data");
}

/* struct bench: all that takes turns. */
struct bench {
    struct pair ours;
    struct raw raw;
    struct ssl_pair *libssl;
    size_t size, records; /* in a round */
};

static double seconds(struct bench *b, int who)
{
    double start = cpu_now();
    for (size_t i = 0; i < b->records; i++) {
        if (who == 0)
            raw_send(&b->raw, b->size);
        else if (who == 1)
            ours_send(&b->ours, b->size);
        else
            ssl_pair_send(b->libssl, plain, b->size, back);
    }
    return cpu_now() - start;
}

static void report_kind(struct report *r, struct bench *b, const struct kind *k)
{
    static double raw[ROUNDS], ours[ROUNDS], libssl[ROUNDS], ratio[ROUNDS], to_libssl[ROUNDS];
    char key[3][64], text[3][80];
    double bytes = (double)(b->records * b->size);
    for (int i = -2; i < ROUNDS; i++) {
        int at = i < 0 ? 0 : i;
        double t_raw = seconds(b, 0), t_ours = seconds(b, 1), t_ssl = b->libssl == NULL ? 0 : seconds(b, 2);
        raw[at] = bytes / t_raw / 1e6;
        ours[at] = bytes / t_ours / 1e6;
        libssl[at] = t_ssl > 0 ? bytes / t_ssl / 1e6 : 0;
        ratio[at] = t_raw / t_ours;
        to_libssl[at] = t_ssl / t_ours;
    }
    (void)snprintf(key[0], sizeof key[0], "bulk_%s_mbs", k->key);
    (void)snprintf(text[0], sizeof text[0], "%s: our two ends", k->text);
    report_figure(r, &(struct figure){key[0], text[0], "MB/s", median(ours, ROUNDS), 0, 0});
    (void)snprintf(key[1], sizeof key[1], "bulk_%s_raw_mbs", k->key);
    report_figure(r, &(struct figure){key[1], "  libcrypto's AEAD, seal and open in turn", "MB/s",
                                      median(raw, ROUNDS), 0, 0});
    (void)snprintf(key[2], sizeof key[2], "bulk_%s_to_raw", k->key);
    report_figure(r, &(struct figure){key[2], "  ours / that", "x", median(ratio, ROUNDS), 0, k->at_least});
    if (b->libssl == NULL)
        return;
    (void)snprintf(key[0], sizeof key[0], "bulk_%s_libssl_mbs", k->key);
    report_figure(r, &(struct figure){key[0], "  libssl's two ends", "MB/s", median(libssl, ROUNDS), 0, 0});
    (void)snprintf(key[1], sizeof key[1], "bulk_%s_to_libssl", k->key);
    report_figure(r, &(struct figure){key[1], "  ours / libssl", "x", median(to_libssl, ROUNDS), 0, 0});
}

void bench_bulk(struct report *r, const struct identities *ids)
{
    const char *only = getenv("BENCH_ONLY");
    bool profile = only != NULL && strcmp(only, "profile-bulk") == 0;
    report_section(r, "Application data, both ends on one core");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct ends e;
        struct bench b = {.size = kinds[i].size};
        b.records = kinds[i].size >= 16384 ? 200 : 2000;
        ends_make(&e, ids, kinds[i].suite);
        pair_connect(&b.ours, &e, NULL);
        struct ssl_ends *ssl = profile ? NULL : ssl_ends_make(ids, kinds[i].suite_name);
        b.libssl = ssl == NULL ? NULL : ssl_pair_connect(ssl, NULL);
        raw_make(&b.raw, kinds[i].cipher);
        if (profile)
            for (int round = 0; round < 20; round++)
                (void)seconds(&b, 1);
        else
            report_kind(r, &b, &kinds[i]);
        raw_free(&b.raw);
        if (b.libssl != NULL)
            ssl_pair_free(b.libssl);
        ssl_ends_free(ssl);
        pair_free(&b.ours);
        ends_free(&e);
    }
}
