/* tpmtls/doctor.h: what a TPM is, what state it is in, and whether TLS 1.3 can have its keys there. By
 * trying: keys of each type are made, loaded and used, and nothing is left behind.
 *
 * Invariants
 *  - No password is ever tried. Nothing that persists is changed.
 *  - Text is for a person, in printable ASCII, whatever the TPM answered. Numbers that are not known are 0.
 */
#ifndef TPMTLS_DOCTOR_H
#define TPMTLS_DOCTOR_H

#include "tpmtls/key.h"

#ifdef __cplusplus
extern "C" {
#endif

/* struct tt_doctor_place: somewhere a TPM could be. */
struct tt_doctor_place {
    char where[320];
    char state[200]; /* "used", "not there", "permission denied; ...", "passed over: ..." */
};

/* struct tt_doctor_key: what came of trying a type of key. */
struct tt_doctor_key {
    enum tt_key_type type;
    bool has;   /* the TPM says that it can make one */
    bool tried; /* a key was made, loaded and has signed */
    bool works; /* and the signature is one that TLS 1.3 accepts */
    uint64_t create_us, load_us,
        sign_us;   /* load_us: what a start from its file takes; sign_us: the median of a few */
    char why[320]; /* why it does not work, or was not tried */
};

struct tt_doctor_latency {
    char command[48]; /* "TPM2_Sign p256" */
    unsigned count;
    uint64_t median_us;
};

/* struct tt_doctor_ek: an endorsement key certificate in the TPM, where the TCG EK Credential Profile has it.
 */
struct tt_doctor_ek {
    const char *name; /* of the kind of key that the profile has there: "RSA-2048", "P-384" */
    uint32_t nv_index;
    uint8_t *der; /* owned; NULL: something is there, but cannot be read, and why */
    size_t der_len;
    char why[320];
};

/* struct tt_doctor_ek_key: an endorsement key: kept at a persistent handle, or derived to compare it. */
struct tt_doctor_ek_key {
    const char *name;
    uint32_t handle; /* 0: it is not kept */
    uint8_t *spki;   /* owned DER SubjectPublicKeyInfo; NULL: of a kind that we do not know */
    size_t spki_len;
    bool own_template, own_nonce; /* it was derived with what the TPM's NV memory has for it */
};

struct tt_doctor_list {
    char text[160]; /* "sha1 sha256 sha384" */
};

#define TT_DOCTOR_PLACES    4
#define TT_DOCTOR_KEYS      6
#define TT_DOCTOR_LATENCIES 48
#define TT_DOCTOR_EKS       9
#define TT_DOCTOR_EK_KEYS   18
#define TT_DOCTOR_EK_CHAIN  16
#define TT_DOCTOR_HINTS     16

struct tt_doctor {
    struct tt_doctor_place places[TT_DOCTOR_PLACES];
    size_t places_len;
    bool reached;          /* without it, only places, error and hints are filled in */
    struct tt_error error; /* why it was not reached */

    char where[320];
    char manufacturer[8], vendor[20], firmware[32], spec[32]; /* "2.0 revision 1.64" */
    const char *kind; /* "discrete", "firmware", "virtual", "unknown" */
    bool emulated;
    const char *manager; /* "kernel", "embedded", "none", "unknown" */

    struct tt_doctor_list hashes, curves, rsa;
    bool fips;          /* TPMA_MODES */
    bool salt_measured; /* the three below */
    unsigned salt;      /* bytes, of an RSASSA-PSS signature over SHA-256 with RSA-2048 */
    bool salt_valid;    /* the signature verifies with that salt */
    char salt_why[200]; /* why it was not measured */

    bool locked; /* dictionary attack lockout */
    uint32_t failures, max_failures, seconds_per_failure, lockout_recovery;
    uint64_t seconds_to_unlock;
    bool owner_auth, endorsement_auth, lockout_auth; /* a password is set */

    bool srk_at_handle; /* something is at 0x81000001 */
    bool srk_right;     /* and it is the standard ECC storage root key */
    bool srk_known;     /* the standard one could be derived, to compare */
    bool srk_usable;    /* it has the public area of a storage root key, ECC or RSA */
    bool srk_counts;    /* wrong passwords of it count (it is not noDA) */

    struct tt_doctor_ek eks[TT_DOCTOR_EKS];
    size_t eks_len;
    struct tt_doctor_ek_key ek_keys[TT_DOCTOR_EK_KEYS];
    size_t ek_keys_len;
    char ek_why[320];                             /* why a key was not derived to compare it, or "" */
    struct tt_bytes ek_chain[TT_DOCTOR_EK_CHAIN]; /* 0x01c00100 to 0x01c001ff: views into the one below */
    size_t ek_chain_len;
    uint8_t *ek_chain_der;     /* owned */
    unsigned ek_chain_indexes; /* how many NV indexes there are */
    char ek_chain_why[320];    /* why not all of it could be read, or "" */

    uint32_t nv_indexes, persistent, persistent_free, slots, slots_free, sessions_free;
    uint64_t clock_ms;
    uint32_t reset_count, restart_count;
    bool clock_safe;

    struct tt_doctor_key keys[TT_DOCTOR_KEYS];
    size_t keys_len;
    struct tt_doctor_latency latencies[TT_DOCTOR_LATENCIES];
    size_t latencies_len;

    bool possible; /* a TLS 1.3 identity: at least one type of key works */
    char hints[TT_DOCTOR_HINTS][320];
    size_t hints_len;
};

struct tt_doctor_request {
    const char *spec;                            /* as for tt_tpm_open; NULL: the kernel's device */
    bool quick;                                  /* no RSA key is made: on a chip that takes seconds each */
    unsigned patience_ms;                        /* as for tt_tpm_set_deadline */
    const struct tt_bytes *owner_password;       /* as for tt_tpm_set_owner_password; NULL: not known */
    const struct tt_bytes *endorsement_password; /* as for tt_tpm_set_endorsement_password; NULL: not known */
};

/* tt_doctor_examine: TT_OK also when there is no TPM: then ret->reached is false. To be freed with
 * tt_doctor_free. */
TT_API TT_MUST_USE tt_rc tt_doctor_examine(struct tt_doctor **ret, const struct tt_doctor_request *req,
                                           struct tt_error *err);
TT_API void tt_doctor_free(struct tt_doctor *d);
/* tt_doctor_hint: add one; one that does not fit is left out. */
TT_API void tt_doctor_hint(struct tt_doctor *d, const char *fmt, ...) TT_PRINTF(2, 3);

#ifdef __cplusplus
}
#endif
#endif
