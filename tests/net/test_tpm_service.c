/* tests/net/test_tpm_service.c: the queue over a TPM that restarts, disappears, hangs, stays busy, forgets
 * what was loaded or answers nonsense: each request ends in time, and the next one works. Runs under TSan as
 * well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tss2/tss2_tpm2_types.h>
#include <unistd.h>

#include "net/clock.h"
#include "net/loop.h"
#include "net/sign_queue.h"
#include "support/script_tcti.h"
#include "support/temp_tpm.h"
#include "tpm/context.h"

#define PATIENCE_MS 300

static struct temp_tpm chip;
static struct script script;

struct service {
    struct event_base *base;
    struct tt_tpm *tpm;
    char *pem;
    struct tt_key *key;
    struct sign_queue *queue;
};
static struct service s;

struct outcome {
    unsigned calls;
    struct tt_error error;
    size_t commands;
    uint64_t took_ms;
    uint64_t submitted_at;
};

static void must(tt_rc rc, const struct tt_error *err)
{
    if (rc != TT_OK)
        fail_msg("%s: %s (hint: %s)", tt_rc_name(rc), err->text, err->hint);
}

static void on_done(void *arg, const struct sign_answer *answer)
{
    struct outcome *o = arg;
    o->calls++;
    o->error = answer->error;
    o->commands = answer->commands_len;
    o->took_ms = (clock_monotonic_ns() - o->submitted_at) / 1000000;
}

static tt_rc submit(struct outcome *o, unsigned deadline_ms)
{
    struct sign_job *job = NULL;
    const struct sign_request request = {.key = s.key,
                                         .scheme = TT_SCHEME_ECDSA_SECP256R1_SHA256,
                                         .message = {(const uint8_t *)"message", 7},
                                         .deadline_ms = deadline_ms,
                                         .done = on_done,
                                         .arg = o};
    *o = (struct outcome){.submitted_at = clock_monotonic_ns()};
    return sign_queue_submit(s.queue, &job, &request, &o->error);
}

static void sign(struct outcome *o, unsigned deadline_ms)
{
    must(submit(o, deadline_ms), &o->error);
    event_base_dispatch(s.base);
    assert_int_equal(o->calls, 1);
}

static void sign_well(void)
{
    struct outcome o;
    sign(&o, 8000);
    must(o.error.rc, &o.error);
}

static void serve(struct tt_tpm *tpm)
{
    struct tt_error err = {0};
    const struct tt_bytes pem = {(const uint8_t *)s.pem, strlen(s.pem)};
    s.tpm = tpm;
    must(tt_key_open_pem(&s.key, tpm, pem, &err), &err);
    must(loop_new(&s.base, false, &err), &err);
    const struct sign_queue_options opt = {.base = s.base, .tpm = tpm, .patience_ms = PATIENCE_MS};
    must(sign_queue_new(&s.queue, &opt, &err), &err);
}

static struct tt_tpm *open_tpm(const char *spec)
{
    struct tt_tpm *tpm = NULL;
    struct tt_error err = {0};
    must(tt_tpm_open(&tpm, spec, &err), &err);
    return tpm;
}

static void make_key(struct tt_tpm *tpm)
{
    struct tt_error err = {0};
    must(tt_key_create(&s.pem, tpm, TT_KEY_P256, &err), &err);
}

static int set_up(void **state)
{
    (void)state;
    s = (struct service){0};
    if (!temp_tpm_start(&chip))
        return -1;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    make_key(tpm);
    serve(tpm);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (chip.pid > 0)
        kill(chip.pid, SIGCONT);
    sign_queue_free(s.queue);
    tt_key_free(s.key);
    tt_tpm_close(s.tpm);
    tt_free(s.pem);
    event_base_free(s.base);
    temp_tpm_stop(&chip);
    return 0;
}

/* ---- a TPM that goes away ---- */

static void works_and_costs_one_command(void **state)
{
    (void)state;
    struct outcome o;
    for (int i = 0; i < 3; i++) {
        sign(&o, 0);
        must(o.error.rc, &o.error);
        assert_int_equal(o.commands, 1);
    }
}

/* The key's session is given up in a pause where it would cost others theirs, and is there again for the next
 * signature; elsewhere it stays. */
