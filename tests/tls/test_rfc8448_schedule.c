/* tests/tls/test_rfc8448_schedule.c: every HKDF-Extract, HKDF-Expand-Label, Finished, PSK binder and
 * transcript hash that RFC 8448 (sections 3 to 7) shows, recomputed with the plain functions of
 * crypto/hash.h, and its key agreements with crypto/kx.h. The inputs of each step are the RFC's, so that a
 * wrong one cannot hide another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "crypto/hash.h"
#include "crypto/kx.h"
#include "support/range.h"
#include "vectors/rfc8448.h"
#include "wire/writer.h"

enum {
    FIRST_SECTION = 3,
    LAST_SECTION = 7,
    SHA256 = 32
};

/* The empty transcript's hash, the context of "derived" (RFC 9846 section 7.1). */
static const char derived_label[] = "tls13 derived";

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

static void check_bytes(const struct rfc8448_step *step, const char *what, struct tt_bytes expected,
                        const uint8_t *got)
{
    if (memcmp(expected.data, got, expected.len) != 0)
        fail_msg("section %u, %s, %s: %s differs", step->section, step->actor, step->title, what);
}

static struct tt_bytes value(const struct rfc8448_step *step, const char *name)
{
    const struct tt_bytes *v = rfc8448_value(step, name);
    if (v == NULL)
        fail_msg("section %u, %s: no value %s", step->section, step->title, name);
    return *v;
}

static void check_expand(const struct rfc8448_step *step, const char *info, const char *expanded)
{
    uint8_t out[64];
    struct tt_bytes expected = value(step, expanded);
    assert_between(expected.len, 1, sizeof out);
    assert_int_equal(hkdf_expand(lib, HASH_SHA256, value(step, "PRK"), value(step, info), out, expected.len),
                     TT_OK);
    check_bytes(step, expanded, expected, out);
}

/* struct HkdfLabel (RFC 9846 section 7.1): what `info` must be, given the label, the context and the length.
 */
static void check_info(const struct rfc8448_step *step, const char *info, const char *label,
                       struct tt_bytes context, size_t length)
{
    struct buf b = {0};
    struct writer w = writer_to(&b);
    wr_u16(&w, (uint16_t)length);
    wr_vec8(&w, (struct tt_bytes){(const uint8_t *)label, strlen(label)});
    wr_vec8(&w, context);
    assert_int_equal(wr_status(&w), TT_OK);
    struct tt_bytes expected = value(step, info);
    assert_int_equal(expected.len, buf_size(&b));
    check_bytes(step, info, expected, buf_front(&b));
    buf_free(&b);
}

/* The part of the title in quotes, such as: tls13 c hs traffic. */
static void label_of(const struct rfc8448_step *step, char *ret, size_t cap)
{
    const char *open = strchr(step->title, '"');
    const char *close = open == NULL ? NULL : strchr(open + 1, '"');
    if (close == NULL) /* the binder's step, whose label stands in a note of section 4 */
        (void)snprintf(ret, cap, "tls13 finished");
    else
        (void)snprintf(ret, cap, "%.*s", (int)(close - open - 1), open + 1);
}

static void every_extract(void **state)
{
    (void)state;
    size_t n = 0;
    for (size_t i = 0; i < rfc8448_step_count; i++) {
        const struct rfc8448_step *step = &rfc8448_steps[i];
        if (rfc8448_value(step, "IKM") == NULL)
            continue;
        uint8_t secret[SHA256];
        assert_int_equal(value(step, "secret").len, sizeof secret);
        assert_int_equal(hkdf_extract(lib, HASH_SHA256, value(step, "salt"), value(step, "IKM"), secret),
                         TT_OK);
        check_bytes(step, "secret", value(step, "secret"), secret);
        n++;
    }
    assert_int_equal(n, 15); /* early, handshake and master of five sections */
}

