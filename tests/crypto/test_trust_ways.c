/* tests/crypto/test_trust_ways.c: where more than one CA may have issued a certificate, every way to an
 * anchor is tried, and the first reason is told when none is good. RFC 4158, RFC 5280 section 6. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/judge.h"

/* root -> middle -> leaf; other: another root */
static struct {
    struct crypto_lib *lib;
    struct node *root, *middle, *leaf, *other;
    struct tt_trust *both;
} w;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(crypto_lib_new(&w.lib, NULL), TT_OK);
    w.root = node_ca("root", NULL);
    w.other = node_ca("other", NULL);
    w.middle = node_ca("middle", w.root);
    w.leaf = node_server(w.middle, "host.example");
    w.both = trust_of(w.root, w.other);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tt_trust_free(w.both);
    node_free(w.root);
    node_free(w.other);
    node_free(w.middle);
    node_free(w.leaf);
    crypto_lib_free(w.lib);
    return 0;
}

#define TRIAL(t, ...) (&(struct trial){.lib = w.lib, .trust = t, .chain = {__VA_ARGS__}})

/* A leaf that names no key, as 'openssl x509 -req' of Debian 12 makes it: only the signature tells the CA. */
static struct node *silent_server(const struct node *issuer)
{
    return node_new(&(struct node_options){.cn = "server",
                                           .issuer = issuer,
                                           .no_ski = true,
                                           .no_aki = true,
                                           .extensions = {{"subjectAltName", "DNS:host.example"}}});
}

static void anchors_of_one_name(void **state)
{
    (void)state;
    struct node *twin = node_ca("root", NULL), *stranger = node_ca("root", NULL);
    struct node *of_root = silent_server(w.root), *of_twin = silent_server(twin);
    struct node *of_stranger = silent_server(stranger);
    struct tt_trust *sets[] = {trust_of(w.root, twin), trust_of(twin, w.root)};
    for (size_t i = 0; i < TT_COUNT(sets); i++) {
        trial_accept(TRIAL(sets[i], of_root));
        trial_accept(TRIAL(sets[i], of_twin));
        trial_refuse(TRIAL(sets[i], of_stranger), TT_ALERT_BAD_CERTIFICATE, "carries a signature", "");
        tt_trust_free(sets[i]);
    }
    node_free(twin);
    node_free(stranger);
    node_free(of_root);
    node_free(of_twin);
    node_free(of_stranger);
}

static void cas_between_of_one_name(void **state)
{
    (void)state;
    struct node *twin = node_ca("middle", w.root), *stranger = node_ca("middle", NULL);
    struct node *leaf = silent_server(w.middle);
    trial_accept(TRIAL(w.both, leaf, twin, w.middle));
    trial_accept(TRIAL(w.both, leaf, w.middle, twin));
    trial_accept(TRIAL(w.both, leaf, stranger, twin, w.middle));
    trial_refuse(TRIAL(w.both, leaf, twin), TT_ALERT_BAD_CERTIFICATE, "carries a signature", "");
    struct tt_trust *knows = trust_of(w.root, w.middle);
    node_anchor(knows, twin);
    trial_accept(TRIAL(knows, leaf));
    trial_accept(TRIAL(knows, leaf, twin));
    tt_trust_free(knows);
    node_free(twin);
    node_free(stranger);
    node_free(leaf);
}

