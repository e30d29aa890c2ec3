/* proxy/kernel.c: a connection whose records the kernel takes over, once it has carried much. Layer: proxy.
 *
 * Receiving stops between two records, what was written goes out, then the kernel gets both keys, and a
 * splicer takes the place of stream and relay. Where that point does not come soon, all stays as it is. */
#include "base/mem.h"
#include "net/clock.h"
#include "net/ktls.h"
#include "proxy/connection_internal.h"
#include "proxy/report.h"

#include <unistd.h>

#define KTLS_AFTER       (64 * 1024) /* bytes; who has little to say gains nothing by it */
#define KTLS_PATIENCE_MS 1000

static void on_late_ticket(void *arg, struct tt_session *session)
{
    struct connection *c = arg;
    if (connection_wants_tickets(c) && c->t->opt.session_mode != SESSIONS_HELD)
        connection_ticket(c, session);
    else
        tt_session_free(session);
}

static void on_half_closed(void *arg)
{
    ((struct connection *)arg)->half_closed_ns = clock_monotonic_ns();
}

static void on_closed(void *arg, const struct tt_error *error, bool is_plain)
{
    struct connection *c = arg;
    (void)is_plain;
    if (error == NULL) {
        report(REPORT_INFO, c->t->opt.name, "closed", connection_facts(c));
    } else {
        connection_reset_plaintext(c);
        report_error(REPORT_INFO, c->t->opt.name, "cut", error, connection_facts(c));
    }
    connection_free(c);
}

static void stay(struct connection *c)
{
    c->aligning_ns = 0;
    c->may_move = false;
    stream_align(c->stream, false);
    relay_hold(c->relay, false);
}

static void join(struct connection *c)
{
    struct tt_error err = {0};
    struct splice_options opt = {.base = c->w->base,
                                 .plain_fd = is_client(c) ? c->fd : c->target_fd,
                                 .peer = is_client(c) ? c->t->opt.connect : c->peer,
                                 .plain_name = is_client(c) ? "the program" : c->t->opt.connect,
                                 .session = on_late_ticket,
                                 .half_closed = on_half_closed,
                                 .closed = on_closed,
                                 .arg = c};
    c->relayed = connection_passed(c);
    relay_free(TT_TAKE(c->relay));
    stream_hand_over(c->stream, &opt.tls_fd, &opt.conn);
    stream_free(TT_TAKE(c->stream));
    tt_rc rc = tt_conn_offload(opt.conn);
    if (rc == TT_OK)
        rc = splicer_new(&c->splicer, &opt, &err);
    if (rc == TT_OK) {
        atomic_fetch_add_explicit(&c->t->counters.kernel, 1, memory_order_relaxed);
        return;
    }
    (void)close(opt.tls_fd);
    tt_conn_free(opt.conn);
    (void)error_set(&err, rc, "the kernel's records could not be joined");
    connection_cut(c, &err);
}

/* Between two records, all read; what was written may still be on its way out: then this comes once more when
 * something was sent, until kernel_consider gives it up. */
void kernel_aligned(void *arg, struct stream *s)
{
    struct connection *c = arg;
    struct tt_record_keys reading, sending;
    struct tt_error err = {0};
    bool is_lost = false;
    if (c->aligning_ns == 0)
        return;
    relay_hold(c->relay, true);
    if (!relay_is_empty(c->relay) || !tt_conn_can_offload(stream_conn(s)))
        return;
    tt_rc rc = tt_conn_record_keys(stream_conn(s), false, &reading);
    if (rc == TT_OK)
        rc = tt_conn_record_keys(stream_conn(s), true, &sending);
    if (rc == TT_OK)
        rc = ktls_begin(stream_socket(s), &reading, &sending, &is_lost, &err);
    mem_wipe(&reading, sizeof reading);
    mem_wipe(&sending, sizeof sending);
    if (rc == TT_OK)
        join(c);
    else if (is_lost)
        connection_cut(c, &err);
    else
        stay(c);
}

void kernel_consider(struct connection *c, uint64_t now_ns, uint64_t bytes)
{
    if (!c->may_move || c->relay == NULL)
        return;
    bool is_ending = c->peer_ended || c->half_closed_ns != 0;
    if (c->aligning_ns != 0 && (is_ending || now_ns >= c->aligning_ns + KTLS_PATIENCE_MS * MS)) {
        stay(c);
    } else if (c->aligning_ns == 0 && !is_ending && bytes >= KTLS_AFTER) {
        c->aligning_ns = now_ns;
        stream_align(c->stream, true);
    }
}
