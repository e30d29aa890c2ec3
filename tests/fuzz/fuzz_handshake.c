/* tests/fuzz/fuzz_handshake.c: our client against our server, with one plaintext record of the handshake
 * changed before it is protected, so that the change stands under valid encryption. Either both ends are
 * connected and agree on everything, or at least one of them failed; a change that matters never goes by
 * unseen, one that does not matter (fragmentation, padding) never breaks anything. Input: client's options,
 * server's options, who sends, which record, what is done to it, where (16 bits), how many bytes are removed
 * there, and the bytes that are put there. Linked with --wrap=rec_seal. */
#include "engine.h"

#include <string.h>

enum change {
    REPLACE,   /* remove some bytes, insert others */
    XOR,       /* flip bits */
    DUPLICATE, /* the whole record once more */
    DROP,      /* not sent at all */
    RETYPE,    /* another content type */
    SPLIT,     /* in two records: must not matter */
    PAD,       /* padding behind it: must not matter */
    CHANGE_COUNT
};

static struct {
    enum tt_role sender;
    unsigned record;
    enum change change;
    size_t at, remove;
    struct tt_bytes bytes;
    /* how it went */
    const struct rec_key *client_key; /* the first that seals anything is the client's */
    unsigned seen;
    bool active, changed;
    bool again; /* the client was asked for a certificate after the handshake */
} plan;

tt_rc __real_rec_seal(struct rec_key *k, const struct rec_content *content, struct buf *out);
tt_rc __wrap_rec_seal(struct rec_key *k, const struct rec_content *content, struct buf *out);

static tt_rc seal_replaced(struct rec_key *k, struct rec_content content, struct buf *out)
{
    size_t len = content.data.len;
    size_t at = plan.at % (len + 1), remove = plan.remove < len - at ? plan.remove : len - at;
    size_t total = len - remove + plan.bytes.len;
    if (total > REC_MAX_PLAINTEXT)
        return __real_rec_seal(k, &content, out);
    uint8_t *data = malloc(total + 1);
    FUZZ_CHECK(data != NULL);
    memcpy(data, content.data.data, at);
    memcpy(data + at, plan.bytes.data, plan.bytes.len);
    memcpy(data + at + plan.bytes.len, content.data.data + at + remove, len - at - remove);
    plan.changed = total != len || memcmp(data, content.data.data, len) != 0;
    content.data = (struct tt_bytes){data, total};
    tt_rc rc = __real_rec_seal(k, &content, out);
    free(data);
    return rc;
}

static tt_rc seal_flipped(struct rec_key *k, struct rec_content content, struct buf *out)
{
    uint8_t data[REC_MAX_PLAINTEXT];
    memcpy(data, content.data.data, content.data.len);
    for (size_t i = 0; i < plan.bytes.len && content.data.len > 0; i++)
        data[(plan.at + i) % content.data.len] ^= plan.bytes.data[i];
    plan.changed = memcmp(data, content.data.data, content.data.len) != 0;
    content.data.data = data;
    return __real_rec_seal(k, &content, out);
}

static tt_rc seal_split(struct rec_key *k, struct rec_content content, struct buf *out)
{
    struct tt_bytes whole = content.data;
    size_t at = whole.len < 2 ? 0 : 1 + plan.at % (whole.len - 1);
    if (at == 0)
        return __real_rec_seal(k, &content, out);
    content.data = (struct tt_bytes){whole.data, at};
    TT_TRY(__real_rec_seal(k, &content, out));
    content.data = (struct tt_bytes){whole.data + at, whole.len - at};
    return __real_rec_seal(k, &content, out);
}

