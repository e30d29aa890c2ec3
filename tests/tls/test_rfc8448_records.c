/* tests/tls/test_rfc8448_records.c: RFC 8448 section 4 (resumed, 0-RTT) through the engine's own key schedule
 * and record layer: every secret, the binder, both Finished; and every record of all sections sealed and
 * opened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "tls/trace.h"

static struct crypto_lib *lib;

static int set_up(void **state)
{
    (void)state;
    return crypto_lib_new(&lib, NULL) == TT_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    crypto_lib_free(lib);
    return 0;
}

static void expect_secret(const struct key_schedule *ks, enum ks_phase phase, const char *label,
                          const struct transcript *t)
{
    uint8_t hash[HASH_MAX_SIZE];
    struct ks_secret secret;
    assert_int_equal(transcript_hash((struct transcript *)(uintptr_t)t, hash), TT_OK);
    assert_int_equal(ks_derive(ks, phase, label, hash, &secret), TT_OK);
    trace_expect(label, trace_secret(4, label), secret.data, 32);
}

static void add(struct transcript *t, struct tt_bytes message)
{
    assert_int_equal(transcript_add(t, message), TT_OK);
}

static void expect_finished(struct transcript *t, const char *label, struct tt_bytes message)
{
    uint8_t hash[HASH_MAX_SIZE], mac[HASH_MAX_SIZE];
    assert_int_equal(transcript_hash(t, hash), TT_OK);
    assert_int_equal(ks_finished(lib, HASH_SHA256, trace_secret(4, label).data, hash, mac), TT_OK);
    trace_expect("Finished", (struct tt_bytes){message.data + 4, message.len - 4}, mac, 32);
}

static void resumed_key_schedule(void **state)
{
    (void)state;
    const char *binder_title = "calculate PSK binder";
    struct key_schedule ks;
    struct transcript t = {0};
    struct ks_secret binder_key;
    uint8_t empty[HASH_MAX_SIZE], binder[HASH_MAX_SIZE];
    struct tt_bytes psk =
        rfc8448_find((struct rfc8448_query){4, "client", "extract secret \"early\"", 0, "IKM"});
    struct tt_bytes ikm =
        rfc8448_find((struct rfc8448_query){4, "server", "extract secret \"handshake\"", 0, "IKM"});
    struct tt_bytes binder_hash =
        rfc8448_find((struct rfc8448_query){4, "client", binder_title, 0, "binder hash"});
    /* the PSK is what section 3's ticket gave */
    trace_expect(
        "PSK", psk,
        rfc8448_find((struct rfc8448_query){3, "server", "generate resumption secret \"tls13 resumption\"", 0,
                                            "expanded"})
            .data,
        32);
    ks_init(&ks, lib, HASH_SHA256);
    assert_int_equal(ks_early(&ks, psk), TT_OK);
    assert_int_equal(hash_digest(lib, HASH_SHA256, (struct tt_bytes){NULL, 0}, empty), TT_OK);
    assert_int_equal(ks_derive(&ks, KS_EARLY, "res binder", empty, &binder_key), TT_OK);
    assert_int_equal(ks_finished(lib, HASH_SHA256, binder_key.data, binder_hash.data, binder), TT_OK);
    trace_expect("binder", rfc8448_find((struct rfc8448_query){4, "client", binder_title, 0, "finished"}),
                 binder, 32);
    assert_int_equal(transcript_choose(&t, lib, HASH_SHA256), TT_OK);
    add(&t, trace_payload(4, "client", "handshake", 0));
    expect_secret(&ks, KS_EARLY, "c e traffic", &t);
    expect_secret(&ks, KS_EARLY, "e exp master", &t);
    add(&t, trace_message(4, "server", "ServerHello", 0));
    assert_int_equal(ks_handshake(&ks, ikm), TT_OK);
    expect_secret(&ks, KS_HANDSHAKE, "c hs traffic", &t);
    expect_secret(&ks, KS_HANDSHAKE, "s hs traffic", &t);
    add(&t, trace_message(4, "server", "EncryptedExtensions", 0));
    expect_finished(&t, "s hs traffic", trace_message(4, "server", "Finished", 0));
    add(&t, trace_message(4, "server", "Finished", 0));
    assert_int_equal(ks_main(&ks), TT_OK);
    expect_secret(&ks, KS_MAIN, "c ap traffic", &t);
    expect_secret(&ks, KS_MAIN, "s ap traffic", &t);
    expect_secret(&ks, KS_MAIN, "exp master", &t);
    add(&t, trace_message(4, "client", "EndOfEarlyData", 0));
    expect_finished(&t, "c hs traffic", trace_message(4, "client", "Finished", 0));
    add(&t, trace_message(4, "client", "Finished", 0));
    expect_secret(&ks, KS_MAIN, "res master", &t);
    transcript_free(&t);
}

/* Out of order, the schedule refuses instead of deriving something. */
static void the_schedule_keeps_its_order(void **state)
{
    (void)state;
    static const uint8_t hash[HASH_MAX_SIZE] = {0};
    const struct tt_bytes none = {NULL, 0};
    struct key_schedule ks;
    struct ks_secret secret;
    ks_init(&ks, lib, HASH_SHA256);
    assert_int_equal(ks_handshake(&ks, none), TT_ERR_INTERNAL);
    assert_int_equal(ks_main(&ks), TT_ERR_INTERNAL);
    assert_int_equal(ks_derive(&ks, KS_EARLY, "c e traffic", hash, &secret), TT_ERR_INTERNAL);
    assert_int_equal(ks_early(&ks, none), TT_OK);
    assert_int_equal(ks_early(&ks, none), TT_ERR_INTERNAL);
    assert_int_equal(ks_main(&ks), TT_ERR_INTERNAL);
    assert_int_equal(ks_derive(&ks, KS_HANDSHAKE, "c hs traffic", hash, &secret), TT_ERR_INTERNAL);
}

