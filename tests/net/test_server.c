/* tests/net/test_server.c: listening, dialing, limits; and the promise that a slow signature of one
 * connection delays no other. Over TCP on 127.0.0.1. Runs under TSan as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/dial.h"
#include "net/rig.h"
#include "net/server.h"

#define CLIENTS 3

static struct rig rig; /* its keys, configurations, loop and queue; not its streams */
static struct server *server;
static unsigned finished, failures;

/* struct peer: a client that asks, waits for the echo, asks again. */
struct peer {
    struct dial *dial;
    struct stream *stream;
    unsigned connected, closed, failed, echoes;
    struct tt_error error;
};
static struct peer clients[CLIENTS];

/* ---- the server's side: echo ---- */

static void echo(void *arg, struct stream *s)
{
    uint8_t copy[1024];
    (void)arg;
    struct tt_bytes got = stream_plaintext(s);
    size_t n = got.len < sizeof copy ? got.len : sizeof copy;
    memcpy(copy, got.data, n);
    stream_plaintext_done(s, stream_write(s, copy, n));
}

static void server_ended(void *arg, struct stream *s)
{
    (void)arg;
    stream_close(s);
}

static void server_closed(void *arg, struct stream *s, const struct tt_error *error)
{
    (void)arg;
    failures += error != NULL;
    stream_free(s);
    server_release(server);
}

static void *on_accepted(void *arg, struct stream_options *opt, const char *peer)
{
    static const struct stream_handlers handlers = {
        .plaintext = echo, .ended = server_ended, .closed = server_closed};
    assert_int_equal(strncmp(peer, "127.0.0.1:", 10), 0);
    opt->handlers = handlers;
    return arg;
}

static void on_server_opened(void *arg, void *session, struct stream *s)
{
    (void)arg;
    (void)session;
    assert_non_null(s);
}

static void on_accept_failed(void *arg, const struct tt_error *error)
{
    (void)arg;
    fail_msg("%s", error->text);
}

static void on_finished(void *arg)
{
    (void)arg;
    finished++;
}

static void serve(size_t max_connections, size_t accept_limit)
{
    struct tt_error err = {0};
    struct address at;
    const struct server_options opt = {
        .stream = {.base = rig.base,
                   .config = rig.server_config,
                   .role = TT_SERVER,
                   .signer = rig.queue,
                   .now = TEST_NOW},
        .max_connections = max_connections,
        .accept_limit = accept_limit,
        .accepted = on_accepted,
        .opened = on_server_opened,
        .failed = on_accept_failed,
        .finished = on_finished,
        .arg = &rig,
    };
    assert_int_equal(address_parse(&at, "127.0.0.1:0", &err), TT_OK);
    assert_int_equal(server_listen(&server, &at, &opt, &err), TT_OK);
}

/* ---- the clients ---- */

static void client_connected(void *arg, struct stream *s)
{
    (void)s;
    ((struct peer *)arg)->connected++;
}

static void client_plaintext(void *arg, struct stream *s)
{
    ((struct peer *)arg)->echoes++;
    stream_plaintext_done(s, stream_plaintext(s).len);
}

static void client_closed(void *arg, struct stream *s, const struct tt_error *error)
{
    struct peer *p = arg;
    p->closed++;
    if (error != NULL)
        p->error = *error;
    p->stream = NULL;
    stream_free(s);
}

static void client_opened(void *arg, struct stream *s)
{
    ((struct peer *)arg)->stream = s;
}

static void client_failed(void *arg, const struct tt_error *error)
{
    struct peer *p = arg;
    p->failed++;
    p->error = *error;
}

static void dial_to(struct peer *p, const char *text)
{
    static const struct stream_handlers handlers = {
        .connected = client_connected, .plaintext = client_plaintext, .closed = client_closed};
    struct tt_error err = {0};
    struct address to;
    const struct dial_options opt = {
        .stream = {.base = rig.base,
                   .config = rig.client_config,
                   .role = TT_CLIENT,
                   .server_name = "localhost",
                   .now = TEST_NOW,
                   .handlers = handlers,
                   .arg = p},
        .opened = client_opened,
        .failed = client_failed,
        .arg = p,
    };
    assert_int_equal(address_parse(&to, text, &err), TT_OK);
    assert_int_equal(dial_start(&p->dial, &to, &opt, &err), TT_OK);
}

static void client_start(struct peer *p)
{
    dial_to(p, server_address(server));
}

static void ask(struct peer *p)
{
    unsigned before = p->echoes;
    assert_int_equal(stream_write(p->stream, "hello", 5), 5);
    rig_run_until(&rig, &p->echoes, before + 1);
}

static void end(struct peer *p)
{
    stream_close(p->stream);
    rig_run_until(&rig, &p->closed, 1);
    assert_int_equal(p->error.rc, TT_OK);
}

