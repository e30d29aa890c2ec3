/* cli/serve_session.c: the life of one connection of `tpmtls serve`. Layer: cli. What fails here ends this
 * connection and no other. */
#include "cli/serve.h"

#include "base/mem.h"
#include "base/rc.h"
#include "cli/event.h"

static void link_in(struct session *x)
{
    struct session **first = &x->serve->sessions;
    x->next = *first;
    if (x->next != NULL)
        x->next->prev = x;
    *first = x;
}

static void link_out(struct session *x)
{
    if (x->next != NULL)
        x->next->prev = x->prev;
    if (x->prev != NULL)
        x->prev->next = x->next;
    else
        x->serve->sessions = x->next;
}

void session_release(struct session *x)
{
    struct server *server = x->serve->server;
    link_out(x);
    generation_drop(x->generation);
    mem_free(x);
    server_release(server);
}

/* It is one of those that an outage of the TPM fails, which is told as a whole. */
static bool is_counted(const struct session *x, const struct tt_error *error)
{
    struct sign_queue_state signer;
    sign_queue_look(x->serve->signer, &signer);
    return signer.is_out && outage_is_of(error);
}

static void closed_event(const struct session *x, const struct tt_error *error)
{
    if (x->serve->cli->json)
        cli_event(json_pack("{s:s, s:I, s:s, s:o, s:s?}", "event", "closed", "connection",
                            (json_int_t)x->number, "peer", x->peer, "error",
                            cli_json_text(error != NULL ? error->text : NULL), "class",
                            error != NULL ? tt_rc_name(error->rc) : NULL));
    else if (error != NULL && (x->serve->cli->verbose > 0 || !is_counted(x, error)))
        (void)cli_fail(error);
    else if (error == NULL && x->serve->cli->verbose > 0)
        cli_note("%s: closed", x->peer);
}

static void begin(struct session *x)
{
    const struct serve_mode *mode = x->serve->mode;
    struct stream *s = x->stream;
    struct tt_error err = {0};
    x->is_waiting = false;
    if (mode->connected != NULL && mode->connected(x, &err) != TT_OK) {
        (void)cli_fail(&err);
        stream_finish(s);
    }
}

/* ---- the client's TPM ---- */

static void attested_event(const struct session *x, const struct tt_error *error,
                           const struct tt_attest_verdict *v)
{
    const char *reason = error == NULL                 ? "good"
                         : v->reason != TT_ATTEST_GOOD ? tt_attest_reason_name(v->reason)
                                                       : "none";
    if (x->serve->cli->json)
        cli_event(json_pack("{s:s, s:I, s:s, s:b, s:s, s:s, s:o}", "event", "attested", "connection",
                            (json_int_t)x->number, "peer", x->peer, "good", error == NULL, "reason", reason,
                            "ek_sha256", v->ek_sha256, "text",
                            cli_json_text(error != NULL ? error->text : NULL)));
    else if (error != NULL)
        cli_note("%s: %s", x->peer, error->text);
    else if (x->serve->cli->verbose > 0)
        cli_note("%s: in the TPM sha256:%s", x->peer, v->ek_sha256);
}

static void on_attested(void *arg, const struct tt_error *error, const struct tt_attest_verdict *verdict)
{
    struct session *x = arg;
    const struct serve_mode *mode = x->serve->mode;
    bool is_good = error == NULL;
    attested_event(x, error, verdict);
    attest_gate_free(TT_TAKE(x->gate)); /* and the error */
    if (x->stream == NULL)
        return;
    if (!is_good) {
        stream_finish(x->stream);
        return;
    }
    begin(x);
    if (x->stream != NULL && stream_plaintext(x->stream).len > 0 && mode->plaintext != NULL)
        mode->plaintext(x);
    if (x->stream != NULL && x->has_ended && mode->ended != NULL)
        mode->ended(x);
}

