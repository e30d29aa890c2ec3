/* ca/issue.c: requests in, certificates out. Layer: ca.
 *
 * In two steps. First each request is judged and its certificate signed, with nothing locked: a TPM takes its
 * time. Then one transaction asks again what may have changed (is the token unused, was it the same request
 * before), writes all of them and is durable before anybody sees a certificate. What was signed and is not
 * written is forgotten. */
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "ca/authority.h"
#include "ca/identity.h"
#include "ca/judge.h"
#include "pki/text.h"

#define CSR_KEPT_MAX 16384 /* of a request that is refused */

enum outcome {
    OUT_REFUSED,
    OUT_WAITS, /* for a person */
    OUT_AGAIN, /* it has its certificate */
    OUT_SIGNED
};

/* struct before: what the store says of the same request by the same requester. */
struct before {
    int64_t number; /* 0: nothing */
    char state[12];
    char serial[CA_SERIAL_HEX];
    bool attested;
};

struct work {
    const struct ca_order *order;
    struct ca_answer *answer;
    struct known known;
    struct judged judged;
    struct before before;
    enum outcome outcome;
    char again[CA_SHA256_HEX]; /* "": never asked again */
    char serial[CA_SERIAL_HEX];
    struct ca_subject subject;
    struct identity identity; /* of a profile with one-identity */
    struct buf der;
    /* of a transaction; made anew when it is tried again */
    struct ca_answer found;
};

struct batch {
    struct ca *ca;
    struct work *work;
    size_t n;
    int64_t now;
};

/* ---- what the store knows ---- */

static void copy_text(char *to, size_t cap, const char *from)
{
    (void)snprintf(to, cap, "%s", from);
}

static tt_rc token_take(void *arg, const struct store_row *row)
{
    struct known *k = arg;
    k->there = true;
    copy_text(k->subject, sizeof k->subject, row_text(row, 0));
    copy_text(k->profile, sizeof k->profile, row_text(row, 1));
    k->expires = row_int(row, 2);
    k->revoked = row_int(row, 3);
    k->uses = row_int(row, 4);
    k->used = row_int(row, 5);
    copy_text(k->names, sizeof k->names, row_text(row, 6));
    return TT_OK;
}

static tt_rc certificate_take(void *arg, const struct store_row *row)
{
    struct known *k = arg;
    struct tt_bytes der = row_blob(row, 3);
    k->there = true;
    copy_text(k->state, sizeof k->state, row_text(row, 0));
    copy_text(k->profile, sizeof k->profile, row_text(row, 1));
    k->expires = row_int(row, 2);
    k->who = (enum ca_who)row_int(row, 4);
    copy_text(k->requester, sizeof k->requester, row_text(row, 5));
    buf_free(&k->certificate);
    return buf_append(&k->certificate, der.data, der.len);
}

static bool has_certificate(const struct ca_requester *by)
{
    return by->who == CA_BY_CERTIFICATE || by->who == CA_BY_ENROLLER;
}

static tt_rc known_read(struct known *k, struct ca *ca, const struct ca_requester *by, struct tt_error *err)
{
    char serial[CA_SERIAL_HEX] = "";
    const char *id = by->id == NULL ? "" : by->id;
    const struct statement token = {
        .sql = "SELECT subject, profile, expires, revoked, uses, used, names FROM token WHERE number = $1",
        STORE_ARGS(store_int(id_number(id))),
        .fn = token_take,
        .arg = k};
    if (by->who == CA_BY_TOKEN)
        return ca_ask(ca, &token, NULL, err);
    if (!has_certificate(by) || !serial_plain(serial, id))
        return TT_OK;
    const struct statement certificate = {
        .sql = "SELECT status, profile, not_after, der, who, requester FROM certificate WHERE serial = $1",
        STORE_ARGS(store_text(serial)),
        .fn = certificate_take,
        .arg = k};
    TT_TRY(ca_ask(ca, &certificate, NULL, err));
    if (by->who == CA_BY_ENROLLER) /* what others get is not what he is */
        k->profile[0] = '\0';
    return TT_OK;
}

