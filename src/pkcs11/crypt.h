/* pkcs11/crypt.h: digests, signatures, verifications, random numbers. Layer: pkcs11. PKCS#11 2.40, sections
 * 5.10, 5.11, 5.12 and 5.15. Only a signature asks the TPM for anything. */
#ifndef PKCS11_CRYPT_H
#define PKCS11_CRYPT_H

#include "pkcs11/session.h"

CK_RV digest_init(struct session *s, CK_MECHANISM_PTR m);
CK_RV digest_update(struct session *s, CK_BYTE_PTR part, CK_ULONG len);
CK_RV digest_final(struct session *s, CK_BYTE_PTR digest, CK_ULONG_PTR len);
CK_RV digest_whole(struct session *s, CK_BYTE_PTR data, CK_ULONG data_len, CK_BYTE_PTR digest,
                   CK_ULONG_PTR len);

CK_RV sign_init(struct session *s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key);
CK_RV sign_update(struct session *s, CK_BYTE_PTR part, CK_ULONG len);
CK_RV sign_final(struct session *s, CK_BYTE_PTR sig, CK_ULONG_PTR len);
CK_RV sign_whole(struct session *s, CK_BYTE_PTR data, CK_ULONG data_len, CK_BYTE_PTR sig, CK_ULONG_PTR len);

CK_RV verify_init(struct session *s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key);
CK_RV verify_update(struct session *s, CK_BYTE_PTR part, CK_ULONG len);
CK_RV verify_final(struct session *s, CK_BYTE_PTR sig, CK_ULONG len);
CK_RV verify_whole(struct session *s, CK_BYTE_PTR data, CK_ULONG data_len, CK_BYTE_PTR sig, CK_ULONG len);

CK_RV decrypt_init(struct session *s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key);
CK_RV decrypt_whole(struct session *s, CK_BYTE_PTR cipher, CK_ULONG cipher_len, CK_BYTE_PTR plain,
                    CK_ULONG_PTR len);
/* derive_key: what Diffie-Hellman gives, as a session object. */
CK_RV derive_key(struct session *s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE base, CK_ATTRIBUTE_PTR template,
                 CK_ULONG n, CK_OBJECT_HANDLE_PTR ret);
CK_RV random_generate(CK_BYTE_PTR to, CK_ULONG n);

#endif
