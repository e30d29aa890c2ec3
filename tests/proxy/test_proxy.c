/* tests/proxy/test_proxy.c: two tunnels in one process, plaintext -> TLS -> plaintext: data, ends, bursts,
 * reloads under load, the end in order. Under TSan as well: it has five threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "net/gated_key.h"
#include "net/loop.h"
#include "proxy/proxy.h"

#define PATIENCE_MS    20000
#define END_PATIENCE_S 60 /* more than the proxy gives its connections */
#define CROWD          40

enum {
    CLIENT,
    SERVER
};

struct rig {
    char dir[64], listen[2][128], echo[128];
    uint16_t port; /* of the client's tunnel: TCP, since a local socket knows no reset */
    int port_fd;   /* keeps it from everybody else on this machine */
    struct test_key *ca;
    struct gated_key *key[2];
    struct tt_tickets *tickets;
    struct session_store *sessions;
    struct event_base *base;
    struct tunnel_options tunnels[2];
    struct proxy_options opt;
    pthread_t proxy, echoing;
    bool runs, was_asked; /* the proxy; to end */
    int echo_fd;
    tt_rc rc;
    bool forbid; /* the server's rule lets nobody in */
    atomic_uint made, unmade, failing;
    atomic_bool stop;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool has_started, has_ended;

/* ---- the program behind: what comes goes back ---- */

static void *echo_one(void *arg)
{
    int fd = *(int *)arg;
    char data[16384];
    free(arg);
    for (ssize_t n; (n = read(fd, data, sizeof data)) > 0;)
        for (ssize_t at = 0, w; at < n; at += w)
            if ((w = send(fd, data + at, (size_t)(n - at), MSG_NOSIGNAL)) <= 0)
                break;
    close(fd);
    return NULL;
}

static void *echo_all(void *arg)
{
    struct rig *rig = arg;
    while (!rig->stop) {
        struct pollfd p = {.fd = rig->echo_fd, .events = POLLIN};
        if (poll(&p, 1, 50) != 1)
            continue;
        int *fd = malloc(sizeof *fd);
        pthread_t thread;
        *fd = accept(rig->echo_fd, NULL, NULL);
        assert_int_equal(pthread_create(&thread, NULL, echo_one, fd), 0);
        pthread_detach(thread);
    }
    return NULL;
}

/* ---- setups ---- */

static tt_rc make(void *arg, struct tunnel_options *t, const struct tunnel_setup *before,
                  struct tunnel_setup **ret, struct tt_error *err)
{
    (void)before;
    struct rig *rig = arg;
    const int i = t->role == TT_CLIENT ? CLIENT : SERVER;
    struct tunnel_setup *s = calloc(1, sizeof *s);
    struct tt_trust *trust = NULL;
    const struct test_key *real = rig->key[i]->real;
    const struct tt_bytes chain[] = {{real->cert, real->cert_len}};
    const struct tt_identity id = {
        .chain = chain, .chain_len = 1, .key = &rig->key[i]->key, .schemes = &real->scheme, .schemes_len = 1};
    if (rig->failing > 0) {
        free(s);
        return error_set(err, TT_ERR_USAGE, "the files do not fit");
    }
    assert_int_equal(tt_config_new(&s->config, i == CLIENT ? TT_CLIENT : TT_SERVER, err), TT_OK);
    assert_int_equal(tt_trust_new(&trust, err), TT_OK);
    assert_int_equal(tt_trust_add_der(trust, (struct tt_bytes){rig->ca->cert, rig->ca->cert_len}, err),
                     TT_OK);
    assert_int_equal(tt_config_set_trust(s->config, trust), TT_OK);
    tt_trust_free(trust);
    assert_int_equal(tt_config_add_identity(s->config, &id, err), TT_OK);
    if (i == SERVER) {
        assert_int_equal(tt_config_set_client_auth(s->config, TT_CLIENT_AUTH_REQUIRE), TT_OK);
        assert_int_equal(tt_config_set_tickets(s->config, rig->tickets, 2, 7200, (struct tt_bytes){0}),
                         TT_OK);
        assert_int_equal(rules_add(&s->rules, RULE_CN, rig->forbid ? "another" : "client", err), TT_OK);
    }
    assert_int_equal(tt_config_freeze(s->config, err), TT_OK);
    assert_int_equal(tt_config_fingerprint(s->config, s->fingerprint), TT_OK);
    rig->made++;
    *ret = s;
    return TT_OK;
}

static void unmake(void *arg, struct tunnel_setup *s)
{
    ((struct rig *)arg)->unmade++;
    tt_config_free(s->config);
    rules_free(&s->rules);
    free(s);
}

static tt_rc started(void *arg, struct tt_error *err)
{
    (void)arg;
    (void)err;
    pthread_mutex_lock(&lock);
    has_started = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return TT_OK;
}

static void *run_proxy(void *arg)
{
    struct rig *rig = arg;
    struct tt_error err = {0};
    rig->rc = proxy_run(&rig->opt, &err);
    if (rig->rc != TT_OK)
        fprintf(stderr, "# %s\n", err.text);
    pthread_mutex_lock(&lock);
    has_ended = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* ---- the rig ---- */

static int listen_at(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 128), 0);
    return fd;
}

