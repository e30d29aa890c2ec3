/* service/service.c: see service.h. Layer: service. The loop's thread serves; the CA and the server's own key
 * have a thread each (worker.h, net/sign_queue.h). */
#include "service/service.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "proxy/report.h"
#include "service/service_internal.h"

#define RELOAD_DEADLINE_MS 60000

/* ---- what is known of the CA ---- */

static tt_rc add_certificates(struct shown *k, const struct tt_cert_list *list, size_t *offsets, size_t *n)
{
    for (size_t i = 0; i < list->len; i++) {
        offsets[(*n)++] = buf_size(&k->bytes);
        TT_TRY(buf_append(&k->bytes, list->certs[i].data, list->certs[i].len));
    }
    return TT_OK;
}

static void show_key(struct shown *k, const char *id, struct tt_bytes der)
{
    struct publish_key *key = &k->keys[k->keys_len];
    if (id[0] == '\0' || k->keys_len == TT_COUNT(k->keys))
        return;
    for (size_t i = 0; i < k->certificates.len; i++) {
        struct tt_bytes ours = k->certificates.certs[i];
        if (ours.data != NULL && ours.len == der.len && memcmp(ours.data, der.data, der.len) == 0) {
            key->certificate = ours;
            (void)snprintf(key->id, sizeof key->id, "%s", id);
            k->keys_len++;
            return;
        }
    }
}

static tt_rc shown_fill(struct shown *k, const struct ca *ca)
{
    const struct tt_cert_list *chain = ca_chain(ca), *more = ca_rollover(ca);
    size_t all = chain->len + (more != NULL ? more->len : 0), n = 0;
    size_t *offsets = mem_alloc((all + 1) * sizeof *offsets);
    k->certificates.certs = mem_alloc(all * sizeof(struct tt_bytes));
    tt_rc rc = offsets == NULL || k->certificates.certs == NULL ? TT_ERR_MEMORY
                                                                : add_certificates(k, chain, offsets, &n);
    if (rc == TT_OK && more != NULL)
        rc = add_certificates(k, more, offsets, &n);
    for (size_t i = 0; rc == TT_OK && i < n; i++) {
        size_t end = i + 1 < n ? offsets[i + 1] : buf_size(&k->bytes);
        k->certificates.certs[i] = (struct tt_bytes){buf_front(&k->bytes) + offsets[i], end - offsets[i]};
    }
    k->certificates.len = n;
    k->chain_len = chain->len;
    mem_free(offsets);
    return rc;
}

tt_rc shown_read(struct shown *ret, const struct ca *ca, struct tt_error *err)
{
    struct shown k = {0};
    const char *const *profiles = ca_profile_names(ca);
    if (shown_fill(&k, ca) != TT_OK) {
        shown_free(&k);
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    }
    show_key(&k, ca_key_id(ca), ca_certificate(ca));
    for (size_t i = 0; i < ca_former_count(ca); i++)
        show_key(&k, ca_former_key_id(ca, i), ca_former_certificate(ca, i));
    for (size_t i = 0; profiles != NULL && profiles[i] != NULL && k.profiles_len < PROFILES_MAX; i++) {
        k.attested[k.profiles_len] = ca_profile_demands_attestation(ca, profiles[i]);
        (void)snprintf(k.profiles[k.profiles_len++], sizeof k.profiles[0], "%s", profiles[i]);
    }
    *ret = k;
    return TT_OK;
}

void shown_free(struct shown *k)
{
    buf_free(&k->bytes);
    mem_free(k->certificates.certs);
    *k = (struct shown){0};
}

static tt_rc publish_shown(struct service *s, struct tt_error *err)
{
    const struct shown *k = &s->known;
    const struct publish_shown what = {.chain = {.certs = k->certificates.certs, .len = k->chain_len},
                                       .keys = k->keys,
                                       .keys_len = k->keys_len};
    return publish_set(s->publish, &what, err);
}

/* ---- reload: the CA's directory on its thread, then our own files on the TPM's ---- */

struct reload {
    struct worker_task task;
    struct service *service;
    struct shown known;
    struct service_setup setup;
    struct sign_job *job;
    atomic_uint holders; /* the loop's and the queue's */
};

static void reload_start(struct service *s);

static void reload_drop(void *arg)
{
    struct reload *r = arg;
    if (atomic_fetch_sub_explicit(&r->holders, 1, memory_order_acq_rel) > 1)
        return;
    shown_free(&r->known);
    tt_config_free(r->setup.config);
    mem_free(r);
}

static void reload_end(struct service *s, const struct tt_error *why)
{
    struct reload *r = TT_TAKE(s->reload);
    (void)snprintf(s->reload_error, sizeof s->reload_error, "%.250s", why != NULL ? why->text : "");
    if (why != NULL)
        report_error(REPORT_WARNING, NULL, "reload_failed", why,
                     json_pack("{s:s}", "in_force", "what was there before"));
    else
        report(REPORT_NOTICE, NULL, "reloaded", NULL);
    reload_drop(r);
    (void)notify_ready(s->notify);
    if (s->reload_again) {
        s->reload_again = false;
        reload_start(s);
    }
}

