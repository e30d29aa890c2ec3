/* tests/fuzz/fuzz_messages.c: one handshake message in each state of both roles. A real handshake runs up to
 * that state; there the message that arrives is replaced by the fuzzer's, and things take their course.
 * Input: row of the edge table, client's options, server's options, then a handshake message with its header
 * (the length is put right). Linked with --wrap=hs_receive. */
#include "engine.h"

#include <string.h>

static struct {
    enum conn_state state;
    struct tt_bytes message;
    bool armed, changed;
} plan;

tt_rc __real_hs_receive(struct tt_conn *c, struct tt_bytes message);
tt_rc __wrap_hs_receive(struct tt_conn *c, struct tt_bytes message);

tt_rc __wrap_hs_receive(struct tt_conn *c, struct tt_bytes message)
{
    if (!plan.armed || c->state != plan.state)
        return __real_hs_receive(c, message);
    plan.armed = false;
    plan.changed =
        plan.message.len != message.len || memcmp(plan.message.data, message.data, message.len) != 0;
    return __real_hs_receive(c, plan.message);
}

/* What the peer of a connected end sends, to be replaced. */
static void post_handshake(struct fz_pair *p)
{
    struct tt_conn *sender = plan.state == CLIENT_CONNECTED ? p->server : p->client;
    if (fz_pair_connected(p) && tt_conn_key_update(sender, false) == TT_OK)
        fz_pair_run(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fz_input in = {data, size};
    size_t rows = 0;
    const struct hs_edge *edges = hs_edges(&rows);
    if (size < 5 + 4)
        return 0;
    fz_begin();
    plan.state = edges[fz_u8(&in) % rows].state;
    unsigned client_options = fz_u16(&in);
    unsigned server_options = fz_u16(&in);
    size_t len = in.left < 60000 ? in.left : 60000;
    uint8_t *message = malloc(len);
    FUZZ_CHECK(message != NULL);
    memcpy(message, in.at, len);
    message[1] = 0;
    message[2] = (uint8_t)((len - 4) >> 8);
    message[3] = (uint8_t)(len - 4);
    plan.message = (struct tt_bytes){message, len};
    plan.changed = false;

    struct fz_pair p;
    plan.armed = false;
    fz_pair_new(&p, client_options, server_options);
    plan.armed = true;
    fz_pair_run(&p);
    if (plan.armed)
        post_handshake(&p);
    plan.armed = false;
    bool during_handshake = plan.state != CLIENT_CONNECTED && plan.state != SERVER_CONNECTED;
    /* A message that one end did not send must never go by unseen. */
    FUZZ_CHECK(!fz_pair_connected(&p) || !during_handshake || !plan.changed);
    if (fz_pair_connected(&p) && during_handshake)
        fz_pair_check(&p);
    fz_pair_free(&p);
    free(message);
    return 0;
}
