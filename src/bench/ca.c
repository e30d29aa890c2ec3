/* bench/ca.c: bench-ca: what the authority costs: a certificate signed, issued into SQLite and into
 * PostgreSQL, a long CRL, OCSP answers. CPU seconds of this process, and walls where another process works.
 * Layer: bench. */
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench/report.h"
#include "ca/authority.h"
#include "ca/judge.h"
#include "tpmtls/key.h"

#define ROUNDS      11
#define SIGNATURES  400
#define BATCH       128
#define BATCHES     8
#define CRL_ENTRIES 100000
#define LABEL_MAX   64

/* ---- fsyncs: SQLite's calls come here first ---- */

static long syncs;

__attribute__((visibility("default"))) int fsync(int fd)
{
    syncs++;
    return (int)syscall(SYS_fsync, fd);
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    syncs++;
    return (int)syscall(SYS_fdatasync, fd);
}

/* ---- the scene ---- */

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

static tt_rc key_sign(void *arg, uint16_t scheme, struct tt_bytes message, uint8_t *ret_sig, size_t cap,
                      size_t *ret_len, struct tt_error *err)
{
    return tt_key_sign(arg, scheme, message, ret_sig, cap, ret_len, err);
}

struct scene {
    char dir[64], path[96];
    struct tt_key *key;
    struct tt_pki_signer signer;
    struct ca *ca;
    char *csr[BATCH]; /* PEM */
    struct ca_order orders[BATCH];
    int64_t now;
};

static struct tt_pki_signer signer_of(struct tt_key *key)
{
    return (struct tt_pki_signer){.sign = key_sign,
                                  .arg = key,
                                  .spki = tt_key_spki(key),
                                  .scheme = tt_key_x509_scheme(key),
                                  .checks_itself = true};
}

static void requests_make(struct scene *s)
{
    struct tt_error err = {0};
    for (size_t i = 0; i < BATCH; i++) {
        struct tt_key *key = NULL;
        char subject[LABEL_MAX], name[LABEL_MAX];
        must(tt_key_create_software(&key, TT_KEY_P256, &err), &err);
        struct tt_pki_signer signer = signer_of(key);
        (void)snprintf(subject, sizeof subject, "/O=Example/CN=device-%zu", i);
        (void)snprintf(name, sizeof name, "DNS:device-%zu.example.org", i);
        const char *names[] = {name};
        must(tt_csr_create(&s->csr[i], &(struct tt_csr_params){subject, names, 1}, &signer, &err), &err);
        s->orders[i].csr = (struct tt_bytes){(const uint8_t *)s->csr[i], strlen(s->csr[i])};
        tt_key_free(key);
    }
}

static void scene_make(struct scene *s, const char *store)
{
    struct tt_error err = {0};
    (void)snprintf(s->dir, sizeof s->dir, "build/bench/ca.XXXXXX"); /* on a disk, not in memory */
    if (mkdtemp(s->dir) == NULL)
        die("no directory build/bench");
    (void)snprintf(s->path, sizeof s->path, "%s/ca", s->dir);
    s->now = (int64_t)time(NULL);
    must(tt_key_create_software(&s->key, TT_KEY_P256, &err), &err);
    s->signer = signer_of(s->key);
    const struct ca_make make = {
        .place = {s->path, store}, .subject = "/O=Example/CN=Bench CA", .key = "none", .now = s->now};
    must(ca_make(&make, &s->signer, NULL, &err), &err);
    must(ca_open(&s->ca, &make.place, &err), &err);
    must(ca_set_signer(s->ca, &s->signer, &err), &err);
    requests_make(s);
}

static void scene_drop(struct scene *s)
{
    char command[160];
    ca_close(s->ca);
    tt_key_free(s->key);
    for (size_t i = 0; i < BATCH; i++)
        tt_free(s->csr[i]);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", s->dir);
    if (system(command) != 0)
        die("cannot remove the bench's directory");
}

