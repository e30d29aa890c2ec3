/* tests/proxy/test_sandbox.c: in the sandbox what a proxy does works and what an intruder wants does not.
 * Each case is a child that enters it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/listen.h"
#include "net/loop.h"
#include "proxy/sandbox.h"
#include "proxy/watch.h"

static char dir[] = "/tmp/tpmtls-sandbox-XXXXXX", keys[64], state_dir[64], other[64], cert[80], foreign[80],
            behind[80];

#define CHECK(expr)                                                                                          \
    do {                                                                                                     \
        if (!(expr)) {                                                                                       \
            (void)fprintf(stderr, "# line %d: %s (errno %d)\n", __LINE__, #expr, errno);                     \
            return 1;                                                                                        \
        }                                                                                                    \
    } while (0)

static struct sandbox_report report;

static tt_rc enter(struct sandbox_options opt)
{
    const char *const files[] = {cert, behind, "/nonexistent/dir/file"}, *const state[] = {state_dir,
                                                                                           "/nonexistent"};
    struct tt_error err = {0};
    opt.files = files;
    opt.files_len = TT_COUNT(files);
    opt.state = state;
    opt.state_len = TT_COUNT(state);
    tt_rc rc = sandbox_enter(&report, &opt, &err);
    if (rc != TT_OK)
        (void)fprintf(stderr, "# %s\n", err.text);
    return rc;
}

static void in_child(int (*fn)(void))
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(fn());
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static bool can_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

static void *thread_work(void *arg)
{
    *(bool *)arg = true;
    return NULL;
}

static const char *in_state(const char *name)
{
    static char path[2][128];
    static size_t turn;
    char *p = path[turn++ % 2];
    (void)snprintf(p, sizeof path[0], "%s/%s", state_dir, name);
    return p;
}

static void on_change(void *arg)
{
    *(bool *)arg = true;
}

/* ---- what works ---- */

static int files_work(void)
{
    CHECK(can_open(foreign, O_RDONLY)); /* the control */
    CHECK(enter((struct sandbox_options){0}) == TT_OK);
    CHECK(can_open(cert, O_RDONLY));
    CHECK(can_open(behind, O_RDONLY)); /* a link to another directory */
    CHECK(can_open("/etc/hosts", O_RDONLY));
    CHECK(can_open(in_state("new"), O_WRONLY | O_CREAT | O_TRUNC));
    CHECK(rename(in_state("new"), in_state("old")) == 0);
    CHECK(unlink(in_state("old")) == 0);
    CHECK(mkdir(in_state("sub"), 0700) == 0 && rmdir(in_state("sub")) == 0);
    if (report.landlock > 0) {
        CHECK(!can_open(foreign, O_RDONLY) && errno == EACCES);
        CHECK(!can_open(cert, O_WRONLY) && errno == EACCES);
        char beside[128];
        (void)snprintf(beside, sizeof beside, "%s/new", keys);
        CHECK(!can_open(beside, O_WRONLY | O_CREAT) && errno == EACCES);
        CHECK(!can_open("/etc/tpmtls-test", O_WRONLY | O_CREAT) && errno == EACCES);
    }
    return 0;
}

/* A certificate that is renewed in its directory is read again. */
static int reload_works(void)
{
    struct event_base *base = NULL;
    struct watch *watch = NULL;
    const char *const files[] = {cert};
    bool told = false;
    int pipes[2];
    CHECK(pipe(pipes) == 0);
    pid_t renewer = fork(); /* somebody outside */
    if (renewer == 0) {
        char c, fresh[128];
        (void)snprintf(fresh, sizeof fresh, "%s/fresh", keys);
        if (read(pipes[0], &c, 1) == 1 && can_open(fresh, O_WRONLY | O_CREAT))
            (void)rename(fresh, cert);
        _exit(0);
    }
    CHECK(enter((struct sandbox_options){0}) == TT_OK);
    CHECK(loop_new(&base, false, NULL) == TT_OK);
    CHECK(watch_new(&watch, base, files, 1, on_change, &told, NULL) == TT_OK);
    CHECK(write(pipes[1], "x", 1) == 1);
    for (int i = 0; i < 100 && !told; i++)
        CHECK(event_base_loop(base, EVLOOP_ONCE) == 0);
    CHECK(told && can_open(cert, O_RDONLY));
    watch_free(watch);
    event_base_free(base);
    return 0;
}

