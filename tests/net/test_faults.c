/* tests/net/test_faults.c: a whole connection, again and again, with the nth allocation failing: it ends,
 * with an error or without, and nothing is leaked, used after it was freed, or waited for for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/rig.h"

/* More than a connection allocates; the test fails when it is not. */
#define MOST 2000

static struct rig rig;

/* True when the allocation that was to fail was reached. */
static bool run_with_failure(size_t nth)
{
    rig_set_up(&rig, true);
    rig.server.echo = true;
    rig.client.to_send = 40000;
    rig.client.close_when_sent = true;
    print_message("# allocation %zu fails\n", nth); /* the last line before a crash says where */
    size_t before = mem_test_stats().allocations;
    mem_test_fail_nth(nth);
    bool complete = rig_try_connect(&rig);
    if (complete)
        rig_run(&rig);
    size_t made = mem_test_stats().allocations - before;
    mem_test_fail_nth(0);
    bool reached = made + 1 >= nth;
    if (!reached)
        assert_int_equal(rig.client.received, 40000);
    rig_tear_down(&rig);
    return reached;
}

static void test_each_allocation_fails_once(void **state)
{
    (void)state;
    size_t nth = 1;
    while (nth < MOST && run_with_failure(nth))
        nth++;
    assert_true(nth > 20); /* it did fail a few */
    assert_true(nth < MOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_allocation_fails_once)};
    return cmocka_run_group_tests_name("net_faults", tests, NULL, NULL);
}
