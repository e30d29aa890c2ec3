/* tpm/decrypt.c: what a decryption key does: one TPM command each. Layer: tpm. TPM 2.0 part 3, sections 14.3
 * (RSA_Decrypt) and 14.5 (ECDH_ZGen). The answer travels encrypted; it is hostile: its sizes are checked. */
#include <string.h>

#include "tpm/key_internal.h"

/* What the TPM says of an input that is nothing for this key, rather than of the key. */
static bool is_about_input(TSS2_RC rc)
{
    return tpm_rc_is(rc, TPM2_RC_VALUE) || tpm_rc_is(rc, TPM2_RC_SIZE) || tpm_rc_is(rc, TPM2_RC_CURVE) ||
           tpm_rc_is(rc, TPM2_RC_ECC_POINT);
}

/* libtpms says TPM_RC_FAILURE of a ciphertext that has the wrong padding, and goes on working; a TPM that
 * failed says it of everything. */
static bool failed_of_input(struct tt_tpm *tpm, TSS2_RC rc)
{
    TPM2B_DIGEST *bytes = NULL;
    if (!tpm_rc_is(rc, TPM2_RC_FAILURE))
        return false;
    struct tpm_op op = tpm_op_start(tpm, "see whether it still works");
    do
        op.rc = Esys_GetRandom(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, 1, &bytes);
    while (tpm_op_again(&op));
    Esys_Free(bytes);
    return tpm_op_end(&op, NULL) == TT_OK;
}

static tt_rc use_end(struct object_use *use, struct tt_tpm *tpm, struct tt_error *err)
{
    TSS2_RC said = use->op.rc;
    tt_rc rc = object_use_end(use, err);
    if (rc == TT_OK || (!is_about_input(said) && !failed_of_input(tpm, said)))
        return rc;
    return error_set(err, TT_ERR_DECODE, "the TPM cannot decrypt this with the key");
}

static tt_rc take_plain(uint8_t *ret, size_t *ret_len, TPM2B_PUBLIC_KEY_RSA *plain, size_t room,
                        struct tt_error *err)
{
    bool right = plain != NULL && plain->size <= room;
    if (right) {
        memcpy(ret, plain->buffer, plain->size);
        *ret_len = plain->size;
    }
    if (plain != NULL)
        mem_wipe(plain, sizeof *plain);
    Esys_Free(plain);
    return right ? TT_OK : error_set(err, TT_ERR_TPM, "the TPM returned a malformed plaintext");
}

tt_rc tpm_key_decrypt_rsa(uint8_t *ret, size_t *ret_len, struct tpm_key *k, uint16_t hash,
                          struct tt_bytes cipher, struct tt_error *err)
{
    static const TPM2B_DATA no_label = {0};
    TPMT_RSA_DECRYPT scheme = {0};
    scheme.scheme = hash == 0 ? TPM2_ALG_RSAES : TPM2_ALG_OAEP;
    scheme.details.oaep.hashAlg = hash;
    TPM2B_PUBLIC_KEY_RSA in = {.size = (UINT16)cipher.len}, *out = NULL;
    struct tpm_object *o = k->object;
    if (cipher.len != k->info.bits / 8 || cipher.len > sizeof in.buffer)
        return error_set(err, TT_ERR_USAGE, "the ciphertext does not have the modulus's size");
    memcpy(in.buffer, cipher.data, cipher.len);
    struct object_use use = object_use_start(o, "decrypt", TPMA_SESSION_ENCRYPT);
    do {
        TT_TRY(object_use_begin(&use, err));
        do
            use.op.rc = Esys_RSA_Decrypt(o->tpm->esys, o->handle, use.session, ESYS_TR_NONE, ESYS_TR_NONE,
                                         &in, &scheme, &no_label, &out);
        while (tpm_op_again(&use.op));
    } while (object_use_again(&use));
    TT_TRY(use_end(&use, o->tpm, err));
    return take_plain(ret, ret_len, out, cipher.len, err);
}

static tt_rc take_product(uint8_t *ret, size_t field, TPM2B_ECC_POINT *z, struct tt_error *err)
{
    bool right = z != NULL && z->point.x.size > 0 && z->point.x.size <= field;
    if (right) { /* some TPMs leave out the zeros in front */
        memset(ret, 0, field);
        memcpy(ret + field - z->point.x.size, z->point.x.buffer, z->point.x.size);
    }
    if (z != NULL)
        mem_wipe(z, sizeof *z);
    Esys_Free(z);
    return right ? TT_OK : error_set(err, TT_ERR_TPM, "the TPM returned a malformed point");
}

tt_rc tpm_key_ecdh(uint8_t *ret, struct tpm_key *k, struct tt_bytes point, struct tt_error *err)
{
    size_t field = (k->info.bits + 7) / 8;
    TPM2B_ECC_POINT in = {.point = {.x.size = (UINT16)field, .y.size = (UINT16)field}}, *z = NULL;
    struct tpm_object *o = k->object;
    if (point.len != 2 * field || field > sizeof in.point.x.buffer)
        return error_set(err, TT_ERR_USAGE, "the point does not have the curve's size");
    memcpy(in.point.x.buffer, point.data, field);
    memcpy(in.point.y.buffer, point.data + field, field);
    struct object_use use = object_use_start(o, "compute a shared secret", TPMA_SESSION_ENCRYPT);
    do {
        TT_TRY(object_use_begin(&use, err));
        do
            use.op.rc =
                Esys_ECDH_ZGen(o->tpm->esys, o->handle, use.session, ESYS_TR_NONE, ESYS_TR_NONE, &in, &z);
        while (tpm_op_again(&use.op));
    } while (object_use_again(&use));
    TT_TRY(use_end(&use, o->tpm, err));
    return take_product(ret, field, z, err);
}
