/* service/publish.c: see publish.h. Layer: service. */
#include "service/publish.h"

#include <event2/http.h>
#include <event2/util.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/mem.h"
#include "net/clock.h"
#include "wire/base64.h"

#define PLACES       4096
#define OCSP_REQUEST "application/ocsp-request"
#define OCSP_ANSWER  "application/ocsp-response"
#define KEPT_ANSWER  8192 /* longer ones are not kept */

/* struct kept: an OCSP answer that counts for a few seconds more. */
struct kept {
    struct buf request, answer;
    struct ca_fresh fresh;
    int64_t until;
};

/* struct crl: the CRL or its delta, fetched; who waits for it. */
struct crl {
    struct worker_task task;
    bool is_delta, is_asked;
    char key_id[CA_KEY_ID_SIZE]; /* "": of the CA's key, whichever that is */
    struct buf certificate;      /* of that key */
    struct buf fetched, der;
    struct ca_fresh fetched_fresh, fresh;
    int64_t at; /* clock_boot_ms; 0: there is none */
    struct http_request **waiting;
    size_t waiting_len, waiting_cap;
};

struct publish {
    struct worker *worker;
    struct buf certificate, chain; /* DER; PEM */
    struct ca_fresh since;         /* of the two */
    struct crl crl, delta, of_key[PUBLISH_KEYS_MAX];
    struct kept kept[PLACES];
    struct publish_counts counts;
};

/* ---- answers ---- */

static const char *date(char ret[40], int64_t at)
{
    const time_t t = (time_t)at;
    struct tm tm = {0};
    (void)gmtime_r(&t, &tm);
    (void)evutil_date_rfc1123(ret, 40, &tm);
    return ret;
}

/* If-None-Match wins over If-Modified-Since (RFC 9110 section 13.2.2). Dates are compared as they were given
 * out, not read: what we said is what comes back. */
static bool is_known_already(const struct http_request *r, const char *etag, const char *modified)
{
    const char *match = http_request_header(r, "If-None-Match"),
               *since = http_request_header(r, "If-Modified-Since");
    if (match != NULL)
        return etag[0] != '\0' && (strstr(match, etag) != NULL || strcmp(match, "*") == 0);
    return since != NULL && strcmp(since, modified) == 0;
}

static void answer_fresh(struct http_request *r, const char *type, struct tt_bytes body,
                         const struct ca_fresh *fresh)
{
    char etag[40] = "", modified[40], expires[40], control[80];
    int64_t left = fresh->next_update - clock_wall_s();
    left = left < 0 ? 0 : left > PUBLISH_MAX_AGE ? PUBLISH_MAX_AGE : left;
    if (fresh->etag[0] != '\0')
        (void)snprintf(etag, sizeof etag, "\"%s\"", fresh->etag);
    (void)snprintf(control, sizeof control, "public, max-age=%lld, no-transform, must-revalidate",
                   (long long)left);
    const char *const headers[][2] = {{"Cache-Control", control},
                                      {"Last-Modified", date(modified, fresh->this_update)},
                                      {"Expires", date(expires, clock_wall_s() + left)},
                                      {"ETag", etag}};
    bool is_known = is_known_already(r, etag, modified);
    const struct http_answer a = {.status = is_known ? 304 : 200,
                                  .type = is_known ? NULL : type,
                                  .body = is_known ? (struct tt_bytes){NULL, 0} : body,
                                  .headers = headers,
                                  .headers_len = etag[0] != '\0' ? 4 : 3};
    http_answer(r, &a);
}

static void answer_once(struct http_request *r, const char *type, struct tt_bytes body)
{
    static const char *const headers[][2] = {{"Cache-Control", "no-store"}};
    const struct http_answer a = {
        .status = 200, .type = type, .body = body, .headers = headers, .headers_len = 1};
    http_answer(r, &a);
}

static void answer_later(struct http_request *r)
{
    static const char *const headers[][2] = {{"Cache-Control", "no-store"}, {"Retry-After", "10"}};
    static const char text[] = "not at the moment\n";
    const struct http_answer a = {.status = 503,
                                  .type = "text/plain; charset=utf-8",
                                  .body = {(const uint8_t *)text, sizeof text - 1},
                                  .headers = headers,
                                  .headers_len = 2};
    http_answer(r, &a);
}

