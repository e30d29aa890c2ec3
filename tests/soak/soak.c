/* tests/soak/soak.c: `soak PROGRAM DIR CONNECTIONS SECONDS [SEED]`: random and mutated connections against
 * `PROGRAM serve`, against a client of the engine and against `PROGRAM connect`, until there were so many or
 * the time is over. Called by `./dev soak`. DIR takes keys and certificates. Status 0: nothing crashed, hung
 * or leaked, honest clients were served all along, and the server's memory is flat. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "talk.h"

#define WORKERS 16 /* most of them wait for an answer that never comes */
/* Of so many connections, one is against a process of `tpmtls connect`; of the others, half are against the
 * server. */
#define ONE_PROCESS_IN 1000
/* The server's memory is looked at half way: what is made once is there by then, and ASan, which remembers
 * where each block came from and spreads them, has most of what it takes. (In a million connections it takes
 * some 4 MiB, three quarters of it in the first half; a server without ASan takes nothing.) Beyond FLAT_KB
 * more it has grown: of a million connections that is 8 bytes each. */
#define WARM_AFTER 20000 /* half way is not before */
#define FLAT_KB    2048

struct shared {
    struct counts n;
    _Atomic unsigned long next;
    _Atomic bool stop;
    /* of the engine's allocations in the workers, when WARM_AFTER connections were made and at the end */
    _Atomic unsigned long live_start, live_end;
};

struct server {
    pid_t pid;
    int log; /* its stderr */
    uint16_t port;
    unsigned long lines;
    char line[2048];
    size_t len;
    bool complained; /* a sanitizer did */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static unsigned long rss_kb(pid_t pid)
{
    char path[64], line[256];
    unsigned long kb = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            kb = strtoul(line + 6, NULL, 10);
    if (f != NULL)
        (void)fclose(f);
    return kb;
}

/* ---- the server ---- */

static void server_line(struct server *s)
{
    const char *at = strstr(s->line, "listening on 127.0.0.1:");
    s->lines++;
    if (at != NULL && s->port == 0)
        s->port = (uint16_t)strtoul(at + strlen("listening on 127.0.0.1:"), NULL, 10);
    s->complained |= strstr(s->line, "Sanitizer") != NULL || strstr(s->line, "runtime error") != NULL;
    if (s->complained)
        fprintf(stderr, "%s\n", s->line);
}

/* What it printed; false when it is gone. */
static bool server_listen(struct server *s, int ms)
{
    char buf[65536];
    struct pollfd p = {.fd = s->log, .events = POLLIN};
    if (poll(&p, 1, ms) <= 0)
        return true;
    ssize_t n = read(s->log, buf, sizeof buf);
    for (ssize_t i = 0; i < n; i++) {
        if (buf[i] == '\n' || s->len == sizeof s->line - 1) {
            s->line[s->len] = '\0';
            server_line(s);
            s->len = 0;
        }
        if (buf[i] != '\n')
            s->line[s->len++] = buf[i];
    }
    return n > 0;
}

static void server_start(struct server *s, const char *program, const char *dir)
{
    int ends[2];
    *s = (struct server){.pid = -1};
    if (pipe2(ends, O_CLOEXEC) != 0 || (s->pid = fork()) < 0) {
        perror("soak");
        exit(1);
    }
    if (s->pid == 0) {
        (void)dup2(open("/dev/null", O_RDWR), 1);
        (void)dup2(ends[1], 2);
        if (chdir(dir) == 0)
            (void)execl(program, program, "serve", "127.0.0.1:0", "--key", "server.key", "--cert",
                        "server.pem", "--client-ca", "ca.pem", "--max-early-data", "1000",
                        "--handshake-timeout", "10", (char *)NULL);
        perror(program);
        _exit(127);
    }
    (void)close(ends[1]);
    s->log = ends[0];
    for (int i = 0; i < 60 && s->port == 0; i++)
        if (!server_listen(s, 1000))
            break;
    if (s->port == 0) {
        fprintf(stderr, "soak: %s serve did not start: %s\n", program, s->line);
        exit(1);
    }
}

/* Its exit status, leaks included. */
static int server_stop(struct server *s)
{
    int status = 0;
    (void)kill(s->pid, SIGTERM);
    for (int i = 0; i < 60 && server_listen(s, 1000);)
        i++;
    for (int i = 0; i < 600; i++) {
        if (waitpid(s->pid, &status, WNOHANG) == s->pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        (void)usleep(100000);
    }
    (void)kill(s->pid, SIGKILL);
    (void)waitpid(s->pid, &status, 0);
    return -1;
}

/* ---- the workers ---- */

static unsigned long live_bytes(void)
{
#ifdef TT_FAULT_INJECTION
    return (unsigned long)mem_test_stats().live_bytes;
#else
    return 0;
#endif
}

static void work(struct ends *e, struct shared *s, uint16_t port, unsigned long total, uint64_t seed)
{
    bool is_warm = false;
    unsigned long i = 0, start = 0;
    while (!s->stop && (i = s->next++) < total) {
        uint64_t one = seed + i * 0x100000001b3U;
        if (i % ONE_PROCESS_IN == 0)
            talk_to_connect(e, &s->n, one);
        else if (i % 2 != 0)
            talk_to_serve(e, &s->n, port, one);
        else
            talk_to_client(e, &s->n, one);
        if (!is_warm && i > WARM_AFTER) {
            is_warm = true;
            start = live_bytes();
            s->live_start += start;
        }
    }
    if (is_warm)
        s->live_end += live_bytes();
}

static pid_t worker_start(struct ends *e, struct shared *s, uint16_t port, unsigned long total, uint64_t seed)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)signal(SIGTERM, SIG_IGN);
        work(e, s, port, total, seed);
        ends_free(e);
        exit(0); /* where leaks are looked for */
    }
    return pid;
}

