/* bench/tpm.c: bench-tpm: what a handshake asks of the TPM: commands counted, TPM2_Sign against the whole
 * handshake. On the embedded TPM in a directory of its own, or on the one that TPMTLS_TPM names. Layer:
 * bench. */
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/ends.h"
#include "bench/report.h"
#include "bench/swtpm.h"

#define HANDSHAKES   101
#define TPM2_SIGN_CC 0x15d

static double wall_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void must(tt_rc rc, const struct tt_error *err)
{
    if (rc != TT_OK)
        die(err->text);
}

static void one_handshake(const struct identities *ids)
{
    struct ends e;
    struct pair p;
    ends_make(&e, ids, TT_SUITE_AES_128_GCM_SHA256);
    pair_connect(&p, &e, ENDS_FULL, no_turn);
    pair_free(&p);
    ends_free(&e);
}

/* ---- counting ---- */

/* struct start: a process that starts, opens its key and makes its first handshake. */
struct start {
    const char *spec;    /* the TPM */
    struct tt_bytes pem; /* the key's file, or: */
    uint32_t handle;
};

/* The commands of a start, everything from the opening of the TPM on included. */
static double commands_of_start(const struct start *s, struct identities *ids)
{
    struct tt_tpm *tpm = NULL;
    struct tt_key *key = NULL;
    struct tt_error err = {0};
    must(tt_tpm_open(&tpm, s->spec, &err), &err);
    must(s->handle != 0 ? tt_key_open_handle(&key, tpm, s->handle, &err)
                        : tt_key_open_pem(&key, tpm, s->pem, &err),
         &err);
    identity_adopt(ids, key);
    one_handshake(ids);
    double commands = (double)tt_tpm_command_count(tpm);
    identity_release_key(&ids->client);
    tt_tpm_close(tpm);
    return commands;
}

static void from_handle(struct report *r, struct identities *ids)
{
    struct bench_swtpm t;
    const char *why = bench_swtpm_start(&t, "0x81000010");
    if (why != NULL) {
        report_note(r, why);
        return;
    }
    const struct start s = {.spec = t.tcti, .handle = 0x81000010};
    report_figure(r, &(struct figure){"commands_start_handle", "first handshake from a persistent handle",
                                      "commands", commands_of_start(&s, ids), 2, 0});
    bench_swtpm_stop(&t);
}

/* ---- times ---- */

struct trace {
    double sign[HANDSHAKES * 2];
    size_t n;
};

static void keep_sign(void *arg, const struct tt_tpm_event *event)
{
    struct trace *t = arg;
    if (event->command == TPM2_SIGN_CC && t->n < sizeof t->sign / sizeof *t->sign)
        t->sign[t->n++] = (double)event->nanoseconds / 1e3;
}

static void loaded_key(struct report *r, struct tt_tpm *tpm, const struct identities *ids)
{
    static struct trace trace;
    static double times[HANDSHAKES], shares[HANDSHAKES];
    struct ends e;
    ends_make(&e, ids, TT_SUITE_AES_128_GCM_SHA256);
    tt_tpm_set_trace(tpm, keep_sign, &trace);
    uint64_t before = tt_tpm_command_count(tpm);
    for (size_t i = 0; i < HANDSHAKES; i++) {
        struct pair p;
        double start = wall_now();
        pair_connect(&p, &e, ENDS_FULL, no_turn);
        times[i] = (wall_now() - start) * 1e6;
        shares[i] = trace.n == i + 1 ? trace.sign[i] / times[i] * 100 : 0;
        pair_free(&p);
    }
    double commands = (double)(tt_tpm_command_count(tpm) - before) / HANDSHAKES;
    tt_tpm_set_trace(tpm, NULL, NULL);
    report_figure(
        r, &(struct figure){"commands_loaded", "a handshake with a loaded key", "commands", commands, 1, 0});
    report_section(r, "Time, wall clock, both ends in this process; the client signs with the TPM");
    report_figure(r, &(struct figure){"sign_us", "TPM2_Sign", "us", median(trace.sign, trace.n), 0, 0});
    report_figure(
        r, &(struct figure){"handshake_us", "full mutual handshake", "us", median(times, HANDSHAKES), 0, 0});
    report_figure(
        r, &(struct figure){"sign_share", "TPM2_Sign's share of it", "%", median(shares, HANDSHAKES), 0, 0});
    ends_free(&e);
}

/* ---- passwords and policies ---- */

static struct tt_key *policy_signer(void)
{
    struct tt_error err = {0};
    struct tt_key *key = NULL;
    char *text = NULL;
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_mem());
    if (pkey == NULL || PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) != 1)
        die("the policy's key");
    long len = BIO_get_mem_data(bio, &text);
    must(tt_key_open_software(&key, (struct tt_bytes){(const uint8_t *)text, (size_t)len}, NULL, &err), &err);
    BIO_free(bio);
    EVP_PKEY_free(pkey);
    return key;
}

