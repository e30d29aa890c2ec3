/* tests/proxy/test_notify.c: what the service manager is told, over a path and an abstract name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "net/loop.h"
#include "proxy/notify.h"

static struct event_base *base;
static struct notify *notify;
static char dir[] = "/tmp/tpmtls-notify-XXXXXX", path[64];
static int manager = -1, passed = -1;

static void manager_open(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = strlen(name);
    memcpy(at.sun_path, name, n);
    if (name[0] == '@')
        at.sun_path[0] = '\0';
    manager = socket(AF_UNIX, SOCK_DGRAM, 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (name[0] == '@' ? 0 : 1));
    assert_int_equal(bind(manager, (struct sockaddr *)&at, len), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
}

static void manager_close(void)
{
    (void)close(manager);
    (void)unlink(path);
    (void)unsetenv("NOTIFY_SOCKET");
}

/* The next message; the descriptor with it goes to `passed`. */
static const char *heard(void)
{
    static char text[2048];
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {text, sizeof text - 1};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(manager, &m, MSG_DONTWAIT);
    if (n < 0)
        return NULL;
    text[n] = '\0';
    passed = -1;
    if (m.msg_controllen > 0 && CMSG_FIRSTHDR(&m) != NULL)
        memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof passed);
    return text;
}

static void talk(void)
{
    char long_text[3000];
    assert_true(notify_ready(notify));
    assert_string_equal(heard(), "READY=1");
    assert_true(notify_stopping(notify));
    assert_string_equal(heard(), "STOPPING=1");
    assert_true(notify_status(notify, "3 open\nREADY=1"));
    assert_string_equal(heard(), "STATUS=3 open READY=1"); /* one line: no second state */
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_true(notify_status(notify, long_text));
    assert_true(strlen(heard()) < 1100);
    assert_true(notify_reloading(notify));
    const char *reload = heard();
    assert_true(strncmp(reload, "RELOADING=1\nMONOTONIC_USEC=", 27) == 0);
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    unsigned long long us = strtoull(reload + 27, NULL, 10),
                       now_us = (unsigned long long)now.tv_sec * 1000000;
    assert_true(us > 0 && us <= now_us + 1000000); /* this clock, in this unit */
    assert_true(us + 600000000 > now_us);
}

static void test_path(void **state)
{
    (void)state;
    manager_open(path);
    talk();
    manager_close();
}

static void test_abstract_name(void **state)
{
    (void)state;
    char name[64];
    (void)snprintf(name, sizeof name, "@tpmtls-notify-%ld", (long)getpid());
    manager_open(name);
    talk();
    manager_close();
}

static void test_descriptors(void **state)
{
    (void)state;
    int pipes[2];
    char c = 0;
    assert_int_equal(pipe(pipes), 0);
    manager_open(path);
    assert_true(notify_store(notify, pipes[1], "web"));
    assert_string_equal(heard(), "FDSTORE=1\nFDNAME=web");
    assert_true(passed >= 0);
    assert_int_equal(write(passed, "x", 1), 1);
    assert_int_equal(read(pipes[0], &c, 1), 1);
    (void)close(passed);
    assert_true(notify_remove(notify, "web"));
    assert_string_equal(heard(), "FDSTOREREMOVE=1\nFDNAME=web");
    assert_int_equal(passed, -1);
    assert_false(notify_store(notify, pipes[1], "web\nREADY=1"));
    assert_false(notify_store(notify, pipes[1], "a:b"));
    assert_null(heard());
    manager_close();
    (void)close(pipes[0]);
    (void)close(pipes[1]);
}

static void test_nobody_to_tell(void **state)
{
    (void)state;
    static const char *const names[] = {"", "relative", "/nonexistent/notify", "@", "/"};
    (void)unsetenv("NOTIFY_SOCKET");
    assert_false(notify_ready(notify));
    for (size_t i = 0; i < TT_COUNT(names); i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
        assert_false(notify_ready(notify));
    }
    char too_long[200];
    memset(too_long, 'x', sizeof too_long);
    too_long[0] = '/';
    too_long[sizeof too_long - 1] = '\0';
    assert_int_equal(setenv("NOTIFY_SOCKET", too_long, 1), 0);
    assert_false(notify_ready(notify));
    (void)unsetenv("NOTIFY_SOCKET");
    assert_false(notify_ready(NULL));
    notify_free(NULL);
}

static void test_watchdog(void **state)
{
    (void)state;
    char pid[32];
    static const struct {
        const char *us;
        unsigned ms;
    } cases[] = {{"30000000", 15000}, {"3000000", 1500}, {"10", 1}, {"0", 0},
                 {"-1", 0},           {"12x", 0},        {"", 0},   {"99999999999999999999999", 0}};
    (void)unsetenv("WATCHDOG_PID");
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        assert_int_equal(setenv("WATCHDOG_USEC", cases[i].us, 1), 0);
        assert_int_equal(notify_watchdog_ms(), cases[i].ms);
    }
    assert_int_equal(setenv("WATCHDOG_USEC", "20000", 1), 0);
    assert_int_equal(setenv("WATCHDOG_PID", "1", 1), 0);
    assert_int_equal(notify_watchdog_ms(), 0); /* meant for another process */
    (void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
    assert_int_equal(setenv("WATCHDOG_PID", pid, 1), 0);
    assert_int_equal(notify_watchdog_ms(), 10);
    /* It is told as long as the loop turns. */
    struct notify *n = NULL;
    manager_open(path);
    assert_int_equal(notify_new(&n, base, NULL), TT_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
        assert_string_equal(heard(), "WATCHDOG=1");
    }
    notify_free(n);
    assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 1); /* nothing is pending */
    manager_close();
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
}

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL || loop_new(&base, false, NULL) != TT_OK)
        return -1;
    (void)snprintf(path, sizeof path, "%s/notify", dir);
    return notify_new(&notify, base, NULL) == TT_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    notify_free(notify);
    event_base_free(base);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path),        cmocka_unit_test(test_abstract_name),
        cmocka_unit_test(test_descriptors), cmocka_unit_test(test_nobody_to_tell),
        cmocka_unit_test(test_watchdog),
    };
    return cmocka_run_group_tests_name("notify", tests, set_up, tear_down);
}
