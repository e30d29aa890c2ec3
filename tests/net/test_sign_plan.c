/* tests/net/test_sign_plan.c: who is next and who is refused, by numbers: no thread, no clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "net/sign_plan.h"

#define MS 1000000ULL

static struct sign_plan plan;
static struct sign_job jobs[64];
static size_t used;

static int set_up(void **state)
{
    (void)state;
    plan = (struct sign_plan){0};
    memset(jobs, 0, sizeof jobs);
    used = 0;
    return 0;
}

static void chip_takes(uint64_t ms)
{
    for (int i = 0; i < SIGN_LATENCIES; i++)
        plan_add_latency(&plan, ms * MS);
}

static struct sign_job *job(enum sign_class class, uint64_t flow, uint64_t now, uint64_t deadline_ms)
{
    struct sign_job *j = &jobs[used++];
    j->request.class = class;
    j->request.flow = flow;
    j->submitted_at = now;
    j->deadline_at = now + deadline_ms * MS;
    return j;
}

static tt_rc admit(struct sign_job *j)
{
    return plan_admit(&plan, j, j->submitted_at, &j->error);
}

static struct sign_job *start(uint64_t now)
{
    struct sign_job *j = plan_next(&plan);
    if (j != NULL)
        j->started_at = now;
    return j;
}

static void end(uint64_t took)
{
    plan.running = NULL;
    plan_add_latency(&plan, took);
}

static void median_of_the_recent(void **state)
{
    (void)state;
    assert_int_equal(plan_median(&plan), 0);
    plan_add_latency(&plan, 30);
    plan_add_latency(&plan, 10);
    plan_add_latency(&plan, 20);
    assert_int_equal(plan_median(&plan), 20);
    chip_takes(5);
    assert_int_equal(plan_median(&plan), 5 * MS); /* what is old does not count */
}

static void handshakes_go_first(void **state)
{
    (void)state;
    struct sign_job *other = job(SIGN_OTHER, 0, 0, 1000), *a = job(SIGN_HANDSHAKE, 0, 0, 1000),
                    *b = job(SIGN_HANDSHAKE, 0, 0, 1000);
    assert_int_equal(admit(other), TT_OK);
    assert_int_equal(admit(a), TT_OK);
    assert_int_equal(admit(b), TT_OK);
    assert_ptr_equal(start(0), a);
    end(1);
    assert_ptr_equal(start(0), b);
    end(1);
    assert_ptr_equal(start(0), other);
    assert_null(plan.waiting.head);
}

static void flows_take_turns(void **state)
{
    (void)state;
    struct sign_job *hog[5], *quiet, *nobodys;
    for (int i = 0; i < 5; i++)
        assert_int_equal(admit(hog[i] = job(SIGN_HANDSHAKE, 7, 0, 1000)), TT_OK);
    assert_int_equal(admit(quiet = job(SIGN_HANDSHAKE, 8, 0, 1000)), TT_OK);
    assert_int_equal(admit(nobodys = job(SIGN_HANDSHAKE, 0, 0, 1000)), TT_OK);
    struct sign_job *const order[] = {hog[0], quiet, nobodys, hog[1], hog[2]};
    for (size_t i = 0; i < TT_COUNT(order); i++) {
        assert_ptr_equal(start(0), order[i]);
        end(1);
    }
    struct sign_job *late = job(SIGN_HANDSHAKE, 9, 0, 1000);
    assert_int_equal(admit(late), TT_OK); /* comes when the hog is two rounds ahead: no credit for the past */
    assert_ptr_equal(start(0), late);
}

static void what_cannot_be_in_time_is_refused(void **state)
{
    (void)state;
    chip_takes(200);
    assert_int_equal(admit(job(SIGN_HANDSHAKE, 0, 0, 1000)), TT_OK);
    assert_non_null(start(0));
    for (int i = 0; i < 4; i++) /* ready at 400, 600, 800, 1000; with the margin 1062 */
        assert_int_equal(admit(job(SIGN_HANDSHAKE, 0, 0, 1100)), TT_OK);
    struct sign_job *late = job(SIGN_HANDSHAKE, 0, 0, 1100);
    assert_int_equal(admit(late), TT_ERR_DEADLINE);
    assert_string_equal(late->error.text,
                        "5 signatures must be made first, and this one would be there in about "
                        "1200 ms: too late for its deadline of 1100 ms");
    assert_non_null(strstr(late->error.hint, "--sign-deadline"));
    assert_int_equal(plan.waiting.len, 4);
    assert_int_equal(admit(job(SIGN_HANDSHAKE, 0, 100 * MS, 1200)), TT_OK); /* it has the time */
    plan_add_latency(&plan, 210 * MS); /* 5% slower: nobody who was let in is sent away */
    struct job_list nobody = {0};
    chip_takes(210);
    plan_refuse_late(&plan, &nobody, 100 * MS);
    assert_int_equal(nobody.len, 0);
}

static void a_silent_chip_refuses_soon(void **state)
{
    (void)state;
    chip_takes(20);
    assert_int_equal(admit(job(SIGN_HANDSHAKE, 0, 0, 1000)), TT_OK);
    assert_non_null(start(0));
    assert_int_equal(admit(job(SIGN_HANDSHAKE, 0, 10 * MS, 1000)), TT_OK);
    assert_int_equal(admit(job(SIGN_HANDSHAKE, 0, 2000 * MS, 1000)), TT_ERR_DEADLINE);
}

