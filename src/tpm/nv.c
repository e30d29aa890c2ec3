/* tpm/nv.c: see nv.h. Layer: tpm. TPM 2.0 part 2, section 13.4 (TPMA_NV); part 3, sections 31.6
 * (NV_ReadPublic), 31.13 (NV_Read). Sizes and content come from a TPM and are hostile. */
#include "tpm/nv.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/guard.h"
#include "tpm/key.h"
#include "tpm/owner.h"
#include "tpm/reopen.h"

/* TPM_PT_NV_BUFFER_MAX is at least 512; most chips give more at once, which is tried first. */
#define CHUNK_LARGE 1024U
#define CHUNK_SMALL 512U

/* struct nv: an index that is open. */
struct nv {
    struct tt_tpm *tpm;
    uint32_t handle;
    ESYS_TR index;
    size_t size, chunk;
    TPMA_NV attributes;
};

/* ESAPI reads the index's public area when it opens it, for the name, and does not hand it out: the meter
 * listens in, as for persistent keys (tpm/persistent.c). Response: header, TPM2B_NV_PUBLIC, name. */
static tt_rc nv_open(struct nv *ret, struct tt_tpm *tpm, uint32_t handle, struct tt_error *err)
{
    uint8_t response[sizeof(TPM2B_NV_PUBLIC) + 256];
    struct nv nv = {.tpm = tpm, .handle = handle, .index = ESYS_TR_NONE, .chunk = CHUNK_LARGE};
    tpm->meter.listen = (struct meter_listener){.to = response, .cap = sizeof response};
    struct tpm_op op = tpm_op_start(tpm, "open the NV index");
    do
        op.rc = Esys_TR_FromTPMPublic(tpm->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &nv.index);
    while (tpm_op_again(&op));
    size_t len = tpm->meter.listen.len, at = METER_HEADER_SIZE;
    tpm->meter.listen = (struct meter_listener){0};
    if (tpm_rc_is(op.rc, TPM2_RC_HANDLE))
        return error_set(err, TT_ERR_NOT_FOUND, "there is no NV index 0x%08x in this TPM", handle);
    TT_TRY(tpm_op_end(&op, err));
    TPM2B_NV_PUBLIC pub = {0};
    if (Tss2_MU_TPM2B_NV_PUBLIC_Unmarshal(response, len, &at, &pub) != TSS2_RC_SUCCESS) {
        (void)Esys_TR_Close(tpm->esys, &nv.index);
        return error_set(err, TT_ERR_TPM, "the TPM returned a malformed NV index");
    }
    nv.size = pub.nvPublic.dataSize;
    nv.attributes = pub.nvPublic.attributes;
    *ret = nv;
    return TT_OK;
}

static tt_rc nv_check(const struct nv *nv, size_t max, struct tt_error *err)
{
    if ((nv->attributes & TPMA_NV_TPM2_NT_MASK) >> TPMA_NV_TPM2_NT_SHIFT != TPM2_NT_ORDINARY)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "NV index 0x%08x is a counter or the like, and holds no data", nv->handle);
    if ((nv->attributes & TPMA_NV_WRITTEN) == 0 || nv->size == 0)
        return error_set(err, TT_ERR_UNSUPPORTED, "nothing was ever written to NV index 0x%08x", nv->handle);
    if (nv->size > max)
        return error_set(err, TT_ERR_UNSUPPORTED, "NV index 0x%08x has %zu bytes; at most %zu are read",
                         nv->handle, nv->size, max);
    return TT_OK;
}

static TSS2_RC read_some(uint8_t *to, const struct nv *nv, ESYS_TR reader, ESYS_TR session, size_t at)
{
    size_t n = nv->size - at < nv->chunk ? nv->size - at : nv->chunk;
    TPM2B_MAX_NV_BUFFER *data = NULL;
    struct tpm_op op = tpm_op_start(nv->tpm, "read the NV index");
    do
        op.rc = Esys_NV_Read(nv->tpm->esys, reader, nv->index, session, ESYS_TR_NONE, ESYS_TR_NONE, (UINT16)n,
                             (UINT16)at, &data);
    while (tpm_op_again(&op));
    if (op.rc != TSS2_RC_SUCCESS)
        return op.rc;
    bool right = data->size == n;
    if (right)
        memcpy(to + at, data->buffer, n);
    Esys_Free(data);
    return right ? TSS2_RC_SUCCESS : TSS2_ESYS_RC_MALFORMED_RESPONSE;
}

/* TPM_RC_VALUE of TPM2_NV_Read (part 3, section 31.13): more than this chip gives at once. */
static bool chunk_smaller(struct nv *nv, TSS2_RC rc)
{
    if (!tpm_rc_is(rc, TPM2_RC_VALUE) || nv->chunk == CHUNK_SMALL)
        return false;
    nv->chunk = CHUNK_SMALL;
    return true;
}

