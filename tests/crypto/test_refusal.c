/* tests/crypto/test_refusal.c: everything of a peer's that libcrypto checks, with libcrypto's nth allocation
 * failing, and with that and all further ones failing, for every n: the right answer or our own lack of
 * memory, never the peer's fault, and nothing bad accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/err.h>
#include <string.h>

#include "crypto/judge.h"
#include "crypto/kx.h"
#include "support/crypto_memory.h"

#define MOST 20000 /* more allocations than any of these makes */

static struct crypto_lib *lib;

/* struct question: put once for each allocation. ret_alert: of a chain or raw key that is refused. What is to
 * be refused may then be so for another reason. */
struct question {
    tt_rc (*ask)(const void *arg, unsigned *ret_alert);
    const void *arg;
    tt_rc right;
};

static bool is_own(tt_rc rc)
{
    return rc == TT_ERR_MEMORY || rc == TT_ERR_INTERNAL;
}

static tt_rc ask(const struct question *q, const char *what, size_t nth)
{
    unsigned alert = TT_ALERT_INTERNAL_ERROR;
    tt_rc rc = q->ask(q->arg, &alert);
    crypto_memory_fail_nth(0);
    if (!is_own(rc) && (rc == TT_OK) != (q->right == TT_OK))
        fail_msg("%s %zu: %s, not %s", what, nth, tt_rc_name(rc), tt_rc_name(q->right));
    if (nth == 0)
        assert_int_equal(ERR_peek_error(), 0); /* nothing is left in the application's queue */
    if (is_own(rc))
        assert_int_equal(alert, TT_ALERT_INTERNAL_ERROR);
    return rc;
}

static void each_nth(const struct question *q, void (*let_fail)(size_t), const char *what)
{
    for (size_t nth = 1, made = nth; made >= nth; nth += nth < 1000 ? 1 : 13) {
        size_t before = crypto_memory_count();
        assert_true(nth < MOST);
        let_fail(nth);
        (void)ask(q, what, nth);
        made = crypto_memory_count() - before;
    }
}

static void put(const struct question *q)
{
    assert_int_equal(ask(q, "at first", 0), q->right);
    each_nth(q, crypto_memory_fail_nth, "allocation");
    each_nth(q, crypto_memory_fail_from, "from allocation");
    assert_int_equal(ask(q, "at last", 0), q->right);
}

/* ---- chains ---- */

static struct {
    struct node *root, *middle, *leaf, *other, *staple, *responder, *rsa, *ed25519;
} n;

static struct node *server(const char *key, const struct node *issuer)
{
    return node_new(&(struct node_options){.cn = "server",
                                           .key = key,
                                           .issuer = issuer,
                                           .extensions = {{"subjectAltName", "DNS:host.example"},
                                                          {"keyUsage", "critical,digitalSignature"},
                                                          {"extendedKeyUsage", "serverAuth"}}});
}

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(crypto_lib_new(&lib, NULL), TT_OK);
    n.root = node_ca("root", NULL);
    n.middle = node_ca("middle", n.root);
    n.leaf = server(NULL, n.middle);
    n.other = node_ca("other", NULL);
    n.staple = node_new(&(struct node_options){
        .cn = "staple",
        .issuer = n.middle,
        .extensions = {{"subjectAltName", "DNS:host.example"}, {"tlsfeature", "status_request"}}});
    n.responder = node_new(&(struct node_options){
        .cn = "responder", .issuer = n.middle, .extensions = {{"extendedKeyUsage", "OCSPSigning"}}});
    n.rsa = server("RSA-2048", n.middle);
    n.ed25519 = server("ED25519", n.middle);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    struct node *all[] = {n.root, n.middle, n.leaf, n.other, n.staple, n.responder, n.rsa, n.ed25519};
    for (size_t i = 0; i < TT_COUNT(all); i++)
        node_free(all[i]);
    crypto_lib_free(lib);
    return 0;
}

static tt_rc ask_chain(const void *arg, unsigned *ret_alert)
{
    const struct trial *t = arg;
    struct trust_verdict v = {0};
    struct tt_error err = {0};
    if (t->trust != NULL)
        tt_trust_forget(t->trust);
    tt_rc rc = trial_judge(t, &v, &err);
    assert_int_equal(rc == TT_OK, v.leaf_key != NULL);
    pubkey_free(v.leaf_key);
    if (rc != TT_OK) {
        *ret_alert = v.alert;
        assert_int_equal(v.alert == TT_ALERT_INTERNAL_ERROR, is_own(rc));
        assert_true(err.text[0] != '\0');
        if (is_own(rc))
            assert_string_equal(err.hint, ""); /* no advice for the peer */
    }
    return rc;
}

static void judge(struct trial t, tt_rc right)
{
    t.lib = lib;
    put(&(struct question){ask_chain, &t, right});
}