static tt_rc before_take(void *arg, const struct store_row *row)
{
    struct before *b = arg;
    b->number = row_int(row, 0);
    copy_text(b->state, sizeof b->state, row_text(row, 1));
    copy_text(b->serial, sizeof b->serial, row_text(row, 2));
    b->attested = row_int(row, 3) != 0;
    return TT_OK;
}

/* The last one that counts: one that was refused may be asked again as a new one. Of the same profile: who
 * chooses one by the path would else take what a person has approved for another. */
static tt_rc before_read(struct work *w, struct ca *ca, struct tt_error *err)
{
    const struct ca_order *o = w->order;
    const struct profile *p = profiles_find(
        ca->profiles, o->profile != NULL && o->profile[0] != '\0' ? o->profile : w->known.profile);
    w->before = (struct before){0};
    if (w->again[0] == '\0' || p == NULL)
        return TT_OK;
    const struct statement ask = {.sql = "SELECT number, state, serial, attested FROM request WHERE again = "
                                         "$1 AND profile = $2 AND state <> "
                                         "'refused' ORDER BY number DESC LIMIT 1",
                                  STORE_ARGS(store_text(w->again), store_text(p->name)),
                                  .fn = before_take,
                                  .arg = &w->before};
    return ca_ask(ca, &ask, NULL, err);
}

static void again_make(struct work *w)
{
    const struct ca_requester *by = &w->order->by;
    if (by->who == CA_BY_OPERATOR)
        return;
    /* The hash of a hash each, so that no two pairs run together. */
    char who[32 + 2 * CA_SHA256_HEX], csr[CA_SHA256_HEX];
    sha256_text(csr, w->order->csr);
    int n = snprintf(who, sizeof who, "%s %.64s %s", ca_who_word(by->who), by->id == NULL ? "" : by->id, csr);
    sha256_text(w->again, (struct tt_bytes){(const uint8_t *)who, n > 0 ? (size_t)n : 0});
}

tt_rc ca_asked_before(struct ca *ca, struct ca_asked *ret, const struct ca_order *o, struct tt_error *err)
{
    struct work w = {.order = o};
    tt_rc rc = known_read(&w.known, ca, &o->by, err);
    if (rc == TT_OK) {
        again_make(&w);
        rc = before_read(&w, ca, err);
    }
    known_free(&w.known);
    if (rc == TT_OK)
        *ret = (struct ca_asked){w.before.number != 0, w.before.number != 0 && w.before.attested};
    return rc;
}

/* ---- the requester himself ---- */

static bool requester_check(struct work *w, int64_t now)
{
    const struct known *k = &w->known;
    struct ca_answer *a = w->answer;
    if (w->order->by.who == CA_BY_TOKEN) {
        bool seen = w->before.number != 0; /* its use is paid for */
        if (!k->there || k->revoked != 0)
            return refuse(a, CA_REFUSED_TOKEN, TT_ERR_AUTH, NULL, "the token is unknown or was revoked");
        if (k->expires <= now)
            return refuse(a, CA_REFUSED_TOKEN, TT_ERR_AUTH, "tpmtls ca token create makes another",
                          "the token has expired");
        if (k->used >= k->uses && !seen)
            return refuse(a, CA_REFUSED_TOKEN, TT_ERR_AUTH, "tpmtls ca token create makes another",
                          "the token was used already");
    }
    if (has_certificate(&w->order->by)) {
        if (!k->there)
            return refuse(a, CA_REFUSED_CERTIFICATE, TT_ERR_AUTH, NULL,
                          "the requester's certificate was not issued by this CA");
        if (strcmp(k->state, "valid") != 0)
            return refuse(a, CA_REFUSED_CERTIFICATE, TT_ERR_AUTH, "enrol anew, with a token",
                          "the requester's certificate is %s",
                          strcmp(k->state, "held") == 0 ? "on hold" : "revoked");
        if (k->expires <= now)
            return refuse(a, CA_REFUSED_CERTIFICATE, TT_ERR_AUTH, "enrol anew, with a token",
                          "the requester's certificate has expired");
    }
    return true;
}

