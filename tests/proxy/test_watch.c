/* tests/proxy/test_watch.c: files that are written, replaced, reached through links, gone and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/loop.h"
#include "proxy/watch.h"

static struct event_base *base;
static struct watch *watch;
static unsigned told;
static char dir[] = "/tmp/tpmtls-watch-XXXXXX";

static const char *in(const char *name)
{
    static char paths[8][128];
    static size_t turn;
    char *path = paths[turn++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static void put(const char *name, const char *text)
{
    int fd = open(in(name), O_CREAT | O_WRONLY | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

static void replace(const char *name, const char *text)
{
    put("new", text);
    assert_int_equal(rename(in("new"), in(name)), 0);
}

static void on_change(void *arg)
{
    (void)arg;
    told++;
}

static void watch_them(const char *a, const char *b)
{
    const char *const files[] = {a, b};
    told = 0;
    assert_int_equal(watch_new(&watch, base, files, b == NULL ? 1 : 2, on_change, NULL, NULL), TT_OK);
}

static void give_up(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    *(bool *)arg = true;
}

static void run_for(unsigned ms, unsigned until_told)
{
    bool late = false;
    struct event *limit = evtimer_new(base, give_up, &late);
    const struct timeval t = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    assert_int_equal(event_add(limit, &t), 0);
    while (!late && told < until_told)
        (void)event_base_loop(base, EVLOOP_ONCE);
    event_free(limit);
}

/* Told once, for whatever was done. */
static void assert_told(const char *what)
{
    run_for(20000, 1);
    run_for(WATCH_SETTLE_MS + 100, 2);
    if (told != 1)
        fail_msg("%s: told %u times", what, told);
    told = 0;
}

static void assert_not_told(const char *what)
{
    run_for(WATCH_SETTLE_MS + 300, 1);
    if (told != 0)
        fail_msg("%s: told", what);
}

static void test_written_and_replaced(void **state)
{
    (void)state;
    put("a", "1");
    put("b", "1");
    watch_them(in("a"), in("b"));
    assert_not_told("nothing");
    put("a", "2");
    assert_told("written");
    replace("b", "2");
    assert_told("replaced");
    put("a", "3");
    replace("b", "3");
    put("a", "4");
    assert_told("several together");
    put("c", "1");
    assert_not_told("another file");
    assert_int_equal(unlink(in("a")), 0);
    assert_not_told("gone");
    put("a", "1");
    assert_told("back");
    watch_free(watch);
}

/* As cert-manager and kubelet do it: names that lead through a link that is replaced. */
static void test_links(void **state)
{
    (void)state;
    assert_int_equal(mkdir(in("v1"), 0700), 0);
    assert_int_equal(mkdir(in("v2"), 0700), 0);
    put("v1/tls.crt", "1");
    put("v2/tls.crt", "2");
    assert_int_equal(symlink("v1", in("..data")), 0);
    assert_int_equal(symlink("..data/tls.crt", in("tls.crt")), 0);
    watch_them(in("tls.crt"), NULL);
    assert_int_equal(symlink("v2", in("..tmp")), 0);
    assert_int_equal(rename(in("..tmp"), in("..data")), 0);
    assert_told("the link in the middle");
    put("v2/tls.crt", "3");
    assert_told("the file behind it");
    put("v1/tls.crt", "4");
    assert_not_told("the file that was behind it");
    put("plain", "1");
    assert_int_equal(symlink(in("plain"), in("..tmp")), 0);
    assert_int_equal(rename(in("..tmp"), in("tls.crt")), 0);
    assert_told("the first link");
    watch_free(watch);
    /* A link that leads to itself is nobody's file, and no endless way. */
    assert_int_equal(symlink("loop", in("loop")), 0);
    watch_them(in("loop"), NULL);
    assert_int_equal(unlink(in("loop")), 0);
    put("loop", "1");
    assert_told("no longer a loop");
    watch_free(watch);
    static const char *const left[] = {"v1/tls.crt", "v2/tls.crt", "..data", "tls.crt", "plain", "loop"};
    for (size_t i = 0; i < TT_COUNT(left); i++)
        assert_int_equal(unlink(in(left[i])), 0);
    assert_int_equal(rmdir(in("v1")), 0);
    assert_int_equal(rmdir(in("v2")), 0);
}

