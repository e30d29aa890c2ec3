/* est/client.c: see client.h. Layer: est. RFC 7030 sections 3.2, 4.1, 4.2, 4.5. */
#include "est/client.h"

#include <errno.h>
#include <event2/event.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/mem.h"
#include "http/client.h"
#include "net/clock.h"
#include "net/loop.h"
#include "net/sign_queue.h"
#include "wire/base64.h"

#define REDIRECTS_MAX 5
#define AGAIN_MAX     3 /* connections that a server closes under a question */
#define WEEK_S        (7 * 86400)
#define WORK_MS       60000
#define TEXT_MAX      160

struct est_client {
    struct est_client_options opt;
    char *authorization;
    struct event_base *base;
    struct sign_queue *queue;
    struct http_client *http;   /* NULL: no connection */
    bool is_connected, is_kept; /* is_kept: it has answered before, so its end means nothing */
    struct tt_error lost;       /* why it ended */
    /* The question that is open. */
    bool is_done;
    struct tt_error failure;
    int status;
    struct buf body;
    char location[1024], retry_after[64], type[64];
};

/* ---- where ---- */

static tt_rc bad_server(const char *text, struct tt_error *err)
{
    (void)error_set(err, TT_ERR_USAGE, "'%.150s' is not HOST[:PORT][/LABEL]", text);
    error_hint(err, "for instance --server est.example.org or --server [2001:db8::1]:8443/devices");
    return TT_ERR_USAGE;
}

static bool label_ok(const char *label)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-";
    size_t n = strlen(label);
    return n > 0 && n <= 64 && strspn(label, good) == n;
}

/* "host", "host:1", "[::1]", "[::1]:1" */
static bool has_port(const char *host)
{
    const char *bracket = strrchr(host, ']');
    return strchr(bracket != NULL ? bracket : host, ':') != NULL;
}

tt_rc est_at_parse(struct est_at *ret, const char *text, struct tt_error *err)
{
    static const char https[] = "https://", well_known[] = "/.well-known/est";
    char host[300], with_port[310];
    struct est_at at = {0};
    const char *from = strncmp(text, https, strlen(https)) == 0 ? text + strlen(https) : text;
    size_t n = strcspn(from, "/");
    const char *label = from + n;
    if (strncmp(label, well_known, strlen(well_known)) == 0)
        label += strlen(well_known);
    label += label[0] == '/';
    if (n == 0 || n >= sizeof host || (label[0] != '\0' && !label_ok(label)))
        return bad_server(text, err);
    (void)snprintf(host, sizeof host, "%.*s", (int)n, from);
    (void)snprintf(with_port, sizeof with_port, "%s%s", host, has_port(host) ? "" : ":443");
    TT_TRY(address_parse(&at.address, with_port, err));
    if (at.address.host[0] == '\0')
        return bad_server(text, err);
    bool is_v6 = strchr(at.address.name, ':') != NULL;
    (void)snprintf(at.origin, sizeof at.origin, "%s%s%s:%s", is_v6 ? "[" : "", at.address.name,
                   is_v6 ? "]" : "", at.address.port);
    (void)snprintf(at.path, sizeof at.path, "%s%s%s", well_known, label[0] != '\0' ? "/" : "", label);
    *ret = at;
    return TT_OK;
}

/* ---- who asks ---- */

/* A password alone needs a name all the same; servers of tokens pass over it. */
tt_rc est_basic_make(char **ret, const char *token, struct tt_error *err)
{
    static const char basic[] = "Basic ", user[] = "token:";
    TT_AUTO(buf_free) struct buf text = {0}, header = {0};
    bool alone = strchr(token, ':') == NULL;
    if ((alone && buf_append(&text, user, strlen(user)) != TT_OK) ||
        buf_append(&text, token, strlen(token)) != TT_OK ||
        buf_append(&header, basic, strlen(basic)) != TT_OK || base64_put(&header, buf_bytes(&text)) != TT_OK)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    *ret = mem_dup(buf_front(&header), buf_size(&header));
    return *ret != NULL ? TT_OK : error_set(err, TT_ERR_MEMORY, "out of memory");
}

/* ---- a client ---- */

tt_rc est_client_new(struct est_client **ret, const struct est_client_options *opt, struct tt_error *err)
{
    struct est_client *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    c->opt = *opt;
    c->opt.config = tt_config_ref(opt->config);
    c->authorization = opt->authorization != NULL ? mem_strdup(opt->authorization) : NULL;
    tt_rc rc = opt->authorization != NULL && c->authorization == NULL
                   ? error_set(err, TT_ERR_MEMORY, "out of memory")
                   : loop_new(&c->base, false, err);
    if (rc == TT_OK && opt->has_identity)
        rc = sign_queue_new(&c->queue, &(struct sign_queue_options){.base = c->base, .tpm = opt->tpm}, err);
    if (rc == TT_OK)
        *ret = c;
    else
        est_client_free(c);
    return rc;
}

