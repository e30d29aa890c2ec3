/* tests/pki/test_names.c: subjects and alternative names as people type them, and what is shown of names. */
#include "pki_test.h"

#include <string.h>

#include "pki/dn.h"
#include "pki/san.h"
#include "pki/text.h"

static char *shown(const X509_NAME *name)
{
    char *text = NULL;
    assert_int_equal(text_name(&text, name), TT_OK);
    return text;
}

static void good_subjects(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } table[] = {
        {"/CN=device-1", "CN=device-1"},
        {"/O=Example/CN=device-1", "CN=device-1,O=Example"},
        {"/O=Ex\\/ample/CN=a", "CN=a,O=Ex/ample"},
        {"/O=A\\+B/CN=a", "CN=a,O=A\\+B"},
        {"/O=A=B/CN=a", "CN=a,O=A=B"},
        {"/CN=back\\\\slash", "CN=back\\\\slash"},
        {"/OU=one/OU=two/CN=a", "CN=a,OU=two,OU=one"},
        {"/O=Example/CN=a+serialNumber=7", "serialNumber=7+CN=a,O=Example"},
        {"/O=B\xc3\xbc"
         "cher/CN=\xe6\x97\xa5\xe6\x9c\xac",
         "CN=\xe6\x97\xa5\xe6\x9c\xac,O=B\xc3\xbc"
         "cher"},
        {"/cn=lower", "CN=lower"},
        {"/commonName=long", "CN=long"},
        {"/C=DE/ST=Bayern/L=Hof/CN=a", "CN=a,L=Hof,ST=Bayern,C=DE"},
        {"/DC=org/DC=example/UID=u", "UID=u,DC=example,DC=org"},
        {"/2.5.4.3=by number", "CN=by number"},
        {"/CN=a/emailAddress=x@example.org", "emailAddress=x@example.org,CN=a"},
        {"/CN=a, b", "CN=a\\, b"},
    };
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        X509_NAME *name = NULL;
        struct tt_error err = {0};
        tt_rc rc = dn_parse(&name, table[i].in, &err);
        if (rc != TT_OK)
            fail_msg("%s: %s", table[i].in, err.text);
        char *text = shown(name);
        assert_string_equal(text, table[i].out);
        mem_free(text);
        X509_NAME_free(name);
    }
}

static void multi_value_is_one_relative_name(void **state)
{
    (void)state;
    X509_NAME *name = NULL;
    assert_int_equal(dn_parse(&name, "/O=E/CN=a+serialNumber=7/OU=x", NULL), TT_OK);
    static const int sets[] = {0, 1, 1, 2};
    assert_int_equal(X509_NAME_entry_count(name), 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(X509_NAME_ENTRY_set(X509_NAME_get_entry(name, i)), sets[i]);
    X509_NAME_free(name);
}

static void bad_subjects(void **state)
{
    (void)state;
    static const struct {
        const char *in, *words;
    } table[] = {
        {"", "does not begin with '/'"},
        {"device-1", "does not begin with '/'"},
        {"CN=device-1", "does not begin with '/'"},
        {"/", "lacks an attribute"},
        {"/CN=a/", "lacks an attribute"},
        {"/CN=a+", "lacks an attribute"},
        {"//CN=a", "lacks an attribute"},
        {"/=x", "lacks an attribute"},
        {"/CN", "'CN' in the subject is not of the form type=value"},
        {"/CN/O=x", "'CN' in the subject is not of the form type=value"},
        {"/O=A+B/CN=a", "'B' in the subject is not of the form type=value"},
        {"/CN=", "CN of the subject has no value"},
        {"/XX=a", "no attribute 'XX'"},
        {"/SHA256=a", "no attribute 'SHA256'"},
        {"/9.9.9=a", "no attribute '9.9.9'"},
        {"/2.=a", "no attribute '2.'"},
        {"/C=DEU", "at most 2"},
        {"/C=D", "at least 2"},
        {"/CN=a\\", "lone '\\'"},
        {"/CN=a\nb", "control characters"},
        {"/CN=a\x1b[31m", "control characters"},
        {"/CN=a\xc2\x9b"
         "31m",
         "control characters"},
        {"/CN=\xe2\x80\xaetxt", "control characters"},
        {"/CN=\xff\xfe", "not UTF-8"},
        {"/CN=\xc0\xaf", "not UTF-8"},
        {"/CN=\xed\xa0\x80", "not UTF-8"},
        {"/CN=\xe6\x97", "not UTF-8"},
        {"/C=\xc3\xbc"
         "b",
         "may not have"},
        {"/emailAddress=\xc3\xbc@b.example", "may not have"},
    };
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        X509_NAME *name = NULL;
        struct tt_error err = {0};
        tt_rc rc = dn_parse(&name, table[i].in, &err);
        check_error(rc, TT_ERR_USAGE, &err, table[i].words, table[i].in);
        assert_null(name);
        assert_true(err.hint[0] != '\0');
    }
}

