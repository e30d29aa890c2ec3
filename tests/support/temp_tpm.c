/* tests/support/temp_tpm.c: fork, exec and reap one swtpm. */
#include "support/temp_tpm.h"

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"

bool temp_dir_make(char *ret, size_t cap)
{
    (void)snprintf(ret, cap, "/tmp/tpmtls-test-XXXXXX");
    return mkdtemp(ret) != NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

void temp_dir_remove(const char *dir)
{
    if (strncmp(dir, "/tmp/tpmtls-test-", 17) == 0)
        (void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void swtpm_exec(const char *dir)
{
    char state[96], server[128], ctrl[128], log[128];
    (void)snprintf(state, sizeof state, "dir=%s", dir);
    (void)snprintf(server, sizeof server, "type=unixio,path=%s/s", dir);
    (void)snprintf(ctrl, sizeof ctrl, "type=unixio,path=%s/s.ctrl", dir);
    (void)snprintf(log, sizeof log, "file=%s/log", dir);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state, "--flags",
                 "not-need-init,startup-clear", "--server", server, "--ctrl", ctrl, "--log", log,
                 (char *)NULL);
    _exit(127);
}

static bool answers(const char *dir, const char *name)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s/%s", dir, name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool up = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0)
        (void)close(fd);
    return up;
}

static bool spawn(struct temp_tpm *t)
{
    t->pid = fork();
    if (t->pid == 0)
        swtpm_exec(t->dir);
    for (int i = 0; t->pid > 0 && i < 500; i++) {
        if (answers(t->dir, "s.ctrl") && answers(t->dir, "s")) /* it opens one after the other */
            return true;
        if (waitpid(t->pid, NULL, WNOHANG) == t->pid)
            break;
        (void)usleep(10000);
    }
    (void)fprintf(stderr, "temp_tpm: swtpm does not start; is it installed?\n");
    return false;
}

bool temp_tpm_start(struct temp_tpm *t)
{
    if (!temp_dir_make(t->dir, sizeof t->dir))
        return false;
    (void)snprintf(t->tcti, sizeof t->tcti, "swtpm:path=%s/s", t->dir);
    return spawn(t);
}

static void end(struct temp_tpm *t)
{
    if (t->pid <= 0)
        return;
    child_end(t->pid);
    t->pid = 0;
}

bool temp_tpm_restart(struct temp_tpm *t)
{
    end(t);
    return spawn(t);
}

void temp_tpm_stop(struct temp_tpm *t)
{
    end(t);
    temp_dir_remove(t->dir);
}
