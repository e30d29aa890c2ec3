/* tests/tls/test_messages.c: each handshake message that we build, as it comes in real handshakes: walked
 * through by a grammar of its own, then cut off at every byte and with every length off by one, under the
 * keys of the moment. The receiver must refuse each of them, with decode_error unless the change made other
 * sense. RFC 9846 section 4, appendix B.3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tls/edit.h"

/* ---- the grammar: where the length fields are ---- */

struct field {
    size_t at;
    uint8_t size;
    const char *name;
};
struct fields {
    const uint8_t *data;
    size_t at, end;
    struct field found[128];
    size_t n;
};

/* A length of that size; returns where what it measures ends. */
static size_t length(struct fields *f, uint8_t size, const char *name)
{
    assert_true(f->at + size <= f->end && f->n < TT_COUNT(f->found));
    size_t len = 0;
    f->found[f->n++] = (struct field){f->at, size, name};
    for (uint8_t i = 0; i < size; i++)
        len = len << 8 | f->data[f->at++];
    assert_true(f->at + len <= f->end);
    return f->at + len;
}

static void vector(struct fields *f, uint8_t size, const char *name)
{
    f->at = length(f, size, name);
}

static void key_share_entry(struct fields *f)
{
    f->at += 2;
    vector(f, 2, "key_exchange");
}

static void client_extension(struct fields *f, unsigned type, size_t end)
{
    switch (type) {
    case EXT_SERVER_NAME:
        (void)length(f, 2, "server_name_list");
        f->at += 1;
        vector(f, 2, "HostName");
        break;
    case EXT_SUPPORTED_VERSIONS:
        vector(f, 1, "versions");
        break;
    case EXT_PSK_KEY_EXCHANGE_MODES:
        vector(f, 1, "ke_modes");
        break;
    case EXT_KEY_SHARE:
        (void)length(f, 2, "client_shares");
        while (f->at < end)
            key_share_entry(f);
        break;
    case EXT_ALPN:
        (void)length(f, 2, "protocol_name_list");
        while (f->at < end)
            vector(f, 1, "ProtocolName");
        break;
    case EXT_CERTIFICATE_AUTHORITIES:
        (void)length(f, 2, "authorities");
        while (f->at < end)
            vector(f, 2, "DistinguishedName");
        break;
    case EXT_PRE_SHARED_KEY:
        for (size_t list = length(f, 2, "identities"); f->at < list; f->at += 4)
            vector(f, 2, "identity");
        for (size_t list = length(f, 2, "binders"); f->at < list;)
            vector(f, 1, "PskBinderEntry");
        break;
    case EXT_EARLY_DATA: /* empty, or a number */
        f->at = end;
        break;
    default: /* supported_groups, signature_algorithms(_cert), cookie: one list */
        vector(f, 2, "a list of an extension");
    }
}

static void server_extension(struct fields *f, unsigned message, unsigned type, size_t end)
{
    bool retry = end - f->at == 2;
    if (type == EXT_KEY_SHARE && !retry)
        key_share_entry(f);
    else if (type == EXT_ALPN || (message == TT_HS_CERTIFICATE_REQUEST) || type == EXT_COOKIE)
        client_extension(f, type, end);
    else
        f->at = end;
}

static void extensions(struct fields *f)
{
    unsigned message = f->data[0];
    size_t block_end = length(f, 2, "extensions");
    while (f->at < block_end) {
        unsigned type = (unsigned)(f->data[f->at] << 8 | f->data[f->at + 1]);
        f->at += 2;
        size_t end = length(f, 2, "extension_data");
        if (message == TT_HS_CLIENT_HELLO)
            client_extension(f, type, end);
        else
            server_extension(f, message, type, end);
        assert_int_equal(f->at, end);
    }
    assert_int_equal(f->at, block_end);
}

static void certificate_list(struct fields *f)
{
    size_t end = length(f, 3, "certificate_list");
    while (f->at < end) {
        vector(f, 3, "cert_data");
        extensions(f);
    }
}

