/* proxy/connection_ticket.c: a connection's sessions: one to resume, before it begins, and the tickets that
 * it brings. Layer: proxy. What a TPM holds is loaded, kept and freed on the TPM's thread. */
#include "proxy/connection_internal.h"

#include <string.h>

#include "net/clock.h"
#include "proxy/report.h"

#define KEEP_DEADLINE_MS 60000

static struct session_key key_of(const struct connection *c)
{
    struct session_key key = {.peer = c->t->opt.connect, .server_name = c->t->opt.server_name};
    memcpy(key.config, c->setup->fingerprint, sizeof key.config);
    return key;
}

/* ---- one that was taken ---- */

static tt_rc free_leftover(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    (void)tpm;
    (void)err;
    session_taken_free(&((struct leftover *)arg)->taken);
    return TT_OK;
}

static void release_leftover(void *arg)
{
    mem_free(arg);
}

static void leftover_done(void *arg, const struct sign_answer *answer)
{
    (void)arg;
    (void)answer;
}

void connection_free_taken(struct connection *c)
{
    struct leftover *l = c->taken.holder != NULL ? mem_alloc(sizeof *l) : NULL;
    if (l == NULL) {
        session_taken_free(&c->taken);
        return;
    }
    const struct sign_work work = {.run = free_leftover, .release = release_leftover, .arg = l};
    const struct sign_request request = {.work = &work, .class = SIGN_OTHER, .done = leftover_done};
    struct sign_job *job;
    l->taken = c->taken;
    if (sign_queue_submit(c->w->queue, &job, &request, NULL) != TT_OK) {
        l->next = c->w->leftovers;
        c->w->leftovers = l;
    }
}

/* ---- a session first ---- */

static tt_rc load_run(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    (void)tpm;
    return held_load(arg, err);
}

static void load_done(void *arg, const struct sign_answer *answer)
{
    struct connection *c = arg;
    c->loading = NULL;
    if (answer->error.rc != TT_OK) { /* such as of another TPM, or of this one before it was cleared */
        report_error(REPORT_NOTICE, c->t->opt.name, "session_unusable", &answer->error, NULL);
        connection_free_taken(c);
        c->taken = (struct session_taken){0};
        c->outcome.offered = false;
    }
    connection_reach(c);
}

static void load_session(struct connection *c)
{
    struct tt_error err = {0};
    const struct sign_work work = {.run = load_run, .arg = c->taken.holder};
    const struct sign_request request = {.work = &work, .class = SIGN_HANDSHAKE, .done = load_done, .arg = c};
    c->phase = LOADING;
    if (sign_queue_submit(c->w->queue, &c->loading, &request, &err) == TT_OK)
        return;
    connection_refuse(c, REFUSED_TPM, &err);
    connection_reset_plaintext(c);
    connection_free(c);
}

void connection_wake(struct burst_waiter *w)
{
    struct connection *c = (struct connection *)((char *)w - offsetof(struct connection, waiter));
    inbox_post(&c->w->inbox, &c->post);
}

void connection_seek_session(struct connection *c)
{
    const struct session_key key = key_of(c);
    enum burst_answer answer = burst_ask(c->t->burst, &c->waiter, &key, clock_wall_ms(), &c->taken);
    c->brings = answer != BURST_WAIT;
    c->outcome.offered = answer == BURST_RESUME;
    if (answer == BURST_WAIT && c->phase == WAITING && c->outcome.tickets == 0)
        atomic_fetch_add_explicit(&c->t->counters.waited_for_tickets, 1, memory_order_relaxed);
    if (answer == BURST_WAIT)
        return;
    if (c->taken.holder != NULL)
        load_session(c);
    else
        connection_reach(c);
}

/* ---- tickets ---- */

struct keeping {
    struct tunnel *tunnel;
    struct session_key key;
    struct tt_session *session;
};

static tt_rc keep(struct keeping *k, struct tt_error *err)
{
    struct counters *n = &k->tunnel->counters;
    tt_rc rc = burst_keep(k->tunnel->burst, &k->key, k->session, clock_wall_ms(), err);
    atomic_fetch_add_explicit(rc == TT_OK ? &n->sessions_kept : &n->sessions_lost, 1, memory_order_relaxed);
    return rc;
}

static tt_rc keep_run(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    (void)tpm;
    return keep(arg, err);
}

static void keep_release(void *arg)
{
    struct keeping *k = arg;
    tt_session_free(k->session);
    mem_free(k);
}

static void keep_done(void *arg, const struct sign_answer *answer)
{
    const struct tunnel *t = arg;
    if (answer->error.rc != TT_OK && answer->error.rc != TT_ERR_UNSUPPORTED)
        report_error(REPORT_WARNING, t->opt.name, "session_lost", &answer->error, NULL);
}

static void keep_on_queue(struct connection *c, struct keeping *k)
{
    struct tt_error err = {0};
    struct sign_job *job;
    const struct sign_work work = {.run = keep_run, .release = keep_release, .arg = k};
    const struct sign_request request = {
        .work = &work, .class = SIGN_OTHER, .deadline_ms = KEEP_DEADLINE_MS, .done = keep_done, .arg = c->t};
    if (sign_queue_submit(c->w->queue, &job, &request, &err) == TT_OK)
        return;
    atomic_fetch_add_explicit(&c->t->counters.sessions_lost, 1, memory_order_relaxed);
    report_error(REPORT_WARNING, c->t->opt.name, "session_lost", &err, NULL);
    keep_release(k);
}

void connection_ticket(struct connection *c, struct tt_session *session)
{
    struct tt_error err = {0};
    struct keeping *k = mem_alloc(sizeof *k);
    if (k == NULL) {
        tt_session_free(session);
        return;
    }
    c->outcome.tickets++;
    *k = (struct keeping){.tunnel = c->t, .key = key_of(c), .session = session};
    if (c->t->opt.session_mode == SESSIONS_HELD) {
        keep_on_queue(c, k);
        return;
    }
    if (keep(k, &err) != TT_OK)
        report_error(REPORT_WARNING, c->t->opt.name, "session_lost", &err, NULL);
    keep_release(k);
}

bool connection_wants_tickets(const struct connection *c)
{
    return c->t->opt.session_mode != SESSIONS_OFF && c->t->burst != NULL;
}
