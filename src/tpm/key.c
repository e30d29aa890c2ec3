/* tpm/key.c: keys: create, load, keep loaded, swap. Layer: tpm. TPM 2.0 part 3, sections 12 (Create, Load)
 * and 28 (contexts). No session is used: nothing secret travels, the keys have no password. */
#include "tpm/key.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/caps.h"
#include "tpm/key_internal.h"
#include "tpm/keyfile.h"
#include "tpm/public.h"
#include "tpm/srk.h"

/* ---- being loaded ---- */

static void key_unload(struct tpm_key *k)
{
    if (k->persistent && k->object != ESYS_TR_NONE)
        (void)Esys_TR_Close(k->tpm->esys, &k->object);
    else
        tpm_flush(k->tpm, &k->object);
    k->object = ESYS_TR_NONE;
    if (k->tpm->resident == k)
        k->tpm->resident = NULL;
}

/* Makes room: the resident key's context is saved once, and can be loaded again for a tenth of TPM2_Load's
 * time. */
static void key_evict(struct tt_tpm *tpm)
{
    struct tpm_key *k = tpm->resident;
    if (k == NULL)
        return;
    if (k->saved == NULL) {
        struct tpm_op op = tpm_op_start(tpm, "save a key's context");
        do
            op.rc = Esys_ContextSave(tpm->esys, k->object, &k->saved);
        while (tpm_op_again(&op));
        if (op.rc != TSS2_RC_SUCCESS)
            k->saved = NULL; /* then it is loaded from its file again */
    }
    key_unload(k);
}

static bool key_restore(struct tpm_key *k)
{
    if (k->saved == NULL)
        return false;
    struct tpm_op op = tpm_op_start(k->tpm, "load a key's context");
    do
        op.rc = Esys_ContextLoad(k->tpm->esys, k->saved, &k->object);
    while (tpm_op_again(&op));
    if (op.rc == TSS2_RC_SUCCESS)
        return true;
    Esys_Free(k->saved); /* a restarted TPM forgets contexts */
    k->saved = NULL;
    k->object = ESYS_TR_NONE;
    return false;
}

static tt_rc key_load(struct tpm_key *k, struct tt_error *err)
{
    struct tpm_parent parent;
    TT_TRY(parent_acquire(&parent, k->tpm, k->parent, k->rsa_parent, err));
    ESYS_TR object = ESYS_TR_NONE;
    struct tpm_op op = tpm_op_start(k->tpm, "load the key");
    do
        op.rc = Esys_Load(k->tpm->esys, parent.object, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &k->priv,
                          &k->pub, &object);
    while (tpm_op_again(&op));
    parent_release(k->tpm, &parent);
    TT_TRY(tpm_op_end(&op, err));
    k->object = object;
    return TT_OK;
}

tt_rc tpm_key_use(struct tpm_key *k, struct tt_error *err)
{
    if (k->object != ESYS_TR_NONE)
        return TT_OK;
    key_evict(k->tpm);
    if (!key_restore(k))
        TT_TRY(key_load(k, err));
    k->tpm->resident = k;
    return TT_OK;
}

bool tpm_key_lost(struct tpm_key *k, const struct tpm_op *op)
{
    if (k->persistent || !tpm_rc_is(op->rc, TPM2_RC_REFERENCE_H0))
        return false;
    (void)Esys_TR_Close(k->tpm->esys, &k->object); /* there is nothing to flush any more */
    k->object = ESYS_TR_NONE;
    k->tpm->resident = NULL;
    Esys_Free(k->saved);
    k->saved = NULL;
    return true;
}

/* ---- opening ---- */

static struct tpm_key *key_new(struct tt_tpm *tpm)
{
    struct tpm_key *k = mem_alloc(sizeof *k);
    if (k != NULL) {
        k->tpm = tpm;
        k->object = ESYS_TR_NONE;
    }
    return k;
}

void tpm_key_free(struct tpm_key *k)
{
    if (k == NULL)
        return;
    key_unload(k);
    Esys_Free(k->saved);
    mem_free(k);
}

static tt_rc key_take_name(struct tpm_key *k, struct tt_error *err)
{
    TPM2B_NAME *name = NULL;
    TSS2_RC rc = Esys_TR_GetName(k->tpm->esys, k->object, &name);
    if (rc != TSS2_RC_SUCCESS || name->size > sizeof k->name.name) {
        Esys_Free(name);
        return error_set(err, TT_ERR_TPM, "cannot get the key's name (0x%x)", rc);
    }
    k->name = *name;
    Esys_Free(name);
    return TT_OK;
}

