/* mqtt_pub.c: publish one message to an MQTT 3.1.1 broker over plain TCP, and wait until it has it (QoS 1).
 *
 *     mqtt_pub HOST:PORT TOPIC MESSAGE
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tcp.h"

static int fd = -1;

static void die(const char *what)
{
    fprintf(stderr, "mqtt_pub: %s\n", what);
    exit(1);
}

static void put(const uint8_t *data, size_t len)
{
    if (tcp_write(fd, data, len) != 0)
        die("the broker went away");
}

static void get(uint8_t *ret, size_t len)
{
    if (tcp_read(fd, ret, len) != 0)
        die("the broker went away");
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
    if (argc != 4 || strlen(argv[2]) + strlen(argv[3]) > sizeof body - 8)
        die("usage: mqtt_pub HOST:PORT TOPIC MESSAGE");
    if (tcp_connect(&fd, argv[1]) != 0)
        die("cannot connect");

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
    close(fd);
    return 0;
}
