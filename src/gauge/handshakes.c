/* gauge/handshakes.c: full and resumed handshakes with a key in the TPM and with one in software, in turns,
 * so that both see the same machine; and cold ones: the TPM is opened, the key loaded from its file, one
 * handshake made, everything closed. Layer: gauge. */
#include "gauge/handshakes.h"

#include <stdio.h>
#include <string.h>

#include "gauge/ends.h"
#include "gauge/series.h"

/* struct taken: of one handshake. */
struct taken {
    struct series wall, cpu, tpm, rest;
    uint64_t commands;
};

/* struct bout: handshakes of one type of key. */
struct bout {
    struct gauge_run *run;
    const struct world *world;
    struct tt_tpm *tpm;
    const char *spec;
    struct tt_bytes pem, cert; /* of the key in the TPM */
    const char *key;
    struct tt_key *in_tpm;
    struct tt_config *tpm_cfg, *soft_cfg;
    double tpm_us; /* of the handshake that is running */
};

static void count_time(void *arg, const struct tt_tpm_event *event)
{
    ((struct bout *)arg)->tpm_us += (double)event->nanoseconds / 1e3;
}

/* struct instant: where a measurement began. */
struct instant {
    double wall, cpu;
    uint64_t commands;
};

static struct instant begin(struct bout *b, const struct tt_tpm *tpm)
{
    b->tpm_us = 0;
    return (struct instant){now_us(), cpu_us(), tpm != NULL ? tt_tpm_command_count(tpm) : 0};
}

static void end(struct taken *t, struct bout *b, const struct instant *i)
{
    double wall = now_us() - i->wall;
    series_add(&t->wall, wall);
    series_add(&t->cpu, cpu_us() - i->cpu);
    series_add(&t->tpm, b->tpm_us);
    series_add(&t->rest, wall - b->tpm_us);
}

static void taken_reset(struct taken *t)
{
    t->wall.n = t->cpu.n = t->tpm.n = t->rest.n = 0;
    t->commands = 0;
}

static struct gauge_handshake *new_row(struct bout *b, const char *name, enum gauge_key in)
{
    struct gauge_page *page = b->run->page;
    struct gauge_handshake *h = &page->handshakes[page->handshakes_len];
    if (page->handshakes_len < GAUGE_HANDSHAKES - 1)
        page->handshakes_len++;
    *h = (struct gauge_handshake){.in = in};
    (void)snprintf(h->name, sizeof h->name, "%s", name);
    (void)snprintf(h->key, sizeof h->key, "%s", b->key);
    return h;
}

static void sum_up(struct gauge_handshake *h, struct taken *t, const struct tt_error *why)
{
    (void)snprintf(h->why, sizeof h->why, "%.230s", why->text);
    if (t->wall.n == 0)
        return;
    h->commands = (double)t->commands / (double)t->wall.n;
    h->wall = series_stats(&t->wall);
    h->cpu_us = series_median(&t->cpu);
    h->tpm_us = series_median(&t->tpm);
    h->rest_us = series_median(&t->rest);
    h->per_second = 1e6 / h->wall.mean;
    h->share = h->tpm_us / h->wall.p50;
}

/* ---- full, in the TPM and in software ---- */

static tt_rc one(struct taken *t, struct bout *b, struct handshake h, struct tt_error *err)
{
    struct instant i = begin(b, b->tpm);
    TT_TRY(handshake_run(&h, b->world, err));
    b->tpm_us += h.paused_us;
    end(t, b, &i);
    t->commands += tt_tpm_command_count(b->tpm) - i.commands;
    return TT_OK;
}

/* struct trio: with the TPM, with a key in software, and with one in software that waits as long as the TPM
 * took: after the wait caches are cold, whoever was waited for. */
enum {
    IN_TPM,
    IN_SOFTWARE,
    WAITING,
    TRIO
};

/* What comes in turns: the three, and TRIO for the bare signature. Who comes after whom finds other caches,
 * in this process and in an emulated TPM: within these four rounds each comes once after each other one. */
static const unsigned turns[TRIO + 1][TRIO + 1] = {{IN_TPM, IN_SOFTWARE, TRIO, WAITING},
                                                   {IN_SOFTWARE, WAITING, IN_TPM, TRIO},
                                                   {WAITING, TRIO, IN_SOFTWARE, IN_TPM},
                                                   {TRIO, IN_TPM, WAITING, IN_SOFTWARE}};

