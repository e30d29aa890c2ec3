/* tests/tls/test_ech_alerts.c: every way in which the inner ClientHello, or the one around it, can be wrong,
 * with the alert that RFC 9849 names; docs/ech.md has the same table for people. And keys: several, trial
 * decryption.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "support/ech_craft.h"
#include "support/pump.h"
#include "tls/edit.h"
#include "tls/ext.h"

#define ECH   EXT_ENCRYPTED_CLIENT_HELLO
#define OUTER EXT_ECH_OUTER_EXTENSIONS

static struct ech_craft craft;
static struct tt_ech_keys *keys;
static struct pump pump;

/* struct flaw: what is changed in ClientHelloInner before it is encoded, behind it, and in ClientHelloOuter.
 * alert TT_ALERT_NONE: what becomes of ECH then. */
struct flaw {
    const char *what;
    unsigned alert;
    enum tt_ech ech;
    struct edit inner[3];
    const char *behind;
    struct edit outer;
};
#define GOOD(text, ...)                                                                                      \
    {                                                                                                        \
        text, TT_ALERT_NONE, TT_ECH_ACCEPTED, {__VA_ARGS__}, "",                                             \
        {                                                                                                    \
            0                                                                                                \
        }                                                                                                    \
    }
#define BAD(text, alert, ...)                                                                                \
    {                                                                                                        \
        text, TT_ALERT_##alert, TT_ECH_NONE, {__VA_ARGS__}, "",                                              \
        {                                                                                                    \
            0                                                                                                \
        }                                                                                                    \
    }
#define BEHIND(text, alert, behind)                                                                          \
    {                                                                                                        \
        text, TT_ALERT_##alert, TT_ECH_NONE, {{0}}, behind,                                                  \
        {                                                                                                    \
            0                                                                                                \
        }                                                                                                    \
    }

static const struct flaw flaws[] = {
    GOOD("unchanged", {0}),
    {"padding", TT_ALERT_NONE, TT_ECH_ACCEPTED, {{0}}, "00*77", {0}},
    GOOD("a reference", DROP(EXT_KEY_SHARE), PUT(OUTER, "02 0033")),
    GOOD("references in the order of the outer one, with gaps", DROP(EXT_SUPPORTED_GROUPS),
         DROP(EXT_KEY_SHARE), PUT(OUTER, "04 000a 0033")),
    GOOD("a reserved version beside TLS 1.3", PUT(EXT_SUPPORTED_VERSIONS, "04 7a7a 0304")),
    GOOD("an extension that nobody knows", ADD(0x7a7b, "00*9")),
    /* RFC 9849, 5.1: the connection is aborted with illegal_parameter */
    BEHIND("padding that is not zero", ILLEGAL_PARAMETER, "00*40 01 00*3"),
    BAD("a reference to what is not there", ILLEGAL_PARAMETER, PUT(OUTER, "02 7a7a")),
    BAD("references in another order", ILLEGAL_PARAMETER, DROP(EXT_SUPPORTED_GROUPS), DROP(EXT_KEY_SHARE),
        PUT(OUTER, "04 0033 000a")),
    BAD("a reference twice", ILLEGAL_PARAMETER, DROP(EXT_KEY_SHARE), PUT(OUTER, "04 0033 0033")),
    BAD("a reference to encrypted_client_hello", ILLEGAL_PARAMETER, PUT(OUTER, "02 fe0d")),
    BAD("ech_outer_extensions twice", ILLEGAL_PARAMETER, DROP(EXT_KEY_SHARE), ADD(OUTER, "02 0033"),
        ADD(OUTER, "02 000a")),
    BAD("what is referred to is there as well", ILLEGAL_PARAMETER, PUT(OUTER, "02 0033")),
    BAD("no references", DECODE_ERROR, PUT(OUTER, "00")),
    BAD("half a reference", DECODE_ERROR, PUT(OUTER, "03 0033 00")),
    BAD("more behind the references", DECODE_ERROR, PUT(OUTER, "02 0033 00")),
    /* section 7.1: "illegal_parameter" */
    BAD("no encrypted_client_hello", ILLEGAL_PARAMETER, DROP(ECH)),
    BAD("encrypted_client_hello of type outer", ILLEGAL_PARAMETER, PUT(ECH, "00")),
    BAD("encrypted_client_hello of type 2", ILLEGAL_PARAMETER, PUT(ECH, "02")),
    BAD("encrypted_client_hello with more", ILLEGAL_PARAMETER, PUT(ECH, "01 00")),
    BAD("encrypted_client_hello of no length", ILLEGAL_PARAMETER, PUT(ECH, "")),
    BAD("TLS 1.2 is offered as well", ILLEGAL_PARAMETER, PUT(EXT_SUPPORTED_VERSIONS, "04 0304 0303")),
    BAD("no supported_versions: TLS 1.2", ILLEGAL_PARAMETER, DROP(EXT_SUPPORTED_VERSIONS)),
    /* section 5.1: not a valid EncodedClientHelloInner */
    BAD("cut off", DECODE_ERROR, SPLICE(75, EDIT_TO_END, "")),
    BAD("of two bytes", DECODE_ERROR, SPLICE(6, EDIT_TO_END, "")),
    /* what every ClientHello has to be */
    BAD("no signature_algorithms", MISSING_EXTENSION, DROP(EXT_SIGNATURE_ALGORITHMS)),
    BAD("an extension twice", ILLEGAL_PARAMETER, ADD(EXT_SUPPORTED_GROUPS, "0002 001d")),
    BAD("a malformed server_name", DECODE_ERROR, PUT(EXT_SERVER_NAME, "0005 00")),
    /* ClientHelloOuter */
    {"a reference to what the outer one has not",
     TT_ALERT_ILLEGAL_PARAMETER,
     TT_ECH_NONE,
     {DROP(EXT_KEY_SHARE), PUT(OUTER, "02 0033")},
     "",
     DROP(EXT_KEY_SHARE)},
    {"another name", TT_ALERT_NONE, TT_ECH_ACCEPTED, {{0}}, "", PUT(EXT_SERVER_NAME, "0004 00 0001 61")},
};

