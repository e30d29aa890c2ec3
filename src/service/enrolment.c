/* service/enrolment.c: see enrolment.h. Layer: service. */
#include "service/enrolment.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

struct enrolment *enrolment_new(const struct est_order *order)
{
    struct enrolment *e = mem_alloc(sizeof *e);
    if (e == NULL)
        return NULL;
    if (buf_append(&e->csr, order->csr.data, order->csr.len) != TT_OK ||
        buf_append(&e->certificate, order->certificate.data, order->certificate.len) != TT_OK) {
        enrolment_free(e);
        return NULL;
    }
    e->renews = order->renews;
    e->unbound = order->unbound;
    e->has_label = order->label != NULL;
    e->has_password = order->password != NULL;
    (void)snprintf(e->label, sizeof e->label, "%s", e->has_label ? order->label : "");
    (void)snprintf(e->password, sizeof e->password, "%s", e->has_password ? order->password : "");
    (void)snprintf(e->from, sizeof e->from, "%s", order->from);
    return e;
}

void enrolment_free(struct enrolment *e)
{
    if (e == NULL)
        return;
    buf_free(&e->csr);
    buf_free(&e->certificate);
    ca_answer_free(&e->answer);
    mem_free(e->attested.evidence);
    mem_free(e); /* which wipes the password */
}

static void decide(struct enrolment *e, enum est_outcome outcome, const char *word, const char *text,
                   const char *hint)
{
    (void)snprintf(e->text, sizeof e->text, "%s%s%s%s%s", word, word[0] != '\0' ? ": " : "", text,
                   hint[0] != '\0' ? "; " : "", hint);
    e->verdict.outcome = outcome;
    e->verdict.word = word;
    e->verdict.text = e->text;
    e->verdict.serial = e->answer.serial;
    e->verdict.failure = &e->failure;
}

/* What exactly is wrong with the disk or the database is not for who asks: the log has it. */
static void store_failed(struct enrolment *e, const struct tt_error *why)
{
    decide(e, EST_FAILED, "", "the CA cannot look into its store at the moment", "");
    e->failure = *why;
}

/* ---- who asks ---- */

struct found {
    struct tt_bytes certificate;
    bool is_same, is_valid;
    char profile[64];
};

static tt_rc on_entry(void *arg, const struct ca_entry *c)
{
    struct found *f = arg;
    f->is_same =
        c->der.len == f->certificate.len && memcmp(c->der.data, f->certificate.data, c->der.len) == 0;
    f->is_valid = strcmp(c->state, "valid") == 0;
    (void)snprintf(f->profile, sizeof f->profile, "%s", c->profile);
    return TT_OK;
}

static tt_rc find(struct ca *ca, struct found *f, char ret_serial[CA_SERIAL_HEX], int64_t now,
                  struct tt_error *err)
{
    struct tt_cert_info *info = NULL;
    TT_TRY(tt_cert_describe(&info, f->certificate, err));
    (void)snprintf(ret_serial, CA_SERIAL_HEX, "%s", info->serial);
    tt_cert_info_free(info);
    return ca_find(ca, ret_serial, now, on_entry, f, err);
}

bool holder_is(struct ca *ca, struct tt_bytes certificate, const char *profile, int64_t now)
{
    struct found f = {.certificate = certificate};
    struct tt_error err = {0};
    char serial[CA_SERIAL_HEX];
    return certificate.len > 0 && find(ca, &f, serial, now, &err) == TT_OK && f.is_same && f.is_valid &&
           (profile == NULL || strcmp(f.profile, profile) == 0);
}

