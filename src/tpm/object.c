/* tpm/object.c: objects: load, keep loaded, swap, authorise, use. Layer: tpm. TPM 2.0 part 3, sections 12
 * (Load), 13.3 (Import) and 28 (contexts). Where nothing secret travels no session is used. */
#include "tpm/object.h"

#include <string.h>

#include "tpm/guard.h"
#include "tpm/persistent.h"
#include "tpm/session.h"
#include "tpm/session_own.h"
#include "tpm/trust.h"

/* ---- being loaded ---- */

/* After the TPM was opened again our handle means nothing, or something else. */
static void object_sync(struct tpm_object *o)
{
    if (o->opening != o->tpm->meter.openings)
        o->handle = ESYS_TR_NONE;
    o->opening = o->tpm->meter.openings;
}

static void object_unload(struct tpm_object *o)
{
    object_sync(o);
    if (o->handle != ESYS_TR_NONE && o->has_password)
        (void)Esys_TR_SetAuth(o->tpm->esys, o->handle, NULL); /* ESAPI's copy of the password */
    if (o->persistent && o->handle != ESYS_TR_NONE)
        (void)Esys_TR_Close(o->tpm->esys, &o->handle);
    else
        tpm_flush(o->tpm, &o->handle);
    o->handle = ESYS_TR_NONE;
    if (o->tpm->resident == o)
        o->tpm->resident = NULL;
}

/* The resident object's context is saved once, and can be loaded again for a tenth of TPM2_Load's time. */
void object_evict(struct tt_tpm *tpm)
{
    struct tpm_object *o = tpm->resident;
    if (o == NULL)
        return;
    if (o->saved == NULL && !o->fleeting) {
        struct tpm_op op = tpm_op_start(tpm, "save a key's context");
        do
            op.rc = Esys_ContextSave(tpm->esys, o->handle, &o->saved);
        while (tpm_op_again(&op));
        if (op.rc != TSS2_RC_SUCCESS)
            o->saved = NULL; /* then it is loaded from its file again */
    }
    object_unload(o);
}

static bool object_restore(struct tpm_object *o)
{
    if (o->saved == NULL)
        return false;
    struct tpm_op op = tpm_op_start(o->tpm, "load a key's context");
    do
        op.rc = Esys_ContextLoad(o->tpm->esys, o->saved, &o->handle);
    while (tpm_op_again(&op));
    if (op.rc == TSS2_RC_SUCCESS)
        return true;
    Esys_Free(o->saved); /* a restarted TPM forgets contexts */
    o->saved = NULL;
    o->handle = ESYS_TR_NONE;
    return false;
}

/* TPM2_Import of what another machine encrypted for the parent: no inner wrapper (draft, "secret"). The
 * result is kept, so that this is done once. */
static tt_rc object_import(struct tpm_object *o, const struct tpm_parent *parent, struct tt_error *err)
{
    static const TPMT_SYM_DEF_OBJECT no_inner_wrapper = {.algorithm = TPM2_ALG_NULL};
    static const TPM2B_DATA no_key = {0};
    TPM2B_PRIVATE *priv = NULL;
    ESYS_TR session;
    TT_TRY(parent_authorize(&session, o->tpm, parent, err));
    struct tpm_op op = tpm_op_start(o->tpm, "import the key");
    do
        op.rc = Esys_Import(o->tpm->esys, parent->object, session, ESYS_TR_NONE, ESYS_TR_NONE, &no_key,
                            &o->pub, &o->priv, &o->seed, &no_inner_wrapper, &priv);
    while (tpm_op_again(&op));
    parent_authorize_end(o->tpm, session, op.rc);
    TT_TRY(tpm_op_end(&op, err));
    o->priv = *priv;
    o->to_import = false;
    Esys_Free(priv);
    return TT_OK;
}

static tt_rc load_under(struct tpm_object *o, const struct tpm_parent *parent, struct tt_error *err)
{
    if (o->to_import)
        TT_TRY(object_import(o, parent, err));
    ESYS_TR session, object = ESYS_TR_NONE;
    TT_TRY(parent_authorize(&session, o->tpm, parent, err));
    struct tpm_op op = tpm_op_start(o->tpm, "load the key");
    do
        op.rc = Esys_Load(o->tpm->esys, parent->object, session, ESYS_TR_NONE, ESYS_TR_NONE, &o->priv,
                          &o->pub, &object);
    while (tpm_op_again(&op));
    parent_authorize_end(o->tpm, session, op.rc);
    TT_TRY(tpm_op_end(&op, err));
    o->handle = object;
    return TT_OK;
}

