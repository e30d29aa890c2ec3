/* signer/file_directories.c: where files of ours are to lie. Layer: signer. */
#include "signer/file_write.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

tt_rc file_directories(const char *path, unsigned above, unsigned last, struct tt_error *err)
{
    char part[PATH_MAX];
    if (path[0] == '\0' || snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return error_set(err, TT_ERR_USAGE, "the directory name %s is too long, or empty", path);
    for (char *at = part + 1;; at++) {
        char here = *at;
        if (here != '/' && here != '\0')
            continue;
        *at = '\0';
        if (mkdir(part, here == '\0' ? last : above) != 0 && errno != EEXIST)
            return error_set(err, TT_ERR_IO, "cannot make the directory %s: %s", part, strerror(errno));
        if (here == '\0')
            return TT_OK;
        *at = here;
    }
}
