/* net/reach.c: Happy Eyeballs. Layer: net. RFC 8305. */
#include "net/reach.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/tcp.h"

#define UNIX_AGAIN_MS 20 /* the queue of a listening path is full: nobody tells when it no longer is */

struct attempt {
    struct reach *reach;
    struct event *event; /* NULL: not begun, or over */
    int fd;
    socklen_t len;
    struct sockaddr_storage to;
};

struct reach {
    struct reach_options opt;
    struct resolver *own_resolver;
    struct lookup *lookup;
    struct event *pace, *limit; /* pace: the next attempt is due */
    struct address to;          /* host "" for a path */
    char peer[sizeof((struct sockaddr_un *)0)->sun_path + TCP_PEER_MAX];
    int why; /* of the attempts that failed, the errno that says most */
    size_t n, begun, failed;
    struct attempt attempts[REACH_ADDRESSES];
};

static bool is_path(const char *target)
{
    return strncmp(target, "unix:", 5) == 0;
}

/* ---- ending ---- */

static void attempt_close(struct attempt *a)
{
    if (a->event != NULL)
        event_free(TT_TAKE(a->event));
    if (a->fd >= 0)
        (void)close(a->fd);
    a->fd = -1;
}

static void stop(struct reach *r)
{
    for (size_t i = 0; i < r->begun; i++)
        attempt_close(&r->attempts[i]);
    lookup_free(TT_TAKE(r->lookup));
    if (r->pace != NULL)
        (void)event_del(r->pace);
    if (r->limit != NULL)
        (void)event_del(r->limit);
}

void reach_free(struct reach *r)
{
    if (r == NULL)
        return;
    stop(r);
    if (r->pace != NULL)
        event_free(r->pace);
    if (r->limit != NULL)
        event_free(r->limit);
    resolver_free(r->own_resolver);
    mem_free(r);
}

static void fail(struct reach *r, const struct tt_error *err)
{
    stop(r);
    r->opt.done(r->opt.arg, -1, err);
}

static void fail_path(struct reach *r, struct tt_error *err)
{
    (void)error_set(err, r->why == ETIMEDOUT ? TT_ERR_DEADLINE : TT_ERR_IO, "cannot connect to %s: %s",
                    r->peer, r->why == ECONNREFUSED ? "connection refused" : strerror(r->why));
    if (r->why == ECONNREFUSED || r->why == ENOENT)
        error_hint(err, "nothing listens on that path");
    else if (r->why == EACCES)
        error_hint(err, "this user may not write to that socket");
}

static void fail_with(struct reach *r, int why)
{
    struct tt_error err = {0};
    r->why = why;
    if (r->to.host[0] == '\0')
        fail_path(r, &err);
    else
        (void)tcp_explain(&err, r->peer, why);
    fail(r, &err);
}

static void win(struct reach *r, struct attempt *a)
{
    int fd = a->fd;
    a->fd = -1;
    stop(r);
    if (a->to.ss_family != AF_UNIX)
        tcp_prepare(fd);
    r->opt.done(r->opt.arg, fd, NULL);
}

/* ---- attempts ---- */

