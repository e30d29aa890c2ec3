/* net/attest_gate.c: see attest_gate.h. Layer: net. The nonce of the evidence is the connection's exporter
 * (RFC 9846 section 7.5), as in RFC 9266 but under a label of our own: what is shown on one connection is
 * nothing on another, so that nobody in between can pass it on. */
#include "net/attest_gate.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "net/clock.h"
#include "wire/reader.h"
#include "wire/writer.h"

#define LABEL      "EXPORTER-tpmtls-attestation"
#define MAGIC      0x54544154U /* "TTAT" */
#define VERSION    1
#define HEADER     8
#define BODY_MAX   32768
#define TEXT_MAX   300
#define SECRET_MAX 64

enum frame {
    FRAME_REQUEST = 1, /* server: the PCRs that are to be quoted, as text */
    FRAME_EVIDENCE,    /* client: an AttestationBundle */
    FRAME_CHALLENGE,   /* server */
    FRAME_ANSWER,      /* client: token<1..2^16-1>, secret<1..2^16-1> */
    FRAME_ACCEPTED,    /* server */
    FRAME_REFUSED      /* either: a reason, a colon, a sentence */
};

/* struct job: what the worker needs; it may outlive the gate. */
struct job {
    atomic_uint holders; /* the gate and the queue */
    struct tt_key *key;
    struct buf ek; /* certificates */
    uint8_t nonce[TT_ATTEST_NONCE];
    char pcrs[TEXT_MAX];
    struct buf challenge; /* in */
    struct buf out;       /* the body of the next frame */
};

struct attest_gate {
    struct attest_gate_options opt;
    struct event *timer, *later;
    struct buf unsent;
    struct buf evidence; /* server: until it is answered */
    enum frame awaited;
    uint8_t nonce[TT_ATTEST_NONCE];
    struct tt_attest_verdict verdict;
    struct job *job;
    struct sign_job *working;
    struct tt_error error;
    bool is_over, is_told;
};

/* ---- the end ---- */

static void job_drop(void *arg)
{
    struct job *j = arg;
    if (j == NULL || atomic_fetch_sub_explicit(&j->holders, 1, memory_order_acq_rel) > 1)
        return;
    buf_free(&j->ek);
    buf_free(&j->challenge);
    buf_free(&j->out);
    mem_free(j);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
    struct attest_gate *g = arg;
    (void)fd;
    (void)what;
    if (g->is_told)
        return;
    g->is_told = true;
    g->opt.done(g->opt.arg, g->error.rc != TT_OK ? &g->error : NULL, &g->verdict);
}

/* From the loop, not from within whoever called. */
static void finish(struct attest_gate *g)
{
    static const struct timeval now = {0, 0};
    if (g->is_over)
        return;
    g->is_over = true;
    (void)event_del(g->timer);
    (void)event_add(g->later, &now);
}

static void fail(struct attest_gate *g, const struct tt_error *why)
{
    if (g->error.rc == TT_OK)
        g->error = *why;
    finish(g);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct attest_gate *g = arg;
    struct tt_error why = {0};
    (void)fd;
    (void)what;
    (void)error_set(&why, TT_ERR_DEADLINE,
                    g->opt.role == TT_SERVER ? "the client did not show its TPM in time"
                    : g->awaited == FRAME_REQUEST
                        ? "the server does not ask for an attestation (it said nothing in time)"
                        : "the attestation was not complete in time");
    fail(g, &why);
}

/* ---- frames ---- */

static void flush(struct attest_gate *g)
{
    size_t n = stream_write(g->opt.stream, buf_front(&g->unsent), buf_size(&g->unsent));
    buf_consume(&g->unsent, n);
    if (buf_size(&g->unsent) > 0) /* a stream takes more than all frames together, while it is open */
        fail(g, &(struct tt_error){.rc = TT_ERR_CLOSED, .text = "the connection ended in the attestation"});
}