/* With a renewal goes what the certificate was issued as, unless something else is asked for. */
static bool by_certificate(struct ca *ca, struct enrolment *e, int64_t now)
{
    struct found f = {.certificate = buf_bytes(&e->certificate)};
    struct tt_error err = {0};
    tt_rc rc = find(ca, &f, e->id, now, &err);
    if (rc != TT_OK && rc != TT_ERR_NOT_FOUND && rc != TT_ERR_DECODE) {
        store_failed(e, &err);
        return false;
    }
    if (rc != TT_OK || !f.is_same) {
        decide(e, EST_UNKNOWN, ca_refusal_word(CA_REFUSED_CERTIFICATE),
               "the certificate of the connection was not issued by this CA", "");
        return false;
    }
    if (!f.is_valid) { /* asked again, a request would have its former answer */
        decide(e, EST_UNKNOWN, ca_refusal_word(CA_REFUSED_CERTIFICATE),
               "the certificate of the connection is revoked, on hold or expired", "");
        return false;
    }
    bool is_operator = !e->renews && strcmp(f.profile, CA_OPERATOR_PROFILE) == 0;
    (void)snprintf(e->profile, sizeof e->profile, "%s", f.profile);
    e->order.by.who = is_operator ? CA_BY_ENROLLER : CA_BY_CERTIFICATE;
    e->order.by.id = e->id;
    e->order.profile = is_operator ? NULL : e->profile;
    return true;
}

static bool by_token(struct ca *ca, struct enrolment *e, int64_t now)
{
    struct ca_token token;
    struct tt_error err = {0};
    tt_rc rc = ca_token_check(ca, &token, e->password, now, &err);
    mem_wipe(e->password, sizeof e->password);
    if (rc == TT_ERR_AUTH) {
        decide(e, EST_UNKNOWN, ca_refusal_word(CA_REFUSED_TOKEN),
               "there is no such token, or it has expired or was revoked", "");
        return false;
    }
    if (rc != TT_OK) {
        store_failed(e, &err);
        return false;
    }
    (void)snprintf(e->id, sizeof e->id, "%s", token.id);
    (void)snprintf(e->profile, sizeof e->profile, "%s", token.profile);
    e->order.by.who = CA_BY_TOKEN;
    e->order.by.id = e->id;
    return true;
}

/* A label chooses nothing that the token or the certificate does not give: else who may have one profile
 * could have all. */
static bool label_fits(struct enrolment *e)
{
    if (!e->has_label || e->order.by.who == CA_BY_ENROLLER || strcmp(e->label, e->profile) == 0)
        return true;
    decide(e, EST_REFUSED, ca_refusal_word(CA_REFUSED_PROFILE),
           e->order.by.who == CA_BY_TOKEN ? "the token is not for the profile in the path"
                                          : "the certificate is of another profile than the one in the path",
           e->order.by.who == CA_BY_TOKEN ? "tpmtls ca token create --profile" : "");
    return false;
}

static bool evidence_refused(struct enrolment *e)
{
    const struct tt_attest_verdict *v = &e->attested.verdict;
    char word[48];
    (void)snprintf(word, sizeof word, "attestation-%s", tt_attest_reason_name(v->reason));
    decide(e, EST_REFUSED, word, v->text, "");
    e->verdict.word = ca_refusal_word(CA_REFUSED_NOT_ATTESTED);
    return false;
}

/* Evidence that is not good is refused, whoever brings it. With neither token nor certificate it says who
 * asks: the TPM, which is its endorsement key. */
static bool by_evidence(struct enrolment *e, const struct issuing *what)
{
    struct tt_error err = {0};
    tt_rc rc = attest_desk_judge(&e->attested, what->attest, buf_bytes(&e->csr), what->now, &err);
    if (rc == TT_OK) {
        e->order.attested = true;
        e->order.ek = e->attested.ek_sha256;
        e->order.evidence = (struct tt_bytes){e->attested.evidence, e->attested.len};
    }
    if (rc == TT_OK || rc == TT_ERR_NOT_FOUND)
        return true;
    if (rc == TT_ERR_VERIFY)
        return evidence_refused(e);
    decide(e, EST_FAILED, "", "the evidence cannot be judged at the moment", "");
    e->verdict.word = ca_refusal_word(CA_REFUSED_NOT_ATTESTED);
    return false;
}

/* What was good when it came need not be fresh when a person has approved it, or when the answer is asked for
 * again: the request is the same, byte by byte, and so is who asks. */