void est_client_free(struct est_client *c)
{
    if (c == NULL)
        return;
    http_client_free(c->http);
    sign_queue_free(c->queue);
    if (c->base != NULL)
        event_base_free(c->base);
    tt_config_free(c->opt.config);
    mem_free(c->authorization);
    buf_free(&c->body);
    mem_free(c);
}

/* Until what is waited for has come; each of them has its own limit of time. */
static void run_until_done(struct est_client *c)
{
    while (!c->is_done && event_base_loop(c->base, EVLOOP_ONCE) == 0)
        ;
}

/* ---- the connection ---- */

static void on_connected(void *arg, struct http_client *http)
{
    struct est_client *c = arg;
    (void)http;
    c->is_connected = c->is_done = true;
}

static void on_closed(void *arg, struct http_client *http, const struct tt_error *error)
{
    struct est_client *c = arg;
    (void)http;
    c->is_connected = false;
    if (error != NULL)
        c->lost = *error;
    else
        (void)error_set(&c->lost, TT_ERR_CLOSED, "%s ended the connection", c->opt.at.origin);
    if (!c->is_done && c->failure.rc == TT_OK)
        c->failure = c->lost;
    c->is_done = true;
}

static tt_rc fail(struct tt_error *err, const struct tt_error *why)
{
    if (why->hint[0] != '\0')
        error_hint(err, "%s", why->hint);
    return error_set(err, why->rc != TT_OK ? why->rc : TT_ERR_CLOSED, "%s", why->text);
}

static tt_rc connect_now(struct est_client *c, struct tt_error *err)
{
    if (c->http != NULL && c->is_connected)
        return TT_OK;
    http_client_free(TT_TAKE(c->http));
    const struct http_client_options opt = {
        .stream = {.base = c->base,
                   .config = c->opt.config,
                   .server_name = c->opt.at.address.name,
                   .peer = c->opt.at.origin,
                   .signer = c->queue},
        .body_max = EST_BODY_MAX,
        .connected = on_connected,
        .closed = on_closed,
        .arg = c,
    };
    c->is_done = c->is_kept = false;
    c->failure = c->lost = (struct tt_error){0};
    TT_TRY(http_client_open(&c->http, &c->opt.at.address, &opt, err));
    run_until_done(c);
    return c->is_connected ? TT_OK : fail(err, &c->lost);
}

tt_rc est_client_binding(struct est_client *c, uint8_t ret[32], struct tt_error *err)
{
    TT_TRY(connect_now(c, err));
    const struct tt_conn *conn = http_client_conn(c->http);
    return conn != NULL && tt_conn_channel_binding(conn, ret) == TT_OK
               ? TT_OK
               : error_set(err, TT_ERR_CLOSED, "%s ended the connection", c->opt.at.origin);
}

/* ---- work beside it ---- */

struct work {
    struct est_client *c;
    tt_rc (*run)(void *arg, struct tt_error *err);
    void *arg;
    bool is_done;
    struct tt_error error;
    sem_t released; /* the TPM's thread has nothing to do with it any more */
};

static tt_rc work_run(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    const struct work *w = arg;
    (void)tpm;
    return w->run(w->arg, err);
}

static void work_done(void *arg, const struct sign_answer *answer)
{
    struct work *w = arg;
    w->error = answer->error;
    w->is_done = true;
}

static void work_released(void *arg)
{
    struct work *w = arg;
    (void)sem_post(&w->released);
}

/* Past its deadline the loop is told, and the work goes on: with what is on the caller's stack. So nobody
 * returns before it is over. */
static void wait_for_release(struct work *w)
{
    while (sem_wait(&w->released) != 0 && errno == EINTR)
        continue;
    (void)sem_destroy(&w->released);
}

