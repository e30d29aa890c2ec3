/* tls/msg_certificate.c: Certificate and CompressedCertificate, both sides. Layer: tls.
 * RFC 9846 section 4.5.1, RFC 8879. */
#include "crypto/compress.h"
#include "tls/ext.h"

/* The Certificate structure without the message's header. */
static void certificate_body(struct tt_conn *c, struct writer *w)
{
    const struct identity *id = c->hs->identity;
    wr_vec8(w, (struct tt_bytes){c->hs->context, c->hs->context_len}); /* certificate_request_context */
    struct wr_mark list = wr_open24(w);
    bool raw = c->own_type == TT_CERTIFICATE_RAW_PUBLIC_KEY;
    size_t n = id == NULL ? 0 : raw ? 1 : id->chain_len;
    for (size_t i = 0; i < n; i++) {
        c->hs->entry = i;
        wr_vec24(w, raw ? id->raw_public_key : id->chain[i]);
        ext_build_block(c, IN_CT, w);
    }
    wr_close(w, list);
}

/* By the application's algorithm, or by one of ours. */
static tt_rc pack(const struct tt_config *cfg, uint16_t algorithm, struct tt_bytes plain, struct buf *out)
{
    const struct tt_compressor *own = config_compressor(cfg, algorithm);
    if (own == NULL)
        return compress_bytes(algorithm, plain, out);
    size_t cap = plain.len + plain.len / 2 + 1024, len = 0;
    uint8_t *to = buf_reserve(out, cap);
    if (to == NULL)
        return TT_ERR_MEMORY;
    if (!own->compress(own->arg, plain, to, &len) || len == 0 || len > cap)
        return TT_ERR_INTERNAL;
    buf_commit(out, len);
    return TT_OK;
}

static tt_rc unpack(const struct tt_config *cfg, uint16_t algorithm, struct tt_bytes packed, uint8_t *ret,
                    size_t len)
{
    const struct tt_compressor *own = config_compressor(cfg, algorithm);
    if (own == NULL)
        return decompress_bytes(algorithm, packed, ret, len);
    return own->decompress(own->arg, packed, ret, len) ? TT_OK : TT_ERR_DECODE;
}

/* RFC 8879 section 4. An identity that does not shrink is still sent compressed: the peer asked for it. */
static tt_rc compressed_certificate_put(struct tt_conn *c)
{
    struct buf plain = {0};
    struct writer body = writer_to(&plain);
    certificate_body(c, &body);
    struct hs_message m = hs_begin(c, TT_HS_COMPRESSED_CERTIFICATE);
    wr_u16(&m.w, c->hs->compression);
    wr_u24(&m.w, (uint32_t)buf_size(&plain));
    struct wr_mark packed = wr_open24(&m.w);
    tt_rc rc = wr_status(&body);
    if (rc == TT_OK)
        rc = pack(c->cfg, c->hs->compression, buf_bytes(&plain), &c->hs->flight);
    wr_close(&m.w, packed);
    buf_free(&plain);
    TT_OWN(c, rc);
    return hs_end(c, &m);
}

tt_rc certificate_put(struct tt_conn *c)
{
    if (c->hs->compression != 0 && c->hs->identity != NULL)
        return compressed_certificate_put(c);
    struct hs_message m = hs_begin(c, TT_HS_CERTIFICATE);
    certificate_body(c, &m.w);
    return hs_end(c, &m);
}

/* Copy the DER certificates out of the message, checking the extensions of each entry. */
static tt_rc certificate_list_keep(struct tt_conn *c, struct tt_bytes list)
{
    struct reader r = reader_of(list);
    while (rd_left(&r) > 0) {
        struct tt_bytes der = rd_vec24(&r, 1);
        struct tt_bytes extensions = rd_vec16(&r, 0);
        if (rd_status(&r) != TT_OK)
            return conn_refuse(c, TT_ALERT_DECODE_ERROR, "an entry of Certificate is malformed");
        if (c->peer_chain_len == MAX_PEER_CERTIFICATES)
            return conn_refuse(c, TT_ALERT_BAD_CERTIFICATE, "the peer sent more than %d certificates",
                               MAX_PEER_CERTIFICATES);
        c->hs->entry = c->peer_chain_len;
        TT_TRY(ext_parse_block(c, IN_CT, extensions));
        const uint8_t length[] = {(uint8_t)(der.len >> 16), (uint8_t)(der.len >> 8), (uint8_t)der.len};
        TT_OWN(c, kept_add(&c->kept, KEPT_CHAIN, (struct tt_bytes){length, sizeof length}));
        TT_OWN(c, kept_add(&c->kept, KEPT_CHAIN, der));
        c->peer_chain_len++;
    }
    /* "If the RawPublicKey certificate type was negotiated, then the certificate_list MUST contain no more
     * than one CertificateEntry" (section 4.5.1) */
    if (c->peer_type == TT_CERTIFICATE_RAW_PUBLIC_KEY && c->peer_chain_len > 1)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "the peer sent more than one raw public key");
    return TT_OK;
}

/* What the verifier said about the peer. */
static tt_rc certificate_verdict(struct tt_conn *c, tt_rc rc, const struct trust_verdict *verdict,
                                 const struct tt_error *why)
{
    if (rc != TT_OK) {
        error_hint(&c->status.error, "%s", why->hint);
        return conn_fail(c, rc == TT_ERR_DECODE ? TT_ERR_VERIFY : rc, verdict->alert, "%s", why->text);
    }
    pubkey_free(c->hs->peer_key);
    c->hs->peer_key = verdict->leaf_key;
    c->auth.until = verdict->not_after;
    c->auth.authenticated_ms = c->now_ms;
    c->peer_ocsp_good = verdict->ocsp_good;
    return TT_OK;
}

