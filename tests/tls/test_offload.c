/* tests/tls/test_offload.c: records protected elsewhere: a server whose records are made here, from the keys
 * that it hands out, before a client of the engine. RFC 9846 sections 4.7.3, 5.2, 6.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "support/pump.h"
#include "tls/conn.h"

/* struct elsewhere: what a kernel would be. */
struct elsewhere {
    struct rec_key reading, sending;
    struct buf wire; /* from the client */
    uint8_t got[65536];
    size_t got_len;
};

static void take_keys(struct tt_conn *c, bool sending, struct rec_key *ret)
{
    struct tt_record_keys keys;
    rec_key_wipe(ret);
    assert_int_equal(tt_conn_record_keys(c, sending, &keys), TT_OK);
    memcpy(ret->iv, keys.iv, sizeof ret->iv);
    ret->seq = keys.sequence;
    assert_int_equal(aead_init(&ret->aead, c->cfg->lib, c->suite->aead, sending,
                               (struct tt_bytes){keys.key, keys.key_len}),
                     TT_OK);
}

static void feed(struct tt_conn *c, struct tt_bytes bytes)
{
    size_t used = 0;
    assert_int_equal(tt_conn_feed(c, bytes.data, bytes.len, &used), TT_OK);
    assert_int_equal(used, bytes.len);
}

static void send_record(struct elsewhere *e, struct pump *p, enum content_type type, struct tt_bytes data)
{
    struct buf out = {0};
    const struct rec_content content = {.type = type, .data = data, .legacy_version = 0x0303};
    assert_int_equal(rec_seal(&e->sending, &content, &out), TT_OK);
    feed(p->client, buf_bytes(&out));
    buf_free(&out);
}

/* What the engine has to say, as records, with new keys behind each KeyUpdate. Returns how many. */
static size_t say(struct elsewhere *e, struct pump *p)
{
    unsigned type;
    struct tt_bytes item;
    size_t n = 0;
    for (; tt_conn_offload_output(p->server, &type, &item); n++) {
        bool is_update = type == CT_HANDSHAKE && item.data[0] == TT_HS_KEY_UPDATE;
        send_record(e, p, (enum content_type)type, item);
        tt_conn_offload_output_done(p->server);
        if (is_update)
            take_keys(p->server, true, &e->sending);
    }
    return n;
}

/* All that the client sends: data is kept, the rest is the engine's. */
static void hear(struct elsewhere *e, struct pump *p)
{
    struct tt_bytes out = tt_conn_output(p->client);
    assert_int_equal(buf_append(&e->wire, out.data, out.len), TT_OK);
    tt_conn_output_done(p->client, out.len);
    while (buf_size(&e->wire) >= REC_HEADER_SIZE) {
        uint8_t plain[REC_MAX_CIPHERTEXT + REC_HEADER_SIZE];
        const uint8_t *at = buf_front(&e->wire);
        size_t len = REC_HEADER_SIZE + ((size_t)at[3] << 8 | at[4]);
        struct rec_opened opened;
        assert_int_equal(rec_open(&e->reading, (struct tt_bytes){at, len}, plain, &opened), TT_OK);
        if (opened.type == CT_APPLICATION_DATA) {
            memcpy(e->got + e->got_len, plain, opened.len);
            e->got_len += opened.len;
        } else {
            assert_int_equal(tt_conn_offload_feed(p->server, opened.type,
                                                  (struct tt_bytes){plain, opened.len}, e->got_len > 0),
                             TT_OK);
            if (opened.type == CT_HANDSHAKE && plain[0] == TT_HS_KEY_UPDATE)
                take_keys(p->server, false, &e->reading);
        }
        buf_consume(&e->wire, len);
    }
}

static void client_sends(struct elsewhere *e, struct pump *p, const char *text)
{
    size_t n = 0, before = e->got_len;
    assert_int_equal(tt_conn_write(p->client, (const uint8_t *)text, strlen(text), &n), TT_OK);
    hear(e, p);
    assert_int_equal(e->got_len - before, strlen(text));
    assert_memory_equal(e->got + before, text, strlen(text));
}

static void server_sends(struct elsewhere *e, struct pump *p, const char *text)
{
    send_record(e, p, CT_APPLICATION_DATA, (struct tt_bytes){(const uint8_t *)text, strlen(text)});
    struct tt_bytes got = tt_conn_plaintext(p->client);
    assert_int_equal(got.len, strlen(text));
    assert_memory_equal(got.data, text, got.len);
    assert_int_equal(tt_conn_plaintext_done(p->client, got.len), TT_OK);
}

static uint16_t suite;

static void begin(struct elsewhere *e, struct pump *p)
{
    *e = (struct elsewhere){.got_len = 0};
    *p = (struct pump){.suite = suite};
    pump_start(p);
    pump_run(p);
    pump_echo(p, p->client, p->server, 5000); /* the sequence numbers are not 0 */
    pump_echo(p, p->server, p->client, 7000);
    assert_true(tt_conn_can_offload(p->server));
    take_keys(p->server, true, &e->sending);
    take_keys(p->server, false, &e->reading);
    assert_int_equal(tt_conn_offload(p->server), TT_OK);
}

static void end(struct elsewhere *e, struct pump *p)
{
    rec_key_wipe(&e->sending);
    rec_key_wipe(&e->reading);
    buf_free(&e->wire);
    pump_free(p);
}

