/* signer/file_write.c: see file_write.h. Layer: signer.
 *
 * The new file has no name before it is whole (O_TMPFILE), so that a process that is killed leaves nothing.
 * rename() needs a name, and so do file systems without O_TMPFILE: FILE.tpmtls-XXXXXX, whose writer holds a
 * lock on it. Such a file with a free lock is what a killed process left; the next writer in that directory
 * removes it. */
#include "signer/file_write.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rc.h"

#define MARK     ".tpmtls-"
#define RANDOM_X "XXXXXX" /* of mkostemp */

static void fd_close_auto(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

tt_rc file_write_fd(int fd, struct tt_bytes data, const char *path, struct tt_error *err)
{
    while (data.len > 0) {
        ssize_t n = write(fd, data.data, data.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, TT_ERR_IO, "cannot write %s: %s", path, strerror(errno));
        data.data += n;
        data.len -= (size_t)n;
    }
    return TT_OK;
}

static tt_rc cannot_create(const char *path, int why, struct tt_error *err)
{
    return error_set(err, TT_ERR_IO, "cannot create %s: %s", path, strerror(why));
}

/* ---- the directory ---- */

/* path fits: struct temporary has checked it. */
static void directory_of(char ret[PATH_MAX], const char *path)
{
    (void)snprintf(ret, PATH_MAX, "%s", path);
    char *slash = strrchr(ret, '/');
    if (slash == NULL)
        (void)snprintf(ret, PATH_MAX, ".");
    else
        slash[slash == ret ? 1 : 0] = '\0';
}

static void sweep_one(int dir, const char *name)
{
    struct stat st;
    TT_AUTO(fd_close_auto)
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
        flock(fd, LOCK_EX | LOCK_NB) == 0)
        (void)unlinkat(dir, name, 0);
}

/* What killed processes left: it may be a secret. */
static void sweep(const char *directory)
{
    DIR *d = opendir(directory);
    const struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL) {
        size_t len = strlen(e->d_name), tail = strlen(MARK RANDOM_X);
        if (len > tail && strncmp(e->d_name + len - tail, MARK, strlen(MARK)) == 0)
            sweep_one(dirfd(d), e->d_name);
    }
    if (d != NULL)
        (void)closedir(d);
}

/* The directory entry is durable only once the directory itself is synced. */
static void sync_directory(const char *directory)
{
    TT_AUTO(fd_close_auto) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)fsync(fd);
}

/* ---- the new file, before it has its name ---- */

struct temporary {
    int fd;
    char directory[PATH_MAX];
    char name[PATH_MAX]; /* "": it has none yet */
};

static bool name_template(struct temporary *t, const char *path)
{
    return snprintf(t->name, sizeof t->name, "%s" MARK RANDOM_X, path) < (int)sizeof t->name;
}

/* With a name, and the lock that tells others to leave it. Whoever swept it before it was locked took it. */
static bool open_named(struct temporary *t, const char *path)
{
    struct stat st;
    for (int i = 0; i < 4; i++) {
        t->fd = name_template(t, path) ? mkostemp(t->name, O_CLOEXEC) : -1;
        if (t->fd < 0)
            break;
        (void)flock(t->fd, LOCK_EX | LOCK_NB); /* a file system without locks: nothing is swept there */
        if (fstat(t->fd, &st) == 0 && st.st_nlink > 0)
            return true;
        (void)close(t->fd);
        t->fd = -1;
    }
    t->name[0] = '\0';
    return false;
}

