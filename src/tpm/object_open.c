/* tpm/object_open.c: an object from a key file or a persistent handle, before it is used. Layer: tpm.
 * draft-bottomley-tpm2-keys, "TPMkey Syntax". A file is hostile input. */
#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/object.h"
#include "tpm/persistent.h"
#include "tpm/public.h"

static struct tpm_object *object_new(struct tt_tpm *tpm)
{
    struct tpm_object *o = mem_alloc(sizeof *o);
    if (o != NULL) {
        o->tpm = tpm;
        o->opening = tpm->meter.openings;
        o->handle = ESYS_TR_NONE;
    }
    return o;
}

static tt_rc take_password(struct tpm_object *o, const struct tt_bytes *password, struct tt_error *err)
{
    if (password == NULL)
        return TT_OK;
    if (password->len > sizeof o->password.buffer)
        return error_set(err, TT_ERR_AUTH, "the password is too long: a TPM takes at most %zu bytes",
                         sizeof o->password.buffer);
    o->has_password = true;
    o->password.size = (UINT16)password->len;
    if (password->len > 0)
        memcpy(o->password.buffer, password->data, password->len);
    return TT_OK;
}

static tt_rc take_areas(struct tpm_object *o, struct tt_error *err)
{
    const struct keyfile *f = &o->file;
    size_t pub_end = 0, priv_end = 0, seed_end = 0;
    if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(f->pubkey.data, f->pubkey.len, &pub_end, &o->pub) != TSS2_RC_SUCCESS ||
        pub_end != f->pubkey.len)
        return public_refuse(f->pubkey, err);
    if (Tss2_MU_TPM2B_PRIVATE_Unmarshal(f->privkey.data, f->privkey.len, &priv_end, &o->priv) !=
            TSS2_RC_SUCCESS ||
        priv_end != f->privkey.len)
        return error_set(err, TT_ERR_DECODE, "the key file's private area is damaged");
    o->to_import = f->secret.len > 0;
    if (o->to_import && (Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal(f->secret.data, f->secret.len, &seed_end,
                                                                  &o->seed) != TSS2_RC_SUCCESS ||
                         seed_end != f->secret.len))
        return error_set(err, TT_ERR_DECODE, "the key file's secret (the import seed) is damaged");
    if (f->kind == KEYFILE_IMPORTABLE && !o->to_import)
        return error_set(err, TT_ERR_DECODE, "the key file is of the importable type and lacks its secret");
    if (f->kind == KEYFILE_LOADABLE && o->to_import)
        return error_set(err, TT_ERR_DECODE, "the key file is of the loadable type and has a secret");
    if (f->parent_name.len <= sizeof o->parent_name.name && f->parent_name.len > 0) {
        o->parent_name.size = (UINT16)f->parent_name.len;
        memcpy(o->parent_name.name, f->parent_name.data, f->parent_name.len);
    }
    return TT_OK;
}

tt_rc object_from_file(struct tpm_object **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                       const struct tt_bytes *password, struct tt_error *err)
{
    TT_AUTO(object_free_auto) struct tpm_object *o = object_new(tpm);
    if (o == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    TT_TRY(keyfile_parse(&o->file, pem, err));
    TT_TRY(take_areas(o, err));
    TT_TRY(take_password(o, password, err));
    *ret = TT_TAKE(o);
    return TT_OK;
}

tt_rc object_from_handle(struct tpm_object **ret, struct tt_tpm *tpm, uint32_t handle,
                         const struct tt_bytes *password, struct tt_error *err)
{
    if (handle >> 24 != TPM2_HT_PERSISTENT)
        return error_set(err, TT_ERR_USAGE, "0x%08x is not a persistent handle (0x81000000 to 0x81ffffff)",
                         handle);
    TT_AUTO(object_free_auto) struct tpm_object *o = object_new(tpm);
    if (o == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    o->persistent = true;
    o->at = handle;
    o->file.parent = KEYFILE_PARENT_SRK; /* to salt sessions; what its parent is cannot be known */
    o->file.empty_auth = true;
    TT_TRY(persistent_open(&o->handle, &o->pub, tpm, handle, err));
    TT_TRY(take_password(o, password, err));
    if (o->has_password && Esys_TR_SetAuth(tpm->esys, o->handle, &o->password) != TSS2_RC_SUCCESS)
        return error_set(err, TT_ERR_INTERNAL, "cannot set the key's password");
    TT_TRY(object_take_name(o, &o->pub, err));
    *ret = TT_TAKE(o);
    return TT_OK;
}
