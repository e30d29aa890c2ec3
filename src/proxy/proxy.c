/* proxy/proxy.c: the accepting thread: start and end. Layer: proxy. */
#include "proxy/proxy.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/clock.h"
#include "proxy/page.h"
#include "proxy/proxy_internal.h"
#include "proxy/report.h"

/* ---- delegated credentials ---- */

/* On the thread of whichever loop met it. Without a field "error": it is not one of the lines that are
 * counted. */
static void on_outage(void *arg, const struct outage_news *news)
{
    (void)arg;
    json_t *fields = json_pack("{s:s, s:i, s:I}", "state", outage_state_name(news->state), "seconds",
                               (int)news->seconds, "failed", (json_int_t)news->failed);
    if (news->why.rc != TT_OK)
        (void)json_object_set_new(fields, "reason", report_text(news->why.text));
    if (news->why.hint[0] != '\0')
        (void)json_object_set_new(fields, "hint", report_text(news->why.hint));
    report(REPORT_WARNING, NULL, "tpm_outage", fields);
}

static void on_delegated(void *arg, const struct delegate_report *what)
{
    const struct tunnel *t = arg;
    if (what->error->rc != TT_OK)
        report_error(REPORT_WARNING, t->opt.name, "delegation_failed", what->error, NULL);
    else
        report(REPORT_INFO, t->opt.name, "delegated",
               json_pack("{s:I}", "valid_until", (json_int_t)what->valid_until));
}

void proxy_delegate(struct proxy *p, struct tunnel *t)
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

/* ---- sockets that outlive the process ---- */

/* A name in systemd's store, in which an address may not stand as it is. FNV-1a. */
static void stored_name(char ret[32], const char *address)
{
    uint64_t h = 0xcbf29ce484222325U;
    for (const char *c = address; *c != '\0'; c++)
        h = (h ^ (uint8_t)*c) * 0x100000001b3U;
    (void)snprintf(ret, 32, LISTEN_STORED_NAME "%016llx", (unsigned long long)h);
}

/* With FileDescriptorStoreMax= of the unit: who connects while the service restarts waits, and is not
 * refused. What a .socket unit has needs no store. A path then stays, for the next process. */
static void store(struct proxy *p, const char *where, struct listeners *l)
{
    char name[32];
    if (strncmp(where, "systemd", 7) == 0 || getenv("FDSTORE") == NULL)
        return;
    for (size_t i = 0; i < l->n; i++) {
        stored_name(name, l->name[i]);
        if (notify_remove(p->notify, name) && notify_store(p->notify, l->fd[i], name))
            listen_disown(l);
    }
}

static void store_no_more(struct proxy *p, const struct listeners *l)
{
    char name[32];
    for (size_t i = 0; i < l->n && getenv("FDSTORE") != NULL; i++) {
        stored_name(name, l->name[i]);
        (void)notify_remove(p->notify, name);
    }
}

static size_t add_listeners(int *ret, size_t n, size_t cap, const struct listeners *l)
{
    for (size_t i = 0; i < l->n && n < cap; i++)
        ret[n++] = l->fd[i];
    return n;
}

static size_t all_listeners(void *arg, int *ret, size_t cap)
{
    struct proxy *p = arg;
    size_t n = 0;
    for (struct tunnel *t = p->tunnels; t != NULL; t = t->next)
        n = add_listeners(ret, n, cap, acceptor_listeners(t->acceptor));
    return p->status != NULL ? add_listeners(ret, n, cap, status_listeners(p->status)) : n;
}

static void drain(struct proxy *p);

/* They are the new process's now. */
static void let_go(void *arg)
{
    struct proxy *p = arg;
    for (struct tunnel *t = p->tunnels; t != NULL; t = t->next)
        listen_disown(acceptor_listeners(t->acceptor));
    if (p->status != NULL)
        listen_disown(status_listeners(p->status));
    status_free(TT_TAKE(p->status));
    drain(p);
}

/* ---- tunnels ---- */

struct tunnel *proxy_tunnel_new(const struct tunnel_options *opt)
{
    struct tunnel *t = mem_alloc(sizeof *t);
    if (t == NULL)
        return NULL;
    lock_init(&t->lock);
    t->opt = *opt;
    return t;
}

