/* bench/resume.c: bench-resume: full, resumed and delegated handshakes with a client whose key is in a TPM:
 * plain swtpm, and each chip that the lab plays. Wall clock; the server's key is software. Layer: bench.
 *
 * What is measured is the time until the connection is there. What has to be done once before (a key
 * unsealed, a credential signed), or for each ticket beside the handshake (a PSK put into the TPM), stands in
 * columns of its own, and in the break-even: after how many connections less time is spent in all than with
 * full handshakes. */
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/resume.h"
#include "bench/swtpm.h"
#include "net/session_store.h"

enum {
    RUNS_SWTPM = 21,
    RUNS_LAB = 3
};

enum way {
    FULL_P256,
    FULL_RSA,
    MEMORY,
    SEALED,
    HELD,          /* made ready before: K1 in the chip, K2's context saved */
    HELD_CONTEXTS, /* other keys were used since: both contexts are loaded */
    DELEGATED,
    WAYS
};
static const struct {
    const char *key, *text;
} ways[WAYS] = {{"full_p256", "full, P-256"},
                {"full_rsa", "full, RSA-2048"},
                {"memory", "memory"},
                {"sealed", "sealed"},
                {"held", "held, made ready"},
                {"held_contexts", "held, contexts saved"},
                {"delegated", "delegated credential"}};

/* struct cost: of something that was done with the TPM. */
struct cost {
    double ms;
    double commands, hmacs, context_loads, flushes;
};
/* struct row: a handshake; what comes once before; what each ticket costs beside it. */
struct row {
    struct cost handshake, once, each;
};

/* ---- the TPM, counted ---- */

static struct tt_tpm *tpm;
static struct cost running;

static void count_command(void *arg, const struct tt_tpm_event *event)
{
    (void)arg;
    running.commands++;
    running.hmacs += strcmp(event->name, "TPM2_HMAC") == 0;
    running.context_loads += strcmp(event->name, "TPM2_ContextLoad") == 0;
    running.flushes += strcmp(event->name, "TPM2_FlushContext") == 0;
}

static double wall_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double began;
static void begin(void)
{
    running = (struct cost){0};
    began = wall_ms();
}
static struct cost end(void)
{
    running.ms = wall_ms() - began;
    return running;
}

static void must(tt_rc rc, const struct tt_error *err)
{
    if (rc != TT_OK)
        die(err->text);
}

static int by_time(const void *a, const void *b)
{
    double x = ((const struct cost *)a)->ms, y = ((const struct cost *)b)->ms;
    return (x > y) - (x < y);
}

/* The median by time; commands are the same in each. */
static struct cost middle(struct cost *costs, size_t n)
{
    qsort(costs, n, sizeof *costs, by_time);
    return costs[n / 2];
}

/* ---- what is measured with ---- */

struct world {
    struct identities ids;
    char *pem[2]; /* P-256, RSA-2048 */
    struct tt_tickets *tickets;
    struct tt_config *server;
    char dir[64];
    unsigned round;
    int runs;
    struct row rows[WAYS];
};

/* A certificate for a key of the TPM that may delegate (RFC 9345 section 4.2). */
static struct tt_bytes certify(const struct identities *ids, const struct tt_key *key)
{
    static const uint8_t null[] = {0x05, 0x00};
    struct tt_bytes spki = tt_key_spki(key);
    const uint8_t *at = spki.data;
    EVP_PKEY *public = d2i_PUBKEY(NULL, &at, (long)spki.len);
    X509 *cert = public == NULL ? NULL : identity_certify(&ids->ca, public, "clientAuth", NULL);
    ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.4.1.44363.44", 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    uint8_t *der = NULL;
    bool ok = cert != NULL && ASN1_OCTET_STRING_set(value, null, sizeof null) == 1;
    X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, value);
    ok = ok && X509_add_ext(cert, extension, -1) == 1 && X509_sign(cert, ids->ca.pkey, EVP_sha256()) > 0;
    int len = ok ? i2d_X509(cert, &der) : 0;
    if (len <= 0)
        die("the certificate of the TPM's key");
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);
    X509_free(cert);
    EVP_PKEY_free(public);
    return (struct tt_bytes){der, (size_t)len};
}

/* struct us: the client with one of its keys. */
struct us {
    struct identity id;
    struct tt_config *config;
};

static void us_open(struct us *u, const struct world *w, int which)
{
    struct tt_error err = {0};
    *u = (struct us){.config = NULL};
    const char *pem = w->pem[which];
    must(tt_key_open_pem(&u->id.key, tpm, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)}, &err), &err);
    u->id.der = certify(&w->ids, u->id.key);
    u->config = resume_client(&w->ids, &u->id, NULL);
}

static void us_close(struct us *u)
{
    tt_config_free(u->config);
    identity_release_key(&u->id);
}

