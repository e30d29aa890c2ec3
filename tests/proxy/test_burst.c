/* tests/proxy/test_burst.c: who signs, who resumes, who waits: without a connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "net/burst.h"
#include "tls/pair.h"

#define NOW NOW_MS

struct waiting {
    struct burst_waiter waiter; /* first */
    unsigned woken;
};

struct rig {
    struct burst *burst;
    struct session_store *store;
    struct session_key key;
    struct tt_session *session; /* as a ticket would bring */
    struct waiting waiting[8];
};

static void wake(struct burst_waiter *w)
{
    ((struct waiting *)w)->woken++;
}

/* As a ticket brings one; its content is not looked at here. */
static struct tt_session *make_session(void)
{
    struct node *root = node_ca("root", NULL), *leaf = node_server(root, "host.example");
    struct tt_tickets *tickets = pair_tickets();
    struct tt_config *server = pair_config_new(
                         &(struct pair_config){.role = TT_SERVER, .tickets = tickets, .chain = {leaf}}),
                     *client = pair_config_new(&(struct pair_config){.role = TT_CLIENT, .anchors = {root}});
    struct tt_session *s = pair_session(&(struct pair_options){client, server});
    tt_config_free(server);
    tt_config_free(client);
    tt_tickets_free(tickets);
    node_free(leaf);
    node_free(root);
    return s;
}

static int set_up_as(void **state, bool has_store, bool waits)
{
    static struct rig rig;
    struct tt_error err = {0};
    const struct session_store_options opt = {.mode = SESSIONS_IN_MEMORY};
    rig = (struct rig){.key = {.peer = "localhost:1", .server_name = "localhost"}};
    assert_int_equal(session_store_open(&rig.store, &opt, &err), TT_OK);
    assert_int_equal(burst_new(&rig.burst, has_store ? rig.store : NULL, waits, &err), TT_OK);
    for (size_t i = 0; i < TT_COUNT(rig.waiting); i++)
        rig.waiting[i].waiter.wake = wake;
    rig.session = make_session();
    *state = &rig;
    return 0;
}

static int set_up(void **state)
{
    return set_up_as(state, true, true);
}

static int set_up_without_waiting(void **state)
{
    return set_up_as(state, true, false);
}

static int set_up_without_sessions(void **state)
{
    return set_up_as(state, false, true);
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    burst_free(rig->burst);
    session_store_free(rig->store);
    tt_session_free(rig->session);
    return 0;
}

static enum burst_answer ask(struct rig *rig, size_t i)
{
    struct session_taken taken = {0};
    enum burst_answer answer = burst_ask(rig->burst, &rig->waiting[i].waiter, &rig->key, NOW, &taken);
    assert_true((answer == BURST_RESUME) == (taken.session != NULL));
    session_taken_free(&taken);
    return answer;
}

static void keep(struct rig *rig)
{
    struct tt_error err = {0};
    assert_int_equal(burst_keep(rig->burst, &rig->key, rig->session, NOW, &err), TT_OK);
}

static void gone(struct rig *rig, struct burst_outcome what)
{
    burst_gone(rig->burst, &what, NOW);
}

static void test_one_signs_and_its_tickets_wake_the_others(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(ask(rig, 0), BURST_SIGN);
    for (size_t i = 1; i < 4; i++)
        assert_int_equal(ask(rig, i), BURST_WAIT);
    assert_int_equal(burst_waiting(rig->burst), 3);
    keep(rig);
    keep(rig);
    assert_int_equal(rig->waiting[1].woken, 1); /* in the order in which they came */
    assert_int_equal(rig->waiting[2].woken, 1);
    assert_int_equal(rig->waiting[3].woken, 0);
    assert_int_equal(ask(rig, 1), BURST_RESUME);
    assert_int_equal(ask(rig, 2), BURST_RESUME);
    keep(rig); /* brought by one that resumed */
    assert_int_equal(rig->waiting[3].woken, 1);
    assert_int_equal(ask(rig, 3), BURST_RESUME);
}

static void test_a_ticket_is_given_out_once(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(ask(rig, 0), BURST_SIGN);
    keep(rig);
    assert_int_equal(ask(rig, 1), BURST_RESUME);
    assert_int_equal(ask(rig, 2), BURST_WAIT);
}

static void test_when_the_first_fails_the_next_one_signs(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(ask(rig, 0), BURST_SIGN);
    assert_int_equal(ask(rig, 1), BURST_WAIT);
    assert_int_equal(ask(rig, 2), BURST_WAIT);
    gone(rig, (struct burst_outcome){.connected = false});
    assert_int_equal(rig->waiting[1].woken, 1);
    assert_int_equal(rig->waiting[2].woken, 0);
    assert_int_equal(ask(rig, 1), BURST_SIGN);
}

static void test_a_peer_without_tickets_is_found_out_once(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(ask(rig, 0), BURST_SIGN);
    assert_int_equal(ask(rig, 1), BURST_WAIT);
    assert_int_equal(ask(rig, 2), BURST_WAIT);
    gone(rig, (struct burst_outcome){.connected = true, .waited = true});
    assert_int_equal(rig->waiting[1].woken + rig->waiting[2].woken, 2);
    for (size_t i = 1; i < 4; i++)
        assert_int_equal(ask(rig, i), BURST_SIGN); /* nobody waits any more */
}

