/* tests/net/test_address.c: addresses as people write them, and the sentences for failed connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "net/address.h"
#include "net/diagnose.h"

static void test_address_forms(void **state)
{
    static const struct {
        const char *text, *host, *port;
    } good[] = {
        {"example.org:443", "example.org", "443"},
        {"127.0.0.1:0", "127.0.0.1", "0"},
        {"[::1]:8443", "::1", "8443"},
        {":443", "", "443"},
        {"[]:1", "", "1"},
        {"h:65535", "h", "65535"},
        {"example.org:https", "example.org", "443"},
        {"[::1]:LDAPS", "::1", "636"},
        {"[fe80::1%eth0]:443", "fe80::1%eth0", "443"},
        {"example.org.:443", "example.org", "443"},
    };
    (void)state;
    for (size_t i = 0; i < TT_COUNT(good); i++) {
        struct address a;
        struct tt_error err = {0};
        assert_int_equal(address_parse(&a, good[i].text, &err), TT_OK);
        assert_string_equal(a.host, good[i].host);
        assert_string_equal(a.port, good[i].port);
    }
}

/* One is dialled, the other is sent and checked. */
static void test_names(void **state)
{
    static const struct {
        const char *text, *host, *name;
        bool is_name;
    } cases[] = {{"example.org.:1", "example.org", "example.org", true},
                 {"example.org:1", "example.org", "example.org", true},
                 {"[fe80::1%eth0]:1", "fe80::1%eth0", "fe80::1", false},
                 {"[::1]:1", "::1", "::1", false},
                 {"192.0.2.1:1", "192.0.2.1", "192.0.2.1", false}};
    (void)state;
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        struct address a;
        assert_int_equal(address_parse(&a, cases[i].text, NULL), TT_OK);
        assert_string_equal(a.host, cases[i].host);
        assert_string_equal(a.name, cases[i].name);
        assert_int_equal(a.is_name, cases[i].is_name);
        assert_int_equal(address_set_host(&a, "0177.0.0.1", NULL), TT_ERR_USAGE);
        assert_string_equal(a.name, cases[i].name);
    }
}

static void test_urls(void **state)
{
    static const struct {
        const char *text, *host, *port; /* port NULL: refused */
    } cases[] = {
        {"https://example.org:8443", "example.org", "8443"},
        {"https://example.org", "example.org", "443"},
        {"HTTPS://example.org/a:b@c?d#e", "example.org", "443"},
        {"mqtts://[::1]/", "::1", "8883"},
        {"ldaps://[::1]:1636", "::1", "1636"},
        {"example.org:443", "example.org", "443"},
        {"http://example.org/", NULL, NULL},
        {"https://user@example.org/", NULL, NULL},
        {"://example.org", NULL, NULL},
        {"https://::1", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        struct address a;
        struct tt_error err = {0};
        tt_rc rc = address_parse_url(&a, cases[i].text, &err);
        assert_int_equal(rc, cases[i].port != NULL ? TT_OK : TT_ERR_USAGE);
        if (rc == TT_OK) {
            assert_string_equal(a.host, cases[i].host);
            assert_string_equal(a.port, cases[i].port);
        }
    }
}

static void test_address_refusals(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"example.org", "the port is missing"},
        {"", "the port is missing"},
        {"example.org:", "must be a number"},
        {"example.org:htttps", "must be a number"},
        {"example.org:65536", "must be a number"},
        {"example.org:-1", "must be a number"},
        {"example.org:000443", "must be a number"},
        {"::1:443", "needs brackets"},
        {"0177.0.0.1:443", "this is not how an IPv4 address is written"},
        {"127.1:443", "this is not how an IPv4 address is written"},
        {"[127.0.0.1 ]:443", "a character that names do not have"},
        {"[127.0.0.01]:443", "this is not how an IPv4 address is written"},
        {".example:443", "a part of it is empty"},
        {"a b:443", "a character that names do not have"},
        {"b\xc3\xbc.example:443", "letters outside of ASCII"},
        {"[::g]:443", "this is not how an IPv6 address is written"},
        {"[example.org]:443", "brackets are for IPv6 addresses"},
        {"[::1:443", "the bracket is not closed"},
        {"[:443", "the bracket is not closed"},
        {"[::1]", "must be a number"},
    };
    (void)state;
    for (size_t i = 0; i < TT_COUNT(bad); i++) {
        struct address a;
        struct tt_error err = {0};
        assert_int_equal(address_parse(&a, bad[i].text, &err), TT_ERR_USAGE);
        if (strstr(err.text, bad[i].why) == NULL)
            fail_msg("'%s': %s", bad[i].text, err.text);
        assert_true(err.hint[0] != '\0');
    }
}

static void test_address_too_long(void **state)
{
    (void)state;
    char text[400];
    struct address a;
    struct tt_error err = {0};
    for (size_t i = 0; i < 300; i++)
        text[i] = i % 50 == 49 ? '.' : 'a';
    for (size_t len = 253; len < 285; len++) {
        strcpy(text + len, ":443");
        assert_int_equal(address_parse(&a, text, &err), len == 253 ? TT_OK : TT_ERR_USAGE);
        text[len] = len % 50 == 49 ? '.' : 'a';
        text[len + 1] = 'a';
    }
}