/* The same CA certified by another root, in a way that does not lead to the leaf: every kind of reason. */
static void for_any_reason(void **state)
{
    (void)state;
    const struct node_options bad[] = {
        {.extensions = {{"basicConstraints", "critical,CA:TRUE"},
                        {"keyUsage", "critical,keyCertSign"},
                        {"nameConstraints", "critical,permitted;DNS:elsewhere"}}},
        {.extensions = {{"basicConstraints", "critical,CA:TRUE"},
                        {"keyUsage", "critical,keyCertSign"},
                        {"extendedKeyUsage", "clientAuth"}}},
        {.extensions = {{"basicConstraints", "critical,CA:FALSE"}}},
        {.extensions = {{"keyUsage", "critical,cRLSign"}, {"basicConstraints", "critical,CA:TRUE"}}},
        {.until = TEST_NOW - 86400, .extensions = CA_EXTENSIONS},
        {.md = "SHA1", .extensions = CA_EXTENSIONS},
        {.serial = "0", .extensions = CA_EXTENSIONS},
        {.extensions = {{"basicConstraints", "critical,CA:TRUE"},
                        {"keyUsage", "critical,keyCertSign"},
                        {"policyConstraints", "critical,requireExplicitPolicy:0"}}},
    };
    for (size_t i = 0; i < TT_COUNT(bad); i++) {
        struct node_options o = bad[i];
        o.cn = "middle";
        o.same_key = w.middle;
        o.issuer = w.other;
        struct node *crossed = node_new(&o);
        trial_accept(TRIAL(w.both, w.leaf, crossed, w.middle));
        trial_accept(TRIAL(w.both, w.leaf, w.middle, crossed));
        struct trust_verdict v = {0};
        assert_int_equal(trial_judge(TRIAL(w.both, w.leaf, crossed), &v, NULL), TT_ERR_VERIFY);
        node_free(crossed);
    }
}

static void a_revoked_ca(void **state)
{
    (void)state;
    struct node *crossed = node_new(&(struct node_options){
        .cn = "middle", .same_key = w.middle, .issuer = w.other, .extensions = CA_EXTENSIONS});
    struct tt_bytes of_other = crl_new(&(struct crl_options){.issuer = w.other, .revoked = crossed});
    struct tt_bytes of_middle = crl_new(&(struct crl_options){.issuer = w.middle});
    struct tt_bytes of_root = crl_new(&(struct crl_options){.issuer = w.root, .revoked = w.middle});
    struct tt_trust *t = trust_of(w.root, w.other);
    node_anchor(t, w.middle);
    assert_int_equal(tt_trust_add_crl(t, of_other, NULL), TT_OK);
    assert_int_equal(tt_trust_add_crl(t, of_middle, NULL), TT_OK);
    trial_accept(TRIAL(t, w.leaf, crossed, w.middle));
    trial_accept(TRIAL(t, w.leaf, crossed));
    assert_int_equal(tt_trust_add_crl(t, of_root, NULL), TT_OK);
    trial_refuse(TRIAL(t, w.leaf, crossed, w.middle), TT_ALERT_CERTIFICATE_REVOKED, "was revoked", "");
    tt_trust_free(t);
    der_free(of_other);
    der_free(of_middle);
    der_free(of_root);
    node_free(crossed);
}

/* The pinned key counts on whatever way it lies. */
static void a_pin_on_the_other_way(void **state)
{
    (void)state;
    struct node *crossed = node_new(&(struct node_options){
        .cn = "middle", .same_key = w.middle, .issuer = w.other, .extensions = CA_EXTENSIONS});
    const struct node *pins[] = {w.root, w.other};
    for (size_t i = 0; i < TT_COUNT(pins); i++) {
        struct tt_trust *t = trust_of(w.root, w.other);
        assert_int_equal(tt_trust_add_pin(t, pins[i]->pin, NULL), TT_OK);
        trial_accept(TRIAL(t, w.leaf, w.middle, crossed));
        trial_accept(TRIAL(t, w.leaf, crossed, w.middle));
        trial_refuse(TRIAL(t, w.leaf, pins[i] == w.root ? crossed : w.middle), TT_ALERT_BAD_CERTIFICATE,
                     "no key in its chain is a pinned one", "");
        tt_trust_free(t);
    }
    node_free(crossed);
}

/* easy-rsa's renew-ca: the key stays, the serial number does not, and each leaf has the old one in its AKI.
 */
