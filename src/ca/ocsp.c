/* ca/ocsp.c: answers to "is this certificate good". Layer: ca. RFC 6960; the nonce of RFC 9654; libcrypto's
 * OCSP.
 *
 * Answers are signed by a responder whose key is in DIR/ocsp.key and whose certificate the CA gave it for
 * this alone, so that the CA's own key, which may be slow or elsewhere, is not asked. What needs no nonce is
 * signed once and kept until half its time is over or something is revoked. */
#include "ca/ocsp.h"

#include <openssl/ocsp.h>
#include <stdio.h>
#include <string.h>

#include "ca/authority.h"
#include "pki/text.h"

#define REQUEST_MAX   65536
#define QUESTIONS_MAX 16
#define NONCE_MAX     128   /* RFC 9654 section 2.1 */
#define SLOTS         16384 /* a power of two */
#define SLOT_KEY_MAX  256

/* struct slot: a request without a nonce, and its answer. */
struct slot {
    uint8_t key[SLOT_KEY_MAX];
    size_t key_len;
    struct buf answer;
    struct ca_fresh fresh;
};

struct ocsp_state {
    struct ocsp_responder responder;
    int64_t revision; /* of the head, when the slots were filled */
    struct slot *slots;
};

void ocsp_state_free(struct ocsp_state *s)
{
    if (s == NULL)
        return;
    ocsp_responder_free(&s->responder);
    for (size_t i = 0; s->slots != NULL && i < SLOTS; i++)
        buf_free(&s->slots[i].answer);
    mem_free(s->slots);
    mem_free(s);
}

static void slots_empty(struct ocsp_state *s)
{
    for (size_t i = 0; i < SLOTS; i++)
        s->slots[i].key_len = 0;
}

static struct slot *slot_of(struct ocsp_state *s, struct tt_bytes request)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    if (request.len == 0 || request.len > SLOT_KEY_MAX)
        return NULL;
    for (size_t i = 0; i < request.len; i++)
        h = (h ^ request.data[i]) * 16777619u;
    return &s->slots[h & (SLOTS - 1)];
}

static tt_rc revision_take(void *arg, const struct store_row *row)
{
    *(int64_t *)arg = row_int(row, 0);
    return TT_OK;
}

static tt_rc state_ready(struct ca *ca, int64_t now, struct tt_error *err)
{
    int64_t revision = 0;
    const struct statement ask = {.sql = "SELECT revision FROM head", .fn = revision_take, .arg = &revision};
    if (ca->ocsp == NULL) {
        struct ocsp_state *s = mem_alloc(sizeof *s);
        if (s == NULL || (s->slots = mem_alloc(SLOTS * sizeof *s->slots)) == NULL) {
            mem_free(s);
            return ca_no_memory(err);
        }
        ca->ocsp = s;
    }
    TT_TRY(ca_ask(ca, &ask, NULL, err));
    if (ca->ocsp->revision != revision)
        slots_empty(ca->ocsp);
    ca->ocsp->revision = revision;
    bool renewed = false;
    TT_TRY(ocsp_responder_ready(&ca->ocsp->responder, ca, now, &renewed, err));
    if (renewed)
        slots_empty(ca->ocsp);
    return TT_OK;
}

tt_rc ocsp_tend(struct ca *ca, int64_t now, struct tt_error *err)
{
    return state_ready(ca, now, err);
}

/* ---- one question ---- */

struct status {
    int status, reason;
    int64_t revoked;
};

static tt_rc status_take(void *arg, const struct store_row *row)
{
    struct status *s = arg;
    bool good = strcmp(row_text(row, 0), "valid") == 0;
    s->status = good ? V_OCSP_CERTSTATUS_GOOD : V_OCSP_CERTSTATUS_REVOKED;
    s->reason = good ? OCSP_REVOKED_STATUS_NOSTATUS : (int)row_int(row, 1);
    s->revoked = row_int(row, 2);
    return TT_OK;
}

static tt_rc status_find(struct status *ret, struct ca *ca, const ASN1_INTEGER *serial, struct tt_error *err)
{
    char hex[CA_SERIAL_HEX];
    size_t n = (size_t)ASN1_STRING_length(serial);
    *ret = (struct status){V_OCSP_CERTSTATUS_UNKNOWN, OCSP_REVOKED_STATUS_NOSTATUS, 0};
    if (n == 0 || n > (CA_SERIAL_HEX - 1) / 2)
        return TT_OK;
    text_hex(hex, (struct tt_bytes){ASN1_STRING_get0_data(serial), n});
    const struct statement ask = {.sql = "SELECT status, reason, revoked FROM certificate WHERE serial = $1",
                                  STORE_ARGS(store_text(hex)),
                                  .fn = status_take,
                                  .arg = ret};
    return ca_ask(ca, &ask, NULL, err);
}