void proxy_tunnel_free(struct proxy *p, struct tunnel *t)
{
    burst_free(t->burst);
    if (t->setup != NULL && tunnel_setup_drop(t->setup))
        p->opt.unmake(p->opt.arg, t->setup);
    if (p->opt.release != NULL)
        p->opt.release(p->opt.arg, t->opt.maker);
    lock_destroy(&t->lock);
    mem_free(t);
}

tt_rc proxy_tunnel_fill(struct tunnel *t, struct tunnel_setup *setup, struct tt_error *err)
{
    (void)tunnel_install(t, setup, clock_wall_s());
    return t->opt.role == TT_CLIENT ? burst_new(&t->burst, t->opt.sessions, t->opt.burst, err) : TT_OK;
}

tt_rc proxy_tunnel_listen(struct proxy *p, struct tunnel *t, struct tt_error *err)
{
    const struct acceptor_options opt = {.base = p->base,
                                         .tunnel = t,
                                         .carriers = p->carriers,
                                         .carriers_len = p->carriers_len,
                                         .handed = &p->handed};
    tt_rc rc = acceptor_open(&t->acceptor, &opt, err);
    if (rc == TT_OK)
        store(p, t->opt.listen, acceptor_listeners(t->acceptor));
    else
        acceptor_free(TT_TAKE(t->acceptor));
    return rc;
}

void proxy_tunnel_begin(struct proxy *p, struct tunnel *t)
{
    if (p->opt.began != NULL)
        p->opt.began(p->opt.arg, &t->opt, p->queue);
    proxy_delegate(p, t);
}

void proxy_tunnel_leave(struct proxy *p, struct tunnel *t)
{
    if (t->acceptor != NULL && !p->is_draining)
        store_no_more(p, acceptor_listeners(t->acceptor));
    acceptor_free(TT_TAKE(t->acceptor));
    delegate_free(TT_TAKE(t->delegator));
    if (p->opt.left != NULL)
        p->opt.left(p->opt.arg, &t->opt);
}

static void on_files_changed(void *arg)
{
    proxy_reload(arg);
}

/* ---- signals ---- */

static void on_hup(evutil_socket_t signal_number, short what, void *arg)
{
    (void)signal_number;
    (void)what;
    proxy_reload(arg);
}

static void drain(struct proxy *p)
{
    p->is_draining = true;
    (void)notify_stopping(p->notify);
    for (struct tunnel *t = p->tunnels; t != NULL; t = t->next)
        acceptor_stop(t->acceptor);
    for (size_t i = 0; i < p->carriers_len; i++)
        carrier_drain(&p->carriers[i]);
    (void)event_base_loopbreak(p->base); /* the carriers are waited for */
}

static void on_term(evutil_socket_t signal_number, short what, void *arg)
{
    struct proxy *p = arg;
    (void)what;
    if (p->is_draining)
        _exit(128 + (int)signal_number); /* asked twice: at once */
    report(REPORT_NOTICE, NULL, "stopping", json_pack("{s:i}", "signal", (int)signal_number));
    drain(p);
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
    return (struct page_source){.tunnels = p->tunnels,
                                .queue = p->queue,
                                .file_error = p->file_error,
                                .ktls =
                                    p->ktls == KTLS_UNKNOWN ? "off, as asked" : ktls_support_text(p->ktls)};
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
    struct tunnel **last = &p->tunnels;
    for (size_t i = 0; i < p->opt.tunnels_len; i++) {
        struct tunnel *t = proxy_tunnel_new(&p->opt.tunnels[i]);
        struct tunnel_setup *setup = NULL;
        if (t == NULL)
            return error_set(err, TT_ERR_MEMORY, "out of memory");
        *last = t;
        last = &t->next;
        TT_TRY(p->opt.make(p->opt.arg, &t->opt, NULL, &setup, err));
        TT_TRY(proxy_tunnel_fill(t, setup, err));
    }
    return TT_OK;
}

static tt_rc start_carriers(struct proxy *p, struct tt_error *err)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t n = p->opt.threads > 0 ? p->opt.threads : cores > 0 ? (size_t)cores : 1;
    const struct carrier_options opt = {.beside = p->queue,
                                        .resolver = p->resolver,
                                        .ktls = p->ktls == KTLS_FULL,
                                        .shutdown_timeout_s = p->opt.shutdown_timeout_s,
                                        .retire = proxy_retire,
                                        .arg = p};
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
    for (struct tunnel *t = p->tunnels; t != NULL; t = t->next)
        TT_TRY(proxy_tunnel_listen(p, t, err));
    return TT_OK;
}