static void a_renewed_ca(void **state)
{
    (void)state;
    struct node *renewed =
        node_new(&(struct node_options){.cn = "root", .same_key = w.root, .extensions = CA_EXTENSIONS});
    struct node *replaced = node_ca("root", NULL);
    struct node *leaf =
        node_new(&(struct node_options){.cn = "server",
                                        .issuer = w.root,
                                        .extensions = {{"subjectAltName", "DNS:host.example"},
                                                       {"authorityKeyIdentifier", "keyid,issuer:always"}}});
    struct tt_trust *of[] = {trust_of(w.root, NULL), trust_of(renewed, NULL), trust_of(replaced, NULL)};
    trial_accept(TRIAL(of[0], leaf));
    trial_accept(TRIAL(of[1], leaf));
    trial_refuse(TRIAL(of[2], leaf), TT_ALERT_UNKNOWN_CA, "who is not trusted", "");
    for (size_t i = 0; i < TT_COUNT(of); i++)
        tt_trust_free(of[i]);
    node_free(renewed);
    node_free(replaced);
    node_free(leaf);
}

static void how_many_between(void **state)
{
    (void)state;
    struct node *low = node_ca("low", w.middle), *deep = node_server(low, "host.example");
    struct node *direct = node_server(w.root, "host.example");
    struct tt_error err = {0};
    for (unsigned n = 0; n <= 2; n++) {
        struct tt_trust *t = trust_of(w.root, NULL);
        assert_int_equal(tt_trust_set_max_intermediates(t, n, NULL), TT_OK);
        trial_accept(TRIAL(t, direct));
        const struct trial *one = TRIAL(t, w.leaf, w.middle), *two = TRIAL(t, deep, low, w.middle);
        if (n >= 1)
            trial_accept(one);
        else
            trial_refuse(one, TT_ALERT_BAD_CERTIFICATE, "too long", "");
        if (n >= 2)
            trial_accept(two);
        else
            trial_refuse(two, TT_ALERT_BAD_CERTIFICATE, "too long", "");
        assert_int_equal(tt_trust_set_max_intermediates(t, 11, &err), TT_ERR_USAGE);
        tt_trust_free(t);
    }
    node_free(low);
    node_free(deep);
    node_free(direct);
}

/* Seven CAs that all certified each other, and no anchor: the search ends, with the reason of the first way.
 */
static void a_maze(void **state)
{
    (void)state;
    struct node *ca[7], *cross[7][7] = {{NULL}};
    struct tt_bytes chain[64] = {{NULL, 0}};
    size_t n = 1;
    for (size_t i = 0; i < 7; i++)
        ca[i] = node_ca((const char[]){(char)('a' + i), '\0'}, NULL);
    for (size_t i = 0; i < 7; i++)
        for (size_t j = 0; j < 7; j++)
            if (i != j) {
                cross[i][j] = node_new(&(struct node_options){.cn = (const char[]){(char)('a' + i), '\0'},
                                                              .same_key = ca[i],
                                                              .issuer = ca[j],
                                                              .extensions = CA_EXTENSIONS});
                chain[n++] = cross[i][j]->cert;
            }
    struct node *leaf = node_server(ca[0], "host.example");
    chain[0] = leaf->cert;
    struct tt_error err = {0};
    struct trust_verdict v = {0};
    const struct trust_request req = {
        .chain = chain, .chain_len = n, .peer_is_server = true, .now = TEST_NOW, .host = "host.example"};
    assert_int_equal(trust_verify(&v, w.lib, w.both, &req, &err), TT_ERR_VERIFY);
    assert_true(err.text[0] != '\0');
    struct tt_trust *knows = trust_of(ca[6], NULL);
    assert_int_equal(trust_verify(&v, w.lib, knows, &req, NULL), TT_OK);
    pubkey_free(v.leaf_key);
    tt_trust_free(knows);
    node_free(leaf);
    for (size_t i = 0; i < 7; i++) {
        node_free(ca[i]);
        for (size_t j = 0; j < 7; j++)
            node_free(cross[i][j]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anchors_of_one_name),    cmocka_unit_test(cas_between_of_one_name),
        cmocka_unit_test(for_any_reason),         cmocka_unit_test(a_revoked_ca),
        cmocka_unit_test(a_pin_on_the_other_way), cmocka_unit_test(a_renewed_ca),
        cmocka_unit_test(how_many_between),       cmocka_unit_test(a_maze),
    };
    return cmocka_run_group_tests_name("crypto/trust_ways", tests, set_up, tear_down);
}
