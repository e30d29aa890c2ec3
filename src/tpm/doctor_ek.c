/* tpm/doctor_ek.c: the endorsement keys, their certificates in NV memory, and the vendor's chain. Layer: tpm.
 * TCG EK Credential Profile, sections 2.2.1.4 (low range), 2.2.1.5 (high range, chain). Whether a certificate
 * is of a key is for the caller to judge; here it is only guessed, to save deriving keys. */
#include <stdio.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/doctor.h"
#include "tpm/ek.h"
#include "tpm/key.h"
#include "tpm/nv.h"
#include "tpm/public.h"
#include "tpm/srk.h"
#include "wire/der_chain.h"

#define MAX_CERT    8192
#define MAX_CHAIN   65536
#define CHAIN_FIRST 0x01c00100U
#define CHAIN_LAST  0x01c001ffU
#define EK_FIRST    0x81010000U /* TCG registry of reserved handles: the endorsement hierarchy's */
#define EK_LAST     0x8101ffffU

static uint8_t *take(size_t *ret_len, struct buf *b)
{
    *ret_len = buf_size(b);
    return buf_size(b) == 0 ? NULL : mem_dup(buf_front(b), buf_size(b));
}

/* ---- certificates ---- */

/* Vendors pad the index: only what is at its front counts. */
static void certificate(struct tt_doctor *d, struct tt_tpm *tpm, const struct ek_kind *kind)
{
    TT_AUTO(buf_free) struct buf data = {0};
    struct tt_error why = {0};
    struct tt_doctor_ek ek = {.name = kind->name, .nv_index = kind->certificate};
    tt_rc rc = nv_read(&data, tpm, kind->certificate, MAX_CERT, &why);
    if (rc == TT_ERR_NOT_FOUND || d->eks_len == TT_DOCTOR_EKS)
        return;
    struct tt_bytes rest = buf_bytes(&data), first = {NULL, 0};
    if (rc != TT_OK)
        (void)snprintf(ek.why, sizeof ek.why, "%s", why.text);
    else if (!der_chain_next(&first, &rest))
        (void)snprintf(ek.why, sizeof ek.why, "not a certificate");
    else if ((ek.der = mem_dup(first.data, first.len)) != NULL)
        ek.der_len = first.len;
    d->eks[d->eks_len++] = ek;
}

/* A certificate may begin in one index and end in the next. */
static void chain_read(struct buf *to, struct tt_doctor *d, struct tt_tpm *tpm)
{
    uint32_t indexes[CHAIN_LAST - CHAIN_FIRST + 1];
    size_t n = 0;
    struct tt_error why = {0};
    tt_rc rc = nv_indexes(indexes, &n, TT_COUNT(indexes), tpm, CHAIN_FIRST, CHAIN_LAST, &why);
    for (size_t i = 0; rc == TT_OK && i < n; i++)
        rc = nv_read(to, tpm, indexes[i], MAX_CHAIN - buf_size(to), &why);
    d->ek_chain_indexes = (unsigned)n;
    if (rc != TT_OK)
        (void)snprintf(d->ek_chain_why, sizeof d->ek_chain_why, "%s", why.text);
}

static void chain(struct tt_doctor *d, struct tt_tpm *tpm)
{
    TT_AUTO(buf_free) struct buf data = {0};
    size_t len = 0;
    chain_read(&data, d, tpm);
    d->ek_chain_der = take(&len, &data);
    if (d->ek_chain_der == NULL)
        return;
    struct tt_bytes rest = {d->ek_chain_der, len}, one;
    while (d->ek_chain_len < TT_DOCTOR_EK_CHAIN && der_chain_next(&one, &rest))
        d->ek_chain[d->ek_chain_len++] = one;
    if (rest.len == 0 || d->ek_chain_why[0] != '\0')
        return;
    if (d->ek_chain_len == TT_DOCTOR_EK_CHAIN)
        (void)snprintf(d->ek_chain_why, sizeof d->ek_chain_why, "there are more than %d certificates",
                       TT_DOCTOR_EK_CHAIN);
    else
        (void)snprintf(d->ek_chain_why, sizeof d->ek_chain_why,
                       "%zu bytes behind the last certificate are none", rest.len);
}

/* ---- keys ---- */

static const char *name_of(const TPM2B_PUBLIC *pub)
{
    const TPMT_PUBLIC *a = &pub->publicArea;
    for (size_t i = 0; i < EK_KINDS; i++)
        if (ek_kinds[i].curve == 0
                ? a->type == TPM2_ALG_RSA && a->parameters.rsaDetail.keyBits == ek_kinds[i].bits
                : a->type == TPM2_ALG_ECC && a->parameters.eccDetail.curveID == ek_kinds[i].curve)
            return ek_kinds[i].name;
    return "another kind";
}

