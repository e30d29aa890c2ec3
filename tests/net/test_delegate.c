/* tests/net/test_delegate.c: keeping a delegated credential in use while the certificate's key is slow,
 * fails, or never answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "net/clock.h"
#include "net/delegate.h"
#include "net/gated_key.h"
#include "net/loop.h"
#include "support/range.h"
#include "tls/credential.h"

struct fixture {
    struct event_base *base;
    struct sign_queue *queue;
    struct test_key *ca;
    struct gated_key *key;
    struct tt_delegation *delegation;
    struct delegator *delegator;
    unsigned told, ticks;
    tt_rc last;
    int64_t valid_until;
};

static void on_told(void *arg, const struct delegate_report *report)
{
    struct fixture *f = arg;
    f->told++;
    f->last = report->error->rc;
    f->valid_until = report->valid_until;
    (void)event_base_loopbreak(f->base);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct fixture *f = arg;
    (void)fd;
    (void)what;
    f->ticks++;
    (void)event_base_loopbreak(f->base);
}

/* The loop, until something is told or so many milliseconds are over. */
static void run(struct fixture *f, long ms)
{
    struct event *timer = evtimer_new(f->base, on_tick, f);
    const struct timeval limit = {ms / 1000, ms % 1000 * 1000};
    assert_non_null(timer);
    assert_int_equal(event_add(timer, &limit), 0);
    (void)event_base_dispatch(f->base);
    event_free(timer);
}

static void set_up(struct fixture *f, int64_t certificate_lasts, unsigned lifetime_s)
{
    struct tt_error err = {0};
    int64_t now = clock_wall_ms() / 1000;
    *f = (struct fixture){.last = TT_OK};
    assert_int_equal(loop_new(&f->base, false, &err), TT_OK);
    f->ca = test_key_new("P-256", &(struct test_cert){.cn = "CA", .not_before = now - 100});
    f->key = gated_key_new(test_key_new("P-256", &(struct test_cert){.cn = "server",
                                                                     .issuer = f->ca,
                                                                     .delegation = true,
                                                                     .not_before = now - 100,
                                                                     .not_after = now + certificate_lasts}));
    const struct tt_bytes leaf = {f->key->real->cert, f->key->real->cert_len};
    assert_int_equal(tt_delegation_new(&f->delegation, TT_SERVER, leaf, &err), TT_OK);
    const struct sign_queue_options queue = {.base = f->base};
    assert_int_equal(sign_queue_new(&f->queue, &queue, &err), TT_OK);
    const struct delegate_options opt = {.base = f->base,
                                         .queue = f->queue,
                                         .key = &f->key->key,
                                         .delegation = f->delegation,
                                         .lifetime_s = lifetime_s,
                                         .told = on_told,
                                         .arg = f};
    assert_int_equal(delegate_start(&f->delegator, &opt, &err), TT_OK);
}

static void tear_down(struct fixture *f)
{
    delegate_free(f->delegator);
    sign_queue_free(f->queue);
    tt_delegation_free(f->delegation);
    gated_key_free(f->key);
    test_key_free(f->ca);
    event_base_free(f->base);
}

static bool has_credential(struct fixture *f, int64_t at)
{
    struct tt_credential *c = delegation_current(f->delegation, at);
    tt_credential_free(c);
    return c != NULL;
}

static void test_a_failure_is_repeated_soon(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, 1000, 16); /* so again after one second */
    f.key->failure = (struct tt_error){.rc = TT_ERR_TPM, .text = "gone"};
    run(&f, 10000);
    assert_int_equal(f.told, 1);
    assert_int_equal(f.last, TT_ERR_TPM);
    assert_false(has_credential(&f, clock_wall_ms() / 1000));
    f.key->failure.rc = TT_OK; /* the worker is idle */
    run(&f, 10000);
    assert_int_equal(f.told, 2);
    assert_int_equal(f.last, TT_OK);
    assert_true(has_credential(&f, f.valid_until - 1));
    assert_false(has_credential(&f, f.valid_until));
    tear_down(&f);
}

static void test_a_slow_key_holds_nothing_up(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, 1000, 3600);
    gated_key_shut(f.key);
    run(&f, 200);
    run(&f, 200);
    assert_int_equal(f.ticks, 2); /* the loop went on */
    assert_int_equal(f.told, 0);
    gated_key_open(f.key);
    run(&f, 10000);
    assert_int_equal(f.told, 1);
    assert_int_equal(f.last, TT_OK);
    tear_down(&f);
    /* freed while the key thinks: nobody is told */
    set_up(&f, 1000, 3600);
    gated_key_shut(f.key);
    run(&f, 100);
    delegate_free(f.delegator);
    f.delegator = NULL;
    gated_key_open(f.key);
    run(&f, 300);
    assert_int_equal(f.told, 0);
    tear_down(&f);
}

/* "Peers MUST NOT issue credentials with a validity period ... that extends beyond the validity period of the
 * delegation certificate", and of 7 days something is left for slow clocks. */
static void test_how_long_it_is_valid(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, 1000, 3600);
    run(&f, 10000);
    assert_int_equal(f.valid_until, tt_delegation_not_after(f.delegation));
    tear_down(&f);
    int64_t now = clock_wall_ms() / 1000;
    set_up(&f, 30 * 86400, DELEGATE_MAX_S);
    run(&f, 10000);
    assert_int_equal(f.last, TT_OK);
    assert_between(f.valid_until - now, DELEGATE_MAX_S - 600, DELEGATE_MAX_S - 200);
    tear_down(&f);
}

/* A certificate that has ended: it is said, and nothing is asked of the key. */
static void test_after_the_certificates_end(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f, -10, 3600);
    run(&f, 10000);
    assert_int_equal(f.told, 1);
    assert_int_equal(f.last, TT_ERR_USAGE);
    assert_int_equal(gated_key_started(f.key), 0);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_failure_is_repeated_soon),
        cmocka_unit_test(test_a_slow_key_holds_nothing_up),
        cmocka_unit_test(test_how_long_it_is_valid),
        cmocka_unit_test(test_after_the_certificates_end),
    };
    return cmocka_run_group_tests_name("net/delegate", tests, NULL, NULL);
}