/* A ticket, by a full handshake that is not counted. */
static struct tt_session *ticket_new(const struct world *w, const struct us *u)
{
    struct tt_session *s = NULL;
    resume_handshake(&(struct resume_try){.client = u->config, .server = w->server}, &s);
    return s;
}

/* ---- each way ---- */

static void measure_full(struct world *w, int which, enum way way)
{
    struct us u;
    struct cost costs[RUNS_SWTPM];
    us_open(&u, w, which);
    for (int i = 0; i < w->runs; i++) {
        begin();
        resume_handshake(&(struct resume_try){.client = u.config, .server = w->server}, NULL);
        costs[i] = end();
    }
    w->rows[way].handshake = middle(costs, (size_t)w->runs);
    us_close(&u);
}

static void measure_memory(struct world *w, const struct us *u)
{
    struct cost costs[RUNS_SWTPM];
    struct tt_session *s = ticket_new(w, u), *next = NULL;
    for (int i = 0; i < w->runs; i++) {
        begin();
        resume_handshake(&(struct resume_try){.client = u->config, .server = w->server, .session = s}, &next);
        costs[i] = end();
        tt_session_free(s);
        s = next;
    }
    tt_session_free(s);
    w->rows[MEMORY].handshake = middle(costs, (size_t)w->runs);
}

static struct session_store *open_sealed(const char *dir)
{
    struct session_store *store = NULL;
    struct tt_error err = {0};
    const struct session_store_options opt = {.mode = SESSIONS_SEALED, .dir = dir, .tpm = tpm};
    must(session_store_open(&store, &opt, &err), &err);
    return store;
}

static void measure_sealed(struct world *w, const struct us *u)
{
    static const struct session_key key = {.peer = "localhost:443", .server_name = "localhost"};
    struct cost costs[RUNS_SWTPM], each[RUNS_SWTPM];
    struct tt_error err = {0};
    char dir[96];
    (void)snprintf(dir, sizeof dir, "%s/%u", w->dir, w->round);
    struct tt_session *s = ticket_new(w, u);
    struct session_store *store = open_sealed(dir);
    must(session_store_put(store, &key, s, resume_now_ms(), &err), &err);
    tt_session_free(s);
    session_store_free(store);
    begin(); /* a process starts */
    store = open_sealed(dir);
    w->rows[SEALED].once = end();
    for (int i = 0; i < w->runs; i++) {
        struct session_taken taken = {0};
        begin();
        must(session_store_take(store, &taken, &key, false, resume_now_ms(), &err), &err);
        if (taken.session == NULL)
            die("the session is not there");
        resume_handshake(
            &(struct resume_try){.client = u->config, .server = w->server, .session = taken.session}, &s);
        costs[i] = end();
        begin(); /* beside the handshake: a file, which is synced */
        must(session_store_put(store, &key, s, resume_now_ms(), &err), &err);
        each[i] = end();
        tt_session_free(s);
        session_taken_free(&taken);
    }
    w->rows[SEALED].handshake = middle(costs, (size_t)w->runs);
    w->rows[SEALED].each = middle(each, (size_t)w->runs);
    session_store_free(store);
}

/* ---- held ---- */

static void held_answer(const struct tt_psk_request *req, uint8_t ret[32])
{
    struct tt_error err = {0};
    struct tt_hmac *const *keys = req->key;
    must(tt_hmac_compute(keys[req->operation], ret, req->input, req->operation == TT_PSK_HANDSHAKE_SECRET,
                         &err),
         &err);
}

static struct tt_session *hold(const struct tt_session *s, struct tt_hmac *keys[2])
{
    uint8_t secrets[2][32];
    struct tt_session *held = NULL;
    struct tt_error err = {0};
    must(tt_session_hold(&held, s, keys, secrets[0], secrets[1], &err), &err);
    for (int i = 0; i < 2; i++) {
        char *pem = NULL;
        must(tt_hmac_create(&pem, tpm, (struct tt_bytes){secrets[i], 32}, &(struct tt_key_params){0}, &err),
             &err);
        must(
            tt_hmac_open_pem(&keys[i], tpm, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)}, NULL, &err),
            &err);
        tt_free(pem);
    }
    return held;
}

