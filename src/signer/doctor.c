/* signer/doctor.c: tt_doctor_examine: the chip's facts (tpm/doctor*.c), keys of each type tried for real, and
 * what follows from both. Layer: signer. A key is tried as it will be used: made, loaded from its file, and
 * its signature verified. */
#include "tpmtls/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "tpm/doctor.h"
#include "tpm/reopen.h"

#define SIGNATURES 3
#define MAX_EVENTS 512

/* struct watch: every TPM command that ran, with what it was for. */
struct watch {
    struct tt_doctor *d;
    const char *label; /* the type of key being tried, or "" */
    size_t len;
    struct {
        char command[48];
        uint64_t us;
    } events[MAX_EVENTS];
};

static void watch_event(void *arg, const struct tt_tpm_event *event)
{
    struct watch *w = arg;
    if (w->len == MAX_EVENTS || event->response != 0 || strcmp(event->name, "TPM2 command") == 0)
        return; /* one without a name is the doctor's own */
    (void)snprintf(w->events[w->len].command, sizeof w->events[0].command, "%s%s%s", event->name,
                   w->label[0] == '\0' ? "" : " ", w->label);
    w->events[w->len++].us = event->nanoseconds / 1000;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t *v, size_t n)
{
    qsort(v, n, sizeof *v, by_size);
    return n == 0 ? 0 : v[n / 2];
}

static bool listed(const struct tt_doctor *d, const char *command)
{
    for (size_t i = 0; i < d->latencies_len; i++)
        if (strcmp(d->latencies[i].command, command) == 0)
            return true;
    return false;
}

static void watch_sum_up(const struct watch *w)
{
    struct tt_doctor *d = w->d;
    for (size_t i = 0; i < w->len && d->latencies_len < TT_DOCTOR_LATENCIES; i++) {
        uint64_t v[MAX_EVENTS];
        size_t n = 0;
        if (listed(d, w->events[i].command))
            continue;
        for (size_t k = i; k < w->len; k++)
            if (strcmp(w->events[k].command, w->events[i].command) == 0)
                v[n++] = w->events[k].us;
        struct tt_doctor_latency *l = &d->latencies[d->latencies_len++];
        memcpy(l->command, w->events[i].command, sizeof l->command);
        l->count = (unsigned)n;
        l->median_us = median(v, n);
    }
}

static uint64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- trying keys ---- */

static tt_rc try_signatures(struct tt_doctor_key *k, struct tt_key *key, struct tt_error *err)
{
    uint64_t took[SIGNATURES];
    uint16_t scheme = 0;
    uint8_t sig[1024];
    size_t len = 0;
    static const struct tt_bytes message = {(const uint8_t *)"doctor", 6};
    if (tt_key_schemes(key, &scheme, 1) == 0)
        return error_set(err, TT_ERR_UNSUPPORTED, "the key has no signature scheme of TLS 1.3");
    for (size_t i = 0; i < SIGNATURES; i++) {
        uint64_t start = now_us();
        TT_TRY(tt_key_sign(key, scheme, message, sig, sizeof sig, &len, err)); /* verified in there */
        took[i] = now_us() - start;
    }
    k->sign_us = median(took, SIGNATURES);
    return TT_OK;
}

static tt_rc try_life(struct tt_doctor_key *k, struct tt_tpm *tpm, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    struct tt_key *key = NULL;
    uint64_t start = now_us();
    TT_TRY(tt_key_create(&pem, tpm, k->type, err));
    k->has = true;
    k->create_us = now_us() - start;
    start = now_us();
    TT_TRY(tt_key_open_pem(&key, tpm, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)}, err));
    k->load_us = now_us() - start;
    tt_rc rc = try_signatures(k, key, err);
    tt_key_free(key);
    return rc;
}

static bool is_rsa(enum tt_key_type type)
{
    return type >= TT_KEY_RSA2048;
}

/* Large RSA keys take a chip up to a minute each, and what holds for 2,048 bits holds for them. */
static void try_type(struct tt_doctor *d, struct watch *w, struct tt_tpm *tpm, enum tt_key_type type,
                     bool quick)
{
    struct tt_doctor_key *k = &d->keys[d->keys_len++];
    struct tt_error err = {0};
    *k = (struct tt_doctor_key){.type = type};
    if (is_rsa(type) && (quick || type != TT_KEY_RSA2048)) {
        const char *bits = tt_key_type_name(type) + strlen("rsa");
        k->has = strstr(d->rsa.text, bits) != NULL;
        (void)snprintf(k->why, sizeof k->why, "%s",
                       k->has ? "not tried: making it takes long" : "the TPM does not have it");
        return;
    }
    if (tpm_is_stuck(tpm)) {
        (void)snprintf(k->why, sizeof k->why, "not tried: the TPM does not answer any more");
        return;
    }
    w->label = tt_key_type_name(type);
    tt_rc rc = try_life(k, tpm, &err);
    w->label = "";
    k->tried = k->has || rc != TT_ERR_UNSUPPORTED;
    k->works = rc == TT_OK;
    if (rc != TT_OK)
        (void)snprintf(k->why, sizeof k->why, "%s", err.text);
}