static void with_keys(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)p;
    (void)client;
    assert_int_equal(tt_config_set_ech_keys(server, keys), TT_OK);
}

static void keys_are(struct tt_bytes pem)
{
    const struct tt_ech_key key = {.pem = pem, .retry = true};
    assert_int_equal(tt_ech_keys_set(keys, &key, 1, NULL, NULL), TT_OK);
}

static int begin(void **state)
{
    (void)state;
    ech_craft_begin(&craft);
    pump = (struct pump){.configure = with_keys};
    if (tt_ech_keys_new(&keys, NULL) != TT_OK)
        return -1;
    keys_are((struct tt_bytes){craft.pem, craft.pem_len});
    pump_configs(&pump);
    return 0;
}

static int end(void **state)
{
    (void)state;
    pump_free(&pump);
    tt_ech_keys_free(keys);
    ech_craft_end(&craft);
    return 0;
}

/* Our extensions have a random order; the rows refer to supported_groups before key_share. */
static void put_first(struct msg *m, uint16_t type)
{
    static uint8_t copy[512];
    size_t front = msg_ext_block(m) + 2, at = msg_find_ext(m, type);
    size_t n = 4 + (size_t)(m->data[at + 2] << 8 | m->data[at + 3]);
    assert_true(at > 0 && n <= sizeof copy);
    memcpy(copy, m->data + at, n);
    memmove(m->data + front + n, m->data + front, at - front);
    memcpy(m->data + front, copy, n);
}

/* A ClientHello as the client sends it without ECH. */
static void honest_hello(struct msg *ret)
{
    const struct tt_conn_options o = {.server_name = "localhost", .now_ms = TEST_NOW * 1000};
    struct tt_conn *c = NULL;
    assert_int_equal(tt_conn_new(&c, pump.client_cfg, &o, NULL), TT_OK);
    struct tt_bytes out = tt_conn_output(c);
    msg_set(ret, (struct tt_bytes){out.data + 5, out.len - 5});
    put_first(ret, EXT_SUPPORTED_GROUPS);
    tt_conn_free(c);
}

