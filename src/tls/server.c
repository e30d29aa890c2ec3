/* tls/server.c: the server's flights, in the order in which they go out. Layer: tls. RFC 9846 appendix A.2.
 */
#include "tls/hs.h"

static tt_rc make_cookie(struct tt_conn *c)
{
    uint8_t *cookie = buf_reserve(&c->hs->cookie, 32);
    if (cookie == NULL || !conn_random(c, cookie, 32))
        return conn_broken(c, TT_ERR_MEMORY);
    buf_commit(&c->hs->cookie, 32);
    return TT_OK;
}

/* We keep the handshake's state ourselves, so that a cookie (section 4.3.2) is for the forced retry only,
 * which would change nothing without one. Mbed TLS 3.6 refuses it (findings/mbedtls-retry-cookie.sh). */
tt_rc server_retry(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    TT_TRY(conn_check_boundary(c));
    if (c->cfg->force_retry)
        TT_TRY(make_cookie(c));
    TT_OWN(c, transcript_retry(&hs->transcript));
    TT_TRY(server_hello_put(c, true));
    TT_TRY(hs_flush(c));
    TT_TRY(conn_send_ccs(c));
    c->hello_retry_request = true;
    return hs_set_state(c, SERVER_WAIT_CH2);
}

static tt_rc server_keys(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    struct tt_bytes shared = {hs->response->secret.data, hs->response->secret.len};
    if (hs->psk.held) {
        TT_TRY(conn_check_boundary(c));
        TT_TRY(psk_pull_ask(c, hs->psk_session, TT_PSK_HANDSHAKE_SECRET, shared));
        TT_TRY(hs_set_state(c, SERVER_WAIT_PSK_SECRET));
    } else {
        TT_OWN(c, hs_agree(c, shared));
    }
    mem_free(TT_TAKE(hs->response));
    return hs->psk.held ? TT_OK : server_keys_known(c);
}

tt_rc server_keys_known(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    TT_TRY(conn_set_read_secret(c, hs->accept_early ? &hs->early_traffic : &hs->client_hs));
    TT_OWN(c, conn_set_write_secret(c, &hs->server_hs));
    TT_TRY(encrypted_extensions_put(c));
    if (hs->psk.len > 0 && !c->certificate_with_psk)
        return server_finish(c);
    if (c->cfg->client_auth != TT_CLIENT_AUTH_NONE)
        TT_TRY(certificate_request_put(c));
    TT_TRY(certificate_put(c));
    return hs_ask_signature(c, SERVER_WAIT_SIGN);
}

/* The early secrets depend on ClientHello alone, so they are made before ServerHello is in the transcript. */
static tt_rc server_early_keys(struct tt_conn *c)
{
    uint8_t hash[HASH_MAX_SIZE];
    TT_TRY(transcript_hash(&c->hs->transcript, hash));
    TT_TRY(hs_early(c, c->suite->hash, hash));
    c->early = TT_EARLY_ACCEPTED;
    c->early_hash = c->suite->hash;
    c->early_left = c->cfg->max_early_data;
    return TT_OK;
}

/* "servers MUST process the client's ClientHello and then immediately send their flight of messages"
 * (section 4.3.11.3); "if the client sends a non-empty session ID, the server MUST send the
 * change_cipher_spec" (appendix E.4); "Servers which are authenticating with a resumption PSK MUST NOT
 * send the CertificateRequest message in the main handshake" (section 4.4.2). */
tt_rc server_flight(struct tt_conn *c)
{
    if (c->hs->accept_early)
        TT_OWN(c, server_early_keys(c));
    TT_TRY(server_hello_put(c, false));
    TT_TRY(hs_flush(c));
    /* Appendix E.4: "after its first handshake message. This may either be after a ServerHello or a
     * HelloRetryRequest." */
    TT_TRY(conn_send_ccs(c));
    return server_keys(c);
}

tt_rc server_finish(struct tt_conn *c)
{
    TT_TRY(finished_put(c));
    TT_TRY(hs_flush(c));
    TT_OWN(c, hs_main(c));
    c->write_secret = c->hs->server_ap;
    TT_OWN(c, conn_set_write_secret(c, &c->write_secret));
    return hs_set_state(c, c->hs->certificate_requested ? SERVER_WAIT_CERT
                           : c->hs->accept_early        ? SERVER_WAIT_EOED
                                                        : SERVER_WAIT_FINISHED);
}

tt_rc server_connected(struct tt_conn *c)
{
    c->read_secret = c->hs->client_ap;
    TT_TRY(conn_set_read_secret(c, &c->read_secret));
    c->ccs_allowed = false;
    TT_OWN(c, hs_resumption(c));
    if (!c->resumed)
        c->auth.authenticated_ms = c->now_ms;
    TT_TRY(hs_connected(c, SERVER_CONNECTED));
    /* A ticket could not stand for both. */
    bool tickets = c->cfg->tickets != NULL && c->peer_takes_tickets && !c->certificate_with_psk;
    for (unsigned i = 0; tickets && i < c->cfg->tickets_count; i++)
        TT_OWN(c, new_session_ticket_put(c));
    return TT_OK;
}
