/* tls/hs.c: the edge table, and what the messages share. Layer: tls. RFC 9846 appendix A (states), section 4.
 */
#include "tls/ech.h"
#include "tls/hs.h"

#define END CONN_STATE_COUNT

/* clang-format off */
static const struct hs_edge edges[] = {
    {CLIENT_WAIT_SH, TT_HS_SERVER_HELLO, server_hello_recv, {CLIENT_WAIT_EE, CLIENT_WAIT_SH, CLIENT_WAIT_PSK_BINDER, CLIENT_WAIT_PSK_SECRET, END, END}},
    {CLIENT_WAIT_EE, TT_HS_ENCRYPTED_EXTENSIONS, encrypted_extensions_recv, {CLIENT_WAIT_CERT_CR, CLIENT_WAIT_FINISHED, END, END, END, END}},
    {CLIENT_WAIT_CERT_CR, TT_HS_CERTIFICATE_REQUEST, certificate_request_recv, {CLIENT_WAIT_CERT, END, END, END, END, END}},
    {CLIENT_WAIT_CERT_CR, TT_HS_CERTIFICATE, certificate_recv, {CLIENT_WAIT_CV, END, END, END, END, END}},
    {CLIENT_WAIT_CERT_CR, TT_HS_COMPRESSED_CERTIFICATE, compressed_certificate_recv, {CLIENT_WAIT_CV, END, END, END, END, END}},
    {CLIENT_WAIT_CERT, TT_HS_CERTIFICATE, certificate_recv, {CLIENT_WAIT_CV, END, END, END, END, END}},
    {CLIENT_WAIT_CERT, TT_HS_COMPRESSED_CERTIFICATE, compressed_certificate_recv, {CLIENT_WAIT_CV, END, END, END, END, END}},
    {CLIENT_WAIT_CV, TT_HS_CERTIFICATE_VERIFY, certificate_verify_recv, {CLIENT_WAIT_FINISHED, END, END, END, END, END}},
    {CLIENT_WAIT_FINISHED, TT_HS_FINISHED, finished_recv, {CLIENT_CONNECTED, CLIENT_WAIT_SIGN, END, END, END, END}},
    {CLIENT_CONNECTED, TT_HS_NEW_SESSION_TICKET, new_session_ticket_recv, {CLIENT_CONNECTED, END, END, END, END, END}},
    {CLIENT_CONNECTED, TT_HS_KEY_UPDATE, key_update_recv, {CLIENT_CONNECTED, END, END, END, END, END}},
    {CLIENT_CONNECTED, TT_HS_CERTIFICATE_REQUEST, post_auth_request_recv, {CLIENT_CONNECTED, CLIENT_POST_WAIT_SIGN, END, END, END, END}},
    {SERVER_START, TT_HS_CLIENT_HELLO, client_hello_recv, {SERVER_WAIT_SIGN, SERVER_WAIT_CH2, SERVER_WAIT_EOED, SERVER_WAIT_FINISHED, SERVER_WAIT_PSK_BINDER, SERVER_WAIT_ECH}},
    {SERVER_WAIT_CH2, TT_HS_CLIENT_HELLO, client_hello_recv, {SERVER_WAIT_SIGN, SERVER_WAIT_FINISHED, SERVER_WAIT_PSK_BINDER, END, END, END}},
    {SERVER_WAIT_EOED, TT_HS_END_OF_EARLY_DATA, end_of_early_data_recv, {SERVER_WAIT_FINISHED, END, END, END, END, END}},
    {SERVER_WAIT_CERT, TT_HS_CERTIFICATE, certificate_recv, {SERVER_WAIT_CV, SERVER_WAIT_FINISHED, END, END, END, END}},
    {SERVER_WAIT_CERT, TT_HS_COMPRESSED_CERTIFICATE, compressed_certificate_recv, {SERVER_WAIT_CV, SERVER_WAIT_FINISHED, END, END, END, END}},
    {SERVER_WAIT_CV, TT_HS_CERTIFICATE_VERIFY, certificate_verify_recv, {SERVER_WAIT_FINISHED, END, END, END, END, END}},
    {SERVER_WAIT_FINISHED, TT_HS_FINISHED, finished_recv, {SERVER_CONNECTED, END, END, END, END, END}},
    {SERVER_CONNECTED, TT_HS_KEY_UPDATE, key_update_recv, {SERVER_CONNECTED, END, END, END, END, END}},
    {SERVER_CONNECTED, TT_HS_CERTIFICATE, post_auth_certificate_recv, {SERVER_POST_WAIT_CV, SERVER_POST_WAIT_FINISHED, END, END, END, END}},
    {SERVER_CONNECTED, TT_HS_COMPRESSED_CERTIFICATE, post_auth_certificate_recv, {SERVER_POST_WAIT_CV, SERVER_POST_WAIT_FINISHED, END, END, END, END}},
    {SERVER_POST_WAIT_CV, TT_HS_CERTIFICATE_VERIFY, certificate_verify_recv, {SERVER_POST_WAIT_FINISHED, END, END, END, END, END}},
    {SERVER_POST_WAIT_FINISHED, TT_HS_FINISHED, finished_recv, {SERVER_CONNECTED, END, END, END, END, END}},
};
/* clang-format on */