static void chains(void **state)
{
    (void)state;
    struct tt_trust *trust = trust_of(n.root, NULL), *others = trust_of(n.other, NULL);
    struct node *leafs[] = {n.leaf, n.rsa, n.ed25519};
    for (size_t i = 0; i < TT_COUNT(leafs); i++) {
        judge((struct trial){.trust = trust, .chain = {leafs[i], n.middle}}, TT_OK);
        judge((struct trial){.chain = {leafs[i], n.middle}}, TT_OK); /* whoever it is */
    }
    const struct trial bad[] = {
        {.trust = others, .chain = {n.leaf, n.middle}},
        {.trust = trust, .chain = {n.leaf}},
        {.trust = trust, .chain = {n.leaf, n.middle}, .host = "another.example"},
        {.trust = trust, .chain = {n.leaf, n.middle}, .host = "192.0.2.1"},
        {.trust = trust, .chain = {n.leaf, n.middle}, .client = true},
        {.trust = trust, .chain = {n.leaf, n.middle}, .now = TEST_NOW + 1000 * 86400},
        {.trust = trust, .chain = {n.staple, n.middle}, .asked_ocsp = true},
    };
    for (size_t i = 0; i < TT_COUNT(bad); i++)
        judge(bad[i], TT_ERR_VERIFY);
    tt_trust_free(trust);
    tt_trust_free(others);
}

static void pins(void **state)
{
    (void)state;
    struct tt_trust *leaf = trust_of(NULL, NULL), *ca = trust_of(NULL, NULL), *both = trust_of(n.root, NULL),
                    *other = trust_of(n.root, NULL);
    assert_int_equal(tt_trust_add_pin(leaf, n.leaf->pin, NULL), TT_OK);
    assert_int_equal(tt_trust_add_pin(ca, n.middle->pin, NULL), TT_OK);
    assert_int_equal(tt_trust_add_pin(both, n.middle->pin, NULL), TT_OK);
    assert_int_equal(tt_trust_add_pin(other, n.other->pin, NULL), TT_OK);
    judge((struct trial){.trust = leaf, .chain = {n.leaf, n.middle}}, TT_OK);
    judge((struct trial){.trust = ca, .chain = {n.leaf, n.middle}}, TT_OK);
    judge((struct trial){.trust = both, .chain = {n.leaf, n.middle}}, TT_OK);
    judge((struct trial){.trust = other, .chain = {n.leaf, n.middle}}, TT_ERR_VERIFY);
    judge((struct trial){.trust = leaf, .chain = {n.rsa, n.middle}}, TT_ERR_VERIFY);
    tt_trust_free(leaf);
    tt_trust_free(ca);
    tt_trust_free(both);
    tt_trust_free(other);
}

static void crls(void **state)
{
    (void)state;
    const struct node *revoked[] = {NULL, n.leaf};
    for (size_t i = 0; i < TT_COUNT(revoked); i++) {
        struct tt_trust *trust = trust_of(n.root, n.middle);
        struct tt_bytes crl = crl_new(&(struct crl_options){.issuer = n.middle, .revoked = revoked[i]});
        assert_int_equal(tt_trust_add_crl(trust, crl, NULL), TT_OK);
        judge((struct trial){.trust = trust, .chain = {n.leaf, n.middle}}, i == 0 ? TT_OK : TT_ERR_VERIFY);
        tt_trust_free(trust);
        der_free(crl);
    }
}

static void ocsp_responses(void **state)
{
    (void)state;
    struct tt_trust *trust = trust_of(n.root, NULL);
    const struct {
        struct ocsp_options options;
        tt_rc right;
    } cases[] = {
        {{.leaf = n.leaf, .issuer = n.middle}, TT_OK},
        {{.leaf = n.leaf, .issuer = n.middle, .responder = n.responder}, TT_OK},
        {{.leaf = n.leaf, .issuer = n.middle, .status = V_OCSP_CERTSTATUS_REVOKED}, TT_ERR_VERIFY},
        {{.leaf = n.leaf, .issuer = n.middle, .responder = n.other}, TT_ERR_VERIFY},
        {{.leaf = n.rsa, .issuer = n.middle}, TT_ERR_VERIFY},
    };
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        struct tt_bytes ocsp = ocsp_new(&cases[i].options);
        judge((struct trial){.trust = trust, .chain = {n.leaf, n.middle}, .asked_ocsp = true, .ocsp = ocsp},
              cases[i].right);
        der_free(ocsp);
    }
    tt_trust_free(trust);
}

/* An anchor that is first used when memory is short is as good as before afterwards. */
static void anchors_are_not_spoiled(void **state)
{
    (void)state;
    for (size_t nth = 1, made = nth; made >= nth; nth++) {
        struct tt_trust *trust = trust_of(n.root, NULL);
        const struct trial t = {.lib = lib, .trust = trust, .chain = {n.leaf, n.middle}};
        const struct question q = {ask_chain, &t, TT_OK};
        size_t before = crypto_memory_count();
        assert_true(nth < MOST);
        crypto_memory_fail_nth(nth);
        (void)ask(&q, "allocation", nth);
        made = crypto_memory_count() - before;
        assert_int_equal(ask(&q, "afterwards", nth), TT_OK);
        tt_trust_free(trust);
    }
}

/* ---- bare keys and signatures ---- */

