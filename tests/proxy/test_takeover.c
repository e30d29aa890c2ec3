/* tests/proxy/test_takeover.c: sockets pass from one process to the next, and neither believes another user.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/loop.h"
#include "proxy/takeover.h"

#define GREETING   "tpmtls takeover 1\n"
#define NOBODY     65534
#define PATIENCE_S 20

static char dir[] = "/tmp/tpmtls-takeover-XXXXXX", path[64];
static int shared = -1; /* a listening socket: what is handed over */
static bool has_let_go;

static int listen_anywhere(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 5), 0);
    return fd;
}

static ino_t inode_of(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_ino;
}

static size_t open_descriptors(void)
{
    size_t n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* ---- the one that runs, in a child ---- */

static size_t listeners(void *arg, int *ret, size_t cap)
{
    (void)arg;
    (void)cap;
    ret[0] = shared;
    return 1;
}

static void let_go(void *arg)
{
    has_let_go = true;
    (void)event_base_loopexit(arg, NULL);
}

/* Serves until it has let go, or for a while; its exit status says which. */
static void serve(int is_open)
{
    struct event_base *base;
    struct takeover *t;
    struct tt_error err = {0};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    if (loop_new(&base, false, &err) != TT_OK)
        _exit(10);
    const struct takeover_source source = {.listeners = listeners, .let_go = let_go, .arg = base};
    if (takeover_open(&t, base, path, &source, &err) != TT_OK || chmod(path, 0666) != 0 ||
        write(is_open, "", 1) != 1)
        _exit(11);
    (void)event_base_loopexit(base, &patience);
    (void)event_base_dispatch(base);
    takeover_free(t);
    event_base_free(base);
    _exit(has_let_go ? 0 : 12);
}

/* One that says the right words, with descriptors. */
static void pretend(int is_open)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {
        .header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))}};
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)GREETING, .iov_len = sizeof GREETING - 1};
    const struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    memcpy(CMSG_DATA(&control.header), &shared, sizeof shared);
    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 1) != 0 || chmod(path, 0666) != 0 ||
        write(is_open, "", 1) != 1)
        _exit(11);
    int peer = accept(fd, NULL, NULL);
    _exit(sendmsg(peer, &m, MSG_NOSIGNAL) == (ssize_t)iov.iov_len ? 0 : 12);
}

static pid_t start(void (*what)(int is_open), uid_t uid)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        if (uid != geteuid() && setresuid(uid, uid, uid) != 0)
            _exit(9);
        what(ready[1]);
    }
    (void)close(ready[1]);
    ssize_t n = read(ready[0], &byte, 1);
    (void)close(ready[0]);
    assert_int_equal(n, 1);
    return child;
}

static int status_of(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- the cases ---- */

static int set_up(void **state)
{
    (void)state;
    (void)unlink(path);
    return 0;
}

static void test_handed_over(void **state)
{
    (void)state;
    struct listen_handed handed = {0};
    struct tt_error err = {0};
    int former;
    pid_t child = start(serve, geteuid());
    assert_int_equal(takeover_ask(&handed, &former, path, &err), TT_OK);
    assert_true(former >= 0);
    assert_int_equal(handed.n, 1);
    assert_true(inode_of(handed.fd[0]) == inode_of(shared));
    listen_handed_close(&handed);
    assert_int_equal(takeover_ready(former, &err), TT_OK);
    assert_int_equal(status_of(child), 0);
    assert_int_equal(access(path, F_OK), -1); /* free for the new one */
}

static void test_nobody_runs(void **state)
{
    (void)state;
    struct listen_handed handed = {0};
    struct tt_error err = {0};
    int former;
    assert_int_equal(takeover_ask(&handed, &former, path, &err), TT_OK);
    assert_int_equal(former, -1);
    assert_int_equal(handed.n, 0);
}

/* Whoever could make that path would have a socket of theirs in our place. */
static void test_another_user_answers(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can be two users */
    struct listen_handed handed = {0};
    struct tt_error err = {0};
    int former;
    size_t before = open_descriptors();
    pid_t child = start(pretend, NOBODY);
    assert_int_equal(takeover_ask(&handed, &former, path, &err), TT_ERR_IO);
    assert_non_null(strstr(err.text, "another user's"));
    assert_int_equal(former, -1);
    assert_int_equal(handed.n, 0);
    assert_int_equal(open_descriptors(), before);
    (void)status_of(child);
    assert_int_equal(unlink(path), 0);
    child = start(pretend, 0); /* the control: of the same user the same words are believed */
    assert_int_equal(takeover_ask(&handed, &former, path, &err), TT_OK);
    assert_int_equal(handed.n, 1);
    listen_handed_close(&handed);
    (void)close(former);
    assert_int_equal(status_of(child), 0);
}

static void ask(int is_done)
{
    struct listen_handed handed = {0};
    struct tt_error err = {0};
    int former;
    tt_rc rc = takeover_ask(&handed, &former, path, &err);
    (void)!write(is_done, "", 1);
    _exit(rc == TT_OK ? 0 : handed.n == 0 ? 1 : 2);
}

static void test_another_user_asks(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can be two users */
    pid_t former = start(serve, NOBODY + 1);
    assert_int_equal(status_of(start(ask, NOBODY)), 1);
    assert_int_equal(status_of(start(ask, NOBODY + 1)), 0); /* its own may */
    (void)kill(former, SIGTERM);
    int status;
    assert_int_equal(waitpid(former, &status, 0), former);
}

static int begin(void **state)
{
    (void)state;
    shared = listen_anywhere();
    if (mkdtemp(dir) == NULL || chmod(dir, 0777) != 0)
        return -1;
    (void)snprintf(path, sizeof path, "%s/take.sock", dir);
    return 0;
}

static int end(void **state)
{
    (void)state;
    (void)close(shared);
    (void)unlink(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_handed_over, set_up),
        cmocka_unit_test_setup(test_nobody_runs, set_up),
        cmocka_unit_test_setup(test_another_user_answers, set_up),
        cmocka_unit_test_setup(test_another_user_asks, set_up),
    };
    return cmocka_run_group_tests_name("takeover", tests, begin, end);
}
