/* tests/crypto/test_chain_cache.c: what is remembered of a chain, how long, and for whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "crypto/chain_cache.h"
#include "crypto/judge.h"

#define DAY INT64_C(86400)

static struct {
    struct crypto_lib *lib;
    struct node *root, *leaf, *both, *middle, *deep;
} w;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(crypto_lib_new(&w.lib, NULL), TT_OK);
    w.root = node_ca("root", NULL);
    w.leaf = node_server(w.root, "host.example");
    w.both = node_new(
        &(struct node_options){.cn = "both",
                               .issuer = w.root,
                               .extensions = {{"subjectAltName", "DNS:host.example,DNS:b.example"}}});
    w.middle = node_new(&(struct node_options){
        .cn = "middle", .issuer = w.root, .until = TEST_NOW + DAY, .extensions = CA_EXTENSIONS});
    w.deep = node_server(w.middle, "host.example");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    node_free(w.root);
    node_free(w.leaf);
    node_free(w.both);
    node_free(w.middle);
    node_free(w.deep);
    crypto_lib_free(w.lib);
    return 0;
}

static void the_second_time(void **state)
{
    (void)state;
    struct tt_trust *t = trust_of(w.root, NULL);
    struct trial x = {.lib = w.lib, .trust = t, .chain = {w.leaf}};
    struct trust_verdict first = trial_accept(&x), second = trial_accept(&x);
    assert_false(first.cached);
    assert_true(second.cached);
    assert_int_equal(second.not_after, first.not_after);
    assert_int_equal(second.basis, first.basis);
    tt_trust_free(t);
}

/* Another name, role, chain or demand is another question. */
static void other_questions(void **state)
{
    (void)state;
    struct tt_trust *t = trust_of(w.root, NULL);
    struct trial x = {.lib = w.lib, .trust = t, .chain = {w.both}};
    assert_false(trial_accept(&x).cached);
    x.host = "b.example";
    assert_false(trial_accept(&x).cached);
    x.host = "c.example";
    trial_refuse(&x, TT_ALERT_BAD_CERTIFICATE, "is not for", "");
    x.host = NULL;
    x.client = true;
    assert_false(trial_accept(&x).cached);
    x.client = false, x.any_host = true;
    assert_false(trial_accept(&x).cached);
    x.any_host = false, x.asked_ocsp = true;
    assert_false(trial_accept(&x).cached);
    x.require_ocsp = true;
    trial_refuse(&x, TT_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE, "required", "");
    x.require_ocsp = false, x.chain[1] = w.root;
    assert_false(trial_accept(&x).cached);
    assert_true(trial_accept(&x).cached);
    tt_trust_free(t);
}

static void honest_about_time(void **state)
{
    (void)state;
    struct tt_trust *t = trust_of(w.root, NULL);
    struct trial x = {.lib = w.lib, .trust = t, .chain = {w.deep, w.middle}};
    trial_accept(&x);
    x.now = TEST_NOW + DAY; /* the last second of the CA in the middle, which ends before the leaf */
    assert_true(trial_accept(&x).cached);
    x.now = TEST_NOW + DAY + 1;
    trial_refuse(&x, TT_ALERT_CERTIFICATE_EXPIRED, "\"CN=middle\" (number 2 in the chain) expired", "");
    x.now = TEST_NOW - 31 * DAY; /* a clock that was set back */
    trial_refuse(&x, TT_ALERT_CERTIFICATE_EXPIRED, "is not valid before", "");
    x.now = TEST_NOW;
    assert_true(trial_accept(&x).cached);
    tt_trust_free(t);
}

static void failures_are_not_kept(void **state)
{
    (void)state;
    struct tt_trust *t = trust_of(NULL, NULL);
    struct trial x = {.lib = w.lib, .trust = t, .chain = {w.leaf}};
    trial_refuse(&x, TT_ALERT_UNKNOWN_CA, "not trusted", "");
    node_anchor(t, w.root);
    assert_false(trial_accept(&x).cached);
    assert_true(trial_accept(&x).cached);
    assert_int_equal(tt_trust_add_pin(t, w.middle->pin, NULL),
                     TT_OK); /* a change forgets what was good before */
    trial_refuse(&x, TT_ALERT_BAD_CERTIFICATE, "pinned", "");
    tt_trust_free(t);
}

/* What was read before is judged anew all the same: name, time, signature, trust. */
static void read_once_judged_anew(void **state)
{
    (void)state;
    struct tt_trust *t = trust_of(w.root, NULL);
    struct trial x = {.lib = w.lib, .trust = t, .chain = {w.deep, w.middle}};
    struct trust_verdict first = trial_accept(&x);
    for (int i = 0; i < 4; i++) { /* read, read to be kept, and then not read any more */
        tt_trust_forget(t);
        struct trust_verdict v = trial_accept(&x);
        assert_false(v.cached);
        assert_int_equal(v.not_after, first.not_after);
    }
    x.host = "c.example";
    trial_refuse(&x, TT_ALERT_BAD_CERTIFICATE, "is not for", "");
    x.host = NULL;
    x.now = TEST_NOW + DAY + 1;
    trial_refuse(&x, TT_ALERT_CERTIFICATE_EXPIRED, "\"CN=middle\" (number 2 in the chain) expired", "");
    x.now = 0;
    struct node forged = *w.deep;
    uint8_t *bytes = mem_dup(w.deep->cert.data, w.deep->cert.len);
    assert_non_null(bytes);
    bytes[w.deep->cert.len - 1] ^= 1; /* of its signature */
    forged.cert.data = bytes;
    x.chain[0] = &forged;
    tt_trust_forget(t);
    trial_refuse(&x, TT_ALERT_BAD_CERTIFICATE, "", "");
    x.chain[0] = w.deep;
    x.chain[1] = NULL; /* without the CA in the middle, which was read before */
    trial_refuse(&x, TT_ALERT_UNKNOWN_CA, "", "");
    x.chain[1] = w.middle;
    assert_false(trial_accept(&x).cached);
    mem_free(bytes);
    tt_trust_free(t);
}

