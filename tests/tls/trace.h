/* tests/tls/trace.h: a trace of RFC 8448 as the engine's tests see it. Tests only. */
#ifndef TESTS_TRACE_H
#define TESTS_TRACE_H

#include "tls/hs.h"
#include "vectors/rfc8448.h"

/* trace_record: the nth "send ... record" of that end with this content ("handshake", "application_data",
 * "alert", "change_cipher_spec"): the whole record. trace_payload: what is in it. */
struct tt_bytes trace_record(unsigned section, const char *actor, const char *content, size_t nth);
struct tt_bytes trace_payload(unsigned section, const char *actor, const char *content, size_t nth);
/* trace_message: the nth message of that name that the end constructs, e.g. "ServerHello". */
struct tt_bytes trace_message(unsigned section, const char *actor, const char *name, size_t nth);
/* trace_secret: e.g. "c hs traffic". */
struct tt_bytes trace_secret(unsigned section, const char *label);
/* trace_key: the private or public key of an end's pair for that group ("x25519", "P-256"). */
struct tt_bytes trace_key(unsigned section, const char *actor, const char *group, const char *which);
/* trace_ext: the data of an extension of a ServerHello, or empty. */
struct tt_bytes trace_server_hello_ext(struct tt_bytes hello, uint16_t type);

/* struct trace_random: hands out what it was given, in order; afterwards zeros. */
struct trace_random {
    struct tt_bytes items[8];
    size_t n, next;
};
bool trace_random_fn(void *arg, uint8_t *buf, size_t n);

/* trace_replay: the transcript is what the trace says: messages[0 .. n); with `retry`, messages[0] is the
 * ClientHello that message_hash stands for. */
void trace_replay(struct tt_conn *c, const struct tt_bytes *messages, size_t n, bool retry);

void trace_feed(struct tt_conn *c, struct tt_bytes record);
void trace_drop_output(struct tt_conn *c);
/* trace_expect_output: all that is to be sent is these bytes; they are then done. */
void trace_expect_output(struct tt_conn *c, const char *what, struct tt_bytes expected);
void trace_expect(const char *what, struct tt_bytes expected, const uint8_t *got, size_t len);

#endif
