/* tests/attest/test_faults.c: evidence judged, challenged, written and explained, again and again, with the
 * nth allocation failing, ours and libcrypto's: the same verdict, or our own error; never a refusal, which
 * would blame the device for what we could not do. Nothing is leaked; the next one is judged as ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "support/crypto_memory.h"
#include "world.h"

#define MOST 20000

/* struct source: whose allocations fail. */
struct source {
    const char *name;
    void (*fail_nth)(size_t nth);
    size_t (*count)(void);
};

static size_t our_count(void)
{
    return mem_test_stats().allocations;
}

static const struct source ours = {"ours", mem_test_fail_nth, our_count};
static const struct source theirs = {"libcrypto's", crypto_memory_fail_nth, crypto_memory_count};

/* One scene: what is done with w, in want of memory. */
typedef tt_rc (*scene_fn)(struct world *w, struct tt_error *err);

static tt_rc judge(struct world *w, struct tt_error *err)
{
    struct tt_attest_verdict v = {.reason = TT_ATTEST_REASONS};
    uint8_t *der = NULL;
    size_t len = 0;
    TT_TRY(tt_evidence_write(&der, &len, &w->e, err));
    tt_rc rc = tt_attest_judge(&v, w->policy, (struct tt_bytes){der, len}, &w->want, err);
    if (rc == TT_OK)
        assert_true(v.reason == TT_ATTEST_GOOD && v.proved && v.ek_sha256[0] != '\0');
    mem_free(der);
    return rc;
}

static tt_rc challenge(struct world *w, struct tt_error *err)
{
    struct tt_attest_verdict v = {.reason = TT_ATTEST_REASONS};
    uint8_t *der = NULL, *made = NULL;
    size_t len = 0, made_len = 0;
    TT_TRY(tt_evidence_write(&der, &len, &w->e, err));
    tt_rc rc =
        tt_attest_challenge(&made, &made_len, &v, w->policy, (struct tt_bytes){der, len}, &w->want, err);
    if (rc == TT_OK)
        assert_true(made_len > 0);
    mem_free(made);
    mem_free(der);
    return rc;
}

static tt_rc policy(struct world *w, struct tt_error *err)
{
    struct tt_bytes root = w->root->cert;
    struct tt_cert_list roots = {&root, 1};
    struct tt_attest_policy *p = NULL;
    const struct tt_attest_policy_params params = {.roots = &roots, .pcrs = "sha256:0,7"};
    tt_rc rc = tt_attest_policy_new(&p, &params, err);
    tt_attest_policy_free(p);
    return rc;
}

static void on_line(void *arg, const char *section, const char *name, const char *text)
{
    size_t *lines = arg;
    assert_true(section != NULL && name != NULL && text != NULL);
    ++*lines;
}

static tt_rc explain(struct world *w, struct tt_error *err)
{
    size_t lines = 0;
    (void)err;
    tt_evidence_each(&w->e, on_line, &lines); /* what has no memory it leaves out, or says so */
    assert_true(lines > 5);
    return TT_OK;
}

/* libcrypto 3.0 leaks where it reads a key and its memory fails: that is not looked for. What is ours is
 * counted. */
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

static void leaks_are_theirs(const struct source *s, bool begins)
{
    if (s != &theirs || __lsan_disable == NULL || __lsan_enable == NULL)
        return;
    if (begins)
        __lsan_disable();
    else
        __lsan_enable();
}

/* True when the allocation that was to fail was reached. */
static bool run_with_failure(struct world *w, const struct source *s, scene_fn scene, size_t nth)
{
    static size_t live;
    struct tt_error err = {0};
    world_policy(w, (struct tt_attest_policy_params){.pcrs = "sha256:0,7"}); /* which remembers no chain */
    if (nth > 1 && mem_test_stats().live_blocks != live)
        fail_msg("allocation %zu (%s) failed: %zu blocks, not %zu", nth - 1, s->name,
                 mem_test_stats().live_blocks, live);
    live = mem_test_stats().live_blocks;
    size_t before = s->count();
    leaks_are_theirs(s, true);
    s->fail_nth(nth);
    tt_rc rc = scene(w, &err);
    size_t made = s->count() - before;
    s->fail_nth(0);
    leaks_are_theirs(s, false);
    if (rc != TT_OK && rc != TT_ERR_MEMORY && rc != TT_ERR_INTERNAL)
        fail_msg("allocation %zu (%s) fails: %s: %s", nth, s->name, tt_rc_name(rc), err.text);
    if (rc != TT_OK)
        assert_string_not_equal(err.text, "");
    err = (struct tt_error){0};
    if (nth % 8 == 0 && scene(w, &err) != TT_OK) /* not each time, for its time */
        fail_msg("after allocation %zu (%s) failed: %s", nth, s->name, err.text);
    return made + 1 >= nth; /* what failed may not be counted */
}

static void each(const char *ek, scene_fn scene, bool theirs_too, size_t least)
{
    const struct source *const sources[] = {&ours, &theirs};
    struct world *w = world_new(ek);
    size_t failed = 0;
    for (size_t i = 0; i < (theirs_too ? 2 : 1); i++) {
        size_t nth = 1;
        while (nth < MOST && run_with_failure(w, sources[i], scene, nth))
            nth++;
        assert_true(nth < MOST);
        failed += nth - 1;
    }
    if (failed < least)
        fail_msg("%zu allocations failed, of %zu at least", failed, least);
    world_free(w);
}

static void test_judge(void **state)
{
    (void)state;
    each("P-256", judge, true, 200);
}

static void test_challenge(void **state)
{
    (void)state;
    each("P-384", challenge, true, 200);
    each("RSA-2048", challenge, true, 200);
}

/* Ours alone: a context of libcrypto that lacks memory while it is made leaks by itself (3.0). */
static void test_policy(void **state)
{
    (void)state;
    each("P-256", policy, false, 5);
}

static void test_explain(void **state)
{
    (void)state;
    each("P-256", explain, true, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_challenge),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_explain),
    };
    if (!crypto_memory_take())
        return 1;
    return cmocka_run_group_tests_name("attest_faults", tests, NULL, NULL);
}
