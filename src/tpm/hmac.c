/* tpm/hmac.c: HMAC keys: struct tt_hmac. Layer: tpm. TPM 2.0 part 3, section 15.5 (HMAC). The answer is
 * hostile: its size is checked. */
#include <string.h>

#include "tpm/guard.h"
#include "tpm/trust.h"

struct tt_hmac {
    struct tpm_object *object;
};

void tt_hmac_free(struct tt_hmac *k)
{
    if (k == NULL)
        return;
    object_free(k->object);
    mem_free(k);
}
TT_DEFINE_AUTO(struct tt_hmac, tt_hmac_free)

/* Another key that it is not: sealed data has no scheme. */
static bool computes_hmac(const TPMT_PUBLIC *a)
{
    const TPMT_KEYEDHASH_SCHEME *s = &a->parameters.keyedHashDetail.scheme;
    return a->type == TPM2_ALG_KEYEDHASH && s->scheme == TPM2_ALG_HMAC &&
           s->details.hmac.hashAlg == TPM2_ALG_SHA256 &&
           (a->objectAttributes & TPMA_OBJECT_SIGN_ENCRYPT) != 0;
}

tt_rc tt_hmac_open_pem(struct tt_hmac **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                       const struct tt_bytes *password, struct tt_error *err)
{
    TT_AUTO(tt_hmac_free_auto) struct tt_hmac *k = mem_alloc(sizeof *k);
    if (k == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    TT_TRY(object_from_file(&k->object, tpm, pem, password, err));
    if (!computes_hmac(&k->object->pub.publicArea))
        return error_set(err, TT_ERR_UNSUPPORTED, "the file does not hold a key for HMAC-SHA-256");
    TT_TRY(guard_object(k->object, err));
    const struct keyfile *f = &k->object->file;
    trust_believe(tpm, &(struct parent_want){
                           .handle = f->parent, .rsa = f->rsa_parent, .name = &k->object->parent_name});
    *ret = TT_TAKE(k);
    return TT_OK;
}

tt_rc tt_hmac_load(struct tt_hmac *k, unsigned use, struct tt_error *err)
{
    k->object->confident = (use & TT_HMAC_SECRET) != 0;
    k->object->fleeting = (use & TT_HMAC_ONCE) != 0;
    return object_prepare(k->object, err);
}

static tt_rc result_take(uint8_t ret[32], TPM2B_DIGEST *result, struct tt_error *err)
{
    bool right = result != NULL && result->size == 32;
    if (right)
        memcpy(ret, result->buffer, 32);
    if (result != NULL)
        mem_wipe(result, sizeof *result);
    Esys_Free(result);
    return right ? TT_OK : error_set(err, TT_ERR_TPM, "the TPM returned a malformed HMAC");
}

tt_rc tt_hmac_compute(struct tt_hmac *k, uint8_t ret[32], struct tt_bytes data, bool is_secret,
                      struct tt_error *err)
{
    TPM2B_MAX_BUFFER in = {.size = (UINT16)data.len};
    TPM2B_DIGEST *result = NULL;
    struct tpm_object *o = k->object;
    if (data.len < 1 || data.len > sizeof in.buffer)
        return error_set(err, TT_ERR_USAGE, "an HMAC is computed over 1 to %zu bytes", sizeof in.buffer);
    memcpy(in.buffer, data.data, data.len);
    o->confident = is_secret;
    struct object_use use =
        object_use_start(o, "compute an HMAC", is_secret ? TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT : 0);
    tt_rc rc;
    do {
        rc = object_use_begin(&use, err);
        if (rc != TT_OK)
            break;
        do
            use.op.rc = Esys_HMAC(o->tpm->esys, o->handle, use.session, ESYS_TR_NONE, ESYS_TR_NONE, &in,
                                  TPM2_ALG_SHA256, &result);
        while (tpm_op_again(&use.op));
    } while (object_use_again(&use));
    mem_wipe(&in, sizeof in);
    TT_TRY(rc);
    TT_TRY(object_use_end(&use, err));
    return result_take(ret, result, err);
}