static int network_works(void)
{
    struct listeners l = {0}, u = {0};
    struct addrinfo *found = NULL;
    char where[160];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(enter((struct sandbox_options){0}) == TT_OK);
    CHECK(listen_open(&l, "127.0.0.1:0", NULL) == TT_OK);
    at.sin_port = htons((uint16_t)strtoul(strrchr(l.name[0], ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(fd, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(accept4(l.fd[0], NULL, NULL, SOCK_CLOEXEC) >= 0);
    (void)snprintf(where, sizeof where, "unix:%s", in_state("sock"));
    CHECK(listen_open(&u, where, NULL) == TT_OK);
    listen_close(&u);
    CHECK(getaddrinfo("localhost", "1", NULL, &found) == 0);
    freeaddrinfo(found);
    return 0;
}

static int threads_work(void)
{
    bool ran = false;
    pthread_t id;
    CHECK(enter((struct sandbox_options){0}) == TT_OK);
    CHECK(pthread_create(&id, NULL, thread_work, &ran) == 0);
    CHECK(pthread_join(id, NULL) == 0);
    CHECK(ran);
    return 0;
}

/* The device that comes back: /dev is open for reading and writing, by the rights of its files. */
static int device_works(void)
{
    CHECK(enter((struct sandbox_options){.opens_device = true}) == TT_OK);
    CHECK(can_open("/dev/null", O_RDWR));
    return 0;
}

static int no_device(void)
{
    CHECK(can_open("/dev/null", O_RDWR));
    CHECK(enter((struct sandbox_options){0}) == TT_OK);
    CHECK(report.landlock == 0 || !can_open("/dev/null", O_RDWR));
    return 0;
}

static int swtpm_works(void)
{
    CHECK(enter((struct sandbox_options){.runs_swtpm = true}) == TT_OK);
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl("/bin/true", "true", (char *)NULL);
        _exit(9);
    }
    int status = -1;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK(status == 0);
    return 0;
}

/* ---- what does not ---- */

static int others_are_out(void)
{
    CHECK(enter((struct sandbox_options){0}) == TT_OK);
    CHECK(execl("/bin/true", "true", (char *)NULL) == -1 && (errno == EPERM || errno == EACCES));
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    int raw = socket(AF_PACKET, SOCK_RAW, 0);
    CHECK(raw == -1 && errno == EPERM);
    CHECK(unshare(CLONE_NEWUSER) == -1 && errno == EPERM);
    void *page = mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, 0, 0);
    CHECK(page == MAP_FAILED && errno == EPERM);
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0, 0);
    CHECK(page != MAP_FAILED);
    CHECK(mprotect(page, 4096, PROT_WRITE | PROT_EXEC) == -1 && errno == EPERM);
    CHECK(setuid(0) == -1 && errno == EPERM);
    CHECK(chroot("/") == -1 && errno == EPERM);
    struct rlimit core;
    CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0);
#ifndef __SANITIZE_ADDRESS__
    CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
    CHECK(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1 && errno == EPERM);
    CHECK(fork() == -1 && errno == EPERM);
#endif
    return 0;
}

static int user_is_dropped(void)
{
    struct listeners l = {0};
    CHECK(enter((struct sandbox_options){.user = "nobody"}) == TT_OK);
    CHECK(getuid() == 65534 && geteuid() == 65534 && getgid() != 0);
    CHECK(getgroups(0, NULL) <= 1);
    CHECK(!can_open("/etc/shadow", O_RDONLY));
    CHECK(listen_open(&l, "127.0.0.1:79", NULL) == TT_OK); /* a low port, as a reload may add */
    CHECK(strstr(report.text, "user nobody") != NULL);
    return 0;
}

