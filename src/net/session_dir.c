/* net/session_dir.c: see session_dir.h. Layer: net. */
#include "net/session_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"
#include "net/files.h"
#include "net/session_store.h"
#include "signer/file_write.h"

#define LOCK_NAME    ".lock"
#define LOCK_TRIES   250
#define LOCK_WAIT_MS 20
#define LEFTOVER_S   3600 /* a temporary file that is older belongs to nobody */
#define FILES_MAX    4096 /* more are not looked at: they are not ours */

/* ---- the directory ---- */

static tt_rc take_lock(int fd, const char *path, struct tt_error *err)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return TT_OK;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return error_set(err, TT_ERR_IO, "cannot lock %s: %s", path, strerror(errno));
        (void)nanosleep(&(struct timespec){0, LOCK_WAIT_MS * 1000000L}, NULL);
    }
    return error_set(err, TT_ERR_BUSY, "another process keeps the sessions in %s locked", path);
}

tt_rc session_dir_open(struct session_dir *ret, const char *path, bool make, struct tt_error *err)
{
    struct session_dir d = {-1, -1};
    struct stat st;
    if (make)
        TT_TRY(file_directories(path, 0700, 0700, err)); /* nobody else's business */
    d.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d.fd < 0)
        return error_set(err, errno == ENOENT ? TT_ERR_NOT_FOUND : TT_ERR_IO, "cannot open %s: %s", path,
                         strerror(errno));
    tt_rc rc = TT_OK;
    if (fstat(d.fd, &st) != 0)
        rc = error_set(err, TT_ERR_IO, "cannot look at %s: %s", path, strerror(errno));
    else
        rc = file_check_owner(&st, FILE_TRUSTED, path, err);
    if (rc == TT_OK) {
        d.lock_fd = openat(d.fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        rc = d.lock_fd >= 0
                 ? take_lock(d.lock_fd, path, err)
                 : error_set(err, TT_ERR_IO, "cannot make a lock in %s: %s", path, strerror(errno));
    }
    if (rc != TT_OK) {
        session_dir_close(&d);
        return rc;
    }
    *ret = d;
    return TT_OK;
}

void session_dir_close(struct session_dir *d)
{
    if (d->lock_fd >= 0)
        (void)close(d->lock_fd); /* and with it the lock */
    if (d->fd >= 0)
        (void)close(d->fd);
    *d = (struct session_dir){-1, -1};
}

void session_dir_sync(const struct session_dir *d)
{
    (void)fsync(d->fd);
}

/* ---- names ---- */

void session_name_text(char ret[SESSION_NAME_MAX], const struct session_name *n)
{
    (void)snprintf(ret, SESSION_NAME_MAX, "%016" PRIx64 "-%012" PRIx64 "-%012" PRIx64 "-%016" PRIx64 ".json",
                   n->peer, (uint64_t)n->received_ms, (uint64_t)n->expires_ms, n->random);
}

/* Exactly what session_name_text writes, nothing near it. */
static bool name_parse(struct session_name *ret, const char *text)
{
    char again[SESSION_NAME_MAX];
    char *end = NULL;
    struct session_name n;
    if (strlen(text) != 64)
        return false;
    n.peer = strtoull(text, &end, 16);
    n.received_ms = (int64_t)strtoull(text + 17, &end, 16);
    n.expires_ms = (int64_t)strtoull(text + 30, &end, 16);
    n.random = strtoull(text + 43, &end, 16);
    session_name_text(again, &n);
    *ret = n;
    return strcmp(text, again) == 0;
}

static void remove_leftover(const struct session_dir *d, const char *name)
{
    struct stat st;
    bool temporary = strstr(name, ".json.") != NULL || strstr(name, ".key.") != NULL; /* of file_write */
    if (temporary && fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        st.st_mtime + LEFTOVER_S < time(NULL))
        (void)unlinkat(d->fd, name, 0);
}

static int by_peer_newest_first(const void *a, const void *b)
{
    const struct session_name *x = a, *y = b;
    if (x->peer != y->peer)
        return x->peer < y->peer ? -1 : 1;
    return (x->received_ms < y->received_ms) - (x->received_ms > y->received_ms);
}

tt_rc session_dir_scan(struct session_dir *d, struct session_name **ret, size_t *ret_n, struct tt_error *err)
{
    int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct session_name *names = mem_alloc(FILES_MAX * sizeof *names);
    size_t n = 0;
    if (dir == NULL || names == NULL) {
        if (dir != NULL)
            (void)closedir(dir);
        else if (fd >= 0)
            (void)close(fd);
        mem_free(names);
        return error_set(err, TT_ERR_IO, "cannot read the directory of the sessions: %s", strerror(errno));
    }
    for (struct dirent *e; n < FILES_MAX && (e = readdir(dir)) != NULL;) {
        if (name_parse(&names[n], e->d_name))
            n++;
        else
            remove_leftover(d, e->d_name);
    }
    (void)closedir(dir);
    qsort(names, n, sizeof *names, by_peer_newest_first);
    *ret = names;
    *ret_n = n;
    return TT_OK;
}

bool session_dir_remove(struct session_dir *d, const struct session_name *n)
{
    char text[SESSION_NAME_MAX];
    session_name_text(text, n);
    return unlinkat(d->fd, text, 0) == 0;
}

/* ---- who makes room ---- */

static void remove_oldest(struct session_dir *d, struct session_name *names, size_t n)
{
    struct session_name *oldest = NULL;
    for (size_t i = 0; i < n; i++)
        if (names[i].expires_ms != 0 && (oldest == NULL || names[i].received_ms < oldest->received_ms))
            oldest = &names[i];
    if (oldest != NULL) {
        (void)session_dir_remove(d, oldest);
        oldest->expires_ms = 0;
    }
}

tt_rc session_dir_make_room(struct session_dir *d, uint64_t peer, int64_t now_ms, struct tt_error *err)
{
    struct session_name *names = NULL;
    size_t n = 0, left = 0, of_peer = 0;
    TT_TRY(session_dir_scan(d, &names, &n, err));
    for (size_t i = 0; i < n; i++) {
        bool goes = names[i].expires_ms <= now_ms ||
                    (names[i].peer == peer && ++of_peer >= SESSIONS_PER_PEER); /* newest first */
        if (goes) {
            (void)session_dir_remove(d, &names[i]);
            names[i].expires_ms = 0; /* gone */
        }
        left += !goes;
    }
    for (; left >= SESSIONS_MAX; left--)
        remove_oldest(d, names, n);
    mem_free(names);
    return TT_OK;
}
