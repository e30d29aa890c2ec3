/* tests/pkcs11/p11_test.h: what the module's tests share: a TPM of the test's own with identities on it, and
 * the module's functions, called through its list as an application does. */
#ifndef PKCS11_P11_TEST_H
#define PKCS11_P11_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pkcs11/cryptoki.h"
#include "support/temp_tpm.h"
#include "tpmtls/key.h"

CK_RV C_GetInterface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR interface,
                     CK_FLAGS flags);
CK_RV C_GetInterfaceList(CK_INTERFACE_PTR list, CK_ULONG_PTR n);

extern struct temp_tpm chip;
extern char ids[80]; /* TPMTLS_IDENTITIES */
extern CK_FUNCTION_LIST_PTR p11;

#define PIN      ((CK_UTF8CHAR_PTR) "secret")
#define PIN_SIZE 6

#define assert_rv(rv, expression) assert_int_equal(expression, rv)
#define assert_ckr(expression)    assert_rv(CKR_OK, expression)

/* struct identity: one to be made. With a password it counts failures when counted. */
struct identity {
    const char *name;
    enum tt_key_type type;
    const char *password;
    bool counted, no_cert;
};
/* chip_setup: the TPM, the environment, and these identities; chip_teardown. Not in the module: by the
 * library. */
int chip_setup(const struct identity *identities, size_t n);
int chip_teardown(void **state);
void identity_make(const struct identity *identity);
/* decryption_identity: of a key that decrypts, or does Diffie-Hellman, without a certificate. */
void decryption_identity(const char *name, enum tt_key_type type, const char *password);
/* identity_certify: another certificate for its key, of another serial number. */
void identity_certify(const char *name, long serial);
/* file_put: a file of an identity; text NULL: removed. */
void file_put(const char *name, const char *file, const char *text);

/* begin / end: C_Initialize for threads, the slots listed; C_Finalize. */
void begin(void);
void end(void);
CK_SLOT_ID slot_named(const char *name); /* ~0: there is none */
CK_SESSION_HANDLE open_session(const char *name, CK_FLAGS more);
/* find_one: the only object of that class; 0: none. */
CK_OBJECT_HANDLE find_one(CK_SESSION_HANDLE s, CK_OBJECT_CLASS class);
/* get: an attribute, as OpenSSL's malloc'ed bytes would be: static, overwritten by the next call. */
size_t get(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type, uint8_t ret[4096]);
/* public_key: by libcrypto, from CKA_PUBLIC_KEY_INFO. */
EVP_PKEY *public_key(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o);

#endif