static struct timeval after_ms(unsigned ms)
{
    return (struct timeval){(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
}

/* That an address cannot be reached at all says less than what another one answered. */
static void remember(struct reach *r, int why)
{
    bool says_little =
        why == ENETUNREACH || why == EADDRNOTAVAIL || why == EAFNOSUPPORT || why == EHOSTUNREACH;
    if (!says_little || r->why == 0)
        r->why = why;
}

/* A connection to a port of the ephemeral range on this machine, where nobody listens, may meet itself. */
static bool met_itself(const struct attempt *a)
{
    struct sockaddr_storage own = {0};
    char here[ADDRESS_TEXT_MAX], there[ADDRESS_TEXT_MAX];
    socklen_t len = sizeof own;
    if (a->to.ss_family == AF_UNIX || getsockname(a->fd, (struct sockaddr *)&own, &len) != 0)
        return false;
    address_format(here, (const struct sockaddr *)&own);
    address_format(there, (const struct sockaddr *)&a->to);
    return strcmp(here, there) == 0;
}

static void on_attempt(evutil_socket_t fd, short what, void *arg);

/* Returns an errno, or 0. */
static int attempt_connect(struct attempt *a)
{
    bool is_unix = a->to.ss_family == AF_UNIX;
    if (a->fd < 0)
        a->fd = socket(a->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (a->fd < 0)
        return errno;
    int why = connect(a->fd, (const struct sockaddr *)&a->to, a->len) == 0 ? 0 : errno;
    bool is_full = is_unix && why == EAGAIN;
    if (why != 0 && why != EINPROGRESS && !is_full)
        return why;
    const struct timeval again = after_ms(UNIX_AGAIN_MS);
    if (a->event == NULL)
        a->event = event_new(a->reach->opt.base, is_full ? -1 : a->fd, is_full ? EV_TIMEOUT : EV_WRITE,
                             on_attempt, a);
    return a->event == NULL || event_add(a->event, is_full ? &again : NULL) != 0 ? ENOMEM : 0;
}

static void next_at_once(struct reach *r)
{
    const struct timeval now = {0};
    (void)event_add(r->pace, &now);
}

static void attempt_failed(struct reach *r, struct attempt *a, int why)
{
    attempt_close(a);
    r->failed++;
    remember(r, why);
}

static void begin_next(struct reach *r)
{
    while (r->begun < r->n) {
        struct attempt *a = &r->attempts[r->begun++];
        int why = attempt_connect(a);
        if (why == 0) {
            const struct timeval later = after_ms(REACH_NEXT_AFTER_MS);
            if (r->begun < r->n)
                (void)event_add(r->pace, &later);
            return;
        }
        attempt_failed(r, a, why);
    }
    if (r->failed == r->n)
        next_at_once(r); /* the end is told from the loop */
}

static void on_pace(evutil_socket_t fd, short what, void *arg)
{
    struct reach *r = arg;
    (void)fd;
    (void)what;
    if (r->failed == r->n)
        fail_with(r, r->why != 0 ? r->why : EADDRNOTAVAIL);
    else
        begin_next(r);
}

static void on_attempt(evutil_socket_t fd, short what, void *arg)
{
    struct attempt *a = arg;
    int why = 0;
    socklen_t len = sizeof why;
    if ((what & EV_TIMEOUT) != 0) { /* a full queue: again */
        event_free(TT_TAKE(a->event));
        why = attempt_connect(a);
        if (why == 0)
            return;
    } else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len) == 0 && why == 0) {
        if (!met_itself(a)) {
            win(a->reach, a);
            return;
        }
        why = ECONNREFUSED;
    }
    attempt_failed(a->reach, a, why != 0 ? why : EIO);
    next_at_once(a->reach);
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
    struct reach *r = arg;
    (void)fd;
    (void)what;
    if (r->n > 0) {
        fail_with(r, ETIMEDOUT);
        return;
    }
    struct tt_error err = {0};
    (void)error_set(&err, TT_ERR_DEADLINE, "cannot find the host '%s': the resolver does not answer",
                    r->to.host);
    error_hint(&err, "check the resolver of this machine (/etc/resolv.conf)");
    fail(r, &err);
}

/* ---- addresses ---- */

static bool is_inet(const struct addrinfo *a)
{
    return a->ai_family == AF_INET || a->ai_family == AF_INET6;
}

static const struct addrinfo *skip_to(const struct addrinfo *a, bool same, int family)
{
    while (a != NULL && (!is_inet(a) || (a->ai_family == family) != same))
        a = a->ai_next;
    return a;
}

size_t reach_order(const struct addrinfo **ret, size_t max, const struct addrinfo *found)
{
    size_t n = 0;
    while (found != NULL && !is_inet(found))
        found = found->ai_next;
    int family = found == NULL ? 0 : found->ai_family;
    const struct addrinfo *next[2] = {found, skip_to(found, false, family)};
    for (bool other = false; n < max && (next[0] != NULL || next[1] != NULL); other = !other) {
        const struct addrinfo *a = next[other];
        if (a == NULL)
            continue;
        ret[n++] = a;
        next[other] = skip_to(a->ai_next, !other, family);
    }
    return n;
}

static void take_candidates(struct reach *r, const struct addrinfo *found)
{
    const struct addrinfo *order[REACH_ADDRESSES] = {0};
    r->n = reach_order(order, REACH_ADDRESSES, found);
    for (size_t i = 0; i < r->n; i++) {
        r->attempts[i] = (struct attempt){.reach = r, .fd = -1, .len = order[i]->ai_addrlen};
        memcpy(&r->attempts[i].to, order[i]->ai_addr, order[i]->ai_addrlen);
    }
    begin_next(r);
}

static void on_found(void *arg, int gai, int why, const struct addrinfo *found)
{
    struct reach *r = arg;
    if (gai == 0) {
        take_candidates(r, found);
        return;
    }
    struct tt_error err = {0};
    (void)tcp_explain_look_up(&err, r->to.host, gai, why);
    fail(r, &err);
}

static void take_path(struct reach *r, const char *path)
{
    struct attempt *a = &r->attempts[0];
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path, path, strlen(path)); /* parse saw that it fits */
    *a = (struct attempt){.reach = r, .fd = -1, .len = sizeof at};
    memcpy(&a->to, &at, sizeof at);
    r->n = 1;
    begin_next(r);
}

