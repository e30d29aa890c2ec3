/* net/stream_tls.c: the stream's side towards the engine and the application: feeding, signing, callbacks,
 * trace. Layer: net. Touches no socket. */
#include "net/stream_internal.h"

#include <string.h>

#include "net/clock.h"

static void begin_clock(struct stream *s)
{
    if (s->began_at == 0)
        s->began_at = clock_monotonic_ns();
}

static void remember_first(struct stream *s, struct tt_bytes data)
{
    size_t n = sizeof s->first - s->first_len;
    n = data.len < n ? data.len : n;
    if (n > 0)
        memcpy(s->first + s->first_len, data.data, n);
    s->first_len += n;
}

/* The engine reports its failures through tt_conn_error; here only "took nothing" matters. */
static size_t feed_engine(struct stream *s, struct tt_bytes data)
{
    size_t taken = 0;
    while (taken < data.len && !stream_has_failed(s)) {
        size_t n = 0;
        tt_rc rc = tt_conn_feed(s->conn, data.data + taken, data.len - taken, &n);
        taken += n;
        if (rc != TT_OK || n == 0)
            break;
    }
    return taken;
}

void stream_feed(struct stream *s, struct tt_bytes data)
{
    begin_clock(s);
    remember_first(s, data);
    if (s->opt.now == 0)
        tt_conn_set_now(s->conn, clock_wall_ms());
    tt_conn_set_monotonic(s->conn, clock_boot_ms());
    size_t taken = buf_size(&s->in) == 0 ? feed_engine(s, data) : 0;
    s->is_plaintext_told = false;
    if (taken < data.len && buf_append(&s->in, data.data + taken, data.len - taken) != TT_OK)
        stream_fail(s, TT_ERR_MEMORY, "no memory for what the peer sent");
}

bool stream_feed_kept(struct stream *s)
{
    if (buf_size(&s->in) == 0)
        return false;
    size_t taken = feed_engine(s, buf_bytes(&s->in));
    buf_consume(&s->in, taken);
    if (taken > 0)
        s->is_plaintext_told = false;
    return taken > 0;
}

/* ---- signing ---- */

static void trace_commands(struct stream *s, const struct sign_answer *answer)
{
    for (size_t i = 0; i < answer->commands_len; i++) {
        s->stats.tpm_commands++;
        s->stats.tpm_ns += answer->commands[i].nanoseconds;
        struct stream_trace t = {
            .is_tpm = true, .at_ns = clock_monotonic_ns() - s->began_at, .tpm = answer->commands[i]};
        if (s->opt.handlers.trace != NULL)
            s->opt.handlers.trace(s->opt.arg, &t);
    }
}

static void on_signed(void *arg, const struct sign_answer *answer)
{
    struct stream *s = arg;
    s->job = NULL;
    s->stats.sign_wait_ns += answer->waited_ns;
    trace_commands(s, answer);
    struct tt_sign_request request;
    if (s->phase == STREAM_OPEN && tt_conn_sign_request(s->conn, &request) == TT_OK) {
        tt_rc rc = answer->error.rc == TT_OK ? tt_conn_sign_complete(s->conn, request.id, answer->signature)
                                             : tt_conn_sign_fail(s->conn, request.id, &answer->error);
        (void)rc; /* a failure is sticky in the engine and is told from there */
    }
    stream_schedule(s);
}

/* Signatures are shared out by an address without its port, so that who connects fifty times does not keep
 * out who connects once. FNV-1a; a collision costs two peers half their share each. */
uint64_t stream_flow(const char *of)
{
    const char *end = strrchr(of, ':');
    uint64_t flow = 0xcbf29ce484222325U;
    if (end == NULL)
        return 0;
    for (const char *c = of; c < end; c++)
        flow = (flow ^ (uint8_t)*c) * 0x100000001b3U;
    return flow;
}

/* A delegated credential's key is a software key: quicker used than queued, and the TPM may have others to
 * serve. */
