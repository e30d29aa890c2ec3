/* tests/net/gated_key.c: see gated_key.h. */
#include "net/gated_key.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT_PATIENCE_S 10
#define GATE_PATIENCE_S  20 /* more: a test may hold the gate while it waits for a count */

static struct timespec after_s(time_t seconds)
{
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += seconds;
    return limit;
}

/* With the lock held. Bounded, so that a case that failed before it opened the gate says so: whoever owns the
 * worker waits for it at the end. */
static bool wait_at_gate(struct gated_key *k)
{
    const struct timespec limit = after_s(GATE_PATIENCE_S);
    while (k->is_shut) {
        if (pthread_cond_timedwait(&k->changed, &k->lock, &limit) == ETIMEDOUT && k->is_shut) {
            fprintf(stderr, "gated_key: the gate was not opened within %d seconds\n", GATE_PATIENCE_S);
            return false;
        }
    }
    return true;
}

static tt_rc gated_sign(struct tt_key *key, uint16_t scheme, struct tt_bytes message, uint8_t *ret_sig,
                        size_t cap, size_t *ret_len, struct tt_error *err)
{
    struct gated_key *k = (struct gated_key *)key;
    pthread_mutex_lock(&k->lock);
    k->started++;
    k->signed_on = pthread_self();
    pthread_cond_broadcast(&k->changed);
    bool was_opened = wait_at_gate(k);
    struct tt_error failure = k->failure;
    pthread_mutex_unlock(&k->lock);
    if (!was_opened)
        (void)error_set(&failure, TT_ERR_INTERNAL, "the gate was not opened");
    if (failure.rc == TT_OK)
        *ret_len = test_sign(k->real, scheme, message, ret_sig, cap);
    else if (err != NULL)
        *err = failure;
    pthread_mutex_lock(&k->lock);
    k->ended++;
    pthread_cond_broadcast(&k->changed);
    pthread_mutex_unlock(&k->lock);
    return failure.rc;
}

struct gated_key *gated_key_new(struct test_key *real)
{
    static const struct signer_ops ops = {.sign = gated_sign};
    struct gated_key *k = calloc(1, sizeof *k);
    if (k == NULL)
        abort();
    k->key = (struct tt_key){.ops = &ops, .schemes = {real->scheme}, .schemes_len = 1};
    k->real = real;
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->changed, NULL);
    return k;
}

void gated_key_free(struct gated_key *k)
{
    test_key_free(k->real);
    pthread_mutex_destroy(&k->lock);
    pthread_cond_destroy(&k->changed);
    free(k);
}

static void gate_set(struct gated_key *k, bool is_shut)
{
    pthread_mutex_lock(&k->lock);
    k->is_shut = is_shut;
    pthread_cond_broadcast(&k->changed);
    pthread_mutex_unlock(&k->lock);
}

void gated_key_shut(struct gated_key *k)
{
    gate_set(k, true);
}

void gated_key_open(struct gated_key *k)
{
    gate_set(k, false);
}

static void wait_until(struct gated_key *k, const unsigned *count, unsigned n)
{
    const struct timespec limit = after_s(COUNT_PATIENCE_S);
    pthread_mutex_lock(&k->lock);
    while (*count < n) {
        if (pthread_cond_timedwait(&k->changed, &k->lock, &limit) == ETIMEDOUT && *count < n) {
            fprintf(stderr, "gated_key: no %u signatures within %d seconds\n", n, COUNT_PATIENCE_S);
            abort();
        }
    }
    pthread_mutex_unlock(&k->lock);
}

void gated_key_wait_started(struct gated_key *k, unsigned n)
{
    wait_until(k, &k->started, n);
}

void gated_key_wait_ended(struct gated_key *k, unsigned n)
{
    wait_until(k, &k->ended, n);
}

unsigned gated_key_started(struct gated_key *k)
{
    pthread_mutex_lock(&k->lock);
    unsigned n = k->started;
    pthread_mutex_unlock(&k->lock);
    return n;
}