static struct tt_bytes bytes_of(const struct msg *m)
{
    return (struct tt_bytes){m->data, m->len};
}

/* The server, once it was given the record. */
static struct tt_conn *server_given(struct tt_bytes record)
{
    const struct tt_conn_options o = {.now_ms = TEST_NOW * 1000};
    struct tt_conn *c = NULL;
    size_t n = 0;
    assert_int_equal(tt_conn_new(&c, pump.server_cfg, &o, NULL), TT_OK);
    (void)!tt_conn_feed(c, record.data, record.len, &n);
    return c;
}

static struct tt_conn *server_with(const struct flaw *f)
{
    static struct msg inner, outer;
    uint8_t behind[128];
    TT_AUTO(buf_free) struct buf encoded = {0}, record = {0};
    honest_hello(&inner);
    outer = inner;
    msg_edit(&inner, &(struct edit)PUT(ECH, "01"));
    for (size_t i = 0; i < TT_COUNT(f->inner); i++)
        msg_edit(&inner, &f->inner[i]);
    msg_edit(&outer, &f->outer);
    if (inner.len > 40)
        ech_craft_encode(&encoded, bytes_of(&inner));
    else
        assert_int_equal(buf_append(&encoded, inner.data + 4, inner.len - 4), TT_OK);
    assert_int_equal(buf_append(&encoded, behind, hex_bytes(behind, sizeof behind, f->behind)), TT_OK);
    ech_craft_seal(&craft, &record, bytes_of(&outer), buf_bytes(&encoded));
    return server_given(buf_bytes(&record));
}

static void expect(struct tt_conn *server, const char *what, unsigned alert, enum tt_ech ech)
{
    struct tt_conn_info info;
    const struct tt_conn_status *status = tt_conn_error(server);
    tt_conn_info(server, &info);
    if (status->alert_sent != alert || (alert == TT_ALERT_NONE && info.ech != ech))
        fail_msg("%s: alert %u (%s), ECH %d", what, status->alert_sent, status->error.text, info.ech);
    tt_conn_free(server);
}

static void inner_hellos(void **state)
{
    (void)state;
    for (size_t i = 0; i < TT_COUNT(flaws); i++)
        expect(server_with(&flaws[i]), flaws[i].what, flaws[i].alert, flaws[i].ech);
}

/* The extension as it stands in ClientHelloOuter. */
static void outer_extensions(void **state)
{
    (void)state;
    static const struct {
        const char *what, *extension;
        unsigned alert;
        enum tt_ech ech;
    } cases[] = {
        {"of type inner", "01", TT_ALERT_ILLEGAL_PARAMETER, TT_ECH_NONE}, /* section 7 */
        {"of type 2", "02 0001 0001 07 0000 0001 00", TT_ALERT_ILLEGAL_PARAMETER, TT_ECH_NONE},
        {"empty", "", TT_ALERT_DECODE_ERROR, TT_ECH_NONE},
        {"cut off", "00 0001 0001 07 0020 00*31", TT_ALERT_DECODE_ERROR, TT_ECH_NONE},
        {"of no payload", "00 0001 0001 07 0020 01*32 0000", TT_ALERT_DECODE_ERROR, TT_ECH_NONE},
        {"with more", "00 0001 0001 07 0020 01*32 0001 00 00", TT_ALERT_DECODE_ERROR, TT_ECH_NONE},
        /* what cannot be decrypted is rejected, without an alert: it may be GREASE */
        {"for another key", "00 0001 0001 07 0020 01*32 0040 00*64", TT_ALERT_NONE, TT_ECH_REJECTED},
        {"shorter than a tag", "00 0001 0001 07 0020 01*32 0001 00", TT_ALERT_NONE, TT_ECH_REJECTED},
        {"a point that gives zeros", "00 0001 0001 07 0020 00*32 0040 00*64", TT_ALERT_NONE, TT_ECH_REJECTED},
        {"of another KEM", "00 0001 0001 07 0041 04*65 0040 00*64", TT_ALERT_NONE, TT_ECH_REJECTED},
        {"no enc", "00 0001 0001 07 0000 0040 00*64", TT_ALERT_NONE, TT_ECH_REJECTED},
        {"an enc as long as can be", "00 0001 0001 07 1000 01*4096 0040 00*64", TT_ALERT_NONE,
         TT_ECH_REJECTED},
        {"of a suite nobody has", "00 7777 7777 07 0020 01*32 0040 00*64", TT_ALERT_NONE, TT_ECH_REJECTED},
    };
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        static struct msg outer;
        TT_AUTO(buf_free) struct buf record = {0};
        honest_hello(&outer);
        msg_edit(&outer, &(struct edit)PUT(ECH, cases[i].extension));
        const uint8_t header[] = {0x16, 3, 1, (uint8_t)(outer.len >> 8), (uint8_t)outer.len};
        assert_int_equal(buf_append(&record, header, sizeof header), TT_OK);
        assert_int_equal(buf_append(&record, outer.data, outer.len), TT_OK);
        expect(server_given(buf_bytes(&record)), cases[i].what, cases[i].alert, cases[i].ech);
    }
}