static void sign_delegated(struct stream *s, const struct tt_sign_request *wanted)
{
    uint8_t sig[1024];
    size_t len = 0;
    struct tt_error why = {0};
    tt_rc rc = tt_key_sign(wanted->key, wanted->scheme, wanted->to_sign, sig, sizeof sig, &len, &why);
    rc = rc == TT_OK ? tt_conn_sign_complete(s->conn, wanted->id, (struct tt_bytes){sig, len})
                     : tt_conn_sign_fail(s->conn, wanted->id, &why);
    (void)rc; /* a failure is sticky in the engine and is told from there */
    stream_schedule(s);
}

void stream_ask_signer(struct stream *s)
{
    if (s->job != NULL || (tt_conn_wants(s->conn) & TT_WANT_SIGN) == 0)
        return;
    struct tt_sign_request wanted;
    if (tt_conn_sign_request(s->conn, &wanted) != TT_OK)
        return;
    if (wanted.delegated) {
        sign_delegated(s, &wanted);
        return;
    }
    const struct sign_request request = {.key = wanted.key,
                                         .scheme = wanted.scheme,
                                         .message = wanted.to_sign,
                                         .class = SIGN_HANDSHAKE,
                                         .flow = s->flow_hash,
                                         .done = on_signed,
                                         .arg = s};
    struct tt_error why = {0};
    tt_rc rc = s->opt.signer != NULL ? sign_queue_submit(s->opt.signer, &s->job, &request, &why)
                                     : error_set(&why, TT_ERR_USAGE, "nobody is there to sign");
    if (rc != TT_OK && tt_conn_sign_fail(s->conn, wanted.id, &why) != TT_OK)
        stream_schedule(s);
}

/* ---- a PSK or an ECH key in the TPM: a client asks for the one, a server for the other ---- */

/* What it returns is sticky in the engine, too. */
static tt_rc give_computed(struct stream *s, struct tt_bytes output, const struct tt_error *why)
{
    struct tt_psk_request psk;
    struct tt_ech_request ech;
    if (tt_conn_psk_request(s->conn, &psk) == TT_OK)
        return why->rc == TT_OK ? tt_conn_psk_complete(s->conn, psk.id, output)
                                : tt_conn_psk_fail(s->conn, psk.id, why);
    TT_TRY(tt_conn_ech_request(s->conn, &ech));
    return why->rc == TT_OK ? tt_conn_ech_complete(s->conn, ech.id, output)
                            : tt_conn_ech_fail(s->conn, ech.id, why);
}

static void on_computed(void *arg, const struct sign_answer *answer)
{
    struct stream *s = arg;
    s->stats.sign_wait_ns += answer->waited_ns;
    trace_commands(s, answer);
    struct held_job *job = TT_TAKE(s->held_job);
    if (s->phase == STREAM_OPEN)
        (void)!give_computed(s, held_job_output(job), &answer->error);
    held_job_free(job);
    stream_schedule(s);
}

void stream_ask_holder(struct stream *s)
{
    struct tt_psk_request psk;
    struct tt_ech_request ech;
    struct held_question question;
    if (s->held_job != NULL || (tt_conn_wants(s->conn) & (TT_WANT_PSK | TT_WANT_ECH)) == 0)
        return;
    if (tt_conn_psk_request(s->conn, &psk) == TT_OK)
        question = held_of_psk(&psk);
    else if (tt_conn_ech_request(s->conn, &ech) == TT_OK)
        question = held_of_ech(&ech);
    else
        return;
    const struct sign_request how = {
        .class = SIGN_HANDSHAKE, .flow = s->flow_hash, .done = on_computed, .arg = s};
    struct tt_error why = {0};
    tt_rc rc = s->opt.signer != NULL ? held_job_submit(&s->held_job, s->opt.signer, &question, &how, &why)
                                     : error_set(&why, TT_ERR_USAGE, "nobody is there to ask for the key");
    if (rc != TT_OK && give_computed(s, (struct tt_bytes){NULL, 0}, &why) != TT_OK)
        stream_schedule(s);
}

void stream_stop_asking(struct stream *s)
{
    sign_job_cancel(TT_TAKE(s->job));
    held_job_free(TT_TAKE(s->held_job));
}