static void key_add(struct tt_doctor *d, const TPM2B_PUBLIC *pub, const struct tt_doctor_ek_key *about)
{
    TT_AUTO(buf_free) struct buf spki = {0};
    if (d->ek_keys_len == TT_DOCTOR_EK_KEYS)
        return;
    struct tt_doctor_ek_key *k = &d->ek_keys[d->ek_keys_len++];
    *k = *about;
    k->name = name_of(pub);
    if (public_spki(&spki, pub) == TT_OK)
        k->spki = take(&k->spki_len, &spki);
}

static void kept_key(struct tt_doctor *d, struct tt_tpm *tpm, uint32_t handle)
{
    TT_AUTO(buf_free) struct buf area = {0};
    TPM2B_PUBLIC pub = {0};
    size_t at = 0;
    if (tpm_persistent_public(&area, tpm, handle, NULL) == TT_OK &&
        Tss2_MU_TPM2B_PUBLIC_Unmarshal(buf_front(&area), buf_size(&area), &at, &pub) == TSS2_RC_SUCCESS)
        key_add(d, &pub, &(struct tt_doctor_ek_key){.handle = handle});
}

/* Attestation keys lie in the same range; an endorsement key is restricted, and decrypts. */
static bool is_endorsement_key(const struct tpm_persistent *e)
{
    const uint32_t both = TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
    return e->handle >= EK_FIRST && e->handle <= EK_LAST && (e->attributes & both) == both;
}

static void kept_keys(struct tt_doctor *d, struct tt_tpm *tpm)
{
    TT_AUTO(buf_free) struct buf list = {0};
    if (tpm_persistent_list(&list, tpm, NULL) != TT_OK)
        return;
    for (size_t at = 0; at < buf_size(&list); at += sizeof(struct tpm_persistent)) {
        struct tpm_persistent e;
        memcpy(&e, buf_front(&list) + at, sizeof e);
        if (is_endorsement_key(&e))
            kept_key(d, tpm, e.handle);
    }
}

static bool bytes_within(struct tt_bytes whole, struct tt_bytes part)
{
    return part.len > 0 && whole.len >= part.len &&
           memmem(whole.data, whole.len, part.data, part.len) != NULL;
}

static bool seems_known(const struct tt_doctor *d, const struct tt_doctor_ek *ek)
{
    for (size_t i = 0; i < d->ek_keys_len; i++)
        if (bytes_within((struct tt_bytes){ek->der, ek->der_len},
                         (struct tt_bytes){d->ek_keys[i].spki, d->ek_keys[i].spki_len}))
            return true;
    return false;
}

static tt_rc derive(struct tt_doctor *d, struct tt_tpm *tpm, const struct ek_kind *kind, struct tt_error *err)
{
    TPM2B_PUBLIC template, pub;
    struct ek_source source;
    TT_TRY(ek_template(&template, &source, tpm, kind, err));
    TT_TRY(srk_derive_ek(&pub, tpm, &template, err));
    key_add(d, &pub,
            &(struct tt_doctor_ek_key){.own_template = source.has_template, .own_nonce = source.has_nonce});
    return TT_OK;
}

static const struct ek_kind *kind_of_certificate(uint32_t nv_index)
{
    for (size_t i = 0; i < EK_KINDS; i++)
        if (ek_kinds[i].certificate == nv_index)
            return &ek_kinds[i];
    return NULL;
}

static void derive_missing(struct tt_doctor *d, struct tt_tpm *tpm, bool quick)
{
    for (size_t i = 0; i < d->eks_len; i++) {
        const struct ek_kind *kind = kind_of_certificate(d->eks[i].nv_index);
        struct tt_error why = {0};
        if (kind == NULL || d->eks[i].der == NULL || seems_known(d, &d->eks[i]))
            continue;
        if (d->endorsement_auth && !tpm->endorsement.is_known)
            (void)error_set(&why, TT_ERR_AUTH, "the endorsement hierarchy has a password");
        else if (quick && kind->curve == 0)
            (void)error_set(&why, TT_ERR_UNSUPPORTED, "an RSA key takes long to derive");
        else if (derive(d, tpm, kind, &why) == TT_OK)
            continue;
        (void)snprintf(d->ek_why, sizeof d->ek_why, "%s", why.text);
    }
}

void doctor_endorsement(struct tt_doctor *d, struct tt_tpm *tpm, bool quick)
{
    for (size_t i = 0; i < EK_KINDS; i++)
        certificate(d, tpm, &ek_kinds[i]);
    chain(d, tpm);
    kept_keys(d, tpm);
    derive_missing(d, tpm, quick);
}

void doctor_endorsement_free(struct tt_doctor *d)
{
    for (size_t i = 0; i < d->eks_len; i++)
        mem_free(d->eks[i].der);
    for (size_t i = 0; i < d->ek_keys_len; i++)
        mem_free(d->ek_keys[i].spki);
    mem_free(d->ek_chain_der);
}