static void body(struct fields *f)
{
    switch (f->data[0]) {
    case TT_HS_CLIENT_HELLO:
        f->at += 2 + 32;
        vector(f, 1, "legacy_session_id");
        vector(f, 2, "cipher_suites");
        vector(f, 1, "legacy_compression_methods");
        extensions(f);
        break;
    case TT_HS_SERVER_HELLO:
        f->at += 2 + 32;
        vector(f, 1, "legacy_session_id_echo");
        f->at += 3;
        extensions(f);
        break;
    case TT_HS_ENCRYPTED_EXTENSIONS:
        extensions(f);
        break;
    case TT_HS_CERTIFICATE_REQUEST:
        vector(f, 1, "certificate_request_context");
        extensions(f);
        break;
    case TT_HS_CERTIFICATE:
        vector(f, 1, "certificate_request_context");
        certificate_list(f);
        break;
    case TT_HS_CERTIFICATE_VERIFY:
        f->at += 2;
        vector(f, 2, "signature");
        break;
    case TT_HS_NEW_SESSION_TICKET:
        f->at += 4 + 4;
        vector(f, 1, "ticket_nonce");
        vector(f, 2, "ticket");
        extensions(f);
        break;
    default: /* Finished, KeyUpdate, EndOfEarlyData: no length of its own */
        f->at = f->end;
    }
}

static void walk(struct fields *f, struct tt_bytes message)
{
    *f = (struct fields){.data = message.data, .at = 4, .end = message.len};
    body(f);
    assert_int_equal(f->at, message.len);
}

/* ---- the messages: every state of both ends in these kinds of handshake ---- */

static const enum scene_kind kinds[] = {KIND_PLAIN,  KIND_ALPN, KIND_COOKIE,    KIND_GROUP,
                                        KIND_AUTH,   KIND_RSA,  KIND_NO_COMPAT, KIND_P256,
                                        KIND_SHA384, KIND_ASK,  KIND_RESUME,    KIND_EARLY};

/* struct stop: a message that is due: the handshake of that kind, stopped before its nth delivery. */
struct stop {
    struct scene *s;
    enum tt_role to;
    struct msg *message;
};

/* Stop the handshake before message number nth; false when it has no so many. */
static bool stop_before(struct stop *stop, enum scene_kind kind, size_t nth)
{
    static struct msg message;
    struct scene *s = scene_of(kind);
    scene_open(s);
    for (size_t delivered = 0;;) {
        if (scene_sign(s, TT_SERVER) || scene_sign(s, TT_CLIENT))
            continue;
        enum tt_role to = scene_next(s, TT_SERVER).len > 0 ? TT_SERVER : TT_CLIENT;
        if (scene_next(s, to).len == 0)
            return false;
        if (delivered++ == nth) {
            msg_set(&message, scene_next(s, to));
            buf_consume(&s->inbox[to], message.len);
            *stop = (struct stop){s, to, &message};
            return true;
        }
        assert_int_equal(scene_deliver(s, to), TT_OK);
    }
}

static void describe(char *to, size_t cap, enum scene_kind kind, const struct msg *m, const char *change)
{
    (void)snprintf(to, cap, "kind %d, %s of %zu bytes, %s", (int)kind, tt_handshake_type_name(m->data[0]),
                   m->len, change);
}

/* Without extensions a hello is one of TLS 1.2. */
static size_t length_without_extensions(const struct msg *m)
{
    return m->data[0] == TT_HS_CLIENT_HELLO || m->data[0] == TT_HS_SERVER_HELLO ? msg_ext_block(m) : 0;
}

static void cut_off_at(enum scene_kind kind, size_t nth, size_t len)
{
    struct stop stop;
    char what[160];
    assert_true(stop_before(&stop, kind, nth));
    if (len >= stop.message->len) /* an ECDSA signature is a byte or two shorter this time */
        return;
    unsigned expected =
        len == length_without_extensions(stop.message) ? TT_ALERT_PROTOCOL_VERSION : TT_ALERT_DECODE_ERROR;
    msg_splice(stop.message, len, EDIT_TO_END, (struct tt_bytes){NULL, 0});
    describe(what, sizeof what, kind, stop.message, "cut off");
    (void)!row_deliver(stop.s, stop.to, (struct tt_bytes){stop.message->data, stop.message->len});
    scene_expect_alert(stop.s, stop.to, what, expected);
}