/* ---- signing alone ---- */

static double signature_cost(struct scene *s)
{
    uint8_t message[600] = {1}, sig[256];
    size_t len = 0;
    double began = cpu_now();
    for (int i = 0; i < SIGNATURES; i++) {
        message[0] = (uint8_t)i;
        must(s->signer.sign(s->signer.arg, s->signer.scheme, (struct tt_bytes){message, sizeof message}, sig,
                            sizeof sig, &len, NULL),
             &(struct tt_error){0});
    }
    return (cpu_now() - began) / SIGNATURES;
}

static double certify_cost(struct scene *s, const struct judged *j)
{
    struct tt_error err = {0};
    char serial[CA_SERIAL_HEX];
    double began = cpu_now();
    for (int i = 0; i < SIGNATURES; i++) {
        struct buf der = {0};
        struct ca_subject whom = {.name = X509_REQ_get_subject_name(j->csr.req),
                                  .spki = {j->spki, j->spki_len},
                                  .names = {j->names, j->names_len},
                                  .profile = j->profile};
        must(ca_period(&whom, s->ca, 0, s->now, &err), &err);
        must(ca_certify(&der, serial, s->ca, &whom, &err), &err);
        buf_free(&der);
    }
    return (cpu_now() - began) / SIGNATURES;
}

static double judge_cost(struct scene *s)
{
    struct tt_error err = {0};
    double began = cpu_now();
    for (int i = 0; i < BATCH; i++) {
        struct judged j = {0};
        struct ca_answer a = {0};
        must(judge(&j, &a, s->ca, &s->orders[i], &(struct known){0}, &err), &err);
        if (a.why != CA_REFUSED_NOT)
            die(a.reason.text);
        judged_free(&j);
    }
    return (cpu_now() - began) / BATCH;
}

static void bench_signing(struct report *r, struct scene *s)
{
    double sign[ROUNDS], certify[ROUNDS], judging[ROUNDS];
    struct judged j = {0};
    struct ca_answer a = {0};
    struct tt_error err = {0};
    must(judge(&j, &a, s->ca, &s->orders[0], &(struct known){0}, &err), &err);
    for (int i = 0; i < ROUNDS; i++) { /* they take turns */
        sign[i] = signature_cost(s);
        certify[i] = certify_cost(s, &j);
        judging[i] = judge_cost(s);
    }
    judged_free(&j);
    double one = median(sign, ROUNDS), whole = median(certify, ROUNDS), read = median(judging, ROUNDS);
    report_section(r, "a certificate, in CPU time of one core");
    report_figure(r, &(struct figure){"ecdsa_us", "ECDSA P-256 signature", "us", 1e6 * one, 0, 0, false});
    report_figure(
        r, &(struct figure){"certify_us", "certificate built and signed", "us", 1e6 * whole, 0, 0, false});
    report_figure(r, &(struct figure){"certify_ratio", "that / the signature", "", whole / one, 3, 0, false});
    report_figure(r, &(struct figure){"certify_rate", "signed a second", "/s", 1 / whole, 0, 8000, false});
    report_figure(r, &(struct figure){"judge_us", "request read, its signature verified, judged", "us",
                                      1e6 * read, 0, 0, false});
}

/* ---- issued ---- */

struct rate {
    double cpu, wall, syncs; /* of one certificate; of a batch */
};

static void issue_batches(struct scene *s, int batches, size_t batch)
{
    struct tt_error err = {0};
    struct ca_answer answers[BATCH];
    for (int i = 0; i < batches; i++) {
        memset(answers, 0, sizeof answers);
        must(ca_issue(s->ca, s->orders, answers, batch, s->now, &err), &err);
        for (size_t k = 0; k < batch; k++) {
            if (answers[k].verdict != CA_ISSUED)
                die(answers[k].reason.text);
            ca_answer_free(&answers[k]);
        }
    }
}

