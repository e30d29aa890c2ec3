/* tpm/sign.c: the private operations: one TPM command each. Layer: tpm. TPM 2.0 part 3, sections 14.3
 * (RSA_Decrypt) and 20.2 (Sign). The response is hostile: sizes and algorithms are checked; whether the
 * signature is right is for the caller to verify. */
#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/key_internal.h"
#include "tpm/session_own.h"
#include "wire/der.h"

static tt_rc malformed(struct tt_error *err)
{
    (void)error_set(err, TT_ERR_TPM, "the TPM returned a malformed signature");
    return TT_ERR_TPM;
}

/* All signature schemes have their hash at the same place of the union. */
static TPMT_SIG_SCHEME sig_scheme(TPMI_ALG_SIG_SCHEME alg, uint16_t hash)
{
    return (TPMT_SIG_SCHEME){.scheme = alg, .details = {.any = {.hashAlg = hash}}};
}

/* The digest was not made by the TPM: the null ticket says so, which an unrestricted key accepts. */
static const TPMT_TK_HASHCHECK no_ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};

struct to_sign {
    const TPMT_SIG_SCHEME *scheme;
    const TPM2B_DIGEST *digest;
    const TPMT_TK_HASHCHECK *ticket;
};

/* By session_own_run. */
static TSS2_RC own_sign(TPMT_SIGNATURE *ret, const struct tpm_object *o, const struct to_sign *what)
{
    uint8_t parameters[256], answer[sizeof(TPMT_SIGNATURE)];
    size_t len = 0, answer_len = 0, at = 0;
    if (Tss2_MU_TPM2B_DIGEST_Marshal(what->digest, parameters, sizeof parameters, &len) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPMT_SIG_SCHEME_Marshal(what->scheme, parameters, sizeof parameters, &len) !=
            TSS2_RC_SUCCESS ||
        Tss2_MU_TPMT_TK_HASHCHECK_Marshal(what->ticket, parameters, sizeof parameters, &len) !=
            TSS2_RC_SUCCESS)
        return TSS2_ESYS_RC_GENERAL_FAILURE;
    TSS2_RC rc = session_own_run(answer, sizeof answer, &answer_len, o->tpm,
                                 &(struct own_command){TPM2_CC_Sign, o, {parameters, len}});
    if (rc == TSS2_RC_SUCCESS &&
        Tss2_MU_TPMT_SIGNATURE_Unmarshal(answer, answer_len, &at, ret) != TSS2_RC_SUCCESS)
        return TSS2_ESYS_RC_MALFORMED_RESPONSE;
    return rc;
}

static TSS2_RC sign_once(TPMT_SIGNATURE *ret, const struct object_use *use, const struct to_sign *what)
{
    TPMT_SIGNATURE *sig = NULL;
    if (use->own)
        return own_sign(ret, use->o, what);
    *ret = (TPMT_SIGNATURE){0};
    TSS2_RC rc = Esys_Sign(use->o->tpm->esys, use->o->handle, use->session, ESYS_TR_NONE, ESYS_TR_NONE,
                           what->digest, what->scheme, what->ticket, &sig);
    if (rc == TSS2_RC_SUCCESS && sig != NULL)
        *ret = *sig;
    Esys_Free(sig);
    return rc;
}

static tt_rc key_sign(TPMT_SIGNATURE *result, struct tpm_key *k, const TPMT_SIG_SCHEME *scheme,
                      struct tt_bytes digest, struct tt_error *err)
{
    TPM2B_DIGEST in = {.size = (UINT16)digest.len};
    const struct to_sign asked = {scheme, &in, k->info.restricted ? &k->ticket : &no_ticket};
    TPMT_SIGNATURE sig = {0};
    if (digest.len > sizeof in.buffer) {
        (void)error_set(err, TT_ERR_USAGE, "the digest is too long");
        return TT_ERR_USAGE;
    }
    if (k->info.restricted && k->ticket.tag != TPM2_ST_HASHCHECK)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the key is restricted: it signs only what the TPM itself has hashed");
    memcpy(in.buffer, digest.data, digest.len);
    struct tpm_object *o = k->object;
    struct object_use use = object_use_start(o, "sign", 0);
    use.may_own = true;
    do {
        TT_TRY(object_use_begin(&use, err));
        do
            use.op.rc = sign_once(&sig, &use, &asked);
        while (tpm_op_again(&use.op));
    } while (object_use_again(&use));
    TT_TRY(object_use_end(&use, err));
    *result = sig;
    return TT_OK;
}

