/* tests/net/test_reach.c: connecting by Happy Eyeballs: the order, the first that answers, failures and their
 * sentences, names looked up on threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/listen.h"
#include "net/loop.h"
#include "net/reach.h"

static struct event_base *base;

/* ---- an outcome ---- */

struct outcome {
    unsigned told;
    int fd;
    struct tt_error error;
    struct reach *reach;
    bool free_within;
};

static void on_done(void *arg, int fd, const struct tt_error *error)
{
    struct outcome *o = arg;
    o->told++;
    o->fd = fd;
    if (error != NULL)
        o->error = *error;
    if (o->free_within)
        reach_free(TT_TAKE(o->reach));
}

static void give_up(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    *(bool *)arg = true;
}

static void run_until_told(struct outcome *o)
{
    bool late = false;
    struct event *limit = evtimer_new(base, give_up, &late);
    const struct timeval t = {20, 0};
    assert_int_equal(event_add(limit, &t), 0);
    while (o->told == 0 && !late)
        (void)event_base_loop(base, EVLOOP_ONCE);
    event_free(limit);
    assert_false(late);
    for (int i = 0; i < 5; i++)
        (void)event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(o->told, 1);
}

static void reach(struct outcome *o, const char *target, const struct addrinfo *candidates,
                  unsigned timeout_ms)
{
    struct tt_error err = {0};
    const struct reach_options opt = {.base = base,
                                      .target = target,
                                      .candidates = candidates,
                                      .timeout_ms = timeout_ms,
                                      .done = on_done,
                                      .arg = o};
    o->fd = -1;
    if (reach_start(&o->reach, &opt, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(o->told, 0); /* from the loop only */
    run_until_told(o);
    if (!o->free_within)
        reach_free(TT_TAKE(o->reach));
}

static void assert_says(const struct tt_error *err, tt_rc rc, const char *what, const char *hint)
{
    assert_int_equal(err->rc, rc);
    if (strstr(err->text, what) == NULL || strstr(err->hint, hint) == NULL)
        fail_msg("'%s', hint '%s'; wanted '%s', '%s'", err->text, err->hint, what, hint);
}

/* ---- addresses ---- */

struct list {
    struct addrinfo info[8];
    struct sockaddr_in v4[8];
    struct sockaddr_in6 v6[8];
    size_t n;
};

static void add_v4(struct list *l, const char *name)
{
    char host[64];
    (void)snprintf(host, sizeof host, "%s", name);
    char *colon = strrchr(host, ':');
    *colon = '\0';
    l->v4[l->n] = (struct sockaddr_in){.sin_family = AF_INET,
                                       .sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10))};
    assert_int_equal(inet_pton(AF_INET, host, &l->v4[l->n].sin_addr), 1);
    l->info[l->n] = (struct addrinfo){
        .ai_family = AF_INET, .ai_addr = (struct sockaddr *)&l->v4[l->n], .ai_addrlen = sizeof l->v4[0]};
    if (l->n > 0)
        l->info[l->n - 1].ai_next = &l->info[l->n];
    l->n++;
}

static void add_v6(struct list *l)
{
    l->v6[l->n] = (struct sockaddr_in6){.sin6_family = AF_INET6};
    l->info[l->n] = (struct addrinfo){
        .ai_family = AF_INET6, .ai_addr = (struct sockaddr *)&l->v6[l->n], .ai_addrlen = sizeof l->v6[0]};
    if (l->n > 0)
        l->info[l->n - 1].ai_next = &l->info[l->n];
    l->n++;
}

/* A port that was free a moment ago. */
static void closed_port(char ret[LISTEN_NAME_MAX])
{
    struct listeners l = {0};
    assert_int_equal(listen_open(&l, "127.0.0.1:0", NULL), TT_OK);
    strcpy(ret, l.name[0]);
    listen_close(&l);
}

/* A listener whose queue is full: the kernel drops what comes, as a firewall does. */
struct silent {
    int fd, clients[4];
    char name[ADDRESS_TEXT_MAX];
};

