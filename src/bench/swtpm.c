/* bench/swtpm.c: see swtpm.h. Layer: bench. */
#include "bench/swtpm.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/child.h"
#include "bench/report.h"

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

void bench_dir_remove(const char *dir)
{
    /* The embedded TPM's keeper ends a moment after its last client. */
    for (int i = 0; i < 100 && access(dir, F_OK) == 0 && nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0;
         i++)
        (void)nanosleep(&(struct timespec){0, 20000000}, NULL);
}

/* What die() leaves behind. */
static char made[4][64];

static void remove_all(void)
{
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        if (made[i][0] != '\0')
            bench_dir_remove(made[i]);
}

void bench_dir_make(char *ret, size_t cap)
{
    static size_t n;
    (void)snprintf(ret, cap, "/tmp/tpmtls-bench-XXXXXX");
    if (mkdtemp(ret) == NULL || n == sizeof made / sizeof *made)
        die("no directory below /tmp");
    (void)snprintf(made[n++], sizeof made[0], "%s", ret);
    if (n == 1)
        (void)atexit(remove_all);
}

/* What the child becomes; its output goes nowhere. */
static void become(const char *const argv[])
{
    int null = open("/dev/null", O_RDWR);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)dup2(null, 0);
    (void)dup2(null, 1);
    (void)dup2(null, 2);
    (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static bool run(const char *const argv[])
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        become(argv);
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool make_key(const char *dir, const char *tcti, const char *handle)
{
    char context[96];
    (void)snprintf(context, sizeof context, "%s/key.ctx", dir);
    const char *const create[] = {"tpm2_createprimary",
                                  "-Q",
                                  "-T",
                                  tcti,
                                  "-C",
                                  "o",
                                  "-G",
                                  "ecc256:ecdsa-sha256",
                                  "-a",
                                  "sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda",
                                  "-c",
                                  context,
                                  NULL};
    const char *const evict[] = {
        "tpm2_evictcontrol", "-Q", "-T", tcti, "-C", "o", "-c", context, handle, NULL};
    /* Without a resource manager the primary stays in one of three slots. */
    const char *const flush[] = {"tpm2_flushcontext", "-Q", "-T", tcti, "-t", NULL};
    return run(create) && run(evict) && run(flush);
}

const char *bench_swtpm_start(struct bench_swtpm *t, const char *handle)
{
    char state[96], server[128], control[128], socket[96];
    bench_dir_make(t->dir, sizeof t->dir);
    (void)snprintf(state, sizeof state, "dir=%s,mode=0600", t->dir);
    (void)snprintf(socket, sizeof socket, "%s/s", t->dir);
    (void)snprintf(server, sizeof server, "type=unixio,path=%s", socket);
    (void)snprintf(control, sizeof control, "type=unixio,path=%s.ctrl", socket);
    (void)snprintf(t->tcti, sizeof t->tcti, "swtpm:path=%s", socket);
    const char *const argv[] = {
        "swtpm",    "socket", "--tpm2", "--tpmstate", state, "--flags", "not-need-init,startup-clear",
        "--server", server,   "--ctrl", control,      NULL};
    t->pid = fork();
    if (t->pid == 0)
        become(argv);
    for (int i = 0; i < 200 && access(socket, F_OK) != 0; i++)
        (void)nanosleep(&(struct timespec){0, 10000000}, NULL);
    if (t->pid > 0 && make_key(t->dir, t->tcti, handle))
        return NULL;
    bench_swtpm_stop(t);
    return "a persistent handle: left out, because swtpm or tpm2-tools are not there";
}

void bench_swtpm_stop(struct bench_swtpm *t)
{
    if (t->pid > 0) {
        child_end(t->pid);
    }
    bench_dir_remove(t->dir);
}

void bench_find_lab(void)
{
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    for (int up = 0; n > 0 && up < 3; up++) {
        exe[n] = '\0';
        char *slash = strrchr(exe, '/');
        n = slash != NULL ? slash - exe : 0;
        exe[n] = '\0';
    }
    if (n > 0)
        (void)setenv("TPMTLS_LIBDIR", exe, 0);
}