/* The key of params, and where there is a signer with PCRs under a policy that it signed. */
static char *guarded_file(struct tt_tpm *tpm, const struct tt_key_params *params, struct tt_key *signer)
{
    struct tt_error err = {0};
    char *pem = NULL, *more = NULL;
    must(tt_key_create_with(&pem, tpm, params, &err), &err);
    if (params->signer.len == 0)
        return pem;
    const struct tt_policy_params policy = {
        .pem = {(const uint8_t *)pem, strlen(pem)}, .signer = signer, .pcrs = "sha256:0,7"};
    must(tt_policy_sign(&more, &policy, tpm, &err), &err);
    tt_free(pem);
    return more;
}

/* TPM commands a signature, after the first one; in sessions that are kept and encrypt. */
static double commands_a_signature(struct tt_tpm *tpm, const char *pem, const struct tt_bytes *password)
{
    struct tt_error err = {0};
    struct tt_key *key = NULL;
    uint8_t sig[1024];
    size_t len;
    uint64_t first = 0;
    must(
        tt_key_open_pem_with(&key, tpm, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)}, password, &err),
        &err);
    for (int i = 0; i <= HANDSHAKES; i++) {
        must(tt_key_sign(key, TT_SCHEME_ECDSA_SECP256R1_SHA256, (struct tt_bytes){(const uint8_t *)"m", 1},
                         sig, sizeof sig, &len, &err),
             &err);
        if (i == 0)
            first = tt_tpm_command_count(tpm);
    }
    double commands = (double)(tt_tpm_command_count(tpm) - first) / HANDSHAKES;
    tt_key_free(key);
    return commands;
}

static void guarded_keys(struct report *r, const char *spec)
{
    struct tt_error err = {0};
    struct tt_tpm *tpm = NULL;
    struct tt_key *signer = policy_signer();
    const struct tt_bytes password = {(const uint8_t *)"secret", 6};
    const struct {
        const char *name, *text;
        double limit;
        struct tt_key_params params;
    } kinds[] = {
        {"commands_password", "password", 2, {.password = &password}},
        {"commands_pcr", "PCRs", 2, {.pcrs = "sha256:0,7"}},
        {"commands_owner", "the owner's password (PolicySecret)", 2, {.secret_of = "owner"}},
        {"commands_pcr_password", "PCRs and password", 0, {.pcrs = "sha256:0,7", .password = &password}},
        {"commands_signed_pcr", "PCRs of a signed policy", 0, {.signer = tt_key_spki(signer)}},
    };
    must(tt_tpm_open(&tpm, spec, &err), &err);
    report_section(r, "TPM commands a signature under a password or policy, after the first");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char *pem = guarded_file(tpm, &kinds[i].params, signer);
        double commands = commands_a_signature(tpm, pem, kinds[i].params.password);
        report_figure(
            r, &(struct figure){kinds[i].name, kinds[i].text, "commands", commands, kinds[i].limit, 0});
        tt_free(pem);
    }
    tt_tpm_close(tpm);
    tt_key_free(signer);
}

/* ---- the whole ---- */

static void from_key_file(struct report *r, const char *spec, struct identities *ids)
{
    struct tt_tpm *tpm = NULL;
    struct tt_key *key = NULL;
    struct tt_error err = {0};
    char *pem = NULL;
    must(tt_tpm_open(&tpm, spec, &err), &err);
    report_note(r, tt_tpm_describe(tpm));
    must(tt_key_create(&pem, tpm, TT_KEY_P256, &err), &err);
    const struct start s = {.spec = spec, .pem = {(const uint8_t *)pem, strlen(pem)}};
    report_figure(r, &(struct figure){"commands_start_file", "first handshake from a key file", "commands",
                                      commands_of_start(&s, ids), 4, 0});
    must(tt_key_open_pem(&key, tpm, s.pem, &err), &err);
    identity_adopt(ids, key);
    loaded_key(r, tpm, ids);
    identity_release_key(&ids->client);
    tt_free(pem);
    tt_tpm_close(tpm);
}

int main(int argc, char **argv)
{
    struct report *r = report_open(argc, argv, "tpmtls: the TPM in a handshake");
    struct identities ids;
    char dir[64] = "", spec[80];
    const char *named = getenv("TPMTLS_TPM");
    identities_make(&ids);
    if (named == NULL)
        bench_dir_make(dir, sizeof dir);
    (void)snprintf(spec, sizeof spec, "embedded:%s/tpm", dir);
    report_section(r, "TPM commands, from the opening of the TPM on");
    from_handle(r, &ids);
    from_key_file(r, named != NULL ? named : spec, &ids);
    guarded_keys(r, named != NULL ? named : spec);
    identities_free(&ids);
    if (named == NULL)
        bench_dir_remove(dir);
    return report_close(r);
}