static tt_rc seal_changed(struct rec_key *k, struct rec_content content, struct buf *out)
{
    switch (plan.change) {
    case REPLACE:
        return seal_replaced(k, content, out);
    case XOR:
        return seal_flipped(k, content, out);
    case DUPLICATE:
        plan.changed = true;
        TT_TRY(__real_rec_seal(k, &content, out));
        return __real_rec_seal(k, &content, out);
    case DROP:
        plan.changed = true;
        return TT_OK;
    case RETYPE:
        plan.changed = (plan.remove & 0xff) != content.type;
        content.type = (enum content_type)(plan.remove & 0xff);
        return __real_rec_seal(k, &content, out);
    case SPLIT:
        return seal_split(k, content, out);
    case PAD:
        content.padding =
            !rec_key_is_set(k) ? 0 : (plan.at | plan.remove << 8) % (REC_MAX_PLAINTEXT - content.data.len);
        return __real_rec_seal(k, &content, out);
    default:
        return __real_rec_seal(k, &content, out);
    }
}

tt_rc __wrap_rec_seal(struct rec_key *k, const struct rec_content *content, struct buf *out)
{
    if (plan.client_key == NULL)
        plan.client_key = k;
    bool from_client = k == plan.client_key;
    /* NewSessionTicket is no part of the handshake: a change there is nobody's business but the client's. */
    const struct tt_conn *c =
        (const struct tt_conn *)(const void *)((const char *)k - offsetof(struct tt_conn, write_key));
    bool handshake = content->type == CT_HANDSHAKE && (!tt_conn_is_connected(c) || c->hs != NULL);
    bool ours = plan.active && handshake && from_client == (plan.sender == TT_CLIENT);
    if (!ours || plan.seen++ != plan.record)
        return __real_rec_seal(k, content, out);
    return seal_changed(k, *content, out);
}

/* The server asks for a certificate once more: an answer that does not come is a failure. */
static bool authenticate_again(struct fz_pair *p)
{
    plan.again = tt_conn_request_certificate(p->server) == TT_OK;
    fz_pair_run(p);
    return fz_pair_connected(p) && !tt_conn_certificate_requested(p->server);
}

/* Both ends, with the plan in force. */
static bool run(unsigned client_options, unsigned server_options)
{
    struct fz_pair p;
    plan.active = true;
    plan.again = false;
    fz_pair_new(&p, client_options, server_options);
    fz_pair_run(&p);
    bool connected = fz_pair_connected(&p);
    if (connected && (server_options & FZ_POST) != 0)
        connected = authenticate_again(&p);
    plan.active = false;
    if (connected)
        fz_pair_check(&p);
    fz_pair_free(&p);
    return connected;
}

static void plan_read(struct fz_input *in)
{
    plan.sender = fz_u8(in) & 1 ? TT_SERVER : TT_CLIENT;
    plan.record = fz_u8(in) & 7;
    plan.change = (enum change)(fz_u8(in) % CHANGE_COUNT);
    plan.at = fz_u16(in);
    plan.remove = fz_u8(in);
    plan.bytes = fz_bytes(in, in->left);
    plan.client_key = NULL;
    plan.seen = 0;
    plan.changed = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fz_input in = {data, size};
    fz_begin();
    unsigned client_options = fz_u16(&in);
    unsigned server_options = fz_u16(&in);
    plan.active = false;
    fz_prepare(TT_CLIENT, client_options);
    fz_prepare(TT_SERVER, server_options);
    plan_read(&in);
    if (plan.change == PAD && ((client_options | server_options) & FZ_FEATURES) != 0)
        plan.change = SPLIT; /* padding over the receiver's record_size_limit does matter */
    bool connected = run(client_options, server_options);
    /* After the handshake another whole message, a ticket say, may stand beside the one that is changed. */
    FUZZ_CHECK(!plan.changed || !connected || (plan.again && plan.change == REPLACE));
    if (!plan.changed && plan.change >= SPLIT) {
        plan.change = CHANGE_COUNT; /* the same, left alone */
        plan.client_key = NULL;
        plan.seen = 0;
        fz_begin();
        FUZZ_CHECK(run(client_options, server_options) == connected);
    }
    return 0;
}
