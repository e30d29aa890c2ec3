/* lab/tcti.c: the TCTI: passes commands on, and on the way delays, refuses, loses and spoils what its options
 * say. Layer: lab. TCG TSS 2.0 TCTI API specification, section 5. Memory is the loader's; prints nothing. */
#include "lab/tcti.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <tss2/tss2_tctildr.h>
#include <tss2/tss2_tpm2_types.h>
#include <unistd.h>

#include "base/mem.h"
#include "lab/limits.h"
#include "lab/mldsa.h"
#include "lab/salt.h"

#define LAB_MAGIC 0x74706d746c736c62ULL

struct lab {
    TSS2_TCTI_CONTEXT_COMMON_V1 v1; /* must be first */
    struct lab_options options;
    struct lab_chip chip;
    struct lab_mldsa mldsa;
    int report; /* or -1 */
    uint64_t commands;
    bool in_flight, answered; /* answered: response is there, the inner TCTI has nothing to tell */
    bool costed;              /* due is known, and reported */
    const struct lab_fault *fault;
    uint64_t sent, due; /* microseconds */
    struct lab_command parsed;
    uint8_t command[LAB_MAX_MESSAGE];
    uint8_t response[LAB_MAX_MESSAGE];
    size_t response_len;
};

static struct lab *lab_of(TSS2_TCTI_CONTEXT *tcti)
{
    return (struct lab *)tcti;
}

static uint64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void sleep_us(uint64_t us)
{
    struct timespec t = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        continue;
}

static void answer_code(struct lab *l, uint32_t rc)
{
    lab_put16(l->response, TPM2_ST_NO_SESSIONS);
    lab_put32(l->response + 2, LAB_HEADER);
    lab_put32(l->response + 6, rc);
    l->response_len = LAB_HEADER;
    l->answered = true;
}

/* ---- transmit ---- */

/* Each fault counts its own commands; of several that fit, the first one in the string acts. */
static const struct lab_fault *fault_for(struct lab *l)
{
    const struct lab_fault *found = NULL;
    for (size_t i = 0; i < l->options.faults_len; i++) {
        struct lab_fault *f = &l->options.faults[i];
        if (f->command != 0 && f->command != l->parsed.code)
            continue;
        f->seen++;
        if (found == NULL && f->seen >= f->first && f->seen <= f->last)
            found = f;
    }
    return found;
}

static bool acts(const struct lab *l, enum lab_action action)
{
    return l->fault != NULL && l->fault->action == action;
}

static TSS2_RC pass_on(struct lab *l)
{
    uint32_t refused = lab_limits_refuse(&l->options, &l->chip, &l->parsed);
    if (refused == 0 && lab_chip_is_stale(&l->chip, &l->parsed))
        refused = TPM2_RC_INTEGRITY | TPM2_RC_P | TPM2_RC_1;
    if (refused != 0) {
        answer_code(l, refused);
        return TSS2_RC_SUCCESS;
    }
    if (l->options.mldsa && lab_mldsa_answer(&l->mldsa, &l->parsed, l->response, &l->response_len)) {
        l->answered = true;
        return TSS2_RC_SUCCESS;
    }
    if (l->options.max_salt && lab_salt_sign(&l->chip, &l->parsed, lab_random(~l->options.seed, l->commands),
                                             l->response, &l->response_len)) {
        l->answered = true;
        return TSS2_RC_SUCCESS;
    }
    return Tss2_Tcti_Transmit(l->chip.inner, l->parsed.whole.len, l->command);
}

static TSS2_RC lab_transmit(TSS2_TCTI_CONTEXT *tcti, size_t size, const uint8_t *command)
{
    struct lab *l = lab_of(tcti);
    if (l->in_flight)
        return TSS2_TCTI_RC_BAD_SEQUENCE;
    if (command == NULL || size < LAB_HEADER || size > sizeof l->command)
        return TSS2_TCTI_RC_BAD_VALUE;
    memcpy(l->command, command, size);
    l->parsed = lab_command_parse((struct tt_bytes){l->command, size});
    l->commands++;
    l->answered = l->costed = false;
    l->fault = fault_for(l);
    l->sent = now_us();
    if (acts(l, LAB_ENOMEM))
        return TSS2_TCTI_RC_IO_ERROR; /* what the device TCTI makes of a write that ends with ENOMEM */
    if (acts(l, LAB_RESTART)) {
        lab_chip_forget(&l->chip);
        lab_mldsa_forget(&l->mldsa);
    }
    TSS2_RC rc = TSS2_RC_SUCCESS;
    if (acts(l, LAB_CODE))
        answer_code(l, l->fault->value);
    else
        rc = pass_on(l);
    l->in_flight = rc == TSS2_RC_SUCCESS;
    return rc;
}

/* ---- receive ---- */

