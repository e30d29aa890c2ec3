/* lab/command.c: the table of commands, and reading one. Layer: lab. TPM 2.0 part 2, section 6.5.2 (codes)
 * and 12.2 (public areas). */
#include "lab/command.h"

#include <string.h>
#include <strings.h>
#include <tss2/tss2_tpm2_types.h>

static const struct lab_kind kinds[] = {
    {TPM2_CC_Sign, "Sign", 1, LAB_SIGN, false},
    {TPM2_CC_RSA_Decrypt, "RSA_Decrypt", 1, LAB_RSA_PRIVATE, false},
    {TPM2_CC_RSA_Encrypt, "RSA_Encrypt", 1, LAB_RSA_PUBLIC, false},
    {TPM2_CC_Create, "Create", 1, LAB_CREATE, true},
    {TPM2_CC_CreatePrimary, "CreatePrimary", 1, LAB_CREATE_PRIMARY, true},
    {TPM2_CC_CreateLoaded, "CreateLoaded", 1, LAB_CREATE, true},
    {TPM2_CC_Load, "Load", 1, LAB_LOAD, true},
    {TPM2_CC_LoadExternal, "LoadExternal", 0, LAB_SHORT, true},
    {TPM2_CC_ContextLoad, "ContextLoad", 0, LAB_CONTEXT, true},
    {TPM2_CC_ContextSave, "ContextSave", 1, LAB_CONTEXT, false},
    {TPM2_CC_FlushContext, "FlushContext", 0, LAB_SHORT, false}, /* its handle is a parameter */
    {TPM2_CC_EvictControl, "EvictControl", 2, LAB_CONTEXT, false},
    {TPM2_CC_ReadPublic, "ReadPublic", 1, LAB_SHORT, false},
    {TPM2_CC_GetCapability, "GetCapability", 0, LAB_SHORT, false},
    {TPM2_CC_TestParms, "TestParms", 0, LAB_SHORT, false},
    {TPM2_CC_GetRandom, "GetRandom", 0, LAB_SHORT, false},
    {TPM2_CC_StirRandom, "StirRandom", 0, LAB_SHORT, false},
    {TPM2_CC_Startup, "Startup", 0, LAB_SHORT, false},
    {TPM2_CC_Shutdown, "Shutdown", 0, LAB_SHORT, false},
    {TPM2_CC_SelfTest, "SelfTest", 0, LAB_SHORT, false},
    {TPM2_CC_Clear, "Clear", 1, LAB_SHORT, false},
    {TPM2_CC_ReadClock, "ReadClock", 0, LAB_SHORT, false},
    {TPM2_CC_Hash, "Hash", 0, LAB_SHORT, false},
    {TPM2_CC_HMAC, "HMAC", 1, LAB_HMAC, false},
    {TPM2_CC_HMAC_Start, "HMAC_Start", 1, LAB_SHORT, true},
    {TPM2_CC_HashSequenceStart, "HashSequenceStart", 0, LAB_SHORT, true},
    {TPM2_CC_SequenceUpdate, "SequenceUpdate", 1, LAB_SHORT, false},
    {TPM2_CC_SequenceComplete, "SequenceComplete", 1, LAB_HMAC, false},
    {0x000001a4, "SignSequenceComplete", 2, LAB_SIGN, false}, /* version 1.85 */
    {0x000001aa, "SignSequenceStart", 1, LAB_SHORT, true},
    {TPM2_CC_Unseal, "Unseal", 1, LAB_HMAC, false},
    {TPM2_CC_ObjectChangeAuth, "ObjectChangeAuth", 2, LAB_HMAC, false},
    {TPM2_CC_Import, "Import", 1, LAB_ECDH, false},
    {TPM2_CC_Duplicate, "Duplicate", 2, LAB_ECDH, false},
    {TPM2_CC_StartAuthSession, "StartAuthSession", 2, LAB_SESSION, false},
    {TPM2_CC_ECDH_KeyGen, "ECDH_KeyGen", 1, LAB_ECDH, false},
    {TPM2_CC_ECDH_ZGen, "ECDH_ZGen", 1, LAB_ECDH, false},
    {TPM2_CC_VerifySignature, "VerifySignature", 1, LAB_VERIFY, false},
    {TPM2_CC_Certify, "Certify", 2, LAB_SIGN, false},
    {TPM2_CC_CertifyCreation, "CertifyCreation", 2, LAB_SIGN, false},
    {TPM2_CC_Quote, "Quote", 1, LAB_SIGN, false},
    {TPM2_CC_GetTime, "GetTime", 2, LAB_SIGN, false},
    {TPM2_CC_MakeCredential, "MakeCredential", 1, LAB_ECDH, false},
    {TPM2_CC_ActivateCredential, "ActivateCredential", 2, LAB_ECDH, false},
    {TPM2_CC_PCR_Read, "PCR_Read", 0, LAB_SHORT, false},
    {TPM2_CC_PCR_Extend, "PCR_Extend", 1, LAB_SHORT, false},
    {TPM2_CC_PCR_Reset, "PCR_Reset", 1, LAB_SHORT, false},
    {TPM2_CC_PolicyPCR, "PolicyPCR", 1, LAB_SHORT, false},
    {TPM2_CC_PolicySecret, "PolicySecret", 2, LAB_SHORT, false},
    {TPM2_CC_PolicySigned, "PolicySigned", 2, LAB_VERIFY, false},
    {TPM2_CC_PolicyAuthorize, "PolicyAuthorize", 1, LAB_SHORT, false},
    {TPM2_CC_PolicyAuthValue, "PolicyAuthValue", 1, LAB_SHORT, false},
    {TPM2_CC_PolicyPassword, "PolicyPassword", 1, LAB_SHORT, false},
    {TPM2_CC_PolicyOR, "PolicyOR", 1, LAB_SHORT, false},
    {TPM2_CC_PolicyCommandCode, "PolicyCommandCode", 1, LAB_SHORT, false},
    {TPM2_CC_PolicyGetDigest, "PolicyGetDigest", 1, LAB_SHORT, false},
    {TPM2_CC_PolicyRestart, "PolicyRestart", 1, LAB_SHORT, false},
    {TPM2_CC_NV_DefineSpace, "NV_DefineSpace", 1, LAB_SHORT, false},
    {TPM2_CC_NV_UndefineSpace, "NV_UndefineSpace", 2, LAB_SHORT, false},
    {TPM2_CC_NV_ReadPublic, "NV_ReadPublic", 1, LAB_SHORT, false},
    {TPM2_CC_NV_Read, "NV_Read", 2, LAB_SHORT, false},
    {TPM2_CC_NV_Write, "NV_Write", 2, LAB_SHORT, false},
    {TPM2_CC_NV_Increment, "NV_Increment", 2, LAB_SHORT, false},
    {TPM2_CC_DictionaryAttackLockReset, "DictionaryAttackLockReset", 1, LAB_SHORT, false},
    {TPM2_CC_DictionaryAttackParameters, "DictionaryAttackParameters", 1, LAB_SHORT, false},
    {TPM2_CC_HierarchyChangeAuth, "HierarchyChangeAuth", 1, LAB_SHORT, false},
    {TPM2_CC_HierarchyControl, "HierarchyControl", 1, LAB_SHORT, false},
};

