/* wire/host.h: the name of a host as a person writes it, read in one place. Layer: wire. It looks nothing up.
 *
 * What is dialled, sent as server_name and held against a certificate has to be the same host, so no part of
 * the program looks at such a text by itself: an address is what inet_pton takes (a resolver would read
 * 0177.0.0.1 as 127.0.0.1), a name is made of letters, digits, hyphens and underscores (RFC 1123 section 2.1;
 * underscores are in use), and anything else is refused. */
#ifndef WIRE_HOST_H
#define WIRE_HOST_H

#include "base/rc.h"

#define HOST_NAME_MAX_LEN 253 /* RFC 1035 section 3.1, as text */
#define HOST_ZONE_MAX     16  /* IF_NAMESIZE */

enum host_kind {
    HOST_NAME,
    HOST_IPV4,
    HOST_IPV6
};

struct host {
    enum host_kind kind;
    char
        text[HOST_NAME_MAX_LEN + 1]; /* no dot at the end, no zone: for server_name and for the certificate */
    char zone[HOST_ZONE_MAX];        /* of fe80::1%eth0; or empty */
    uint8_t address[16];             /* HOST_IPV4: four bytes */
};

/* host_parse: TT_ERR_USAGE with a sentence and a hint. */
TT_MUST_USE tt_rc host_parse(struct host *ret, const char *text, struct tt_error *err);

/* host_is_odd_address: is it an address that other programs read as another one (192.168.001.010), or find in
 * no list (2001:DB8::1, which is written 2001:db8::1)? */
bool host_is_odd_address(const char *text);

#endif