/* ---- callbacks ---- */

void stream_trace_message(void *arg, const struct tt_trace_event *event)
{
    struct stream *s = arg;
    begin_clock(s);
    const struct stream_trace t = {.at_ns = clock_monotonic_ns() - s->began_at, .message = *event};
    if (s->opt.handlers.trace != NULL)
        s->opt.handlers.trace(s->opt.arg, &t);
}

static void call(struct stream *s, void (*handler)(void *arg, struct stream *s))
{
    if (handler != NULL)
        handler(s->opt.arg, s);
}

static bool tell_connected(struct stream *s)
{
    if (s->stats.connected || !tt_conn_is_connected(s->conn))
        return true;
    s->stats.connected = true;
    s->moved_at = clock_monotonic_ns();
    s->stats.handshake_ns = s->moved_at - s->began_at;
    s->is_active = true;
    if (s->opt.request_timeout_s > 0)
        s->request_until = s->moved_at + s->opt.request_timeout_s * UINT64_C(1000000000);
    (void)event_del(s->timer); /* the handshake's; from now on it watches for idleness */
    call(s, s->opt.handlers.connected);
    return !s->is_freed;
}

/* At most what the configuration allows. */
static void keep_early(struct stream *s, struct tt_bytes data)
{
    if (buf_append(&s->early, data.data, data.len) != TT_OK ||
        tt_conn_early_plaintext_done(s->conn, data.len) != TT_OK)
        stream_fail(s, TT_ERR_MEMORY, "no memory for 0-RTT data");
    stream_schedule(s); /* the engine takes more */
}

static bool tell_early(struct stream *s)
{
    struct tt_bytes data = tt_conn_early_plaintext(s->conn);
    if (data.len > 0 && s->opt.handlers.early == NULL)
        keep_early(s, data);
    if (s->is_plaintext_told || tt_conn_early_plaintext(s->conn).len == 0)
        return true;
    s->is_plaintext_told = true;
    call(s, s->opt.handlers.early);
    return !s->is_freed;
}

static bool tell_sessions(struct stream *s)
{
    if (s->opt.handlers.session == NULL)
        return true;
    for (struct tt_session *x; !s->is_freed && (x = tt_conn_take_session(s->conn)) != NULL;)
        s->opt.handlers.session(s->opt.arg, s, x);
    return !s->is_freed;
}

static bool tell_plaintext(struct stream *s)
{
    if (s->is_plaintext_told || !s->stats.connected || stream_plaintext(s).len == 0)
        return true;
    s->is_plaintext_told = true;
    if (!s->opt.request_is_answered)
        stream_request_came(s);
    call(s, s->opt.handlers.plaintext);
    return !s->is_freed;
}

static bool tell_end(struct stream *s)
{
    if (s->is_end_told || !tt_conn_received_close_notify(s->conn) || stream_plaintext(s).len > 0)
        return true;
    s->is_end_told = true;
    stream_request_came(s);
    call(s, s->opt.handlers.ended);
    return !s->is_freed;
}

static bool tell_gone(struct stream *s)
{
    if (s->is_gone_told || !s->is_end_told || !s->got_eof)
        return true;
    s->is_gone_told = true;
    call(s, s->opt.handlers.gone);
    return !s->is_freed;
}

/* Room means half of the 256 KiB, so that a fast writer is not woken for every record. */
static bool tell_writable(struct stream *s)
{
    bool has_room = s->is_write_broken || tt_conn_output(s->conn).len <= 128 * 1024;
    if (!s->wants_writable || !s->stats.connected || !has_room)
        return true;
    s->wants_writable = false;
    call(s, s->opt.handlers.writable);
    return !s->is_freed;
}

bool stream_tell(struct stream *s)
{
    if (s->phase != STREAM_OPEN)
        return true;
    return tell_early(s) && tell_connected(s) && tell_sessions(s) && tell_plaintext(s) && tell_end(s) &&
           tell_gone(s) && tell_writable(s);
}
