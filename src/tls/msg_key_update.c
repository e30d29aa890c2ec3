/* tls/msg_key_update.c: KeyUpdate. Layer: tls. RFC 9846 section 4.7.3. */
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
    /* Answered with the next thing that is written: "an implementation which receives multiple KeyUpdates
     * while it is silent to respond with a single update" (section 4.7.3). */
    if (request == 1)
        c->key_update_owed = true;
    return TT_OK;
}