static struct rate issue_rate(struct scene *s, size_t batch)
{
    double cpu[ROUNDS], wall[ROUNDS];
    int batches = (int)(BATCHES * BATCH / batch);
    if (batches > 64)
        batches = 64;
    issue_batches(s, 1, batch);
    long before = syncs;
    for (int i = 0; i < ROUNDS; i++) {
        double c = cpu_now(), w = wall_now();
        issue_batches(s, batches, batch);
        cpu[i] = (cpu_now() - c) / (batches * (double)batch);
        wall[i] = (wall_now() - w) / (batches * (double)batch);
    }
    return (struct rate){median(cpu, ROUNDS), median(wall, ROUNDS),
                         (double)(syncs - before) / (ROUNDS * batches)};
}

static void bench_stores(struct report *r, struct scene *lite)
{
    report_section(r, "issued: read, judged, signed, recorded, durable before it is answered");
    struct rate many = issue_rate(lite, BATCH), one = issue_rate(lite, 1);
    report_figure(r, &(struct figure){"sqlite_cpu_rate", "SQLite, 128 a commit, a CPU second", "/s",
                                      1 / many.cpu, 0, 3000, false});
    report_figure(r, &(struct figure){"sqlite_wall_rate", "the same, a second of wall time", "/s",
                                      1 / many.wall, 0, 0, false});
    report_figure(r,
                  &(struct figure){"sqlite_syncs", "fsyncs a commit (of 128)", "", many.syncs, 0, 1, false});
    report_figure(r,
                  &(struct figure){"sqlite_single_wall_rate", "SQLite, one a commit, a second of wall time",
                                   "/s", 1 / one.wall, 0, 0, false});
    report_figure(
        r, &(struct figure){"sqlite_single_syncs", "fsyncs a commit (of 1)", "", one.syncs, 0, 1, false});
    const char *url = getenv("BENCH_POSTGRES");
    if (url == NULL) {
        report_note(r, "PostgreSQL: not measured (scripts/bench starts one where it is installed)");
        return;
    }
    struct scene pg = {0};
    scene_make(&pg, url);
    double ratio[3];
    struct rate p = {0};
    for (int i = 0; i < 3; i++) { /* they take turns */
        p = issue_rate(&pg, BATCH);
        ratio[i] = issue_rate(lite, BATCH).wall / p.wall;
    }
    report_figure(r, &(struct figure){"postgres_wall_rate", "PostgreSQL, 128 a commit, a second of wall time",
                                      "/s", 1 / p.wall, 0, 0, false});
    report_figure(r, &(struct figure){"postgres_cpu_rate", "the same, a CPU second of ours", "/s", 1 / p.cpu,
                                      0, 0, false});
    report_figure(r, &(struct figure){"postgres_ratio", "PostgreSQL / SQLite, wall time", "",
                                      median(ratio, 3), 0, 0.5, false});
    scene_drop(&pg);
}

/* ---- CRL, OCSP ---- */

static tt_rc revoked_fill(void *arg, struct ca *ca, struct head *h, struct tt_error *err)
{
    const struct scene *s = arg;
    const struct statement fill = {.sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                                          "WHERE i < 100000) INSERT INTO certificate "
                                          "SELECT $1 + i, '4' || lower(substr(hex(randomblob(20)), 2)), "
                                          "'CN=x', '', $2, $2 + 31536000, $2, '', 'client', 0, '', 0, 0, "
                                          "'revoked', 1 + i % 5, $2, x'30', 0 FROM n",
                                   STORE_ARGS(store_int(h->certificates), store_int(s->now))};
    h->certificates += CRL_ENTRIES;
    h->revision++;
    TT_TRY(store_run(ca->store, &fill, NULL, err));
    return act_add(ca, h, "bench", json_object(), s->now, err);
}

