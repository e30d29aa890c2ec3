/* tpm/create.c: new keys and sealed data. Layer: tpm. TPM 2.0 part 3, sections 12.1 (Create) and 12.7
 * (Unseal). A password or data to seal goes to the TPM encrypted, in a session salted to the parent. The
 * parent's name at this time is written into the file. */
#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/caps.h"
#include "tpm/guard.h"
#include "tpm/key_internal.h"
#include "tpm/public.h"
#include "tpm/reopen.h"
#include "tpm/session.h"

/* struct new_areas: what TPM2_Create gave, marshalled for the key file. */
struct new_areas {
    uint8_t pub[sizeof(TPM2B_PUBLIC)];
    uint8_t priv[sizeof(TPM2B_PRIVATE)];
    size_t pub_len, priv_len;
};

static tt_rc areas_marshal(struct new_areas *ret, const TPM2B_PUBLIC *pub, const TPM2B_PRIVATE *priv,
                           struct tt_error *err)
{
    if (Tss2_MU_TPM2B_PUBLIC_Marshal(pub, ret->pub, sizeof ret->pub, &ret->pub_len) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPM2B_PRIVATE_Marshal(priv, ret->priv, sizeof ret->priv, &ret->priv_len) != TSS2_RC_SUCCESS)
        return error_set(err, TT_ERR_TPM, "the TPM returned a malformed key");
    return TT_OK;
}

/* A policy is the only way to use the key: else its password alone would do. */
static tt_rc new_template(TPM2B_PUBLIC *ret, const struct tpm_new *what, struct tt_error *err)
{
    TPM2B_PUBLIC pub = what->kind == TPM_NEW_SEALED       ? public_sealed()
                       : what->kind == TPM_NEW_HMAC       ? public_hmac(what->data.len == 0)
                       : what->kind == TPM_NEW_ECDH       ? public_ecdh()
                       : what->kind == TPM_NEW_DECRYPTION ? public_decryption_key(what->type)
                                                          : public_signing_key(what->type);
    TPMT_PUBLIC *a = &pub.publicArea;
    if (what->counts_failures)
        a->objectAttributes &= ~(TPMA_OBJECT)TPMA_OBJECT_NODA;
    if (what->auth_policy.len > sizeof a->authPolicy.buffer)
        return error_set(err, TT_ERR_USAGE, "the policy's digest is too long");
    if (what->auth_policy.len > 0) {
        a->objectAttributes &= ~(TPMA_OBJECT)TPMA_OBJECT_USERWITHAUTH;
        a->authPolicy.size = (UINT16)what->auth_policy.len;
        memcpy(a->authPolicy.buffer, what->auth_policy.data, what->auth_policy.len);
    }
    *ret = pub;
    return TT_OK;
}

static tt_rc new_sensitive(TPM2B_SENSITIVE_CREATE *ret, const struct tpm_new *what, struct tt_error *err)
{
    const struct tt_bytes *password = &what->password;
    TPMS_SENSITIVE_CREATE *s = &ret->sensitive;
    if (password->len > 32) /* the name algorithm's digest, TPM 2.0 part 1, section 19.6.5 */
        return error_set(err, TT_ERR_USAGE, "the password is too long: a TPM takes at most 32 bytes");
    if (what->data.len > 128) /* MAX_SYM_DATA */
        return error_set(err, TT_ERR_USAGE, "a TPM seals at most 128 bytes at once");
    s->userAuth.size = (UINT16)password->len;
    if (password->len > 0 && password->data != NULL)
        memcpy(s->userAuth.buffer, password->data, password->len);
    s->data.size = (UINT16)what->data.len;
    if (what->data.len > 0 && what->data.data != NULL)
        memcpy(s->data.buffer, what->data.data, what->data.len);
    return TT_OK;
}

/* struct create_call: the arguments of one TPM2_Create. */
struct create_call {
    TPM2B_PUBLIC template;
    TPM2B_SENSITIVE_CREATE sensitive;
};

/* ESAPI keeps a copy of what it was given, in the clear and until it is given something else. A call that
 * fails before it sends anything is enough. */
