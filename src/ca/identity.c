/* ca/identity.c: see identity.h. Layer: ca. Names are compared as names: of a subject the form in which RFC
 * 5280 section 7.1 compares (case and white space do not count), of all else without case. */
#include "ca/identity.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "ca/name_rule.h"
#include "pki/text.h"

#define SUBJECT "subject "
#define NAME    "name "

void identity_free(struct identity *i)
{
    for (size_t n = 0; n < i->len; n++)
        mem_free(i->at[n]);
    *i = (struct identity){0};
}

/* ---- names ---- */

static tt_rc add(struct identity *to, const char *kind, const char *value)
{
    TT_AUTO(buf_free) struct buf b = {0};
    if (to->len == IDENTITY_MAX)
        return TT_OK; /* no profile lets as many through */
    TT_TRY(buf_append(&b, kind, strlen(kind)));
    for (; *value != '\0'; value++)
        TT_TRY(buf_append(&b, &(char){(char)tolower((unsigned char)*value)}, 1));
    TT_TRY(text_take(&to->at[to->len], &b));
    to->len++;
    return TT_OK;
}

/* White space at the ends does not count, and within as one blank. */
static tt_rc value_fold(struct buf *to, const uint8_t *utf8, size_t len)
{
    bool blank = false, begun = false;
    for (size_t i = 0; i < len; i++) {
        if (isspace(utf8[i]) != 0) {
            blank = begun;
            continue;
        }
        if (blank)
            TT_TRY(buf_append(to, " ", 1));
        TT_TRY(buf_append(to, &(char){(char)tolower(utf8[i])}, 1));
        blank = false;
        begun = true;
    }
    return buf_append(to, "", 1);
}

static tt_rc entry_fold(struct buf *to, const X509_NAME_ENTRY *e)
{
    TT_AUTO(ossl_free_auto) uint8_t *utf8 = NULL;
    char oid[80];
    const ASN1_STRING *value = X509_NAME_ENTRY_get_data(e);
    int n = snprintf(oid, sizeof oid, "%d ", X509_NAME_ENTRY_set(e));
    int len = ASN1_STRING_to_UTF8(&utf8, value);
    (void)OBJ_obj2txt(oid + n, (int)sizeof oid - n, X509_NAME_ENTRY_get_object(e), 1);
    ERR_clear_error();
    TT_TRY(buf_append(to, oid, strlen(oid) + 1));
    return len < 0 ? buf_append(to, ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value))
                   : value_fold(to, utf8, (size_t)len);
}

static tt_rc cn_add(struct identity *to, const X509_NAME_ENTRY *e)
{
    TT_AUTO(ossl_free_auto) uint8_t *utf8 = NULL;
    TT_AUTO(buf_free) struct buf folded = {0};
    if (OBJ_obj2nid(X509_NAME_ENTRY_get_object(e)) != NID_commonName)
        return TT_OK;
    int len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(e));
    ERR_clear_error();
    if (len <= 0)
        return TT_OK;
    TT_TRY(value_fold(&folded, utf8, (size_t)len));
    return add(to, NAME, (const char *)buf_front(&folded));
}

static tt_rc subject_add(struct identity *to, const X509_NAME *name)
{
    TT_AUTO(buf_free) struct buf all = {0};
    char sha256[CA_SHA256_HEX];
    for (int i = 0; i < X509_NAME_entry_count(name); i++)
        TT_TRY(entry_fold(&all, X509_NAME_get_entry(name, i)));
    sha256_text(sha256, buf_bytes(&all));
    TT_TRY(add(to, SUBJECT, sha256));
    for (int i = 0; i < X509_NAME_entry_count(name); i++)
        TT_TRY(cn_add(to, X509_NAME_get_entry(name, i)));
    return TT_OK;
}

static bool is_among(const GENERAL_NAMES *names, GENERAL_NAME *name)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
        if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(names, i), name) == 0)
            return true;
    return false;
}

static tt_rc names_add(struct identity *to, const GENERAL_NAMES *names, const GENERAL_NAMES *of_all,
                       struct tt_error *err)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        TT_AUTO(asked_name_free) struct asked_name n = {0};
        if (is_among(of_all, sk_GENERAL_NAME_value(names, i)))
            continue;
        TT_TRY(asked_name_of(&n, sk_GENERAL_NAME_value(names, i), err));
        TT_TRY(add(to, NAME, n.value));
    }
    return TT_OK;
}

