/* signer/file_write.h: whole files out. Layer: signer. What is written is either the old file or the whole
 * new one, never a half, whenever the power goes; a process that is killed leaves nothing, or what the next
 * one that writes there removes. */
#ifndef SIGNER_FILE_WRITE_H
#define SIGNER_FILE_WRITE_H

#include "base/rc.h"
#include "signer/file_holds.h"

struct file_want {
    unsigned mode;       /* such as 0600 */
    enum file_over over; /* what it may take the place of */
};

/* file_write: a file without a name (or a temporary one beside it), fsync, then the name. TT_ERR_EXISTS as
 * file_may_write says, whose ret_old this has. What is no regular file (a fifo, /dev/stdout) is written to as
 * it is. */
TT_MUST_USE tt_rc file_write(const char **ret_old, const char *path, struct tt_bytes data,
                             struct file_want want, struct tt_error *err);
/* file_write_fd: name is for messages. */
TT_MUST_USE tt_rc file_write_fd(int fd, struct tt_bytes data, const char *name, struct tt_error *err);

/* file_directories: path, which may be there, with what is missing above it. above, last: modes, such as
 * 0755, of those that are made. */
TT_MUST_USE tt_rc file_directories(const char *path, unsigned above, unsigned last, struct tt_error *err);

#endif
