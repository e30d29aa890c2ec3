/* tpmtls/key.h: private keys: in a TPM 2.0, or (chosen by name, for servers and tests) in software.
 *
 * Invariants
 *  - A struct tt_tpm is one way to one TPM; it and all keys opened on it belong to one thread at a time.
 *  - A TPM key's private part never leaves the chip. Each signature is verified in software before it is
 * returned.
 *  - Everything a TPM answers is treated as hostile input.
 *  - A password is bytes with a length, never a C string: zero bytes belong to it. A pointer that is NULL
 * says that none was given; a length of 0 says on purpose that it is empty. */
#ifndef TPMTLS_KEY_H
#define TPMTLS_KEY_H

#include "tpmtls/error.h"
#include "tpmtls/iana.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tt_tpm;
struct tt_key;

/* tt_tpm_open: `spec` is "device" (/dev/tpmrm0), the path of a device, "embedded[:DIR]" (a private swtpm
 * whose state is kept in DIR; default $XDG_STATE_HOME/tpmtls/tpm or ~/.local/state/tpmtls/tpm), or any TCTI
 * string of tpm2-tss
 * ("device:/dev/tpm0", "swtpm:path=/run/s", ...). TT_ERR_TPM with a hint when it cannot be reached. No
 * command is sent. A child forked afterwards must not use it (TT_ERR_USAGE) and may only close it. Sets the
 * environment variable TSS2_LOG to "all+NONE" unless it is set, since tpm2-tss would print to stderr; so call
 * it before other threads use getenv. */
TT_API TT_MUST_USE tt_rc tt_tpm_open(struct tt_tpm **ret, const char *spec, struct tt_error *err);
/* tt_tpm_close: flushes what we loaded. Keys opened on it must be freed before. NULL is fine. */
TT_API void tt_tpm_close(struct tt_tpm *tpm);
/* tt_tpm_is_emulated: the embedded TPM, a TCTI of an emulator, or a chip whose vendor string says it is
 * software (only this last question costs a command, once). */
TT_API bool tt_tpm_is_emulated(const struct tt_tpm *tpm);
/* tt_tpm_describe: one line for a person: where it is, manufacturer, firmware. Costs one command, once. Valid
 * until close. */
TT_API const char *tt_tpm_describe(const struct tt_tpm *tpm);

/* struct tt_tpm_event: one TPM command that ended. */
struct tt_tpm_event {
    uint32_t command;  /* TPM_CC */
    const char *name;  /* "TPM2_Sign" */
    uint32_t response; /* TPM_RC, 0 = success */
    uint64_t nanoseconds;
};
typedef void (*tt_tpm_trace_fn)(void *arg, const struct tt_tpm_event *event);
/* tt_tpm_set_trace: called after each command, on the thread that ran it. */
TT_API void tt_tpm_set_trace(struct tt_tpm *tpm, tt_tpm_trace_fn fn, void *arg);
/* tt_tpm_command_count: commands sent since open. */
TT_API uint64_t tt_tpm_command_count(const struct tt_tpm *tpm);

/* tt_tpm_set_deadline: from at_ns of CLOCK_MONOTONIC on no command is sent, repeats for a busy TPM included
 * (TT_ERR_DEADLINE); 0: no deadline. A command that is under way then is still waited for, until it has had
 * patience_ms since it was sent; after that the TPM is given up (TT_ERR_TPM), and opened again by the next
 * use. Without a deadline the commands that make keys get ten times as long, since a large RSA key takes some
 * chips minutes. With a patience commands go through a thread of their own, since a TPM's driver may block
 * for ever; 0, as after opening: wait for ever. Holds until it is set again. */
TT_API void tt_tpm_set_deadline(struct tt_tpm *tpm, uint64_t at_ns, unsigned patience_ms);
/* tt_tpm_revive: if the connection to the TPM failed, open it again; keys are loaded again when they are
 * used. tt_key_sign does this itself, and repeats the command once. */
TT_API TT_MUST_USE tt_rc tt_tpm_revive(struct tt_tpm *tpm, struct tt_error *err);

/* tt_tpm_reopenings: how often a connection to the TPM that failed was opened again. On the thread that uses
 * it. */
TT_API unsigned tt_tpm_reopenings(const struct tt_tpm *tpm);

/* tt_tpm_rest: nothing is wanted of the TPM for a while. Behind the kernel's resource manager, which does not
 * look after them, sessions that lie idle cost other processes theirs after some 65,000 commands: they are
 * given up, and started again by the next use that needs one. Else nothing is done. */