static void frame_put(struct attest_gate *g, enum frame type, struct tt_bytes body)
{
    struct writer w = writer_to(&g->unsent);
    wr_u32(&w, MAGIC);
    wr_u8(&w, VERSION);
    wr_u8(&w, (uint8_t)type);
    wr_vec16(&w, body);
    if (wr_status(&w) != TT_OK) {
        fail(g, &(struct tt_error){.rc = TT_ERR_MEMORY, .text = "out of memory"});
        return;
    }
    flush(g);
}

/* What we refuse the peer is told, before the owner ends the connection. */
static void refuse(struct attest_gate *g, const char *reason, const struct tt_error *why)
{
    char text[TEXT_MAX];
    int n = snprintf(text, sizeof text, "%s: %s", reason, why->text);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    frame_put(g, FRAME_REFUSED, (struct tt_bytes){(const uint8_t *)text, len});
    fail(g, why);
}

static void refuse_form(struct attest_gate *g, const char *what)
{
    struct tt_error why = {0};
    (void)error_set(&why, TT_ERR_PROTOCOL, "%s", what);
    refuse(g, "form", &why);
}

/* ---- the client ---- */

static tt_rc attest_run(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    struct job *j = arg;
    struct tt_attester *a = NULL;
    struct tt_evidence e;
    uint8_t *der = NULL;
    size_t len = 0;
    const struct tt_attester_params params = {.ek_certificates = buf_bytes(&j->ek)};
    const struct tt_attest_request req = {.use = TT_ATTEST_TLS,
                                          .nonce = {j->nonce, sizeof j->nonce},
                                          .pcrs = j->pcrs[0] != '\0' ? j->pcrs : NULL};
    TT_TRY(tt_attester_open(&a, tpm, &params, err));
    tt_rc rc = tt_attester_attest(&e, a, j->key, &req, err);
    if (rc == TT_OK)
        rc = tt_evidence_write(&der, &len, &e, err);
    if (rc == TT_OK && buf_append(&j->out, der, len) != TT_OK)
        rc = error_set(err, TT_ERR_MEMORY, "out of memory");
    tt_free(der);
    tt_attester_free(a);
    return rc;
}

static tt_rc answer_run(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    struct job *j = arg;
    struct tt_attester *a = NULL;
    struct tt_evidence e = {.token = {NULL, 0}};
    const struct tt_attester_params params = {.ek_certificates = buf_bytes(&j->ek)};
    TT_TRY(tt_attester_open(&a, tpm, &params, err));
    tt_rc rc = tt_attester_answer(&e, a, buf_bytes(&j->challenge), err);
    if (rc == TT_OK) {
        struct writer w = writer_to(&j->out);
        wr_vec16(&w, e.token);
        wr_vec16(&w, e.secret);
        rc = wr_status(&w);
    }
    tt_attester_free(a);
    return rc;
}

static void worked(struct attest_gate *g, const struct sign_answer *answer, enum frame type)
{
    g->working = NULL;
    if (answer->error.rc != TT_OK) {
        refuse(g, "tpm", &answer->error);
        return;
    }
    g->awaited = type == FRAME_EVIDENCE ? FRAME_CHALLENGE : FRAME_ACCEPTED;
    frame_put(g, type, buf_bytes(&g->job->out));
    buf_consume(&g->job->out, buf_size(&g->job->out));
}

static void attest_done(void *arg, const struct sign_answer *answer)
{
    worked(arg, answer, FRAME_EVIDENCE);
}

static void answer_done(void *arg, const struct sign_answer *answer)
{
    worked(arg, answer, FRAME_ANSWER);
}

