/* gauge/commands.c: the commands, in the order in which one needs what another made: a storage key, under it
 * keys of each type, what they do, what a session costs them. Layer: gauge. TPM 2.0 part 3.
 *
 * Two figures each: the TPM's own time, which the meter sees between sending and the answer, and that of the
 * whole ESAPI call, since with a session most of the cost is not the TPM's. */
#include "gauge/commands.h"

#include <stdio.h>
#include <string.h>

#include "gauge/series.h"
#include "tpm/context.h"
#include "tpm/key.h"
#include "tpm/public.h"

#define DIGEST_MAX 64

/* struct stage: what is in the TPM now. At most three objects at a time: there is room for no more. */
struct stage {
    struct gauge_run *run;
    struct tt_tpm *tpm;
    ESYS_TR parent, session, object, other;
    bool encrypted; /* commands are run in the session */
    TPMA_SESSION attributes;
    TPM2B_PUBLIC template;
    TPM2B_SENSITIVE_CREATE sensitive;
    TPM2B_PUBLIC *pub;
    TPM2B_PRIVATE *priv;
    TPMS_CONTEXT *context;
    TPMT_SIG_SCHEME scheme;
    uint16_t digest_size;
    ESYS_TR salt; /* for the next session */
    struct tpm_key *key;
    /* of the meter */
    uint32_t watched;
    double took_us;
};

typedef TSS2_RC step_fn(struct stage *s);

/* ---- measuring ---- */

void run_row(struct gauge_run *run, const char *name, const char *key)
{
    char what[64];
    (void)snprintf(what, sizeof what, "%s%s%s", name, key[0] != '\0' ? " " : "", key);
    run->rows++;
    if (run->opt->progress != NULL)
        run->opt->progress(run->opt->arg, what, run->rows);
}

const struct gauge_command *command_find(const struct gauge_page *page, const char *name, const char *key,
                                         bool encrypted)
{
    for (size_t i = 0; i < page->commands_len; i++) {
        const struct gauge_command *c = &page->commands[i];
        if (c->tpm.n > 0 && c->encrypted == encrypted && strcmp(c->name, name) == 0 &&
            strcmp(c->key, key) == 0)
            return c;
    }
    return NULL;
}

static void watch(void *arg, const struct tt_tpm_event *event)
{
    struct stage *s = arg;
    if (event->command == s->watched)
        s->took_us += (double)event->nanoseconds / 1e3;
}

static tt_rc step(struct stage *s, step_fn *fn, struct tt_error *err)
{
    struct tpm_op op = tpm_op_start(s->tpm, "measure the TPM");
    do
        op.rc = fn(s);
    while (tpm_op_again(&op));
    return tpm_op_end(&op, err);
}

/* struct row: a command to be measured; undo makes room for the next one, and is not measured. */
struct row {
    const char *name, *key;
    uint32_t command;
    step_fn *fn;
    void (*undo)(struct stage *s);
};

/* What this TPM does not do, or what we may not do, is a row without figures. */
static bool measure(struct stage *s, const struct row *row)
{
    static struct series tpm, call;
    struct gauge_page *page = s->run->page;
    struct tt_error why = {0};
    if (page->commands_len == GAUGE_COMMANDS)
        return false;
    struct gauge_command *c = &page->commands[page->commands_len++];
    *c = (struct gauge_command){.encrypted = s->encrypted};
    (void)snprintf(c->name, sizeof c->name, "%s", row->name);
    (void)snprintf(c->key, sizeof c->key, "%s", row->key);
    run_row(s->run, row->name, row->key);
    tpm.n = call.n = 0;
    s->watched = row->command;
    struct stopwatch watch = stopwatch_start(s->run->opt->seconds);
    while (stopwatch_more(&watch, &call)) {
        s->took_us = 0;
        double start = now_us();
        if (step(s, row->fn, &why) != TT_OK)
            break;
        series_add(&call, now_us() - start);
        series_add(&tpm, s->took_us);
        if (row->undo != NULL)
            row->undo(s);
    }
    c->tpm = series_stats(&tpm);
    c->call_us = series_median(&call);
    (void)snprintf(c->why, sizeof c->why, "%.150s", why.text);
    return why.rc == TT_OK;
}

/* The session with these attributes, or the empty password. */
static ESYS_TR auth(struct stage *s, TPMA_SESSION attributes)
{
    if (!s->encrypted)
        return ESYS_TR_PASSWORD;
    (void)Esys_TRSess_SetAttributes(s->tpm->esys, s->session, attributes | TPMA_SESSION_CONTINUESESSION,
                                    0xff);
    return s->session;
}

