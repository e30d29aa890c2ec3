/* tests/net/test_stream.c: streams over socket pairs: any split, much data, half-close, back-pressure, and
 * every way to end. Runs under TSan as well: the signatures come from the worker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/rig.h"

#define MIB ((size_t)1 << 20)

static struct rig rig;

static int set_up(void **state)
{
    (void)state;
    rig_set_up(&rig, true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_tear_down(&rig);
    return 0;
}

static void assert_clean(const struct end *e)
{
    if (e->error.rc != TT_OK)
        fail_msg("%s: %s (%s)", e->name, e->error.text, tt_rc_name(e->error.rc));
    assert_int_equal(e->connected, 1);
    assert_int_equal(e->ended, 1);
    assert_int_equal(e->closed, 1);
}

static void exchange(size_t n)
{
    rig.server.echo = true;
    rig.client.to_send = n;
    rig.client.close_when_sent = true;
    rig_connect(&rig);
    rig_run(&rig);
    assert_clean(&rig.client);
    assert_clean(&rig.server);
    assert_int_equal(rig.server.received, n);
    assert_int_equal(rig.client.received, n);
    assert_int_equal(rig.client.checksum, pattern_checksum(n));
    assert_int_equal(rig.server_key->ended, 1);
    assert_int_equal(rig.client_key->ended, 1);
}

static void test_echo(void **state)
{
    (void)state;
    exchange(1000);
}

static void test_nothing_sent(void **state)
{
    (void)state;
    exchange(0);
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    rig.wire.split = 1;
    exchange(300);
}

static void test_odd_splits(void **state)
{
    (void)state;
    rig.wire.split = 1021;
    exchange(100000);
}

static void test_much_data_with_a_slow_reader(void **state)
{
    (void)state;
    rig.client.step = 700;
    exchange(2 * MIB);
}

/* Both send at once, and neither waits for the other. */
static void test_both_ways_at_once(void **state)
{
    (void)state;
    rig.client.to_send = 4 * MIB;
    rig.server.to_send = 3 * MIB;
    rig.client.close_when_sent = rig.server.close_when_sent = true;
    rig_connect(&rig);
    rig_run(&rig);
    assert_clean(&rig.client);
    assert_clean(&rig.server);
    assert_int_equal(rig.server.received, 4 * MIB);
    assert_int_equal(rig.server.checksum, pattern_checksum(4 * MIB));
    assert_int_equal(rig.client.received, 3 * MIB);
    assert_int_equal(rig.client.checksum, pattern_checksum(3 * MIB));
}

/* The client ends; the server goes on sending, and that arrives. */
static void test_half_close(void **state)
{
    (void)state;
    rig.client.to_send = 10;
    rig.client.close_when_sent = true;
    rig_connect(&rig);
    rig_run_until(&rig, &rig.server.ended, 1);
    assert_int_equal(rig.client.closed, 0);
    static uint8_t later[50000];
    assert_int_equal(stream_write(rig.server.stream, later, sizeof later), sizeof later);
    stream_close(rig.server.stream);
    rig_run(&rig);
    assert_clean(&rig.client);
    assert_clean(&rig.server);
    assert_int_equal(rig.client.received, sizeof later);
}

/* A reader that does not read stops the writer, at both ends, with bounded memory; then everything arrives.
 */
static void test_back_pressure(void **state)
{
    (void)state;
    rig.server.deaf = true;
    rig.client.to_send = 8 * MIB;
    rig.client.close_when_sent = true;
    rig_connect(&rig);
    rig_run_until(&rig, &rig.client.connected, 1);
    for (int i = 0; i < 20; i++)
        event_base_loop(rig.base, EVLOOP_NONBLOCK);
    size_t stuck_at = rig.client.sent;
    assert_true(stuck_at > 0 && stuck_at < 2 * MIB);
    for (int i = 0; i < 20; i++)
        event_base_loop(rig.base, EVLOOP_NONBLOCK);
    assert_int_equal(rig.client.sent, stuck_at);
    rig.server.deaf = false;
    rig.server.close_when_sent = true;
    stream_close(rig.server.stream);
    uint8_t first[100];
    struct tt_bytes waiting = stream_plaintext(rig.server.stream);
    assert_true(waiting.len > sizeof first);
    memcpy(first, waiting.data, sizeof first);
    stream_plaintext_done(rig.server.stream, sizeof first); /* wakes the stream; the rest comes by callback */
    rig_run(&rig);
    assert_clean(&rig.client);
    assert_int_equal(rig.server.received + sizeof first, 8 * MIB);
}

static void test_finish_cuts_the_rest_short(void **state)
{
    (void)state;
    rig.client.to_send = 8 * MIB;
    rig.server.deaf = true;
    rig_connect(&rig);
    rig_run_until(&rig, &rig.server.connected, 1);
    stream_finish(rig.server.stream);
    rig_run_until(&rig, &rig.client.ended, 1);
    stream_finish(rig.client.stream);
    rig_run(&rig);
    assert_int_equal(rig.server.error.rc, TT_OK);
    assert_int_equal(rig.client.error.rc, TT_OK);
}

