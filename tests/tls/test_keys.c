/* tests/tls/test_keys.c: changes of keys: KeyUpdate asked, answered and crossed; records under a key that is
 * over; data on its way while keys change. RFC 9846 sections 4.7.3, 5.5, 7.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "support/range.h"
#include "tls/edit.h"

/* What RFC 9846 demands here. Section 4.7.3: "After sending a KeyUpdate message, the sender SHALL send all
 * its traffic using the next generation of keys" "Upon receiving a KeyUpdate, the receiver MUST update its
 * receiving keys." Section 5.5: "MUST either close the connection or do a key update" */

static const uint8_t requested[] = {TT_HS_KEY_UPDATE, 0, 0, 1, 1};
static const uint8_t not_requested[] = {TT_HS_KEY_UPDATE, 0, 0, 1, 0};

static struct scene *connected(void)
{
    struct scene *s = scene_of(KIND_PLAIN);
    scene_open(s);
    scene_finish(s);
    return s;
}

/* What waits to be delivered to that end is this and nothing else; it is then gone. */
static void expect_inbox(struct scene *s, enum tt_role to, const uint8_t *message, size_t len)
{
    assert_int_equal(buf_size(&s->inbox[to]), len);
    if (len > 0)
        assert_memory_equal(buf_front(&s->inbox[to]), message, len);
    buf_consume(&s->inbox[to], len);
}

static void write_data(struct scene *s, enum tt_role from, const char *text)
{
    size_t n = 0, before = buf_size(&s->app[from]);
    assert_int_equal(tt_conn_write(s->conn[from], (const uint8_t *)text, strlen(text), &n), TT_OK);
    assert_int_equal(n, strlen(text));
    scene_collect(s);
    assert_int_equal(buf_size(&s->app[from]) - before, n);
}

static void a_request_is_answered_once(void **state)
{
    (void)state;
    for (enum tt_role end = TT_CLIENT; end <= TT_SERVER; end++) {
        struct scene *s = connected();
        struct ks_secret before = s->conn[end]->write_secret, expected = before;
        assert_int_equal(scene_put(s, end, CT_HANDSHAKE, (struct tt_bytes){requested, sizeof requested}),
                         TT_OK);
        expect_inbox(s, scene_other(end), NULL, 0); /* with the next data, not before */
        write_data(s, end, "with the answer");
        expect_inbox(s, scene_other(end), not_requested, sizeof not_requested);
        assert_int_equal(ks_next_traffic(s->cfg[end]->lib, s->conn[end]->suite->hash, &expected), TT_OK);
        assert_memory_equal(&s->conn[end]->write_secret, &expected, hash_size(s->conn[end]->suite->hash));
        write_data(s, end, "after the answer");
        expect_inbox(s, scene_other(end), NULL, 0);
    }
}

/* "[the receiver] MUST send a KeyUpdate of its own ... prior to sending its next Application Data record":
 * several requests that came while nothing could be sent need one answer only. */
static void requests_that_wait_share_an_answer(void **state)
{
    (void)state;
    struct scene *s = connected();
    struct tt_conn *c = s->conn[TT_CLIENT];
    size_t n = 0;
    struct buf out = {0};
    assert_int_equal(tt_conn_write(c, requested, 1, &n), TT_OK); /* unsent bytes are in the way */
    for (int i = 0; i < 3; i++) {
        scene_seal(s, TT_CLIENT, (struct scene_record){CT_HANDSHAKE, {requested, sizeof requested}, 0}, 0,
                   &out);
        assert_int_equal(tt_conn_feed(c, buf_front(&out), buf_size(&out), &n), TT_OK);
        buf_consume(&out, buf_size(&out));
    }
    buf_free(&out);
    assert_true(c->key_update_owed);
    scene_collect(s);
    expect_inbox(s, TT_SERVER, NULL, 0);
    assert_int_equal(tt_conn_write(c, requested, 1, &n), TT_OK);
    scene_collect(s);
    expect_inbox(s, TT_SERVER, not_requested, sizeof not_requested);
    assert_int_equal(buf_size(&s->app[TT_CLIENT]), 2);
}

static void update_not_requested_is_not_answered(void **state)
{
    (void)state;
    struct scene *s = connected();
    assert_int_equal(
        scene_put(s, TT_SERVER, CT_HANDSHAKE, (struct tt_bytes){not_requested, sizeof not_requested}), TT_OK);
    expect_inbox(s, TT_CLIENT, NULL, 0);
    write_data(s, TT_SERVER, "nothing changed here");
}

/* Both ask at once: each answers, and then it is quiet. */
static void requests_that_cross(void **state)
{
    (void)state;
    struct scene *s = connected();
    assert_int_equal(tt_conn_key_update(s->conn[TT_CLIENT], true), TT_OK);
    assert_int_equal(tt_conn_key_update(s->conn[TT_SERVER], true), TT_OK);
    scene_collect(s);
    for (int rounds = 0; scene_tick(s); rounds++)
        assert_between(rounds, 0, 4);
    scene_expect_well(s, TT_CLIENT, "crossing");
    scene_expect_well(s, TT_SERVER, "crossing");
    write_data(s, TT_CLIENT, "still");
    write_data(s, TT_SERVER, "here");
}

