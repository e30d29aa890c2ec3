/* tpm/fail.c: a TPM's response code as a sentence and an advice. Layer: tpm. TPM 2.0 part 2, section 6.6
 * (codes), TCG TSS 2.0 overview, section 4 (layers). Must not hide the number: whoever searches for it finds
 * it. */
#include <tss2/tss2_rc.h>

#include "tpm/context.h"

#define LAYER_MASK 0x00ff0000U

/* The TPM's own code, or 0 when another layer speaks. The resource managers pass the TPM's codes on. */
static TPM2_RC tpm_code(TSS2_RC rc)
{
    uint32_t layer = rc & LAYER_MASK;
    if (layer != TSS2_TPM_RC_LAYER && layer != TSS2_RESMGR_TPM_RC_LAYER)
        return 0;
    rc &= ~LAYER_MASK;
    if ((rc & TPM2_RC_FMT1) == 0)
        return rc;
    return rc & (TPM2_RC_FMT1 | 0x03f); /* without the number of the handle, parameter or session */
}

bool tpm_rc_of_tpm(TSS2_RC rc)
{
    return tpm_code(rc) != 0;
}

bool tpm_rc_of_parameter(TSS2_RC rc)
{
    return tpm_rc_of_tpm(rc) && (rc & TPM2_RC_FMT1) != 0 && (rc & TPM2_RC_P) != 0;
}

bool tpm_rc_is(TSS2_RC rc, TPM2_RC code)
{
    return rc != TSS2_RC_SUCCESS && tpm_code(rc) == code;
}

struct known {
    TPM2_RC code;
    tt_rc rc;
    const char *why;
    const char *hint;
};

static const struct known *known_find(TPM2_RC code)
{
    static const struct known table[] = {
        {TPM2_RC_INTEGRITY, TT_ERR_TPM,
         "the key belongs to another TPM, or this TPM was cleared since the key was made",
         "use the TPM that made the key, or make a new key with `tpmtls key create`"},
        {TPM2_RC_AUTH_FAIL, TT_ERR_AUTH, "the password is wrong, and the TPM counts the attempt",
         "do not try again blindly: after a few wrong passwords the TPM locks itself"},
        {TPM2_RC_BAD_AUTH, TT_ERR_AUTH, "a password is needed, or the one given is wrong", ""},
        {TPM2_RC_AUTH_UNAVAILABLE, TT_ERR_AUTH, "the object allows no password for this use", ""},
        {TPM2_RC_AUTH_TYPE, TT_ERR_AUTH, "the object wants another kind of authorisation", ""},
        {TPM2_RC_POLICY_FAIL, TT_ERR_AUTH, "the key's policy is not satisfied",
         "`tpmtls key show` says what the file asks for; the TPM wants exactly what the key was made with"},
        {TPM2_RC_LOCKOUT, TT_ERR_TPM,
         "the TPM is locked after too many wrong passwords (dictionary attack lockout)",
         "wait for the lockout to pass, or reset it with `tpm2_dictionarylockout --clear-lockout`"},
        {TPM2_RC_OBJECT_MEMORY, TT_ERR_BUSY, "all of the TPM's object slots are taken by other programs",
         "use the kernel's resource manager /dev/tpmrm0, or end the other users; `tpm2_flushcontext -t` "
         "frees slots "
         "on a TPM without a resource manager"},
        {TPM2_RC_OBJECT_HANDLES, TT_ERR_BUSY, "the TPM has no object handle left", "restart the machine"},
        {TPM2_RC_SESSION_MEMORY, TT_ERR_BUSY, "all of the TPM's session slots are taken by other programs",
         "use the kernel's resource manager /dev/tpmrm0, or free them with `tpm2_flushcontext -l`"},
        {TPM2_RC_SESSION_HANDLES, TT_ERR_BUSY, "the TPM has no session handle left",
         "some program leaks sessions: free them with `tpm2_flushcontext -s`"},
        {TPM2_RC_MEMORY, TT_ERR_BUSY, "the TPM is out of memory", "end other users of the TPM and try again"},
        {TPM2_RC_RETRY, TT_ERR_BUSY, "the TPM stayed busy", "try again"},
        {TPM2_RC_YIELDED, TT_ERR_BUSY, "the TPM stayed busy", "try again"},
        {TPM2_RC_TESTING, TT_ERR_BUSY, "the TPM is still testing itself", "try again in a minute"},
        {TPM2_RC_NV_UNAVAILABLE, TT_ERR_BUSY, "the TPM's memory cannot be written now", "try again"},
        {TPM2_RC_NV_RATE, TT_ERR_BUSY, "the TPM limits the rate of writes to save its memory",
         "try again later"},
        {TPM2_RC_NV_SPACE, TT_ERR_TPM, "the TPM's persistent memory is full",
         "remove persistent objects you do not need"},
        {TPM2_RC_INITIALIZE, TT_ERR_TPM, "the TPM was not started", "run `tpm2_startup -c`"},
        {TPM2_RC_FAILURE, TT_ERR_TPM, "the TPM is in failure mode",
         "restart the machine; if it stays, the chip is broken"},
        {TPM2_RC_REBOOT, TT_ERR_TPM, "the TPM must be restarted", "restart the machine"},
        {TPM2_RC_UPGRADE, TT_ERR_TPM, "the TPM is in the middle of a firmware upgrade",
         "finish the upgrade first"},
        {TPM2_RC_HIERARCHY, TT_ERR_TPM, "the hierarchy is switched off in this TPM",
         "enable it in the firmware's setup"},
        {TPM2_RC_HANDLE, TT_ERR_NOT_FOUND, "there is nothing at that handle", ""},
        {TPM2_RC_COMMAND_CODE, TT_ERR_UNSUPPORTED, "this TPM does not have the command", ""},
        {TPM2_RC_CURVE, TT_ERR_UNSUPPORTED, "this TPM does not have the curve", ""},
        {TPM2_RC_HASH, TT_ERR_UNSUPPORTED, "this TPM, or the key, does not allow the hash", ""},
        {TPM2_RC_SCHEME, TT_ERR_UNSUPPORTED, "this TPM, or the key, does not allow the signature scheme", ""},
        {TPM2_RC_KEY_SIZE, TT_ERR_UNSUPPORTED, "this TPM does not have the key size", ""},
        {TPM2_RC_ATTRIBUTES, TT_ERR_UNSUPPORTED, "the key's attributes do not allow it", ""},
        {TPM2_RC_REFERENCE_H0, TT_ERR_TPM, "the object is no longer loaded", "try again"},
    };
    for (size_t i = 0; i < TT_COUNT(table); i++)
        if (table[i].code == code)
            return &table[i];
    return NULL;
}