static void subjects_have_limits(void **state)
{
    (void)state;
    char text[5000] = "/CN=";
    X509_NAME *name = NULL;
    struct tt_error err = {0};
    memset(text + 4, 'a', 64);
    assert_int_equal(dn_parse(&name, text, NULL), TT_OK); /* ub-common-name */
    X509_NAME_free(name);
    name = NULL;
    text[4 + 64] = 'a';
    check_error(dn_parse(&name, text, &err), TT_ERR_USAGE, &err, "at most 64", "65 characters");
    memset(text + 4, 'a', sizeof text - 5);
    err = (struct tt_error){0};
    check_error(dn_parse(&name, text, &err), TT_ERR_USAGE, &err, "longer than", "5000 bytes");
    for (size_t i = 0; i < 33; i++)
        memcpy(text + 5 * i, "/OU=x", 6);
    err = (struct tt_error){0};
    check_error(dn_parse(&name, text, &err), TT_ERR_USAGE, &err, "more than 32", "33 attributes");
}

static void good_names(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "DNS:a.example",
        "dns:host",
        "DNS:*.a.example",
        "DNS:xn--bcher-kva.example",
        "DNS:my_service",
        "DNS:1.example",
        "IP:192.0.2.1",
        "ip:2001:db8::1",
        "IP:::1",
        "URI:spiffe://a/b",
        "URI:urn:uuid:1-2",
        "URI:https://[::1]/x%20y?q#f",
        "email:a.b+c@x.example",
        "EMAIL:root@host",
        "DNS:a.example",
    };
    GENERAL_NAMES *names = NULL;
    struct tt_error err = {0};
    if (san_parse(&names, texts, TT_COUNT(texts), &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(sk_GENERAL_NAME_num(names), TT_COUNT(texts) - 1); /* the last was there already */
    assert_true(san_has_host(names));
    assert_int_equal(san_check(names, &(enum csr_flaw){FLAW_NONE}, NULL), TT_OK);
    struct buf b = {0};
    assert_int_equal(san_print(&b, names), TT_OK);
    assert_int_equal(buf_append(&b, "", 1), TT_OK);
    assert_non_null(strstr((char *)buf_front(&b), "DNS:a.example, DNS:host, DNS:*.a.example"));
    assert_non_null(strstr((char *)buf_front(&b), "IP:192.0.2.1, IP:2001:db8::1, IP:::1, URI:spiffe://a/b"));
    buf_free(&b);
    GENERAL_NAMES_free(names);
    assert_int_equal(san_parse(&names, NULL, 0, NULL), TT_OK);
    assert_null(names);
    assert_false(san_has_host(NULL));
}

static void bad_names(void **state)
{
    (void)state;
    static const struct {
        const char *in, *words;
    } table[] = {
        {"", "what kind"},
        {"a.example", "what kind"},
        {"RID:1.2.3", "what kind"},
        {"DNS:", "not a DNS name"},
        {"DNS:.a", "not a DNS name"},
        {"DNS:a.", "not a DNS name"},
        {"DNS:a..b", "not a DNS name"},
        {"DNS:-a", "not a DNS name"},
        {"DNS:a-", "not a DNS name"},
        {"DNS:a b", "not a DNS name"},
        {"DNS:a,DNS:b", "not a DNS name"},
        {"DNS:192.0.2.1", "not a DNS name"},
        {"DNS:*", "not a DNS name"},
        {"DNS:*.com", "not a DNS name"},
        {"DNS:a.*.example", "not a DNS name"},
        {"DNS:f*.a.example", "not a DNS name"},
        {"DNS:b\xc3\xbc"
         "cher.example",
         "xn--"},
        {"DNS:aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg.example", "not a DNS name"},
        {"IP:192.0.2", "not an IP address"},
        {"IP:192.0.2.256", "not an IP address"},
        {"IP:192.0.2.1/24", "not an IP address"},
        {"IP:fe80::1%eth0", "not an IP address"},
        {"IP:host", "not an IP address"},
        {"IP:", "not an IP address"},
        {"URI:", "not an absolute URI"},
        {"URI:/path", "not an absolute URI"},
        {"URI:://a", "not an absolute URI"},
        {"URI:1a:b", "not an absolute URI"},
        {"URI:http:", "not an absolute URI"},
        {"URI:http://", "not an absolute URI"},
        {"URI:http:///x", "not an absolute URI"},
        {"URI:http://a b", "not an absolute URI"},
        {"URI:http://a/%zz", "not an absolute URI"},
        {"URI:http://a/%2", "not an absolute URI"},
        {"email:", "not an e-mail address"},
        {"email:a", "not an e-mail address"},
        {"email:@a.example", "not an e-mail address"},
        {"email:a@", "not an e-mail address"},
        {"email:a..b@a.example", "not an e-mail address"},
        {"email:.a@a.example", "not an e-mail address"},
        {"email:a.@a.example", "not an e-mail address"},
        {"email:a b@a.example", "not an e-mail address"},
        {"email:a@b@c", "not an e-mail address"},
    };
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        GENERAL_NAMES *names = NULL;
        struct tt_error err = {0};
        tt_rc rc = san_parse(&names, &table[i].in, 1, &err);
        check_error(rc, TT_ERR_USAGE, &err, table[i].words, table[i].in);
        assert_null(names);
        assert_true(err.hint[0] != '\0');
    }
}

