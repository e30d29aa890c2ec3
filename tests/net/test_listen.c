/* tests/net/test_listen.c: listening on addresses, paths, and what systemd passes on; what is said when it
 * cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/listen.h"

static char dir[] = "/tmp/tpmtls-listen-XXXXXX";
static char text[LISTEN_NAME_MAX], path[64];

static int make_dir(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL)
        return -1;
    (void)snprintf(path, sizeof path, "%s/s", dir);
    (void)snprintf(text, sizeof text, "unix:%s", path);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(dir);
}

/* A client gets through to the listener. */
static bool is_reached(const char *name)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_unix = strncmp(name, "unix:", 5) == 0;
    (void)snprintf(un.sun_path, sizeof un.sun_path, "%s", name + (is_unix ? 5 : 0));
    if (!is_unix)
        in.sin_port = htons((uint16_t)strtoul(strrchr(name, ':') + 1, NULL, 10));
    int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    int rc = is_unix ? connect(fd, (struct sockaddr *)&un, sizeof un)
                     : connect(fd, (struct sockaddr *)&in, sizeof in);
    (void)close(fd);
    return rc == 0;
}

static void assert_says(const struct tt_error *err, const char *what, const char *hint)
{
    if (strstr(err->text, what) == NULL || strstr(err->hint, hint) == NULL)
        fail_msg("'%s', hint '%s'; wanted '%s', '%s'", err->text, err->hint, what, hint);
}

