/* bench/queue.c: bench-queue: a server whose TPM needs 200 ms for a signature, when 100 clients arrive
 * together: what the connections that are there already notice, how fast the refused ones hear of it, and
 * whether the TPM is kept busy. Layer: bench.
 *
 * Three processes: the server, which holds the TPM (a swtpm behind the lab TCTI, profile pc without jitter);
 * this one, with 50 connections that send and wait for the echo; and the storm. */
#include <errno.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/identity.h"
#include "bench/report.h"
#include "bench/swtpm.h"
#include "net/clock.h"
#include "net/dial.h"
#include "net/loop.h"
#include "net/server.h"

#define ESTABLISHED  50
#define STORM        100
#define SIGN_MS      200
#define EVERY_MS     20
#define RUN_S        5
#define ROUNDTRIPS   (ESTABLISHED * (RUN_S + 10) * 1000 / EVERY_MS)
#define KEY_HANDLE   0x81000010
#define MESSAGE_SIZE 64
#define ROUNDS       3

static void must(tt_rc rc, const struct tt_error *err)
{
    if (rc != TT_OK)
        die(err->text);
}

static struct event_base *new_loop(void)
{
    struct tt_error err = {0};
    struct event_base *base = NULL;
    must(loop_new(&base, false, &err), &err);
    return base;
}

