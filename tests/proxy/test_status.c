/* tests/proxy/test_status.c: the status pages, by raw HTTP: what is answered, what is refused, how many at
 * once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/clock.h"
#include "net/loop.h"
#include "proxy/status.h"

static struct event_base *base;
static struct status *status;
static bool ready = true, memory = true;

static json_t *give_status(void *arg)
{
    (void)arg;
    return memory ? json_pack("{s:i, s:s}", "open", 3, "state", "running") : NULL;
}

static char *give_metrics(void *arg)
{
    (void)arg;
    return memory ? mem_strdup("# HELP tpmtls_up 1\n# TYPE tpmtls_up gauge\ntpmtls_up 1\n") : NULL;
}

static bool give_ready(void *arg)
{
    (void)arg;
    return ready;
}

static const struct status_source source = {
    .status = give_status, .metrics = give_metrics, .is_ready = give_ready};

static int dial(const char *where)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_unix = strncmp(where, "unix:", 5) == 0;
    int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    (void)snprintf(un.sun_path, sizeof un.sun_path, "%s", where + (is_unix ? 5 : 0));
    if (!is_unix)
        in.sin_port = htons((uint16_t)strtoul(strrchr(where, ':') + 1, NULL, 10));
    int rc = is_unix ? connect(fd, (struct sockaddr *)&un, sizeof un)
                     : connect(fd, (struct sockaddr *)&in, sizeof in);
    assert_int_equal(rc, 0);
    return fd;
}

/* Until the other end hangs up; the test fails after 20 s. */
static void hear(int fd, char *reply, size_t room)
{
    size_t len = 0;
    uint64_t until = clock_monotonic_ns() + UINT64_C(20000000000);
    while (clock_monotonic_ns() < until) {
        (void)event_base_loop(base, EVLOOP_NONBLOCK);
        ssize_t n = recv(fd, reply + len, room - 1 - len, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            break;
        len += n > 0 ? (size_t)n : 0;
        if (n < 0)
            (void)usleep(1000);
    }
    assert_true(clock_monotonic_ns() < until);
    reply[len] = '\0';
}

static const char *ask(const char *request)
{
    static char reply[65536];
    int fd = dial(status_address(status));
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    hear(fd, reply, sizeof reply);
    (void)close(fd);
    return reply;
}

static const char *get(const char *method, const char *path)
{
    char request[200];
    (void)snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                   method, path);
    return ask(request);
}

static void assert_answer(const char *reply, const char *code, const char *part)
{
    if (strncmp(reply, "HTTP/1.1 ", 9) != 0 || strncmp(reply + 9, code, strlen(code)) != 0 ||
        strstr(reply, part) == NULL)
        fail_msg("wanted %s and '%s': %s", code, part, reply);
}

static const char *body_of(const char *reply)
{
    const char *at = strstr(reply, "\r\n\r\n");
    return at == NULL ? "(none)" : at + 4;
}

static void open_on(const char *where)
{
    struct tt_error err = {0};
    if (status_open(&status, base, where, &source, &err) != TT_OK)
        fail_msg("%s", err.text);
}

static void test_pages(void **state)
{
    (void)state;
    open_on("127.0.0.1:0");
    const char *reply = get("GET", "/_status");
    assert_answer(reply, "200", "Content-Type: application/json\r\n");
    json_t *page = json_loads(body_of(reply), 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(page, "open")), 3);
    json_decref(page);
    reply = get("GET", "/_metrics");
    assert_answer(reply, "200", "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    assert_string_equal(body_of(reply), "# HELP tpmtls_up 1\n# TYPE tpmtls_up gauge\ntpmtls_up 1\n");
    assert_answer(reply, "200", "Cache-Control: no-store\r\n");
    assert_string_equal(body_of(get("GET", "/_live")), "live\n");
    assert_answer(get("GET", "/_ready"), "200", "ready\n");
    ready = false;
    assert_answer(get("GET", "/_ready"), "503", "not ready\n");
    ready = true;
    assert_answer(get("GET", "/"), "404", "/_status");
    assert_answer(get("GET", "/_status/"), "404", "");
    assert_answer(get("GET", "/_metrics?x=1"), "200", "tpmtls_up");
    memory = false;
    assert_answer(get("GET", "/_status"), "500", "out of memory");
    assert_answer(get("GET", "/_metrics"), "500", "out of memory");
    memory = true;
    status_free(status);
}