static void silent_open(struct silent *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(s->fd, 0), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&at, &len), 0);
    address_format(s->name, (struct sockaddr *)&at);
    for (size_t i = 0; i < TT_COUNT(s->clients); i++) {
        s->clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(s->clients[i], (struct sockaddr *)&at, sizeof at);
    }
}

static void silent_close(struct silent *s)
{
    for (size_t i = 0; i < TT_COUNT(s->clients); i++)
        (void)close(s->clients[i]);
    (void)close(s->fd);
}

static void test_order(void **state)
{
    (void)state;
    struct list l = {0};
    const struct addrinfo *order[8];
    add_v6(&l);
    add_v6(&l);
    add_v6(&l);
    add_v4(&l, "192.0.2.1:1");
    add_v4(&l, "192.0.2.2:1");
    assert_int_equal(reach_order(order, 8, l.info), 5);
    static const int want[] = {0, 3, 1, 4, 2};
    for (size_t i = 0; i < 5; i++)
        assert_ptr_equal(order[i], &l.info[want[i]]);
    assert_int_equal(reach_order(order, 2, l.info), 2);
    assert_ptr_equal(order[1], &l.info[3]);
    assert_int_equal(reach_order(order, 8, &l.info[3]), 2); /* one family */
    assert_int_equal(reach_order(order, 8, NULL), 0);
}

/* ---- connecting ---- */