static void measure_held(struct world *w, const struct us *u, enum way way)
{
    struct cost costs[RUNS_SWTPM], each[RUNS_SWTPM];
    struct tt_error err = {0};
    uint8_t sig[128];
    size_t len = 0;
    for (int i = 0; i < w->runs; i++) {
        struct tt_hmac *keys[2];
        struct tt_session *s = ticket_new(w, u);
        begin(); /* beside the handshake: into the TPM, and ready for use */
        struct tt_session *held = hold(s, keys);
        must(tt_hmac_load(keys[1], TT_HMAC_SECRET, &err), &err);
        must(tt_hmac_load(keys[0], way == HELD ? TT_HMAC_ONCE : 0, &err), &err);
        each[i] = end();
        if (way == HELD_CONTEXTS)
            must(tt_key_sign(u->id.key, TT_SCHEME_ECDSA_SECP256R1_SHA256,
                             (struct tt_bytes){(const uint8_t *)"x", 1}, sig, sizeof sig, &len, &err),
                 &err);
        begin();
        resume_handshake(
            &(struct resume_try){
                .client = u->config, .server = w->server, .session = held, .answer = held_answer},
            NULL);
        costs[i] = end();
        tt_session_free(s);
        tt_session_free(held);
        tt_hmac_free(keys[0]);
        tt_hmac_free(keys[1]);
    }
    w->rows[way].handshake = middle(costs, (size_t)w->runs);
    w->rows[way].each = middle(each, (size_t)w->runs);
}

/* ---- delegated ---- */

static void credential_use(struct tt_delegation *d, const struct us *u, struct tt_key *software)
{
    struct tt_credential *c = NULL;
    struct tt_error err = {0};
    uint8_t sig[128];
    size_t len = 0;
    const struct tt_credential_params params = {.now = resume_now_ms() / 1000,
                                                .valid_until = resume_now_ms() / 1000 + 3600,
                                                .spki = tt_key_spki(software),
                                                .key_scheme = TT_SCHEME_ECDSA_SECP256R1_SHA256,
                                                .scheme = TT_SCHEME_ECDSA_SECP256R1_SHA256,
                                                .key = software};
    must(tt_credential_new(&c, d, &params, &err), &err);
    must(tt_key_sign(u->id.key, params.scheme, tt_credential_to_sign(c), sig, sizeof sig, &len, &err), &err);
    must(tt_delegation_use(d, c, (struct tt_bytes){sig, len}, &err), &err);
}

static void measure_delegated(struct world *w, const struct us *u)
{
    struct cost costs[RUNS_SWTPM];
    struct tt_delegation *d = NULL;
    struct tt_key *software = NULL;
    struct tt_error err = {0};
    must(tt_delegation_new(&d, TT_CLIENT, u->id.der, &err), &err);
    struct tt_config *config = resume_client(&w->ids, &u->id, d);
    begin();
    must(tt_key_create_software(&software, TT_KEY_P256, &err), &err);
    credential_use(d, u, software);
    w->rows[DELEGATED].once = end();
    for (int i = 0; i < w->runs; i++) {
        begin();
        resume_handshake(&(struct resume_try){.client = config, .server = w->server}, NULL);
        costs[i] = end();
    }
    w->rows[DELEGATED].handshake = middle(costs, (size_t)w->runs);
    tt_config_free(config);
    tt_delegation_free(d);
    tt_key_free(software);
}

/* ---- the table ---- */

/* After how many connections all that was spent is less than with full ones; 0: never. */
static double break_even(const struct row *row, const struct row *full)
{
    double saved = full->handshake.ms - row->handshake.ms - row->each.ms;
    return saved <= 0 ? 0 : row->once.ms / saved < 1 ? 1 : (double)(long)(row->once.ms / saved) + 1;
}

static void add_figure(struct report *r, const char *profile, const char *what, const char *column,
                       const char *unit, double value)
{
    char key[96];
    (void)snprintf(key, sizeof key, "%s.%s.%s", profile, what, column);
    report_datum(r, &(struct figure){key, column, unit, value, 0, 0});
}

static void report_row(struct report *r, const char *profile, enum way way, const struct row *rows)
{
    const struct row *row = &rows[way];
    double even = way <= FULL_RSA ? 0 : break_even(row, &rows[FULL_P256]);
    char line[300], commands[96], breaks[24] = "";
    if (row->handshake.hmacs > 0)
        (void)snprintf(commands, sizeof commands, "%g: %g HMAC, %g ContextLoad, %g Flush",
                       row->handshake.commands, row->handshake.hmacs, row->handshake.context_loads,
                       row->handshake.flushes);
    else
        (void)snprintf(commands, sizeof commands, "%g", row->handshake.commands);
    if (way > FULL_RSA)
        (void)snprintf(breaks, sizeof breaks, even > 0 ? "%.0f" : "never", even);
    (void)snprintf(line, sizeof line, "%-22s %-38s %9.2f %9.1f %9.2f %9.2f %8s", ways[way].text, commands,
                   row->handshake.ms, 1e3 / row->handshake.ms, row->once.ms, row->each.ms, breaks);
    report_note(r, line);
    add_figure(r, profile, ways[way].key, "ms", "ms", row->handshake.ms);
    add_figure(r, profile, ways[way].key, "commands", "commands", row->handshake.commands);
    add_figure(r, profile, ways[way].key, "per_second", "1/s", 1e3 / row->handshake.ms);
    add_figure(r, profile, ways[way].key, "once_ms", "ms", row->once.ms);
    add_figure(r, profile, ways[way].key, "once_commands", "commands", row->once.commands);
    add_figure(r, profile, ways[way].key, "each_ms", "ms", row->each.ms);
    add_figure(r, profile, ways[way].key, "each_commands", "commands", row->each.commands);
    add_figure(r, profile, ways[way].key, "break_even", "handshakes", even);
}

