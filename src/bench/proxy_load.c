/* bench/proxy_load.c: what scripts/bench-proxy loads proxies with: a plaintext server, and clients over TLS.
 * Layer: bench. Not a benchmark by itself.
 *
 *     proxy-load MODE PORT [--dir D] [--seconds S] [--count N] [--streams N] [--phases N]
 *
 * MODE is
 *     target         the server; without PORT it takes and prints one; a connection's first byte
 *                    says what that is: 'e' echo, 's' it sends, 'd' it throws away
 *     new, resume    connections that send a byte and get it back, one after the other
 *     mixed          the same; every other one resumes
 *     down, up       streams of data
 *     echo           64 bytes there and back; plain-echo: without TLS
 *     idle           opens connections and holds them until standard input ends
 *     plain-burst    plaintext connections at once, until the last one has its echo
 *
 * D has ca.pem, client.pem and client.key; streams are so many at once; phases (of echo) follow each other
 * on one connection, each but the first begun by a line on standard input. Each prints a line of JSON. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "bench/report.h"
#include "net/clock.h"
#include "net/identity.h"
#include "net/stream.h"
#include "tpmtls/stream.h"

#define CHUNK        (64 * 1024)
#define ECHO_SIZE    64
#define SESSIONS_MAX 1024
#define SAMPLES_MAX  1000000

enum mode {
    NEW,
    RESUME,
    MIXED,
    DOWN,
    UP,
    ECHO,
    IDLE
};

struct load {
    struct event_base *base;
    struct tt_config *config;
    struct sign_queue *signer;
    enum mode mode;
    uint16_t port;
    size_t streams, count, phases;
    double seconds;
    size_t begun, open, done, failed, resumed;
    uint64_t bytes, began_ns, until_ns;
    struct tt_session *sessions[SESSIONS_MAX];
    size_t sessions_len;
    struct client *echoing;
    double *samples; /* microseconds */
    size_t samples_len;
    const char *why; /* the first failure's sentence */
    char why_text[sizeof(((struct tt_error *)0)->text)];
};

struct client {
    struct load *l;
    struct stream *s;
    enum mode mode;
    struct tt_session *session;
    uint64_t sent_ns;
    size_t got;
    bool is_counted;
};

static uint8_t junk[CHUNK];

/* ---- sockets ---- */

static int dial(uint16_t port)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) != 0)
        die("cannot connect");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* ---- clients ---- */

static void begin(struct load *l, enum mode mode);

static bool is_over(const struct load *l)
{
    size_t n = l->mode == ECHO ? l->samples_len : l->begun;
    return (l->count > 0 && n >= l->count) || (l->until_ns != 0 && clock_monotonic_ns() >= l->until_ns);
}

static void end_client(struct client *c, bool failed)
{
    struct load *l = c->l;
    bool again = c->mode <= MIXED;
    enum mode mode = c->mode;
    stream_free(c->s);
    tt_session_free(c->session);
    mem_free(c);
    l->open--;
    l->failed += failed;
    if (again && !is_over(l))
        begin(l, mode);
    else if (l->open == 0)
        (void)event_base_loopbreak(l->base);
}

static void ping(struct client *c)
{
    c->sent_ns = clock_monotonic_ns();
    c->got = 0;
    (void)!stream_write(c->s, junk, ECHO_SIZE);
}

static void fill(struct client *c)
{
    size_t n;
    while ((n = stream_write(c->s, junk, sizeof junk)) > 0) {
        c->l->bytes += n;
        if (n < sizeof junk)
            return;
    }
}

static void on_connected(void *arg, struct stream *s)
{
    struct client *c = arg;
    static const char *const first[] = {
        [NEW] = "ex", [RESUME] = "ex", [MIXED] = "ex", [DOWN] = "s", [UP] = "d", [ECHO] = "e", [IDLE] = "ex"};
    struct tt_conn_info info;
    tt_conn_info(stream_conn(s), &info);
    c->l->resumed += info.resumed;
    (void)!stream_write(s, first[c->mode], strlen(first[c->mode]));
    if (c->mode == ECHO) {
        c->l->echoing = c;
        ping(c);
    }
    if (c->mode == UP)
        fill(c);
}

static void on_session(void *arg, struct stream *s, struct tt_session *session)
{
    struct load *l = ((struct client *)arg)->l;
    (void)s;
    if (l->sessions_len < SESSIONS_MAX)
        l->sessions[l->sessions_len++] = session;
    else
        tt_session_free(session);
}