/* Only where it is on is a key tried whose config_id the client does not name. */
static void trial_decryption(void **state)
{
    (void)state;
    craft.config_id ^= 0x55;
    expect(server_with(&flaws[0]), "off", TT_ALERT_NONE, TT_ECH_REJECTED);
    tt_ech_keys_set_trial_decryption(keys, true);
    expect(server_with(&flaws[0]), "on", TT_ALERT_NONE, TT_ECH_ACCEPTED);
    tt_ech_keys_set_trial_decryption(keys, false);
    expect(server_with(&flaws[0]), "off again", TT_ALERT_NONE, TT_ECH_REJECTED);
    craft.config_id ^= 0x55;
}

/* A key of somebody else (a TPM's) is never tried on what does not name it: anybody could make it work. */
static void no_trial_elsewhere(void **state)
{
    (void)state;
    int somebody;
    struct tt_error err = {0};
    const struct tt_ech_key key = {.pem = {craft.pem, craft.pem_len}, .key = &somebody};
    assert_int_equal(tt_ech_keys_set(keys, &key, 1, NULL, &err), TT_OK);
    tt_ech_keys_set_trial_decryption(keys, true);
    craft.config_id ^= 0x55;
    struct tt_conn *c = server_with(&flaws[0]);
    assert_int_equal(tt_conn_wants(c) & TT_WANT_ECH, 0);
    expect(c, "another config_id", TT_ALERT_NONE, TT_ECH_REJECTED);
    craft.config_id ^= 0x55;
    c = server_with(&flaws[0]);
    assert_true((tt_conn_wants(c) & TT_WANT_ECH) != 0);
    tt_conn_free(c);
    tt_ech_keys_set_trial_decryption(keys, false);
    keys_are((struct tt_bytes){craft.pem, craft.pem_len});
}

/* Several keys, two of them with the same config_id: each opens what is meant for it, wherever it stands. */
static void several_keys(void **state)
{
    (void)state;
    struct ech_craft others[3];
    struct tt_ech_key set[4];
    for (size_t i = 0; i < 3; i++)
        ech_craft_begin(&others[i]);
    for (size_t place = 0; place < 4; place++) {
        for (size_t i = 0, o = 0; i < 4; i++) {
            const struct ech_craft *at = i == place ? &craft : &others[o++];
            set[i] = (struct tt_ech_key){.pem = {at->pem, at->pem_len}};
        }
        assert_int_equal(tt_ech_keys_set(keys, set, 4, NULL, NULL), TT_OK);
        expect(server_with(&flaws[0]), "one of four", TT_ALERT_NONE, TT_ECH_ACCEPTED);
    }
    assert_int_equal(tt_ech_keys_set(keys, set, 3, NULL, NULL), TT_OK); /* without it, which was the last */
    expect(server_with(&flaws[0]), "none of three", TT_ALERT_NONE, TT_ECH_REJECTED);
    assert_int_equal(tt_ech_keys_set(keys, NULL, 0, NULL, NULL), TT_OK);
    expect(server_with(&flaws[0]), "of none", TT_ALERT_NONE, TT_ECH_REJECTED);
    keys_are((struct tt_bytes){craft.pem, craft.pem_len});
    for (size_t i = 0; i < 3; i++)
        ech_craft_end(&others[i]);
}

