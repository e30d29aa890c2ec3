/* proxy/connection.c: see connection.h. Layer: proxy.
 *
 * A client's connection: (a session, or the wait for one) -> the target is reached -> TLS -> data.
 * A server's: TLS -> the rules -> the target is reached -> the header, if one is wanted -> data.
 * Until data may pass nothing is read from the plaintext's side. Whatever fails ends both sides, and each
 * sees that it was no end: an alert, or a reset. */
#include "proxy/connection_internal.h"

#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/clock.h"
#include "net/reach.h"
#include "net/tcp.h"
#include "proxy/admit.h"
#include "proxy/report.h"

#define TICKET_PATIENCE_MS 500 /* tickets come right behind the handshake, or they do not */

struct connection *connection_next(const struct connection *c)
{
    return c->next;
}

/* ---- the end ---- */

static void bring_no_more(struct connection *c)
{
    if (c->brings)
        burst_gone(c->t->burst, &c->outcome, clock_wall_ms());
    c->brings = false;
}

struct relay_counts connection_passed(const struct connection *c)
{
    struct relay_counts n = {0};
    if (c->relay != NULL)
        n = relay_counts(c->relay);
    else if (c->splicer != NULL)
        n = splicer_counts(c->splicer);
    n.to_peer += c->relayed.to_peer;
    n.from_peer += c->relayed.from_peer;
    return n;
}

static void count_bytes(struct connection *c)
{
    struct relay_counts n = connection_passed(c);
    atomic_fetch_add_explicit(&c->t->counters.to_peer, n.to_peer, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->t->counters.from_peer, n.from_peer, memory_order_relaxed);
}

void connection_free(struct connection *c)
{
    inbox_take_back(&c->w->inbox, &c->post);
    if (c->t->burst != NULL)
        burst_leave(c->t->burst, &c->waiter);
    inbox_take_back(&c->w->inbox, &c->post); /* it may have been woken in between */
    bring_no_more(c);
    count_bytes(c);
    sign_job_cancel(c->loading);
    reach_free(c->reach);
    relay_free(c->relay);
    attest_gate_free(c->gate);
    splicer_free(c->splicer);
    stream_free(c->stream);
    connection_free_taken(c);
    if (c->again != NULL)
        ech_offer_free(c->again);
    mem_free(c->again);
    if (c->fd >= 0)
        (void)close(c->fd);
    if (c->target_fd >= 0)
        (void)close(c->target_fd);
    *c->at = c->next;
    if (c->next != NULL)
        c->next->at = c->at;
    if (c->phase != OPEN)
        atomic_fetch_sub(&c->w->beginning, 1);
    atomic_fetch_sub(&c->w->open, 1);
    atomic_fetch_sub(&c->t->counters.open, 1);
    if (tunnel_setup_drop(c->setup))
        c->w->retire(c->w->arg, c->setup);
    mem_free(c);
}