struct signed_message {
    struct test_key *key;
    struct tt_trust *trust; /* in which the key is pinned */
    uint8_t sig[1024];
    size_t sig_len;
};
static const struct tt_bytes message = {(const uint8_t *)"a message", 9};

static tt_rc ask_signature(const void *arg, unsigned *ret_alert)
{
    const struct signed_message *s = arg;
    struct pubkey *key = NULL;
    (void)ret_alert;
    tt_rc rc = pubkey_from_spki(&key, lib, test_key_spki(s->key));
    if (rc == TT_OK)
        rc = pubkey_verify(lib, key, s->key->scheme, message, (struct tt_bytes){s->sig, s->sig_len});
    pubkey_free(key);
    return rc;
}

static tt_rc ask_raw_key(const void *arg, unsigned *ret_alert)
{
    const struct signed_message *s = arg;
    struct trust_verdict v = {0};
    struct tt_error err = {0};
    tt_rc rc = trust_verify_raw_key(&v, lib, s->trust, test_key_spki(s->key), &err);
    *ret_alert = rc == TT_OK ? *ret_alert : v.alert;
    assert_int_equal(rc == TT_OK, v.leaf_key != NULL);
    pubkey_free(v.leaf_key);
    return rc;
}

static void keys_and_signatures(void **state)
{
    (void)state;
    static const char *const kinds[] = {"P-256", "P-384", "P-521", "ED25519", "RSA", "RSA-PSS"};
    for (size_t i = 0; i < TT_COUNT(kinds); i++) {
        uint8_t pin[32];
        struct signed_message s = {.key = test_key_new(kinds[i], &(struct test_cert){.cn = "key"})};
        s.sig_len = test_sign(s.key, s.key->scheme, message, s.sig, sizeof s.sig);
        assert_int_equal(tt_trust_new(&s.trust, NULL), TT_OK);
        test_key_pin(s.key, pin);
        put(&(struct question){ask_signature, &s, TT_OK});
        s.sig[s.sig_len - 1] ^= 1;
        put(&(struct question){ask_signature, &s, TT_ERR_VERIFY});
        s.sig[0] ^= 1; /* of an ECDSA signature also the form */
        put(&(struct question){ask_signature, &s, TT_ERR_VERIFY});
        assert_int_equal(tt_trust_add_pin(s.trust, pin, NULL), TT_OK);
        put(&(struct question){ask_raw_key, &s, TT_OK});
        tt_trust_free(s.trust);
        s.trust = NULL; /* whoever it is */
        put(&(struct question){ask_raw_key, &s, TT_OK});
        test_key_free(s.key);
    }
}

/* ---- key shares ---- */

struct exchange {
    uint16_t group;
    struct kx_offer *offer;
    struct tt_bytes share; /* of the peer */
};
static const struct kx_random randomness = {crypto_random, NULL};

static tt_rc ask_respond(const void *arg, unsigned *ret_alert)
{
    const struct exchange *x = arg;
    struct kx_response r;
    (void)ret_alert;
    return kx_respond(&r, lib, x->group, randomness, x->share);
}

static tt_rc ask_finish(const void *arg, unsigned *ret_alert)
{
    const struct exchange *x = arg;
    struct kx_secret secret;
    (void)ret_alert;
    return kx_offer_finish(x->offer, lib, x->share, &secret);
}

static void exchange(uint16_t group)
{
    struct exchange x = {.group = group};
    struct kx_response r;
    uint8_t bad[KX_MAX_SHARE] = {0}; /* no value of any group: zero */
    assert_int_equal(kx_offer_new(&x.offer, lib, group, randomness), TT_OK);
    x.share = kx_offer_share(x.offer);
    assert_int_equal(kx_respond(&r, lib, group, randomness, x.share), TT_OK);
    put(&(struct question){ask_respond, &x, TT_OK});
    x.share = (struct tt_bytes){r.share, r.share_len};
    put(&(struct question){ask_finish, &x, TT_OK});
    memcpy(bad, r.share, r.share_len);
    for (size_t i = 1; i < r.share_len; i++)
        bad[i] = 0;
    if (bad[0] != 4) /* the curves have the form first */
        bad[0] = 0;
    x.share.data = bad;
    if (group != TT_GROUP_MLKEM1024)
        put(&(struct question){ask_finish, &x, TT_ERR_PROTOCOL});
    kx_offer_free(x.offer);
}

static void key_shares(void **state)
{
    (void)state;
    for (uint32_t group = 1; group < 0x10000; group++)
        if (kx_available(lib, (uint16_t)group))
            exchange((uint16_t)group);
}

int main(void)
{
    if (!crypto_memory_take())
        return 99; /* libcrypto has allocated before main */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains),
        cmocka_unit_test(pins),
        cmocka_unit_test(crls),
        cmocka_unit_test(ocsp_responses),
        cmocka_unit_test(anchors_are_not_spoiled),
        cmocka_unit_test(keys_and_signatures),
        cmocka_unit_test(key_shares),
    };
    return cmocka_run_group_tests_name("crypto/refusal", tests, set_up, tear_down);
}