static void install(struct service *s, struct reload *r)
{
    struct tt_error err = {0};
    struct shown former = s->known;
    struct tt_config *former_config = s->setup.config;
    s->known = r->known;
    r->known = former;
    s->setup = r->setup;
    r->setup.config = former_config;
    http_server_use(s->tls, s->setup.config);
    est_server_set(s->est, s->setup.binding, s->setup.a_minute);
    if (s->publish != NULL && publish_shown(s, &err) != TT_OK)
        report_error(REPORT_WARNING, NULL, "reload_failed", &err, NULL);
}

static tt_rc make_run(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    struct reload *r = arg;
    (void)tpm;
    return r->service->opt.make(r->service->opt.arg, &r->setup, &r->known.certificates, err);
}

static void make_done(void *arg, const struct sign_answer *answer)
{
    struct service *s = arg;
    s->reload->job = NULL;
    if (answer->error.rc == TT_OK)
        install(s, s->reload);
    reload_end(s, answer->error.rc != TT_OK ? &answer->error : NULL);
}

static tt_rc read_run(struct worker_task *t, struct ca *ca, int64_t now, struct tt_error *err)
{
    struct reload *r = (struct reload *)t;
    (void)now;
    TT_TRY(worker_read_again(r->service->worker, &ca, err));
    return shown_read(&r->known, ca, err);
}

static void read_done(struct worker_task *t, tt_rc rc, const struct tt_error *err)
{
    struct reload *r = (struct reload *)t;
    struct service *s = r->service;
    struct tt_error why = {0};
    const struct sign_work work = {.run = make_run, .release = reload_drop, .arg = r};
    const struct sign_request request = {
        .work = &work, .class = SIGN_OTHER, .deadline_ms = RELOAD_DEADLINE_MS, .done = make_done, .arg = s};
    if (rc != TT_OK || s->is_stopping) {
        reload_end(s, rc != TT_OK ? err : NULL);
        return;
    }
    atomic_store(&r->holders, 2);
    if (sign_queue_submit(s->queue, &r->job, &request, &why) == TT_OK)
        return;
    atomic_store(&r->holders, 1); /* the queue did not take it */
    reload_end(s, &why);
}

static void reload_start(struct service *s)
{
    struct tt_error err = {0};
    if (s->is_stopping)
        return;
    if (s->reload != NULL) {
        s->reload_again = true;
        return;
    }
    struct reload *r = mem_alloc(sizeof *r);
    if (r == NULL)
        return;
    r->task.run = read_run;
    r->task.done = read_done;
    r->service = s;
    atomic_store(&r->holders, 1);
    s->reload = r;
    (void)notify_reloading(s->notify);
    if (worker_do(s->worker, &r->task, &err) != TT_OK)
        reload_end(s, &err);
}

static void on_files_changed(void *arg)
{
    reload_start(arg);
}

/* ---- signals ---- */

static void on_hup(evutil_socket_t number, short what, void *arg)
{
    (void)number;
    (void)what;
    reload_start(arg);
}

static void on_stopped(void *arg)
{
    struct service *s = arg;
    if (--s->stopping == 0)
        (void)event_base_loopbreak(s->base);
}

static void on_term(evutil_socket_t number, short what, void *arg)
{
    struct service *s = arg;
    (void)what;
    if (s->is_stopping)
        _exit(128 + (int)number); /* asked twice: at once; what was answered is in the store */
    s->is_stopping = true;
    (void)notify_stopping(s->notify);
    report(REPORT_NOTICE, NULL, "stopping", json_pack("{s:i}", "signal", (int)number));
    s->stopping = s->clear != NULL ? 2 : 1;
    http_server_stop(s->tls, s->opt.shutdown_timeout_s, on_stopped, s);
    if (s->clear != NULL)
        http_server_stop(s->clear, s->opt.shutdown_timeout_s, on_stopped, s);
}

static tt_rc watch_signals(struct service *s, struct tt_error *err)
{
    s->signals[0] = evsignal_new(s->base, SIGHUP, on_hup, s);
    s->signals[1] = evsignal_new(s->base, SIGTERM, on_term, s);
    s->signals[2] = evsignal_new(s->base, SIGINT, on_term, s);
    for (size_t i = 0; i < TT_COUNT(s->signals); i++)
        if (s->signals[i] == NULL || event_add(s->signals[i], NULL) != 0)
            return error_set(err, TT_ERR_IO, "cannot watch for signals");
    return TT_OK;
}

/* ---- start ---- */

static void on_tend_failed(void *arg, const struct tt_error *err)
{
    (void)arg;
    report_error(REPORT_WARNING, NULL, "tend_failed", err, NULL);
}

static void on_connection_failed(void *arg, const char *from, const struct tt_error *error)
{
    (void)arg;
    report_error(REPORT_INFO, NULL, "connection_failed", error, json_pack("{s:s}", "from", from));
}

