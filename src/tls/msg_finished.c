/* tls/msg_finished.c: Finished, both sides. Layer: tls. RFC 9846 section 4.5.3. */
#include "tls/hs.h"

static tt_rc verify_data(struct tt_conn *c, enum tt_role sender, uint8_t *ret)
{
    uint8_t hash[HASH_MAX_SIZE];
    const struct ks_secret *base = sender == TT_CLIENT ? &c->hs->client_hs : &c->hs->server_hs;
    if (!conn_in_handshake(c)) /* "[sender]_application_traffic_secret_N" (section 4.5) */
        base = sender == c->cfg->role ? &c->write_secret : &c->read_secret;
    TT_TRY(transcript_hash(&c->hs->transcript, hash));
    return ks_finished(c->cfg->lib, c->suite->hash, base->data, hash, ret);
}

tt_rc finished_put(struct tt_conn *c)
{
    uint8_t mac[HASH_MAX_SIZE];
    TT_OWN(c, verify_data(c, c->cfg->role, mac));
    struct hs_message m = hs_begin(c, TT_HS_FINISHED);
    wr_bytes(&m.w, (struct tt_bytes){mac, hash_size(c->suite->hash)});
    return hs_end(c, &m);
}

tt_rc finished_recv(struct tt_conn *c, struct tt_bytes message)
{
    struct tt_bytes received = {message.data + 4, message.len - 4};
    uint8_t expected[HASH_MAX_SIZE];
    enum tt_role sender = c->cfg->role == TT_CLIENT ? TT_SERVER : TT_CLIENT;
    TT_OWN(c, verify_data(c, sender, expected));
    if (received.len != hash_size(c->suite->hash))
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "Finished has the wrong length");
    /* "Recipients of Finished messages MUST verify that the contents are correct and if incorrect MUST
     * terminate the connection with a "decrypt_error" alert." */
    if (!mem_equal_ct(received.data, expected, received.len))
        return conn_refuse(c, TT_ALERT_DECRYPT_ERROR,
                           "Finished is wrong: the two ends saw different handshakes");
    TT_OWN(c, transcript_add(&c->hs->transcript, message));
    /* Who made this Finished knows the PSK: it authenticates both sides (section 2.2). */
    if (c->hs->psk.len > 0 && !c->certificate_with_psk) /* there it is the certificate that does */
        c->hs->peer_auth = PEER_PSK, c->peer_proven = true;
    if (c->state == SERVER_POST_WAIT_FINISHED)
        return post_auth_done(c);
    return c->cfg->role == TT_CLIENT ? client_second_flight(c) : server_connected(c);
}
