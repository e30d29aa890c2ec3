/* est/server.c: see server.h. Layer: est. RFC 7030 section 4, RFC 8951. */
#include "est/server.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "est/basic.h"
#include "est/challenge.h"
#include "est/limit.h"
#include "tpmtls/attest.h"

#define ROOT         "/.well-known/est"
#define LIMITED_S    "60"
#define TEXT_MAX     820
#define OPERATION    20
#define ATTRIBUTES   16
#define AUTHENTICATE "Basic realm=\"est\", charset=\"UTF-8\""

struct est_server {
    struct est_server_options opt;
    struct est_limit *limit;
};

struct est_call {
    struct http_request *request;
    struct est_server_options opt;
    char operation[OPERATION];
    bool had_certificate;
};

/* ---- answers ---- */

static void told(const struct est_server_options *opt, const struct http_request *r, const char *operation,
                 int status, const char *text)
{
    if (opt->told != NULL)
        opt->told(opt->authority.arg, r, operation, status, text);
}

/* struct say: an answer in words. */
struct say {
    int status;
    const char *text;
    const char *header[2]; /* one besides; NULL: none */
};

static void say(const struct est_server_options *opt, struct http_request *r, const char *operation,
                const struct say *what)
{
    char line[TEXT_MAX];
    const char *const headers[][2] = {{"Cache-Control", "no-store"}, {what->header[0], what->header[1]}};
    int n = snprintf(line, sizeof line, "%s\n", what->text);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    const struct http_answer a = {.status = what->status,
                                  .type = "text/plain; charset=utf-8",
                                  .body = {(const uint8_t *)line, len},
                                  .headers = headers,
                                  .headers_len = what->header[0] != NULL ? 2 : 1};
    told(opt, r, operation, what->status, what->text);
    http_answer(r, &a);
}

/* The header of RFC 7030, which RFC 8951 has clients ignore: older ones insist on it. */
static void send_body(const struct est_server_options *opt, struct http_request *r, const char *operation,
                      const char *type, struct tt_bytes body)
{
    static const char *const headers[][2] = {{"Content-Transfer-Encoding", "base64"},
                                             {"Cache-Control", "no-store"}};
    const struct http_answer a = {
        .status = 200, .type = type, .body = body, .headers = headers, .headers_len = 2};
    told(opt, r, operation, 200, NULL);
    http_answer(r, &a);
}

static void say_no_memory(const struct est_server_options *opt, struct http_request *r, const char *operation)
{
    say(opt, r, operation,
        &(struct say){.status = 503, .text = "out of memory", .header = {"Retry-After", "10"}});
}

/* ---- certificates and attributes, for everybody ---- */

static void cacerts(struct est_server *s, struct http_request *r, const char *label)
{
    TT_AUTO(buf_free) struct buf body = {0};
    const struct tt_cert_list *certs = s->opt.authority.certificates(s->opt.authority.arg);
    (void)label;
    if (certs == NULL)
        say(&s->opt, r, "cacerts",
            &(struct say){.status = 503, .text = "not ready", .header = {"Retry-After", "10"}});
    else if (est_certs_write(&body, certs) != TT_OK)
        say_no_memory(&s->opt, r, "cacerts");
    else
        send_body(&s->opt, r, "cacerts", EST_TYPE_CERTS, buf_bytes(&body));
}

static void csrattrs(struct est_server *s, struct http_request *r, const char *label)
{
    TT_AUTO(buf_free) struct buf body = {0};
    struct est_attr list[ATTRIBUTES];
    size_t n = 0;
    if (s->opt.binding == EST_BINDING_REQUIRED)
        list[n++] = (struct est_attr){.oid = EST_OID_CHALLENGE_PASSWORD};
    if (s->opt.authority.attributes != NULL)
        n += s->opt.authority.attributes(s->opt.authority.arg, label, list + n, ATTRIBUTES - n);
    if (n == 0) { /* RFC 7030 section 4.5.2 */
        told(&s->opt, r, "csrattrs", 204, NULL);
        http_answer(r, &(struct http_answer){.status = 204});
    } else if (est_csrattrs_write(&body, list, n) != TT_OK) {
        say_no_memory(&s->opt, r, "csrattrs");
    } else {
        send_body(&s->opt, r, "csrattrs", EST_TYPE_CSRATTRS, buf_bytes(&body));
    }
}