static bool waits(const struct work *w)
{
    enum profile_approval rule = w->judged.profile->approval;
    bool is_person = w->order->by.who == CA_BY_OPERATOR || w->order->by.who == CA_BY_ENROLLER;
    if (is_person || strcmp(w->before.state, "approved") == 0)
        return false;
    return rule == APPROVAL_ALWAYS || (rule == APPROVAL_UNATTESTED && !w->order->attested);
}

/* ---- judge and sign ---- */

static bool period(struct work *w, const struct ca *ca, int64_t now)
{
    struct tt_error why = {0};
    w->subject.profile = w->judged.profile;
    tt_rc rc = ca_period(&w->subject, ca, w->order->days, now, &why);
    return rc == TT_OK ||
           refuse(w->answer, CA_REFUSED_DAYS, rc, why.hint[0] != '\0' ? why.hint : NULL, "%s", why.text);
}

static tt_rc sign(struct work *w, const struct ca *ca, struct tt_error *err)
{
    w->subject.name = X509_REQ_get_subject_name(w->judged.csr.req);
    w->subject.spki = (struct tt_bytes){w->judged.spki, w->judged.spki_len};
    w->subject.names = (struct tt_bytes){w->judged.names, w->judged.names_len};
    w->subject.delegation = w->order->delegation;
    w->outcome = OUT_SIGNED;
    return ca_certify(&w->der, w->serial, ca, &w->subject, err);
}

/* What was answered before, maybe into the void. By a token as long as it is valid: its use is paid for. Else
 * it is a new request when a third of the certificate's life is over: devices renew later than that, and may
 * do so with the request that they have. */
#define ANSWER                                                                                               \
    "FROM certificate WHERE serial = $1 AND status = 'valid' AND not_after > $2 AND (CAST($3 AS BIGINT) = "  \
    "1 "                                                                                                     \
    "OR issued + (not_after - issued) / 3 > $2)"
#define ANSWER_ARGS(w, now)                                                                                  \
    STORE_ARGS(store_text((w)->before.serial), store_int(now),                                               \
               store_int((w)->order->by.who == CA_BY_TOKEN ? 1 : 0))

static tt_rc is_answered(bool *ret, const struct work *w, struct ca *ca, int64_t now, struct tt_error *err)
{
    int64_t rows = 0;
    const struct statement ask = {.sql = "SELECT 1 " ANSWER, ANSWER_ARGS(w, now)};
    *ret = false;
    if (strcmp(w->before.state, "issued") != 0)
        return TT_OK;
    TT_TRY(ca_ask(ca, &ask, &rows, err));
    *ret = rows > 0;
    return TT_OK;
}

static tt_rc prepare(struct work *w, struct ca *ca, int64_t now, struct tt_error *err)
{
    struct ca_answer *a = w->answer;
    TT_TRY(known_read(&w->known, ca, &w->order->by, err));
    again_make(w);
    TT_TRY(before_read(w, ca, err));
    w->outcome = OUT_REFUSED;
    if (!requester_check(w, now))
        return TT_OK;
    bool answered = false;
    TT_TRY(is_answered(&answered, w, ca, now, err));
    if (answered) { /* and not signed again */
        w->outcome = OUT_AGAIN;
        return TT_OK;
    }
    if (strcmp(w->before.state, "pending") == 0 || strcmp(w->before.state, "rejected") == 0)
        w->outcome = OUT_WAITS; /* or a refusal: the transaction says */
    TT_TRY(judge(&w->judged, a, ca, w->order, &w->known, err));
    if (a->why == CA_REFUSED_NOT)
        (void)period(w, ca, now);
    if (a->why != CA_REFUSED_NOT || w->outcome == OUT_WAITS) {
        w->outcome = a->why != CA_REFUSED_NOT ? OUT_REFUSED : OUT_WAITS;
        return TT_OK;
    }
    if (waits(w)) {
        w->outcome = OUT_WAITS;
        return TT_OK;
    }
    return sign(w, ca, err);
}

/* ---- record ---- */

static const char *text_or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

static json_t *requester_json(const struct ca_requester *by)
{
    return json_pack("{s:s, s:s, s:s}", "by", ca_who_word(by->who), "requester", text_or_empty(by->id),
                     "address", text_or_empty(by->address));
}

