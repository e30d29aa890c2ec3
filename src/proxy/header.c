/* proxy/header.c: writing a PROXY protocol header, version 2. Layer: proxy. The order of the TLVs is
 * haproxy's. */
#include "proxy/header.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

/* Section 2.2. */
#define VERSION_AND_PROXY 0x21
#define FIXED_SIZE        16
#define LENGTH_AT         14
enum family_and_protocol {
    UNSPEC = 0x00,
    TCP4 = 0x11,
    TCP6 = 0x21,
    UNIX_STREAM = 0x31
};
enum tlv_type {
    PP2_TYPE_ALPN = 0x01,
    PP2_TYPE_AUTHORITY = 0x02,
    PP2_TYPE_CRC32C = 0x03,
    PP2_TYPE_UNIQUE_ID = 0x05,
    PP2_TYPE_SSL = 0x20,
    PP2_SUBTYPE_SSL_VERSION = 0x21,
    PP2_SUBTYPE_SSL_CN = 0x22,
    PP2_SUBTYPE_SSL_CIPHER = 0x23,
    PP2_SUBTYPE_SSL_SIG_ALG = 0x24,
    PP2_SUBTYPE_SSL_KEY_ALG = 0x25,
    PP2_SUBTYPE_SSL_GROUP = 0x26,
    PP2_SUBTYPE_SSL_SIG_SCHEME = 0x27
};

uint32_t header_crc32c(struct tt_bytes b)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < b.len; i++) {
        crc ^= b.data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return ~crc;
}

/* struct sink: bytes of the caller's with a sticky failure. */
struct sink {
    uint8_t *at;
    size_t len, cap;
    bool failed;
};

static void put(struct sink *s, const void *data, size_t n)
{
    if (s->failed || n > s->cap - s->len) {
        s->failed = true;
        return;
    }
    if (n > 0)
        memcpy(s->at + s->len, data, n);
    s->len += n;
}

static void put_number(struct sink *s, uint32_t v, size_t size)
{
    uint8_t be[4];
    for (size_t i = 0; i < size; i++)
        be[i] = (uint8_t)(v >> 8 * (size - 1 - i));
    put(s, be, size);
}

static void set_u16(struct sink *s, size_t at, size_t v)
{
    if (v > UINT16_MAX)
        s->failed = true;
    if (s->failed)
        return;
    s->at[at] = (uint8_t)(v >> 8);
    s->at[at + 1] = (uint8_t)v;
}

static void put_tlv(struct sink *s, enum tlv_type type, struct tt_bytes value)
{
    if (value.len == 0)
        return;
    put_number(s, type, 1);
    size_t at = s->len;
    put_number(s, 0, 2);
    put(s, value.data, value.len);
    set_u16(s, at, value.len);
}

static void put_text(struct sink *s, enum tlv_type type, const char *text)
{
    if (text != NULL)
        put_tlv(s, type, (struct tt_bytes){(const uint8_t *)text, strlen(text)});
}

/* ---- addresses, section 2.2: those of one family ---- */

static bool is_inet(const struct sockaddr *a)
{
    return a->sa_family == AF_INET || a->sa_family == AF_INET6;
}

static struct in6_addr as_v6(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET6)
        return ((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
    struct in6_addr mapped = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(&mapped.s6_addr[12], &((const struct sockaddr_in *)(const void *)a)->sin_addr, 4);
    return mapped;
}

static in_port_t port_of(const struct sockaddr *a)
{
    return a->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)(const void *)a)->sin6_port
                                    : ((const struct sockaddr_in *)(const void *)a)->sin_port;
}

/* Also of a client that came by IPv4 to a socket of IPv6 it is said that it came by IPv4. */
static void put_inet(struct sink *s, const struct sockaddr *source, const struct sockaddr *destination)
{
    const struct in6_addr from = as_v6(source), to = as_v6(destination);
    const in_port_t from_port = port_of(source), to_port = port_of(destination);
    bool is_v4 = IN6_IS_ADDR_V4MAPPED(&from) && IN6_IS_ADDR_V4MAPPED(&to);
    size_t skip = is_v4 ? 12 : 0;
    put_number(s, is_v4 ? TCP4 : TCP6, 1);
    put_number(s, 0, 2);
    put(s, from.s6_addr + skip, sizeof from.s6_addr - skip);
    put(s, to.s6_addr + skip, sizeof to.s6_addr - skip);
    put(s, &from_port, sizeof from_port);
    put(s, &to_port, sizeof to_port);
}

