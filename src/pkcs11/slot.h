/* pkcs11/slot.h: slots and tokens as an application asks for them. Layer: pkcs11. PKCS#11 2.40, sections 5.4
 * and 5.5. */
#ifndef PKCS11_SLOT_H
#define PKCS11_SLOT_H

#include "pkcs11/module.h"

CK_RV library_info(CK_INFO_PTR info);
CK_RV slot_list(CK_SLOT_ID_PTR list, CK_ULONG_PTR n);
CK_RV slot_info(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info);
CK_RV token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info);
CK_RV mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR n);
CK_RV mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info);
/* slot_check: CKR_SLOT_ID_INVALID, CKR_TOKEN_NOT_PRESENT. */
CK_RV slot_check(CK_SLOT_ID slot);

#endif