static tt_rc listen_at(struct service *s, struct http_server **ret, const char *where,
                       const struct http_server_options *opt, const char *what, struct tt_error *err)
{
    struct listeners at;
    (void)s;
    TT_TRY(listen_open(&at, where, err));
    for (size_t i = 0; i < at.n; i++)
        report(REPORT_NOTICE, NULL, "listening", json_pack("{s:s, s:s}", "address", at.name[i], "for", what));
    tt_rc rc = http_server_open(ret, &at, opt, err);
    if (rc != TT_OK)
        listen_close(&at);
    return rc;
}

static tt_rc start_servers(struct service *s, struct tt_error *err)
{
    struct http_server_options opt = {.base = s->base,
                                      .config = s->setup.config,
                                      .signer = s->queue,
                                      .connections = s->opt.connections,
                                      .body_max = SERVICE_BODY_MAX,
                                      .request = service_request,
                                      .failed = on_connection_failed,
                                      .arg = s};
    const struct est_server_options est = {.authority = service_authority(s),
                                           .binding = s->setup.binding,
                                           .takes_evidence = s->opt.attest.policy != NULL,
                                           .a_minute = s->setup.a_minute,
                                           .told = service_told};
    TT_TRY(est_server_new(&s->est, &est, err));
    TT_TRY(listen_at(s, &s->tls, s->opt.listen, &opt, "est", err));
    if (s->opt.publish == NULL)
        return TT_OK;
    opt.config = NULL;
    opt.body_max = PUBLISH_OCSP_MAX;
    opt.headers_max = 2 * PUBLISH_OCSP_MAX; /* a request by GET */
    opt.request = service_publish;
    TT_TRY(publish_new(&s->publish, s->worker, err));
    TT_TRY(publish_shown(s, err));
    return listen_at(s, &s->clear, s->opt.publish, &opt, "publish", err);
}

static tt_rc start(struct service *s, struct ca **ca, struct tt_error *err)
{
    TT_TRY(shown_read(&s->known, *ca, err));
    TT_TRY(watch_new(&s->watch, s->base, s->opt.watched, s->opt.watched_len, on_files_changed, s, err));
    TT_TRY(s->opt.make(s->opt.arg, &s->setup, &s->known.certificates, err));
    const struct sign_queue_options queue = {.base = s->base,
                                             .tpm = s->opt.tpm != NULL ? *s->opt.tpm : NULL,
                                             .deadline_ms = s->opt.sign_deadline_ms};
    TT_TRY(sign_queue_new(&s->queue, &queue, err));
    const struct worker_options worker = {.base = s->base,
                                          .ca = *ca,
                                          .place = s->opt.place,
                                          .keys = s->opt.keys,
                                          .keys_arg = s->opt.arg,
                                          .attest = &s->opt.attest,
                                          .tend_failed = on_tend_failed,
                                          .arg = s};
    TT_TRY(worker_begin(&s->worker, &worker, err));
    *ca = NULL; /* the worker's */
    TT_TRY(watch_signals(s, err));
    TT_TRY(start_servers(s, err));
    if (s->opt.status != NULL) {
        const struct status_source source = {
            .status = service_status, .metrics = service_metrics, .is_ready = service_is_ready, .arg = s};
        TT_TRY(status_open(&s->status, s->base, s->opt.status, &source, err));
        report(REPORT_NOTICE, NULL, "status", json_pack("{s:s}", "address", status_address(s->status)));
    }
    TT_TRY(notify_new(&s->notify, s->base, err));
    if (s->opt.started != NULL)
        s->opt.started(s->opt.arg);
    figures_ask(s);
    return TT_OK;
}

/* ---- end ---- */

/* What the CA's thread still does is answered first: then the servers go. */
static void end(struct service *s)
{
    status_free(s->status);
    watch_free(s->watch);
    worker_end(s->worker);
    http_server_free(s->tls);
    http_server_free(s->clear);
    if (s->reload != NULL) {
        sign_job_cancel(s->reload->job);
        reload_drop(s->reload);
    }
    sign_queue_free(s->queue);
    publish_free(s->publish);
    est_server_free(s->est);
    for (size_t i = 0; i < TT_COUNT(s->signals); i++)
        if (s->signals[i] != NULL)
            event_free(s->signals[i]);
    notify_free(s->notify);
    tt_config_free(s->setup.config);
    shown_free(&s->known);
    buf_free(&s->wish);
    report_flush();
}

tt_rc service_run(const struct service_options *opt, struct tt_error *err)
{
    struct service *s = mem_alloc(sizeof *s);
    struct ca *ca = opt->ca;
    if (s == NULL) {
        ca_close(ca);
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    }
    s->opt = *opt;
    s->base = opt->base;
    s->figures.of = s;
    tt_rc rc = start(s, &ca, err);
    if (rc == TT_OK) {
        (void)notify_ready(s->notify);
        (void)event_base_dispatch(s->base);
    }
    ca_close(ca);
    s->is_stopping = true;
    end(s);
    mem_free(s);
    return rc;
}
