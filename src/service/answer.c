/* service/answer.c: requests: EST's to the CA, the operator's to the page. Layer: service. */
#include <stdio.h>
#include <string.h>

#include "net/clock.h"
#include "proxy/report.h"
#include "service/enrolment.h"
#include "service/service_internal.h"

#define BUSY_S 5

/* ---- enrolment ---- */

struct asked {
    struct service *service;
    struct est_call *call;
    char from[ADDRESS_TEXT_MAX];
};

static void say_enrolled(const struct asked *a, const struct worker_verdict *v)
{
    struct service_counts *n = &a->service->counts;
    if (v->failure != NULL && v->failure->rc != TT_OK)
        report_error(REPORT_WARNING, NULL, "issue_failed", v->failure, NULL);
    switch (v->outcome) {
    case EST_ISSUED:
        n->issued++;
        report(REPORT_NOTICE, NULL, "issued", json_pack("{s:s, s:s}", "serial", v->serial, "from", a->from));
        break;
    case EST_WAITS:
        n->waiting++;
        report(REPORT_NOTICE, NULL, "waits", json_pack("{s:s}", "from", a->from));
        break;
    case EST_REFUSED:
    case EST_UNKNOWN:
        n->refused += v->outcome == EST_REFUSED;
        n->unauthorized += v->outcome == EST_UNKNOWN;
        report(REPORT_NOTICE, NULL, "refused",
               json_pack("{s:s, s:s, s:o}", "from", a->from, "word", v->word, "why",
                         report_bytes((struct tt_bytes){(const uint8_t *)v->text, strlen(v->text)})));
        break;
    default:
        n->failed++;
    }
}

static void on_enrolled(void *arg, const struct worker_verdict *v)
{
    struct asked *a = arg;
    const struct est_answer answer = {.outcome = v->outcome,
                                      .certificate = v->certificate,
                                      .retry_after_s =
                                          v->outcome == EST_WAITS ? a->service->setup.retry_after_s : BUSY_S,
                                      .text = v->text};
    say_enrolled(a, v);
    est_answer(a->call, &answer);
    mem_free(a);
}

static void enroll(void *arg, struct est_call *call, const struct est_order *order)
{
    struct service *s = arg;
    struct tt_error err = {0};
    struct asked *a = mem_alloc(sizeof *a);
    if (a != NULL) {
        a->service = s;
        a->call = call;
        (void)snprintf(a->from, sizeof a->from, "%s", order->from);
        if (worker_enroll(s->worker, order, on_enrolled, a, &err) == TT_OK)
            return;
    }
    mem_free(a);
    s->counts.failed++;
    est_answer(call, &(struct est_answer){.outcome = EST_FAILED,
                                          .retry_after_s = BUSY_S,
                                          .text = err.rc != TT_OK ? err.text : "out of memory"});
}

static const struct tt_cert_list *certificates(void *arg)
{
    const struct service *s = arg;
    return &s->known.certificates;
}

static bool has_label(void *arg, const char *label)
{
    const struct service *s = arg;
    for (size_t i = 0; i < s->known.profiles_len; i++)
        if (strcmp(s->known.profiles[i], label) == 0)
            return true;
    return false;
}

/* A nonce of its own for everybody who asks: nothing is kept of it. */
static size_t attributes(void *arg, const char *label, struct est_attr *ret, size_t cap)
{
    struct service *s = arg;
    (void)label;
    buf_consume(&s->wish, buf_size(&s->wish));
    if (s->opt.attest.policy == NULL || cap == 0 ||
        attest_desk_wish(&s->wish, &s->opt.attest, clock_wall_s()) != TT_OK)
        return 0;
    ret[0] = (struct est_attr){.oid = EST_OID_ATTEST_NONCE, .attribute = true, .values = buf_bytes(&s->wish)};
    return 1;
}

static bool other(void *arg, struct http_request *r, const char *label, const char *operation)
{
    struct service *s = arg;
    char from[ADDRESS_TEXT_MAX], text[300];
    int status;
    (void)label;
    if (s->opt.attest.policy == NULL || strcmp(operation, EST_ATTEST_OPERATION) != 0)
        return false;
    (void)snprintf(from, sizeof from, "%s", http_request_from(r));
    attest_desk_take(&s->opt.attest, r, clock_wall_s(), &status, text);
    s->counts.others++;
    report(REPORT_INFO, NULL, "asked",
           json_pack("{s:s, s:s, s:i, s:o}", "from", from, "operation", EST_ATTEST_OPERATION, "status",
                     status, "said", report_bytes((struct tt_bytes){(const uint8_t *)text, strlen(text)})));
    return true;
}

