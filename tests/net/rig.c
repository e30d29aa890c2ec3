/* tests/net/rig.c: see rig.h. */
#include "net/rig.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LIMIT_S 10

/* ---- the pattern: byte i depends on i, so that nothing may be lost, doubled or swapped ---- */

static uint8_t pattern_byte(size_t i)
{
    return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

static uint8_t checksum_step(uint8_t sum, uint8_t byte)
{
    return (uint8_t)((sum << 1 | sum >> 7) ^ byte);
}

uint8_t pattern_checksum(size_t n)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum = checksum_step(sum, pattern_byte(i));
    return sum;
}

static void send_pattern(struct end *e)
{
    uint8_t chunk[5000];
    while (e->sent < e->to_send) {
        size_t n = e->to_send - e->sent < sizeof chunk ? e->to_send - e->sent : sizeof chunk;
        for (size_t i = 0; i < n; i++)
            chunk[i] = pattern_byte(e->sent + i);
        size_t taken = stream_write(e->stream, chunk, n);
        e->sent += taken;
        if (taken < n)
            return;
    }
    if (e->close_when_sent)
        stream_close(e->stream);
}

/* ---- callbacks ---- */

static void on_connected(void *arg, struct stream *s)
{
    struct end *e = arg;
    (void)s;
    e->connected++;
    send_pattern(e);
}

static void take(struct end *e, struct tt_bytes got)
{
    uint8_t copy[16384];
    size_t n = got.len < sizeof copy ? got.len : sizeof copy;
    n = e->step > 0 && n > e->step ? e->step : n;
    memcpy(copy, got.data, n);
    if (e->echo)
        n = stream_write(e->stream, copy, n);
    for (size_t i = 0; i < n; i++)
        e->checksum = checksum_step(e->checksum, copy[i]);
    e->received += n;
    stream_plaintext_done(e->stream, n);
}

static void on_plaintext(void *arg, struct stream *s)
{
    struct end *e = arg;
    struct tt_bytes got = stream_plaintext(s);
    assert_true(got.len > 0);
    if (!e->deaf)
        take(e, got);
}

static void on_writable(void *arg, struct stream *s)
{
    struct end *e = arg;
    e->writable++;
    send_pattern(e);
    if (e->echo && stream_plaintext(s).len > 0)
        take(e, stream_plaintext(s));
}

static void on_ended(void *arg, struct stream *s)
{
    struct end *e = arg;
    e->ended++;
    if (e->echo)
        stream_close(s);
}

static void on_gone(void *arg, struct stream *s)
{
    (void)s;
    ((struct end *)arg)->gone++;
}

static void on_closed(void *arg, struct stream *s, const struct tt_error *error)
{
    struct end *e = arg;
    assert_int_equal(e->closed, 0);
    e->closed++;
    if (error != NULL)
        e->error = *error;
    stream_free(s);
    e->stream = NULL;
    if (e->rig->client.stream == NULL && e->rig->server.stream == NULL)
        event_base_loopbreak(e->rig->base);
}

/* ---- configurations ---- */

static void must(tt_rc rc, const struct tt_error *err)
{
    if (rc != TT_OK)
        fail_msg("%s: %s", tt_rc_name(rc), err->text);
}

static void add_identity(struct tt_config *config, struct gated_key *k)
{
    struct tt_error err = {0};
    const struct tt_bytes chain = {k->real->cert, k->real->cert_len};
    const struct tt_identity id = {&chain, 1, &k->key, &k->real->scheme, 1};
    must(tt_config_add_identity(config, &id, &err), &err);
}

static struct tt_config *config_new(struct rig *rig, enum tt_role role, bool trusts)
{
    struct tt_error err = {0};
    struct tt_config *config;
    struct tt_trust *trust;
    must(tt_config_new(&config, role, &err), &err);
    must(tt_trust_new(&trust, &err), &err);
    const struct tt_bytes pem = {(const uint8_t *)rig->ca->cert_pem, strlen(rig->ca->cert_pem)};
    must(tt_trust_add_pem(trust, pem, &err), &err);
    if (trusts)
        must(tt_config_set_trust(config, trust), &err);
    tt_trust_free(trust);
    return config;
}

void rig_set_up(struct rig *rig, bool client_auth)
{
    struct tt_error err = {0};
    *rig = (struct rig){.client.name = "client", .server.name = "server", .wire.fd = {-1, -1}};
    rig->client.rig = rig->server.rig = rig;
    rig->ca = test_key_new("P-256", &(struct test_cert){.cn = "CA"});
    rig->server_key = gated_key_new(test_key_new(
        "P-256",
        &(struct test_cert){.cn = "server", .dns = "localhost", .eku = "serverAuth", .issuer = rig->ca}));
    rig->client_key = gated_key_new(
        test_key_new("P-256", &(struct test_cert){.cn = "client", .eku = "clientAuth", .issuer = rig->ca}));
    rig->server_config = config_new(rig, TT_SERVER, client_auth);
    rig->client_config = config_new(rig, TT_CLIENT, true);
    add_identity(rig->server_config, rig->server_key);
    if (client_auth) {
        add_identity(rig->client_config, rig->client_key);
        must(tt_config_set_client_auth(rig->server_config, TT_CLIENT_AUTH_REQUIRE), &err);
    }
    must(tt_config_freeze(rig->server_config, &err), &err);
    must(tt_config_freeze(rig->client_config, &err), &err);
    must(loop_new(&rig->base, false, &err), &err);
    const struct sign_queue_options queue = {.base = rig->base};
    must(sign_queue_new(&rig->queue, &queue, &err), &err);
}