/* ---- enrolment ---- */

static int status_of(const struct est_call *call, enum est_outcome outcome)
{
    switch (outcome) {
    case EST_WAITS:
        return 202;
    case EST_REFUSED:
        return 400;
    case EST_UNKNOWN:
        return call->had_certificate ? 403 : 401;
    default:
        return 503;
    }
}

static void send_certificate(struct est_call *call, struct tt_bytes der)
{
    TT_AUTO(buf_free) struct buf body = {0};
    struct tt_bytes one[1] = {der};
    const struct tt_cert_list list = {.certs = one, .len = 1};
    if (est_certs_write(&body, &list) != TT_OK)
        say_no_memory(&call->opt, call->request, call->operation);
    else
        send_body(&call->opt, call->request, call->operation, EST_TYPE_CERTS, buf_bytes(&body));
}

void est_answer(struct est_call *call, const struct est_answer *answer)
{
    char seconds[16];
    if (answer->outcome == EST_ISSUED) {
        send_certificate(call, answer->certificate);
    } else {
        struct say what = {.status = status_of(call, answer->outcome), .text = answer->text};
        if (what.status == 202 || what.status == 503) {
            (void)snprintf(seconds, sizeof seconds, "%u", answer->retry_after_s);
            what.header[0] = "Retry-After";
            what.header[1] = seconds;
        } else if (what.status == 401) {
            what.header[0] = "WWW-Authenticate";
            what.header[1] = AUTHENTICATE;
        }
        say(&call->opt, call->request, call->operation, &what);
    }
    mem_free(call);
}

static bool is_pkcs10(const struct http_request *r)
{
    const char *type = http_request_header(r, "Content-Type");
    size_t n = sizeof EST_TYPE_PKCS10 - 1;
    return type != NULL && strncasecmp(type, EST_TYPE_PKCS10, n) == 0 &&
           (type[n] == '\0' || type[n] == ';' || type[n] == ' ');
}

/* The client's, as the handshake proved it: X.509 alone. */
static struct tt_bytes certificate_of(const struct http_request *r)
{
    const struct tt_conn *conn = http_request_conn(r);
    struct tt_conn_info info;
    if (conn == NULL)
        return (struct tt_bytes){NULL, 0};
    tt_conn_info(conn, &info);
    return info.peer_chain_len > 0 && info.peer_certificate_type == TT_CERTIFICATE_X509
               ? tt_conn_peer_certificate(conn, 0)
               : (struct tt_bytes){NULL, 0};
}

static bool may_ask(struct est_server *s, const struct http_request *r, struct tt_bytes certificate)
{
    const char *from = http_request_from(r), *colon = strrchr(from, ':');
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    struct tt_bytes who = certificate;
    if (who.len == 0)
        who = (struct tt_bytes){(const uint8_t *)from, colon != NULL ? (size_t)(colon - from) : strlen(from)};
    return est_limit_take(s->limit, who, (int64_t)now.tv_sec);
}

/* What is asked beside an enrolment (a challenge) is as much work, and has its own count. */
static bool may_ask_other(struct est_server *s, const struct http_request *r)
{
    char who[ADDRESS_TEXT_MAX + 8];
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    (void)snprintf(who, sizeof who, "other %s", http_request_from(r));
    char *colon = strrchr(who, ':');
    size_t len = colon != NULL ? (size_t)(colon - who) : strlen(who);
    return est_limit_take(s->limit, (struct tt_bytes){(const uint8_t *)who, len}, (int64_t)now.tv_sec);
}

/* NULL: it is as it has to be, or, with *ret_unbound, was when it came (struct est_order). */
static const char *binding_fault(const struct est_server *s, const struct http_request *r,
                                 struct tt_bytes csr, const char **ret_unbound)
{
    struct tt_bytes text = {NULL, 0};
    uint8_t binding[32];
    const struct tt_conn *conn = http_request_conn(r);
    if (s->opt.binding == EST_BINDING_OFF)
        return NULL;
    switch (est_challenge_find(&text, csr)) {
    case EST_CHALLENGE_NONE:
        return s->opt.binding == EST_BINDING_OFFERED
                   ? NULL
                   : "binding: the request has no challengePassword; this server wants the base64 of the "
                     "connection's tls-exporter (RFC 9266) there";
    case EST_CHALLENGE_DAMAGED:
        return "binding: the challengePassword of the request is damaged, or there are two";
    case EST_CHALLENGE_UNREADABLE:
        return "damaged: the body is no PKCS#10 in DER";
    default:
        break;
    }
    if (conn != NULL && tt_conn_channel_binding(conn, binding) == TT_OK && est_challenge_is(text, binding))
        return NULL;
    *ret_unbound =
        "the challengePassword of the request is not the tls-exporter (RFC 9266) of the connection "
        "that it came by";
    return NULL;
}

