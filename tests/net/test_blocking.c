/* tests/net/test_blocking.c: tt_stream between two threads: echo, much data, half-close, a
 * peer that is not trusted, silent, gone, or no TLS at all. Runs under TSan as well: one configuration is
 * shared by both threads' connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/rc.h"
#include "support/testpki.h"
#include "tpmtls/stream.h"

#define DAY ((int64_t)86400)
#define MIB ((size_t)1 << 20)

/* struct party: a key with its certificate, valid now. */
struct party {
    struct test_key *pair;
    struct tt_key *key;
};

static struct test_key *ca, *other_ca;
static struct party server, client;
static struct tt_config *server_config, *client_config;

static void must(tt_rc rc, const struct tt_error *err)
{
    if (rc != TT_OK)
        fail_msg("%s: %s", tt_rc_name(rc), err->text);
}

static struct tt_bytes text(const char *pem)
{
    return (struct tt_bytes){(const uint8_t *)pem, strlen(pem)};
}

static struct test_key *issue(const char *cn, const char *eku, const struct test_key *issuer)
{
    int64_t now = (int64_t)time(NULL);
    return test_key_new("P-256", &(struct test_cert){.cn = cn,
                                                     .dns = eku != NULL ? "localhost" : NULL,
                                                     .eku = eku,
                                                     .issuer = issuer,
                                                     .not_before = now - DAY,
                                                     .not_after = now + DAY});
}

static struct party party_new(const char *cn, const char *eku)
{
    struct tt_error err = {0};
    struct party p = {.pair = issue(cn, eku, ca)};
    char *pem = test_key_pem(p.pair);
    must(tt_key_open_software(&p.key, text(pem), NULL, &err), &err);
    free(pem);
    return p;
}

/* Not frozen yet. */
static struct tt_config *config_open(enum tt_role role, const struct party *who,
                                     const struct test_key *trusted)
{
    struct tt_error err = {0};
    struct tt_config *cfg;
    struct tt_trust *trust;
    must(tt_config_new(&cfg, role, &err), &err);
    must(tt_trust_new(&trust, &err), &err);
    must(tt_trust_add_pem(trust, text(trusted->cert_pem), &err), &err);
    must(tt_config_set_trust(cfg, trust), &err);
    tt_trust_free(trust);
    must(tt_config_add_key(cfg, who->key, text(who->pair->cert_pem), &err), &err);
    if (role == TT_SERVER)
        must(tt_config_set_client_auth(cfg, TT_CLIENT_AUTH_REQUIRE), &err);
    return cfg;
}

static struct tt_config *config_new(enum tt_role role, const struct party *who,
                                    const struct test_key *trusted)
{
    struct tt_error err = {0};
    struct tt_config *cfg = config_open(role, who, trusted);
    must(tt_config_freeze(cfg, &err), &err);
    return cfg;
}

static int group_set_up(void **state)
{
    (void)state;
    ca = issue("CA", NULL, NULL);
    other_ca = issue("Other CA", NULL, NULL);
    server = party_new("server", "serverAuth");
    client = party_new("client", "clientAuth");
    server_config = config_new(TT_SERVER, &server, ca);
    client_config = config_new(TT_CLIENT, &client, ca);
    return 0;
}

static int group_tear_down(void **state)
{
    (void)state;
    tt_config_free(server_config);
    tt_config_free(client_config);
    tt_key_free(server.key);
    tt_key_free(client.key);
    test_key_free(server.pair);
    test_key_free(client.pair);
    test_key_free(ca);
    test_key_free(other_ca);
    return 0;
}

/* ---- the server's thread: echo until the client ends, then end ---- */

struct echo {
    int fd;
    struct tt_error error;
    size_t echoed;
};

static tt_rc echo_all(struct echo *e, struct tt_stream *s)
{
    static _Thread_local uint8_t data[40000];
    for (;;) {
        size_t n = 0;
        TT_TRY(tt_stream_read(s, data, sizeof data, &n, &e->error));
        if (n == 0)
            return tt_stream_close(s, &e->error);
        TT_TRY(tt_stream_write(s, data, n, &e->error));
        e->echoed += n;
    }
}

static void *echo_thread(void *arg)
{
    struct echo *e = arg;
    struct tt_stream *s = NULL;
    const struct tt_stream_options opt = {
        .peer = "the-client", .handshake_timeout_ms = 5000, .timeout_ms = 5000};
    if (tt_stream_new(&s, e->fd, server_config, &opt, &e->error) == TT_OK)
        e->error.rc = echo_all(e, s);
    tt_stream_free(s);
    close(e->fd);
    return NULL;
}

/* struct talk: a client on this thread, and the server's thread. */
struct talk {
    int fd;
    struct tt_stream *stream;
    struct echo echo;
    pthread_t thread;
};

