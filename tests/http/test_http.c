/* tests/http/test_http.c: evhttp over our streams, both roles, over TCP on 127.0.0.1: what is asked arrives,
 * what is answered comes back, once; limits of size and time; both ends gone at any moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/client.h"
#include "http/server.h"
#include "net/clock.h"
#include "net/rig.h"
#include "support/range.h"

#define LIMIT_S  10
#define BODY_MAX 5000

static struct rig rig;
static struct http_server *server;
static struct address where;
static struct http_request *held; /* a request that the test answers later */
static unsigned requests, failures, stopped;
static struct tt_error failure;
static uint8_t binding[2][32]; /* of the client, of the server */
static bool saw_certificate;
static unsigned limit_s; /* of a handshake, a pause, a request */

/* ---- the server's side ---- */

static const uint8_t big[300000] = {'x'};

static void answer(struct http_request *r, struct tt_bytes body)
{
    static const char *const headers[][2] = {{"X-Test", "yes"}};
    const struct http_answer a = {
        .status = 200, .type = "text/test", .body = body, .headers = headers, .headers_len = 1};
    http_answer(r, &a);
}

static void on_request(void *arg, struct http_request *r)
{
    const char *path = http_request_path(r);
    const struct tt_conn *conn = http_request_conn(r);
    (void)arg;
    requests++;
    assert_int_equal(strncmp(http_request_from(r), "127.0.0.1:", 10), 0);
    if (conn != NULL) {
        struct tt_conn_info info;
        tt_conn_info(conn, &info);
        saw_certificate = info.peer_chain_len > 0;
        assert_int_equal(tt_conn_channel_binding(conn, binding[1]), TT_OK);
    }
    if (strcmp(path, "/big") == 0)
        answer(r, (struct tt_bytes){big, sizeof big});
    else if (strcmp(path, "/later") == 0)
        held = r;
    else if (strcmp(path, "/bye") == 0)
        http_answer(r, &(struct http_answer){.status = 204, .close = true});
    else if (strcmp(path, "/echo") == 0)
        answer(r, http_request_body(r));
    else if (strcmp(path, "/hello") == 0)
        answer(r, (struct tt_bytes){(const uint8_t *)"hello\n", 6});
    else
        http_answer_text(r, 404, "no such page\n");
}

static void on_failed(void *arg, const char *from, const struct tt_error *error)
{
    (void)arg;
    (void)from;
    failures++;
    failure = *error;
}

static void on_stopped(void *arg)
{
    (void)arg;
    stopped++;
}

static bool try_serve(bool tls)
{
    struct tt_error err = {0};
    struct listeners at;
    struct http_server_options opt = {.base = rig.base,
                                      .config = tls ? rig.server_config : NULL,
                                      .signer = rig.queue,
                                      .now = TEST_NOW,
                                      .body_max = BODY_MAX,
                                      .handshake_s = limit_s,
                                      .idle_s = limit_s,
                                      .request_s = limit_s,
                                      .request = on_request,
                                      .failed = on_failed};
    assert_int_equal(listen_open(&at, "127.0.0.1:0", &err), TT_OK);
    assert_int_equal(address_parse(&where, at.name[0], &err), TT_OK);
    if (http_server_open(&server, &at, &opt, &err) == TT_OK)
        return true;
    listen_close(&at);
    return false;
}

static void serve(bool tls)
{
    assert_true(try_serve(tls));
}

/* Until *count is n; false: it never was, in the time. */
static bool run_until(const unsigned *count, unsigned n, unsigned limit_ms)
{
    uint64_t until = clock_monotonic_ns() + limit_ms * UINT64_C(1000000);
    while (*count < n && clock_monotonic_ns() < until) {
        const struct timeval step = {0, 20000};
        (void)event_base_loopexit(rig.base, &step);
        (void)event_base_dispatch(rig.base);
    }
    return *count >= n;
}

static void run_ms(unsigned ms)
{
    const unsigned never = 0;
    (void)run_until(&never, 1, ms);
}

static void none_left(void)
{
    for (int i = 0; i < LIMIT_S * 20 && http_server_connections(server) > 0; i++)
        run_ms(50);
    assert_int_equal(http_server_connections(server), 0);
}

/* ---- the client's side ---- */

struct asker {
    struct http_client *client;
    unsigned connected, answered, closed;
    int status;
    char body[sizeof big];
    size_t len;
    bool has_header, frees;
    struct tt_error error, end;
};
static struct asker asker;

