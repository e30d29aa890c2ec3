/* tests/proxy/test_header.c: PROXY protocol headers against bytes made by gen_header.py, beside this file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/mem.h"
#include "proxy/header.h"

static const char *const expected[] = {
    /* v4 */
    "0d0a0d0a000d0a515549540a21110013c0000207c6336401c82201bb030004f1ab8985",
    /* v6 */
    "0d0a0d0a000d0a515549540a2121002b20010db800000000000000000000000720010db8000000000000000000000001"
    "c82220fb030004a5643f7f",
    /* v4 at a socket of v6 */
    "0d0a0d0a000d0a515549540a21110013c0000207c63364010001ffff030004d77162fc",
    /* both families */
    "0d0a0d0a000d0a515549540a2121002b00000000000000000000ffffc000020720010db8000000000000000000000001"
    "0001000203000404ddba86",
    /* paths */
    "0d0a0d0a000d0a515549540a213100df0000000000000000000000000000000000000000000000000000000000000000"
    "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "000000000000000000000000000000000000000000000000000000002f72756e2f74706d746c732f7765620000000000"
    "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "00000000000000000000000000000000000000000000000000000000000000000000000000000000030004858067fd",
    /* unknown */
    "0d0a0d0a000d0a515549540a210000070300043ec9894e",
    /* client without certificate */
    "0d0a0d0a000d0a515549540a2111003ec0000207c6336401c82201bb030004da61f9692000280100000001210007544c"
    "5376312e33230016544c535f4145535f3132385f47434d5f534841323536",
    /* everything */
    "0d0a0d0a000d0a515549540a211100adc0000207c6336401c82201bb030004903df080010002683202000f7777772e65"
    "78616d706c652e6f7267050010000102030405060708090a0b0c0d0e0f20006d0300000000210007544c5376312e3322"
    "00045a6fc3ab250005454332353624001165636473612d776974682d534841323536230016544c535f4145535f323536"
    "5f47434d5f53484133383426000678323535313927001665636473615f7365637032353672315f736861323536",
    /* resumed */
    "0d0a0d0a000d0a515549540a21110030c0000207c6336401c82201bb0300045b29d05220001a0500000000210007544c"
    "5376312e332200086465766963652d31",
};

static const struct sockaddr *v4(const char *host, uint16_t port)
{
    static struct sockaddr_in made[2];
    static size_t turn;
    struct sockaddr_in *a = &made[turn++ % 2];
    *a = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET, host, &a->sin_addr), 1);
    return (const struct sockaddr *)a;
}

static const struct sockaddr *v6(const char *host, uint16_t port)
{
    static struct sockaddr_in6 made[2];
    static size_t turn;
    struct sockaddr_in6 *a = &made[turn++ % 2];
    *a = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET6, host, &a->sin6_addr), 1);
    return (const struct sockaddr *)a;
}

static struct tt_bytes text(const char *s)
{
    return (struct tt_bytes){(const uint8_t *)s, strlen(s)};
}

