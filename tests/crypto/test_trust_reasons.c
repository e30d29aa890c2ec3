/* tests/crypto/test_trust_reasons.c: each rule of RFC 5280 broken once: the alert, the sentence, the advice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "crypto/judge.h"
#include "crypto/trust_internal.h"

/* What RFC 9846 demands here. Section 4.5.1.3: "using any signature algorithm using an MD5 hash MUST abort
 * the handshake with a "bad_certificate" alert." */

static struct {
    struct crypto_lib *lib;
    struct node *root;
    struct tt_trust *trust;
} w;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(crypto_lib_new(&w.lib, NULL), TT_OK);
    w.root = node_ca("root", NULL);
    w.trust = trust_of(w.root, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tt_trust_free(w.trust);
    node_free(w.root);
    crypto_lib_free(w.lib);
    return 0;
}

#define SERVER_SAN                                                                                           \
    {                                                                                                        \
        "subjectAltName", "DNS:host.example"                                                                 \
    }

/* struct rule: a leaf, and perhaps a CA between it and the root, one of which breaks a rule. */
struct rule {
    struct node_options leaf, middle; /* cn NULL: as usual; middle.cn NULL and no extension: none */
    bool client;
    unsigned alert;
    const char *text, *hint; /* text NULL: it is fine */
};

static void check_rule(const struct rule *r)
{
    struct node *middle = NULL;
    if (r->middle.cn != NULL) {
        struct node_options o = r->middle;
        o.issuer = w.root;
        middle = node_new(&o);
    }
    struct node_options o = r->leaf;
    o.cn = "leaf";
    o.issuer = middle != NULL ? middle : w.root;
    if (o.extensions[0][0] == NULL) {
        o.extensions[0][0] = "subjectAltName";
        o.extensions[0][1] = "DNS:host.example";
    }
    struct node *leaf = node_new(&o);
    const struct trial t = {.lib = w.lib, .trust = w.trust, .chain = {leaf, middle}, .client = r->client};
    if (r->text == NULL)
        trial_accept(&t);
    else
        trial_refuse(&t, r->alert, r->text, r->hint);
    node_free(leaf);
    node_free(middle);
}

static void check_rules(const struct rule *rules, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_rule(&rules[i]);
}
#define CHECK(rules) check_rules(rules, TT_COUNT(rules))

#define MIDDLE(...)                                                                                          \
    {                                                                                                        \
        .cn = "middle", .extensions = { __VA_ARGS__ }                                                        \
    }
#define HAS_CA                                                                                               \
    {                                                                                                        \
        "basicConstraints", "critical,CA:TRUE"                                                               \
    }
#define IS_CA                                                                                                \
    HAS_CA,                                                                                                  \
    {                                                                                                        \
        "keyUsage", "critical,keyCertSign"                                                                   \
    }
#define FIRST  "\"CN=leaf\" (number 1 in the chain) "
#define SECOND "\"CN=middle\" (number 2 in the chain) "

static void dates(void **state)
{
    (void)state;
    const int64_t day = 86400;
    const struct rule rules[] = {
        {.leaf = {.until = TEST_NOW - day},
         .alert = TT_ALERT_CERTIFICATE_EXPIRED,
         .text = FIRST "expired on 2026-05-31 00:00:00 UTC",
         .hint = "the peer needs a new certificate"},
        {.leaf = {.from = TEST_NOW + day},
         .alert = TT_ALERT_CERTIFICATE_EXPIRED,
         .text = FIRST "is not valid before 2026-06-02 00:00:00 UTC",
         .hint = "set this machine's clock"},
        {.middle = {.cn = "middle", .until = TEST_NOW - day, .extensions = CA_EXTENSIONS},
         .alert = TT_ALERT_CERTIFICATE_EXPIRED,
         .text = SECOND "expired on",
         .hint = "that CA needs a new"},
        {.middle = {.cn = "middle", .from = TEST_NOW + day, .extensions = CA_EXTENSIONS},
         .alert = TT_ALERT_CERTIFICATE_EXPIRED,
         .text = SECOND "is not valid before",
         .hint = "clock"},
    };
    CHECK(rules);
}

