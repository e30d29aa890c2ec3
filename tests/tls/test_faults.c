/* tests/tls/test_faults.c: whole handshakes, and the making of configurations, with the nth allocation
 * failing, for every n: a clean error or success, nothing leaked. Only in builds with fault injection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "support/pump.h"
#include "tls/config.h"

/* More than any of these makes; a test fails when it is not. */
#define MOST 1000

/* What our own lack of memory may be called; anything else would blame the peer or the caller. */
static bool is_own_failure(tt_rc rc)
{
    return rc == TT_ERR_MEMORY || rc == TT_ERR_INTERNAL;
}

/* What the client resumes with; NULL: nothing. */
static struct tt_session *session;

static void open_connections(struct pump *p)
{
    const struct tt_conn_options co = {.server_name = "localhost",
                                       .now = TEST_NOW,
                                       .sessions = &session,
                                       .sessions_len = session != NULL,
                                       .early_data = true};
    const struct tt_conn_options so = {.now = TEST_NOW};
    struct tt_error err = {0};
    p->late_rounds = 3;
    tt_rc rc = tt_conn_new(&p->client, p->client_cfg, &co, &err);
    if (rc == TT_OK)
        rc = tt_conn_new(&p->server, p->server_cfg, &so, &err);
    assert_true(rc == TT_OK || (is_own_failure(rc) && err.text[0] != '\0'));
}

static void close_connections(struct pump *p)
{
    tt_conn_free(p->client);
    tt_conn_free(p->server);
    p->client = p->server = NULL;
}

static void write_early(struct pump *p)
{
    static const uint8_t data[300];
    size_t n = 0;
    if (session != NULL)
        (void)!tt_conn_write_early(p->client, data, sizeof data, &n);
}

/* The handshake goes on when the 0-RTT data was read. */
static void take_early(struct pump *p)
{
    for (struct tt_bytes b = tt_conn_early_plaintext(p->server); b.len > 0;
         b = tt_conn_early_plaintext(p->server)) {
        (void)!tt_conn_early_plaintext_done(p->server, b.len);
        pump_run(p);
    }
}

/* Data both ways, a KeyUpdate, and the end. */
static void use_connections(struct pump *p)
{
    static uint8_t data[20000], got[40000];
    size_t n = 0;
    (void)!tt_conn_write(p->client, data, sizeof data, &n);
    (void)!tt_conn_key_update(p->client, true);
    for (int i = 0; i < 20; i++) {
        (void)pump_move(p, p->client, p->server);
        (void)!tt_conn_read(p->server, got, sizeof got, &n);
        (void)!tt_conn_write(p->server, data, 100, &n);
        (void)pump_move(p, p->server, p->client);
        (void)!tt_conn_read(p->client, got, sizeof got, &n);
        tt_conn_trim(p->client);
        tt_conn_trim(p->server);
    }
    (void)!tt_conn_close(p->client);
    (void)pump_move(p, p->client, p->server);
}

/* An end that failed says why: its own lack of memory, or what the other end told it. An end that fails when
 * it has sent its Finished and not yet its next key says so under a key that the other end no longer reads.
 */
static void check_end(const struct tt_conn *c, bool *own)
{
    const struct tt_conn_status *st = tt_conn_error(c);
    if (st->error.rc == TT_OK)
        return;
    assert_true(st->error.text[0] != '\0');
    if (is_own_failure(st->error.rc)) {
        *own = true;
        assert_true(st->alert_sent == TT_ALERT_INTERNAL_ERROR || st->alert_sent == TT_ALERT_NONE);
    } else if (st->error.rc == TT_ERR_PEER_ALERT) {
        assert_int_equal(st->alert_received, TT_ALERT_INTERNAL_ERROR);
    } else if (st->alert_sent != TT_ALERT_BAD_RECORD_MAC) {
        fail_msg("%s: %s", tt_rc_name(st->error.rc), st->error.text);
    }
}