/* ---- after a HelloRetryRequest (section 7.1.1) ---- */

/* Where the enc of the extension stands in a record, behind its length. */
static size_t enc_at(struct tt_bytes record)
{
    static struct msg m;
    msg_set(&m, (struct tt_bytes){record.data + 5, record.len - 5});
    size_t at = msg_find_ext(&m, ECH);
    assert_true(at > 0);
    return 5 + at + 4 + 1 + 4 + 1 + 2;
}

/* The second ClientHello of an honest client, changed by `edit` of its extension. */
static void second(const char *what, const struct edit *edit, unsigned alert)
{
    static struct msg m;
    struct tt_conn *ends[2] = {NULL, NULL};
    const struct tt_conn_options co = {.server_name = "localhost",
                                       .now_ms = TEST_NOW * 1000,
                                       .ech_config_list = {craft.list.der, craft.list.len}},
                                 so = {.now_ms = TEST_NOW * 1000};
    size_t n = 0;
    assert_int_equal(tt_conn_new(&ends[0], pump.client_cfg, &co, NULL), TT_OK);
    assert_int_equal(tt_conn_new(&ends[1], pump.server_cfg, &so, NULL), TT_OK);
    assert_true(pump_move(&pump, ends[0], ends[1]));
    assert_true(pump_move(&pump, ends[1], ends[0]));
    struct tt_bytes out = tt_conn_output(ends[0]);
    while (out.data[0] != 22) /* change_cipher_spec */
        out = (struct tt_bytes){out.data + 6, out.len - 6};
    struct tt_bytes record = {out.data, 5 + (size_t)(out.data[3] << 8 | out.data[4])};
    assert_int_equal(record.data[enc_at(record) - 1], 0); /* "uses the empty string for enc" */
    msg_set(&m, (struct tt_bytes){record.data + 5, record.len - 5});
    struct edit e = *edit;
    if (e.op == OP_XOR || e.op == OP_SPLICE)
        e.at += (unsigned)msg_find_ext(&m, ECH) + 4; /* counted from the extension's data */
    msg_edit(&m, &e);
    if (e.op == OP_SPLICE) { /* two bytes more in the extension, and in the list */
        uint8_t *length = m.data + msg_find_ext(&m, ECH) + 2, *list = m.data + msg_ext_block(&m);
        length[1] = (uint8_t)(length[1] + 2), length[0] = (uint8_t)(length[0] + (length[1] < 2));
        list[1] = (uint8_t)(list[1] + 2), list[0] = (uint8_t)(list[0] + (list[1] < 2));
    }
    const uint8_t header[] = {0x16, 3, 3, (uint8_t)(m.len >> 8), (uint8_t)m.len};
    (void)!tt_conn_feed(ends[1], header, sizeof header, &n);
    (void)!tt_conn_feed(ends[1], m.data, m.len, &n);
    tt_conn_free(ends[0]);
    expect(ends[1], what, alert, TT_ECH_ACCEPTED);
}