static void put_path(struct sink *s, const struct sockaddr *a)
{
    char path[108] = ""; /* section 2.2, and sun_path's size on Linux */
    memcpy(path, ((const struct sockaddr_un *)(const void *)a)->sun_path, sizeof path);
    put(s, path, sizeof path);
}

static void put_addresses(struct sink *s, const struct sockaddr *source, const struct sockaddr *destination)
{
    if (source != NULL && destination != NULL && is_inet(source) && is_inet(destination)) {
        put_inet(s, source, destination);
    } else if (source != NULL && destination != NULL && source->sa_family == AF_UNIX &&
               destination->sa_family == AF_UNIX) {
        put_number(s, UNIX_STREAM, 1);
        put_number(s, 0, 2);
        put_path(s, source);
        put_path(s, destination);
    } else {
        put_number(s, UNSPEC, 1);
        put_number(s, 0, 2);
    }
}

/* ---- the whole ---- */

/* Section 2.2.6. */
static void put_ssl(struct sink *s, const struct header *h)
{
    put_number(s, PP2_TYPE_SSL, 1);
    size_t at = s->len;
    put_number(s, 0, 2);
    put_number(s, h->client | HEADER_CLIENT_SSL, 1);
    put_number(s, h->verify, 4);
    put_text(s, PP2_SUBTYPE_SSL_VERSION, h->version);
    put_tlv(s, PP2_SUBTYPE_SSL_CN, h->cn);
    put_text(s, PP2_SUBTYPE_SSL_KEY_ALG, h->key_alg);
    put_text(s, PP2_SUBTYPE_SSL_SIG_ALG, h->sig_alg);
    put_text(s, PP2_SUBTYPE_SSL_CIPHER, h->cipher);
    put_text(s, PP2_SUBTYPE_SSL_GROUP, h->group);
    put_text(s, PP2_SUBTYPE_SSL_SIG_SCHEME, h->sig_scheme);
    set_u16(s, at, s->len - at - 2);
}

static size_t write_all(uint8_t *ret, size_t cap, const struct header *h)
{
    static const uint8_t signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                          0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
    static const uint8_t no_crc[4] = {0};
    struct sink s = {.at = ret, .cap = cap, .failed = h->unique_id.len > HEADER_UNIQUE_ID_MAX};
    put(&s, signature, sizeof signature);
    put_number(&s, VERSION_AND_PROXY, 1);
    put_addresses(&s, h->source, h->destination);
    put_tlv(&s, PP2_TYPE_CRC32C, (struct tt_bytes){no_crc, sizeof no_crc});
    size_t crc_at = s.len - sizeof no_crc;
    put_tlv(&s, PP2_TYPE_ALPN, h->alpn);
    put_tlv(&s, PP2_TYPE_AUTHORITY, h->authority);
    put_tlv(&s, PP2_TYPE_UNIQUE_ID, h->unique_id);
    if (h->is_tls)
        put_ssl(&s, h);
    set_u16(&s, LENGTH_AT, s.len - FIXED_SIZE);
    if (s.failed)
        return 0;
    uint32_t crc = header_crc32c((struct tt_bytes){ret, s.len});
    for (size_t i = 0; i < sizeof no_crc; i++)
        ret[crc_at + i] = (uint8_t)(crc >> 8 * (3 - i));
    return s.len;
}

/* What is told of the connection beside whose it is, the first to go first. */
static bool leave_one_out(struct header *h)
{
    const char **const told[] = {&h->sig_scheme, &h->group, &h->cipher, &h->sig_alg, &h->key_alg};
    for (size_t i = 0; i < TT_COUNT(told); i++)
        if (*told[i] != NULL) {
            *told[i] = NULL;
            return true;
        }
    return false;
}

size_t header_write(uint8_t *ret, size_t cap, const struct header *h)
{
    struct header less = *h;
    size_t n = write_all(ret, cap, h);
    while (n > HEADER_TAKEN && leave_one_out(&less))
        n = write_all(ret, cap, &less);
    return n <= HEADER_TAKEN ? n : write_all(ret, cap, h);
}