static tt_rc find_sockets(struct proxy *p, struct tt_error *err)
{
    listen_stored(&p->handed);
    return p->opt.takeover != NULL ? takeover_ask(&p->handed, &p->former, p->opt.takeover, err) : TT_OK;
}

static tt_rc take_over(struct proxy *p, struct tt_error *err)
{
    const struct takeover_source source = {.listeners = all_listeners, .let_go = let_go, .arg = p};
    listen_handed_close(&p->handed); /* what nobody wants any more */
    if (p->opt.takeover == NULL)
        return TT_OK;
    int former = p->former;
    p->former = -1;
    if (former >= 0)
        TT_TRY(takeover_ready(former, err));
    return takeover_open(&p->takeover, p->base, p->opt.takeover, &source, err);
}

static tt_rc start(struct proxy *p, struct tt_error *err)
{
    TT_TRY(notify_new(&p->notify, p->base, err));
    TT_TRY(find_sockets(p, err));
    TT_TRY(inbox_open(&p->inbox, p->base, err));
    TT_TRY(watch_new(&p->watch, p->base, p->opt.watched, p->opt.watched_len, on_files_changed, p, err));
    TT_TRY(make_tunnels(p, err));
    const struct sign_queue_options queue = {.base = p->base,
                                             .tpm = p->opt.tpm != NULL ? *p->opt.tpm : NULL,
                                             .deadline_ms = p->opt.sign_deadline_ms,
                                             .outage = on_outage};
    TT_TRY(sign_queue_new(&p->queue, &queue, err));
    TT_TRY(watch_signals(p, err));
    TT_TRY(resolver_new(&p->resolver, err));
    if (!p->opt.no_ktls) {
        p->ktls = ktls_probe();
        report(REPORT_NOTICE, NULL, "ktls", json_pack("{s:s}", "state", ktls_support_text(p->ktls)));
    }
    TT_TRY(start_carriers(p, err));
    TT_TRY(start_listening(p, err));
    if (p->opt.status != NULL) {
        const struct status_source source = {.status = status_json,
                                             .metrics = status_metrics,
                                             .is_ready = is_ready,
                                             .arg = p,
                                             .handed = &p->handed};
        TT_TRY(status_open(&p->status, p->base, p->opt.status, &source, err));
        report(REPORT_NOTICE, NULL, "status", json_pack("{s:s}", "address", status_address(p->status)));
    }
    if (p->opt.started != NULL)
        TT_TRY(p->opt.started(p->opt.arg, err));
    for (struct tunnel *t = p->tunnels; t != NULL; t = t->next)
        proxy_tunnel_begin(p, t);
    return take_over(p, err);
}

/* ---- end ---- */

static void free_all(struct proxy *p, struct tunnel *list)
{
    for (struct tunnel *t; (t = list) != NULL;) {
        list = t->next;
        proxy_tunnel_free(p, t);
    }
}

static void end(struct proxy *p)
{
    for (struct tunnel *t = p->tunnels; t != NULL; t = t->next)
        acceptor_stop(t->acceptor);
    status_free(p->status);
    takeover_free(p->takeover);
    listen_handed_close(&p->handed);
    if (p->former >= 0)
        (void)close(p->former);
    watch_free(p->watch);
    for (size_t i = 0; i < p->carriers_len; i++)
        carrier_drain(&p->carriers[i]);
    for (size_t i = 0; i < p->carriers_len; i++)
        carrier_close(&p->carriers[i]);
    resolver_free(p->resolver);
    for (struct tunnel *t = p->tunnels; t != NULL; t = t->next)
        proxy_tunnel_leave(p, t);
    proxy_reload_end(p);
    sign_job_cancel(p->unmaking);
    sign_queue_free(p->queue);
    proxy_unmake_all(p);
    for (size_t i = 0; i < p->carriers_len; i++)
        carrier_free_leftovers(&p->carriers[i]);
    free_all(p, p->tunnels);
    free_all(p, p->leaving);
    for (size_t i = 0; i < TT_COUNT(p->signals); i++)
        if (p->signals[i] != NULL)
            event_free(p->signals[i]);
    notify_free(p->notify);
    inbox_close(&p->inbox);
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
    p->retiring.run = proxy_on_retiring;
    p->inbox.fd = -1;
    p->former = -1;
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
