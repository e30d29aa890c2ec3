/* tests/crypto/test_trust_profile.c: certificates that break the profile of RFC 5280 section 4, each beside
 * one that does not, and what is forgiven, to whom. docs/chains.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/pem.h>
#include <stdio.h>

#include "crypto/judge.h"
#include "support/range.h"

static struct {
    struct crypto_lib *lib;
    struct node *root;
    struct tt_trust *strict, *lax;
} w;

static struct tt_trust *lax_of(const struct node *anchor)
{
    struct tt_trust *t = trust_of(anchor, NULL);
    assert_int_equal(tt_trust_insecure_accept_lax(t, NULL), TT_OK);
    return t;
}

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(crypto_lib_new(&w.lib, NULL), TT_OK);
    w.root = node_ca("root", NULL);
    w.strict = trust_of(w.root, NULL);
    w.lax = lax_of(w.root);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tt_trust_free(w.strict);
    tt_trust_free(w.lax);
    node_free(w.root);
    crypto_lib_free(w.lib);
    return 0;
}

#define SAN                                                                                                  \
    {                                                                                                        \
        "subjectAltName", "DNS:host.example"                                                                 \
    }
#define CA                                                                                                   \
    {                                                                                                        \
        "basicConstraints", "critical,CA:TRUE"                                                               \
    }
#define SIGNS                                                                                                \
    {                                                                                                        \
        "keyUsage", "critical,keyCertSign"                                                                   \
    }

#define POLICY_A   "DER:3006300406022a03" /* 1.2.3 */
#define POLICY_B   "DER:3006300406022a04" /* 1.2.4 */
#define ANY_POLICY "DER:300830060604551d2000"
#define OF(policy)                                                                                           \
    {                                                                                                        \
        "certificatePolicies", policy                                                                        \
    }

/* struct rule: a leaf below the root, or below a CA between, or below a root of its own; text NULL: it is
 * fine. What is refused is taken by a lax set, unless always. */
struct rule {
    struct node_options leaf, middle, root; /* cn NULL: as usual; of middle and root: not there */
    const char *text;
    bool always;
};

static void check_rule(const struct rule *r)
{
    struct node_options o = r->root;
    struct node *root = o.cn == NULL ? NULL : node_new(&o), *middle = NULL;
    const struct node *top = root != NULL ? root : w.root;
    struct tt_trust *strict = root != NULL ? trust_of(root, NULL) : NULL,
                    *lax = root != NULL ? lax_of(root) : NULL;
    o = r->middle;
    o.issuer = top;
    if (o.cn != NULL)
        middle = node_new(&o);
    o = r->leaf;
    o.cn = o.cn != NULL ? o.cn : "leaf";
    o.issuer = middle != NULL ? middle : top;
    if (o.extensions[0][0] == NULL && !o.v1) {
        o.extensions[0][0] = "subjectAltName";
        o.extensions[0][1] = "DNS:host.example";
    }
    struct node *leaf = node_new(&o);
    struct trial t = {.lib = w.lib, .trust = strict != NULL ? strict : w.strict, .chain = {leaf, middle}};
    t.any_host = o.v1;
    if (r->text == NULL)
        trial_accept(&t);
    else
        trial_refuse(&t, o.v1 ? TT_ALERT_UNSUPPORTED_CERTIFICATE : TT_ALERT_BAD_CERTIFICATE, r->text, "");
    t.trust = lax != NULL ? lax : w.lax;
    if (r->always)
        trial_refuse(&t, o.v1 ? TT_ALERT_UNSUPPORTED_CERTIFICATE : TT_ALERT_BAD_CERTIFICATE, r->text, "");
    else
        trial_accept(&t);
    tt_trust_free(strict);
    tt_trust_free(lax);
    node_free(leaf);
    node_free(middle);
    node_free(root);
}

#define CHECK(...)                                                                                           \
    do {                                                                                                     \
        const struct rule rules_[] = {__VA_ARGS__};                                                          \
        for (size_t i_ = 0; i_ < TT_COUNT(rules_); i_++)                                                     \
            check_rule(&rules_[i_]);                                                                         \
    } while (0)