static void on_echo(struct client *c)
{
    struct load *l = c->l;
    if (c->got < ECHO_SIZE)
        return;
    if (l->samples_len < SAMPLES_MAX)
        l->samples[l->samples_len++] = (double)(clock_monotonic_ns() - c->sent_ns) / 1e3;
    if (is_over(l) || l->samples_len == SAMPLES_MAX)
        (void)event_base_loopbreak(l->base);
    else
        ping(c);
}

static void on_plaintext(void *arg, struct stream *s)
{
    struct client *c = arg;
    size_t n = stream_plaintext(s).len;
    stream_plaintext_done(s, n);
    c->got += n;
    if (c->mode == DOWN) {
        c->l->bytes += n;
    } else if (c->mode == ECHO) {
        on_echo(c);
    } else if (!c->is_counted) {
        c->is_counted = true;
        c->l->done++;
        if (c->mode != IDLE)
            stream_close(s);
        else if (c->l->begun < c->l->count)
            begin(c->l, IDLE);
        else if (c->l->done == c->l->count)
            (void)event_base_loopbreak(c->l->base);
    }
}

static void on_writable(void *arg, struct stream *s)
{
    (void)s;
    fill(arg);
}

static void on_ended(void *arg, struct stream *s)
{
    (void)arg;
    stream_close(s);
}

static void on_closed(void *arg, struct stream *s, const struct tt_error *error)
{
    struct client *c = arg;
    struct load *l = c->l;
    (void)s;
    if (error != NULL && !c->is_counted && l->why == NULL) {
        (void)snprintf(l->why_text, sizeof l->why_text, "%s", error->text);
        l->why = l->why_text;
    }
    end_client(c, error != NULL && !c->is_counted);
}

static void begin(struct load *l, enum mode mode)
{
    struct tt_error err = {0};
    struct client *c = mem_alloc(sizeof *c);
    if (c == NULL)
        die("out of memory");
    c->l = l;
    c->mode = mode;
    bool resumes = mode == RESUME || (mode == MIXED && l->begun % 2 == 1);
    if (resumes && l->sessions_len > 0)
        c->session = l->sessions[--l->sessions_len];
    const struct stream_options opt = {.base = l->base,
                                       .config = l->config,
                                       .role = TT_CLIENT,
                                       .server_name = "localhost",
                                       .peer = "the proxy",
                                       .signer = l->signer,
                                       .sessions = &c->session,
                                       .sessions_len = c->session != NULL,
                                       .handlers = {.connected = on_connected,
                                                    .session = resumes || mode == MIXED ? on_session : NULL,
                                                    .plaintext = on_plaintext,
                                                    .writable = mode == UP ? on_writable : NULL,
                                                    .ended = on_ended,
                                                    .closed = on_closed},
                                       .arg = c};
    l->begun++;
    l->open++;
    if (stream_new(&c->s, dial(l->port), &opt, &err) != TT_OK)
        die(err.text);
}

/* ---- the run ---- */

static char *text_of(const char *dir, const char *name)
{
    static char text[65536];
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        die(path);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    (void)fclose(f);
    return text;
}

static struct tt_bytes bytes_of(const char *text)
{
    return (struct tt_bytes){(const uint8_t *)text, strlen(text)};
}

