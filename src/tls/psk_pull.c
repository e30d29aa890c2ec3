/* tls/psk_pull.c: a PSK that somebody else holds (a TPM), by pull. Layer: tls. RFC 9846 sections 4.3.11.2
 * and 7.1. Two requests a handshake, both over values that are fresh in each connection: the hash of a
 * ClientHello with a new random and new shares, and the secret of this connection's key exchange. (With
 * psk_ke the second would be a constant; that mode is never offered.) */
#include <string.h>

#include "tls/hs.h"

tt_rc psk_pull_ask(struct tt_conn *c, const struct tt_session *held, enum tt_psk_operation operation,
                   struct tt_bytes input)
{
    struct psk_pull *p = &c->hs->pull;
    if (p->open || input.len == 0 || input.len > sizeof p->input)
        return conn_broken(c, TT_ERR_INTERNAL);
    memcpy(p->input, input.data, input.len);
    p->input_len = input.len;
    p->operation = operation;
    p->key = held->held_key;
    p->id = atomic_fetch_add_explicit(&c->cfg->next_sign_id, 1, memory_order_relaxed);
    p->open = true;
    return TT_OK;
}

static bool pull_is(const struct tt_conn *c, uint64_t id)
{
    return c->hs != NULL && c->hs->pull.open && c->hs->pull.id == id;
}

tt_rc tt_conn_psk_request(const struct tt_conn *c, struct tt_psk_request *ret)
{
    if (c->hs == NULL || !c->hs->pull.open)
        return TT_ERR_USAGE;
    const struct psk_pull *p = &c->hs->pull;
    *ret = (struct tt_psk_request){
        .id = p->id, .operation = p->operation, .key = p->key, .input = {p->input, p->input_len}};
    return TT_OK;
}

static tt_rc pull_answered(struct tt_conn *c, struct tt_bytes output)
{
    if (c->state == CLIENT_WAIT_PSK_BINDER)
        return psk_offer_binder_answered(c, output);
    if (c->state == SERVER_WAIT_PSK_BINDER)
        return psk_accept_answered(c, output);
    TT_OWN(c, hs_agree_given(c, output));
    return c->cfg->role == TT_CLIENT ? client_keys_known(c) : server_keys_known(c);
}

tt_rc tt_conn_psk_complete(struct tt_conn *c, uint64_t id, struct tt_bytes output)
{
    if (!pull_is(c, id))
        return TT_ERR_USAGE;
    c->hs->pull.open = false;
    mem_wipe(c->hs->pull.input, sizeof c->hs->pull.input);
    if (output.len != hash_size(HASH_SHA256))
        return conn_broken(c, TT_ERR_USAGE);
    TT_TRY(pull_answered(c, output));
    return conn_process_messages(c);
}

tt_rc tt_conn_psk_fail(struct tt_conn *c, uint64_t id, const struct tt_error *why)
{
    if (!pull_is(c, id))
        return TT_ERR_USAGE;
    return conn_fail_asked(c, why, "the holder of the PSK did not answer");
}
