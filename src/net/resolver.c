/* net/resolver.c: looking names up on threads. Layer: net.
 *
 * A question is on the list while it waits or is asked; `lock` guards the list and who waits for what. An
 * answer is counted: by its question, and by all who were told. */
#include "net/resolver.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/mem.h"

struct answer {
    size_t refs;
    int gai, why;
    struct addrinfo *found;
};

struct question {
    struct address to;
    struct answer *answer;
    bool is_asked; /* a thread has it */
    struct lookup *waiters;
    struct question *next;
};

struct resolver {
    struct lock lock;
    size_t refs; /* the owner's and each thread's */
    size_t threads, waiting;
    struct question *questions;
};

struct lookup {
    struct resolver *resolver;
    struct question *question; /* while it is not answered */
    struct answer *answer;
    struct lookup *next;
    struct event *told;
    int event_fd;
    lookup_done_fn done;
    void *arg;
};

/* ---- with the lock held ---- */

static void answer_drop(struct answer *a)
{
    if (a == NULL || --a->refs > 0)
        return;
    if (a->found != NULL)
        freeaddrinfo(a->found);
    mem_free(a);
}

static struct question *question_new(struct resolver *r, const struct address *to)
{
    struct question *q = mem_alloc(sizeof *q);
    struct answer *a = mem_alloc(sizeof *a);
    if (q == NULL || a == NULL) {
        mem_free(q);
        mem_free(a);
        return NULL;
    }
    a->refs = 1;
    *q = (struct question){.to = *to, .answer = a, .next = r->questions};
    r->questions = q;
    r->waiting++;
    return q;
}

static struct question *question_find(struct resolver *r, const struct address *to)
{
    struct question *q = r->questions;
    while (q != NULL && (strcmp(q->to.host, to->host) != 0 || strcmp(q->to.port, to->port) != 0))
        q = q->next;
    return q;
}

/* The one that has waited longest. */
static struct question *question_next(struct resolver *r)
{
    struct question *oldest = NULL;
    for (struct question *q = r->questions; q != NULL; q = q->next)
        if (!q->is_asked)
            oldest = q;
    return oldest;
}

static void question_end(struct resolver *r, struct question *q)
{
    struct question **at = &r->questions;
    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    r->waiting--;
    answer_drop(q->answer);
    mem_free(q);
}

static void tell(struct question *q)
{
    const uint64_t one = 1;
    for (struct lookup *l = q->waiters, *next; l != NULL; l = next) {
        next = l->next;
        l->question = NULL;
        l->answer = q->answer;
        q->answer->refs++;
        while (write(l->event_fd, &one, sizeof one) < 0 && errno == EINTR)
            ;
    }
}

/* Gives the lock. */
static void resolver_drop(struct resolver *r)
{
    bool is_last = --r->refs == 0;
    lock_give(&r->lock);
    if (!is_last)
        return;
    lock_destroy(&r->lock);
    mem_free(r);
}

/* ---- threads ---- */

static void ask(struct answer *a, const struct address *to)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
    const struct addrinfo any = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    a->gai = getaddrinfo(to->host, to->port, &hints, &found);
    if (a->gai != 0) /* AI_ADDRCONFIG hides the loopback on a machine with no other address */
        a->gai = getaddrinfo(to->host, to->port, &any, &found);
    a->why = a->gai == EAI_SYSTEM ? errno : 0;
    a->found = a->gai == 0 ? found : NULL;
}

static void *work(void *arg)
{
    struct resolver *r = arg;
    lock_take(&r->lock);
    for (struct question *q = question_next(r); q != NULL; q = question_next(r)) {
        q->is_asked = true;
        lock_give(&r->lock);
        ask(q->answer, &q->to); /* nobody else changes these, nor frees them */
        lock_take(&r->lock);
        tell(q);
        question_end(r, q);
    }
    r->threads--;
    resolver_drop(r);
    return NULL;
}