/* What cannot be used is refused by name, before the TPM is asked anything. */
static tt_rc keyfile_usable(const struct keyfile *f, struct tt_error *err)
{
    if (f->kind == KEYFILE_SEALED)
        return error_set(err, TT_ERR_UNSUPPORTED, "the file holds sealed data, not a key");
    if (f->kind == KEYFILE_IMPORTABLE)
        return error_set(err, TT_ERR_UNSUPPORTED, "the key is importable, which this version cannot load");
    if (f->has_policy || f->has_auth_policy)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the key is bound to a policy, which this version cannot satisfy");
    if (!f->empty_auth)
        return error_set(err, TT_ERR_AUTH, "the key needs a password, and none was given");
    return TT_OK;
}

static tt_rc key_take_file(struct tpm_key *k, const struct keyfile *f, struct tt_error *err)
{
    size_t pub_end = 0, priv_end = 0;
    k->parent = f->parent;
    k->rsa_parent = f->rsa_parent;
    if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(f->pubkey.data, f->pubkey.len, &pub_end, &k->pub) != TSS2_RC_SUCCESS ||
        pub_end != f->pubkey.len)
        return error_set(err, TT_ERR_DECODE, "the key file's public area is damaged");
    if (Tss2_MU_TPM2B_PRIVATE_Unmarshal(f->privkey.data, f->privkey.len, &priv_end, &k->priv) !=
            TSS2_RC_SUCCESS ||
        priv_end != f->privkey.len)
        return error_set(err, TT_ERR_DECODE, "the key file's private area is damaged");
    return public_describe(&k->info, &k->pub, err);
}

tt_rc tpm_key_load(struct tpm_key **ret, struct tt_tpm *tpm, struct tt_bytes pem, struct tt_error *err)
{
    TT_AUTO(tpm_key_free_auto) struct tpm_key *k = key_new(tpm);
    if (k == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    struct keyfile f;
    TT_TRY(keyfile_parse(&f, pem, err));
    tt_rc rc = keyfile_usable(&f, err);
    if (rc == TT_OK)
        rc = key_take_file(k, &f, err);
    keyfile_free(&f);
    TT_TRY(rc);
    TT_TRY(tpm_key_use(k, err));
    TT_TRY(key_take_name(k, err));
    *ret = TT_TAKE(k);
    return TT_OK;
}

/* ESAPI reads the public area when it opens a handle, for the name, but does not hand it out. The meter
 * listens in, which saves a second TPM2_ReadPublic. Response: TPM 2.0 part 3, section 12.4: header,
 * TPM2B_PUBLIC, names. */
static tt_rc persistent_read(struct tpm_key *k, uint32_t handle, struct tt_error *err)
{
    uint8_t response[sizeof(TPM2B_PUBLIC) + 256];
    k->tpm->meter.listen = (struct meter_listener){.to = response, .cap = sizeof response};
    struct tpm_op op = tpm_op_start(k->tpm, "open the persistent key");
    do
        op.rc =
            Esys_TR_FromTPMPublic(k->tpm->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &k->object);
    while (tpm_op_again(&op));
    size_t len = k->tpm->meter.listen.len, at = METER_HEADER_SIZE;
    k->tpm->meter.listen = (struct meter_listener){0};
    if (tpm_rc_is(op.rc, TPM2_RC_HANDLE))
        return error_set(err, TT_ERR_NOT_FOUND, "there is no key at 0x%08x in this TPM", handle);
    TT_TRY(tpm_op_end(&op, err));
    if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(response, len, &at, &k->pub) != TSS2_RC_SUCCESS)
        return error_set(err, TT_ERR_TPM, "the TPM returned a malformed public area");
    return TT_OK;
}

