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

static uint16_t at16(struct tt_bytes b, size_t at)
{
    return (uint16_t)(b.data[at] << 8 | b.data[at + 1]);
}

/* The groups of the shares in a ClientHello that waits to be sent; returns how many. */
static size_t shares_of(const struct tt_conn *client, uint16_t groups[8])
{
    struct tt_bytes hello = tt_conn_output(client);
    size_t at = 5 + 38, n = 0;
    at += 1 + (size_t)hello.data[at];
    at += 2 + (size_t)at16(hello, at);
    at += 2 + 2; /* legacy_compression_methods, the length of all extensions */
    while (at16(hello, at) != 51)
        at += 4 + (size_t)at16(hello, at + 2);
    size_t end = at + 4 + at16(hello, at + 2);
    for (at += 6; at < end; at += 4 + (size_t)at16(hello, at + 2))
        groups[n++] = at16(hello, at);
    return n;
}

static void p384_first(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)p;
    (void)server;
    static const uint16_t shares[] = {TT_GROUP_SECP384R1, TT_GROUP_SECP256R1};
    assert_int_equal(tt_config_set_key_shares(client, shares, 2), TT_OK);
    assert_int_equal(tt_config_set_grease(client, false), TT_OK);
}

/* "Each KeyShareEntry value MUST correspond to a group offered in the "supported_groups" extension and MUST
 * appear in the same order." (section 4.3.8), whatever the configuration and the memory say. */
static void shares_stand_in_the_order_of_the_groups(void **state)
{
    (void)state;
    struct pump p = {.configure = p384_first};
    pump_configs(&p);
    static const uint16_t known[] = {0, TT_GROUP_X25519, TT_GROUP_SECP384R1};
    static const uint16_t expected[][2] = {{TT_GROUP_SECP256R1, TT_GROUP_SECP384R1},
                                           {TT_GROUP_X25519, TT_GROUP_SECP384R1},
                                           {TT_GROUP_SECP384R1, 0}};
    for (size_t i = 0; i < 3; i++) {
        uint16_t groups[8] = {0};
        const struct tt_conn_options co = {
            .server_name = "localhost", .now = TEST_NOW, .known_group = known[i]};
        struct tt_conn *client = NULL;
        assert_int_equal(tt_conn_new(&client, p.client_cfg, &co, NULL), TT_OK);
        assert_int_equal(shares_of(client, groups), i == 2 ? 1 : 2);
        assert_int_equal(groups[0], expected[i][0]);
        assert_int_equal(groups[1], expected[i][1]);
        tt_conn_free(client);
    }
    pump_free(&p);
}

static uint16_t only;

static void server_has_one_group(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)p;
    (void)client;
    if (only != 0 && tt_config_set_groups(server, &only, 1) != TT_OK)
        only = 0; /* libcrypto has it not */
}

/* Between our own ends with the same groups: never. With a server that has one group alone: at most at the
 * first meeting. */
static void own_ends_do_not_retry(void **state)
{
    (void)state;
    static const uint16_t groups[] = {0, TT_GROUP_X25519, TT_GROUP_SECP256R1, TT_GROUP_SECP384R1};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        struct pump p = {.configure = server_has_one_group};
        only = groups[i];
        pump_configs(&p);
        struct tt_conn_info first = connect_knowing(&p, 0, NULL);
        if (only == 0 || only == TT_GROUP_X25519)
            assert_false(first.hello_retry_request);
        else
            assert_true(first.hello_retry_request); /* that the next line shows something */
        assert_false(connect_knowing(&p, first.group, NULL).hello_retry_request);
        pump_free(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_time_no_retry),
        cmocka_unit_test(a_stale_memory_does_no_harm),
        cmocka_unit_test(own_ends_do_not_retry),
        cmocka_unit_test(a_session_remembers),
        cmocka_unit_test(shares_stand_in_the_order_of_the_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
