/* tpm/keeper.h: the keeper of an embedded TPM: a small process that owns the swtpm and serves the clients in
 * turn. Layer: tpm. It is forked from a process that may have threads: after the fork it makes system calls
 * only, and uses memory that was mapped before. */
#ifndef TPM_KEEPER_H
#define TPM_KEEPER_H

#include "base/rc.h"

#define KEEPER_SOCKET "s" /* in the state directory */
#define KEEPER_READY  'R' /* the first byte a client gets: the TPM works */
#define KEEPER_FAILED 'F' /* or: it does not */

/* struct keeper_start: everything the keeper needs; the descriptors stay the caller's to close. All are
 * above 2. */
struct keeper_start {
    int dir;           /* the state directory */
    int lock;          /* locked; the lock lasts until the keeper and its swtpm are gone */
    int listen;        /* the unix socket */
    int first;         /* the connection of the process that forks it */
    const char *swtpm; /* the program's path */
};

/* keeper_fork: start it; it is no child of ours (its parent is init). TT_ERR_IO with a sentence. */
TT_MUST_USE tt_rc keeper_fork(const struct keeper_start *start, struct tt_error *err);

#endif