static void every_derived_secret(void **state)
{
    (void)state;
    size_t n = 0;
    for (size_t i = 0; i < rfc8448_step_count; i++) {
        const struct rfc8448_step *step = &rfc8448_steps[i];
        if (rfc8448_value(step, "expanded") == NULL)
            continue;
        char label[64];
        label_of(step, label, sizeof label);
        check_info(step, "info", label, value(step, "hash"), value(step, "expanded").len);
        check_expand(step, "info", "expanded");
        n++;
    }
    assert_int_equal(n, 59);
}

static void every_traffic_key(void **state)
{
    (void)state;
    const struct tt_bytes no_context = {NULL, 0};
    size_t n = 0;
    for (size_t i = 0; i < rfc8448_step_count; i++) {
        const struct rfc8448_step *step = &rfc8448_steps[i];
        if (rfc8448_value(step, "key expanded") == NULL)
            continue;
        check_info(step, "key info", "tls13 key", no_context, value(step, "key expanded").len);
        check_expand(step, "key info", "key expanded");
        check_info(step, "iv info", "tls13 iv", no_context, value(step, "iv expanded").len);
        check_expand(step, "iv info", "iv expanded");
        n++;
    }
    assert_int_equal(n, 21);
}

/* The handshake messages so far, as the transcript hash sees them (RFC 9846 section 4.5.1). */
struct transcript {
    struct buf messages;
    size_t server_hellos;
};

static void transcript_hash(const struct transcript *t, uint8_t *ret)
{
    assert_int_equal(hash_digest(lib, HASH_SHA256, buf_bytes(&t->messages), ret), TT_OK);
}

/* After a HelloRetryRequest the first ClientHello is replaced by a message_hash of it. */
static void transcript_replace_client_hello(struct transcript *t)
{
    uint8_t message_hash[4 + SHA256] = {254, 0, 0, SHA256};
    transcript_hash(t, message_hash + 4);
    buf_consume(&t->messages, buf_size(&t->messages));
    assert_int_equal(buf_append(&t->messages, message_hash, sizeof message_hash), TT_OK);
}

/* Take up a "construct a ... handshake message" step; false for any other step. */
static bool transcript_add(struct transcript *t, const struct rfc8448_step *step)
{
    if (strncmp(step->title, "construct a", 11) != 0)
        return false;
    struct tt_bytes message = step->values[0].data;
    bool is_hello = strcmp(step->values[0].name, "ClientHello") == 0;
    if (strcmp(step->values[0].name, "ServerHello") == 0) {
        t->server_hellos++;
        if (step->section == 5 && t->server_hellos == 1)
            transcript_replace_client_hello(t);
    }
    /* The resumption's ClientHello is constructed without its binders; the record has all of it. */
    if (step->section == 4 && is_hello)
        message = rfc8448_find((struct rfc8448_query){4, "client", "send handshake record", 0, "payload"});
    assert_int_equal(buf_append(&t->messages, message.data, message.len), TT_OK);
    return true;
}

/* The context of a step: the empty string's hash for "derived", the ticket_nonce for "resumption", nothing
 * for "finished", else the transcript so far. */
static bool context_is_transcript(const struct rfc8448_step *step)
{
    char label[64];
    label_of(step, label, sizeof label);
    return strcmp(label, derived_label) != 0 && strcmp(label, "tls13 resumption") != 0 &&
           strcmp(label, "tls13 finished") != 0;
}

static void check_against_transcript(const struct transcript *t, const struct rfc8448_step *step, size_t *n)
{
    uint8_t hash[SHA256], mac[SHA256];
    transcript_hash(t, hash);
    if (rfc8448_value(step, "hash") != NULL && context_is_transcript(step)) {
        check_bytes(step, "hash", value(step, "hash"), hash);
        (*n)++;
    }
    if (rfc8448_value(step, "finished") != NULL) {
        const struct tt_bytes *binder_hash = rfc8448_value(step, "binder hash");
        struct tt_bytes covered = binder_hash != NULL ? *binder_hash : (struct tt_bytes){hash, sizeof hash};
        assert_int_equal(hmac(lib, HASH_SHA256, value(step, "expanded"), &covered, 1, mac), TT_OK);
        check_bytes(step, "finished", value(step, "finished"), mac);
        (*n)++;
    }
}

