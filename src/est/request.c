/* est/request.c: see request.h. Layer: est. RFC 7030 sections 3.5, 4.2, 4.5.2; RFC 9266. */
#include "est/request.h"

#include <string.h>

#include "base/mem.h"
#include "est/challenge.h"
#include "pki/chain.h"
#include "pki/csr.h"
#include "signer/made.h"
#include "tpmtls/attest.h"
#include "wire/base64.h"
#include "wire/der.h"
#include "wire/pem.h"

TT_DEFINE_AUTO(struct tt_cert_info, tt_cert_info_free)

/* ---- what is wanted ---- */

#define OID(name, ...)                                                                                       \
    static const uint8_t name##_bytes[] = {__VA_ARGS__};                                                     \
    static const struct tt_bytes name = {name##_bytes, sizeof name##_bytes}

OID(ec_key, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1);
OID(rsa_key, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1);
OID(san, 0x55, 0x1d, 0x11);
OID(p256, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7);
OID(p384, 0x2b, 0x81, 4, 0, 0x22);
OID(p521, 0x2b, 0x81, 4, 0, 0x23);
OID(ecdsa_sha256, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2);
OID(ecdsa_sha384, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3);
OID(ecdsa_sha512, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4);
OID(rsa_sha256, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11);
OID(rsa_sha384, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12);
OID(rsa_sha512, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13);

static bool same(struct tt_bytes a, struct tt_bytes b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static void want_type(struct est_wants *w, enum tt_key_type type)
{
    w->has_type = true;
    w->type = type;
}

static void want_curve(struct est_wants *w, struct tt_bytes oid)
{
    if (same(oid, p256))
        want_type(w, TT_KEY_P256);
    else if (same(oid, p384))
        want_type(w, TT_KEY_P384);
    else if (same(oid, p521))
        want_type(w, TT_KEY_P521);
}

static void want_size(struct est_wants *w, uint32_t bits)
{
    if (bits == 2048 || bits == 3072 || bits == 4096)
        want_type(w, bits == 2048 ? TT_KEY_RSA2048 : bits == 3072 ? TT_KEY_RSA3072 : TT_KEY_RSA4096);
}

static void want_extensions(struct est_wants *w, struct tt_bytes values)
{
    /* OIDs, or whole extensions to be filled in (RFC 9908): either way the OID is there. */
    w->sans = w->sans || memmem(values.data, values.len, san.data, san.len) != NULL;
}

static void want_attribute(struct est_wants *w, const struct est_attr *a)
{
    struct reader r = reader_of(a->values);
    if (same(a->oid, ec_key))
        want_curve(w, der_get(&r, DER_OID));
    else if (same(a->oid, rsa_key))
        want_size(w, der_get_u32(&r));
    else if (same(a->oid, EST_OID_EXTENSION_REQUEST) && a->values.len > 0)
        want_extensions(w, a->values);
    else if (same(a->oid, EST_OID_CHALLENGE_PASSWORD))
        w->bound = true;
}

/* A signature with SHA-384 says P-384 here, since a key of this program signs with the hash of its size. */
static void want_oid(struct est_wants *w, struct tt_bytes oid)
{
    const struct {
        struct tt_bytes oid;
        enum tt_key_type type;
        uint16_t scheme;
    } table[] = {
        {ecdsa_sha256, TT_KEY_P256, 0},
        {ecdsa_sha384, TT_KEY_P384, 0},
        {ecdsa_sha512, TT_KEY_P521, 0},
        {rsa_sha256, TT_KEY_RSA2048, TT_SCHEME_RSA_PKCS1_SHA256},
        {rsa_sha384, TT_KEY_RSA2048, TT_SCHEME_RSA_PKCS1_SHA384},
        {rsa_sha512, TT_KEY_RSA2048, TT_SCHEME_RSA_PKCS1_SHA512},
    };
    if (same(oid, EST_OID_CHALLENGE_PASSWORD))
        w->bound = true;
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        if (!same(oid, table[i].oid))
            continue;
        if (table[i].scheme != 0)
            w->rsa_scheme = table[i].scheme;
        if (!w->has_type)
            want_type(w, table[i].type);
    }
}

void est_wants_read(struct est_wants *ret, const struct est_csrattrs *a)
{
    *ret = (struct est_wants){0};
    for (size_t i = 0; i < a->len; i++)
        if (a->list[i].attribute)
            want_attribute(ret, &a->list[i]);
    for (size_t i = 0; i < a->len; i++)
        if (!a->list[i].attribute)
            want_oid(ret, a->list[i].oid);
}

/* ---- making it ---- */

struct making {
    const struct est_request *r;
    struct tt_pki_signer signer;
    struct buf challenge; /* the attribute */
    char *pem;
    bool repeats; /* what is sent is r->former */
};

static tt_rc sign(void *arg, uint16_t scheme, struct tt_bytes message, uint8_t *ret_sig, size_t cap,
                  size_t *ret_len, struct tt_error *err)
{
    return tt_key_sign(arg, scheme, message, ret_sig, cap, ret_len, err);
}

static bool is_rsa(enum tt_key_type type)
{
    return type == TT_KEY_RSA2048 || type == TT_KEY_RSA3072 || type == TT_KEY_RSA4096;
}

/* A signature algorithm alone says RSA, and not of which size. */
static tt_rc key_fits(const struct est_request *r, struct tt_error *err)
{
    const struct est_wants *w = r->wants;
    enum tt_key_type type = tt_key_type(r->key);
    if (w == NULL || !w->has_type || type == w->type ||
        (w->rsa_scheme != 0 && is_rsa(type) && w->type == TT_KEY_RSA2048))
        return TT_OK;
    (void)error_set(err, TT_ERR_UNSUPPORTED, "the server wants a %s key, and this one is %s",
                    tt_key_type_name(w->type), tt_key_type_name(type));
    error_hint(err, "name a file that is not there yet: the key is then made as the server wants it");
    return TT_ERR_UNSUPPORTED;
}

static bool is_bound(const struct est_request *r)
{
    return r->wants != NULL && r->wants->bound;
}

/* challengePassword { PrintableString } */
static tt_rc challenge_put(struct making *m, struct tt_bytes text)
{
    buf_free(&m->challenge);
    struct writer w = writer_to(&m->challenge);
    struct der_mark attribute = der_open(&w, DER_SEQUENCE);
    der_put(&w, DER_OID, EST_OID_CHALLENGE_PASSWORD);
    struct der_mark values = der_open(&w, 0x31);
    der_put(&w, 0x13, text); /* PrintableString */
    der_close(&w, values);
    der_close(&w, attribute);
    return wr_status(&w);
}

/* The base64 of tls-exporter. */
static tt_rc challenge_make(struct making *m, struct tt_error *err)
{
    uint8_t binding[32];
    TT_AUTO(buf_free) struct buf text = {0};
    TT_TRY(est_client_binding(m->r->client, binding, err));
    return base64_put(&text, (struct tt_bytes){binding, sizeof binding}) == TT_OK &&
                   challenge_put(m, buf_bytes(&text)) == TT_OK
               ? TT_OK
               : error_set(err, TT_ERR_MEMORY, "out of memory");
}

/* That of the connection which the former request came by. */
static bool challenge_former(struct making *m)
{
    TT_AUTO(pem_block_free) struct pem_block block = {0};
    const struct tt_bytes pem = {(const uint8_t *)m->r->former, strlen(m->r->former)};
    struct tt_bytes text;
    return pem_find(&block, pem, "CERTIFICATE REQUEST") == TT_OK &&
           est_challenge_find(&text, (struct tt_bytes){block.der, block.len}) == EST_CHALLENGE_THERE &&
           challenge_put(m, text) == TT_OK;
}

/* The names are in r->asked, or in r->like. */
static struct tt_csr_params params_of(const struct making *m, struct tt_bytes attributes[2])
{
    struct tt_csr_params params = m->r->asked != NULL ? *m->r->asked : (struct tt_csr_params){0};
    params.attributes = attributes;
    params.attributes_len = 0;
    if (buf_size(&m->challenge) > 0)
        attributes[params.attributes_len++] = buf_bytes(&m->challenge);
    if (m->r->attribute.len > 0)
        attributes[params.attributes_len++] = m->r->attribute;
    return params;
}

/* Where the TPM may be used. */
static tt_rc create(void *arg, struct tt_error *err)
{
    struct making *m = arg;
    struct tt_bytes attributes[2];
    const struct tt_csr_params params = params_of(m, attributes);
    return m->r->asked != NULL ? tt_csr_create(&m->pem, &params, &m->signer, err)
                               : csr_create_like(&m->pem, m->r->like, &params, &m->signer, err);
}

/* One that names its connection serves on another where it is known from there: where it waits for a person,
 * or its answer was lost. */
static bool former_serves(struct making *m)
{
    const struct est_request *r = m->r;
    struct tt_bytes attributes[2];
    if (r->former == NULL || (is_bound(r) && !challenge_former(m)))
        return false;
    const struct tt_csr_params params = params_of(m, attributes);
    return r->asked != NULL ? csr_asks_the_same(r->former, &params, &m->signer)
                            : csr_is_like(r->former, r->like, &params, &m->signer);
}

static struct making making_of(const struct est_request *r)
{
    struct making m = {.r = r};
    m.signer = (struct tt_pki_signer){
        .sign = sign, .arg = r->key, .spki = tt_key_spki(r->key), .scheme = tt_key_x509_scheme(r->key)};
    if (r->wants != NULL && r->wants->rsa_scheme != 0 && is_rsa(tt_key_type(r->key)))
        m.signer.scheme = r->wants->rsa_scheme;
    return m;
}

static tt_rc make(void *arg, struct buf *ret, struct tt_error *err)
{
    struct making *m = arg;
    TT_AUTO(pem_block_free) struct pem_block block = {0};
    mem_free(TT_TAKE(m->pem));
    if (m->repeats) {
        m->pem = mem_strdup(m->r->former);
    } else {
        if (is_bound(m->r))
            TT_TRY(challenge_make(m, err));
        TT_TRY(est_client_work(m->r->client, create, m, err));
        if (m->r->keep != NULL && m->pem != NULL)
            m->r->keep(m->r->arg, m->pem);
    }
    if (m->pem == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    const struct tt_bytes text = {(const uint8_t *)m->pem, strlen(m->pem)};
    return pem_find(&block, text, "CERTIFICATE REQUEST") == TT_OK &&
                   buf_append(ret, block.der, block.len) == TT_OK
               ? TT_OK
               : error_set(err, TT_ERR_MEMORY, "out of memory");
}

/* struct est_enroll hands one argument to both of its functions. */
static void waits(void *arg, unsigned seconds, const char *text)
{
    const struct making *m = arg;
    if (m->r->waits != NULL)
        m->r->waits(m->r->arg, seconds, text);
}

static tt_rc ask(struct tt_cert_list **ret, struct making *m, unsigned *ret_retry_s, struct tt_error *err)
{
    const struct est_request *r = m->r;
    const struct est_enroll what = {.renews = r->asked == NULL,
                                    .make = make,
                                    .bound = is_bound(r) && !m->repeats,
                                    .wait_s = r->wait_s,
                                    .waits = waits,
                                    .arg = m};
    return est_client_enroll(ret, r->client, &what, ret_retry_s, err);
}

/* A server that knows a request again may answer it with what it has issued for it before. */
static bool is_newer(const struct tt_cert_list *got, const struct making *m)
{
    TT_AUTO(tt_cert_info_free_auto) struct tt_cert_info *new = NULL, *old = NULL;
    struct tt_bytes leaf;
    return chain_leaf(&leaf, got, m->signer.spki, NULL) != TT_OK ||
           tt_cert_describe(&new, leaf, NULL) != TT_OK || tt_cert_describe(&old, m->r->like, NULL) != TT_OK ||
           new->not_after > old->not_after;
}

static bool wants_another(const struct making *m, tt_rc rc, const struct tt_cert_list *got)
{
    bool renews = m->r->asked == NULL;
    return m->repeats && ((rc == TT_ERR_PEER_ALERT && (renews || is_bound(m->r))) ||
                          (rc == TT_OK && renews && !is_newer(got, m)));
}

tt_rc est_request_send(struct tt_cert_list **ret, const struct est_request *r, unsigned *ret_retry_s,
                       struct tt_error *err)
{
    struct making m = making_of(r);
    struct tt_cert_list *got = NULL;
    struct tt_error why = {0};
    TT_TRY(key_fits(r, err));
    m.repeats = former_serves(&m);
    tt_rc rc = ask(&got, &m, ret_retry_s, &why);
    if (wants_another(&m, rc, got)) {
        tt_cert_list_free(TT_TAKE(got));
        m.repeats = false;
        why = (struct tt_error){0};
        rc = ask(&got, &m, ret_retry_s, &why);
    }
    buf_free(&m.challenge);
    mem_free(m.pem);
    if (rc == TT_OK)
        *ret = got;
    else if (err != NULL)
        *err = why;
    return rc;
}

bool est_request_repeats(const struct est_request *r)
{
    struct making m = making_of(r);
    bool repeats = former_serves(&m);
    buf_free(&m.challenge);
    return repeats;
}

bool est_request_evidence(struct buf *ret, const char *former)
{
    TT_AUTO(pem_block_free) struct pem_block block = {0};
    TT_AUTO(mem_free_auto) uint8_t *bundle = NULL;
    TT_AUTO(mem_free_auto) uint8_t *attribute = NULL;
    size_t len = 0, attribute_len = 0;
    return former != NULL &&
           pem_find(&block, (struct tt_bytes){(const uint8_t *)former, strlen(former)},
                    "CERTIFICATE REQUEST") == TT_OK &&
           tt_csr_evidence(&bundle, &len, (struct tt_bytes){block.der, block.len}, NULL) == TT_OK &&
           tt_evidence_attribute(&attribute, &attribute_len, (struct tt_bytes){bundle, len}, NULL) == TT_OK &&
           buf_append(ret, attribute, attribute_len) == TT_OK;
}

tt_rc est_key_make(struct tt_key **ret, char **ret_pem, struct tt_tpm *tpm,
                   const struct tt_key_params *params, struct tt_error *err)
{
    return signer_make(ret, ret_pem, tpm, params, err);
}
