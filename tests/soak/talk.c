/* tests/soak/talk.c: see talk.h. */
#include "talk.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A hostile end that waits longer than this for an answer hangs up: its last message was one that gets none.
 */
#define IDLE_MS 200

static int64_t now_ms(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct tt_conn *new_conn(struct tt_config *cfg, struct tt_session *session)
{
    const struct tt_conn_options opt = {.server_name = "localhost",
                                        .now_ms = now_ms(CLOCK_REALTIME),
                                        .sessions = &session,
                                        .sessions_len = session != NULL,
                                        .early_data = session != NULL};
    struct tt_conn *c = NULL;
    struct tt_error err = {0};
    if (tt_conn_new(&c, cfg, &opt, &err) != TT_OK) {
        fprintf(stderr, "soak: %s\n", err.text);
        exit(1);
    }
    return c;
}

static void keep_session(struct tt_session **kept, struct tt_conn *c)
{
    struct tt_session *s = c != NULL ? tt_conn_take_session(c) : NULL;
    if (s == NULL)
        return;
    tt_session_free(*kept);
    *kept = s;
}

/* ---- over a socket ---- */

static int wait_for_input(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms);
}

static bool send_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* True when the other end has hung up; false when it is our turn to. */
static bool converse(int fd, struct hostile *h)
{
    static uint8_t buf[80000];
    int idle_ms = h->kind == HOSTILE_NOT ? TALK_PATIENCE_S * 1000 : IDLE_MS;
    for (int rounds = 0; rounds < 200; rounds++) {
        size_t n = 0;
        while ((n = hostile_output(h, buf, sizeof buf)) > 0)
            if (!send_all(fd, buf, n))
                return true;
        if (h->is_over || wait_for_input(fd, idle_ms) <= 0)
            return false;
        ssize_t got = recv(fd, buf, sizeof buf, 0);
        if (got <= 0)
            return true;
        hostile_input(h, buf, (size_t)got);
    }
    return false;
}

/* We say that no more comes; then the other end has to hang up. */
static bool ends_in_time(int fd)
{
    static uint8_t buf[4096];
    int64_t limit = now_ms(CLOCK_MONOTONIC) + (int64_t)TALK_PATIENCE_S * 1000;
    if (shutdown(fd, SHUT_WR) != 0)
        return true;
    while (now_ms(CLOCK_MONOTONIC) < limit) {
        if (wait_for_input(fd, 1000) > 0 && recv(fd, buf, sizeof buf, 0) <= 0)
            return true;
    }
    return false;
}

static void hang_up(int fd, struct counts *n, bool ended, bool abruptly)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (!ended && !abruptly && !ends_in_time(fd))
        n->hangs++;
    if (abruptly)
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    (void)close(fd);
}

/* From any address of loopback, so that no port is used up. */
static int dial(uint16_t port, uint64_t *rng)
{
    const int on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr =
                                   htonl(0x7f000001U + (uint32_t)hostile_random(rng) % 0xffff)};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) == 0 &&
        connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    perror("soak: connect");
    (void)close(fd);
    return -1;
}

void talk_to_serve(struct ends *e, struct counts *n, uint16_t port, uint64_t seed)
{
    uint64_t rng = seed;
    enum hostile_kind kind = (enum hostile_kind)(hostile_random(&rng) % HOSTILE_COUNT);
    struct tt_conn *c = NULL;
    int fd = dial(port, &rng);
    if (fd < 0) {
        n->honest_failed++;
        return;
    }
    if (kind != HOSTILE_NOISE && kind != HOSTILE_RECORDS)
        c = new_conn(e->hostile_clients[hostile_random(&rng) % 2],
                     hostile_random(&rng) % 2 != 0 ? e->session : NULL);
    struct hostile h = hostile_new(kind, c, rng);
    bool ended = converse(fd, &h);
    n->against_serve++;
    if (c != NULL && tt_conn_is_connected(c))
        keep_session(&e->session, c);
    if (kind == HOSTILE_NOT) {
        n->honest++;
        if (h.received < 100) {
            fprintf(stderr, "soak: an honest client was not served: %s\n", tt_conn_error(c)->error.text);
            n->honest_failed++;
        }
    } else if (h.received > 0) {
        n->established++;
    }
    hang_up(fd, n, ended, kind == HOSTILE_CUT && hostile_random(&rng) % 2 != 0);
    hostile_free(&h);
}

/* ---- a server against a client of the engine ---- */

