/* tests/support/temp_tpm.h: a swtpm of a test's own: a temporary directory, unix sockets, no ports; it dies
 * with the test process. */
#ifndef SUPPORT_TEMP_TPM_H
#define SUPPORT_TEMP_TPM_H

#include <stdbool.h>
#include <sys/types.h>

struct temp_tpm {
    char dir[64];
    char tcti[96]; /* "swtpm:path=DIR/s" */
    pid_t pid;
};

/* temp_tpm_start: false, with the reason on stderr, when it cannot be had. */
bool temp_tpm_start(struct temp_tpm *t);
/* temp_tpm_restart: the same state, another process: what was loaded is gone. */
bool temp_tpm_restart(struct temp_tpm *t);
/* temp_tpm_stop: ends the process and removes the directory. */
void temp_tpm_stop(struct temp_tpm *t);

/* temp_dir_make / temp_dir_remove: a directory of the test's own under /tmp, removed with all that is in it.
 */
bool temp_dir_make(char *ret, size_t cap);
void temp_dir_remove(const char *dir);

#endif
