/* proxy/reload.c: what changes while the proxy runs: setups made anew, tunnels that come and go. Layer:
 * proxy.
 *
 * A reload reads the file of tunnels (reread), then goes through them one after the other: each setup is made
 * on the TPM's thread and installed here. What fails leaves what was there before in force. */
#include <stdio.h>
#include <string.h>

#include "net/clock.h"
#include "proxy/proxy_internal.h"
#include "proxy/report.h"

#define RELOAD_DEADLINE_MS 60000
/* Of a tunnel that nobody is in any more, a ticket may still be on its way to the store (connection.c gives
 * it a minute), and a setup of it be made. */
#define GONE_AFTER_S 150
#define LOOK_EVERY_S 5

/* struct reload: one tunnel's, on its way. The queue and the loop hold it: who waits may be told before the
 * work ends. */
struct reload {
    atomic_uint holders;
    struct proxy *proxy;
    struct tunnel *tunnel;
    struct tunnel_setup *before, *made;
};

/* ---- setups that nobody holds any more, tunnels that are gone ---- */

void proxy_retire(void *arg, struct tunnel_setup *setup)
{
    struct proxy *p = arg;
    lock_take(&p->lock);
    setup->next = p->retired;
    p->retired = setup;
    lock_give(&p->lock);
    inbox_post(&p->inbox, &p->retiring);
}

/* On the accepting thread. */
static void let_go(struct proxy *p, struct tunnel *t)
{
    if (p->opt.left != NULL)
        p->opt.left(p->opt.arg, &t->opt);
    lock_take(&p->lock);
    t->next = p->gone;
    p->gone = t;
    lock_give(&p->lock);
    inbox_post(&p->inbox, &p->retiring);
}

void proxy_unmake_all(struct proxy *p)
{
    lock_take(&p->lock);
    struct tunnel_setup *list = TT_TAKE(p->retired);
    struct tunnel *gone = TT_TAKE(p->gone);
    lock_give(&p->lock);
    for (struct tunnel_setup *s; (s = list) != NULL;) {
        list = s->next;
        p->opt.unmake(p->opt.arg, s);
    }
    for (struct tunnel *t; (t = gone) != NULL;) {
        gone = t->next;
        proxy_tunnel_free(p, t);
    }
}

static tt_rc unmake_run(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    (void)tpm;
    (void)err;
    proxy_unmake_all(arg);
    return TT_OK;
}

static void unmake_done(void *arg, const struct sign_answer *answer)
{
    struct proxy *p = arg;
    (void)answer; /* what it did not come to waits for the next one, or for the end */
    p->unmaking = NULL;
}

void proxy_on_retiring(struct post *post)
{
    struct proxy *p = (struct proxy *)((char *)post - offsetof(struct proxy, retiring));
    const struct sign_work work = {.run = unmake_run, .arg = p};
    const struct sign_request request = {.work = &work, .class = SIGN_OTHER, .done = unmake_done, .arg = p};
    if (p->unmaking == NULL && p->queue != NULL)
        (void)!sign_queue_submit(p->queue, &p->unmaking, &request, NULL);
}

/* ---- tunnels that leave ---- */

static void look_later(struct proxy *p)
{
    const struct timeval later = {.tv_sec = LOOK_EVERY_S};
    if (p->leaving != NULL)
        (void)event_add(p->leaving_look, &later);
}

static bool is_gone(struct tunnel *t, uint64_t now)
{
    if (atomic_load(&t->counters.open) > 0)
        t->empty_since_ns = 0;
    else if (t->empty_since_ns == 0)
        t->empty_since_ns = now;
    return t->empty_since_ns != 0 && now >= t->empty_since_ns + GONE_AFTER_S * UINT64_C(1000000000);
}

static void on_leaving_look(evutil_socket_t fd, short what, void *arg)
{
    struct proxy *p = arg;
    uint64_t now = clock_monotonic_ns();
    (void)fd;
    (void)what;
    for (struct tunnel **at = &p->leaving, *t; (t = *at) != NULL;) {
        if (!is_gone(t, now)) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        let_go(p, t);
    }
    look_later(p);
}

static void leave(struct proxy *p, struct tunnel *t)
{
    struct tunnel **at = &p->tunnels;
    while (*at != NULL && *at != t)
        at = &(*at)->next;
    if (*at == t)
        *at = t->next;
    proxy_tunnel_leave(p, t);
    t->next = p->leaving;
    p->leaving = t;
    if (p->leaving_look == NULL)
        p->leaving_look = evtimer_new(p->base, on_leaving_look, p);
    if (p->leaving_look != NULL) /* else they stay until the end */
        look_later(p);
}