tt_rc ca_record_add(struct ca *ca, struct head *h, const struct ca_record *r, int64_t now,
                    struct tt_error *err)
{
    char sha256[CA_SHA256_HEX];
    sha256_text(sha256, r->der);
    const struct statement put = {
        .sql = "INSERT INTO certificate (number, serial, subject, names, not_before, not_after, issued, "
               "sha256, profile, "
               "who, requester, request, attested, status, reason, revoked, der, ca_key) VALUES ($1, $2, $3, "
               "$4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'valid', -1, 0, $14, $15)",
        STORE_ARGS(store_int(h->certificates + 1), store_text(r->serial), store_text(r->subject),
                   store_text(r->names), store_int(r->not_before), store_int(r->not_after), store_int(now),
                   store_text(sha256), store_text(r->profile), store_int(r->by.who),
                   store_text(text_or_empty(r->by.id)), store_int(r->request), store_int(r->attested),
                   store_blob(r->der), store_int(r->ca_key))};
    TT_TRY(store_run(ca->store, &put, NULL, err));
    h->certificates++;
    json_t *what = requester_json(&r->by);
    json_t *more = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:b}", "serial", r->serial, "subject",
                             r->subject, "names", r->names, "sha256", sha256, "profile", r->profile,
                             "request", (json_int_t)r->request, "attested", r->attested ? 1 : 0);
    bool ok = what != NULL && more != NULL && json_object_update(what, more) == 0;
    json_decref(more);
    if (!ok) {
        json_decref(what);
        return ca_no_memory(err);
    }
    return act_add(ca, h, "issue", what, now, err);
}

/* The request's row: a new one, or another state for the one that waited. */
static tt_rc request_put(struct work *w, struct ca *ca, struct head *h, const char *state, int64_t now,
                         struct tt_error *err)
{
    const struct ca_order *o = w->order;
    const char *serial = w->outcome == OUT_SIGNED ? w->serial : "";
    int64_t decided = strcmp(state, "pending") == 0 ? 0 : now;
    bool huge = w->outcome == OUT_REFUSED && o->csr.len > CSR_KEPT_MAX;
    if (w->before.number != 0) {
        const struct statement change = {
            .sql = "UPDATE request SET state = $1, serial = $2, decided = $3 WHERE number = $4",
            STORE_ARGS(store_text(state), store_text(serial), store_int(decided),
                       store_int(w->before.number))};
        id_text(w->found.id, w->before.number);
        return store_run(ca->store, &change, NULL, err);
    }
    const struct judged *j = &w->judged;
    const struct tt_bytes nothing = {0};
    const char *profile = j->profile == NULL ? "" : j->profile->name;
    const struct statement put = {
        .sql = "INSERT INTO request (number, state, why, profile, subject, names, key, who, requester, "
               "address, made, "
               "decided, attested, serial, again, csr, evidence) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, "
               "$10, $11, "
               "$12, $13, $14, $15, $16, $17)",
        STORE_ARGS(store_int(h->requests + 1), store_text(state), store_text(ca_refusal_word(w->found.why)),
                   store_text(profile), store_text(text_or_empty(j->subject)),
                   store_text(text_or_empty(j->sans)), store_text(text_or_empty(j->key)),
                   store_int(o->by.who), store_text(text_or_empty(o->by.id)),
                   store_text(text_or_empty(o->by.address)), store_int(now), store_int(decided),
                   store_int(o->attested ? 1 : 0), store_text(serial),
                   w->again[0] == '\0' ? store_null() : store_text(w->again),
                   store_blob(huge ? nothing : o->csr), store_blob(huge ? nothing : o->evidence))};
    TT_TRY(store_run(ca->store, &put, NULL, err));
    id_text(w->found.id, ++h->requests);
    return TT_OK;
}

static tt_rc refused_put(struct work *w, struct ca *ca, struct head *h, int64_t now, struct tt_error *err)
{
    w->before.number = 0;
    TT_TRY(request_put(w, ca, h, "refused", now, err));
    json_t *what = requester_json(&w->order->by);
    if (what != NULL &&
        (json_object_set_new(what, "why", json_string(ca_refusal_word(w->found.why))) != 0 ||
         json_object_set_new(what, "subject", json_string(text_or_empty(w->judged.subject))) != 0 ||
         json_object_set_new(what, "request", json_integer(h->requests)) != 0)) {
        json_decref(what);
        what = NULL;
    }
    return act_add(ca, h, "refuse", what, now, err);
}

