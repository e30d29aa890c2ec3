/* net/session_dir.h: the directory of a session store: names, lock, who makes room. Layer: net. A file's name
 * says whom it is for (a hash of the session_key: only to find it), when it came and when it ends, so that
 * nothing needs to be opened to tidy up: PEER-RECEIVED-EXPIRES-RANDOM.json, all hexadecimal. */
#ifndef NET_SESSION_DIR_H
#define NET_SESSION_DIR_H

#include <stdint.h>

#include "tpmtls/error.h"

#define SESSION_NAME_MAX 80

/* struct session_dir: open and locked against other processes. */
struct session_dir {
    int fd, lock_fd;
};
/* The sealed key of a store of either kind: of sealed sessions, whose key may be bound to PCRs, and of held
 * ones. */
#define SESSION_SEAL_NAME "seal.key"
#define SESSION_HELD_NAME "held.key"

/* session_dir_open: made (0700) where it is not there and `make` is set, else TT_ERR_NOT_FOUND. Waits a few
 * seconds for the lock, then TT_ERR_BUSY. Refuses a directory that others may write to. */
TT_MUST_USE tt_rc session_dir_open(struct session_dir *ret, const char *path, bool make,
                                   struct tt_error *err);
void session_dir_close(struct session_dir *d);

/* struct session_name: what a file's name says. */
struct session_name {
    uint64_t peer, random;
    int64_t received_ms, expires_ms;
};
void session_name_text(char ret[SESSION_NAME_MAX], const struct session_name *n);

/* session_dir_scan: all sessions, by peer, then newest first; *ret to be freed with mem_free. What was left
 * behind by a crash long ago is removed. */
TT_MUST_USE tt_rc session_dir_scan(struct session_dir *d, struct session_name **ret, size_t *ret_n,
                                   struct tt_error *err);
/* session_dir_remove: false when it was not there. */
bool session_dir_remove(struct session_dir *d, const struct session_name *n);
/* session_dir_make_room: remove expired ones, then as many as it takes for one more of this peer. */
TT_MUST_USE tt_rc session_dir_make_room(struct session_dir *d, uint64_t peer, int64_t now_ms,
                                        struct tt_error *err);
/* session_dir_sync: what was removed stays removed. */
void session_dir_sync(const struct session_dir *d);

#endif