const struct hs_edge *hs_edges(size_t *ret_n)
{
    *ret_n = TT_COUNT(edges);
    return edges;
}

static const struct hs_edge *edge_of(enum conn_state state, uint8_t message)
{
    for (size_t i = 0; i < TT_COUNT(edges); i++)
        if (edges[i].state == state && edges[i].message == message)
            return &edges[i];
    return NULL;
}

static bool edge_leads_to(const struct hs_edge *e, enum conn_state next)
{
    for (size_t i = 0; i < TT_COUNT(e->next); i++)
        if (e->next[i] == next)
            return true;
    return false;
}

/* The answer to a request (a signature, a held PSK) goes on where the state it interrupted could go. */
static bool sign_leads_to(enum conn_state from, enum conn_state next)
{
    return ((from == CLIENT_WAIT_SIGN || from == CLIENT_POST_WAIT_SIGN) && next == CLIENT_CONNECTED) ||
           (from == CLIENT_WAIT_PSK_BINDER && next == CLIENT_WAIT_SH) ||
           (from == CLIENT_WAIT_PSK_SECRET && next == CLIENT_WAIT_EE) ||
           (from == SERVER_WAIT_ECH &&
            (next == SERVER_WAIT_SIGN || next == SERVER_WAIT_CH2 || next == SERVER_WAIT_EOED ||
             next == SERVER_WAIT_FINISHED || next == SERVER_WAIT_PSK_BINDER)) ||
           (from == SERVER_WAIT_PSK_BINDER && next == SERVER_WAIT_PSK_SECRET) ||
           (from == SERVER_WAIT_PSK_SECRET && (next == SERVER_WAIT_FINISHED || next == SERVER_WAIT_SIGN)) ||
           (from == SERVER_WAIT_SIGN && (next == SERVER_WAIT_CERT || next == SERVER_WAIT_FINISHED));
}

tt_rc hs_set_state(struct tt_conn *c, enum conn_state next)
{
    bool allowed = sign_leads_to(c->state, next);
    for (size_t i = 0; !allowed && i < TT_COUNT(edges); i++)
        allowed = edges[i].state == c->state && edge_leads_to(&edges[i], next);
    if (!allowed)
        return conn_broken(c, TT_ERR_INTERNAL);
    c->state = next;
    return TT_OK;
}