static void second_hellos(void **state)
{
    (void)state;
    struct pump plain = pump;
    pump = (struct pump){.configure = with_keys, .force_retry = true};
    pump_configs(&pump);
    second("unchanged", &(struct edit){0}, TT_ALERT_NONE);
    second("no encrypted_client_hello", &(struct edit)DROP(ECH), TT_ALERT_MISSING_EXTENSION);
    second("of type inner", &(struct edit)PUT(ECH, "01"), TT_ALERT_ILLEGAL_PARAMETER);
    second("another KDF", &(struct edit)XOR(2), TT_ALERT_ILLEGAL_PARAMETER);
    second("another AEAD", &(struct edit)XOR(4), TT_ALERT_ILLEGAL_PARAMETER);
    second("another config_id", &(struct edit)XOR(5), TT_ALERT_ILLEGAL_PARAMETER);
    second("an enc", &(struct edit)SPLICE(6, 2, "0002 0102"), TT_ALERT_ILLEGAL_PARAMETER);
    second("another payload", &(struct edit)XOR(20), TT_ALERT_DECRYPT_ERROR);
    second("another ClientHelloOuter", &(struct edit)PUT(EXT_SERVER_NAME, "0004 00 0001 61"),
           TT_ALERT_DECRYPT_ERROR);
    pump_free(&pump);
    pump = plain;
}

/* ---- what a client sees ---- */

static bool force_retry_configs, spoil_confirmation;

bool __real_ech_wants(const struct tt_conn *c, enum ext_place in);
bool __wrap_ech_wants(const struct tt_conn *c, enum ext_place in);
bool __wrap_ech_wants(const struct tt_conn *c, enum ext_place in)
{
    return __real_ech_wants(c, in) || (force_retry_configs && in == IN_EE);
}

tt_rc __real_ech_server_confirm(struct tt_conn *c, struct tt_bytes whole, bool retry);
tt_rc __wrap_ech_server_confirm(struct tt_conn *c, struct tt_bytes whole, bool retry);
tt_rc __wrap_ech_server_confirm(struct tt_conn *c, struct tt_bytes whole, bool retry)
{
    tt_rc rc = __real_ech_server_confirm(c, whole, retry);
    if (spoil_confirmation && !retry)
        buf_front(&c->hs->flight)[(size_t)(whole.data - buf_front(&c->hs->flight)) + 37] ^= 1;
    return rc;
}

static void expect_client(const char *what, unsigned alert)
{
    const struct tt_conn_options co = {.server_name = "localhost",
                                       .now_ms = TEST_NOW * 1000,
                                       .ech_config_list = {craft.list.der, craft.list.len}},
                                 so = {.now_ms = TEST_NOW * 1000};
    tt_conn_free(pump.client);
    tt_conn_free(pump.server);
    assert_int_equal(tt_conn_new(&pump.client, pump.client_cfg, &co, NULL), TT_OK);
    assert_int_equal(tt_conn_new(&pump.server, pump.server_cfg, &so, NULL), TT_OK);
    pump_run(&pump);
    if (tt_conn_error(pump.client)->alert_sent != alert)
        fail_msg("%s: alert %u (%s)", what, tt_conn_error(pump.client)->alert_sent,
                 tt_conn_error(pump.client)->error.text);
}

/* Section 5: retry_configs in answer to the inner variant: "unsupported_extension". Section 6.1.4: accepted
 * in HelloRetryRequest and not in ServerHello: "illegal_parameter". */
static void servers_that_contradict_themselves(void **state)
{
    (void)state;
    expect_client("as it should be", TT_ALERT_NONE);
    force_retry_configs = true;
    expect_client("retry_configs though accepted", TT_ALERT_UNSUPPORTED_EXTENSION);
    force_retry_configs = false;
    struct pump plain = pump;
    pump = (struct pump){.configure = with_keys, .force_retry = true};
    pump_configs(&pump);
    expect_client("accepted twice", TT_ALERT_NONE);
    spoil_confirmation = true;
    expect_client("accepted in HelloRetryRequest alone", TT_ALERT_ILLEGAL_PARAMETER);
    spoil_confirmation = false;
    pump_free(&pump);
    pump = plain;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inner_hellos),
        cmocka_unit_test(outer_extensions),
        cmocka_unit_test(trial_decryption),
        cmocka_unit_test(no_trial_elsewhere),
        cmocka_unit_test(several_keys),
        cmocka_unit_test(second_hellos),
        cmocka_unit_test(servers_that_contradict_themselves),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
