/* net/listen.c: opening listening sockets. Layer: net. sd_listen_fds(3) says what systemd's variables mean.
 */
#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SYSTEMD_FIRST_FD 3
#define PORT_TRIES       16 /* for a free port that all addresses have */

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static const char *unix_path(const char *where)
{
    return has_prefix(where, "unix:") ? where + 5 : NULL;
}

static bool is_systemd(const char *where)
{
    return strcmp(where, "systemd") == 0 || has_prefix(where, "systemd:");
}

void listen_close(struct listeners *l)
{
    struct stat now;
    if (l == NULL)
        return;
    /* Whoever took the path over keeps it. */
    if (l->owns_path && stat(l->name[0] + 5, &now) == 0 && now.st_dev == l->device &&
        now.st_ino == l->inode && now.st_mtim.tv_sec == l->made_s && now.st_mtim.tv_nsec == l->made_ns)
        (void)unlink(l->name[0] + 5);
    for (size_t i = 0; i < l->n; i++)
        (void)close(l->fd[i]);
    *l = (struct listeners){0};
}

/* add: fd becomes the list's. */
static tt_rc add(struct listeners *l, int fd, struct tt_error *err)
{
    struct sockaddr_storage at = {0};
    socklen_t len = sizeof at;
    if (l->n == LISTENERS_MAX || getsockname(fd, (struct sockaddr *)&at, &len) != 0) {
        (void)close(fd);
        return error_set(err, TT_ERR_UNSUPPORTED, "more than %d addresses to listen on at once",
                         LISTENERS_MAX);
    }
    const struct sockaddr_un *un = (const struct sockaddr_un *)&at;
    if (at.ss_family == AF_UNIX)
        (void)snprintf(l->name[l->n], LISTEN_NAME_MAX, "unix:%.*s", (int)sizeof un->sun_path, un->sun_path);
    else
        address_format(l->name[l->n], (const struct sockaddr *)&at);
    l->fd[l->n++] = fd;
    return TT_OK;
}

/* ---- addresses ---- */

static uint16_t *port_of(struct sockaddr *sa)
{
    return sa->sa_family == AF_INET6 ? &((struct sockaddr_in6 *)(void *)sa)->sin6_port
                                     : &((struct sockaddr_in *)(void *)sa)->sin_port;
}

static uint16_t port_bound(int fd)
{
    union {
        struct sockaddr sa;
        struct sockaddr_in6 room;
    } at = {.room = {0}};
    socklen_t len = sizeof at;
    return getsockname(fd, &at.sa, &len) == 0 ? *port_of(&at.sa) : 0;
}

static bool is_repeated(const struct addrinfo *list, const struct addrinfo *a)
{
    for (; list != a; list = list->ai_next)
        if (list->ai_addrlen == a->ai_addrlen && memcmp(list->ai_addr, a->ai_addr, a->ai_addrlen) == 0)
            return true;
    return false;
}

/* Returns an errno, or 0. */
static int open_inet(int *ret, const struct addrinfo *at, bool v6_only)
{
    const int on = 1;
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0)
        return errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (v6_only && at->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
        int why = errno;
        (void)close(fd);
        return why;
    }
    *ret = fd;
    return 0;
}

static tt_rc explain(struct tt_error *err, const struct address *at, int why)
{
    bool is_v6 = strchr(at->host, ':') != NULL;
    tt_rc rc = why == EADDRINUSE ? TT_ERR_BUSY : TT_ERR_IO;
    (void)error_set(err, rc, is_v6 ? "cannot listen on [%s]:%s: %s" : "cannot listen on %s:%s: %s", at->host,
                    at->port, strerror(why));
    if (why == EACCES)
        error_hint(err, "ports below 1024 need root or CAP_NET_BIND_SERVICE");
    else if (why == EADDRINUSE)
        error_hint(
            err,
            "another program has that port: ss -ltnp 'sport = :%s' shows which; port 0 chooses a free one",
            at->port);
    else if (why == EADDRNOTAVAIL)
        error_hint(err, "this machine does not have that address: ip address shows those it has");
    return rc;
}

/* ---- what another process had ---- */

static bool is_address(int fd, const struct sockaddr *at, socklen_t len)
{
    struct sockaddr_storage is = {0};
    socklen_t is_len = sizeof is;
    return getsockname(fd, (struct sockaddr *)&is, &is_len) == 0 && is.ss_family == at->sa_family &&
           (at->sa_family == AF_UNIX ? strcmp(((const struct sockaddr_un *)&is)->sun_path,
                                              ((const struct sockaddr_un *)(const void *)at)->sun_path) == 0
                                     : is_len == len && memcmp(&is, at, len) == 0);
}

