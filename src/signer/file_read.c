/* signer/file_read.c: see file_read.h. Layer: signer. */
#include "signer/file_read.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

tt_rc file_read_fd(struct buf *b, int fd, const char *path, struct tt_error *err)
{
    b->max = FILES_MAX + 65536;
    for (;;) {
        uint8_t *room = buf_reserve(b, 65536);
        if (room == NULL)
            return error_set(err, TT_ERR_IO, "%s is larger than %zu MiB, which no key or certificate file is",
                             path, FILES_MAX >> 20);
        ssize_t n = read(fd, room, 65536);
        if (n == 0)
            return TT_OK;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, TT_ERR_IO, "cannot read %s: %s", path, strerror(errno));
        buf_commit(b, (size_t)n);
    }
}

tt_rc file_read(struct buf *b, const char *path, struct tt_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno == ENOENT ? TT_ERR_NOT_FOUND : TT_ERR_IO, "cannot open %s: %s", path,
                         strerror(errno));
    tt_rc rc = file_read_fd(b, fd, path, err);
    (void)close(fd);
    return rc;
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

tt_rc file_read_text(char **ret, size_t *ret_len, const char *path, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf b = {0};
    TT_TRY(file_read(&b, path, err));
    return file_text_of(ret, ret_len, &b, path, err);
}
