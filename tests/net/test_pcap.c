/* tests/net/test_pcap.c: the file of --trace-pcap, parsed back: lengths, sequence numbers and checksums, by
 * the words of the standards and not with the writer's code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "net/pcap.h"
#include "support/range.h"

#define MANY 200000

static char directory[64], path[128];
static uint8_t file[1 << 20];
static size_t file_len;

static int set_up(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/tpmtls-pcap.XXXXXX");
    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof path, "%s/x.pcap", directory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    assert_int_equal(rmdir(directory), 0);
    return 0;
}

static struct pcap *create(void)
{
    struct pcap *p = NULL;
    struct tt_error err = {0};
    if (pcap_create(&p, path, &err) != TT_OK)
        fail_msg("%s", err.text);
    return p;
}

static void read_file(void)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    file_len = fread(file, 1, sizeof file, f);
    (void)fclose(f);
}

static uint32_t number(const uint8_t *at, size_t bytes)
{
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

/* The one's complement sum over correct data with its checksum is all ones (RFC 1071). */
static uint32_t ones_sum(uint32_t sum, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += number(data + i, 2);
    if (len % 2 == 1)
        sum += number(data + len - 1, 1) << 8;
    while (sum >> 16 != 0)
        sum = (sum >> 16) + (sum & 0xffff);
    return sum;
}

struct packet {
    const uint8_t *ip, *tcp, *data;
    size_t data_len;
    uint16_t from, to;
    uint32_t sequence, acknowledged;
    uint8_t flags;
    uint32_t seconds;
};

/* The packet at *at, each field of which is looked at; moves on. */
static struct packet packet_next(size_t *at)
{
    const uint8_t *record = file + *at;
    assert_true(file_len - *at >= 16 + 40);
    size_t len = number(record + 8, 4);
    assert_int_equal(number(record + 12, 4), len);
    assert_true(number(record + 4, 4) < 1000000000);
    assert_true(len <= 65535 && len <= file_len - *at - 16);
    struct packet p = {.ip = record + 16, .tcp = record + 36, .seconds = number(record, 4)};
    assert_int_equal(p.ip[0], 0x45);
    assert_int_equal(number(p.ip + 2, 2), len);
    assert_int_equal(p.ip[9], 6);
    assert_int_equal(ones_sum(0, p.ip, 20), 0xffff);
    assert_int_equal(ones_sum(ones_sum(6 + (uint32_t)len - 20, p.ip + 12, 8), p.tcp, len - 20), 0xffff);
    size_t header = (size_t)(p.tcp[12] >> 4) * 4;
    assert_true(header >= 20 && header <= len - 20);
    p.data = p.tcp + header;
    p.data_len = len - 20 - header;
    p.from = (uint16_t)number(p.tcp, 2);
    p.to = (uint16_t)number(p.tcp + 2, 2);
    p.sequence = number(p.tcp + 4, 4);
    p.acknowledged = number(p.tcp + 8, 4);
    p.flags = p.tcp[13];
    *at += 16 + len;
    return p;
}

enum {
    FIN = 0x01,
    SYN = 0x02,
    RST = 0x04,
    PSH = 0x08,
    ACK = 0x10
};

/* struct talk: both directions of a flow, as a reader puts them together. */
struct talk {
    uint16_t port[2]; /* of the client, of the server */
    uint32_t next[2];
    size_t bytes[2];
    bool ended[2];
};

/* The next packet is of that end, has these flags, and follows what came before. */
static struct packet follow(struct talk *t, size_t *at, int from, uint8_t flags)
{
    struct packet p = packet_next(at);
    assert_int_equal(p.from, t->port[from]);
    assert_int_equal(p.to, t->port[1 - from]);
    assert_int_equal(p.flags, flags);
    assert_int_equal(p.sequence, t->next[from]);
    assert_int_equal(p.acknowledged, t->next[1 - from]);
    t->next[from] += (uint32_t)p.data_len + ((flags & FIN) != 0 ? 1 : 0);
    t->bytes[from] += p.data_len;
    return p;
}