/* Every record of the traces: who, what, which of them, the secret ("" = in the clear), its sequence number.
 */
static const struct {
    unsigned section;
    const char *actor, *content;
    size_t nth;
    const char *secret;
    uint64_t seq;
} records[] = {
    {3, "client", "handshake", 0, "", 0},
    {3, "server", "handshake", 0, "", 0},
    {3, "server", "handshake", 1, "s hs traffic", 0},
    {3, "client", "handshake", 1, "c hs traffic", 0},
    {3, "server", "handshake", 2, "s ap traffic", 0},
    {3, "client", "application_data", 0, "c ap traffic", 0},
    {3, "server", "application_data", 0, "s ap traffic", 1},
    {3, "client", "alert", 0, "c ap traffic", 1},
    {3, "server", "alert", 0, "s ap traffic", 2},
    {4, "client", "handshake", 0, "", 0},
    {4, "client", "application_data", 0, "c e traffic", 0},
    {4, "server", "handshake", 0, "", 0},
    {4, "server", "handshake", 1, "s hs traffic", 0},
    {4, "client", "handshake", 1, "c e traffic", 1}, /* EndOfEarlyData */
    {4, "client", "handshake", 2, "c hs traffic", 0},
    {4, "client", "application_data", 1, "c ap traffic", 0},
    {4, "server", "application_data", 0, "s ap traffic", 0},
    {4, "client", "alert", 0, "c ap traffic", 1},
    {4, "server", "alert", 0, "s ap traffic", 1},
    {5, "client", "handshake", 0, "", 0},
    {5, "server", "handshake", 0, "", 0},
    {5, "client", "handshake", 1, "", 0},
    {5, "server", "handshake", 1, "", 0},
    {5, "server", "handshake", 2, "s hs traffic", 0},
    {5, "client", "handshake", 2, "c hs traffic", 0},
    {5, "client", "alert", 0, "c ap traffic", 0},
    {5, "server", "alert", 0, "s ap traffic", 0},
    {6, "client", "handshake", 0, "", 0},
    {6, "server", "handshake", 0, "", 0},
    {6, "server", "handshake", 1, "s hs traffic", 0},
    {6, "client", "handshake", 1, "c hs traffic", 0},
    {6, "client", "alert", 0, "c ap traffic", 0},
    {6, "server", "alert", 0, "s ap traffic", 0},
    {7, "client", "handshake", 0, "", 0},
    {7, "server", "handshake", 0, "", 0},
    {7, "server", "change_cipher_spec", 0, "", 0},
    {7, "server", "handshake", 1, "s hs traffic", 0},
    {7, "client", "change_cipher_spec", 0, "", 0},
    {7, "client", "handshake", 1, "c hs traffic", 0},
    {7, "client", "alert", 0, "c ap traffic", 0},
    {7, "server", "alert", 0, "s ap traffic", 0},
};

static void set_key(struct rec_key *key, size_t i, bool encrypt)
{
    struct ks_secret secret = {{0}};
    if (records[i].secret[0] == '\0')
        return;
    memcpy(secret.data, trace_secret(records[i].section, records[i].secret).data, 32);
    assert_int_equal(rec_key_set(key, lib, suite_of(TT_SUITE_AES_128_GCM_SHA256), &secret, encrypt), TT_OK);
    key->seq = records[i].seq;
}

static void every_record(void **state)
{
    (void)state;
    size_t all = 0;
    for (size_t i = 0; i < rfc8448_step_count; i++)
        all += rfc8448_value(&rfc8448_steps[i], "complete record") != NULL;
    assert_int_equal(all, TT_COUNT(records));
    for (size_t i = 0; i < TT_COUNT(records); i++) {
        struct tt_bytes record =
            trace_record(records[i].section, records[i].actor, records[i].content, records[i].nth);
        struct tt_bytes payload =
            trace_payload(records[i].section, records[i].actor, records[i].content, records[i].nth);
        uint8_t type = records[i].content[0] == 'h'                          ? CT_HANDSHAKE
                       : strcmp(records[i].content, "alert") == 0            ? CT_ALERT
                       : strcmp(records[i].content, "application_data") == 0 ? CT_APPLICATION_DATA
                                                                             : CT_CHANGE_CIPHER_SPEC;
        struct rec_key key = {0};
        struct buf out = {0};
        uint8_t plain[1024];
        const struct rec_content content = {type, payload, 0,
                                            (uint16_t)(record.data[1] << 8 | record.data[2])};
        set_key(&key, i, true);
        assert_int_equal(rec_seal(&key, &content, &out), TT_OK);
        trace_expect("a record", record, buf_front(&out), buf_size(&out));
        if (rec_key_is_set(&key)) {
            struct rec_opened opened = {0};
            set_key(&key, i, false);
            assert_int_equal(rec_open(&key, record, plain, &opened), TT_OK);
            assert_int_equal(opened.type, type);
            trace_expect("a payload", payload, plain, opened.len);
            assert_int_equal(key.seq, records[i].seq + 1);
        }
        rec_key_wipe(&key);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resumed_key_schedule),
        cmocka_unit_test(the_schedule_keeps_its_order),
        cmocka_unit_test(every_record),
    };
    return cmocka_run_group_tests_name("tls/rfc8448_records", tests, set_up, tear_down);
}
