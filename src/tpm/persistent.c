/* tpm/persistent.c: the owner's persistent objects. Layer: tpm. TPM 2.0 part 3, sections 12.4 (ReadPublic),
 * 28.5 (EvictControl), 30.2 (GetCapability); part 2, section 7.4. */
#include "tpm/persistent.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/key.h"
#include "tpm/owner.h"
#include "tpm/public.h"
#include "tpm/reopen.h"
#include "tpm/trust.h"

#define OWNER_LAST 0x817fffffU /* above it is the platform's */

/* Not every version of ESAPI looks whether the name is that of the public area. Of a hash that we lack it
 * cannot be seen; where that matters, for a parent, such a key is refused. */
static tt_rc answer_read(TPM2B_PUBLIC *ret, struct tt_tpm *tpm, const uint8_t *response, size_t len,
                         struct tt_error *err)
{
    size_t at = METER_HEADER_SIZE;
    TPM2B_NAME name = {0}, right;
    if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(response, len, &at, ret) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPM2B_NAME_Unmarshal(response, len, &at, &name) != TSS2_RC_SUCCESS)
        return error_set(err, TT_ERR_TPM, "the TPM returned a malformed public area");
    return name_of(&right, tpm, ret, NULL) == TT_ERR_UNSUPPORTED ? TT_OK : name_check(tpm, ret, &name, err);
}

/* ESAPI reads the public area when it opens a handle, for the name, but does not hand it out. The meter
 * listens in, which saves a second TPM2_ReadPublic. Response: header, TPM2B_PUBLIC, names. */
tt_rc persistent_open(ESYS_TR *ret, TPM2B_PUBLIC *ret_pub, struct tt_tpm *tpm, uint32_t handle,
                      struct tt_error *err)
{
    uint8_t response[sizeof(TPM2B_PUBLIC) + 256];
    ESYS_TR object = ESYS_TR_NONE;
    tpm->meter.listen = (struct meter_listener){.to = response, .cap = sizeof response};
    struct tpm_op op = tpm_op_start(tpm, "open the persistent key");
    do
        op.rc = Esys_TR_FromTPMPublic(tpm->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &object);
    while (tpm_op_again(&op));
    size_t len = tpm->meter.listen.len;
    tpm->meter.listen = (struct meter_listener){0};
    if (tpm_rc_is(op.rc, TPM2_RC_HANDLE))
        return error_set(err, TT_ERR_NOT_FOUND, "there is no key at 0x%08x in this TPM", handle);
    TT_TRY(tpm_op_end(&op, err));
    TPM2B_PUBLIC pub = {0};
    tt_rc rc = answer_read(&pub, tpm, response, len, err);
    if (rc != TT_OK) {
        (void)Esys_TR_Close(tpm->esys, &object);
        return rc;
    }
    *ret = object;
    *ret_pub = pub;
    return TT_OK;
}

tt_rc persistent_check(uint32_t handle, struct tt_error *err)
{
    if (handle >> 24 == TPM2_HT_PERSISTENT && handle <= OWNER_LAST)
        return TT_OK;
    (void)error_set(err, TT_ERR_USAGE, "0x%08x is not a persistent handle of the owner", handle);
    error_hint(err, "they go from 0x81000000 to 0x817fffff; 0x81000001 is the storage root key's");
    return TT_ERR_USAGE;
}

/* What EvictControl answers when something is wrong with the handle or the owner's password. */
static tt_rc evict_end(const struct tpm_op *op, uint32_t handle, struct tt_error *err)
{
    if (tpm_rc_is(op->rc, TPM2_RC_NV_DEFINED)) {
        (void)error_set(err, TT_ERR_EXISTS, "something is at 0x%08x already, and is not overwritten", handle);
        error_hint(err, "`tpmtls key list` shows what is where; choose a free handle");
        return TT_ERR_EXISTS;
    }
    if (hierarchy_refused(op))
        return owner_explain(op, "", err);
    return tpm_op_end(op, err);
}

tt_rc persistent_put(struct tt_tpm *tpm, ESYS_TR object, uint32_t handle, struct tt_error *err)
{
    TT_TRY(persistent_check(handle, err));
    ESYS_TR made = ESYS_TR_NONE, owner;
    TT_TRY(hierarchy_authorize(&owner, tpm, ESYS_TR_RH_OWNER, err));
    struct tpm_op op = tpm_op_start(tpm, "make the key persistent");
    do
        op.rc = Esys_EvictControl(tpm->esys, ESYS_TR_RH_OWNER, object, owner, ESYS_TR_NONE, ESYS_TR_NONE,
                                  handle, &made);
    while (tpm_op_again(&op));
    hierarchy_authorize_end(tpm, ESYS_TR_RH_OWNER);
    TT_TRY(evict_end(&op, handle, err));
    (void)Esys_TR_Close(tpm->esys, &made);
    return TT_OK;
}