static struct tt_bytes leaf_of(const struct auth *a)
{
    struct reader r = reader_of(a->chain);
    return rd_vec24(&r, 1);
}

/* Hand what the peer showed to the verifier. Only here does it get PEER_CHAIN_JUDGED. */
static tt_rc certificate_judge(struct tt_conn *c)
{
    /* A peer that does not know the extension shows X.509, be it taken here or not. */
    if (!u16_list_has(&c->cfg->peer_types, c->peer_type))
        return conn_fail(c, TT_ERR_VERIFY, TT_ALERT_UNSUPPORTED_CERTIFICATE,
                         "the peer showed an X.509 certificate, and only raw public keys are taken here");
    if (c->cfg->trust == NULL && !c->cfg->accept_any_certificate) /* TT_PSK_REQUIRE, where none is expected */
        return conn_broken(c, TT_ERR_INTERNAL);
    const struct auth shown = conn_auth(c);
    const struct auth_asked asked = {.cfg = c->cfg,
                                     .now_ms = c->now_ms,
                                     .server_name = kept_get(&c->kept, KEPT_SERVER_NAME),
                                     .by_public_name =
                                         c->cfg->role == TT_CLIENT && c->ech == TT_ECH_REJECTED};
    struct trust_verdict verdict = {0};
    struct tt_error why = {0};
    tt_rc rc = auth_judge(&verdict, &asked, &shown, &why);
    TT_TRY(certificate_verdict(c, rc, &verdict, &why));
    if (c->peer_type == TT_CERTIFICATE_X509)
        TT_TRY(credential_judge(c, leaf_of(&shown)));
    c->hs->peer_auth = PEER_CHAIN_JUDGED;
    return TT_OK;
}

/* No certificate at all: from a server never allowed, from a client as the configuration says. */
static tt_rc certificate_absent(struct tt_conn *c)
{
    if (c->cfg->role == TT_CLIENT)
        /* "If the server supplies an empty Certificate message, the client MUST abort the handshake with a
         * "decode_error" alert." */
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "the server sent no certificate");
    if (c->state == SERVER_CONNECTED)
        return hs_set_state(
            c, SERVER_POST_WAIT_FINISHED); /* declined: the application sees no chain, and decides */
    if (c->cfg->client_auth == TT_CLIENT_AUTH_REQUIRE)
        return conn_fail(c, TT_ERR_VERIFY, TT_ALERT_CERTIFICATE_REQUIRED, "the client sent no certificate");
    c->hs->peer_auth = PEER_ANONYMOUS;
    return hs_set_state(c, SERVER_WAIT_FINISHED);
}

/* The Certificate structure, from either message; the transcript has the message already. */
static tt_rc certificate_body_recv(struct tt_conn *c, struct tt_bytes body)
{
    struct reader r = reader_of(body);
    struct tt_bytes context = rd_vec8(&r, 0);
    struct tt_bytes list = rd_vec24(&r, 0);
    if (rd_done(&r) != TT_OK)
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "Certificate is malformed");
    if (context.len != c->hs->context_len || !mem_equal_ct(context.data, c->hs->context, context.len))
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "Certificate has a context that was not asked for");
    TT_TRY(certificate_list_keep(c, list));
    if (c->peer_chain_len == 0)
        return certificate_absent(c);
    TT_TRY(certificate_judge(c));
    return hs_set_state(c, c->cfg->role == TT_CLIENT      ? CLIENT_WAIT_CV
                           : c->state == SERVER_CONNECTED ? SERVER_POST_WAIT_CV
                                                          : SERVER_WAIT_CV);
}

tt_rc certificate_recv(struct tt_conn *c, struct tt_bytes message)
{
    TT_OWN(c, transcript_add(&c->hs->transcript, message));
    return certificate_body_recv(c, (struct tt_bytes){message.data + 4, message.len - 4});
}

tt_rc compressed_certificate_recv(struct tt_conn *c, struct tt_bytes message)
{
    struct reader r = reader_of(message);
    (void)rd_bytes(&r, 4);
    uint16_t algorithm = rd_u16(&r);
    size_t len = rd_u24(&r);
    struct tt_bytes packed = rd_vec24(&r, 1);
    if (rd_done(&r) != TT_OK)
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "CompressedCertificate is malformed");
    /* RFC 8879 section 4: an algorithm that was not offered is an illegal_parameter; "if
     * the received CompressedCertificate message cannot be decompressed, the connection MUST be terminated
     * with the "bad_certificate" alert". A length over our limit for messages is refused before anything is
     * unpacked. */
    if (!u16_list_has(&c->cfg->compression, algorithm))
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "certificate compression %u was not offered",
                           algorithm);
    if (len == 0 || len > c->cfg->max_message)
        return conn_refuse(c, TT_ALERT_BAD_CERTIFICATE, "a compressed Certificate says it is %zu bytes long",
                           len);
    TT_OWN(c, transcript_add(&c->hs->transcript, message));
    TT_AUTO(mem_free_auto) uint8_t *body = mem_alloc(len);
    if (body == NULL)
        return conn_broken(c, TT_ERR_MEMORY);
    if (unpack(c->cfg, algorithm, packed, body, len) != TT_OK)
        return conn_refuse(c, TT_ALERT_BAD_CERTIFICATE,
                           "a compressed Certificate does not unpack to what it says");
    return certificate_body_recv(c, (struct tt_bytes){body, len});
}