/* Is the question about a certificate of this key? By the hash it was asked with. */
static bool asks_us(const struct ca *ca, OCSP_CERTID *id)
{
    ASN1_OBJECT *oid = NULL;
    ASN1_INTEGER *serial = NULL;
    (void)OCSP_id_get0_info(NULL, &oid, NULL, &serial, id);
    const EVP_MD *md = EVP_get_digestbyobj(oid);
    if (md == NULL)
        return false;
    OCSP_CERTID *ours =
        OCSP_cert_id_new(md, X509_get_subject_name(ca->cert), X509_get0_pubkey_bitstr(ca->cert), serial);
    bool same = ours != NULL && OCSP_id_issuer_cmp(ours, id) == 0;
    OCSP_CERTID_free(ours);
    return same;
}

/* Who answers: the key that the first question names, if it is at hand: its responder alone counts for it. */
static struct ca *asked_of(struct ca *ca, OCSP_REQUEST *request, int64_t now)
{
    OCSP_CERTID *id = OCSP_request_onereq_count(request) <= 0
                          ? NULL
                          : OCSP_onereq_get0_id(OCSP_request_onereq_get0(request, 0));
    for (size_t i = 0; id != NULL && i < ca->former_len; i++)
        if (asks_us(ca->former[i], id) && state_ready(ca->former[i], now, NULL) == TT_OK)
            return ca->former[i];
    return ca;
}

struct answering {
    struct ca *ca;
    OCSP_REQUEST *request;
    OCSP_BASICRESP *basic;
    struct ca_fresh fresh;
    bool keeps; /* may be given to others, later */
};

static tt_rc one_answer(struct answering *a, int i, struct tt_error *err)
{
    struct status s = {V_OCSP_CERTSTATUS_UNKNOWN, OCSP_REVOKED_STATUS_NOSTATUS, 0};
    OCSP_CERTID *id = OCSP_onereq_get0_id(OCSP_request_onereq_get0(a->request, i));
    ASN1_INTEGER *serial = NULL;
    if (id == NULL)
        return ca_no_memory(err);
    (void)OCSP_id_get0_info(NULL, NULL, NULL, &serial, id);
    if (asks_us(a->ca, id))
        TT_TRY(status_find(&s, a->ca, serial, err));
    a->keeps = a->keeps && s.status != V_OCSP_CERTSTATUS_UNKNOWN; /* it may be issued in a moment */
    ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)a->fresh.this_update);
    ASN1_TIME *to = ASN1_TIME_set(NULL, (time_t)a->fresh.next_update);
    ASN1_TIME *when = ASN1_TIME_set(NULL, (time_t)s.revoked);
    bool revoked = s.status == V_OCSP_CERTSTATUS_REVOKED;
    /* "unspecified" is left out, as in a CRL. */
    int reason = revoked && s.reason == 0 ? OCSP_REVOKED_STATUS_NOSTATUS : s.reason;
    bool ok = from != NULL && to != NULL && when != NULL &&
              OCSP_basic_add1_status(a->basic, id, s.status, reason, revoked ? when : NULL, from, to) != NULL;
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    ASN1_TIME_free(when);
    return ok ? TT_OK : ca_no_memory(err);
}

/* ---- the request ---- */

/* "MUST reject any OCSP request that has a nonce ... with a length of either 0 octets or more than 128
 * octets" (RFC 9654 section 2.1). */
static bool nonce_ok(OCSP_REQUEST *request, bool *ret_there)
{
    int at = OCSP_REQUEST_get_ext_by_NID(request, NID_id_pkix_OCSP_Nonce, -1);
    *ret_there = at >= 0;
    if (at < 0)
        return true;
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(OCSP_REQUEST_get_ext(request, at));
    struct reader r =
        reader_of((struct tt_bytes){ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value)});
    struct tt_bytes nonce = der_get(&r, DER_OCTET_STRING);
    return rd_done(&r) == TT_OK && nonce.len > 0 && nonce.len <= NONCE_MAX;
}

static tt_rc response_put(struct buf *to, int status, OCSP_BASICRESP *basic, struct tt_error *err)
{
    OCSP_RESPONSE *response = OCSP_response_create(status, basic);
    TT_AUTO(ossl_free_auto) uint8_t *der = NULL;
    int len = response == NULL ? -1 : i2d_OCSP_RESPONSE(response, &der);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    return len > 0 && buf_append(to, der, (size_t)len) == TT_OK ? TT_OK : ca_no_memory(err);
}

static tt_rc answer_build(struct buf *to, struct answering *a, bool nonce, struct tt_error *err)
{
    struct ocsp_responder *r = &a->ca->ocsp->responder;
    for (int i = 0; i < OCSP_request_onereq_count(a->request); i++)
        TT_TRY(one_answer(a, i, err));
    if (nonce && OCSP_copy_nonce(a->basic, a->request) != 1)
        return ca_no_memory(err);
    if (OCSP_basic_sign(a->basic, r->cert, r->key, EVP_sha256(), NULL, 0) != 1) {
        ERR_clear_error();
        return error_set(err, TT_ERR_INTERNAL, "libcrypto could not sign the OCSP answer");
    }
    return response_put(to, OCSP_RESPONSE_STATUS_SUCCESSFUL, a->basic, err);
}