struct est_authority service_authority(struct service *s)
{
    return (struct est_authority){.enroll = enroll,
                                  .certificates = certificates,
                                  .has_label = has_label,
                                  .attributes = attributes,
                                  .other = other,
                                  .arg = s};
}

/* What the CA was not even asked for: the rest is said by say_enrolled. */
void service_told(void *arg, const struct http_request *r, const char *operation, int status,
                  const char *text)
{
    struct service *s = arg;
    bool is_enrolment = strncmp(operation, "simple", 6) == 0;
    if (status == 200 && is_enrolment)
        return;
    s->counts.others++;
    report(REPORT_INFO, NULL, "asked",
           json_pack("{s:s, s:s, s:i, s:s}", "from", http_request_from(r), "operation", operation, "status",
                     status, "said", text != NULL ? text : ""));
}

/* ---- the operator's page ---- */

struct look {
    struct worker_task task;
    struct service *service;
    struct http_request *request;
    struct buf certificate, page;
    struct board board;
    bool is_operator;
};

static tt_rc look_run(struct worker_task *t, struct ca *ca, int64_t now, struct tt_error *err)
{
    struct look *l = (struct look *)t;
    l->is_operator = holder_is(ca, buf_bytes(&l->certificate), "operator", now);
    if (!l->is_operator)
        return TT_OK;
    TT_TRY(board_gather(&l->board, ca, now, err));
    return board_render(&l->page, &l->board);
}

static void look_free(struct look *l)
{
    buf_free(&l->certificate);
    buf_free(&l->page);
    mem_free(l);
}

static void look_done(struct worker_task *t, tt_rc rc, const struct tt_error *err)
{
    static const char *const headers[][2] = {{"Cache-Control", "no-store"},
                                             {"Content-Security-Policy",
                                              "default-src 'none'; style-src 'unsafe-inline'; "
                                              "frame-ancestors 'none'; base-uri 'none'; form-action "
                                              "'none'"},
                                             {"X-Content-Type-Options", "nosniff"},
                                             {"Referrer-Policy", "no-referrer"}};
    struct look *l = (struct look *)t;
    const struct http_answer a = {.status = 200,
                                  .type = "text/html; charset=utf-8",
                                  .body = buf_bytes(&l->page),
                                  .headers = headers,
                                  .headers_len = TT_COUNT(headers)};
    if (rc != TT_OK) {
        report_error(REPORT_WARNING, NULL, "page_failed", err, NULL);
        http_answer_text(l->request, 503, "the store cannot be read at the moment\n");
    } else if (!l->is_operator) {
        http_answer_text(l->request, 403,
                         "this page is for who has a valid certificate of this CA's profile operator\n");
    } else {
        http_answer(l->request, &a);
    }
    look_free(l);
}

static void send_page(struct service *s, struct http_request *r)
{
    const struct tt_conn *conn = http_request_conn(r);
    struct tt_bytes leaf = conn != NULL ? tt_conn_peer_certificate(conn, 0) : (struct tt_bytes){NULL, 0};
    struct tt_error err = {0};
    struct look *l = leaf.len > 0 ? mem_alloc(sizeof *l) : NULL;
    if (leaf.len == 0) {
        http_answer_text(r, 403, "this page is for who shows a certificate of this CA's profile operator\n");
        return;
    }
    if (l != NULL) {
        l->task.run = look_run;
        l->task.done = look_done;
        l->service = s;
        l->request = r;
        if (buf_append(&l->certificate, leaf.data, leaf.len) == TT_OK &&
            worker_do(s->worker, &l->task, &err) == TT_OK)
            return;
        look_free(l);
    }
    http_answer_text(r, 503, "not at the moment\n");
}

/* ---- requests ---- */

void service_request(void *arg, struct http_request *r)
{
    struct service *s = arg;
    if (est_server_take(s->est, r))
        return;
    if (strcmp(http_request_path(r), "/") != 0)
        http_answer_text(r, 404, "there are /.well-known/est/ and, for operators, /\n");
    else if (http_request_method(r) == HTTP_POST)
        http_answer_text(r, 405, "nothing is posted here\n");
    else
        send_page(s, r);
}

void service_publish(void *arg, struct http_request *r)
{
    struct service *s = arg;
    publish_take(s->publish, r);
}
