/* tls/conn.c: making and freeing a connection, its plaintext, its signatures, its errors. Layer: tls. */
#include "tls/conn.h"

#include <stdio.h>
#include <string.h>

#include "tls/ech.h"
#include "tls/hs.h"
#include "wire/host.h"

/* host: whom to reach, as it is sent and checked; empty: nobody in particular. */
static tt_rc conn_setup(struct tt_conn *c, const struct tt_conn_options *opt, const char *host,
                        struct tt_error *err)
{
    c->status.alert_sent = c->status.alert_received = TT_ALERT_NONE;
    c->now_ms = opt->now_ms != 0 ? opt->now_ms : opt->now * 1000;
    c->auth.until = INT64_MAX;
    c->monotonic_ms = opt->monotonic_ms;
    c->trace = opt->trace;
    c->trace_arg = opt->trace_arg;
    c->insecure_keylog = opt->insecure_keylog;
    c->keylog_arg = opt->keylog_arg;
    c->send_limit = conn_max_fragment(c);
    c->read_limit = REC_MAX_CIPHERTEXT;
    size_t longest = c->cfg->max_message > HS_CLIENT_HELLO_MAX ? c->cfg->max_message : HS_CLIENT_HELLO_MAX;
    c->msg.max = longest + 2 * (size_t)REC_MAX_CIPHERTEXT;
    if (kept_init(&c->kept) != TT_OK || hs_new(&c->hs) != TT_OK)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    if (c->cfg->role == TT_SERVER) {
        c->state = SERVER_START;
        return TT_OK;
    }
    c->state = CLIENT_START;
    struct tt_bytes name = {(const uint8_t *)host, strlen(host)};
    if (kept_add(&c->kept, KEPT_SERVER_NAME, name) != TT_OK)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    tt_rc rc = client_start(c, opt);
    return rc == TT_OK ? TT_OK : error_set(err, rc, "%s", c->status.error.text);
}

tt_rc tt_conn_new(struct tt_conn **ret, struct tt_config *cfg, const struct tt_conn_options *opt,
                  struct tt_error *err)
{
    if (!cfg->frozen)
        return error_set(err, TT_ERR_USAGE, "the configuration is not frozen");
    struct host host = {.text = ""};
    size_t name_len = opt->server_name == NULL ? 0 : strlen(opt->server_name);
    bool judges_name =
        cfg->role == TT_CLIENT && cfg->psk_policy != TT_PSK_REQUIRE && !cfg->accept_any_certificate;
    if (judges_name && name_len == 0 && cfg->peer_names_len == 0)
        return error_set(err, TT_ERR_USAGE, "a client must say whom it wants to reach (server_name)");
    if (name_len > 0 && cfg->role == TT_CLIENT)
        TT_TRY(host_parse(&host, opt->server_name, err));
    struct tt_conn *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    c->cfg = tt_config_ref(cfg);
    tt_rc rc = conn_setup(c, opt, host.text, err);
    if (rc != TT_OK) {
        tt_conn_free(c);
        return rc;
    }
    *ret = c;
    return TT_OK;
}

void tt_conn_free(struct tt_conn *c)
{
    if (c == NULL)
        return;
    hs_free(c->hs);
    hash_free(c->post_hash);
    rec_key_wipe(&c->read_key);
    rec_key_wipe(&c->write_key);
    struct buf *const bufs[] = {&c->in, &c->plain, &c->msg, &c->out};
    for (size_t i = 0; i < TT_COUNT(bufs); i++)
        buf_free(bufs[i]);
    kept_free(&c->kept);
    for (size_t i = 0; i < c->sessions_len; i++)
        tt_session_free(c->sessions[i]);
    tt_session_free(c->external_psk);
    tt_config_free(c->cfg);
    mem_free(c);
}

void tt_conn_trim(struct tt_conn *c)
{
    struct buf *const bufs[] = {&c->in, &c->plain, &c->msg, &c->out};
    for (size_t i = 0; i < TT_COUNT(bufs); i++)
        if (buf_size(bufs[i]) == 0)
            buf_free(bufs[i]);
    kept_fit(&c->kept);
    rec_key_rest(&c->read_key);
    rec_key_rest(&c->write_key);
}

