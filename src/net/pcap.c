/* net/pcap.c: see pcap.h. Layer: net. Written here: pcap with LINKTYPE_RAW (draft-ietf-opsawg-pcap), IPv4
 * (RFC 791), TCP (RFC 9293). All numbers are big-endian; a reader of pcap sees that from the magic number. */
#include "net/pcap.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/file_write.h"

#define MAGIC_NANOSECONDS 0xa1b23c4d
#define LINKTYPE_RAW      101
#define PACKET_MAX        65535 /* of IPv4 */
#define FILE_HEADER       24
#define RECORD_HEADER     16
#define IP_HEADER         20
#define TCP_HEADER        20
#define WINDOW_SCALE      4  /* a no-operation and the option (RFC 7323 section 2.2) */
#define WINDOW_SHIFT      14 /* the largest: a window of 1 GiB, never full */
#define DATA_MAX          (PACKET_MAX - IP_HEADER - TCP_HEADER)
#define FIRST_MADE_UP     49152 /* the dynamic ports (RFC 6335 section 6) */

enum {
    FIN = 0x01,
    SYN = 0x02,
    RST = 0x04,
    PSH = 0x08,
    ACK = 0x10
};

struct pcap {
    int fd;
    char *path;
    uint64_t size;         /* of the whole packets */
    uint32_t flows;        /* begun so far */
    struct tt_error error; /* the first; nothing is written after it */
    uint8_t record[RECORD_HEADER + PACKET_MAX];
};

static uint8_t *put16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
    return put16(put16(at, value >> 16), value & 0xffff);
}

/* ---- the file ---- */

static void file_append(struct pcap *p, size_t len)
{
    if (p->error.rc != TT_OK)
        return;
    if (file_write_fd(p->fd, (struct tt_bytes){p->record, len}, p->path, &p->error) == TT_OK) {
        p->size += len;
        return;
    }
    error_hint(&p->error, "the trace ends where this happened; the connections went on without it");
    if (ftruncate(p->fd, (off_t)p->size) != 0)
        return; /* readers then say that the last packet is cut short */
}

static void file_header(struct pcap *p)
{
    uint8_t *at = put32(p->record, MAGIC_NANOSECONDS);
    at = put16(put16(at, 2), 4);   /* the version of the format */
    at = put32(put32(at, 0), 0);   /* reserved */
    at = put32(at, PACKET_MAX);    /* SnapLen */
    (void)put32(at, LINKTYPE_RAW); /* the first four bits of a packet say which IP */
    file_append(p, FILE_HEADER);
}

static tt_rc cannot_create(const char *path, int why, struct tt_error *err)
{
    tt_rc rc = why == EEXIST ? TT_ERR_EXISTS : TT_ERR_IO;
    (void)error_set(err, rc, "cannot create the trace %s: %s", path, strerror(why));
    error_hint(err, why == EEXIST ? "nothing is overwritten: choose another name, or remove it first"
                                  : "its directory must be there, and be writable");
    return rc;
}

tt_rc pcap_create(struct pcap **ret, const char *path, struct tt_error *err)
{
    struct pcap *p = mem_alloc(sizeof *p);
    char *name = mem_alloc(strlen(path) + 1);
    if (p == NULL || name == NULL) {
        mem_free(p);
        mem_free(name);
        return error_set(err, TT_ERR_MEMORY, "no memory for a trace");
    }
    p->path = memcpy(name, path, strlen(path) + 1);
    p->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
    int why = errno;
    if (p->fd >= 0) {
        file_header(p);
        if (p->error.rc != TT_OK)
            return pcap_close(p, err);
        *ret = p;
        return TT_OK;
    }
    (void)pcap_close(p, NULL);
    return cannot_create(path, why, err);
}

tt_rc pcap_close(struct pcap *p, struct tt_error *err)
{
    if (p == NULL)
        return TT_OK;
    tt_rc rc = p->error.rc;
    if (rc != TT_OK && err != NULL)
        *err = p->error;
    if (p->fd >= 0)
        (void)close(p->fd);
    mem_free(p->path);
    mem_free(p);
    return rc;
}

/* ---- a packet ---- */

/* The sum of RFC 1071, to be folded; data of an odd length is the last. */
static uint32_t sum_add(uint32_t sum, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
    return sum; /* 65535 bytes add up to less than 2^32 */
}