/* Not the TPM's own answer: the way to it failed, or ESAPI refused. */
static tt_rc fail_transport(const struct tpm_op *op, struct tt_error *err)
{
    if (!tpm_is_ours(op->tpm))
        return error_set(err, TT_ERR_USAGE,
                         "cannot %s: the TPM was opened before fork, and the child must open its own",
                         op->what);
    if (op->tpm->meter.given_up) {
        (void)error_set(err, TT_ERR_TPM,
                        "cannot %s: the TPM at %s gave no answer for %llu ms and was given up", op->what,
                        op->tpm->where, (unsigned long long)meter_patience_ms(&op->tpm->meter));
        error_hint(err, "if it happens again: is the TPM in use by a program that keeps it busy, or faulty?");
        return TT_ERR_TPM;
    }
    tt_rc rc = error_set(err, TT_ERR_TPM, "cannot %s: the connection to the TPM at %s failed (%s, 0x%x)",
                         op->what, op->tpm->where, Tss2_RC_Decode(op->rc), op->rc);
    error_hint(err, "is the TPM, its emulator or its resource manager still there?");
    return rc;
}

/* The meter did not send it. */
static tt_rc fail_late(const struct tpm_op *op, struct tt_error *err)
{
    bool busy = op->tpm->meter.lateness == METER_LATE_SINCE_BUSY;
    (void)error_set(err, TT_ERR_DEADLINE,
                    busy ? "cannot %s: the TPM stayed busy until the deadline"
                         : "cannot %s: the deadline is over",
                    op->what);
    error_hint(err, "allow more time (--sign-deadline), or find out what keeps the TPM so busy");
    return TT_ERR_DEADLINE;
}

tt_rc tpm_fail(const struct tpm_op *op, struct tt_error *err)
{
    TPM2_RC code = tpm_code(op->rc);
    if (op->tpm->meter.lateness != METER_IN_TIME && code == TPM2_RC_CANCELED)
        return fail_late(op, err);
    if (code == 0)
        return fail_transport(op, err);
    const struct known *k = known_find(code);
    if (k == NULL)
        return error_set(err, TT_ERR_TPM, "cannot %s: %s (0x%x)", op->what, Tss2_RC_Decode(op->rc), op->rc);
    tt_rc rc = error_set(err, k->rc, "cannot %s: %s (0x%x)", op->what, k->why, op->rc);
    if (k->hint[0] != '\0')
        error_hint(err, "%s", k->hint);
    return rc;
}