static TSS2_RC read_all(uint8_t *to, struct nv *nv, ESYS_TR reader, ESYS_TR session)
{
    for (size_t at = 0; at < nv->size;) {
        TSS2_RC rc = read_some(to, nv, reader, session, at);
        if (rc == TSS2_RC_SUCCESS)
            at += nv->chunk;
        else if (!chunk_smaller(nv, rc))
            return rc;
    }
    return TSS2_RC_SUCCESS;
}

static tt_rc read_as_owner(uint8_t *to, struct nv *nv, struct tt_error *err)
{
    struct tpm_op op = tpm_op_start(nv->tpm, "read the NV index as the owner");
    ESYS_TR session = ESYS_TR_PASSWORD;
    for (size_t at = 0; at < nv->size && op.rc == TSS2_RC_SUCCESS;) {
        TT_TRY(hierarchy_authorize(&session, nv->tpm, ESYS_TR_RH_OWNER, err)); /* for one command */
        op.rc = read_some(to, nv, ESYS_TR_RH_OWNER, session, at);
        hierarchy_authorize_end(nv->tpm, ESYS_TR_RH_OWNER);
        if (op.rc == TSS2_RC_SUCCESS)
            at += nv->chunk;
        else if (chunk_smaller(nv, op.rc))
            op.rc = TSS2_RC_SUCCESS;
    }
    return hierarchy_refused(&op) ? owner_explain(&op, "", err) : tpm_op_end(&op, err);
}

/* The index's own empty password first, where trying it costs nothing: most certificates lie so. Then the
 * owner's. */
static tt_rc read_authorized(uint8_t *to, struct nv *nv, struct tt_error *err)
{
    if ((nv->attributes & TPMA_NV_AUTHREAD) != 0 && guard_nv(nv->attributes)) {
        struct tpm_op op = tpm_op_start(nv->tpm, "read the NV index");
        op.rc = read_all(to, nv, nv->index, ESYS_TR_PASSWORD);
        if (!hierarchy_refused(&op)) /* no password is wrong */
            return tpm_op_end(&op, err);
    }
    if ((nv->attributes & TPMA_NV_OWNERREAD) != 0)
        return read_as_owner(to, nv, err);
    (void)error_set(err, TT_ERR_AUTH, "NV index 0x%08x cannot be read: it wants %s", nv->handle,
                    (nv->attributes & TPMA_NV_AUTHREAD) != 0 && guard_nv(nv->attributes) ? "a password"
                    : (nv->attributes & TPMA_NV_AUTHREAD) != 0
                        ? "its password, whose wrong guesses the TPM counts, so the empty one is not tried"
                    : (nv->attributes & TPMA_NV_POLICYREAD) != 0 ? "a policy"
                                                                 : "the platform's authorisation");
    error_hint(err, "what everybody may see is best defined with the attributes ownerread|authread|no_da");
    return TT_ERR_AUTH;
}

tt_rc nv_read(struct buf *ret, struct tt_tpm *tpm, uint32_t index, size_t max, struct tt_error *err)
{
    struct nv nv = {0};
    TT_TRY(nv_open(&nv, tpm, index, err));
    tt_rc rc = nv_check(&nv, max, err);
    uint8_t *to = rc == TT_OK ? buf_reserve(ret, nv.size) : NULL;
    if (rc == TT_OK && to == NULL)
        rc = error_set(err, TT_ERR_MEMORY, "out of memory");
    if (to != NULL)
        rc = read_authorized(to, &nv, err);
    (void)Esys_TR_Close(tpm->esys, &nv.index);
    if (to != NULL && rc == TT_OK)
        buf_commit(ret, nv.size);
    return rc;
}

static tt_rc read_once(struct buf *ret, struct tt_tpm *tpm, uint32_t index, size_t max, struct tt_error *err)
{
    buf_consume(ret, buf_size(ret)); /* of a try that failed */
    return nv_read(ret, tpm, index, max, err);
}

tt_rc tpm_nv_read(struct buf *ret, struct tt_tpm *tpm, uint32_t index, size_t max, struct tt_error *err)
{
    return TPM_TWICE(tpm, err, read_once(ret, tpm, index, max, err));
}

tt_rc nv_indexes(uint32_t *ret, size_t *ret_len, size_t max, struct tt_tpm *tpm, uint32_t first,
                 uint32_t last, struct tt_error *err)
{
    TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;
    struct tpm_op op = tpm_op_start(tpm, "list the NV indexes");
    do
        op.rc = Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
                                   first, TPM2_MAX_CAP_HANDLES, &more, &data);
    while (tpm_op_again(&op));
    TT_TRY(tpm_op_end(&op, err));
    const TPML_HANDLE *list = &data->data.handles;
    bool right = data->capability == TPM2_CAP_HANDLES && list->count <= TPM2_MAX_CAP_HANDLES;
    size_t n = 0;
    for (UINT32 i = 0; right && i < list->count && list->handle[i] <= last && n < max; i++) {
        right = list->handle[i] >= first && (n == 0 || list->handle[i] > ret[n - 1]);
        if (right)
            ret[n++] = list->handle[i];
    }
    Esys_Free(data);
    if (!right)
        return error_set(err, TT_ERR_TPM, "the TPM returned a malformed list of handles");
    *ret_len = n;
    return TT_OK;
}
