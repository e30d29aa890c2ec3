/* signer/file_read.h: whole files in, of keys and certificates. Layer: signer. */
#ifndef SIGNER_FILE_READ_H
#define SIGNER_FILE_READ_H

#include "base/buf.h"
#include "base/rc.h"

#define FILES_MAX ((size_t)16 << 20) /* no key or certificate file is larger */

/* file_read: append all that can be read from path to b. TT_ERR_NOT_FOUND, TT_ERR_IO. */
TT_MUST_USE tt_rc file_read(struct buf *b, const char *path, struct tt_error *err);
/* file_read_fd: the same for an open descriptor; path is its name in messages. */
TT_MUST_USE tt_rc file_read_fd(struct buf *b, int fd, const char *path, struct tt_error *err);
/* file_read_text: the same, NUL-terminated behind len; to be freed with mem_free. */
TT_MUST_USE tt_rc file_read_text(char **ret, size_t *ret_len, const char *path, struct tt_error *err);
/* file_text_of: of what was read. */
TT_MUST_USE tt_rc file_text_of(char **ret, size_t *ret_len, const struct buf *b, const char *path,
                               struct tt_error *err);

#endif