bool conn_random(struct tt_conn *c, uint8_t *buf, size_t n)
{
    return n == 0 || c->cfg->random.fn(c->cfg->random.arg, buf, n);
}

void conn_trace(struct tt_conn *c, const struct tt_trace_event *event)
{
    if (c->trace != NULL)
        c->trace(c->trace_arg, event);
}

/* "Servers and clients MUST forget the secret values and keys established in failed connections, with the
 * exception of the PSKs associated with session tickets, which SHOULD be discarded if possible." (section 6)
 * They are kept where nothing but the transport ended. */
static void forget(struct tt_conn *c, tt_rc rc)
{
    rec_key_wipe(&c->read_key);
    rec_key_wipe(&c->write_key);
    struct ks_secret *const secrets[] = {&c->read_secret, &c->write_secret, &c->exporter_secret,
                                         &c->early_exporter_secret, &c->resumption_secret};
    for (size_t i = 0; i < TT_COUNT(secrets); i++)
        mem_wipe(secrets[i], sizeof *secrets[i]);
    hs_free(c->hs);
    c->hs = NULL;
    hash_free(c->post_hash);
    c->post_hash = NULL;
    for (; rc != TT_ERR_CLOSED && c->sessions_len > 0; c->sessions_len--)
        tt_session_free(c->sessions[c->sessions_len - 1]);
}

/* "MUST close the connection without sending or receiving any additional data" and "the implementation
 * MUST send alert X if it sends any alert" (section 6.2). */
tt_rc conn_fail(struct tt_conn *c, tt_rc rc, unsigned alert, const char *fmt, ...)
{
    struct tt_error *err = &c->status.error;
    if (err->rc != TT_OK)
        return err->rc;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    error_cut(err->text);
    err->rc = rc;
    if (alert != TT_ALERT_NONE && !c->write_closed)
        conn_send_alert(c, alert);
    c->status.handshake_complete = !conn_in_handshake(c);
    /* "both parties MUST immediately close the connection": nothing is read or written with these keys again.
     */
    forget(c, rc);
    return rc;
}

tt_rc conn_fail_asked(struct tt_conn *c, const struct tt_error *why, const char *otherwise)
{
    if (why == NULL || why->rc == TT_OK)
        return conn_fail(c, TT_ERR_TPM, TT_ALERT_INTERNAL_ERROR, "%s", otherwise);
    error_hint(&c->status.error, "%s", why->hint);
    return conn_fail(c, why->rc, TT_ALERT_INTERNAL_ERROR, "%s", why->text);
}

tt_rc conn_broken(struct tt_conn *c, tt_rc rc)
{
    return conn_fail(c, rc, TT_ALERT_INTERNAL_ERROR,
                     rc == TT_ERR_MEMORY ? "out of memory" : "internal failure");
}

void tt_conn_set_now(struct tt_conn *c, int64_t now_ms)
{
    c->now_ms = now_ms;
}

void tt_conn_set_monotonic(struct tt_conn *c, int64_t monotonic_ms)
{
    c->monotonic_ms = monotonic_ms;
}

bool conn_in_handshake(const struct tt_conn *c)
{
    switch (c->state) {
    case CLIENT_CONNECTED:
    case CLIENT_POST_WAIT_SIGN:
    case SERVER_CONNECTED:
    case SERVER_POST_WAIT_CV:
    case SERVER_POST_WAIT_FINISHED:
        return false;
    default:
        return true;
    }
}

/* "TLS implementations MUST provide a way for the application to determine if the handshake has completed"
 * (appendix F.5). */
bool tt_conn_is_connected(const struct tt_conn *c)
{
    return c->status.error.rc == TT_OK && !conn_in_handshake(c);
}

struct auth conn_auth(const struct tt_conn *c)
{
    struct auth a = c->auth;
    memcpy(a.rules, c->cfg->fingerprint, sizeof a.rules);
    a.peer_type = (uint8_t)c->peer_type;
    a.chain = kept_get(&c->kept, KEPT_CHAIN);
    a.ocsp = kept_get(&c->kept, KEPT_OCSP);
    return a;
}