static void on_reply(void *arg, const struct http_reply *reply, const struct tt_error *error)
{
    struct asker *a = arg;
    a->answered++;
    a->status = reply == NULL ? 0 : reply->status;
    if (error != NULL)
        a->error = *error;
    if (reply != NULL) {
        assert_true(reply->body.len <= sizeof a->body);
        a->len = reply->body.len;
        if (a->len > 0)
            memcpy(a->body, reply->body.data, a->len);
        a->has_header = http_reply_header(reply, "x-test") != NULL;
    }
    if (a->frees)
        http_client_free(TT_TAKE(a->client));
}

static void on_client_connected(void *arg, struct http_client *c)
{
    ((struct asker *)arg)->connected++;
    assert_int_equal(tt_conn_channel_binding(http_client_conn(c), binding[0]), TT_OK);
}

static void on_client_closed(void *arg, struct http_client *c, const struct tt_error *error)
{
    struct asker *a = arg;
    assert_ptr_equal(a->client, c);
    a->closed++;
    if (error != NULL)
        a->end = *error;
    http_client_free(c);
    a->client = NULL;
}

static bool try_open(void)
{
    struct tt_error err = {0};
    const struct http_client_options opt = {.stream = {.base = rig.base,
                                                       .config = rig.client_config,
                                                       .server_name = "localhost",
                                                       .signer = rig.queue,
                                                       .now = TEST_NOW},
                                            .connected = on_client_connected,
                                            .closed = on_client_closed,
                                            .arg = &asker};
    memset(&asker, 0, sizeof asker);
    return http_client_open(&asker.client, &where, &opt, &err) == TT_OK;
}

static tt_rc ask(const char *path, const char *body, size_t len, unsigned timeout_s)
{
    static const struct http_header type = {"Content-Type", "text/test"};
    struct tt_error err = {0};
    const struct http_question q = {.path = path,
                                    .is_post = body != NULL,
                                    .body = {(const uint8_t *)body, len},
                                    .headers = &type,
                                    .headers_len = 1,
                                    .timeout_s = timeout_s};
    return http_client_ask(asker.client, &q, on_reply, &asker, &err);
}

static void get(const char *path)
{
    unsigned before = asker.answered;
    assert_int_equal(ask(path, NULL, 0, 0), TT_OK);
    assert_true(run_until(&asker.answered, before + 1, LIMIT_S * 1000));
}

/* ---- set-up ---- */

static int set_up(void **state)
{
    (void)state;
    rig_set_up(&rig, true);
    requests = failures = stopped = 0;
    failure = (struct tt_error){0};
    held = NULL;
    saw_certificate = false;
    limit_s = 20;
    memset(&asker, 0, sizeof asker);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_client_free(asker.client);
    asker.client = NULL;
    http_server_free(TT_TAKE(server));
    run_ms(20); /* libevent frees in the loop */
    rig_tear_down(&rig);
    return 0;
}

/* ---- tests ---- */

static void test_one_connection_many_questions(void **state)
{
    (void)state;
    serve(true);
    assert_true(try_open());
    for (int i = 0; i < 3; i++) {
        get("/hello"); /* the first is asked before there is a connection */
        assert_int_equal(asker.status, 200);
        assert_int_equal(asker.len, 6);
        assert_memory_equal(asker.body, "hello\n", 6);
        assert_true(asker.has_header);
    }
    assert_int_equal(asker.connected, 1);
    assert_int_equal(http_server_connections(server), 1);
    assert_true(saw_certificate);
    assert_memory_equal(binding[0], binding[1], 32);
    get("/nothing");
    assert_int_equal(asker.status, 404);
    get("/big");
    assert_int_equal(asker.status, 200);
    assert_int_equal(asker.len, sizeof big);
    assert_memory_equal(asker.body, big, sizeof big);
    http_client_close(asker.client);
    assert_true(run_until(&asker.closed, 1, LIMIT_S * 1000));
    assert_int_equal(asker.end.rc, TT_OK);
    none_left();
    assert_int_equal(failures, 0);
}

