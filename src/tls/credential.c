/* tls/credential.c: delegated credentials: their form, making one, and the place of the present one. Layer:
 * tls. RFC 9345 section 4. */
#include "tls/credential.h"

#include <string.h>

#include "base/lock.h"
#include "crypto/cert_delegation.h"
#include "crypto/trust.h"

struct tt_delegation {
    atomic_uint refs;
    enum tt_role role;
    struct crypto_lib *lib;
    struct buf leaf;
    struct pubkey *leaf_key;
    int64_t not_before, not_after;
    struct lock lock; /* of what follows */
    struct tt_credential *current;
};

/* ---- the form ---- */

tt_rc delegated_credential_parse(struct delegated_credential *ret, struct tt_bytes whole)
{
    struct reader r = reader_of(whole);
    ret->valid_time = rd_u32(&r);
    ret->dc_cert_verify_algorithm = rd_u16(&r);
    ret->spki = rd_vec24(&r, 1);
    ret->cred = (struct tt_bytes){whole.data, (size_t)(r.at - whole.data)};
    ret->algorithm = rd_u16(&r);
    ret->signature = rd_vec16(&r, 0);
    return rd_done(&r);
}

/* "Only signature algorithms allowed for use in CertificateVerify messages are allowed", and "the public key
 * MUST NOT use the rsaEncryption OID. As a result, the following algorithms are not allowed". */
bool credential_scheme_allowed(uint16_t scheme)
{
    switch (scheme) {
    case TT_SCHEME_RSA_PSS_RSAE_SHA256:
    case TT_SCHEME_RSA_PSS_RSAE_SHA384:
    case TT_SCHEME_RSA_PSS_RSAE_SHA512:
    case TT_SCHEME_RSA_PKCS1_SHA256:
    case TT_SCHEME_RSA_PKCS1_SHA384:
    case TT_SCHEME_RSA_PKCS1_SHA512:
        return false;
    default:
        return true;
    }
}

void credential_content_put(struct writer *w, const struct credential_signed *what)
{
    static const char server[] = "TLS, server delegated credentials"; /* with its zero byte, the separator */
    static const char client[] = "TLS, client delegated credentials";
    _Static_assert(sizeof server == 34 && sizeof client == 34, "the context strings and a zero byte");
    uint8_t spaces[64];
    memset(spaces, 0x20, sizeof spaces);
    wr_bytes(w, (struct tt_bytes){spaces, sizeof spaces});
    const char *context = what->holder == TT_SERVER ? server : client;
    wr_bytes(w, (struct tt_bytes){(const uint8_t *)context, sizeof server});
    wr_bytes(w, what->leaf);
    wr_bytes(w, what->cred);
    wr_u16(w, what->algorithm);
}

/* ---- one credential ---- */

void tt_credential_free(struct tt_credential *c)
{
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
        return;
    if (c->release != NULL)
        c->release(c->key);
    buf_free(&c->content);
    buf_free(&c->encoded);
    mem_free(c);
}
TT_DEFINE_AUTO(struct tt_credential, tt_credential_free)

static tt_rc params_check(const struct tt_delegation *d, const struct tt_credential_params *p,
                          struct tt_error *err)
{
    TT_AUTO(pubkey_free_auto) struct pubkey *key = NULL;
    /* "Peers MUST NOT issue credentials with a validity period longer than the maximum validity period or
     * that extends beyond the validity period of the delegation certificate." */
    if (p->valid_until <= p->now || p->valid_until - p->now > CREDENTIAL_MAX_VALIDITY)
        return error_set(err, TT_ERR_USAGE, "a delegated credential is valid for 1 second to 7 days");
    if (p->now < d->not_before || p->valid_until > d->not_after ||
        p->valid_until - d->not_before > UINT32_MAX)
        return error_set(err, TT_ERR_USAGE,
                         "a delegated credential must lie within the validity of its certificate");
    tt_rc rc = pubkey_from_spki(&key, d->lib, p->spki);
    if (rc == TT_ERR_MEMORY)
        return error_set(err, rc, "out of memory");
    if (rc != TT_OK || !credential_scheme_allowed(p->key_scheme) || !pubkey_fits(key, p->key_scheme))
        return error_set(err, TT_ERR_USAGE, "the key of a delegated credential cannot sign with %s",
                         tt_scheme_name(p->key_scheme));
    if (!pubkey_fits(d->leaf_key, p->scheme))
        return error_set(err, TT_ERR_USAGE, "the certificate's key cannot sign with %s",
                         tt_scheme_name(p->scheme));
    return TT_OK;
}

static tt_rc credential_encode(struct tt_credential *c, const struct tt_delegation *d,
                               const struct tt_credential_params *p)
{
    struct writer w = writer_to(&c->encoded);
    wr_u32(&w, (uint32_t)(p->valid_until - d->not_before));
    wr_u16(&w, p->key_scheme);
    wr_vec24(&w, p->spki);
    TT_TRY(wr_status(&w));
    const struct credential_signed what = {d->role, buf_bytes(&d->leaf), buf_bytes(&c->encoded), p->scheme};
    struct writer content = writer_to(&c->content);
    credential_content_put(&content, &what);
    wr_u16(&w, p->scheme); /* the signature follows with tt_delegation_use */
    TT_TRY(wr_status(&w));
    return wr_status(&content);
}

