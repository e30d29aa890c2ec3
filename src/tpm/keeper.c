/* tpm/keeper.c: fork, swtpm, and the loop that serves commands one at a time. Layer: tpm. Async-signal-safe
 * calls only between keeper_main and _exit. It ends with its last client; swtpm ends with it. */
#include "tpm/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/child.h"
#include "tpm/space.h"

#define STOP_S      2   /* for TPM2_Shutdown */
#define ANSWER_S    600 /* as long as a TPM may make a key */
#define MAX_CLIENTS 32
#define SWTPM_FD    3 /* swtpm refuses 0 to 2 */
#define PAUSE_MS    20

struct client {
    int fd; /* -1: free */
    size_t have;
    uint8_t command[TPM_MAX_MESSAGE];
};

/* All of the keeper's memory. */
struct keeper {
    struct keeper_start start;
    struct space_tpm tpm;
    pid_t swtpm;
    bool used; /* since the last TPM2_Shutdown */
    struct client clients[MAX_CLIENTS];
    struct space spaces[MAX_CLIENTS];
    uint8_t response[TPM_MAX_MESSAGE];
};

/* ---- descriptors and signals of the new process ---- */

static void close_between(unsigned first, unsigned last)
{
    if (first > last)
        return;
    if (close_range(first, last, 0) == 0)
        return;
    for (unsigned fd = first; fd <= last && fd < 65536; fd++) /* a kernel before 5.9 */
        (void)close((int)fd);
}

/* Closes all but 0 to 2 and the n descriptors of `keep`. */
static void close_others(const int *keep, size_t n)
{
    unsigned from = 3;
    for (;;) {
        unsigned next = ~0U;
        for (size_t i = 0; i < n; i++)
            if ((unsigned)keep[i] >= from && (unsigned)keep[i] < next)
                next = (unsigned)keep[i];
        if (next == ~0U)
            break;
        close_between(from, next - 1);
        from = next + 1;
    }
    close_between(from, ~0U);
}

/* Our caller's pipes must see their end when our caller ends. */
static void standard_streams_to_null(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd <= 2; fd++)
        (void)dup2(null, fd);
}

static void signals_reset(void)
{
    struct sigaction def = {.sa_handler = SIG_DFL}, ign = {.sa_handler = SIG_IGN};
    for (int s = 1; s < NSIG; s++)
        (void)sigaction(s, &def, NULL);
    (void)sigaction(SIGPIPE, &ign, NULL);
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ---- swtpm ---- */

/* In the swtpm's process: the lock stays open in it, so that nobody starts another one on the same state
 * before this one is gone. Paths are relative to the state directory, whose own name may hold anything. */
static void swtpm_exec(const struct keeper *k, int socket, pid_t keeper)
{
    char path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
    char *const environment[] = {path, NULL};
    int lock = fcntl(k->start.lock, F_DUPFD, SWTPM_FD + 1); /* not close-on-exec */
    int from = fcntl(socket, F_DUPFD, SWTPM_FD + 1);
    if (lock < 0 || from < 0 || fchdir(k->start.dir) != 0 || dup2(from, SWTPM_FD) != SWTPM_FD)
        _exit(126);
    const int keep[] = {SWTPM_FD, lock};
    close_others(keep, TT_COUNT(keep));
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == keeper)
        (void)execle(k->start.swtpm, "swtpm", "socket", "--tpm2", "--tpmstate", "dir=.,mode=0600", "--fd",
                     "3", "--flags", "not-need-init,startup-clear", "--log", "file=log,truncate",
                     "--terminate", (char *)NULL, environment);
    _exit(127);
}

/* A swtpm that hangs is given up, whoever still waits for it. */
static void wait_at_most(int fd, time_t seconds)
{
    const struct timeval t = {.tv_sec = seconds};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
}

static bool swtpm_start(struct keeper *k)
{
    int sv[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0)
        return false;
    pid_t self = getpid();
    k->swtpm = fork();
    if (k->swtpm == 0)
        swtpm_exec(k, sv[1], self);
    (void)close(sv[1]);
    wait_at_most(sv[0], ANSWER_S);
    return k->swtpm > 0 && space_open(&k->tpm, sv[0], k->spaces, MAX_CLIENTS);
}

static void swtpm_stop(struct keeper *k)
{
    if (k->swtpm <= 0)
        return;
    wait_at_most(k->tpm.fd, STOP_S);
    space_shutdown(&k->tpm);
    (void)close(k->tpm.fd); /* --terminate: it ends when the connection does */
    child_end(k->swtpm);
}

/* ---- clients ---- */

static void client_drop(struct keeper *k, struct client *c)
{
    (void)close(c->fd);
    c->fd = -1;
    space_drop(&k->tpm, &k->spaces[c - k->clients]);
}