TT_API void tt_tpm_rest(struct tt_tpm *tpm);

/* tt_tpm_expect_storage: `name` (nameAlg || digest) is what the TPM's storage key must be called: everything
 * that is made is made under it, and what is secret is encrypted to it, or fails before it is sent. Without
 * it, the names that the files of the keys in use say are known, and else the first one that is seen: from
 * then on, as long as tpm is open, a storage key of another name is refused (TT_ERR_TPM). */
TT_API TT_MUST_USE tt_rc tt_tpm_expect_storage(struct tt_tpm *tpm, struct tt_bytes name,
                                               struct tt_error *err);
/* tt_tpm_set_owner_password: of the owner hierarchy (TPM_RH_OWNER), which some have set: for deriving the
 * storage root key, and for what is put at persistent handles or removed from there. It never crosses the
 * bus. NULL: it is not known, and taken for empty; the storage root key at 0x81000001 works without it. */
TT_API TT_MUST_USE tt_rc tt_tpm_set_owner_password(struct tt_tpm *tpm, const struct tt_bytes *password,
                                                   struct tt_error *err);
/* tt_tpm_set_endorsement_password: the same of the endorsement hierarchy (TPM_RH_ENDORSEMENT): for deriving
 * keys of it (attestation keys, endorsement keys that are not kept), and for using endorsement keys. */
TT_API TT_MUST_USE tt_rc tt_tpm_set_endorsement_password(struct tt_tpm *tpm, const struct tt_bytes *password,
                                                         struct tt_error *err);
/* tt_tpm_set_parent: make keys and sealed data under the storage key at this persistent handle; 0, as after
 * opening: under the ECC storage root key, which is derived, or else the one at 0x81000001. */
TT_API TT_MUST_USE tt_rc tt_tpm_set_parent(struct tt_tpm *tpm, uint32_t handle, struct tt_error *err);

enum tt_key_type {
    TT_KEY_P256,
    TT_KEY_P384,
    TT_KEY_P521,
    TT_KEY_RSA2048,
    TT_KEY_RSA3072,
    TT_KEY_RSA4096,
    TT_KEY_MLDSA44, /* in a TPM of version 1.85; libcrypto from 3.5 on; without password or policy */
    TT_KEY_MLDSA65,
    TT_KEY_MLDSA87,
    TT_KEY_OTHER
};
TT_API const char *tt_key_type_name(enum tt_key_type type);                          /* "p256", ... */
TT_API TT_MUST_USE tt_rc tt_key_type_parse(enum tt_key_type *ret, const char *name); /* TT_ERR_USAGE */

/* ---- making keys ---- */

/* struct tt_key_params: a new key, or data to be sealed. Zero is a P-256 key without password or policy. */
struct tt_key_params {
    enum tt_key_type type;
    const struct tt_bytes *password; /* at most 32 bytes, of any value but a zero byte at the end, which TPMs
                                        drop; NULL, or of no length: none. It travels encrypted */
    bool count_failures;             /* wrong passwords count towards the TPM's lockout */
    const char *pcrs; /* "sha256:0,2,7": usable only while these PCRs have their present values */
    const char
        *secret_of; /* "owner", "endorsement", "lockout": whoever uses the key must know that password */
    struct tt_bytes signer;  /* a public key, PEM or DER SubjectPublicKeyInfo: usable under policies that this
                                key signs, which  tt_policy_sign adds to the file; pcrs and secret_of are then
                                demanded in  addition, always */
    const char *description; /* a mnemonic for the file */
};

/* tt_key_create: make a signing key in the TPM under its ECC storage root key; *ret_pem is a NUL-terminated
 * TSS2 PRIVATE KEY PEM text, to be freed with tt_free. TT_ERR_UNSUPPORTED names what the chip has. */
TT_API TT_MUST_USE tt_rc tt_key_create(char **ret_pem, struct tt_tpm *tpm, enum tt_key_type type,
                                       struct tt_error *err);
/* tt_key_create_with: the same with a password or a policy. Bound to a policy, its password (where there is
 * one) is demanded in addition. */
TT_API TT_MUST_USE tt_rc tt_key_create_with(char **ret_pem, struct tt_tpm *tpm,
                                            const struct tt_key_params *params, struct tt_error *err);

