/* net/https_record.h: what the DNS says of a server in its HTTPS record (RFC 9460): the ECHConfigList (RFC
 * 9848), and where the server is. Layer: net. Asks by libc's resolver library. */
#ifndef NET_HTTPS_RECORD_H
#define NET_HTTPS_RECORD_H

#include "base/buf.h"
#include "base/rc.h"

#define HTTPS_NAME_MAX 256

/* struct https_record: free with https_record_free. */
struct https_record {
    struct buf ech;              /* ECHConfigList; empty: there is none */
    char target[HTTPS_NAME_MAX]; /* the host to connect to; "": that of the question */
    uint16_t port;               /* 0: that of the question */
};
void https_record_free(struct https_record *r);

/* struct https_question: server: the address of a name server, an IPv4 address with or without ":PORT"; NULL:
 * those of the system. */
struct https_question {
    const char *host;
    uint16_t port;
    const char *server;
};
/* https_record_look_up: blocks. An empty record when there is none. TT_ERR_IO: nobody could tell. */
TT_MUST_USE tt_rc https_record_look_up(struct https_record *ret, const struct https_question *question,
                                       struct tt_error *err);

/* https_record_parse: of a DNS message: of the records that can be used the one with the lowest SvcPriority,
 * those with ech first. is_alias: its target is to be asked about instead (AliasMode). TT_ERR_DECODE: it is
 * no DNS message; a malformed record is as good as none. */
TT_MUST_USE tt_rc https_record_parse(struct https_record *ret, bool *ret_is_alias, struct tt_bytes message);

#endif
