/* tests/tls/trace.c: see trace.h. */
#include "tls/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static struct tt_bytes record_value(unsigned section, const char *actor, const char *content, size_t nth,
                                    const char *value)
{
    char title[64];
    (void)snprintf(title, sizeof title, "send %s record", content);
    return rfc8448_find((struct rfc8448_query){section, actor, title, nth, value});
}

struct tt_bytes trace_record(unsigned section, const char *actor, const char *content, size_t nth)
{
    return record_value(section, actor, content, nth, "complete record");
}

struct tt_bytes trace_payload(unsigned section, const char *actor, const char *content, size_t nth)
{
    return record_value(section, actor, content, nth, "payload");
}

struct tt_bytes trace_message(unsigned section, const char *actor, const char *name, size_t nth)
{
    char title[64];
    (void)snprintf(title, sizeof title, "construct a%s %s handshake message", name[0] == 'E' ? "n" : "",
                   name);
    return rfc8448_find((struct rfc8448_query){section, actor, title, nth, name});
}

struct tt_bytes trace_secret(unsigned section, const char *label)
{
    char title[64];
    (void)snprintf(title, sizeof title, "derive secret \"tls13 %s\"", label);
    return rfc8448_find((struct rfc8448_query){section, NULL, title, 0, "expanded"});
}

struct tt_bytes trace_key(unsigned section, const char *actor, const char *group, const char *which)
{
    char title[64];
    (void)snprintf(title, sizeof title, "create an ephemeral %s key pair", group);
    return rfc8448_find((struct rfc8448_query){section, actor, title, 0, which});
}

struct tt_bytes trace_server_hello_ext(struct tt_bytes hello, uint16_t type)
{
    struct reader r = reader_of(hello);
    (void)rd_bytes(&r, 4 + 2 + HS_RANDOM_SIZE);
    (void)rd_vec8(&r, 0);
    (void)rd_bytes(&r, 3);
    struct reader extensions = reader_of(rd_vec16(&r, 0));
    while (rd_left(&extensions) > 0) {
        uint16_t t = rd_u16(&extensions);
        struct tt_bytes data = rd_vec16(&extensions, 0);
        if (t == type)
            return data;
    }
    return (struct tt_bytes){NULL, 0};
}

bool trace_random_fn(void *arg, uint8_t *buf, size_t n)
{
    struct trace_random *q = arg;
    memset(buf, 0, n);
    if (q->next == q->n)
        return true;
    struct tt_bytes item = q->items[q->next++];
    assert_int_equal(item.len, n);
    memcpy(buf, item.data, n);
    return true;
}

void trace_replay(struct tt_conn *c, const struct tt_bytes *messages, size_t n, bool retry)
{
    struct transcript *t = &c->hs->transcript;
    transcript_free(t);
    for (size_t i = 0; i < n; i++) {
        if (i == 1) {
            assert_int_equal(transcript_choose(t, c->cfg->lib, HASH_SHA256), TT_OK);
            if (retry)
                assert_int_equal(transcript_retry(t), TT_OK);
        }
        assert_int_equal(transcript_add(t, messages[i]), TT_OK);
    }
}

void trace_feed(struct tt_conn *c, struct tt_bytes record)
{
    size_t n = 0;
    if (tt_conn_feed(c, record.data, record.len, &n) != TT_OK)
        fail_msg("a record of the trace is refused: %s (%s)", tt_conn_error(c)->error.text,
                 tt_alert_name(tt_conn_error(c)->alert_sent));
    assert_int_equal(n, record.len);
}

void trace_drop_output(struct tt_conn *c)
{
    tt_conn_output_done(c, tt_conn_output(c).len);
}

void trace_expect(const char *what, struct tt_bytes expected, const uint8_t *got, size_t len)
{
    if (len != expected.len || memcmp(expected.data, got, len) != 0)
        fail_msg("%s: %zu bytes differ from the trace's %zu", what, len, expected.len);
}

void trace_expect_output(struct tt_conn *c, const char *what, struct tt_bytes expected)
{
    struct tt_bytes out = tt_conn_output(c);
    trace_expect(what, expected, out.data, out.len);
    tt_conn_output_done(c, out.len);
}
