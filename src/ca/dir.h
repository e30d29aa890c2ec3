/* ca/dir.h: the files of a CA's directory. Layer: ca. */
#ifndef CA_DIR_H
#define CA_DIR_H

#include <limits.h>

#include "base/mem.h"
#include "ca/ca.h"

/* dir_path: DIR/name; TT_ERR_USAGE when that is too long. */
TT_MUST_USE tt_rc dir_path(char ret[PATH_MAX], const char *dir, const char *name, struct tt_error *err);

/* dir_read: a small file (64 KiB), NUL-terminated; mem_free. TT_ERR_NOT_FOUND when dir is not a CA. */
TT_MUST_USE tt_rc dir_read(char **ret, size_t *ret_len, const char *dir, const char *name,
                           struct tt_error *err);

/* dir_has: TT_ERR_NOT_FOUND, with the reason, when dir has no such file and so is not a CA. */
TT_MUST_USE tt_rc dir_has(const char *dir, const char *name, struct tt_error *err);

/* dir_is_key_name: the name of a key's file within the directory: ca.key, ca-HASH.key. */
bool dir_is_key_name(const char *name);
/* dir_lock: one process at a time changes the CA's key; TT_ERR_BUSY. Close what it gives. */
TT_MUST_USE tt_rc dir_lock(int *ret, const char *dir, struct tt_error *err);
/* dir_remove: a file in it. */
void dir_remove(const char *dir, const char *name);

/* dir_store: where the store is: what is asked for (or NULL), what DIR/store says, or DIR/ca.db, which must
 * be there.
 */
#define DIR_STORE_MAX (PATH_MAX + 16)
TT_MUST_USE tt_rc dir_store(char ret[DIR_STORE_MAX], const char *dir, const char *asked,
                            struct tt_error *err);

/* struct dir_content: what a new CA's directory holds besides its store. */
struct dir_content {
    const char *cert_pem;
    const char *key_pem; /* or NULL */
    const char *profiles;
    const char *store; /* a line for DIR/store, or NULL: it is in DIR/ca.db */
    /* fill: makes the store. dir is the directory while it has another name still; what fails here leaves
     * nothing. */
    tt_rc (*fill)(void *arg, const char *dir, struct tt_error *err);
    void *arg;
};

/* dir_check_free: TT_ERR_EXISTS when something is at dir. */
TT_MUST_USE tt_rc dir_check_free(const char *dir, struct tt_error *err);

/* dir_create: the whole directory, or nothing. */
TT_MUST_USE tt_rc dir_create(const char *dir, const struct dir_content *content, struct tt_error *err);

#endif
