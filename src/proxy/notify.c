/* proxy/notify.c: datagrams to the service manager. Layer: proxy. sd_notify(3). */
#include "proxy/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

#define MESSAGE_MAX 1024

struct notify {
    struct event *watchdog;
};

/* '@' at the front stands for the NUL of an abstract name. */
static bool manager_address(struct sockaddr_un *ret, socklen_t *ret_len)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t n = path == NULL ? 0 : strlen(path);
    if (n < 2 || n >= sizeof ret->sun_path || (path[0] != '/' && path[0] != '@'))
        return false;
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret->sun_path, path, n);
    if (path[0] == '@')
        ret->sun_path[0] = '\0';
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path[0] == '/' ? 1 : 0));
    return true;
}

static bool tell(const char *text, int passed)
{
    struct sockaddr_un at;
    socklen_t len = 0;
    if (!manager_address(&at, &len))
        return false;
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    struct msghdr m = {.msg_name = &at, .msg_namelen = len, .msg_iov = &iov, .msg_iovlen = 1};
    if (passed >= 0) {
        control.header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof passed)};
        memcpy(CMSG_DATA(&control.header), &passed, sizeof passed);
        m.msg_control = &control;
        m.msg_controllen = sizeof control;
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    ssize_t sent;
    do
        sent = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    (void)close(fd);
    return sent >= 0;
}

bool notify_ready(struct notify *n)
{
    return n != NULL && tell("READY=1", -1);
}

/* The time tells the manager which READY=1 belongs to this reload (Type=notify-reload). */
bool notify_reloading(struct notify *n)
{
    char state[64];
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    (void)snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%llu",
                   (unsigned long long)t.tv_sec * 1000000 + (unsigned long long)t.tv_nsec / 1000);
    return n != NULL && tell(state, -1);
}

bool notify_stopping(struct notify *n)
{
    return n != NULL && tell("STOPPING=1", -1);
}

/* A line more would be a state of its own. */
bool notify_status(struct notify *n, const char *text)
{
    char state[MESSAGE_MAX];
    (void)snprintf(state, sizeof state, "STATUS=%s", text);
    for (char *c = state; *c != '\0'; c++)
        if (*c == '\n')
            *c = ' ';
    error_cut(state);
    return n != NULL && tell(state, -1);
}

static bool tell_name(const char *state, int fd, const char *name)
{
    char text[MESSAGE_MAX];
    int n = snprintf(text, sizeof text, "%s\nFDNAME=%s", state, name);
    return n > 0 && (size_t)n < sizeof text && strpbrk(name, ":\n") == NULL && tell(text, fd);
}

bool notify_store(struct notify *n, int fd, const char *name)
{
    return n != NULL && tell_name("FDSTORE=1", fd, name);
}

bool notify_remove(struct notify *n, const char *name)
{
    return n != NULL && tell_name("FDSTOREREMOVE=1", -1, name);
}

/* ---- the watchdog ---- */

static bool number(unsigned long long *ret, const char *text)
{
    char *end = NULL;
    if (text == NULL || text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0;
}

unsigned notify_watchdog_ms(void)
{
    unsigned long long us = 0, pid = 0;
    const char *of = getenv("WATCHDOG_PID");
    if (!number(&us, getenv("WATCHDOG_USEC")) || us == 0 || us / 2000 > INT32_MAX)
        return 0;
    if (of != NULL && (!number(&pid, of) || pid != (unsigned long long)getpid()))
        return 0;
    return us < 2000 ? 1 : (unsigned)(us / 2000);
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    (void)tell("WATCHDOG=1", -1);
}

tt_rc notify_new(struct notify **ret, struct event_base *base, struct tt_error *err)
{
    unsigned ms = notify_watchdog_ms();
    const struct timeval every = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    struct notify *n = mem_alloc(sizeof *n);
    if (n != NULL)
        n->watchdog = event_new(base, -1, EV_PERSIST, on_watchdog, n);
    if (n == NULL || n->watchdog == NULL || (ms > 0 && event_add(n->watchdog, &every) != 0)) {
        notify_free(n);
        return error_set(err, TT_ERR_MEMORY, "no memory to notify the service manager");
    }
    *ret = n;
    return TT_OK;
}

void notify_free(struct notify *n)
{
    if (n == NULL)
        return;
    if (n->watchdog != NULL)
        event_free(n->watchdog);
    mem_free(n);
}
