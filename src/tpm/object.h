/* tpm/object.h: struct tpm_object: a key or sealed data that is ours to load and use: from a key file or a
 * persistent handle, with what it takes to use it (a password, a policy). Layer: tpm; for the files of
 * src/tpm only.
 *
 * A command on it is run like this, which loads it, satisfies its policy, and repeats once after a loss:
 *     struct object_use use = object_use_start(o, "sign", TPMA_SESSION_DECRYPT);
 *     do {
 *         TT_TRY(object_use_begin(&use, err));
 *         do
 *             use.op.rc = Esys_Sign(tpm->esys, o->handle, use.session, ...);
 *         while (tpm_op_again(&use.op));
 *     } while (object_use_again(&use));
 *     TT_TRY(object_use_end(&use, err)); */
#ifndef TPM_OBJECT_H
#define TPM_OBJECT_H

#include "tpm/context.h"
#include "tpm/key.h"
#include "tpm/keyfile.h"

/* struct object_ticket: the TPM's word that a policy is signed; kept, so that the signature is verified once.
 */
struct object_ticket {
    bool valid;
    size_t branch; /* which of the file's signed policies */
    TPM2B_DIGEST approved;
    TPM2B_NAME signer;
    TPMT_TK_VERIFIED ticket;
};

struct tpm_parent;

struct tpm_object {
    struct tt_tpm *tpm;  /* not owned */
    struct keyfile file; /* owns the policies' bytes; empty for a persistent object */
    ESYS_TR handle;      /* ESYS_TR_NONE while it is not in the chip */
    bool persistent;
    TPM2_HANDLE at;         /* persistent: where */
    unsigned opening;       /* of the TPM; the handle is of that one (tpm/reopen.h) */
    TPMS_CONTEXT *saved;    /* or NULL */
    TPM2B_NAME parent_name; /* as pinned in the file; empty: not known */
    TPM2B_PUBLIC pub;
    TPM2B_PRIVATE priv;          /* encrypted for its parent: by the TPM, or (to_import) by whoever made it */
    TPM2B_ENCRYPTED_SECRET seed; /* to_import */
    bool to_import;
    TPM2B_NAME name;
    bool has_password;
    TPM2B_AUTH password;
    bool refused;   /* the TPM counted a wrong password: it is not tried again */
    bool admitted;  /* the guard has asked the TPM: the empty password may be tried */
    bool confident; /* what it gives is secret: only in an encrypted session */
    bool fleeting;  /* its context is not saved */
    bool as_admin;  /* it is certified, for which its policy is not asked (tpm/attest.c) */
    struct object_ticket ticket;
};

/* object_from_file: parse and take over; nothing is sent. */
TT_MUST_USE tt_rc object_from_file(struct tpm_object **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                                   const struct tt_bytes *password, struct tt_error *err);
/* object_from_handle: a persistent one; one command. */
TT_MUST_USE tt_rc object_from_handle(struct tpm_object **ret, struct tt_tpm *tpm, uint32_t handle,
                                     const struct tt_bytes *password, struct tt_error *err);
void object_free(struct tpm_object *o);
TT_DEFINE_AUTO(struct tpm_object, object_free)

/* object_load: make sure that it is in the chip, at the expense of another one of ours; fills in its name. */
TT_MUST_USE tt_rc object_load(struct tpm_object *o, struct tt_error *err);
/* object_load_under: the same for one that is not in the chip, under its parent, which is; and its sessions
 * started. */
TT_MUST_USE tt_rc object_load_under(struct tpm_object *o, const struct tpm_parent *parent,
                                    struct tt_error *err);
/* object_prepare: the same, with its sessions started and its policy satisfied, as far as that is possible
 * before the command. */
TT_MUST_USE tt_rc object_prepare(struct tpm_object *o, struct tt_error *err);
/* object_take_name: once it is in the chip, with this public area. */
TT_MUST_USE tt_rc object_take_name(struct tpm_object *o, const TPM2B_PUBLIC *pub, struct tt_error *err);
/* object_recheck: what it gave was not its own. True: somebody else is at its handle; ours is forgotten, and
 * loaded again by its next use. */
bool object_recheck(struct tpm_object *o);
/* object_evict: take the resident object out of the chip; its context is kept. */
void object_evict(struct tt_tpm *tpm);

struct object_use {
    struct tpm_object *o;
    struct tpm_op op;
    TPMA_SESSION attributes;
    ESYS_TR session; /* for the command */
    bool may_own;    /* the command can be run by session_own_run, */
    bool own;        /* and is to be: there is no session for ESAPI then */
    unsigned attempt;
};
struct object_use object_use_start(struct tpm_object *o, const char *what, TPMA_SESSION attributes);
TT_MUST_USE tt_rc object_use_begin(struct object_use *use, struct tt_error *err);
bool object_use_again(struct object_use *use);
TT_MUST_USE tt_rc object_use_end(struct object_use *use, struct tt_error *err);

/* policy_run: satisfy the object's policy on the open policy session (tpm/policy.c). */
TT_MUST_USE tt_rc policy_run(struct tpm_object *o, struct tt_error *err);
/* policy_wants_hmac: it has a PolicySecret, whose password goes through the HMAC session. */
bool policy_wants_hmac(const struct tpm_object *o);

#endif
