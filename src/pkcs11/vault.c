/* pkcs11/vault.c: see vault.h. Layer: pkcs11. There is no thread that could watch the time: idleness is seen
 * by the next call, and the end of the last session gives the TPM back at once. */
#include "pkcs11/vault.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IN_USE       LLONG_MAX
#define BUSY_MS      2000 /* that a signature waits for a place in the TPM */
#define BUSY_STEP_MS 20

static long long now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1; /* never 0, which is: closed */
}

/* ---- the TPM; with tpm_mutex held ---- */

static void key_drop(struct token *t)
{
    raw_key_free(TT_TAKE(t->key));
    contents_free(TT_TAKE(t->key_contents));
}

static void tpm_close(void)
{
    if (module.tpm == NULL)
        return; /* nor is there a key */
    for (size_t i = 0; i < module.tokens_len; i++)
        key_drop(module.tokens[i]);
    tt_tpm_close(TT_TAKE(module.tpm));
    atomic_store(&module.tpm_used, 0);
}

static CK_RV tpm_open(void)
{
    struct tt_error why = {0};
    const char *spec = secure_getenv("TPMTLS_TPM");
    if (module.tpm != NULL)
        return CKR_OK;
    tt_rc rc =
        raw_tpm_open(&module.tpm, module.apart, spec != NULL && spec[0] != '\0' ? spec : "device", &why);
    if (rc != TT_OK)
        debug_error("the TPM", &why);
    return rc == TT_OK ? CKR_OK : rc == TT_ERR_MEMORY ? CKR_HOST_MEMORY : CKR_DEVICE_ERROR;
}

static void tpm_take(struct apart_visit *visit)
{
    mutex_take(&module.tpm_mutex);
    apart_enter(visit, module.apart);
    atomic_store(&module.tpm_used, IN_USE);
}

static void tpm_give(struct apart_visit *visit)
{
    if (module.tpm != NULL)
        tt_tpm_rest(module.tpm);
    apart_leave(visit);
    atomic_store(&module.tpm_used, module.tpm != NULL ? now_s() : 0);
    mutex_give(&module.tpm_mutex);
}

void vault_close(void)
{
    mutex_take(&module.tpm_mutex);
    tpm_close();
    mutex_give(&module.tpm_mutex);
}

void vault_check_idle(void)
{
    long long used = atomic_load(&module.tpm_used);
    if (used == 0 || used == IN_USE || now_s() - used < MODULE_IDLE_S)
        return;
    mutex_take(&module.tpm_mutex);
    if (atomic_load(&module.tpm_used) == used)
        tpm_close();
    mutex_give(&module.tpm_mutex);
}

static CK_RV rv_of(enum raw_result result, const struct token *t, const struct tt_error *why)
{
    static const CK_RV rvs[] = {[RAW_OK] = CKR_OK,
                                [RAW_MEMORY] = CKR_HOST_MEMORY,
                                [RAW_PASSWORD] = CKR_PIN_INCORRECT,
                                [RAW_LOCKED] = CKR_PIN_LOCKED,
                                [RAW_NO_PASSWORD] = CKR_USER_NOT_LOGGED_IN,
                                [RAW_POLICY] = CKR_ACTION_PROHIBITED,
                                [RAW_LENGTH] = CKR_DATA_LEN_RANGE,
                                [RAW_DATA] = CKR_DATA_INVALID,
                                [RAW_UNSUPPORTED] = CKR_MECHANISM_INVALID,
                                [RAW_BUSY] = CKR_DEVICE_MEMORY,
                                [RAW_LOST] = CKR_DEVICE_ERROR,
                                [RAW_FAILED] = CKR_DEVICE_ERROR};
    if (result != RAW_OK)
        debug_error(t->name, why);
    return rvs[result];
}

/* ---- keys ---- */

