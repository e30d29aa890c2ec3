/* tests/net/test_sign_queue.c: the signing worker: order, failure, cancellation in every state, the bound,
 * the end. Runs under TSan as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "net/gated_key.h"
#include "net/loop.h"
#include "net/sign_queue.h"

struct rig {
    struct event_base *base;
    struct sign_queue *queue;
    struct gated_key *key;
    struct other_loop *others[2]; /* that share its worker and are still there */
};

struct outcome {
    unsigned calls, at; /* how often called; as the how-manieth of all */
    tt_rc rc;
    char text[sizeof(((struct tt_error *)0)->text)];
    size_t signature_len;
    pthread_t called_on;
    struct sign_job *cancel; /* cancel this one from inside the callback */
};

static unsigned total_calls;

static void on_done(void *arg, const struct sign_answer *answer)
{
    struct outcome *o = arg;
    o->calls++;
    o->at = ++total_calls;
    o->rc = answer->error.rc;
    snprintf(o->text, sizeof o->text, "%s", answer->error.text);
    o->signature_len = answer->signature.len;
    o->called_on = pthread_self();
    if (o->cancel != NULL)
        sign_job_cancel(o->cancel);
}

static sign_done_fn done_fn = on_done;

static int set_up(void **state)
{
    static struct rig rig;
    struct tt_error err = {0};
    rig = (struct rig){0};
    total_calls = 0;
    rig.key = gated_key_new(test_key_new("P-256", &(struct test_cert){.cn = "key"}));
    assert_int_equal(loop_new(&rig.base, false, &err), TT_OK);
    const struct sign_queue_options opt = {.base = rig.base, .capacity = 3};
    assert_int_equal(sign_queue_new(&rig.queue, &opt, &err), TT_OK);
    *state = &rig;
    return 0;
}

static void other_loop_free(struct rig *beside, struct other_loop *other);

/* Also after a case that failed before it opened the gate or freed the others. */
static int tear_down(void **state)
{
    struct rig *rig = *state;
    gated_key_open(rig->key);
    for (size_t i = 0; i < TT_COUNT(rig->others); i++)
        if (rig->others[i] != NULL)
            other_loop_free(rig, rig->others[i]);
    sign_queue_free(rig->queue);
    event_base_free(rig->base);
    gated_key_free(rig->key);
    return 0;
}

static tt_rc submit(struct rig *rig, struct sign_job **ret, struct outcome *o, struct tt_error *err)
{
    char message[] = "to be signed";
    const struct sign_request request = {
        .key = &rig->key->key,
        .scheme = TT_SCHEME_ECDSA_SECP256R1_SHA256,
        .message = {(const uint8_t *)message, strlen(message)},
        .done = done_fn,
        .arg = o,
    };
    tt_rc rc = sign_queue_submit(rig->queue, ret, &request, err);
    memset(message, 'x', strlen(message)); /* the queue has its copy */
    return rc;
}

static struct sign_job *must_submit(struct rig *rig, struct outcome *o)
{
    struct sign_job *job = NULL;
    struct tt_error err = {0};
    assert_int_equal(submit(rig, &job, o, &err), TT_OK);
    assert_non_null(job);
    return job;
}

static void test_signs_on_the_worker_answers_on_the_loop(void **state)
{
    struct rig *rig = *state;
    struct outcome o = {0};
    must_submit(rig, &o);
    assert_int_equal(o.calls, 0);
    assert_int_equal(event_base_dispatch(rig->base), 1); /* ends by itself: an idle queue holds no loop */
    assert_int_equal(o.calls, 1);
    assert_int_equal(o.rc, TT_OK);
    assert_true(o.signature_len >= 68 && o.signature_len <= 72);
    assert_true(pthread_equal(o.called_on, pthread_self()));
    assert_false(pthread_equal(rig->key->signed_on, pthread_self()));
}

static void test_first_come_first_served(void **state)
{
    struct rig *rig = *state;
    struct outcome o[3] = {0};
    for (int i = 0; i < 3; i++)
        must_submit(rig, &o[i]);
    event_base_dispatch(rig->base);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(o[i].at, i + 1);
}

static void test_failure_is_told(void **state)
{
    struct rig *rig = *state;
    struct outcome bad = {0}, good = {0};
    (void)error_set(&rig->key->failure, TT_ERR_TPM, "the chip is out of order");
    must_submit(rig, &bad);
    event_base_dispatch(rig->base);
    assert_int_equal(bad.rc, TT_ERR_TPM);
    assert_string_equal(bad.text, "the chip is out of order");
    assert_int_equal(bad.signature_len, 0);
    rig->key->failure = (struct tt_error){0}; /* the worker is idle */
    must_submit(rig, &good);
    event_base_dispatch(rig->base);
    assert_int_equal(good.rc, TT_OK);
}