static void report_profile(struct report *r, const char *profile, const struct row *rows)
{
    report_section(r, profile);
    report_note(r, "                       TPM commands                                  ms   hand-    once, "
                   "  a ticket,  break-");
    report_note(r, "                       in the handshake                              each  shakes/s     "
                   "ms        ms      even");
    for (enum way way = FULL_P256; way < WAYS; way++)
        report_row(r, profile, way, rows);
}

/* What the issue demands, whatever the chip. */
static void report_targets(struct report *r, const struct row *rows)
{
    report_section(r, "TPM commands in a handshake, on swtpm");
    report_figure(r, &(struct figure){"commands_memory", "memory (a tenth stands for none)", "commands",
                                      rows[MEMORY].handshake.commands, 0.1, 0});
    report_figure(r, &(struct figure){"commands_sealed", "sealed, after the start", "commands",
                                      rows[SEALED].handshake.commands, 0.1, 0});
    report_figure(r, &(struct figure){"commands_delegated", "delegated", "commands",
                                      rows[DELEGATED].handshake.commands, 0.1, 0});
    report_figure(r, &(struct figure){"hmacs_held", "held: TPM2_HMAC", "commands",
                                      rows[HELD_CONTEXTS].handshake.hmacs, 2, 2});
    report_figure(r, &(struct figure){"context_loads_held", "held: TPM2_ContextLoad, at most", "commands",
                                      rows[HELD_CONTEXTS].handshake.context_loads, 2, 0});
}

/* ---- the whole ---- */

static void measure(struct world *w)
{
    struct us u;
    w->round++;
    memset(w->rows, 0, sizeof w->rows);
    measure_full(w, 0, FULL_P256);
    measure_full(w, 1, FULL_RSA);
    us_open(&u, w, 0);
    measure_memory(w, &u);
    measure_sealed(w, &u);
    measure_held(w, &u, HELD);
    measure_held(w, &u, HELD_CONTEXTS);
    measure_delegated(w, &u);
    us_close(&u);
}

static void tpm_open(const char *spec)
{
    struct tt_error err = {0};
    must(tt_tpm_open(&tpm, spec, &err), &err);
    tt_tpm_set_trace(tpm, count_command, NULL);
}

static void on_each_tpm(struct report *r, struct world *w, const char *tcti)
{
    static const char *const chips[] = {"ns350",   "slb9670", "slb9672", "st33ktpm", "npct650",
                                        "npct750", "qvault",  "jetson",  "pc"};
    struct tt_error err = {0};
    char spec[256];
    tpm_open(tcti);
    must(tt_key_create(&w->pem[0], tpm, TT_KEY_P256, &err), &err);
    must(tt_key_create(&w->pem[1], tpm, TT_KEY_RSA2048, &err), &err);
    w->runs = RUNS_SWTPM;
    measure(w);
    tt_tpm_close(tpm);
    report_targets(r, w->rows);
    report_profile(r, "swtpm", w->rows);
    w->runs = RUNS_LAB;
    for (size_t i = 0; i < sizeof chips / sizeof *chips; i++) {
        (void)snprintf(spec, sizeof spec, "lab:profile=%s,jitter=off:%s", chips[i], tcti);
        tpm_open(spec);
        measure(w);
        tt_tpm_close(tpm);
        report_profile(r, chips[i], w->rows);
    }
}

int main(int argc, char **argv)
{
    struct report *r = report_open(argc, argv, "tpmtls: what a connection costs, full and resumed");
    static struct world w;
    struct bench_swtpm t;
    bench_find_lab();
    identities_make(&w.ids);
    const char *why = bench_swtpm_start(&t, "0x81000010");
    if (why != NULL) {
        report_note(r, why);
        return report_close(r);
    }
    bench_dir_make(w.dir, sizeof w.dir);
    w.tickets = resume_tickets();
    w.server = resume_server(&w.ids, w.tickets);
    on_each_tpm(r, &w, t.tcti);
    tt_free(w.pem[0]);
    tt_free(w.pem[1]);
    tt_config_free(w.server);
    tt_tickets_free(w.tickets);
    identities_free(&w.ids);
    bench_dir_remove(w.dir);
    bench_swtpm_stop(&t);
    return report_close(r);
}
