/* signer/file_read.c: see file_read.h. Layer: signer. */
#include "signer/file_read.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE 4096 /* most files are no longer */

tt_rc file_read_fd(struct buf *b, int fd, const char *path, struct tt_error *err)
{
    b->max = FILE_READ_MAX + PIECE;
    for (;;) {
        uint8_t *room = buf_reserve(b, PIECE);
        if (room == NULL)
            return error_set(err, TT_ERR_IO, "%s is larger than %zu MiB, which no key or certificate file is",
                             path, FILE_READ_MAX >> 20);
        ssize_t n = read(fd, room, PIECE);
        if (n == 0)
            return TT_OK;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, TT_ERR_IO, "cannot read %s: %s", path, strerror(errno));
        buf_commit(b, (size_t)n);
    }
}

tt_rc file_check_owner(const struct stat *st, enum file_kind kind, const char *path, struct tt_error *err)
{
    bool foreign = st->st_uid != 0 && st->st_uid != geteuid();
    bool writable = (st->st_mode & 022) != 0, readable = kind == FILE_SECRET && (st->st_mode & 004) != 0;
    if (foreign) {
        (void)error_set(err, TT_ERR_IO, "%s belongs to the user %lu: neither root's nor ours", path,
                        (unsigned long)st->st_uid);
        error_hint(err, "chown it, or name another one");
    } else if (readable) {
        (void)error_set(err, TT_ERR_IO, "everybody may read %s", path);
        error_hint(err, "chmod 600 %s", path);
    } else if (writable) {
        (void)error_set(err, TT_ERR_IO, "others than its owner may write %s", path);
        error_hint(err, "chmod go-w %s", path);
    }
    return foreign || readable || writable ? TT_ERR_IO : TT_OK;
}

tt_rc file_check_path(const char *path, enum file_kind kind, struct tt_error *err)
{
    struct stat st;
    if (stat(path, &st) == 0)
        return file_check_owner(&st, kind, path, err);
    return errno == ENOENT || errno == ENOTDIR
               ? TT_OK
               : error_set(err, TT_ERR_IO, "cannot look at %s: %s", path, strerror(errno));
}

/* The file that is looked at is the one that is read. */
static tt_rc read_checked(struct buf *b, const enum file_kind *kind, const char *path, struct tt_error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno == ENOENT ? TT_ERR_NOT_FOUND : TT_ERR_IO, "cannot open %s: %s", path,
                         strerror(errno));
    tt_rc rc = TT_OK;
    if (kind != NULL && fstat(fd, &st) != 0)
        rc = error_set(err, TT_ERR_IO, "cannot look at %s: %s", path, strerror(errno));
    else if (kind != NULL)
        rc = file_check_owner(&st, *kind, path, err);
    if (rc == TT_OK)
        rc = file_read_fd(b, fd, path, err);
    (void)close(fd);
    return rc;
}

tt_rc file_read(struct buf *b, const char *path, struct tt_error *err)
{
    return read_checked(b, NULL, path, err);
}

tt_rc file_read_owned(struct buf *b, enum file_kind kind, const char *path, struct tt_error *err)
{
    return read_checked(b, &kind, path, err);
}

tt_rc file_text_of(char **ret, size_t *ret_len, const struct buf *b, const char *path, struct tt_error *err)
{
    char *text = mem_dup(buf_front(b), buf_size(b));
    if (text == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for %s", path);
    *ret = text;
    *ret_len = buf_size(b);
    return TT_OK;
}

tt_rc file_read_owned_text(char **ret, size_t *ret_len, enum file_kind kind, const char *path,
                           struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf b = {0};
    TT_TRY(file_read_owned(&b, kind, path, err));
    return file_text_of(ret, ret_len, &b, path, err);
}

tt_rc file_read_text(char **ret, size_t *ret_len, const char *path, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf b = {0};
    TT_TRY(file_read(&b, path, err));
    return file_text_of(ret, ret_len, &b, path, err);
}
