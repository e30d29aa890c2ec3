/* tests/net/gated_key.c: see gated_key.h. */
#include "net/gated_key.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static tt_rc gated_sign(struct tt_key *key, uint16_t scheme, struct tt_bytes message, uint8_t *ret_sig,
                        size_t cap, size_t *ret_len, struct tt_error *err)
{
    struct gated_key *k = (struct gated_key *)key;
    pthread_mutex_lock(&k->lock);
    k->started++;
    k->signed_on = pthread_self();
    pthread_cond_broadcast(&k->changed);
    while (k->is_shut)
        pthread_cond_wait(&k->changed, &k->lock);
    struct tt_error failure = k->failure;
    pthread_mutex_unlock(&k->lock);
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
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 10;
    pthread_mutex_lock(&k->lock);
    while (*count < n) {
        if (pthread_cond_timedwait(&k->changed, &k->lock, &limit) == ETIMEDOUT) {
            fprintf(stderr, "gated_key: no %u signatures within ten seconds\n", n);
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