static void every_transcript_hash_and_finished(void **state)
{
    (void)state;
    size_t n = 0;
    for (unsigned section = FIRST_SECTION; section <= LAST_SECTION; section++) {
        struct transcript t = {0};
        for (size_t i = 0; i < rfc8448_step_count; i++) {
            const struct rfc8448_step *step = &rfc8448_steps[i];
            if (step->section == section && !transcript_add(&t, step))
                check_against_transcript(&t, step, &n);
        }
        buf_free(&t.messages);
    }
    /* five sections with 6 secrets of the transcript and 2 Finished each; 2 early secrets and the binder */
    assert_int_equal(n, 5 * (6 + 2) + 3);
}

static void the_binder_covers_the_truncated_client_hello(void **state)
{
    (void)state;
    const char *title = "calculate PSK binder";
    struct tt_bytes prefix =
        rfc8448_find((struct rfc8448_query){4, "client", title, 0, "ClientHello prefix"});
    struct tt_bytes expected = rfc8448_find((struct rfc8448_query){4, "client", title, 0, "binder hash"});
    struct tt_bytes whole =
        rfc8448_find((struct rfc8448_query){4, "client", "send handshake record", 0, "payload"});
    uint8_t hash[SHA256];
    assert_int_equal(hash_digest(lib, HASH_SHA256, prefix, hash), TT_OK);
    assert_memory_equal(hash, expected.data, expected.len);
    assert_true(whole.len == prefix.len + 2 + 1 + SHA256);
    assert_memory_equal(whole.data, prefix.data, prefix.len);
}

static bool give_private_key(void *arg, uint8_t *ret, size_t n)
{
    const struct tt_bytes *key = arg;
    if (n != key->len)
        return false;
    memcpy(ret, key->data, n);
    return true;
}

/* One key agreement of the trace, from the client's private value to the IKM of the handshake secret. */
static void check_agreement(unsigned section, uint16_t group, const char *title)
{
    struct tt_bytes key = rfc8448_find((struct rfc8448_query){section, "client", title, 0, "private key"});
    struct tt_bytes share = rfc8448_find((struct rfc8448_query){section, "client", title, 0, "public key"});
    struct tt_bytes peer = rfc8448_find((struct rfc8448_query){section, "server", title, 0, "public key"});
    struct tt_bytes expected =
        rfc8448_find((struct rfc8448_query){section, "server", "extract secret \"handshake\"", 0, "IKM"});
    struct kx_offer *offer = NULL;
    struct kx_secret secret = {0};
    assert_int_equal(kx_offer_new(&offer, lib, group, (struct kx_random){give_private_key, &key}), TT_OK);
    assert_int_equal(kx_offer_share(offer).len, share.len);
    assert_memory_equal(kx_offer_share(offer).data, share.data, share.len);
    assert_int_equal(kx_offer_finish(offer, lib, peer, &secret), TT_OK);
    assert_int_equal(secret.len, expected.len);
    assert_memory_equal(secret.data, expected.data, expected.len);
    kx_offer_free(offer);
}

static void every_key_agreement(void **state)
{
    (void)state;
    static const char x25519[] = "create an ephemeral x25519 key pair";
    check_agreement(3, TT_GROUP_X25519, x25519);
    check_agreement(4, TT_GROUP_X25519, x25519);
    check_agreement(5, TT_GROUP_SECP256R1, "create an ephemeral P-256 key pair");
    check_agreement(6, TT_GROUP_X25519, x25519);
    check_agreement(7, TT_GROUP_X25519, x25519);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_extract),
        cmocka_unit_test(every_derived_secret),
        cmocka_unit_test(every_traffic_key),
        cmocka_unit_test(every_transcript_hash_and_finished),
        cmocka_unit_test(the_binder_covers_the_truncated_client_hello),
        cmocka_unit_test(every_key_agreement),
    };
    return cmocka_run_group_tests_name("tls/rfc8448_schedule", tests, set_up, tear_down);
}
