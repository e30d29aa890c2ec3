/* tests/proxy/test_rule.c: who passes which rule, and which rules nobody could ever pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "proxy/rule.h"
#include "support/named_cert.h"
#include "tpmtls/pki.h"

#define CN(v)                                                                                                \
    {                                                                                                        \
        NID_commonName, V_ASN1_UTF8STRING, v, 0                                                              \
    }
#define OU(v)                                                                                                \
    {                                                                                                        \
        NID_organizationalUnitName, V_ASN1_UTF8STRING, v, 0                                                  \
    }
#define DNS(v)                                                                                               \
    {                                                                                                        \
        0, GEN_DNS, v, 0                                                                                     \
    }
#define URI(v)                                                                                               \
    {                                                                                                        \
        0, GEN_URI, v, 0                                                                                     \
    }
#define SIZED(v)  v, sizeof(v) - 1
#define NAMES_MAX 4

static void assert_allows(const struct rules *rules, const struct name_of *names, bool wanted,
                          const char *what)
{
    struct name_of all[NAMES_MAX + 1] = {0};
    memcpy(all, names, NAMES_MAX * sizeof all[0]);
    struct tt_bytes der = named_cert(all, false);
    const struct rule_peer peer = {.certificate = der};
    const char *which = "untouched";
    if (rules_allow(rules, &peer, &which) != wanted)
        fail_msg("%s: %s", what, wanted ? "refused" : "allowed");
    assert_true((which != NULL) == wanted);
    if (wanted && strstr(which, what) == NULL)
        fail_msg("'%s', not '%s'", which, what);
    OPENSSL_free((void *)(uintptr_t)der.data);
}

static const struct case_of {
    enum rule_kind kind;
    const char *value;
    struct name_of names[NAMES_MAX];
    bool passes;
} cases[] = {
    {RULE_ALL, NULL, {CN("anybody")}, true},
    {RULE_ALL, NULL, {{0}}, true},
    {RULE_CN, "device-1", {CN("device-1")}, true},
    {RULE_CN, "device-1", {CN("other"), CN("device-1")}, true},
    {RULE_CN, "device-1", {CN("device-10")}, false},
    {RULE_CN, "device-1", {CN("device-")}, false},
    {RULE_CN, "device-1", {CN("Device-1")}, false},
    {RULE_CN, "device-1", {CN(" device-1")}, false},
    {RULE_CN, "device-1", {{NID_commonName, V_ASN1_UTF8STRING, SIZED("device-1\0x")}}, false},
    {RULE_CN, "device-1", {{NID_commonName, V_ASN1_UTF8STRING, SIZED("device-1\0")}}, false},
    {RULE_CN, "device-1", {OU("device-1"), DNS("device-1"), URI("device-1")}, false},
    {RULE_CN, "Zo\xc3\xab", {{NID_commonName, V_ASN1_BMPSTRING, SIZED("\0Z\0o\0\xeb")}}, true},
    {RULE_CN, "*", {CN("device-1")}, false},
    {RULE_CN, "*", {CN("*")}, true},
    {RULE_OU, "ops", {OU("dev"), OU("ops")}, true},
    {RULE_OU, "ops", {OU("dev")}, false},
    {RULE_OU, "ops", {CN("ops")}, false},
    {RULE_DNS, "a.example.org", {DNS("a.example.org")}, true},
    {RULE_DNS, "A.Example.org", {DNS("a.eXample.ORG")}, true},
    {RULE_DNS, "a.example.org", {DNS("b.example.org"), DNS("a.example.org")}, true},
    {RULE_DNS, "a.example.org", {DNS("*.example.org")}, false},
    {RULE_DNS, "a.example.org", {DNS("xa.example.org")}, false},
    {RULE_DNS, "a.example.org", {DNS("a.example.org.")}, false},
    {RULE_DNS, "a.example.org", {CN("a.example.org")}, false},
    {RULE_DNS, "a.example.org", {{0, GEN_DNS, SIZED("a.example.org\0.evil.org")}}, false},
    {RULE_DNS, "*.example.org", {DNS("b.example.org")}, true},
    {RULE_DNS, "*.example.org", {DNS("B-1_x.Example.org")}, true},
    {RULE_DNS, "*.example.org", {DNS("example.org")}, false},
    {RULE_DNS, "*.example.org", {DNS(".example.org")}, false},
    {RULE_DNS, "*.example.org", {DNS("a.b.example.org")}, false},
    {RULE_DNS, "*.example.org", {DNS("*.example.org")}, false},
    {RULE_DNS, "*.example.org", {DNS("bexample.org")}, false},
    {RULE_DNS, "*.example.org", {DNS("b.example.orgx")}, false},
    {RULE_DNS, "*.example.org", {{0, GEN_DNS, SIZED("b\0.example.org")}}, false},
    {RULE_URI, "urn:x:1", {URI("urn:x:1")}, true},
    {RULE_URI, "urn:x:1", {URI("urn:x:2"), URI("urn:x:1")}, true},
    {RULE_URI, "urn:x:1", {URI("urn:X:1")}, false},
    {RULE_URI, "urn:x:1", {DNS("urn:x:1")}, false},
    {RULE_URI, "spiffe://example.org/web", {URI("spiffe://example.org/web")}, true},
    {RULE_URI, "spiffe://example.org/web", {URI("spiffe://example.org/web/x")}, false},
    {RULE_URI, "spiffe://example.org/web", {URI("spiffe://example.org/web"), URI("urn:x")}, false},
    {RULE_URI, "spiffe://example.org/web/*", {URI("spiffe://example.org/web/a")}, true},
    {RULE_URI, "spiffe://example.org/web/*", {URI("spiffe://example.org/web/a/b")}, true},
    {RULE_URI, "spiffe://example.org/*", {URI("spiffe://example.org/web")}, true},
    {RULE_URI, "spiffe://example.org/*", {URI("spiffe://example.org.evil/web")}, false},
    {RULE_URI, "spiffe://example.org/web/*", {URI("spiffe://example.org/web")}, false},
    {RULE_URI, "spiffe://example.org/web/*", {URI("spiffe://example.org/web/")}, false},
    {RULE_URI, "spiffe://example.org/web/*", {URI("spiffe://example.org/webx/a")}, false},
    {RULE_URI, "spiffe://example.org/web/*", {URI("spiffe://example.org/web/../db")}, false},
    {RULE_URI, "spiffe://example.org/web/*", {URI("spiffe://example.org/web/a//b")}, false},
    {RULE_URI, "spiffe://example.org/web/*", {URI("spiffe://example.org/web/%2e%2e/db")}, false},
    {RULE_URI, "spiffe://example.org/web/*", {URI("spiffe://example.org/web/a?b")}, false},
    {RULE_URI,
     "spiffe://example.org/web/*",
     {URI("spiffe://example.org/web/a"), URI("spiffe://example.org/web/b")},
     false},
    {RULE_URI, "spiffe://example.org/web/*", {{0, GEN_URI, SIZED("spiffe://example.org/web/a\0")}}, false},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        struct rules rules = {0};
        struct tt_error err = {0};
        if (rules_add(&rules, cases[i].kind, cases[i].value, &err) != TT_OK)
            fail_msg("%s: %s", cases[i].value, err.text);
        assert_allows(&rules, cases[i].names, cases[i].passes,
                      cases[i].value == NULL ? "allow-all" : cases[i].value);
        rules_free(&rules);
        assert_int_equal(rules.len, 0);
    }
}

static void test_several(void **state)
{
    (void)state;
    struct rules rules = {0};
    static const struct name_of one[NAMES_MAX] = {CN("device-1"), OU("ops")}, two[NAMES_MAX] = {OU("ops")},
                                none[NAMES_MAX] = {CN("device-2")};
    assert_allows(&rules, one, false, "no rule at all");
    assert_int_equal(rules_add(&rules, RULE_CN, "device-1", NULL), TT_OK);
    assert_int_equal(rules_add(&rules, RULE_OU, "ops", NULL), TT_OK);
    assert_allows(&rules, one, true, "allow-cn device-1"); /* the first that fits */
    assert_allows(&rules, two, true, "allow-ou ops");
    assert_allows(&rules, none, false, "none");
    rules_free(&rules);
}