tt_rc est_client_work(struct est_client *c, tt_rc (*run)(void *arg, struct tt_error *err), void *arg,
                      struct tt_error *err)
{
    struct work w = {.c = c, .run = run, .arg = arg};
    struct sign_job *job = NULL;
    if (c->queue == NULL)
        return run(arg, err);
    const struct sign_work work = {.run = work_run, .release = work_released, .arg = &w};
    const struct sign_request what = {.work = &work,
                                      .class = SIGN_OTHER,
                                      .deadline_ms = c->opt.work_ms > 0 ? c->opt.work_ms : WORK_MS,
                                      .done = work_done,
                                      .arg = &w};
    (void)sem_init(&w.released, 0, 0);
    tt_rc rc = sign_queue_submit(c->queue, &job, &what, err);
    if (rc != TT_OK) {
        (void)sem_destroy(&w.released);
        return rc;
    }
    while (!w.is_done && event_base_loop(c->base, EVLOOP_ONCE) == 0)
        ;
    if (!w.is_done) {
        sign_job_cancel(job);
        (void)error_set(&w.error, TT_ERR_INTERNAL, "the loop ended under the work");
    }
    wait_for_release(&w);
    return w.error.rc == TT_OK ? TT_OK : fail(err, &w.error);
}

/* ---- a question ---- */

static void keep_header(char *ret, size_t cap, const struct http_reply *reply, const char *name)
{
    const char *value = http_reply_header(reply, name);
    (void)snprintf(ret, cap, "%s", value != NULL ? value : "");
}

static void on_reply(void *arg, const struct http_reply *reply, const struct tt_error *error)
{
    struct est_client *c = arg;
    c->is_done = true;
    if (reply == NULL) {
        c->failure = *error;
        return;
    }
    c->status = reply->status;
    keep_header(c->location, sizeof c->location, reply, "Location");
    keep_header(c->retry_after, sizeof c->retry_after, reply, "Retry-After");
    keep_header(c->type, sizeof c->type, reply, "Content-Type");
    if (buf_append(&c->body, reply->body.data, reply->body.len) != TT_OK)
        (void)error_set(&c->failure, TT_ERR_MEMORY, "out of memory");
}

struct question {
    const char *operation, *type; /* type: of body; NULL: GET */
    struct tt_bytes body;
    bool open;  /* for everybody: without the password */
    bool bound; /* to this connection: no other will do */
};

static tt_rc ask_once(struct est_client *c, const struct question *q, const char *path, struct tt_error *err)
{
    struct http_header headers[3];
    size_t n = 0;
    if (q->type != NULL) {
        headers[n++] = (struct http_header){"Content-Type", q->type};
        headers[n++] =
            (struct http_header){"Content-Transfer-Encoding", "base64"}; /* RFC 7030 asked for it */
    }
    if (c->authorization != NULL && !q->open)
        headers[n++] = (struct http_header){"Authorization", c->authorization};
    const struct http_question http = {.path = path,
                                       .is_post = q->type != NULL,
                                       .body = q->body,
                                       .headers = headers,
                                       .headers_len = n,
                                       .timeout_s = c->opt.timeout_s};
    c->is_done = false;
    c->status = 0;
    c->failure = (struct tt_error){0};
    buf_free(&c->body);
    TT_TRY(http_client_ask(c->http, &http, on_reply, c, err));
    run_until_done(c);
    if (c->failure.rc != TT_OK || c->status == 0)
        return fail(err, &c->failure);
    c->is_kept = true;
    return TT_OK;
}

/* A connection that was kept may have been closed by the server in the meantime: that is no answer. */
static tt_rc ask_path(struct est_client *c, const struct question *q, const char *path, struct tt_error *err)
{
    for (int i = 0;; i++) {
        struct tt_error why = {0};
        bool was_kept = c->http != NULL && c->is_connected && c->is_kept;
        if (q->bound && (c->http == NULL || !c->is_connected))
            return error_set(err, TT_ERR_CLOSED, "%s ended the connection", c->opt.at.origin);
        if (!q->bound)
            TT_TRY(connect_now(c, err));
        tt_rc rc = ask_once(c, q, path, &why);
        if (rc == TT_OK)
            return TT_OK;
        http_client_free(TT_TAKE(c->http));
        c->is_connected = false;
        if (q->bound || !was_kept || i >= AGAIN_MAX || (rc != TT_ERR_CLOSED && rc != TT_ERR_IO))
            return fail(err, &why);
    }
}

/* Where to, within the origin: an absolute path, or the same origin written out. */
static tt_rc redirected(char ret[1024], const struct est_client *c, struct tt_error *err)
{
    static const char https[] = "https://";
    const char *to = c->location;
    struct est_at other;
    char authority[300];
    if (strncasecmp(to, https, strlen(https)) == 0) {
        size_t n = strcspn(to + strlen(https), "/");
        (void)snprintf(authority, sizeof authority, "%.*s", (int)(n < sizeof authority ? n : 0),
                       to + strlen(https));
        if (est_at_parse(&other, authority, NULL) != TT_OK || strcasecmp(other.origin, c->opt.at.origin) != 0)
            to = "";
        else
            to += strlen(https) + n;
    }
    if (to[0] != '/' || to[1] == '/') {
        (void)error_set(err, TT_ERR_PEER_ALERT, "%s sends us elsewhere, to %.*s, which is not followed",
                        c->opt.at.origin, 100, c->location[0] != '\0' ? c->location : "nowhere");
        error_hint(err, "if that is the right server, name it with --server");
        return TT_ERR_PEER_ALERT;
    }
    (void)snprintf(ret, 1024, "%s", to);
    return TT_OK;
}