static int unknown_user(void)
{
    struct sandbox_report r = {.landlock = -1};
    struct tt_error err = {0};
    CHECK(sandbox_enter(&r, &(struct sandbox_options){.user = "no-such-user"}, &err) == TT_ERR_NOT_FOUND);
    CHECK(strstr(err.text, "no-such-user") != NULL && err.hint[0] != '\0');
    error_clear(&err);
    CHECK(sandbox_enter(&r, &(struct sandbox_options){.user = "root"}, &err) == TT_ERR_USAGE);
    CHECK(r.landlock == -1 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
    return 0;
}

static void *wait_for_end(void *arg)
{
    char c;
    (void)!read(*(int *)arg, &c, 1);
    return NULL;
}

static int several_threads(void)
{
    int pipes[2];
    pthread_t id;
    CHECK(pipe(pipes) == 0 && pthread_create(&id, NULL, wait_for_end, &pipes[0]) == 0);
    CHECK(enter((struct sandbox_options){0}) == TT_ERR_INTERNAL);
    (void)close(pipes[1]);
    (void)pthread_join(id, NULL);
    return 0;
}

static int is_reported(void)
{
    CHECK(enter((struct sandbox_options){0}) == TT_OK);
    CHECK(strstr(report.text, "no new privileges, system calls filtered, files ") != NULL);
    CHECK((report.landlock > 0) ==
          (strstr(report.text, "Landlock") != NULL && strstr(report.text, "not fenced") == NULL));
    return 0;
}

#define CASE(name)                                                                                           \
    static void test_##name(void **state)                                                                    \
    {                                                                                                        \
        (void)state;                                                                                         \
        in_child(name);                                                                                      \
    }
CASE(files_work)
CASE(reload_works)
CASE(network_works)
CASE(threads_work)
CASE(device_works)
CASE(no_device)
CASE(swtpm_works)
CASE(others_are_out)
CASE(several_threads)
CASE(is_reported)

static void test_user_is_dropped(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    in_child(user_is_dropped);
    in_child(unknown_user);
}

static bool make(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return fd >= 0 && close(fd) == 0;
}

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL || chmod(dir, 0755) != 0)
        return -1;
    (void)snprintf(keys, sizeof keys, "%s/keys", dir);
    (void)snprintf(state_dir, sizeof state_dir, "%s/state", dir);
    (void)snprintf(other, sizeof other, "%s/other", dir);
    (void)snprintf(cert, sizeof cert, "%s/cert.pem", keys);
    (void)snprintf(behind, sizeof behind, "%s/link.pem", keys);
    (void)snprintf(foreign, sizeof foreign, "%s/foreign", dir);
    char target[80];
    (void)snprintf(target, sizeof target, "%s/real.pem", other);
    return mkdir(keys, 0755) == 0 && mkdir(state_dir, 0777) == 0 && mkdir(other, 0755) == 0 && make(cert) &&
                   make(foreign) && make(target) && symlink(target, behind) == 0
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command); // NOLINT(cert-env33-c): a path of our own
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_work),      cmocka_unit_test(test_reload_works),
        cmocka_unit_test(test_network_works),   cmocka_unit_test(test_threads_work),
        cmocka_unit_test(test_device_works),    cmocka_unit_test(test_no_device),
        cmocka_unit_test(test_swtpm_works),     cmocka_unit_test(test_others_are_out),
        cmocka_unit_test(test_several_threads), cmocka_unit_test(test_is_reported),
        cmocka_unit_test(test_user_is_dropped),
    };
    return cmocka_run_group_tests_name("sandbox", tests, set_up, tear_down);
}
