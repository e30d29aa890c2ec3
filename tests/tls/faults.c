/* tests/tls/faults.c: see faults.h. */
#include "faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "support/range.h"
#include "tls/config.h"

bool faults_is_own(tt_rc rc)
{
    return rc == TT_ERR_MEMORY || rc == TT_ERR_INTERNAL;
}

/* What the client resumes with; NULL: nothing. */
static struct tt_session *session;

void faults_open(struct pump *p)
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
    assert_true(rc == TT_OK || (faults_is_own(rc) && err.text[0] != '\0'));
}

void faults_close(struct pump *p)
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
static void check_end(const struct tt_conn *c, const struct tt_conn *peer, bool *own)
{
    const struct tt_conn_status *st = tt_conn_error(c);
    if (st->error.rc == TT_OK)
        return;
    assert_true(st->error.text[0] != '\0');
    if (faults_is_own(st->error.rc)) {
        *own = true;
        if (st->error.rc == TT_ERR_MEMORY)
            assert_string_equal(st->error.text, "out of memory");
        assert_true(st->alert_sent == TT_ALERT_INTERNAL_ERROR || st->alert_sent == TT_ALERT_NONE);
    } else if (st->error.rc == TT_ERR_PEER_ALERT) {
        assert_int_equal(st->alert_received, tt_conn_error(peer)->alert_sent);
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

/* Everything a connection does, from its making on. */
static void run(struct pump *p)
{
    faults_open(p);
    if (p->client == NULL || p->server == NULL)
        return;
    write_early(p);
    pump_run(p);
    take_early(p);
    use_connections(p);
}

static void check_nothing_went_wrong(const struct pump *p)
{
    assert_int_equal(tt_conn_error(p->client)->error.rc, TT_OK);
    assert_int_equal(tt_conn_error(p->server)->error.rc, TT_OK);
    assert_true(tt_conn_is_connected(p->client) && tt_conn_is_connected(p->server));
}

/* True when the allocation that was to fail was reached. */
static bool run_with_failure(const struct fault_source *s, struct pump *p, size_t nth)
{
    forget_chains(p);
    size_t live = mem_test_stats().live_blocks, before = s->count();
    print_message("# allocation %zu fails\n", nth); /* the last line before a crash says where */
    s->fail_nth(nth);
    run(p);
    bool reached = s->count() - before + 1 >= nth, own = false;
    s->fail_nth(0);
    if (p->client != NULL && p->server != NULL) {
        check_end(p->client, p->server, &own);
        check_end(p->server, p->client, &own);
        if (!own)
            check_nothing_went_wrong(p);
    }
    faults_close(p);
    forget_chains(p);
    assert_int_equal(mem_test_stats().live_blocks, live);
    return reached;
}

static void check_next_works(struct pump *p)
{
    run(p);
    check_nothing_went_wrong(p);
    faults_close(p);
    forget_chains(p);
}

static void every_nth(const struct fault_source *s, struct pump *p)
{
    size_t nth = 1;
    check_next_works(p); /* what is made once and stays is there then */
    for (; nth < s->most && run_with_failure(s, p, nth); nth++)
        if (nth < 100 || nth % 7 == 0)
            check_next_works(p);
    assert_between(nth, s->least, s->most - 1);
}

static void every_allocation(void **state, struct pump options)
{
    size_t live = mem_test_stats().live_blocks;
    pump_configs(&options);
    every_nth(*state, &options);
    pump_free(&options);
    assert_int_equal(mem_test_stats().live_blocks, live);
}

void faults_plain(void **state)
{
    every_allocation(state, (struct pump){.alpn_client = "mqtt", .alpn_server = "mqtt"});
}

void faults_hello_retry_request(void **state)
{
    every_allocation(state, (struct pump){.server_group = TT_GROUP_SECP384R1});
}

void faults_cookie(void **state)
{
    every_allocation(state, (struct pump){.force_retry = true, .suite = TT_SUITE_AES_256_GCM_SHA384});
}

void faults_client_authentication(void **state)
{
    every_allocation(state, (struct pump){.client_auth = TT_CLIENT_AUTH_REQUIRE,
                                          .client_has_identity = true,
                                          .sign = SIGN_LATE,
                                          .split = 700});
}

void faults_delegated_credential(void **state)
{
    every_allocation(state, (struct pump){.delegate = true});
}

/* Tickets sent and received, then a handshake with one of them and 0-RTT. */
void faults_resumption(void **state)
{
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
    faults_close(&p);
    faults_open(&p); /* the first 0-RTT makes the register of those seen, which stays */
    write_early(&p);
    pump_run(&p);
    assert_int_equal(tt_conn_early_plaintext(p.server).len, 300);
    take_early(&p);
    assert_int_equal(tt_conn_early_status(p.client), TT_EARLY_ACCEPTED);
    faults_close(&p);
    struct tt_session *resumed_with[] = {NULL, session};
    for (size_t i = 0; i < 2; i++) {
        session = resumed_with[i];
        every_nth(*state, &p);
    }
    tt_session_free(session);
    session = NULL;
    pump_free(&p);
    tt_tickets_free(tickets);
    assert_int_equal(mem_test_stats().live_blocks, live);
}