static void test_pin(void **state)
{
    (void)state;
    static const struct name_of names[NAMES_MAX + 1] = {CN("device-1")};
    struct tt_bytes der = named_cert(names, false), other = named_cert(names, false);
    struct tt_cert_info *info = NULL;
    struct rules rules = {0};
    char pin[80];
    assert_int_equal(tt_cert_describe(&info, der, NULL), TT_OK);
    (void)snprintf(pin, sizeof pin, "sha256:%s", info->spki_sha256);
    assert_int_equal(rules_add(&rules, RULE_PIN, pin, NULL), TT_OK);
    struct rule_peer peer = {.certificate = der};
    assert_true(rules_allow(&rules, &peer, NULL));
    peer.certificate = other;
    assert_false(rules_allow(&rules, &peer, NULL));
    /* A raw key is known by nothing else. */
    X509 *x = NULL;
    uint8_t *spki = NULL;
    const uint8_t *at = der.data;
    x = d2i_X509(NULL, &at, (long)der.len);
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki);
    assert_true(len > 0);
    peer = (struct rule_peer){.certificate = {spki, (size_t)len}, .is_raw_key = true};
    assert_true(rules_allow(&rules, &peer, NULL));
    peer.certificate.len--;
    assert_false(rules_allow(&rules, &peer, NULL));
    rules_free(&rules);
    assert_int_equal(rules_add(&rules, RULE_CN, "device-1", NULL), TT_OK);
    peer.certificate.len++;
    assert_false(rules_allow(&rules, &peer, NULL));
    rules_free(&rules);
    OPENSSL_free(spki);
    X509_free(x);
    tt_cert_info_free(info);
    OPENSSL_free((void *)(uintptr_t)der.data);
    OPENSSL_free((void *)(uintptr_t)other.data);
}