static void key_identifiers(void **state)
{
    (void)state;
    CHECK({.text = NULL}, {.leaf = {.no_aki = true}, .text = "(authorityKeyIdentifier)"},
          {.leaf = {.no_aki = true, .no_ski = true}}, /* as 'openssl x509 -req' of Debian 12 makes them */
          {.leaf = {.no_ski = true}}, {.middle = {.cn = "middle", .extensions = {CA, SIGNS}}},
          {.middle = {.cn = "middle", .extensions = {CA, SIGNS}, .no_aki = true},
           .text = "\"CN=middle\" (number 2 in the chain) does not say by which key"},
          {.middle = {.cn = "middle", .extensions = {CA, SIGNS}, .no_ski = true},
           .leaf = {.no_ski = true},
           .text = "\"CN=middle\" (number 2 in the chain) is of a CA and has no subjectKeyIdentifier"},
          {.leaf = {.extensions = {SAN, {"authorityKeyIdentifier", "issuer:always"}}},
           .text = "authorityKeyIdentifier"});
}

static void roots(void **state)
{
    (void)state;
    CHECK({.root = {.cn = "r", .extensions = {CA, SIGNS}}},
          {.root = {.cn = "r", .extensions = {CA}}}, /* 'openssl req -x509' writes no keyUsage */
          {.root = {.cn = "r", .extensions = {{"basicConstraints", "critical,CA:TRUE,pathlen:1"}}}},
          {.root = {.cn = "r", .extensions = {CA, SIGNS}, .no_ski = true},
           .leaf = {.no_ski = true},
           .text = "\"CN=r\" (of the trust set) is of a CA and has no subjectKeyIdentifier"},
          {.root = {.cn = "r", .extensions = {{"basicConstraints", "CA:TRUE"}, SIGNS}},
           .text = "does not mark its basicConstraints as critical"},
          {.root = {.cn = "r", .extensions = {{"basicConstraints", "CA:TRUE"}, {"keyUsage", "keyCertSign"}}},
           .text = "does not mark its basicConstraints as critical"},
          /* easy-rsa, and OpenSSL before 1.1.0 */
          {.root = {.cn = "r",
                    .extensions = {{"basicConstraints", "CA:TRUE"},
                                   {"subjectKeyIdentifier", "hash"},
                                   {"authorityKeyIdentifier", "keyid:always,issuer:always"},
                                   {"keyUsage", "cRLSign, keyCertSign"}}}},
          {.root = {.cn = "r", .extensions = {SIGNS}}, .text = "is not a CA (basic constraints"},
          {.root = {.cn = "r", .extensions = {CA, SIGNS, {"authorityKeyIdentifier", "issuer:always"}}},
           .text = "an authorityKeyIdentifier without keyIdentifier"});
}

static void leaves(void **state)
{
    (void)state;
    CHECK({.leaf = {.extensions = {SAN, {"keyUsage", "critical,digitalSignature"}}}},
          {.leaf = {.extensions = {SAN, {"keyUsage", "critical,digitalSignature,keyCertSign"}}},
           .text = "is of no CA and may sign certificates"},
          {.leaf = {.extensions = {SAN,
                                   {"basicConstraints", "critical,CA:FALSE"},
                                   {"keyUsage", "critical,digitalSignature,keyCertSign"}}},
           .text = "is of no CA and may sign certificates"},
          {.leaf = {.extensions = {SAN, CA, {"keyUsage", "critical,digitalSignature"}}},
           .text = "that may not sign certificates"},
          {.leaf = {.extensions = {SAN, CA, {"keyUsage", "critical,digitalSignature,keyCertSign"}}}},
          {.leaf = {.extensions = {SAN, {"basicConstraints", "critical,CA:FALSE"}}}},
          {.leaf = {.cn = "", .extensions = {{"subjectAltName", "DNS:host.example"}}},
           .text = "has an empty subject and does not mark"},
          {.leaf = {.cn = "", .extensions = {{"subjectAltName", "critical,DNS:host.example"}}}},
          {.leaf = {.cn = "192.168.001.010"}, .text = "an address in an unusual form"},
          {.leaf = {.cn = "2001:DB8::1"}, .text = "an address in an unusual form"},
          {.leaf = {.cn = "2001:db8::1"}}, {.leaf = {.cn = "1.2.3"}}, {.leaf = {.cn = "0012"}},
          {.leaf = {.extensions = {{"subjectAltName", "DNS:host.example,DNS:.host.example"}}},
           .text = "a name in subjectAltName that is none"},
          {.leaf = {.extensions = {{"subjectAltName", "DNS:host.example,email:a@b@host.example"}}},
           .text = "a name in subjectAltName that is none"},
          {.leaf = {.extensions = {{"subjectAltName", "DNS:host.example,email:a@host.example"}}}},
          {.leaf = {.extensions = {SAN, {"nameConstraints", "critical,permitted;DNS:host.example"}}},
           .text = "has name constraints and is no CA"},
          {.leaf = {.extensions = {SAN, {"authorityInfoAccess", "DER:0500"}}}, .text = "authorityInfoAccess"},
          {.leaf = {.extensions = {SAN, {"authorityInfoAccess", "DER:3000"}}}, .text = "authorityInfoAccess"},
          {.leaf = {.extensions = {SAN, {"authorityInfoAccess", "OCSP;URI:http://ocsp.example"}}}},
          {.leaf = {.key = "RSA-2052"}, .text = "no whole number of bytes"});
}

