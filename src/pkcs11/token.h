/* pkcs11/token.h: a token: an identity's directory, and what was read from it. Layer: pkcs11. No TPM is asked
 * here. */
#ifndef PKCS11_TOKEN_H
#define PKCS11_TOKEN_H

#include <stdatomic.h>
#include <sys/stat.h>

#include "pkcs11/cryptoki.h"
#include "pki/fields.h"
#include "signer/raw.h"

#define TOKEN_MAX_CERTS       32
#define TOKEN_MAX_TEMPORARIES 64 /* session objects */
#define TOKEN_ID_SIZE         20
#define TOKEN_PIN_MAX         64 /* TPM2B_AUTH */
#define TOKEN_SECRET_MAX      66 /* a coordinate of P-521 */

/* struct stamp: tells whether a file was changed; zero: it is not there. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
};

struct cert_object {
    uint8_t *der; /* owned */
    size_t der_len;
    struct cert_fields fields;
    uint8_t id[TOKEN_ID_SIZE];
    bool is_own; /* for the token's key */
};

/* struct contents: what was read; never changes. Shared by reference count (module.mutex guards the count).
 */
struct contents {
    atomic_uint refs;
    unsigned key_generation, cert_generation; /* in handles: they change when the file changes */
    struct stamp key_stamp, cert_stamp;
    uint8_t *key_text;
    size_t key_text_len; /* 0: there is no key */
    struct raw_info info;
    uint8_t id[TOKEN_ID_SIZE]; /* CKA_ID: by the key */
    struct cert_object certs[TOKEN_MAX_CERTS];
    size_t certs_len;
    CK_OBJECT_CLASS
    temporary_class; /* of a session object (temporary.h): one key, which no file has; else 0 */
    CK_SESSION_HANDLE temporary_session;
    CK_KEY_TYPE secret_type;
    uint8_t secret[TOKEN_SECRET_MAX];
    size_t secret_len;
};

struct token {
    CK_SLOT_ID slot;
    char name[33];
    char *path; /* owned */
    char serial[17];
    bool present; /* its directory is there */
    struct contents *contents;
    struct contents *temporaries[TOKEN_MAX_TEMPORARIES];
    unsigned sessions, rw_sessions;
    bool logged_in;
    uint8_t pin[TOKEN_PIN_MAX], refused[TOKEN_PIN_MAX];
    size_t pin_len, refused_len; /* refused: a PIN that the TPM counted as wrong; it is not tried again */
    unsigned refused_generation;
    /* guarded by module.tpm_mutex: */
    struct raw_key *key;           /* loaded, or NULL */
    struct contents *key_contents; /* what it was loaded from */
    struct tpm_lockout lockout;    /* as last seen */
    bool pin_failed;               /* since the last login that worked */
};

/* token_of_slot: with module.mutex held. NULL: no such slot. A slot is known from C_Initialize on: a child
 * that initialises the module again goes on with its parent's. */
struct token *token_of_slot(CK_SLOT_ID slot);
/* tokens_scan: look at the directories again; slots are added, never removed. */
CK_RV tokens_scan(void);
/* token_refresh: read again what was changed. What cannot be read leaves what was there. */
CK_RV token_refresh(struct token *t);
/* token_contents: a reference, for contents_free. */
struct contents *token_contents(struct token *t);
void contents_free(struct contents *c);
/* token_free: without its key. */
void token_free(struct token *t);

/* token_key_id: CKA_ID. */
tt_rc token_key_id(uint8_t ret[TOKEN_ID_SIZE], struct tt_bytes public_key, struct tt_error *err);

/* token_has_pin: its key has a password. */
bool token_has_pin(const struct contents *c);

/* token_write: replace a file of the identity. An empty text removes it. */
CK_RV token_write(const struct token *t, const char *file, struct tt_bytes text, bool is_new);

#endif