/* ---- the wire ---- */

static void wire_close(struct wire *w)
{
    for (int i = 0; i < 2; i++) {
        if (w->ready[i] != NULL)
            event_free(w->ready[i]);
        w->ready[i] = NULL;
        if (w->fd[i] >= 0)
            close(w->fd[i]);
        w->fd[i] = -1;
    }
}

/* Blocking writes are fine: the streams read as long as the test lets them. */
static void on_wire(evutil_socket_t fd, short what, void *arg)
{
    struct rig *rig = arg;
    struct wire *w = &rig->wire;
    int from = fd == w->fd[0] ? 0 : 1;
    uint8_t data[4096];
    (void)what;
    size_t most = w->split > 0 && w->split < sizeof data ? w->split : sizeof data;
    ssize_t n = recv(fd, data, most, MSG_DONTWAIT);
    if (n > 0 && send(w->fd[1 - from], data, (size_t)n, MSG_NOSIGNAL) != n)
        n = 0;
    if (n > 0)
        w->passed[from] += (size_t)n;
    if (n <= 0) {
        event_del(w->ready[from]);
        shutdown(w->fd[1 - from], SHUT_WR);
    }
    if (w->cut_after > 0 && w->passed[1] >= w->cut_after)
        wire_close(w);
}

static void pair(int fd[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
}

static tt_rc try_stream_on(struct rig *rig, struct end *e, int fd, enum tt_role role, struct tt_error *err)
{
    static const struct stream_handlers handlers = {
        .connected = on_connected,
        .plaintext = on_plaintext,
        .writable = on_writable,
        .ended = on_ended,
        .gone = on_gone,
        .closed = on_closed,
    };
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    const struct stream_options opt = {
        .base = rig->base,
        .config = role == TT_CLIENT ? rig->client_config : rig->server_config,
        .role = role,
        .server_name = role == TT_CLIENT ? "localhost" : NULL,
        .peer = role == TT_CLIENT ? "the-server:443" : "the-client",
        .signer = rig->queue,
        .handshake_timeout_s = rig->handshake_timeout_s,
        .now = TEST_NOW,
        .handlers = handlers,
        .arg = e,
    };
    return stream_new(&e->stream, fd, &opt, err);
}

static void stream_on(struct rig *rig, struct end *e, int fd, enum tt_role role)
{
    struct tt_error err = {0};
    must(try_stream_on(rig, e, fd, role, &err), &err);
}

void rig_client_on(struct rig *rig, int fd)
{
    stream_on(rig, &rig->client, fd, TT_CLIENT);
}

bool rig_try_connect(struct rig *rig)
{
    int fd[2];
    pair(fd);
    bool made_client = try_stream_on(rig, &rig->client, fd[0], TT_CLIENT, NULL) == TT_OK;
    bool made_server = try_stream_on(rig, &rig->server, fd[1], TT_SERVER, NULL) == TT_OK;
    if (!made_client)
        close(fd[0]);
    if (!made_server)
        close(fd[1]);
    return made_client && made_server;
}

void rig_connect(struct rig *rig)
{
    int a[2], b[2];
    pair(a);
    if (rig->wire.split == 0 && rig->wire.cut_after == 0) {
        stream_on(rig, &rig->client, a[0], TT_CLIENT);
        stream_on(rig, &rig->server, a[1], TT_SERVER);
        return;
    }
    pair(b);
    stream_on(rig, &rig->client, a[0], TT_CLIENT);
    stream_on(rig, &rig->server, b[1], TT_SERVER);
    rig->wire.fd[0] = a[1];
    rig->wire.fd[1] = b[0];
    for (int i = 0; i < 2; i++) {
        rig->wire.ready[i] = event_new(rig->base, rig->wire.fd[i], EV_READ | EV_PERSIST, on_wire, rig);
        event_add(rig->wire.ready[i], NULL);
    }
}

/* ---- running ---- */

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    event_base_loopbreak(((struct rig *)arg)->base);
}

void rig_run(struct rig *rig)
{
    static const struct timeval limit = {LIMIT_S, 0};
    struct event *timer = evtimer_new(rig->base, on_limit, rig);
    event_add(timer, &limit);
    event_base_dispatch(rig->base);
    event_free(timer);
    if (rig->client.stream != NULL || rig->server.stream != NULL)
        fail_msg("not over within %d seconds: client %s, server %s", LIMIT_S,
                 rig->client.stream != NULL ? "open" : "closed",
                 rig->server.stream != NULL ? "open" : "closed");
}

void rig_run_until(struct rig *rig, const unsigned *count, unsigned n)
{
    for (int i = 0; *count < n; i++) {
        const struct timeval tick = {0, 10000};
        if (i > LIMIT_S * 100)
            fail_msg("did not happen within %d seconds", LIMIT_S);
        event_base_loopexit(rig->base, &tick);
        event_base_dispatch(rig->base);
    }
}

void rig_tear_down(struct rig *rig)
{
    stream_free(rig->client.stream);
    stream_free(rig->server.stream);
    wire_close(&rig->wire);
    sign_queue_free(rig->queue);
    tt_config_free(rig->server_config);
    tt_config_free(rig->client_config);
    event_base_free(rig->base);
    gated_key_free(rig->server_key);
    gated_key_free(rig->client_key);
    test_key_free(rig->ca);
}
