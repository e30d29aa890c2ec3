/* net/address.h: "HOST:PORT" and "[::1]:PORT" in, readable peers out. Layer: net. */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <sys/socket.h>

#include "base/rc.h"

struct address {
    char host[272]; /* to be dialled: without brackets, with a zone; empty when the text was ":PORT" */
    char name[256]; /* to be sent and checked: host without its zone (wire/host.h) */
    bool is_name;   /* no address */
    char port[32];  /* a number 0 .. 65535 */
};

/* address_parse: TT_ERR_USAGE with a sentence when it is neither form, or the host is none. An IPv6 address
 * needs its brackets; the port may be the name of a service with TLS, such as https. */
TT_MUST_USE tt_rc address_parse(struct address *ret, const char *text, struct tt_error *err);

/* address_set_host: the host alone; the port stays. What is dialled is what is checked: a resolver would read
 * 0177.0.0.1 as 127.0.0.1. TT_ERR_USAGE with a sentence; the empty one is the empty one. */
TT_MUST_USE tt_rc address_set_host(struct address *a, const char *host, struct tt_error *err);

/* address_parse_url: the same, or a URL such as https://HOST[:PORT]/path, of which host and port are taken.
 */
TT_MUST_USE tt_rc address_parse_url(struct address *ret, const char *text, struct tt_error *err);

/* address_format: "127.0.0.1:443" or "[::1]:443" into ret; "a local socket" for anything else. */
#define ADDRESS_TEXT_MAX 72
void address_format(char ret[ADDRESS_TEXT_MAX], const struct sockaddr *sa);

#endif
