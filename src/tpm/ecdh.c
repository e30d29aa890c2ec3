/* tpm/ecdh.c: Diffie-Hellman keys on P-256: struct tt_ecdh. Layer: tpm. TPM 2.0 part 3, section 14.5
 * (ECDH_ZGen). The answer is hostile: its sizes are checked. */
#include <string.h>

#include "tpm/guard.h"

#define COORDINATE 32

struct tt_ecdh {
    struct tpm_object *object;
};

void tt_ecdh_free(struct tt_ecdh *k)
{
    if (k == NULL)
        return;
    object_free(k->object);
    mem_free(k);
}
TT_DEFINE_AUTO(struct tt_ecdh, tt_ecdh_free)

/* A restricted key is a parent of others, and does no Diffie-Hellman for anybody. */
static bool computes_ecdh(const TPMT_PUBLIC *a)
{
    const TPMS_ECC_PARMS *p = &a->parameters.eccDetail;
    const TPMS_ECC_POINT *q = &a->unique.ecc;
    return a->type == TPM2_ALG_ECC && p->curveID == TPM2_ECC_NIST_P256 &&
           (p->scheme.scheme == TPM2_ALG_NULL || p->scheme.scheme == TPM2_ALG_ECDH) &&
           (a->objectAttributes & (TPMA_OBJECT_DECRYPT | TPMA_OBJECT_RESTRICTED)) == TPMA_OBJECT_DECRYPT &&
           q->x.size <= COORDINATE && q->y.size <= COORDINATE;
}

tt_rc tt_ecdh_open_pem(struct tt_ecdh **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                       const struct tt_bytes *password, struct tt_error *err)
{
    TT_AUTO(tt_ecdh_free_auto) struct tt_ecdh *k = mem_alloc(sizeof *k);
    if (k == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    TT_TRY(object_from_file(&k->object, tpm, pem, password, err));
    if (!computes_ecdh(&k->object->pub.publicArea))
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the file does not hold a P-256 key for Diffie-Hellman (TPM2_ECDH_ZGen)");
    k->object->confident = true;
    TT_TRY(guard_object(k->object, err));
    *ret = TT_TAKE(k);
    return TT_OK;
}

tt_rc tt_ecdh_load(struct tt_ecdh *k, struct tt_error *err)
{
    return object_prepare(k->object, err);
}

/* Some TPMs leave out the zeros in front. */
static void coordinate_put(uint8_t *to, const TPM2B_ECC_PARAMETER *from)
{
    memset(to, 0, COORDINATE);
    memcpy(to + COORDINATE - from->size, from->buffer, from->size);
}

void tt_ecdh_public(const struct tt_ecdh *k, uint8_t ret[TT_ECDH_POINT])
{
    const TPMS_ECC_POINT *q = &k->object->pub.publicArea.unique.ecc;
    ret[0] = 4; /* uncompressed */
    coordinate_put(ret + 1, &q->x);
    coordinate_put(ret + 1 + COORDINATE, &q->y);
}

static tt_rc product_take(uint8_t ret[COORDINATE], TPM2B_ECC_POINT *z, struct tt_error *err)
{
    bool right = z != NULL && z->point.x.size > 0 && z->point.x.size <= COORDINATE;
    if (right)
        coordinate_put(ret, &z->point.x);
    if (z != NULL)
        mem_wipe(z, sizeof *z);
    Esys_Free(z);
    return right ? TT_OK : error_set(err, TT_ERR_TPM, "the TPM returned a malformed point");
}

tt_rc tt_ecdh_compute(struct tt_ecdh *k, uint8_t ret[COORDINATE], struct tt_bytes point, struct tt_error *err)
{
    TPM2B_ECC_POINT in = {.point = {.x.size = COORDINATE, .y.size = COORDINATE}}, *z = NULL;
    struct tpm_object *o = k->object;
    if (point.len != TT_ECDH_POINT || point.data[0] != 4)
        return error_set(err, TT_ERR_USAGE, "the point is not an uncompressed one of P-256");
    memcpy(in.point.x.buffer, point.data + 1, COORDINATE);
    memcpy(in.point.y.buffer, point.data + 1 + COORDINATE, COORDINATE);
    struct object_use use = object_use_start(o, "compute a shared secret", TPMA_SESSION_ENCRYPT);
    do {
        TT_TRY(object_use_begin(&use, err));
        do
            use.op.rc =
                Esys_ECDH_ZGen(o->tpm->esys, o->handle, use.session, ESYS_TR_NONE, ESYS_TR_NONE, &in, &z);
        while (tpm_op_again(&use.op));
    } while (object_use_again(&use));
    TT_TRY(object_use_end(&use, err));
    return product_take(ret, z, err);
}