static void uses(void **state)
{
    (void)state;
    const struct rule rules[] = {
        {.leaf = {.extensions = {SERVER_SAN, {"extendedKeyUsage", "clientAuth"}}},
         .alert = TT_ALERT_UNSUPPORTED_CERTIFICATE,
         .text = FIRST "is not meant for a server",
         .hint = "serverAuth"},
        {.leaf = {.extensions = {SERVER_SAN, {"extendedKeyUsage", "anyExtendedKeyUsage"}}},
         .alert = TT_ALERT_UNSUPPORTED_CERTIFICATE,
         .text = FIRST "is for any use (anyExtendedKeyUsage)",
         .hint = "serverAuth"},
        {.leaf = {.extensions = {SERVER_SAN, {"extendedKeyUsage", "anyExtendedKeyUsage,serverAuth"}}}},
        {.leaf = {.extensions = {SERVER_SAN, {"extendedKeyUsage", "serverAuth"}}},
         .client = true,
         .alert = TT_ALERT_UNSUPPORTED_CERTIFICATE,
         .text = FIRST "is not meant for a client",
         .hint = "clientAuth"},
        {.leaf = {.extensions = {SERVER_SAN, {"extendedKeyUsage", "serverAuth,clientAuth"}}}, .client = true},
        {.leaf = {.extensions = {SERVER_SAN}}, .client = true},
        {.leaf = {.extensions = {SERVER_SAN, {"keyUsage", "critical,cRLSign"}}},
         .alert = TT_ALERT_UNSUPPORTED_CERTIFICATE,
         .text = "key usage",
         .hint = "digitalSignature"},
        /* enough for TLS 1.2 with RSA key exchange, but not for a signature */
        {.leaf = {.extensions = {SERVER_SAN, {"keyUsage", "critical,keyEncipherment"}}},
         .alert = TT_ALERT_UNSUPPORTED_CERTIFICATE,
         .text = "does not allow digital signatures",
         .hint = "digitalSignature"},
        {.middle = MIDDLE(IS_CA, {"extendedKeyUsage", "emailProtection"}),
         .alert = TT_ALERT_UNSUPPORTED_CERTIFICATE,
         .text = SECOND "is of a CA that may not issue certificates for servers",
         .hint = "serverAuth"},
        {.middle = MIDDLE({"basicConstraints", "critical,CA:FALSE"}),
         .alert = TT_ALERT_BAD_CERTIFICATE,
         .text = SECOND "issued another one but is not a CA",
         .hint = "has to come from a CA"},
        {.middle = MIDDLE({"extendedKeyUsage", "serverAuth"}),
         .alert = TT_ALERT_BAD_CERTIFICATE,
         .text = SECOND "issued another one but is not a CA",
         .hint = "has to come from a CA"},
        {.middle = MIDDLE(HAS_CA, {"keyUsage", "critical,cRLSign"}),
         .alert = TT_ALERT_BAD_CERTIFICATE,
         .text = SECOND "issued another one",
         .hint = "has to come from a CA"},
        {.leaf = {.extensions = {SERVER_SAN, {"1.2.3.4.5", "critical,ASN1:NULL"}}},
         .alert = TT_ALERT_UNSUPPORTED_CERTIFICATE,
         .text = FIRST "has a critical extension",
         .hint = "without it"},
        {.leaf = {.extensions = {SERVER_SAN, {"1.2.3.4.5", "ASN1:NULL"}}}},
    };
    CHECK(rules);
}

static void name_constraints(void **state)
{
    (void)state;
    static const char outside[] = FIRST "has a name outside of those its CA may certify";
    static const char excluded[] = FIRST "has a name its CA may not certify";
#define CONSTRAINED(what) .middle = MIDDLE(IS_CA, {"nameConstraints", "critical," what})
#define SAN(what)         .leaf = {.extensions = {{"subjectAltName", what}} }
    const struct rule rules[] = {
        {CONSTRAINED("permitted;DNS:example")},
        {CONSTRAINED("permitted;DNS:example"), SAN("DNS:host.example,DNS:deep.down.host.example")},
        {CONSTRAINED("permitted;DNS:other"), .alert = TT_ALERT_BAD_CERTIFICATE, .text = outside,
         .hint = "constraints"},
        {CONSTRAINED("permitted;DNS:example"), SAN("DNS:host.example,DNS:host.other"),
         .alert = TT_ALERT_BAD_CERTIFICATE, .text = outside, .hint = "constraints"},
        {CONSTRAINED("excluded;DNS:host.example"), .alert = TT_ALERT_BAD_CERTIFICATE, .text = excluded,
         .hint = "constraints"},
        {CONSTRAINED("excluded;DNS:other")},
        {CONSTRAINED("permitted;IP:192.0.2.0/255.255.255.0"), SAN("DNS:host.example,IP:192.0.2.7")},
        {CONSTRAINED("permitted;IP:192.0.2.0/255.255.255.0"), SAN("DNS:host.example,IP:198.51.100.7"),
         .alert = TT_ALERT_BAD_CERTIFICATE, .text = outside, .hint = "constraints"},
        {CONSTRAINED("excluded;IP:192.0.2.0/255.255.255.0"), SAN("DNS:host.example,IP:192.0.2.7"),
         .alert = TT_ALERT_BAD_CERTIFICATE, .text = excluded, .hint = "constraints"},
    };
    CHECK(rules);
}