static void test_address(void **state)
{
    (void)state;
    struct listeners l = {0};
    struct tt_error err = {0};
    assert_int_equal(listen_open(&l, "127.0.0.1:0", &err), TT_OK);
    assert_int_equal(l.n, 1);
    assert_true(strncmp(l.name[0], "127.0.0.1:", 10) == 0);
    assert_true(is_reached(l.name[0]));
    assert_true((fcntl(l.fd[0], F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(l.fd[0], F_GETFL) & O_NONBLOCK) != 0);
    char name[LISTEN_NAME_MAX];
    strcpy(name, l.name[0]);
    listen_close(&l);
    assert_int_equal(l.n, 0);
    assert_false(is_reached(name));
    listen_close(&l);
    listen_close(NULL);
}

/* All addresses of a name, on one port: 0.0.0.0 and :: here, where the machine has both. */
static void test_every_address_of_a_name(void **state)
{
    (void)state;
    struct listeners l = {0};
    struct tt_error err = {0};
    assert_int_equal(listen_open(&l, ":0", &err), TT_OK);
    if (access("/proc/net/if_inet6", F_OK) == 0)
        assert_int_equal(l.n, 2);
    for (size_t i = 1; i < l.n; i++)
        assert_string_equal(strrchr(l.name[i], ':'), strrchr(l.name[0], ':'));
    assert_true(is_reached(l.name[0]));
    assert_false(listeners_are_local(&l));
    listen_close(&l);
    assert_int_equal(listen_open(&l, "localhost:0", &err), TT_OK);
    assert_true(listeners_are_local(&l));
    listen_close(&l);
}

static void test_port_taken(void **state)
{
    (void)state;
    struct listeners first = {0}, second = {0};
    struct tt_error err = {0};
    char hint[64];
    assert_int_equal(listen_open(&first, "127.0.0.1:0", &err), TT_OK);
    assert_int_equal(listen_open(&second, first.name[0], &err), TT_ERR_BUSY);
    (void)snprintf(hint, sizeof hint, "ss -ltnp 'sport = %s'", strrchr(first.name[0], ':'));
    assert_says(&err, first.name[0], hint);
    assert_int_equal(second.n, 0);
    listen_close(&first);
    error_clear(&err);
    assert_int_equal(listen_open(&second, "203.0.113.1:0", &err), TT_ERR_IO);
    assert_says(&err, "203.0.113.1", "ip address");
}

/* A privileged port without the privilege, by a child that gives its own up. */
static void test_port_not_allowed(void **state)
{
    (void)state;
    char first[16] = "";
    FILE *f = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "r");
    if (f == NULL || fgets(first, sizeof first, f) == NULL || strtol(first, NULL, 10) < 2)
        skip();
    (void)fclose(f);
    pid_t pid = fork();
    if (pid == 0) {
        struct listeners l = {0};
        struct tt_error err = {0};
        if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
            _exit(2);
        tt_rc rc = listen_open(&l, "127.0.0.1:1", &err);
        _exit(rc == TT_ERR_IO && strstr(err.hint, "CAP_NET_BIND_SERVICE") != NULL ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_path(void **state)
{
    (void)state;
    struct listeners l = {0}, second = {0};
    struct tt_error err = {0};
    struct stat st;
    mode_t old = umask(0027);
    assert_int_equal(listen_open(&l, text, &err), TT_OK);
    (void)umask(old);
    assert_string_equal(l.name[0], text);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, LISTEN_UNIX_MODE);
    assert_true(is_reached(text));
    assert_true(listeners_are_local(&l));
    /* While somebody answers it is not taken away. */
    assert_int_equal(listen_open(&second, text, &err), TT_ERR_BUSY);
    assert_says(&err, "another program", "ss -lxp");
    assert_true(is_reached(text));
    listen_close(&l);
    assert_int_not_equal(stat(path, &st), 0);
}

static void test_path_of_the_dead(void **state)
{
    (void)state;
    struct listeners l = {0};
    struct tt_error err = {0};
    assert_int_equal(listen_open(&l, text, &err), TT_OK);
    (void)close(l.fd[0]); /* as after kill -9: the file stays */
    assert_false(is_reached(text));
    struct listeners next = {0};
    assert_int_equal(listen_open(&next, text, &err), TT_OK);
    assert_true(is_reached(text));
    /* The first one's end does not take the path from the second. */
    l.n = 0;
    listen_close(&l);
    assert_true(is_reached(text));
    listen_close(&next);
}

static void test_path_refusals(void **state)
{
    (void)state;
    struct listeners l = {0};
    struct tt_error err = {0};
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(listen_open(&l, text, &err), TT_ERR_EXISTS);
    assert_says(&err, "there is a file of that name", "left alone");
    assert_int_equal(access(path, F_OK), 0);
    (void)unlink(path);
    error_clear(&err);
    assert_int_equal(listen_open(&l, "unix:/nonexistent/dir/s", &err), TT_ERR_IO);
    assert_says(&err, "unix:/nonexistent/dir/s", "directory must be there");
}

static void test_forms(void **state)
{
    (void)state;
    static const struct {
        const char *where, *why; /* NULL: good */
        bool is_local;
    } cases[] = {
        {"127.0.0.1:1", NULL, true},
        {"127.9.9.9:1", NULL, true},
        {"[::1]:1", NULL, true},
        {"[::ffff:127.0.0.1]:1", NULL, true},
        {"localhost:1", NULL, true},
        {"unix:/run/x", NULL, true},
        {"systemd", NULL, true},
        {"systemd:web", NULL, true},
        {"0.0.0.0:1", NULL, false},
        {"[::]:1", NULL, false},
        {":1", NULL, false},
        {"192.0.2.1:1", NULL, false},
        {"[::ffff:192.0.2.1]:1", NULL, false},
        {"128.0.0.1:1", NULL, false},
        {"localhost.example.org:1", NULL, false},
        {"unix:", "needs a path", false},
        {"systemd:", "needs a name", false},
        {"127.0.0.1", "port is missing", false},
        {"::1:1", "needs brackets", false},
        {"unix:/"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaa",
         "too long", false},
    };
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        struct tt_error err = {0};
        tt_rc rc = listen_check(cases[i].where, &err);
        assert_int_equal(rc, cases[i].why == NULL ? TT_OK : TT_ERR_USAGE);
        if (cases[i].why != NULL)
            assert_says(&err, cases[i].why, "");
        if (listen_is_local(cases[i].where) != cases[i].is_local)
            fail_msg("%s", cases[i].where);
    }
}

/* ---- systemd ---- */

/* As systemd does it: descriptors from 3 on, then the variables. Runs in a child; returns its status. */
static int with_passed(int n, const char *names, int (*fn)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        char number[32];
        struct listeners l = {0};
        for (int i = 0; i < n; i++) {
            if (listen_open(&l, "127.0.0.1:0", NULL) != TT_OK || dup2(l.fd[0], 100 + i) < 0)
                _exit(90);
            (void)close(l.fd[0]);
        }
        for (int i = 0; i < n; i++)
            if (dup2(100 + i, 3 + i) < 0 || close(100 + i) != 0)
                _exit(91);
        (void)snprintf(number, sizeof number, "%d", n);
        (void)setenv("LISTEN_FDS", number, 1);
        (void)snprintf(number, sizeof number, "%ld", (long)getpid());
        (void)setenv("LISTEN_PID", number, 1);
        if (names != NULL)
            (void)setenv("LISTEN_FDNAMES", names, 1);
        _exit(fn());
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define CHECK(expr)                                                                                          \
    do {                                                                                                     \
        if (!(expr)) {                                                                                       \
            (void)fprintf(stderr, "# %d: %s\n", __LINE__, #expr);                                            \
            return 1;                                                                                        \
        }                                                                                                    \
    } while (0)

static int take_all(void)
{
    struct listeners l = {0}, again = {0};
    CHECK(listen_open(&l, "systemd", NULL) == TT_OK && l.n == 3);
    for (size_t i = 0; i < l.n; i++) {
        CHECK(is_reached(l.name[i]));
        CHECK((fcntl(l.fd[i], F_GETFL) & O_NONBLOCK) != 0);
        CHECK((fcntl(3 + (int)i, F_GETFD) & FD_CLOEXEC) != 0 && (fcntl(l.fd[i], F_GETFD) & FD_CLOEXEC) != 0);
    }
    listen_close(&l);
    CHECK(listen_open(&again, "systemd", NULL) == TT_OK && again.n == 3); /* a reload opens it again */
    CHECK(is_reached(again.name[2]));
    return 0;
}

static int take_named(void)
{
    struct listeners l = {0};
    struct tt_error err = {0};
    CHECK(listen_open(&l, "systemd:web", &err) == TT_OK && l.n == 2);
    listen_close(&l);
    CHECK(listen_open(&l, "systemd:mail", &err) == TT_OK && l.n == 1);
    listen_close(&l);
    CHECK(listen_open(&l, "systemd:we", &err) == TT_ERR_NOT_FOUND && strstr(err.text, "'we'") != NULL);
    CHECK(strstr(err.hint, "web:mail:web") != NULL);
    return 0;
}

static int of_another_process(void)
{
    struct listeners l = {0};
    struct tt_error err = {0};
    (void)setenv("LISTEN_PID", "1", 1);
    CHECK(listen_open(&l, "systemd", &err) == TT_ERR_NOT_FOUND && strstr(err.hint, ".socket") != NULL);
    (void)unsetenv("LISTEN_PID");
    CHECK(listen_open(&l, "systemd", NULL) == TT_ERR_NOT_FOUND);
    return 0;
}

static int no_listener(void)
{
    struct listeners l = {0};
    struct tt_error err = {0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(dup2(fd, 3) == 3);
    CHECK(listen_open(&l, "systemd", &err) == TT_ERR_USAGE && strstr(err.hint, "ListenStream=") != NULL);
    CHECK(l.n == 0);
    return 0;
}

static int too_many(void)
{
    struct listeners l = {0};
    struct tt_error err = {0};
    CHECK(listen_open(&l, "systemd", &err) == TT_ERR_UNSUPPORTED && l.n == 0);
    return 0;
}

static void test_systemd(void **state)
{
    (void)state;
    assert_int_equal(with_passed(3, NULL, take_all), 0);
    assert_int_equal(with_passed(3, "web:mail:web", take_named), 0);
    assert_int_equal(with_passed(1, NULL, of_another_process), 0);
    assert_int_equal(with_passed(1, NULL, no_listener), 0);
    assert_int_equal(with_passed(LISTENERS_MAX + 1, NULL, too_many), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address),       cmocka_unit_test(test_every_address_of_a_name),
        cmocka_unit_test(test_port_taken),    cmocka_unit_test(test_port_not_allowed),
        cmocka_unit_test(test_path),          cmocka_unit_test(test_path_of_the_dead),
        cmocka_unit_test(test_path_refusals), cmocka_unit_test(test_forms),
        cmocka_unit_test(test_systemd),
    };
    return cmocka_run_group_tests_name("listen", tests, make_dir, remove_dir);
}
