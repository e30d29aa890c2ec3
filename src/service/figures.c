/* service/figures.c: the service's status as JSON and as Prometheus' text (version 0.0.4). Layer: service.
 * The figures of the store are asked from the CA's thread when they are old, and said as they were last. */
#include "net/clock.h"
#include "proxy/metrics.h"
#include "service/service_internal.h"

#define OLD_MS 5000
#define PREFIX "tpmtls_ca_"

static tt_rc ask_run(struct worker_task *t, struct ca *ca, int64_t now, struct tt_error *err)
{
    return ca_count(ca, &((struct figures *)t)->counts, now, err);
}

static void ask_done(struct worker_task *t, tt_rc rc, const struct tt_error *err)
{
    struct figures *f = (struct figures *)t;
    (void)err;
    f->is_asked = false;
    if (rc == TT_OK)
        f->at = clock_boot_ms();
}

void figures_ask(struct service *s)
{
    struct figures *f = &s->figures;
    struct tt_error err = {0};
    if (f->is_asked || (f->at != 0 && clock_boot_ms() - f->at < OLD_MS))
        return;
    f->task.run = ask_run;
    f->task.done = ask_done;
    f->is_asked = worker_do(s->worker, &f->task, &err) == TT_OK;
}

bool service_is_ready(void *arg)
{
    const struct service *s = arg;
    return !s->is_stopping;
}

json_t *service_status(void *arg)
{
    struct service *s = arg;
    figures_ask(s);
    struct ca_counts c = {0};
    if (!s->figures.is_asked || s->figures.at != 0)
        c = s->figures.counts;
    const struct service_counts *n = &s->counts;
    struct worker_counts w = worker_look(s->worker);
    json_t *root = json_pack(
        "{s:{s:I, s:I, s:I, s:I, s:I}, s:{s:I, s:I, s:I}, s:{s:I, s:I, s:I, s:I, s:I}, s:{s:I, s:I, s:I}}",
        "certificates", "valid", c.valid, "expired", c.expired, "held", c.held, "revoked", c.revoked,
        "attested", c.attested, "requests", "pending", c.pending, "approved", c.approved, "refused",
        c.refused, "served", "issued", (json_int_t)n->issued, "waits", (json_int_t)n->waiting, "refused",
        (json_int_t)n->refused, "unauthorized", (json_int_t)n->unauthorized, "failed", (json_int_t)n->failed,
        "store", "batches", (json_int_t)w.batches, "orders", (json_int_t)w.orders, "waiting",
        (json_int_t)w.waiting);
    if (root != NULL && s->publish != NULL) {
        struct publish_counts p = publish_look(s->publish);
        (void)json_object_set_new(root, "published",
                                  json_pack("{s:I, s:I, s:I}", "crl", (json_int_t)p.crl, "ocsp",
                                            (json_int_t)p.ocsp, "ocsp_kept", (json_int_t)p.ocsp_kept));
    }
    if (root != NULL) {
        (void)json_object_set_new(root, "connections",
                                  json_integer((json_int_t)http_server_connections(s->tls)));
        (void)json_object_set_new(root, "reload_error",
                                  s->reload_error[0] != '\0' ? json_string(s->reload_error) : json_null());
    }
    return root;
}

static void one(struct metrics *p, const char *name, const char *type, const char *help, long long value)
{
    metrics_family(p, name, type, help);
    metrics_add(p, "tpmtls_ca_%s %lld\n", name, value);
}

static void store_figures(struct metrics *p, const struct ca_counts *c)
{
    metrics_family(p, "certificates", "gauge", "Certificates in the store, by state.");
    metrics_add(p, "tpmtls_ca_certificates{state=\"valid\"} %lld\n", (long long)c->valid);
    metrics_add(p, "tpmtls_ca_certificates{state=\"expired\"} %lld\n", (long long)c->expired);
    metrics_add(p, "tpmtls_ca_certificates{state=\"held\"} %lld\n", (long long)c->held);
    metrics_add(p, "tpmtls_ca_certificates{state=\"revoked\"} %lld\n", (long long)c->revoked);
    one(p, "certificates_attested", "gauge", "Valid certificates whose key was proven to be in a TPM.",
        c->attested);
    one(p, "requests_pending", "gauge", "Requests that wait for a person.", c->pending);
    one(p, "tokens", "gauge", "Tokens that can still be used.", c->tokens);
}

static void served_figures(struct metrics *p, const struct service_counts *n)
{
    metrics_family(p, "enrolments_total", "counter", "Enrolments over EST, by what became of them.");
    metrics_add(p, "tpmtls_ca_enrolments_total{outcome=\"issued\"} %llu\n", (unsigned long long)n->issued);
    metrics_add(p, "tpmtls_ca_enrolments_total{outcome=\"waits\"} %llu\n", (unsigned long long)n->waiting);
    metrics_add(p, "tpmtls_ca_enrolments_total{outcome=\"refused\"} %llu\n", (unsigned long long)n->refused);
    metrics_add(p, "tpmtls_ca_enrolments_total{outcome=\"unauthorized\"} %llu\n",
                (unsigned long long)n->unauthorized);
    metrics_add(p, "tpmtls_ca_enrolments_total{outcome=\"failed\"} %llu\n", (unsigned long long)n->failed);
}

char *service_metrics(void *arg)
{
    struct service *s = arg;
    struct metrics p = {.prefix = PREFIX};
    struct worker_counts w = worker_look(s->worker);
    figures_ask(s);
    if (s->figures.at != 0 && !s->figures.is_asked)
        store_figures(&p, &s->figures.counts);
    served_figures(&p, &s->counts);
    one(&p, "commits_total", "counter", "Transactions in which certificates were issued.",
        (long long)w.batches);
    one(&p, "requests_waiting", "gauge", "Requests that wait for the CA's thread.", (long long)w.waiting);
    one(&p, "connections_open", "gauge", "TLS connections.", (long long)http_server_connections(s->tls));
    one(&p, "reload_failed", "gauge", "1 where the last reload failed and what was there before is in force.",
        s->reload_error[0] != '\0');
    if (s->publish != NULL) {
        struct publish_counts n = publish_look(s->publish);
        metrics_family(&p, "published_total", "counter", "Answers in the clear, by kind.");
        metrics_add(&p, "tpmtls_ca_published_total{kind=\"crl\"} %llu\n", (unsigned long long)n.crl);
        metrics_add(&p, "tpmtls_ca_published_total{kind=\"ocsp\"} %llu\n", (unsigned long long)n.ocsp);
    }
    return metrics_take(&p);
}
