/* tpm/context.h: struct tt_tpm, one ESAPI context on one TPM, and how every command is run on it. Layer: tpm;
 * for the files of src/tpm only, since it shows tss2 types.
 *
 * A command is run in a loop that retries, then is turned into our result and a sentence:
 *     struct tpm_op op = tpm_op_start(tpm, "load the key");
 *     do
 *         op.rc = Esys_Load(tpm->esys, ...);
 *     while (tpm_op_again(&op));
 *     return tpm_op_end(&op, err); */
#ifndef TPM_CONTEXT_H
#define TPM_CONTEXT_H

#include <tss2/tss2_esys.h>

#include "base/mem.h"
#include "crypto/lib.h"
#include "tpm/meter.h"

struct tpm_object;

/* struct tpm_session: one of the kept sessions; tpm/session.h. */
enum tpm_session_kind {
    TPM_SESSION_HMAC,
    TPM_SESSION_POLICY,
    TPM_SESSIONS
};
/* struct tpm_session_own: tpm/session_own.h. */
struct tpm_session_own {
    bool known;
    bool ahead, behind; /* of ESAPI, in nonces */
    TPM2_HANDLE handle;
    uint8_t key[32], nonce_tpm[32], nonce_caller[32];
};
struct tpm_session {
    bool open;
    TPMI_ALG_HASH hash;
    ESYS_TR handle;
    TPM2B_NAME salt;                /* the key it is salted to */
    const struct tpm_object *ready; /* policy: whose policy was just run on it, or NULL */
    bool dirty;                     /* policy: statements were run that may not be whole */
    struct tpm_session_own own;     /* HMAC */
};

/* struct tpm_probe: what a test signature showed about a key (by its name), so that it is made once. */
#define TPM_PROBES 8
struct tpm_probe {
    uint8_t name[68];
    size_t name_len;
    bool works;
};

/* struct tpm_pin: the name of the key at a place where a parent is looked for (tpm/trust.h). */
#define TPM_PINS 4
struct tpm_pin {
    uint32_t place;
    bool rsa;
    TPM2B_NAME name;
};

/* struct hierarchy: its password, where that is known; see tpm/owner.h. */
struct hierarchy {
    bool is_known;
    TPM2B_AUTH auth;
};

struct tt_tpm {
    ESYS_CONTEXT *esys;
    struct meter meter;
    char *where;                 /* for sentences: "/dev/tpmrm0", "swtpm:path=..." */
    bool software;               /* the way to it says that it is an emulator */
    bool idle_costs_others;      /* an idle session does: see tt_tpm_rest */
    struct tpm_object *resident; /* the one key of ours that is loaded now, or NULL */
    struct tpm_session sessions[TPM_SESSIONS];
    bool sessions_by_esapi; /* session_start.h cannot: ESAPI writes sessions down in a way we do not know */
    TSS2_RC last_failure;   /* of the last command that failed */
    struct tpm_probe probes[TPM_PROBES];
    size_t probes_len;
    TPM2B_NAME storage; /* what the storage key must be called, or empty: see tt_tpm_expect_storage */
    struct tpm_pin pins[TPM_PINS];
    size_t pins_len;
    const struct crypto_lib *lib; /* see tpm_lib */
    struct crypto_lib *own_lib;
    TPMS_CONTEXT *srk;    /* the derived storage root key's saved context, or NULL; */
    TPM2B_PUBLIC srk_pub; /* and what it is */
    uint32_t parent;      /* of what is made: a persistent handle, or 0: the storage root key */
    struct hierarchy owner, endorsement;
    unsigned srk_derivations;
    bool hashes_known; /* the one below is filled in */
    unsigned hashes;   /* bit n: TPM_ALG_ID n, SHA-1 to SHA-512 */
    bool started;      /* it answered, or we have sent TPM2_Startup */
    bool identified;   /* the two below are filled in */
    bool vendor_is_software;
    char description[256];
};

/* tpm_open_tcti: a context over a TCTI, which is taken over (also on failure) and closed with close_tcti. */
TT_MUST_USE tt_rc tpm_open_tcti(struct tt_tpm **ret, TSS2_TCTI_CONTEXT *tcti,
                                void (*close_tcti)(TSS2_TCTI_CONTEXT **), const char *where,
                                struct tt_error *err);

/* tpm_lib: libcrypto's hashes, from the default context or the one that tpm_use_lib was given before; NULL
 * with the reason in err. */
const struct crypto_lib *tpm_lib(struct tt_tpm *tpm, struct tt_error *err);

/* tpm_is_ours: false in a child forked after the TPM was opened; such a child must leave it alone. */
bool tpm_is_ours(const struct tt_tpm *tpm);

struct tpm_op {
    struct tt_tpm *tpm;
    const char *what; /* completes "cannot ..." */
    TSS2_RC rc;
    unsigned tries;
};
struct tpm_op tpm_op_start(struct tt_tpm *tpm, const char *what);
/* tpm_op_again: the TPM asked for a repeat and patience is left; the meter waits before it sends. */
bool tpm_op_again(struct tpm_op *op);
TT_MUST_USE tt_rc tpm_op_end(const struct tpm_op *op, struct tt_error *err);

/* tpm_fail: the result, sentence and advice for a response code (tpm/fail.c). */
tt_rc tpm_fail(const struct tpm_op *op, struct tt_error *err);

/* tpm_rc_is: is rc this TPM error, whichever handle, parameter or session it is about, and whoever passed it
 * on. */
bool tpm_rc_is(TSS2_RC rc, TPM2_RC code);

/* tpm_rc_of_parameter: the TPM says so of a parameter: whoever asked was allowed to. */
bool tpm_rc_of_parameter(TSS2_RC rc);

/* tpm_rc_of_tpm: the TPM itself spoke, or a resource manager in its place. */
bool tpm_rc_of_tpm(TSS2_RC rc);

/* tpm_holds: is what `object` names in the TPM, now, of this name? Handles are given out again after a
 * restart, to whoever comes first. */
bool tpm_holds(struct tt_tpm *tpm, ESYS_TR object, const TPM2B_NAME *name);

/* tpm_flush: unload a transient object and forget *handle; failures leave nothing a caller could do. */
void tpm_flush(struct tt_tpm *tpm, ESYS_TR *handle);

#endif
