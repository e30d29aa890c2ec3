/* proxy/proxy.c: the accepting thread: start, reload, end. Layer: proxy. */
#include "proxy/proxy.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/clock.h"
#include "proxy/acceptor.h"
#include "proxy/notify.h"
#include "proxy/page.h"
#include "proxy/status.h"
#include "proxy/report.h"
#include "proxy/watch.h"
#include "proxy/carrier.h"

#define THREADS_MAX        64
#define RELOAD_DEADLINE_MS 60000

/* struct reload: one tunnel's, on its way. The queue and the loop hold it: who waits may be told before the
 * work ends. */
struct reload {
    atomic_uint holders;
    struct proxy *proxy;
    size_t i;
    struct tunnel_setup *before, *made;
};

struct proxy {
    struct proxy_options opt;
    struct event_base *base; /* opt.base */
    struct inbox inbox;
    struct sign_queue *queue;
    struct resolver *resolver;
    struct tunnel *tunnels;
    struct acceptor **acceptors; /* one a tunnel */
    struct carrier carriers[THREADS_MAX];
    size_t carriers_len;
    struct watch *watch;
    struct status *status;
    struct notify *notify;
    struct event *signals[3];
    bool is_draining;

    /* a reload: one tunnel after the other, on the TPM's thread */
    bool reload_again;
    size_t reloading; /* the tunnel; tunnels_len: none */
    struct sign_job *job;
    struct reload *reload;

    struct lock lock;
    struct tunnel_setup *retired; /* under the lock */
    struct post retiring;
    struct sign_job *unmaking;
};

/* ---- setups that nobody holds any more ---- */

static void retire(void *arg, struct tunnel_setup *setup)
{
    struct proxy *p = arg;
    lock_take(&p->lock);
    setup->next = p->retired;
    p->retired = setup;
    lock_give(&p->lock);
    inbox_post(&p->inbox, &p->retiring);
}

static void unmake_all(struct proxy *p)
{
    lock_take(&p->lock);
    struct tunnel_setup *list = TT_TAKE(p->retired);
    lock_give(&p->lock);
    for (struct tunnel_setup *s; (s = list) != NULL;) {
        list = s->next;
        p->opt.unmake(p->opt.arg, s);
    }
}

static tt_rc unmake_run(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    (void)tpm;
    (void)err;
    unmake_all(arg);
    return TT_OK;
}

static void unmake_done(void *arg, const struct sign_answer *answer)
{
    struct proxy *p = arg;
    (void)answer; /* what it did not come to waits for the next one, or for the end */
    p->unmaking = NULL;
}

static void on_retiring(struct post *post)
{
    struct proxy *p = (struct proxy *)((char *)post - offsetof(struct proxy, retiring));
    const struct sign_work work = {.run = unmake_run, .arg = p};
    const struct sign_request request = {.work = &work, .class = SIGN_OTHER, .done = unmake_done, .arg = p};
    if (p->unmaking == NULL && p->queue != NULL)
        (void)!sign_queue_submit(p->queue, &p->unmaking, &request, NULL);
}

/* ---- delegated credentials ---- */

static void on_delegated(void *arg, const struct delegate_report *what)
{
    const struct tunnel *t = arg;
    if (what->error->rc != TT_OK)
        report_error(REPORT_WARNING, t->opt.name, "delegation_failed", what->error, NULL);
    else
        report(REPORT_INFO, t->opt.name, "delegated",
               json_pack("{s:I}", "valid_until", (json_int_t)what->valid_until));
}

static void delegate(struct proxy *p, struct tunnel *t)
{
    struct tt_error err = {0};
    delegate_free(TT_TAKE(t->delegator));
    if (t->setup->delegation == NULL)
        return;
    const struct delegate_options opt = {.base = p->base,
                                         .queue = p->queue,
                                         .key = t->setup->key,
                                         .delegation = t->setup->delegation,
                                         .lifetime_s = t->opt.delegate_s,
                                         .told = on_delegated,
                                         .arg = t};
    if (delegate_start(&t->delegator, &opt, &err) != TT_OK)
        report_error(REPORT_WARNING, t->opt.name, "delegation_failed", &err, NULL);
}