/* ---- the run ---- */

static unsigned long done(const struct shared *s)
{
    return s->n.against_serve + s->n.against_client + s->n.against_connect;
}

struct run {
    unsigned long total, rss_start, rss_end;
    unsigned seconds;
    time_t start;
    bool server_gone;
    unsigned broken_workers;
};

/* On a terminal one line that is written over; elsewhere, once a minute, one that stays. */
static void progress(FILE *to, const struct shared *s, const struct run *r, pid_t server)
{
    unsigned long t = (unsigned long)(time(NULL) - r->start);
    bool is_line = to == stderr;
    (void)fprintf(to, "%ssoak: %lu connections in %lu s, server %lu KiB, %lu hangs, %lu crashes%s",
                  is_line ? "\r\033[K" : "", done(s), t, rss_kb(server), s->n.hangs, s->n.crashes,
                  is_line ? "" : "\n");
    (void)fflush(to);
}

static void watch(struct shared *s, struct run *r, struct server *server, const pid_t *workers)
{
    unsigned alive = WORKERS;
    time_t told = time(NULL);
    const bool on_terminal = isatty(STDERR_FILENO) == 1;
    while (alive > 0) {
        int status = 0;
        if (!server_listen(server, 500) && !r->server_gone) {
            r->server_gone = true;
            s->stop = true;
        }
        if (interrupted || time(NULL) - r->start >= (time_t)r->seconds)
            s->stop = true;
        if (r->rss_start == 0 && r->total >= 2 * WARM_AFTER && done(s) >= r->total / 2)
            r->rss_start = rss_kb(server->pid);
        if (on_terminal && time(NULL) > r->start) {
            progress(stderr, s, r, server->pid);
        } else if (time(NULL) - told >= 60) {
            told = time(NULL);
            progress(stdout, s, r, server->pid);
        }
        for (unsigned i = 0; i < WORKERS; i++)
            if (waitpid(workers[i], &status, WNOHANG) == workers[i]) {
                alive--;
                r->broken_workers += status != 0;
            }
    }
    r->rss_end = rss_kb(server->pid);
    if (on_terminal)
        fprintf(stderr, "\r\033[K");
}

static int report(const struct shared *s, const struct run *r, const struct server *server, int status)
{
    unsigned long t = (unsigned long)(time(NULL) - r->start);
    bool grown = r->rss_start > 0 && r->rss_end > r->rss_start + FLAT_KB;
    bool ok = !r->server_gone && status == 0 && !server->complained && r->broken_workers == 0 &&
              s->n.hangs == 0 && s->n.crashes == 0 && s->n.honest_failed == 0 && s->n.honest > 0 && !grown;
    printf("soak: %lu of %lu connections in %lu s, %lu a second\n", done(s), r->total, t,
           done(s) / (t > 0 ? t : 1));
    printf("soak: against serve %lu, against a client of the engine %lu, against connect %lu\n",
           s->n.against_serve, s->n.against_client, s->n.against_connect);
    printf("soak: honest clients %lu, not served %lu; hostile peers whose changes did not matter %lu\n",
           s->n.honest, s->n.honest_failed, s->n.established);
    printf("soak: crashes %lu, hangs %lu, broken workers %u, server's status %d%s\n", s->n.crashes,
           s->n.hangs, r->broken_workers, status, r->server_gone ? " before it was told to end" : "");
    if (r->rss_start == 0)
        printf("soak: server's memory %lu KiB; too few connections to tell whether it grows\n", r->rss_end);
    else
        printf("soak: server's memory %lu KiB half way, %lu KiB at the end%s\n", r->rss_start, r->rss_end,
               grown ? ": GROWN" : "");
    if (s->live_start > 0)
        printf("soak: engine's memory in the %d drivers %lu bytes then, %lu bytes at the end\n", WORKERS,
               s->live_start, s->live_end);
    printf("soak: %s\n", ok ? "ok" : "FAILED");
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: soak PROGRAM DIR CONNECTIONS SECONDS [SEED]\n");
        return 2;
    }
    struct run r = {.total = strtoul(argv[3], NULL, 10), .seconds = (unsigned)strtoul(argv[4], NULL, 10)};
    uint64_t seed = argc > 5 ? strtoull(argv[5], NULL, 10) : (uint64_t)time(NULL);
    /* cppcheck-suppress invalidFunctionArg ; -1 is what MAP_ANONYMOUS asks for */
    struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct ends e;
    struct server server;
    pid_t workers[WORKERS];
    if (s == MAP_FAILED)
        return 1;
    ends_new(&e, argv[2], argv[1]);
    server_start(&server, argv[1], argv[2]);
    printf("soak: seed %llu, server on port %u\n", (unsigned long long)seed, server.port);
    (void)fflush(stdout);
    (void)signal(SIGINT, on_signal);
    (void)signal(SIGTERM, on_signal);
    r.start = time(NULL);
    for (unsigned i = 0; i < WORKERS; i++)
        workers[i] = worker_start(&e, s, server.port, r.total, seed);
    watch(s, &r, &server, workers);
    int status = server_stop(&server);
    ends_free(&e);
    return report(s, &r, &server, status);
}