static void serial_numbers(void **state)
{
    (void)state;
    CHECK({.leaf = {.serial = "0"}, .text = "a serial number that is zero"},
          {.leaf = {.serial = "-1"}, .text = "a serial number that is zero"},
          {.leaf = {.serial = "7fffffffffffffffffffffffffffffffffffffff"}},
          {.leaf = {.serial = "7fffffffffffffffffffffffffffffffffffffffff"}, .text = "longer than 20"},
          {.middle = {.cn = "middle", .serial = "0", .extensions = {CA, SIGNS}}, .text = "zero"},
          {.root = {.cn = "r", .serial = "0", .extensions = {CA, SIGNS}}}); /* as eight of Debian's roots */
}

static void cas_between(void **state)
{
    (void)state;
    CHECK({.middle = {.cn = "middle", .extensions = {CA}}, .text = "is of a CA and has no keyUsage"},
          {.middle = {.cn = "middle", .extensions = {{"basicConstraints", "CA:TRUE"}, SIGNS}},
           .text = "does not mark its basicConstraints as critical"},
          {.middle = {.cn = "middle", .extensions = {CA, SIGNS, {"nameConstraints", "critical,DER:3000"}}},
           .text = "name constraints that name nothing"},
          {.middle = {.cn = "middle",
                      .extensions = {CA, SIGNS, {"nameConstraints", "critical,permitted;DNS:example"}}}},
          {.middle = {.cn = "middle", .extensions = {CA, SIGNS, OF(POLICY_A), {"inhibitAnyPolicy", "2"}}},
           .text = "does not mark them as critical"});
}

/* What no switch weakens. */
static void excluded_names(void **state)
{
    (void)state;
    static const char why[] = "a wildcard that stands for a name its CA may not certify";
#define EXCLUDED(name)                                                                                       \
    .middle = {.cn = "middle", .extensions = {CA, SIGNS, {"nameConstraints", "critical,excluded;DNS:" name}} }
#define NAMED(name) .leaf = {.extensions = {{"subjectAltName", "DNS:host.example,DNS:" name}}}
    CHECK({EXCLUDED("a.other.example"), NAMED("*.other.example"), .text = why, .always = true},
          {EXCLUDED("A.Other.example"), NAMED("*.other.EXAMPLE"), .text = why, .always = true},
          {EXCLUDED("a.b.other.example"), NAMED("*.other.example")},
          {EXCLUDED("a.another.example"), NAMED("*.other.example")},
          {EXCLUDED("a.other.example"), NAMED("b.other.example")},
          {EXCLUDED("other.example"), NAMED("*.other.example"), .text = "may not certify", .always = true});
}

static void policies(void **state)
{
    (void)state;
    static const char why[] = "demands a certificate policy";
#define DEMANDS {"policyConstraints", "critical,requireExplicitPolicy:0"}

    CHECK({.middle = {.cn = "middle", .extensions = {CA, SIGNS, DEMANDS}}, .text = why, .always = true},
          {.middle = {.cn = "middle", .extensions = {CA, SIGNS, DEMANDS, OF(POLICY_A)}},
           .text = why,
           .always = true},
          {.middle = {.cn = "middle", .extensions = {CA, SIGNS, DEMANDS, OF(POLICY_A)}},
           .leaf = {.extensions = {SAN, OF(POLICY_A)}}},
          {.middle = {.cn = "middle", .extensions = {CA, SIGNS, DEMANDS, OF(POLICY_A)}},
           .leaf = {.extensions = {SAN, OF(POLICY_B)}},
           .text = why,
           .always = true},
          {.middle = {.cn = "middle", .extensions = {CA, SIGNS, DEMANDS, OF(POLICY_A)}},
           .leaf = {.extensions = {SAN, OF(ANY_POLICY)}}},
          {.middle = {.cn = "middle",
                      .extensions = {CA, SIGNS, DEMANDS, OF(POLICY_A), {"inhibitAnyPolicy", "critical,0"}}},
           .leaf = {.extensions = {SAN, OF(ANY_POLICY)}},
           .text = why,
           .always = true});
}