/* One use of the token, unless the same request has paid. */
static tt_rc token_spend(struct work *w, struct ca *ca, int64_t now, struct tt_error *err)
{
    if (w->order->by.who != CA_BY_TOKEN || w->before.number != 0)
        return TT_OK;
    int64_t spent = 0;
    const struct statement spend = {
        .sql = "UPDATE token SET used = used + 1 WHERE number = $1 AND used < uses AND revoked = 0 AND "
               "expires > $2",
        STORE_ARGS(store_int(id_number(w->order->by.id)), store_int(now)),
    };
    TT_TRY(store_run(ca->store, &spend, &spent, err));
    if (spent == 0)
        refuse(&w->found, CA_REFUSED_TOKEN, TT_ERR_AUTH, "tpmtls ca token create makes another",
               "the token was used already");
    return TT_OK;
}

/* And the certificate by which it was asked: it may have been revoked a moment ago. */
static tt_rc certificate_again(struct work *w, struct ca *ca, struct tt_error *err)
{
    char serial[CA_SERIAL_HEX] = "";
    int64_t rows = 0;
    if (!has_certificate(&w->order->by) || !serial_plain(serial, text_or_empty(w->order->by.id)))
        return TT_OK;
    const struct statement ask = {.sql = "SELECT 1 FROM certificate WHERE serial = $1 AND status = 'valid'",
                                  STORE_ARGS(store_text(serial))};
    TT_TRY(store_run(ca->store, &ask, &rows, err));
    if (rows == 0)
        refuse(&w->found, CA_REFUSED_CERTIFICATE, TT_ERR_AUTH, "enrol anew, with a token",
               "the requester's certificate is revoked");
    return TT_OK;
}

/* Whose the certificate is from now on. What is renewed stays that TPM's who came for it by evidence: else
 * its identity were free as soon as the first certificate has ended. That a certificate asked stands in the
 * request. */
static struct ca_requester owner_of(const struct work *w)
{
    const struct ca_requester *by = &w->order->by;
    if (by->who != CA_BY_CERTIFICATE || w->known.who != CA_BY_ATTESTATION || !w->judged.profile->one_identity)
        return *by;
    return (struct ca_requester){CA_BY_ATTESTATION, w->known.requester, by->address};
}

/* In the transaction: two who ask at the same moment do not both get it. */
static tt_rc identity_judge(struct work *w, struct ca *ca, int64_t now, struct tt_error *err)
{
    const struct ca_requester by = owner_of(w);
    const struct identity_claim c = {&w->identity, by.id, w->judged.profile->name, now};
    if (by.who != CA_BY_ATTESTATION || !w->judged.profile->one_identity)
        return TT_OK;
    if (w->identity.len == 0)
        TT_TRY(identity_of(&w->identity, &w->judged, err));
    return identity_check(&w->found, ca, &c, err);
}

static tt_rc der_take(void *arg, const struct store_row *row)
{
    struct ca_answer *a = arg;
    struct tt_bytes der = row_blob(row, 0);
    mem_free((void *)(uintptr_t)a->certificate.data);
    a->certificate = (struct tt_bytes){mem_dup(der.data, der.len), der.len};
    return a->certificate.data == NULL ? TT_ERR_MEMORY : TT_OK;
}

/* It was answered before, maybe into the void: the same certificate, while it is good. */
static tt_rc again_find(struct work *w, struct ca *ca, int64_t now, struct tt_error *err)
{
    int64_t rows = 0;
    const struct statement ask = {
        .sql = "SELECT der " ANSWER, ANSWER_ARGS(w, now), .fn = der_take, .arg = &w->found};
    TT_TRY(store_run(ca->store, &ask, &rows, err));
    if (rows == 0) {
        w->before = (struct before){0}; /* then it is a new request */
        return TT_OK;
    }
    w->found.verdict = CA_ISSUED;
    id_text(w->found.id, w->before.number);
    copy_text(w->found.serial, sizeof w->found.serial, w->before.serial);
    return TT_OK;
}