static void rests_in_a_pause(void **state)
{
    (void)state;
    struct tt_error err = {0};
    const struct tt_bytes password = {(const uint8_t *)"a long enough word", 18};
    const struct tt_key_params params = {.password = &password};
    const struct sign_queue_options opt = {.base = s.base, .tpm = s.tpm, .rest_ms = 20};
    struct outcome o;
    tt_key_free(s.key);
    tt_free(s.pem);
    must(tt_key_create_with(&s.pem, s.tpm, &params, &err), &err);
    const struct tt_bytes pem = {(const uint8_t *)s.pem, strlen(s.pem)};
    must(tt_key_open_pem_with(&s.key, s.tpm, pem, &password, &err), &err);
    for (int costs = 0; costs < 2; costs++) {
        sign_queue_free(s.queue);
        s.tpm->idle_costs_others = costs != 0;
        must(sign_queue_new(&s.queue, &opt, &err), &err);
        sign(&o, 8000);
        assert_int_equal(o.commands, 1);
        (void)usleep(200 * 1000);
        sign(&o, 8000);
        must(o.error.rc, &o.error);
        assert_true(costs ? o.commands > 1 : o.commands == 1);
    }
}

static void survives_a_restart(void **state)
{
    (void)state;
    sign_well();
    for (int i = 0; i < 2; i++) {
        assert_true(temp_tpm_restart(&chip));
        sign_well();
    }
}

static void survives_an_absence(void **state)
{
    (void)state;
    struct outcome o;
    sign_well();
    kill(chip.pid, SIGKILL);
    waitpid(chip.pid, NULL, 0);
    chip.pid = 0;
    for (int i = 0; i < 3; i++) {
        sign(&o, 2000);
        assert_int_equal(o.error.rc, TT_ERR_TPM);
        assert_non_null(strstr(o.error.text, chip.tcti));
        assert_true(o.took_ms < 1000);
    }
    assert_true(temp_tpm_restart(&chip));
    sign_well();
}

static void gives_up_a_tpm_that_hangs(void **state)
{
    (void)state;
    struct outcome stuck, waiting, more;
    sign_well();
    kill(chip.pid, SIGSTOP);
    must(submit(&stuck, 100), &stuck.error);
    must(submit(&waiting, 150), &waiting.error);
    event_base_dispatch(s.base);
    assert_int_equal(stuck.error.rc, TT_ERR_DEADLINE);
    assert_true(stuck.took_ms >= 100 && stuck.took_ms < 250);
    assert_int_equal(waiting.error.rc, TT_ERR_DEADLINE);
    assert_true(waiting.took_ms < 300);
    usleep((PATIENCE_MS + 100) * 1000); /* the worker is free again */
    sign(&more, 2 * PATIENCE_MS + 500);
    assert_int_equal(more.error.rc, TT_ERR_TPM);
    assert_true(more.took_ms < 2 * PATIENCE_MS + 400);
    kill(chip.pid, SIGCONT);
    sign_well();
}

static void says_how_long_it_waited(void **state)
{
    (void)state;
    struct outcome o;
    kill(chip.pid, SIGSTOP);
    sign(&o, 5000);
    kill(chip.pid, SIGCONT);
    assert_int_equal(o.error.rc, TT_ERR_TPM);
    assert_true(o.took_ms < 2000);
    assert_non_null(strstr(o.error.text, "gave no answer for 300 ms and was given up"));
}

/* Every attempt leaves something stuck behind: there is a limit. */
static void does_not_pile_up_what_hangs(void **state)
{
    (void)state;
    struct outcome o;
    kill(chip.pid, SIGSTOP);
    for (int i = 0; i < 2 * METER_MAX_LOST; i++) {
        sign(&o, 2000);
        assert_int_equal(o.error.rc, TT_ERR_TPM);
    }
    assert_non_null(strstr(o.error.text, "hang and it is not opened once more"));
    assert_true(o.took_ms < 100);
    kill(chip.pid, SIGCONT);
    usleep(200000);
    sign_well();
}

static void ends_while_the_tpm_hangs(void **state)
{
    (void)state;
    struct outcome o;
    kill(chip.pid, SIGSTOP);
    must(submit(&o, 1000), &o.error);
    usleep(20000);
    uint64_t before = clock_monotonic_ns();
    sign_queue_free(s.queue);
    s.queue = NULL;
    assert_true(clock_monotonic_ns() - before < 2500 * 1000000ULL);
    assert_int_equal(o.calls, 0);
    kill(chip.pid, SIGCONT); /* before tear_down, which reads the TPM's last words */
}

/* ---- a TPM that misbehaves ---- */

