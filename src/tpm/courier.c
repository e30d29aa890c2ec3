/* tpm/courier.c: the courier's thread. Layer: tpm. */
#include "tpm/courier.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

#define MAX_COMMAND 4096

struct courier {
    struct courier_tcti way;
    tt_rc (*open)(struct courier_tcti *ret, const char *spec, struct tt_error *err);
    char *spec;
    tt_rc opened;
    struct tt_error why;

    pid_t owner;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool under_way; /* the thread has an errand */
    bool leave;     /* the thread shall end; with an errand: and take everything with it */

    size_t command_len, response_len;
    TSS2_RC rc;
    uint8_t command[MAX_COMMAND], response[COURIER_MAX_RESPONSE];
};

static void courier_destroy(struct courier *c)
{
    if (c->way.tcti != NULL)
        c->way.close(&c->way.tcti);
    (void)pthread_mutex_destroy(&c->lock);
    (void)pthread_cond_destroy(&c->changed);
    mem_free(c->spec);
    mem_free(c);
}

/* ---- the thread ---- */

static void run_errand(struct courier *c)
{
    if (c->open != NULL) {
        c->opened = c->open(&c->way, c->spec, &c->why);
        c->open = NULL;
        return;
    }
    c->response_len = sizeof c->response;
    c->rc = Tss2_Tcti_Transmit(c->way.tcti, c->command_len, c->command);
    if (c->rc == TSS2_RC_SUCCESS)
        c->rc = Tss2_Tcti_Receive(c->way.tcti, &c->response_len, c->response, TSS2_TCTI_TIMEOUT_BLOCK);
}

/* Returns whether there is nobody left to free c. */
static bool serve(struct courier *c)
{
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!c->under_way && !c->leave)
            pthread_cond_wait(&c->changed, &c->lock);
        if (!c->under_way)
            break;
        pthread_mutex_unlock(&c->lock);
        run_errand(c);
        pthread_mutex_lock(&c->lock);
        if (c->leave) {
            pthread_mutex_unlock(&c->lock);
            return true;
        }
        c->under_way = false;
        pthread_cond_broadcast(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
    return false;
}

static void *courier_main(void *arg)
{
    struct courier *c = arg;
    if (serve(c))
        courier_destroy(c);
    return NULL;
}

static int thread_start(struct courier *c)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&c->thread, NULL, courier_main, c);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

/* ---- the owner ---- */

static struct courier *courier_make(struct courier_tcti way)
{
    pthread_condattr_t monotonic;
    struct courier *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return NULL;
    c->way = way;
    c->owner = getpid();
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&c->lock, NULL);
    (void)pthread_cond_init(&c->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    return c;
}

tt_rc courier_new(struct courier **ret, struct courier_tcti way)
{
    struct courier *c = courier_make(way);
    if (c == NULL) {
        way.close(&way.tcti);
        return TT_ERR_MEMORY;
    }
    if (thread_start(c) != 0) {
        courier_destroy(c);
        return TT_ERR_IO;
    }
    *ret = c;
    return TT_OK;
}

/* With the lock held: false when the time is over first. */
static bool await(struct courier *c, uint64_t until_ns)
{
    const struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000U),
                                   .tv_nsec = (long)(until_ns % 1000000000U)};
    int rc = 0;
    while (c->under_way && rc != ETIMEDOUT)
        rc = until_ns == 0 ? pthread_cond_wait(&c->changed, &c->lock)
                           : pthread_cond_timedwait(&c->changed, &c->lock, &until);
    return !c->under_way;
}

tt_rc courier_open(struct courier **ret,
                   tt_rc (*open)(struct courier_tcti *ret, const char *spec, struct tt_error *err),
                   const char *spec, uint64_t until_ns, struct tt_error *err)
{
    struct courier *c = courier_make((struct courier_tcti){0});
    if (c == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    c->open = open;
    c->spec = mem_strdup(spec);
    c->under_way = true;
    if (c->spec == NULL || thread_start(c) != 0) {
        courier_destroy(c);
        return error_set(err, TT_ERR_MEMORY, "cannot start a thread for the TPM");
    }
    pthread_mutex_lock(&c->lock);
    bool done = await(c, until_ns);
    pthread_mutex_unlock(&c->lock);
    *ret = c; /* also on failure: the meter keeps count of those that hang */
    if (!done)
        return TT_ERR_DEADLINE;
    if (c->opened != TT_OK && err != NULL)
        *err = c->why;
    return c->opened;
}

void courier_free(struct courier *c)
{
    if (c == NULL)
        return;
    if (c->owner != getpid()) { /* there is no thread here, and nobody who would unlock */
        if (c->way.tcti != NULL)
            c->way.close(&c->way.tcti);
        mem_free(c->spec);
        mem_free(c);
        return;
    }
    pthread_mutex_lock(&c->lock);
    bool orphan = c->under_way;
    c->leave = true;
    if (orphan)
        (void)pthread_detach(c->thread);
    pthread_cond_broadcast(&c->changed);
    pthread_t thread = c->thread;
    pthread_mutex_unlock(&c->lock);
    if (orphan)
        return;
    (void)pthread_join(thread, NULL);
    courier_destroy(c);
}

bool courier_is_under_way(struct courier *c)
{
    pthread_mutex_lock(&c->lock);
    bool under_way = c->under_way;
    pthread_mutex_unlock(&c->lock);
    return under_way;
}

TSS2_RC courier_send(struct courier *c, const uint8_t *command, size_t size)
{
    if (size > sizeof c->command)
        return TSS2_TCTI_RC_BAD_VALUE;
    pthread_mutex_lock(&c->lock);
    bool busy = c->under_way;
    if (!busy) {
        memcpy(c->command, command, size);
        c->command_len = size;
        c->under_way = true;
        pthread_cond_broadcast(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
    return busy ? TSS2_TCTI_RC_BAD_SEQUENCE : TSS2_RC_SUCCESS;
}

TSS2_RC courier_wait(struct courier *c, uint8_t *response, size_t *size, uint64_t until_ns)
{
    TSS2_RC rc = TSS2_TCTI_RC_TRY_AGAIN;
    pthread_mutex_lock(&c->lock);
    if (await(c, until_ns)) {
        rc = c->rc;
        if (rc == TSS2_RC_SUCCESS && c->response_len > *size)
            rc = TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
        if (rc == TSS2_RC_SUCCESS) {
            *size = c->response_len;
            memcpy(response, c->response, *size);
        }
        mem_wipe(c->command, c->command_len); /* secrets travel encrypted, but not everything does */
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

TSS2_TCTI_CONTEXT *courier_tcti(struct courier *c)
{
    return c->way.tcti;
}
