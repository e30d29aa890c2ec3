/* tests/net/test_attest_faults.c: both ends of an attested connection, again and again, with the nth
 * allocation failing, from the gates on: each end is told once, whether it is good or why not; never that the
 * device is to blame; nothing is leaked, and the next one passes. The TPM is tests/attest/world.c, in place
 * of tt_attester_*. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "attest/world.h"
#include "net/attest_gate.h"
#include "net/rig.h"

#define LABEL "EXPORTER-tpmtls-attestation" /* docs/attestation.md */
#define MOST  3000

static struct world *world;
static struct rig rig;

/* ---- what stands in for the TPM, and for the time of the certificates ---- */

tt_rc __wrap_tt_attester_open(struct tt_attester **ret, struct tt_tpm *tpm,
                              const struct tt_attester_params *params, struct tt_error *err);
void __wrap_tt_attester_free(struct tt_attester *a);
tt_rc __wrap_tt_attester_attest(struct tt_evidence *ret, struct tt_attester *a, struct tt_key *key,
                                const struct tt_attest_request *req, struct tt_error *err);
tt_rc __wrap_tt_attester_answer(struct tt_evidence *evidence, struct tt_attester *a,
                                struct tt_bytes challenge, struct tt_error *err);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __real_clock_gettime(clockid_t clock, struct timespec *ret);

tt_rc __wrap_tt_attester_open(struct tt_attester **ret, struct tt_tpm *tpm,
                              const struct tt_attester_params *params, struct tt_error *err)
{
    (void)tpm, (void)err;
    assert_int_equal(params->ek_certificates.len, 4);
    *ret = (struct tt_attester *)world;
    return TT_OK;
}

void __wrap_tt_attester_free(struct tt_attester *a)
{
    (void)a;
}

tt_rc __wrap_tt_attester_attest(struct tt_evidence *ret, struct tt_attester *a, struct tt_key *key,
                                const struct tt_attest_request *req, struct tt_error *err)
{
    (void)a, (void)key, (void)err;
    assert_int_equal(req->use, TT_ATTEST_TLS);
    assert_memory_equal(req->nonce.data, world->nonce, sizeof world->nonce);
    assert_string_equal(req->pcrs, "sha256:0,7");
    *ret = world->e;
    ret->token = ret->secret = (struct tt_bytes){NULL, 0};
    return TT_OK;
}

tt_rc __wrap_tt_attester_answer(struct tt_evidence *evidence, struct tt_attester *a,
                                struct tt_bytes challenge, struct tt_error *err)
{
    (void)a, (void)err;
    assert_true(challenge.len > 0);
    evidence->token = world->e.token;
    evidence->secret = world->e.secret;
    return TT_OK;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
    int rc = __real_clock_gettime(clock, ret);
    if (clock == CLOCK_REALTIME)
        ret->tv_sec = TEST_NOW;
    return rc;
}

/* ---- an end, as the proxy is one ---- */

struct side {
    enum tt_role role;
    struct stream *stream;
    struct attest_gate *gate;
    bool good;
    struct tt_error error;
};

static struct side sides[2] = {{.role = TT_CLIENT}, {.role = TT_SERVER}};
static unsigned connected, over;

static void is_over(struct side *s, const struct tt_error *error)
{
    s->good = error == NULL;
    if (error != NULL) {
        s->error = *error;
        assert_string_not_equal(error->text, "");
    }
    attest_gate_free(TT_TAKE(s->gate));
    over++;
    event_base_loopbreak(rig.base);
}

static void on_done(void *arg, const struct tt_error *error, const struct tt_attest_verdict *verdict)
{
    struct side *s = arg;
    if (error == NULL && s->role == TT_SERVER)
        assert_true(verdict->reason == TT_ATTEST_GOOD && verdict->proved);
    is_over(s, error);
    if (!s->good)
        stream_finish(s->stream);
}

static void on_connected(void *arg, struct stream *stream)
{
    (void)arg, (void)stream;
    connected++;
    event_base_loopbreak(rig.base);
}

static void on_plaintext(void *arg, struct stream *stream)
{
    struct side *s = arg;
    (void)stream;
    if (s->gate != NULL)
        attest_gate_plaintext(s->gate);
}

static void on_ended(void *arg, struct stream *stream)
{
    struct side *s = arg;
    if (s->gate != NULL)
        attest_gate_ended(s->gate);
    else
        stream_finish(stream);
}

static void on_closed(void *arg, struct stream *stream, const struct tt_error *error)
{
    struct side *s = arg;
    (void)error;
    if (s->gate != NULL)
        is_over(s, attest_gate_closed(s->gate, NULL));
    stream_free(stream);
    s->stream = NULL;
}

