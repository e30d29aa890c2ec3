/* net/key_files.h: the key files of a directory, and whether a file or a directory of them has changed.
 * Layer: net. Reads no key. */
#ifndef NET_KEY_FILES_H
#define NET_KEY_FILES_H

#include <limits.h>
#include <time.h>

#include "base/rc.h"

#define KEY_FILES_MAX 64

/* struct key_files: the files of a directory whose names end so, the last name first. */
struct key_files {
    char names[KEY_FILES_MAX][NAME_MAX + 1];
    size_t n;
};
/* key_files_list: TT_ERR_IO also when somebody else may write there. */
TT_MUST_USE tt_rc key_files_list(struct key_files *ret, const char *path, const char *suffix,
                                 struct tt_error *err);

/* struct key_files_state: when a path was last changed: of the file, or of all files and the directory
 * itself.
 */
struct key_files_state {
    struct timespec newest;
    size_t n;
};
/* key_files_changed: since the last call with this state, which is brought up to date. An empty suffix: all
 * files of the directory but hidden ones. */
bool key_files_changed(struct key_files_state *state, const char *path, const char *suffix);

#endif