/* "the sender MUST NOT send another KeyUpdate with request_update set to "update_requested"" before the
 * answer. */
static void one_request_at_a_time(void **state)
{
    (void)state;
    struct scene *s = connected();
    assert_int_equal(tt_conn_key_update(s->conn[TT_CLIENT], true), TT_OK);
    scene_collect(s);
    expect_inbox(s, TT_SERVER, requested, sizeof requested);
    assert_int_equal(tt_conn_key_update(s->conn[TT_CLIENT], true), TT_OK);
    scene_collect(s);
    expect_inbox(s, TT_SERVER, not_requested, sizeof not_requested);
}

/* Before it is connected an end sends none. */
static void none_in_the_handshake(void **state)
{
    (void)state;
    struct scene *s = scene_of(KIND_PLAIN);
    scene_open(s);
    assert_int_equal(tt_conn_key_update(s->conn[TT_CLIENT], true), TT_ERR_USAGE);
    scene_reach(s, TT_SERVER, SERVER_WAIT_FINISHED);
    assert_int_equal(tt_conn_key_update(s->conn[TT_SERVER], false), TT_ERR_USAGE);
}

/* A record that was sealed for before the change comes after it. */
static void a_key_that_is_over(void **state)
{
    (void)state;
    struct scene *s = connected();
    struct buf late = {0};
    const uint8_t data[] = {'x'};
    scene_seal(s, TT_SERVER, (struct scene_record){CT_APPLICATION_DATA, {data, 1}, 0}, 1, &late);
    assert_int_equal(
        scene_put(s, TT_SERVER, CT_HANDSHAKE, (struct tt_bytes){not_requested, sizeof not_requested}), TT_OK);
    (void)!scene_feed(s, TT_SERVER, buf_bytes(&late));
    scene_expect_alert(s, TT_SERVER, "the old key", TT_ALERT_BAD_RECORD_MAC);
    buf_free(&late);
}

/* A record twice, one left out, two in the wrong order: the sequence number tells. */
static void the_order_of_records(void **state)
{
    (void)state;
    const uint8_t data[] = {'x'};
    const struct scene_record record = {CT_APPLICATION_DATA, {data, 1}, 0};
    struct buf first = {0}, second = {0};
    for (int way = 0; way < 2; way++) {
        struct scene *s = connected();
        scene_seal(s, TT_CLIENT, record, 0, &first);
        scene_seal(s, TT_CLIENT, record, 1, &second);
        if (way == 0)
            assert_int_equal(scene_feed(s, TT_CLIENT, buf_bytes(&first)), TT_OK);
        assert_int_equal(tt_conn_plaintext_done(s->conn[TT_CLIENT], way == 0 ? 1 : 0), TT_OK);
        (void)!scene_feed(s, TT_CLIENT, way == 0 ? buf_bytes(&first) : buf_bytes(&second));
        scene_expect_alert(s, TT_CLIENT, "order", TT_ALERT_BAD_RECORD_MAC);
        buf_free(&first);
        buf_free(&second);
    }
}

/* Each bit of a record's header and its tag counts. */
static void every_bit_of_a_record_is_authenticated(void **state)
{
    (void)state;
    const uint8_t data[] = {'x', 'y'};
    for (size_t byte = 1; byte < REC_SEALED_SIZE(2); byte++) {
        if (byte == 3 || byte == 4) /* the length: another record then */
            continue;
        struct scene *s = connected();
        struct buf out = {0};
        scene_seal(s, TT_SERVER, (struct scene_record){CT_APPLICATION_DATA, {data, 2}, 0}, 0, &out);
        assert_int_equal(buf_size(&out), REC_SEALED_SIZE(2));
        buf_front(&out)[byte] ^= 0x10;
        (void)!scene_feed(s, TT_SERVER, buf_bytes(&out));
        scene_expect_alert(s, TT_SERVER, "a bit", TT_ALERT_BAD_RECORD_MAC);
        buf_free(&out);
    }
}

/* Section 5.5: keys change before the AEAD's limit, without being asked. */
static void keys_change_at_the_limit(void **state)
{
    (void)state;
    struct scene *s = connected();
    struct tt_conn *c = s->conn[TT_SERVER];
    write_data(s, TT_SERVER, "before");
    c->write_key.seq = s->tap[TT_SERVER].seq = c->suite->record_limit - 1;
    write_data(s, TT_SERVER, "the last one");
    expect_inbox(s, TT_CLIENT, NULL, 0);
    write_data(s, TT_SERVER, "the first one of the next key");
    expect_inbox(s, TT_CLIENT, not_requested, sizeof not_requested);
    assert_int_equal(c->write_key.seq, 1);
}

