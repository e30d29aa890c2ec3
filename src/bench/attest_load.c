/* bench/attest_load.c: attest-load: how fast a CA judges evidence, and makes a challenge, beside the
 * signatures that have to be checked for it. Layer: bench. scripts/bench-attest runs it.
 *
 *     attest-load ROOTS.pem EVIDENCE TOKEN_KEY    TOKEN_KEY: 64 hexadecimal digits
 *
 * One line of JSON, in microseconds of CPU time, medians of RUNS. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/report.h"
#include "tpmtls/attest.h"

#define RUNS   9
#define TIMES  200
#define ROOTS  16
#define SIGNED 160 /* bytes of a statement, about */

static struct {
    struct tt_attest_policy *policy;
    struct tt_bytes evidence;
    struct tt_attest_want want;
    uint8_t key[TT_ATTEST_KEY_SIZE];
    X509 *certs[TT_EVIDENCE_CERTS + ROOTS];
    size_t certs_len, chain_len, statements;
    struct {
        X509 *cert;
        EVP_PKEY *issuer;
    } chain[8];
    EVP_PKEY *ecdsa;
    uint8_t data[SIGNED], signature[80];
    size_t signature_len;
} run;

static char *file_read(const char *path, size_t *len)
{
    static char text[4][65536];
    static size_t n = 0;
    FILE *f = fopen(path, "rb");
    if (f == NULL || n == 4)
        die(path);
    *len = fread(text[n], 1, sizeof text[n] - 1, f);
    (void)fclose(f);
    return text[n++];
}

static void roots_take(const char *path)
{
    size_t len = 0;
    const char *text = file_read(path, &len);
    struct tt_cert_list *list = NULL;
    struct tt_error err = {0};
    if (tt_cert_list_from_pem(&list, (struct tt_bytes){(const uint8_t *)text, len}, &err) != TT_OK)
        die(err.text);
    const struct tt_attest_policy_params params = {.roots = list};
    if (tt_attest_policy_new(&run.policy, &params, &err) != TT_OK)
        die(err.text);
    for (size_t i = 0; i < list->len && i < ROOTS; i++) {
        const uint8_t *at = list->certs[i].data;
        run.certs[run.certs_len++] = d2i_X509(NULL, &at, (long)list->certs[i].len);
    }
    tt_cert_list_free(list);
}

/* The chain of the endorsement certificate, as far as we have issuers; the root's own signature counts for
 * nothing. */
static void chain_find(const struct tt_evidence *e)
{
    for (size_t i = 0; i < e->certs_len; i++) {
        const uint8_t *at = e->certs[i].data;
        run.certs[run.certs_len++] = d2i_X509(NULL, &at, (long)e->certs[i].len);
    }
    X509 *cert = run.certs[run.certs_len - e->certs_len];
    while (run.chain_len < 8 && X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) != 0) {
        X509 *above = NULL;
        for (size_t i = 0; i < run.certs_len && above == NULL; i++)
            if (X509_NAME_cmp(X509_get_subject_name(run.certs[i]), X509_get_issuer_name(cert)) == 0)
                above = run.certs[i];
        if (above == NULL)
            die("no chain to a root");
        run.chain[run.chain_len].cert = cert;
        run.chain[run.chain_len++].issuer = X509_get0_pubkey(above);
        cert = above;
    }
}

static void evidence_take(const char *path)
{
    uint8_t *der = NULL;
    size_t len = 0, der_len = 0;
    struct tt_error err = {0};
    struct tt_evidence e;
    const char *text = file_read(path, &len);
    if (tt_attest_from_text(&der, &der_len, TT_ATTEST_EVIDENCE, (struct tt_bytes){(const uint8_t *)text, len},
                            &err) != TT_OK)
        die(err.text);
    run.evidence = (struct tt_bytes){der, der_len};
    if (tt_evidence_read(&e, run.evidence, &err) != TT_OK)
        die(err.text);
    run.statements = e.quote.len > 0 ? 2 : 1;
    chain_find(&e);
}

static void ecdsa_make(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    run.ecdsa = EVP_EC_gen("P-256");
    run.signature_len = sizeof run.signature;
    if (EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, run.ecdsa) != 1 ||
        EVP_DigestSign(ctx, run.signature, &run.signature_len, run.data, sizeof run.data) != 1)
        die("ECDSA");
    EVP_MD_CTX_free(ctx);
}

static void judge(void)
{
    struct tt_attest_verdict v;
    struct tt_error err = {0};
    if (tt_attest_judge(&v, run.policy, run.evidence, &run.want, &err) != TT_OK)
        die(v.text);
}

static void challenge(void)
{
    struct tt_attest_verdict v;
    struct tt_error err = {0};
    uint8_t *der = NULL;
    size_t len = 0;
    if (tt_attest_challenge(&der, &len, &v, run.policy, run.evidence, &run.want, &err) != TT_OK)
        die(v.text);
    tt_free(der);
}

static void primitives(void)
{
    for (size_t i = 0; i < run.chain_len; i++)
        if (X509_verify(run.chain[i].cert, run.chain[i].issuer) != 1)
            die("a certificate's signature");
    for (size_t i = 0; i < run.statements; i++) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        if (EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, run.ecdsa) != 1 ||
            EVP_DigestVerify(ctx, run.signature, run.signature_len, run.data, sizeof run.data) != 1)
            die("ECDSA");
        EVP_MD_CTX_free(ctx);
    }
}

static double one(void (*fn)(void))
{
    double began = cpu_now();
    for (int i = 0; i < TIMES; i++)
        fn();
    return (cpu_now() - began) / TIMES * 1e6;
}

int main(int argc, char **argv)
{
    double judged[RUNS], challenged[RUNS], needed[RUNS];
    if (argc != 4 || strlen(argv[3]) != 2 * sizeof run.key) {
        (void)fprintf(stderr, "usage: %s ROOTS.pem EVIDENCE TOKEN_KEY\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i < sizeof run.key; i++) {
        const char digits[] = {argv[3][2 * i], argv[3][2 * i + 1], '\0'};
        run.key[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    run.want = (struct tt_attest_want){.use = TT_ATTEST_ENROL, .key = run.key, .now = (int64_t)time(NULL)};
    roots_take(argv[1]);
    evidence_take(argv[2]);
    ecdsa_make();
    for (int i = 0; i < RUNS; i++) {
        judged[i] = one(judge);
        needed[i] = one(primitives);
        challenged[i] = one(challenge);
    }
    printf("{\"judge_us\": %.1f, \"primitives_us\": %.1f, \"challenge_us\": %.1f, \"certificates\": %zu, "
           "\"statements\": %zu}\n",
           median(judged, RUNS), median(needed, RUNS), median(challenged, RUNS), run.chain_len,
           run.statements);
    return 0;
}