/* So that each run judges the chain again. */
static void forget_chains(const struct pump *p)
{
    const struct tt_config *both[] = {p->client_cfg, p->server_cfg};
    for (size_t i = 0; i < TT_COUNT(both); i++)
        if (both[i]->trust != NULL)
            tt_trust_forget(both[i]->trust);
}

/* True when the allocation that was to fail was reached. */
static bool run_with_failure(struct pump *p, size_t nth)
{
    forget_chains(p);
    size_t live = mem_test_stats().live_blocks, before = mem_test_stats().allocations;
    print_message("# allocation %zu fails\n", nth); /* the last line before a crash says where */
    mem_test_fail_nth(nth);
    open_connections(p);
    if (p->client != NULL && p->server != NULL) {
        write_early(p);
        pump_run(p);
        take_early(p);
        use_connections(p);
    }
    bool reached = mem_test_stats().allocations - before + 1 >= nth, own = false;
    mem_test_fail_nth(0);
    if (p->client != NULL && p->server != NULL) {
        check_end(p->client, &own);
        check_end(p->server, &own);
        if (!own) /* then nothing at all went wrong */
            assert_true(tt_conn_error(p->client)->error.rc == TT_OK &&
                        tt_conn_error(p->server)->error.rc == TT_OK && tt_conn_is_connected(p->client) &&
                        tt_conn_is_connected(p->server));
    }
    close_connections(p);
    forget_chains(p);
    assert_int_equal(mem_test_stats().live_blocks, live);
    return reached;
}

static void every_allocation(struct pump options)
{
    size_t nth = 1, live = mem_test_stats().live_blocks;
    pump_configs(&options);
    while (nth < MOST && run_with_failure(&options, nth))
        nth++;
    assert_in_range(nth, 30, MOST - 1);
    pump_free(&options);
    assert_int_equal(mem_test_stats().live_blocks, live);
}

static void plain(void **state)
{
    (void)state;
    every_allocation((struct pump){.alpn_client = "mqtt", .alpn_server = "mqtt"});
}

static void hello_retry_request(void **state)
{
    (void)state;
    every_allocation((struct pump){.server_group = TT_GROUP_SECP384R1});
}

static void cookie(void **state)
{
    (void)state;
    every_allocation((struct pump){.force_retry = true, .suite = TT_SUITE_AES_256_GCM_SHA384});
}

static void client_authentication(void **state)
{
    (void)state;
    every_allocation((struct pump){
        .client_auth = TT_CLIENT_AUTH_REQUIRE, .client_has_identity = true, .sign = SIGN_LATE, .split = 700});
}

static void delegated_credential(void **state)
{
    (void)state;
    every_allocation((struct pump){.delegate = true});
}

/* Tickets sent and received, then a handshake with one of them and 0-RTT. */
static void resumption(void **state)
{
    (void)state;
    static const struct tt_ticket_key key = {.name = {1}, .key = {2}};
    struct tt_tickets *tickets = NULL;
    struct tt_error err = {0};
    size_t live = mem_test_stats().live_blocks;
    assert_int_equal(tt_tickets_new(&tickets, TEST_NOW * 1000, &err), TT_OK);
    assert_int_equal(tt_tickets_set_keys(tickets, &key, 1), TT_OK);
    struct pump p = {.tickets = tickets, .tickets_count = 2, .max_early_data = 16384};
    pump_start(&p);
    pump_run(&p);
    session = tt_conn_take_session(p.client);
    assert_non_null(session);
    close_connections(&p);
    open_connections(&p); /* the first 0-RTT makes the register of those seen, which stays */
    write_early(&p);
    pump_run(&p);
    assert_int_equal(tt_conn_early_plaintext(p.server).len, 300);
    take_early(&p);
    assert_int_equal(tt_conn_early_status(p.client), TT_EARLY_ACCEPTED);
    close_connections(&p);
    struct tt_session *resumed_with[] = {NULL, session};
    for (size_t i = 0; i < 2; i++) {
        size_t nth = 1;
        session = resumed_with[i];
        while (nth < MOST && run_with_failure(&p, nth))
            nth++;
        assert_in_range(nth, 30, MOST - 1);
    }
    tt_session_free(session);
    session = NULL;
    pump_free(&p);
    tt_tickets_free(tickets);
    assert_int_equal(mem_test_stats().live_blocks, live);
}