/* Numbers need no resolver. */
static bool take_number(struct reach *r)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    if (getaddrinfo(r->to.host, r->to.port, &hints, &found) != 0)
        return false;
    take_candidates(r, found);
    freeaddrinfo(found);
    return true;
}

/* ---- starting ---- */

static tt_rc has_host(const struct address *to, struct tt_error *err)
{
    return to->host[0] != '\0' ? TT_OK
                               : error_set(err, TT_ERR_USAGE, "the host is missing in ':%s'", to->port);
}

static tt_rc parse(struct address *ret, const char *target, struct tt_error *err)
{
    *ret = (struct address){0};
    if (!is_path(target)) {
        TT_TRY(address_parse(ret, target, err));
        return has_host(ret, err);
    }
    if (target[5] == '\0')
        return error_set(err, TT_ERR_USAGE, "'unix:' needs a path");
    if (strlen(target + 5) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return error_set(err, TT_ERR_USAGE, "the path '%s' is too long for a socket", target + 5);
    return TT_OK;
}

tt_rc reach_check(const char *target, struct tt_error *err)
{
    struct address unused;
    return parse(&unused, target, err);
}

static tt_rc begin(struct reach *r, struct tt_error *err)
{
    const struct timeval limit = after_ms(r->opt.timeout_ms != 0 ? r->opt.timeout_ms : REACH_TIMEOUT_MS);
    r->pace = evtimer_new(r->opt.base, on_pace, r);
    r->limit = evtimer_new(r->opt.base, on_limit, r);
    if (r->pace == NULL || r->limit == NULL || event_add(r->limit, &limit) != 0)
        return error_set(err, TT_ERR_MEMORY, "no memory to connect");
    if (r->opt.target != NULL && is_path(r->opt.target)) {
        take_path(r, r->opt.target + 5);
        return TT_OK;
    }
    if (r->opt.candidates != NULL) {
        take_candidates(r, r->opt.candidates);
        return TT_OK;
    }
    if (take_number(r))
        return TT_OK;
    if (r->opt.resolver == NULL)
        TT_TRY(resolver_new(&r->own_resolver, err));
    struct resolver *resolver = r->opt.resolver != NULL ? r->opt.resolver : r->own_resolver;
    return lookup_start(&r->lookup, resolver, r->opt.base, &r->to, on_found, r, err);
}

tt_rc reach_start(struct reach **ret, const struct reach_options *opt, struct tt_error *err)
{
    struct reach *r = mem_alloc(sizeof *r);
    if (r == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory to connect");
    r->opt = *opt;
    if (opt->address != NULL)
        r->to = *opt->address;
    tt_rc rc = opt->address != NULL ? has_host(&r->to, err) : parse(&r->to, opt->target, err);
    if (rc == TT_OK) {
        if (r->to.host[0] != '\0')
            tcp_peer_name(r->peer, &r->to);
        else
            (void)snprintf(r->peer, sizeof r->peer, "%s", opt->target);
        rc = begin(r, err);
    }
    r->opt.target = NULL; /* the caller's */
    r->opt.address = NULL;
    r->opt.candidates = NULL;
    if (rc != TT_OK) {
        reach_free(r);
        return rc;
    }
    *ret = r;
    return TT_OK;
}
