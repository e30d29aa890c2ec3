/* tpm/fd_tcti.c: transmit, receive, nothing else. Layer: tpm. TCG TSS 2.0 TCTI API specification, section 5.
 * A response's length is in its header (TPM 2.0 part 1, section 18.6) and is not believed beyond the buffer.
 */
#include "tpm/fd_tcti.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

#define FD_TCTI_MAGIC 0x74706d746c736664ULL
#define HEADER        10
#define MAX_RESPONSE  4096

struct fd_tcti {
    TSS2_TCTI_CONTEXT_COMMON_V1 v1; /* must be first */
    int fd;
    size_t have; /* of a response that is still coming in */
    uint8_t response[MAX_RESPONSE];
};

static struct fd_tcti *fd_tcti_of(TSS2_TCTI_CONTEXT *tcti)
{
    return (struct fd_tcti *)tcti;
}

static TSS2_RC fd_transmit(TSS2_TCTI_CONTEXT *tcti, size_t size, const uint8_t *command)
{
    struct fd_tcti *t = fd_tcti_of(tcti);
    while (size > 0) {
        ssize_t n = send(t->fd, command, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return TSS2_TCTI_RC_IO_ERROR;
        command += n;
        size -= (size_t)n;
    }
    t->have = 0;
    return TSS2_RC_SUCCESS;
}

static size_t claimed_size(const uint8_t *h)
{
    return (size_t)h[2] << 24 | (size_t)h[3] << 16 | (size_t)h[4] << 8 | h[5];
}

/* Reads until the response is whole. */
static TSS2_RC fd_fill(struct fd_tcti *t, int32_t timeout)
{
    for (;;) {
        size_t want = t->have < HEADER ? HEADER : claimed_size(t->response);
        if (want < HEADER || want > sizeof t->response)
            return TSS2_TCTI_RC_MALFORMED_RESPONSE;
        if (t->have >= HEADER && t->have == want)
            return TSS2_RC_SUCCESS;
        struct pollfd p = {.fd = t->fd, .events = POLLIN};
        int ready = poll(&p, 1, timeout);
        if (ready == 0)
            return TSS2_TCTI_RC_TRY_AGAIN;
        ssize_t n = ready < 0 ? -1 : recv(t->fd, t->response + t->have, want - t->have, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return TSS2_TCTI_RC_IO_ERROR;
        t->have += (size_t)n;
    }
}

static TSS2_RC fd_receive(TSS2_TCTI_CONTEXT *tcti, size_t *size, uint8_t *response, int32_t timeout)
{
    struct fd_tcti *t = fd_tcti_of(tcti);
    if (response == NULL) { /* how large can it be */
        *size = sizeof t->response;
        return TSS2_RC_SUCCESS;
    }
    TSS2_RC rc = fd_fill(t, timeout);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    if (*size < t->have)
        rc = TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
    else
        memcpy(response, t->response, t->have);
    *size = t->have;
    return rc;
}

static TSS2_RC fd_poll_handles(TSS2_TCTI_CONTEXT *tcti, TSS2_TCTI_POLL_HANDLE *handles, size_t *n)
{
    if (handles != NULL && *n < 1)
        return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
    if (handles != NULL)
        handles[0] = (TSS2_TCTI_POLL_HANDLE){.fd = fd_tcti_of(tcti)->fd, .events = POLLIN};
    *n = 1;
    return TSS2_RC_SUCCESS;
}

static TSS2_RC fd_cancel(TSS2_TCTI_CONTEXT *tcti)
{
    (void)tcti;
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_RC fd_set_locality(TSS2_TCTI_CONTEXT *tcti, uint8_t locality)
{
    (void)tcti;
    (void)locality;
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

/* The owner ends it with fd_tcti_close. */
static void fd_finalize(TSS2_TCTI_CONTEXT *tcti)
{
    (void)tcti;
}

TSS2_TCTI_CONTEXT *fd_tcti_new(int fd)
{
    struct fd_tcti *t = mem_alloc(sizeof *t);
    if (t == NULL)
        return NULL;
    t->v1 = (TSS2_TCTI_CONTEXT_COMMON_V1){.magic = FD_TCTI_MAGIC,
                                          .version = 1,
                                          .transmit = fd_transmit,
                                          .receive = fd_receive,
                                          .finalize = fd_finalize,
                                          .cancel = fd_cancel,
                                          .getPollHandles = fd_poll_handles,
                                          .setLocality = fd_set_locality};
    t->fd = fd;
    return (TSS2_TCTI_CONTEXT *)t;
}

void fd_tcti_close(TSS2_TCTI_CONTEXT **tcti)
{
    if (*tcti == NULL)
        return;
    (void)close(fd_tcti_of(*tcti)->fd);
    mem_free(*tcti);
    *tcti = NULL;
}