static tt_rc open_script(struct courier_tcti *ret, const char *spec, struct tt_error *err)
{
    (void)err;
    script.seen = 0;
    *ret = (struct courier_tcti){script_tcti_new(spec, &script), script_tcti_close};
    return ret->tcti != NULL ? TT_OK : TT_ERR_TPM;
}

static int set_up_script(void **state)
{
    (void)state;
    s = (struct service){0};
    script = (struct script){0};
    struct tt_error err = {0};
    struct tt_tpm *tpm = NULL;
    if (!temp_tpm_start(&chip))
        return -1;
    must(tpm_open_tcti(&tpm, script_tcti_new(chip.tcti, &script), script_tcti_close, "the script", &err),
         &err);
    tpm->meter.spec = mem_strdup(chip.tcti);
    tpm->meter.open = open_script;
    make_key(tpm);
    serve(tpm);
    return 0;
}

static uint32_t code_to_give;

static bool give_code(struct script *t, uint32_t command, uint8_t *response, size_t *len)
{
    if (command != TPM2_CC_Sign || t->left == 0)
        return false;
    t->left--;
    script_code(response, len, code_to_give);
    return true;
}

static void repeats_once_what_a_loss_explains(void **state)
{
    (void)state;
    static const uint32_t codes[] = {
        TPM2_RC_REFERENCE_H0,     TPM2_RC_HANDLE | TPM2_RC_1,
        TPM2_RC_OBJECT_MEMORY,    TPM2_RC_SESSION_MEMORY,
        TPM2_RC_CONTEXT_GAP,      TPM2_RC_INITIALIZE,
        TSS2_RESMGR_RC_LAYER | 5, TSS2_RESMGR_TPM_RC_LAYER | TPM2_RC_REFERENCE_H0};
    script.answer = give_code;
    for (size_t i = 0; i < TT_COUNT(codes); i++) {
        code_to_give = codes[i];
        script.left = 1;
        sign_well();
        assert_int_equal(script.left, 0);
    }
}

static void does_not_repeat_what_would_fail_again(void **state)
{
    (void)state;
    struct outcome o;
    script.answer = give_code;
    code_to_give = TPM2_RC_LOCKOUT;
    script.left = 2;
    sign(&o, 0);
    assert_int_equal(o.error.rc, TT_ERR_TPM);
    assert_int_equal(script.left, 1);
    code_to_give = TPM2_RC_OBJECT_MEMORY; /* again and again: told after the second time */
    script.left = 10;
    sign(&o, 0);
    assert_int_equal(o.error.rc, TT_ERR_BUSY);
    assert_int_equal(script.left, 8);
    script.left = 0;
    sign_well();
}

static bool nonsense(struct script *t, uint32_t command, uint8_t *response, size_t *len)
{
    if (command != TPM2_CC_Sign || t->left == 0)
        return false;
    unsigned kind = t->left--;
    if (kind % 3 == 0) { /* the header lies */
        memset(response, 0xff, *len = 20);
    } else if (kind % 3 == 1) { /* success, and nothing in it */
        script_code(response, len, 0);
    } else { /* a signature of an unknown kind */
        static const uint8_t body[] = {0x80, 2, 0, 0, 0, 19, 0, 0, 0, 0, 0, 0, 0, 4, 0x12, 0x34, 0, 0, 0};
        memcpy(response, body, *len = sizeof body);
    }
    return true;
}

/* After any of these ESAPI would say "bad sequence" for ever. */
static void nonsense_poisons_nothing(void **state)
{
    (void)state;
    script.answer = nonsense;
    for (unsigned kind = 1; kind <= 3; kind++) {
        struct outcome o;
        script.left = kind;
        sign(&o, 0);
        script.left = 0;
        sign_well();
    }
}

static bool no_transport(struct script *t, uint32_t command, uint8_t *response, size_t *len)
{
    (void)command;
    (void)response;
    if (t->left == 0)
        return false;
    t->left--;
    *len = 5000; /* more than fits: receive fails */
    return true;
}

static void transport_errors_are_survived(void **state)
{
    (void)state;
    struct outcome o;
    script.answer = no_transport;
    script.left = 1;
    sign_well();
    script.left = 50;
    sign(&o, 0);
    assert_int_equal(o.error.rc, TT_ERR_TPM);
    script.left = 0;
    sign_well();
}

static void busy_until_the_deadline(void **state)
{
    (void)state;
    struct outcome o;
    script.answer = give_code;
    code_to_give = TPM2_RC_RETRY;
    script.left = 1000000;
    sign(&o, 200);
    assert_int_equal(o.error.rc, TT_ERR_DEADLINE);
    assert_true(o.took_ms < 400);
    script.left = 9; /* more than ESAPI's own repeats */
    sign_well();
    assert_int_equal(script.left, 0);
}

