/* signer/attest.c: tt_attester_*: a device's proof that its key is in its TPM. Layer: signer. The TPM's
 * commands are tpm/attest.c's; here is what goes into them and what comes out. docs/attestation.md has the
 * forms. */
#include <string.h>

#include "crypto/sig.h"
#include "crypto/trust.h"
#include "signer/signer.h"
#include "tpm/attest.h"
#include "tpmtls/attest.h"
#include "wire/attest_form.h"
#include "wire/der_chain.h"
#include "wire/pem.h"

#define TOKEN_MAX 512

struct tt_attester {
    struct tpm_attester *tpm;
    struct tt_tpm *of;
    struct crypto_lib *lib;
    struct buf given; /* the certificates, DER one behind the other, where they are not the TPM's */
    struct tpm_statement certify, quote;
    struct tpm_pcrs pcrs;
    struct buf key_public;
    uint8_t nonce[TT_ATTEST_NONCE];
    uint8_t secret[64];
    uint8_t token[TOKEN_MAX];
};

void tt_attester_free(struct tt_attester *a)
{
    if (a == NULL)
        return;
    tpm_attester_free(a->tpm);
    crypto_lib_free(a->lib);
    buf_free(&a->key_public);
    buf_free(&a->given);
    mem_free(a);
}
TT_DEFINE_AUTO(struct tt_attester, tt_attester_free)

/* ---- certificates ---- */

static tt_rc given_pem(struct buf *to, struct tt_bytes text)
{
    static const char label[] = "CERTIFICATE";
    for (;;) {
        TT_AUTO(pem_block_free) struct pem_block b = {0};
        tt_rc rc = pem_next(&b, &text);
        if (rc == TT_ERR_NOT_FOUND)
            return buf_size(to) > 0 ? TT_OK : TT_ERR_DECODE;
        TT_TRY(rc);
        if (b.label.len == sizeof label - 1 && memcmp(b.label.data, label, b.label.len) == 0)
            TT_TRY(buf_append(to, b.der, b.len));
    }
}

/* PEM or DER. */
static tt_rc given_take(struct buf *to, struct tt_bytes text, struct tt_error *err)
{
    bool pem = text.data[0] != 0x30;
    tt_rc rc = pem ? given_pem(to, text) : buf_append(to, text.data, text.len);
    if (rc == TT_ERR_MEMORY)
        return error_set(err, rc, "out of memory");
    return rc == TT_OK
               ? TT_OK
               : error_set(err, TT_ERR_DECODE, "what should be the endorsement key's certificate is none");
}

/* The template that makes such a key, in the range where vendors' certificates are of old. */
static const char *template_of(const struct crypto_lib *lib, struct tt_bytes ders)
{
    TT_AUTO(pubkey_free_auto) struct pubkey *key = NULL;
    struct tt_bytes one = {NULL, 0};
    if (!der_chain_next(&one, &ders) || cert_leaf_key(&key, lib, one) != TT_OK)
        return "L-1";
    if (pubkey_fits(key, TT_SCHEME_ECDSA_SECP256R1_SHA256))
        return "L-2";
    if (pubkey_fits(key, TT_SCHEME_ECDSA_SECP384R1_SHA384))
        return "H-3";
    if (pubkey_fits(key, TT_SCHEME_ECDSA_SECP521R1_SHA512))
        return "H-4";
    return pubkey_bits(key) == 3072 ? "H-6" : pubkey_bits(key) == 4096 ? "H-7" : "L-1";
}