/* A port that nobody else is given while *ret_fd is open: bound, and not listening, so that the proxy's own
 * SO_REUSEADDR lets it in beside. */
static uint16_t reserve_port(int *ret_fd)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *ret_fd = fd;
    return ntohs(at.sin_port);
}

static struct gated_key *new_key(struct rig *rig, const char *cn, const char *dns, const char *eku)
{
    int64_t now = time(NULL);
    const struct test_cert cert = {.cn = cn,
                                   .dns = dns,
                                   .eku = eku,
                                   .issuer = rig->ca,
                                   .not_before = now - 3600,
                                   .not_after = now + 86400};
    return gated_key_new(test_key_new("P-256", &cert));
}

static struct timespec after_s(time_t seconds)
{
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += seconds;
    return limit;
}

static void start(struct rig *rig)
{
    has_started = has_ended = false;
    assert_int_equal(pthread_create(&rig->proxy, NULL, run_proxy, rig), 0);
    rig->runs = true;
    const struct timespec limit = after_s(PATIENCE_MS / 1000);
    int rc = 0;
    pthread_mutex_lock(&lock);
    while (!has_started && !has_ended && rc == 0)
        rc = pthread_cond_timedwait(&changed, &lock, &limit);
    bool is_there = has_started && !has_ended;
    pthread_mutex_unlock(&lock);
    assert_true(is_there);
}

static void ask_to_stop(struct rig *rig)
{
    pthread_mutex_lock(&lock);
    bool is_there = !has_ended;
    pthread_mutex_unlock(&lock);
    if (is_there && !rig->was_asked) /* asked twice it ends the process */
        kill(getpid(), SIGTERM);
    rig->was_asked = true;
}

/* Bounded: a proxy that does not end is told as what it is. */
static void wait_for_end(struct rig *rig)
{
    const struct timespec limit = after_s(END_PATIENCE_S);
    if (pthread_timedjoin_np(rig->proxy, NULL, &limit) != 0) {
        fprintf(stderr, "# the proxy did not end within %d seconds\n", END_PATIENCE_S);
        abort();
    }
    rig->runs = false;
}