static void names_have_limits(void **state)
{
    (void)state;
    const char *texts[SAN_MAX + 1];
    GENERAL_NAMES *names = NULL;
    struct tt_error err = {0};
    for (size_t i = 0; i < TT_COUNT(texts); i++)
        texts[i] = "DNS:a";
    check_error(san_parse(&names, texts, TT_COUNT(texts), &err), TT_ERR_USAGE, &err, "more than 100", "101");
    assert_int_equal(san_parse(&names, texts, SAN_MAX, NULL), TT_OK);
    GENERAL_NAMES_free(names);
}

/* What came from elsewhere and is hostile is shown, but cannot act on a terminal. */
static void odd_names_are_escaped(void **state)
{
    (void)state;
    static const struct {
        int type;
        const char *bytes;
        int len;
        const char *out;
    } table[] = {
        {V_ASN1_UTF8STRING, "a\x1b[2J", 5, "CN=a\\1B[2J"},
        {V_ASN1_UTF8STRING, "a\0b", 3, "CN=a\\00b"},
        {V_ASN1_UTF8STRING, "a\xc2\x9b", 3, "CN=a\\C2\\9B"},
        {V_ASN1_UTF8STRING, "a\xe2\x80\xae", 4, "CN=a\\E2\\80\\AE"},
        {V_ASN1_BMPSTRING, "\0a\x20\x2e", 4, "CN=a\\E2\\80\\AE"},
        {V_ASN1_T61STRING, "\x9b", 1, "CN=\\C2\\9B"},
        {V_ASN1_UTF8STRING, "\xff", 1, "CN=\\FF"},
    };
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        X509_NAME *name = X509_NAME_new();
        assert_int_equal(X509_NAME_add_entry_by_NID(name, NID_commonName, table[i].type,
                                                    (const uint8_t *)table[i].bytes, table[i].len, -1, 0),
                         1);
        char *text = shown(name);
        assert_string_equal(text, table[i].out);
        assert_int_equal(dn_check(name, NULL), TT_ERR_UNSUPPORTED);
        mem_free(text);
        X509_NAME_free(name);
    }
}

static void times_are_iso(void **state)
{
    (void)state;
    char text[24];
    text_time(text, NOW);
    assert_string_equal(text, "2026-06-01T00:00:00Z");
    text_time(text, 0);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
    text_time(text, INT64_C(253402300799));
    assert_string_equal(text, "9999-12-31T23:59:59Z");
    text_time(text, INT64_C(253402300800));
    assert_string_equal(text, "?");
    text_time(text, INT64_MAX);
    assert_string_equal(text, "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_subjects),     cmocka_unit_test(multi_value_is_one_relative_name),
        cmocka_unit_test(bad_subjects),      cmocka_unit_test(subjects_have_limits),
        cmocka_unit_test(good_names),        cmocka_unit_test(bad_names),
        cmocka_unit_test(names_have_limits), cmocka_unit_test(odd_names_are_escaped),
        cmocka_unit_test(times_are_iso),
    };
    return cmocka_run_group_tests_name("pki/names", tests, NULL, NULL);
}
