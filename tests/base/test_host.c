/* tests/base/test_host.c: wire/host.h: what is a name, what an address, and what is neither. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "wire/host.h"

static void expect(const char *text, enum host_kind kind, const char *is, const char *zone)
{
    struct host h;
    struct tt_error err = {0};
    if (host_parse(&h, text, &err) != TT_OK)
        fail_msg("%s: %s", text, err.text);
    assert_int_equal(h.kind, kind);
    assert_string_equal(h.text, is);
    assert_string_equal(h.zone, zone);
}

static void names(void **state)
{
    (void)state;
    static const char *const good[] = {
        "a",    "host.example",          "HOST.Example", "a-b.c_d.example", "_srv.example", "1a.example",
        "1.2a", "xn--bcher-kva.example", "localhost",    "10.0.0.1.nip.io", "0x7g",         "-a",
        "a-"};
    for (size_t i = 0; i < TT_COUNT(good); i++)
        expect(good[i], HOST_NAME, good[i], "");
    expect("host.example.", HOST_NAME, "host.example", "");
}

static void addresses(void **state)
{
    (void)state;
    static const uint8_t v4[] = {192, 0, 2, 1}, v6[16] = {0xfe, 0x80, [15] = 1};
    struct host h;
    expect("192.0.2.1", HOST_IPV4, "192.0.2.1", "");
    expect("::1", HOST_IPV6, "::1", "");
    expect("2001:DB8::0:1", HOST_IPV6, "2001:DB8::0:1", "");
    expect("::ffff:192.0.2.1", HOST_IPV6, "::ffff:192.0.2.1", "");
    expect("fe80::1%eth0", HOST_IPV6, "fe80::1", "eth0");
    expect("fe80::1%2", HOST_IPV6, "fe80::1", "2");
    assert_int_equal(host_parse(&h, "192.0.2.1", NULL), TT_OK);
    assert_memory_equal(h.address, v4, sizeof v4);
    assert_int_equal(host_parse(&h, "fe80::1%eth0", NULL), TT_OK);
    assert_memory_equal(h.address, v6, sizeof v6);
}

static void refuse(const char *text, const char *why, const char *hint)
{
    struct host h = {.zone = "kept"};
    struct tt_error err = {0};
    if (host_parse(&h, text, &err) != TT_ERR_USAGE)
        fail_msg("taken: %s", text);
    if (strstr(err.text, why) == NULL || strstr(err.hint, hint) == NULL)
        fail_msg("%s: %s; %s", text, err.text, err.hint);
    assert_string_equal(h.zone, "kept"); /* nothing is written */
    assert_non_null(strstr(err.text, "is no host name and no address"));
}

static void neither(void **state)
{
    (void)state;
    static const char *const numbers[] = {"0177.0.0.1", "010.0.0.1", "0x7f.0.0.1", "0x7f000001",
                                          "2130706433", "127.1",     "256.0.0.1",  "192.0.2.1.",
                                          "1.2.3.4.5",  "a.1",       " 10.0.0.1",  "192.0.2.01",
                                          "0x",         "+10.0.0.1", "1",          "host.0x1F"};
    static const char *const odd[] = {"10.0.0.1 evil", "a b",   "*.example", "a/b", "a@b",
                                      "host\n",        "h\x01", "a%eth0",    "\"",  "[a]"};
    static const char *const gaps[] = {".example", ".", "a..b", "a..", ".."};
    static const char *const v6[] = {":",       ":::",
                                     "1:2",     "fe80::1:",
                                     "::g",     "12345::",
                                     "[::1]",   "::1%",
                                     "::1%a/b", "::1%eth0eth0eth0eth0",
                                     "::1 ",    "a:b",
                                     "::127.1", "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa"};
    for (size_t i = 0; i < TT_COUNT(numbers); i++)
        refuse(numbers[i], "this is not how an IPv4 address is written", "without zeros in front");
    for (size_t i = 0; i < TT_COUNT(odd); i++)
        refuse(odd[i], "a character that names do not have", "letters, digits, hyphens and underscores");
    for (size_t i = 0; i < TT_COUNT(gaps); i++)
        refuse(gaps[i], "a part of it is empty", "parts of 1 to 63");
    for (size_t i = 0; i < TT_COUNT(v6); i++)
        refuse(v6[i], "", "fe80::1%eth0");
    refuse("", "it is empty", "name the host");
    refuse("b\xc3\xbc\x63her.example", "letters outside of ASCII", "begins with xn--");
    refuse("\xff", "letters outside of ASCII", "begins with xn--");
}

static void lengths(void **state)
{
    (void)state;
    char text[300];
    for (size_t label = 62; label <= 64; label++) {
        memset(text, 'a', label);
        memcpy(text + label, ".b", 3);
        if (label <= 63)
            expect(text, HOST_NAME, text, "");
        else
            refuse(text, "longer than 63", "");
    }
    for (size_t len = 252; len <= 255; len++) {
        for (size_t i = 0; i < len; i++)
            text[i] = i % 50 == 49 && i + 1 < len ? '.' : 'a';
        text[len] = '\0';
        if (len <= 253)
            expect(text, HOST_NAME, text, "");
        else
            refuse(text, "longer than 253", "");
        memcpy(text + len, ".", 2); /* the dot at the end does not count */
        struct host h;
        assert_int_equal(host_parse(&h, text, NULL), len <= 253 ? TT_OK : TT_ERR_USAGE);
    }
}

static void odd_addresses(void **state)
{
    (void)state;
    static const char *const odd[] = {"192.168.001.010", "0.0.0.256", "2001:DB8::1", "2001:db8:0:0::1",
                                      "..."};
    static const char *const plain[] = {"192.168.1.10", "2001:db8::1", "::1", "::",  "1.2.3",
                                        "1.2.3.4.5",    "host",        "",    "a:b", "1.2.3.x"};
    for (size_t i = 0; i < TT_COUNT(odd); i++)
        assert_true(host_is_odd_address(odd[i]));
    for (size_t i = 0; i < TT_COUNT(plain); i++)
        assert_false(host_is_odd_address(plain[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),   cmocka_unit_test(addresses),     cmocka_unit_test(neither),
        cmocka_unit_test(lengths), cmocka_unit_test(odd_addresses),
    };
    return cmocka_run_group_tests_name("base/host", tests, NULL, NULL);
}