static tt_rc answer(struct buf *to, struct ca_fresh *ret_fresh, bool *ret_keeps, struct ca *ca,
                    OCSP_REQUEST *request, int64_t now, struct tt_error *err)
{
    bool nonce = false;
    int n = OCSP_request_onereq_count(request);
    if (n <= 0 || n > QUESTIONS_MAX || !nonce_ok(request, &nonce))
        return response_put(to, OCSP_RESPONSE_STATUS_MALFORMEDREQUEST, NULL, err);
    struct answering a = {.ca = ca, .request = request, .basic = OCSP_BASICRESP_new(), .keeps = !nonce};
    a.fresh.this_update = now;
    a.fresh.next_update = now + INT64_C(3600) * ca->profiles->ocsp_hours;
    tt_rc rc = a.basic == NULL ? ca_no_memory(err) : answer_build(to, &a, nonce, err);
    OCSP_BASICRESP_free(a.basic);
    ERR_clear_error();
    if (rc == TT_OK) {
        *ret_fresh = a.fresh;
        if (!a.keeps)
            ret_fresh->next_update = 0;
        *ret_keeps = a.keeps;
    }
    return rc;
}

static void keep(struct slot *s, struct tt_bytes request, struct tt_bytes der, const struct ca_fresh *fresh)
{
    s->key_len = 0;
    s->answer.off = s->answer.len = 0;
    if (buf_append(&s->answer, der.data, der.len) != TT_OK)
        return;
    memcpy(s->key, request.data, request.len);
    s->key_len = request.len;
    s->fresh = *fresh;
}

static bool kept(struct slot *s, struct tt_bytes request, int64_t now)
{
    int64_t half = s->fresh.this_update + (s->fresh.next_update - s->fresh.this_update) / 2;
    return s->key_len == request.len && memcmp(s->key, request.data, request.len) == 0 && now < half &&
           now >= s->fresh.this_update;
}

static tt_rc answer_new(struct buf *ret, struct ca_fresh *ret_fresh, struct ca *ca, OCSP_REQUEST *r,
                        struct tt_bytes request, int64_t now, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf der = {0};
    char sha256[CA_SHA256_HEX];
    bool keeps = false;
    TT_TRY(r != NULL ? answer(&der, ret_fresh, &keeps, ca, r, now, err)
                     : response_put(&der, OCSP_RESPONSE_STATUS_MALFORMEDREQUEST, NULL, err));
    sha256_text(sha256, buf_bytes(&der));
    (void)snprintf(ret_fresh->etag, sizeof ret_fresh->etag, "%.32s", sha256);
    struct slot *s = slot_of(ca->ocsp, request);
    if (keeps && s != NULL)
        keep(s, request, buf_bytes(&der), ret_fresh);
    return buf_append(ret, buf_front(&der), buf_size(&der)) == TT_OK ? TT_OK : ca_no_memory(err);
}

/* *ret_there: an answer that was signed before. */
static tt_rc answer_kept(struct buf *ret, struct ca_fresh *ret_fresh, bool *ret_there, struct ca *ca,
                         struct tt_bytes request, int64_t now, struct tt_error *err)
{
    struct slot *s = slot_of(ca->ocsp, request);
    *ret_there = s != NULL && kept(s, request, now);
    if (!*ret_there)
        return TT_OK;
    *ret_fresh = s->fresh;
    return buf_append(ret, buf_front(&s->answer), buf_size(&s->answer)) == TT_OK ? TT_OK : ca_no_memory(err);
}

static tt_rc answer_make(struct buf *ret, struct ca_fresh *ret_fresh, struct ca *ca, struct tt_bytes request,
                         int64_t now, struct tt_error *err)
{
    const uint8_t *at = request.data;
    bool there = false;
    OCSP_REQUEST *r =
        request.len == 0 || request.len > REQUEST_MAX ? NULL : d2i_OCSP_REQUEST(NULL, &at, (long)request.len);
    bool whole = r != NULL && at == request.data + request.len;
    ERR_clear_error();
    struct ca *by = whole ? asked_of(ca, r, now) : ca;
    tt_rc rc = by == ca ? TT_OK : answer_kept(ret, ret_fresh, &there, by, request, now, err);
    if (rc == TT_OK && !there)
        rc = answer_new(ret, ret_fresh, by, whole ? r : NULL, request, now, err);
    OCSP_REQUEST_free(r);
    return rc;
}

tt_rc ca_ocsp(struct ca *ca, struct buf *ret, struct ca_fresh *ret_fresh, struct tt_bytes request,
              int64_t now, struct tt_error *err)
{
    struct ca_fresh fresh = {0};
    bool there = false;
    TT_TRY(state_ready(ca, now, err));
    TT_TRY(answer_kept(ret, &fresh, &there, ca, request, now, err));
    if (!there)
        TT_TRY(answer_make(ret, &fresh, ca, request, now, err));
    *ret_fresh = fresh;
    return TT_OK;
}
