/* gauge/peer.c: see peer.h. Layer: gauge. */
#include "gauge/peer.h"

#include "base/mem.h"

static void *thread_main(void *arg)
{
    struct peer *p = arg;
    lock_take(&p->lock);
    while (p->state != PEER_OVER) {
        if (p->state == PEER_FED) {
            p->rc = tt_conn_feed(p->conn, p->data.data, p->data.len, &p->used);
            p->state = PEER_IDLE;
            (void)pthread_cond_signal(&p->changed);
        }
        (void)pthread_cond_wait(&p->changed, &p->lock.mutex);
    }
    lock_give(&p->lock);
    return NULL;
}

static void peer_end(struct peer *p)
{
    lock_destroy(&p->lock);
    (void)pthread_cond_destroy(&p->changed);
    mem_free(p);
}

tt_rc peer_new(struct peer **ret, struct tt_error *err)
{
    struct peer *p = mem_alloc(sizeof *p);
    if (p == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    lock_init(&p->lock);
    (void)pthread_cond_init(&p->changed, NULL); /* cannot fail with default attributes on Linux */
    if (pthread_create(&p->thread, NULL, thread_main, p) != 0) {
        peer_end(p);
        return error_set(err, TT_ERR_IO, "cannot start a thread");
    }
    *ret = p;
    return TT_OK;
}

static void set_state(struct peer *p, enum peer_state state)
{
    lock_take(&p->lock);
    p->state = state;
    (void)pthread_cond_signal(&p->changed);
    lock_give(&p->lock);
}

void peer_free(struct peer *p)
{
    if (p == NULL)
        return;
    set_state(p, PEER_OVER);
    (void)pthread_join(p->thread, NULL);
    peer_end(p);
}

void peer_feed(struct peer *p, struct tt_conn *conn, struct tt_bytes data)
{
    p->conn = conn;
    p->data = data;
    p->used = 0;
    set_state(p, PEER_FED);
}

tt_rc peer_wait(struct peer *p, size_t *ret_used)
{
    lock_take(&p->lock);
    while (p->state == PEER_FED)
        (void)pthread_cond_wait(&p->changed, &p->lock.mutex);
    lock_give(&p->lock);
    *ret_used = p->used;
    return p->rc;
}