/* The loaded key goes on being right while its file stays the same. */
static enum raw_result key_ready(struct token *t, struct contents *c, const struct tt_bytes *password,
                                 struct tt_error *why)
{
    if (t->key != NULL && t->key_contents->key_generation == c->key_generation)
        return RAW_OK;
    key_drop(t);
    enum raw_result result = raw_key_open(&t->key, module.apart, module.tpm, &c->info,
                                          (struct tt_bytes){c->key_text, c->key_text_len}, password, why);
    if (result == RAW_OK) {
        (void)atomic_fetch_add(&c->refs, 1);
        t->key_contents = c;
    }
    return result;
}

/* Without a resource manager all processes share the TPM's three places, and most are done with them soon. */
static bool wait_for_place(unsigned *waited_ms)
{
    static const struct timespec moment = {.tv_nsec = BUSY_STEP_MS * 1000000L};
    (void)nanosleep(&moment, NULL);
    *waited_ms += BUSY_STEP_MS;
    return *waited_ms < BUSY_MS;
}

static enum raw_result use_key(struct raw_key *k, struct vault_job *job, struct tt_error *why)
{
    switch (job->kind) {
    case MECHANISM_DECRYPT:
        return raw_decrypt(k, job->hash, job->data, job->out, &job->out_len, why);
    case MECHANISM_DERIVE:
        return raw_derive(k, job->data, job->out, &job->out_len, why);
    default:
        return raw_sign(k, job->what, job->out, &job->out_len, why);
    }
}

static CK_RV do_once(enum raw_result *ret, struct token *t, struct contents *c, struct vault_job *job)
{
    struct tt_error why = {0};
    uint8_t pin[TOKEN_PIN_MAX];
    CK_RV rv = tpm_open();
    if (rv != CKR_OK)
        return rv;
    mutex_take(&module.mutex);
    const struct tt_bytes password = {pin, t->pin_len};
    memcpy(pin, t->pin, t->pin_len);
    mutex_give(&module.mutex);
    *ret = key_ready(t, c, password.len > 0 ? &password : NULL, &why);
    mem_wipe(pin, sizeof pin);
    if (*ret == RAW_OK)
        *ret = use_key(t->key, job, &why);
    if (*ret == RAW_PASSWORD || *ret == RAW_LOST)
        key_drop(t);
    return rv_of(*ret, t, &why);
}

static CK_RV do_in_turn(enum raw_result *ret, struct token *t, struct contents *c, struct vault_job *job)
{
    unsigned waited = 0;
    CK_RV rv;
    do
        rv = do_once(ret, t, c, job);
    while (*ret == RAW_BUSY && wait_for_place(&waited));
    return rv;
}

/* A TPM that was lost is opened again, once. */
CK_RV vault_do(struct token *t, struct contents *c, struct vault_job *job)
{
    enum raw_result result = RAW_OK;
    struct apart_visit visit;
    tpm_take(&visit);
    CK_RV rv = do_in_turn(&result, t, c, job);
    if (result == RAW_LOST) {
        tpm_close();
        rv = do_in_turn(&result, t, c, job);
    }
    tpm_give(&visit);
    return rv == CKR_PIN_INCORRECT ? CKR_USER_NOT_LOGGED_IN : rv; /* it was right when it was given */
}

CK_RV vault_sign(struct token *t, struct contents *c, const struct apart_signed *what,
                 uint8_t sig[RAW_SIGNATURE_MAX], size_t *ret_len)
{
    struct vault_job job = {.kind = MECHANISM_SIGN, .what = what, .out = sig};
    CK_RV rv = vault_do(t, c, &job);
    *ret_len = job.out_len;
    return rv;
}

/* ---- PINs ---- */

static CK_RV lockout_update(struct token *t)
{
    struct tt_error why = {0};
    CK_RV rv = tpm_open();
    if (rv == CKR_OK && tpm_lockout_read(&t->lockout, module.tpm, &why) != TT_OK) {
        debug_error("the TPM", &why);
        rv = CKR_DEVICE_ERROR;
    }
    return rv;
}

/* Before the PIN goes out it is seen that the TPM answers: with the PIN under way nothing is repeated. Of a
 * TPM that is opened now the key's loading shows it; the counter is asked for where it counts. */
