/* pki/peer_names.c: the names in a certificate, by libcrypto. Layer: pki. RFC 5280 sections 4.1.2.6, 4.2.1.6.
 */
#include "pki/peer_names.h"

#include "pki/text.h"

void peer_names_free(struct peer_names *n)
{
    if (n == NULL)
        return;
    for (size_t i = 0; i < n->len; i++)
        mem_free(n->at[i].value);
    mem_free(n->at);
    mem_free(n->subject);
    mem_free(n);
}

const struct peer_name *peer_names_first(const struct peer_names *n, enum peer_name_kind kind)
{
    for (size_t i = 0; i < n->len; i++)
        if (n->at[i].kind == kind)
            return &n->at[i];
    return NULL;
}

static tt_rc add(struct peer_names *n, enum peer_name_kind kind, const uint8_t *value, size_t len)
{
    struct peer_name *more = mem_resize(n->at, (n->len + 1) * sizeof *more);
    if (more == NULL)
        return TT_ERR_MEMORY;
    n->at = more;
    uint8_t *copy = mem_dup(value, len);
    if (copy == NULL)
        return TT_ERR_MEMORY;
    for (size_t i = 0; kind == PEER_NAME_DNS && i < len; i++)
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (uint8_t)(copy[i] + ('a' - 'A'));
    more[n->len++] = (struct peer_name){.kind = kind, .value = copy, .len = len};
    return TT_OK;
}

static tt_rc add_subject(struct peer_names *n, const X509_NAME *subject, int nid, enum peer_name_kind kind)
{
    for (int i = X509_NAME_get_index_by_NID(subject, nid, -1); i >= 0;
         i = X509_NAME_get_index_by_NID(subject, nid, i)) {
        uint8_t *text = NULL;
        int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
        if (len < 0)
            continue;
        tt_rc rc = add(n, kind, text, (size_t)len);
        OPENSSL_free(text);
        TT_TRY(rc);
    }
    return TT_OK;
}

static tt_rc add_sans(struct peer_names *n, const X509 *x)
{
    TT_AUTO(GENERAL_NAMES_free_auto)
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int type = 0;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
        if (type == GEN_DNS || type == GEN_URI)
            TT_TRY(add(n, type == GEN_DNS ? PEER_NAME_DNS : PEER_NAME_URI, ASN1_STRING_get0_data(value),
                       (size_t)ASN1_STRING_length(value)));
    }
    return TT_OK;
}

static tt_rc hash_key(struct peer_names *n, const X509 *x)
{
    uint8_t *spki = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki);
    bool done = len > 0 && EVP_Digest(spki, (size_t)len, n->key_sha256, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(spki);
    return done ? TT_OK : TT_ERR_INTERNAL;
}

static tt_rc fill(struct peer_names *n, const X509 *x)
{
    const X509_NAME *subject = X509_get_subject_name(x);
    TT_TRY(add_subject(n, subject, NID_commonName, PEER_NAME_CN));
    TT_TRY(add_subject(n, subject, NID_organizationalUnitName, PEER_NAME_OU));
    TT_TRY(add_sans(n, x));
    TT_TRY(hash_key(n, x));
    return text_name(&n->subject, subject);
}

tt_rc peer_names_read(struct peer_names **ret, struct tt_bytes der, struct tt_error *err)
{
    TT_AUTO(X509_free_auto) X509 *x = cert_read(der);
    if (x == NULL)
        return error_set(err, TT_ERR_DECODE, "these %zu bytes are no X.509 certificate", der.len);
    TT_AUTO(peer_names_free_auto) struct peer_names *n = mem_alloc(sizeof *n);
    tt_rc rc = n == NULL ? TT_ERR_MEMORY : fill(n, x);
    ERR_clear_error();
    if (rc == TT_ERR_MEMORY)
        return pki_no_memory(err);
    if (rc != TT_OK)
        return error_set(err, rc, "the certificate's names cannot be read");
    *ret = TT_TAKE(n);
    return TT_OK;
}