/* tt_key_wrap: turn a software key into an importable key file for one TPM, whose storage key (or endorsement
 * key) is given by its public part: a PEM PUBLIC KEY, or a TPM2B_PUBLIC as tpm2-tools write it. Needs no TPM.
 * `parent` is the handle by which the target finds its key: 0 is the storage root key, or for a TPM2B_PUBLIC
 * of an endorsement key 0x81010001 (RSA) or 0x81010002 (ECC). Of params: password, count_failures,
 * description. Whoever has, or had, the software key still has the key. */
struct tt_wrap_params {
    struct tt_bytes parent_public;
    uint32_t parent;
    struct tt_bytes key;                 /* PKCS#8 or traditional PEM */
    const struct tt_bytes *key_password; /* of the software key; NULL: none */
    struct tt_key_params params;
};
TT_API TT_MUST_USE tt_rc tt_key_wrap(char **ret_pem, const struct tt_wrap_params *params,
                                     struct tt_error *err);
/* tt_key_import: bring a software key, or an importable key file, under this TPM's storage root key:
 * *ret_pem is an ordinary key file that only this TPM can load. The key never crosses the bus in the clear.
 * For a software key, parent and parent_public of params are left empty. */
TT_API TT_MUST_USE tt_rc tt_key_import(char **ret_pem, struct tt_tpm *tpm,
                                       const struct tt_wrap_params *params, struct tt_error *err);

/* tt_storage_public: the storage root key's public part (TPM2B_PUBLIC), which tt_key_wrap wants; to be freed
 * with tt_free. */
TT_API TT_MUST_USE tt_rc tt_storage_public(uint8_t **ret, size_t *ret_len, struct tt_tpm *tpm,
                                           struct tt_error *err);

/* tt_public_name: the name (nameAlg || digest, at most 66 bytes) of the key whose TPM2B_PUBLIC this is; no
 * TPM is asked. */
TT_API TT_MUST_USE tt_rc tt_public_name(uint8_t *ret, size_t *ret_len, struct tt_bytes tpm2b_public,
                                        struct tt_error *err);

/* tt_seal: at most 128 bytes that only this TPM gives back, under the password or policy of params (type is
 * not used). *ret_pem is a sealed data file. tt_unseal: the data, to be freed with tt_free. Both travel
 * encrypted, also without a password. */
TT_API TT_MUST_USE tt_rc tt_seal(char **ret_pem, struct tt_tpm *tpm, struct tt_bytes data,
                                 const struct tt_key_params *params, struct tt_error *err);
TT_API TT_MUST_USE tt_rc tt_unseal(uint8_t **ret, size_t *ret_len, struct tt_tpm *tpm, struct tt_bytes pem,
                                   const struct tt_bytes *password, struct tt_error *err);

/* ---- HMAC keys: a held PSK (tt_session_hold), the root of ticket keys ---- */

struct tt_hmac;
/* tt_hmac_create: a key for HMAC-SHA-256 in the TPM, fixed to it. secret has at most 64 bytes, travels
 * encrypted, and is the caller's to wipe; empty: the TPM draws one that nobody ever sees. *ret_pem is a key
 * file, as from tt_key_create; of params the password, the policy and the description count. */
TT_API TT_MUST_USE tt_rc tt_hmac_create(char **ret_pem, struct tt_tpm *tpm, struct tt_bytes secret,
                                        const struct tt_key_params *params, struct tt_error *err);
/* tt_hmac_open_pem: from its file; loaded with the first use, and after that it takes turns with the other
 * keys of the same struct tt_tpm. password may be NULL. */
TT_API TT_MUST_USE tt_rc tt_hmac_open_pem(struct tt_hmac **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                                          const struct tt_bytes *password, struct tt_error *err);
/* tt_hmac_load: load it now, so that its use finds it in the chip, or its saved context. */
enum tt_hmac_use {
    TT_HMAC_SECRET = 1, /* the session for it is started, too */
    TT_HMAC_ONCE = 2    /* when it has to make room, its context is not worth being saved */
};
TT_API TT_MUST_USE tt_rc tt_hmac_load(struct tt_hmac *k, unsigned use, struct tt_error *err);
/* tt_hmac_compute: HMAC-SHA-256 of data (1 .. 1,024 bytes); one command when it is loaded. With is_secret
 * both data and result travel encrypted (a session, which is kept). */
TT_API TT_MUST_USE tt_rc tt_hmac_compute(struct tt_hmac *k, uint8_t ret[32], struct tt_bytes data,
                                         bool is_secret, struct tt_error *err);
TT_API void tt_hmac_free(struct tt_hmac *k); /* NULL is fine */