static void try_keys(struct tt_doctor *d, struct watch *w, struct tt_tpm *tpm, bool quick)
{
    for (enum tt_key_type type = TT_KEY_P256; type <= TT_KEY_RSA4096; type++) {
        try_type(d, w, tpm, type, quick);
        d->possible = d->possible || d->keys[d->keys_len - 1].works;
    }
    if (quick)
        (void)snprintf(d->salt_why, sizeof d->salt_why,
                       "not measured: that needs an RSA key, which takes long");
    else if (strstr(d->rsa.text, "2048") == NULL)
        (void)snprintf(d->salt_why, sizeof d->salt_why, "the TPM has no RSA-2048");
    else if (!tpm_is_stuck(tpm)) {
        w->label = "rsa2048-pss";
        doctor_salt(d, tpm);
        w->label = "";
    }
}

/* ---- hints ---- */

void tt_doctor_hint(struct tt_doctor *d, const char *fmt, ...)
{
    if (d->hints_len == TT_DOCTOR_HINTS)
        return;
    char *to = d->hints[d->hints_len++];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(to, sizeof d->hints[0], fmt, args);
    va_end(args);
}

static void hint_keys(struct tt_doctor *d)
{
    const char *works = NULL;
    for (size_t i = 0; i < d->keys_len; i++)
        if (d->keys[i].works && works == NULL)
            works = tt_key_type_name(d->keys[i].type);
    if (works == NULL)
        tt_doctor_hint(d, "no type of key works for TLS 1.3 here: %s",
                       d->keys_len > 0 && d->keys[0].why[0] != '\0' ? d->keys[0].why
                                                                    : "see the list of keys");
    else if (!d->keys[0].works)
        tt_doctor_hint(d, "P-256, the default type, does not work (%s); use --type %s", d->keys[0].why,
                       works);
}

static void hint_salt(struct tt_doctor *d)
{
    if (d->salt_measured && !d->salt_valid)
        tt_doctor_hint(d, "the TPM's RSA-PSS signatures are wrong for every salt: use keys of type p256");
    else if (d->salt_measured && d->salt != 32)
        tt_doctor_hint(
            d,
            "the TPM's own RSA-PSS has a salt of %u bytes where TLS 1.3 demands 32; RSA keys of `tpmtls key "
            "create` work all the same (padded in software), RSA keys that may only sign cannot",
            d->salt);
}

static void hint_state(struct tt_doctor *d)
{
    if (d->locked)
        tt_doctor_hint(d,
                       "dictionary attack lockout: keys that count are refused for %llu s more; `tpm2_"
                       "dictionarylockout --clear-lockout` ends it. Keys that are noDA still work",
                       (unsigned long long)d->seconds_to_unlock);
    if (d->failures > 0)
        tt_doctor_hint(
            d, "what the TPM counted may be no attack: a loss of its power without TPM2_Shutdown, after a "
               "key that counts was used, adds one with right passwords, too (TPM 2.0: daUsed). Keys of "
               "`tpmtls key create` with a password of 16 bytes or more from a file, or with "
               "--no-lockout, are noDA and never count");
    if (d->owner_auth && !d->srk_known && !d->srk_usable)
        tt_doctor_hint(d,
                       "the owner hierarchy has a password, so the storage root key cannot be derived: give "
                       "it (--owner-auth-file), or put the key at 0x81000001 once, as the owner");
    else if (d->srk_known && !d->srk_at_handle)
        tt_doctor_hint(
            d,
            "each start derives the storage root key; keep it: tpm2_createprimary -C o -G ecc256:aes128cfb "
            "-a "
            "'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt' -c srk.ctx && "
            "tpm2_evictcontrol -C o -c srk.ctx 0x81000001");
    else if (d->srk_known && !d->srk_right)
        tt_doctor_hint(
            d,
            "the key at 0x81000001 is not the standard ECC storage root key, so each start derives that one");
    if (d->srk_usable && d->srk_counts && !d->srk_known)
        tt_doctor_hint(
            d, "the storage root key at 0x81000001 counts wrong passwords (it is not noDA; "
               "tss2_provision makes it so): each loss of the TPM's power after its use counts as one");
    if (d->slots > 0 && d->slots_free == 0)
        tt_doctor_hint(d,
                       "no object slot is free: end the other users of the TPM, or `tpm2_flushcontext -t`");
    if (d->slots > 0 && d->slots < 3)
        tt_doctor_hint(d, "only %u object slots: other programs on this TPM may find none free", d->slots);
    if (strcmp(d->manager, "none") == 0 && !d->emulated)
        tt_doctor_hint(d, "no resource manager: one program at a time; use the kernel's, /dev/tpmrm0");
    if (d->eks_len == 0 && !d->emulated)
        tt_doctor_hint(
            d, "no endorsement certificate in the TPM: a CA cannot verify that the chip is a genuine one");
    if (d->emulated)
        tt_doctor_hint(d, "this TPM is emulated: it protects nothing that file permissions do not");
}