static void test_full_queue_refuses_at_once(void **state)
{
    struct rig *rig = *state;
    struct outcome o[4] = {0}, refused = {0};
    struct sign_job *job = NULL;
    struct tt_error err = {0};
    gated_key_shut(rig->key);
    must_submit(rig, &o[0]);
    gated_key_wait_started(rig->key, 1);
    for (int i = 1; i < 4; i++)
        must_submit(rig, &o[i]);
    assert_int_equal(submit(rig, &job, &refused, &err), TT_ERR_BUSY);
    assert_null(job);
    assert_non_null(strstr(err.text, "3 signatures are waiting"));
    gated_key_open(rig->key);
    event_base_dispatch(rig->base);
    assert_int_equal(total_calls, 4);
    assert_int_equal(refused.calls, 0);
}

static void test_cancel_while_waiting_and_running(void **state)
{
    struct rig *rig = *state;
    struct outcome running = {0}, waiting = {0}, last = {0};
    gated_key_shut(rig->key);
    struct sign_job *first = must_submit(rig, &running);
    gated_key_wait_started(rig->key, 1);
    struct sign_job *second = must_submit(rig, &waiting);
    must_submit(rig, &last);
    sign_job_cancel(first);
    sign_job_cancel(second);
    gated_key_open(rig->key);
    event_base_dispatch(rig->base);
    assert_int_equal(running.calls, 0);
    assert_int_equal(waiting.calls, 0);
    assert_int_equal(last.calls, 1);
    assert_int_equal(rig->key->started, 2); /* the waiting one never reached the key */
}

static void test_cancel_when_finished(void **state)
{
    struct rig *rig = *state;
    struct outcome first = {0}, second = {0};
    struct sign_job *job = must_submit(rig, &first);
    must_submit(rig, &second);
    gated_key_wait_ended(rig->key, 2); /* the first is on the finished list by now */
    sign_job_cancel(job);
    event_base_dispatch(rig->base);
    assert_int_equal(first.calls, 0);
    assert_int_equal(second.calls, 1);
}

static void test_cancel_another_from_a_callback(void **state)
{
    struct rig *rig = *state;
    struct outcome first = {0}, second = {0};
    must_submit(rig, &first);
    first.cancel = must_submit(rig, &second);
    event_base_dispatch(rig->base);
    assert_int_equal(first.calls, 1);
    assert_int_equal(second.calls, 0);
}

static void test_cancel_the_only_one_lets_the_loop_end(void **state)
{
    struct rig *rig = *state;
    struct outcome o = {0};
    gated_key_shut(rig->key);
    struct sign_job *job = must_submit(rig, &o);
    gated_key_wait_started(rig->key, 1);
    sign_job_cancel(job);
    assert_int_equal(event_base_dispatch(rig->base), 1);
    assert_int_equal(o.calls, 0);
    gated_key_open(rig->key);
}

/* ---- deadlines ---- */

/* Far apart, and far above what a busy machine makes a thread wait. */
#define SHORT_MS 500
#define LONG_MS  1500

static tt_rc submit_within(struct rig *rig, struct outcome *o, unsigned deadline_ms)
{
    struct sign_job *job = NULL;
    const struct sign_request request = {.key = &rig->key->key,
                                         .scheme = TT_SCHEME_ECDSA_SECP256R1_SHA256,
                                         .message = {(const uint8_t *)"message", 7},
                                         .deadline_ms = deadline_ms,
                                         .done = on_done,
                                         .arg = o};
    struct tt_error err = {0};
    return sign_queue_submit(rig->queue, &job, &request, &err);
}

static void test_waiting_and_running_end_at_their_deadlines(void **state)
{
    struct rig *rig = *state;
    struct outcome running = {0}, waiting = {0}, next = {0};
    gated_key_shut(rig->key);
    assert_int_equal(submit_within(rig, &running, LONG_MS), TT_OK);
    gated_key_wait_started(rig->key, 1);
    assert_int_equal(submit_within(rig, &waiting, SHORT_MS), TT_OK);
    assert_int_equal(event_base_dispatch(rig->base), 1); /* though the worker is stuck */
    assert_int_equal(waiting.at, 1);
    assert_int_equal(waiting.rc, TT_ERR_DEADLINE);
    assert_non_null(strstr(waiting.text, "the deadline of 500 ms passed before"));
    assert_int_equal(running.at, 2);
    assert_int_equal(running.rc, TT_ERR_DEADLINE);
    assert_non_null(strstr(running.text, "gave no signature within the deadline of 1500 ms"));
    gated_key_open(rig->key);
    gated_key_wait_ended(rig->key, 1);
    assert_int_equal(submit_within(rig, &next, 5000), TT_OK);
    event_base_dispatch(rig->base);
    assert_int_equal(next.rc, TT_OK);
    assert_int_equal(rig->key->started, 2); /* the expired one never reached the key */
    assert_int_equal(total_calls, 3);
}

