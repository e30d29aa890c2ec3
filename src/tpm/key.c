/* tpm/key.c: signing keys: an object whose public area says that it can sign. Layer: tpm. And the other
 * things that are done with a key file: try it, keep it at a handle, import it. */
#include "tpm/key.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/guard.h"
#include "tpm/key_internal.h"
#include "tpm/mldsa.h"
#include "tpm/persistent.h"
#include "tpm/public.h"
#include "tpm/reopen.h"
#include "tpm/trust.h"

void tpm_key_free(struct tpm_key *k)
{
    if (k == NULL)
        return;
    object_free(k->object);
    mem_free(k);
}

static tt_rc describe(struct tpm_key_info *ret, const TPM2B_PUBLIC *pub, bool decryption,
                      struct tt_error *err)
{
    if (!decryption)
        return public_describe_signing(ret, pub, err);
    TT_TRY(public_describe_any(ret, pub, err));
    return ret->decrypts ? TT_OK : error_set(err, TT_ERR_UNSUPPORTED, "the key is not one for decryption");
}

static tt_rc refuse_sealed(struct tt_error *err)
{
    (void)error_set(err, TT_ERR_UNSUPPORTED, "the file holds sealed data, not a key");
    error_hint(err, "`tpmtls key unseal` gives the data back");
    return TT_ERR_UNSUPPORTED;
}

/* Takes over the object, also on failure. Judges before the TPM is asked anything more. */
static tt_rc key_new(struct tpm_key **ret, struct tpm_object *object, bool decryption, struct tt_error *err)
{
    struct tpm_key *k = mem_alloc(sizeof *k);
    if (k == NULL) {
        object_free(object);
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    }
    k->object = object;
    *ret = k;
    if (object->file.kind == KEYFILE_SEALED)
        return refuse_sealed(err);
    TT_TRY(describe(&k->info, &object->pub, decryption, err));
    return guard_object(object, err);
}

tt_rc tpm_key_of_file(struct tpm_key **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                      const struct tt_bytes *password, bool decryption, struct tt_error *err)
{
    TT_AUTO(tpm_key_free_auto) struct tpm_key *k = NULL;
    struct tpm_object *object = NULL;
    TT_TRY(object_from_file(&object, tpm, pem, password, err));
    TT_TRY(key_new(&k, object, decryption, err));
    *ret = TT_TAKE(k);
    return TT_OK;
}

static tt_rc load_once(struct tpm_key **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                       const struct tt_bytes *password, bool decryption, struct tt_error *err)
{
    TT_AUTO(tpm_key_free_auto) struct tpm_key *k = NULL;
    TT_TRY(tpm_key_of_file(&k, tpm, pem, password, decryption, err));
    TT_TRY(object_prepare(k->object, err));
    *ret = TT_TAKE(k);
    return TT_OK;
}

tt_rc tpm_key_load(struct tpm_key **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                   const struct tt_bytes *password, struct tt_error *err)
{
    return TPM_TWICE(tpm, err, load_once(ret, tpm, pem, password, false, err));
}

tt_rc tpm_key_load_decryption(struct tpm_key **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                              const struct tt_bytes *password, struct tt_error *err)
{
    return TPM_TWICE(tpm, err, load_once(ret, tpm, pem, password, true, err));
}

static tt_rc persistent_once(struct tpm_key **ret, struct tt_tpm *tpm, uint32_t handle,
                             const struct tt_bytes *password, bool decryption, struct tt_error *err)
{
    TT_AUTO(tpm_key_free_auto) struct tpm_key *k = NULL;
    struct tpm_object *object = NULL;
    TT_TRY(object_from_handle(&object, tpm, handle, password, err));
    TT_TRY(key_new(&k, object, decryption, err));
    TT_TRY(object_prepare(object, err));
    *ret = TT_TAKE(k);
    return TT_OK;
}

tt_rc tpm_key_persistent(struct tpm_key **ret, struct tt_tpm *tpm, uint32_t handle,
                         const struct tt_bytes *password, struct tt_error *err)
{
    return TPM_TWICE(tpm, err, persistent_once(ret, tpm, handle, password, false, err));
}

tt_rc tpm_key_persistent_decryption(struct tpm_key **ret, struct tt_tpm *tpm, uint32_t handle,
                                    const struct tt_bytes *password, struct tt_error *err)
{
    return TPM_TWICE(tpm, err, persistent_once(ret, tpm, handle, password, true, err));
}

const struct tpm_key_info *tpm_key_info(const struct tpm_key *k)
{
    return &k->info;
}

struct tt_tpm *tpm_key_tpm(const struct tpm_key *k)
{
    return k->object->tpm;
}

bool tpm_key_recheck(struct tpm_key *k)
{
    return object_recheck(k->object);
}

void tpm_key_avoid_raw(struct tpm_key *k)
{
    k->info.raw = false;
}

struct tt_bytes tpm_key_name(const struct tpm_key *k)
{
    return (struct tt_bytes){k->object->name.name, k->object->name.size};
}

tt_rc tpm_key_spki(uint8_t **ret, size_t *ret_len, const struct tpm_key *k)
{
    struct buf spki = {0};
    tt_rc rc = public_spki(&spki, &k->object->pub);
    if (rc == TT_OK) {
        *ret_len = buf_size(&spki);
        *ret = mem_dup(buf_front(&spki), buf_size(&spki));
        rc = *ret == NULL ? TT_ERR_MEMORY : TT_OK;
    }
    buf_free(&spki);
    return rc;
}