static void assert_connected(const struct outcome *o, const struct listeners *l)
{
    if (o->fd < 0)
        fail_msg("%s", o->error.text);
    assert_true((fcntl(o->fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(o->fd, F_GETFD) & FD_CLOEXEC) != 0);
    int peer = -1;
    for (int i = 0; i < 1000 && peer < 0; i++) /* the listener does not block */
        peer = accept(l->fd[0], NULL, NULL);
    assert_true(peer >= 0);
    assert_int_equal(write(o->fd, "x", 1), 1);
    char c = 0;
    assert_int_equal(read(peer, &c, 1), 1);
    (void)close(peer);
}

static void test_connects(void **state)
{
    (void)state;
    static const bool within[] = {true, false};
    for (size_t i = 0; i < 2; i++) {
        struct listeners l = {0};
        struct outcome o = {.free_within = within[i]};
        int on = 0;
        socklen_t len = sizeof on;
        assert_int_equal(listen_open(&l, "127.0.0.1:0", NULL), TT_OK);
        reach(&o, l.name[0], NULL, 0);
        assert_connected(&o, &l);
        assert_int_equal(getsockopt(o.fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
        assert_int_not_equal(on, 0);
        assert_int_equal(getsockopt(o.fd, SOL_SOCKET, SO_KEEPALIVE, &on, &len), 0);
        assert_int_not_equal(on, 0);
        (void)close(o.fd);
        listen_close(&l);
    }
}

static void test_name(void **state)
{
    (void)state;
    struct listeners l = {0};
    struct outcome o = {0};
    char target[64];
    assert_int_equal(listen_open(&l, "127.0.0.1:0", NULL), TT_OK);
    (void)snprintf(target, sizeof target, "localhost%s", strrchr(l.name[0], ':'));
    reach(&o, target, NULL, 0);
    assert_connected(&o, &l);
    (void)close(o.fd);
    listen_close(&l);
}

static void test_path(void **state)
{
    (void)state;
    char dir[] = "/tmp/tpmtls-reach-XXXXXX", target[64];
    struct listeners l = {0};
    assert_non_null(mkdtemp(dir));
    (void)snprintf(target, sizeof target, "unix:%s/s", dir);
    struct outcome none = {0};
    reach(&none, target, NULL, 0);
    assert_int_equal(none.fd, -1);
    assert_says(&none.error, TT_ERR_IO, target, "nothing listens");
    assert_int_equal(listen_open(&l, target, NULL), TT_OK);
    struct outcome o = {0};
    reach(&o, target, NULL, 0);
    assert_connected(&o, &l);
    (void)close(o.fd);
    listen_close(&l);
    assert_int_equal(rmdir(dir), 0);
}

/* The queue of a path is full for a while: no error, the connection waits as TCP's would. */
static void test_path_with_full_queue(void **state)
{
    (void)state;
    char dir[] = "/tmp/tpmtls-reach-XXXXXX", target[64];
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    assert_non_null(mkdtemp(dir));
    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s/s", dir);
    (void)snprintf(target, sizeof target, "unix:%s", at.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), first = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(connect(first, (struct sockaddr *)&at, sizeof at), 0);
    struct outcome late = {0};
    reach(&late, target, NULL, 100);
    assert_says(&late.error, TT_ERR_DEADLINE, target, "");
    struct outcome o = {.fd = -1};
    const struct reach_options opt = {.base = base, .target = target, .done = on_done, .arg = &o};
    assert_int_equal(reach_start(&o.reach, &opt, NULL), TT_OK);
    for (int i = 0; i < 3; i++)
        (void)event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(o.told, 0);
    int taken = accept(fd, NULL, NULL);
    assert_true(taken >= 0);
    run_until_told(&o);
    assert_true(o.fd >= 0);
    reach_free(o.reach);
    (void)close(o.fd);
    (void)close(taken);
    (void)close(first);
    (void)close(fd);
    (void)unlink(at.sun_path);
    assert_int_equal(rmdir(dir), 0);
}

static void test_refused_then_good(void **state)
{
    (void)state;
    struct listeners l = {0};
    struct outcome o = {0};
    struct list list = {0};
    char closed[LISTEN_NAME_MAX];
    closed_port(closed);
    assert_int_equal(listen_open(&l, "127.0.0.1:0", NULL), TT_OK);
    add_v4(&list, closed);
    add_v4(&list, closed);
    add_v4(&list, l.name[0]);
    reach(&o, "example.org:443", list.info, 0);
    assert_connected(&o, &l);
    (void)close(o.fd);
    listen_close(&l);
}

/* The first address says nothing: the second one is tried while the first goes on. */
static void test_silent_then_good(void **state)
{
    (void)state;
    struct silent s;
    struct listeners l = {0};
    struct outcome o = {0};
    struct list list = {0};
    silent_open(&s);
    assert_int_equal(listen_open(&l, "127.0.0.1:0", NULL), TT_OK);
    add_v4(&list, s.name);
    add_v4(&list, l.name[0]);
    reach(&o, "example.org:443", list.info, 0);
    assert_connected(&o, &l);
    (void)close(o.fd);
    listen_close(&l);
    /* The control: alone it answers nobody. */
    struct outcome alone = {0};
    reach(&alone, s.name, NULL, 300);
    assert_int_equal(alone.fd, -1);
    assert_says(&alone.error, TT_ERR_DEADLINE, "no answer", "firewall");
    silent_close(&s);
}

static void test_refusals(void **state)
{
    (void)state;
    char closed[LISTEN_NAME_MAX];
    struct outcome refused = {.free_within = true}, unknown = {0};
    closed_port(closed);
    reach(&refused, closed, NULL, 0);
    assert_int_equal(refused.fd, -1);
    assert_says(&refused.error, TT_ERR_IO, closed, "nothing listens");
    reach(&unknown, "no-such-host.invalid:443", NULL, 0);
    assert_says(&unknown.error, TT_ERR_NOT_FOUND, "no-such-host.invalid", "spelling");
    static const struct {
        const char *target, *why;
    } bad[] = {{"example.org", "port is missing"}, {":443", "host is missing"}, {"unix:", "needs a path"}};
    for (size_t i = 0; i < TT_COUNT(bad); i++) {
        struct tt_error err = {0};
        struct reach *r = NULL;
        const struct reach_options opt = {.base = base, .target = bad[i].target, .done = on_done};
        assert_int_equal(reach_start(&r, &opt, &err), TT_ERR_USAGE);
        assert_says(&err, TT_ERR_USAGE, bad[i].why, "");
        assert_int_equal(reach_check(bad[i].target, NULL), TT_ERR_USAGE);
        assert_null(r);
    }
    assert_int_equal(reach_check("unix:/run/x", NULL), TT_OK);
    assert_int_equal(reach_check("[::1]:1", NULL), TT_OK);
}

/* Freed while it tries, or while the name is looked up: nothing is told. */
static void test_freed_early(void **state)
{
    (void)state;
    struct silent s;
    silent_open(&s);
    const char *const targets[] = {s.name, "localhost:1", "no-such-host.invalid:443"};
    for (size_t i = 0; i < TT_COUNT(targets); i++) {
        struct outcome o = {0};
        const struct reach_options opt = {.base = base, .target = targets[i], .done = on_done, .arg = &o};
        assert_int_equal(reach_start(&o.reach, &opt, NULL), TT_OK);
        reach_free(o.reach);
        for (int k = 0; k < 5; k++)
            (void)event_base_loop(base, EVLOOP_NONBLOCK);
        assert_int_equal(o.told, 0);
    }
    reach_free(NULL);
    silent_close(&s);
}

/* Many ask one resolver, some for the same name, some go away meanwhile. */
static void test_many_lookups(void **state)
{
    (void)state;
    enum {
        MANY = 60
    };
    static struct outcome o[MANY];
    struct resolver *resolver = NULL;
    char closed[LISTEN_NAME_MAX], target[64];
    closed_port(closed);
    assert_int_equal(resolver_new(&resolver, NULL), TT_OK);
    for (size_t i = 0; i < MANY; i++) {
        if (i % 3 == 0)
            (void)snprintf(target, sizeof target, "localhost%s", strrchr(closed, ':'));
        else
            (void)snprintf(target, sizeof target, "no-such-host-%zu.invalid:1", i % 20);
        const struct reach_options opt = {
            .base = base, .target = target, .resolver = resolver, .done = on_done, .arg = &o[i]};
        assert_int_equal(reach_start(&o[i].reach, &opt, NULL), TT_OK);
    }
    for (size_t i = 0; i < MANY; i += 7)
        reach_free(TT_TAKE(o[i].reach));
    for (size_t i = 0; i < MANY; i++) {
        if (o[i].reach == NULL)
            continue;
        run_until_told(&o[i]);
        assert_int_equal(o[i].error.rc, i % 3 == 0 ? TT_ERR_IO : TT_ERR_NOT_FOUND);
        reach_free(o[i].reach);
    }
    for (size_t i = 0; i < MANY; i += 7)
        assert_int_equal(o[i].told, 0);
    resolver_free(resolver);
}

#ifdef TT_FAULT_INJECTION
static void test_without_memory(void **state)
{
    (void)state;
    struct listeners l = {0};
    assert_int_equal(listen_open(&l, "127.0.0.1:0", NULL), TT_OK);
    static const char *const targets[] = {"127.0.0.1:1", "localhost:1"};
    for (size_t i = 0; i < TT_COUNT(targets); i++)
        for (size_t nth = 1; nth < 6; nth++) {
            struct outcome o = {0};
            struct tt_error err = {0};
            const struct reach_options opt = {.base = base, .target = targets[i], .done = on_done, .arg = &o};
            mem_test_fail_nth(nth);
            tt_rc rc = reach_start(&o.reach, &opt, &err);
            mem_test_fail_nth(0);
            assert_true(rc == TT_OK || rc == TT_ERR_MEMORY);
            if (rc == TT_OK)
                run_until_told(&o);
            reach_free(o.reach);
        }
    listen_close(&l);
}
#endif

static int make_base(void **state)
{
    (void)state;
    return loop_new(&base, false, NULL) == TT_OK ? 0 : -1;
}

static int free_base(void **state)
{
    (void)state;
    event_base_free(base);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_connects),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_path_with_full_queue),
        cmocka_unit_test(test_refused_then_good),
        cmocka_unit_test(test_silent_then_good),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_freed_early),
        cmocka_unit_test(test_many_lookups),
#ifdef TT_FAULT_INJECTION
        cmocka_unit_test(test_without_memory),
#endif
    };
    return cmocka_run_group_tests_name("reach", tests, make_base, free_base);
}