/* ---- one tunnel ---- */

static void reload_next(struct proxy *p);

static tt_rc reload_run(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    struct reload *r = arg;
    (void)tpm;
    return r->proxy->opt.make(r->proxy->opt.arg, &r->tunnel->opt, r->before, &r->made, err);
}

/* What was made too late ends on the thread that made it. */
static void reload_drop(void *arg)
{
    struct reload *r = arg;
    if (atomic_fetch_sub_explicit(&r->holders, 1, memory_order_acq_rel) > 1)
        return;
    if (r->made != NULL)
        r->proxy->opt.unmake(r->proxy->opt.arg, r->made);
    if (r->before != NULL && tunnel_setup_drop(r->before))
        proxy_retire(r->proxy, r->before);
    mem_free(r);
}

static void install(struct proxy *p, struct tunnel *t, struct tunnel_setup *made)
{
    struct tunnel_setup *former = tunnel_install(t, made, clock_wall_s());
    proxy_delegate(p, t);
    if (tunnel_setup_drop(former))
        proxy_retire(p, former);
    report(REPORT_NOTICE, t->opt.name, "reloaded", NULL);
}

/* Its listeners are the former's where they are the same: nobody who connects in between is turned away. */
static tt_rc take_place(struct proxy *p, const struct step *s, struct tt_error *err)
{
    struct tunnel *t = s->tunnel, *former = s->former;
    if (former == NULL || strcmp(former->opt.listen, t->opt.listen) != 0)
        return proxy_tunnel_listen(p, t, err);
    t->acceptor = TT_TAKE(former->acceptor);
    acceptor_serve(t->acceptor, t);
    return TT_OK;
}

static tt_rc arrive(struct proxy *p, const struct step *s, struct tunnel_setup *made, struct tt_error *err)
{
    struct tunnel *t = s->tunnel;
    TT_TRY(proxy_tunnel_fill(t, made, err));
    TT_TRY(take_place(p, s, err));
    struct tunnel **at = &p->tunnels;
    while (*at != NULL && *at != s->former)
        at = &(*at)->next;
    t->next = *at;
    *at = t;
    if (s->former != NULL)
        leave(p, s->former);
    proxy_tunnel_begin(p, t);
    report(REPORT_NOTICE, t->opt.name, s->former != NULL ? "replaced" : "added",
           json_pack("{s:s, s:s}", "listen", t->opt.listen, "connect", t->opt.connect));
    return TT_OK;
}

static void step_failed(struct proxy *p, const struct step *s, const struct tt_error *why)
{
    struct tunnel *t = s->tunnel, *in_force = s->is_new ? s->former : t;
    if (in_force != NULL)
        tunnel_reload_failed(in_force, why);
    report_error(REPORT_WARNING, t != NULL ? t->opt.name : NULL, "reload_failed", why,
                 json_pack("{s:s}", "in_force",
                           in_force != NULL ? "what was there before" : "no tunnel of that name"));
    if (s->is_new && t != NULL)
        let_go(p, t);
}

static void reload_done(void *arg, const struct sign_answer *answer)
{
    struct proxy *p = arg;
    struct reload *r = TT_TAKE(p->reload);
    const struct step *s = &p->steps[p->step];
    struct tt_error err = answer->error;
    p->job = NULL;
    if (err.rc == TT_OK && !s->is_new)
        install(p, s->tunnel, TT_TAKE(r->made));
    else if (err.rc == TT_OK)
        (void)!arrive(p, s, TT_TAKE(r->made), &err);
    if (err.rc != TT_OK)
        step_failed(p, s, &err);
    reload_drop(r);
    p->step++;
    reload_next(p);
}