/* ---- Diffie-Hellman keys: the private half of an ECHConfig (tt_ech_key.key) ---- */

struct tt_ecdh;
/* tt_ecdh_create: a key on P-256 in the TPM for TPM2_ECDH_ZGen and nothing else, fixed to it. *ret_pem is a
 * key file, as from tt_key_create; of params the password, the policy and the description count. */
TT_API TT_MUST_USE tt_rc tt_ecdh_create(char **ret_pem, struct tt_tpm *tpm,
                                        const struct tt_key_params *params, struct tt_error *err);
/* tt_ecdh_open_pem: as tt_hmac_open_pem. tt_ecdh_load: load it now, and start the session for its use. */
TT_API TT_MUST_USE tt_rc tt_ecdh_open_pem(struct tt_ecdh **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                                          const struct tt_bytes *password, struct tt_error *err);
TT_API TT_MUST_USE tt_rc tt_ecdh_load(struct tt_ecdh *k, struct tt_error *err);
#define TT_ECDH_POINT 65 /* bytes: an uncompressed point: 4, x, y */
/* tt_ecdh_public: its public half. */
TT_API void tt_ecdh_public(const struct tt_ecdh *k, uint8_t ret[TT_ECDH_POINT]);
/* tt_ecdh_compute: the x coordinate of the product of the key and a point, which travels encrypted (a
 * session, which is kept). One command when it is loaded. TT_ERR_USAGE: the point has another form; that it
 * is not on the curve is for the TPM to say. */
TT_API TT_MUST_USE tt_rc tt_ecdh_compute(struct tt_ecdh *k, uint8_t ret[32], struct tt_bytes point,
                                         struct tt_error *err);
TT_API void tt_ecdh_free(struct tt_ecdh *k); /* NULL is fine */

/* tt_policy_sign: write a signed policy into a key file that was made with `signer`: in front of those it
 * has. The key may then be used while the PCRs have the given values (now's, read from tpm, which may be NULL
 * when there are no pcrs), and its password is given where with_password is set. */
struct tt_policy_params {
    struct tt_bytes pem; /* the key file */
    struct tt_key *signer;
    const char *pcrs;
    bool with_password;
    const char *name; /* a mnemonic, or NULL */
};
TT_API TT_MUST_USE tt_rc tt_policy_sign(char **ret_pem, const struct tt_policy_params *params,
                                        struct tt_tpm *tpm, struct tt_error *err);

/* ---- keys at persistent handles ---- */

struct tt_persistent {
    uint32_t handle;
    char type[40];       /* "p256", "rsa2048 storage", "sealed", ... */
    uint32_t attributes; /* TPMA_OBJECT */
    uint8_t name[66];
    size_t name_len;
};
/* tt_persistent_list: all of them; *ret is to be freed with tt_free. */
TT_API TT_MUST_USE tt_rc tt_persistent_list(struct tt_persistent **ret, size_t *ret_len, struct tt_tpm *tpm,
                                            struct tt_error *err);
/* tt_key_persist: keep the key of a file at a handle of the owner's range 0x81000000 to 0x817fffff.
 * TT_ERR_EXISTS: something is there. tt_key_evict: remove it; the key is gone unless there is a file. */
TT_API TT_MUST_USE tt_rc tt_key_persist(struct tt_tpm *tpm, struct tt_bytes pem, uint32_t handle,
                                        struct tt_error *err);
TT_API TT_MUST_USE tt_rc tt_key_evict(struct tt_tpm *tpm, uint32_t handle, struct tt_error *err);
/* tt_attributes_text: "fixedtpm|sign|..." as tpm2-tools write them; at most cap - 1 characters. */
TT_API void tt_attributes_text(char *ret, size_t cap, uint32_t attributes);

/* tt_nv_certificates: the certificates in an NV index (0x01...), DER one behind the other or PEM, as one PEM
 * text, NUL-terminated; tt_free. It is read with its own empty password, where a wrong one would not count,
 * or the owner's. TT_ERR_NOT_FOUND: there is no such index; TT_ERR_DECODE: it holds something else. */
TT_API TT_MUST_USE tt_rc tt_nv_certificates(char **ret_pem, struct tt_tpm *tpm, uint32_t index,
                                            struct tt_error *err);

/* ---- looking at key files ---- */

