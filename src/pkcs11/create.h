/* pkcs11/create.h: new keys and certificates, and their end: the identity's files are written. Layer: pkcs11.
 * PKCS#11 2.40, sections 4.1 (creating), 5.7 and 5.13. */
#ifndef PKCS11_CREATE_H
#define PKCS11_CREATE_H

#include "pkcs11/session.h"

/* create_key_pair: in an empty token. */
CK_RV create_key_pair(struct session *s, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR pub, CK_ULONG pub_len,
                      CK_ATTRIBUTE_PTR priv, CK_ULONG priv_len, CK_OBJECT_HANDLE_PTR ret_pub,
                      CK_OBJECT_HANDLE_PTR ret_priv);
/* create_object: a certificate. One for the token's key becomes the leaf; another one must be the issuer of
 * the last of the chain. */
CK_RV create_object(struct session *s, CK_ATTRIBUTE_PTR template, CK_ULONG n, CK_OBJECT_HANDLE_PTR ret);
/* destroy_object: only where TPMTLS_PKCS11_UNSAFE_DESTROY is set; a key at a handle stays in the TPM. */
CK_RV destroy_object(struct session *s, CK_OBJECT_HANDLE handle);

#endif