static struct rig *rig_new(void)
{
    static const struct tt_ticket_key ticket_key = {.name = {1}, .key = {2}};
    struct rig *rig = calloc(1, sizeof *rig);
    struct tt_error err = {0};
    int64_t now = time(NULL);
    const struct session_store_options store = {.mode = SESSIONS_IN_MEMORY};
    snprintf(rig->dir, sizeof rig->dir, "/tmp/tpmtls-proxy.XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    snprintf(rig->echo, sizeof rig->echo, "unix:%s/echo", rig->dir);
    rig->port = reserve_port(&rig->port_fd);
    snprintf(rig->listen[CLIENT], sizeof rig->listen[0], "127.0.0.1:%u", rig->port);
    snprintf(rig->listen[SERVER], sizeof rig->listen[0], "unix:%s/tls", rig->dir);
    rig->ca = test_key_new(
        "P-256", &(struct test_cert){.cn = "CA", .not_before = now - 3600, .not_after = now + 86400});
    rig->key[CLIENT] = new_key(rig, "client", NULL, "clientAuth");
    rig->key[SERVER] = new_key(rig, "server", "server.test", "serverAuth");
    assert_int_equal(tt_tickets_new(&rig->tickets, 0, &err), TT_OK);
    assert_int_equal(tt_tickets_set_keys(rig->tickets, &ticket_key, 1), TT_OK);
    assert_int_equal(session_store_open(&rig->sessions, &store, &err), TT_OK);
    assert_int_equal(loop_new(&rig->base, false, &err), TT_OK);
    const struct tunnel_options common = {.connect_timeout_s = 20,
                                          .handshake_timeout_s = 20,
                                          .max_connections = 1000,
                                          .burst = true,
                                          .session_mode = SESSIONS_IN_MEMORY};
    rig->tunnels[CLIENT] = rig->tunnels[SERVER] = common;
    rig->tunnels[CLIENT].role = TT_CLIENT, rig->tunnels[SERVER].role = TT_SERVER;
    rig->tunnels[CLIENT].name = "client", rig->tunnels[SERVER].name = "server";
    rig->tunnels[CLIENT].listen = rig->listen[CLIENT], rig->tunnels[SERVER].listen = rig->listen[SERVER];
    rig->tunnels[CLIENT].connect = rig->listen[SERVER], rig->tunnels[SERVER].connect = rig->echo;
    rig->tunnels[CLIENT].server_name = "server.test";
    rig->tunnels[CLIENT].sessions = rig->sessions;
    rig->opt = (struct proxy_options){.base = rig->base,
                                      .tunnels = rig->tunnels,
                                      .tunnels_len = 2,
                                      .sign_deadline_ms = 15000,
                                      .threads = 2,
                                      .shutdown_timeout_s = 10,
                                      .make = make,
                                      .unmake = unmake,
                                      .started = started,
                                      .arg = rig};
    rig->echo_fd = listen_at(rig->echo + strlen("unix:"));
    assert_int_equal(pthread_create(&rig->echoing, NULL, echo_all, rig), 0);
    return rig;
}

static int set_up(void **state)
{
    *state = rig_new();
    return 0;
}

/* After a case that failed the proxy may still run. */
static int tear_down(void **state)
{
    struct rig *rig = *state;
    if (rig->runs) {
        ask_to_stop(rig);
        wait_for_end(rig);
    }
    close(rig->port_fd);
    rig->stop = true;
    pthread_join(rig->echoing, NULL);
    close(rig->echo_fd);
    unlink(rig->echo + strlen("unix:"));
    rmdir(rig->dir);
    event_base_free(rig->base);
    session_store_free(rig->sessions);
    tt_tickets_free(rig->tickets);
    gated_key_free(rig->key[CLIENT]);
    gated_key_free(rig->key[SERVER]);
    test_key_free(rig->ca);
    free(rig);
    return 0;
}

static void stop_proxy(struct rig *rig)
{
    ask_to_stop(rig);
    wait_for_end(rig);
    assert_int_equal(rig->rc, TT_OK);
    assert_int_equal(rig->made, rig->unmade);
}

/* ---- programs in front ---- */

/* On any thread, where only a result may tell: cmocka's assertions are the main thread's. */
static int try_dial(const struct rig *rig)
{
    const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    const struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(rig->port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
        connect(fd, (const struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    close(fd);
    return -1;
}

static int dial(const struct rig *rig)
{
    int fd = try_dial(rig);
    assert_true(fd >= 0);
    return fd;
}

/* Reads until the end; returns how much, -1 when it was cut, or -2 when nothing came for too long. */
static ssize_t read_all(int fd, uint8_t *ret, size_t cap)
{
    size_t len = 0;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, PATIENCE_MS) != 1)
            return -2;
        ssize_t n = read(fd, ret + len, cap - len);
        if (n <= 0)
            return n == 0 ? (ssize_t)len : -1;
        len += (size_t)n;
        if (len == cap)
            return (ssize_t)len;
    }
}

struct visit {
    struct rig *rig;
    size_t size;
    bool whole;
};

static void *send_all(void *arg)
{
    const struct {
        int fd;
        const uint8_t *data;
        size_t len;
    } *job = arg;
    for (size_t at = 0; at < job->len;) {
        ssize_t n = send(job->fd, job->data + at, job->len - at, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    shutdown(job->fd, SHUT_WR);
    return NULL;
}

static void *visit(void *arg)
{
    struct visit *v = arg;
    int fd = try_dial(v->rig);
    if (fd < 0)
        return NULL;
    uint8_t *data = malloc(v->size + 1), *back = malloc(v->size + 1);
    for (size_t i = 0; i < v->size; i++)
        data[i] = (uint8_t)(i * 31 + (i >> 8));
    struct {
        int fd;
        const uint8_t *data;
        size_t len;
    } job = {fd, data, v->size};
    pthread_t sender;
    bool sends = pthread_create(&sender, NULL, send_all, &job) == 0;
    ssize_t n = sends ? read_all(fd, back, v->size + 1) : -1;
    if (n < 0)
        shutdown(fd, SHUT_RDWR); /* it sends no more, either */
    if (sends)
        pthread_join(sender, NULL);
    v->whole = n == (ssize_t)v->size && memcmp(data, back, v->size) == 0;
    free(data);
    free(back);
    close(fd);
    return NULL;
}

static size_t crowd(struct rig *rig, size_t size)
{
    struct visit visits[CROWD];
    pthread_t threads[CROWD];
    size_t whole = 0;
    for (size_t i = 0; i < CROWD; i++) {
        visits[i] = (struct visit){.rig = rig, .size = size};
        assert_int_equal(pthread_create(&threads[i], NULL, visit, &visits[i]), 0);
    }
    for (size_t i = 0; i < CROWD; i++) {
        pthread_join(threads[i], NULL);
        whole += visits[i].whole;
    }
    return whole;
}

/* ---- the tests ---- */

static void test_data_and_half_closes_pass(void **state)
{
    struct rig *rig = *state;
    start(rig);
    struct visit v = {.rig = rig, .size = 3000000}; /* more than all buffers on the way */
    visit(&v);
    assert_true(v.whole);
    for (unsigned i = 0; i < 20;
         i++) { /* with nothing to say, the end may be there before the target is reached */
        v = (struct visit){.rig = rig, .size = 0};
        visit(&v);
        assert_true(v.whole);
    }
    stop_proxy(rig);
}

static void test_a_burst_costs_one_signature(void **state)
{
    struct rig *rig = *state;
    start(rig);
    assert_int_equal(crowd(rig, 1000), CROWD);
    assert_int_equal(gated_key_started(rig->key[CLIENT]), 1);
    stop_proxy(rig);
}

static void test_without_burst_each_signs_who_has_no_ticket(void **state)
{
    struct rig *rig = *state;
    rig->tunnels[CLIENT].burst = false;
    rig->tunnels[CLIENT].sessions = NULL;
    start(rig);
    assert_int_equal(crowd(rig, 1000), CROWD);
    assert_int_equal(gated_key_started(rig->key[CLIENT]), CROWD);
    stop_proxy(rig);
}

static void test_a_server_without_tickets_is_no_trap(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(tt_tickets_set_keys(rig->tickets, NULL, 0), TT_OK);
    start(rig);
    assert_int_equal(crowd(rig, 1000), CROWD);
    assert_int_equal(gated_key_started(rig->key[CLIENT]), CROWD);
    stop_proxy(rig);
}

static void test_a_key_that_fails_cuts_with_a_reset(void **state)
{
    struct rig *rig = *state;
    (void)error_set(&rig->key[CLIENT]->failure, TT_ERR_TPM, "the chip is out of order");
    start(rig);
    uint8_t byte;
    int fd = dial(rig);
    assert_int_equal(read_all(fd, &byte, 1), -1); /* no end that looks like one */
    close(fd);
    stop_proxy(rig);
}

static void test_who_no_rule_knows_does_not_pass(void **state)
{
    struct rig *rig = *state;
    uint8_t byte;
    rig->forbid = true;
    start(rig);
    int fd = dial(rig);
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(read_all(fd, &byte, 1), -1);
    close(fd);
    stop_proxy(rig);
}

static void test_a_target_that_is_down_cuts(void **state)
{
    struct rig *rig = *state;
    uint8_t byte;
    rig->tunnels[SERVER].connect = "unix:/nonexistent/socket";
    start(rig);
    int fd = dial(rig);
    assert_int_equal(read_all(fd, &byte, 1), -1);
    close(fd);
    stop_proxy(rig);
}

static void test_reloads_under_load_lose_nothing(void **state)
{
    struct rig *rig = *state;
    uint8_t byte = 'a', back = 0;
    start(rig);
    int long_lived = dial(rig);
    assert_int_equal(send(long_lived, &byte, 1, MSG_NOSIGNAL), 1);
    assert_int_equal(read_all(long_lived, &back, 1), 1);
    for (unsigned i = 0; i < 5; i++) {
        unsigned before = rig->made;
        rig->failing = i == 3; /* what does not fit leaves the old in force */
        kill(getpid(), SIGHUP);
        assert_int_equal(crowd(rig, 100), CROWD);
        for (unsigned ms = 0; ms < PATIENCE_MS && !rig->failing && rig->made < before + 2; ms++)
            usleep(1000);
        assert_true(rig->failing ? rig->made == before : rig->made >= before + 2);
    }
    byte = 'b';
    assert_int_equal(send(long_lived, &byte, 1, MSG_NOSIGNAL), 1);
    assert_int_equal(read_all(long_lived, &back, 1), 1);
    assert_int_equal(back, 'b');
    close(long_lived);
    stop_proxy(rig);
}

static void test_the_end_waits_for_open_connections(void **state)
{
    struct rig *rig = *state;
    uint8_t byte = 'a', back = 0;
    start(rig);
    int fd = dial(rig);
    assert_int_equal(send(fd, &byte, 1, MSG_NOSIGNAL), 1);
    assert_int_equal(read_all(fd, &back, 1), 1);
    ask_to_stop(rig);
    for (unsigned ms = 0, there = 1; there && ms < PATIENCE_MS; ms++) { /* until it listens no more */
        int other = try_dial(rig);
        there = other >= 0;
        if (there)
            close(other);
        usleep(1000);
    }
    assert_int_equal(send(fd, &byte, 1, MSG_NOSIGNAL), 1);
    assert_int_equal(read_all(fd, &back, 1), 1);
    shutdown(fd, SHUT_WR);
    assert_int_equal(read_all(fd, &back, 1), 0);
    close(fd);
    stop_proxy(rig);
}

static void test_what_does_not_end_in_time_is_cut(void **state)
{
    struct rig *rig = *state;
    uint8_t byte = 'a', back = 0;
    rig->opt.shutdown_timeout_s = 0;
    start(rig);
    int fd = dial(rig);
    assert_int_equal(send(fd, &byte, 1, MSG_NOSIGNAL), 1);
    assert_int_equal(read_all(fd, &back, 1), 1);
    stop_proxy(rig);
    assert_int_equal(read_all(fd, &back, 1), -1);
    close(fd);
}

static void test_idle_connections_end(void **state)
{
    struct rig *rig = *state;
    uint8_t byte = 'a', back = 0;
    rig->tunnels[CLIENT].idle_timeout_s = 1;
    start(rig);
    int fd = dial(rig);
    assert_int_equal(send(fd, &byte, 1, MSG_NOSIGNAL), 1);
    assert_int_equal(read_all(fd, &back, 1), 1);
    assert_int_equal(read_all(fd, &back, 1), -1);
    close(fd);
    stop_proxy(rig);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_data_and_half_closes_pass, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_burst_costs_one_signature, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_burst_each_signs_who_has_no_ticket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_server_without_tickets_is_no_trap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_key_that_fails_cuts_with_a_reset, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_no_rule_knows_does_not_pass, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_target_that_is_down_cuts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reloads_under_load_lose_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_end_waits_for_open_connections, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_does_not_end_in_time_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_idle_connections_end, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}