/* With the lock held. The process's signals are for other threads. */
static int thread_start(struct resolver *r)
{
    sigset_t all, old;
    pthread_t id;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int why = pthread_create(&id, NULL, work, r);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (why != 0)
        return why;
    (void)pthread_detach(id);
    r->threads++;
    r->refs++;
    return 0;
}

/* ---- the loop's side ---- */

tt_rc resolver_new(struct resolver **ret, struct tt_error *err)
{
    struct resolver *r = mem_alloc(sizeof *r);
    if (r == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory to look names up");
    lock_init(&r->lock);
    r->refs = 1;
    *ret = r;
    return TT_OK;
}

void resolver_free(struct resolver *r)
{
    if (r == NULL)
        return;
    lock_take(&r->lock);
    for (struct question *q = r->questions, *next; q != NULL; q = next) {
        next = q->next;
        if (!q->is_asked)
            question_end(r, q);
    }
    resolver_drop(r);
}

static void on_told(evutil_socket_t fd, short what, void *arg)
{
    struct lookup *l = arg;
    uint64_t count;
    (void)what;
    if (read(fd, &count, sizeof count) < 0)
        return;
    lock_take(&l->resolver->lock);
    const struct answer *a = l->answer; /* complete: it was told */
    lock_give(&l->resolver->lock);
    l->done(l->arg, a->gai, a->why, a->found);
}

/* Joins the question, or asks it. */
static tt_rc lookup_ask(struct lookup *l, const struct address *to, struct tt_error *err)
{
    struct resolver *r = l->resolver;
    struct question *q = question_find(r, to);
    if (q == NULL && r->waiting >= RESOLVER_WAITING)
        return error_set(err, TT_ERR_BUSY, "too many names are being looked up");
    if (q == NULL) {
        q = question_new(r, to);
        if (q == NULL)
            return error_set(err, TT_ERR_MEMORY, "no memory to look a name up");
        int why = r->threads < RESOLVER_THREADS ? thread_start(r) : 0;
        if (why != 0 && r->threads == 0) {
            question_end(r, q);
            return error_set(err, TT_ERR_MEMORY, "cannot start a thread to look a name up: %s",
                             strerror(why));
        }
    }
    l->question = q;
    l->next = q->waiters;
    q->waiters = l;
    return TT_OK;
}

static tt_rc lookup_set_up(struct lookup *l, struct event_base *base, const struct address *to,
                           struct tt_error *err)
{
    l->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->event_fd < 0)
        return error_set(err, TT_ERR_IO, "cannot make an eventfd: %s", strerror(errno));
    l->told = event_new(base, l->event_fd, EV_READ, on_told, l);
    if (l->told == NULL || event_add(l->told, NULL) != 0)
        return error_set(err, TT_ERR_MEMORY, "no memory to look a name up");
    lock_take(&l->resolver->lock);
    tt_rc rc = lookup_ask(l, to, err);
    lock_give(&l->resolver->lock);
    return rc;
}

tt_rc lookup_start(struct lookup **ret, struct resolver *r, struct event_base *base, const struct address *to,
                   lookup_done_fn done, void *arg, struct tt_error *err)
{
    struct lookup *l = mem_alloc(sizeof *l);
    if (l == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory to look a name up");
    *l = (struct lookup){.resolver = r, .event_fd = -1, .done = done, .arg = arg};
    tt_rc rc = lookup_set_up(l, base, to, err);
    if (rc != TT_OK) {
        lookup_free(l);
        return rc;
    }
    *ret = l;
    return TT_OK;
}

void lookup_free(struct lookup *l)
{
    if (l == NULL)
        return;
    lock_take(&l->resolver->lock);
    if (l->question != NULL) {
        struct lookup **at = &l->question->waiters;
        while (*at != l)
            at = &(*at)->next;
        *at = l->next;
    }
    answer_drop(l->answer);
    lock_give(&l->resolver->lock);
    if (l->told != NULL)
        event_free(l->told);
    if (l->event_fd >= 0)
        (void)close(l->event_fd);
    mem_free(l);
}