static void *open_later(void *arg)
{
    usleep(20000);
    gated_key_open(arg);
    return NULL;
}

static void test_refused_at_once_when_too_slow(void **state)
{
    struct rig *rig = *state;
    struct outcome first = {0}, running = {0}, refused = {0};
    pthread_t opener;
    gated_key_shut(rig->key);
    must_submit(rig, &first);
    gated_key_wait_started(rig->key, 1);
    assert_int_equal(pthread_create(&opener, NULL, open_later, rig->key), 0);
    event_base_dispatch(rig->base); /* it took at least 20 ms: the median from now on */
    pthread_join(opener, NULL);
    gated_key_shut(rig->key);
    must_submit(rig, &running);
    gated_key_wait_started(rig->key, 2);
    assert_int_equal(submit_within(rig, &refused, 15), TT_ERR_DEADLINE);
    gated_key_open(rig->key);
    event_base_dispatch(rig->base);
    assert_int_equal(refused.calls, 0);
    assert_int_equal(running.rc, TT_OK);
}

static void test_cancel_leaves_no_deadline(void **state)
{
    struct rig *rig = *state;
    struct outcome o = {0};
    struct sign_job *job = NULL;
    struct tt_error err = {0};
    gated_key_shut(rig->key);
    assert_int_equal(submit(rig, &job, &o, &err), TT_OK);
    gated_key_wait_started(rig->key, 1);
    sign_job_cancel(job);
    assert_int_equal(submit_within(rig, &o, SHORT_MS), TT_OK);
    event_base_dispatch(rig->base);
    assert_int_equal(o.calls, 1); /* the second's */
    gated_key_open(rig->key);
}

/* ---- other work ---- */

struct errand {
    unsigned ran, released;
    pthread_t ran_on;
    struct gated_key *opens; /* when it is released; or NULL */
};

static tt_rc errand_run(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    struct errand *e = arg;
    assert_null(tpm);
    e->ran++;
    e->ran_on = pthread_self();
    return error_set(err, TT_ERR_UNSUPPORTED, "no such curve");
}

static void errand_release(void *arg)
{
    struct errand *e = arg;
    e->released++;
    if (e->opens != NULL)
        gated_key_open(e->opens);
}

static void submit_errand(struct rig *rig, struct errand *e, struct outcome *o, tt_rc expected)
{
    const struct sign_work work = {errand_run, errand_release, e};
    const struct sign_request request = {.work = &work, .class = SIGN_OTHER, .done = on_done, .arg = o};
    struct sign_job *job = NULL;
    assert_int_equal(sign_queue_submit(rig->queue, &job, &request, NULL), expected);
}

static void test_other_work_waits_for_handshakes(void **state)
{
    struct rig *rig = *state;
    struct outcome running = {0}, work = {0}, signature = {0};
    static struct errand e;
    gated_key_shut(rig->key);
    must_submit(rig, &running);
    gated_key_wait_started(rig->key, 1);
    submit_errand(rig, &e, &work, TT_OK);
    must_submit(rig, &signature);
    gated_key_open(rig->key);
    event_base_dispatch(rig->base);
    assert_int_equal(signature.at, 2);
    assert_int_equal(work.at, 3);
    assert_int_equal(work.rc, TT_ERR_UNSUPPORTED);
    assert_string_equal(work.text, "no such curve");
    assert_int_equal(e.ran, 1);
    assert_int_equal(e.released, 1);
    assert_false(pthread_equal(e.ran_on, pthread_self()));
}

static void test_work_is_released_once_in_any_case(void **state)
{
    struct rig *rig = *state;
    struct outcome o[4] = {0}, unused = {0};
    static struct errand dropped, refused;
    gated_key_shut(rig->key);
    must_submit(rig, &o[0]);
    gated_key_wait_started(rig->key, 1);
    submit_errand(rig, &dropped, &unused, TT_OK);
    for (int i = 1; i < 4; i++) /* the last one takes the place of the errand */
        must_submit(rig, &o[i]);
    submit_errand(rig, &refused, &unused, TT_ERR_BUSY);
    gated_key_open(rig->key);
    event_base_dispatch(rig->base);
    assert_int_equal(dropped.released, 1);
    assert_int_equal(dropped.ran, 0);
    assert_int_equal(unused.calls, 1);
    assert_int_equal(unused.rc, TT_ERR_BUSY);
    assert_int_equal(refused.released, 0); /* it stayed the caller's */
}

/* ---- the end ---- */