/* "sending implementations MUST NOT allow the epoch -- and hence the number of key updates -- to exceed
 * 2^48-1. ... receiving implementations MUST NOT enforce this rule. If a sending implementation receives a
 * KeyUpdate with request_update set to "update_requested", it MUST NOT send its own KeyUpdate if that would
 * cause it to exceed these limits" (section 4.7.3) */
static void the_last_epoch(void **state)
{
    (void)state;
    struct scene *s = connected();
    struct tt_conn *c = s->conn[TT_SERVER];
    size_t n = 0;
    c->write_epoch = ((uint64_t)1 << 48) - 2;
    assert_int_equal(tt_conn_key_update(c, false), TT_OK);
    scene_collect(s);
    expect_inbox(s, TT_CLIENT, not_requested, sizeof not_requested);
    while (scene_tick(s))
        ;
    assert_int_equal(tt_conn_key_update(c, false), TT_ERR_USAGE);
    assert_int_equal(tt_conn_key_update(s->conn[TT_CLIENT], true), TT_OK);
    scene_collect(s);
    while (scene_tick(s))
        ;
    scene_expect_well(s, TT_SERVER, "a request in the last epoch");
    write_data(s, TT_SERVER, "without an answer");
    expect_inbox(s, TT_CLIENT, NULL, 0);
    c->write_key.seq = c->suite->record_limit;
    assert_int_equal(tt_conn_write(c, (const uint8_t *)"x", 1, &n), TT_OK);
    assert_int_equal(n, 0); /* this is the end of what it may write */
}

/* What tt_conn_trim gave back is made anew: under the same key and number, and after a change of keys. */
static void a_trimmed_connection_goes_on(void **state)
{
    (void)state;
    struct scene *s = connected();
    size_t chain = tt_conn_peer_certificate(s->conn[TT_CLIENT], 0).len;
    for (int round = 0; round < 3; round++) {
        write_data(s, TT_CLIENT, "one way");
        write_data(s, TT_SERVER, "and the other");
        for (enum tt_role end = TT_CLIENT; end <= TT_SERVER; end++) {
            tt_conn_trim(s->conn[end]);
            tt_conn_trim(s->conn[end]); /* twice does no harm */
            assert_null(s->conn[end]->out.data);
        }
        if (round == 1)
            assert_int_equal(
                scene_put(s, TT_SERVER, CT_HANDSHAKE, (struct tt_bytes){not_requested, sizeof not_requested}),
                TT_OK);
    }
    assert_between(chain, 1, 4096);
    assert_int_equal(tt_conn_peer_certificate(s->conn[TT_CLIENT], 0).len, chain);
    struct tt_conn_info info;
    tt_conn_info(s->conn[TT_CLIENT], &info);
    assert_int_equal(info.server_name.len, strlen("localhost"));
    assert_memory_equal(info.server_name.data, "localhost", info.server_name.len);
}

static int tear_down(void **state)
{
    (void)state;
    scenes_free();
    return 0;
}

/* What stands in a table for handshakes without a PSK is what is computed with one of zeros (section 7.1). */
static void without_a_psk(void **state)
{
    (void)state;
    static const uint8_t zeros[48], shared[32] = {1, 2, 3};
    struct crypto_lib *lib = NULL;
    assert_int_equal(crypto_lib_new(&lib, NULL), TT_OK);
    for (enum hash_id hash = HASH_SHA256; hash <= HASH_SHA384; hash++) {
        struct key_schedule known, computed;
        const size_t n = hash_size(hash);
        ks_init(&known, lib, hash);
        ks_init(&computed, lib, hash);
        assert_int_equal(ks_early(&known, (struct tt_bytes){NULL, 0}), TT_OK);
        assert_int_equal(ks_early(&computed, (struct tt_bytes){zeros, n}), TT_OK);
        assert_memory_equal(known.secret, computed.secret, n);
        assert_int_equal(ks_handshake(&known, (struct tt_bytes){shared, sizeof shared}), TT_OK);
        assert_int_equal(ks_handshake(&computed, (struct tt_bytes){shared, sizeof shared}), TT_OK);
        assert_memory_equal(known.secret, computed.secret, n);
        assert_int_equal(ks_early(&known, (struct tt_bytes){NULL, 0}), TT_ERR_INTERNAL);
    }
    crypto_lib_free(lib);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_psk),
        cmocka_unit_test(a_request_is_answered_once),
        cmocka_unit_test(requests_that_wait_share_an_answer),
        cmocka_unit_test(update_not_requested_is_not_answered),
        cmocka_unit_test(requests_that_cross),
        cmocka_unit_test(one_request_at_a_time),
        cmocka_unit_test(none_in_the_handshake),
        cmocka_unit_test(a_key_that_is_over),
        cmocka_unit_test(the_order_of_records),
        cmocka_unit_test(every_bit_of_a_record_is_authenticated),
        cmocka_unit_test(keys_change_at_the_limit),
        cmocka_unit_test(the_last_epoch),
        cmocka_unit_test(a_trimmed_connection_goes_on),
    };
    return cmocka_run_group_tests_name("tls/keys", tests, NULL, tear_down);
}