static void test_address_format(void **state)
{
    (void)state;
    char text[ADDRESS_TEXT_MAX];
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(443)};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(8443), .sin6_addr = in6addr_loopback};
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address_format(text, (struct sockaddr *)&v4);
    assert_string_equal(text, "127.0.0.1:443");
    address_format(text, (struct sockaddr *)&v6);
    assert_string_equal(text, "[::1]:8443");
    address_format(text, &(struct sockaddr){.sa_family = AF_UNIX});
    assert_string_equal(text, "a local socket");
}

/* One row a way to fail: what the engine said, what the person reads. */
struct case_of {
    tt_rc rc;
    const char *engine;
    enum tt_role role;
    bool connected;
    unsigned sent, received;
    const char *first;
    const char *text, *hint; /* parts that must be there */
};

#define NO TT_ALERT_NONE

static const struct case_of cases[] = {
    {TT_ERR_PROTOCOL, "bad record", TT_CLIENT, false, TT_ALERT_DECODE_ERROR, NO, "HTTP/1.0 400 Bad\r\n",
     "p:1 does not speak TLS: it answers HTTP", "is the port right"},
    {TT_ERR_PROTOCOL, "bad record", TT_CLIENT, false, TT_ALERT_DECODE_ERROR, NO, "220 mail ESMTP\r\n",
     "p:1 does not speak TLS: it says \"220 mail ESMTP\"", "is the port right"},
    {TT_ERR_PROTOCOL, "bad record", TT_SERVER, false, TT_ALERT_DECODE_ERROR, NO, "GET / HTTP/1.1\r\n",
     "p:1 does not speak TLS: it sent an HTTP request", "https"},
    {TT_ERR_PROTOCOL, "bad record", TT_CLIENT, false, TT_ALERT_DECODE_ERROR, NO, "\x01\x02",
     "p:1: bad record", ""},
    {TT_ERR_PEER_ALERT, "alert", TT_CLIENT, false, NO, TT_ALERT_PROTOCOL_VERSION, "\x15\x03",
     "p:1 does not speak TLS 1.3, only an older version", "nothing older"},
    {TT_ERR_PROTOCOL, "no version", TT_CLIENT, false, TT_ALERT_PROTOCOL_VERSION, NO, "\x16\x03",
     "p:1 does not speak TLS 1.3, only an older version", "nothing older"},
    {TT_ERR_PEER_ALERT, "alert", TT_CLIENT, true, NO, TT_ALERT_CERTIFICATE_REQUIRED, "\x16\x03",
     "p:1 refused the connection after the handshake: alert certificate_required (116)", "--key and --cert"},
    {TT_ERR_PEER_ALERT, "alert", TT_CLIENT, false, NO, TT_ALERT_NO_APPLICATION_PROTOCOL, "\x16\x03",
     "p:1 refused the connection: alert no_application_protocol", "--alpn"},
    {TT_ERR_PEER_ALERT, "alert", TT_SERVER, false, NO, TT_ALERT_UNKNOWN_CA, "\x16\x03",
     "p:1 refused the connection: alert unknown_ca (48)", "does not trust the CA"},
    {TT_ERR_CLOSED, "eof", TT_CLIENT, false, NO, NO, "",
     "p:1 closed the connection in the middle of the handshake", "may not speak TLS"},
    {TT_ERR_CLOSED, "eof", TT_CLIENT, true, NO, NO, "\x16\x03", "p:1 hung up without close_notify", ""},
    {TT_ERR_VERIFY, "the certificate has expired", TT_CLIENT, false, TT_ALERT_CERTIFICATE_EXPIRED, NO,
     "\x16\x03", "p:1: the certificate has expired", ""},
    {TT_ERR_TPM, "the TPM is locked out", TT_CLIENT, false, TT_ALERT_INTERNAL_ERROR, NO, "\x16\x03",
     "p:1: the TPM is locked out", ""},
};

static void test_diagnosis(void **state)
{
    (void)state;
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        const struct case_of *c = &cases[i];
        struct tt_error err = {0};
        (void)error_set(&err, c->rc, "%s", c->engine);
        const struct diagnose_facts facts = {
            .peer = "p:1",
            .role = c->role,
            .connected = c->connected,
            .alert_sent = c->sent,
            .alert_received = c->received,
            .first = {(const uint8_t *)c->first, strlen(c->first)},
        };
        diagnose(&err, &facts);
        assert_int_equal(err.rc, c->rc);
        if (strstr(err.text, c->text) == NULL || strstr(err.hint, c->hint) == NULL)
            fail_msg("case %zu: '%s', hint '%s'", i, err.text, err.hint);
    }
}

static void test_diagnosis_of_long_names(void **state)
{
    (void)state;
    char peer[280], engine[320];
    memset(peer, 'p', sizeof peer - 1);
    peer[sizeof peer - 1] = '\0';
    memset(engine, 'e', sizeof engine - 1);
    engine[sizeof engine - 1] = '\0';
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        struct tt_error err = {0};
        (void)error_set(&err, cases[i].rc, "%s", engine);
        const struct diagnose_facts facts = {
            .peer = peer,
            .role = cases[i].role,
            .connected = cases[i].connected,
            .alert_sent = cases[i].sent,
            .alert_received = cases[i].received,
            .first = {(const uint8_t *)cases[i].first, strlen(cases[i].first)},
        };
        diagnose(&err, &facts);
        assert_non_null(memchr(err.text, '\0', sizeof err.text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address_forms),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_address_refusals),
        cmocka_unit_test(test_address_too_long),
        cmocka_unit_test(test_address_format),
        cmocka_unit_test(test_diagnosis),
        cmocka_unit_test(test_diagnosis_of_long_names),
    };
    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
