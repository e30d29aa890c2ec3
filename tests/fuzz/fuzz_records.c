/* tests/fuzz/fuzz_records.c: the record layer of an established connection: records of any type, length and
 * padding, sealed with the right key. Input: bit 0: who receives, bits 6-7: the suite; then records: type,
 * flags, length (16 bits), content. */
#include "engine.h"

#include <string.h>

enum {
    PADDED = 1,      /* 8 bits of padding follow the length */
    WIDE_PADDED = 2, /* 16 bits */
    RAW = 4,         /* the content goes as it is, without protection and header */
    ANSWERED = 16    /* what the receiver has to send goes out */
};

/* A connected end, without the handshake before it. */
static struct tt_conn *connected(enum tt_role role, unsigned options)
{
    struct tt_conn *c = fz_conn(role, options);
    tt_conn_output_done(c, tt_conn_output(c).len);
    c->suite = suite_of(c->cfg->suites.items[0]);
    memset(&c->read_secret, 1, sizeof c->read_secret);
    memset(&c->write_secret, 2, sizeof c->write_secret);
    FUZZ_CHECK(conn_set_read_secret(c, &c->read_secret) == TT_OK);
    FUZZ_CHECK(conn_set_write_secret(c, &c->write_secret) == TT_OK);
    hs_free(c->hs);
    c->hs = NULL;
    c->ccs_allowed = false;
    c->peer_scheme = TT_SCHEME_ECDSA_SECP256R1_SHA256;
    c->peer_chain_len = 1;
    c->state = role == TT_CLIENT ? CLIENT_CONNECTED : SERVER_CONNECTED;
    return c;
}

/* struct sender: the other end: the key it seals with follows the receiver's. */
struct sender {
    struct rec_key key;
    struct ks_secret secret;
};

static void sender_follow(struct sender *s, const struct tt_conn *c)
{
    if (rec_key_is_set(&s->key) && memcmp(&s->secret, &c->read_secret, sizeof s->secret) == 0)
        return;
    s->secret = c->read_secret;
    FUZZ_CHECK(rec_key_set(&s->key, c->cfg->lib, c->suite, &s->secret, true) == TT_OK);
}

/* One record of the input, as it goes over the wire. */
static void put_record(struct sender *s, struct fz_input *in, uint8_t *ret_flags, struct rec_content *content,
                       struct buf *wire)
{
    uint8_t type = fz_u8(in);
    *ret_flags = fz_u8(in);
    size_t len = fz_u16(in);
    size_t padding = (*ret_flags & WIDE_PADDED) != 0 ? fz_u16(in)
                     : (*ret_flags & PADDED) != 0    ? fz_u8(in)
                                                     : 0;
    *content =
        (struct rec_content){.type = (enum content_type)type, .data = fz_bytes(in, len), .padding = padding};
    if ((*ret_flags & RAW) != 0)
        FUZZ_CHECK(buf_append(wire, content->data.data, content->data.len) == TT_OK);
    else
        FUZZ_CHECK(rec_seal(&s->key, content, wire) == TT_OK);
}

/* The record arrived without an error: then what is to be read is exactly what was sent. */
static void check_plaintext(struct tt_conn *c, const struct rec_content *content)
{
    struct tt_bytes plain = tt_conn_plaintext(c);
    size_t want = content->type == CT_APPLICATION_DATA ? content->data.len : 0;
    FUZZ_CHECK(plain.len == want);
    FUZZ_CHECK(want == 0 || memcmp(plain.data, content->data.data, want) == 0);
    FUZZ_CHECK(content->data.len + content->padding <= REC_MAX_PLAINTEXT);
}

static bool deliver(struct tt_conn *c, const struct buf *wire, uint8_t flags,
                    const struct rec_content *content)
{
    size_t used = 0, n = buf_size(wire);
    /* A content type of zero is padding to the receiver, who finds another one before it. */
    bool predictable = (flags & RAW) == 0 && content->type != 0 && buf_size(&c->in) == 0 && !c->read_closed;
    uint8_t *copy = malloc(n);
    FUZZ_CHECK(copy != NULL || n == 0);
    memcpy(copy, buf_front(wire), n);
    tt_rc rc = tt_conn_feed(c, copy, n, &used);
    free(copy);
    fz_check_sane(c);
    if (rc != TT_OK)
        return false;
    if (predictable) {
        FUZZ_CHECK(used == n);
        check_plaintext(c, content);
    }
    FUZZ_CHECK(tt_conn_plaintext_done(c, tt_conn_plaintext(c).len) == TT_OK);
    FUZZ_CHECK(buf_size(&c->out) < 4096);
    if ((flags & ANSWERED) != 0)
        tt_conn_output_done(c, tt_conn_output(c).len);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fz_input in = {data, size};
    fz_begin();
    unsigned first = fz_u8(&in);
    struct tt_conn *c = connected(first & 1 ? TT_CLIENT : TT_SERVER, first & FZ_SUITE(3));
    struct sender s = {0};
    struct buf wire = {0};
    for (bool alive = true; alive && in.left > 0;) {
        uint8_t flags;
        struct rec_content content;
        sender_follow(&s, c);
        put_record(&s, &in, &flags, &content, &wire);
        alive = deliver(c, &wire, flags, &content);
        buf_consume(&wire, buf_size(&wire));
    }
    FUZZ_CHECK(tt_conn_feed_eof(c) == tt_conn_error(c)->error.rc);
    fz_check_sane(c);
    rec_key_wipe(&s.key);
    buf_free(&wire);
    tt_conn_free(c);
    return 0;
}