static void test_data_and_key_updates(void **state)
{
    (void)state;
    static const uint16_t suites[] = {TT_SUITE_AES_128_GCM_SHA256, TT_SUITE_AES_256_GCM_SHA384,
                                      TT_SUITE_CHACHA20_POLY1305_SHA256};
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        struct elsewhere e;
        struct pump p;
        suite = suites[i];
        begin(&e, &p);
        client_sends(&e, &p, "before");
        server_sends(&e, &p, "before, too");
        /* The peer's, which asks for ours. */
        assert_int_equal(tt_conn_key_update(p.client, true), TT_OK);
        client_sends(&e, &p, "under new keys");
        assert_int_equal(say(&e, &p), 1);
        server_sends(&e, &p, "and so is this");
        /* Ours, which asks for the peer's. */
        assert_int_equal(tt_conn_key_update(p.server, true), TT_OK);
        assert_int_equal(say(&e, &p), 1);
        server_sends(&e, &p, "ours");
        client_sends(&e, &p, "answered with the next data");
        /* The ends, one after the other. */
        assert_int_equal(tt_conn_close(p.client), TT_OK);
        hear(&e, &p);
        assert_true(tt_conn_received_close_notify(p.server));
        server_sends(&e, &p, "the last word");
        assert_int_equal(tt_conn_close(p.server), TT_OK);
        assert_int_equal(say(&e, &p), 1);
        assert_true(tt_conn_received_close_notify(p.client));
        end(&e, &p);
    }
}

static void test_refusal(void **state)
{
    (void)state;
    struct elsewhere e;
    struct pump p;
    suite = 0;
    begin(&e, &p);
    static const uint8_t nonsense[] = {TT_HS_KEY_UPDATE, 0, 0, 1, 7};
    assert_int_not_equal(
        tt_conn_offload_feed(p.server, CT_HANDSHAKE, (struct tt_bytes){nonsense, sizeof nonsense}, true),
        TT_OK);
    assert_int_equal(tt_conn_error(p.server)->alert_sent, TT_ALERT_ILLEGAL_PARAMETER);
    unsigned type = 0;
    struct tt_bytes item;
    assert_true(tt_conn_offload_output(p.server, &type, &item)); /* the alert is there to be sent */
    assert_int_equal(type, CT_ALERT);
    assert_int_equal(item.data[1], TT_ALERT_ILLEGAL_PARAMETER);
    assert_int_not_equal(tt_conn_offload_feed(p.server, CT_HANDSHAKE, item, true), TT_OK);
    end(&e, &p);
}

/* KeyUpdates without end, and no data, are as ever an attack. */
static void test_quiet(void **state)
{
    (void)state;
    struct elsewhere e;
    struct pump p;
    static const uint8_t update[] = {TT_HS_KEY_UPDATE, 0, 0, 1, 0};
    const struct tt_bytes message = {update, sizeof update};
    tt_rc rc = TT_OK;
    suite = 0;
    begin(&e, &p);
    for (int i = 0; i < 1000; i++) /* with data in between they may come for ever */
        assert_int_equal(tt_conn_offload_feed(p.server, CT_HANDSHAKE, message, true), TT_OK);
    for (int i = 0; i < 100 && rc == TT_OK; i++)
        rc = tt_conn_offload_feed(p.server, CT_HANDSHAKE, message, false);
    assert_int_not_equal(rc, TT_OK);
    assert_int_equal(tt_conn_error(p.server)->alert_sent, TT_ALERT_UNEXPECTED_MESSAGE);
    end(&e, &p);
}

static void test_when(void **state)
{
    (void)state;
    struct elsewhere e;
    struct pump p;
    size_t n = 0;
    suite = 0;
    begin(&e, &p);
    struct tt_record_keys keys;
    assert_false(tt_conn_can_offload(p.server)); /* it is */
    assert_int_equal(tt_conn_offload(p.server), TT_ERR_USAGE);
    assert_int_equal(tt_conn_feed(p.server, (const uint8_t *)"x", 1, &n), TT_ERR_USAGE);
    assert_int_equal(tt_conn_write(p.server, (const uint8_t *)"x", 1, &n), TT_ERR_USAGE);
    /* The client: not with something to be sent, not with half a record. */
    assert_true(tt_conn_can_offload(p.client));
    assert_int_equal(tt_conn_write(p.client, (const uint8_t *)"x", 1, &n), TT_OK);
    assert_false(tt_conn_can_offload(p.client));
    hear(&e, &p);
    assert_true(tt_conn_is_between_records(p.client));
    assert_int_equal(tt_conn_missing(p.client), REC_HEADER_SIZE);
    static const uint8_t header[] = {23, 3, 3, 0, 100, 1, 2};
    feed(p.client, (struct tt_bytes){header, 3});
    assert_int_equal(tt_conn_missing(p.client), 2);
    feed(p.client, (struct tt_bytes){header + 3, 4});
    assert_int_equal(tt_conn_missing(p.client), 98);
    assert_false(tt_conn_is_between_records(p.client));
    assert_false(tt_conn_can_offload(p.client));
    assert_int_equal(tt_conn_offload(p.client), TT_ERR_USAGE);
    assert_int_equal(tt_conn_record_keys(p.client, true, &keys), TT_OK);
    end(&e, &p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data_and_key_updates),
        cmocka_unit_test(test_refusal),
        cmocka_unit_test(test_quiet),
        cmocka_unit_test(test_when),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
