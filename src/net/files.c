/* net/files.c: reading files, and the parts of a configuration that come from files. Layer: net. */
#include "net/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "net/identity.h"
#include "tpmtls/stream.h"

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

/* What is wrong with the contents, with the file's name in front. */
static tt_rc blame(const char *path, tt_rc rc, const struct tt_error *why, struct tt_error *err)
{
    if (rc == TT_OK)
        return TT_OK;
    (void)error_set(err, rc, "%.120s: %.190s", path, why->text);
    if (why->hint[0] != '\0')
        error_hint(err, "%s", why->hint);
    return rc;
}

tt_rc tt_key_open_file(struct tt_key **ret, struct tt_tpm *tpm, const char *path, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf pem = {0};
    struct tt_error why = {0};
    TT_TRY(file_read(&pem, path, err));
    return blame(path, tt_key_open_pem(ret, tpm, buf_bytes(&pem), &why), &why, err);
}

tt_rc tt_trust_add_file(struct tt_trust *trust, const char *path, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf pem = {0};
    struct tt_error why = {0};
    TT_TRY(file_read(&pem, path, err));
    return blame(path, tt_trust_add_pem(trust, buf_bytes(&pem), &why), &why, err);
}

tt_rc tt_config_add_key_file(struct tt_config *cfg, struct tt_key *key, const char *path,
                             struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf pem = {0};
    TT_TRY(file_read(&pem, path, err));
    const struct identity_source source = {
        .key = key, .chain_pem = buf_bytes(&pem), .key_name = "FILE", .chain_name = path};
    bool wants_staple = false;
    return identity_add(cfg, &source, &wants_staple, err);
}