/* A connection that ended before its ticket could come says nothing about the peer. */
static void test_a_short_connection_proves_nothing(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(ask(rig, 0), BURST_SIGN);
    gone(rig, (struct burst_outcome){.connected = true});
    assert_int_equal(ask(rig, 1), BURST_SIGN);
    assert_int_equal(ask(rig, 2), BURST_WAIT);
}

static void test_a_peer_that_refuses_tickets_is_found_out(void **state)
{
    struct rig *rig = *state;
    const struct burst_outcome refused = {.offered = true, .connected = true, .tickets = 2};
    assert_int_equal(ask(rig, 0), BURST_SIGN);
    assert_int_equal(ask(rig, 1), BURST_WAIT);
    keep(rig);
    assert_int_equal(ask(rig, 1), BURST_RESUME);
    gone(rig, refused); /* once may be a server that was started again */
    keep(rig);
    assert_int_equal(ask(rig, 2), BURST_RESUME);
    assert_int_equal(ask(rig, 3), BURST_WAIT);
    gone(rig, refused);
    assert_int_equal(rig->waiting[3].woken, 1);
    keep(rig);
    assert_int_equal(ask(rig, 3), BURST_SIGN);
}

static void test_who_resumes_clears_the_peer(void **state)
{
    struct rig *rig = *state;
    const struct burst_outcome refused = {.offered = true, .connected = true, .tickets = 2};
    for (size_t i = 0; i < 4; i++) {
        keep(rig);
        assert_int_equal(ask(rig, 0), BURST_RESUME);
        gone(rig, i % 2 == 0 ? refused
                             : (struct burst_outcome){.offered = true, .connected = true, .resumed = true});
    }
    keep(rig);
    assert_int_equal(ask(rig, 1), BURST_RESUME);
}

static void test_who_leaves_is_not_woken(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(ask(rig, 0), BURST_SIGN);
    for (size_t i = 1; i < 4; i++)
        assert_int_equal(ask(rig, i), BURST_WAIT);
    burst_leave(rig->burst, &rig->waiting[1].waiter);
    burst_leave(rig->burst, &rig->waiting[3].waiter);
    burst_leave(rig->burst, &rig->waiting[3].waiter); /* twice is fine */
    assert_int_equal(burst_waiting(rig->burst), 1);
    assert_int_equal(ask(rig, 4), BURST_WAIT); /* the end of the line is where it should be */
    keep(rig);
    keep(rig);
    assert_int_equal(rig->waiting[1].woken + rig->waiting[3].woken, 0);
    assert_int_equal(rig->waiting[2].woken, 1);
    assert_int_equal(rig->waiting[4].woken, 1);
}

/* Its time is over between the wake and the moment when it would have asked: nobody else would wake the rest.
 */
static void test_who_leaves_when_woken_passes_it_on(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(ask(rig, 0), BURST_SIGN);
    for (size_t i = 1; i < 5; i++)
        assert_int_equal(ask(rig, i), BURST_WAIT);
    gone(rig, (struct burst_outcome){.connected = false});
    assert_int_equal(rig->waiting[1].woken, 1);
    burst_leave(rig->burst, &rig->waiting[1].waiter);
    assert_int_equal(rig->waiting[2].woken, 1);
    burst_leave(rig->burst, &rig->waiting[1].waiter); /* once */
    assert_int_equal(rig->waiting[3].woken, 0);
    assert_int_equal(ask(rig, 2), BURST_SIGN);
    burst_leave(rig->burst, &rig->waiting[2].waiter); /* it has asked */
    assert_int_equal(rig->waiting[3].woken, 0);
    keep(rig);
    assert_int_equal(rig->waiting[3].woken, 1);
    burst_leave(rig->burst, &rig->waiting[3].waiter);
    assert_int_equal(rig->waiting[4].woken, 1); /* the ticket is still there */
    assert_int_equal(ask(rig, 4), BURST_RESUME);
}

static void test_burst_off_waits_for_nobody(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(ask(rig, 0), BURST_SIGN);
    assert_int_equal(ask(rig, 1), BURST_SIGN);
    keep(rig);
    assert_int_equal(ask(rig, 2), BURST_RESUME);
}

static void test_without_sessions_everybody_signs(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(ask(rig, 0), BURST_SIGN);
    assert_int_equal(ask(rig, 1), BURST_SIGN);
    keep(rig);
    assert_int_equal(ask(rig, 2), BURST_SIGN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_signs_and_its_tickets_wake_the_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_ticket_is_given_out_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_when_the_first_fails_the_next_one_signs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_peer_without_tickets_is_found_out_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_short_connection_proves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_peer_that_refuses_tickets_is_found_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_resumes_clears_the_peer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_leaves_is_not_woken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_leaves_when_woken_passes_it_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_burst_off_waits_for_nobody, set_up_without_waiting, tear_down),
        cmocka_unit_test_setup_teardown(test_without_sessions_everybody_signs, set_up_without_sessions,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("burst", tests, NULL, NULL);
}