static void assert_header(size_t which, const struct header *h)
{
    uint8_t bytes[1024];
    char hex[2 * sizeof bytes + 1];
    size_t n = header_write(bytes, sizeof bytes, h);
    assert_int_not_equal(n, 0);
    for (size_t i = 0; i < n; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    assert_string_equal(hex, expected[which]);
    /* It fits exactly, or not at all. */
    assert_int_equal(header_write(bytes, n, h), n);
    for (size_t cap = 0; cap < n; cap++)
        assert_int_equal(header_write(bytes, cap, h), 0);
}

static void test_crc(void **state)
{
    (void)state;
    static const uint8_t zeros[32] = {0}; /* RFC 7143 appendix A.4 */
    assert_int_equal(header_crc32c(text("123456789")), 0xe3069283);
    assert_int_equal(header_crc32c((struct tt_bytes){zeros, sizeof zeros}), 0x8a9136aa);
    assert_int_equal(header_crc32c((struct tt_bytes){NULL, 0}), 0);
}

static void test_addresses(void **state)
{
    (void)state;
    struct sockaddr_un none = {.sun_family = AF_UNIX},
                       path = {.sun_family = AF_UNIX, .sun_path = "/run/tpmtls/web"};
    const struct sockaddr *const from = v4("192.0.2.7", 51234), *const to = v4("198.51.100.1", 443);
    assert_header(0, &(struct header){.source = from, .destination = to});
    const struct header long_way = {.source = v6("2001:db8::7", 51234),
                                    .destination = v6("2001:db8::1", 8443)};
    assert_header(1, &long_way);
    const struct header mapped = {.source = v6("::ffff:192.0.2.7", 1),
                                  .destination = v6("::ffff:198.51.100.1", 65535)};
    assert_header(2, &mapped);
    const struct header both = {.source = v4("192.0.2.7", 1), .destination = v6("2001:db8::1", 2)};
    assert_header(3, &both);
    const struct header local = {.source = (struct sockaddr *)&none, .destination = (struct sockaddr *)&path};
    assert_header(4, &local);
    assert_header(5, &(struct header){0});
    assert_header(5, &(struct header){.source = to}); /* half is unknown as well */
    assert_header(5, &(struct header){.source = to, .destination = (struct sockaddr *)&none});
}

static void test_tls(void **state)
{
    (void)state;
    uint8_t id[16];
    for (size_t i = 0; i < sizeof id; i++)
        id[i] = (uint8_t)i;
    struct header h = {.source = v4("192.0.2.7", 51234),
                       .destination = v4("198.51.100.1", 443),
                       .is_tls = true,
                       .verify = 1,
                       .version = "TLSv1.3",
                       .cipher = "TLS_AES_128_GCM_SHA256"};
    assert_header(6, &h);
    h.client = HEADER_CLIENT_CERT_CONN;
    h.verify = 0;
    h.alpn = text("h2");
    h.authority = text("www.example.org");
    h.unique_id = (struct tt_bytes){id, sizeof id};
    h.cn = text("Zo\xc3\xab");
    h.key_alg = "EC256";
    h.sig_alg = "ecdsa-with-SHA256";
    h.cipher = "TLS_AES_256_GCM_SHA384";
    h.group = "x25519";
    h.sig_scheme = "ecdsa_secp256r1_sha256";
    assert_header(7, &h);
    const struct header resumed = {.source = h.source,
                                   .destination = h.destination,
                                   .is_tls = true,
                                   .client = HEADER_CLIENT_CERT_SESS,
                                   .version = "TLSv1.3",
                                   .cn = text("device-1")};
    assert_header(8, &resumed);
}

/* Whether a TLV of this type and text is in it. */
static bool has(const uint8_t *bytes, size_t n, uint8_t type, const char *value)
{
    size_t len = strlen(value);
    for (size_t at = 16; at + 3 + len <= n; at++)
        if (bytes[at] == type && bytes[at + 1] == 0 && bytes[at + 2] == len &&
            memcmp(bytes + at + 3, value, len) == 0)
            return true;
    return false;
}

/* Apache takes 16 + 216 bytes. What only describes the connection makes room for whose it is; never the other
 * way round, and not for nothing. */
static void test_taken(void **state)
{
    (void)state;
    char name[300];
    uint8_t bytes[1024];
    memset(name, 'n', sizeof name);
    struct header h = {.source = v6("2001:db8::7", 51234),
                       .destination = v6("2001:db8::1", 443),
                       .is_tls = true,
                       .client = HEADER_CLIENT_CERT_CONN,
                       .version = "TLSv1.3",
                       .cn = text("device-1"),
                       .key_alg = "EC256",
                       .sig_alg = "ecdsa-with-SHA256",
                       .cipher = "TLS_AES_256_GCM_SHA384",
                       .group = "x25519",
                       .sig_scheme = "ecdsa_secp256r1_sha256"};
    size_t whole = header_write(bytes, sizeof bytes, &h), told = 25 + 9 + 25 + 20 + 8;
    size_t room = HEADER_TAKEN - whole - 3;
    for (size_t len = 1; len < sizeof name; len++) {
        h.authority = (struct tt_bytes){(const uint8_t *)name, len};
        size_t n = header_write(bytes, sizeof bytes, &h);
        bool all = len <= room || len > room + told;
        assert_true(all ? n == whole + 3 + len : n <= HEADER_TAKEN);
        assert_true(has(bytes, n, 0x22, "device-1"));
        assert_int_equal(has(bytes, n, 0x27, "ecdsa_secp256r1_sha256"), all);
        assert_int_equal(has(bytes, n, 0x26, "x25519"), all || len <= room + 25);
        assert_int_equal(has(bytes, n, 0x23, "TLS_AES_256_GCM_SHA384"), all || len <= room + 25 + 9);
        assert_int_equal(has(bytes, n, 0x25, "EC256"), all || len <= room + told - 8);
    }
}

/* What a length field cannot say is refused, not cut off. */
static void test_too_long(void **state)
{
    (void)state;
    size_t cap = HEADER_MAX + 1000;
    uint8_t *room = mem_alloc(cap), *name = mem_alloc(70000);
    assert_non_null(room);
    assert_non_null(name);
    memset(name, 'n', 70000);
    struct header h = {.is_tls = true, .cn = {name, 65536}};
    assert_int_equal(header_write(room, cap, &h), 0);
    h.cn.len = 65536 - 16; /* fits its own field, not the whole's */
    assert_int_equal(header_write(room, cap, &h), 0);
    h.cn.len = 65535 - 7 - 3 - 5 - 3; /* CRC32C, SSL with its fields, CN */
    assert_int_equal(header_write(room, cap, &h), HEADER_MAX);
    h.cn.len++;
    assert_int_equal(header_write(room, cap, &h), 0);
    h = (struct header){.unique_id = {name, HEADER_UNIQUE_ID_MAX}};
    assert_int_not_equal(header_write(room, cap, &h), 0);
    h.unique_id.len++;
    assert_int_equal(header_write(room, cap, &h), 0);
    mem_free(name);
    mem_free(room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),   cmocka_unit_test(test_addresses), cmocka_unit_test(test_tls),
        cmocka_unit_test(test_taken), cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests_name("header", tests, NULL, NULL);
}
