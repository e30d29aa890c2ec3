/* proxy/page.c: see page.h. Layer: proxy. */
#include "proxy/page.h"

#include <stdio.h>
#include <string.h>

#include "proxy/metrics.h"
#include "proxy/report.h"

#define PREFIX "tpmtls_proxy_"

json_t *page_status(const struct page_source *from)
{
    struct sign_queue_state queue;
    json_t *tunnels = json_array();
    sign_queue_look(from->queue, &queue);
    for (struct tunnel *t = from->tunnels; t != NULL; t = t->next)
        (void)json_array_append_new(tunnels, tunnel_status(t));
    json_t *all = json_pack("{s:o, s:{s:I, s:f}, s:{s:I}, s:s}", "tunnels", tunnels, "signatures", "waiting",
                            (json_int_t)queue.waiting, "median_ms", (double)queue.median_ns / 1e6, "tpm",
                            "rebuilds", (json_int_t)queue.reopenings, "ktls", from->ktls);
    if (from->file_error[0] != '\0')
        (void)json_object_set_new(
            all, "reload_error",
            report_bytes((struct tt_bytes){(const uint8_t *)from->file_error, strlen(from->file_error)}));
    return all;
}

/* ---- Prometheus' text format, version 0.0.4 ---- */

/* The name of a tunnel is the user's: a label's value has its backslashes, quotes and newlines escaped. */
static const char *label(char ret[200], const char *text)
{
    size_t at = 0;
    for (; *text != '\0' && at < 196; text++) {
        if (*text == '\\' || *text == '"' || *text == '\n')
            ret[at++] = '\\';
        ret[at++] = *text == '\n' ? 'n' : *text;
    }
    ret[at] = '\0';
    return ret;
}

