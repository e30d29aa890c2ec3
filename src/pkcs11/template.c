/* pkcs11/template.c: see template.h. Layer: pkcs11. */
#include "pkcs11/template.h"

#include <string.h>

bool template_is_whole(const CK_ATTRIBUTE *template, CK_ULONG n)
{
    for (CK_ULONG i = 0; template != NULL && i < n; i++)
        if (template[i].pValue == NULL && template[i].ulValueLen > 0)
            return false;
    return template != NULL || n == 0;
}

const CK_ATTRIBUTE *template_find(const CK_ATTRIBUTE *template, CK_ULONG n, CK_ATTRIBUTE_TYPE type)
{
    for (CK_ULONG i = 0; i < n; i++)
        if (template[i].type == type)
            return &template[i];
    return NULL;
}

struct tt_bytes template_bytes(const CK_ATTRIBUTE *a)
{
    return a == NULL ? (struct tt_bytes){NULL, 0} : (struct tt_bytes){a->pValue, a->ulValueLen};
}

CK_RV template_ulong(CK_ULONG *ret, const CK_ATTRIBUTE *a)
{
    if (a->ulValueLen != sizeof *ret)
        return CKR_ATTRIBUTE_VALUE_INVALID;
    memcpy(ret, a->pValue, sizeof *ret);
    return CKR_OK;
}

CK_RV template_demand_ulong(const CK_ATTRIBUTE *template, CK_ULONG n, CK_ATTRIBUTE_TYPE type, CK_ULONG value)
{
    CK_ULONG v = 0;
    const CK_ATTRIBUTE *a = template_find(template, n, type);
    CK_RV rv = a == NULL ? CKR_OK : template_ulong(&v, a);
    return rv == CKR_OK && a != NULL && v != value ? CKR_TEMPLATE_INCONSISTENT : rv;
}

CK_RV template_demand_bool(const CK_ATTRIBUTE *template, CK_ULONG n, CK_ATTRIBUTE_TYPE type, bool value)
{
    const CK_ATTRIBUTE *a = template_find(template, n, type);
    if (a == NULL)
        return CKR_OK;
    if (a->ulValueLen != sizeof(CK_BBOOL))
        return CKR_ATTRIBUTE_VALUE_INVALID;
    return (*(const CK_BBOOL *)a->pValue != CK_FALSE) == value ? CKR_OK : CKR_TEMPLATE_INCONSISTENT;
}

CK_RV template_first_failure(const CK_RV *rvs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (rvs[i] != CKR_OK)
            return rvs[i];
    return CKR_OK;
}
