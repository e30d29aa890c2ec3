/* base/lock.h: a mutex, for the few objects that are shared and change. Layer: base. */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>

struct lock {
    pthread_mutex_t mutex;
};

static inline void lock_init(struct lock *l)
{
    (void)pthread_mutex_init(&l->mutex, NULL); /* cannot fail with default attributes on Linux */
}
static inline void lock_destroy(struct lock *l)
{
    (void)pthread_mutex_destroy(&l->mutex);
}
static inline void lock_take(struct lock *l)
{
    (void)pthread_mutex_lock(&l->mutex);
}
static inline void lock_give(struct lock *l)
{
    (void)pthread_mutex_unlock(&l->mutex);
}

#endif