static tt_rc reload_submit(struct proxy *p, const struct step *s, struct tt_error *err)
{
    struct reload *r = mem_alloc(sizeof *r);
    if (r == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    *r = (struct reload){.holders = 2,
                         .proxy = p,
                         .tunnel = s->tunnel,
                         .before = s->is_new ? NULL : tunnel_setup_get(s->tunnel)};
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

/* ---- all of them ---- */

static struct tunnel *find(const struct proxy *p, const char *name)
{
    struct tunnel *t = p->tunnels;
    while (t != NULL && strcmp(t->opt.name, name) != 0)
        t = t->next;
    return t;
}

static bool is_named(const struct proxy_tunnels *now, const char *name)
{
    for (size_t i = 0; i < now->tunnels_len; i++)
        if (strcmp(now->tunnels[i].name, name) == 0)
            return true;
    return false;
}

static void leave_those_gone(struct proxy *p, const struct proxy_tunnels *now)
{
    for (struct tunnel *t = p->tunnels, *next; t != NULL; t = next) {
        next = t->next;
        if (is_named(now, t->opt.name))
            continue;
        leave(p, t);
        report(REPORT_NOTICE, t->opt.name, "removed",
               json_pack("{s:I}", "open", (json_int_t)atomic_load(&t->counters.open)));
    }
}

static tt_rc steps_of_file(struct proxy *p, const struct proxy_tunnels *now, struct tt_error *err)
{
    p->steps = mem_alloc((now->tunnels_len + 1) * sizeof *p->steps);
    for (size_t i = 0; p->steps != NULL && i < now->tunnels_len; i++) {
        struct tunnel *there = find(p, now->tunnels[i].name);
        struct step *s = &p->steps[p->steps_len];
        *s = (struct step){.tunnel = there};
        if (there == NULL || there->opt.maker != now->tunnels[i].maker)
            *s = (struct step){.tunnel = proxy_tunnel_new(&now->tunnels[i]), .former = there, .is_new = true};
        if (s->tunnel == NULL)
            return error_set(err, TT_ERR_MEMORY, "no memory for a tunnel");
        p->steps_len++;
    }
    return p->steps != NULL ? TT_OK : error_set(err, TT_ERR_MEMORY, "no memory for a reload");
}

static tt_rc steps_of_those_there(struct proxy *p, struct tt_error *err)
{
    size_t n = 0;
    for (const struct tunnel *t = p->tunnels; t != NULL; t = t->next)
        n++;
    p->steps = mem_alloc((n + 1) * sizeof *p->steps);
    if (p->steps == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for a reload");
    for (struct tunnel *t = p->tunnels; t != NULL; t = t->next)
        p->steps[p->steps_len++] = (struct step){.tunnel = t};
    return TT_OK;
}

static void forget_steps(struct proxy *p)
{
    for (size_t i = p->step; i < p->steps_len; i++)
        if (p->steps[i].is_new)
            let_go(p, p->steps[i].tunnel);
    mem_free(TT_TAKE(p->steps));
    p->steps_len = p->step = 0;
}

static tt_rc read_file(struct proxy *p, struct tt_error *err)
{
    struct proxy_tunnels now = {0};
    TT_TRY(p->opt.reread(p->opt.arg, &now, err));
    TT_TRY(watch_set(p->watch, now.watched, now.watched_len, err));
    tt_rc rc = steps_of_file(p, &now, err);
    if (rc == TT_OK)
        leave_those_gone(p, &now);
    else
        forget_steps(p);
    return rc;
}

static void plan(struct proxy *p)
{
    struct tt_error err = {0};
    tt_rc rc = p->opt.reread != NULL ? read_file(p, &err) : TT_OK;
    (void)snprintf(p->file_error, sizeof p->file_error, "%s", err.text);
    if (rc != TT_OK)
        report_error(REPORT_WARNING, NULL, "reload_failed", &err,
                     json_pack("{s:s}", "in_force", "the tunnels that are there"));
    if ((rc != TT_OK || p->opt.reread == NULL) && steps_of_those_there(p, &err) != TT_OK)
        report_error(REPORT_WARNING, NULL, "reload_failed", &err, NULL);
}

static void reload_next(struct proxy *p)
{
    for (; p->step < p->steps_len; p->step++) {
        struct tt_error err = {0};
        const struct step *s = &p->steps[p->step];
        if (reload_submit(p, s, &err) == TT_OK)
            return; /* goes on in reload_done */
        step_failed(p, s, &err);
    }
    forget_steps(p);
    (void)notify_ready(p->notify);
    if (p->reload_again) {
        p->reload_again = false;
        proxy_reload(p);
    }
}

void proxy_reload(struct proxy *p)
{
    if (p->is_draining)
        return;
    if (p->steps != NULL) {
        p->reload_again = true;
        return;
    }
    (void)notify_reloading(p->notify);
    plan(p);
    reload_next(p);
}

void proxy_reload_end(struct proxy *p)
{
    sign_job_cancel(p->job);
    if (p->reload != NULL)
        reload_drop(p->reload);
    forget_steps(p);
    if (p->leaving_look != NULL)
        event_free(p->leaving_look);
}
