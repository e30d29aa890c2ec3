/* bench/est_load.c: est-load: devices that ask an EST server. Layer: bench. scripts/bench-est runs it.
 *
 *     est-load HOST:PORT CA.pem TOKEN enrol N AT_ONCE new|kept    N enrolments, AT_ONCE under way; the
 * requests are made before the time begins est-load HOST:PORT CA.pem TOKEN devices N AT_ONCE SECONDS   N
 * devices enrol, then each renews by its own certificate, at moments spread over SECONDS
 *
 * One line of JSON: what was done, in how much time, ours and the wall's; milliseconds from asking until the
 * answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <time.h>

#include "base/buf.h"
#include "bench/report.h"
#include "est/body.h"
#include "http/client.h"
#include "net/clock.h"
#include "net/loop.h"
#include "tpmtls/key.h"
#include "tpmtls/stream.h"
#include "wire/base64.h"
#include "wire/pem.h"

struct device {
    struct tt_key *key;
    char *body; /* its request, base64 */
    struct tt_bytes certificate;
};

/* struct asker: one that is under way at a time. */
struct asker {
    struct http_client *client;
    struct tt_config *config; /* of the device, in a renewal */
    size_t device;
    uint64_t since;
    bool is_asking;
};

static struct {
    struct event_base *base;
    struct sign_queue *queue;
    struct address to;
    struct tt_trust *trust;
    struct tt_config *config;
    char authorization[200];
    struct device *devices;
    struct asker *askers;
    size_t n, at_once, next, done, failed, in_flight;
    bool keeps, renews;
    double *ms, spread_s;
    uint64_t began, *due; /* of renewals */
    struct event *clock;
} run;

static void must(tt_rc rc, const struct tt_error *err)
{
    if (rc != TT_OK)
        die(err->text);
}

static void *need(void *p)
{
    if (p == NULL)
        die("no memory");
    return p;
}

/* ---- devices ---- */

static tt_rc sign(void *arg, uint16_t scheme, struct tt_bytes message, uint8_t *ret_sig, size_t cap,
                  size_t *ret_len, struct tt_error *err)
{
    return tt_key_sign(arg, scheme, message, ret_sig, cap, ret_len, err);
}

static void make_body(struct device *d, struct tt_key *key, size_t i)
{
    struct tt_error err = {0};
    char subject[64], *pem = NULL;
    struct buf body = {0};
    struct pem_block block = {0};
    (void)snprintf(subject, sizeof subject, "/O=Fleet/CN=device-%06zu", i);
    const struct tt_csr_params params = {.subject = subject};
    const struct tt_pki_signer signer = {
        .sign = sign, .arg = key, .spki = tt_key_spki(key), .scheme = tt_key_x509_scheme(key)};
    must(tt_csr_create(&pem, &params, &signer, &err), &err);
    struct tt_bytes text = {(const uint8_t *)pem, strlen(pem)};
    must(pem_next(&block, &text), &err);
    must(est_body_write(&body, (struct tt_bytes){block.der, block.len}), &err);
    must(buf_append(&body, "", 1), &err);
    d->body = need(mem_dup(buf_front(&body), buf_size(&body)));
    pem_block_free(&block);
    buf_free(&body);
    tt_free(pem);
}

static void make_devices(void)
{
    struct tt_error err = {0};
    run.devices = need(mem_alloc(run.n * sizeof *run.devices));
    for (size_t i = 0; i < run.n; i++) {
        must(tt_key_create_software(&run.devices[i].key, TT_KEY_P256, &err), &err);
        make_body(&run.devices[i], run.devices[i].key, i);
    }
}

/* ---- asking ---- */

static void start(struct asker *a);

static struct tt_config *config_for(const struct device *d)
{
    struct tt_error err = {0};
    struct tt_config *cfg = NULL;
    char *chain = NULL;
    struct tt_bytes one[1] = {d->certificate};
    const struct tt_cert_list list = {one, 1};
    must(tt_config_new(&cfg, TT_CLIENT, &err), &err);
    must(tt_config_set_trust(cfg, run.trust), &err);
    must(tt_cert_list_to_pem(&chain, &list, 1, &err), &err);
    must(tt_config_add_key(cfg, d->key, (struct tt_bytes){(const uint8_t *)chain, strlen(chain)}, &err),
         &err);
    must(tt_config_freeze(cfg, &err), &err);
    tt_free(chain);
    return cfg;
}

static void hang_up(struct asker *a)
{
    http_client_free(TT_TAKE(a->client));
    tt_config_free(TT_TAKE(a->config));
}

static void keep_certificate(struct device *d, struct tt_bytes body)
{
    struct tt_error err = {0};
    struct tt_cert_list *list = NULL;
    must(est_certs_read(&list, body, &err), &err);
    mem_free((void *)(uintptr_t)d->certificate.data);
    d->certificate.data = need(mem_dup(list->certs[0].data, list->certs[0].len));
    d->certificate.len = list->certs[0].len;
    tt_cert_list_free(list);
}

static void on_reply(void *arg, const struct http_reply *reply, const struct tt_error *error)
{
    struct asker *a = arg;
    a->is_asking = false;
    run.in_flight--;
    if (reply == NULL || reply->status != 200) {
        if (run.failed++ < 3)
            (void)fprintf(stderr, "est-load: %d %s %.*s\n", reply != NULL ? reply->status : 0,
                          error != NULL ? error->text : "", reply != NULL ? (int)reply->body.len : 0,
                          reply != NULL ? (const char *)reply->body.data : "");
    } else {
        keep_certificate(&run.devices[a->device], reply->body);
    }
    run.ms[run.done++] = (double)(clock_monotonic_ns() - a->since) / 1e6;
    if (!run.keeps || run.renews || reply == NULL)
        hang_up(a);
    if (run.done == run.n)
        (void)event_base_loopbreak(run.base);
    else
        start(a);
}