static void flush_object(struct stage *s)
{
    tpm_flush(s->tpm, &s->object);
}

static void flush_other(struct stage *s)
{
    tpm_flush(s->tpm, &s->other);
}

static void free_key(struct stage *s)
{
    Esys_Free(s->pub);
    Esys_Free(s->priv);
    s->pub = NULL;
    s->priv = NULL;
}

/* ---- the commands ---- */

static TSS2_RC get_random(struct stage *s)
{
    TPM2B_DIGEST *bytes = NULL;
    TSS2_RC rc = Esys_GetRandom(s->tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, 32, &bytes);
    Esys_Free(bytes);
    return rc;
}

static TSS2_RC primary(struct stage *s, ESYS_TR *ret)
{
    static const TPM2B_SENSITIVE_CREATE sensitive = {0};
    static const TPM2B_DATA outside = {0};
    static const TPML_PCR_SELECTION pcrs = {0};
    return Esys_CreatePrimary(s->tpm->esys, ESYS_TR_RH_NULL, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                              &sensitive, &s->template, &outside, &pcrs, ret, NULL, NULL, NULL, NULL);
}

static TSS2_RC create_primary(struct stage *s)
{
    return primary(s, &s->object);
}

static TSS2_RC create(struct stage *s)
{
    static const TPM2B_DATA outside = {0};
    static const TPML_PCR_SELECTION pcrs = {0};
    free_key(s);
    return Esys_Create(s->tpm->esys, s->parent, auth(s, TPMA_SESSION_DECRYPT), ESYS_TR_NONE, ESYS_TR_NONE,
                       &s->sensitive, &s->template, &outside, &pcrs, &s->priv, &s->pub, NULL, NULL, NULL);
}

static TSS2_RC load(struct stage *s)
{
    return Esys_Load(s->tpm->esys, s->parent, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, s->priv, s->pub,
                     &s->object);
}

static TSS2_RC flush_context(struct stage *s)
{
    return Esys_FlushContext(s->tpm->esys, s->other);
}

static TSS2_RC context_save(struct stage *s)
{
    Esys_Free(s->context);
    s->context = NULL;
    return Esys_ContextSave(s->tpm->esys, s->object, &s->context);
}

static TSS2_RC context_load(struct stage *s)
{
    return Esys_ContextLoad(s->tpm->esys, s->context, &s->other);
}

static TPM2B_DIGEST digest_of(const struct stage *s)
{
    TPM2B_DIGEST d = {.size = s->digest_size};
    memset(d.buffer, 0x5a, d.size);
    return d;
}

static TSS2_RC sign(struct stage *s)
{
    static const TPMT_TK_HASHCHECK no_ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
    TPM2B_DIGEST digest = digest_of(s);
    TPMT_SIGNATURE *sig = NULL;
    TSS2_RC rc = Esys_Sign(s->tpm->esys, s->object, auth(s, TPMA_SESSION_DECRYPT), ESYS_TR_NONE, ESYS_TR_NONE,
                           &digest, &s->scheme, &no_ticket, &sig);
    Esys_Free(sig);
    return rc;
}

static TSS2_RC rsa_decrypt(struct stage *s)
{
    static const TPMT_RSA_DECRYPT no_padding = {.scheme = TPM2_ALG_NULL};
    static const TPM2B_DATA no_label = {0};
    TPM2B_PUBLIC_KEY_RSA in = {.size = s->pub->publicArea.unique.rsa.size}, *out = NULL;
    memset(in.buffer + 1, 0x5a, sizeof in.buffer - 1); /* below any modulus of this size */
    TSS2_RC rc =
        Esys_RSA_Decrypt(s->tpm->esys, s->object, auth(s, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT),
                         ESYS_TR_NONE, ESYS_TR_NONE, &in, &no_padding, &no_label, &out);
    Esys_Free(out);
    return rc;
}

static TSS2_RC hmac(struct stage *s)
{
    TPM2B_MAX_BUFFER data = {.size = 32}; /* a transcript's hash, or a shared secret */
    TPM2B_DIGEST *out = NULL;
    TSS2_RC rc = Esys_HMAC(s->tpm->esys, s->object, auth(s, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT),
                           ESYS_TR_NONE, ESYS_TR_NONE, &data, TPM2_ALG_SHA256, &out);
    Esys_Free(out);
    return rc;
}