/* ---- reload ---- */

static void reload_next(struct proxy *p);

static tt_rc reload_run(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    struct reload *r = arg;
    (void)tpm;
    return r->proxy->opt.make(r->proxy->opt.arg, r->i, r->before, &r->made, err);
}

/* What was made too late ends on the thread that made it. */
static void reload_drop(void *arg)
{
    struct reload *r = arg;
    if (atomic_fetch_sub_explicit(&r->holders, 1, memory_order_acq_rel) > 1)
        return;
    if (r->made != NULL)
        r->proxy->opt.unmake(r->proxy->opt.arg, r->made);
    if (tunnel_setup_drop(r->before))
        retire(r->proxy, r->before);
    mem_free(r);
}

static void install(struct proxy *p, struct tunnel *t, struct tunnel_setup *made)
{
    struct tunnel_setup *former = tunnel_install(t, made, clock_wall_s());
    delegate(p, t);
    if (tunnel_setup_drop(former))
        retire(p, former);
    report(REPORT_NOTICE, t->opt.name, "reloaded", NULL);
}

static void reload_failed(struct tunnel *t, const struct tt_error *why)
{
    tunnel_reload_failed(t, why);
    report_error(REPORT_WARNING, t->opt.name, "reload_failed", why,
                 json_pack("{s:s}", "in_force", "what was there before"));
}

static void reload_done(void *arg, const struct sign_answer *answer)
{
    struct proxy *p = arg;
    struct reload *r = TT_TAKE(p->reload);
    struct tunnel *t = &p->tunnels[r->i];
    p->job = NULL;
    if (answer->error.rc == TT_OK)
        install(p, t, TT_TAKE(r->made));
    else
        reload_failed(t, &answer->error);
    reload_drop(r);
    p->reloading++;
    reload_next(p);
}