static bool is_redirection(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static tt_rc ask(struct est_client *c, const struct question *q, struct tt_error *err)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", c->opt.at.path, q->operation);
    for (int i = 0; i <= REDIRECTS_MAX; i++) {
        TT_TRY(ask_path(c, q, path, err));
        if (!is_redirection(c->status))
            return TT_OK;
        TT_TRY(redirected(path, c, err));
    }
    return error_set(err, TT_ERR_PROTOCOL, "%s redirects without an end", c->opt.at.origin);
}

/* ---- what an answer means ---- */

/* RFC 9110 section 5.6.7: the form of today and the two of before, which a recipient has to take, too. */
static bool date_read(int64_t *ret, const char *value)
{
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %e %H:%M:%S %Y"};
    for (size_t i = 0; i < TT_COUNT(forms); i++) {
        struct tm tm = {0};
        const char *end = strptime(value, forms[i], &tm);
        if (end == NULL || *end != '\0')
            continue;
        *ret = (int64_t)timegm(&tm);
        return true;
    }
    return false;
}

unsigned est_retry_after(const char *value, int64_t now)
{
    char *end = NULL;
    int64_t at = 0;
    while (*value == ' ')
        value++;
    unsigned long n = strtoul(value, &end, 10);
    if (end != value && *end == '\0' && *value != '-')
        return n > WEEK_S ? WEEK_S : (unsigned)n;
    if (!date_read(&at, value) || at <= now)
        return 0;
    return at - now > WEEK_S ? WEEK_S : (unsigned)(at - now);
}

/* The first line of what the server says to a person; nothing that moves a cursor, and no page of HTML. */
static const char *said(const struct est_client *c, char ret[TEXT_MAX])
{
    struct tt_bytes b = buf_bytes(&c->body);
    size_t n = 0;
    ret[0] = '\0';
    if (strncasecmp(c->type, "text/html", 9) == 0 || strncasecmp(c->type, "application/pkcs7", 17) == 0)
        return ret;
    for (; n < b.len && n + 1 < TEXT_MAX && b.data[n] >= 0x20 && b.data[n] < 0x7f; n++)
        ret[n] = (char)b.data[n];
    ret[n] = '\0';
    return ret;
}

static void hint_for(struct tt_error *err, const struct est_client *c)
{
    if (c->status == 401 && c->authorization == NULL && !c->opt.has_identity)
        error_hint(err, "it wants to know who asks: --token-file FILE");
    else if (c->status == 401 || c->status == 403)
        error_hint(err,
                   "is the token used up, or for another name? The CA's operator can tell (tpmtls ca audit)");
    else if (c->status == 404)
        error_hint(err, "is the LABEL in --server right, and is it an EST server?");
}

static tt_rc refused(const struct est_client *c, const char *operation, struct tt_error *err)
{
    char text[TEXT_MAX];
    bool later = c->status >= 500 || c->status == 429 || c->status == 408;
    bool is_told = said(c, text)[0] != '\0';
    tt_rc rc = later ? TT_ERR_BUSY : c->status >= 400 ? TT_ERR_PEER_ALERT : TT_ERR_PROTOCOL;
    (void)error_set(err, rc, "%s answers %s with %d%s%s", c->opt.at.origin, operation, c->status,
                    is_told ? ": " : "", text);
    hint_for(err, c);
    return rc;
}

static tt_rc named(const struct est_client *c, const char *operation, tt_rc rc, const struct tt_error *why,
                   struct tt_error *err)
{
    return rc == TT_OK
               ? TT_OK
               : error_set(err, rc, "%s: the answer to %s: %s", c->opt.at.origin, operation, why->text);
}

tt_rc est_client_cacerts(struct tt_cert_list **ret, struct est_client *c, struct tt_error *err)
{
    struct tt_error why = {0};
    TT_TRY(ask(c, &(struct question){.operation = "cacerts", .open = true}, err));
    if (c->status != 200)
        return refused(c, "cacerts", err);
    return named(c, "cacerts", est_certs_read(ret, buf_bytes(&c->body), &why), &why, err);
}