tt_rc identity_of(struct identity *ret, const struct judged *j, struct tt_error *err)
{
    TT_AUTO(GENERAL_NAMES_free_auto) GENERAL_NAMES *of_all = NULL;
    struct words fixed = {0};
    for (size_t i = 0; i < j->profile->add.len; i++)
        if (strcasestr(j->profile->add.at[i], "{cn}") == NULL)
            fixed.at[fixed.len++] = j->profile->add.at[i];
    TT_TRY(names_add_rules(&of_all, &fixed, "", err));
    tt_rc rc = subject_add(ret, X509_REQ_get_subject_name(j->csr.req));
    if (rc == TT_OK)
        rc = names_add(ret, j->csr.sans, of_all, err);
    return rc == TT_ERR_MEMORY ? ca_no_memory(err) : rc;
}

tt_rc identity_of_certificate(struct identity *ret, struct tt_bytes der, struct tt_error *err)
{
    TT_AUTO(X509_free_auto) X509 *cert = cert_read(der);
    if (cert == NULL)
        return error_set(err, TT_ERR_DECODE, "a certificate in the CA's store is damaged");
    tt_rc rc = subject_add(ret, X509_get_subject_name(cert));
    return rc == TT_ERR_MEMORY ? ca_no_memory(err) : rc;
}

/* ---- the table ---- */

static tt_rc subject_take(void *arg, const struct store_row *row)
{
    (void)snprintf(arg, 256, "%s", row_text(row, 0));
    return TT_OK;
}

#define OF_LIVING                                                                                            \
    "SELECT certificate.subject FROM identity JOIN certificate ON certificate.serial = identity.serial "     \
    "WHERE "
#define LIVING "AND certificate.status IN ('valid', 'held') AND certificate.not_after > $4 LIMIT 1"

static tt_rc other_subject(struct ca_answer *a, struct ca *ca, const struct identity_claim *c,
                           struct tt_error *err)
{
    char other[256] = "";
    int64_t rows = 0;
    const struct statement ask = {.sql = OF_LIVING "identity.requester = $1 AND identity.profile = $2 AND "
                                                   "identity.name <> $3 AND identity.name LIKE '" SUBJECT
                                                   "%' " LIVING,
                                  STORE_ARGS(store_text(c->requester), store_text(c->profile),
                                             store_text(c->identity->at[0]), store_int(c->now)),
                                  .fn = subject_take,
                                  .arg = other};
    TT_TRY(store_run(ca->store, &ask, &rows, err));
    if (rows > 0)
        refuse(a, CA_REFUSED_NAME, TT_ERR_UNSUPPORTED, "revoke that certificate first",
               "this TPM has the identity %.100s already", other);
    return TT_OK;
}

static tt_rc other_tpm(struct ca_answer *a, struct ca *ca, const struct identity_claim *c, const char *name,
                       struct tt_error *err)
{
    char other[256] = "";
    int64_t rows = 0;
    const struct statement ask = {
        .sql = OF_LIVING "identity.name = $1 AND identity.profile = $2 AND identity.requester <> $3 " LIVING,
        STORE_ARGS(store_text(name), store_text(c->profile), store_text(c->requester), store_int(c->now)),
        .fn = subject_take,
        .arg = other};
    TT_TRY(store_run(ca->store, &ask, &rows, err));
    bool whole = strncmp(name, SUBJECT, sizeof SUBJECT - 1) == 0;
    if (rows > 0)
        refuse(a, CA_REFUSED_NAME, TT_ERR_UNSUPPORTED, "revoke that certificate first",
               "another TPM has the identity %.100s%s%.100s", other, whole ? "" : ", and with it the name ",
               whole ? "" : name + sizeof NAME - 1);
    return TT_OK;
}

tt_rc identity_check(struct ca_answer *a, struct ca *ca, const struct identity_claim *c, struct tt_error *err)
{
    TT_TRY(other_subject(a, ca, c, err));
    for (size_t i = 0; a->why == CA_REFUSED_NOT && i < c->identity->len; i++)
        TT_TRY(other_tpm(a, ca, c, c->identity->at[i], err));
    return TT_OK;
}

tt_rc identity_put(struct ca *ca, const struct identity_claim *c, const char *serial, struct tt_error *err)
{
    for (size_t i = 0; i < c->identity->len; i++) {
        const struct statement put = {
            .sql = "INSERT INTO identity (name, profile, requester, serial) VALUES ($1, $2, $3, $4)",
            STORE_ARGS(store_text(c->identity->at[i]), store_text(c->profile), store_text(c->requester),
                       store_text(serial))};
        TT_TRY(store_run(ca->store, &put, NULL, err));
    }
    return TT_OK;
}
