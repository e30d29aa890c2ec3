/* tests/tls/test_early_replay.c: a first flight with 0-RTT data is taken once (RFC 9846 section 8): at the
 * edges of its window, when the wall clock is set back, and by the processes that fork made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pair.h"

static struct {
    struct node *root, *leaf;
    struct tt_tickets *tickets;
    struct tt_config *client, *server;
    struct tt_conn *first; /* where the sessions come from */
} w;

static int set_up(void **state)
{
    (void)state;
    w.root = node_ca("root", NULL);
    w.leaf = node_server(w.root, "host.example");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    node_free(w.root);
    node_free(w.leaf);
    return 0;
}

/* Two sessions, each for one flight. */
static void begin(struct tt_session *ret[2])
{
    w.tickets = pair_tickets();
    w.server = pair_config_new(&(struct pair_config){
        .role = TT_SERVER, .tickets = w.tickets, .chain = {w.leaf}, .max_early_data = 100});
    w.client = pair_config_new(&(struct pair_config){.role = TT_CLIENT, .anchors = {w.root}});
    struct pair p = pair_start(&(struct pair_options){w.client, w.server});
    pair_run(&p);
    for (size_t i = 0; i < 2; i++) {
        ret[i] = tt_conn_take_session(p.client);
        assert_non_null(ret[i]);
    }
    pair_free(&p);
}

static void end(struct tt_session *sessions[2])
{
    for (size_t i = 0; i < 2; i++)
        tt_session_free(sessions[i]);
    tt_config_free(w.server);
    tt_config_free(w.client);
    tt_tickets_free(w.tickets);
}

/* What a client sends first, by its clock. */
static struct tt_bytes flight_of(struct tt_session *s, int64_t later_ms)
{
    struct pair p =
        pair_start(&(struct pair_options){w.client, w.server, {s}, .later_ms = later_ms, .early = true});
    struct tt_bytes out = tt_conn_output(p.client);
    uint8_t *copy = malloc(out.len);
    assert_int_equal(p.early_len, 10);
    memcpy(copy, out.data, out.len);
    pair_free(&p);
    return (struct tt_bytes){copy, out.len};
}

/* Does a server whose clocks show this take the data of the flight? */
struct clocks {
    int64_t wall_ms, monotonic_ms;
};
static bool is_taken(struct tt_bytes flight, struct clocks at)
{
    struct tt_conn *c = NULL;
    const struct tt_conn_options o = {.now_ms = NOW_MS + at.wall_ms, .monotonic_ms = at.monotonic_ms};
    size_t done = 0, n = 1;
    assert_int_equal(tt_conn_new(&c, w.server, &o, NULL), TT_OK);
    while (done < flight.len && n > 0 && tt_conn_feed(c, flight.data + done, flight.len - done, &n) == TT_OK)
        done += n;
    struct tt_bytes data = tt_conn_early_plaintext(c);
    bool taken = data.len == 10 && memcmp(data.data, "early data", 10) == 0;
    assert_int_equal(taken, tt_conn_early_status(c) == TT_EARLY_ACCEPTED);
    tt_conn_free(c);
    return taken;
}

static void flight_free(struct tt_bytes flight)
{
    free((void *)(uintptr_t)flight.data);
}

/* A client's clock that is 10 s ahead, and one that is 10 s behind: the window ends where the age is too far
 * off, and so long the register remembers. */
static void edges_of_the_window(void **state)
{
    (void)state;
    static const int64_t server_ms = 300000;
    for (int ahead = 0; ahead < 2; ahead++) {
        struct tt_session *s[2];
        begin(s);
        /* session_age tells one less than it is */
        int64_t client_ms = server_ms + 1 + (ahead ? 10000 : -10000), last = ahead ? 20000 : 0;
        struct tt_bytes f = flight_of(s[0], client_ms),
                        too_far = flight_of(s[1], client_ms + (ahead ? 1 : -1));
        assert_false(is_taken(too_far, (struct clocks){server_ms}));
        assert_true(is_taken(f, (struct clocks){server_ms}));
        for (int64_t later = last; later <= last + 2; later++)
            assert_false(is_taken(f, (struct clocks){server_ms + later}));
        flight_free(f);
        flight_free(too_far);
        end(s);
    }
}