/* Far more certificates than places. */
static void read_ones_are_bounded(void **state)
{
    (void)state;
    struct tt_trust *t = trust_of(w.root, NULL);
    struct node *many[80];
    for (size_t i = 0; i < TT_COUNT(many); i++)
        many[i] = node_server(w.root, "host.example");
    for (size_t round = 0; round < 3; round++)
        for (size_t i = 0; i < TT_COUNT(many); i++) {
            struct trial x = {.lib = w.lib, .trust = t, .chain = {many[i]}};
            tt_trust_forget(t);
            assert_false(trial_accept(&x).cached);
        }
    for (size_t i = 0; i < TT_COUNT(many); i++)
        node_free(many[i]);
    tt_trust_free(t);
}

/* The key that is handed out outlives the set. */
static void the_key_is_shared(void **state)
{
    (void)state;
    struct tt_trust *t = trust_of(w.root, NULL);
    const struct tt_bytes chain[] = {w.leaf->cert};
    const struct trust_request req = {
        .chain = chain, .chain_len = 1, .peer_is_server = true, .now = TEST_NOW};
    struct trust_verdict a = {0}, b = {0};
    assert_int_equal(trust_verify(&a, w.lib, t, &req, NULL), TT_OK);
    assert_int_equal(trust_verify(&b, w.lib, t, &req, NULL), TT_OK);
    assert_ptr_equal(a.leaf_key, b.leaf_key);
    pubkey_free(a.leaf_key);
    tt_trust_free(t);
    assert_int_equal(pubkey_bits(b.leaf_key), 256);
    assert_true(pubkey_fits(b.leaf_key, TT_SCHEME_ECDSA_SECP256R1_SHA256));
    pubkey_free(b.leaf_key);
}

/* Far more chains than places: it stays as large as it is, and forgets the oldest of a set first. */
static void bounded(void **state)
{
    (void)state;
    struct chain_cache *c = NULL;
    struct trust_verdict v = {.alert = TT_ALERT_NONE}, got;
    const struct validity when = {0, 10};
    uint8_t key[CHAIN_KEY_SIZE] = {0};
    assert_int_equal(cert_leaf_key(&v.leaf_key, w.lib, w.leaf->cert), TT_OK);
    assert_int_equal(chain_cache_new(&c), TT_OK);
#ifdef TT_FAULT_INJECTION
    const size_t before = mem_test_stats().live_bytes;
#endif
    for (unsigned i = 0; i < 5; i++) { /* five in a set of four; number 0 is used in between */
        key[1] = (uint8_t)i;
        chain_cache_put(c, key, &v, when);
        key[1] = 0;
        assert_true(chain_cache_get(c, &got, key, 5));
        pubkey_free(got.leaf_key);
    }
    static const bool kept[] = {true, false, true, true, true};
    for (unsigned i = 0; i < 5; i++) {
        key[1] = (uint8_t)i;
        assert_int_equal(chain_cache_get(c, &got, key, 5), kept[i]);
        if (kept[i])
            pubkey_free(got.leaf_key);
    }
    for (unsigned i = 0; i < 5000; i++) {
        key[0] = (uint8_t)i, key[1] = (uint8_t)(i >> 8), key[2] = 1;
        chain_cache_put(c, key, &v, when);
    }
#ifdef TT_FAULT_INJECTION
    assert_int_equal(mem_test_stats().live_bytes, before);
#endif
    chain_cache_put(c, key, &v, (struct validity){7, 3}); /* never true: not kept, and no harm */
    assert_true(chain_cache_get(c, &got, key, 5));
    pubkey_free(got.leaf_key);
    chain_cache_clear(c);
    assert_false(chain_cache_get(c, &got, key, 5));
    chain_cache_free(c);
    pubkey_free(v.leaf_key);
}

static void *many_times(void *arg)
{
    const struct tt_trust *t = arg;
    const struct tt_bytes chains[][1] = {{w.leaf->cert}, {w.both->cert}};
    uintptr_t failures = 0;
    for (unsigned i = 0; i < 400; i++) {
        const struct trust_request req = {
            .chain = chains[i % 2], .chain_len = 1, .peer_is_server = true, .now = TEST_NOW + (i % 50) * DAY};
        struct trust_verdict v = {0};
        bool good = trust_verify(&v, w.lib, t, &req, NULL) == TT_OK;
        failures += good != (i % 50 <= 30);
        if (good)
            pubkey_free(v.leaf_key);
    }
    return (void *)failures;
}

static void several_threads(void **state)
{
    (void)state;
    struct tt_trust *t = trust_of(w.root, NULL);
    pthread_t threads[4];
    for (size_t i = 0; i < TT_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, many_times, t), 0);
    for (size_t i = 0; i < TT_COUNT(threads); i++) {
        void *failures;
        assert_int_equal(pthread_join(threads[i], &failures), 0);
        assert_null(failures);
    }
    tt_trust_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_time),       cmocka_unit_test(other_questions),
        cmocka_unit_test(honest_about_time),     cmocka_unit_test(failures_are_not_kept),
        cmocka_unit_test(the_key_is_shared),     cmocka_unit_test(read_once_judged_anew),
        cmocka_unit_test(read_ones_are_bounded), cmocka_unit_test(bounded),
        cmocka_unit_test(several_threads),
    };
    return cmocka_run_group_tests_name("crypto/chain_cache", tests, set_up, tear_down);
}
