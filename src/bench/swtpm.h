/* bench/swtpm.h: a swtpm of the benchmark's own, with a key at a persistent handle, which our own program has
 * no command to make. Layer: bench. */
#ifndef BENCH_SWTPM_H
#define BENCH_SWTPM_H

#include <stddef.h>
#include <sys/types.h>

struct bench_swtpm {
    char dir[64], tcti[128];
    pid_t pid;
};

/* bench_swtpm_start: NULL, or the sentence that says why not (tpm2-tools are not there, ...). */
const char *bench_swtpm_start(struct bench_swtpm *t, const char *handle);
void bench_swtpm_stop(struct bench_swtpm *t);

/* bench_find_lab: tell tpm/lab.c where the lab's module is: at the top of the build directory. */
void bench_find_lab(void);

/* bench_dir_make / _remove: a private directory below /tmp. */
void bench_dir_make(char *ret, size_t cap);
void bench_dir_remove(const char *dir);

#endif
