/* proxy/sandbox.h: what the process gives up once it has started. Layer: proxy. seccomp(2), landlock(7).
 *
 * Whoever takes the process over can read the files it was given and use the sockets it has, but run no other
 * program, see no other files, and write nothing beside its state. */
#ifndef PROXY_SANDBOX_H
#define PROXY_SANDBOX_H

#include "base/rc.h"

struct sandbox_options {
    const char *user; /* as root: become this one, and keep the right to bind to low ports; NULL: stay */
    /* Files that are read, now and at a reload: whatever else is in their directories, too, since a renewed
     * file is a new one. Missing ones are left out. */
    const char *const *files;
    size_t files_len;
    const char *const *state; /* directories below which files and sockets are made */
    size_t state_len;
    bool opens_device; /* the TPM is a device, which may go and come back */
    bool runs_swtpm;   /* an embedded TPM may have to be started again: programs can be run */
};

/* struct sandbox_report: for the log. */
struct sandbox_report {
    int landlock;   /* its ABI; 0: this kernel has none */
    char text[160]; /* "user tpmtls, no new privileges, system calls filtered, files by Landlock 7" */
};

/* sandbox_enter: for ever, and for threads and programs that are started later: to be called before the first
 * thread. Without Landlock in the kernel the rest is done. TT_ERR_IO: not all of it could be done; the
 * process is not to go on. */
TT_MUST_USE tt_rc sandbox_enter(struct sandbox_report *ret, const struct sandbox_options *opt,
                                struct tt_error *err);

/* Its parts, for sandbox_enter and the tests. */
TT_MUST_USE tt_rc sandbox_filter_calls(const struct sandbox_options *opt, struct tt_error *err);
TT_MUST_USE tt_rc sandbox_fence_files(int *ret_abi, const struct sandbox_options *opt, struct tt_error *err);

#endif