static void path_length(void **state)
{
    (void)state;
    struct node *one = node_new(&(struct node_options){
        .cn = "one",
        .issuer = w.root,
        .extensions = {{"basicConstraints", "critical,CA:TRUE,pathlen:0"}, {"keyUsage", "keyCertSign"}}});
    struct node *two = node_ca("two", one);
    struct node *fine = node_server(one, "host.example"), *deep = node_server(two, "host.example");
    trial_accept(&(struct trial){.lib = w.lib, .trust = w.trust, .chain = {fine, one}});
    trial_refuse(&(struct trial){.lib = w.lib, .trust = w.trust, .chain = {deep, two, one}},
                 TT_ALERT_BAD_CERTIFICATE,
                 "\"CN=one\" (number 3 in the chain) has more CAs below it than its path length allows",
                 "may not make CAs");
    node_free(one);
    node_free(two);
    node_free(fine);
    node_free(deep);
}

static void weak_keys_and_hashes(void **state)
{
    (void)state;
    const struct rule rules[] = {
        {.leaf = {.key = "RSA-1024"},
         .alert = TT_ALERT_BAD_CERTIFICATE,
         .text = FIRST "has a key that is too weak",
         .hint = "2048"},
        {.leaf = {.key = "RSA-2048"}},
        {.middle = {.cn = "middle", .key = "RSA-1024", .extensions = CA_EXTENSIONS},
         .alert = TT_ALERT_BAD_CERTIFICATE,
         .text = SECOND "is of a CA whose key is too weak",
         .hint = "2048"},
        {.leaf = {.md = "MD5"},
         .middle = {.cn = "middle", .key = "RSA-2048", .extensions = CA_EXTENSIONS},
         .alert = TT_ALERT_BAD_CERTIFICATE,
         .text = FIRST "is signed with a hash that is too weak",
         .hint = "SHA-256"},
        {.leaf = {.md = "SHA1"},
         .alert = TT_ALERT_BAD_CERTIFICATE,
         .text = FIRST "is signed with a hash that is too weak",
         .hint = "SHA-256"},
        {.middle = {.cn = "middle", .md = "SHA1", .extensions = CA_EXTENSIONS},
         .alert = TT_ALERT_BAD_CERTIFICATE,
         .text = SECOND "is signed with a hash that is too weak",
         .hint = "SHA-256"},
        {.leaf = {.key = "ED25519"}},
        {.middle = {.cn = "middle", .key = "ED25519", .extensions = CA_EXTENSIONS}},
    };
    CHECK(rules);
    /* The root's own signature proves nothing and is not judged. */
    struct node *old =
        node_new(&(struct node_options){.cn = "old", .md = "SHA1", .extensions = CA_EXTENSIONS});
    struct node *leaf = node_server(old, "host.example");
    struct tt_trust *trust = trust_of(old, NULL);
    trial_accept(&(struct trial){.lib = w.lib, .trust = trust, .chain = {leaf}});
    tt_trust_free(trust);
    node_free(leaf);
    node_free(old);
}