static void test_head(void **state)
{
    (void)state;
    open_on("127.0.0.1:0");
    const char *reply = get("HEAD", "/_live");
    assert_answer(reply, "200", "Content-Length: 5\r\n");
    assert_string_equal(body_of(reply), "");
    /* A second request on the same connection is not read out of the first one's body. */
    reply = ask("HEAD /_status HTTP/1.1\r\nHost: localhost\r\n\r\n"
                "GET /_live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_answer(body_of(reply), "200", "\r\n\r\nlive\n");
    status_free(status);
}

static void test_refused(void **state)
{
    (void)state;
    char large[12000];
    static const struct {
        const char *request, *code, *part;
    } cases[] = {
        {"POST /_status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "501",
         ""},
        {"DELETE /_status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "501", ""},
        {"PROPFIND /_status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "501", ""},
        {"GET /_live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nGET /_live HTTP/1.1\r\n\r\n",
         "413", ""},
        {"GET /_live HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "413", ""},
        {"GET /_status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "403",
         "not this machine's"},
        {"GET /_status HTTP/1.1\r\nHost: evil.example:9100\r\nConnection: close\r\n\r\n", "403", ""},
        {"GET /_status HTTP/1.1\r\nHost: localhost.evil.example\r\nConnection: close\r\n\r\n", "403", ""},
        {"GET /_status HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\nConnection: close\r\n\r\n", "403", ""},
        {"GET /_status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "403",
         ""},
        {"GET /_status HTTP/1.1\r\nHost: systemd\r\nConnection: close\r\n\r\n", "403", ""},
        {"GET /_status HTTP/1.1\r\nHost: unix:/x\r\nConnection: close\r\n\r\n", "403", ""},
        {"GET /_status HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n", "403", ""},
        {"GET /_status HTTP/1.1\r\nConnection: close\r\n\r\n", "403", ""},
        {"GET http://evil.example/_status HTTP/1.1\r\nHost: localhost\r\n\r\n", "403", ""},
        {"GET /_status HTTP/1.1\r\nHost: 127.0.0.1:9100\r\nConnection: close\r\n\r\n", "200", "running"},
        {"GET /_status HTTP/1.1\r\nHost: [::1]:9100\r\nConnection: close\r\n\r\n", "200", "running"},
        {"GET /_status HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n", "200", "running"},
        {"GET /_status HTTP/1.1\r\nHost: LocalHost\r\nConnection: close\r\n\r\n", "200", "running"},
    };
    open_on("127.0.0.1:0");
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        const char *reply = ask(cases[i].request);
        if (strncmp(reply, "HTTP/1.1 ", 9) != 0 || strncmp(reply + 9, cases[i].code, 3) != 0 ||
            strstr(reply, cases[i].part) == NULL)
            fail_msg("%s -> %s", cases[i].request, reply);
        if (strstr(reply + 9, "HTTP/1.1 ") != NULL)
            fail_msg("%s -> two answers: %s", cases[i].request, reply);
    }
    (void)snprintf(large, sizeof large, "GET /_live HTTP/1.1\r\nHost: localhost\r\nX: %09999d\r\n\r\n", 0);
    assert_null(strstr(ask(large), "live\n"));
    assert_answer(get("GET", "/_live"), "200", "live");
    status_free(status);
}

static void test_path(void **state)
{
    (void)state;
    char dir[] = "/tmp/tpmtls-status-XXXXXX", where[64];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(where, sizeof where, "unix:%s/s", dir);
    open_on(where);
    assert_string_equal(status_address(status), where);
    assert_answer(get("GET", "/_live"), "200", "live");
    assert_answer(ask("GET /_live HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n"), "200", "live");
    status_free(status);
    assert_int_equal(rmdir(dir), 0); /* the path is gone */
}

/* More connections than are served at once: none is dropped, they wait; and they are not counted for ever. */
static void test_many(void **state)
{
    (void)state;
    enum {
        MANY = 3 * STATUS_CONNECTIONS
    };
    static const char request[] = "GET /_live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    static char reply[4096];
    int fd[MANY];
    open_on("127.0.0.1:0");
    for (size_t i = 0; i < MANY; i++)
        fd[i] = dial(status_address(status));
    for (int i = 0; i < 10; i++)
        (void)event_base_loop(base, EVLOOP_NONBLOCK);
    /* The last one in the row is not even looked at. */
    assert_int_equal(send(fd[MANY - 1], request, sizeof request - 1, MSG_NOSIGNAL), sizeof request - 1);
    for (int i = 0; i < 10; i++)
        (void)event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(recv(fd[MANY - 1], reply, sizeof reply, MSG_DONTWAIT), -1);
    for (size_t i = 0; i + 1 < MANY; i++) {
        assert_int_equal(send(fd[i], request, sizeof request - 1, MSG_NOSIGNAL), sizeof request - 1);
        hear(fd[i], reply, sizeof reply);
        assert_answer(reply, "200", "live");
        (void)close(fd[i]);
    }
    hear(fd[MANY - 1], reply, sizeof reply);
    assert_answer(reply, "200", "live");
    (void)close(fd[MANY - 1]);
    /* Freed with connections open. */
    int left = dial(status_address(status));
    for (int i = 0; i < 5; i++)
        (void)event_base_loop(base, EVLOOP_NONBLOCK);
    status_free(status);
    (void)close(left);
}

/* Who says nothing is let go. */
static void test_silent(void **state)
{
    (void)state;
    static char reply[4096];
    open_on("127.0.0.1:0");
    int fd = dial(status_address(status));
    assert_int_equal(send(fd, "GET /_l", 7, MSG_NOSIGNAL), 7);
    hear(fd, reply, sizeof reply); /* ends */
    (void)close(fd);
    status_free(status);
}

static void test_where(void **state)
{
    (void)state;
    static const char *const bad[] = {"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:9100", "127.0.0.1"};
    for (size_t i = 0; i < TT_COUNT(bad); i++) {
        struct tt_error err = {0};
        struct status *s = NULL;
        assert_int_equal(status_open(&s, base, bad[i], &source, &err), TT_ERR_USAGE);
        assert_true(err.hint[0] != '\0');
        assert_null(s);
    }
    struct status *second = NULL;
    open_on("127.0.0.1:0");
    assert_int_equal(status_open(&second, base, status_address(status), &source, NULL), TT_ERR_BUSY);
    status_free(status);
    status_free(NULL);
}

static int set_up(void **state)
{
    (void)state;
    return loop_new(&base, false, NULL) == TT_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    event_base_free(base);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages), cmocka_unit_test(test_head), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_path),  cmocka_unit_test(test_many), cmocka_unit_test(test_silent),
        cmocka_unit_test(test_where),
    };
    return cmocka_run_group_tests_name("status", tests, set_up, tear_down);
}
