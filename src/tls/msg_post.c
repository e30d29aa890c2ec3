/* tls/msg_post.c: the messages after the handshake: KeyUpdate and NewSessionTicket. Layer: tls.
 * RFC 9846 sections 4.7.1 and 4.7.3. */
#include "tls/hs.h"

tt_rc key_update_recv(struct tt_conn *c, struct tt_bytes message)
{
    struct reader r = reader_of(message);
    (void)rd_bytes(&r, 4);
    uint8_t request = rd_u8(&r);
    if (rd_done(&r) != TT_OK)
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "KeyUpdate is malformed");
    /* "If an implementation receives any other value, it MUST terminate the connection with an
     * "illegal_parameter"" */
    if (request > 1)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "KeyUpdate asks for %u", request);
    /* "a KeyUpdate with the old key is received before accepting any messages encrypted with the new key" */
    TT_OWN(c, ks_next_traffic(c->cfg->lib, c->suite->hash, &c->read_secret));
    TT_TRY(conn_set_read_secret(c, &c->read_secret));
    c->key_update_asked = false;
    if (request == 1)
        c->key_update_owed = true;
    return TT_OK;
}

/* "clients [MUST] ignore NewSessionTicket if they do not support resumption": its form is checked all the
 * same. */
tt_rc new_session_ticket_recv(struct tt_conn *c, struct tt_bytes message)
{
    struct reader r = reader_of(message);
    (void)rd_bytes(&r, 4);
    (void)rd_u32(&r);      /* ticket_lifetime */
    (void)rd_u32(&r);      /* ticket_age_add */
    (void)rd_vec8(&r, 0);  /* ticket_nonce */
    (void)rd_vec16(&r, 1); /* ticket */
    struct reader extensions = reader_of(rd_vec16(&r, 0));
    while (rd_left(&extensions) > 0) {
        (void)rd_u16(&extensions);
        (void)rd_vec16(&extensions, 0);
    }
    if (rd_done(&r) != TT_OK || rd_done(&extensions) != TT_OK)
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "NewSessionTicket is malformed");
    return TT_OK;
}