tt_rc object_take_name(struct tpm_object *o, const TPM2B_PUBLIC *pub, struct tt_error *err)
{
    TPM2B_NAME *name = NULL;
    if (name_of(&o->name, o->tpm, pub, NULL) == TT_OK)
        return TT_OK;
    /* of a hash that we lack ESAPI knows it */
    TSS2_RC rc = Esys_TR_GetName(o->tpm->esys, o->handle, &name);
    if (rc != TSS2_RC_SUCCESS || name->size > sizeof name->name) {
        Esys_Free(name);
        return error_set(err, TT_ERR_TPM, "cannot get the key's name (0x%x)", rc);
    }
    o->name = *name;
    Esys_Free(name);
    return TT_OK;
}

/* ---- sessions ---- */

static bool wants_policy(const struct tpm_object *o)
{
    return o->file.has_policy && !o->as_admin;
}

static bool wants_hmac(const struct tpm_object *o)
{
    if (wants_policy(o))
        return policy_wants_hmac(o) && o->password.size > 0;
    return o->confident || o->password.size > 0;
}

static const struct session_want hmac_session = {TPM_SESSION_HMAC, TPM2_ALG_SHA256};

static struct session_want policy_session(const struct tpm_object *o)
{
    return (struct session_want){TPM_SESSION_POLICY, o->pub.publicArea.nameAlg};
}

static bool sessions_are_there(const struct tpm_object *o)
{
    struct session_want policy = policy_session(o);
    return (!wants_policy(o) || session_fits(o->tpm, &policy, &o->parent_name)) &&
           (!wants_hmac(o) || session_fits(o->tpm, &hmac_session, &o->parent_name));
}

static tt_rc sessions_start(const struct tpm_object *o, const struct tpm_parent *parent, struct tt_error *err)
{
    struct session_want policy = policy_session(o);
    if (wants_policy(o))
        TT_TRY(session_open(o->tpm, &policy, parent, err));
    if (wants_hmac(o))
        TT_TRY(session_open(o->tpm, &hmac_session, parent, err));
    return TT_OK;
}

/* With the parent in the chip: start the sessions, which are salted to it, and load the object. */
static tt_rc with_parent(struct tpm_object *o, const struct parent_want *want, bool sessions,
                         struct tt_error *err)
{
    struct tpm_parent parent;
    TT_TRY(parent_acquire(&parent, o->tpm, want, err));
    tt_rc rc = sessions ? sessions_start(o, &parent, err) : TT_OK;
    if (rc == TT_OK && o->handle == ESYS_TR_NONE)
        rc = load_under(o, &parent, err);
    parent_release(o->tpm, &parent);
    return rc;
}

static tt_rc under_parent(struct tpm_object *o, bool sessions, struct tt_error *err)
{
    struct parent_want want = {.handle = o->file.parent, .rsa = o->file.rsa_parent, .name = &o->parent_name};
    if (want.handle != TPM2_RH_ENDORSEMENT)
        return with_parent(o, &want, sessions, err);
    /* The draft names the EK's template H there, the implementation it came from derives a storage key. */
    struct tt_error first = {0};
    tt_rc rc = with_parent(o, &want, sessions, &first);
    want.ek_template = true;
    if (rc != TT_OK && with_parent(o, &want, sessions, NULL) == TT_OK)
        return TT_OK;
    if (rc != TT_OK && err != NULL)
        *err = first;
    return rc;
}

