/* tests/tls/test_known_group.c: a client that knows which group a server chose before sends a share for it,
 * so that the server need not ask. RFC 9846 section 4.3.8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/pump.h"
#include "tpmtls/key.h"

/* A new connection of the same two ends; the client knows what the options say. */
static struct tt_conn_info connect_knowing(struct pump *p, uint16_t group, struct tt_session *session)
{
    tt_conn_free(p->client);
    tt_conn_free(p->server);
    const struct tt_conn_options co = {.server_name = "localhost",
                                       .now = TEST_NOW,
                                       .known_group = group,
                                       .sessions = &session,
                                       .sessions_len = session != NULL};
    assert_int_equal(tt_conn_new(&p->client, p->client_cfg, &co, NULL), TT_OK);
    assert_int_equal(tt_conn_new(&p->server, p->server_cfg, &(struct tt_conn_options){.now = TEST_NOW}, NULL),
                     TT_OK);
    pump_run(p);
    assert_true(tt_conn_is_connected(p->client) && tt_conn_is_connected(p->server));
    struct tt_conn_info info;
    tt_conn_info(p->client, &info);
    return info;
}

static void the_second_time_no_retry(void **state)
{
    (void)state;
    struct pump p = {.server_group = TT_GROUP_SECP384R1};
    pump_configs(&p);
    struct tt_conn_info first = connect_knowing(&p, 0, NULL);
    assert_true(first.hello_retry_request);
    struct tt_conn_info second = connect_knowing(&p, first.group, NULL);
    assert_false(second.hello_retry_request);
    assert_int_equal(second.group, TT_GROUP_SECP384R1);
    pump_free(&p);
}

/* What was right once may be wrong today. */
static void a_stale_memory_does_no_harm(void **state)
{
    (void)state;
    struct pump p = {.server_group = TT_GROUP_SECP384R1};
    pump_configs(&p);
    assert_true(connect_knowing(&p, TT_GROUP_SECP256R1, NULL).hello_retry_request);
    assert_true(connect_knowing(&p, TT_GROUP_X448, NULL).hello_retry_request); /* not configured */
    assert_true(connect_knowing(&p, 0x1a1a, NULL).hello_retry_request);
    pump_free(&p);
    /* The most wanted group still has its share: a server that learnt it answers at once. */
    struct pump q = {.server_group = TT_GROUP_X25519};
    pump_configs(&q);
    struct tt_conn_info info = connect_knowing(&q, TT_GROUP_SECP384R1, NULL);
    assert_false(info.hello_retry_request);
    assert_int_equal(info.group, TT_GROUP_X25519);
    pump_free(&q);
}

static void a_session_remembers(void **state)
{
    (void)state;
    static const struct tt_ticket_key key = {.name = {1}, .key = {2}};
    struct pump p = {.server_group = TT_GROUP_SECP384R1, .tickets_count = 1};
    assert_int_equal(tt_tickets_new(&p.tickets, TEST_NOW * 1000, NULL), TT_OK);
    assert_int_equal(tt_tickets_set_keys(p.tickets, &key, 1), TT_OK);
    pump_configs(&p);
    assert_true(connect_knowing(&p, 0, NULL).hello_retry_request);
    struct tt_session *ticket = tt_conn_take_session(p.client), *s = NULL;
    uint8_t *bytes = NULL;
    size_t len = 0;
    assert_int_equal(tt_session_export(ticket, &bytes, &len), TT_OK);
    assert_int_equal(tt_session_import(&s, (struct tt_bytes){bytes, len}), TT_OK);
    struct tt_session_info about;
    tt_session_info(s, &about);
    assert_int_equal(about.group, TT_GROUP_SECP384R1);
    struct tt_conn_info info = connect_knowing(&p, 0, s);
    assert_true(info.resumed);
    assert_false(info.hello_retry_request);
    tt_free(bytes);
    tt_session_free(ticket);
    tt_session_free(s);
    tt_tickets_free(p.tickets);
    pump_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_time_no_retry),
        cmocka_unit_test(a_stale_memory_does_no_harm),
        cmocka_unit_test(a_session_remembers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