static tt_rc reload_submit(struct proxy *p, struct tunnel *t, struct tt_error *err)
{
    struct reload *r = mem_alloc(sizeof *r);
    if (r == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    *r = (struct reload){.holders = 2, .proxy = p, .i = p->reloading, .before = tunnel_setup_get(t)};
    const struct sign_work work = {.run = reload_run, .release = reload_drop, .arg = r};
    const struct sign_request request = {
        .work = &work, .class = SIGN_OTHER, .deadline_ms = RELOAD_DEADLINE_MS, .done = reload_done, .arg = p};
    tt_rc rc = sign_queue_submit(p->queue, &p->job, &request, err);
    if (rc == TT_OK) {
        p->reload = r;
        return TT_OK;
    }
    atomic_store(&r->holders, 1); /* the queue did not take it */
    reload_drop(r);
    return rc;
}

static void reload_next(struct proxy *p)
{
    for (; p->reloading < p->opt.tunnels_len; p->reloading++) {
        struct tt_error err = {0};
        struct tunnel *t = &p->tunnels[p->reloading];
        if (reload_submit(p, t, &err) == TT_OK)
            return; /* goes on in reload_done */
        reload_failed(t, &err);
    }
    (void)notify_ready(p->notify);
    if (p->reload_again) {
        p->reload_again = false;
        p->reloading = 0;
        reload_next(p);
    }
}

static void reload_start(struct proxy *p)
{
    if (p->is_draining)
        return;
    if (p->reloading < p->opt.tunnels_len) {
        p->reload_again = true;
        return;
    }
    (void)notify_reloading(p->notify);
    p->reloading = 0;
    reload_next(p);
}

static void on_files_changed(void *arg)
{
    reload_start(arg);
}

/* ---- signals ---- */

static void on_hup(evutil_socket_t signal_number, short what, void *arg)
{
    (void)signal_number;
    (void)what;
    reload_start(arg);
}

static void on_term(evutil_socket_t signal_number, short what, void *arg)
{
    struct proxy *p = arg;
    (void)what;
    if (p->is_draining)
        _exit(128 + (int)signal_number); /* asked twice: at once */
    p->is_draining = true;
    (void)notify_stopping(p->notify);
    report(REPORT_NOTICE, NULL, "stopping", json_pack("{s:i}", "signal", (int)signal_number));
    for (size_t i = 0; i < p->opt.tunnels_len; i++)
        acceptor_stop(p->acceptors[i]);
    for (size_t i = 0; i < p->carriers_len; i++)
        carrier_drain(&p->carriers[i]);
    (void)event_base_loopbreak(p->base); /* the carriers are waited for */
}

static tt_rc watch_signals(struct proxy *p, struct tt_error *err)
{
    p->signals[0] = evsignal_new(p->base, SIGHUP, on_hup, p);
    p->signals[1] = evsignal_new(p->base, SIGTERM, on_term, p);
    p->signals[2] = evsignal_new(p->base, SIGINT, on_term, p);
    for (size_t i = 0; i < TT_COUNT(p->signals); i++)
        if (p->signals[i] == NULL || event_add(p->signals[i], NULL) != 0)
            return error_set(err, TT_ERR_IO, "cannot watch for signals");
    return TT_OK;
}

/* ---- the status ---- */

static bool is_ready(void *arg)
{
    return !((const struct proxy *)arg)->is_draining;
}

static struct page_source page_of(struct proxy *p)
{
    return (struct page_source){.tunnels = p->tunnels, .tunnels_len = p->opt.tunnels_len, .queue = p->queue};
}

static json_t *status_json(void *arg)
{
    const struct page_source source = page_of(arg);
    return page_status(&source);
}

static char *status_metrics(void *arg)
{
    const struct page_source source = page_of(arg);
    return page_metrics(&source);
}

/* ---- start ---- */

static tt_rc make_tunnels(struct proxy *p, struct tt_error *err)
{
    p->tunnels = mem_alloc(p->opt.tunnels_len * sizeof *p->tunnels);
    p->acceptors = mem_alloc(p->opt.tunnels_len * sizeof(struct acceptor *));
    if (p->tunnels == NULL || p->acceptors == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < p->opt.tunnels_len; i++) {
        struct tunnel *t = &p->tunnels[i];
        struct tunnel_setup *setup = NULL;
        lock_init(&t->lock);
        t->opt = p->opt.tunnels[i];
        TT_TRY(p->opt.make(p->opt.arg, i, NULL, &setup, err));
        (void)tunnel_install(t, setup, clock_wall_s());
        if (t->opt.role == TT_CLIENT)
            TT_TRY(burst_new(&t->burst, t->opt.sessions, t->opt.burst, err));
    }
    return TT_OK;
}

static tt_rc start_carriers(struct proxy *p, struct tt_error *err)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t n = p->opt.threads > 0 ? p->opt.threads : cores > 0 ? (size_t)cores : 1;
    const struct carrier_options opt = {
        .beside = p->queue, .shutdown_timeout_s = p->opt.shutdown_timeout_s, .retire = retire, .arg = p};
    for (size_t i = 0; i < n && i < THREADS_MAX; i++) {
        p->carriers_len++;
        TT_TRY(carrier_open(&p->carriers[i], &opt, err));
    }
    for (size_t i = 0; i < p->carriers_len; i++)
        TT_TRY(carrier_start(&p->carriers[i], err));
    return TT_OK;
}

static tt_rc start_listening(struct proxy *p, struct tt_error *err)
{
    for (size_t i = 0; i < p->opt.tunnels_len; i++) {
        const struct acceptor_options opt = {.base = p->base,
                                             .tunnel = &p->tunnels[i],
                                             .carriers = p->carriers,
                                             .carriers_len = p->carriers_len};
        TT_TRY(acceptor_open(&p->acceptors[i], &opt, err));
    }
    return TT_OK;
}