static bool is_fresh_or_was(struct ca *ca, struct enrolment *e)
{
    struct tt_error err = {0};
    struct ca_asked before = {false};
    if (!e->attested.is_past && e->unbound == NULL)
        return true;
    if (ca_asked_before(ca, &before, &e->order, &err) != TT_OK) {
        store_failed(e, &err);
        return false;
    }
    if (e->unbound != NULL && !before.there) {
        decide(e, EST_REFUSED, "binding", e->unbound, "");
        return false;
    }
    return !e->attested.is_past || before.attested || evidence_refused(e);
}

static bool by_tpm(struct enrolment *e)
{
    if (!e->order.attested) {
        decide(e, EST_UNKNOWN, ca_refusal_word(CA_REFUSED_NOT_ATTESTED), "nothing says who asks", "");
        return false;
    }
    (void)snprintf(e->id, sizeof e->id, "%s", e->attested.ek_sha256);
    (void)snprintf(e->profile, sizeof e->profile, "%.63s", e->label);
    e->order.by.who = CA_BY_ATTESTATION;
    e->order.by.id = e->id;
    return true;
}

static bool prepare(struct ca *ca, struct enrolment *e, const struct issuing *what)
{
    int64_t now = what->now;
    e->order = (struct ca_order){.csr = buf_bytes(&e->csr), .by = {.address = e->from}};
    if (!by_evidence(e, what))
        return false;
    bool is_known = e->has_password                 ? by_token(ca, e, now)
                    : buf_size(&e->certificate) > 0 ? by_certificate(ca, e, now)
                                                    : by_tpm(e);
    if (!is_known || !label_fits(e))
        return false;
    if (e->has_label)
        e->order.profile = e->label;
    return is_fresh_or_was(ca, e);
}

/* ---- what became of it ---- */

static void conclude(struct enrolment *e)
{
    const struct ca_answer *a = &e->answer;
    e->verdict.certificate = a->certificate;
    switch (a->verdict) {
    case CA_ISSUED:
        decide(e, EST_ISSUED, "", "issued", "");
        break;
    case CA_PENDING:
        decide(e, EST_WAITS, "", a->reason.text[0] != '\0' ? a->reason.text : "a person has to approve this",
               "");
        break;
    case CA_FAILED: /* what exactly is for the log */
        decide(e, EST_FAILED, "", "the CA cannot answer this request at the moment", "");
        e->failure = a->reason;
        break;
    default:
        decide(e, ca_refusal_is_auth(a->why) ? EST_UNKNOWN : EST_REFUSED, ca_refusal_word(a->why),
               a->reason.text, a->reason.hint);
    }
}

void enrolments_issue(struct ca *ca, const struct issuing *what)
{
    struct enrolment **list = what->list;
    size_t n = what->n;
    int64_t now = what->now;
    struct ca_order orders[CA_BATCH_MAX];
    struct ca_answer answers[CA_BATCH_MAX];
    struct enrolment *of[CA_BATCH_MAX];
    struct tt_error err = {0};
    size_t asked = 0;
    bool is_down = false; /* then it is not asked again for each of them, which may take its time */
    for (size_t i = 0; i < n; i++) {
        if (is_down)
            decide(list[i], EST_FAILED, "", "the CA cannot look into its store at the moment", "");
        if (is_down || !prepare(ca, list[i], what)) {
            is_down = list[i]->failure.rc != TT_OK; /* store_failed */
            continue;
        }
        of[asked] = list[i];
        answers[asked] = (struct ca_answer){0};
        orders[asked++] = list[i]->order;
    }
    if (asked == 0)
        return;
    tt_rc rc = ca_issue(ca, orders, answers, asked, now, &err);
    for (size_t i = 0; i < asked; i++) {
        of[i]->answer = answers[i];
        if (rc == TT_OK)
            conclude(of[i]);
        else /* what exactly is wrong with the disk is not for who asks: the log has it */
            decide(of[i], EST_FAILED, "", "the CA cannot issue at the moment: nothing was issued", "");
    }
    if (rc != TT_OK)
        of[0]->failure = err;
}