static void side_connect(struct side *s, int fd)
{
    static const struct stream_handlers handlers = {
        .connected = on_connected, .plaintext = on_plaintext, .ended = on_ended, .closed = on_closed};
    struct tt_error err = {0};
    const struct stream_options opt = {.base = rig.base,
                                       .config = s->role == TT_CLIENT ? rig.client_config : rig.server_config,
                                       .role = s->role,
                                       .server_name = s->role == TT_CLIENT ? "localhost" : NULL,
                                       .peer = "the other",
                                       .signer = rig.queue,
                                       .now = TEST_NOW,
                                       .handlers = handlers,
                                       .arg = s};
    *s = (struct side){.role = s->role};
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    if (stream_new(&s->stream, fd, &opt, &err) != TT_OK)
        fail_msg("%s", err.text);
}

static void side_show(struct side *s)
{
    static struct tt_key key = {.is_tpm = true};
    struct tt_error err = {0};
    const struct attest_gate_options opt = {.base = rig.base,
                                            .stream = s->stream,
                                            .role = s->role,
                                            .queue = rig.queue,
                                            .key = &key,
                                            .ek_certificates = {(const uint8_t *)"cert", 4},
                                            .policy = world->policy,
                                            .secret = world->token_key,
                                            .done = on_done,
                                            .arg = s};
    if (attest_gate_new(&s->gate, &opt, &err) == TT_OK)
        return;
    is_over(s, &err);
    stream_finish(s->stream);
}

/* ---- a connection ---- */

/* The statements are made for this connection, before anything fails. */
static void world_for(const struct stream *stream)
{
    assert_int_equal(tt_conn_export(stream_conn(stream), LABEL, (struct tt_bytes){NULL, 0}, world->nonce,
                                    sizeof world->nonce),
                     TT_OK);
    EVP_PKEY_free(world->key);
    world->key = rig.client_key->real->pkey;
    assert_int_equal(EVP_PKEY_up_ref(world->key), 1);
    world_build(world);
    world->e.use = TT_ATTEST_TLS;
}

static void check(const struct side *s, size_t nth)
{
    static const tt_rc ours[] = {TT_ERR_MEMORY, TT_ERR_INTERNAL, TT_ERR_CLOSED, TT_ERR_PEER_ALERT};
    bool is_ours = s->good;
    for (size_t i = 0; i < TT_COUNT(ours); i++)
        is_ours |= s->error.rc == ours[i];
    if (!is_ours)
        fail_msg("allocation %zu fails: the %s says %s: %s", nth, s->role == TT_CLIENT ? "client" : "server",
                 tt_rc_name(s->error.rc), s->error.text);
}

/* Returns how many allocations were made. */
static size_t attempt(size_t nth)
{
    int fd[2];
    connected = over = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    for (int i = 0; i < 2; i++)
        side_connect(&sides[i], fd[i]);
    rig_run_until(&rig, &connected, 2);
    world_for(sides[0].stream);
    size_t before = mem_test_stats().allocations;
    mem_test_fail_nth(nth);
    for (int i = 0; i < 2; i++)
        side_show(&sides[i]);
    rig_run_until(&rig, &over, 2);
    size_t made = mem_test_stats().allocations - before;
    mem_test_fail_nth(0);
    for (int i = 0; i < 2; i++) {
        check(&sides[i], nth);
        stream_free(sides[i].stream);
    }
    assert_true(!sides[0].good || sides[1].good); /* what the client was told, the server knows */
    return made;
}

static bool both_good(void)
{
    return sides[0].good && sides[1].good;
}

/* True when the allocation that was to fail was reached. */
static bool run_with_failure(size_t nth)
{
    rig_set_up(&rig, true);
    print_message("# allocation %zu fails\n", nth); /* the last line before a crash says where */
    bool reached = attempt(nth) + 1 >= nth;
    if (!reached)
        assert_true(both_good());
    if (nth % 8 == 0) { /* not each time, for its time */
        (void)attempt(0);
        assert_true(both_good());
    }
    rig_tear_down(&rig);
    world_policy(world, (struct tt_attest_policy_params){.pcrs = "sha256:0,7"}); /* which remembers nothing */
    return reached;
}

static void test_each_allocation_fails_once(void **state)
{
    (void)state;
    size_t nth = 1, refused = 0;
    world = world_new("P-256");
    world->certify_is.other_use = world->quote_is.other_use = true; /* TT_ATTEST_TLS */
    (void)run_with_failure(MOST);                                   /* what is made once */
    size_t live = mem_test_stats().live_blocks;
    for (; nth < MOST && run_with_failure(nth); nth++) {
        refused += !both_good();
        if (mem_test_stats().live_blocks != live)
            fail_msg("allocation %zu failed: %zu blocks, not %zu", nth, mem_test_stats().live_blocks, live);
    }
    assert_true(nth > 20 && nth < MOST);
    assert_true(refused > 10);
    print_message("# %zu allocations, %zu connections refused\n", nth - 1, refused);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_allocation_fails_once)};
    return cmocka_run_group_tests_name("net_attest_faults", tests, NULL, NULL);
}
