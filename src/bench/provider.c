/* bench/provider.c: bench-provider: a full mutual handshake with the same P-256 key in the same swtpm, ours
 * and libssl's with tpm2-openssl in turns, against the bare TPM2_Sign. Both ends are in this process, the
 * client's key is in the TPM. Layer: bench. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/ends.h"
#include "bench/report.h"
#include "bench/provider.h"
#include "bench/swtpm.h"

#define HANDSHAKES   102
#define TPM2_SIGN_CC 0x15d
#define HANDLE       0x81000010
#define HANDLE_TEXT  "0x81000010"

static double now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void must(tt_rc rc, const struct tt_error *err)
{
    if (rc != TT_OK)
        die(err->text);
}

static double sign_us;

static void watch(void *arg, const struct tt_tpm_event *event)
{
    (void)arg;
    if (event->command == TPM2_SIGN_CC)
        sign_us = (double)event->nanoseconds / 1e3;
}

/* As the meter sees it. */
static double bare(struct tt_key *key)
{
    struct tt_error err = {0};
    uint8_t sig[128];
    size_t len = 0;
    must(tt_key_sign(key, TT_SCHEME_ECDSA_SECP256R1_SHA256, (struct tt_bytes){(const uint8_t *)"m", 1}, sig,
                     sizeof sig, &len, &err),
         &err);
    return sign_us;
}

static double ours(const struct ends *e)
{
    struct pair p;
    double start = now_us();
    pair_connect(&p, e, ENDS_FULL, no_turn);
    double took = now_us() - start;
    pair_free(&p);
    return took;
}

static double theirs(struct provider_ends *e)
{
    double start = now_us();
    struct provider_pair *p = provider_connect(e);
    double took = now_us() - start;
    provider_pair_free(p);
    return took;
}

static void in_turns(struct report *r, const struct identities *ids, struct provider_ends *other)
{
    static double sign[HANDSHAKES], own[HANDSHAKES], own_sign[HANDSHAKES], provider[HANDSHAKES];
    struct ends e;
    ends_make(&e, ids, TT_SUITE_AES_128_GCM_SHA256);
    /* In all six orders: who comes after a long pause of the swtpm's pays for its waking up. */
    for (size_t i = 0; i < HANDSHAKES; i++)
        for (size_t k = 0; k < 3; k++) {
            size_t who = (i + (i / 3 % 2 == 0 ? k : 2 - k)) % 3;
            if (who == 0)
                sign[i] = bare(ids->client.key);
            else if (who == 1) {
                own[i] = ours(&e);
                own_sign[i] = sign_us;
            } else if (other != NULL)
                provider[i] = theirs(other);
        }
    ends_free(&e);
    double bare_us = median(sign, HANDSHAKES), own_us = median(own, HANDSHAKES);
    report_figure(r, &(struct figure){"sign_us", "TPM2_Sign alone", "us", bare_us, 0, 0});
    report_figure(r, &(struct figure){"ours_us", "full mutual handshake, ours", "us", own_us, 0, 0});
    report_figure(
        r, &(struct figure){"ours_sign_us", "TPM2_Sign in it", "us", median(own_sign, HANDSHAKES), 0, 0});
    report_figure(r, &(struct figure){"ours_ratio", "full mutual handshake, ours / TPM2_Sign", "",
                                      own_us / bare_us, 3, 0});
    if (other == NULL) {
        report_note(r, "tpm2-openssl is not there: nothing to compare with");
        return;
    }
    double provider_us = median(provider, HANDSHAKES);
    report_figure(r, &(struct figure){"provider_us", "server authentication only, libssl with tpm2-openssl",
                                      "us", provider_us, 0, 0});
    report_figure(
        r, &(struct figure){"provider_ratio", "the same / TPM2_Sign", "", provider_us / bare_us, 0, 0});
}

int main(int argc, char **argv)
{
    struct report *r = report_open(argc, argv, "tpmtls: beside tpm2-openssl");
    struct identities ids;
    struct bench_swtpm t;
    struct tt_tpm *tpm = NULL;
    struct tt_key *key = NULL;
    struct tt_error err = {0};
    report_section(r, "Wall clock, one swtpm, one P-256 key at a persistent handle, in turns");
    const char *why = bench_swtpm_start(&t, HANDLE_TEXT);
    if (why != NULL) {
        report_note(r, why);
        return report_close(r);
    }
    identities_make(&ids);
    must(tt_tpm_open(&tpm, t.tcti, &err), &err);
    tt_tpm_set_trace(tpm, watch, NULL);
    must(tt_key_open_handle(&key, tpm, HANDLE, &err), &err);
    identity_adopt(&ids, key);
    (void)setenv("TPM2OPENSSL_TCTI", t.tcti, 1);
    struct provider_ends *other = provider_ends_make(&ids, "TLS_AES_128_GCM_SHA256", "handle:" HANDLE_TEXT);
    in_turns(r, &ids, other);
    provider_ends_free(other);
    identity_release_key(&ids.client);
    tt_tpm_close(tpm);
    identities_free(&ids);
    bench_swtpm_stop(&t);
    return report_close(r);
}