static struct tt_key *configure(struct load *l, const char *dir)
{
    struct tt_error err = {0};
    struct tt_trust *trust = NULL;
    struct tt_key *key = NULL;
    bool wants_staple;
    tt_rc rc = tt_config_new(&l->config, TT_CLIENT, &err);
    if (rc == TT_OK)
        rc = tt_trust_new(&trust, &err);
    if (rc == TT_OK)
        rc = tt_trust_add_pem(trust, bytes_of(text_of(dir, "ca.pem")), &err);
    if (rc == TT_OK)
        rc = tt_config_set_trust(l->config, trust);
    if (rc == TT_OK)
        rc = tt_key_open_software(&key, bytes_of(text_of(dir, "client.key")), NULL, &err);
    const struct identity_source source = {.key = key,
                                           .chain_pem = bytes_of(text_of(dir, "client.pem")),
                                           .key_name = "client.key",
                                           .chain_name = "client.pem",
                                           .role = TT_CLIENT};
    if (rc == TT_OK)
        rc = identity_add(l->config, &source, &wants_staple, &err);
    if (rc == TT_OK)
        rc = tt_config_freeze(l->config, &err);
    tt_trust_free(trust);
    if (rc != TT_OK)
        die(err.text);
    return key;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct load *l = arg;
    if (l->until_ns != 0 && clock_monotonic_ns() >= l->until_ns && (l->mode == DOWN || l->mode == UP))
        (void)event_base_loopbreak(l->base);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(struct load *l, double p)
{
    if (l->samples_len == 0)
        return 0;
    qsort(l->samples, l->samples_len, sizeof *l->samples, compare);
    return l->samples[(size_t)(p * (double)(l->samples_len - 1))];
}

static void run_for(struct load *l, double seconds)
{
    l->began_ns = clock_monotonic_ns();
    l->until_ns = seconds > 0 ? l->began_ns + (uint64_t)(seconds * 1e9) : 0;
    (void)event_base_dispatch(l->base);
}

static void print_result(struct load *l)
{
    double wall = (double)(clock_monotonic_ns() - l->began_ns) / 1e9;
    printf("{\"done\": %zu, \"failed\": %zu, \"resumed\": %zu, \"bytes\": %llu, \"seconds\": %.6f, \"cpu\": "
           "%.6f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, \"why\": \"%s\"}\n",
           l->done, l->failed, l->resumed, (unsigned long long)l->bytes, wall, cpu_now(), percentile(l, 0.5),
           percentile(l, 0.99), percentile(l, 1), l->why == NULL ? "" : l->why);
    (void)fflush(stdout);
}

static void run_streams(struct load *l)
{
    for (size_t i = 0; i < l->streams; i++)
        begin(l, l->mode);
    run_for(l, 0.5); /* until they are under way */
    l->bytes = 0;
    run_for(l, l->seconds);
}

/* The same connection, whose echo was not asked for since. */
static void run_again(struct load *l)
{
    char line[8];
    print_result(l);
    if (fgets(line, sizeof line, stdin) == NULL)
        die("no word for the next phase");
    l->samples_len = 0;
    ping(l->echoing);
    run_for(l, l->seconds);
}

static void run(struct load *l)
{
    if (l->mode <= MIXED) {
        for (size_t i = 0; i < l->streams; i++)
            begin(l, l->mode);
        run_for(l, l->seconds);
    } else if (l->mode == IDLE) {
        for (size_t i = 0; i < l->streams && l->begun < l->count; i++)
            begin(l, IDLE);
        run_for(l, 0);
    } else if (l->mode == ECHO) {
        begin(l, ECHO);
        run_for(l, l->seconds);
        for (size_t i = 1; i < l->phases && l->failed == 0; i++)
            run_again(l);
    } else {
        run_streams(l);
    }
}

/* ---- the plaintext server ---- */

struct target_conn {
    struct event *ev;
    char kind;
    struct buf held;
};

static void target_end(struct target_conn *t)
{
    (void)close(event_get_fd(t->ev));
    event_free(t->ev);
    buf_free(&t->held);
    mem_free(t);
}

static bool target_read(struct target_conn *t, int fd)
{
    uint8_t data[CHUNK];
    ssize_t n = read(fd, data, sizeof data);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    size_t at = 0;
    if (t->kind == 0) {
        t->kind = (char)data[0];
        at = 1;
    }
    return t->kind != 'e' || buf_append(&t->held, data + at, (size_t)n - at) == TT_OK;
}

static bool target_write(struct target_conn *t, int fd)
{
    if (t->kind == 's') {
        ssize_t n;
        for (int i = 0; i < 4 && (n = send(fd, junk, sizeof junk, MSG_NOSIGNAL)) > 0; i++)
            continue;
        return n > 0 || errno == EAGAIN;
    }
    if (buf_size(&t->held) == 0)
        return true;
    ssize_t n = send(fd, buf_front(&t->held), buf_size(&t->held), MSG_NOSIGNAL);
    if (n > 0)
        buf_consume(&t->held, (size_t)n);
    if (buf_size(&t->held) == 0)
        buf_free(&t->held);
    return n > 0 || errno == EAGAIN;
}

static void on_target(evutil_socket_t fd, short what, void *arg)
{
    struct target_conn *t = arg;
    bool goes_on = true;
    if ((what & EV_READ) != 0)
        goes_on = target_read(t, fd);
    if (goes_on)
        goes_on = target_write(t, fd);
    if (!goes_on) {
        target_end(t);
        return;
    }
    bool writes = t->kind == 's' || buf_size(&t->held) > 0;
    short wanted = EV_PERSIST | EV_READ | (writes ? EV_WRITE : 0);
    if (event_get_events(t->ev) == wanted)
        return;
    struct event_base *base = event_get_base(t->ev);
    (void)event_del(t->ev);
    (void)event_assign(t->ev, base, fd, wanted, on_target, t);
    (void)event_add(t->ev, NULL);
}

static void on_target_accept(evutil_socket_t fd, short what, void *arg)
{
    const int on = 1;
    (void)what;
    for (int peer; (peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct target_conn *t = mem_alloc(sizeof *t);
        (void)setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (t == NULL || (t->ev = event_new(arg, peer, EV_READ | EV_PERSIST, on_target, t)) == NULL)
            die("out of memory");
        (void)event_add(t->ev, NULL);
    }
}

static void run_target(uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    struct event_base *base = event_base_new();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        die("cannot listen");
    struct event *ev = event_new(base, fd, EV_READ | EV_PERSIST, on_target_accept, base);
    (void)event_add(ev, NULL);
    printf("%u\n", ntohs(at.sin_port));
    (void)fflush(stdout);
    (void)event_base_dispatch(base);
}

/* ---- plaintext clients, before `proxy client` ---- */

struct plain {
    struct load *l;
    struct event *ev;
    uint64_t sent_ns;
};

static void on_plain(evutil_socket_t fd, short what, void *arg)
{
    struct plain *p = arg;
    struct load *l = p->l;
    char data[ECHO_SIZE];
    (void)what;
    ssize_t n = read(fd, data, sizeof data);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        l->failed++;
    } else {
        l->samples[l->samples_len++] = (double)(clock_monotonic_ns() - p->sent_ns) / 1e3;
        l->done++;
    }
    if (n > 0 && l->mode == ECHO && l->samples_len < l->count) {
        p->sent_ns = clock_monotonic_ns();
        (void)!write(fd, junk, ECHO_SIZE);
        return;
    }
    (void)event_del(p->ev);
    (void)close(fd);
    if (--l->open == 0)
        (void)event_base_loopbreak(l->base);
}

static void run_plain(struct load *l, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct plain *p = mem_alloc(sizeof *p);
        int fd = dial(l->port);
        uint8_t hello[1 + ECHO_SIZE] = {'e'};
        if (p == NULL || (p->ev = event_new(l->base, fd, EV_READ | EV_PERSIST, on_plain, p)) == NULL)
            die("out of memory");
        p->l = l;
        p->sent_ns = clock_monotonic_ns();
        (void)event_add(p->ev, NULL);
        (void)!write(fd, hello, sizeof hello);
        l->open++;
    }
    run_for(l, 0);
}