struct enrolment {
    const char *operation;
    bool renews;
    struct est_order order;
    struct est_basic basic;
    struct buf csr;
};

static bool has_evidence(const struct buf *csr)
{
    uint8_t *evidence = NULL;
    size_t len = 0;
    bool there = tt_csr_evidence(&evidence, &len, buf_bytes(csr), NULL) == TT_OK;
    tt_free(evidence);
    return there;
}

/* What is wrong before anybody looks into the request itself: status 0: nothing. */
static struct say look(struct est_server *s, struct http_request *r, struct enrolment *e)
{
    struct tt_error err = {0};
    const char *authorization = http_request_header(r, "Authorization");
    e->order.certificate = certificate_of(r);
    if (!may_ask(s, r, e->order.certificate))
        return (struct say){429, "too many requests within a minute", {"Retry-After", LIMITED_S}};
    if (http_request_count(r, "Authorization") > 1)
        return (struct say){400, "there are two headers Authorization", {NULL}};
    if (e->renews && e->order.certificate.len == 0)
        return (struct say){403, "a renewal is asked for with the certificate that is to be renewed", {NULL}};
    if (!e->renews && authorization != NULL && est_basic_read(&e->basic, authorization))
        e->order.password = e->basic.password;
    bool is_nobody = e->order.certificate.len == 0 && e->order.password == NULL;
    if (is_nobody && !s->opt.takes_evidence)
        return (struct say){401,
                            "show a certificate of this CA in the handshake, or the password of a token",
                            {"WWW-Authenticate", AUTHENTICATE}};
    if (!is_pkcs10(r))
        return (struct say){415, "the Content-Type of a request is " EST_TYPE_PKCS10, {NULL}};
    if (est_body_read(&e->csr, http_request_body(r), &err) != TT_OK)
        return (struct say){400, "damaged: the body is no base64 of a request (RFC 8951)", {NULL}};
    if (is_nobody && !has_evidence(&e->csr))
        return (struct say){401,
                            "show a certificate of this CA in the handshake, the password of a token, or "
                            "evidence that the key is in a TPM",
                            {"WWW-Authenticate", AUTHENTICATE}};
    const char *fault = binding_fault(s, r, buf_bytes(&e->csr), &e->order.unbound);
    return fault != NULL ? (struct say){400, fault, {NULL}} : (struct say){0};
}

static void enroll(struct est_server *s, struct http_request *r, const char *label, bool renews)
{
    struct enrolment e = {.operation = renews ? "simplereenroll" : "simpleenroll", .renews = renews};
    struct say fault = look(s, r, &e);
    struct est_call *call = fault.status == 0 ? mem_alloc(sizeof *call) : NULL;
    if (fault.status != 0) {
        say(&s->opt, r, e.operation, &fault);
    } else if (call == NULL) {
        say_no_memory(&s->opt, r, e.operation);
    } else {
        *call = (struct est_call){.request = r, .opt = s->opt, .had_certificate = e.order.password == NULL};
        (void)snprintf(call->operation, sizeof call->operation, "%s", e.operation);
        e.order.csr = buf_bytes(&e.csr);
        e.order.label = label;
        e.order.renews = renews;
        e.order.from = http_request_from(r);
        s->opt.authority.enroll(s->opt.authority.arg, call, &e.order);
    }
    buf_free(&e.csr);
    est_basic_wipe(&e.basic);
}

static void simpleenroll(struct est_server *s, struct http_request *r, const char *label)
{
    enroll(s, r, label, false);
}

static void simplereenroll(struct est_server *s, struct http_request *r, const char *label)
{
    enroll(s, r, label, true);
}

static void serverkeygen(struct est_server *s, struct http_request *r, const char *label)
{
    (void)label;
    say(&s->opt, r, "serverkeygen",
        &(struct say){.status = 403,
                      .text =
                          "no keys are made here: a key belongs into the TPM of the machine that uses it; "
                          "make it there and ask /simpleenroll"});
}