/* -1: it is not among them. */
static int take_handed(struct listen_handed *h, const struct sockaddr *at, socklen_t len)
{
    for (size_t i = 0; h != NULL && i < h->n; i++) {
        int fd = h->fd[i];
        if (!is_address(fd, at, len))
            continue;
        h->fd[i] = h->fd[--h->n];
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
        (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        return fd;
    }
    return -1;
}

void listen_handed_close(struct listen_handed *h)
{
    for (size_t i = 0; i < h->n; i++)
        (void)close(h->fd[i]);
    h->n = 0;
}

void listen_disown(struct listeners *l)
{
    l->owns_path = false;
}

/* One round over the addresses. *ret_why is the first failure that counts. */
static tt_rc open_all(struct listeners *ret, struct addrinfo *found, struct listen_handed *handed,
                      int *ret_why, struct tt_error *err)
{
    uint16_t port = 0;
    int absent = 0;
    for (struct addrinfo *a = found; a != NULL; a = a->ai_next) {
        int fd = -1, why;
        if (is_repeated(found, a))
            continue;
        if (port != 0)
            *port_of(a->ai_addr) = port;
        fd = take_handed(handed, a->ai_addr, a->ai_addrlen);
        why = fd >= 0 ? 0 : open_inet(&fd, a, found->ai_next != NULL);
        if (why == EADDRNOTAVAIL || why == EAFNOSUPPORT) {
            absent = why;
            continue;
        }
        *ret_why = why;
        if (why != 0)
            return TT_ERR_IO;
        TT_TRY(add(ret, fd, err));
        port = port_bound(fd);
    }
    *ret_why = absent;
    return ret->n > 0 ? TT_OK : TT_ERR_IO;
}

static tt_rc look_up(struct addrinfo **ret, const struct address *at, struct tt_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_PASSIVE};
    int rc = getaddrinfo(at->host[0] != '\0' ? at->host : NULL, at->port, &hints, ret);
    return rc == 0
               ? TT_OK
               : error_set(err, TT_ERR_NOT_FOUND, "cannot listen on '%s': %s", at->host, gai_strerror(rc));
}

static tt_rc adopt_address(struct listeners *ret, const struct address *at, struct listen_handed *handed,
                           struct tt_error *err)
{
    tt_rc rc = TT_ERR_IO;
    int why = EADDRINUSE;
    bool any_port = strspn(at->port, "0") == strlen(at->port);
    /* The port that one address was given may be taken at the next: then all begin anew. */
    for (int i = 0; i < (any_port ? PORT_TRIES : 1) && rc != TT_OK && why == EADDRINUSE; i++) {
        struct listeners l = {0};
        struct addrinfo *found = NULL;
        TT_TRY(look_up(&found, at, err));
        rc = open_all(&l, found, handed, &why, err);
        freeaddrinfo(found);
        if (rc == TT_OK)
            *ret = l;
        else
            listen_close(&l);
    }
    return rc == TT_ERR_IO ? explain(err, at, why) : rc;
}

tt_rc listen_address(struct listeners *ret, const struct address *at, struct tt_error *err)
{
    return adopt_address(ret, at, NULL, err);
}

/* ---- paths ---- */

static tt_rc unix_busy(struct tt_error *err, const char *path)
{
    (void)error_set(err, TT_ERR_BUSY, "cannot listen on unix:%s: another program does", path);
    error_hint(err, "ss -lxp shows which");
    return TT_ERR_BUSY;
}