static bool slow_then_dead(struct script *t, uint32_t command, uint8_t *response, size_t *len)
{
    (void)response;
    (void)len;
    (void)t;
    if (command == TPM2_CC_ContextLoad || command == TPM2_CC_ReadPublic || command == TPM2_CC_CreatePrimary)
        usleep(150000);
    return false;
}

/* What the worker sees: nobody else may look at the TPM. */
static tt_rc look(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    (void)err;
    script.answer = NULL;
    *(uint64_t *)arg = tt_tpm_command_count(tpm);
    return TT_OK;
}

static uint64_t commands_so_far(void)
{
    uint64_t count = 0;
    struct outcome o = {0};
    struct sign_job *job = NULL;
    const struct sign_work work = {.run = look, .arg = &count};
    const struct sign_request request = {.work = &work, .class = SIGN_OTHER, .done = on_done, .arg = &o};
    must(sign_queue_submit(s.queue, &job, &request, &o.error), &o.error);
    event_base_dispatch(s.base);
    must(o.error.rc, &o.error);
    return count;
}

/* The key must be loaded first, and when it is, the time is over: the signature is never asked for. */
static void nothing_is_sent_after_the_deadline(void **state)
{
    (void)state;
    struct outcome o;
    assert_true(temp_tpm_restart(&chip));
    uint64_t before = commands_so_far();
    script.answer = slow_then_dead;
    sign(&o, 100);
    assert_int_equal(o.error.rc, TT_ERR_DEADLINE);
    uint64_t after = commands_so_far(); /* when the worker is done with it */
    assert_true(after - before <= 4);   /* Sign fails, ReadPublic or CreatePrimary begins, no Load, no Sign */
    usleep(50000);
    assert_int_equal(commands_so_far(), after);
    sign_well();
}

/* ---- processes ---- */

static void no_descriptor_survives_exec(void **state)
{
    (void)state;
    struct dirent *e;
    sign_well();
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while ((e = readdir(dir)) != NULL) {
        int fd = (int)strtol(e->d_name, NULL, 10), flags = fd > 2 ? fcntl(fd, F_GETFD) : FD_CLOEXEC;
        char path[64], target[256] = "";
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (flags < 0 || (flags & FD_CLOEXEC) != 0 || readlink(path, target, sizeof target - 1) < 0)
            continue;
        if (strncmp(target, "socket:", 7) == 0 || strncmp(target, "anon_inode:", 11) == 0 ||
            strncmp(target, "/dev/tpm", 8) == 0)
            fail_msg("descriptor %d (%s) would survive exec", fd, target);
    }
    closedir(dir);
}