static CK_RV before_pin(struct token *t, bool counts)
{
    bool fresh = module.tpm == NULL;
    CK_RV rv = tpm_open();
    if (rv != CKR_OK || (fresh && !counts))
        return rv;
    rv = lockout_update(t);
    if (rv == CKR_DEVICE_ERROR && module.tpm != NULL) {
        tpm_close();
        rv = lockout_update(t);
    }
    return rv;
}

static CK_RV try_pin(struct token *t, struct contents *c, struct tt_bytes pin)
{
    struct tt_error why = {0};
    CK_RV rv = before_pin(t, c->info.key.counts_failures);
    if (rv != CKR_OK)
        return rv;
    if (c->info.key.counts_failures && t->lockout.locked)
        return CKR_PIN_LOCKED;
    key_drop(t);
    enum raw_result result;
    unsigned waited = 0;
    do {
        result = key_ready(t, c, &pin, &why);
        if (result == RAW_OK)
            result = raw_prove(t->key, &why);
    } while (result == RAW_BUSY && wait_for_place(&waited)); /* the PIN was not looked at */
    if (result != RAW_OK)
        key_drop(t);
    t->pin_failed = result == RAW_PASSWORD || (t->pin_failed && result != RAW_OK);
    if (result == RAW_PASSWORD && c->info.key.counts_failures) {
        memcpy(t->refused, pin.data, pin.len);
        t->refused_len = pin.len;
        t->refused_generation = c->key_generation;
        (void)lockout_update(t);
    }
    return rv_of(result, t, &why);
}

CK_RV vault_login(struct token *t, struct contents *c, struct tt_bytes pin)
{
    struct apart_visit visit;
    tpm_take(&visit);
    bool again = t->refused_len == pin.len && pin.len > 0 && t->refused_generation == c->key_generation &&
                 mem_equal_ct(pin.data, t->refused, pin.len);
    CK_RV rv = again ? CKR_PIN_INCORRECT : try_pin(t, c, pin);
    tpm_give(&visit);
    return rv;
}

void vault_logout(struct token *t)
{
    mutex_take(&module.tpm_mutex);
    key_drop(t);
    mutex_give(&module.tpm_mutex);
}

CK_FLAGS vault_pin_flags(struct token *t, const struct contents *c, bool may_open)
{
    CK_FLAGS flags = 0;
    struct apart_visit visit;
    if (!token_has_pin(c))
        return 0;
    tpm_take(&visit);
    bool counts = c->info.key.counts_failures;
    if (counts && (may_open || module.tpm != NULL))
        (void)lockout_update(t);
    if (t->pin_failed || (counts && t->lockout.counter > 0))
        flags |= CKF_USER_PIN_COUNT_LOW;
    if (counts && t->lockout.max > 0 && t->lockout.counter + 1 == t->lockout.max)
        flags |= CKF_USER_PIN_FINAL_TRY;
    if (counts && t->lockout.locked)
        flags |= CKF_USER_PIN_LOCKED;
    tpm_give(&visit);
    return flags;
}

/* ---- new keys ---- */

CK_RV vault_create(char **ret_pem, enum tt_key_type type, bool decryption, const char *name)
{
    struct tt_error why = {0};
    const struct tpm_new what = {.kind = decryption ? TPM_NEW_DECRYPTION : TPM_NEW_SIGNING,
                                 .type = type,
                                 .description = {(const uint8_t *)name, strlen(name)}};
    tt_rc rc = TT_OK;
    struct apart_visit visit;
    tpm_take(&visit);
    CK_RV rv = tpm_open();
    if (rv == CKR_OK)
        rc = tpm_create(ret_pem, module.tpm, &what, &why);
    if (rc != TT_OK)
        debug_error("the TPM", &why);
    if (rc == TT_ERR_TPM)
        tpm_close();
    tpm_give(&visit);
    if (rv != CKR_OK)
        return rv;
    return rc == TT_OK                ? CKR_OK
           : rc == TT_ERR_MEMORY      ? CKR_HOST_MEMORY
           : rc == TT_ERR_UNSUPPORTED ? CKR_MECHANISM_INVALID
                                      : CKR_DEVICE_ERROR;
}