static tt_rc one_of(struct taken trio[TRIO], struct bout *b, unsigned which, struct tt_error *err)
{
    struct handshake h = {.client = which == IN_TPM ? b->tpm_cfg : b->soft_cfg,
                          .alone = which == IN_SOFTWARE};
    const struct series *tpm = &trio[IN_TPM].tpm;
    if (which == WAITING && tpm->n > 0)
        h.pause_us = tpm->v[tpm->n - 1];
    return one(&trio[which], b, h, err);
}

/* What a full handshake asks of the TPM, and nothing around it. */
static tt_rc bare_signature(struct series *ret, struct bout *b, struct tt_error *err)
{
    uint8_t sig[1024];
    size_t len = 0;
    uint16_t scheme = 0;
    if (tt_key_schemes(b->in_tpm, &scheme, 1) == 0)
        return error_set(err, TT_ERR_UNSUPPORTED, "the key has no scheme of TLS 1.3");
    b->tpm_us = 0;
    const struct tt_bytes message = {(const uint8_t *)"bench", 5};
    TT_TRY(tt_key_sign(b->in_tpm, scheme, message, sig, sizeof sig, &len, err));
    series_add(ret, b->tpm_us);
    return TT_OK;
}

static void full(struct bout *b)
{
    static struct taken trio[TRIO];
    static struct series bare;
    struct tt_error why = {0};
    bare.n = 0;
    for (unsigned i = 0; i < TRIO; i++)
        taken_reset(&trio[i]);
    run_row(b->run, "full handshakes", b->key);
    struct stopwatch watch = stopwatch_start(b->run->opt->seconds * 2);
    tt_rc rc = TT_OK;
    for (unsigned n = 0; rc == TT_OK && stopwatch_more(&watch, &trio[IN_TPM].wall); n++)
        for (unsigned k = 0; rc == TT_OK && k <= TRIO; k++) {
            unsigned which = turns[n % (TRIO + 1)][k];
            rc = which == TRIO ? bare_signature(&bare, b, &why) : one_of(trio, b, which, &why);
        }
    struct gauge_handshake *h = new_row(b, "full", GAUGE_TPM_KEY);
    sum_up(h, &trio[IN_TPM], &why);
    h->sign_us = series_median(&bare);
    sum_up(new_row(b, "full", GAUGE_SOFTWARE_KEY), &trio[IN_SOFTWARE], &why);
    sum_up(new_row(b, "full", GAUGE_WAITING_KEY), &trio[WAITING], &why);
}

/* ---- resumed ---- */

static void resumed(struct bout *b)
{
    static struct taken t;
    struct tt_error why = {0};
    struct handshake first = {.client = b->tpm_cfg, .take_session = true};
    taken_reset(&t);
    run_row(b->run, "resumed handshakes", b->key);
    tt_rc rc = handshake_run(&first, b->world, &why);
    struct handshake again = {.client = b->tpm_cfg, .session = first.taken};
    struct stopwatch watch = stopwatch_start(b->run->opt->seconds);
    while (rc == TT_OK && first.taken != NULL && stopwatch_more(&watch, &t.wall))
        rc = one(&t, b, again, &why);
    tt_session_free(first.taken);
    sum_up(new_row(b, "resumed", GAUGE_TPM_KEY), &t, &why);
}

/* ---- cold ---- */

static tt_rc cold_with_key(struct bout *b, struct tt_tpm *tpm, struct tt_error *err)
{
    struct tt_key *key = NULL;
    struct tt_config *cfg = NULL;
    TT_TRY(tt_key_open_pem(&key, tpm, b->pem, err));
    tt_rc rc = client_make(&cfg, b->world, key, b->cert, err);
    struct handshake h = {.client = cfg};
    if (rc == TT_OK)
        rc = handshake_run(&h, b->world, err);
    tt_config_free(cfg);
    tt_key_free(key);
    return rc;
}

static tt_rc cold_one(struct taken *t, struct bout *b, struct tt_error *err)
{
    struct tt_tpm *tpm = NULL;
    struct instant i = begin(b, NULL);
    TT_TRY(tt_tpm_open(&tpm, b->spec, err));
    tt_tpm_set_trace(tpm, count_time, b);
    tt_rc rc = cold_with_key(b, tpm, err);
    uint64_t commands = tt_tpm_command_count(tpm);
    tt_tpm_close(tpm);
    TT_TRY(rc);
    end(t, b, &i);
    t->commands += commands;
    return TT_OK;
}