static void follow_opening(struct talk *t, size_t *at)
{
    struct packet syn = packet_next(at), answer = packet_next(at);
    assert_int_equal(syn.flags, SYN);
    assert_int_equal(answer.flags, SYN | ACK);
    assert_int_equal(answer.acknowledged, syn.sequence + 1);
    assert_int_equal(syn.data_len + answer.data_len, 0);
    *t = (struct talk){.port = {syn.from, syn.to}, .next = {syn.sequence + 1, answer.sequence + 1}};
    (void)follow(t, at, 0, ACK);
}

/* The recording ends; its file, up to where the flow's data begins. */
static void read_back(struct pcap *p, struct talk *t, size_t *at)
{
    assert_int_equal(pcap_close(p, NULL), TT_OK);
    read_file();
    follow_opening(t, at);
}

/* struct pair: two joined TCP sockets on the loopback interface. */
struct pair {
    int client, server;
    uint16_t client_port, server_port;
};

static uint16_t port_of(int fd)
{
    struct sockaddr_in6 sa; /* the port is where IPv4 has it */
    socklen_t len = sizeof sa;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    return ntohs(sa.sin6_port);
}

/* False where this machine has no such address. */
static bool pair_open(struct pair *ret, int family)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_storage at;
    const void *from = family == AF_INET ? (const void *)&v4 : (const void *)&v6;
    socklen_t len = family == AF_INET ? sizeof v4 : sizeof v6;
    memcpy(&at, from, len);
    int listener = socket(family, SOCK_STREAM, 0);
    ret->client = socket(family, SOCK_STREAM, 0);
    bool there = listener >= 0 && bind(listener, (struct sockaddr *)&at, len) == 0;
    if (there) {
        assert_int_equal(listen(listener, 1), 0);
        assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
        assert_int_equal(connect(ret->client, (struct sockaddr *)&at, len), 0);
        ret->server = accept(listener, NULL, NULL);
        ret->client_port = port_of(ret->client);
        ret->server_port = port_of(ret->server);
    } else {
        (void)close(ret->client);
    }
    (void)close(listener);
    return there;
}

static void pair_close(const struct pair *p)
{
    (void)close(p->client);
    (void)close(p->server);
}

static const uint8_t *pattern(void)
{
    static uint8_t data[MANY];
    for (size_t i = 0; i < MANY; i++)
        data[i] = (uint8_t)(i * 31 + i / 251);
    return data;
}

