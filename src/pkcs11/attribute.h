/* pkcs11/attribute.h: the value of an attribute of an object. Layer: pkcs11. */
#ifndef PKCS11_ATTRIBUTE_H
#define PKCS11_ATTRIBUTE_H

#include "pkcs11/object.h"

/* struct value: bytes of the object's, or of its own. */
struct value {
    struct tt_bytes bytes;
    uint8_t own[256];
};
/* attribute_value: CKR_ATTRIBUTE_TYPE_INVALID: the object has no such attribute; CKR_ATTRIBUTE_SENSITIVE: it
 * is not told. */
CK_RV attribute_value(struct value *ret, const struct object *o, CK_ATTRIBUTE_TYPE type);

#endif