tt_rc tt_attester_open(struct tt_attester **ret, struct tt_tpm *tpm, const struct tt_attester_params *params,
                       struct tt_error *err)
{
    static const struct tt_attester_params none;
    const struct tt_attester_params *p = params != NULL ? params : &none;
    TT_AUTO(tt_attester_free_auto) struct tt_attester *a = mem_alloc(sizeof *a);
    if (a == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    a->of = tpm;
    TT_TRY(crypto_lib_new(&a->lib, err));
    if (p->ek_certificates.len > 0)
        TT_TRY(given_take(&a->given, p->ek_certificates, err));
    struct tpm_attest_want want = {.ek = p->ek,
                                   .no_certificate = p->uncertified || p->ek_certificates.len > 0};
    if (p->ek_certificates.len > 0 && p->ek == NULL)
        want.ek = template_of(a->lib, buf_bytes(&a->given));
    TT_TRY(tpm_attester_open(&a->tpm, tpm, &want, err));
    *ret = TT_TAKE(a);
    return TT_OK;
}

tt_rc tt_attester_endorsement(uint8_t **ret, size_t *ret_len, struct tt_attester *a, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf spki = {0};
    TT_TRY(tpm_attester_endorsement(&spki, a->tpm, err));
    uint8_t *copy = mem_dup(buf_front(&spki), buf_size(&spki));
    if (copy == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    *ret = copy;
    *ret_len = buf_size(&spki);
    return TT_OK;
}

static void certs_add(struct tt_evidence *e, struct tt_bytes ders)
{
    struct tt_bytes one = {NULL, 0};
    while (e->certs_len < TT_EVIDENCE_CERTS && der_chain_next(&one, &ders))
        e->certs[e->certs_len++] = one;
}

/* ---- statements ---- */

static tt_rc extra_of(uint8_t ret[32], const struct tt_attester *a, const struct tt_attest_request *req,
                      bool quote)
{
    TT_AUTO(buf_free) struct buf text = {0};
    TT_TRY(form_extra(&text, req->use == TT_ATTEST_TLS, quote, req->nonce));
    return hash_digest(a->lib, HASH_SHA256, buf_bytes(&text), ret);
}

static tt_rc certify(struct tt_attester *a, struct tpm_key *key, const struct tt_attest_request *req,
                     struct tt_error *err)
{
    uint8_t extra[32];
    buf_consume(&a->key_public, buf_size(&a->key_public));
    if (extra_of(extra, a, req, false) != TT_OK || tpm_key_area(&a->key_public, key) != TT_OK)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    return tpm_attester_certify(&a->certify, a->tpm, key, (struct tt_bytes){extra, sizeof extra}, err);
}

/* The values are read after: what changed in between does not fit the digest, and the judge says so. */
static tt_rc quote(struct tt_attester *a, const struct tt_attest_request *req, struct tt_error *err)
{
    uint8_t extra[32];
    TT_TRY(tpm_pcrs_parse(&a->pcrs, req->pcrs, err));
    if (extra_of(extra, a, req, true) != TT_OK)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    TT_TRY(tpm_attester_quote(&a->quote, a->tpm, &a->pcrs, (struct tt_bytes){extra, sizeof extra}, err));
    return tpm_pcrs_read(&a->pcrs, a->of, err);
}

static struct tt_evidence evidence_of(struct tt_attester *a, const struct tt_attest_request *req)
{
    struct tt_evidence e = {.use = req->use,
                            .nonce = {a->nonce, sizeof a->nonce},
                            .certify = {a->certify.attest, a->certify.attest_len},
                            .certify_signature = {a->certify.signature, a->certify.signature_len},
                            .key_public = buf_bytes(&a->key_public),
                            .ak_public = tpm_attester_ak_public(a->tpm),
                            .ek_public = tpm_attester_ek_public(a->tpm)};
    if (req->pcrs != NULL) {
        e.quote = (struct tt_bytes){a->quote.attest, a->quote.attest_len};
        e.quote_signature = (struct tt_bytes){a->quote.signature, a->quote.signature_len};
        e.pcr_values = (struct tt_bytes){a->pcrs.values, a->pcrs.values_len};
    }
    certs_add(&e, buf_size(&a->given) > 0 ? buf_bytes(&a->given) : tpm_attester_certificate(a->tpm));
    certs_add(&e, tpm_attester_chain(a->tpm));
    return e;
}

tt_rc tt_attester_attest(struct tt_evidence *ret, struct tt_attester *a, struct tt_key *key,
                         const struct tt_attest_request *req, struct tt_error *err)
{
    struct tpm_key *k = signer_tpm_key(key);
    if (k == NULL) {
        (void)error_set(err, TT_ERR_UNSUPPORTED, "the key is not in a TPM: nothing can attest it");
        error_hint(err, "make one in the TPM: `tpmtls key create`");
        return TT_ERR_UNSUPPORTED;
    }
    if (req->nonce.len != sizeof a->nonce)
        return error_set(err, TT_ERR_USAGE, "a nonce of attestation has %d bytes", TT_ATTEST_NONCE);
    memcpy(a->nonce, req->nonce.data, sizeof a->nonce);
    TT_TRY(certify(a, k, req, err));
    if (req->pcrs != NULL)
        TT_TRY(quote(a, req, err));
    TT_TRY(tpm_attester_load(a->tpm, err));
    *ret = evidence_of(a, req);
    return TT_OK;
}

tt_rc tt_attester_answer(struct tt_evidence *evidence, struct tt_attester *a, struct tt_bytes challenge,
                         struct tt_error *err)
{
    struct form_challenge c;
    size_t len = 0;
    if (form_challenge_get(&c, challenge) != TT_OK || c.token.len == 0 || c.token.len > sizeof a->token)
        return error_set(err, TT_ERR_DECODE, "the challenge is damaged");
    TT_TRY(tpm_attester_activate(a->secret, &len, a->tpm, c.credential, c.secret, err));
    memcpy(a->token, c.token.data, c.token.len);
    evidence->token = (struct tt_bytes){a->token, c.token.len};
    evidence->secret = (struct tt_bytes){a->secret, len};
    return TT_OK;
}