static tt_rc waiting_put(struct work *w, struct ca *ca, struct head *h, int64_t now, struct tt_error *err)
{
    w->found.verdict = CA_PENDING;
    (void)error_set(&w->found.reason, TT_ERR_BUSY, "the request waits for a person to approve it");
    if (w->before.number != 0) {
        id_text(w->found.id, w->before.number);
        return TT_OK;
    }
    TT_TRY(request_put(w, ca, h, "pending", now, err));
    json_t *what = requester_json(&w->order->by);
    if (what != NULL && (json_object_set_new(what, "subject", json_string(w->judged.subject)) != 0 ||
                         json_object_set_new(what, "request", json_integer(h->requests)) != 0)) {
        json_decref(what);
        what = NULL;
    }
    return act_add(ca, h, "wait", what, now, err);
}

static tt_rc signed_put(struct work *w, struct ca *ca, struct head *h, int64_t now, struct tt_error *err)
{
    TT_TRY(request_put(w, ca, h, "issued", now, err));
    const struct ca_record record = {
        .der = buf_bytes(&w->der),
        .serial = w->serial,
        .subject = w->judged.subject,
        .names = w->judged.sans,
        .profile = w->judged.profile->name,
        .not_before = w->subject.not_before,
        .not_after = w->subject.not_after,
        .request = id_number(w->found.id),
        .by = owner_of(w),
        .attested = w->order->attested,
        .ca_key = ca->key_number,
    };
    TT_TRY(ca_record_add(ca, h, &record, now, err));
    TT_TRY(identity_put(ca, &(struct identity_claim){&w->identity, record.by.id, record.profile, now},
                        w->serial, err));
    w->found.verdict = CA_ISSUED;
    copy_text(w->found.serial, sizeof w->found.serial, w->serial);
    w->found.certificate =
        (struct tt_bytes){mem_dup(buf_front(&w->der), buf_size(&w->der)), buf_size(&w->der)};
    return w->found.certificate.data == NULL ? ca_no_memory(err) : TT_OK;
}

static tt_rc one_write(struct work *w, struct ca *ca, struct head *h, int64_t now, struct tt_error *err)
{
    const enum outcome prepared = w->outcome;
    TT_TRY(before_read(w, ca, err));
    if (prepared != OUT_REFUSED)
        TT_TRY(certificate_again(w, ca, err));
    if (w->found.why == CA_REFUSED_NOT && strcmp(w->before.state, "issued") == 0)
        TT_TRY(again_find(w, ca, now, err));
    if (w->found.verdict == CA_ISSUED && w->found.certificate.data != NULL)
        return TT_OK;
    if (prepared == OUT_AGAIN && w->found.why == CA_REFUSED_NOT) { /* revoked a moment ago */
        w->found.verdict = CA_FAILED;
        (void)error_set(&w->found.reason, TT_ERR_BUSY, "its certificate was revoked a moment ago: ask again");
        return TT_OK;
    }
    if (prepared != OUT_REFUSED && w->found.why == CA_REFUSED_NOT)
        TT_TRY(identity_judge(w, ca, now, err));
    if (w->found.why == CA_REFUSED_NOT && strcmp(w->before.state, "rejected") == 0) {
        (void)refuse(&w->found, CA_REFUSED_REJECTED, TT_ERR_AUTH, NULL, "a person rejected this request");
        return TT_OK; /* that is in the store */
    }
    if (w->found.why == CA_REFUSED_NOT)
        TT_TRY(token_spend(w, ca, now, err));
    if (w->found.why != CA_REFUSED_NOT) {
        w->outcome = OUT_REFUSED;
        tt_rc rc = refused_put(w, ca, h, now, err);
        w->outcome = prepared;
        return rc;
    }
    bool still = w->outcome == OUT_WAITS || strcmp(w->before.state, "pending") == 0;
    return still ? waiting_put(w, ca, h, now, err) : signed_put(w, ca, h, now, err);
}