const char *conn_state_name(enum conn_state s)
{
    static const char *const names[] = {
        [CLIENT_START] = "CLIENT_START",
        [CLIENT_WAIT_PSK_BINDER] = "CLIENT_WAIT_PSK_BINDER",
        [CLIENT_WAIT_PSK_SECRET] = "CLIENT_WAIT_PSK_SECRET",
        [CLIENT_WAIT_SH] = "CLIENT_WAIT_SH",
        [CLIENT_WAIT_EE] = "CLIENT_WAIT_EE",
        [CLIENT_WAIT_CERT_CR] = "CLIENT_WAIT_CERT_CR",
        [CLIENT_WAIT_CERT] = "CLIENT_WAIT_CERT",
        [CLIENT_WAIT_CV] = "CLIENT_WAIT_CV",
        [CLIENT_WAIT_FINISHED] = "CLIENT_WAIT_FINISHED",
        [CLIENT_WAIT_SIGN] = "CLIENT_WAIT_SIGN",
        [CLIENT_CONNECTED] = "CLIENT_CONNECTED",
        [CLIENT_POST_WAIT_SIGN] = "CLIENT_POST_WAIT_SIGN",
        [SERVER_START] = "SERVER_START",
        [SERVER_WAIT_CH2] = "SERVER_WAIT_CH2",
        [SERVER_WAIT_ECH] = "SERVER_WAIT_ECH",
        [SERVER_WAIT_PSK_BINDER] = "SERVER_WAIT_PSK_BINDER",
        [SERVER_WAIT_PSK_SECRET] = "SERVER_WAIT_PSK_SECRET",
        [SERVER_WAIT_SIGN] = "SERVER_WAIT_SIGN",
        [SERVER_WAIT_EOED] = "SERVER_WAIT_EOED",
        [SERVER_WAIT_CERT] = "SERVER_WAIT_CERT",
        [SERVER_WAIT_CV] = "SERVER_WAIT_CV",
        [SERVER_WAIT_FINISHED] = "SERVER_WAIT_FINISHED",
        [SERVER_CONNECTED] = "SERVER_CONNECTED",
        [SERVER_POST_WAIT_CV] = "SERVER_POST_WAIT_CV",
        [SERVER_POST_WAIT_FINISHED] = "SERVER_POST_WAIT_FINISHED",
    };
    return (size_t)s < TT_COUNT(names) ? names[s] : "?";
}

/* A message with no row is unexpected (section 4: "MUST abort the handshake with an "unexpected_message"
 * alert"). */
tt_rc hs_receive(struct tt_conn *c, struct tt_bytes message)
{
    uint8_t type = message.data[0];
    const struct tt_trace_event event = {.sent = false,
                                         .type = type,
                                         .size = message.len,
                                         .is_hello_retry_request = is_hello_retry_request(message)};
    const struct hs_edge *e = edge_of(c->state, type);
    if (e == NULL) {
        conn_trace(c, &event);
        return conn_refuse(c, TT_ALERT_UNEXPECTED_MESSAGE, "message %s (%u) came in state %s",
                           tt_handshake_type_name(type), type, conn_state_name(c->state));
    }
    if (c->hs != NULL)
        c->hs->peer = (struct peer_hello){0};
    conn_trace(c, &event);
    return e->recv(c, message);
}

tt_rc hs_new(struct hs **ret)
{
    struct hs *hs = mem_alloc(sizeof *hs);
    if (hs == NULL)
        return TT_ERR_MEMORY;
    *ret = hs;
    return TT_OK;
}

void hs_free(struct hs *hs)
{
    if (hs == NULL)
        return;
    transcript_free(&hs->transcript);
    ech_free(hs->ech);
    for (size_t i = 0; i < hs->psks_len; i++) {
        tt_session_free(hs->psks[i]);
        tt_session_free(hs->psks_found[i].psk);
    }
    for (size_t i = 0; i < hs->offers_len; i++)
        kx_offer_free(hs->offers[i]);
    mem_free(hs->response);
    buf_free(&hs->flight);
    buf_free(&hs->cookie);
    buf_free(&hs->hello);
    pubkey_free(hs->peer_key);
    buf_free(&hs->peer_credential);
    tt_credential_free(hs->credential);
    mem_free(hs); /* wipes all secrets as one */
}

struct hs_message hs_begin(struct tt_conn *c, enum tt_handshake_type type)
{
    struct hs_message m = {
        .w = writer_to(&c->hs->flight), .at = buf_size(&c->hs->flight), .type = (uint8_t)type};
    wr_u8(&m.w, (uint8_t)type);
    m.body = wr_open24(&m.w);
    return m;
}