static void a_child_may_not_use_it(void **state)
{
    (void)state;
    int status = -1;
    sign_well();
    pid_t pid = fork();
    if (pid == 0) {
        uint8_t sig[200];
        size_t len;
        struct tt_error err = {0};
        tt_rc rc = tt_key_sign(s.key, TT_SCHEME_ECDSA_SECP256R1_SHA256,
                               (struct tt_bytes){(const uint8_t *)"m", 1}, sig, sizeof sig, &len, &err);
        bool told = rc == TT_ERR_USAGE && strstr(err.text, "before fork") != NULL;
        tt_key_free(s.key);
        tt_tpm_close(s.tpm); /* must not wait for a thread that is not here */
        _exit(told ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    sign_well();
}

/* ---- after kill -9, without a resource manager ---- */

/* A process that dies with the key loaded. */
static void die_with_the_key_loaded(void)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        struct tt_error err = {0};
        struct tt_tpm *tpm = NULL;
        struct tt_key *key = NULL;
        const struct tt_bytes pem = {(const uint8_t *)s.pem, strlen(s.pem)};
        if (tt_tpm_open(&tpm, chip.tcti, &err) == TT_OK && tt_key_open_pem(&key, tpm, pem, &err) == TT_OK)
            raise(SIGKILL);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static int set_up_unserved(void **state)
{
    (void)state;
    s = (struct service){0};
    if (!temp_tpm_start(&chip))
        return -1;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    make_key(tpm);
    tt_tpm_close(tpm);
    return 0;
}

static int tear_down_unserved(void **state)
{
    (void)state;
    tt_free(s.pem);
    temp_tpm_stop(&chip);
    return 0;
}

/* Three slots: the fourth start would fail if the earlier ones' keys were still there. */
static void the_next_start_cleans_what_is_ours(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        die_with_the_key_loaded();
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    assert_true(tt_tpm_command_count(tpm) > 0); /* it looked and flushed */
    tt_tpm_close(tpm);
    tpm = open_tpm(chip.tcti);
    assert_int_equal(tt_tpm_command_count(tpm), 0); /* nothing is recorded any more */
    tt_tpm_close(tpm);
}

static void what_lives_is_left_alone(void **state)
{
    (void)state;
    struct tt_error err = {0};
    struct tt_key *key = NULL;
    const struct tt_bytes pem = {(const uint8_t *)s.pem, strlen(s.pem)};
    struct tt_tpm *first = open_tpm(chip.tcti);
    must(tt_key_open_pem(&key, first, pem, &err), &err);
    struct tt_tpm *second = open_tpm(chip.tcti);
    assert_int_equal(tt_tpm_command_count(second), 0);
    tt_tpm_close(second);
    uint8_t sig[200];
    size_t len;
    uint64_t before = tt_tpm_command_count(first);
    must(tt_key_sign(key, TT_SCHEME_ECDSA_SECP256R1_SHA256, pem, sig, sizeof sig, &len, &err), &err);
    assert_int_equal(tt_tpm_command_count(first), before + 1); /* it was still loaded */
    tt_key_free(key);
    tt_tpm_close(first);
}

/* The dead one's handle belongs to another object by now. */
static void another_name_is_left_alone(void **state)
{
    (void)state;
    struct tt_error err = {0};
    char *other = NULL;
    struct tt_key *key = NULL;
    die_with_the_key_loaded();
    assert_true(temp_tpm_restart(&chip)); /* takes the dead one's object away */
    struct tt_tpm *tpm = NULL;
    must(tpm_open_tcti(&tpm, script_tcti_new(chip.tcti, &script), script_tcti_close, "unrecorded", &err),
         &err);
    script = (struct script){0};
    must(tt_key_create(&other, tpm, TT_KEY_P256, &err), &err);
    must(tt_key_open_pem(&key, tpm, (struct tt_bytes){(const uint8_t *)other, strlen(other)}, &err), &err);
    struct tt_tpm *cleaner = open_tpm(chip.tcti);
    assert_true(tt_tpm_command_count(cleaner) > 0);
    tt_tpm_close(cleaner);
    uint8_t sig[200];
    size_t len;
    uint64_t before = tt_tpm_command_count(tpm);
    must(tt_key_sign(key, TT_SCHEME_ECDSA_SECP256R1_SHA256, (struct tt_bytes){(const uint8_t *)"m", 1}, sig,
                     sizeof sig, &len, &err),
         &err);
    assert_int_equal(tt_tpm_command_count(tpm), before + 1);
    tt_key_free(key);
    tt_free(other);
    tt_tpm_close(tpm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(works_and_costs_one_command, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rests_in_a_pause, set_up, tear_down),
        cmocka_unit_test_setup_teardown(survives_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(survives_an_absence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gives_up_a_tpm_that_hangs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_how_long_it_waited, set_up, tear_down),
        cmocka_unit_test_setup_teardown(does_not_pile_up_what_hangs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ends_while_the_tpm_hangs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(repeats_once_what_a_loss_explains, set_up_script, tear_down),
        cmocka_unit_test_setup_teardown(does_not_repeat_what_would_fail_again, set_up_script, tear_down),
        cmocka_unit_test_setup_teardown(nonsense_poisons_nothing, set_up_script, tear_down),
        cmocka_unit_test_setup_teardown(transport_errors_are_survived, set_up_script, tear_down),
        cmocka_unit_test_setup_teardown(busy_until_the_deadline, set_up_script, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_sent_after_the_deadline, set_up_script, tear_down),
        cmocka_unit_test_setup_teardown(no_descriptor_survives_exec, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_child_may_not_use_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_next_start_cleans_what_is_ours, set_up_unserved,
                                        tear_down_unserved),
        cmocka_unit_test_setup_teardown(what_lives_is_left_alone, set_up_unserved, tear_down_unserved),
        cmocka_unit_test_setup_teardown(another_name_is_left_alone, set_up_unserved, tear_down_unserved),
    };
    char records[64];
    if (!temp_dir_make(records, sizeof records) || setenv("XDG_RUNTIME_DIR", records, 1) != 0)
        return 1;
    int failures = cmocka_run_group_tests_name("tpm_service", tests, NULL, NULL);
    temp_dir_remove(records);
    return failures;
}
