/* tpm/guard.c: see guard.h. Layer: tpm. TPM 2.0 part 1, section 19.8 (dictionary attack protection). Must not
 * use an object: it only says whether that may be done. */
#include "tpm/guard.h"

#include "tpm/caps.h"

static const char how_to_give[] = "give it with --auth-file FILE, --auth-fd N or --auth-credential NAME";

bool guard_counts(const struct tpm_object *o)
{
    return (o->pub.publicArea.objectAttributes & TPMA_OBJECT_NODA) == 0;
}

static tt_rc refused_before(struct tt_error *err)
{
    (void)error_set(err, TT_ERR_AUTH,
                    "the TPM refused the key's password before; it is not tried again, since the TPM counts");
    error_hint(err, "start again with the right password");
    return TT_ERR_AUTH;
}

/* A file that says emptyAuth is believed, since tpm2-openssl makes such keys without noDA; but
 * tpm2_encodeobject 5.4 -p says so of keys that do have a password. So where the TPM has counted anything
 * yet, which the last attempt with this very key may have been, the empty password is not tried: a service
 * that starts over and over does not lock the TPM. */
static tt_rc empty_may_be_tried(struct tpm_object *o, struct tt_error *err)
{
    uint32_t counted = 0;
    TT_TRY(caps_lockout_counter(&counted, o->tpm, err));
    if (counted == 0) {
        o->admitted = true;
        return TT_OK;
    }
    (void)error_set(
        err, TT_ERR_AUTH,
        "the key counts wrong passwords (it is not noDA), its file says that it has none, and the TPM "
        "has counted %u: the empty password is not tried unasked",
        counted);
    error_hint(err, "give its password, or say with --auth-empty that it has none");
    return TT_ERR_AUTH;
}

/* About a persistent key nobody says that it has no password. */
static tt_rc nobody_says_empty(struct tt_error *err)
{
    (void)error_set(err, TT_ERR_AUTH,
                    "the key counts wrong passwords (it is not noDA), and no password was given; the empty "
                    "one is not tried unasked");
    error_hint(err, "give its password, or say with --auth-empty that it has none; `tpmtls key create` "
                    "makes keys without a password noDA");
    return TT_ERR_AUTH;
}

tt_rc guard_object(struct tpm_object *o, struct tt_error *err)
{
    if (o->refused)
        return refused_before(err);
    if (o->has_password || (o->file.has_policy && !o->as_admin))
        return TT_OK; /* a policy's statements are looked at when it is run: one branch may need no password
                       */
    if (!o->file.empty_auth) {
        (void)error_set(err, TT_ERR_AUTH, "the key needs a password, and none was given");
        error_hint(err, how_to_give);
        return TT_ERR_AUTH;
    }
    if (o->persistent && guard_counts(o))
        return nobody_says_empty(err);
    if ((o->pub.publicArea.objectAttributes & TPMA_OBJECT_USERWITHAUTH) == 0 && !o->as_admin) {
        (void)error_set(err, TT_ERR_AUTH, "the key can only be used under a policy, and %s",
                        o->persistent ? "a persistent handle does not tell which"
                                      : "its file does not say which");
        error_hint(err, "use the key file, which holds the policy's statements");
        return TT_ERR_AUTH;
    }
    return guard_counts(o) && !o->admitted ? empty_may_be_tried(o, err) : TT_OK;
}

tt_rc guard_policy_password(const struct tpm_object *o, struct tt_error *err)
{
    if (o->has_password || (o->file.empty_auth && !guard_counts(o)))
        return TT_OK;
    (void)error_set(err, TT_ERR_AUTH, "the key's policy demands its password, and none was given");
    error_hint(err, how_to_give);
    return TT_ERR_AUTH;
}

tt_rc guard_policy_secret(const struct tpm_object *o, uint32_t handle, bool counts, struct tt_error *err)
{
    if (o->has_password || !counts)
        return TT_OK;
    (void)error_set(err, TT_ERR_AUTH,
                    "the key's policy demands the password of 0x%08x (PolicySecret), and none was given",
                    handle);
    error_hint(err, how_to_give);
    return TT_ERR_AUTH;
}

tt_rc guard_parent(struct tt_tpm *tpm, const struct tpm_parent *p, struct tt_error *err)
{
    struct tpm_lockout lockout;
    if (!p->counts)
        return TT_OK;
    TT_TRY(tpm_lockout_read(&lockout, tpm, err));
    if (lockout.counter < lockout.max - lockout.counter || lockout.counter == 0)
        return TT_OK;
    (void)error_set(
        err, TT_ERR_AUTH,
        "the storage key counts wrong passwords (it is not noDA), and the TPM has counted %u of %u: "
        "the empty password is not tried",
        lockout.counter, lockout.max);
    error_hint(err, "wait until the TPM has forgotten them, or `tpm2_dictionarylockout --clear-lockout`");
    return TT_ERR_AUTH;
}

bool guard_nv(TPMA_NV attributes)
{
    return (attributes & TPMA_NV_NO_DA) != 0;
}

void guard_answer(struct tpm_object *o, TSS2_RC rc, bool counts)
{
    if (counts && tpm_rc_is(rc, TPM2_RC_AUTH_FAIL))
        o->refused = true;
}