/* The clock is set back by 25 s, 25 s later, when the first flight's place in the register is another's. */
static void a_clock_that_is_set_back(void **state)
{
    (void)state;
    struct tt_session *s[2];
    begin(s);
    struct tt_bytes f = flight_of(s[0], 100000), g = flight_of(s[1], 125000);
    assert_true(is_taken(f, (struct clocks){100000}));
    assert_true(is_taken(g, (struct clocks){125000}));
    assert_false(is_taken(f, (struct clocks){100500}));
    assert_false(is_taken(g, (struct clocks){125000}));
    flight_free(f);
    flight_free(g);
    end(s);
}

/* With a clock that nobody sets, the time of the wall clock is no matter for what is new; what was taken is
 * not taken again. */
static void by_a_monotonic_clock(void **state)
{
    (void)state;
    struct tt_session *s[2];
    begin(s); /* without one: those tickets are of another time */
    for (size_t i = 0; i < 2; i++)
        tt_session_free(s[i]);
    struct pair p = pair_start(&(struct pair_options){w.client, w.server});
    tt_conn_free(p.server);
    tt_tickets_free(w.tickets);
    tt_config_free(w.server);
    w.tickets = pair_tickets();
    w.server = pair_config_new(&(struct pair_config){
        .role = TT_SERVER, .tickets = w.tickets, .chain = {w.leaf}, .max_early_data = 100});
    const struct tt_conn_options o = {.now_ms = NOW_MS, .monotonic_ms = 5000};
    assert_int_equal(tt_conn_new(&p.server, w.server, &o, NULL), TT_OK);
    pair_run(&p);
    s[0] = tt_conn_take_session(p.client), s[1] = tt_conn_take_session(p.client);
    pair_free(&p);
    struct tt_bytes f = flight_of(s[0], 100000), g = flight_of(s[1], 110000);
    assert_true(is_taken(f, (struct clocks){100000, 105000}));
    /* 35 s later, set back by 30 s: the wall clock says 105 s */
    assert_false(is_taken(f, (struct clocks){105000, 140000}));
    /* a connection that was made before and is fed now tells an old time: it counts for nothing */
    assert_false(is_taken(f, (struct clocks){105000, 106000}));
    assert_false(is_taken(g, (struct clocks){110000, 140000})); /* too old by the one */
    assert_false(is_taken(g, (struct clocks){210000, 115000})); /* or by the other */
    flight_free(f);
    flight_free(g);
    end(s);
}

/* The child has a copy of the register, so it takes nothing of what its parent issued; what it issues itself
 * it takes once. The parent goes on. */
static void after_fork(void **state)
{
    (void)state;
    struct tt_session *s[2];
    begin(s);
    struct tt_bytes f = flight_of(s[0], 1000);
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (child == 0) {
            bool of_parent = is_taken(f, (struct clocks){1000 + i});
            struct pair p = pair_start(&(struct pair_options){w.client, w.server, .later_ms = 1000});
            pair_run(&p);
            struct tt_session *own = tt_conn_take_session(p.client);
            struct tt_bytes g = flight_of(own, 2000);
            bool once = is_taken(g, (struct clocks){2000}), twice = is_taken(g, (struct clocks){2000});
            _exit(of_parent ? 1 : !once ? 2 : twice ? 3 : 0);
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    assert_true(is_taken(f, (struct clocks){1010}));
    assert_false(is_taken(f, (struct clocks){1010}));
    flight_free(f);
    end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges_of_the_window),
        cmocka_unit_test(a_clock_that_is_set_back),
        cmocka_unit_test(by_a_monotonic_clock),
        cmocka_unit_test(after_fork),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