const struct lab_kind *lab_kind_find(uint32_t code)
{
    for (size_t i = 0; i < TT_COUNT(kinds); i++)
        if (kinds[i].code == code)
            return &kinds[i];
    return NULL;
}

const struct lab_kind *lab_kind_by_name(const char *name)
{
    if (strncasecmp(name, "TPM2_", 5) == 0)
        name += 5;
    for (size_t i = 0; i < TT_COUNT(kinds); i++)
        if (strcasecmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

struct lab_command lab_command_parse(struct tt_bytes bytes)
{
    struct reader r = reader_of(bytes);
    struct lab_command c = {.whole = bytes};
    c.tag = rd_u16(&r);
    (void)rd_u32(&r);
    c.code = rd_u32(&r);
    c.kind = lab_kind_find(c.code);
    if (c.kind == NULL)
        return c;
    for (unsigned i = 0; i < c.kind->handles; i++)
        c.handle[i] = rd_u32(&r);
    if (c.tag == TPM2_ST_SESSIONS)
        c.auth = rd_bytes(&r, rd_u32(&r));
    c.params = rd_rest(&r);
    if (rd_status(&r) != TT_OK)
        c.auth = c.params = (struct tt_bytes){NULL, 0};
    return c;
}

/* ---- public areas ---- */

/* TPMT_*_SCHEME+: a NULL scheme has no details; every other one that has any begins with its hash. */
static uint16_t scheme_read(struct lab_public *p, struct reader *r)
{
    p->scheme = rd_u16(r);
    switch (p->scheme) {
    case TPM2_ALG_NULL:
    case TPM2_ALG_RSAES:
        return 0;
    case TPM2_ALG_ECDAA: {
        uint16_t hash = rd_u16(r);
        (void)rd_u16(r);
        return hash;
    }
    default:
        return rd_u16(r);
    }
}

/* TPMT_SYM_DEF_OBJECT+ */
static void symmetric_skip(struct reader *r)
{
    if (rd_u16(r) != TPM2_ALG_NULL)
        (void)rd_u32(r); /* bits, mode */
}

struct lab_public lab_parms_parse(struct reader *r, uint16_t type)
{
    struct lab_public p = {.type = type};
    if (type == TPM2_ALG_RSA) {
        symmetric_skip(r);
        p.hash = scheme_read(&p, r);
        p.bits = rd_u16(r);
        (void)rd_u32(r);
    } else if (type == TPM2_ALG_ECC) {
        symmetric_skip(r);
        p.hash = scheme_read(&p, r);
        p.curve = rd_u16(r);
    }
    if (rd_status(r) != TT_OK)
        p = (struct lab_public){.type = 0};
    return p;
}

struct lab_public lab_public_parse(struct tt_bytes tpm2b_public)
{
    struct reader outer = reader_of(tpm2b_public);
    struct reader r = reader_of(rd_vec16(&outer, 0));
    uint16_t type = rd_u16(&r);
    uint16_t name_alg = rd_u16(&r);
    uint32_t attributes = rd_u32(&r);
    (void)rd_vec16(&r, 0); /* authPolicy */
    struct lab_public p = lab_parms_parse(&r, type);
    p.name_alg = name_alg;
    p.attributes = attributes;
    return p;
}

struct lab_public lab_command_public(const struct lab_command *c)
{
    struct reader r = reader_of(c->params);
    switch (c->code) {
    case TPM2_CC_TestParms: {
        uint16_t type = rd_u16(&r);
        return lab_parms_parse(&r, type);
    }
    case TPM2_CC_Create:
    case TPM2_CC_CreatePrimary:
    case TPM2_CC_CreateLoaded:
    case TPM2_CC_Load:
    case TPM2_CC_LoadExternal:
    case TPM2_CC_Import: /* first a TPM2B: inSensitive, inPrivate or encryptionKey */
        (void)rd_vec16(&r, 0);
        break;
    default:
        return (struct lab_public){.type = 0};
    }
    return lab_public_parse(rd_rest(&r));
}