static TSS2_RC fetch(struct lab *l, int32_t timeout)
{
    if (l->answered)
        return TSS2_RC_SUCCESS;
    size_t len = sizeof l->response;
    TSS2_RC rc = Tss2_Tcti_Receive(l->chip.inner, &len, l->response, timeout);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    l->response_len = len;
    l->answered = true;
    if (len >= LAB_HEADER) {
        lab_chip_watch(&l->chip, &l->parsed, (struct tt_bytes){l->response, len});
        lab_limits_answer(&l->options, &l->chip, &l->parsed, l->response, &l->response_len);
        if (l->options.max_salt)
            lab_salt_spoil(&l->parsed, l->response, len);
    }
    return TSS2_RC_SUCCESS;
}

static const char *fault_name(const struct lab_fault *f)
{
    static const char *const names[] = {
        [LAB_CODE] = "code",       [LAB_DROP] = "drop",      [LAB_TRUNCATE] = "truncate",
        [LAB_SHORTEN] = "shorten", [LAB_GARBLE] = "garble",  [LAB_ENOMEM] = "enomem",
        [LAB_HANG] = "hang",       [LAB_RESTART] = "restart"};
    return f == NULL ? "-" : names[f->action];
}

/* One write a line: lines of several processes do not mix. */
static void report(const struct lab *l, uint64_t cost)
{
    char line[160], number[16];
    struct reader r = reader_of((struct tt_bytes){l->response, l->response_len});
    (void)rd_bytes(&r, 6);
    uint32_t rc = rd_u32(&r);
    (void)snprintf(number, sizeof number, "0x%08x", l->parsed.code);
    int n = snprintf(line, sizeof line, "%llu %s 0x%03x %llu %s\n", (unsigned long long)l->commands,
                     l->parsed.kind == NULL ? number : l->parsed.kind->name, rc, (unsigned long long)cost,
                     fault_name(l->fault));
    if (l->report >= 0 && n > 0 && write(l->report, line, (size_t)n) < 0)
        return; /* a report that cannot be written is no reason to fail a command */
}

/* When the answer may be handed out. */
static void set_due(struct lab *l)
{
    if (l->costed)
        return;
    const struct lab_profile *p = l->options.profile;
    const struct lab_exchange x = {&l->parsed, {l->response, l->response_len}};
    uint64_t cost = p == NULL ? 0 : lab_profile_cost(p, &x);
    if (p != NULL && l->options.jitter)
        cost = lab_profile_jitter(p, cost, l->options.seed, l->commands);
    l->due = l->options.virtual_clock ? l->sent : l->sent + cost;
    l->costed = true;
    report(l, cost);
}

/* True: it is time. False: the caller's patience ended first. */
static bool wait_until(uint64_t due, int32_t timeout)
{
    uint64_t now = now_us(), left = due > now ? due - now : 0;
    bool patient = timeout < 0 || left <= (uint64_t)timeout * 1000;
    sleep_us(patient ? left : (uint64_t)timeout * 1000);
    return patient;
}

static TSS2_RC hang(struct lab *l, int32_t timeout)
{
    uint64_t limit = l->fault->value == UINT32_MAX ? UINT64_MAX / 2 : l->sent + l->fault->value * 1000ULL;
    while (!wait_until(limit, timeout < 0 ? 1000 : timeout))
        if (timeout >= 0)
            return TSS2_TCTI_RC_TRY_AGAIN;
    return TSS2_TCTI_RC_IO_ERROR;
}

static void garble(struct lab *l)
{
    uint64_t seed = l->fault->value == UINT32_MAX ? l->options.seed : l->fault->value;
    for (size_t i = LAB_HEADER; i < l->response_len; i++)
        l->response[i] = (uint8_t)lab_random(seed ^ l->commands << 32, i);
}

static void cut(struct lab *l)
{
    size_t keep = l->fault->value == UINT32_MAX ? l->response_len / 2 : l->fault->value;
    if (keep >= l->response_len)
        return;
    l->response_len = keep;
    if (l->fault->action == LAB_SHORTEN && keep >= 6)
        lab_put32(l->response + 2, (uint32_t)keep);
}

static TSS2_RC deliver(struct lab *l, size_t *size, uint8_t *response)
{
    if (acts(l, LAB_DROP))
        return TSS2_TCTI_RC_IO_ERROR;
    if (acts(l, LAB_TRUNCATE) || acts(l, LAB_SHORTEN))
        cut(l);
    if (acts(l, LAB_GARBLE))
        garble(l);
    size_t room = *size;
    *size = l->response_len;
    if (room < l->response_len)
        return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
    memcpy(response, l->response, l->response_len);
    return TSS2_RC_SUCCESS;
}