static void test_header_and_mode(void **state)
{
    (void)state;
    assert_int_equal(pcap_close(create(), NULL), TT_OK);
    read_file();
    static const uint8_t header[24] = {0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0,    4,    0, 0, 0, 0,
                                       0,    0,    0,    0,    0, 0, 0xff, 0xff, 0, 0, 0, 101};
    assert_int_equal(file_len, sizeof header);
    assert_memory_equal(file, header, sizeof header);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_a_connection(void **state)
{
    (void)state;
    struct pair sockets;
    struct pcap_flow flow;
    struct talk t;
    size_t at = 24;
    time_t now = time(NULL);
    assert_true(pair_open(&sockets, AF_INET));
    struct pcap *p = create();
    pcap_flow_begin(&flow, p, sockets.client, TT_CLIENT);
    pcap_flow_data(&flow, PCAP_US, (struct tt_bytes){(const uint8_t *)"abc", 3}); /* odd: the sum is padded */
    pcap_flow_data(&flow, PCAP_PEER, (struct tt_bytes){(const uint8_t *)"defg", 4});
    pcap_flow_data(&flow, PCAP_PEER, (struct tt_bytes){NULL, 0});
    pcap_flow_end(&flow, PCAP_PEER);
    pcap_flow_data(&flow, PCAP_US, (struct tt_bytes){(const uint8_t *)"h", 1});
    pcap_flow_end(&flow, PCAP_US);
    pcap_flow_end(&flow, PCAP_US);
    read_back(p, &t, &at);
    assert_int_equal(t.port[0], sockets.client_port);
    assert_int_equal(t.port[1], sockets.server_port);
    struct packet sent = follow(&t, &at, 0, PSH | ACK);
    assert_int_equal(sent.data_len, 3);
    assert_memory_equal(sent.data, "abc", 3);
    assert_int_equal(number(sent.ip + 12, 4), INADDR_LOOPBACK);
    assert_int_equal(number(sent.ip + 16, 4), INADDR_LOOPBACK);
    assert_between(sent.seconds, now, now + 10);
    assert_memory_equal(follow(&t, &at, 1, PSH | ACK).data, "defg", 4);
    (void)follow(&t, &at, 1, FIN | ACK);
    (void)follow(&t, &at, 0, PSH | ACK);
    (void)follow(&t, &at, 0, FIN | ACK);
    (void)follow(&t, &at, 1, ACK);
    assert_int_equal(at, file_len);
    pair_close(&sockets);
}

/* More than a packet of IPv4 can hold is split; nothing is lost or repeated. */
static void test_much_at_once(void **state)
{
    (void)state;
    struct pair sockets;
    struct pcap_flow flow;
    struct talk t;
    size_t at = 24;
    assert_true(pair_open(&sockets, AF_INET));
    struct pcap *p = create();
    pcap_flow_begin(&flow, p, sockets.server, TT_SERVER);
    pcap_flow_data(&flow, PCAP_US, (struct tt_bytes){pattern(), MANY});
    read_back(p, &t, &at);
    assert_int_equal(t.port[1], sockets.server_port);
    while (at < file_len) {
        size_t before = t.bytes[1];
        struct packet part = follow(&t, &at, 1, PSH | ACK);
        assert_true(t.bytes[1] <= MANY);
        assert_memory_equal(part.data, pattern() + before, part.data_len);
    }
    assert_int_equal(t.bytes[1], MANY);
    pair_close(&sockets);
}

static void test_reset_is_the_end(void **state)
{
    (void)state;
    struct pair sockets;
    struct pcap_flow flow;
    struct talk t;
    size_t at = 24;
    assert_true(pair_open(&sockets, AF_INET));
    struct pcap *p = create();
    pcap_flow_begin(&flow, p, sockets.client, TT_CLIENT);
    pcap_flow_reset(&flow);
    pcap_flow_end(&flow, PCAP_US);
    read_back(p, &t, &at);
    (void)follow(&t, &at, 1, RST | ACK);
    assert_int_equal(at, file_len);
    pair_close(&sockets);
}

/* The kernel gives a port out again: readers take the second for another connection. */
static void test_a_port_again(void **state)
{
    (void)state;
    struct pair sockets;
    struct pcap_flow flow;
    struct talk t[2];
    size_t at = 24;
    assert_true(pair_open(&sockets, AF_INET));
    struct pcap *p = create();
    for (int i = 0; i < 2; i++)
        pcap_flow_begin(&flow, p, sockets.client, TT_CLIENT);
    assert_int_equal(pcap_close(p, NULL), TT_OK);
    read_file();
    for (int i = 0; i < 2; i++)
        follow_opening(&t[i], &at);
    assert_int_equal(t[0].port[0], t[1].port[0]);
    assert_int_not_equal(t[0].next[0], t[1].next[0]);
    pair_close(&sockets);
}

/* Made-up addresses, real ports. */
static void test_ipv6(void **state)
{
    (void)state;
    struct pair sockets;
    struct pcap_flow flow;
    struct talk t;
    size_t at = 24;
    if (!pair_open(&sockets, AF_INET6)) {
        print_message("# no IPv6 here\n");
        skip();
    }
    struct pcap *p = create();
    pcap_flow_begin(&flow, p, sockets.server, TT_SERVER);
    assert_int_equal(pcap_close(p, NULL), TT_OK);
    read_file();
    assert_int_equal(number(file + 24 + 16 + 12, 4), 0x0a000001); /* 10.0.0.1 */
    assert_int_equal(number(file + 24 + 16 + 16, 4), 0xc0000201); /* 192.0.2.1 */
    follow_opening(&t, &at);
    assert_int_equal(t.port[0], sockets.client_port);
    assert_int_equal(t.port[1], sockets.server_port);
    pair_close(&sockets);
}

/* Sockets without ports, two connections at once: readers can tell them apart. */
static void test_two_connections(void **state)
{
    (void)state;
    int fd[2];
    struct pcap_flow flow[2];
    struct talk t[2];
    size_t at = 24;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    struct pcap *p = create();
    for (int i = 0; i < 2; i++)
        pcap_flow_begin(&flow[i], p, fd[0], TT_SERVER);
    for (int i = 0; i < 4; i++)
        pcap_flow_data(&flow[i % 2], PCAP_PEER, (struct tt_bytes){pattern(), 1000});
    assert_int_equal(pcap_close(p, NULL), TT_OK);
    read_file();
    for (int i = 0; i < 2; i++)
        follow_opening(&t[i], &at);
    assert_int_not_equal(t[0].port[0], t[1].port[0]);
    assert_int_equal(t[0].port[1], 443);
    for (int i = 0; i < 4; i++)
        (void)follow(&t[i % 2], &at, 0, PSH | ACK);
    assert_int_equal(at, file_len);
    (void)close(fd[0]);
    (void)close(fd[1]);
}

static void test_without_a_file(void **state)
{
    (void)state;
    struct pcap_flow flow;
    pcap_flow_begin(&flow, NULL, -1, TT_CLIENT);
    pcap_flow_data(&flow, PCAP_US, (struct tt_bytes){(const uint8_t *)"x", 1});
    pcap_flow_end(&flow, PCAP_PEER);
    pcap_flow_reset(&flow);
    assert_int_equal(pcap_close(NULL, NULL), TT_OK);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_refusals(void **state)
{
    (void)state;
    struct pcap *p = NULL;
    struct tt_error err = {0};
    assert_int_equal(pcap_close(create(), NULL), TT_OK);
    assert_int_equal(pcap_create(&p, path, &err), TT_ERR_EXISTS);
    assert_non_null(strstr(err.text, path));
    assert_true(err.hint[0] != '\0');
    read_file();
    assert_int_equal(file_len, 24);
    err = (struct tt_error){0};
    assert_int_equal(pcap_create(&p, "/nowhere/x.pcap", &err), TT_ERR_IO);
    assert_non_null(strstr(err.text, "/nowhere/x.pcap"));
    assert_true(err.hint[0] != '\0');
    assert_null(p);
}

/* A full disk: the packets before stay, the one that did not fit is not half there, and it is told. */
static void test_no_room(void **state)
{
    (void)state;
    int fd[2];
    struct rlimit before, small;
    struct pcap_flow flow;
    struct tt_error err = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    struct pcap *p = create();
    pcap_flow_begin(&flow, p, fd[0], TT_CLIENT);
    read_file();
    size_t whole = file_len;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = whole + 100, .rlim_max = before.rlim_max};
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    pcap_flow_data(&flow, PCAP_US, (struct tt_bytes){pattern(), 1000});
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, old);
    pcap_flow_end(&flow, PCAP_US);
    assert_int_equal(pcap_close(p, &err), TT_ERR_IO);
    assert_non_null(strstr(err.text, path));
    assert_true(err.hint[0] != '\0');
    read_file();
    assert_int_equal(file_len, whole);
    (void)close(fd[0]);
    (void)close(fd[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_header_and_mode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_much_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reset_is_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_port_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ipv6, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_two_connections, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_room, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
