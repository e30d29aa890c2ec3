/* crypto/crl.c: certificate revocation lists (RFC 5280 section 5), handed in by the user. Layer: crypto. It
 * fetches nothing.
 *
 * The policy. A set without CRLs asks for none. With at least one of them, the CA that issued the peer's own
 * certificate must have one: a forgotten list shall not look like a clean one. CAs further up are checked
 * where there is a list. A list that is there must be valid at the time of judgement. A list is only taken
 * together with the CA it belongs to, which must be in the set already, so that a wrong or damaged one is
 * noticed by who loads it. Delta CRLs and indirect CRLs are refused. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "crypto/trust_internal.h"

/* ---- loading ---- */

/* The CA certificate whose key signed the list. *ret_named: at least one has the name. */
static X509 *issuer_of(const struct tt_trust *t, X509_CRL *crl, bool *ret_named)
{
    *ret_named = false;
    for (int i = 0; i < sk_X509_num(t->cas); i++) {
        X509 *x = sk_X509_value(t->cas, i);
        if (X509_NAME_cmp(X509_get_subject_name(x), X509_CRL_get_issuer(crl)) != 0)
            continue;
        *ret_named = true;
        if (X509_CRL_verify(crl, X509_get0_pubkey(x)) == 1)
            return x;
    }
    return NULL;
}

static tt_rc check_new(const struct tt_trust *t, X509_CRL *crl, struct tt_error *err)
{
    char name[120];
    bool named;
    name_text(name, sizeof name, X509_CRL_get_issuer(crl));
    if (X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) >= 0) {
        error_hint(err, "give the whole CRL of that CA");
        return error_set(err, TT_ERR_UNSUPPORTED, "the CRL of \"%s\" is a delta CRL", name);
    }
    const X509 *issuer = issuer_of(t, crl, &named);
    if (issuer == NULL && named)
        return error_set(err, TT_ERR_VERIFY,
                         "the CRL of \"%s\" was not signed by the CA of that name that "
                         "is trusted here",
                         name);
    if (issuer == NULL) {
        error_hint(err, "add that CA's certificate first, also when it is an intermediate CA");
        return error_set(err, TT_ERR_NOT_FOUND, "the CRL of \"%s\" is of a CA that is not trusted here",
                         name);
    }
    return TT_OK;
}

/* Once each, as in the store. */
static bool list_crl(struct tt_trust *t, X509_CRL *crl)
{
    for (int i = 0; i < sk_X509_CRL_num(t->lists); i++)
        if (X509_CRL_match(sk_X509_CRL_value(t->lists, i), crl) == 0)
            return true;
    if (X509_CRL_up_ref(crl) != 1)
        return false;
    if (sk_X509_CRL_push(t->lists, crl) > 0)
        return true;
    X509_CRL_free(crl);
    return false;
}

/* Takes crl. */
static tt_rc add_one(struct tt_trust *t, X509_CRL *crl, struct tt_error *err)
{
    tt_rc rc = check_new(t, crl, err);
    if (rc == TT_OK && (!list_crl(t, crl) || X509_STORE_add_crl(t->store, crl) != 1))
        rc = error_set(err, TT_ERR_MEMORY, "out of memory");
    t->crls += rc == TT_OK;
    X509_CRL_free(crl);
    ERR_clear_error();
    return rc;
}

static tt_rc add_pem(struct tt_trust *t, struct tt_bytes pem, struct tt_error *err)
{
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    if (bio == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    size_t added = 0;
    tt_rc rc = TT_OK;
    X509_CRL *crl;
    while (rc == TT_OK && (crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL) {
        rc = add_one(t, crl, err);
        added++;
    }
    bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    BIO_free(bio);
    if (rc != TT_OK)
        return rc;
    if (!at_end)
        return error_set(err, TT_ERR_DECODE, "CRL number %zu is damaged", added + 1);
    return added > 0 ? TT_OK : error_set(err, TT_ERR_DECODE, "there is no X509 CRL in PEM form");
}

static tt_rc add_der(struct tt_trust *t, struct tt_bytes der, struct tt_error *err)
{
    const uint8_t *at = der.data;
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)der.len);
    ERR_clear_error();
    if (crl == NULL || at != der.data + der.len) {
        X509_CRL_free(crl);
        return error_set(err, TT_ERR_DECODE, "this is not a CRL in PEM or DER form");
    }
    return add_one(t, crl, err);
}

tt_rc tt_trust_add_crl(struct tt_trust *t, struct tt_bytes crl, struct tt_error *err)
{
    static const char begin[] = "-----BEGIN ";
    TT_TRY(trust_changing(t, err));
    if (crl.len == 0 || crl.len > INT32_MAX)
        return error_set(err, TT_ERR_DECODE, "this is not a CRL in PEM or DER form");
    /* DER begins with a SEQUENCE; PEM may have text before it. */
    bool is_pem = crl.data[0] != 0x30 || memmem(crl.data, crl.len, begin, strlen(begin)) != NULL;
    return is_pem ? add_pem(t, crl, err) : add_der(t, crl, err);
}

/* ---- judging ---- */

/* No list at all is fine for the CAs further up. Which list was refused is only known while it is. */
bool crl_forgives(X509_STORE_CTX *ctx, struct path *p)
{
    X509_CRL *crl = X509_STORE_CTX_get0_current_crl(ctx);
    if (X509_STORE_CTX_get_error(ctx) == X509_V_ERR_UNABLE_TO_GET_CRL &&
        X509_STORE_CTX_get_error_depth(ctx) > 0)
        return true;
    if (crl != NULL && p->bad_crl == NULL && X509_CRL_up_ref(crl) == 1)
        p->bad_crl = crl;
    return false;
}

void crl_setup(X509_STORE_CTX *ctx, const struct path *p)
{
    if (p->trust->crls > 0)
        X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
}

static void limit_to(struct validity *when, const X509_CRL *crl)
{
    int64_t from, until;
    if (!time_seconds(&from, X509_CRL_get0_lastUpdate(crl)))
        from = INT64_MAX;
    if (!time_seconds(&until, X509_CRL_get0_nextUpdate(crl)))
        until = X509_CRL_get0_nextUpdate(crl) == NULL ? INT64_MAX : INT64_MIN;
    when->from = from > when->from ? from : when->from;
    when->until = until < when->until ? until : when->until;
}

/* The lists of a set were checked when they came; of two CAs of one name it may be the other's. */
bool crl_lists(const struct tt_trust *t, X509 *issuer, X509 *x)
{
    bool listed = false;
    for (int i = 0; !listed && i < sk_X509_CRL_num(t->lists); i++) {
        X509_CRL *crl = sk_X509_CRL_value(t->lists, i);
        X509_REVOKED *entry = NULL;
        listed = X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(issuer)) == 0 &&
                 X509_CRL_get0_by_cert(crl, &entry, x) == 1 &&
                 X509_CRL_verify(crl, X509_get0_pubkey(issuer)) == 1;
    }
    ERR_clear_error();
    return listed;
}

/* Every list of an issuer in the path, not only the one libcrypto took: rather too short than too long. */
void crl_limit(struct path *p)
{
    for (int i = 0; i < sk_X509_CRL_num(p->trust->lists); i++) {
        X509_CRL *crl = sk_X509_CRL_value(p->trust->lists, i);
        for (int j = 0; j < sk_X509_num(p->built); j++)
            if (X509_NAME_cmp(X509_get_issuer_name(sk_X509_value(p->built, j)), X509_CRL_get_issuer(crl)) ==
                0)
                limit_to(&p->when, crl);
    }
}