static void work(struct attest_gate *g, tt_rc (*run)(void *, struct tt_tpm *, struct tt_error *),
                 sign_done_fn done)
{
    struct tt_error err = {0};
    const struct sign_work what = {.run = run, .release = job_drop, .arg = g->job};
    const unsigned seconds = g->opt.timeout_s;
    const struct sign_request request = {
        .work = &what, .class = SIGN_HANDSHAKE, .deadline_ms = seconds * 1000, .done = done, .arg = g};
    atomic_fetch_add_explicit(&g->job->holders, 1, memory_order_relaxed);
    if (sign_queue_submit(g->opt.queue, &g->working, &request, &err) == TT_OK)
        return;
    job_drop(g->job);
    refuse(g, "tpm", &err);
}

static void take_request(struct attest_gate *g, struct tt_bytes body)
{
    if (body.len >= sizeof g->job->pcrs || (body.len > 0 && memchr(body.data, '\0', body.len) != NULL)) {
        refuse_form(g, "the server asks for PCRs in a form that is not known");
        return;
    }
    if (body.len > 0)
        memcpy(g->job->pcrs, body.data, body.len);
    work(g, attest_run, attest_done);
}

static void take_challenge(struct attest_gate *g, struct tt_bytes body)
{
    if (buf_append(&g->job->challenge, body.data, body.len) != TT_OK)
        fail(g, &(struct tt_error){.rc = TT_ERR_MEMORY, .text = "out of memory"});
    else
        work(g, answer_run, answer_done);
}

/* ---- the server ---- */

/* The key of the certificate that the handshake was made with, or a session that came of such a handshake. */
static tt_rc peer_key(uint8_t **ret, size_t *ret_len, const struct attest_gate *g, struct tt_error *err)
{
    struct tt_conn_info info;
    tt_conn_info(stream_conn(g->opt.stream), &info);
    if (info.peer_chain_len == 0 || info.peer_certificate_type != TT_CERTIFICATE_X509)
        return error_set(err, TT_ERR_VERIFY,
                         "the client showed no certificate: there is no key that a TPM could have");
    return tt_spki_of(ret, ret_len, tt_conn_peer_certificate(stream_conn(g->opt.stream), 0), err);
}

static struct tt_attest_want want_of(const struct attest_gate *g, const uint8_t *spki, size_t len)
{
    return (struct tt_attest_want){.use = TT_ATTEST_TLS,
                                   .spki = {spki, len},
                                   .nonce = {g->nonce, sizeof g->nonce},
                                   .key = g->opt.secret,
                                   .now = clock_wall_s()};
}

static void refuse_evidence(struct attest_gate *g, tt_rc rc, const struct tt_error *why)
{
    char reason[48] = "server";
    if (rc == TT_ERR_VERIFY && g->verdict.reason != TT_ATTEST_GOOD)
        (void)snprintf(reason, sizeof reason, "%s", tt_attest_reason_name(g->verdict.reason));
    else if (rc == TT_ERR_VERIFY)
        (void)snprintf(reason, sizeof reason, "no-certificate");
    refuse(g, reason, why);
}

static void take_evidence(struct attest_gate *g, struct tt_bytes body)
{
    uint8_t *spki = NULL, *challenge = NULL;
    size_t spki_len = 0, len = 0;
    struct tt_error err = {0};
    tt_rc rc = peer_key(&spki, &spki_len, g, &err);
    const struct tt_attest_want want = want_of(g, spki, spki_len);
    if (rc == TT_OK)
        rc = tt_attest_challenge(&challenge, &len, &g->verdict, g->opt.policy, body, &want, &err);
    if (rc == TT_OK && buf_append(&g->evidence, body.data, body.len) != TT_OK)
        rc = error_set(&err, TT_ERR_MEMORY, "out of memory");
    g->awaited = FRAME_ANSWER;
    if (rc == TT_OK)
        frame_put(g, FRAME_CHALLENGE, (struct tt_bytes){challenge, len});
    else
        refuse_evidence(g, rc, &err);
    tt_free(spki);
    tt_free(challenge);
}

