/* signer/file_read.h: whole files in, of keys and certificates. Layer: signer. */
#ifndef SIGNER_FILE_READ_H
#define SIGNER_FILE_READ_H

#include "base/buf.h"
#include "base/rc.h"

#define FILE_READ_MAX ((size_t)16 << 20) /* no key or certificate file is larger */

/* file_read: append all that can be read from path to b. TT_ERR_NOT_FOUND, TT_ERR_IO. */
TT_MUST_USE tt_rc file_read(struct buf *b, const char *path, struct tt_error *err);
/* file_check_owner: may what is here be believed: it is root's or ours, and nobody else may write it; of a
 * secret nobody but its group may read it, either. Asked wherever keys, CAs or sessions are read from a
 * directory, of the directory and of each file: who can put a file there, or change one, decides whom we
 * believe. TT_ERR_IO. */
enum file_kind {
    FILE_TRUSTED,
    FILE_SECRET
};
struct stat;
TT_MUST_USE tt_rc file_check_owner(const struct stat *st, enum file_kind kind, const char *path,
                                   struct tt_error *err);
/* file_check_path: the same of what has this name now; what is not there has no owner: TT_OK. For
 * directories, and for files that somebody else's code opens. */
TT_MUST_USE tt_rc file_check_path(const char *path, enum file_kind kind, struct tt_error *err);
/* file_read_owned: file_read of a file that file_check_owner lets pass. */
TT_MUST_USE tt_rc file_read_owned(struct buf *b, enum file_kind kind, const char *path, struct tt_error *err);
/* file_read_fd: the same for an open descriptor; path is its name in messages. */
TT_MUST_USE tt_rc file_read_fd(struct buf *b, int fd, const char *path, struct tt_error *err);
/* file_read_owned_text: the same, NUL-terminated behind len; to be freed with mem_free. */
TT_MUST_USE tt_rc file_read_owned_text(char **ret, size_t *ret_len, enum file_kind kind, const char *path,
                                       struct tt_error *err);
/* file_read_text: without the check, NUL-terminated behind len; to be freed with mem_free. */
TT_MUST_USE tt_rc file_read_text(char **ret, size_t *ret_len, const char *path, struct tt_error *err);
/* file_text_of: of what was read. */
TT_MUST_USE tt_rc file_text_of(char **ret, size_t *ret_len, const struct buf *b, const char *path,
                               struct tt_error *err);

#endif