/* The gate opens when what waits is dropped, and not before. */
static void test_free_with_work_left(void **state)
{
    struct rig *rig = *state;
    struct outcome running = {0}, waiting = {0}, work = {0};
    static struct errand last; /* the queue has it, also after a case that failed */
    last.opens = rig->key;
    gated_key_shut(rig->key);
    must_submit(rig, &running);
    gated_key_wait_started(rig->key, 1);
    must_submit(rig, &waiting);
    submit_errand(rig, &last, &work, TT_OK);
    sign_queue_free(TT_TAKE(rig->queue));
    assert_int_equal(last.released, 1);
    assert_int_equal(last.ran, 0);
    event_base_loop(rig->base, EVLOOP_NONBLOCK);
    assert_int_equal(total_calls, 0);
    assert_int_equal(rig->key->started, 1);
}

/* ---- several loops, one worker ---- */

#define TRIES 20000 /* a millisecond each */

struct other_loop {
    struct rig rig; /* its queue stands beside the first */
    struct outcome o[8];
};

static void *run_other_loop(void *arg)
{
    struct other_loop *other = arg;
    for (size_t i = 0; i < TT_COUNT(other->o); i++) {
        struct sign_job *job = NULL;
        for (unsigned tries = 0; /* three may wait, of both */
             tries < TRIES && submit(&other->rig, &job, &other->o[i], NULL) != TT_OK; tries++) {
            (void)event_base_loop(other->rig.base, EVLOOP_NONBLOCK);
            usleep(1000);
        }
        if (i % 2 == 1)
            event_base_dispatch(other->rig.base);
    }
    event_base_dispatch(other->rig.base);
    return NULL;
}

static void count_call(void *arg, const struct sign_answer *answer)
{
    struct outcome *o = arg;
    o->calls++;
    o->rc = answer->error.rc;
    o->called_on = pthread_self();
}

static struct other_loop *other_loop_new(struct rig *beside)
{
    struct other_loop *other = calloc(1, sizeof *other);
    struct tt_error err = {0};
    other->rig.key = beside->key;
    assert_int_equal(loop_new(&other->rig.base, false, &err), TT_OK);
    const struct sign_queue_options opt = {.base = other->rig.base, .beside = beside->queue};
    assert_int_equal(sign_queue_new(&other->rig.queue, &opt, &err), TT_OK);
    beside->others[beside->others[0] != NULL] = other;
    return other;
}

static void other_loop_free(struct rig *beside, struct other_loop *other)
{
    beside->others[beside->others[0] != other] = NULL;
    sign_queue_free(other->rig.queue);
    event_base_free(other->rig.base);
    free(other);
}

static void test_each_loop_gets_its_own_answers(void **state)
{
    struct rig *rig = *state;
    struct other_loop *others[2] = {other_loop_new(rig), other_loop_new(rig)};
    pthread_t threads[2];
    done_fn = count_call;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_other_loop, others[i]), 0);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    done_fn = on_done;
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < TT_COUNT(others[i]->o); j++) {
            assert_int_equal(others[i]->o[j].calls, 1);
            assert_int_equal(others[i]->o[j].rc, TT_OK);
            assert_true(pthread_equal(others[i]->o[j].called_on, threads[i]));
        }
    }
    assert_int_equal(rig->key->started, 2 * TT_COUNT(others[0]->o));
    other_loop_free(rig, others[0]);
    struct outcome o = {0};
    must_submit(rig, &o); /* the worker is still there */
    event_base_dispatch(rig->base);
    assert_int_equal(o.rc, TT_OK);
    other_loop_free(rig, others[1]);
}

static void test_a_queue_that_leaves_takes_its_jobs_along(void **state)
{
    struct rig *rig = *state;
    struct other_loop *other = other_loop_new(rig);
    struct outcome running = {0}, waiting = {0}, ours = {0};
    struct sign_queue_state busy;
    gated_key_shut(rig->key);
    must_submit(&other->rig, &running);
    gated_key_wait_started(rig->key, 1);
    must_submit(&other->rig, &waiting);
    must_submit(rig, &ours);
    sign_queue_look(rig->queue, &busy);
    assert_int_equal(busy.waiting, 3);
    other_loop_free(rig, other);
    sign_queue_look(rig->queue, &busy);
    assert_int_equal(busy.waiting, 2);
    gated_key_open(rig->key);
    event_base_dispatch(rig->base);
    assert_int_equal(running.calls + waiting.calls, 0);
    assert_int_equal(ours.calls, 1);
    assert_int_equal(rig->key->started, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_signs_on_the_worker_answers_on_the_loop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_first_come_first_served, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failure_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_queue_refuses_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel_while_waiting_and_running, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel_when_finished, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel_another_from_a_callback, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel_the_only_one_lets_the_loop_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_waiting_and_running_end_at_their_deadlines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused_at_once_when_too_slow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel_leaves_no_deadline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_work_waits_for_handshakes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_work_is_released_once_in_any_case, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_free_with_work_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_each_loop_gets_its_own_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_queue_that_leaves_takes_its_jobs_along, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("sign_queue", tests, NULL, NULL);
}