/* The evidence of before, with the answer. */
static tt_rc judge_answered(struct attest_gate *g, struct tt_bytes token, struct tt_bytes secret,
                            struct tt_error *err)
{
    uint8_t *spki = NULL, *der = NULL;
    size_t spki_len = 0, len = 0;
    struct tt_evidence e;
    TT_TRY(tt_evidence_read(&e, buf_bytes(&g->evidence), err));
    e.token = token;
    e.secret = secret;
    tt_rc rc = peer_key(&spki, &spki_len, g, err);
    if (rc == TT_OK)
        rc = tt_evidence_write(&der, &len, &e, err);
    const struct tt_attest_want want = want_of(g, spki, spki_len);
    if (rc == TT_OK)
        rc = tt_attest_judge(&g->verdict, g->opt.policy, (struct tt_bytes){der, len}, &want, err);
    tt_free(spki);
    tt_free(der);
    return rc;
}

static void take_answer(struct attest_gate *g, struct tt_bytes body)
{
    struct tt_error err = {0};
    struct reader r = reader_of(body);
    struct tt_bytes token = rd_vec16(&r, 1), secret = rd_vec16(&r, 1);
    if (rd_done(&r) != TT_OK) {
        refuse_form(g, "the client's answer has not its form");
        return;
    }
    tt_rc rc = judge_answered(g, token, secret, &err);
    if (rc != TT_OK) {
        refuse_evidence(g, rc, &err);
        return;
    }
    frame_put(g, FRAME_ACCEPTED, (struct tt_bytes){NULL, 0});
    finish(g);
}

/* ---- what comes ---- */

static void take_refusal(struct attest_gate *g, struct tt_bytes body)
{
    char text[TEXT_MAX] = "";
    struct tt_error why = {0};
    size_t n = 0;
    for (; n < body.len && n + 1 < sizeof text; n++)
        text[n] = body.data[n] >= ' ' && body.data[n] < 0x7f ? (char)body.data[n] : '?';
    (void)error_set(&why, TT_ERR_PEER_ALERT, "the %s refused the attestation: %.*s",
                    g->opt.role == TT_CLIENT ? "server" : "client", (int)(sizeof why.text / 2), text);
    fail(g, &why);
}

static void take(struct attest_gate *g, enum frame type, struct tt_bytes body)
{
    if (type == FRAME_REFUSED) {
        take_refusal(g, body);
        return;
    }
    if (type != g->awaited || g->working != NULL) {
        refuse_form(g, "a message of the attestation came out of its turn");
        return;
    }
    switch (type) {
    case FRAME_REQUEST:
        take_request(g, body);
        break;
    case FRAME_CHALLENGE:
        take_challenge(g, body);
        break;
    case FRAME_EVIDENCE:
        take_evidence(g, body);
        break;
    case FRAME_ANSWER:
        take_answer(g, body);
        break;
    default:
        finish(g);
    }
}

/* One frame off the front of the stream; false: it is not whole, or none. */
static bool take_one(struct attest_gate *g)
{
    struct tt_bytes in = stream_plaintext(g->opt.stream);
    struct reader r = reader_of(in);
    uint32_t magic = rd_u32(&r);
    uint8_t version = rd_u8(&r), type = rd_u8(&r);
    uint16_t len = rd_u16(&r);
    if (in.len >= 4 && magic != MAGIC) {
        refuse_form(g, g->opt.role == TT_SERVER
                           ? "the client sent data where an attestation should be (it needs --attest)"
                           : "the server sent data and does not ask for an attestation");
        return false;
    }
    if (in.len < HEADER)
        return false;
    if (version != VERSION || len > BODY_MAX) {
        refuse_form(g, "the attestation is of a version that is not known, or too large");
        return false;
    }
    if (rd_left(&r) < len)
        return false;
    TT_AUTO(buf_free) struct buf body = {0};
    if (buf_append(&body, r.at, len) != TT_OK) {
        fail(g, &(struct tt_error){.rc = TT_ERR_MEMORY, .text = "out of memory"});
        return false;
    }
    stream_plaintext_done(g->opt.stream, HEADER + (size_t)len);
    take(g, (enum frame)type, buf_bytes(&body));
    return true;
}