static void create_forget(struct tt_tpm *tpm, const struct create_call *call)
{
    static const TPM2B_SENSITIVE_CREATE nothing;
    static const TPM2B_DATA outside;
    static const TPML_PCR_SELECTION pcrs;
    static const ESYS_TR nobody = 0x7fffffff; /* a handle that ESAPI never gave out */
    (void)Esys_Create_Async(tpm->esys, nobody, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &nothing,
                            &call->template, &outside, &pcrs);
}

static tt_rc create_run(struct new_areas *ret, struct tt_tpm *tpm, const struct tpm_parent *parent,
                        const struct create_call *call, struct tt_error *err)
{
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    TPM2B_PUBLIC *pub = NULL;
    TPM2B_PRIVATE *priv = NULL;
    ESYS_TR session = ESYS_TR_PASSWORD;
    TT_TRY(guard_parent(tpm, parent, err));
    if (call->sensitive.sensitive.userAuth.size > 0 || call->sensitive.sensitive.data.size > 0) {
        TT_TRY(session_open(tpm, &(struct session_want){TPM_SESSION_HMAC, TPM2_ALG_SHA256}, parent, err));
        session = session_use(tpm, TPM_SESSION_HMAC, TPMA_SESSION_DECRYPT);
    }
    struct tpm_op op = tpm_op_start(tpm, "create the key");
    do
        op.rc = Esys_Create(tpm->esys, parent->object, session, ESYS_TR_NONE, ESYS_TR_NONE, &call->sensitive,
                            &call->template, &outside, &pcrs, &priv, &pub, NULL, NULL, NULL);
    while (tpm_op_again(&op));
    create_forget(tpm, call);
    TT_TRY(tpm_op_end(&op, err));
    tt_rc rc = areas_marshal(ret, pub, priv, err);
    Esys_Free(pub);
    Esys_Free(priv);
    return rc;
}

/* struct making: what TPM2_Create's answer becomes. */
struct making {
    struct keyfile file;
    char *pem;
    struct tpm_key *key;
    bool open; /* key is wanted, too */
};

static void making_free(struct making *m)
{
    mem_free(m->pem);
    tpm_key_free(m->key);
}

static tt_rc create_under(struct making *m, struct tt_tpm *tpm, const struct tpm_parent *parent,
                          const struct create_call *call, struct tt_error *err)
{
    struct new_areas made = {.pub_len = 0};
    const TPM2B_AUTH *auth = &call->sensitive.sensitive.userAuth;
    const struct tt_bytes password = {auth->buffer, auth->size};
    struct keyfile *f = &m->file;
    f->parent_name.len = parent->name.size <= KEYFILE_MAX_NAME ? parent->name.size : 0;
    memcpy(f->parent_name.data, parent->name.name, f->parent_name.len);
    TT_TRY(create_run(&made, tpm, parent, call, err));
    f->pubkey = (struct tt_bytes){made.pub, made.pub_len};
    f->privkey = (struct tt_bytes){made.priv, made.priv_len};
    tt_rc rc = keyfile_text(&m->pem, f, err);
    f->pubkey = f->privkey = (struct tt_bytes){NULL, 0}; /* they end with this function */
    if (rc != TT_OK || !m->open)
        return rc;
    TT_TRY(tpm_key_of_file(&m->key, tpm, (struct tt_bytes){(const uint8_t *)m->pem, strlen(m->pem)},
                           password.len > 0 ? &password : NULL, false, err));
    return object_load_under(m->key->object, parent, err);
}

static tt_rc create_under_srk(struct making *m, struct tt_tpm *tpm, const struct create_call *call,
                              struct tt_error *err)
{
    struct tpm_parent parent;
    TT_TRY(parent_for_new_key(&parent, &m->file.parent, tpm, !m->open, err));
    tt_rc rc = create_under(m, tpm, &parent, call, err);
    parent_release(tpm, &parent);
    return rc;
}

static bool has_type(const struct tpm_new *what)
{
    return what->kind == TPM_NEW_SIGNING || what->kind == TPM_NEW_DECRYPTION;
}

/* The refusal of a type that the chip lacks has many codes: the chip is asked. */
static tt_rc explain_refusal(struct tt_tpm *tpm, const struct tpm_new *what, tt_rc rc, struct tt_error *err)
{
    struct tt_error why = {0};
    if (!has_type(what) || !tpm_rc_of_parameter(tpm->last_failure) ||
        caps_require(tpm, what->type, &why) != TT_ERR_UNSUPPORTED)
        return rc;
    if (err != NULL)
        *err = why;
    return TT_ERR_UNSUPPORTED;
}