static void test_bodies(void **state)
{
    static char body[BODY_MAX];
    (void)state;
    serve(true);
    assert_true(try_open());
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)(i * 7);
    for (size_t n = 0; n <= BODY_MAX; n += 2500) {
        unsigned before = asker.answered;
        assert_int_equal(ask("/echo", body, n, 0), TT_OK);
        assert_int_equal(ask("/echo", body, n, 0), TT_ERR_BUSY);
        assert_true(run_until(&asker.answered, before + 1, LIMIT_S * 1000));
        assert_int_equal(asker.status, 200);
        assert_int_equal(asker.len, n);
        assert_memory_equal(asker.body, body, n);
    }
    assert_int_equal(ask("/echo\r\nX: y", NULL, 0, 0), TT_ERR_USAGE);
    assert_int_equal(ask("echo", NULL, 0, 0), TT_ERR_USAGE);
    unsigned seen = requests, before = asker.answered;
    assert_int_equal(ask("/echo", (const char *)big, BODY_MAX + 1, 0), TT_OK);
    assert_true(run_until(&asker.answered, before + 1, LIMIT_S * 1000));
    assert_int_equal(asker.status, 413);
    assert_int_equal(requests, seen);
}

static void test_answer_that_ends_it(void **state)
{
    (void)state;
    serve(true);
    assert_true(try_open());
    get("/bye");
    assert_int_equal(asker.status, 204);
    assert_true(run_until(&asker.closed, 1, LIMIT_S * 1000));
    assert_int_equal(asker.end.rc, TT_OK);
}

static void test_answered_later(void **state)
{
    (void)state;
    limit_s = 3;
    serve(true);
    assert_true(try_open());
    assert_int_equal(ask("/later", NULL, 0, 0), TT_OK);
    assert_true(run_until(&requests, 1, LIMIT_S * 1000));
    run_ms(4500); /* more than any time of a client's */
    assert_int_equal(asker.answered, 0);
    answer(TT_TAKE(held), (struct tt_bytes){(const uint8_t *)"late", 4});
    assert_true(run_until(&asker.answered, 1, LIMIT_S * 1000));
    assert_int_equal(asker.status, 200);
    assert_int_equal(asker.len, 4);
}

static void test_client_gone_before_the_answer(void **state)
{
    (void)state;
    serve(true);
    assert_true(try_open());
    assert_int_equal(ask("/later", NULL, 0, 0), TT_OK);
    assert_true(run_until(&requests, 1, LIMIT_S * 1000));
    http_client_free(TT_TAKE(asker.client));
    run_ms(500);
    answer(TT_TAKE(held), (struct tt_bytes){(const uint8_t *)"late", 4});
    none_left();
}

static void test_server_gone_before_the_answer(void **state)
{
    (void)state;
    serve(true);
    assert_true(try_open());
    assert_int_equal(ask("/later", NULL, 0, 0), TT_OK);
    assert_true(run_until(&requests, 1, LIMIT_S * 1000));
    http_server_free(TT_TAKE(server));
    assert_true(run_until(&asker.closed, 1, LIMIT_S * 1000));
    assert_int_equal(asker.answered, 1);
    assert_int_equal(asker.status, 0);
    assert_int_equal(asker.error.rc, TT_ERR_CLOSED);
    assert_null(http_request_conn(held));
    answer(TT_TAKE(held), (struct tt_bytes){(const uint8_t *)"late", 4});
}

static void test_client_freed_in_its_answer(void **state)
{
    (void)state;
    serve(true);
    assert_true(try_open());
    asker.frees = true;
    get("/hello");
    assert_null(asker.client);
    assert_int_equal(asker.status, 200);
}

static void test_client_that_waits_no_longer(void **state)
{
    (void)state;
    serve(true);
    assert_true(try_open());
    assert_int_equal(ask("/later", NULL, 0, 4), TT_OK);
    assert_true(run_until(&asker.closed, 1, LIMIT_S * 1000));
    assert_int_equal(asker.answered, 1);
    assert_int_equal(asker.error.rc, TT_ERR_DEADLINE);
    http_answer_text(TT_TAKE(held), 200, "late");
}

static void test_nobody_there(void **state)
{
    (void)state;
    serve(true);
    http_server_free(TT_TAKE(server));
    assert_true(try_open());
    assert_int_equal(ask("/hello", NULL, 0, 0), TT_OK);
    assert_true(run_until(&asker.closed, 1, LIMIT_S * 1000));
    assert_int_equal(asker.answered, 1);
    assert_int_equal(asker.error.rc, TT_ERR_IO);
}

static void test_stop(void **state)
{
    (void)state;
    serve(true);
    assert_true(try_open());
    assert_int_equal(ask("/later", NULL, 0, 0), TT_OK);
    assert_true(run_until(&requests, 1, LIMIT_S * 1000));
    http_server_stop(server, LIMIT_S, on_stopped, NULL);
    run_ms(300);
    assert_int_equal(stopped, 0);
    http_answer_text(TT_TAKE(held), 200, "done");
    assert_true(run_until(&stopped, 1, LIMIT_S * 1000));
    assert_int_equal(asker.status, 200);
    assert_true(run_until(&asker.closed, 1, LIMIT_S * 1000));
    assert_int_equal(http_server_connections(server), 0);
}

