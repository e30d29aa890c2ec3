/* bench/attest_load.c: attest-load: how fast a CA judges evidence, and makes a challenge, beside what has to
 * be computed for it. Layer: bench. scripts/bench-attest runs it.
 *
 *     attest-load ROOTS.pem EVIDENCE TOKEN_KEY SIGNKEY.pem
 *
 * TOKEN_KEY: 64 hexadecimal digits; SIGNKEY: the private key of who issued the endorsement certificate. With
 * it certificates are made for DEVICES devices, of the same endorsement key, so that each one comes as a
 * device does: never seen before. One line of JSON, in microseconds of CPU time, medians of RUNS:
 *
 *   judge, primitives      evidence judged; the signatures that are checked for it: certificates, statements
 *   challenge, credential  a challenge made, evidence judged before; what TPM2_MakeCredential has to compute
 *   enrolment              both, for one device after the other: what the CA does for an attested enrolment
 */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/report.h"
#include "tpmtls/attest.h"

#define RUNS    9
#define TIMES   100
#define DEVICES (RUNS * TIMES)
#define ROOTS   16
#define SIGNED  160 /* bytes of a statement, about */

static struct {
    struct tt_attest_policy *policy;
    struct tt_evidence evidence;
    struct tt_bytes devices[DEVICES]; /* evidence */
    size_t next;
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

/* Another certificate for the same key. */
static X509 *certificate_for(X509 *of, EVP_PKEY *signkey, long serial)
{
    X509 *x = X509_dup(of);
    if (x == NULL || ASN1_INTEGER_set(X509_get_serialNumber(x), serial) != 1 ||
        X509_sign(x, signkey, EVP_sha256()) <= 0)
        die("X509_sign");
    return x;
}

static void devices_make(X509 *of, const char *path)
{
    size_t len = 0;
    const char *text = file_read(path, &len);
    BIO *bio = BIO_new_mem_buf(text, (int)len);
    EVP_PKEY *signkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    if (signkey == NULL || X509_verify(of, signkey) != 1)
        die("SIGNKEY is not that of the endorsement certificate's issuer");
    for (size_t i = 0; i < DEVICES; i++) {
        struct tt_evidence e = run.evidence;
        struct tt_error err = {0};
        X509 *x = certificate_for(of, signkey, (long)i + 1);
        uint8_t *der = NULL, *bundle = NULL;
        size_t bundle_len = 0;
        int n = i2d_X509(x, &der);
        e.certs[0] = (struct tt_bytes){der, (size_t)n};
        if (n <= 0 || tt_evidence_write(&bundle, &bundle_len, &e, &err) != TT_OK)
            die(err.text);
        run.devices[i] = (struct tt_bytes){bundle, bundle_len};
        OPENSSL_free(der);
        X509_free(x);
    }
    EVP_PKEY_free(signkey);
    BIO_free(bio);
}

static void evidence_take(const char *path, const char *signkey)
{
    uint8_t *der = NULL;
    size_t len = 0, der_len = 0;
    struct tt_error err = {0};
    const char *text = file_read(path, &len);
    if (tt_attest_from_text(&der, &der_len, TT_ATTEST_EVIDENCE, (struct tt_bytes){(const uint8_t *)text, len},
                            &err) != TT_OK ||
        tt_evidence_read(&run.evidence, (struct tt_bytes){der, der_len}, &err) != TT_OK)
        die(err.text);
    run.statements = run.evidence.quote.len > 0 ? 2 : 1;
    chain_find(&run.evidence);
    devices_make(run.chain[0].cert, signkey);
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

static struct tt_bytes next_device(void)
{
    return run.devices[run.next++ % DEVICES];
}

static void judge_one(struct tt_bytes evidence)
{
    struct tt_attest_verdict v;
    struct tt_error err = {0};
    if (tt_attest_judge(&v, run.policy, evidence, &run.want, &err) != TT_OK)
        die(v.text);
}

static void challenge_one(struct tt_bytes evidence)
{
    struct tt_attest_verdict v;
    struct tt_error err = {0};
    uint8_t *der = NULL;
    size_t len = 0;
    if (tt_attest_challenge(&der, &len, &v, run.policy, evidence, &run.want, &err) != TT_OK)
        die(v.text);
    tt_free(der);
}

static void judge(void)
{
    judge_one(next_device());
}

static void challenge(void)
{
    challenge_one(next_device());
}

static void enrolment(void)
{
    struct tt_bytes evidence = next_device();
    challenge_one(evidence);
    judge_one(evidence);
}

/* ---- what cannot be done without, everything that can be prepared being prepared ---- */

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

/* TPM2_MakeCredential for a key with SHA-256 or SHA-384: the seed and its way to the key (OAEP, or an
 * ephemeral key and the agreement), KDFa twice, CFB over the secret, an HMAC. */
static struct {
    EVP_PKEY_CTX *encrypt, *make; /* one of them */
    EVP_PKEY *ek;
    const EVP_MD *md;
    EVP_MAC_CTX *mac;
    EVP_CIPHER_CTX *cipher;
} making;

static void making_prepare(void)
{
    making.ek = X509_get0_pubkey(run.chain[0].cert);
    bool is_rsa = EVP_PKEY_is_a(making.ek, "RSA") == 1;
    making.md = EVP_MD_fetch(NULL, is_rsa || EVP_PKEY_get_bits(making.ek) == 256 ? "SHA256" : "SHA384", NULL);
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(making.ek, NULL);
    making.mac = EVP_MAC_CTX_new(mac);
    making.cipher = EVP_CIPHER_CTX_new();
    bool ok = is_rsa ? EVP_PKEY_encrypt_init(ctx) == 1 &&
                           EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
                           EVP_PKEY_CTX_set_rsa_oaep_md(ctx, making.md) == 1
                     : EVP_PKEY_keygen_init(ctx) == 1;
    if (!ok || EVP_EncryptInit_ex(making.cipher, EVP_aes_128_cfb128(), NULL, NULL, NULL) != 1)
        die("MakeCredential");
    making.encrypt = is_rsa ? ctx : NULL;
    making.make = is_rsa ? NULL : ctx;
}

static void mac_once(const uint8_t *key, size_t key_len, size_t len)
{
    uint8_t data[128] = {0}, out[EVP_MAX_MD_SIZE];
    size_t n = 0;
    char name[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 6), OSSL_PARAM_END};
    if (EVP_MD_get_size(making.md) == 48)
        (void)snprintf(name, sizeof name, "SHA384");
    if (EVP_MAC_init(making.mac, key, key_len, params) != 1 || EVP_MAC_update(making.mac, data, len) != 1 ||
        EVP_MAC_final(making.mac, out, &n, sizeof out) != 1)
        die("HMAC");
}

static void seed_agree(uint8_t *ret, size_t len)
{
    EVP_PKEY *ours = NULL;
    uint8_t secret[80];
    size_t n = sizeof secret;
    unsigned digest_len = 0;
    if (EVP_PKEY_keygen(making.make, &ours) != 1)
        die("ECDH");
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(ours, NULL);
    if (EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer(ctx, making.ek) != 1 ||
        EVP_PKEY_derive(ctx, secret, &n) != 1 ||
        EVP_Digest(secret, n, ret, &digest_len, making.md, NULL) != 1 || digest_len != len)
        die("ECDH");
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(ours);
}

static void seed_encrypt(uint8_t *seed, size_t len)
{
    uint8_t out[512];
    size_t n = sizeof out;
    if (RAND_bytes(seed, (int)len) != 1 || EVP_PKEY_encrypt(making.encrypt, out, &n, seed, len) != 1)
        die("OAEP");
}

static void credential(void)
{
    uint8_t seed[EVP_MAX_MD_SIZE], secret[34], iv[16] = {0};
    size_t len = (size_t)EVP_MD_get_size(making.md);
    int n = 0;
    if (making.encrypt != NULL)
        seed_encrypt(seed, len);
    else
        seed_agree(seed, len);
    if (RAND_bytes(secret, sizeof secret) != 1)
        die("RAND");
    mac_once(seed, len, 50);
    mac_once(seed, len, 20);
    if (EVP_EncryptInit_ex(making.cipher, NULL, NULL, seed, iv) != 1 ||
        EVP_EncryptUpdate(making.cipher, secret, &n, secret, sizeof secret) != 1)
        die("CFB");
    mac_once(seed, len, sizeof secret + 34);
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
    double judged[RUNS], challenged[RUNS], needed[RUNS], credentials[RUNS], enrolments[RUNS];
    if (argc != 5 || strlen(argv[3]) != 2 * sizeof run.key) {
        (void)fprintf(stderr, "usage: %s ROOTS.pem EVIDENCE TOKEN_KEY SIGNKEY.pem\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i < sizeof run.key; i++) {
        const char digits[] = {argv[3][2 * i], argv[3][2 * i + 1], '\0'};
        run.key[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    run.want = (struct tt_attest_want){.use = TT_ATTEST_ENROL, .key = run.key, .now = (int64_t)time(NULL)};
    roots_take(argv[1]);
    evidence_take(argv[2], argv[4]);
    ecdsa_make();
    making_prepare();
    for (int i = 0; i < RUNS; i++) {
        judged[i] = one(judge);
        needed[i] = one(primitives);
        challenged[i] = one(challenge);
        credentials[i] = one(credential);
        enrolments[i] = one(enrolment);
    }
    printf("{\"judge_us\": %.1f, \"primitives_us\": %.1f, \"challenge_us\": %.1f, \"credential_us\": %.1f, "
           "\"enrolment_us\": %.1f, \"certificates\": %zu, \"statements\": %zu}\n",
           median(judged, RUNS), median(needed, RUNS), median(challenged, RUNS), median(credentials, RUNS),
           median(enrolments, RUNS), run.chain_len, run.statements);
    return 0;
}
