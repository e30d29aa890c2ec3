/* tls/early_data.c: 0-RTT data and EndOfEarlyData, both sides. Layer: tls. RFC 9846
 * sections 2.3, 4.3.10, 4.6. What arrives here may be a replay: it never mixes with tt_conn_plaintext. */
#include "tls/ext.h"

/* "it MUST supply both the "pre_shared_key" and "early_data" extensions." "The PSK used to encrypt the
 * early data MUST be the first PSK listed" (section 4.3.10). */
tt_rc client_early_start(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    if (!hs->offer_early)
        return TT_OK;
    const struct tt_session *s = hs->psks[0];
    const struct suite *suite = suite_of(s->suite);
    uint8_t hash[HASH_MAX_SIZE];
    TT_OWN(c,
           transcript_hash_with(&hs->transcript, c->cfg->lib, suite->hash, (struct tt_bytes){NULL, 0}, hash));
    hs->psk = s->psk;
    tt_rc rc = hs_early(c, suite->hash, hash);
    mem_wipe(&hs->psk, sizeof hs->psk); /* nothing is chosen yet */
    TT_OWN(c, rc);
    /* Appendix E.4: "If offering early data, the record is placed immediately after the first ClientHello."
     */
    TT_TRY(conn_send_ccs(c));
    TT_OWN(c, rec_key_set(&c->write_key, c->cfg->lib, suite, &hs->early_traffic, true));
    c->early = TT_EARLY_OFFERED;
    c->early_hash = suite->hash;
    c->early_left = s->max_early_data;
    return TT_OK;
}

void client_early_retry(struct tt_conn *c)
{
    if (c->early != TT_EARLY_OFFERED)
        return;
    c->early = TT_EARLY_REJECTED; /* "Early data is not permitted after a HelloRetryRequest." */
    conn_clear_write_key(c);
}

tt_rc client_early_answer(struct tt_conn *c, bool accepted)
{
    struct hs *hs = c->hs;
    if (accepted && c->early != TT_EARLY_OFFERED) /* it came with a ClientHelloInner that was rejected */
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "the server accepted early data of no PSK");
    if (c->early != TT_EARLY_OFFERED)
        return TT_OK;
    /* "If the server supplies an "early_data" extension, the client MUST verify that the server's
     * selected_identity is 0. If any other value is returned, the client MUST abort the handshake with an
     * "illegal_parameter" alert." And the suite and the protocol are those of the PSK (section 4.3.10). */
    const struct tt_session *s = hs->psks[0];
    struct tt_bytes alpn = kept_get(&c->kept, KEPT_ALPN), before = buf_bytes(&s->alpn);
    bool same_alpn =
        alpn.len == before.len && (alpn.len == 0 || mem_equal_ct(alpn.data, before.data, alpn.len));
    if (accepted && (hs->psk.len == 0 || hs->psk_index != 0 || c->suite->id != s->suite || !same_alpn))
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "the server accepted early data that it must not accept");
    c->early = accepted ? TT_EARLY_ACCEPTED : TT_EARLY_REJECTED;
    if (!accepted)
        TT_OWN(c, conn_set_write_secret(c, &hs->client_hs));
    return TT_OK;
}

tt_rc end_of_early_data_put(struct tt_conn *c)
{
    struct hs_message m = hs_begin(c, TT_HS_END_OF_EARLY_DATA);
    TT_TRY(hs_end(c, &m));
    TT_TRY(hs_flush(c));
    TT_OWN(c, conn_set_write_secret(c, &c->hs->client_hs));
    return TT_OK;
}

tt_rc end_of_early_data_recv(struct tt_conn *c, struct tt_bytes message)
{
    if (message.len != 4)
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "EndOfEarlyData is not empty");
    TT_OWN(c, transcript_add(&c->hs->transcript, message));
    TT_TRY(conn_set_read_secret(c, &c->hs->client_hs));
    return hs_set_state(c, SERVER_WAIT_FINISHED);
}

tt_rc tt_conn_write_early(struct tt_conn *c, const uint8_t *data, size_t len, size_t *ret_n)
{
    if (c->status.error.rc != TT_OK)
        return c->status.error.rc;
    if (c->early == TT_EARLY_NONE || c->cfg->role != TT_CLIENT || c->write_closed)
        return TT_ERR_USAGE;
    size_t done = 0;
    bool open = c->hs != NULL && c->early != TT_EARLY_REJECTED && conn_in_handshake(c);
    /* "it is not possible to perform a KeyUpdate for early data; therefore, implementations MUST NOT exceed
     * the limits when sending early data" (section 5.5) */
    const uint64_t limit = open ? suite_of(c->hs->psks[0]->suite)->record_limit : 0;
    while (open && done < len && c->early_left > 0 && c->write_key.seq < limit &&
           buf_size(&c->out) < CONN_MAX_UNSENT) {
        size_t part = len - done < REC_MAX_PLAINTEXT ? len - done : REC_MAX_PLAINTEXT;
        part = part < c->early_left ? part : c->early_left;
        const struct rec_content content = {.type = CT_APPLICATION_DATA, .data = {data + done, part}};
        TT_OWN(c, rec_seal(&c->write_key, &content, &c->out));
        c->early_left -= (uint32_t)part;
        done += part;
    }
    *ret_n = done;
    return TT_OK;
}

enum tt_early tt_conn_early_status(const struct tt_conn *c)
{
    return c->early;
}

struct tt_bytes tt_conn_early_plaintext(const struct tt_conn *c)
{
    return c->plain_is_early ? buf_bytes(&c->plain) : (struct tt_bytes){NULL, 0};
}

tt_rc tt_conn_early_plaintext_done(struct tt_conn *c, size_t n)
{
    if (!c->plain_is_early || n > buf_size(&c->plain))
        return TT_ERR_USAGE;
    buf_consume(&c->plain, n);
    return TT_OK;
}