static void wait_for_tpm(struct session *x)
{
    struct tt_error err = {0};
    const struct attest_gate_options opt = {.base = x->serve->base,
                                            .stream = x->stream,
                                            .role = TT_SERVER,
                                            .policy = x->serve->attest,
                                            .secret = x->serve->attest_secret,
                                            .done = on_attested,
                                            .arg = x};
    x->is_waiting = true;
    if (attest_gate_new(&x->gate, &opt, &err) != TT_OK) {
        (void)cli_fail(&err);
        stream_finish(x->stream);
    }
}

static void on_connected(void *arg, struct stream *s)
{
    struct session *x = arg;
    trace_handshake(&x->trace, s, TT_SERVER, x->peer);
    trace_connected(x->serve->cli, s, x->number, x->peer);
    if (x->serve->attest != NULL)
        wait_for_tpm(x);
    else
        begin(x);
}

static void on_early(void *arg, struct stream *s)
{
    (void)s;
    struct session *x = arg;
    x->serve->mode->early(x);
}

static void on_plaintext(void *arg, struct stream *s)
{
    (void)s;
    struct session *x = arg;
    if (x->gate != NULL)
        attest_gate_plaintext(x->gate);
    else if (!x->is_waiting && x->serve->mode->plaintext != NULL)
        x->serve->mode->plaintext(x);
}

static void on_writable(void *arg, struct stream *s)
{
    (void)s;
    struct session *x = arg;
    if (!x->is_waiting && x->serve->mode->writable != NULL)
        x->serve->mode->writable(x);
}

static void on_ended(void *arg, struct stream *s)
{
    (void)s;
    struct session *x = arg;
    x->has_ended = true;
    if (x->gate != NULL)
        attest_gate_ended(x->gate);
    else if (!x->is_waiting && x->serve->mode->ended != NULL)
        x->serve->mode->ended(x);
}

static void on_closed(void *arg, struct stream *s, const struct tt_error *error)
{
    struct session *x = arg;
    struct tt_error advised = error != NULL ? *error : (struct tt_error){0};
    trust_advise(&advised, stream_conn(s), &x->serve->options->trust);
    closed_event(x, error != NULL ? &advised : NULL);
    bool lost = stream_loss(s) == STREAM_RESET || stream_loss(s) == STREAM_SILENT;
    x->stream = NULL;
    if (x->gate != NULL) {
        const struct tt_attest_verdict *verdict;
        const struct tt_error *why = attest_gate_closed(x->gate, &verdict);
        attested_event(x, why, verdict);
    }
    attest_gate_free(TT_TAKE(x->gate));
    stream_free(s);
    if (lost && x->serve->mode->lost != NULL)
        x->serve->mode->lost(x);
    if (x->serve->mode->closed == NULL || x->serve->mode->closed(x))
        session_release(x);
}

static void on_trace(void *arg, const struct stream_trace *event)
{
    trace_event(&((struct session *)arg)->trace, event);
}

void *session_accepted(void *arg, struct stream_options *opt, const char *peer)
{
    static const struct stream_handlers handlers = {
        .connected = on_connected,
        .plaintext = on_plaintext,
        .writable = on_writable,
        .ended = on_ended,
        .closed = on_closed,
        .trace = on_trace,
    };
    struct serve *serve = arg;
    struct session *x = mem_alloc(sizeof *x);
    if (x == NULL)
        return NULL;
    x->serve = serve;
    x->generation = generation_hold(serve->current);
    x->number = ++serve->next_number;
    x->trace = serve->trace;
    x->trace.connection = x->number;
    (void)snprintf(x->peer, sizeof x->peer, "%s", peer);
    link_in(x);
    opt->handlers = handlers;
    opt->handlers.early = serve->mode->early != NULL && serve->attest == NULL ? on_early : NULL;
    opt->arg = x;
    if (serve->cli->verbose > 1)
        cli_note("%s: accepted", peer);
    return x;
}

void session_opened(void *arg, void *session, struct stream *s)
{
    (void)arg;
    struct session *x = session;
    x->stream = s;
    if (s == NULL)
        session_release(x);
}
