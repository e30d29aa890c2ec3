/* tls/offload.c: a connection whose records somebody else protects and opens (a kernel). Layer: tls. RFC 9846
 * sections 4.7.3, 5.2, 5.3, 7.3.
 *
 * The engine keeps the traffic secrets and everything that is no data: messages and alerts are handed in as
 * contents of records, and handed out in the same way, so that tickets, KeyUpdates and ends are judged by the
 * same code as ever. In `out` stands then, instead of a record: its type, two bytes of length, its content.
 */
#include "tls/hs.h"

#define ITEM_HEADER 3

tt_rc offload_put(struct tt_conn *c, enum content_type type, struct tt_bytes content)
{
    uint8_t *to = buf_reserve(&c->out, ITEM_HEADER + content.len);
    if (to == NULL)
        return TT_ERR_MEMORY;
    to[0] = (uint8_t)type;
    to[1] = (uint8_t)(content.len >> 8);
    to[2] = (uint8_t)content.len;
    for (size_t i = 0; i < content.len; i++)
        to[ITEM_HEADER + i] = content.data[i];
    buf_commit(&c->out, ITEM_HEADER + content.len);
    return TT_OK;
}

static tt_rc keys_of(const struct tt_conn *c, struct tt_record_keys *ret, const struct ks_secret *secret,
                     const struct rec_key *key)
{
    const struct crypto_lib *lib = c->cfg->lib;
    struct tt_record_keys keys = {
        .suite = c->suite->id, .sequence = key->seq, .record_limit = c->suite->record_limit};
    keys.key_len = aead_key_size(c->suite->aead);
    tt_rc rc = ks_expand_label(lib, c->suite->hash, secret->data, (struct ks_label){"key", {NULL, 0}},
                               keys.key, keys.key_len);
    if (rc == TT_OK)
        rc = ks_expand_label(lib, c->suite->hash, secret->data, (struct ks_label){"iv", {NULL, 0}}, keys.iv,
                             sizeof keys.iv);
    if (rc == TT_OK)
        *ret = keys;
    mem_wipe(&keys, sizeof keys);
    return rc;
}

/* What a kernel does not do: padding, a smaller limit of the peer's or of ours; and what would stop the
 * engine in the middle: a certificate that is asked for later. */
bool tt_conn_can_offload(const struct tt_conn *c)
{
    bool connected = c->state == CLIENT_CONNECTED || c->state == SERVER_CONNECTED;
    return connected && !c->offloaded && c->status.error.rc == TT_OK && !c->read_closed && !c->write_closed &&
           !c->key_update_owed && buf_size(&c->in) == 0 && buf_size(&c->plain) == 0 &&
           buf_size(&c->msg) == 0 && buf_size(&c->out) == 0 && c->cfg->padding < 2 &&
           !c->cfg->post_handshake_auth && c->send_limit == REC_MAX_PLAINTEXT &&
           c->read_limit > REC_MAX_PLAINTEXT;
}

size_t tt_conn_missing(const struct tt_conn *c)
{
    size_t have = buf_size(&c->in);
    const uint8_t *header = buf_bytes(&c->in).data;
    if (have < REC_HEADER_SIZE || header == NULL)
        return have < REC_HEADER_SIZE ? REC_HEADER_SIZE - have : 0;
    size_t total = REC_HEADER_SIZE + ((size_t)header[3] << 8 | header[4]);
    return total > have ? total - have : 0;
}

bool tt_conn_is_between_records(const struct tt_conn *c)
{
    return buf_size(&c->in) == 0;
}

tt_rc tt_conn_record_keys(const struct tt_conn *c, bool sending, struct tt_record_keys *ret)
{
    if (c->status.error.rc != TT_OK || c->suite == NULL || conn_in_handshake(c))
        return TT_ERR_USAGE;
    return keys_of(c, ret, sending ? &c->write_secret : &c->read_secret,
                   sending ? &c->write_key : &c->read_key);
}

tt_rc tt_conn_offload(struct tt_conn *c)
{
    if (!tt_conn_can_offload(c))
        return TT_ERR_USAGE;
    c->offloaded = true;
    c->trace = NULL; /* whoever traced had the records */
    rec_key_rest(&c->read_key);
    rec_key_rest(&c->write_key);
    return TT_OK;
}

tt_rc tt_conn_offload_feed(struct tt_conn *c, unsigned type, struct tt_bytes content, bool after_data)
{
    if (c->status.error.rc != TT_OK)
        return c->status.error.rc;
    if (!c->offloaded || c->read_closed || type == CT_APPLICATION_DATA || type > UINT8_MAX)
        return TT_ERR_USAGE;
    if (after_data)
        c->quiet_records = c->quiet_messages = 0;
    TT_TRY(conn_content_recv(c, (uint8_t)type, content));
    return c->key_update_owed && !c->write_closed ? conn_send_key_update(c, false) : TT_OK;
}

bool tt_conn_offload_output(const struct tt_conn *c, unsigned *ret_type, struct tt_bytes *ret)
{
    struct tt_bytes out = buf_bytes(&c->out);
    if (!c->offloaded || out.len < ITEM_HEADER)
        return false;
    *ret_type = out.data[0];
    *ret = (struct tt_bytes){out.data + ITEM_HEADER, (size_t)out.data[1] << 8 | out.data[2]};
    return true;
}

void tt_conn_offload_output_done(struct tt_conn *c)
{
    unsigned type;
    struct tt_bytes item;
    if (tt_conn_offload_output(c, &type, &item))
        buf_consume(&c->out, ITEM_HEADER + item.len);
}