static void cut_off_at_every_byte(void **state)
{
    (void)state;
    for (size_t k = 0; k < TT_COUNT(kinds); k++) {
        struct stop stop;
        for (size_t nth = 0; stop_before(&stop, kinds[k], nth); nth++) {
            size_t whole = stop.message->len;
            for (size_t len = 4; len < whole; len++)
                cut_off_at(kinds[k], nth, len);
        }
    }
}

/* The same bytes cut off in the stream: the end waits for the rest, and says so when none comes. */
static void the_stream_ends_at_every_byte(void **state)
{
    (void)state;
    struct stop stop;
    for (size_t nth = 0; stop_before(&stop, KIND_AUTH, nth); nth++) {
        size_t whole = stop.message->len;
        for (size_t len = 1; len < whole; len++) {
            assert_true(stop_before(&stop, KIND_AUTH, nth));
            if (len >= stop.message->len)
                break;
            struct tt_conn *c = stop.s->conn[stop.to];
            assert_int_equal(row_deliver(stop.s, stop.to, (struct tt_bytes){stop.message->data, len}), TT_OK);
            assert_int_equal(tt_conn_feed_eof(c), TT_ERR_CLOSED);
            assert_false(tt_conn_can_write(c));
            assert_int_equal(tt_conn_output(c).len, 0);
        }
    }
}

static void change_length(uint8_t *at, uint8_t size, int by)
{
    unsigned v = 0;
    for (uint8_t i = 0; i < size; i++)
        v = v << 8 | at[i];
    v += (unsigned)by;
    for (uint8_t i = size; i > 0; i--, v >>= 8)
        at[i - 1] = (uint8_t)v;
}

static void one_length(enum scene_kind kind, size_t nth, const struct field *f, int by)
{
    struct stop stop;
    char what[160], change[80];
    assert_true(stop_before(&stop, kind, nth));
    change_length(stop.message->data + f->at, f->size, by);
    (void)snprintf(change, sizeof change, "%s at %zu %+d", f->name, f->at, by);
    describe(what, sizeof what, kind, stop.message, change);
    (void)!row_deliver(stop.s, stop.to, (struct tt_bytes){stop.message->data, stop.message->len});
    scene_expect_alert(stop.s, stop.to, what, TT_ALERT_DECODE_ERROR);
}

static void every_length_off_by_one(void **state)
{
    (void)state;
    for (size_t k = 0; k < TT_COUNT(kinds); k++) {
        struct stop stop;
        struct fields f;
        for (size_t nth = 0; stop_before(&stop, kinds[k], nth); nth++) {
            walk(&f, (struct tt_bytes){stop.message->data, stop.message->len});
            for (size_t i = 0; i < f.n; i++)
                for (int by = -1; by <= 1; by += 2) /* 0 - 1 is the greatest length */
                    one_length(kinds[k], nth, &f.found[i], by);
        }
    }
}

/* The length in the message's own header: too short, it is cut off; too long, the end waits, and then has a
 * byte too many. */
static void the_header_off_by_one(void **state)
{
    (void)state;
    static const uint8_t zero[1];
    for (size_t k = 0; k < TT_COUNT(kinds); k++) {
        struct stop stop;
        for (size_t nth = 0; stop_before(&stop, kinds[k], nth); nth++) {
            change_length(stop.message->data + 1, 3, -1);
            (void)!row_deliver(stop.s, stop.to, (struct tt_bytes){stop.message->data, stop.message->len});
            scene_expect_alert(stop.s, stop.to, "one less", TT_ALERT_DECODE_ERROR);

            assert_true(stop_before(&stop, kinds[k], nth));
            enum conn_state before = stop.s->conn[stop.to]->state;
            change_length(stop.message->data + 1, 3, 1);
            (void)!row_deliver(stop.s, stop.to, (struct tt_bytes){stop.message->data, stop.message->len});
            scene_expect_well(stop.s, stop.to, "one more");
            assert_int_equal(stop.s->conn[stop.to]->state, before);
            (void)!scene_put(stop.s, stop.to, CT_HANDSHAKE, (struct tt_bytes){zero, 1});
            scene_expect_alert(stop.s, stop.to, "one more", TT_ALERT_DECODE_ERROR);
        }
    }
}