static int set_up(void **state)
{
    (void)state;
    rig_set_up(&rig, false);
    memset(clients, 0, sizeof clients);
    finished = failures = 0;
    server = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    gated_key_open(rig.server_key);
    for (int i = 0; i < CLIENTS; i++) {
        stream_free(clients[i].stream);
        dial_free(clients[i].dial);
    }
    if (server != NULL) {
        server_stop(server);
        rig_run_until(&rig, &finished, 1);
        server_free(server);
    }
    rig_tear_down(&rig);
    return 0;
}

/* ---- tests ---- */

static void test_several_at_once(void **state)
{
    (void)state;
    serve(0, 0);
    for (int i = 0; i < CLIENTS; i++)
        client_start(&clients[i]);
    for (int i = 0; i < CLIENTS; i++)
        rig_run_until(&rig, &clients[i].connected, 1);
    assert_int_equal(server_connections(server), CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        ask(&clients[i]);
    for (int i = 0; i < CLIENTS; i++)
        end(&clients[i]);
    assert_int_equal(failures, 0);
}

/* The TPM is shut while the second client waits for its signature; the first is served all the while. Not the
 * clock decides but the order: the echoes arrive before the gate opens, the handshake ends after. */
static void test_a_slow_signature_delays_nobody_else(void **state)
{
    (void)state;
    serve(0, 0);
    client_start(&clients[0]);
    rig_run_until(&rig, &clients[0].connected, 1);
    gated_key_shut(rig.server_key);
    client_start(&clients[1]);
    for (unsigned started = 0; started < 2; started = gated_key_started(rig.server_key))
        event_base_loop(rig.base, EVLOOP_NONBLOCK);
    for (int i = 0; i < 20; i++)
        ask(&clients[0]);
    client_start(&clients[2]); /* its ClientHello is answered as far as can be: it waits behind the other */
    for (int i = 0; i < 20; i++)
        ask(&clients[0]);
    assert_int_equal(clients[1].connected, 0);
    assert_int_equal(clients[2].connected, 0);
    gated_key_open(rig.server_key);
    rig_run_until(&rig, &clients[1].connected, 1);
    rig_run_until(&rig, &clients[2].connected, 1);
    for (int i = 0; i < CLIENTS; i++) {
        ask(&clients[i]);
        end(&clients[i]);
    }
}

/* Clients that give up while their signature is in the queue take nobody with them. */
static void test_clients_leave_while_waiting(void **state)
{
    (void)state;
    serve(0, 0);
    gated_key_shut(rig.server_key);
    client_start(&clients[0]);
    client_start(&clients[1]);
    for (unsigned started = 0; started < 1; started = gated_key_started(rig.server_key))
        event_base_loop(rig.base, EVLOOP_NONBLOCK);
    for (int i = 0; i < 2; i++) {
        stream_free(clients[i].stream);
        clients[i].stream = NULL;
    }
    rig_run_until(&rig, &failures, 2); /* the server noticed both while the key was busy */
    gated_key_open(rig.server_key);
    client_start(&clients[2]);
    rig_run_until(&rig, &clients[2].connected, 1);
    ask(&clients[2]);
    end(&clients[2]);
}

static void test_connection_cap(void **state)
{
    (void)state;
    serve(1, 0);
    client_start(&clients[0]);
    rig_run_until(&rig, &clients[0].connected, 1);
    client_start(&clients[1]);
    ask(&clients[0]);
    assert_int_equal(server_connections(server), 1);
    assert_int_equal(clients[1].connected, 0);
    end(&clients[0]);
    rig_run_until(&rig, &clients[1].connected, 1); /* it waited in the kernel */
    end(&clients[1]);
}

static void test_accept_limit(void **state)
{
    (void)state;
    serve(0, 1);
    client_start(&clients[0]);
    rig_run_until(&rig, &clients[0].connected, 1);
    assert_int_equal(finished, 0);
    dial_to(&clients[1], server_address(server));
    rig_run_until(&rig, &clients[1].failed, 1);
    assert_non_null(strstr(clients[1].error.text, "connection refused"));
    ask(&clients[0]);
    end(&clients[0]);
    rig_run_until(&rig, &finished, 1);
}

static void test_refused(void **state)
{
    (void)state;
    char text[ADDRESS_TEXT_MAX], expected[200];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* bound, so that nobody else gets the port; not listening */
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    address_format(text, (struct sockaddr *)&at);
    dial_to(&clients[0], text);
    rig_run_until(&rig, &clients[0].failed, 1);
    snprintf(expected, sizeof expected, "cannot connect to %s: connection refused", text);
    assert_string_equal(clients[0].error.text, expected);
    close(fd);
}

static void test_unknown_host(void **state)
{
    (void)state;
    dial_to(&clients[0], "no-such-host.invalid:443");
    rig_run_until(&rig, &clients[0].failed, 1);
    assert_int_equal(clients[0].error.rc, TT_ERR_NOT_FOUND);
    assert_non_null(strstr(clients[0].error.text, "cannot find the host 'no-such-host.invalid'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_several_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_slow_signature_delays_nobody_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clients_leave_while_waiting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_connection_cap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_accept_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown_host, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