static unsigned long long load(const atomic_ullong *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

static void number(struct metrics *p, const struct page_source *from, const char *name, const char *type,
                   const char *help, size_t at)
{
    char l[200];
    metrics_family(p, name, type, help);
    for (struct tunnel *t = from->tunnels; t != NULL; t = t->next)
        metrics_add(p, "tpmtls_proxy_%s{tunnel=\"%s\"} %llu\n", name, label(l, t->opt.name),
                    load((const atomic_ullong *)(const void *)((const char *)&t->counters + at)));
}

static void kinds(struct metrics *p, const struct page_source *from)
{
    char l[200];
    metrics_family(p, "handshakes_total", "counter", "TLS handshakes that were completed, by kind.");
    for (struct tunnel *t = from->tunnels; t != NULL; t = t->next) {
        const struct counters *c = &t->counters;
        (void)label(l, t->opt.name);
        metrics_add(p, "tpmtls_proxy_handshakes_total{tunnel=\"%s\",kind=\"full\"} %llu\n", l,
                    load(&c->full));
        metrics_add(p, "tpmtls_proxy_handshakes_total{tunnel=\"%s\",kind=\"resumed\"} %llu\n", l,
                    load(&c->resumed));
        metrics_add(p, "tpmtls_proxy_handshakes_total{tunnel=\"%s\",kind=\"delegated\"} %llu\n", l,
                    load(&c->delegated));
    }
    metrics_family(p, "refused_total", "counter", "Connections that did not come to be, by cause.");
    for (struct tunnel *t = from->tunnels; t != NULL; t = t->next) {
        const struct counters *c = &t->counters;
        (void)label(l, t->opt.name);
        for (size_t j = 0; j < REFUSALS; j++) {
            bool is_other_role =
                j == (t->opt.role == TT_CLIENT ? REFUSED_PLAINTEXT_TARGET : REFUSED_TLS_TARGET);
            if (!is_other_role) /* both are "target" */
                metrics_add(p, "tpmtls_proxy_refused_total{tunnel=\"%s\",cause=\"%s\"} %llu\n", l,
                            refusal_name((enum refusal)j), load(&c->refused[j]));
        }
    }
}

static void histogram(struct metrics *p, const struct page_source *from, const char *name, const char *help,
                      size_t at)
{
    char l[200];
    metrics_family(p, name, "histogram", help);
    for (struct tunnel *t = from->tunnels; t != NULL; t = t->next) {
        const struct histogram *h = (const struct histogram *)(const void *)((const char *)&t->counters + at);
        unsigned long long below = 0;
        (void)label(l, t->opt.name);
        for (size_t j = 0; j < HISTOGRAM_BUCKETS; j++) {
            below += load(&h->bucket[j]);
            metrics_add(p, "tpmtls_proxy_%s_bucket{tunnel=\"%s\",le=\"%g\"} %llu\n", name, l,
                        histogram_bound_s(j), below);
        }
        below += load(&h->bucket[HISTOGRAM_BUCKETS]);
        metrics_add(p, "tpmtls_proxy_%s_bucket{tunnel=\"%s\",le=\"+Inf\"} %llu\n", name, l, below);
        metrics_add(p, "tpmtls_proxy_%s_sum{tunnel=\"%s\"} %g\n", name, l, (double)load(&h->sum_us) / 1e6);
        metrics_add(p, "tpmtls_proxy_%s_count{tunnel=\"%s\"} %llu\n", name, l, below);
    }
}

static void state(struct metrics *p, const struct page_source *from)
{
    char l[200];
    struct sign_queue_state queue;
    sign_queue_look(from->queue, &queue);
    metrics_family(p, "signatures_waiting", "gauge",
                   "Signatures that wait for the key, the one being made among them.");
    metrics_add(p, "tpmtls_proxy_signatures_waiting %zu\n", queue.waiting);
    metrics_family(p, "tpm_rebuilds_total", "counter",
                   "How often the connection to the TPM was lost and opened again.");
    metrics_add(p, "tpmtls_proxy_tpm_rebuilds_total %u\n", queue.reopenings);
    metrics_family(p, "connections_open", "gauge", "Connections that are open.");
    for (struct tunnel *t = from->tunnels; t != NULL; t = t->next)
        metrics_add(p, "tpmtls_proxy_connections_open{tunnel=\"%s\"} %lld\n", label(l, t->opt.name),
                    atomic_load(&t->counters.open));
}

static void certificates(struct metrics *p, const struct page_source *from)
{
    char l[200];
    metrics_family(p, "certificate_not_after_timestamp_seconds", "gauge",
                   "When our certificate ends; 0: there is none.");
    for (struct tunnel *t = from->tunnels; t != NULL; t = t->next) {
        lock_take(&t->lock);
        metrics_add(p, "tpmtls_proxy_certificate_not_after_timestamp_seconds{tunnel=\"%s\"} %lld\n",
                    label(l, t->opt.name), (long long)t->setup->not_after);
        lock_give(&t->lock);
    }
    metrics_family(p, "reload_failed", "gauge",
                   "1 where the last reload failed and what was there before is in force.");
    for (struct tunnel *t = from->tunnels; t != NULL; t = t->next) {
        lock_take(&t->lock);
        metrics_add(p, "tpmtls_proxy_reload_failed{tunnel=\"%s\"} %d\n", label(l, t->opt.name),
                    t->reload_error[0] != '\0');
        lock_give(&t->lock);
    }
}

char *page_metrics(const struct page_source *from)
{
    struct metrics p = {.prefix = PREFIX};
    state(&p, from);
    metrics_family(&p, "file_refused", "gauge", "1 where the file of tunnels was read again and not taken.");
    metrics_add(&p, "tpmtls_proxy_file_refused %d\n", from->file_error[0] != '\0');
    certificates(&p, from);
    number(&p, from, "accepted_total", "counter", "Connections that were accepted.",
           offsetof(struct counters, accepted));
    kinds(&p, from);
    number(&p, from, "sent_bytes_total", "counter",
           "Plaintext passed to the peer, of connections that ended.", offsetof(struct counters, to_peer));
    number(&p, from, "received_bytes_total", "counter",
           "Plaintext passed from the peer, of connections that ended.",
           offsetof(struct counters, from_peer));
    number(&p, from, "kernel_tls_total", "counter", "Connections whose records the kernel took over.",
           offsetof(struct counters, kernel));
    number(&p, from, "sessions_kept_total", "counter", "Tickets that were kept to resume with.",
           offsetof(struct counters, sessions_kept));
    number(&p, from, "sessions_lost_total", "counter", "Tickets that could not be kept.",
           offsetof(struct counters, sessions_lost));
    number(&p, from, "waited_for_tickets_total", "counter",
           "Connections that waited for the tickets of another.",
           offsetof(struct counters, waited_for_tickets));
    histogram(&p, from, "handshake_seconds", "How long TLS handshakes took.",
              offsetof(struct counters, handshake));
    histogram(&p, from, "sign_wait_seconds", "How long signatures waited for their turn.",
              offsetof(struct counters, sign_wait));
    histogram(&p, from, "sign_seconds", "How long the TPM took for a handshake.",
              offsetof(struct counters, sign));
    return metrics_take(&p);
}