/* Only a message whose length is a matter of our own limit names the option that raises it. */
static void our_own_limit_has_a_hint(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        enum conn_state at;
        unsigned alert;
        bool hint;
    } rows[] = {{"Certificate", CLIENT_WAIT_CERT_CR, TT_ALERT_ILLEGAL_PARAMETER, true},
                {"Finished", CLIENT_WAIT_FINISHED, TT_ALERT_DECODE_ERROR, false}};
    for (size_t i = 0; i < TT_COUNT(rows); i++) {
        struct scene *s = scene_of(KIND_PLAIN);
        scene_open(s);
        scene_reach(s, TT_CLIENT, rows[i].at);
        uint8_t header[4] = {scene_next(s, TT_CLIENT).data[0], 1, 0x11, 0x70}; /* 70000 bytes */
        (void)!scene_put(s, TT_CLIENT, CT_HANDSHAKE, (struct tt_bytes){header, 4});
        const char *hint = tt_conn_error(s->conn[TT_CLIENT])->error.hint;
        scene_expect_alert(s, TT_CLIENT, rows[i].what, rows[i].alert);
        assert_int_equal(strstr(hint, "--max-handshake-message 70000") != NULL, rows[i].hint);
    }
}

/* "Servers SHOULD NOT send NewSessionTicket with tickets that are not compatible with the advertised modes"
 * (section 4.3.9): none advertised is not incompatible. */
static void who_gets_tickets(void **state)
{
    (void)state;
    static const struct {
        struct edit edit;
        bool takes;
    } rows[] = {{{0}, true},
                {DROP(EXT_PSK_KEY_EXCHANGE_MODES), true},
                {PUT(EXT_PSK_KEY_EXCHANGE_MODES, "01 00"), false}};
    for (size_t i = 0; i < TT_COUNT(rows); i++) {
        static struct msg m;
        struct scene *s = scene_of(KIND_PLAIN);
        scene_open(s);
        msg_set(&m, scene_next(s, TT_SERVER));
        msg_edit(&m, &rows[i].edit);
        assert_int_equal(row_deliver(s, TT_SERVER, (struct tt_bytes){m.data, m.len}), TT_OK);
        assert_int_equal(s->conn[TT_SERVER]->peer_takes_tickets, rows[i].takes);
    }
}

static int tear_down(void **state)
{
    (void)state;
    scenes_free();
    return 0;
}

/* The kinds above make every message that there is, and both forms of ServerHello. */
static void every_message_was_there(void **state)
{
    (void)state;
    static const uint8_t types[] = {TT_HS_CLIENT_HELLO, TT_HS_SERVER_HELLO,        TT_HS_ENCRYPTED_EXTENSIONS,
                                    TT_HS_CERTIFICATE,  TT_HS_CERTIFICATE_REQUEST, TT_HS_CERTIFICATE_VERIFY,
                                    TT_HS_FINISHED};
    size_t seen[256] = {0}, retries = 0;
    for (size_t k = 0; k < TT_COUNT(kinds); k++) {
        struct stop stop;
        for (size_t nth = 0; stop_before(&stop, kinds[k], nth); nth++) {
            seen[stop.message->data[0]]++;
            retries += is_hello_retry_request((struct tt_bytes){stop.message->data, stop.message->len});
        }
        scene_finish(scene_of(kinds[k]));
    }
    for (size_t i = 0; i < TT_COUNT(types); i++)
        assert_int_not_equal(seen[types[i]], 0);
    assert_int_equal(retries, 2);
    assert_int_equal(seen[TT_HS_CLIENT_HELLO], TT_COUNT(kinds) + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_off_at_every_byte),   cmocka_unit_test(the_stream_ends_at_every_byte),
        cmocka_unit_test(every_length_off_by_one), cmocka_unit_test(the_header_off_by_one),
        cmocka_unit_test(every_message_was_there), cmocka_unit_test(our_own_limit_has_a_hint),
        cmocka_unit_test(who_gets_tickets),
    };
    return cmocka_run_group_tests_name("tls/messages", tests, NULL, tear_down);
}