/* ---- the CRL ---- */

static tt_rc crl_run(struct worker_task *t, struct ca *ca, int64_t now, struct tt_error *err)
{
    struct crl *c = (struct crl *)t;
    buf_free(&c->fetched);
    if (c->key_id[0] != '\0')
        return ca_crl_of(ca, c->key_id, &c->fetched, &c->fetched_fresh, now, err);
    return c->is_delta ? ca_crl_delta(ca, &c->fetched, &c->fetched_fresh, now, err)
                       : ca_crl(ca, &c->fetched, &c->fetched_fresh, now, err);
}

static void crl_done(struct worker_task *t, tt_rc rc, const struct tt_error *err)
{
    struct crl *c = (struct crl *)t;
    (void)err; /* the log has it from ca_tend */
    c->is_asked = false;
    if (rc == TT_OK) {
        buf_free(&c->der);
        c->der = c->fetched;
        c->fetched = (struct buf){0};
        c->fresh = c->fetched_fresh;
        c->at = clock_boot_ms();
    }
    size_t n = c->waiting_len;
    struct http_request **waiting = TT_TAKE(c->waiting);
    c->waiting_len = c->waiting_cap = 0;
    for (size_t i = 0; i < n; i++) {
        if (rc == TT_OK)
            answer_fresh(waiting[i], "application/pkix-crl", buf_bytes(&c->der), &c->fresh);
        else
            answer_later(waiting[i]);
    }
    mem_free(waiting);
}

static bool crl_wait(struct crl *c, struct http_request *r)
{
    if (c->waiting_len == c->waiting_cap) {
        size_t cap = c->waiting_cap == 0 ? 16 : 2 * c->waiting_cap;
        struct http_request **more =
            cap > 4096 ? NULL : mem_resize(c->waiting, cap * sizeof(struct http_request *));
        if (more == NULL)
            return false;
        c->waiting = more;
        c->waiting_cap = cap;
    }
    c->waiting[c->waiting_len++] = r;
    return true;
}

static void send_crl(struct publish *p, struct crl *c, struct http_request *r)
{
    struct tt_error err = {0};
    p->counts.crl++;
    if (c->at != 0 && clock_boot_ms() - c->at < PUBLISH_KEEP_S * 1000) {
        answer_fresh(r, "application/pkix-crl", buf_bytes(&c->der), &c->fresh);
        return;
    }
    if (!c->is_asked && worker_do(p->worker, &c->task, &err) == TT_OK)
        c->is_asked = true;
    if (!c->is_asked || !crl_wait(c, r))
        answer_later(r);
}

/* ---- OCSP ---- */

struct ocsp_task {
    struct worker_task task;
    struct publish *of;
    struct http_request *request;
    struct buf asked, answer;
    struct ca_fresh fresh;
};

static struct kept *place_of(struct publish *p, struct tt_bytes asked)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < asked.len; i++)
        h = (h ^ asked.data[i]) * UINT64_C(1099511628211);
    return &p->kept[(h ^ h >> 32) % PLACES];
}

static bool is_kept(const struct kept *k, struct tt_bytes asked)
{
    return k->until > clock_boot_ms() && buf_size(&k->request) == asked.len &&
           memcmp(buf_front(&k->request), asked.data, asked.len) == 0;
}

static void keep(struct publish *p, struct ocsp_task *t)
{
    struct kept *k = place_of(p, buf_bytes(&t->asked));
    if (t->fresh.next_update == 0 || buf_size(&t->answer) > KEPT_ANSWER)
        return;
    buf_free(&k->request);
    buf_free(&k->answer);
    k->request = t->asked;
    k->answer = t->answer;
    k->fresh = t->fresh;
    k->until = clock_boot_ms() + PUBLISH_KEEP_S * 1000;
    t->asked = t->answer = (struct buf){0};
}

static tt_rc ocsp_run(struct worker_task *task, struct ca *ca, int64_t now, struct tt_error *err)
{
    struct ocsp_task *t = (struct ocsp_task *)task;
    return ca_ocsp(ca, &t->answer, &t->fresh, buf_bytes(&t->asked), now, err);
}

static void ocsp_free(struct ocsp_task *t)
{
    buf_free(&t->asked);
    buf_free(&t->answer);
    mem_free(t);
}

