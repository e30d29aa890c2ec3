/* tls/client.c: the client's flights, in the order in which they go out. Layer: tls. RFC 9846 appendix A.1.
 */
#include <string.h>

#include "tls/ech.h"
#include "tls/hs.h"

/* "The key_exchange values for each KeyShareEntry MUST be generated independently." (section 4.3.8) */
static tt_rc add_offer(struct tt_conn *c, uint16_t group)
{
    struct hs *hs = c->hs;
    TT_TRY(kx_offer_new(&hs->offers[hs->offers_len], c->cfg->lib, group, c->cfg->random));
    hs->offers_len++;
    return TT_OK;
}

/* CLIENT_START has no edge: it is left by the client's own doing. */
static tt_rc client_go(struct tt_conn *c, enum conn_state next)
{
    if (c->state != CLIENT_START)
        return hs_set_state(c, next);
    c->state = next;
    return TT_OK;
}

static tt_rc client_hello_send(struct tt_conn *c)
{
    TT_TRY(client_hello_put(c));
    return c->hs->pull.open ? client_go(c, CLIENT_WAIT_PSK_BINDER) : client_hello_sent(c);
}

tt_rc client_hello_sent(struct tt_conn *c)
{
    TT_TRY(client_hello_commit(c));
    TT_TRY(hs_flush(c));
    if (!c->hello_retry_request)
        TT_TRY(client_early_start(c));
    c->ccs_allowed = true;
    return client_go(c, CLIENT_WAIT_SH);
}

/* Which shares ClientHello carries: those of the configuration; where the server is known, the most wanted
 * one and the one that it chose before, so that it never has to ask for another. "Each KeyShareEntry value
 * MUST correspond to a group offered in the "supported_groups" extension and MUST appear in the same order."
 * (section 4.3.8) */
static tt_rc add_offers(struct tt_conn *c, uint16_t known)
{
    const struct u16_list *groups = &c->cfg->groups, *shares = &c->cfg->key_shares;
    bool is_known = u16_list_has(groups, known);
    for (size_t i = 0; i < groups->n && c->hs->offers_len < HS_MAX_SHARES; i++) {
        uint16_t group = groups->items[i];
        bool wanted = is_known ? group == known || (shares->n > 0 && group == shares->items[0])
                               : u16_list_has(shares, group);
        if (wanted)
            TT_TRY(add_offer(c, group));
    }
    return TT_OK;
}

tt_rc client_start(struct tt_conn *c, const struct tt_conn_options *opt)
{
    struct hs *hs = c->hs;
    struct {
        uint8_t random[sizeof hs->client_random], session_id[sizeof hs->session_id], grease[GREASE_RANDOM];
    } drawn; /* all that anybody may see, at once: a call costs more than the bytes */
    if (!conn_random(c, (uint8_t *)&drawn, sizeof drawn))
        return conn_broken(c, TT_ERR_INTERNAL);
    memcpy(hs->client_random, drawn.random, sizeof drawn.random);
    /* "In compatibility mode, this field MUST be non-empty, so a client not offering a pre-TLS 1.3 session
     * MUST generate a new 32-byte value."
     * "Otherwise, it MUST be set as a zero-length list" (section 4.2.2) */
    hs->session_id_len = c->cfg->middlebox_compat ? sizeof hs->session_id : 0;
    memcpy(hs->session_id, drawn.session_id, hs->session_id_len);
    grease_choose(c, drawn.grease);
    psk_offer_choose(c, opt);
    if (hs->psks_len > 0 &&
        !c->cfg->browser_hello) /* Erlang's ssl (OTP 25) cannot check a binder over one it does not know */
        hs->grease[GREASE_SCHEME] = 0;
    TT_TRY(ech_client_start(c, opt));
    if (c->cfg->psk_policy != TT_PSK_OPTIONAL && hs->psks_len == 0)
        return conn_fail(c, TT_ERR_USAGE, TT_ALERT_NONE, "a PSK is demanded, and there is none to offer");
    TT_OWN(c,
           add_offers(c, opt->known_group != 0 || hs->psks_len == 0 ? opt->known_group : hs->psks[0]->group));
    return client_hello_send(c);
}

tt_rc client_hello_again(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    TT_TRY(conn_check_boundary(c));
    client_early_retry(c);
    if (hs->retry_group != 0) {
        for (; hs->offers_len > 0; hs->offers_len--)
            kx_offer_free(hs->offers[hs->offers_len - 1]);
        TT_OWN(c, add_offer(c, hs->retry_group));
    }
    TT_TRY(conn_send_ccs(c)); /* appendix E.4: "immediately before its second flight" */
    return client_hello_send(c);
}

tt_rc client_keys(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    struct tt_bytes shared = {hs->shared.data, hs->shared.len};
    if (hs->psk.held) {
        TT_TRY(conn_check_boundary(c)); /* the keys change with the answer; what follows belongs to them */
        TT_TRY(psk_pull_ask(c, hs->psk_session, TT_PSK_HANDSHAKE_SECRET, shared));
        mem_wipe(&hs->shared, sizeof hs->shared);
        return hs_set_state(c, CLIENT_WAIT_PSK_SECRET);
    }
    TT_OWN(c, hs_agree(c, shared));
    mem_wipe(&hs->shared, sizeof hs->shared);
    return client_keys_known(c);
}

tt_rc client_keys_known(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    TT_TRY(conn_set_read_secret(c, &hs->server_hs));
    if (c->early !=
        TT_EARLY_OFFERED) /* else the early key stays until EndOfEarlyData, or until it is refused */
        TT_OWN(c, conn_set_write_secret(c, &hs->client_hs));
    return hs_set_state(c, CLIENT_WAIT_EE);
}

tt_rc client_second_flight(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    TT_OWN(c, hs_main(c));
    c->read_secret = hs->server_ap;
    TT_TRY(conn_set_read_secret(c, &c->read_secret));
    c->ccs_allowed = false; /* "after the peer's Finished message" it is unexpected (section 5) */
    /* "If the server does not send an "early_data" extension in EncryptedExtensions, then the client MUST
     * NOT send an EndOfEarlyData message." (section 4.6) */
    if (c->early == TT_EARLY_ACCEPTED)
        TT_TRY(end_of_early_data_put(c));
    TT_TRY(conn_send_ccs(c));
    if (!hs->certificate_requested)
        return client_finish(c);
    TT_TRY(certificate_put(c));
    if (hs->identity == NULL)
        return client_finish(c);
    return hs_ask_signature(c, CLIENT_WAIT_SIGN);
}

tt_rc client_finish(struct tt_conn *c)
{
    TT_TRY(finished_put(c));
    TT_TRY(hs_flush(c));
    TT_OWN(c, hs_resumption(c));
    c->write_secret = c->hs->client_ap;
    TT_OWN(c, conn_set_write_secret(c, &c->write_secret));
    return c->ech == TT_ECH_REJECTED ? ech_client_refuse(c) : hs_connected(c, CLIENT_CONNECTED);
}