static void test_hang_up_without_close_notify(void **state)
{
    (void)state;
    rig_connect(&rig);
    rig_run_until(&rig, &rig.server.connected, 1);
    rig_run_until(&rig, &rig.client.connected, 1);
    stream_free(rig.server.stream);
    rig.server.stream = NULL;
    rig_run(&rig);
    assert_int_equal(rig.client.error.rc, TT_ERR_CLOSED);
    assert_string_equal(rig.client.error.text,
                        "the-server:443 hung up without close_notify: data may be missing");
}

static void test_cut_in_the_handshake(void **state)
{
    (void)state;
    rig.wire.cut_after = 200;
    rig_connect(&rig);
    rig_run(&rig);
    assert_int_equal(rig.client.error.rc, TT_ERR_CLOSED);
    assert_string_equal(rig.client.error.text,
                        "the-server:443 closed the connection in the middle of the handshake");
    assert_int_equal(rig.server.error.rc, TT_ERR_CLOSED);
    assert_int_equal(rig.client.connected, 0);
}

/* A raw peer: what it says, then what the client reports. */
static void talk_to_raw_peer(const char *says, bool hangs_up)
{
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    rig_client_on(&rig, fd[0]);
    assert_int_equal(send(fd[1], says, strlen(says), 0), (ssize_t)strlen(says));
    if (hangs_up)
        shutdown(fd[1], SHUT_WR);
    rig_run(&rig);
    close(fd[1]);
}

static void test_http_peer(void **state)
{
    (void)state;
    talk_to_raw_peer("HTTP/1.1 400 Bad Request\r\n\r\n", true);
    assert_int_equal(rig.client.error.rc, TT_ERR_PROTOCOL);
    assert_string_equal(rig.client.error.text, "the-server:443 does not speak TLS: it answers HTTP");
}

static void test_other_text_peer(void **state)
{
    (void)state;
    talk_to_raw_peer("SSH-2.0-OpenSSH_9.2\r\n", false);
    assert_string_equal(rig.client.error.text,
                        "the-server:443 does not speak TLS: it says \"SSH-2.0-OpenSSH_9.2\"");
}

static void test_silent_peer(void **state)
{
    (void)state;
    talk_to_raw_peer("", true);
    assert_int_equal(rig.client.error.rc, TT_ERR_CLOSED);
    assert_string_equal(rig.client.error.text,
                        "the-server:443 closed the connection in the middle of the handshake");
}

static void test_handshake_timeout(void **state)
{
    (void)state;
    rig.handshake_timeout_s = 1;
    talk_to_raw_peer("", false);
    assert_int_equal(rig.client.error.rc, TT_ERR_DEADLINE);
    assert_string_equal(rig.client.error.text,
                        "the-server:443 did not complete the handshake within 1 second");
}

static void test_signature_fails(void **state)
{
    (void)state;
    (void)error_set(&rig.server_key->failure, TT_ERR_TPM, "the TPM is locked out");
    rig_connect(&rig);
    rig_run(&rig);
    assert_int_equal(rig.server.error.rc, TT_ERR_TPM);
    assert_non_null(strstr(rig.server.error.text, "the TPM is locked out"));
    assert_int_equal(rig.client.error.rc, TT_ERR_PEER_ALERT);
    assert_non_null(strstr(rig.client.error.text, "internal_error"));
}

/* Freed while the worker signs for it: nothing is called back, nothing is touched. */
static void test_free_while_signing(void **state)
{
    (void)state;
    gated_key_shut(rig.server_key);
    rig_connect(&rig);
    for (unsigned started = 0; started < 1;) {
        event_base_loop(rig.base, EVLOOP_NONBLOCK);
        started = gated_key_started(rig.server_key);
    }
    stream_free(rig.server.stream);
    rig.server.stream = NULL;
    gated_key_open(rig.server_key);
    rig_run(&rig);
    gated_key_wait_ended(rig.server_key, 1);
    event_base_loop(rig.base, EVLOOP_NONBLOCK);
    assert_int_equal(rig.server.closed, 0);
    assert_int_equal(rig.client.error.rc, TT_ERR_CLOSED);
}

static void test_stats(void **state)
{
    (void)state;
    rig_connect(&rig);
    rig_run_until(&rig, &rig.server.connected, 1);
    struct stream_stats stats = stream_stats(rig.server.stream);
    assert_true(stats.connected);
    assert_true(stats.handshake_ns > 0);
    assert_int_equal(stats.tpm_commands, 0); /* a software signer */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_echo, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_byte_by_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_odd_splits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_much_data_with_a_slow_reader, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_both_ways_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_half_close, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_back_pressure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_finish_cuts_the_rest_short, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hang_up_without_close_notify, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cut_in_the_handshake, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_http_peer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_text_peer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_silent_peer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_handshake_timeout, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_signature_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_free_while_signing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stats, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