/* What the key does not answer is its fault, not that of the many: other advice. */
static tt_rc never_called(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    (void)arg;
    (void)tpm;
    return error_set(err, TT_ERR_INTERNAL, "this was not to be run");
}

static void behind_one_that_hangs(void **state)
{
    (void)state;
    chip_takes(20);
    struct sign_job *first = job(SIGN_HANDSHAKE, 0, 0, 5000);
    assert_int_equal(admit(first), TT_OK);
    assert_non_null(start(0));
    struct sign_job *waits = job(SIGN_HANDSHAKE, 0, 10 * MS, 5000),
                    *late = job(SIGN_HANDSHAKE, 0, 3000 * MS, 2000);
    assert_int_equal(admit(waits), TT_OK);
    assert_int_equal(admit(late), TT_ERR_DEADLINE);
    assert_true(late->is_stuck);
    assert_string_equal(late->error.text,
                        "the key was asked for another signature 3000 ms ago and has not answered: this one "
                        "waits no longer than its deadline of 2000 ms");
    assert_non_null(strstr(late->error.hint, "tpmtls doctor"));
    struct job_list gone = {0};
    plan_refuse_late(&plan, &gone, 4000 * MS);
    assert_ptr_equal(gone.head, waits);
    assert_true(waits->is_stuck);
    job_overdue(first, &plan, 5000 * MS);
    assert_true(first->is_stuck);
    first->work.run = never_called;
    struct sign_job *after_work = job(SIGN_HANDSHAKE, 0, 3000 * MS, 2000); /* a new key takes its time */
    assert_int_equal(admit(after_work), TT_ERR_DEADLINE);
    assert_false(after_work->is_stuck);
}

static void a_start_in_the_meantime_is_no_delay(void **state)
{
    (void)state;
    assert_int_equal(admit(job(SIGN_HANDSHAKE, 0, 0, 1000)), TT_OK);
    assert_non_null(start(10 * MS));
    assert_int_equal(admit(job(SIGN_HANDSHAKE, 0, 5 * MS, 1000)), TT_OK); /* its clock was read before */
}

static void an_idle_chip_is_always_tried(void **state)
{
    (void)state;
    struct job_list late = {0};
    chip_takes(2000);
    struct sign_job *trial = job(SIGN_HANDSHAKE, 0, 0, 1000);
    assert_int_equal(admit(trial), TT_OK); /* else nobody would notice that it is fast again */
    plan_refuse_late(&plan, &late, 0);
    assert_null(late.head);
    assert_int_equal(admit(job(SIGN_HANDSHAKE, 0, 0, 1000)), TT_ERR_DEADLINE);
    assert_ptr_equal(start(0), trial);
}

static void late_ones_leave(void **state)
{
    (void)state;
    struct job_list late = {0};
    chip_takes(100);
    struct sign_job *a = job(SIGN_HANDSHAKE, 0, 0, 1000), *b = job(SIGN_HANDSHAKE, 0, 0, 250),
                    *c = job(SIGN_HANDSHAKE, 0, 0, 1000);
    assert_int_equal(admit(a), TT_OK);
    assert_int_equal(admit(b), TT_OK);
    assert_int_equal(admit(c), TT_OK);
    assert_int_equal(plan_next_deadline(&plan, NULL), 250 * MS);
    assert_ptr_equal(start(0), a);
    end(300 * MS);
    plan_refuse_late(&plan, &late, 160 * MS); /* not over, but cannot be in time */
    assert_ptr_equal(late.head, b);
    assert_int_equal(late.len, 1);
    assert_int_equal(b->error.rc, TT_ERR_DEADLINE);
    assert_ptr_equal(plan.waiting.head, c);
    plan_refuse_late(&plan, &late, 1000 * MS);
    assert_int_equal(late.len, 2);
    assert_string_equal(c->error.text, "the deadline of 1000 ms passed before it was this signature's turn");
    assert_int_equal(plan_next_deadline(&plan, NULL), 0);
}

static void a_full_queue_makes_room_for_others(void **state)
{
    (void)state;
    struct sign_job *hog[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(admit(hog[i] = job(SIGN_HANDSHAKE, 7, 0, 1000)), TT_OK);
    assert_null(plan_displace(&plan, job(SIGN_HANDSHAKE, 7, 0, 1000)));
    assert_null(plan_displace(&plan, job(SIGN_OTHER, 8, 0, 1000)));
    assert_ptr_equal(plan_displace(&plan, job(SIGN_HANDSHAKE, 8, 0, 1000)), hog[2]);
    assert_int_equal(plan.waiting.len, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(median_of_the_recent, set_up),
        cmocka_unit_test_setup(handshakes_go_first, set_up),
        cmocka_unit_test_setup(flows_take_turns, set_up),
        cmocka_unit_test_setup(what_cannot_be_in_time_is_refused, set_up),
        cmocka_unit_test_setup(a_silent_chip_refuses_soon, set_up),
        cmocka_unit_test_setup(behind_one_that_hangs, set_up),
        cmocka_unit_test_setup(a_start_in_the_meantime_is_no_delay, set_up),
        cmocka_unit_test_setup(an_idle_chip_is_always_tried, set_up),
        cmocka_unit_test_setup(late_ones_leave, set_up),
        cmocka_unit_test_setup(a_full_queue_makes_room_for_others, set_up),
    };
    return cmocka_run_group_tests_name("sign_plan", tests, NULL, NULL);
}