static tt_rc all_write(void *arg, struct ca *ca, struct head *h, struct tt_error *err)
{
    struct batch *b = arg;
    for (size_t i = 0; i < b->n; i++) {
        struct work *w = &b->work[i];
        ca_answer_free(&w->found);
        w->found.verdict = w->answer->verdict; /* what was refused in the first step stays so */
        w->found.why = w->answer->why;
        w->found.reason = w->answer->reason;
        TT_TRY(one_write(w, ca, h, b->now, err));
    }
    return TT_OK;
}

/* ---- the whole ---- */

void ca_answer_free(struct ca_answer *a)
{
    mem_free((void *)(uintptr_t)a->certificate.data);
    *a = (struct ca_answer){0};
}

static void work_free(struct work *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        known_free(&w[i].known);
        judged_free(&w[i].judged);
        identity_free(&w[i].identity);
        buf_free(&w[i].der);
        ca_answer_free(&w[i].found);
    }
    mem_free(w);
}

static tt_rc batch_run(struct batch *b, struct tt_error *err)
{
    for (size_t i = 0; i < b->n; i++)
        TT_TRY(prepare(&b->work[i], b->ca, b->now, err));
    return ca_write(b->ca, all_write, b, err);
}

static tt_rc batch_answer(struct batch *b, struct ca_answer *answers, const struct ca_order *orders,
                          struct ca_answer *ret, struct tt_error *err)
{
    for (size_t i = 0; i < b->n; i++) {
        b->work[i].order = &orders[i];
        b->work[i].answer = &answers[i];
    }
    TT_TRY(batch_run(b, err));
    for (size_t i = 0; i < b->n; i++) {
        ret[i] = b->work[i].found;
        b->work[i].found = (struct ca_answer){0};
    }
    return TT_OK;
}

static tt_rc issue_together(struct ca *ca, const struct ca_order *orders, struct ca_answer *ret, size_t n,
                            int64_t now, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) struct ca_answer *answers = mem_alloc(n * sizeof *answers);
    struct batch b = {.ca = ca, .work = mem_alloc(n * sizeof *b.work), .n = n, .now = now};
    if (b.work == NULL)
        return ca_no_memory(err);
    tt_rc rc = answers == NULL ? ca_no_memory(err) : batch_answer(&b, answers, orders, ret, err);
    work_free(b.work, n);
    return rc;
}

/* Not the store's, the disk's, the TPM's: something about the request. */
static bool is_of_one(tt_rc rc)
{
    return rc == TT_ERR_DECODE || rc == TT_ERR_USAGE || rc == TT_ERR_UNSUPPORTED || rc == TT_ERR_VERIFY ||
           rc == TT_ERR_INTERNAL;
}

/* One of them is at fault, and the others shall not suffer: each by itself. */
static tt_rc issue_apart(struct ca *ca, const struct ca_order *orders, struct ca_answer *ret, size_t n,
                         int64_t now, struct tt_error *err)
{
    tt_rc rc = TT_OK;
    for (size_t i = 0; i < n; i++) {
        struct tt_error why = {0};
        /* What was issued before the store went away stands in it, and whoever asks again has it. */
        tt_rc one = rc != TT_OK ? rc : issue_together(ca, &orders[i], &ret[i], 1, now, &why);
        if (one == TT_OK)
            continue;
        ret[i] = (struct ca_answer){.verdict = CA_FAILED, .reason = rc != TT_OK ? *err : why};
        if (rc == TT_OK && !is_of_one(one))
            rc = error_set(err, one, "%s", why.text);
    }
    return TT_OK;
}

tt_rc ca_issue(struct ca *ca, const struct ca_order *orders, struct ca_answer *ret, size_t n, int64_t now,
               struct tt_error *err)
{
    struct tt_error why = {0};
    if (n == 0)
        return TT_OK;
    if (n > CA_BATCH_MAX)
        return error_set(err, TT_ERR_USAGE, "more than %d requests in a batch", CA_BATCH_MAX);
    TT_TRY(ca_alive(ca, now, err));
    tt_rc rc = issue_together(ca, orders, ret, n, now, &why);
    if (rc != TT_OK && n > 1 && is_of_one(rc))
        return issue_apart(ca, orders, ret, n, now, &why);
    if (rc != TT_OK) {
        error_hint(err, "%s", why.hint);
        return error_set(err, rc, "%s", why.text);
    }
    return TT_OK;
}
