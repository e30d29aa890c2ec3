/* signer/file_write.h: whole files out. Layer: signer. What is written is either the old file or the whole
 * new one, never a half, whenever the power goes. */
#ifndef SIGNER_FILE_WRITE_H
#define SIGNER_FILE_WRITE_H

#include "base/rc.h"

/* file_write: a temporary file beside it, fsync, rename; mode e.g. 0600. With no_overwrite an existing file
 * is TT_ERR_EXISTS. What is no regular file (a fifo, /dev/stdout) is written to as it is. */
TT_MUST_USE tt_rc file_write(const char *path, struct tt_bytes data, unsigned mode, bool no_overwrite,
                             struct tt_error *err);
/* file_write_fd: name is for messages. */
TT_MUST_USE tt_rc file_write_fd(int fd, struct tt_bytes data, const char *name, struct tt_error *err);

#endif
