/* proxy/tunnel.c: see tunnel.h. Layer: proxy. */
#include "proxy/tunnel.h"

#include <stdio.h>
#include <string.h>

#include "proxy/report.h"

const char *refusal_name(enum refusal why)
{
    static const char *const names[REFUSALS] = {
        [REFUSED_PLAINTEXT_TARGET] = "target", [REFUSED_TLS_TARGET] = "target", [REFUSED_TIMEOUT] = "timeout",
        [REFUSED_HANDSHAKE] = "handshake",     [REFUSED_TPM] = "tpm",           [REFUSED_RULE] = "rule",
        [REFUSED_ATTESTATION] = "attestation", [REFUSED_LIMIT] = "limit"};
    return names[why];
}

/* ---- counting ---- */

/* 0.25 ms, doubled each time, to 0.5 s; the last but one is 2 s. */
double histogram_bound_s(size_t bucket)
{
    return 0.00025 * (double)(1U << bucket);
}

void histogram_add(struct histogram *h, uint64_t ns)
{
    size_t at = 0;
    while (at < HISTOGRAM_BUCKETS && (double)ns > histogram_bound_s(at) * 1e9)
        at++;
    atomic_fetch_add_explicit(&h->bucket[at], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, ns / 1000, memory_order_relaxed);
}

/* ---- setups ---- */

struct tunnel_setup *tunnel_setup_get(struct tunnel *t)
{
    lock_take(&t->lock);
    struct tunnel_setup *s = t->setup;
    atomic_fetch_add_explicit(&s->holders, 1, memory_order_relaxed);
    lock_give(&t->lock);
    return s;
}

bool tunnel_setup_drop(struct tunnel_setup *s)
{
    return atomic_fetch_sub_explicit(&s->holders, 1, memory_order_acq_rel) == 1;
}

struct tunnel_setup *tunnel_install(struct tunnel *t, struct tunnel_setup *setup, int64_t now_s)
{
    atomic_store(&setup->holders, 1);
    lock_take(&t->lock);
    struct tunnel_setup *former = t->setup;
    t->setup = setup;
    t->reloaded_at = now_s;
    t->reload_error[0] = '\0';
    lock_give(&t->lock);
    return former;
}

void tunnel_reload_failed(struct tunnel *t, const struct tt_error *why)
{
    lock_take(&t->lock);
    (void)snprintf(t->reload_error, sizeof t->reload_error, "%s", why->text);
    lock_give(&t->lock);
}

/* ---- the status ---- */

static json_int_t load(const atomic_ullong *n)
{
    return (json_int_t)atomic_load_explicit(n, memory_order_relaxed);
}

static json_t *refusals(struct counters *c)
{
    json_t *all = json_object();
    for (size_t i = 0; i < REFUSALS; i++) {
        const char *name = refusal_name((enum refusal)i);
        json_int_t before = json_integer_value(json_object_get(all, name));
        (void)json_object_set_new(all, name, json_integer(before + load(&c->refused[i])));
    }
    return all;
}

json_t *tunnel_status(struct tunnel *t)
{
    struct counters *c = &t->counters;
    json_t *all = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:{s:I, s:I, s:I}, s:{s:I, s:I}}", "name",
                            t->opt.name, "role", t->opt.role == TT_CLIENT ? "client" : "server", "listen",
                            t->opt.listen, "connect", t->opt.connect, "accepted", load(&c->accepted), "open",
                            (json_int_t)atomic_load(&c->open), "refused", refusals(c), "handshakes", "full",
                            load(&c->full), "resumed", load(&c->resumed), "delegated", load(&c->delegated),
                            "bytes", "to_peer", load(&c->to_peer), "from_peer", load(&c->from_peer));
    (void)json_object_set_new(all, "kernel_tls", json_integer(load(&c->kernel)));
    lock_take(&t->lock);
    (void)json_object_set_new(all, "certificate_not_after", json_integer(t->setup->not_after));
    (void)json_object_set_new(all, "loaded_at", json_integer(t->reloaded_at));
    if (t->reload_error[0] != '\0')
        (void)json_object_set_new(all, "reload_error", report_text(t->reload_error));
    lock_give(&t->lock);
    if (t->burst != NULL)
        (void)json_object_set_new(all, "sessions",
                                  json_pack("{s:I, s:I, s:I, s:I}", "kept", load(&c->sessions_kept), "lost",
                                            load(&c->sessions_lost), "waiting",
                                            (json_int_t)burst_waiting(t->burst), "waited",
                                            load(&c->waited_for_tickets)));
    return all;
}
