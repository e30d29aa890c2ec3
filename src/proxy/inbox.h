/* proxy/inbox.h: how threads hand each other what is to be done on a loop. Layer: proxy. */
#ifndef PROXY_INBOX_H
#define PROXY_INBOX_H

#include <event2/event.h>

#include "base/lock.h"
#include "base/rc.h"

#define INBOX_A_TURN 8 /* so many posts are run in one turn of the loop */

/* struct post: a part of whatever is posted. */
struct post {
    struct post *next;
    bool pending; /* under the inbox's lock */
    void (*run)(struct post *p);
};

struct inbox {
    int fd;
    struct event *ready;
    struct lock lock;
    struct post *first, **last;
};
/* inbox_open: box is zero; `run` of what is posted is called from the loop of base. */
TT_MUST_USE tt_rc inbox_open(struct inbox *box, struct event_base *base, struct tt_error *err);
void inbox_close(struct inbox *box); /* what is still in it is forgotten */
/* inbox_post: from any thread; one that is pending already comes once. */
void inbox_post(struct inbox *box, struct post *p);
/* inbox_take_back: on the loop's thread: it does not come any more. */
void inbox_take_back(struct inbox *box, struct post *p);

#endif