/* ---- what was found out ---- */

static struct tpm_probe *probe_find(const struct tpm_key *k)
{
    struct tt_tpm *tpm = k->object->tpm;
    const TPM2B_NAME *name = &k->object->name;
    for (size_t i = 0; i < tpm->probes_len; i++)
        if (tpm->probes[i].name_len == name->size && memcmp(tpm->probes[i].name, name->name, name->size) == 0)
            return &tpm->probes[i];
    return NULL;
}

bool tpm_probe_get(bool *ret_works, const struct tpm_key *k)
{
    const struct tpm_probe *p = probe_find(k);
    if (p != NULL)
        *ret_works = p->works;
    return p != NULL;
}

void tpm_probe_set(struct tpm_key *k, bool works)
{
    struct tt_tpm *tpm = k->object->tpm;
    const TPM2B_NAME *name = &k->object->name;
    struct tpm_probe *p = probe_find(k);
    if (p == NULL && tpm->probes_len < TPM_PROBES)
        p = &tpm->probes[tpm->probes_len++];
    if (p == NULL || name->size > sizeof p->name)
        return;
    memcpy(p->name, name->name, name->size);
    p->name_len = name->size;
    p->works = works;
}

/* ---- files ---- */

tt_rc tpm_file_load(struct tt_tpm *tpm, struct tt_bytes pem, struct tt_error *err)
{
    TT_AUTO(object_free_auto) struct tpm_object *o = NULL;
    TT_AUTO(tpm_mldsa_free_auto) struct tpm_mldsa *mldsa = NULL;
    if (tpm_mldsa_is(pem))
        return tpm_mldsa_load(&mldsa, tpm, pem, err);
    TT_TRY(object_from_file(&o, tpm, pem, NULL, err));
    return TPM_TWICE(tpm, err, object_load(o, err));
}

tt_rc tpm_file_persist(struct tt_tpm *tpm, struct tt_bytes pem, uint32_t handle, struct tt_error *err)
{
    TT_AUTO(object_free_auto) struct tpm_object *o = NULL;
    TT_TRY(persistent_check(handle, err));
    TT_TRY(object_from_file(&o, tpm, pem, NULL, err));
    TT_TRY(TPM_TWICE(tpm, err, object_load(o, err)));
    return persistent_put(tpm, o->handle, handle, err);
}

tt_rc tpm_file_import(char **ret_pem, struct tt_tpm *tpm, struct tt_bytes pem, struct tt_error *err)
{
    TT_AUTO(object_free_auto) struct tpm_object *o = NULL;
    uint8_t priv[sizeof(TPM2B_PRIVATE)];
    size_t priv_len = 0;
    TT_TRY(object_from_file(&o, tpm, pem, NULL, err));
    if (!o->to_import)
        return error_set(err, TT_ERR_USAGE, "the key file is not importable: it is in its final form");
    TT_TRY(TPM_TWICE(tpm, err, object_load(o, err)));
    if (Tss2_MU_TPM2B_PRIVATE_Marshal(&o->priv, priv, sizeof priv, &priv_len) != TSS2_RC_SUCCESS)
        return error_set(err, TT_ERR_TPM, "the TPM returned a malformed key");
    struct keyfile f = o->file; /* views only: nothing of it is freed here */
    f.kind = f.kind == KEYFILE_SEALED ? KEYFILE_SEALED : KEYFILE_LOADABLE;
    f.secret = (struct tt_bytes){0};
    f.privkey = (struct tt_bytes){priv, priv_len};
    return keyfile_text(ret_pem, &f, err);
}

static tt_rc storage_once(struct tpm_storage *ret, struct tt_tpm *tpm, struct tt_error *err)
{
    struct tpm_parent parent;
    TPM2B_PUBLIC *pub = NULL;
    struct tpm_storage s = {.pub_len = 0};
    object_evict(tpm);
    TT_TRY(parent_for_new_key(&parent, &s.handle, tpm, true, err));
    struct tpm_op op = tpm_op_start(tpm, "read the storage root key");
    do
        op.rc = Esys_ReadPublic(tpm->esys, parent.object, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &pub,
                                NULL, NULL);
    while (tpm_op_again(&op));
    parent_release(tpm, &parent);
    TT_TRY(tpm_op_end(&op, err));
    tt_rc checked = name_check(tpm, pub, &parent.name, err);
    TSS2_RC rc = Tss2_MU_TPM2B_PUBLIC_Marshal(pub, s.pub, sizeof s.pub, &s.pub_len);
    Esys_Free(pub);
    TT_TRY(checked);
    if (rc != TSS2_RC_SUCCESS || parent.name.size > sizeof s.name)
        return error_set(err, TT_ERR_TPM, "the TPM returned a malformed public area");
    s.name_len = parent.name.size;
    memcpy(s.name, parent.name.name, s.name_len);
    *ret = s;
    return TT_OK;
}

tt_rc tpm_storage_public(struct tpm_storage *ret, struct tt_tpm *tpm, struct tt_error *err)
{
    return TPM_TWICE(tpm, err, storage_once(ret, tpm, err));
}