static tt_rc temporary_open(struct temporary *t, const char *path, struct tt_error *err)
{
    t->fd = open(t->directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (t->fd >= 0)
        (void)flock(t->fd, LOCK_EX | LOCK_NB);
    return t->fd >= 0 || open_named(t, path) ? TT_OK : cannot_create(path, errno, err);
}

/* A file system without modes (vfat) refuses to change them: that is no harm where nobody can read more than
 * was asked for. */
static tt_rc set_mode(int fd, unsigned mode, const char *path, struct tt_error *err)
{
    struct stat st;
    if (fchmod(fd, (mode_t)mode) == 0)
        return TT_OK;
    int why = errno;
    if (fstat(fd, &st) == 0 && (st.st_mode & 077 & ~(mode_t)mode) == 0)
        return TT_OK;
    (void)error_set(err, TT_ERR_IO, "cannot keep %s from others: %s", path, strerror(why));
    error_hint(err, "on a file system without modes, mount with: umask=077");
    return TT_ERR_IO;
}

static tt_rc fill(const struct temporary *t, struct tt_bytes data, unsigned mode, const char *path,
                  struct tt_error *err)
{
    TT_TRY(file_write_fd(t->fd, data, path, err));
    TT_TRY(set_mode(t->fd, mode, path, err));
    return fsync(t->fd) == 0 ? TT_OK
                             : error_set(err, TT_ERR_IO, "cannot write %s: %s", path, strerror(errno));
}

/* ---- it gets its name ---- */

/* Where the file has no name, by the way that open(2) shows for O_TMPFILE. */
static int link_to(const struct temporary *t, const char *path)
{
    char self[40];
    if (t->name[0] != '\0')
        return linkat(AT_FDCWD, t->name, AT_FDCWD, path, 0);
    (void)snprintf(self, sizeof self, "/proc/self/fd/%d", t->fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

/* mkostemp picks a name that is free; its file gives way. */
static bool give_name(struct temporary *t, const char *path)
{
    struct temporary named = {.fd = -1};
    if (t->name[0] != '\0')
        return true;
    if (!open_named(&named, path))
        return false;
    (void)unlink(named.name);
    (void)close(named.fd);
    if (link_to(t, named.name) != 0)
        return false;
    memcpy(t->name, named.name, sizeof t->name);
    return true;
}

/* Where hard links are refused (vfat, some of FUSE): the kernel's own "only if it is not there"; where that
 * is refused, too, an empty file takes the name first. */
static int claim(const struct temporary *t, const char *path)
{
    int rc = renameat2(AT_FDCWD, t->name, AT_FDCWD, path, RENAME_NOREPLACE);
    if (rc == 0 || errno == EEXIST)
        return rc;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    (void)close(fd);
    rc = rename(t->name, path);
    if (rc != 0)
        (void)unlink(path);
    return rc;
}

/* TT_ERR_UNSUPPORTED: not while it has no name. */
static tt_rc publish(struct temporary *t, const char *path, bool is_new, struct tt_error *err)
{
    int rc;
    if (is_new) {
        rc = link_to(t, path);
        if (rc != 0 && errno != EEXIST && t->name[0] == '\0')
            return TT_ERR_UNSUPPORTED;
        if (rc != 0 && errno != EEXIST)
            rc = claim(t, path);
    } else {
        if (!give_name(t, path))
            return TT_ERR_UNSUPPORTED;
        rc = rename(t->name, path);
    }
    if (rc == 0)
        return TT_OK;
    return errno == EEXIST ? file_may_hold(path, HOLDS_OTHER, FILE_NEW, err)
                           : cannot_create(path, errno, err);
}

static void temporary_close(struct temporary *t)
{
    if (t->name[0] != '\0')
        (void)unlink(t->name); /* gone where it was renamed */
    if (t->fd >= 0)
        (void)close(t->fd);
}

static tt_rc try_write(bool named, const char *path, struct tt_bytes data, struct file_want want,
                       struct tt_error *err)
{
    struct temporary t = {.fd = -1};
    if (!name_template(&t, path))
        return error_set(err, TT_ERR_USAGE, "the file name %s is too long", path);
    t.name[0] = '\0';
    directory_of(t.directory, path);
    if (!named)
        sweep(t.directory);
    tt_rc rc = !named                 ? temporary_open(&t, path, err)
               : open_named(&t, path) ? TT_OK
                                      : cannot_create(path, errno, err);
    if (rc == TT_OK)
        rc = fill(&t, data, want.mode, path, err);
    if (rc == TT_OK)
        rc = publish(&t, path, want.over == FILE_NEW, err);
    temporary_close(&t);
    if (rc == TT_OK)
        sync_directory(t.directory);
    return rc;
}

tt_rc file_write(const char **ret_old, const char *path, struct tt_bytes data, struct file_want want,
                 struct tt_error *err)
{
    struct stat st;
    TT_TRY(file_may_write(ret_old, path, data, want.over, err));
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) { /* /dev/stdout, a fifo: nothing to replace */
        TT_AUTO(fd_close_auto) int out = open(path, O_WRONLY | O_CLOEXEC);
        if (out < 0)
            return error_set(err, TT_ERR_IO, "cannot open %s: %s", path, strerror(errno));
        return file_write_fd(out, data, path, err);
    }
    tt_rc rc = try_write(false, path, data, want, err);
    return rc == TT_ERR_UNSUPPORTED ? try_write(true, path, data, want, err) : rc;
}