static void cold(struct bout *b)
{
    static struct taken t;
    static const char *const needed[] = {"Load", "FlushContext", "Sign"};
    struct tt_error why = {0};
    taken_reset(&t);
    run_row(b->run, "cold starts", b->key);
    struct stopwatch watch = stopwatch_start(b->run->opt->seconds);
    while (why.rc == TT_OK && stopwatch_more(&watch, &t.wall))
        (void)cold_one(&t, b, &why);
    struct gauge_handshake *h = new_row(b, "cold", GAUGE_TPM_KEY);
    sum_up(h, &t, &why);
    const struct gauge_page *page = b->run->page;
    const struct gauge_command *c = command_find(page, "CreatePrimary", "p256", false);
    h->sum_us = c != NULL ? c->tpm.p50 : 0;
    for (size_t i = 0; i < TT_COUNT(needed) && h->sum_us > 0; i++) {
        bool sign = strcmp(needed[i], "Sign") == 0, rsa = strcmp(b->key, "rsa2048") == 0;
        c = command_find(page, sign && rsa ? "RSA_Decrypt" : needed[i],
                         strcmp(needed[i], "FlushContext") == 0 ? "p256" : b->key, false);
        h->sum_us = c != NULL ? h->sum_us + c->tpm.p50 : 0;
    }
}

/* ---- the whole ---- */

static tt_rc warm_with_keys(struct bout *b, struct tt_key *in_software, struct tt_error *err)
{
    struct tt_bytes cert = {NULL, 0};
    TT_TRY(client_certify(&b->cert, b->world, b->in_tpm, err));
    TT_TRY(client_certify(&cert, b->world, in_software, err));
    tt_rc rc = client_make(&b->tpm_cfg, b->world, b->in_tpm, b->cert, err);
    if (rc == TT_OK)
        rc = client_make(&b->soft_cfg, b->world, in_software, cert, err);
    certificate_free(&cert);
    TT_TRY(rc);
    tt_tpm_set_trace(b->tpm, count_time, b);
    full(b);
    resumed(b);
    tt_tpm_set_trace(b->tpm, NULL, NULL);
    return TT_OK;
}

static tt_rc warm(struct bout *b, enum tt_key_type type, struct tt_error *err)
{
    struct tt_key *in_tpm = NULL, *in_software = NULL;
    TT_TRY(tt_key_open_pem(&in_tpm, b->tpm, b->pem, err));
    tt_rc rc = software_key(&in_software, type, err);
    b->in_tpm = in_tpm;
    if (rc == TT_OK)
        rc = warm_with_keys(b, in_software, err);
    tt_config_free(b->tpm_cfg);
    tt_config_free(b->soft_cfg);
    tt_key_free(in_software);
    tt_key_free(in_tpm);
    return rc;
}

/* The key of the warm handshakes is out of the TPM when the cold ones begin: without a resource manager both
 * would be in it. */
static tt_rc bout_run(struct bout *b, enum tt_key_type type, struct tt_error *err)
{
    char *pem = NULL;
    run_row(b->run, "making a key", b->key);
    TT_TRY(tt_key_create(&pem, b->tpm, type, err));
    b->pem = (struct tt_bytes){(const uint8_t *)pem, strlen(pem)};
    tt_rc rc = warm(b, type, err);
    if (rc == TT_OK)
        cold(b);
    certificate_free(&b->cert);
    tt_free(pem);
    return rc;
}

tt_rc gauge_handshakes(struct gauge_run *run, struct tt_tpm *tpm, const char *spec, struct tt_error *err)
{
    static const enum tt_key_type types[] = {TT_KEY_P256, TT_KEY_RSA2048};
    struct world world;
    TT_TRY(world_make(&world, err));
    for (size_t i = 0; i < TT_COUNT(types); i++) {
        struct bout b = {
            .run = run, .world = &world, .tpm = tpm, .spec = spec, .key = tt_key_type_name(types[i])};
        struct tt_error why = {0};
        if (bout_run(&b, types[i], &why) != TT_OK)
            (void)snprintf(new_row(&b, "full", GAUGE_TPM_KEY)->why, sizeof run->page->handshakes[0].why,
                           "%.230s", why.text);
    }
    world_free(&world);
    return TT_OK;
}