static void talk_begin(struct talk *t, struct tt_config *cfg)
{
    struct tt_error err = {0};
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    *t = (struct talk){.fd = fd[0], .echo.fd = fd[1]};
    const struct tt_stream_options opt = {
        .server_name = "localhost", .handshake_timeout_ms = 5000, .timeout_ms = 5000};
    must(tt_stream_new(&t->stream, fd[0], cfg, &opt, &err), &err);
    assert_int_equal(pthread_create(&t->thread, NULL, echo_thread, &t->echo), 0);
}

static void talk_end(struct talk *t)
{
    tt_stream_free(t->stream);
    close(t->fd);
    assert_int_equal(pthread_join(t->thread, NULL), 0);
}

/* ---- sessions of many threads ---- */

#define CROWD 20

struct crowd {
    struct tt_config *server;
    struct tt_sessions *sessions;
    unsigned slow_ms; /* before a server begins, so that all clients are there */
};
struct member {
    struct crowd *crowd;
    int server_fd;
    pthread_t thread;
    bool resumed;
    unsigned long long took_ms;
};

static unsigned long long now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (unsigned long long)t.tv_sec * 1000 + (unsigned long long)t.tv_nsec / 1000000;
}

static void *crowd_server(void *arg)
{
    struct member *m = arg;
    struct tt_error err = {0};
    struct tt_stream *s = NULL;
    uint8_t data[64];
    size_t n = 0;
    const struct tt_stream_options opt = {
        .peer = "the-client", .handshake_timeout_ms = 20000, .timeout_ms = 20000};
    (void)usleep(m->crowd->slow_ms * 1000);
    must(tt_stream_new(&s, m->server_fd, m->crowd->server, &opt, &err), &err);
    must(tt_stream_read(s, data, sizeof data, &n, &err), &err);
    must(tt_stream_write(s, data, n, &err), &err);
    must(tt_stream_read(s, data, sizeof data, &n, &err), &err);
    must(tt_stream_close(s, &err), &err);
    tt_stream_free(s);
    close(m->server_fd);
    return NULL;
}

static void *crowd_client(void *arg)
{
    struct member *m = arg;
    struct tt_error err = {0};
    struct tt_stream *s = NULL;
    pthread_t server_thread;
    uint8_t data[64];
    size_t n = 0;
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    m->server_fd = fd[1];
    assert_int_equal(pthread_create(&server_thread, NULL, crowd_server, m), 0);
    const struct tt_stream_options opt = {.server_name = "localhost",
                                          .handshake_timeout_ms = 20000,
                                          .timeout_ms = 20000,
                                          .shared_sessions = m->crowd->sessions};
    unsigned long long began = now_ms();
    must(tt_stream_new(&s, fd[0], client_config, &opt, &err), &err);
    must(tt_stream_write(s, (const uint8_t *)"hello", 5, &err), &err);
    must(tt_stream_read(s, data, sizeof data, &n, &err), &err);
    assert_int_equal(n, 5);
    m->took_ms = now_ms() - began;
    struct tt_conn_info info;
    tt_conn_info(tt_stream_conn(s), &info);
    m->resumed = info.resumed;
    must(tt_stream_close(s, &err), &err);
    must(tt_stream_read(s, data, sizeof data, &n, &err), &err); /* the other side's end */
    assert_int_equal(n, 0);
    tt_stream_free(s);
    close(fd[0]);
    pthread_join(server_thread, NULL);
    return NULL;
}

static size_t gather(struct crowd *c, struct member m[CROWD])
{
    size_t resumed = 0;
    for (size_t i = 0; i < CROWD; i++) {
        m[i] = (struct member){.crowd = c};
        assert_int_equal(pthread_create(&m[i].thread, NULL, crowd_client, &m[i]), 0);
    }
    for (size_t i = 0; i < CROWD; i++) {
        pthread_join(m[i].thread, NULL);
        resumed += m[i].resumed;
    }
    return resumed;
}

static void test_a_crowd_costs_one_signature(void **state)
{
    (void)state;
    static const struct tt_ticket_key ticket_key = {.name = {1}, .key = {2}};
    struct tt_error err = {0};
    struct tt_tickets *tickets = NULL;
    struct member m[CROWD];
    must(tt_tickets_new(&tickets, 0, &err), &err);
    must(tt_tickets_set_keys(tickets, &ticket_key, 1), &err);
    struct crowd c = {.server = config_open(TT_SERVER, &server, ca), .slow_ms = 200};
    must(tt_config_set_tickets(c.server, tickets, 2, 7200, (struct tt_bytes){NULL, 0}), &err);
    must(tt_config_freeze(c.server, &err), &err);
    must(tt_sessions_new(&c.sessions, &err), &err);
    assert_int_equal(gather(&c, m), CROWD - 1);
    c.slow_ms = 0;
    assert_true(gather(&c, m) >= CROWD - 1); /* there are tickets left, or one signs */
    tt_sessions_free(c.sessions);
    tt_config_free(c.server);
    tt_tickets_free(tickets);
}

