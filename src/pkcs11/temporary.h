/* pkcs11/temporary.h: session objects: somebody else's public key, for verifying with it in software, and
 * what Diffie-Hellman gave. All sessions of the token see them; they end with the session that made them.
 * Layer: pkcs11. PKCS#11 2.40, section 4.4. */
#ifndef PKCS11_TEMPORARY_H
#define PKCS11_TEMPORARY_H

#include "pkcs11/session.h"

/* temporary_public_key: C_CreateObject of one. */
CK_RV temporary_public_key(struct session *s, const CK_ATTRIBUTE *template, CK_ULONG n,
                           CK_OBJECT_HANDLE_PTR ret);
/* temporary_secret: a secret key object of these bytes, CKK_GENERIC_SECRET unless the template says
 * otherwise. */
CK_RV temporary_secret(struct session *s, struct tt_bytes secret, CK_KEY_TYPE type, CK_OBJECT_HANDLE_PTR ret);

/* The others with module.mutex held, but for temporary_remove. */
bool temporary_remove(struct token *t, CK_OBJECT_HANDLE handle);
/* temporary_contents: a reference, or NULL. */
struct contents *temporary_contents(const struct token *t, CK_OBJECT_HANDLE handle);
/* temporaries_take: references to all of them; how many. */
size_t temporaries_take(const struct token *t, struct contents *ret[TOKEN_MAX_TEMPORARIES]);
/* temporaries_end: those of this session; 0: all. */
void temporaries_end(struct token *t, CK_SESSION_HANDLE session);

#endif