/* Nobody is nobody, whatever the rules. */
static void test_no_certificate(void **state)
{
    (void)state;
    struct rules rules = {0};
    assert_int_equal(rules_add(&rules, RULE_ALL, NULL, NULL), TT_OK);
    assert_false(rules_allow(&rules, &(struct rule_peer){0}, NULL));
    assert_false(rules_allow(&rules, &(struct rule_peer){.is_raw_key = true}, NULL));
    assert_false(rules_allow(&rules, &(struct rule_peer){.certificate = {(const uint8_t *)"xyz", 3}}, NULL));
    rules_free(&rules);
}

static void test_refused_rules(void **state)
{
    (void)state;
    char label[80], uri[100];
    memset(label, 'a', 64);
    strcpy(label + 64, ".org");
    (void)snprintf(uri, sizeof uri, "spiffe://Example.org/x");
    const struct {
        enum rule_kind kind;
        const char *value, *why, *hint;
    } bad[] = {
        {RULE_CN, "", "empty", "--allow-cn"},
        {RULE_OU, "", "empty", ""},
        {RULE_CN, "Zo\xeb", "not UTF-8", "UTF-8"},
        {RULE_DNS, "", "no DNS name", "*.example.org"},
        {RULE_DNS, "*", "no DNS name", ""},
        {RULE_DNS, "*.org", "top-level", ""},
        {RULE_DNS, "a*.example.org", "no DNS name", ""},
        {RULE_DNS, "*.*.example.org", "no DNS name", ""},
        {RULE_DNS, "a.*.example.org", "no DNS name", ""},
        {RULE_DNS, "a..example.org", "no DNS name", ""},
        {RULE_DNS, "a.example.org.", "no DNS name", ""},
        {RULE_DNS, ".example.org", "no DNS name", ""},
        {RULE_DNS, "-a.example.org", "no DNS name", ""},
        {RULE_DNS,
         "b\xc3\xbc"
         "cher.example",
         "no DNS name", "xn--"},
        {RULE_DNS, label, "no DNS name", ""},
        {RULE_URI, "", "empty", ""},
        {RULE_URI, "example", "no URI", "scheme"},
        {RULE_URI, "https://example.org/*", "only a SPIFFE ID", ""},
        {RULE_URI, "spiffe://*", "no SPIFFE ID", ""},
        {RULE_URI, "spiffe:///*", "no SPIFFE ID", ""},
        {RULE_URI, "spiffe://", "no SPIFFE ID", ""},
        {RULE_URI, "spiffe://example.org/../x", "no SPIFFE ID", ""},
        {RULE_URI, "spiffe://example.org/*/x", "no SPIFFE ID", ""},
        {RULE_URI, uri, "lower case", ""},
        {RULE_PIN, "sha256:12", "64 hex digits", "openssl x509"},
        {RULE_PIN, "", "64 hex digits", ""},
    };
    for (size_t i = 0; i < TT_COUNT(bad); i++) {
        struct rules rules = {0};
        struct tt_error err = {0};
        assert_int_equal(rules_add(&rules, bad[i].kind, bad[i].value, &err), TT_ERR_USAGE);
        if (strstr(err.text, bad[i].why) == NULL || err.hint[0] == '\0')
            fail_msg("'%s': '%s', '%s'", bad[i].value, err.text, err.hint);
        assert_int_equal(rules.len, 0);
    }
}

static void test_subject(void **state)
{
    (void)state;
    char text[RULE_SUBJECT_MAX], long_name[500];
    static const struct name_of odd[NAMES_MAX + 1] = {CN("dev\n\x1b[31mice"), DNS("a.example.org")};
    struct tt_bytes der = named_cert(odd, false);
    rule_subject(text, &(struct rule_peer){.certificate = der});
    assert_null(strpbrk(text, "\n\x1b"));
    assert_non_null(strstr(text, "ice (DNS:a.example.org)"));
    OPENSSL_free((void *)(uintptr_t)der.data);
    for (size_t i = 0; i < 240; i++)
        memcpy(long_name + 2 * i, "\xc3\xab", 3);
    const struct name_of lengthy[NAMES_MAX + 1] = {CN(long_name)};
    der = named_cert(lengthy, false);
    rule_subject(text, &(struct rule_peer){.certificate = der});
    assert_true(strlen(text) < RULE_SUBJECT_MAX);
    assert_string_equal(text + strlen(text) - 5, "\xc3\xab...");
    OPENSSL_free((void *)(uintptr_t)der.data);
    rule_subject(text, &(struct rule_peer){0});
    assert_string_equal(text, "(no certificate)");
    rule_subject(text, &(struct rule_peer){.certificate = {(const uint8_t *)"xyz", 3}});
    assert_string_equal(text, "(unreadable certificate)");
    rule_subject(text, &(struct rule_peer){.certificate = {(const uint8_t *)"abc", 3}, .is_raw_key = true});
    assert_string_equal(text,
                        "(raw key sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),         cmocka_unit_test(test_several),
        cmocka_unit_test(test_pin),           cmocka_unit_test(test_no_certificate),
        cmocka_unit_test(test_refused_rules), cmocka_unit_test(test_subject),
    };
    return cmocka_run_group_tests_name("rule", tests, NULL, NULL);
}