static void a_signature_that_fails(void **state)
{
    (void)state;
    struct pump p = {.sign = SIGN_FAILS};
    size_t live = mem_test_stats().live_blocks;
    pump_configs(&p);
    for (size_t nth = 1; nth < 200; nth++) {
        mem_test_fail_nth(nth);
        open_connections(&p);
        if (p.client != NULL && p.server != NULL)
            pump_run(&p);
        mem_test_fail_nth(0);
        close_connections(&p);
    }
    pump_free(&p);
    assert_int_equal(mem_test_stats().live_blocks, live);
}

/* struct maker: a configuration with everything a server can have. */
static tt_rc make_config(struct tt_config **ret, struct tt_trust **trust, const struct test_key *ca,
                         const struct test_key *key)
{
    static const struct tt_bytes name = {(const uint8_t *)"mqtt", 4};
    const struct tt_bytes pem = {(const uint8_t *)ca->cert_pem, strlen(ca->cert_pem)};
    const struct tt_bytes chain = {key->cert, key->cert_len};
    const struct tt_identity id = {&chain, 1, NULL, &key->scheme, 1};
    struct tt_error err = {0};
    tt_rc rc = tt_config_new(ret, TT_SERVER, &err);
    if (rc == TT_OK)
        rc = tt_trust_new(trust, &err);
    if (rc == TT_OK)
        rc = tt_trust_add_pem(*trust, pem, &err);
    if (rc == TT_OK)
        rc = tt_config_set_trust(*ret, *trust);
    if (rc == TT_OK)
        rc = tt_config_set_client_auth(*ret, TT_CLIENT_AUTH_REQUIRE);
    if (rc == TT_OK)
        rc = tt_config_set_alpn(*ret, &name, 1);
    if (rc == TT_OK)
        rc = tt_config_add_identity(*ret, &id, &err);
    return rc == TT_OK ? tt_config_freeze(*ret, &err) : rc;
}

static void configurations(void **state)
{
    (void)state;
    struct test_key *ca = test_key_new("P-256", &(struct test_cert){.cn = "test CA"});
    struct test_key *key =
        test_key_new("P-256", &(struct test_cert){.cn = "server", .dns = "localhost", .issuer = ca});
    size_t live = mem_test_stats().live_blocks, nth = 0;
    bool reached = true;
    while (reached && nth < MOST) {
        struct tt_config *cfg = NULL;
        struct tt_trust *trust = NULL;
        size_t before = mem_test_stats().allocations;
        print_message("# allocation %zu fails\n", ++nth);
        mem_test_fail_nth(nth);
        tt_rc rc = make_config(&cfg, &trust, ca, key);
        reached = mem_test_stats().allocations - before + 1 >= nth;
        mem_test_fail_nth(0);
        if (rc != TT_OK && !is_own_failure(rc))
            fail_msg("allocation %zu: %s", nth, tt_rc_name(rc));
        assert_true(reached || rc == TT_OK);
        tt_config_free(cfg);
        tt_trust_free(trust);
        assert_int_equal(mem_test_stats().live_blocks, live);
    }
    assert_in_range(nth, 5, MOST - 1);
    test_key_free(key);
    test_key_free(ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),
        cmocka_unit_test(hello_retry_request),
        cmocka_unit_test(cookie),
        cmocka_unit_test(client_authentication),
        cmocka_unit_test(delegated_credential),
        cmocka_unit_test(resumption),
        cmocka_unit_test(a_signature_that_fails),
        cmocka_unit_test(configurations),
    };
    return cmocka_run_group_tests_name("tls/faults", tests, NULL, NULL);
}
