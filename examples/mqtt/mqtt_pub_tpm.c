/* mqtt_pub_tpm.c: mqtt_pub.c with a TLS 1.3 identity whose key is in the TPM (README.md shows what changed).
 *
 *     mqtt_pub_tpm HOST:PORT TOPIC MESSAGE KEY CERT CA
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tpmtls/stream.h>

static struct tt_stream *tls;
static struct tt_error err;

static void die(const char *what)
{
    fprintf(stderr, "mqtt_pub: %s\n", what);
    exit(1);
}

static void put(const uint8_t *data, size_t len)
{
    if (tt_stream_write(tls, data, len, &err) != TT_OK)
        die(err.text);
}

static void get(uint8_t *ret, size_t len)
{
    for (size_t at = 0, n = 0; at < len; at += n)
        if (tt_stream_read(tls, ret + at, len - at, &n, &err) != TT_OK || n == 0)
            die(n == 0 ? "the broker went away" : err.text);
}

static size_t text(uint8_t *at, const char *s)
{
    size_t n = strlen(s);
    at[0] = (uint8_t)(n >> 8);
    at[1] = (uint8_t)n;
    memcpy(at + 2, s, n);
    return n + 2;
}

/* One control packet: type and flags, Remaining Length, body (MQTT 3.1.1 section 2). */
static void packet(uint8_t type, const uint8_t *body, size_t len)
{
    uint8_t head[5] = {type};
    size_t n = 1, left = len;
    do {
        head[n] = left & 0x7f;
        left >>= 7;
        head[n++] |= left > 0 ? 0x80 : 0;
    } while (left > 0);
    put(head, n);
    put(body, len);
}

/* Both answers we wait for have two bytes behind their head. */
static void expect(uint8_t type, uint8_t first, uint8_t second, const char *otherwise)
{
    uint8_t got[4];
    get(got, sizeof got);
    if (got[0] != type || got[1] != 2 || got[2] != first || got[3] != second)
        die(otherwise);
}

int main(int argc, char **argv)
{
    uint8_t body[4096];
    size_t n = 0;
    if (argc != 7 || strlen(argv[2]) + strlen(argv[3]) > sizeof body - 8)
        die("usage: mqtt_pub_tpm HOST:PORT TOPIC MESSAGE KEY CERT CA");
    const struct tt_connect_options tpm = {
        .tpm = getenv("TPMTLS_TPM"), .key = argv[4], .cert = argv[5], .ca = argv[6]};
    if (tt_connect(&tls, argv[1], &tpm, &err) != TT_OK)
        die(err.text);

    static const uint8_t connect[] = "\0\4MQTT\4\2\0\36"; /* protocol 4, clean session, keep alive 30 s */
    memcpy(body, connect, sizeof connect - 1);
    n = sizeof connect - 1;
    n += text(body + n, "tpmtls-example");
    packet(0x10, body, n);
    expect(0x20, 0, 0, "the broker refuses the connection");

    n = text(body, argv[2]);
    body[n++] = 0;
    body[n++] = 1; /* packet identifier */
    memcpy(body + n, argv[3], strlen(argv[3]));
    packet(0x32, body, n + strlen(argv[3]));
    expect(0x40, 0, 1, "the broker did not take the message");

    packet(0xe0, NULL, 0);
    if (tt_stream_close(tls, &err) != TT_OK)
        die(err.text);
    tt_stream_free(tls);
    return 0;
}