/* ---- the whole ---- */

static const char *manager_of(const char *spec)
{
    if (strcmp(spec, "device") == 0 || strstr(spec, "tpmrm") != NULL)
        return "kernel";
    if (strstr(spec, "tabrmd") != NULL)
        return "tpm2-abrmd";
    if (strncmp(spec, "embedded", strlen("embedded")) == 0)
        return "embedded";
    return "none";
}

/* What the TPM is, without where it is. */
static void describe(struct tt_doctor *d, const char *spec)
{
    (void)snprintf(d->where, sizeof d->where, "%s", strcmp(spec, "device") == 0 ? "/dev/tpmrm0" : spec);
    d->manager = manager_of(spec);
}

static tt_rc examine(struct tt_doctor *d, struct tt_tpm *tpm, bool quick)
{
    struct watch *w = mem_alloc(sizeof *w);
    if (w == NULL)
        return TT_ERR_MEMORY;
    w->d = d;
    w->label = "";
    tt_tpm_set_trace(tpm, watch_event, w);
    doctor_chip(d, tpm);
    doctor_endorsement(d, tpm, quick);
    try_keys(d, w, tpm, quick);
    tt_tpm_set_trace(tpm, NULL, NULL);
    watch_sum_up(w);
    mem_free(w);
    return TT_OK;
}

tt_rc tt_doctor_examine(struct tt_doctor **ret, const struct tt_doctor_request *req, struct tt_error *err)
{
    const char *spec = req->spec == NULL ? "device" : req->spec;
    struct tt_tpm *tpm = NULL;
    struct tt_doctor *d = mem_alloc(sizeof *d);
    if (d == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    d->kind = "unknown";
    describe(d, spec);
    doctor_places(d, spec);
    tt_rc rc = tt_tpm_open(&tpm, spec, &d->error);
    if (rc == TT_OK) {
        tt_tpm_set_deadline(tpm, 0, req->patience_ms);
        rc = tt_tpm_set_owner_password(tpm, req->owner_password, &d->error);
        if (rc == TT_OK)
            rc = tt_tpm_set_endorsement_password(tpm, req->endorsement_password, &d->error);
        if (rc == TT_OK)
            rc = examine(d, tpm, req->quick);
    } else if (rc != TT_ERR_USAGE) {
        rc = TT_OK;
    }
    bool stuck = tpm != NULL && tpm_is_stuck(tpm);
    d->reached = tpm != NULL && d->manufacturer[0] != '\0';
    d->possible = d->possible && d->reached;
    tt_tpm_close(tpm);
    if (rc != TT_OK) {
        rc = error_set(err, rc, "%s", d->error.text[0] != '\0' ? d->error.text : "out of memory");
        error_hint(err, "%s", d->error.hint);
        tt_doctor_free(d);
        return rc;
    }
    if (d->reached) {
        hint_keys(d);
        hint_salt(d);
        hint_state(d);
    } else {
        (void)error_set(&d->error, TT_ERR_TPM, "the TPM at %s does not answer", spec);
        tt_doctor_hint(d, "%s", d->error.hint[0] != '\0' ? d->error.hint : d->error.text);
    }
    if (stuck)
        tt_doctor_hint(
            d,
            "the TPM gave no answer for %u s and was given up: is a program keeping it busy, or is it "
            "faulty?",
            req->patience_ms / 1000);
    *ret = d;
    return TT_OK;
}

void tt_doctor_free(struct tt_doctor *d)
{
    if (d == NULL)
        return;
    doctor_endorsement_free(d);
    mem_free(d);
}