tt_rc conn_auth_take_over(struct tt_conn *c, const struct auth *a, const struct auth_found *found)
{
    c->auth = *a;
    c->auth.chain = c->auth.ocsp = (struct tt_bytes){NULL, 0};
    c->peer_type = a->peer_type;
    c->peer_ocsp_good = found->ocsp_good;
    if (found->psk != NULL)
        c->external_psk = session_ref(found->psk);
    TT_OWN(c, kept_add(&c->kept, KEPT_CHAIN, a->chain));
    TT_OWN(c, kept_add(&c->kept, KEPT_OCSP, a->ocsp));
    for (struct reader r = reader_of(a->chain); rd_left(&r) > 0; c->peer_chain_len++)
        (void)rd_vec24(&r, 0);
    return TT_OK;
}

bool tt_conn_received_close_notify(const struct tt_conn *c)
{
    return c->status.alert_received == TT_ALERT_CLOSE_NOTIFY;
}

unsigned tt_conn_wants(const struct tt_conn *c)
{
    unsigned wants = 0;
    bool sign = c->hs != NULL && c->hs->sign.open;
    bool plain = buf_size(&c->plain) > 0;
    if (buf_size(&c->out) > 0)
        wants |= TT_WANT_OUTPUT;
    if (plain)
        wants |= c->plain_is_early ? TT_WANT_EARLY_PLAINTEXT : TT_WANT_PLAINTEXT;
    if (c->status.error.rc != TT_OK || c->read_closed)
        return wants | TT_WANT_CLOSED;
    if (sign)
        wants |= TT_WANT_SIGN;
    if (c->hs != NULL && c->hs->pull.open)
        wants |= TT_WANT_PSK;
    if (c->hs != NULL && c->hs->ech != NULL && c->hs->ech->pull_open)
        wants |= TT_WANT_ECH;
    if (!hs_awaits_answer(c) && !plain)
        wants |= TT_WANT_INPUT;
    return wants;
}

struct tt_bytes tt_conn_plaintext(const struct tt_conn *c)
{
    return c->plain_is_early ? (struct tt_bytes){NULL, 0} : buf_bytes(&c->plain);
}

tt_rc tt_conn_plaintext_done(struct tt_conn *c, size_t n)
{
    if (n > tt_conn_plaintext(c).len)
        return TT_ERR_USAGE;
    buf_consume(&c->plain, n);
    return TT_OK;
}

tt_rc tt_conn_read(struct tt_conn *c, uint8_t *ret_buf, size_t cap, size_t *ret_n)
{
    struct tt_bytes plain = tt_conn_plaintext(c);
    if (plain.len == 0 && c->status.error.rc != TT_OK)
        return c->status.error.rc;
    size_t n = plain.len < cap ? plain.len : cap;
    if (n > 0)
        memcpy(ret_buf, plain.data, n);
    *ret_n = n;
    return tt_conn_plaintext_done(c, n);
}

tt_rc tt_conn_sign_request(const struct tt_conn *c, struct tt_sign_request *ret)
{
    if (c->hs == NULL || !c->hs->sign.open)
        return TT_ERR_USAGE;
    const struct sign_state *s = &c->hs->sign;
    *ret = (struct tt_sign_request){.id = s->id,
                                    .scheme = s->scheme,
                                    .key = c->hs->credential != NULL ? c->hs->credential->key
                                                                     : c->hs->identity->key,
                                    .delegated = c->hs->credential != NULL,
                                    .to_sign = {s->content, s->content_len},
                                    .digest = {s->digest, s->digest_len}};
    return TT_OK;
}

tt_rc tt_conn_sign_complete(struct tt_conn *c, uint64_t id, struct tt_bytes signature)
{
    if (c->hs == NULL || !c->hs->sign.open || c->hs->sign.id != id)
        return TT_ERR_USAGE;
    c->hs->sign.open = false;
    if (signature.len == 0 || signature.len > UINT16_MAX)
        return conn_broken(c, TT_ERR_USAGE);
    TT_TRY(certificate_verify_put(c, signature));
    TT_TRY(c->state == CLIENT_POST_WAIT_SIGN ? post_auth_finish(c)
           : c->cfg->role == TT_CLIENT       ? client_finish(c)
                                             : server_finish(c));
    return conn_process_messages(c);
}

