/* pkcs11/object.h: what a token holds, as objects with attributes. Layer: pkcs11. PKCS#11 2.40, sections 4
 * and 5.7.
 *
 * A handle is the generation of the file that the object comes from, and its place: it stays valid as long as
 * that file says the same. A session object (temporary.h) has a generation of its own. */
#ifndef PKCS11_OBJECT_H
#define PKCS11_OBJECT_H

#include "pkcs11/session.h"

/* struct object: a view into contents. */
struct object {
    const struct token *token;
    const struct contents *contents;
    CK_OBJECT_CLASS class;
    const struct cert_object *cert; /* of a certificate */
};
/* object_find: CKR_OBJECT_HANDLE_INVALID; CKR_USER_NOT_LOGGED_IN for one that is private. */
CK_RV object_find(struct object *ret, const struct token *t, const struct contents *c, bool logged_in,
                  CK_OBJECT_HANDLE handle);
/* object_contents: with module.mutex held: a reference to what may hold the object of this handle. */
struct contents *object_contents(struct token *t, CK_OBJECT_HANDLE handle);
CK_OBJECT_HANDLE object_handle(const struct contents *c, CK_OBJECT_CLASS class, size_t cert);

/* The calls. */
CK_RV object_get_attributes(struct session *s, CK_OBJECT_HANDLE handle, CK_ATTRIBUTE_PTR template,
                            CK_ULONG n);
CK_RV object_set_attributes(struct session *s, CK_OBJECT_HANDLE handle, CK_ATTRIBUTE_PTR template,
                            CK_ULONG n);
CK_RV object_size(struct session *s, CK_OBJECT_HANDLE handle, CK_ULONG_PTR ret);
CK_RV object_search(struct session *s, CK_ATTRIBUTE_PTR template, CK_ULONG n);
CK_RV object_search_next(struct session *s, CK_OBJECT_HANDLE_PTR ret, CK_ULONG max, CK_ULONG_PTR n);
CK_RV object_search_end(struct session *s);

/* objects_may_be_destroyed: TPMTLS_PKCS11_UNSAFE_DESTROY is set. */
bool objects_may_be_destroyed(void);

#endif
