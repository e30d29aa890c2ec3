/* tls/ext_psk.c: psk_key_exchange_modes, tls_cert_with_extern_psk, pre_shared_key, early_data. Layer: tls.
 * RFC 9846 sections 4.3.9, 4.3.10, 4.3.11; RFC 8773. */
#include "tls/ext.h"

enum {
    PSK_DHE_KE = 1
};

/* "The server MUST NOT send a "psk_key_exchange_modes" extension." (section 4.3.9): the table has it for
 * ClientHello alone. */
bool psk_modes_wants(const struct tt_conn *c, enum ext_place in)
{
    (void)c;
    (void)in;
    return true; /* also without a PSK to offer: it is what makes the server send tickets (section 4.7.1) */
}

void psk_modes_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    (void)c;
    (void)in;
    wr_u8(w, 1); /* No reserved value beside it (RFC 8701 section 3.1): Mbed TLS 3.6 and Erlang's ssl refuse
                    one. */
    wr_u8(w, PSK_DHE_KE);
}

tt_rc psk_modes_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    (void)in;
    struct tt_bytes modes = rd_vec8(r, 1);
    c->peer_can_resume = false;
    for (size_t i = 0; i < modes.len; i++)
        c->peer_can_resume = c->peer_can_resume || modes.data[i] == PSK_DHE_KE;
    return TT_OK;
}

bool cert_with_psk_wants(const struct tt_conn *c, enum ext_place in)
{
    return in == IN_CH ? c->cfg->psk_policy == TT_PSK_WITH_CERTIFICATE && c->hs->psks_len > 0
                       : c->certificate_with_psk;
}

void cert_with_psk_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    (void)c;
    (void)in;
    (void)w; /* a flag: "case client_hello: Empty; case server_hello: Empty;" */
}

tt_rc cert_with_psk_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    (void)c;
    (void)in;
    (void)r; /* the loop refuses bytes in it */
    return TT_OK;
}

bool pre_shared_key_wants(const struct tt_conn *c, enum ext_place in)
{
    return in == IN_CH ? c->hs->psks_len > 0 : c->hs->psk.len > 0;
}

void pre_shared_key_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    const struct hs *hs = c->hs;
    if (in == IN_SH) {
        wr_u16(w, hs->psk_index);
        return;
    }
    struct wr_mark identities = wr_open16(w);
    for (size_t i = 0; i < hs->psks_len; i++) {
        wr_vec16(w, buf_bytes(&hs->psks[i]->identity));
        wr_u32(w, session_age(hs->psks[i], c->now_ms));
    }
    wr_close(w, identities);
    /* Zeros of the right length: the lengths are part of what the binders cover (section 4.3.11.2). */
    static const uint8_t zeros[HASH_MAX_SIZE];
    struct wr_mark binders = wr_open16(w);
    for (size_t i = 0; i < hs->psks_len; i++)
        wr_vec8(w, (struct tt_bytes){zeros, hash_size(hs->psks[i]->psk.hash)});
    wr_close(w, binders);
}

/* Every identity needs its binder, and nothing may be cut off. */
static tt_rc offered_psks_check(struct tt_conn *c, struct reader *r)
{
    struct reader identities = reader_of(c->hs->peer.psk_identities),
                  binders = reader_of(c->hs->peer.psk_binders);
    size_t n = 0, m = 0;
    for (; rd_left(&identities) > 0; n++) {
        (void)rd_vec16(&identities, 1);
        (void)rd_u32(&identities);
    }
    for (; rd_left(&binders) > 0; m++)
        if (rd_vec8(&binders, 32).len == 0)
            break;
    if (rd_done(&identities) != TT_OK || rd_done(&binders) != TT_OK)
        rd_fail(r);
    else if (n != m)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "pre_shared_key has %zu identities and %zu binders",
                           n, m);
    return TT_OK;
}

tt_rc pre_shared_key_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    if (in == IN_SH) {
        c->hs->peer.selected_psk = rd_u16(r);
        return TT_OK;
    }
    c->hs->peer.psk_identities = rd_vec16(r, 7);
    c->hs->peer.psk_binders = rd_vec16(r, 33);
    return rd_status(r) == TT_OK ? offered_psks_check(c, r) : TT_OK;
}

bool early_data_wants(const struct tt_conn *c, enum ext_place in)
{
    switch (in) {
    case IN_CH: /* "removing the "early_data" extension" from the second ClientHello (section 4.2.2) */
        return c->hs->offer_early && !c->hello_retry_request;
    case IN_EE:
        return c->hs->accept_early;
    default:
        return c->cfg->max_early_data > 0; /* NewSessionTicket */
    }
}

void early_data_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    if (in == IN_NST)
        wr_u32(w, c->cfg->max_early_data);
}

tt_rc early_data_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    if (in == IN_NST)
        c->early_left = rd_u32(r); /* read by new_session_ticket_recv, which clears it */
    return TT_OK;
}