tt_rc tt_conn_sign_fail(struct tt_conn *c, uint64_t id, const struct tt_error *why)
{
    if (c->hs == NULL || !c->hs->sign.open || c->hs->sign.id != id)
        return TT_ERR_USAGE;
    return conn_fail_asked(c, why, "the key could not make the signature");
}

const struct tt_conn_status *tt_conn_error(const struct tt_conn *c)
{
    return &c->status;
}

/* What says who the peer is, once that is proven. */
static void info_of_peer(const struct tt_conn *c, struct tt_conn_info *ret)
{
    ret->peer_scheme = c->peer_scheme;
    ret->resumed = c->resumed;
    ret->certificate_with_psk = c->certificate_with_psk;
    ret->peer_delegated = c->peer_delegated;
    ret->ticket_age_skew_ms = c->ticket_age_skew_ms;
    ret->peer_chain_len = c->peer_chain_len;
    ret->peer_certificate_type = c->peer_type;
    ret->peer_ocsp_good = c->peer_ocsp_good;
    if (c->external_psk != NULL)
        ret->psk_identity = buf_bytes(&c->external_psk->identity);
    ret->psk_imported = c->external_psk != NULL && c->external_psk->psk.imported;
}

/* Nobody is shown who has not proven to be it, and nobody by a connection that failed. */
static bool shows_peer(const struct tt_conn *c)
{
    return c->status.error.rc == TT_OK && c->peer_proven;
}

static struct tt_bytes shown(const struct tt_conn *c, enum kept_item item)
{
    return shows_peer(c) ? kept_get(&c->kept, item) : (struct tt_bytes){NULL, 0};
}

void tt_conn_info(const struct tt_conn *c, struct tt_conn_info *ret)
{
    *ret = (struct tt_conn_info){.role = c->cfg->role,
                                 .state = conn_state_name(c->state),
                                 .suite = c->suite != NULL ? c->suite->id : 0,
                                 .group = c->group,
                                 .local_scheme = c->local_scheme,
                                 .hello_retry_request = c->hello_retry_request,
                                 .ech = c->ech,
                                 .local_delegated = c->local_delegated,
                                 .alpn = kept_get(&c->kept, KEPT_ALPN),
                                 .server_name = kept_get(&c->kept, KEPT_SERVER_NAME),
                                 .local_certificate_type = c->own_type,
                                 .handshake_bytes_in = c->handshake_bytes_in,
                                 .handshake_bytes_out = c->handshake_bytes_out};
    if (shows_peer(c))
        info_of_peer(c, ret);
}

struct tt_bytes tt_conn_peer_ocsp(const struct tt_conn *c)
{
    return shown(c, KEPT_OCSP);
}

struct tt_bytes tt_conn_peer_scts(const struct tt_conn *c)
{
    return shown(c, KEPT_SCTS);
}

size_t tt_conn_peer_schemes(const struct tt_conn *c, uint16_t *ret, size_t cap)
{
    struct tt_bytes list = kept_get(&c->kept, KEPT_PEER_SCHEMES);
    struct reader r = reader_of(list);
    for (size_t i = 0; i < cap && rd_left(&r) > 0; i++)
        ret[i] = rd_u16(&r);
    return list.len / 2;
}

struct tt_bytes tt_conn_peer_authority(const struct tt_conn *c, size_t i)
{
    struct reader r = reader_of(kept_get(&c->kept, KEPT_PEER_AUTHORITIES));
    struct tt_bytes name = {NULL, 0};
    for (size_t at = 0; at <= i; at++)
        name = rd_left(&r) > 0 ? rd_vec16(&r, 1) : (struct tt_bytes){NULL, 0};
    return name;
}

struct tt_bytes tt_conn_peer_certificate(const struct tt_conn *c, size_t i)
{
    struct reader r = reader_of(shown(c, KEPT_CHAIN));
    struct tt_bytes der = {NULL, 0};
    for (size_t at = 0; at <= i; at++)
        der = rd_left(&r) > 0 ? rd_vec24(&r, 1) : (struct tt_bytes){NULL, 0};
    return der;
}