static pid_t fork_with_us(void)
{
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

/* ---- the server ---- */

static struct server *the_server;

/* struct seen: what the server notices, in memory shared by the processes. */
struct seen {
    size_t refused;
    double refused_ms[(STORM + ESTABLISHED) * ROUNDS]; /* from the first byte to our alert */
};
static struct seen *seen;

static void server_trace(void *arg, const struct stream_trace *event)
{
    (void)arg;
    if (!event->is_tpm && event->message.is_alert && event->message.type == TT_ALERT_INTERNAL_ERROR &&
        event->message.sent && seen->refused < sizeof seen->refused_ms / sizeof *seen->refused_ms)
        seen->refused_ms[seen->refused++] = (double)event->at_ns / 1e6;
}

static void echo(void *arg, struct stream *s)
{
    uint8_t copy[4096];
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
    (void)error;
    stream_free(s);
    server_release(the_server);
}

static void *server_accepted(void *arg, struct stream_options *opt, const char *peer)
{
    static const struct stream_handlers handlers = {
        .plaintext = echo, .ended = server_ended, .closed = server_closed, .trace = server_trace};
    (void)peer;
    opt->handlers = handlers;
    return arg;
}

static void server_opened(void *arg, void *session, struct stream *s)
{
    (void)arg;
    (void)session;
    if (s == NULL)
        die("a stream");
}

static void server_failed(void *arg, const struct tt_error *error)
{
    (void)arg;
    die(error->text);
}

static struct tt_config *server_config(struct identities *ids, struct tt_key *key)
{
    static const uint16_t scheme = TT_SCHEME_ECDSA_SECP256R1_SHA256;
    struct tt_bytes spki = tt_key_spki(key);
    const uint8_t *at = spki.data;
    struct tt_error err = {0};
    struct tt_config *cfg = NULL;
    uint8_t *der = NULL;
    EVP_PKEY *public = d2i_PUBKEY(NULL, &at, (long)spki.len);
    X509 *cert = public == NULL ? NULL : identity_certify(&ids->ca, public, "serverAuth", "DNS:localhost");
    int len = cert == NULL ? 0 : i2d_X509(cert, &der);
    if (len <= 0)
        die("the server's certificate");
    const struct tt_bytes chain = {der, (size_t)len};
    const struct tt_identity id = {&chain, 1, key, &scheme, 1};
    must(tt_config_new(&cfg, TT_SERVER, &err), &err);
    must(tt_config_add_identity(cfg, &id, &err), &err);
    must(tt_config_freeze(cfg, &err), &err);
    return cfg;
}

/* Does not return. Tells its address through the pipe. */
static void serve(struct identities *ids, const char *spec, int tell)
{
    struct tt_error err = {0};
    struct tt_tpm *tpm = NULL;
    struct tt_key *key = NULL;
    struct sign_queue *queue = NULL;
    struct event_base *base = new_loop();
    must(tt_tpm_open(&tpm, spec, &err), &err);
    must(tt_key_open_handle(&key, tpm, KEY_HANDLE, &err), &err);
    const struct sign_queue_options queue_opt = {.base = base, .tpm = tpm};
    must(sign_queue_new(&queue, &queue_opt, &err), &err);
    const struct server_options opt = {
        .stream = {.base = base, .config = server_config(ids, key), .role = TT_SERVER, .signer = queue},
        .accepted = server_accepted,
        .opened = server_opened,
        .failed = server_failed,
        .arg = base, /* anything but NULL */
    };
    struct address at;
    must(address_parse(&at, "127.0.0.1:0", &err), &err);
    must(server_listen(&the_server, &at, &opt, &err), &err);
    const char *address = server_address(the_server);
    if (write(tell, address, strlen(address) + 1) < 0)
        die("the pipe");
    (void)event_base_dispatch(base);
    _exit(0);
}

/* ---- clients ---- */

struct client {
    struct event_base *base;
    struct dial *dial;
    struct stream *stream;
    struct event *again;
    uint64_t began_at, connected_at, closed_at, sent_at;
    bool waits;
};

static struct tt_config *client_config(const struct identities *ids)
{
    struct tt_error err = {0};
    struct tt_config *cfg = NULL;
    struct tt_trust *trust = NULL;
    must(tt_config_new(&cfg, TT_CLIENT, &err), &err);
    must(tt_trust_new(&trust, &err), &err);
    must(tt_trust_add_pem(trust, (struct tt_bytes){(const uint8_t *)ids->ca_pem, strlen(ids->ca_pem)}, &err),
         &err);
    must(tt_config_set_trust(cfg, trust), &err);
    tt_trust_free(trust);
    must(tt_config_freeze(cfg, &err), &err);
    return cfg;
}

static void client_opened(void *arg, struct stream *s)
{
    ((struct client *)arg)->stream = s;
}

static void client_failed(void *arg, const struct tt_error *error)
{
    (void)arg;
    die(error->text);
}

static void client_dial(struct client *c, const char *address, struct tt_config *cfg,
                        const struct stream_handlers *handlers)
{
    struct tt_error err = {0};
    struct address to;
    must(address_parse(&to, address, &err), &err);
    const struct dial_options opt = {
        .stream = {.base = c->base,
                   .config = cfg,
                   .role = TT_CLIENT,
                   .server_name = "localhost",
                   .handlers = *handlers,
                   .arg = c},
        .opened = client_opened,
        .failed = client_failed,
        .arg = c,
    };
    c->began_at = clock_monotonic_ns();
    must(dial_start(&c->dial, &to, &opt, &err), &err);
}

/* ---- those that are there ---- */

static double roundtrips[ROUNDTRIPS];
static size_t roundtrips_len;

static void send_one(evutil_socket_t fd, short what, void *arg)
{
    static const uint8_t message[MESSAGE_SIZE];
    struct client *c = arg;
    (void)fd;
    (void)what;
    if (c->waits)
        return;
    c->waits = true;
    c->sent_at = clock_monotonic_ns();
    (void)stream_write(c->stream, message, sizeof message);
}

static void got_echo(void *arg, struct stream *s)
{
    struct client *c = arg;
    stream_plaintext_done(s, stream_plaintext(s).len);
    if (c->waits && roundtrips_len < ROUNDTRIPS)
        roundtrips[roundtrips_len++] = (double)(clock_monotonic_ns() - c->sent_at) / 1e6;
    c->waits = false;
}

static void echo_connected(void *arg, struct stream *s)
{
    (void)s;
    (void)event_base_loopbreak(((struct client *)arg)->base);
}

static void echo_closed(void *arg, struct stream *s, const struct tt_error *error)
{
    (void)arg;
    (void)s;
    die(error != NULL ? error->text : "an established connection ended");
}

static void establish(struct client *c, const char *address, struct tt_config *cfg)
{
    static const struct stream_handlers handlers = {
        .connected = echo_connected, .plaintext = got_echo, .closed = echo_closed};
    client_dial(c, address, cfg, &handlers);
    (void)event_base_dispatch(c->base);
}

/* Each sends every EVERY_MS, not all at the same moment. */
static void start_sending(struct client *c, size_t i)
{
    const struct timeval every = {0, EVERY_MS * 1000};
    c->again = event_new(c->base, -1, EV_PERSIST, send_one, c);
    (void)event_add(c->again, &every);
    (void)usleep((useconds_t)(EVERY_MS * 1000 / ESTABLISHED));
    (void)i;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double p99(double *values, size_t n)
{
    if (n == 0)
        die("no measurements");
    qsort(values, n, sizeof *values, compare);
    return values[n - 1 - n / 100];
}

static void run_for(struct event_base *base, unsigned seconds)
{
    const struct timeval t = {.tv_sec = (time_t)seconds};
    roundtrips_len = 0;
    (void)event_base_loopexit(base, &t);
    (void)event_base_dispatch(base);
}

/* ---- the storm ---- */

struct storm_result {
    size_t done, refused;
    double refused_max_ms, refused_median_ms, seconds; /* until the last handshake was done */
};

static size_t storm_left;

static void storm_connected(void *arg, struct stream *s)
{
    ((struct client *)arg)->connected_at = clock_monotonic_ns();
    stream_finish(s);
}

static void storm_closed(void *arg, struct stream *s, const struct tt_error *error)
{
    struct client *c = arg;
    (void)error;
    c->closed_at = clock_monotonic_ns();
    stream_free(s);
    if (--storm_left == 0)
        (void)event_base_loopbreak(c->base);
}

static struct storm_result storm_sum(const struct client *clients)
{
    static double refused[STORM];
    struct storm_result r = {0};
    uint64_t first = clients[0].began_at, last = first;
    for (size_t i = 0; i < STORM; i++) {
        const struct client *c = &clients[i];
        if (c->connected_at == 0)
            refused[r.refused++] = (double)(c->closed_at - c->began_at) / 1e6;
        else
            r.done++;
        if (c->connected_at > last)
            last = c->connected_at;
    }
    r.seconds = (double)(last - first) / 1e9;
    if (r.refused > 0) {
        r.refused_median_ms = median(refused, r.refused); /* sorts */
        r.refused_max_ms = refused[r.refused - 1];
    }
    return r;
}

/* Does not return. */
static void storm(const struct identities *ids, const char *address, int tell)
{
    static struct client clients[STORM];
    static const struct stream_handlers handlers = {.connected = storm_connected, .closed = storm_closed};
    struct event_base *base = new_loop();
    struct tt_config *cfg = client_config(ids);
    (void)usleep(500000);
    storm_left = STORM;
    for (size_t i = 0; i < STORM; i++) {
        clients[i].base = base;
        client_dial(&clients[i], address, cfg, &handlers);
    }
    (void)event_base_dispatch(base);
    struct storm_result r = storm_sum(clients);
    if (write(tell, &r, sizeof r) != sizeof r)
        die("the pipe");
    _exit(0);
}

static struct storm_result through_the_storm(struct event_base *base, const struct identities *ids,
                                             const char *address)
{
    struct storm_result r;
    int pipe_fd[2];
    if (pipe(pipe_fd) != 0)
        die("a pipe");
    pid_t pid = fork_with_us();
    if (pid == 0) {
        (void)event_reinit(base);
        storm(ids, address, pipe_fd[1]);
    }
    run_for(base, RUN_S + 1);
    if (read(pipe_fd[0], &r, sizeof r) != sizeof r)
        die("the storm failed");
    (void)waitpid(pid, NULL, 0);
    (void)close(pipe_fd[0]);
    (void)close(pipe_fd[1]);
    return r;
}

/* ---- the whole ---- */

static void report_storm(struct report *r, const struct storm_result *s)
{
    report_figure(r, &(struct figure){"handshakes", "handshakes done", "", (double)s->done, 0, 1});
    report_figure(r, &(struct figure){"refused", "refused", "", (double)s->refused, 0, 1});
    if (seen->refused > 0) {
        double middle = median(seen->refused_ms, seen->refused),
               longest = seen->refused_ms[seen->refused - 1];
        report_figure(r, &(struct figure){"refused_median_ms",
                                          "from ClientHello to the alert of refusal, median", "ms", middle, 0,
                                          0});
        report_figure(r,
                      &(struct figure){"refused_max_ms", "from ClientHello to the alert of refusal, longest",
                                       "ms", longest, 50, 0});
    }
    report_figure(r,
                  &(struct figure){"client_median_ms", "as a client sees it, from connect to the end, median",
                                   "ms", s->refused_median_ms, 0, 0});
    report_figure(r,
                  &(struct figure){"client_max_ms", "as a client sees it, from connect to the end, longest",
                                   "ms", s->refused_max_ms, 0, 0});
    report_figure(r, &(struct figure){"goodput", "handshakes a second, of 1 / sign time", "",
                                      (double)s->done * SIGN_MS / 1e3 / s->seconds, 0, 0.95});
}

/* struct round: one run without and one with the storm. */
struct round {
    double calm_median, calm, stormy_median, stormy, added;
    struct storm_result storm;
};

static void one_round(struct round *ret, struct event_base *base, const struct identities *ids,
                      const char *address)
{
    run_for(base, RUN_S);
    ret->calm = p99(roundtrips, roundtrips_len);
    ret->calm_median = median(roundtrips, roundtrips_len);
    ret->storm = through_the_storm(base, ids, address);
    ret->stormy = p99(roundtrips, roundtrips_len);
    ret->stormy_median = median(roundtrips, roundtrips_len);
    ret->added = ret->stormy > ret->calm ? ret->stormy - ret->calm : 0.001; /* 0 would be no figure */
}

static int by_added(const void *a, const void *b)
{
    const struct round *x = a, *y = b;
    return compare(&x->added, &y->added);
}

static void measure(struct report *r, const struct identities *ids, const char *address)
{
    static struct client clients[ESTABLISHED];
    struct event_base *base = new_loop();
    struct tt_config *cfg = client_config(ids);
    for (size_t i = 0; i < ESTABLISHED; i++) {
        clients[i].base = base;
        establish(&clients[i], address, cfg);
    }
    for (size_t i = 0; i < ESTABLISHED; i++)
        start_sending(&clients[i], i);
    struct round rounds[ROUNDS];
    run_for(base, 1);
    for (size_t i = 0; i < ROUNDS; i++)
        one_round(&rounds[i], base, ids, address);
    qsort(rounds, ROUNDS, sizeof *rounds, by_added);
    const struct round *m = &rounds[ROUNDS / 2];
    report_section(r, "Echo round trips on 50 established connections; the median of three rounds");
    report_figure(r, &(struct figure){"calm_median_ms", "calm: median", "ms", m->calm_median, 0, 0});
    report_figure(r, &(struct figure){"calm_p99_ms", "calm: p99", "ms", m->calm, 0, 0});
    report_figure(r, &(struct figure){"storm_median_ms", "storm: median", "ms", m->stormy_median, 0, 0});
    report_figure(r, &(struct figure){"storm_p99_ms", "storm: p99", "ms", m->stormy, 0, 0});
    report_figure(r, &(struct figure){"added_p99_ms", "p99 added by the storm", "ms", m->added, 3, 0});
    report_section(r, "The storm: 100 clients arrive together, the TPM signs in 200 ms, deadline 5 s");
    report_storm(r, &m->storm);
}

int main(int argc, char **argv)
{
    struct report *r = report_open(argc, argv, "tpmtls: a slow TPM and many clients");
    struct identities ids;
    struct bench_swtpm t;
    char spec[256], address[ADDRESS_TEXT_MAX] = "";
    int pipe_fd[2];
    bench_find_lab();
    /* cppcheck-suppress invalidFunctionArg ; -1 is what an anonymous mapping takes */
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (seen == MAP_FAILED)
        die("shared memory");
    identities_make(&ids);
    const char *why = bench_swtpm_start(&t, "0x81000010");
    if (why != NULL) {
        report_note(r, why);
        return report_close(r);
    }
    (void)snprintf(spec, sizeof spec, "lab:profile=pc,jitter=off:%s", t.tcti);
    if (pipe(pipe_fd) != 0)
        die("a pipe");
    pid_t server = fork_with_us();
    if (server == 0)
        serve(&ids, spec, pipe_fd[1]);
    (void)close(pipe_fd[1]);
    if (read(pipe_fd[0], address, sizeof address - 1) <= 0)
        die("the server did not start");
    measure(r, &ids, address);
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    bench_swtpm_stop(&t);
    identities_free(&ids);
    return report_close(r);
}
