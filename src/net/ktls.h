/* net/ktls.h: records protected by the kernel: Linux, Documentation/networking/tls.rst. Layer: net. Knows no
 * connection and no loop. */
#ifndef NET_KTLS_H
#define NET_KTLS_H

#include "tpmtls/tls.h"

/* enum ktls_support: what this machine's kernel does. One that takes no new keys (before 6.14) could not
 * follow a peer's KeyUpdate, and nothing brings a socket back: it is of no use here. */
enum ktls_support {
    KTLS_UNKNOWN,
    KTLS_NONE,     /* no TLS in the kernel */
    KTLS_NO_REKEY, /* keys cannot be changed */
    KTLS_FULL
};
/* ktls_probe: tried on two sockets of its own. ktls_support_text: for a person. */
enum ktls_support ktls_probe(void);
const char *ktls_support_text(enum ktls_support s);

/* ktls_begin: a connected TCP socket that nobody has read beyond the last record of; both keys. *ret_lost: it
 * failed half-way, and the socket is of no use any more; else it is as it was. */
TT_MUST_USE tt_rc ktls_begin(int fd, const struct tt_record_keys *reading,
                             const struct tt_record_keys *sending, bool *ret_lost, struct tt_error *err);
/* ktls_rekey: the next keys of one direction. */
TT_MUST_USE tt_rc ktls_rekey(int fd, bool sending, const struct tt_record_keys *keys, struct tt_error *err);

/* ktls_send: a record of a type other than application data. Returns 0 or an errno (EAGAIN: not now). */
int ktls_send(int fd, unsigned type, struct tt_bytes content);
/* ktls_receive: what the next record has, which is not application data (23 where it is). 0 with *ret_len 0:
 * the end of the TCP connection. Returns 0 or an errno. */
int ktls_receive(int fd, unsigned *ret_type, uint8_t *ret, size_t cap, size_t *ret_len);

#endif