static void ocsp_done(struct worker_task *task, tt_rc rc, const struct tt_error *err)
{
    static const uint8_t try_later[] = {0x30, 3, 0x0a, 1, 3}; /* OCSPResponse { tryLater } */
    struct ocsp_task *t = (struct ocsp_task *)task;
    (void)err;
    if (rc != TT_OK)
        answer_once(t->request, OCSP_ANSWER, (struct tt_bytes){try_later, sizeof try_later});
    else if (t->fresh.next_update == 0)
        answer_once(t->request, OCSP_ANSWER, buf_bytes(&t->answer));
    else
        answer_fresh(t->request, OCSP_ANSWER, buf_bytes(&t->answer), &t->fresh);
    if (rc == TT_OK)
        keep(t->of, t);
    ocsp_free(t);
}

static void ask_ocsp(struct publish *p, struct http_request *r, struct tt_bytes asked)
{
    struct tt_error err = {0};
    p->counts.ocsp++;
    const struct kept *k = place_of(p, asked);
    if (is_kept(k, asked)) {
        p->counts.ocsp_kept++;
        answer_fresh(r, OCSP_ANSWER, buf_bytes(&k->answer), &k->fresh);
        return;
    }
    struct ocsp_task *t = mem_alloc(sizeof *t);
    if (t != NULL) {
        t->task.run = ocsp_run;
        t->task.done = ocsp_done;
        t->of = p;
        t->request = r;
        if (buf_append(&t->asked, asked.data, asked.len) == TT_OK &&
            worker_do(p->worker, &t->task, &err) == TT_OK)
            return;
        ocsp_free(t);
    }
    answer_later(r);
}

/* The rest of the path, percent-decoded, is base64 (RFC 6960 appendix A.1). */
static void ask_ocsp_by_path(struct publish *p, struct http_request *r, const char *rest)
{
    uint8_t der[PUBLISH_OCSP_MAX];
    size_t size = 0, len = 0;
    char *text = evhttp_uridecode(rest, 0, &size);
    bool ok = text != NULL && base64_room(size) <= sizeof der &&
              base64_decode(der, &len, (struct tt_bytes){(const uint8_t *)text, size}) == TT_OK && len > 0;
    mem_free_theirs(text);
    if (ok)
        ask_ocsp(p, r, (struct tt_bytes){der, len});
    else
        http_answer_text(r, 400, "behind /ocsp/ stands the base64 of an OCSP request, percent-encoded\n");
}

/* ---- requests ---- */

static void send_certificate(struct publish *p, struct http_request *r, bool pem)
{
    struct ca_fresh fresh = p->since;
    p->counts.others++;
    fresh.next_update = clock_wall_s() + PUBLISH_MAX_AGE;
    answer_fresh(r, pem ? "application/x-pem-file" : "application/pkix-cert",
                 buf_bytes(pem ? &p->chain : &p->certificate), &fresh);
}

/* "/ca-ID.crl", "/ca-ID.cer": false: there is no such key. */
static bool send_of_key(struct publish *p, struct http_request *r, const char *path)
{
    for (size_t i = 0; i < TT_COUNT(p->of_key); i++) {
        struct crl *c = &p->of_key[i];
        size_t n = strlen(c->key_id);
        const char *end = path + 4 + n;
        if (n == 0 || strncmp(path, "/ca-", 4) != 0 || strncasecmp(path + 4, c->key_id, n) != 0)
            continue;
        if (strcmp(end, ".crl") == 0) {
            send_crl(p, c, r);
            return true;
        }
        if (strcmp(end, ".cer") == 0) {
            p->counts.others++;
            const struct ca_fresh fresh = {.this_update = p->since.this_update,
                                           .next_update = clock_wall_s() + PUBLISH_MAX_AGE};
            answer_fresh(r, "application/pkix-cert", buf_bytes(&c->certificate), &fresh);
            return true;
        }
    }
    return false;
}

static bool is_ocsp(const struct http_request *r)
{
    const char *type = http_request_header(r, "Content-Type");
    return type != NULL && strncasecmp(type, OCSP_REQUEST, sizeof OCSP_REQUEST - 1) == 0;
}

static void take_post(struct publish *p, struct http_request *r)
{
    if (!is_ocsp(r))
        http_answer_text(r, 415, "what is posted here is an OCSP request: Content-Type: " OCSP_REQUEST "\n");
    else
        ask_ocsp(p, r, http_request_body(r));
}

