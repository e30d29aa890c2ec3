/* tpm/embedded.c: reach the keeper of an embedded TPM, or become the one that starts it. Layer: tpm. */
#include "tpm/embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tpm/fd_tcti.h"
#include "tpm/keeper.h"

#define FIND_MS     10000 /* a keeper that starts or ends is out of reach for far less */
#define GREETING_MS 60000 /* it may be in the middle of making somebody else's RSA key */
#define STEP_MS     10

struct state_dir {
    char path[PATH_MAX];
    int fd;
};

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void close_auto(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

static int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

/* ---- the state directory ---- */

static tt_rc default_dir(char *ret, size_t cap, struct tt_error *err)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n;
    if (state != NULL && state[0] == '/')
        n = snprintf(ret, cap, "%s/tpmtls/tpm", state);
    else if (home != NULL && home[0] == '/')
        n = snprintf(ret, cap, "%s/.local/state/tpmtls/tpm", home);
    else {
        (void)error_set(err, TT_ERR_TPM, "cannot tell where the embedded TPM is kept: HOME is not set");
        error_hint(err, "name a directory: embedded:DIR");
        return TT_ERR_TPM;
    }
    return n > 0 && (size_t)n < cap
               ? TT_OK
               : error_set(err, TT_ERR_TPM, "the name of the embedded TPM's directory is too long");
}

static tt_rc make_dirs(const char *path, struct tt_error *err)
{
    char part[PATH_MAX];
    for (size_t i = 1; i <= strlen(path); i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST && errno != EISDIR)
            return error_set(err, TT_ERR_TPM, "cannot make the embedded TPM's directory %s: %s", part,
                             strerrordesc_np(errno));
    }
    return TT_OK;
}

static tt_rc dir_open(struct state_dir *d, const char *wanted, struct tt_error *err)
{
    if (wanted[0] == '\0')
        TT_TRY(default_dir(d->path, sizeof d->path, err));
    else if ((size_t)snprintf(d->path, sizeof d->path, "%s", wanted) >= sizeof d->path)
        return error_set(err, TT_ERR_TPM, "the name of the embedded TPM's directory is too long");
    TT_TRY(make_dirs(d->path, err));
    d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    if (d->fd < 0 || fstat(d->fd, &st) != 0)
        return error_set(err, TT_ERR_TPM, "cannot open the embedded TPM's directory %s: %s", d->path,
                         strerrordesc_np(errno));
    if (st.st_uid == geteuid() && (st.st_mode & 022) == 0)
        return TT_OK;
    (void)error_set(err, TT_ERR_TPM, "others may change the embedded TPM's directory %s", d->path);
    error_hint(err, "it must belong to you alone: chmod 700");
    return TT_ERR_TPM;
}

/* The address of DIR/s. A long DIR does not fit into it; the way through the open directory always does. */
static struct sockaddr_un dir_address(const struct state_dir *d)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int n = snprintf(a.sun_path, sizeof a.sun_path, "%s/" KEEPER_SOCKET, d->path);
    if (n < 0 || (size_t)n >= sizeof a.sun_path)
        (void)snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/" KEEPER_SOCKET, d->fd);
    return a;
}

/* ---- starting the keeper ---- */

static tt_rc find_swtpm(char *ret, size_t cap, struct tt_error *err)
{
    const char *path = getenv("PATH");
    if (path == NULL || path[0] == '\0')
        path = "/usr/local/bin:/usr/bin:/bin";
    while (*path != '\0') {
        size_t n = strcspn(path, ":");
        int len = snprintf(ret, cap, "%.*s/swtpm", (int)n, path);
        if (path[0] == '/' && len > 0 && (size_t)len < cap && access(ret, X_OK) == 0)
            return TT_OK;
        path += n + (path[n] == ':');
    }
    (void)error_set(err, TT_ERR_TPM, "cannot start the embedded TPM: the program swtpm is not there");
    error_hint(err, "install it (Debian: apt install swtpm), or name another TPM");
    return TT_ERR_TPM;
}

/* Above 2, since the keeper puts /dev/null there. */
static int raise_fd(int fd)
{
    if (fd < 0 || fd > 2)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    (void)close(fd);
    return high;
}

static int listen_at(const struct state_dir *d)
{
    struct sockaddr_un a = dir_address(d);
    int fd = raise_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd < 0)
        return -1;
    (void)unlinkat(d->fd, KEEPER_SOCKET, 0); /* of a keeper that was killed: we hold the lock */
    if (fchmod(fd, 0600) == 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 64) == 0)
        return fd;
    int why = errno;
    (void)close(fd);
    errno = why;
    return -1;
}