static uint16_t sum_fold(uint32_t sum)
{
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* RFC 791 section 3.1; returns the part of TCP's checksum that is about IP (RFC 9293 section 3.1). */
static uint32_t put_ip(uint8_t *ip, const struct pcap_side *from, const struct pcap_side *to, size_t tcp_len)
{
    memset(ip, 0, IP_HEADER);
    ip[0] = 0x45; /* version 4, five words */
    (void)put16(ip + 2, IP_HEADER + tcp_len);
    (void)put16(ip + 6, 0x4000); /* don't fragment */
    ip[8] = 64;                  /* time to live */
    ip[9] = IPPROTO_TCP;
    memcpy(ip + 12, from->address, 4);
    memcpy(ip + 16, to->address, 4);
    (void)put16(ip + 10, sum_fold(sum_add(0, ip, IP_HEADER)));
    return sum_add(IPPROTO_TCP + (uint32_t)tcp_len, ip + 12, 8);
}

/* RFC 9293 section 3.1, but for the checksum; returns the length. */
static size_t put_tcp(uint8_t *tcp, const struct pcap_side *from, const struct pcap_side *to, unsigned flags)
{
    size_t len = TCP_HEADER + ((flags & SYN) != 0 ? WINDOW_SCALE : 0);
    memset(tcp, 0, len);
    (void)put16(put16(tcp, from->port), to->port);
    (void)put32(tcp + 4, from->sequence);
    (void)put32(tcp + 8, (flags & ACK) != 0 ? to->sequence : 0);
    tcp[12] = (uint8_t)(len / 4 << 4);
    tcp[13] = (uint8_t)flags;
    (void)put16(tcp + 14, 65535);
    if ((flags & SYN) != 0)
        memcpy(tcp + TCP_HEADER, (const uint8_t[]){1, 3, 3, WINDOW_SHIFT}, WINDOW_SCALE);
    return len;
}

static void packet_write(struct pcap_flow *f, enum pcap_end end, unsigned flags, struct tt_bytes data)
{
    struct pcap_side *from = &f->side[end], *to = &f->side[end == PCAP_US ? PCAP_PEER : PCAP_US];
    uint8_t *record = f->file->record, *ip = record + RECORD_HEADER, *tcp = ip + IP_HEADER;
    size_t header = put_tcp(tcp, from, to, flags), tcp_len = header + data.len, len = IP_HEADER + tcp_len;
    if (data.len > 0)
        memcpy(tcp + header, data.data, data.len);
    (void)put16(tcp + 16, sum_fold(sum_add(put_ip(ip, from, to, tcp_len), tcp, tcp_len)));
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    uint8_t *at = put32(put32(record, (uint32_t)now.tv_sec), (uint32_t)now.tv_nsec);
    (void)put32(put32(at, (uint32_t)len), (uint32_t)len); /* captured, and on the wire */
    file_append(f->file, RECORD_HEADER + len);
    from->sequence += (uint32_t)data.len + ((flags & (SYN | FIN)) != 0 ? 1 : 0);
}

/* ---- a flow ---- */

/* An IPv4 address also where it is written as IPv6. The port alone where it is another. */
static void side_from_socket(struct pcap_side *side, const struct sockaddr_storage *sa)
{
    if (sa->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sa;
        memcpy(side->address, &v4->sin_addr, 4);
        side->port = ntohs(v4->sin_port);
    } else if (sa->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
            memcpy(side->address, v6->sin6_addr.s6_addr + 12, 4);
        side->port = ntohs(v6->sin6_port);
    }
}

static void sides_make_up(struct pcap_side *client, struct pcap_side *server, uint32_t number)
{
    (void)put32(client->address, 10u << 24 | (number & 0xffffff));
    (void)put32(server->address, 192u << 24 | 2 << 8 | 1);
    client->port = (uint16_t)(FIRST_MADE_UP + number % (65536 - FIRST_MADE_UP));
    server->port = 443;
    /* A port that is used again begins elsewhere: another connection. */
    client->sequence = number * 0x9e3779b1;
    server->sequence = ~client->sequence;
}

void pcap_flow_begin(struct pcap_flow *f, struct pcap *file, int fd, enum tt_role role)
{
    *f = (struct pcap_flow){.file = file};
    if (file == NULL)
        return;
    enum pcap_end client = role == TT_CLIENT ? PCAP_US : PCAP_PEER;
    enum pcap_end server = role == TT_CLIENT ? PCAP_PEER : PCAP_US;
    sides_make_up(&f->side[client], &f->side[server], ++file->flows);
    struct sockaddr_storage sa[2] = {{0}, {0}};
    socklen_t len = sizeof sa[0], peer_len = sizeof sa[1];
    if (getsockname(fd, (struct sockaddr *)&sa[0], &len) == 0)
        side_from_socket(&f->side[PCAP_US], &sa[0]);
    if (getpeername(fd, (struct sockaddr *)&sa[1], &peer_len) == 0)
        side_from_socket(&f->side[PCAP_PEER], &sa[1]);
    packet_write(f, client, SYN, (struct tt_bytes){NULL, 0});
    packet_write(f, server, SYN | ACK, (struct tt_bytes){NULL, 0});
    packet_write(f, client, ACK, (struct tt_bytes){NULL, 0});
}

void pcap_flow_data(struct pcap_flow *f, enum pcap_end from, struct tt_bytes data)
{
    while (f->file != NULL && data.len > 0) {
        size_t n = data.len < DATA_MAX ? data.len : DATA_MAX;
        packet_write(f, from, PSH | ACK, (struct tt_bytes){data.data, n});
        data = (struct tt_bytes){data.data + n, data.len - n};
    }
}

/* The second FIN gets an answer, which ends the connection (RFC 9293 section 3.6). */
void pcap_flow_end(struct pcap_flow *f, enum pcap_end from)
{
    enum pcap_end other = from == PCAP_US ? PCAP_PEER : PCAP_US;
    if (f->file == NULL || f->side[from].has_ended)
        return;
    f->side[from].has_ended = true;
    packet_write(f, from, FIN | ACK, (struct tt_bytes){NULL, 0});
    if (f->side[other].has_ended)
        packet_write(f, other, ACK, (struct tt_bytes){NULL, 0});
}

void pcap_flow_reset(struct pcap_flow *f)
{
    if (f->file != NULL)
        packet_write(f, PCAP_PEER, RST | ACK, (struct tt_bytes){NULL, 0});
    f->file = NULL;
}