static tt_rc start(struct proxy *p, struct tt_error *err)
{
    TT_TRY(inbox_open(&p->inbox, p->base, err));
    TT_TRY(watch_new(&p->watch, p->base, p->opt.watched, p->opt.watched_len, on_files_changed, p, err));
    TT_TRY(make_tunnels(p, err));
    const struct sign_queue_options queue = {.base = p->base,
                                             .tpm = p->opt.tpm != NULL ? *p->opt.tpm : NULL,
                                             .deadline_ms = p->opt.sign_deadline_ms};
    TT_TRY(sign_queue_new(&p->queue, &queue, err));
    TT_TRY(watch_signals(p, err));
    TT_TRY(start_carriers(p, err));
    TT_TRY(start_listening(p, err));
    if (p->opt.status != NULL) {
        const struct status_source source = {
            .status = status_json, .metrics = status_metrics, .is_ready = is_ready, .arg = p};
        TT_TRY(status_open(&p->status, p->base, p->opt.status, &source, err));
        report(REPORT_NOTICE, NULL, "status", json_pack("{s:s}", "address", status_address(p->status)));
    }
    TT_TRY(notify_new(&p->notify, p->base, err));
    if (p->opt.started != NULL)
        TT_TRY(p->opt.started(p->opt.arg, p->base, p->queue, err));
    for (size_t i = 0; i < p->opt.tunnels_len; i++)
        delegate(p, &p->tunnels[i]);
    return TT_OK;
}

/* ---- end ---- */

static void free_tunnel(struct proxy *p, struct tunnel *t)
{
    burst_free(t->burst);
    if (t->setup != NULL && tunnel_setup_drop(t->setup))
        p->opt.unmake(p->opt.arg, t->setup);
    lock_destroy(&t->lock);
}

static void end(struct proxy *p)
{
    for (size_t i = 0; p->acceptors != NULL && i < p->opt.tunnels_len; i++)
        acceptor_free(p->acceptors[i]);
    status_free(p->status);
    watch_free(p->watch);
    for (size_t i = 0; i < p->carriers_len; i++)
        carrier_drain(&p->carriers[i]);
    for (size_t i = 0; i < p->carriers_len; i++)
        carrier_close(&p->carriers[i]);
    resolver_free(p->resolver);
    for (size_t i = 0; p->tunnels != NULL && i < p->opt.tunnels_len; i++)
        delegate_free(p->tunnels[i].delegator);
    if (p->opt.ended != NULL && p->queue != NULL)
        p->opt.ended(p->opt.arg);
    sign_job_cancel(p->job);
    if (p->reload != NULL)
        reload_drop(p->reload);
    sign_job_cancel(p->unmaking);
    sign_queue_free(p->queue);
    unmake_all(p);
    for (size_t i = 0; i < p->carriers_len; i++)
        carrier_free_leftovers(&p->carriers[i]);
    for (size_t i = 0; p->tunnels != NULL && i < p->opt.tunnels_len; i++)
        free_tunnel(p, &p->tunnels[i]);
    for (size_t i = 0; i < TT_COUNT(p->signals); i++)
        if (p->signals[i] != NULL)
            event_free(p->signals[i]);
    notify_free(p->notify);
    inbox_close(&p->inbox);
    mem_free(p->acceptors);
    mem_free(p->tunnels);
    lock_destroy(&p->lock);
    report_flush();
}

tt_rc proxy_run(const struct proxy_options *opt, struct tt_error *err)
{
    struct proxy *p = mem_alloc(sizeof *p);
    if (p == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    p->opt = *opt;
    p->base = opt->base;
    p->reloading = opt->tunnels_len;
    p->retiring.run = on_retiring;
    p->inbox.fd = -1;
    lock_init(&p->lock);
    tt_rc rc = start(p, err);
    if (rc == TT_OK) {
        (void)notify_ready(p->notify);
        (void)event_base_dispatch(p->base);
    }
    end(p);
    mem_free(p);
    return rc;
}