static void a_forged_signature(void **state)
{
    (void)state;
    struct node *impostor = node_ca("root", NULL); /* the right name, another key */
    struct node *leaf = node_server(impostor, "host.example");
    struct node *silent = node_new(&(struct node_options){
        .cn = "server", .issuer = impostor, .no_ski = true, .no_aki = true, .extensions = {SERVER_SAN}});
    trial_refuse(&(struct trial){.lib = w.lib, .trust = w.trust, .chain = {leaf}}, TT_ALERT_UNKNOWN_CA,
                 "was issued by \"CN=root\", who is not trusted", "trust the CA");
    trial_refuse(&(struct trial){.lib = w.lib, .trust = w.trust, .chain = {silent}}, TT_ALERT_BAD_CERTIFICATE,
                 "carries a signature its issuer did not make", "two CAs have the same name");
    node_free(leaf);
    node_free(silent);
    node_free(impostor);
}

static void too_long_a_chain(void **state)
{
    (void)state;
    struct node *chain[13] = {w.root};
    struct tt_bytes der[13];
    for (size_t i = 1; i < 12; i++)
        chain[i] = node_ca((const char[]){(char)('a' + i), '\0'}, chain[i - 1]);
    chain[12] = node_server(chain[11], "host.example");
    for (size_t i = 0; i < 13; i++)
        der[i] = chain[12 - i]->cert;
    struct tt_error err = {0};
    struct trust_verdict v = {0};
    struct trust_request req = {.chain = der, .chain_len = 12, .peer_is_server = true, .now = TEST_NOW};
    assert_int_equal(trust_verify(&v, w.lib, w.trust, &req, &err), TT_ERR_VERIFY);
    assert_int_equal(v.alert, TT_ALERT_BAD_CERTIFICATE);
    assert_non_null(strstr(err.text, "too long"));
    req.chain++, req.chain_len--; /* one CA fewer, and the certificate of the last as the leaf */
    assert_int_equal(trust_verify(&v, w.lib, w.trust, &req, NULL), TT_ERR_VERIFY);
    assert_int_equal(v.alert, TT_ALERT_UNSUPPORTED_CERTIFICATE);
    struct node *leaf = node_server(chain[10], "host.example");
    der[1] = leaf->cert;
    assert_int_equal(trust_verify(&v, w.lib, w.trust, &req, NULL), TT_OK);
    pubkey_free(v.leaf_key);
    node_free(leaf);
    for (size_t i = 1; i < 13; i++)
        node_free(chain[i]);
}

/* Every refusal that libcrypto can come to without Suite B and DANE, none of which is switched on, has a
 * sentence of our own. */
static void every_code_has_a_sentence(void **state)
{
    (void)state;
    static const int not_reachable[] = {X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER,
                                        X509_V_ERR_SUBJECT_ISSUER_MISMATCH,
                                        X509_V_ERR_AKID_SKID_MISMATCH,
                                        X509_V_ERR_AKID_ISSUER_SERIAL_MISMATCH,
                                        X509_V_ERR_KEYUSAGE_NO_DIGITAL_SIGNATURE,
                                        X509_V_ERR_APPLICATION_VERIFICATION,
                                        X509_V_ERR_EMAIL_MISMATCH,
                                        X509_V_ERR_DANE_NO_MATCH,
                                        X509_V_ERR_NO_VALID_SCTS};
    for (int code = X509_V_ERR_UNSPECIFIED; code <= X509_V_ERR_EC_KEY_EXPLICIT_PARAMS; code++) {
        bool off = (code >= X509_V_ERR_SUITE_B_INVALID_VERSION &&
                    code <= X509_V_ERR_SUITE_B_CANNOT_SIGN_P_384_WITH_P_256) ||
                   (code >= X509_V_ERR_OCSP_VERIFY_NEEDED && code <= X509_V_ERR_OCSP_CERT_UNKNOWN);
        for (size_t i = 0; i < TT_COUNT(not_reachable); i++)
            off |= code == not_reachable[i];
        if (!off && !reason_is_known(code))
            fail_msg("no sentence for %d: %s", code, X509_verify_cert_error_string(code));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates),
        cmocka_unit_test(uses),
        cmocka_unit_test(name_constraints),
        cmocka_unit_test(path_length),
        cmocka_unit_test(weak_keys_and_hashes),
        cmocka_unit_test(a_forged_signature),
        cmocka_unit_test(too_long_a_chain),
        cmocka_unit_test(every_code_has_a_sentence),
    };
    return cmocka_run_group_tests_name("crypto/trust_reasons", tests, set_up, tear_down);
}