static struct tt_bytes hs_message_bytes(const struct tt_conn *c, const struct hs_message *m)
{
    return (struct tt_bytes){buf_front(&c->hs->flight) + m->at, buf_size(&c->hs->flight) - m->at};
}

tt_rc hs_close(struct tt_conn *c, struct hs_message *m, struct tt_bytes *ret_whole)
{
    wr_close(&m->w, m->body);
    TT_OWN(c, wr_status(&m->w));
    *ret_whole = hs_message_bytes(c, m);
    return TT_OK;
}

tt_rc hs_end(struct tt_conn *c, struct hs_message *m)
{
    struct tt_bytes whole;
    TT_TRY(hs_close(c, m, &whole));
    return hs_commit(c, m);
}

tt_rc hs_commit(struct tt_conn *c, const struct hs_message *m)
{
    struct tt_bytes whole = hs_message_bytes(c, m);
    TT_OWN(c, transcript_add(&c->hs->transcript, whole));
    hs_sent(c, m);
    return TT_OK;
}

void hs_sent(struct tt_conn *c, const struct hs_message *m)
{
    struct tt_bytes whole = hs_message_bytes(c, m);
    const struct tt_trace_event event = {.sent = true,
                                         .type = m->type,
                                         .size = whole.len,
                                         .is_hello_retry_request = is_hello_retry_request(whole)};
    conn_trace(c, &event);
}

/* "implementations MUST send these messages in alignment with a record boundary" (section 5.1): what is
 * flushed ends its record, and the keys change after a flush only. */
tt_rc hs_flush(struct tt_conn *c)
{
    struct buf *flight = &c->hs->flight;
    TT_TRY(conn_send_handshake(c, buf_bytes(flight)));
    buf_consume(flight, buf_size(flight));
    return TT_OK;
}

tt_rc hs_early(struct tt_conn *c, enum hash_id id, const uint8_t *hash)
{
    struct hs *hs = c->hs;
    ks_init(&hs->ks, c->cfg->lib, id);
    TT_TRY(ks_early(&hs->ks, (struct tt_bytes){hs->psk.key, hs->psk.len}));
    if (hash == NULL)
        return TT_OK;
    TT_TRY(ks_derive(&hs->ks, KS_EARLY, "c e traffic", hash, &hs->early_traffic));
    keylog_secret(c, "CLIENT_EARLY_TRAFFIC_SECRET", id, &hs->early_traffic);
    TT_TRY(ks_derive(&hs->ks, KS_EARLY, "e exp master", hash, &c->early_exporter_secret));
    keylog_secret(c, "EARLY_EXPORTER_SECRET", id, &c->early_exporter_secret);
    return TT_OK;
}

tt_rc hs_resumption(struct tt_conn *c)
{
    uint8_t hash[HASH_MAX_SIZE];
    TT_TRY(transcript_hash(&c->hs->transcript, hash)); /* ClientHello...client Finished */
    return ks_derive(&c->hs->ks, KS_MAIN, "res master", hash, &c->resumption_secret);
}

/* Both handshake traffic secrets, from the Handshake Secret and the transcript up to ServerHello. */
static tt_rc handshake_traffic(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    uint8_t hash[HASH_MAX_SIZE];
    TT_TRY(transcript_hash(&hs->transcript, hash)); /* ClientHello...ServerHello */
    TT_TRY(ks_derive(&hs->ks, KS_HANDSHAKE, "c hs traffic", hash, &hs->client_hs));
    TT_TRY(ks_derive(&hs->ks, KS_HANDSHAKE, "s hs traffic", hash, &hs->server_hs));
    keylog_secret(c, "CLIENT_HANDSHAKE_TRAFFIC_SECRET", c->suite->hash, &hs->client_hs);
    keylog_secret(c, "SERVER_HANDSHAKE_TRAFFIC_SECRET", c->suite->hash, &hs->server_hs);
    return TT_OK;
}

tt_rc hs_agree(struct tt_conn *c, struct tt_bytes shared)
{
    struct hs *hs = c->hs;
    TT_TRY(hs_early(c, c->suite->hash, NULL));
    TT_TRY(ks_handshake(&hs->ks, shared));
    return handshake_traffic(c);
}

