/* pkcs11/template.h: attributes that an application gives, for something that is to be made. Layer: pkcs11.
 */
#ifndef PKCS11_TEMPLATE_H
#define PKCS11_TEMPLATE_H

#include "pkcs11/module.h"

/* template_is_whole: no value that is said to be there is missing. */
bool template_is_whole(const CK_ATTRIBUTE *template, CK_ULONG n);
const CK_ATTRIBUTE *template_find(const CK_ATTRIBUTE *template, CK_ULONG n, CK_ATTRIBUTE_TYPE type);
struct tt_bytes template_bytes(const CK_ATTRIBUTE *a); /* NULL: empty */
CK_RV template_ulong(CK_ULONG *ret, const CK_ATTRIBUTE *a);
/* template_demand_...: an attribute that is there has to have this value. */
CK_RV template_demand_ulong(const CK_ATTRIBUTE *template, CK_ULONG n, CK_ATTRIBUTE_TYPE type, CK_ULONG value);
CK_RV template_demand_bool(const CK_ATTRIBUTE *template, CK_ULONG n, CK_ATTRIBUTE_TYPE type, bool value);
CK_RV template_first_failure(const CK_RV *rvs, size_t n);

#endif