tt_rc tpm_persistent_evict(struct tt_tpm *tpm, uint32_t handle, struct tt_error *err)
{
    ESYS_TR object = ESYS_TR_NONE, none = ESYS_TR_NONE, owner;
    TPM2B_PUBLIC pub;
    TT_TRY(persistent_check(handle, err));
    TT_TRY(hierarchy_authorize(&owner, tpm, ESYS_TR_RH_OWNER, err));
    TT_TRY(persistent_open(&object, &pub, tpm, handle, err));
    struct tpm_op op = tpm_op_start(tpm, "remove the persistent key");
    do
        op.rc = Esys_EvictControl(tpm->esys, ESYS_TR_RH_OWNER, object, owner, ESYS_TR_NONE, ESYS_TR_NONE,
                                  handle, &none);
    while (tpm_op_again(&op));
    hierarchy_authorize_end(tpm, ESYS_TR_RH_OWNER);
    (void)Esys_TR_Close(tpm->esys, &object); /* ESAPI remembers the name that was there */
    return evict_end(&op, handle, err);
}

/* ---- listing ---- */

static tt_rc entry_read(struct tpm_persistent *ret, struct tt_tpm *tpm, uint32_t handle, struct tt_error *err)
{
    struct tpm_persistent e = {.handle = handle};
    ESYS_TR object = ESYS_TR_NONE;
    TPM2B_PUBLIC pub = {0};
    TT_TRY(persistent_open(&object, &pub, tpm, handle, err));
    TPM2B_NAME *name = NULL;
    if (Esys_TR_GetName(tpm->esys, object, &name) == TSS2_RC_SUCCESS && name->size <= sizeof e.name) {
        e.name_len = name->size;
        memcpy(e.name, name->name, name->size);
    }
    Esys_Free(name);
    (void)Esys_TR_Close(tpm->esys, &object);
    e.alg = pub.publicArea.type;
    e.type = public_type(&pub);
    e.attributes = pub.publicArea.objectAttributes;
    *ret = e;
    return TT_OK;
}

/* TPM2_GetCapability, from one handle on; *ret_more: there may be others behind. */
static tt_rc handles_read(TPML_HANDLE *ret, bool *ret_more, struct tt_tpm *tpm, uint32_t from,
                          struct tt_error *err)
{
    TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more = 0;
    struct tpm_op op = tpm_op_start(tpm, "list the persistent keys");
    do
        op.rc = Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
                                   from, TPM2_MAX_CAP_HANDLES, &more, &data);
    while (tpm_op_again(&op));
    TT_TRY(tpm_op_end(&op, err));
    bool right = data->capability == TPM2_CAP_HANDLES && data->data.handles.count <= TPM2_MAX_CAP_HANDLES;
    if (right)
        *ret = data->data.handles;
    *ret_more = more != 0;
    Esys_Free(data);
    return right ? TT_OK : error_set(err, TT_ERR_TPM, "the TPM returned a malformed list of handles");
}

static tt_rc list_once(struct buf *ret, struct tt_tpm *tpm, struct tt_error *err)
{
    buf_consume(ret, buf_size(ret));
    uint32_t from = 0x81000000U; /* TPM2_PERSISTENT_FIRST, whose shift overflows an int */
    TPML_HANDLE list = {0};
    bool more = true;
    for (int round = 0; more && round < 16; round++) {
        TT_TRY(handles_read(&list, &more, tpm, from, err));
        for (UINT32 i = 0; i < list.count; i++) {
            struct tpm_persistent e;
            if (list.handle[i] < from || list.handle[i] >> 24 != TPM2_HT_PERSISTENT)
                return error_set(err, TT_ERR_TPM, "the TPM returned a malformed list of handles");
            from = list.handle[i] + 1;
            TT_TRY(entry_read(&e, tpm, list.handle[i], err));
            TT_TRY(buf_append(ret, &e, sizeof e));
        }
        more = more && list.count > 0;
    }
    return TT_OK;
}

tt_rc tpm_persistent_list(struct buf *ret, struct tt_tpm *tpm, struct tt_error *err)
{
    return TPM_TWICE(tpm, err, list_once(ret, tpm, err));
}

static tt_rc public_once(struct buf *ret, struct tt_tpm *tpm, uint32_t handle, struct tt_error *err)
{
    ESYS_TR object;
    TPM2B_PUBLIC pub;
    uint8_t area[sizeof pub];
    size_t len = 0;
    TT_TRY(persistent_open(&object, &pub, tpm, handle, err));
    (void)Esys_TR_Close(tpm->esys, &object);
    if (Tss2_MU_TPM2B_PUBLIC_Marshal(&pub, area, sizeof area, &len) != TSS2_RC_SUCCESS)
        return error_set(err, TT_ERR_TPM, "the TPM returned a malformed public area");
    return buf_append(ret, area, len);
}

tt_rc tpm_persistent_public(struct buf *ret, struct tt_tpm *tpm, uint32_t handle, struct tt_error *err)
{
    return TPM_TWICE(tpm, err, public_once(ret, tpm, handle, err));
}