static struct hostile new_server(struct ends *e, uint64_t *rng)
{
    enum hostile_kind kind = (enum hostile_kind)(hostile_random(rng) % HOSTILE_COUNT);
    struct tt_conn *c = NULL;
    if (kind != HOSTILE_NOISE && kind != HOSTILE_RECORDS)
        c = new_conn(e->hostile_servers[hostile_random(rng) % TT_COUNT(e->hostile_servers)], NULL);
    return hostile_new(kind, c, *rng);
}

/* The victim's turn: feed it, take its answer. False when it is done with us. */
static bool victim_takes(struct tt_conn *victim, struct hostile *h, const uint8_t *data, size_t len)
{
    uint8_t plain[4096];
    size_t at = 0, used = 1, n = 0;
    while (at < len && used > 0) {
        if (tt_conn_feed(victim, data + at, len - at, &used) != TT_OK)
            return false;
        at += used;
        while (tt_conn_read(victim, plain, sizeof plain, &n) == TT_OK && n > 0)
            ;
        (void)hostile_sign(victim);
    }
    struct tt_bytes out = tt_conn_output(victim);
    hostile_input(h, out.data, out.len);
    tt_conn_output_done(victim, out.len);
    return true;
}

/* An end has the errors that a peer can cause, each with a sentence, and no other. */
static bool is_sound(const struct tt_conn *c)
{
    const struct tt_conn_status *st = tt_conn_error(c);
    return st->error.rc == TT_OK || (st->error.text[0] != '\0' && st->error.rc != TT_ERR_INTERNAL &&
                                     st->error.rc != TT_ERR_MEMORY && st->error.rc != TT_ERR_USAGE);
}

void talk_to_client(struct ends *e, struct counts *n, uint64_t seed)
{
    static uint8_t buf[80000];
    uint64_t rng = seed;
    struct hostile h = new_server(e, &rng);
    struct tt_conn *victim = new_conn(e->client, hostile_random(&rng) % 2 != 0 ? e->victim_session : NULL);
    bool goes_on = victim_takes(victim, &h, NULL, 0);
    size_t len = 0;
    int rounds = 0;
    for (; goes_on && rounds < 1000 && (len = hostile_output(&h, buf, sizeof buf)) > 0; rounds++)
        goes_on = victim_takes(victim, &h, buf, len);
    if (goes_on)
        (void)!tt_conn_feed_eof(victim);
    n->against_client++;
    if (rounds >= 1000)
        n->hangs++;
    bool connected = tt_conn_is_connected(victim) || tt_conn_error(victim)->handshake_complete;
    if (!is_sound(victim) || (h.kind == HOSTILE_NOT && !connected)) {
        fprintf(stderr, "soak: seed %llu: the client says: %s %s\n", (unsigned long long)seed,
                tt_rc_name(tt_conn_error(victim)->error.rc), tt_conn_error(victim)->error.text);
        n->crashes++;
    }
    if (h.kind != HOSTILE_NOT && connected)
        n->established++;
    /* A hostile server's ticket may be for another PSK than the client has (a changed nonce): an honest one
     * would refuse its binder, and rightly. */
    if (connected && h.kind == HOSTILE_NOT)
        keep_session(&e->victim_session, victim);
    tt_conn_free(victim);
    hostile_free(&h);
}

/* ---- a server against the program ---- */

static pid_t start_connect(const struct ends *e, uint16_t port)
{
    char at[32];
    (void)snprintf(at, sizeof at, "127.0.0.1:%u", port);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        (void)dup2(null, fd);
    (void)execl(e->program, e->program, "connect", at, "--ca", e->ca_file, "--servername", "localhost",
                (char *)NULL);
    _exit(127);
}

/* What became of it: a signal, or the status that the sanitizers are told to use, is a crash. */
static void reap(struct counts *n, pid_t pid)
{
    int status = 0;
    for (int i = 0; i < TALK_PATIENCE_S * 100; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            if (!WIFEXITED(status) || WEXITSTATUS(status) >= 99)
                n->crashes++;
            return;
        }
        (void)usleep(10000);
    }
    n->hangs++;
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
}

void talk_to_connect(struct ends *e, struct counts *n, uint64_t seed)
{
    uint64_t rng = seed;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(listener, 1) == 0 &&
        getsockname(listener, (struct sockaddr *)&at, &len) == 0) {
        pid_t pid = start_connect(e, ntohs(at.sin_port));
        if (pid > 0 && wait_for_input(listener, TALK_PATIENCE_S * 1000) > 0) {
            int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            struct hostile h = new_server(e, &rng);
            bool ended = converse(fd, &h);
            hang_up(fd, n, ended, h.kind == HOSTILE_CUT);
            hostile_free(&h);
        }
        n->against_connect++;
        if (pid > 0)
            reap(n, pid);
    }
    (void)close(listener);
}
