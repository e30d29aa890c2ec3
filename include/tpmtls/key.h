/* tpmtls/key.h: private keys: in a TPM 2.0, or (chosen by name, for servers and tests) in software.
 *
 * Invariants
 *  - A struct tt_tpm is one way to one TPM; it and all keys opened on it belong to one thread at a time.
 *  - A TPM key's private part never leaves the chip. Each signature is verified in software before it is
 * returned.
 *  - Everything a TPM answers is treated as hostile input. */
#ifndef TPMTLS_KEY_H
#define TPMTLS_KEY_H

#include "tpmtls/error.h"
#include "tpmtls/iana.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tt_tpm;
struct tt_key;

/* tt_tpm_open: `spec` is "device" (/dev/tpmrm0), "embedded[:DIR]" (a private swtpm whose state is kept in
 * DIR; default $XDG_STATE_HOME/tpmtls/tpm or ~/.local/state/tpmtls/tpm), or any TCTI string of tpm2-tss
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

enum tt_key_type {
    TT_KEY_P256,
    TT_KEY_P384,
    TT_KEY_P521,
    TT_KEY_RSA2048,
    TT_KEY_RSA3072,
    TT_KEY_RSA4096,
    TT_KEY_OTHER
};
TT_API const char *tt_key_type_name(enum tt_key_type type);                          /* "p256", ... */
TT_API TT_MUST_USE tt_rc tt_key_type_parse(enum tt_key_type *ret, const char *name); /* TT_ERR_USAGE */

/* tt_key_create: make a signing key in the TPM under its ECC storage root key; *ret_pem is a NUL-terminated
 * TSS2 PRIVATE KEY PEM text, to be freed with tt_free. TT_ERR_UNSUPPORTED names what the chip has. */
TT_API TT_MUST_USE tt_rc tt_key_create(char **ret_pem, struct tt_tpm *tpm, enum tt_key_type type,
                                       struct tt_error *err);

/* tt_key_open_pem: load a TSS2 PRIVATE KEY under its parent: at most three commands. The key stays loaded
 * until tt_key_free, or until another key of the same struct tt_tpm is used: they then take turns (two or
 * three commands). */
TT_API TT_MUST_USE tt_rc tt_key_open_pem(struct tt_key **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                                         struct tt_error *err);
/* tt_key_open_handle: a persistent key, e.g. 0x81000010: one command. TT_ERR_NOT_FOUND: nothing is there.
 * TT_ERR_AUTH: the key counts wrong passwords, so the empty one is not tried. */
TT_API TT_MUST_USE tt_rc tt_key_open_handle(struct tt_key **ret, struct tt_tpm *tpm, uint32_t handle,
                                            struct tt_error *err);
/* tt_key_open_software: an unencrypted or encrypted PKCS#8 (or traditional) PEM private key that lives in
 * memory. password may be NULL; an encrypted key without a password, or with a wrong one, is TT_ERR_AUTH. */
TT_API TT_MUST_USE tt_rc tt_key_open_software(struct tt_key **ret, struct tt_bytes pem, const char *password,
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

/* tt_free: for what this library allocated and handed out. Wipes. NULL is fine. */
TT_API void tt_free(void *p);

#ifdef __cplusplus
}
#endif
#endif