static void version_1(void **state)
{
    (void)state;
    CHECK({.leaf = {.v1 = true}, .text = "is of X.509 version 1", .always = true});
    struct node *leaf = node_new(&(struct node_options){.cn = "leaf", .issuer = w.root, .v1 = true});
    trial_refuse(&(struct trial){.lib = w.lib, .chain = {leaf}}, TT_ALERT_UNSUPPORTED_CERTIFICATE,
                 "is of X.509 version 1", "version 3");
    node_free(leaf);
}

/* "from notBefore through notAfter, inclusive" */
static void the_last_second(void **state)
{
    (void)state;
    struct node *leaf = node_server(w.root, "host.example");
    struct trial t = {.lib = w.lib, .trust = w.strict, .chain = {leaf}};
    t.now = TEST_NOW + 30 * 86400;
    trial_accept(&t);
    t.now++;
    trial_refuse(&t, TT_ALERT_CERTIFICATE_EXPIRED, "expired on", "");
    node_free(leaf);
}

/* The same certificate with a key of ours: what it says of itself stays. */
static struct node *root_like(const X509 *x, EVP_PKEY *key)
{
    X509 *copy = X509_dup(x);
    struct node *n = calloc(1, sizeof *n);
    assert_true(X509_set_pubkey(copy, key) == 1 && X509_sign(copy, key, EVP_sha256()) > 0);
    int len = i2d_X509(copy, &n->der);
    const unsigned char *at = n->der;
    assert_true(len > 0);
    X509_free(copy);
    n->cert = (struct tt_bytes){n->der, (size_t)len};
    n->x509 = d2i_X509(NULL, &at, len);
    EVP_PKEY_up_ref(key);
    n->pkey = key;
    return n;
}

/* What this system's CAs are: each as the root of a chain. The two that are known by their whole certificates
 * are others with our key. */
static void roots_in_use(void **state)
{
    (void)state;
    FILE *f = fopen("/etc/ssl/certs/ca-certificates.crt", "r");
    if (f == NULL)
        skip();
    unsigned tried = 0, refused = 0;
    for (X509 *x; (x = PEM_read_X509(f, NULL, NULL, NULL)) != NULL; X509_free(x)) {
        struct node *root = root_like(x, w.root->pkey), *leaf = node_server(root, "host.example");
        struct tt_trust *t = trust_of(root, NULL);
        struct trial trial = {.lib = w.lib, .trust = t, .chain = {leaf}};
        struct trust_verdict v = {0};
        struct tt_error err = {0};
        int day = 0, second = 0;
        ASN1_TIME *now = ASN1_TIME_set(NULL, (time_t)TEST_NOW);
        bool old = ASN1_TIME_diff(&day, &second, now, X509_get0_notAfter(x)) == 1 && day < 0;
        if (!old && trial_judge(&trial, &v, &err) != TT_OK) {
            print_message("# %s\n", err.text);
            refused++;
        }
        tried += !old;
        pubkey_free(v.leaf_key);
        ASN1_TIME_free(now);
        tt_trust_free(t);
        node_free(leaf);
        node_free(root);
    }
    (void)fclose(f);
    print_message("# %u roots tried, %u refused with another key\n", tried, refused);
    assert_between(refused, 0, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_identifiers), cmocka_unit_test(roots),       cmocka_unit_test(leaves),
        cmocka_unit_test(serial_numbers),  cmocka_unit_test(cas_between), cmocka_unit_test(excluded_names),
        cmocka_unit_test(policies),        cmocka_unit_test(version_1),   cmocka_unit_test(the_last_second),
        cmocka_unit_test(roots_in_use),
    };
    return cmocka_run_group_tests_name("crypto/trust_profile", tests, set_up, tear_down);
}