static void on_closed(void *arg, struct http_client *c, const struct tt_error *error)
{
    struct asker *a = arg;
    (void)error;
    if (a->client == c)
        a->client = NULL;
    http_client_free(c);
}

static void open_client(struct asker *a)
{
    struct tt_error err = {0};
    if (run.renews)
        a->config = config_for(&run.devices[a->device]);
    const struct http_client_options opt = {
        .stream = {.base = run.base, .config = run.renews ? a->config : run.config, .signer = run.queue},
        .closed = on_closed,
        .arg = a};
    must(http_client_open(&a->client, &run.to, &opt, &err), &err);
}

static void ask(struct asker *a)
{
    struct tt_error err = {0};
    const struct device *d = &run.devices[a->device];
    const struct http_header headers[] = {{"Content-Type", EST_TYPE_PKCS10},
                                          {"Authorization", run.authorization}};
    const struct http_question q = {.path = run.renews ? "/.well-known/est/simplereenroll"
                                                       : "/.well-known/est/simpleenroll",
                                    .is_post = true,
                                    .body = {(const uint8_t *)d->body, strlen(d->body)},
                                    .headers = headers,
                                    .headers_len = run.renews ? 1 : 2};
    a->since = clock_monotonic_ns();
    if (a->client == NULL)
        open_client(a);
    must(http_client_ask(a->client, &q, on_reply, a, &err), &err);
}

static void start(struct asker *a)
{
    if (a->is_asking || run.next == run.n)
        return;
    if (run.renews && run.due[run.next] > clock_monotonic_ns() - run.began)
        return; /* the clock comes back to it */
    a->device = run.next++;
    a->is_asking = true;
    run.in_flight++;
    ask(a);
}

static void on_clock(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    for (size_t i = 0; i < run.at_once; i++)
        start(&run.askers[i]);
}

static int by_time(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Renewals are due at moments that nobody has agreed upon. */
static void spread(void)
{
    run.due = need(mem_alloc(run.n * sizeof *run.due));
    srand(1);
    for (size_t i = 0; i < run.n; i++)
        run.due[i] = (uint64_t)(run.spread_s * 1e9 * rand() / RAND_MAX);
    qsort(run.due, run.n, sizeof *run.due, by_time);
}

static void go(const char *what)
{
    const struct timeval tick = {0, 2000};
    double cpu = cpu_now();
    run.next = run.done = run.failed = 0;
    run.ms = need(mem_alloc(run.n * sizeof *run.ms));
    run.began = clock_monotonic_ns();
    run.clock = event_new(run.base, -1, EV_PERSIST, on_clock, NULL);
    (void)event_add(run.clock, &tick);
    on_clock(-1, 0, NULL);
    (void)event_base_dispatch(run.base);
    double wall = (double)(clock_monotonic_ns() - run.began) / 1e9;
    event_free(run.clock);
    double mid = median(run.ms, run.n);
    printf(
        "{\"what\": \"%s\", \"n\": %zu, \"failed\": %zu, \"wall_s\": %.3f, \"cpu_s\": %.3f, \"median_ms\": "
        "%.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f}\n",
        what, run.n, run.failed, wall, cpu_now() - cpu, mid, run.ms[run.n * 99 / 100], run.ms[run.n - 1]);
    (void)fflush(stdout);
    mem_free(run.ms);
    for (size_t i = 0; i < run.at_once; i++)
        hang_up(&run.askers[i]);
}

static void set_up(char **argv)
{
    struct tt_error err = {0};
    struct buf basic = {0}, text = {0};
    must(address_parse(&run.to, argv[1], &err), &err);
    must(loop_new(&run.base, false, &err), &err);
    const struct sign_queue_options queue = {.base = run.base, .capacity = 4096};
    must(sign_queue_new(&run.queue, &queue, &err), &err);
    must(tt_trust_new(&run.trust, &err), &err);
    must(tt_trust_add_file(run.trust, argv[2], &err), &err);
    must(tt_config_new(&run.config, TT_CLIENT, &err), &err);
    must(tt_config_set_trust(run.config, run.trust), &err);
    must(tt_config_freeze(run.config, &err), &err);
    must(buf_append(&text, "x:", 2), &err);
    must(buf_append(&text, argv[3], strlen(argv[3])), &err);
    must(base64_put(&basic, buf_bytes(&text)), &err);
    (void)snprintf(run.authorization, sizeof run.authorization, "Basic %.*s", (int)buf_size(&basic),
                   (const char *)buf_front(&basic));
    buf_free(&basic);
    buf_free(&text);
    run.askers = need(mem_alloc(run.at_once * sizeof *run.askers));
    make_devices();
}

int main(int argc, char **argv)
{
    if (argc != 8)
        die("usage: est-load HOST:PORT CA.pem TOKEN enrol|devices N AT_ONCE new|kept|SECONDS");
    (void)signal(SIGPIPE, SIG_IGN);
    run.n = strtoul(argv[5], NULL, 10);
    run.at_once = strtoul(argv[6], NULL, 10);
    run.keeps = strcmp(argv[7], "new") != 0;
    set_up(argv);
    go("enrol");
    if (strcmp(argv[4], "devices") == 0) {
        run.spread_s = strtod(argv[7], NULL);
        run.renews = true;
        spread();
        go("renew");
    }
    return 0;
}