tt_rc tt_credential_new(struct tt_credential **ret, const struct tt_delegation *d,
                        const struct tt_credential_params *params, struct tt_error *err)
{
    TT_TRY(params_check(d, params, err));
    TT_AUTO(tt_credential_free_auto) struct tt_credential *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    atomic_init(&c->refs, 1);
    if (credential_encode(c, d, params) != TT_OK)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    c->valid_until = params->valid_until;
    c->key_scheme = params->key_scheme;
    c->algorithm = params->scheme;
    c->key = params->key;
    c->release = params->release; /* from here on: a failure leaves the key to the caller */
    *ret = TT_TAKE(c);
    return TT_OK;
}

struct tt_bytes tt_credential_to_sign(const struct tt_credential *c)
{
    return buf_bytes(&c->content);
}

/* ---- the place of the present one ---- */

static tt_rc delegation_fill(struct tt_delegation *d, struct tt_bytes leaf, struct tt_error *err)
{
    struct cert_delegation cert;
    TT_TRY(crypto_lib_new(&d->lib, err));
    tt_rc rc = cert_delegation_read(&cert, d->lib, leaf);
    if (rc == TT_OK)
        rc = cert_leaf_key(&d->leaf_key, d->lib, leaf);
    if (rc == TT_OK)
        rc = buf_append(&d->leaf, leaf.data, leaf.len);
    if (rc == TT_ERR_MEMORY)
        return error_set(err, rc, "out of memory");
    if (rc != TT_OK)
        return error_set(err, TT_ERR_USAGE, "the certificate cannot be read");
    if (!cert.has_delegation_usage || !cert.has_digital_signature) {
        (void)error_set(err, TT_ERR_USAGE, "the certificate does not permit delegated credentials (%s)",
                        cert.has_delegation_usage ? "its KeyUsage lacks digitalSignature"
                                                  : "it has no DelegationUsage extension");
        error_hint(err, "it must be issued for this: `tpmtls ca sign --delegation` does");
        return TT_ERR_USAGE;
    }
    d->not_before = cert.not_before;
    d->not_after = cert.not_after;
    return TT_OK;
}

tt_rc tt_delegation_new(struct tt_delegation **ret, enum tt_role role, struct tt_bytes leaf,
                        struct tt_error *err)
{
    struct tt_delegation *d = mem_alloc(sizeof *d);
    if (d == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    atomic_init(&d->refs, 1);
    lock_init(&d->lock);
    d->role = role;
    tt_rc rc = delegation_fill(d, leaf, err);
    if (rc != TT_OK) {
        tt_delegation_free(d);
        return rc;
    }
    *ret = d;
    return TT_OK;
}

struct tt_delegation *delegation_ref(struct tt_delegation *d)
{
    atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
    return d;
}

void tt_delegation_free(struct tt_delegation *d)
{
    if (d == NULL || atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) > 1)
        return;
    tt_credential_free(d->current);
    lock_destroy(&d->lock);
    pubkey_free(d->leaf_key);
    buf_free(&d->leaf);
    crypto_lib_free(d->lib);
    mem_free(d);
}

int64_t tt_delegation_not_after(const struct tt_delegation *d)
{
    return d->not_after;
}

tt_rc tt_delegation_use(struct tt_delegation *d, struct tt_credential *c, struct tt_bytes signature,
                        struct tt_error *err)
{
    tt_rc rc = pubkey_verify(d->lib, d->leaf_key, c->algorithm, buf_bytes(&c->content), signature);
    if (rc != TT_OK)
        return error_set(err, rc,
                         rc == TT_ERR_VERIFY
                             ? "the signature of the delegated credential does not fit the certificate"
                             : "out of memory");
    size_t unsigned_len = c->encoded.len;
    struct writer w = writer_to(&c->encoded);
    wr_vec16(&w, signature);
    if (wr_status(&w) != TT_OK) {
        c->encoded.len = unsigned_len;
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    }
    lock_take(&d->lock);
    struct tt_credential *old = d->current;
    d->current = c;
    lock_give(&d->lock);
    tt_credential_free(old);
    return TT_OK;
}

bool delegation_fits(const struct tt_delegation *d, enum tt_role role, struct tt_bytes leaf)
{
    struct tt_bytes own = buf_bytes(&d->leaf);
    return d->role == role && own.len > 0 && own.len == leaf.len &&
           memcmp(own.data, leaf.data, leaf.len) == 0;
}

struct tt_credential *delegation_current(struct tt_delegation *d, int64_t now)
{
    lock_take(&d->lock);
    struct tt_credential *c = d->current;
    if (c != NULL && now < c->valid_until)
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    else
        c = NULL;
    lock_give(&d->lock);
    return c;
}