/* struct tt_policy_step: one statement of a policy, in words. */
struct tt_policy_step {
    uint32_t command; /* TPM_CC */
    char text[200];
};
#define TT_POLICY_MAX   16
#define TT_BRANCHES_MAX 8
struct tt_policy_info {
    char name[64]; /* of a signed policy */
    size_t len;
    struct tt_policy_step steps[TT_POLICY_MAX];
};

enum tt_exportable {
    TT_EXPORT_NEVER,       /* fixedTPM: bound to this chip for ever */
    TT_EXPORT_WITH_PARENT, /* fixedParent without fixedTPM: moves only with its parent */
    TT_EXPORT_NOT_ALLOWED, /* neither, but it has no policy that could allow TPM2_Duplicate */
    TT_EXPORT_BY_POLICY    /* a policy may allow TPM2_Duplicate */
};

/* struct tt_keyfile_info: all that a key file says. */
struct tt_keyfile_info {
    const char *kind;    /* "loadable", "importable", "sealed data" */
    bool needs_password; /* emptyAuth is absent or false */
    bool has_policy, has_auth_policy;
    struct tt_policy_info policy;
    size_t branches_len; /* signed policies */
    struct tt_policy_info branches[TT_BRANCHES_MAX];
    bool has_secret; /* it must be imported before it can be loaded */
    char description[256];
    bool rsa_parent;
    uint32_t parent;
    uint8_t parent_name[66]; /* pinned when it was made */
    size_t parent_name_len;
    char type[40];
    uint16_t name_alg;       /* TPM_ALG_ID */
    uint32_t attributes;     /* TPMA_OBJECT */
    uint8_t auth_policy[64]; /* digest */
    size_t auth_policy_len;
    enum tt_exportable exportable;
    uint8_t name[66]; /* computed: nameAlg || digest of the public area */
    size_t name_len;
    size_t private_len; /* bytes of the encrypted private area */
};
/* tt_keyfile_inspect: no TPM is asked. */
TT_API TT_MUST_USE tt_rc tt_keyfile_inspect(struct tt_keyfile_info *ret, struct tt_bytes pem,
                                            struct tt_error *err);
/* tt_keyfile_try_load: can this TPM load it; needs no password, since nothing is done with it. */
TT_API TT_MUST_USE tt_rc tt_keyfile_try_load(struct tt_tpm *tpm, struct tt_bytes pem, struct tt_error *err);
/* tt_name_uri: a TPM name whose hash is SHA-256 as "ni:///sha-256;..." (RFC 6920); false for other hashes. */
TT_API bool tt_name_uri(char *ret, size_t cap, struct tt_bytes name);

/* ---- opening keys ---- */

/* tt_key_open_pem: load a TSS2 PRIVATE KEY under its parent: at most three commands. The key stays loaded
 * until tt_key_free, or until another key of the same struct tt_tpm is used: they then take turns (two or
 * three commands). */
TT_API TT_MUST_USE tt_rc tt_key_open_pem(struct tt_key **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                                         struct tt_error *err);
/* tt_key_open_handle: a persistent key, e.g. 0x81000010: one command. TT_ERR_NOT_FOUND: nothing is there.
 * TT_ERR_AUTH: the key counts wrong passwords, so the empty one is not tried. */
TT_API TT_MUST_USE tt_rc tt_key_open_handle(struct tt_key **ret, struct tt_tpm *tpm, uint32_t handle,
                                            struct tt_error *err);
/* The same with a password: NULL is none, one of no length says on purpose that it is empty (which is
 * otherwise never tried on a key that counts failures). A password the TPM refused and counted is not tried
 * again by this key. It goes to the TPM in an encrypted session that is kept: one command a signature, for a
 * policy one more for each of its statements. */
TT_API TT_MUST_USE tt_rc tt_key_open_pem_with(struct tt_key **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                                              const struct tt_bytes *password, struct tt_error *err);
TT_API TT_MUST_USE tt_rc tt_key_open_handle_with(struct tt_key **ret, struct tt_tpm *tpm, uint32_t handle,
                                                 const struct tt_bytes *password, struct tt_error *err);
/* tt_key_open_software: an unencrypted or encrypted PKCS#8 (or traditional) PEM private key that lives in
 * memory. password may be NULL; an encrypted key without a password, or with a wrong one, is TT_ERR_AUTH. */
TT_API TT_MUST_USE tt_rc tt_key_open_software(struct tt_key **ret, struct tt_bytes pem,
                                              const struct tt_bytes *password, struct tt_error *err);
/* tt_key_create_software: a new key (p256, p384, p521) that lives in memory alone and is wiped by
 * tt_key_free: for delegated credentials. */
