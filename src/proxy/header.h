/* proxy/header.h: the header that tells a server who is behind the proxy: PROXY protocol, version 2
 * (proxy-protocol.txt of haproxy). Layer: proxy. Bytes only, no sockets. */
#ifndef PROXY_HEADER_H
#define PROXY_HEADER_H

#include <sys/socket.h>

#include "base/rc.h"

#define HEADER_MAX           (16 + 65535)
#define HEADER_UNIQUE_ID_MAX 128        /* section 2.2.5 */
#define HEADER_TAKEN         (16 + 216) /* more is refused by Apache: findings/apache-proxy-v2-216.sh */

/* The client field of PP2_TYPE_SSL, section 2.2.6. */
enum header_client {
    HEADER_CLIENT_SSL = 0x01,
    HEADER_CLIENT_CERT_CONN = 0x02, /* a certificate was presented in this connection */
    HEADER_CLIENT_CERT_SESS = 0x04  /* or in the one that this session began with */
};

/* struct header: what is known of a client. Texts may be NULL and views empty: then their TLV is left out. */
struct header {
    const struct sockaddr *source, *destination; /* NULL, or of a family without ports and paths: UNSPEC */
    struct tt_bytes alpn, authority, unique_id;
    bool is_tls;
    uint8_t client;  /* HEADER_CLIENT_CERT_*; HEADER_CLIENT_SSL is added */
    uint32_t verify; /* 0 only where a certificate was presented and verified */
    const char *version, *cipher, *sig_alg, *key_alg, *group, *sig_scheme;
    struct tt_bytes cn; /* UTF-8 */
};

/* header_write: the header with its CRC32C. Returns its length, or 0: it has more than cap bytes, or a value
 * that its TLV cannot hold. Nothing is cut off. Where that makes it no longer than HEADER_TAKEN, the
 * signature's scheme, the group, the suite and the certificate's algorithms are left out, as many as it
 * takes. */
TT_MUST_USE size_t header_write(uint8_t *ret, size_t cap, const struct header *h);

/* header_crc32c: RFC 9260 appendix A. */
uint32_t header_crc32c(struct tt_bytes b);

#endif
