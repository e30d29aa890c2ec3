/* net/pcap.h: what connections send and receive, as a file for Wireshark. Layer: net. The bytes are those of
 * the sockets: TLS records, so that reading them takes the key log, too. What the kernel keeps to itself is
 * made up: the headers of IPv4 and TCP, so that there is a flow to put together, and no capture to be root
 * for. */
#ifndef NET_PCAP_H
#define NET_PCAP_H

#include "base/rc.h"
#include "tpmtls/tls.h"

struct pcap;

/* pcap_create: a new file, mode 0600. TT_ERR_EXISTS where the name is taken. */
TT_MUST_USE tt_rc pcap_create(struct pcap **ret, const char *path, struct tt_error *err);
/* pcap_close: after the flows in it. What could not be written is told here, as TT_ERR_IO; the file then ends
 * with the last whole packet before. NULL is fine. */
tt_rc pcap_close(struct pcap *p, struct tt_error *err);

/* enum pcap_end: one end of a flow. */
enum pcap_end {
    PCAP_US,
    PCAP_PEER
};

/* struct pcap_flow: one connection. Zero-initialised, or begun without a file, it records nothing. */
struct pcap_flow {
    struct pcap *file; /* must outlive the flow */
    struct pcap_side {
        uint8_t address[4];
        uint16_t port;
        uint32_t sequence; /* of the next byte */
        bool has_ended;
    } side[2]; /* by enum pcap_end */
};

/* pcap_flow_begin: fd is connected, and role is ours: the client's SYN comes first. The ports are the
 * socket's and so are IPv4 addresses; for others 192.0.2.1 is the server, and 10.0.0.0/8 counts the clients.
 */
void pcap_flow_begin(struct pcap_flow *f, struct pcap *file, int fd, enum tt_role role);
void pcap_flow_data(struct pcap_flow *f, enum pcap_end from, struct tt_bytes data);
/* pcap_flow_end: FIN; only the first of an end counts. */
void pcap_flow_end(struct pcap_flow *f, enum pcap_end from);
/* pcap_flow_reset: RST of the peer; nothing follows. */
void pcap_flow_reset(struct pcap_flow *f);

#endif