static TSS2_RC unseal(struct stage *s)
{
    TPM2B_SENSITIVE_DATA *data = NULL;
    TSS2_RC rc = Esys_Unseal(s->tpm->esys, s->object, auth(s, TPMA_SESSION_ENCRYPT), ESYS_TR_NONE,
                             ESYS_TR_NONE, &data);
    Esys_Free(data);
    return rc;
}

static TSS2_RC start_session(struct stage *s)
{
    static const TPMT_SYM_DEF cipher = {
        .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
    return Esys_StartAuthSession(s->tpm->esys, s->salt, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                 ESYS_TR_NONE, NULL, TPM2_SE_HMAC, &cipher, TPM2_ALG_SHA256, &s->other);
}

/* ---- in order ---- */

static void both_ways(struct stage *s, const struct row *row)
{
    for (int i = 0; i < 2; i++) {
        s->encrypted = i == 1 && s->session != ESYS_TR_NONE;
        if (i == 0 || s->encrypted)
            (void)measure(s, row);
    }
    s->encrypted = false;
}

/* struct kind: an object that TLS uses. */
struct kind {
    const char *key;
    bool is_key; /* of this type, else see prepare_kind */
    enum tt_key_type type;
    uint16_t digest_size, scheme, hash;
    struct row use[2];
};

static void prepare_kind(struct stage *s, const struct kind *k)
{
    s->sensitive = (TPM2B_SENSITIVE_CREATE){0};
    s->template = k->is_key ? public_signing_key(k->type) : public_sealed();
    s->digest_size = k->digest_size;
    s->scheme = (TPMT_SIG_SCHEME){.scheme = k->scheme, .details = {.any = {.hashAlg = k->hash}}};
    if (k->is_key)
        return;
    s->sensitive.sensitive.data.size = 32;
    memset(s->sensitive.sensitive.data.buffer, 0x5a, 32);
    if (strcmp(k->key, "hmac") != 0)
        return;
    TPMT_PUBLIC *a = &s->template.publicArea;
    a->objectAttributes |= TPMA_OBJECT_SIGN_ENCRYPT;
    a->parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_HMAC;
    a->parameters.keyedHashDetail.scheme.details.hmac.hashAlg = TPM2_ALG_SHA256;
}

static void load_other(struct stage *s)
{
    if (step(s, context_load, NULL) != TT_OK)
        s->other = ESYS_TR_NONE;
}

/* A key that takes turns with others is saved and loaded again. */
static void measure_contexts(struct stage *s, const struct kind *k)
{
    const struct row save = {"ContextSave", k->key, TPM2_CC_ContextSave, context_save, NULL},
                     again = {"ContextLoad", k->key, TPM2_CC_ContextLoad, context_load, flush_other},
                     flush = {"FlushContext", k->key, TPM2_CC_FlushContext, flush_context, load_other};
    if (!measure(s, &save) || !measure(s, &again))
        return;
    load_other(s);
    (void)measure(s, &flush);
    flush_other(s);
}

static void measure_kind(struct stage *s, const struct kind *k)
{
    const struct row make = {"Create", k->key, TPM2_CC_Create, create, NULL},
                     bring = {"Load", k->key, TPM2_CC_Load, load, flush_object};
    prepare_kind(s, k);
    both_ways(s, &make);
    if (s->priv == NULL || !measure(s, &bring) || step(s, load, NULL) != TT_OK) {
        s->object = ESYS_TR_NONE;
        return;
    }
    measure_contexts(s, k);
    for (size_t i = 0; i < TT_COUNT(k->use) && k->use[i].name != NULL; i++)
        both_ways(s, &k->use[i]);
    flush_object(s);
    free_key(s);
}

static const struct kind kinds[] = {
    {"p256",
     true,
     TT_KEY_P256,
     32,
     TPM2_ALG_ECDSA,
     TPM2_ALG_SHA256,
     {{"Sign", "p256", TPM2_CC_Sign, sign, NULL}}},
    {"p384",
     true,
     TT_KEY_P384,
     48,
     TPM2_ALG_ECDSA,
     TPM2_ALG_SHA384,
     {{"Sign", "p384", TPM2_CC_Sign, sign, NULL}}},
    {"rsa2048",
     true,
     TT_KEY_RSA2048,
     32,
     TPM2_ALG_RSASSA,
     TPM2_ALG_SHA256,
     {{"Sign", "rsa2048", TPM2_CC_Sign, sign, NULL},
      {"RSA_Decrypt", "rsa2048", TPM2_CC_RSA_Decrypt, rsa_decrypt, NULL}}},
    {"hmac",
     false,
     TT_KEY_OTHER,
     0,
     TPM2_ALG_NULL,
     TPM2_ALG_NULL,
     {{"HMAC", "hmac", TPM2_CC_HMAC, hmac, NULL}}},
    {"sealed",
     false,
     TT_KEY_OTHER,
     0,
     TPM2_ALG_NULL,
     TPM2_ALG_NULL,
     {{"Unseal", "sealed", TPM2_CC_Unseal, unseal, NULL}}},
};

static void measure_sessions(struct stage *s)
{
    const struct row plain = {"StartAuthSession", "", TPM2_CC_StartAuthSession, start_session, flush_other},
                     salted = {"StartAuthSession salted", "p256", TPM2_CC_StartAuthSession, start_session,
                               flush_other};
    s->salt = ESYS_TR_NONE;
    (void)measure(s, &plain);
    s->salt = s->parent;
    if (measure(s, &salted) && step(s, start_session, NULL) == TT_OK) {
        s->session = s->other;
        s->other = ESYS_TR_NONE;
    }
}

/* As the library signs with a key that has a password: in its kept session, wall time to be compared with
 * Sign p256 above (tpm/session_own.h). */
static TSS2_RC sign_with_password(struct stage *s)
{
    TT_AUTO(buf_free) struct buf signature = {0};
    TPM2B_DIGEST digest = digest_of(s);
    tt_rc rc = tpm_key_sign_ecdsa(&signature, s->key, TPM2_ALG_SHA256,
                                  (struct tt_bytes){digest.buffer, digest.size}, NULL);
    return rc == TT_OK ? TSS2_RC_SUCCESS : TSS2_ESYS_RC_GENERAL_FAILURE;
}

static void measure_password(struct stage *s)
{
    static const uint8_t word[] = "a password of 24 bytes..";
    const struct tt_bytes password = {word, sizeof word - 1};
    const struct row row = {"Sign", "p256 pw", TPM2_CC_Sign, sign_with_password, NULL};
    TT_AUTO(mem_free_auto) char *pem = NULL;
    s->digest_size = 32;
    if (tpm_create(&pem, s->tpm,
                   &(struct tpm_new){.kind = TPM_NEW_SIGNING, .type = TT_KEY_P256, .password = password},
                   NULL) == TT_OK &&
        tpm_key_load(&s->key, s->tpm, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)}, &password,
                     NULL) == TT_OK)
        (void)measure(s, &row);
    tpm_key_free(s->key);
    s->key = NULL;
}