static TSS2_RC lab_receive(TSS2_TCTI_CONTEXT *tcti, size_t *size, uint8_t *response, int32_t timeout)
{
    struct lab *l = lab_of(tcti);
    if (size == NULL)
        return TSS2_TCTI_RC_BAD_REFERENCE;
    if (!l->in_flight)
        return TSS2_TCTI_RC_BAD_SEQUENCE;
    if (response == NULL) { /* how large can it be */
        *size = LAB_TSS_MESSAGE;
        return TSS2_RC_SUCCESS;
    }
    TSS2_RC rc = fetch(l, timeout);
    if (rc == TSS2_RC_SUCCESS) {
        set_due(l);
        rc = acts(l, LAB_HANG)              ? hang(l, timeout)
             : !wait_until(l->due, timeout) ? TSS2_TCTI_RC_TRY_AGAIN
                                            : deliver(l, size, response);
    }
    l->in_flight = rc == TSS2_TCTI_RC_TRY_AGAIN || rc == TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
    return rc;
}

/* ---- the rest of a TCTI ---- */

static void lab_finalize(TSS2_TCTI_CONTEXT *tcti)
{
    struct lab *l = lab_of(tcti);
    lab_mldsa_forget(&l->mldsa);
    Tss2_TctiLdr_Finalize(&l->chip.inner);
    if (l->report >= 0)
        (void)close(l->report);
    mem_wipe(l, sizeof *l);
    l->report = -1;
}

static TSS2_RC lab_cancel(TSS2_TCTI_CONTEXT *tcti)
{
    return Tss2_Tcti_Cancel(lab_of(tcti)->chip.inner);
}

/* The inner descriptor would be ready before the delay is over. */
static TSS2_RC lab_poll_handles(TSS2_TCTI_CONTEXT *tcti, TSS2_TCTI_POLL_HANDLE *handles, size_t *n)
{
    (void)tcti;
    (void)handles;
    (void)n;
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_RC lab_set_locality(TSS2_TCTI_CONTEXT *tcti, uint8_t locality)
{
    return Tss2_Tcti_SetLocality(lab_of(tcti)->chip.inner, locality);
}

/* Nobody else can: the poll handles are not passed on. */
static void close_on_exec(TSS2_TCTI_CONTEXT *tcti)
{
    TSS2_TCTI_POLL_HANDLE handles[4];
    size_t n = TT_COUNT(handles);
    if (Tss2_Tcti_GetPollHandles(tcti, handles, &n) != TSS2_RC_SUCCESS)
        return;
    for (size_t i = 0; i < n && i < TT_COUNT(handles); i++)
        (void)fcntl(handles[i].fd, F_SETFD, FD_CLOEXEC);
}

static TSS2_RC lab_open(struct lab *l)
{
    l->report = -1;
    if (l->options.report[0] != '\0') {
        l->report = open(l->options.report, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (l->report < 0)
            return TSS2_TCTI_RC_IO_ERROR;
    }
    const char *inner = l->options.inner[0] == '\0' ? NULL : l->options.inner;
    TSS2_RC rc = Tss2_TctiLdr_Initialize(inner, &l->chip.inner);
    if (rc == TSS2_RC_SUCCESS)
        close_on_exec(l->chip.inner);
    else if (l->report >= 0)
        (void)close(l->report);
    return rc;
}

static TSS2_RC lab_init(TSS2_TCTI_CONTEXT *tcti, size_t *size, const char *config)
{
    if (size == NULL)
        return TSS2_TCTI_RC_BAD_REFERENCE;
    if (tcti == NULL) {
        *size = sizeof(struct lab);
        return TSS2_RC_SUCCESS;
    }
    if (*size < sizeof(struct lab))
        return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
    struct lab *l = lab_of(tcti);
    memset(l, 0, sizeof *l);
    if (lab_options_parse(&l->options, config, NULL) != TT_OK)
        return TSS2_TCTI_RC_BAD_VALUE;
    TSS2_RC rc = lab_open(l);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    l->v1 = (TSS2_TCTI_CONTEXT_COMMON_V1){.magic = LAB_MAGIC,
                                          .version = 1,
                                          .transmit = lab_transmit,
                                          .receive = lab_receive,
                                          .finalize = lab_finalize,
                                          .cancel = lab_cancel,
                                          .getPollHandles = lab_poll_handles,
                                          .setLocality = lab_set_locality};
    return TSS2_RC_SUCCESS;
}

const TSS2_TCTI_INFO *Tss2_Tcti_Info(void)
{
    static const TSS2_TCTI_INFO info = {
        .version = 1,
        .name = "tpmtls-lab",
        .description = "plays a real TPM: its latency, its limits, its faults",
        .config_help = "OPTION,OPTION,...:INNER; see tpmtls' docs/lab-tcti.md",
        .init = lab_init,
    };
    return &info;
}

bool tpmtls_lab_explain(const char *config, char *text, size_t cap)
{
    struct lab_options ignored;
    struct tt_error err = {.rc = TT_OK};
    tt_rc rc = lab_options_parse(&ignored, config, &err);
    if (cap > 0)
        (void)snprintf(text, cap, "%s", err.text);
    return rc != TT_OK;
}