/* A persistent object whose TPM was opened again: is it the same one? */
static tt_rc object_find_again(struct tpm_object *o, struct tt_error *err)
{
    TPM2B_PUBLIC pub;
    TPM2B_NAME before = o->name;
    TT_TRY(persistent_open(&o->handle, &pub, o->tpm, o->at, err));
    TT_TRY(object_take_name(o, &pub, err));
    bool same = before.size == o->name.size && memcmp(before.name, o->name.name, before.size) == 0;
    o->name = before;
    if (same)
        return TT_OK;
    (void)Esys_TR_Close(o->tpm->esys, &o->handle);
    o->handle = ESYS_TR_NONE;
    return error_set(err, TT_ERR_TPM, "another key than before is at 0x%08x in the TPM", o->at);
}

/* It is in the chip. */
static tt_rc object_settle(struct tpm_object *o, struct tt_error *err)
{
    if (!o->persistent)
        o->tpm->resident = o;
    if (o->has_password && Esys_TR_SetAuth(o->tpm->esys, o->handle, &o->password) != TSS2_RC_SUCCESS)
        return error_set(err, TT_ERR_INTERNAL, "cannot set the key's password");
    return o->name.size > 0 ? TT_OK : object_take_name(o, &o->pub, err);
}

static tt_rc object_ready(struct tpm_object *o, bool sessions, struct tt_error *err)
{
    object_sync(o);
    if (o->persistent && o->handle == ESYS_TR_NONE)
        TT_TRY(object_find_again(o, err));
    bool missing = sessions && !sessions_are_there(o);
    if (o->handle != ESYS_TR_NONE && !missing)
        return TT_OK;
    if (o->handle == ESYS_TR_NONE) {
        object_evict(o->tpm);
        (void)object_restore(o);
    }
    if (o->handle == ESYS_TR_NONE || missing)
        TT_TRY(under_parent(o, sessions, err));
    return object_settle(o, err);
}

tt_rc object_load_under(struct tpm_object *o, const struct tpm_parent *parent, struct tt_error *err)
{
    object_sync(o);
    object_evict(o->tpm);
    TT_TRY(sessions_start(o, parent, err));
    TT_TRY(load_under(o, parent, err));
    return object_settle(o, err);
}

tt_rc object_load(struct tpm_object *o, struct tt_error *err)
{
    return object_ready(o, false, err);
}

/* A resource manager sees to it that nobody else gets our handle. */
static bool object_is_ours(struct tpm_object *o)
{
    object_sync(o);
    return o->handle != ESYS_TR_NONE &&
           (o->tpm->meter.loaded.managed || o->name.size == 0 || tpm_holds(o->tpm, o->handle, &o->name));
}

/* It is no longer in the TPM, as far as we know: forget it and the sessions, which a restart takes, too. What
 * is at the handle is flushed only if it is ours: nothing of ours may be left behind, nothing of others may
 * go. A persistent object is looked for again, by its name. */
static void object_forget(struct tpm_object *o)
{
    if (!o->persistent && object_is_ours(o))
        tpm_flush(o->tpm, &o->handle);
    if (o->handle != ESYS_TR_NONE)
        (void)Esys_TR_Close(o->tpm->esys, &o->handle);
    o->handle = ESYS_TR_NONE;
    if (o->tpm->resident == o)
        o->tpm->resident = NULL;
    Esys_Free(o->saved);
    o->saved = NULL;
    (void)sessions_prove(o->tpm);
}

bool object_recheck(struct tpm_object *o)
{
    if (o->handle == ESYS_TR_NONE || object_is_ours(o))
        return false;
    object_forget(o);
    return true;
}

static tt_rc prepare_once(struct tpm_object *o, struct tt_error *err)
{
    TT_TRY(object_ready(o, true, err));
    if (wants_policy(o) && o->tpm->sessions[TPM_SESSION_POLICY].ready != o)
        return policy_run(o, err);
    return TT_OK;
}

tt_rc object_prepare(struct tpm_object *o, struct tt_error *err)
{
    struct tt_error why = {0};
    o->tpm->last_failure = TSS2_RC_SUCCESS;
    tt_rc rc = prepare_once(o, &why);
    if (rc == TT_OK)
        return TT_OK;
    TSS2_RC code = o->tpm->last_failure;
    if (tpm_rc_is(code, TPM2_RC_REFERENCE_H0) || session_is_lost(code)) {
        object_forget(o);
        return prepare_once(o, err);
    }
    if (err != NULL && err->text[0] == '\0')
        *err = why;
    return rc;
}

/* ---- one command ---- */