TT_API TT_MUST_USE tt_rc tt_key_create_software(struct tt_key **ret, enum tt_key_type type,
                                                struct tt_error *err);
TT_API void tt_key_free(struct tt_key *key);

TT_API bool tt_key_is_tpm(const struct tt_key *key);
TT_API enum tt_key_type tt_key_type(const struct tt_key *key);
/* tt_key_spki: the public key as DER SubjectPublicKeyInfo; valid until free. */
TT_API struct tt_bytes tt_key_spki(const struct tt_key *key);
/* tt_key_name: the TPM's name of the key (nameAlg || digest); empty for a software key. */
TT_API struct tt_bytes tt_key_name(const struct tt_key *key);
/* tt_key_schemes: the TLS 1.3 signature schemes this key can do, most wanted first; returns how many there
 * are and writes up to cap of them. */
TT_API size_t tt_key_schemes(const struct tt_key *key, uint16_t *ret, size_t cap);
/* tt_key_x509_scheme: the scheme for CSRs and certificates (rsa_pkcs1_sha256 for RSA, ecdsa_* for EC). */
TT_API uint16_t tt_key_x509_scheme(const struct tt_key *key);

/* tt_key_sign: sign `message` (not its digest) under a scheme; blocks for one TPM command on a TPM key. ECDSA
 * gives DER, RSA the modulus-sized number. *ret_len is what was written into ret_sig. 1,024 bytes always
 * suffice for RSA and EC. */
TT_API TT_MUST_USE tt_rc tt_key_sign(struct tt_key *key, uint16_t scheme, struct tt_bytes message,
                                     uint8_t *ret_sig, size_t cap, size_t *ret_len, struct tt_error *err);

/* ---- identities: a key and its certificates in a directory, which the PKCS#11 module shows as a token ----
 *
 * An identity is a directory NAME with key.pem (a TSS2 PRIVATE KEY, or what tt_identity_handle_text makes)
 * and cert.pem (the leaf's certificate first). They lie in $XDG_CONFIG_HOME/tpmtls/identities (~/.config) and
 * in /etc/tpmtls/identities; or, where TPMTLS_IDENTITIES is set, in the directories that it lists, separated
 * by colons. */
#define TT_IDENTITY_KEY_FILE  "key.pem"
#define TT_IDENTITY_CERT_FILE "cert.pem"

/* tt_identity_name_is_valid: 1 to 32 of A-Z a-z 0-9 . _ @ + -, the first one a letter or a digit. */
TT_API bool tt_identity_name_is_valid(const char *name);
/* tt_identities_each: calls fn for each directory, sorted by name, until it returns something else than
 * TT_OK, which is then returned. Nothing is said twice: of two with the same name the first place's counts,
 * unless fn returns TT_ERR_DECODE: this one is broken. What is in them is not looked at. */
typedef tt_rc (*tt_identity_fn)(void *arg, const char *name, const char *path);
TT_API TT_MUST_USE tt_rc tt_identities_each(tt_identity_fn fn, void *arg, struct tt_error *err);
/* tt_identity_check: may what lies in an identity's directory be believed: it, and the place it lies in, are
 * root's or ours, and nobody else may write there. TT_ERR_IO. Whoever reads a file of it looks at that file's
 * owner, too; the program and the PKCS#11 module do. */
TT_API TT_MUST_USE tt_rc tt_identity_check(const char *path, struct tt_error *err);
/* tt_identities_home: where new ones go, the first place; tt_free. TT_ERR_NOT_FOUND: there is no home. */
TT_API TT_MUST_USE tt_rc tt_identities_home(char **ret, struct tt_error *err);
/* tt_identity_handle_text: the text of key.pem for a persistent key; one command. tt_free. */
TT_API TT_MUST_USE tt_rc tt_identity_handle_text(char **ret, struct tt_tpm *tpm, uint32_t handle,
                                                 bool needs_password, struct tt_error *err);
/* tt_identity_key_spki: the public key of a key.pem, DER SubjectPublicKeyInfo; no TPM is asked. tt_free. */
TT_API TT_MUST_USE tt_rc tt_identity_key_spki(uint8_t **ret, size_t *ret_len, struct tt_bytes text,
                                              struct tt_error *err);

/* tt_free: for what this library allocated and handed out. Wipes. NULL is fine. */
TT_API void tt_free(void *p);

#ifdef __cplusplus
}
#endif
#endif
