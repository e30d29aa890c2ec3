/* tests/proxy/test_inbox.c: what is posted is run once, in order, and never so much at once that a socket of
 * the same loop waits for a crowd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <unistd.h>

#include "net/loop.h"
#include "proxy/inbox.h"

#define CROWD 100

struct numbered {
    struct post post;
    size_t number;
};

static struct event_base *base;
static struct inbox box;
static struct numbered crowd[CROWD];
static size_t ran[CROWD], ran_len;

static void run(struct post *p)
{
    assert_true(ran_len < CROWD);
    ran[ran_len++] = ((struct numbered *)p)->number;
}

static int set_up(void **state)
{
    (void)state;
    struct tt_error err = {0};
    box = (struct inbox){0};
    ran_len = 0;
    for (size_t i = 0; i < CROWD; i++)
        crowd[i] = (struct numbered){.post.run = run, .number = i};
    return loop_new(&base, false, &err) == TT_OK && inbox_open(&box, base, &err) == TT_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    inbox_close(&box);
    event_base_free(base);
    return 0;
}

static void turn(void)
{
    assert_true(event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK) >= 0);
}

static void test_in_order_and_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < CROWD; i++)
        inbox_post(&box, &crowd[i].post);
    inbox_post(&box, &crowd[0].post); /* pending already */
    for (size_t i = 0; i < CROWD + 2; i++)
        turn();
    assert_int_equal(ran_len, CROWD);
    for (size_t i = 0; i < CROWD; i++)
        assert_int_equal(ran[i], i);
}

static void count_reading(evutil_socket_t fd, short what, void *arg)
{
    char byte;
    (void)what;
    assert_int_equal(read(fd, &byte, 1), 1);
    *(size_t *)arg = ran_len;
}

/* A byte that comes on a socket is read before more than one turn's posts. */
static void test_a_crowd_does_not_hold_up_a_socket(void **state)
{
    (void)state;
    int ends[2];
    size_t before = CROWD + 1;
    assert_int_equal(pipe(ends), 0);
    struct event *readable = event_new(base, ends[0], EV_READ | EV_PERSIST, count_reading, &before);
    assert_int_equal(event_add(readable, NULL), 0);
    for (size_t i = 0; i < CROWD; i++)
        inbox_post(&box, &crowd[i].post);
    assert_int_equal(write(ends[1], "", 1), 1);
    turn();
    assert_true(ran_len <= INBOX_A_TURN);
    assert_true(before <= INBOX_A_TURN);
    event_free(readable);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void test_taken_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        inbox_post(&box, &crowd[i].post);
    inbox_take_back(&box, &crowd[1].post);
    turn();
    turn();
    assert_int_equal(ran_len, 2);
    assert_int_equal(ran[1], 2);
    inbox_post(&box, &crowd[1].post); /* and may be posted again */
    turn();
    assert_int_equal(ran_len, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_order_and_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_crowd_does_not_hold_up_a_socket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_taken_back, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("inbox", tests, NULL, NULL);
}