static void test_directory_gone_and_back(void **state)
{
    (void)state;
    watch_them(in("x/y/cert"), NULL); /* not there yet */
    assert_int_equal(mkdir(in("x"), 0700), 0);
    run_for(WATCH_SETTLE_MS + 100, 1);
    assert_int_equal(mkdir(in("x/y"), 0700), 0);
    put("x/y/cert", "1");
    assert_told("made");
    assert_int_equal(unlink(in("x/y/cert")), 0);
    assert_int_equal(rmdir(in("x/y")), 0);
    assert_int_equal(rmdir(in("x")), 0);
    assert_not_told("gone");
    assert_int_equal(mkdir(in("x"), 0700), 0);
    assert_int_equal(mkdir(in("x/y"), 0700), 0);
    put("x/y/cert", "1");
    assert_told("back at once");
    assert_int_equal(rename(in("x/y"), in("x/z")), 0);
    assert_int_equal(mkdir(in("x/y"), 0700), 0);
    put("x/y/cert", "2");
    assert_told("another directory of that name");
    put("x/y/cert", "3");
    assert_told("written there");
    watch_free(watch);
    static const char *const left[] = {"x/y/cert", "x/z/cert"};
    for (size_t i = 0; i < TT_COUNT(left); i++)
        assert_int_equal(unlink(in(left[i])), 0);
    assert_int_equal(rmdir(in("x/y")), 0);
    assert_int_equal(rmdir(in("x/z")), 0);
    assert_int_equal(rmdir(in("x")), 0);
}

static void test_other_files(void **state)
{
    (void)state;
    put("a", "1");
    put("b", "1");
    watch_them(in("a"), NULL);
    const char *const next[] = {in("b")};
    assert_int_equal(watch_set(watch, next, 1, NULL), TT_OK);
    put("a", "2");
    assert_not_told("no longer watched");
    put("b", "2");
    assert_told("watched now");
    assert_int_equal(watch_set(watch, NULL, 0, NULL), TT_OK);
    put("b", "3");
    assert_not_told("none");
    watch_free(watch);
    watch_free(NULL);
}

static void on_change_free(void *arg)
{
    (void)arg;
    told++;
    watch_free(watch);
}

static void test_free_within(void **state)
{
    (void)state;
    const char *const files[] = {in("a")};
    told = 0;
    assert_int_equal(watch_new(&watch, base, files, 1, on_change_free, NULL, NULL), TT_OK);
    put("a", "5");
    assert_told("freed");
    assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 1); /* nothing is pending */
}

/* A file that is written all the time is told of all the same. */
static void write_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    put("a", "6");
}

static void test_never_settled(void **state)
{
    (void)state;
    watch_them(in("a"), NULL);
    struct event *again = event_new(base, -1, EV_PERSIST, write_again, NULL);
    const struct timeval every = {0, 50000};
    assert_int_equal(event_add(again, &every), 0);
    run_for(20000, 2);
    assert_true(told >= 2);
    event_free(again);
    watch_free(watch);
}

#ifdef TT_FAULT_INJECTION
static void test_without_memory(void **state)
{
    (void)state;
    const char *const files[] = {in("a"), in("b")};
    tt_rc rc = TT_ERR_MEMORY;
    for (size_t nth = 1; nth < 20; nth++) {
        struct tt_error err = {0};
        watch = NULL;
        mem_test_fail_nth(nth);
        rc = watch_new(&watch, base, files, 2, on_change, NULL, &err);
        mem_test_fail_nth(0);
        assert_true((rc == TT_OK) == (watch != NULL));
        watch_free(watch);
    }
    assert_int_equal(rc, TT_OK);
}
#endif

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL || loop_new(&base, false, NULL) != TT_OK ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const left[] = {"a", "b", "c"};
    for (size_t i = 0; i < TT_COUNT(left); i++)
        (void)unlink(in(left[i]));
    event_base_free(base);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_and_replaced),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_directory_gone_and_back),
        cmocka_unit_test(test_other_files),
        cmocka_unit_test(test_free_within),
        cmocka_unit_test(test_never_settled),
#ifdef TT_FAULT_INJECTION
        cmocka_unit_test(test_without_memory),
#endif
    };
    return cmocka_run_group_tests_name("watch", tests, set_up, tear_down);
}