static void client_add(struct keeper *k, int fd)
{
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        if (k->clients[i].fd >= 0)
            continue;
        k->clients[i].fd = fd;
        k->clients[i].have = 0;
        if (send(fd, &(char){KEEPER_READY}, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
            client_drop(k, &k->clients[i]);
        return;
    }
    (void)close(fd);
}

static size_t clients_count(const struct keeper *k)
{
    size_t n = 0;
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        n += k->clients[i].fd >= 0;
    return n;
}

/* The socket's mode keeps others out; this is the second lock on the door. */
static bool same_user(int fd)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && peer.uid == geteuid();
}

static void client_accept(struct keeper *k)
{
    int fd = accept4(k->start.listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (same_user(fd))
        client_add(k, fd);
    else
        (void)close(fd);
}

static size_t command_size(const struct client *c)
{
    const uint8_t *h = c->command;
    return c->have < 10 ? 10 : (size_t)h[2] << 24 | (size_t)h[3] << 16 | (size_t)h[4] << 8 | h[5];
}

/* Reads what is there of the client's command; runs it once it is whole. False: the chip is gone. */
static bool client_readable(struct keeper *k, struct client *c)
{
    size_t want = command_size(c), len = 0;
    ssize_t n = recv(c->fd, c->command + c->have, want - c->have, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    c->have += n > 0 ? (size_t)n : 0;
    want = command_size(c);
    if (n <= 0 || want < 10 || want > sizeof c->command) {
        client_drop(k, c);
        return true;
    }
    if (c->have < want)
        return true;
    c->have = 0;
    k->used = true;
    if (!space_run(&k->tpm, &k->spaces[c - k->clients], c->command, want, k->response, &len))
        return false;
    /* A client has one command on its way, so its response always fits the socket's buffer. */
    if (send(c->fd, k->response, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
        client_drop(k, c);
    return true;
}

/* Whoever kills us, or the machine that stops, gives no notice; and a TPM that had no TPM2_Shutdown counts a
 * wrong password if any that count were used (TPM 2.0 part 1, section 19.8.6). So it has one in each pause.
 */
static void pause_begins(struct keeper *k)
{
    space_shutdown(&k->tpm);
    k->used = false;
}

/* One wait for whoever comes first. False: the chip is gone. */
static bool serve_once(struct keeper *k, int timeout)
{
    struct pollfd p[MAX_CLIENTS + 1];
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        p[i] = (struct pollfd){.fd = k->clients[i].fd, .events = POLLIN};
    bool room = clients_count(k) < MAX_CLIENTS;
    p[MAX_CLIENTS] = (struct pollfd){.fd = room ? k->start.listen : -1, .events = POLLIN};
    int n = poll(p, MAX_CLIENTS + 1, timeout < 0 && k->used ? PAUSE_MS : timeout);
    if (n == 0 && k->used)
        pause_begins(k);
    if (n <= 0)
        return true;
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        if (p[i].revents != 0 && !client_readable(k, &k->clients[i]))
            return false;
    if (p[MAX_CLIENTS].revents != 0)
        client_accept(k);
    return true;
}

static _Noreturn void keeper_main(struct keeper *k)
{
    const int keep[] = {k->start.dir, k->start.lock, k->start.listen, k->start.first};
    signals_reset();
    close_others(keep, TT_COUNT(keep));
    standard_streams_to_null();
    (void)prctl(PR_SET_NAME, "tpmtls-keeper");
    if (chdir("/") != 0)
        _exit(1); /* never seen; a keeper must not keep a directory busy */
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        k->clients[i].fd = -1;
    bool works = swtpm_start(k);
    if (works)
        client_add(k, k->start.first);
    else
        (void)send(k->start.first, &(char){KEEPER_FAILED}, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (works && clients_count(k) > 0) {
        works = serve_once(k, -1);
        if (works && clients_count(k) == 0)
            works = serve_once(k, 0); /* somebody may just have come */
    }
    /* Nobody finds us any more; who still waits to be accepted gets no first byte, and comes again. */
    (void)unlinkat(k->start.dir, KEEPER_SOCKET, 0);
    (void)close(k->start.listen);
    swtpm_stop(k);
    _exit(0);
}

/* In the child: one more fork, so that the keeper is nobody's child that anybody has to wait for. */
static _Noreturn void keeper_detach(struct keeper *k)
{
    (void)setsid();
    if (fork() == 0)
        keeper_main(k);
    _exit(0);
}

tt_rc keeper_fork(const struct keeper_start *start, struct tt_error *err)
{
    /* cppcheck-suppress invalidFunctionArg ; -1 is what an anonymous mapping takes */
    struct keeper *k = mmap(NULL, sizeof *k, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (k == MAP_FAILED)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    k->start = *start;
    /* Handlers of our process must not run in the child. */
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t child = fork();
    if (child == 0)
        keeper_detach(k);
    int why = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)munmap(k, sizeof *k);
    if (child < 0)
        return error_set(err, TT_ERR_IO, "cannot start the embedded TPM's keeper: %s", strerrordesc_np(why));
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    return TT_OK;
}
