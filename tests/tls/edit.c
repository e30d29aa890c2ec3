/* tests/tls/edit.c: see edit.h. */
#include "tls/edit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "support/range.h"

static size_t get16(const uint8_t *at)
{
    return (size_t)at[0] << 8 | at[1];
}

static void put16(uint8_t *at, size_t v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

static void put_header_length(struct msg *m)
{
    size_t body = m->len - 4;
    m->data[1] = (uint8_t)(body >> 16);
    put16(m->data + 2, body & 0xffff);
}

void msg_set(struct msg *m, struct tt_bytes whole)
{
    assert_between(whole.len, 4, sizeof m->data);
    memcpy(m->data, whole.data, whole.len);
    m->len = whole.len;
}

void msg_splice(struct msg *m, size_t at, size_t remove, struct tt_bytes insert)
{
    assert_true(at <= m->len);
    if (remove == EDIT_TO_END)
        remove = m->len - at;
    assert_true(at + remove <= m->len && m->len - remove + insert.len <= sizeof m->data);
    memmove(m->data + at + insert.len, m->data + at + remove, m->len - at - remove);
    if (insert.len > 0)
        memcpy(m->data + at, insert.data, insert.len);
    m->len = m->len - remove + insert.len;
    put_header_length(m);
}

size_t msg_ext_block(const struct msg *m)
{
    const uint8_t *d = m->data;
    size_t at = 38;
    switch (d[0]) {
    case TT_HS_CLIENT_HELLO:
        at += 1 + (size_t)d[at];
        at += 2 + get16(d + at);
        return at + 1 + d[at];
    case TT_HS_SERVER_HELLO:
        return at + 1 + d[at] + 3;
    case TT_HS_ENCRYPTED_EXTENSIONS:
        return 4;
    case TT_HS_CERTIFICATE_REQUEST:
        return 5 + (size_t)d[4];
    case TT_HS_CERTIFICATE:
        return 4 + 1 + 3 + 3 + ((size_t)d[8] << 16 | get16(d + 9));
    default:
        fail_msg("message %u has no extensions", d[0]);
        return 0;
    }
}

size_t msg_find_ext(const struct msg *m, uint16_t type)
{
    size_t block = msg_ext_block(m), end = block + 2 + get16(m->data + block);
    for (size_t at = block + 2; at < end; at += 4 + get16(m->data + at + 2))
        if (get16(m->data + at) == type)
            return at;
    return 0;
}

/* Replace bytes within the block; its length follows, and in Certificate that of the list. */
static void splice_block(struct msg *m, size_t at, size_t remove, struct tt_bytes insert)
{
    size_t block = msg_ext_block(m);
    size_t length = get16(m->data + block);
    msg_splice(m, at, remove, insert);
    put16(m->data + block, length - remove + insert.len);
    if (m->data[0] == TT_HS_CERTIFICATE)
        put16(m->data + 6, m->len - 8);
}

static void drop_ext(struct msg *m, uint16_t type)
{
    size_t at = msg_find_ext(m, type);
    assert_int_not_equal(at, 0);
    splice_block(m, at, 4 + get16(m->data + at + 2), (struct tt_bytes){NULL, 0});
}

static void insert_ext(struct msg *m, size_t at, uint16_t type, struct tt_bytes data)
{
    static uint8_t ext[70000];
    put16(ext, type);
    put16(ext + 2, data.len);
    memcpy(ext + 4, data.data, data.len);
    splice_block(m, at, 0, (struct tt_bytes){ext, 4 + data.len});
}

static void put_ext(struct msg *m, enum edit_op op, uint16_t type, struct tt_bytes data)
{
    size_t block = msg_ext_block(m), end = block + 2 + get16(m->data + block);
    size_t at = op == OP_FIRST ? block + 2 : end, old = op == OP_PUT ? msg_find_ext(m, type) : 0;
    if (old != 0) {
        drop_ext(m, type);
        at = old;
    }
    insert_ext(m, at, type, data);
}

size_t hex_bytes(uint8_t *to, size_t cap, const char *hex)
{
    size_t n = 0;
    while (*hex != '\0') {
        if (*hex == ' ') {
            hex++;
            continue;
        }
        assert_true(isxdigit((unsigned char)hex[0]) && isxdigit((unsigned char)hex[1]) && n < cap);
        const char digits[3] = {hex[0], hex[1], '\0'};
        to[n++] = (uint8_t)strtoul(digits, NULL, 16);
        hex += 2;
        if (*hex != '*')
            continue;
        char *end = NULL;
        unsigned long times = strtoul(hex + 1, &end, 10);
        assert_true(times >= 1 && n + times - 1 <= cap);
        memset(to + n, to[n - 1], times - 1);
        n += times - 1;
        hex = end;
    }
    return n;
}

void msg_edit(struct msg *m, const struct edit *e)
{
    static uint8_t bytes[140000];
    struct tt_bytes b = {bytes, hex_bytes(bytes, sizeof bytes, e->hex != NULL ? e->hex : "")};
    switch (e->op) {
    case OP_NONE:
        return;
    case OP_PUT:
    case OP_ADD:
    case OP_FIRST:
        put_ext(m, e->op, (uint16_t)e->at, b);
        return;
    case OP_DROP:
        drop_ext(m, (uint16_t)e->at);
        return;
    case OP_SET:
        msg_splice(m, e->at, b.len, b);
        return;
    case OP_XOR:
        assert_true(e->at < m->len);
        m->data[e->at] ^= 1;
        return;
    case OP_XOR_END:
        assert_true(e->at >= 1 && e->at <= m->len);
        m->data[m->len - e->at] ^= 1;
        return;
    case OP_SPLICE:
        msg_splice(m, e->at, e->remove, b);
        return;
    case OP_APPEND:
        msg_splice(m, m->len, 0, b);
        return;
    case OP_BODY:
        msg_splice(m, 4, EDIT_TO_END, b);
        return;
    }
}

static struct scene scenes[KIND_COUNT];

struct scene *scene_of(enum scene_kind kind)
{
    static const struct scene_options options[KIND_COUNT] = {
        [KIND_ALPN] = {.alpn = true},
        [KIND_COOKIE] = {.force_retry = true},
        [KIND_GROUP] = {.server_group = TT_GROUP_SECP384R1},
        [KIND_GROUP_COOKIE] = {.server_group = TT_GROUP_SECP384R1, .force_retry = true},
        [KIND_P256] = {.client_group = TT_GROUP_SECP256R1, .server_group = TT_GROUP_SECP256R1},
        [KIND_P384] = {.client_group = TT_GROUP_SECP384R1, .server_group = TT_GROUP_SECP384R1},
        [KIND_AUTH] = {.client_auth = TT_CLIENT_AUTH_REQUIRE, .client_identity = true},
        [KIND_ASK] = {.client_auth = TT_CLIENT_AUTH_REQUEST, .client_identity = true},
        [KIND_RSA] = {.client_auth = TT_CLIENT_AUTH_REQUIRE, .client_identity = true, .key_kind = "RSA"},
        [KIND_SHA384] = {.suite = TT_SUITE_AES_256_GCM_SHA384},
        [KIND_NO_COMPAT] = {.no_compat = true},
        [KIND_ONE_SCHEME] = {.client_auth = TT_CLIENT_AUTH_REQUIRE,
                             .client_identity = true,
                             .key_kind = "RSA",
                             .scheme = TT_SCHEME_RSA_PSS_RSAE_SHA256},
        [KIND_RAW] = {.client_auth = TT_CLIENT_AUTH_REQUIRE, .raw_keys = true},
        [KIND_RESUME] = {.resume = true},
        [KIND_RESUME_RETRY] = {.resume = true, .force_retry = true},
        [KIND_EARLY] = {.resume = true, .early_data = true},
    };
    if (scenes[kind].cfg[TT_CLIENT] == NULL)
        scene_configs(&scenes[kind], options[kind]);
    return &scenes[kind];
}

void scenes_free(void)
{
    for (enum scene_kind k = 0; k < KIND_COUNT; k++)
        if (scenes[k].cfg[TT_CLIENT] != NULL) {
            scene_free(&scenes[k]);
            scenes[k] = (struct scene){0};
        }
}

enum tt_role row_role(enum conn_state at)
{
    return at < SERVER_START ? TT_CLIENT : TT_SERVER;
}

tt_rc row_deliver(struct scene *s, enum tt_role to, struct tt_bytes message)
{
    struct buf out = {0};
    for (size_t ahead = 0; message.len > 0; ahead++) {
        size_t part = message.len < REC_MAX_PLAINTEXT ? message.len : REC_MAX_PLAINTEXT;
        scene_seal(s, to, (struct scene_record){CT_HANDSHAKE, {message.data, part}, 0}, ahead, &out);
        message.data += part;
        message.len -= part;
    }
    tt_rc rc = scene_feed(s, to, buf_bytes(&out));
    buf_free(&out);
    return rc;
}

static void row_run(void **state)
{
    static struct msg m;
    const struct row *row = *state;
    struct scene *s = scene_of(row->kind);
    enum tt_role victim = row_role(row->at);
    scene_open(s);
    scene_reach(s, victim, row->at);
    for (unsigned i = 0; i < row->skip; i++) {
        assert_int_equal(scene_deliver(s, victim), TT_OK);
        scene_reach(s, victim, row->at);
    }
    msg_set(&m, scene_next(s, victim));
    buf_consume(&s->inbox[victim], m.len);
    for (size_t i = 0; i < TT_COUNT(row->edits); i++)
        msg_edit(&m, &row->edits[i]);
    (void)!row_deliver(s, victim, (struct tt_bytes){m.data, m.len});
    if (row->alert == TT_ALERT_NONE)
        scene_expect_well(s, victim, row->what);
    else
        scene_expect_alert(s, victim, row->what, row->alert);
}

static int tear_down(void **state)
{
    (void)state;
    scenes_free();
    return 0;
}

int rows_main(const char *group, const struct row_table *tables, size_t n)
{
    size_t total = 0;
    for (size_t t = 0; t < n; t++)
        total += tables[t].n;
    struct CMUnitTest *tests = calloc(total, sizeof *tests);
    if (tests == NULL)
        return 1;
    for (size_t t = 0, at = 0; t < n; t++)
        for (size_t i = 0; i < tables[t].n; i++)
            tests[at++] = (struct CMUnitTest){tables[t].rows[i].what, row_run, NULL, NULL,
                                              (void *)(uintptr_t)&tables[t].rows[i]};
    int failed = _cmocka_run_group_tests(group, tests, total, NULL, tear_down);
    free(tests);
    return failed;
}
