/* proxy/acceptor.c: see acceptor.h. Layer: proxy. Out of descriptors, the next one is accepted with the
 * descriptor that was kept for it, and closed, so that it is no puzzle to whoever connects; then it waits a
 * little. */
#include "proxy/acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "proxy/connection.h"
#include "proxy/report.h"

#define ACCEPT_BURST   16
#define RETRY_AFTER_US 50000

struct acceptor {
    struct acceptor_options opt;
    struct listeners listeners;
    struct event *acceptable[LISTENERS_MAX], *retry;
    int reserve; /* a descriptor for the moment when there is no other */
    size_t turn;
};

static int take_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void watch(struct acceptor *a, bool on)
{
    for (size_t i = 0; i < a->listeners.n; i++)
        (void)(on ? event_add(a->acceptable[i], NULL) : event_del(a->acceptable[i]));
}

static void pause_accepting(struct acceptor *a)
{
    const struct timeval later = {.tv_usec = RETRY_AFTER_US};
    watch(a, false);
    (void)event_add(a->retry, &later);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    watch(arg, true);
}

static struct carrier *least_busy(struct acceptor *a)
{
    struct carrier *best = NULL;
    for (size_t i = 0; i < a->opt.carriers_len; i++) {
        struct carrier *w = &a->opt.carriers[(a->turn + i) % a->opt.carriers_len];
        unsigned busy = atomic_load(&w->beginning), open = atomic_load(&w->open);
        if (best == NULL || busy < atomic_load(&best->beginning) ||
            (busy == atomic_load(&best->beginning) && open < atomic_load(&best->open)))
            best = w;
    }
    a->turn++;
    return best;
}

static void turn_away(struct acceptor *a, const char *why)
{
    struct tt_error err = {0};
    (void)error_set(&err, TT_ERR_BUSY, "%s", why);
    error_hint(&err, "raise the limit of open files (ulimit -n, LimitNOFILE=)");
    atomic_fetch_add_explicit(&a->opt.tunnel->counters.refused[REFUSED_LIMIT], 1, memory_order_relaxed);
    report_error(REPORT_WARNING, a->opt.tunnel->opt.name, "refused", &err,
                 json_pack("{s:s}", "cause", "limit"));
}

static void accept_failed(struct acceptor *a, int listener, int why)
{
    if (why == EAGAIN || why == EWOULDBLOCK || why == EINTR || why == ECONNABORTED || why == EPROTO ||
        why == EPERM)
        return;
    if ((why == EMFILE || why == ENFILE) && a->reserve >= 0) {
        (void)close(a->reserve);
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            (void)close(fd);
        a->reserve = take_reserve();
    }
    turn_away(a, strerror(why));
    pause_accepting(a);
}

/* False: enough for this turn. */
static bool accept_one(struct acceptor *a, int listener)
{
    struct sockaddr_storage from = {0};
    socklen_t len = sizeof from;
    char peer[ADDRESS_TEXT_MAX];
    struct tunnel *t = a->opt.tunnel;
    if ((size_t)atomic_load(&t->counters.open) >= t->opt.max_connections) {
        pause_accepting(a); /* they wait in the kernel */
        return false;
    }
    int fd = accept4(listener, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        accept_failed(a, listener, errno);
        return false;
    }
    address_format(peer, (const struct sockaddr *)&from);
    if (!connection_hand_over(least_busy(a), t, fd, peer)) {
        (void)close(fd);
        turn_away(a, "out of memory");
    }
    return true;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    for (int i = 0; i < ACCEPT_BURST && accept_one(arg, fd); i++)
        continue;
}

tt_rc acceptor_open(struct acceptor **ret, const struct acceptor_options *opt, struct tt_error *err)
{
    struct acceptor *a = mem_alloc(sizeof *a);
    if (a == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for a listener");
    *ret = a; /* whatever happens: acceptor_free */
    a->opt = *opt;
    a->reserve = take_reserve();
    TT_TRY(listen_adopt(&a->listeners, opt->tunnel->opt.listen, opt->handed, err));
    a->retry = evtimer_new(opt->base, on_retry, a);
    for (size_t i = 0; i < a->listeners.n; i++) {
        a->acceptable[i] = event_new(opt->base, a->listeners.fd[i], EV_READ | EV_PERSIST, on_acceptable, a);
        if (a->acceptable[i] == NULL || a->retry == NULL)
            return error_set(err, TT_ERR_MEMORY, "no memory for a listener");
    }
    watch(a, true);
    for (size_t i = 0; i < a->listeners.n; i++)
        report(REPORT_NOTICE, opt->tunnel->opt.name, "listening",
               json_pack("{s:s, s:s}", "address", a->listeners.name[i], "connect", opt->tunnel->opt.connect));
    return TT_OK;
}

void acceptor_serve(struct acceptor *a, struct tunnel *t)
{
    a->opt.tunnel = t;
}

struct listeners *acceptor_listeners(struct acceptor *a)
{
    return &a->listeners;
}

void acceptor_stop(struct acceptor *a)
{
    if (a == NULL)
        return;
    if (a->retry != NULL)
        event_free(TT_TAKE(a->retry));
    for (size_t i = 0; i < a->listeners.n; i++)
        if (a->acceptable[i] != NULL)
            event_free(TT_TAKE(a->acceptable[i]));
    listen_close(&a->listeners);
}

void acceptor_free(struct acceptor *a)
{
    if (a == NULL)
        return;
    acceptor_stop(a);
    if (a->reserve >= 0)
        (void)close(a->reserve);
    mem_free(a);
}