void connection_reset_plaintext(const struct connection *c)
{
    const struct linger now = {.l_onoff = 1};
    int fd = is_client(c) ? c->fd : c->target_fd;
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

json_t *connection_facts(const struct connection *c)
{
    json_t *all = json_pack("{s:s, s:s, s:I}", "id", c->id, "peer", c->peer, "ms",
                            (json_int_t)((clock_monotonic_ns() - c->began_ns) / MS));
    if (c->phase == OPEN) {
        struct relay_counts n = connection_passed(c);
        (void)json_object_set_new(all, "to_peer", json_integer((json_int_t)n.to_peer));
        (void)json_object_set_new(all, "from_peer", json_integer((json_int_t)n.from_peer));
    }
    return all;
}

void connection_refuse(struct connection *c, enum refusal cause, const struct tt_error *why)
{
    atomic_fetch_add_explicit(&c->t->counters.refused[cause], 1, memory_order_relaxed);
    struct sign_queue_state signer; /* what fails in an outage is told as a whole */
    sign_queue_look(c->w->queue, &signer);
    bool counted = signer.is_out && (cause == REFUSED_TPM || cause == REFUSED_TIMEOUT);
    report_error(counted ? REPORT_INFO : REPORT_WARNING, c->t->opt.name, "refused", why,
                 json_pack("{s:s, s:s, s:s}", "id", c->id, "peer", c->peer, "cause", refusal_name(cause)));
}

/* The alert goes out before the socket is closed: `closed` follows. */
static void abort_tls(struct connection *c, unsigned alert, const struct tt_error *why)
{
    connection_reset_plaintext(c);
    if (c->stream != NULL)
        stream_abort(c->stream, alert, why->text);
    else
        connection_free(c);
}

void connection_cut(struct connection *c, const struct tt_error *why)
{
    if (c->phase != OPEN)
        connection_refuse(c, REFUSED_TIMEOUT, why);
    else
        report_error(REPORT_NOTICE, c->t->opt.name, "cut", why, connection_facts(c));
    connection_reset_plaintext(c);
    connection_free(c);
}

/* ---- data ---- */

static void on_relay_failed(void *arg, const struct tt_error *error)
{
    struct connection *c = arg;
    report_error(REPORT_INFO, c->t->opt.name, "cut", error, connection_facts(c));
    abort_tls(c, TT_ALERT_INTERNAL_ERROR, error);
}

static void on_in_ended(void *arg)
{
    ((struct connection *)arg)->half_closed_ns = clock_monotonic_ns();
}

static void open_relay(struct connection *c, int *fd)
{
    struct tt_error err = {0};
    const struct relay_options opt = {.base = c->w->base,
                                      .stream = c->stream,
                                      .in_fd = *fd,
                                      .out_fd = *fd,
                                      .in_name = is_client(c) ? "the program" : c->t->opt.connect,
                                      .out_name = is_client(c) ? "the program" : c->t->opt.connect,
                                      .in_ended = on_in_ended,
                                      .failed = on_relay_failed,
                                      .arg = c};
    if (relay_new(&c->relay, &opt, &err) != TT_OK) {
        connection_refuse(c, REFUSED_LIMIT, &err);
        abort_tls(c, TT_ALERT_INTERNAL_ERROR, &err);
        return;
    }
    c->phase = OPEN;
    c->moved_ns = clock_monotonic_ns();
    c->may_move = c->w->ktls;
    atomic_fetch_sub(&c->w->beginning, 1);
    relay_plaintext(c->relay);
    if (c->peer_ended)
        relay_ended(c->relay);
}

/* ---- TLS ---- */

static void count_handshake(struct connection *c)
{
    struct tt_conn_info info;
    struct counters *n = &c->t->counters;
    struct stream_stats stats = stream_stats(c->stream);
    tt_conn_info(stream_conn(c->stream), &info);
    c->outcome.connected = true;
    c->outcome.resumed = info.resumed;
    c->connected_ns = clock_monotonic_ns();
    atomic_fetch_add_explicit(info.resumed           ? &n->resumed
                              : info.local_delegated ? &n->delegated
                                                     : &n->full,
                              1, memory_order_relaxed);
    histogram_add(&n->handshake, stats.handshake_ns);
    if (stats.tpm_commands > 0) {
        histogram_add(&n->sign_wait, stats.sign_wait_ns);
        histogram_add(&n->sign, stats.tpm_ns);
    }
    report(REPORT_INFO, c->t->opt.name, "connected",
           json_pack("{s:s, s:s, s:b}", "id", c->id, "peer", c->peer, "resumed", info.resumed));
}

static void go_on(struct connection *c)
{
    if (is_client(c))
        open_relay(c, &c->fd);
    else
        connection_reach(c);
}

/* The last frame says why: it has to go out before the connection ends. */
static void not_attested(struct connection *c, const struct tt_error *why)
{
    connection_reset_plaintext(c);
    connection_refuse(c, REFUSED_ATTESTATION, why);
    c->is_refused = true;
    stream_finish(c->stream);
}

static void on_attested(void *arg, const struct tt_error *error, const struct tt_attest_verdict *verdict)
{
    struct connection *c = arg;
    struct attest_gate *gate = TT_TAKE(c->gate);
    if (error == NULL && !is_client(c))
        report(REPORT_INFO, c->t->opt.name, "attested",
               json_pack("{s:s, s:s, s:s}", "id", c->id, "peer", c->peer, "ek_sha256", verdict->ek_sha256));
    if (error != NULL)
        not_attested(c, error);
    attest_gate_free(gate); /* and the error */
    if (!c->is_refused)
        go_on(c);
}

static void show_tpm(struct connection *c)
{
    struct tt_error err = {0};
    const struct attest_gate_options opt = {.base = c->w->base,
                                            .stream = c->stream,
                                            .role = c->t->opt.role,
                                            .queue = c->w->queue,
                                            .key = c->setup->attest_key,
                                            .ek_certificates = buf_bytes(&c->setup->ek_certificates),
                                            .policy = c->setup->attest,
                                            .secret = c->setup->attest_secret,
                                            .done = on_attested,
                                            .arg = c};
    c->phase = SHOWING;
    if (attest_gate_new(&c->gate, &opt, &err) != TT_OK)
        not_attested(c, &err);
}

static void on_connected(void *arg, struct stream *s)
{
    struct connection *c = arg;
    struct tt_error why = {0};
    count_handshake(c);
    if (!is_client(c) && !admit_peer(&c->w->known, &c->setup->rules, stream_conn(s), &why)) {
        connection_refuse(c, REFUSED_RULE, &why);
        abort_tls(c, TT_ALERT_ACCESS_DENIED, &why);
    } else if (c->setup->attests || c->setup->attest != NULL) {
        show_tpm(c);
    } else {
        go_on(c);
    }
}

static void on_plaintext(void *arg, struct stream *s)
{
    struct connection *c = arg;
    (void)s;
    if (c->gate != NULL)
        attest_gate_plaintext(c->gate);
    else if (c->relay != NULL)
        relay_plaintext(c->relay);
}

static void on_writable(void *arg, struct stream *s)
{
    struct connection *c = arg;
    (void)s;
    if (c->relay != NULL)
        relay_writable(c->relay);
}

static void on_ended(void *arg, struct stream *s)
{
    struct connection *c = arg;
    (void)s;
    c->peer_ended = true;
    c->half_closed_ns = clock_monotonic_ns();
    if (c->gate != NULL)
        attest_gate_ended(c->gate);
    if (c->relay != NULL)
        relay_ended(c->relay);
}

static void on_gone(void *arg, struct stream *s)
{
    (void)arg;
    stream_finish(s);
}

/* The engine's own error, or what the peer said. */
static enum refusal cause_of(const struct tt_error *error)
{
    if (error->rc == TT_ERR_TPM || error->rc == TT_ERR_AUTH || error->rc == TT_ERR_BUSY)
        return REFUSED_TPM;
    return error->rc == TT_ERR_DEADLINE ? REFUSED_TIMEOUT : REFUSED_HANDSHAKE;
}

/* True: the server rejected Encrypted Client Hello, and is tried once more with what it said. */
static bool tries_again(struct connection *c, const struct tt_error *error)
{
    const struct ech_offer blank = {.required = c->setup->ech.required};
    if (!is_client(c) || c->outcome.connected || c->again != NULL || error == NULL ||
        error->rc != TT_ERR_ECH_REJECTED)
        return false;
    c->again = mem_dup(&blank, sizeof blank);
    if (c->again == NULL || !ech_offer_again(c->again, stream_conn(c->stream), error))
        return false;
    report(REPORT_INFO, c->t->opt.name, "ech_again",
           json_pack("{s:s, s:s, s:b}", "id", c->id, "peer", c->peer, "configs",
                     buf_size(&c->again->configs) > 0));
    stream_free(TT_TAKE(c->stream));
    connection_reach(c);
    return true;
}

static void on_closed(void *arg, struct stream *s, const struct tt_error *error)
{
    struct connection *c = arg;
    if (tries_again(c, error))
        return;
    if (c->gate != NULL) {
        connection_reset_plaintext(c);
        connection_refuse(c, REFUSED_ATTESTATION, attest_gate_closed(c->gate, NULL));
        connection_free(c);
        return;
    }
    bool is_refused = c->is_refused ||
                      tt_conn_error(stream_conn(s))->alert_sent == TT_ALERT_ACCESS_DENIED; /* told already */
    if (error == NULL) {
        report(REPORT_INFO, c->t->opt.name, "closed", connection_facts(c));
    } else {
        connection_reset_plaintext(c);
        if (!c->outcome.connected)
            connection_refuse(c, cause_of(error), error);
        else if (!is_refused && c->phase == OPEN)
            report_error(REPORT_INFO, c->t->opt.name, "cut", error, connection_facts(c));
    }
    connection_free(c);
}

/* ---- streams ---- */

static void on_session(void *arg, struct stream *s, struct tt_session *session)
{
    struct connection *c = arg;
    if (c->t->opt.session_mode == SESSIONS_HELD)
        stream_refuse_tickets(s); /* what more tickets would come from must not stay in memory either */
    connection_ticket(c, session);
}

static tt_rc open_stream(struct connection *c, int fd, struct tt_error *err)
{
    static const struct stream_handlers handlers = {.connected = on_connected,
                                                    .session = on_session,
                                                    .plaintext = on_plaintext,
                                                    .writable = on_writable,
                                                    .ended = on_ended,
                                                    .gone = on_gone,
                                                    .aligned = kernel_aligned,
                                                    .closed = on_closed};
    struct stream_options opt = {.base = c->w->base,
                                 .gate = &c->w->gate,
                                 .config = c->setup->config,
                                 .role = c->t->opt.role,
                                 .server_name = c->t->opt.server_name,
                                 .peer = is_client(c) ? c->t->opt.connect : c->peer,
                                 .flow_of = c->peer,
                                 .signer = c->w->queue,
                                 .sessions = &c->taken.session,
                                 .sessions_len = c->taken.session != NULL,
                                 .handshake_timeout_s = c->t->opt.handshake_timeout_s,
                                 .handlers = handlers,
                                 .arg = c};
    if (!connection_wants_tickets(c))
        opt.handlers.session = NULL;
    if (is_client(c))
        ech_offer_put(c->again != NULL ? c->again : &c->setup->ech, &opt);
    c->phase = SHAKING;
    return stream_new(&c->stream, fd, &opt, err);
}

static void stream_failed(struct connection *c, const struct tt_error *err)
{
    connection_refuse(c, REFUSED_LIMIT, err);
    connection_reset_plaintext(c);
    connection_free(c);
}

/* ---- the target ---- */

static void on_reached(void *arg, int fd, const struct tt_error *error)
{
    struct connection *c = arg;
    struct tt_error err = {0};
    reach_free(TT_TAKE(c->reach));
    if (fd < 0) {
        connection_refuse(c, is_client(c) ? REFUSED_TLS_TARGET : REFUSED_PLAINTEXT_TARGET, error);
        abort_tls(c, TT_ALERT_INTERNAL_ERROR, error);
        return;
    }
    if (is_client(c)) {
        if (open_stream(c, fd, &err) == TT_OK)
            return;
        (void)close(fd);
        stream_failed(c, &err);
        return;
    }
    c->target_fd = fd;
    if (c->t->opt.proxy_protocol &&
        admit_header(&c->w->known, fd, c->stream, c->id, &c->setup->algorithms, &err) != TT_OK) {
        connection_refuse(c, REFUSED_PLAINTEXT_TARGET, &err);
        abort_tls(c, TT_ALERT_INTERNAL_ERROR, &err);
        return;
    }
    open_relay(c, &c->target_fd);
}

static uint64_t left_ms(const struct connection *c)
{
    uint64_t spent = (clock_monotonic_ns() - c->began_ns) / MS,
             all = c->t->opt.connect_timeout_s * UINT64_C(1000);
    return spent < all ? all - spent : 1;
}

void connection_reach(struct connection *c)
{
    struct tt_error err = {0};
    const struct reach_options opt = {.base = c->w->base,
                                      .target = c->t->opt.connect,
                                      .resolver = c->w->resolver,
                                      .timeout_ms = (unsigned)left_ms(c),
                                      .done = on_reached,
                                      .arg = c};
    c->phase = REACHING;
    if (reach_start(&c->reach, &opt, &err) != TT_OK)
        on_reached(c, -1, &err);
}

/* ---- the beginning ---- */

static void on_post(struct post *p)
{
    struct connection *c = (struct connection *)((char *)p - offsetof(struct connection, post));
    struct tt_error err = {0};
    if (c->t->burst != NULL)
        connection_seek_session(c);
    else if (is_client(c))
        connection_reach(c);
    else if (open_stream(c, c->fd, &err) == TT_OK)
        c->fd = -1;
    else
        stream_failed(c, &err);
}

static void on_arrival(struct post *p)
{
    struct connection *c = (struct connection *)((char *)p - offsetof(struct connection, post));
    c->next = c->w->connections;
    c->at = &c->w->connections;
    if (c->next != NULL)
        c->next->at = &c->next;
    c->w->connections = c;
    c->post.run = on_post;
    on_post(p);
}

/* No two of a machine are the same: a random beginning, then they are counted. On the accepting thread. */
static void give_id(char ret[17])
{
    static uint64_t last;
    if (last == 0 && getrandom(&last, sizeof last, 0) != sizeof last)
        last = clock_monotonic_ns();
    (void)snprintf(ret, 17, "%016llx", (unsigned long long)++last);
}

bool connection_hand_over(struct carrier *w, struct tunnel *t, int fd, const char *peer)
{
    struct connection *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return false;
    c->w = w;
    c->t = t;
    c->setup = tunnel_setup_get(t);
    c->fd = fd;
    c->target_fd = -1;
    c->post.run = on_arrival;
    c->waiter.wake = connection_wake;
    c->began_ns = clock_monotonic_ns();
    (void)snprintf(c->peer, sizeof c->peer, "%s", peer);
    give_id(c->id);
    atomic_fetch_add(&w->open, 1);
    atomic_fetch_add(&w->beginning, 1);
    atomic_fetch_add(&t->counters.open, 1);
    atomic_fetch_add_explicit(&t->counters.accepted, 1, memory_order_relaxed);
    tcp_prepare(fd);
    inbox_post(&w->inbox, &c->post);
    return true;
}

/* ---- time-outs ---- */

static void time_out(struct connection *c, const char *what, unsigned seconds)
{
    struct tt_error why = {0};
    (void)error_set(&why, TT_ERR_DEADLINE, "%s (%u s) is over%s", what, seconds,
                    c->phase == WAITING    ? ": no ticket came from the handshake it waited for"
                    : c->phase == REACHING ? ": the target did not answer"
                    : c->phase == SHAKING  ? ": the handshake is not complete"
                    : c->phase == SHOWING  ? ": the attestation is not complete"
                                           : "");
    connection_cut(c, &why);
}

static bool is_over(uint64_t since_ns, unsigned seconds, uint64_t now_ns)
{
    return seconds > 0 && now_ns >= since_ns + seconds * S;
}

void connection_check(struct connection *c, uint64_t now_ns)
{
    const struct tunnel_options *o = &c->t->opt;
    if (c->brings && c->connected_ns != 0 && now_ns >= c->connected_ns + TICKET_PATIENCE_MS * MS) {
        c->outcome.waited = true;
        bring_no_more(c);
    }
    if (c->phase != OPEN) {
        if (is_over(c->began_ns, o->connect_timeout_s, now_ns))
            time_out(c, "the time to connect", o->connect_timeout_s);
        return;
    }
    struct relay_counts n = connection_passed(c);
    kernel_consider(c, now_ns, n.to_peer + n.from_peer);
    if (n.to_peer + n.from_peer != c->moved) {
        c->moved = n.to_peer + n.from_peer;
        c->moved_ns = now_ns;
    }
    if (is_over(c->began_ns, o->lifetime_s, now_ns))
        time_out(c, "the lifetime", o->lifetime_s);
    else if (is_over(c->moved_ns, o->idle_timeout_s, now_ns))
        time_out(c, "the idle time", o->idle_timeout_s);
    else if (c->half_closed_ns != 0 &&
             is_over(c->moved_ns > c->half_closed_ns ? c->moved_ns : c->half_closed_ns, o->close_timeout_s,
                     now_ns))
        time_out(c, "the time that the other side has to end", o->close_timeout_s);
}