static void bench_crl(struct report *r, struct scene *s)
{
    struct tt_error err = {0};
    struct ca_fresh fresh;
    struct buf der = {0};
    char path[128], command[512];
    must(ca_write(s->ca, revoked_fill, s, &err), &err);
    double began = wall_now();
    must(ca_crl(s->ca, &der, &fresh, s->now, &err), &err);
    double made = wall_now() - began;
    (void)snprintf(path, sizeof path, "%s/crl.der", s->dir);
    FILE *f = fopen(path, "w");
    if (f == NULL || fwrite(buf_front(&der), 1, buf_size(&der), f) != buf_size(&der) || fclose(f) != 0)
        die("cannot write the CRL");
    (void)snprintf(command, sizeof command,
                   "test \"$(openssl crl -inform DER -in '%s' -noout -text -CAfile '%s/ca.pem' | grep -c "
                   "'Serial Number')\" = %d",
                   path, s->path, CRL_ENTRIES);
    if (system(command) != 0)
        die("openssl does not read the CRL");
    report_section(r, "revocation");
    report_figure(r, &(struct figure){"crl_seconds",
                                      "CRL of 100,000 entries made, signed, stored, read by openssl", "s",
                                      made, 1, 0, false});
    report_figure(
        r, &(struct figure){"crl_megabytes", "its size", "MB", (double)buf_size(&der) / 1e6, 0, 0, false});
    buf_free(&der);
}

static size_t ocsp_request(uint8_t ret[256], struct scene *s, bool nonce)
{
    struct ca_answer a = {0};
    struct tt_error err = {0};
    must(ca_issue(s->ca, s->orders, &a, 1, s->now, &err), &err);
    const uint8_t *at = a.certificate.data;
    X509 *leaf = d2i_X509(NULL, &at, (long)a.certificate.len);
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    uint8_t *der = NULL;
    (void)OCSP_request_add0_id(request, OCSP_cert_to_id(EVP_sha1(), leaf, s->ca->cert));
    if (nonce)
        (void)OCSP_request_add1_nonce(request, NULL, 32);
    int n = i2d_OCSP_REQUEST(request, &der);
    if (n <= 0 || n > 256)
        die("no OCSP request");
    memcpy(ret, der, (size_t)n);
    OPENSSL_free(der);
    OCSP_REQUEST_free(request);
    X509_free(leaf);
    ca_answer_free(&a);
    return (size_t)n;
}

static double ocsp_cost(struct scene *s, struct tt_bytes request, int n)
{
    struct tt_error err = {0};
    struct ca_fresh fresh;
    double began = cpu_now();
    for (int i = 0; i < n; i++) {
        struct buf der = {0};
        must(ca_ocsp(s->ca, &der, &fresh, request, s->now, &err), &err);
        buf_free(&der);
    }
    return (cpu_now() - began) / n;
}

static void bench_ocsp(struct report *r, struct scene *s)
{
    uint8_t plain[256], fresh[256];
    struct tt_bytes kept = {plain, ocsp_request(plain, s, false)},
                    nonce = {fresh, ocsp_request(fresh, s, true)};
    double a[ROUNDS], b[ROUNDS];
    (void)ocsp_cost(s, kept, 1);
    for (int i = 0; i < ROUNDS; i++) {
        a[i] = ocsp_cost(s, kept, 2000);
        b[i] = ocsp_cost(s, nonce, 200);
    }
    report_figure(r, &(struct figure){"ocsp_kept_rate", "OCSP answers signed before, a CPU second", "/s",
                                      1 / median(a, ROUNDS), 0, 10000, false});
    report_figure(r, &(struct figure){"ocsp_nonce_rate", "OCSP answers with a nonce, a CPU second", "/s",
                                      1 / median(b, ROUNDS), 0, 0, false});
}

int main(int argc, char **argv)
{
    struct report *r = report_open(argc, argv, "the authority");
    struct scene s = {0};
    scene_make(&s, NULL);
    bench_signing(r, &s);
    bench_stores(r, &s);
    bench_ocsp(r, &s);
    bench_crl(r, &s);
    scene_drop(&s);
    return report_close(r);
}