/* Found out once: then nobody waits for anybody. */
static void test_a_server_without_tickets(void **state)
{
    (void)state;
    struct tt_error err = {0};
    struct member m[CROWD];
    struct crowd c = {.server = server_config, .slow_ms = 100};
    must(tt_sessions_new(&c.sessions, &err), &err);
    assert_int_equal(gather(&c, m), 0);
    unsigned long long began = now_ms();
    assert_int_equal(gather(&c, m), 0);
    assert_true(now_ms() - began < CROWD * 100); /* side by side: it is remembered */
    tt_sessions_free(c.sessions);
    tt_sessions_free(NULL);
}

/* ---- what should work ---- */

static void test_echo_and_half_close(void **state)
{
    (void)state;
    struct talk t;
    struct tt_error err = {0};
    uint8_t got[64];
    size_t n = 0;
    talk_begin(&t, client_config);
    must(tt_stream_write(t.stream, (const uint8_t *)"hello", 5, &err), &err);
    must(tt_stream_read(t.stream, got, sizeof got, &n, &err), &err);
    assert_int_equal(n, 5);
    assert_memory_equal(got, "hello", 5);
    must(tt_stream_close(t.stream, &err), &err);
    must(tt_stream_read(t.stream, got, sizeof got, &n, &err), &err);
    assert_int_equal(n, 0);
    assert_int_equal(tt_stream_write(t.stream, got, 1, &err), TT_ERR_USAGE);
    struct tt_conn_info info;
    tt_conn_info(tt_stream_conn(t.stream), &info);
    assert_int_equal(info.role, TT_CLIENT);
    assert_int_equal(info.peer_chain_len, 1);
    talk_end(&t);
    assert_int_equal(t.echo.error.rc, TT_OK);
    assert_int_equal(t.echo.echoed, 5);
}

static void test_much_data(void **state)
{
    (void)state;
    struct talk t;
    struct tt_error err = {0};
    uint8_t *data = malloc(MIB), *back = malloc(MIB);
    for (size_t i = 0; i < MIB; i++)
        data[i] = (uint8_t)(i * 131 >> 3);
    talk_begin(&t, client_config);
    for (size_t at = 0, sent = 0, n = 0; at < MIB; at += n) {
        if (at == sent) {
            must(tt_stream_write(t.stream, data + sent, MIB / 16, &err), &err);
            sent += MIB / 16;
        }
        must(tt_stream_read(t.stream, back + at, MIB - at, &n, &err), &err);
    }
    assert_memory_equal(back, data, MIB);
    talk_end(&t);
    free(data);
    free(back);
}

static void test_two_at_once(void **state)
{
    (void)state;
    struct talk a, b;
    struct tt_error err = {0};
    uint8_t got;
    size_t n = 0;
    talk_begin(&a, client_config);
    must(tt_stream_handshake(a.stream, &err), &err);
    talk_begin(&b, client_config);
    must(tt_stream_handshake(b.stream, &err), &err);
    must(tt_stream_write(a.stream, (const uint8_t *)"a", 1, &err), &err);
    must(tt_stream_write(b.stream, (const uint8_t *)"b", 1, &err), &err);
    must(tt_stream_read(b.stream, &got, 1, &n, &err), &err);
    assert_int_equal(got, 'b');
    must(tt_stream_read(a.stream, &got, 1, &n, &err), &err);
    assert_int_equal(got, 'a');
    talk_end(&a);
    talk_end(&b);
}

/* ---- what should not ---- */

static void test_untrusted(void **state)
{
    (void)state;
    struct talk t;
    struct tt_error err = {0};
    struct tt_config *cfg = config_new(TT_CLIENT, &client, other_ca);
    talk_begin(&t, cfg);
    assert_int_equal(tt_stream_handshake(t.stream, &err), TT_ERR_VERIFY);
    assert_non_null(strstr(err.text, "localhost: "));
    assert_int_equal(tt_stream_write(t.stream, (const uint8_t *)"x", 1, &err), TT_ERR_VERIFY);
    talk_end(&t);
    tt_config_free(cfg);
    assert_int_equal(t.echo.error.rc, TT_ERR_PEER_ALERT);
    assert_non_null(strstr(t.echo.error.text, "unknown_ca"));
}