void publish_take(struct publish *p, struct http_request *r)
{
    const char *path = http_request_path(r);
    if (http_request_method(r) == HTTP_POST)
        take_post(p, r);
    else if (strcmp(path, "/ca.crl") == 0)
        send_crl(p, &p->crl, r);
    else if (strcmp(path, "/ca-delta.crl") == 0)
        send_crl(p, &p->delta, r);
    else if (strcmp(path, "/ca.crt") == 0 || strcmp(path, "/ca.cer") == 0 || strcmp(path, "/ca.pem") == 0)
        send_certificate(p, r, path[4] == 'p');
    else if (strncmp(path, "/ocsp/", 6) == 0)
        ask_ocsp_by_path(p, r, path + 6);
    else if (!send_of_key(p, r, path))
        http_answer_text(r, 404, "there are /ca.crl, /ca-delta.crl, /ca.cer, /ca.pem and /ocsp\n");
}

struct publish_counts publish_look(const struct publish *p)
{
    return p->counts;
}

/* ---- life ---- */

static tt_rc no_memory(struct tt_error *err)
{
    return error_set(err, TT_ERR_MEMORY, "no memory for the CA's publications");
}

/* A key that the CA had once stays, so that who asks by an old name has an answer. */
static tt_rc key_add(struct publish *p, const struct publish_key *key)
{
    size_t i = 0;
    while (i < TT_COUNT(p->of_key) && p->of_key[i].key_id[0] != '\0' &&
           strcmp(p->of_key[i].key_id, key->id) != 0)
        i++;
    if (i == TT_COUNT(p->of_key) || p->of_key[i].key_id[0] != '\0')
        return TT_OK;
    TT_TRY(buf_append(&p->of_key[i].certificate, key->certificate.data, key->certificate.len));
    (void)snprintf(p->of_key[i].key_id, sizeof p->of_key[i].key_id, "%s", key->id);
    return TT_OK;
}

tt_rc publish_set(struct publish *p, const struct publish_shown *shown, struct tt_error *err)
{
    const struct tt_cert_list *chain = &shown->chain;
    TT_AUTO(mem_free_auto) char *pem = NULL;
    struct tt_cert_info *info = NULL;
    TT_TRY(tt_cert_list_to_pem(&pem, chain, chain->len, err));
    TT_TRY(tt_cert_describe(&info, chain->certs[0], err));
    (void)snprintf(p->since.etag, sizeof p->since.etag, "%.32s", info->sha256);
    p->since.this_update = info->not_before;
    tt_cert_info_free(info);
    buf_free(&p->certificate);
    buf_free(&p->chain);
    p->crl.at = p->delta.at = 0; /* the key may be another */
    if (buf_append(&p->certificate, chain->certs[0].data, chain->certs[0].len) != TT_OK ||
        buf_append(&p->chain, pem, strlen(pem)) != TT_OK)
        return no_memory(err);
    for (size_t i = 0; i < shown->keys_len; i++)
        if (key_add(p, &shown->keys[i]) != TT_OK)
            return no_memory(err);
    return TT_OK;
}

tt_rc publish_new(struct publish **ret, struct worker *w, struct tt_error *err)
{
    struct publish *p = mem_alloc(sizeof *p);
    if (p == NULL)
        return no_memory(err);
    p->worker = w;
    p->crl.task = p->delta.task = (struct worker_task){.run = crl_run, .done = crl_done};
    for (size_t i = 0; i < TT_COUNT(p->of_key); i++)
        p->of_key[i].task = p->crl.task;
    p->delta.is_delta = true;
    *ret = p;
    return TT_OK;
}

static void crl_clear(struct crl *c)
{
    buf_free(&c->certificate);
    buf_free(&c->der);
    buf_free(&c->fetched);
    mem_free(c->waiting);
}

void publish_free(struct publish *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < PLACES; i++) {
        buf_free(&p->kept[i].request);
        buf_free(&p->kept[i].answer);
    }
    crl_clear(&p->crl);
    crl_clear(&p->delta);
    for (size_t i = 0; i < TT_COUNT(p->of_key); i++)
        crl_clear(&p->of_key[i]);
    buf_free(&p->certificate);
    buf_free(&p->chain);
    mem_free(p);
}