void attest_gate_plaintext(struct attest_gate *g)
{
    while (!g->is_over && take_one(g))
        continue;
}

void attest_gate_ended(struct attest_gate *g)
{
    struct tt_error why = {0};
    (void)error_set(&why, TT_ERR_CLOSED, "the %s ended the connection before the attestation was complete",
                    g->opt.role == TT_CLIENT ? "server" : "client");
    if (!g->is_over)
        fail(g, &why);
}

const struct tt_error *attest_gate_closed(struct attest_gate *g, const struct tt_attest_verdict **ret_verdict)
{
    if (ret_verdict != NULL)
        *ret_verdict = &g->verdict;
    attest_gate_ended(g);
    (void)error_set(&g->error, TT_ERR_CLOSED, "the connection was closed right after the attestation");
    return &g->error;
}

/* ---- life ---- */

static tt_rc job_new(struct attest_gate *g, struct tt_error *err)
{
    if (!tt_key_is_tpm(g->opt.key)) {
        (void)error_set(err, TT_ERR_UNSUPPORTED,
                        "the certificate's key is not in a TPM: nothing can attest it");
        error_hint(err, "leave --attest out, or take a key that was made in the TPM");
        return TT_ERR_UNSUPPORTED;
    }
    g->job = mem_alloc(sizeof *g->job);
    if (g->job == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    atomic_store(&g->job->holders, 1);
    g->job->key = g->opt.key;
    memcpy(g->job->nonce, g->nonce, sizeof g->nonce);
    return g->opt.ek_certificates.len == 0 ||
                   buf_append(&g->job->ek, g->opt.ek_certificates.data, g->opt.ek_certificates.len) == TT_OK
               ? TT_OK
               : error_set(err, TT_ERR_MEMORY, "out of memory");
}

static tt_rc start(struct attest_gate *g, struct tt_error *err)
{
    const struct timeval limit = {(time_t)g->opt.timeout_s, 0};
    if (tt_conn_export(stream_conn(g->opt.stream), LABEL, (struct tt_bytes){NULL, 0}, g->nonce,
                       sizeof g->nonce) != TT_OK)
        return error_set(err, TT_ERR_INTERNAL, "the connection has no exporter");
    g->timer = evtimer_new(g->opt.base, on_timeout, g);
    g->later = evtimer_new(g->opt.base, on_later, g);
    if (g->timer == NULL || g->later == NULL || evtimer_add(g->timer, &limit) != 0)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    if (g->opt.role == TT_CLIENT) {
        g->awaited = FRAME_REQUEST;
        return job_new(g, err);
    }
    const char *pcrs = tt_attest_policy_pcrs(g->opt.policy);
    g->awaited = FRAME_EVIDENCE;
    frame_put(g, FRAME_REQUEST, (struct tt_bytes){(const uint8_t *)pcrs, pcrs != NULL ? strlen(pcrs) : 0});
    return TT_OK;
}

tt_rc attest_gate_new(struct attest_gate **ret, const struct attest_gate_options *opt, struct tt_error *err)
{
    struct attest_gate *g = mem_alloc(sizeof *g);
    if (g == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    g->opt = *opt;
    if (g->opt.timeout_s == 0)
        g->opt.timeout_s = ATTEST_GATE_TIMEOUT_S;
    tt_rc rc = start(g, err);
    if (rc != TT_OK) {
        attest_gate_free(g);
        return rc;
    }
    *ret = g;
    return TT_OK;
}

void attest_gate_free(struct attest_gate *g)
{
    if (g == NULL)
        return;
    sign_job_cancel(g->working);
    job_drop(g->job);
    if (g->timer != NULL)
        event_free(g->timer);
    if (g->later != NULL)
        event_free(g->later);
    buf_free(&g->unsent);
    buf_free(&g->evidence);
    mem_wipe(g->nonce, sizeof g->nonce);
    mem_free(g);
}
