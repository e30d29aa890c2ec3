/* signer/file_write.c: see file_write.h. Layer: signer. */
#include "signer/file_write.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rc.h"

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

/* The directory entry is durable only once the directory itself is synced. */
static void sync_directory_of(const char *path)
{
    char dir[PATH_MAX];
    (void)snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash == NULL)
        (void)snprintf(dir, sizeof dir, ".");
    else
        slash[slash == dir ? 1 : 0] = '\0';
    TT_AUTO(fd_close_auto) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)fsync(fd);
}

static tt_rc refuse_existing(const char *path, struct tt_error *err)
{
    (void)error_set(err, TT_ERR_EXISTS, "%s is already there and is not overwritten", path);
    error_hint(err, "choose another name, or remove it first");
    return TT_ERR_EXISTS;
}

/* Put the finished temporary file in its place. link() fails when the name is taken, rename() replaces it. */
static tt_rc publish(const char *temporary, const char *path, bool no_overwrite, struct tt_error *err)
{
    int rc = no_overwrite ? link(temporary, path) : rename(temporary, path);
    int why = errno;
    if (no_overwrite || rc != 0)
        (void)unlink(temporary);
    if (rc != 0 && why == EEXIST)
        return refuse_existing(path, err);
    if (rc != 0)
        return error_set(err, TT_ERR_IO, "cannot create %s: %s", path, strerror(why));
    sync_directory_of(path);
    return TT_OK;
}

tt_rc file_write(const char *path, struct tt_bytes data, unsigned mode, bool no_overwrite,
                 struct tt_error *err)
{
    struct stat st;
    if (no_overwrite && lstat(path, &st) == 0)
        return refuse_existing(path, err);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) { /* /dev/stdout, a fifo: nothing to replace */
        TT_AUTO(fd_close_auto) int out = open(path, O_WRONLY | O_CLOEXEC);
        if (out < 0)
            return error_set(err, TT_ERR_IO, "cannot open %s: %s", path, strerror(errno));
        return file_write_fd(out, data, path, err);
    }
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= (int)sizeof temporary)
        return error_set(err, TT_ERR_USAGE, "the file name %s is too long", path);
    TT_AUTO(fd_close_auto) int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return error_set(err, TT_ERR_IO, "cannot create %s: %s", path, strerror(errno));
    tt_rc rc = file_write_fd(fd, data, path, err);
    if (rc == TT_OK && (fchmod(fd, (mode_t)mode) != 0 || fsync(fd) != 0))
        rc = error_set(err, TT_ERR_IO, "cannot write %s: %s", path, strerror(errno));
    if (rc != TT_OK) {
        (void)unlink(temporary);
        return rc;
    }
    return publish(temporary, path, no_overwrite, err);
}