tt_rc tpm_key_prove(bool *ret_proven, struct tpm_key *k, struct tt_error *err)
{
    const TPMT_SIG_SCHEME scheme = sig_scheme(!k->info.rsa                         ? TPM2_ALG_ECDSA
                                              : k->info.padding == TPM_PADDING_PSS ? TPM2_ALG_RSAPSS
                                                                                   : TPM2_ALG_RSASSA,
                                              k->info.hash == TPM_HASH_ANY ? TPM_HASH_SHA256 : k->info.hash);
    const TPM2B_DIGEST too_short = {.size = 1};
    const struct to_sign asked = {&scheme, &too_short, &no_ticket};
    TPMT_SIGNATURE sig = {0};
    struct tpm_object *o = k->object;
    *ret_proven = false;
    if (!k->info.can_sign || k->info.restricted || o->file.has_policy || o->password.size == 0)
        return TT_OK;
    struct object_use use = object_use_start(o, "check the password", 0);
    use.may_own = true;
    do {
        TT_TRY(object_use_begin(&use, err));
        do
            use.op.rc = sign_once(&sig, &use, &asked);
        while (tpm_op_again(&use.op));
        *ret_proven = use.op.rc == TSS2_RC_SUCCESS || tpm_rc_is(use.op.rc, TPM2_RC_SIZE);
    } while (!*ret_proven && object_use_again(&use));
    mem_wipe(&sig, sizeof sig);
    if (*ret_proven || tpm_rc_of_parameter(use.op.rc))
        return TT_OK;
    return object_use_end(&use, err);
}

tt_rc tpm_key_sign_ecdsa(struct buf *ret_der, struct tpm_key *k, uint16_t hash, struct tt_bytes digest,
                         struct tt_error *err)
{
    const TPMT_SIG_SCHEME scheme = sig_scheme(TPM2_ALG_ECDSA, hash);
    TPMT_SIGNATURE sig = {0};
    TT_TRY(key_sign(&sig, k, &scheme, digest, err));
    size_t max = (k->info.bits + 7) / 8;
    const TPMS_SIGNATURE_ECDSA *v = &sig.signature.ecdsa;
    if (sig.sigAlg != TPM2_ALG_ECDSA || v->signatureR.size > max || v->signatureS.size > max)
        return malformed(err);
    /* Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }, RFC 3279 section 2.2.3 */
    struct writer w = writer_to(ret_der);
    struct der_mark m = der_open(&w, DER_SEQUENCE);
    der_put_uint(&w, (struct tt_bytes){v->signatureR.buffer, v->signatureR.size});
    der_put_uint(&w, (struct tt_bytes){v->signatureS.buffer, v->signatureS.size});
    der_close(&w, m);
    return wr_status(&w) == TT_OK ? TT_OK : error_set(err, TT_ERR_MEMORY, "out of memory");
}

tt_rc tpm_key_sign_rsa(uint8_t *ret, struct tpm_key *k, enum tpm_padding padding, uint16_t hash,
                       struct tt_bytes digest, struct tt_error *err)
{
    /* In the answer, too, RSASSA and RSAPSS lie at the same place with the same fields. */
    TPMI_ALG_SIG_SCHEME alg = padding == TPM_PADDING_PSS ? TPM2_ALG_RSAPSS : TPM2_ALG_RSASSA;
    const TPMT_SIG_SCHEME scheme = sig_scheme(alg, hash);
    TPMT_SIGNATURE sig = {0};
    TT_TRY(key_sign(&sig, k, &scheme, digest, err));
    const TPM2B_PUBLIC_KEY_RSA *v = &sig.signature.rsassa.sig;
    bool right = sig.sigAlg == alg && v->size == k->info.bits / 8 && v->size <= sizeof v->buffer;
    if (right)
        memcpy(ret, v->buffer, v->size);
    return right ? TT_OK : malformed(err);
}