static tt_rc measure_all(struct stage *s, struct tt_error *err)
{
    const struct row shortest = {"GetRandom", "", TPM2_CC_GetRandom, get_random, NULL},
                     derive = {"CreatePrimary", "p256", TPM2_CC_CreatePrimary, create_primary, flush_object};
    (void)measure(s, &shortest);
    s->template = public_srk(false);
    if (!measure(s, &derive)) {
        const struct gauge_command *c = &s->run->page->commands[s->run->page->commands_len - 1];
        return error_set(err, TT_ERR_TPM, "%s", c->why);
    }
    TT_TRY(step(s, create_primary, err));
    s->parent = s->object;
    s->object = ESYS_TR_NONE;
    measure_sessions(s);
    for (size_t i = 0; i < TT_COUNT(kinds); i++)
        measure_kind(s, &kinds[i]);
    measure_password(s);
    return TT_OK;
}

tt_rc gauge_commands(struct gauge_run *run, struct tt_tpm *tpm, struct tt_error *err)
{
    struct stage s = {.run = run,
                      .tpm = tpm,
                      .parent = ESYS_TR_NONE,
                      .session = ESYS_TR_NONE,
                      .object = ESYS_TR_NONE,
                      .other = ESYS_TR_NONE};
    tt_tpm_set_trace(tpm, watch, &s);
    tt_rc rc = measure_all(&s, err);
    tt_tpm_set_trace(tpm, NULL, NULL);
    ESYS_TR *const left[] = {&s.object, &s.other, &s.parent, &s.session};
    for (size_t i = 0; i < TT_COUNT(left); i++)
        tpm_flush(tpm, left[i]);
    free_key(&s);
    Esys_Free(s.context);
    return rc;
}