/* ---- arguments ---- */

static const char *option(int argc, char **argv, const char *name, const char *otherwise)
{
    for (int i = 3; i + 1 < argc; i += 2)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return otherwise;
}

static enum mode mode_of(const char *name)
{
    static const char *const names[] = {"new", "resume", "mixed", "down", "up", "echo", "idle"};
    for (size_t i = 0; i < TT_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return (enum mode)i;
    die("which mode?");
}

static void wait_for_input(void)
{
    char unused;
    while (read(STDIN_FILENO, &unused, 1) > 0)
        continue;
}

int main(int argc, char **argv)
{
    static struct load l;
    struct rlimit files = {0};
    struct tt_error err = {0};
    (void)getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    if (argc >= 2 && strcmp(argv[1], "target") == 0) {
        run_target(argc > 2 ? (uint16_t)strtoul(argv[2], NULL, 10) : 0);
        return 0;
    }
    if (argc < 3)
        die("usage: proxy-load MODE PORT [--dir D] [--seconds S] [--count N] [--streams N] [--phases N]");
    bool is_plain = strncmp(argv[1], "plain-", 6) == 0;
    l.port = (uint16_t)strtoul(argv[2], NULL, 10);
    l.seconds = strtod(option(argc, argv, "--seconds", "0"), NULL);
    l.count = (size_t)strtoul(option(argc, argv, "--count", "0"), NULL, 10);
    l.streams = (size_t)strtoul(option(argc, argv, "--streams", "1"), NULL, 10);
    l.phases = (size_t)strtoul(option(argc, argv, "--phases", "1"), NULL, 10);
    l.samples = mem_alloc(SAMPLES_MAX * sizeof *l.samples);
    l.base = event_base_new();
    if (is_plain) {
        l.mode = strcmp(argv[1], "plain-echo") == 0 ? ECHO : NEW;
        run_plain(&l, l.mode == ECHO ? 1 : l.streams);
        print_result(&l);
        return 0;
    }
    l.mode = mode_of(argv[1]);
    struct tt_key *key = configure(&l, option(argc, argv, "--dir", "."));
    const struct sign_queue_options queue = {.base = l.base, .capacity = 100000, .deadline_ms = 60000};
    if (sign_queue_new(&l.signer, &queue, &err) != TT_OK)
        die(err.text);
    struct event *tick = event_new(l.base, -1, EV_PERSIST, on_tick, &l);
    const struct timeval every = {.tv_usec = 20000};
    if (l.mode == DOWN || l.mode == UP)
        (void)event_add(tick, &every);
    run(&l);
    print_result(&l);
    if (l.mode == IDLE)
        wait_for_input();
    (void)key;
    _exit(0); /* thousands of connections need not be taken down in order */
}