tt_rc tpm_key_persistent(struct tpm_key **ret, struct tt_tpm *tpm, uint32_t handle, struct tt_error *err)
{
    if (handle >> 24 != TPM2_HT_PERSISTENT)
        return error_set(err, TT_ERR_USAGE, "0x%08x is not a persistent handle (0x81000000 to 0x81ffffff)",
                         handle);
    TT_AUTO(tpm_key_free_auto) struct tpm_key *k = key_new(tpm);
    if (k == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    k->persistent = true;
    TT_TRY(persistent_read(k, handle, err));
    TT_TRY(key_take_name(k, err));
    TT_TRY(public_describe(&k->info, &k->pub, err));
    /* An empty password must not be tried where a wrong one brings the TPM nearer to its lockout. */
    if (k->info.counts_failures) {
        tt_rc rc = error_set(
            err, TT_ERR_AUTH,
            "the key at 0x%08x counts wrong passwords (it is not noDA), and no password was given", handle);
        error_hint(err, "make the key with the attribute noda, as `tpmtls key create` does");
        return rc;
    }
    *ret = TT_TAKE(k);
    return TT_OK;
}

const struct tpm_key_info *tpm_key_info(const struct tpm_key *k)
{
    return &k->info;
}

struct tt_bytes tpm_key_name(const struct tpm_key *k)
{
    return (struct tt_bytes){k->name.name, k->name.size};
}

tt_rc tpm_key_spki(uint8_t **ret, size_t *ret_len, const struct tpm_key *k)
{
    struct buf spki = {0};
    tt_rc rc = public_spki(&spki, &k->pub);
    if (rc == TT_OK) {
        *ret_len = buf_size(&spki);
        *ret = mem_dup(buf_front(&spki), buf_size(&spki));
        rc = *ret == NULL ? TT_ERR_MEMORY : TT_OK;
    }
    buf_free(&spki);
    return rc;
}

/* ---- creating ---- */

/* struct new_key: what TPM2_Create gave, marshalled for the key file. */
struct new_key {
    uint8_t pub[sizeof(TPM2B_PUBLIC)];
    uint8_t priv[sizeof(TPM2B_PRIVATE)];
    size_t pub_len, priv_len;
};

static tt_rc new_key_marshal(struct new_key *ret, const TPM2B_PUBLIC *pub, const TPM2B_PRIVATE *priv,
                             struct tt_error *err)
{
    if (Tss2_MU_TPM2B_PUBLIC_Marshal(pub, ret->pub, sizeof ret->pub, &ret->pub_len) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPM2B_PRIVATE_Marshal(priv, ret->priv, sizeof ret->priv, &ret->priv_len) != TSS2_RC_SUCCESS)
        return error_set(err, TT_ERR_TPM, "the TPM returned a malformed key");
    return TT_OK;
}

static tt_rc new_key_create(struct new_key *ret, struct tt_tpm *tpm, ESYS_TR parent, enum tt_key_type type,
                            struct tt_error *err)
{
    TPM2B_PUBLIC template = public_signing_key(type);
    TPM2B_SENSITIVE_CREATE sensitive = {0};
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    TPM2B_PUBLIC *pub = NULL;
    TPM2B_PRIVATE *priv = NULL;
    struct tpm_op op = tpm_op_start(tpm, "create the key");
    do
        op.rc = Esys_Create(tpm->esys, parent, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
                            &template, &outside, &pcrs, &priv, &pub, NULL, NULL, NULL);
    while (tpm_op_again(&op));
    TT_TRY(tpm_op_end(&op, err));
    tt_rc rc = new_key_marshal(ret, pub, priv, err);
    Esys_Free(pub);
    Esys_Free(priv);
    return rc;
}

tt_rc tpm_key_create(char **ret_pem, struct tt_tpm *tpm, enum tt_key_type type, struct tt_error *err)
{
    TT_TRY(caps_require(tpm, type, err));
    key_evict(tpm);
    struct keyfile f = {.kind = KEYFILE_LOADABLE, .empty_auth = true};
    struct tpm_parent parent;
    TT_TRY(parent_for_new_key(&parent, &f.parent, tpm, err));
    struct new_key made = {.pub_len = 0};
    tt_rc rc = new_key_create(&made, tpm, parent.object, type, err);
    parent_release(tpm, &parent);
    TT_TRY(rc);
    f.pubkey = (struct tt_bytes){made.pub, made.pub_len};
    f.privkey = (struct tt_bytes){made.priv, made.priv_len};
    struct buf pem = {0};
    rc = keyfile_write(&pem, &f);
    char *text = rc == TT_OK ? mem_dup(buf_front(&pem), buf_size(&pem)) : NULL; /* NUL-terminated */
    buf_free(&pem);
    if (text == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    *ret_pem = text;
    return TT_OK;
}