static void fullcmc(struct est_server *s, struct http_request *r, const char *label)
{
    (void)label;
    say(&s->opt, r, "fullcmc",
        &(struct say){.status = 501, .text = "there is no CMC here: ask /simpleenroll"});
}

/* ---- paths ---- */

static const struct {
    const char *name;
    bool is_post;
    void (*take)(struct est_server *s, struct http_request *r, const char *label);
} operations[] = {
    {"cacerts", false, cacerts},          {"csrattrs", false, csrattrs},
    {"simpleenroll", true, simpleenroll}, {"simplereenroll", true, simplereenroll},
    {"serverkeygen", true, serverkeygen}, {"fullcmc", true, fullcmc},
};

static bool is_label(const char *s, size_t n)
{
    static const char *const others = "-._~";
    for (size_t i = 0; i < n; i++)
        if (!(s[i] >= 'a' && s[i] <= 'z') && !(s[i] >= 'A' && s[i] <= 'Z') && !(s[i] >= '0' && s[i] <= '9') &&
            strchr(others, s[i]) == NULL)
            return false;
    return n > 0 && n <= EST_LABEL_MAX;
}

static void not_found(struct est_server *s, struct http_request *r)
{
    say(&s->opt, r, "", &(struct say){.status = 404, .text = "EST has no such path here"});
}

static void take(struct est_server *s, struct http_request *r, const char *label, const char *name)
{
    size_t i = 0;
    while (i < TT_COUNT(operations) && strcmp(operations[i].name, name) != 0)
        i++;
    bool is_post = http_request_method(r) == HTTP_POST;
    if (label != NULL && !s->opt.authority.has_label(s->opt.authority.arg, label)) {
        say(&s->opt, r, "", &(struct say){.status = 404, .text = "there is no profile of that name here"});
    } else if (i == TT_COUNT(operations) && is_post && !may_ask_other(s, r)) {
        say(&s->opt, r, "",
            &(struct say){429, "too many requests within a minute", {"Retry-After", LIMITED_S}});
    } else if (i == TT_COUNT(operations)) {
        if (s->opt.authority.other == NULL || !s->opt.authority.other(s->opt.authority.arg, r, label, name))
            not_found(s, r);
    } else if (operations[i].take != serverkeygen && operations[i].take != fullcmc &&
               operations[i].is_post != is_post) {
        say(&s->opt, r, name,
            &(struct say){.status = 405,
                          .text = is_post ? "ask for this with GET" : "ask for this with POST",
                          .header = {"Allow", is_post ? "GET, HEAD" : "POST"}});
    } else {
        operations[i].take(s, r, label);
    }
}

bool est_server_take(struct est_server *s, struct http_request *r)
{
    const char *path = http_request_path(r);
    size_t root = sizeof ROOT - 1;
    char label[EST_LABEL_MAX + 1];
    if (strncmp(path, ROOT, root) != 0 || (path[root] != '\0' && path[root] != '/'))
        return false;
    const char *first = path[root] == '/' ? path + root + 1 : "", *slash = strchr(first, '/');
    if (slash == NULL) {
        take(s, r, NULL, first);
    } else if (!is_label(first, (size_t)(slash - first)) || strchr(slash + 1, '/') != NULL) {
        not_found(s, r);
    } else {
        (void)snprintf(label, sizeof label, "%.*s", (int)(slash - first), first);
        take(s, r, label, slash + 1);
    }
    return true;
}

/* ---- life ---- */

tt_rc est_server_new(struct est_server **ret, const struct est_server_options *opt, struct tt_error *err)
{
    struct est_server *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for the EST server");
    s->opt = *opt;
    tt_rc rc = est_limit_new(&s->limit, opt->a_minute, err);
    if (rc != TT_OK) {
        mem_free(s);
        return rc;
    }
    *ret = s;
    return TT_OK;
}

void est_server_set(struct est_server *s, enum est_binding binding, unsigned a_minute)
{
    s->opt.binding = binding;
    est_limit_set(s->limit, a_minute);
}

void est_server_free(struct est_server *s)
{
    if (s == NULL)
        return;
    est_limit_free(s->limit);
    mem_free(s);
}