/* A restart of the TPM goes unseen where each command is a connection of its own, or the driver says nothing;
 * but not within this time of its last answer, with somebody else in our places. */
#define RESTART_MS 50

/* After it the key and the session at our handles may be somebody else's: what our password makes of a
 * command would be a wrong one there, and be counted. The session shows first that it is ours, by a command
 * that has no password; then the TPM was not restarted, and so the key is ours, too. */
static void doubt_after_silence(struct tpm_object *o)
{
    struct tt_tpm *tpm = o->tpm;
    if (tpm->meter.loaded.managed || !wants_hmac(o) || !guard_counts(o) ||
        meter_quiet_ms(&tpm->meter) < RESTART_MS)
        return;
    object_sync(o);
    if (o->handle != ESYS_TR_NONE && tpm->sessions[TPM_SESSION_HMAC].open && !sessions_prove(tpm))
        object_forget(o);
}

struct object_use object_use_start(struct tpm_object *o, const char *what, TPMA_SESSION attributes)
{
    return (struct object_use){
        .o = o, .op = tpm_op_start(o->tpm, what), .attributes = attributes, .session = ESYS_TR_PASSWORD};
}

tt_rc object_use_begin(struct object_use *use, struct tt_error *err)
{
    struct tpm_object *o = use->o;
    TT_TRY(guard_object(o, err));
    doubt_after_silence(o);
    TT_TRY(object_prepare(o, err));
    use->op = tpm_op_start(o->tpm, use->op.what);
    if (wants_policy(o))
        use->session = session_use(o->tpm, TPM_SESSION_POLICY, use->attributes);
    use->own = use->may_own && !wants_policy(o) && wants_hmac(o) && session_own_ready(o->tpm);
    if (!wants_policy(o) && wants_hmac(o) && !use->own)
        use->session = session_use(o->tpm, TPM_SESSION_HMAC, use->attributes);
    return TT_OK;
}

/* The TPM was restarted, somebody flushed what was ours, or a session is out of step. Any refusal may be what
 * a stranger's object at our handle answers, and a wrong password what a stranger's session does: whose they
 * are is looked at before anybody is told so. */
static bool object_lost(struct tpm_object *o, TSS2_RC rc)
{
    bool in_session = wants_policy(o) || wants_hmac(o);
    bool gone = session_is_lost(rc) || (!o->persistent && tpm_rc_is(rc, TPM2_RC_REFERENCE_H0));
    if (!tpm_rc_of_tpm(rc) || meter_wants_retry(rc) || tpm_rc_is(rc, TPM2_RC_CANCELED) ||
        tpm_rc_is(rc, TPM2_RC_LOCKOUT))
        return false;
    if (gone || !object_is_ours(o)) {
        object_forget(o);
        return true;
    }
    return in_session && session_is_spoilt(rc) && !sessions_prove(o->tpm);
}

bool object_use_again(struct object_use *use)
{
    struct tpm_object *o = use->o;
    struct tpm_session *policy = &o->tpm->sessions[TPM_SESSION_POLICY];
    bool used_policy = wants_policy(o) && policy->open;
    if (used_policy) { /* a success resets the session; after a failure its state is not known */
        policy->ready = NULL;
        policy->dirty = use->op.rc != TSS2_RC_SUCCESS;
    }
    if (use->attempt++ > 0 || use->op.rc == TSS2_RC_SUCCESS)
        return false;
    return object_lost(o, use->op.rc) || (used_policy && tpm_rc_is(use->op.rc, TPM2_RC_PCR_CHANGED));
}

tt_rc object_use_end(struct object_use *use, struct tt_error *err)
{
    guard_answer(use->o, use->op.rc, guard_counts(use->o));
    return tpm_op_end(&use->op, err);
}

void object_free(struct tpm_object *o)
{
    if (o == NULL)
        return;
    for (int kind = 0; kind < TPM_SESSIONS; kind++)
        if (o->tpm->sessions[kind].ready == o) {
            o->tpm->sessions[kind].ready = NULL;
            o->tpm->sessions[kind].dirty = true;
        }
    object_unload(o);
    Esys_Free(o->saved);
    keyfile_free(&o->file);
    mem_free(o);
}
