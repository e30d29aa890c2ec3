/* proxy/carrier.c: see carrier.h. Layer: proxy. */
#include "proxy/carrier.h"

#include <signal.h>
#include <string.h>

#include "net/clock.h"
#include "net/loop.h"
#include "proxy/connection.h"

static void end_when_empty(struct carrier *w)
{
    if (w->drain_until_ns != 0 && w->connections == NULL)
        (void)event_base_loopbreak(w->base);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct carrier *w = arg;
    uint64_t now = clock_monotonic_ns();
    bool is_over = w->drain_until_ns != 0 && now >= w->drain_until_ns;
    struct tt_error why = {0};
    if (is_over)
        (void)error_set(&why, TT_ERR_CLOSED, "the proxy is shutting down");
    for (struct connection *c = w->connections, *next; c != NULL; c = next) {
        next = connection_next(c);
        if (is_over)
            connection_cut(c, &why);
        else
            connection_check(c, now);
    }
    end_when_empty(w);
}

static void on_draining(struct post *p)
{
    struct carrier *w = (struct carrier *)((char *)p - offsetof(struct carrier, draining));
    w->drain_until_ns = clock_monotonic_ns() + w->shutdown_timeout_s * UINT64_C(1000000000);
    end_when_empty(w);
}

tt_rc carrier_open(struct carrier *w, const struct carrier_options *opt, struct tt_error *err)
{
    w->resolver = opt->resolver;
    w->ktls = opt->ktls;
    w->retire = opt->retire;
    w->arg = opt->arg;
    w->shutdown_timeout_s = opt->shutdown_timeout_s;
    w->draining.run = on_draining;
    TT_TRY(loop_new(&w->base, false, err));
    TT_TRY(inbox_open(&w->inbox, w->base, err));
    const struct sign_queue_options queue = {.base = w->base, .beside = opt->beside};
    TT_TRY(sign_queue_new(&w->queue, &queue, err));
    const struct timeval every = {.tv_usec = CARRIER_TICK_MS * 1000};
    w->tick = event_new(w->base, -1, EV_PERSIST, on_tick, w);
    if (w->tick == NULL || event_add(w->tick, &every) != 0)
        return error_set(err, TT_ERR_MEMORY, "no memory for a thread's loop");
    return TT_OK;
}

static void *run(void *arg)
{
    struct carrier *w = arg;
    (void)event_base_dispatch(w->base);
    return NULL;
}

/* Signals are the accepting thread's. */
tt_rc carrier_start(struct carrier *w, struct tt_error *err)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&w->thread, NULL, run, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    w->runs = rc == 0;
    return w->runs ? TT_OK : error_set(err, TT_ERR_IO, "cannot start a thread: %s", strerror(rc));
}

void carrier_drain(struct carrier *w)
{
    if (w->runs)
        inbox_post(&w->inbox, &w->draining);
}

void carrier_join(struct carrier *w)
{
    if (w->runs)
        (void)pthread_join(w->thread, NULL);
    w->runs = false;
}

void carrier_close(struct carrier *w)
{
    struct tt_error why = {0};
    (void)error_set(&why, TT_ERR_CLOSED, "the proxy is shutting down");
    carrier_join(w);
    while (w->connections != NULL)
        connection_cut(w->connections, &why);
    known_names_free(&w->known);
    if (w->tick != NULL)
        event_free(w->tick);
    sign_queue_free(w->queue);
    inbox_close(&w->inbox);
    if (w->base != NULL)
        event_base_free(w->base);
}

void carrier_free_leftovers(struct carrier *w)
{
    for (struct leftover *l; (l = w->leftovers) != NULL;) {
        w->leftovers = l->next;
        session_taken_free(&l->taken);
        mem_free(l);
    }
}