tt_rc hs_agree_given(struct tt_conn *c, struct tt_bytes handshake_secret)
{
    ks_init(&c->hs->ks, c->cfg->lib, c->suite->hash);
    TT_TRY(ks_handshake_given(&c->hs->ks, handshake_secret));
    return handshake_traffic(c);
}

tt_rc hs_main(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    uint8_t hash[HASH_MAX_SIZE];
    TT_TRY(ks_main(&hs->ks));
    TT_TRY(transcript_hash(&hs->transcript, hash)); /* ClientHello...server Finished */
    TT_TRY(ks_derive(&hs->ks, KS_MAIN, "c ap traffic", hash, &hs->client_ap));
    TT_TRY(ks_derive(&hs->ks, KS_MAIN, "s ap traffic", hash, &hs->server_ap));
    TT_TRY(ks_derive(&hs->ks, KS_MAIN, "exp master", hash, &c->exporter_secret));
    keylog_secret(c, "CLIENT_TRAFFIC_SECRET_0", c->suite->hash, &hs->client_ap);
    keylog_secret(c, "SERVER_TRAFFIC_SECRET_0", c->suite->hash, &hs->server_ap);
    keylog_secret(c, "EXPORTER_SECRET", c->suite->hash, &c->exporter_secret);
    return TT_OK;
}

tt_rc hs_connected(struct tt_conn *c, enum conn_state state)
{
    /* The value that only the verifier makes. A server that asked for no certificate has nothing to prove. */
    bool proven =
        c->hs->peer_auth == PEER_CERTIFICATE || c->hs->peer_auth == PEER_PSK ||
        (c->cfg->role == TT_SERVER && (c->hs->peer_auth == PEER_ANONYMOUS || !c->hs->certificate_requested));
    if (!proven)
        return conn_broken(c, TT_ERR_INTERNAL);
    TT_TRY(hs_set_state(c, state));
    c->quiet_records = 0;
    /* "servers which are authenticating with an external PSK MUST NOT send the CertificateRequest message in
     * the main handshake or request post-handshake authentication" (section 4.4.2) */
    bool external = c->hs->psk.external && !c->certificate_with_psk;
    bool post_auth =
        c->cfg->post_handshake_auth && !external && (c->cfg->role == TT_CLIENT || c->peer_post_auth);
    if (post_auth) { /* its handshake context goes on from here (section 4.5) */
        c->post_hash = c->hs->transcript.hash;
        c->hs->transcript.hash = NULL;
    }
    hs_free(c->hs);
    c->hs = NULL;
    return TT_OK;
}

tt_rc hs_ask_signature(struct tt_conn *c, enum conn_state wait_state)
{
    struct hs *hs = c->hs;
    struct sign_state *s = &hs->sign;
    /* So that the peer works on what is ready while the signer does. After the handshake the messages must
     * stay together (section 4.7.2): they go out as one. */
    if (wait_state != CLIENT_POST_WAIT_SIGN)
        TT_TRY(hs_flush(c));
    TT_OWN(c, certificate_verify_content(c, c->cfg->role, s->content, &s->content_len));
    s->scheme = hs->scheme;
    enum hash_id hash = scheme_hash(s->scheme);
    s->digest_len = hash_size(hash);
    if (hash != HASH_NONE)
        TT_OWN(c, hash_digest(c->cfg->lib, hash, (struct tt_bytes){s->content, s->content_len}, s->digest));
    s->id = atomic_fetch_add_explicit(&c->cfg->next_sign_id, 1, memory_order_relaxed);
    s->open = true;
    return hs_set_state(c, wait_state);
}

bool hs_awaits_answer(const struct tt_conn *c)
{
    return c->hs != NULL &&
           (c->hs->sign.open || c->hs->pull.open || (c->hs->ech != NULL && c->hs->ech->pull_open));
}

bool list_has(struct tt_bytes list, uint16_t v)
{
    for (size_t i = 0; i + 1 < list.len; i += 2)
        if ((list.data[i] << 8 | list.data[i + 1]) == v)
            return true;
    return false;
}