static tt_rc create_sent(struct making *m, struct tt_tpm *tpm, const struct tpm_new *what,
                         struct tt_error *err)
{
    struct create_call call = {0};
    if (has_type(what) && !m->open) /* where commands are counted, only after a refusal */
        TT_TRY(caps_require(tpm, what->type, err));
    TT_TRY(new_template(&call.template, what, err));
    tt_rc rc = new_sensitive(&call.sensitive, what, err);
    object_evict(tpm);
    tpm->last_failure = TSS2_RC_SUCCESS;
    if (rc == TT_OK)
        rc = create_under_srk(m, tpm, &call, err);
    mem_wipe(&call.sensitive, sizeof call.sensitive);
    return rc == TT_OK ? TT_OK : explain_refusal(tpm, what, rc, err);
}

static tt_rc create_once(char **ret_pem, struct tpm_key **ret_key, struct tt_tpm *tpm,
                         const struct tpm_new *what, struct tt_error *err)
{
    struct making m = {.file = {.kind = what->kind == TPM_NEW_SEALED ? KEYFILE_SEALED : KEYFILE_LOADABLE,
                                .empty_auth = !what->policy_has_password && what->password.len == 0,
                                .has_policy = what->auth_policy.len > 0,
                                .policy = what->policy,
                                .description = what->description},
                       .open = ret_key != NULL};
    tt_rc rc = create_sent(&m, tpm, what, err);
    if (rc == TT_OK && m.open)
        rc = object_prepare(m.key->object, err);
    if (rc == TT_OK) {
        *ret_pem = TT_TAKE(m.pem);
        if (ret_key != NULL)
            *ret_key = TT_TAKE(m.key);
    }
    making_free(&m);
    return rc;
}

tt_rc tpm_create(char **ret_pem, struct tt_tpm *tpm, const struct tpm_new *what, struct tt_error *err)
{
    return TPM_TWICE(tpm, err, create_once(ret_pem, NULL, tpm, what, err));
}

tt_rc tpm_create_key(struct tpm_key **ret, char **ret_pem, struct tt_tpm *tpm, const struct tpm_new *what,
                     struct tt_error *err)
{
    return TPM_TWICE(tpm, err, create_once(ret_pem, ret, tpm, what, err));
}

static tt_rc unsealed_take(uint8_t **ret, size_t *ret_len, const TPM2B_SENSITIVE_DATA *data,
                           struct tt_error *err)
{
    if (data->size > sizeof data->buffer)
        return error_set(err, TT_ERR_TPM, "the TPM returned malformed data");
    uint8_t *copy = mem_dup(data->buffer, data->size);
    if (copy == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    *ret_len = data->size;
    *ret = copy;
    return TT_OK;
}

static tt_rc unseal_once(uint8_t **ret, size_t *ret_len, struct tpm_object *o, struct tt_error *err)
{
    TPM2B_SENSITIVE_DATA *data = NULL;
    struct object_use use = object_use_start(o, "unseal the data", TPMA_SESSION_ENCRYPT);
    do {
        TT_TRY(object_use_begin(&use, err));
        do
            use.op.rc = Esys_Unseal(o->tpm->esys, o->handle, use.session, ESYS_TR_NONE, ESYS_TR_NONE, &data);
        while (tpm_op_again(&use.op));
    } while (object_use_again(&use));
    TT_TRY(object_use_end(&use, err));
    tt_rc rc = unsealed_take(ret, ret_len, data, err);
    mem_wipe(data, sizeof *data);
    Esys_Free(data);
    return rc;
}

tt_rc tpm_unseal(uint8_t **ret, size_t *ret_len, struct tt_tpm *tpm, struct tt_bytes pem,
                 const struct tt_bytes *password, struct tt_error *err)
{
    TT_AUTO(object_free_auto) struct tpm_object *o = NULL;
    TT_TRY(object_from_file(&o, tpm, pem, password, err));
    if (o->file.kind != KEYFILE_SEALED)
        return error_set(err, TT_ERR_UNSUPPORTED, "the file holds a key, not sealed data");
    o->confident = true;
    return TPM_TWICE(tpm, err, unseal_once(ret, ret_len, o, err));
}