/* May the file at the path go: it is a socket, and nobody is behind it. */
static tt_rc judge_old(const struct sockaddr_un *at, struct tt_error *err)
{
    struct stat st;
    if (lstat(at->sun_path, &st) != 0)
        return TT_OK;
    if (!S_ISSOCK(st.st_mode)) {
        (void)error_set(err, TT_ERR_EXISTS, "cannot listen on unix:%s: there is a file of that name",
                        at->sun_path);
        error_hint(err, "it is not a socket, so it is left alone; give another path");
        return TT_ERR_EXISTS;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set(err, TT_ERR_IO, "cannot make a socket: %s", strerror(errno));
    int why = connect(fd, (const struct sockaddr *)at, sizeof *at) == 0 ? 0 : errno;
    (void)close(fd);
    if (why == ECONNREFUSED || why == ENOENT)
        return TT_OK;
    return unix_busy(err, at->sun_path);
}

static tt_rc unix_failed(struct tt_error *err, const char *path, int why)
{
    if (why == EADDRINUSE)
        return unix_busy(err, path);
    (void)error_set(err, TT_ERR_IO, "cannot listen on unix:%s: %s", path, strerror(why));
    if (why == ENOENT)
        error_hint(err, "the directory must be there");
    if (why == EACCES)
        error_hint(err, "the directory must be writable for this user");
    return TT_ERR_IO;
}

/* With the directory locked, so that of two that find the same dead socket only one replaces it. */
static tt_rc bind_path(int fd, const struct sockaddr_un *at, struct tt_error *err)
{
    TT_TRY(judge_old(at, err));
    (void)unlink(at->sun_path);
    /* The kernel makes the file with the mode of the socket (and the umask): never wider than meant. */
    if (fchmod(fd, LISTEN_UNIX_MODE) != 0 || bind(fd, (const struct sockaddr *)at, sizeof *at) != 0)
        return unix_failed(err, at->sun_path, errno);
    if (chmod(at->sun_path, LISTEN_UNIX_MODE) != 0 || listen(fd, SOMAXCONN) != 0) {
        int why = errno;
        (void)unlink(at->sun_path);
        return unix_failed(err, at->sun_path, why);
    }
    return TT_OK;
}

static int lock_directory(const char *path)
{
    char dir[sizeof((struct sockaddr_un *)0)->sun_path + 2];
    const char *slash = strrchr(path, '/');
    (void)snprintf(dir, sizeof dir, "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1,
                   slash == NULL ? "." : path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; fd >= 0 && i < 100 && flock(fd, LOCK_EX | LOCK_NB) != 0; i++)
        (void)usleep(10000); /* a stranger's lock is not waited for for ever */
    return fd;
}

static tt_rc open_new_path(int *ret, const struct sockaddr_un *at, struct tt_error *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set(err, TT_ERR_IO, "cannot make a socket: %s", strerror(errno));
    int lock = lock_directory(at->sun_path);
    tt_rc rc = bind_path(fd, at, err);
    if (lock >= 0)
        (void)close(lock);
    if (rc == TT_OK)
        *ret = fd;
    else
        (void)close(fd);
    return rc;
}

/* A path that was removed is not that socket's any more. */
static tt_rc open_path(struct listeners *ret, const char *path, struct listen_handed *handed,
                       struct tt_error *err)
{
    struct listeners l = {0};
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct stat st;
    memcpy(at.sun_path, path, strlen(path)); /* listen_check saw that it fits */
    bool is_there = stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
    int fd = is_there ? take_handed(handed, (const struct sockaddr *)&at, sizeof at) : -1;
    if (fd < 0)
        TT_TRY(open_new_path(&fd, &at, err));
    TT_TRY(add(&l, fd, err));
    if (stat(path, &st) == 0) {
        l.owns_path = true;
        l.device = st.st_dev;
        l.inode = st.st_ino;
        l.made_s = st.st_mtim.tv_sec;
        l.made_ns = st.st_mtim.tv_nsec;
    }
    *ret = l;
    return TT_OK;
}

/* ---- systemd ---- */

static long number_of(const char *variable)
{
    const char *text = getenv(variable);
    char *end = NULL;
    long n = text == NULL || text[0] == '\0' ? -1 : strtol(text, &end, 10);
    return end == NULL || *end != '\0' ? -1 : n;
}

/* Is the name of the nth descriptor this one. */
static bool is_named(size_t n, const char *name)
{
    const char *names = getenv("LISTEN_FDNAMES");
    for (; names != NULL && n > 0; n--) {
        names = strchr(names, ':');
        names = names == NULL ? NULL : names + 1;
    }
    return names != NULL && strcspn(names, ":") == strlen(name) && strncmp(names, name, strlen(name)) == 0;
}

static int option_of(int fd, int option)
{
    int value = -1;
    socklen_t len = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

/* The nth descriptor from systemd was put into its store by an earlier process of this service. */
static bool is_stored(size_t n)
{
    const char *names = getenv("LISTEN_FDNAMES");
    for (; names != NULL && n > 0; n--) {
        names = strchr(names, ':');
        names = names == NULL ? NULL : names + 1;
    }
    return names != NULL && has_prefix(names, LISTEN_STORED_NAME);
}

static long count_passed(void)
{
    long count = number_of("LISTEN_FDS");
    return number_of("LISTEN_PID") != (long)getpid() || count < 0 || count > INT16_MAX ? 0 : count;
}

void listen_stored(struct listen_handed *ret)
{
    for (int i = 0; i < (int)count_passed(); i++)
        if (is_stored((size_t)i) && ret->n < LISTEN_HANDED_MAX &&
            option_of(SYSTEMD_FIRST_FD + i, SO_ACCEPTCONN) == 1) {
            (void)fcntl(SYSTEMD_FIRST_FD + i, F_SETFD, FD_CLOEXEC);
            ret->fd[ret->n++] = SYSTEMD_FIRST_FD + i;
        }
}

static tt_rc take_passed(struct listeners *l, int passed, struct tt_error *err)
{
    (void)fcntl(passed, F_SETFD, FD_CLOEXEC);
    if (option_of(passed, SO_TYPE) != SOCK_STREAM || option_of(passed, SO_ACCEPTCONN) != 1) {
        (void)error_set(err, TT_ERR_USAGE, "descriptor %d from systemd is not a listening stream socket",
                        passed);
        error_hint(err, "the .socket unit needs ListenStream= and Accept=no");
        return TT_ERR_USAGE;
    }
    int fd = fcntl(passed, F_DUPFD_CLOEXEC, SYSTEMD_FIRST_FD);
    if (fd < 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) {
        int why = errno;
        if (fd >= 0)
            (void)close(fd);
        return error_set(err, TT_ERR_IO, "cannot take descriptor %d from systemd: %s", passed, strerror(why));
    }
    return add(l, fd, err);
}

static tt_rc open_systemd(struct listeners *ret, const char *name, struct tt_error *err)
{
    struct listeners l = {0};
    long count = count_passed();
    for (int i = 0; i < (int)count; i++) {
        bool is_wanted = name == NULL ? !is_stored((size_t)i) : is_named((size_t)i, name);
        tt_rc rc = is_wanted ? take_passed(&l, SYSTEMD_FIRST_FD + i, err) : TT_OK;
        if (rc != TT_OK) {
            listen_close(&l);
            return rc;
        }
    }
    if (l.n > 0) {
        *ret = l;
        return TT_OK;
    }
    if (count == 0) {
        (void)error_set(err, TT_ERR_NOT_FOUND, "systemd passed no sockets to this process");
        error_hint(err, "start it from a .service whose .socket unit has the addresses");
    } else {
        const char *names = getenv("LISTEN_FDNAMES");
        (void)error_set(err, TT_ERR_NOT_FOUND, "of the %ld sockets from systemd none is named '%s'", count,
                        name);
        error_hint(err, "FileDescriptorName= of the .socket unit gives the name; there are: %s",
                   names == NULL ? "none" : names);
    }
    return TT_ERR_NOT_FOUND;
}

/* ---- all of them ---- */

static tt_rc parse(struct address *ret, const char *where, struct tt_error *err)
{
    const char *path = unix_path(where);
    if (path != NULL && path[0] == '\0')
        return error_set(err, TT_ERR_USAGE, "'unix:' needs a path");
    if (path != NULL && strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path) {
        (void)error_set(err, TT_ERR_USAGE, "the path '%s' is too long for a socket", path);
        error_hint(err, "%zu characters are the most", sizeof((struct sockaddr_un *)0)->sun_path - 1);
        return TT_ERR_USAGE;
    }
    if (strcmp(where, "systemd:") == 0)
        return error_set(err, TT_ERR_USAGE, "'systemd:' needs a name, or no colon");
    return path != NULL || is_systemd(where) ? TT_OK : address_parse(ret, where, err);
}

tt_rc listen_check(const char *where, struct tt_error *err)
{
    struct address unused;
    return parse(&unused, where, err);
}

tt_rc listen_adopt(struct listeners *ret, const char *where, struct listen_handed *handed,
                   struct tt_error *err)
{
    struct address at = {0};
    TT_TRY(parse(&at, where, err));
    if (unix_path(where) != NULL)
        return open_path(ret, unix_path(where), handed, err);
    if (is_systemd(where))
        return open_systemd(ret, where[7] == ':' ? where + 8 : NULL, err);
    return adopt_address(ret, &at, handed, err);
}

tt_rc listen_open(struct listeners *ret, const char *where, struct tt_error *err)
{
    return listen_adopt(ret, where, NULL, err);
}

/* ---- who can reach it ---- */

static bool is_loopback(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr) >> 24) == 127;
    if (sa->sa_family != AF_INET6)
        return sa->sa_family == AF_UNIX;
    const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
}

bool listen_is_local(const char *where)
{
    const struct addrinfo numeric = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct address at = {0};
    struct addrinfo *found = NULL;
    if (parse(&at, where, NULL) != TT_OK)
        return false;
    if (unix_path(where) != NULL || is_systemd(where) || strcasecmp(at.host, "localhost") == 0)
        return true;
    if (at.host[0] == '\0' || getaddrinfo(at.host, at.port, &numeric, &found) != 0)
        return false;
    bool is_local = is_loopback(found->ai_addr);
    freeaddrinfo(found);
    return is_local;
}

bool listeners_are_local(const struct listeners *l)
{
    for (size_t i = 0; i < l->n; i++) {
        struct sockaddr_storage at = {0};
        socklen_t len = sizeof at;
        if (getsockname(l->fd[i], (struct sockaddr *)&at, &len) != 0 || !is_loopback((struct sockaddr *)&at))
            return false;
    }
    return true;
}
