/* cli/file.c: whole files in and out, for every command. Layer: cli. What is written is either the old file
 * or the whole new one, never a half. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/files.h"

static void fd_close_auto(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

tt_rc cli_read_file(char **ret, size_t *ret_len, const char *path, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf b = {0};
    TT_TRY(strcmp(path, "-") == 0 ? file_read_fd(&b, STDIN_FILENO, "standard input", err)
                                  : file_read(&b, path, err));
    char *text = mem_dup(buf_front(&b), buf_size(&b));
    if (text == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for %s", path);
    *ret = text;
    *ret_len = buf_size(&b);
    return TT_OK;
}

static tt_rc write_all(int fd, struct tt_bytes data, const char *path, struct tt_error *err)
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

tt_rc cli_write_file(const char *path, struct tt_bytes data, unsigned mode, bool no_overwrite,
                     struct tt_error *err)
{
    if (path == NULL || strcmp(path, "-") == 0)
        return write_all(STDOUT_FILENO, data, "standard output", err);
    struct stat st;
    if (no_overwrite && lstat(path, &st) == 0)
        return refuse_existing(path, err);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) { /* /dev/stdout, a fifo: nothing to replace */
        TT_AUTO(fd_close_auto) int out = open(path, O_WRONLY | O_CLOEXEC);
        if (out < 0)
            return error_set(err, TT_ERR_IO, "cannot open %s: %s", path, strerror(errno));
        return write_all(out, data, path, err);
    }
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= (int)sizeof temporary)
        return error_set(err, TT_ERR_USAGE, "the file name %s is too long", path);
    TT_AUTO(fd_close_auto) int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return error_set(err, TT_ERR_IO, "cannot create %s: %s", path, strerror(errno));
    tt_rc rc = write_all(fd, data, path, err);
    if (rc == TT_OK && (fchmod(fd, (mode_t)mode) != 0 || fsync(fd) != 0))
        rc = error_set(err, TT_ERR_IO, "cannot write %s: %s", path, strerror(errno));
    if (rc != TT_OK) {
        (void)unlink(temporary);
        return rc;
    }
    return publish(temporary, path, no_overwrite, err);
}