tt_rc est_client_csrattrs(struct est_csrattrs *ret, struct est_client *c, struct tt_error *err)
{
    struct tt_error why = {0};
    TT_TRY(ask(c, &(struct question){.operation = "csrattrs"}, err));
    if (c->status == 204 || c->status == 404) {
        *ret = (struct est_csrattrs){0};
        return TT_OK;
    }
    if (c->status != 200)
        return refused(c, "csrattrs", err);
    return named(c, "csrattrs", est_csrattrs_read(ret, buf_bytes(&c->body), &why), &why, err);
}

tt_rc est_client_ask(struct buf *ret, struct est_client *c, const char *operation, const char *content_type,
                     struct tt_bytes body, struct tt_error *err)
{
    TT_TRY(ask(c, &(struct question){.operation = operation, .type = content_type, .body = body}, err));
    if (c->status != 200)
        return refused(c, operation, err);
    return buf_append(ret, buf_front(&c->body), buf_size(&c->body)) == TT_OK
               ? TT_OK
               : error_set(err, TT_ERR_MEMORY, "out of memory");
}

/* ---- enrolling ---- */

static tt_rc make_body(struct buf *body, const struct est_enroll *what, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf der = {0};
    buf_free(body);
    TT_TRY(what->make(what->arg, &der, err));
    return est_body_write(body, buf_bytes(&der)) == TT_OK ? TT_OK
                                                          : error_set(err, TT_ERR_MEMORY, "out of memory");
}

/* A request that names its connection is made for each one. */
static tt_rc post(struct est_client *c, struct buf *body, const struct est_enroll *what, struct tt_error *err)
{
    struct question q = {.operation = what->renews ? "simplereenroll" : "simpleenroll",
                         .type = EST_TYPE_PKCS10,
                         .bound = what->bound};
    for (int i = 0;; i++) {
        struct tt_error why = {0};
        if (what->bound)
            TT_TRY(connect_now(c, err));
        bool was_kept = c->is_kept;
        if (what->bound || buf_size(body) == 0)
            TT_TRY(make_body(body, what, err));
        q.body = buf_bytes(body);
        tt_rc rc = ask(c, &q, &why);
        if (rc == TT_OK)
            return TT_OK;
        if (!what->bound || !was_kept || i >= AGAIN_MAX || (rc != TT_ERR_CLOSED && rc != TT_ERR_IO))
            return fail(err, &why);
    }
}

/* The loop runs meanwhile, so that the connection may end. */
static void sleep_in_loop(struct est_client *c, unsigned seconds)
{
    uint64_t until = clock_monotonic_ns() + (uint64_t)seconds * 1000000000U;
    for (uint64_t now; (now = clock_monotonic_ns()) < until;) {
        uint64_t left = until - now;
        struct timeval t = {.tv_sec = (time_t)(left / 1000000000U),
                            .tv_usec = (suseconds_t)(left % 1000000000U / 1000)};
        if (event_base_loopexit(c->base, &t) != 0 || event_base_dispatch(c->base) < 0)
            return;
    }
}

#define RETRY_DEFAULT_S 60 /* a server MUST say when (section 4.2.3); some do not */

tt_rc est_client_enroll(struct tt_cert_list **ret, struct est_client *c, const struct est_enroll *what,
                        unsigned *ret_retry_s, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf body = {0};
    struct tt_error why = {0};
    struct est_enroll as = *what;
    const char *operation = what->renews ? "simplereenroll" : "simpleenroll";
    for (unsigned waited = 0;;) {
        char text[TEXT_MAX];
        TT_TRY(post(c, &body, &as, err));
        unsigned retry = est_retry_after(c->retry_after, clock_wall_s());
        *ret_retry_s = retry;
        if (c->status == 200)
            return named(c, operation, est_certs_read(ret, buf_bytes(&c->body), &why), &why, err);
        if (c->status != 202)
            return refused(c, operation, err);
        retry = retry > 0 ? retry : RETRY_DEFAULT_S;
        *ret_retry_s = retry;
        if (what->waits != NULL)
            what->waits(what->arg, retry, said(c, text));
        if (waited + retry > what->wait_s) {
            (void)error_set(err, TT_ERR_BUSY, "%s has the request, and has not decided yet",
                            c->opt.at.origin);
            error_hint(err, "the same command asks again; --wait SECONDS waits longer");
            return TT_ERR_BUSY;
        }
        as.bound = false; /* the server has it, and would take another for another request */
        sleep_in_loop(c, retry);
        waited += retry;
    }
}