/* With the lock held: *ret_fd is our own connection to the new keeper. */
static tt_rc start_keeper(int *ret_fd, const struct state_dir *d, int lock, struct tt_error *err)
{
    char swtpm[PATH_MAX];
    TT_TRY(find_swtpm(swtpm, sizeof swtpm, err));
    TT_AUTO(close_auto) int listening = listen_at(d);
    if (listening < 0)
        return error_set(err, TT_ERR_TPM, "cannot make the embedded TPM's socket in %s: %s", d->path,
                         strerrordesc_np(errno));
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return error_set(err, TT_ERR_TPM, "cannot start the embedded TPM: %s", strerrordesc_np(errno));
    TT_AUTO(close_auto) int theirs = raise_fd(pair[1]);
    TT_AUTO(close_auto) int ours = raise_fd(pair[0]);
    struct keeper_start start = {
        .dir = d->fd, .lock = lock, .listen = listening, .first = theirs, .swtpm = swtpm};
    TT_TRY(keeper_fork(&start, err));
    *ret_fd = take_fd(&ours);
    return TT_OK;
}

/* ---- finding it ---- */

/* The first byte of a connection. TT_ERR_CLOSED: the keeper was about to end. */
static tt_rc greeting(int fd, const struct state_dir *d, struct tt_error *err)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char byte = 0;
    int64_t until = now_ms() + GREETING_MS;
    int ready;
    do
        ready = poll(&p, 1, (int)(until - now_ms() > 0 ? until - now_ms() : 0));
    while (ready < 0 && errno == EINTR);
    if (ready == 0)
        return error_set(err, TT_ERR_TPM, "the embedded TPM in %s does not answer", d->path);
    if (recv(fd, &byte, 1, 0) != 1)
        return TT_ERR_CLOSED;
    if (byte == KEEPER_READY)
        return TT_OK;
    (void)error_set(err, TT_ERR_TPM, "the embedded TPM's program swtpm does not start on the state in %s",
                    d->path);
    error_hint(err, "its own words are in %s/log", d->path);
    return TT_ERR_TPM;
}

static int connect_at(const struct state_dir *d)
{
    struct sockaddr_un a = dir_address(d);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

/* One attempt: start a keeper when nobody holds the lock, else connect to the one there is. TT_ERR_CLOSED:
 * again. */
static tt_rc reach_once(int *ret_fd, const struct state_dir *d, struct tt_error *err)
{
    TT_AUTO(close_auto) int lock = raise_fd(openat(d->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (lock < 0)
        return error_set(err, TT_ERR_TPM, "cannot open %s/lock: %s", d->path, strerrordesc_np(errno));
    TT_AUTO(close_auto) int fd = -1;
    if (flock(lock, LOCK_EX | LOCK_NB) == 0)
        TT_TRY(start_keeper(&fd, d, lock, err));
    else
        fd = connect_at(d);
    if (fd < 0)
        return TT_ERR_CLOSED;
    TT_TRY(greeting(fd, d, err));
    *ret_fd = take_fd(&fd);
    return TT_OK;
}

static tt_rc reach(int *ret_fd, const struct state_dir *d, struct tt_error *err)
{
    int64_t until = now_ms() + FIND_MS;
    for (;;) {
        tt_rc rc = reach_once(ret_fd, d, err);
        if (rc != TT_ERR_CLOSED)
            return rc;
        if (now_ms() >= until)
            break;
        (void)usleep(STEP_MS * 1000);
    }
    (void)error_set(err, TT_ERR_TPM, "the embedded TPM in %s is held by a process that does not answer",
                    d->path);
    error_hint(err, "end the process that has %s/lock open (`fuser` shows it)", d->path);
    return TT_ERR_TPM;
}

tt_rc embedded_open(struct tt_tpm **ret, const char *dir, struct tt_error *err)
{
    struct state_dir d = {.fd = -1};
    int fd = -1;
    tt_rc rc = dir_open(&d, dir, err);
    if (rc == TT_OK)
        rc = reach(&fd, &d, err);
    close_auto(&d.fd);
    TT_TRY(rc);
    TSS2_TCTI_CONTEXT *tcti = fd_tcti_new(fd);
    if (tcti == NULL) {
        (void)close(fd);
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    }
    char where[PATH_MAX + 16];
    (void)snprintf(where, sizeof where, "embedded:%s", d.path);
    TT_TRY(tpm_open_tcti(ret, tcti, fd_tcti_close, where, err));
    (*ret)->software = true;
    return TT_OK;
}