static void test_stop_with_idle_ones(void **state)
{
    (void)state;
    serve(true);
    assert_true(try_open());
    get("/hello");
    http_server_stop(server, LIMIT_S, on_stopped, NULL);
    assert_true(run_until(&stopped, 1, LIMIT_S * 1000));
    assert_int_equal(failures, 0);
}

/* ---- in the clear, byte by byte ---- */

static int raw_connect(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    at.sin_port = htons((uint16_t)strtoul(where.port, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

/* What comes within the time, until the end, or until this has come (NULL: nothing is enough); *ret_ended:
 * whether it ended. */
static size_t raw_read(int fd, char *ret, size_t cap, unsigned ms, bool *ret_ended, const char *enough)
{
    uint64_t until = clock_monotonic_ns() + ms * UINT64_C(1000000);
    size_t n = 0;
    *ret_ended = false;
    ret[0] = '\0';
    while (clock_monotonic_ns() < until && !*ret_ended && (enough == NULL || strstr(ret, enough) == NULL)) {
        run_ms(10);
        ssize_t got = recv(fd, ret + n, cap - 1 - n, MSG_DONTWAIT);
        *ret_ended = got == 0 || (got < 0 && errno == ECONNRESET);
        n += got > 0 ? (size_t)got : 0;
        ret[n] = '\0';
    }
    return n;
}

static const struct {
    const char *what, *request;
    int status; /* 0: none */
    const char *contains, *lacks;
    bool ends;
} raw[] = {
    {"GET", "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", 200, "\r\n\r\nhello\n", "ISO-8859", false},
    {"HEAD has no body", "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n", 200, "Content-Length: 6\r\n", "hello\n",
     false},
    {"HEAD, then GET", "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n", 200,
     "\r\n\r\nHTTP/1.1 200 OK\r\n", NULL, false},
    {"no content, no type", "GET /bye HTTP/1.1\r\nHost: a\r\n\r\n", 204, "Connection: close", "Content-Type",
     true},
    {"no Host", "GET /hello HTTP/1.1\r\n\r\n", 400, "Host", NULL, true},
    {"two Hosts", "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "Host", NULL, true},
    {"HTTP/1.0", "GET /hello HTTP/1.0\r\n\r\n", 200, "hello\n", NULL, true},
    {"the query is not the path", "GET /hello?a=b HTTP/1.1\r\nHost: a\r\n\r\n", 200, "hello\n", NULL, false},
    {"a GET with a body", "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 413, "",
     "hello\n", true},
    {"two lengths", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
     400, "twice", NULL, true},
    {"length and chunks",
     "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: "
     "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
     400, "", NULL, true},
    {"chunks",
     "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
     200, "abcde", NULL, false},
    {"chunk extensions (evhttp has none)",
     "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n", 413, "",
     NULL, true},
    {"a body too long", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5001\r\n\r\n", 413, "", NULL,
     true},
    {"DELETE", "DELETE /hello HTTP/1.1\r\nHost: a\r\n\r\n", 501, "", "hello\n", true},
    {"no HTTP", "\x16\x03\x01\x02 \x01\r\n\r\n", 400, "", "hello\n", true},
};

static void test_raw(void **state)
{
    static char got[70000];
    (void)state;
    serve(false);
    for (size_t i = 0; i < TT_COUNT(raw); i++) {
        bool ended;
        char status[32] = "";
        int fd = raw_connect();
        assert_int_equal(write(fd, raw[i].request, strlen(raw[i].request)), (ssize_t)strlen(raw[i].request));
        size_t n = raw_read(fd, got, sizeof got, 10000, &ended, raw[i].ends ? NULL : raw[i].contains);
        if (!raw[i].ends && !ended) /* what must not follow has its time */
            (void)raw_read(fd, got + n, sizeof got - n, 100, &ended, NULL);
        (void)snprintf(status, sizeof status, "HTTP/1.%c %d ", got[7] == '0' ? '0' : '1', raw[i].status);
        if (strncmp(got, status, strlen(status)) != 0 || strstr(got, raw[i].contains) == NULL ||
            (raw[i].lacks != NULL && strstr(got, raw[i].lacks) != NULL) || ended != raw[i].ends)
            fail_msg("%s: ended %d: %s", raw[i].what, ended, got);
        (void)close(fd);
    }
    none_left();
}

static void test_headers_too_long(void **state)
{
    static char request[20000], got[70000];
    bool ended;
    (void)state;
    serve(false);
    int n = snprintf(request, sizeof request, "GET /hello HTTP/1.1\r\nHost: a\r\nX: ");
    memset(request + n, 'x', 9000);
    (void)strcpy(request + n + 9000, "\r\n\r\n");
    int fd = raw_connect();
    assert_true(write(fd, request, strlen(request)) > 0);
    (void)raw_read(fd, got, sizeof got, 10000, &ended, NULL);
    assert_true(ended);
    assert_null(strstr(got, "hello\n"));
    assert_int_equal(requests, 0);
    (void)close(fd);
}

static void test_slow_request(void **state)
{
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: a\r\nX: slow\r\n\r\n";
    char got[2000];
    bool ended = false;
    (void)state;
    limit_s = 1;
    serve(false);
    int fd = raw_connect();
    uint64_t began = clock_monotonic_ns();
    for (size_t i = 0; i < sizeof request - 1 && !ended; i++) {
        (void)send(fd, request + i, 1, MSG_NOSIGNAL); /* a byte each 100 ms: always soon enough for evhttp */
        (void)raw_read(fd, got, sizeof got, 100, &ended, NULL);
    }
    assert_true(ended);
    assert_between((clock_monotonic_ns() - began) / 1000000, 900, 20000);
    assert_int_equal(requests, 0);
    assert_int_equal(failures, 1);
    assert_non_null(strstr(failure.text, "did not send its request within 1 s"));
    (void)close(fd);
}

static void test_idle(void **state)
{
    char got[2000];
    bool ended;
    (void)state;
    limit_s = 1;
    serve(false);
    int fd = raw_connect();
    assert_true(write(fd, raw[0].request, strlen(raw[0].request)) > 0);
    (void)raw_read(fd, got, sizeof got, 10000, &ended, NULL);
    assert_true(ended);
    assert_non_null(strstr(got, "hello\n"));
    assert_int_equal(failures, 0);
    (void)close(fd);
}

/* TCP in place of TLS, half a handshake, nothing at all: each is given up. */
static void test_no_handshake(void **state)
{
    char got[2000];
    bool ended;
    (void)state;
    limit_s = 1;
    serve(true);
    int fd = raw_connect();
    assert_true(write(fd, raw[0].request, strlen(raw[0].request)) > 0);
    (void)raw_read(fd, got, sizeof got, 10000, &ended, NULL);
    assert_true(ended);
    assert_true(run_until(&failures, 1, LIMIT_S * 1000));
    assert_non_null(strstr(failure.text, "HTTP"));
    (void)close(fd);
    fd = raw_connect();
    (void)raw_read(fd, got, sizeof got, 10000, &ended, NULL);
    assert_true(ended);
    assert_true(run_until(&failures, 2, LIMIT_S * 1000));
    assert_int_equal(failure.rc, TT_ERR_DEADLINE);
    (void)close(fd);
    none_left();
    assert_int_equal(requests, 0);
}

#ifdef TT_FAULT_INJECTION
/* Each allocation of a whole exchange fails once: an answer or a clear end, nothing else. */
static void test_no_memory(void **state)
{
    bool done = false;
    (void)state;
    for (size_t nth = 1; !done; nth++) {
        assert_true(nth < 2000);
        mem_test_reset();
        mem_test_fail_nth(nth);
        asker.client = NULL;
        bool made = try_serve(true) && try_open() && ask("/echo", "abc", 3, 2) == TT_OK;
        if (made)
            (void)run_until(&asker.answered, 1, 4000);
        done = made && asker.status == 200 && mem_test_stats().allocations < nth;
        mem_test_fail_nth(0);
        assert_true(!made || asker.answered == 1);
        assert_true(asker.status == 0 || asker.status == 200 || asker.status == 503 || asker.status == 500);
        http_client_free(TT_TAKE(asker.client));
        http_server_free(TT_TAKE(server));
        run_ms(5);
    }
    assert_int_equal(asker.status, 200);
}
#endif

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_connection_many_questions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bodies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_answer_that_ends_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_answered_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_client_gone_before_the_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_server_gone_before_the_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_client_freed_in_its_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_client_that_waits_no_longer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stop_with_idle_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_raw, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_headers_too_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slow_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_idle, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_handshake, set_up, tear_down),
#ifdef TT_FAULT_INJECTION
        cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
