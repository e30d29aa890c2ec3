/* proxy/inbox.c: see inbox.h. Layer: proxy. */
#include "proxy/inbox.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct post *take_first(struct inbox *box)
{
    lock_take(&box->lock);
    struct post *p = box->first;
    if (p != NULL) {
        box->first = p->next;
        if (box->first == NULL)
            box->last = &box->first;
        p->pending = false;
    }
    lock_give(&box->lock);
    return p;
}

/* A crowd that arrives at once is taken in over several turns, so that sockets have theirs in between. What
 * was taken back has its count left, and nobody behind it. */
static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct inbox *box = arg;
    uint64_t one;
    for (int i = 0; i < INBOX_A_TURN && read(fd, &one, sizeof one) == (ssize_t)sizeof one; i++) {
        struct post *p = take_first(box);
        if (p != NULL)
            p->run(p);
    }
}

tt_rc inbox_open(struct inbox *box, struct event_base *base, struct tt_error *err)
{
    lock_init(&box->lock);
    box->last = &box->first;
    box->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    if (box->fd < 0)
        return error_set(err, TT_ERR_IO, "cannot make an eventfd: %s", strerror(errno));
    box->ready = event_new(base, box->fd, EV_READ | EV_PERSIST, on_ready, box);
    if (box->ready == NULL || event_add(box->ready, NULL) != 0)
        return error_set(err, TT_ERR_MEMORY, "no memory for a loop");
    return TT_OK;
}

void inbox_close(struct inbox *box)
{
    if (box->last == NULL)
        return;
    if (box->ready != NULL)
        event_free(TT_TAKE(box->ready));
    if (box->fd >= 0)
        (void)close(box->fd);
    lock_destroy(&box->lock);
    *box = (struct inbox){.fd = -1};
}

void inbox_post(struct inbox *box, struct post *p)
{
    const uint64_t one = 1;
    lock_take(&box->lock);
    bool is_new = !p->pending;
    if (is_new) {
        p->pending = true;
        p->next = NULL;
        *box->last = p;
        box->last = &p->next;
    }
    lock_give(&box->lock);
    while (is_new && write(box->fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

void inbox_take_back(struct inbox *box, struct post *p)
{
    lock_take(&box->lock);
    struct post **at = &box->first;
    while (p->pending && *at != p)
        at = &(*at)->next;
    if (p->pending) {
        *at = p->next;
        if (box->last == &p->next)
            box->last = at;
        p->pending = false;
    }
    lock_give(&box->lock);
}