/* TPM2_RSA_Decrypt by session_own_run: the number, TPM_ALG_NULL, no label. */
static TSS2_RC own_raw(TPM2B_PUBLIC_KEY_RSA *ret, const struct tpm_object *o, const TPM2B_PUBLIC_KEY_RSA *in)
{
    uint8_t parameters[sizeof(TPM2B_PUBLIC_KEY_RSA) + 4], answer[sizeof(TPM2B_PUBLIC_KEY_RSA)];
    size_t len = 0, answer_len = 0, at = 0;
    if (Tss2_MU_TPM2B_PUBLIC_KEY_RSA_Marshal(in, parameters, sizeof parameters, &len) != TSS2_RC_SUCCESS ||
        Tss2_MU_UINT16_Marshal(TPM2_ALG_NULL, parameters, sizeof parameters, &len) != TSS2_RC_SUCCESS ||
        Tss2_MU_UINT16_Marshal(0, parameters, sizeof parameters, &len) != TSS2_RC_SUCCESS)
        return TSS2_ESYS_RC_GENERAL_FAILURE;
    TSS2_RC rc = session_own_run(answer, sizeof answer, &answer_len, o->tpm,
                                 &(struct own_command){TPM2_CC_RSA_Decrypt, o, {parameters, len}});
    if (rc == TSS2_RC_SUCCESS &&
        (Tss2_MU_TPM2B_PUBLIC_KEY_RSA_Unmarshal(answer, answer_len, &at, ret) != TSS2_RC_SUCCESS ||
         at != answer_len))
        return TSS2_ESYS_RC_MALFORMED_RESPONSE;
    return rc;
}

static TSS2_RC esys_raw(TPM2B_PUBLIC_KEY_RSA *ret, const struct object_use *use,
                        const TPM2B_PUBLIC_KEY_RSA *in)
{
    static const TPMT_RSA_DECRYPT no_padding = {.scheme = TPM2_ALG_NULL};
    static const TPM2B_DATA no_label = {0};
    TPM2B_PUBLIC_KEY_RSA *out = NULL;
    TSS2_RC rc = Esys_RSA_Decrypt(use->o->tpm->esys, use->o->handle, use->session, ESYS_TR_NONE, ESYS_TR_NONE,
                                  in, &no_padding, &no_label, &out);
    if (rc == TSS2_RC_SUCCESS && out != NULL)
        *ret = *out;
    Esys_Free(out);
    return rc;
}

tt_rc tpm_key_rsa_raw(uint8_t *ret, struct tpm_key *k, struct tt_bytes padded, struct tt_error *err)
{
    TPM2B_PUBLIC_KEY_RSA in = {.size = (UINT16)padded.len}, out = {0};
    if (padded.len != k->info.bits / 8 || padded.len > sizeof in.buffer)
        return error_set(err, TT_ERR_USAGE, "the padded message does not have the modulus's size");
    memcpy(in.buffer, padded.data, padded.len);
    struct object_use use = object_use_start(k->object, "sign", 0);
    use.may_own = true;
    do {
        TT_TRY(object_use_begin(&use, err));
        do
            use.op.rc = use.own ? own_raw(&out, k->object, &in) : esys_raw(&out, &use, &in);
        while (tpm_op_again(&use.op));
    } while (object_use_again(&use));
    TT_TRY(object_use_end(&use, err));
    bool right = out.size == padded.len;
    if (right)
        memcpy(ret, out.buffer, out.size);
    mem_wipe(&out, sizeof out); /* of a key that decrypts it may be what was encrypted */
    return right ? TT_OK : malformed(err);
}
