/* proxy/takeover.c: see takeover.h. Layer: proxy. unix(7).
 *
 * The words: "tpmtls takeover 1\n" with the sockets, from the former; "ready\n" from the new one; "gone\n".
 */
#include "proxy/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "proxy/report.h"

#define GREETING   "tpmtls takeover 1\n"
#define READY      "ready\n"
#define GONE       "gone\n"
#define PATIENCE_S 10

union control {
    struct cmsghdr header;
    char room[CMSG_SPACE(LISTEN_HANDED_MAX * sizeof(int))];
};

static tt_rc failed(struct tt_error *err, const char *what, int why)
{
    return error_set(err, TT_ERR_IO, "--takeover: %s: %s", what, strerror(why));
}

/* Of whoever connected, or of whoever listens: what is handed over is as good as the process itself. */
static bool is_own(int fd)
{
    struct ucred who;
    socklen_t len = sizeof who;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && (who.uid == geteuid() || who.uid == 0);
}

/* ---- the new one ---- */

static int dial(const char *path, struct tt_error *err, tt_rc *ret)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *ret = TT_OK;
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    int why = errno;
    if (fd >= 0)
        (void)close(fd);
    if (why != ENOENT && why != ECONNREFUSED)
        *ret = failed(err, path, why);
    return -1;
}

static void take_descriptors(struct listen_handed *ret, struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (ret->n < LISTEN_HANDED_MAX)
                ret->fd[ret->n++] = fd;
            else
                (void)close(fd);
        }
    }
}

tt_rc takeover_ask(struct listen_handed *ret, int *ret_former, const char *path, struct tt_error *err)
{
    char text[64] = "";
    union control control = {.room = {0}};
    struct iovec iov = {.iov_base = text, .iov_len = sizeof GREETING - 1};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.room};
    tt_rc rc;
    int fd = dial(path, err, &rc);
    *ret_former = -1;
    if (fd < 0)
        return rc;
    if (!is_own(fd)) {
        (void)close(fd);
        rc = error_set(err, TT_ERR_IO, "--takeover: %s is another user's", path);
        error_hint(err,
                   "both processes run as one user (--user); put the path where only that one may write");
        return rc;
    }
    ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_WAITALL);
    int why = n < 0 ? errno : EPROTO;
    take_descriptors(ret, &m);
    if (n == (ssize_t)iov.iov_len && strcmp(text, GREETING) == 0) {
        *ret_former = fd;
        return TT_OK;
    }
    (void)close(fd);
    listen_handed_close(ret);
    return failed(err, "whoever listens there hands over nothing", why);
}

tt_rc takeover_ready(int former, struct tt_error *err)
{
    char text[sizeof GONE] = "";
    bool said = send(former, READY, sizeof READY - 1, MSG_NOSIGNAL) == sizeof READY - 1;
    ssize_t n = said ? recv(former, text, sizeof GONE - 1, MSG_WAITALL) : -1;
    int why = errno;
    (void)close(former);
    if (n == sizeof GONE - 1 && strcmp(text, GONE) == 0)
        return TT_OK;
    return failed(err, "the former process does not let go", n < 0 ? why : EPROTO);
}

/* ---- the one that runs ---- */

struct takeover {
    struct takeover_source source;
    struct listeners at;
    struct event *acceptable, *ready; /* ready: of the new one's connection */
    int fd;
    struct event_base *base;
};

static void hang_up(struct takeover *t)
{
    if (t->ready != NULL)
        event_free(TT_TAKE(t->ready));
    if (t->fd >= 0)
        (void)close(t->fd);
    t->fd = -1;
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct takeover *t = arg;
    char text[sizeof READY] = "";
    ssize_t n = (what & EV_READ) != 0 ? recv(fd, text, sizeof READY - 1, MSG_DONTWAIT) : 0;
    if (n != sizeof READY - 1 || strcmp(text, READY) != 0) {
        report(REPORT_WARNING, NULL, "takeover",
               json_pack("{s:s}", "state", "the new process did not start"));
        hang_up(t);
        return;
    }
    report(REPORT_NOTICE, NULL, "takeover", json_pack("{s:s}", "state", "a new process listens"));
    t->source.let_go(t->source.arg);
    if (t->acceptable != NULL)
        event_free(TT_TAKE(t->acceptable));
    listen_close(&t->at); /* the path is free */
    (void)send(fd, GONE, sizeof GONE - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    hang_up(t);
}

static bool hand_over(struct takeover *t, int fd)
{
    int all[LISTEN_HANDED_MAX];
    size_t n = t->source.listeners(t->source.arg, all, LISTEN_HANDED_MAX);
    union control control = {.room = {0}};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)GREETING, .iov_len = sizeof GREETING - 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n > 0) {
        control.header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(n * sizeof(int))};
        memcpy(CMSG_DATA(&control.header), all, n * sizeof(int));
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE(n * sizeof(int));
    }
    return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)iov.iov_len;
}

static void on_acceptable(evutil_socket_t listener, short what, void *arg)
{
    struct takeover *t = arg;
    (void)what;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (t->fd >= 0 || !is_own(fd) || !hand_over(t, fd)) {
        (void)close(fd); /* one at a time */
        return;
    }
    t->fd = fd;
    t->ready = event_new(t->base, fd, EV_READ, on_ready, t);
    if (t->ready == NULL || event_add(t->ready, NULL) != 0)
        hang_up(t);
}

tt_rc takeover_open(struct takeover **ret, struct event_base *base, const char *path,
                    const struct takeover_source *source, struct tt_error *err)
{
    char where[LISTEN_NAME_MAX];
    struct takeover *t = mem_alloc(sizeof *t);
    if (t == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    t->source = *source;
    t->base = base;
    t->fd = -1;
    (void)snprintf(where, sizeof where, "unix:%s", path);
    tt_rc rc = listen_open(&t->at, where, err);
    if (rc == TT_OK) {
        (void)chmod(path, 0600);
        t->acceptable = event_new(base, t->at.fd[0], EV_READ | EV_PERSIST, on_acceptable, t);
        if (t->acceptable == NULL || event_add(t->acceptable, NULL) != 0)
            rc = error_set(err, TT_ERR_MEMORY, "out of memory");
    }
    if (rc != TT_OK) {
        takeover_free(t);
        return rc;
    }
    *ret = t;
    return TT_OK;
}

void takeover_free(struct takeover *t)
{
    if (t == NULL)
        return;
    hang_up(t);
    if (t->acceptable != NULL)
        event_free(t->acceptable);
    listen_close(&t->at);
    mem_free(t);
}
