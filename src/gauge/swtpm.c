/* gauge/swtpm.c: a swtpm for profiles, in a directory of its own below /tmp; it goes when we go. Layer:
 * gauge. tpm2-tss' TCTI for it wants a control socket beside the other one. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/child.h"
#include "gauge/gauge.h"

#define WAIT_MS 10
#define WAITS   500

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

void gauge_swtpm_stop(struct gauge_swtpm *t)
{
    if (t->pid > 0)
        child_end(t->pid);
    if (t->dir[0] != '\0')
        (void)nftw(t->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    *t = (struct gauge_swtpm){.pid = 0};
}

/* In the child: it ends with its parent, and says nothing. */
static void become(const char *const argv[], int parent)
{
    int null = open("/dev/null", O_RDWR);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    for (int fd = 0; fd < 3; fd++)
        (void)dup2(null, fd);
    (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* That the socket's file is there is not enough: on a busy machine it is a while until swtpm listens. */
static bool listens(const struct gauge_swtpm *t, const char *name)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s/%s", t->dir, name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool up = fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0)
        (void)close(fd);
    return up;
}

static bool is_there(const struct gauge_swtpm *t)
{
    return listens(t, "s.ctrl") && listens(t, "s"); /* it opens one after the other */
}

static bool wait_until_there(struct gauge_swtpm *t)
{
    for (int i = 0; i < WAITS; i++) {
        if (is_there(t))
            return true;
        if (waitpid(t->pid, NULL, WNOHANG) == t->pid) {
            t->pid = 0;
            return false;
        }
        (void)nanosleep(&(struct timespec){0, WAIT_MS * 1000000L}, NULL);
    }
    return false;
}

tt_rc gauge_swtpm_start(struct gauge_swtpm *ret, struct tt_error *err)
{
    struct gauge_swtpm t = {.dir = "/tmp/tpmtls-bench-XXXXXX"};
    char state[96], server[128], control[128];
    if (mkdtemp(t.dir) == NULL)
        return error_set(err, TT_ERR_IO, "cannot make a directory below /tmp: %s", strerrordesc_np(errno));
    (void)snprintf(state, sizeof state, "dir=%s", t.dir);
    (void)snprintf(server, sizeof server, "type=unixio,path=%s/s,mode=0600", t.dir);
    (void)snprintf(control, sizeof control, "type=unixio,path=%s/s.ctrl,mode=0600", t.dir);
    (void)snprintf(t.tcti, sizeof t.tcti, "swtpm:path=%s/s", t.dir);
    const char *const argv[] = {
        "swtpm",    "socket", "--tpm2", "--tpmstate", state, "--flags", "not-need-init,startup-clear",
        "--server", server,   "--ctrl", control,      NULL};
    int parent = getpid();
    t.pid = fork();
    if (t.pid == 0)
        become(argv, parent);
    if (t.pid < 0 || !wait_until_there(&t)) {
        gauge_swtpm_stop(&t);
        (void)error_set(err, TT_ERR_TPM, "cannot start swtpm, the emulated TPM behind the profiles");
        error_hint(err, "install the package swtpm, or name a TPM with --tpm");
        return TT_ERR_TPM;
    }
    *ret = t;
    return TT_OK;
}
