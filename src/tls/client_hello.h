/* tls/client_hello.h: ClientHello as it was received. Layer: tls. */
#ifndef TLS_CLIENT_HELLO_H
#define TLS_CLIENT_HELLO_H

#include "tls/conn.h"

/* struct client_hello: views into the message. */
struct client_hello {
    uint16_t legacy_version;
    struct tt_bytes random, session_id, suites, compression, extensions;
};
/* client_hello_parse: a whole message, header included. TT_ERR_DECODE. */
TT_MUST_USE tt_rc client_hello_parse(struct client_hello *ret, struct tt_bytes message);

/* client_hello_process: what client_hello_recv does with the ClientHello that counts: the inner one of ECH,
 * if it was accepted. */
TT_MUST_USE tt_rc client_hello_process(struct tt_conn *c, struct tt_bytes message);

#endif