/* A client alone, on one end of a pair. */
static void alone(struct tt_stream **ret, int fd[2], unsigned timeout_ms)
{
    struct tt_error err = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    const struct tt_stream_options opt = {.server_name = "localhost", .handshake_timeout_ms = timeout_ms};
    must(tt_stream_new(ret, fd[0], client_config, &opt, &err), &err);
}

static void test_silent_peer(void **state)
{
    (void)state;
    int fd[2];
    struct tt_stream *s;
    struct tt_error err = {0};
    alone(&s, fd, 50);
    assert_int_equal(tt_stream_handshake(s, &err), TT_ERR_DEADLINE);
    assert_string_equal(err.text, "localhost did not answer within 50 ms");
    tt_stream_free(s);
    close(fd[0]);
    close(fd[1]);
}

static void test_peer_that_answers_http(void **state)
{
    (void)state;
    int fd[2];
    struct tt_stream *s;
    struct tt_error err = {0};
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    alone(&s, fd, 5000);
    assert_int_equal(send(fd[1], answer, sizeof answer - 1, 0), sizeof answer - 1);
    assert_int_equal(tt_stream_handshake(s, &err), TT_ERR_PROTOCOL);
    assert_non_null(strstr(err.text, "does not speak TLS: it answers HTTP"));
    tt_stream_free(s);
    close(fd[0]);
    close(fd[1]);
}

static void test_peer_that_is_gone(void **state)
{
    (void)state;
    int fd[2];
    struct tt_stream *s;
    struct tt_error err = {0};
    alone(&s, fd, 5000);
    shutdown(fd[1], SHUT_WR);
    assert_int_equal(tt_stream_handshake(s, &err), TT_ERR_CLOSED);
    tt_stream_free(s);
    alone(&s, fd, 5000);
    close(fd[1]);
    assert_int_equal(tt_stream_handshake(s, &err), TT_ERR_IO); /* and no SIGPIPE */
    tt_stream_free(s);
    close(fd[0]);
}

static void test_read_can_be_tried_again(void **state)
{
    (void)state;
    struct talk t;
    struct tt_error err = {0};
    uint8_t got;
    size_t n = 0;
    talk_begin(&t, client_config);
    tt_stream_free(t.stream);
    const struct tt_stream_options opt = {.server_name = "localhost", .timeout_ms = 20};
    must(tt_stream_new(&t.stream, t.fd, client_config, &opt, &err), &err);
    must(tt_stream_handshake(t.stream, &err), &err);
    assert_int_equal(tt_stream_read(t.stream, &got, 1, &n, &err), TT_ERR_DEADLINE);
    err = (struct tt_error){0};
    must(tt_stream_write(t.stream, (const uint8_t *)"x", 1, &err), &err);
    for (int i = 0; i < 200 && n == 0; i++)
        if (tt_stream_read(t.stream, &got, 1, &n, &err) != TT_OK)
            assert_int_equal(err.rc, TT_ERR_DEADLINE);
    assert_int_equal(got, 'x');
    talk_end(&t);
}

static void test_a_key_that_does_not_fit(void **state)
{
    (void)state;
    struct tt_config *cfg;
    struct tt_error err = {0};
    must(tt_config_new(&cfg, TT_CLIENT, &err), &err);
    assert_int_equal(tt_config_add_key(cfg, client.key, text(server.pair->cert_pem), &err), TT_ERR_USAGE);
    assert_int_equal(tt_config_add_key(cfg, client.key, text("nothing"), NULL), TT_ERR_DECODE);
    tt_config_free(cfg);
}

static void test_dial(void **state)
{
    (void)state;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    struct tt_error err = {0};
    char target[32];
    int fd = -1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    snprintf(target, sizeof target, "127.0.0.1:%u", ntohs(at.sin_port));
    must(tt_dial(&fd, target, 0, &err), &err);
    close(fd);
    close(listener);
    assert_int_equal(tt_dial(&fd, target, 1000, &err), TT_ERR_IO);
    assert_non_null(strstr(err.text, "connection refused"));
    assert_int_equal(tt_dial(&fd, "nowhere", 1000, NULL), TT_ERR_USAGE);
    assert_int_equal(tt_dial(&fd, "host.invalid:1", 1000, NULL), TT_ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo_and_half_close),
        cmocka_unit_test(test_much_data),
        cmocka_unit_test(test_two_at_once),
        cmocka_unit_test(test_a_crowd_costs_one_signature),
        cmocka_unit_test(test_a_server_without_tickets),
        cmocka_unit_test(test_untrusted),
        cmocka_unit_test(test_silent_peer),
        cmocka_unit_test(test_peer_that_answers_http),
        cmocka_unit_test(test_peer_that_is_gone),
        cmocka_unit_test(test_read_can_be_tried_again),
        cmocka_unit_test(test_a_key_that_does_not_fit),
        cmocka_unit_test(test_dial),
    };
    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
