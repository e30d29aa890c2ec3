/* pkcs11/functions.c: the face: every function of PKCS#11 2.40 and 3.0, and the lists of them. Layer: pkcs11.
 * Here a call is let in: the module has to be initialised in this process, the session has to be there. What
 * is done then stands in the files that are included below. A function that the module does not have says so,
 * after the same questions. */
#include <string.h>

#include "pkcs11/create.h"
#include "pkcs11/crypt.h"
#include "pkcs11/object.h"
#include "pkcs11/slot.h"

#define EXPORTED __attribute__((visibility("default")))

/* CALL: a function that needs the module only. */
#define CALL(expression)                                                                                     \
    do {                                                                                                     \
        CK_RV rv_ = module_begin();                                                                          \
        if (rv_ != CKR_OK)                                                                                   \
            return rv_;                                                                                      \
        rv_ = (expression);                                                                                  \
        module_end();                                                                                        \
        return rv_;                                                                                          \
    } while (0)

/* CALL_IN: one in a session, which is `s` in the expression. */
#define CALL_IN(handle, expression)                                                                          \
    do {                                                                                                     \
        struct session *s;                                                                                   \
        CK_RV rv_ = module_begin();                                                                          \
        if (rv_ != CKR_OK)                                                                                   \
            return rv_;                                                                                      \
        rv_ = session_take(&s, handle);                                                                      \
        if (rv_ == CKR_OK) {                                                                                 \
            rv_ = (expression);                                                                              \
            session_give(s);                                                                                 \
        }                                                                                                    \
        module_end();                                                                                        \
        return rv_;                                                                                          \
    } while (0)

/* NOT_HERE: a function of a session that the module does not have. */
#define NOT_HERE(handle) CALL_IN(handle, ((void)s, CKR_FUNCTION_NOT_SUPPORTED))

#define UNUSED __attribute__((unused))

/* ---- general purpose, section 5.4 ---- */

CK_RV C_Initialize(void *args)
{
    return module_initialize(args);
}

CK_RV C_Finalize(void *reserved)
{
    if (reserved != NULL)
        return CKR_ARGUMENTS_BAD;
    return module_finalize();
}

CK_RV C_GetInfo(CK_INFO_PTR info)
{
    CALL(library_info(info));
}

/* ---- slots and tokens, section 5.5 ---- */

CK_RV C_GetSlotList(CK_BBOOL UNUSED token_present, CK_SLOT_ID_PTR list, CK_ULONG_PTR n)
{
    CALL(slot_list(list, n)); /* a slot without a token is not listed */
}

CK_RV C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info)
{
    CALL(slot_info(slot, info));
}

CK_RV C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
    CALL(token_info(slot, info));
}

CK_RV C_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID_PTR slot, void *reserved)
{
    CALL(slot == NULL || reserved != NULL ? CKR_ARGUMENTS_BAD
         : (flags & CKF_DONT_BLOCK) != 0  ? CKR_NO_EVENT
                                          : CKR_FUNCTION_NOT_SUPPORTED);
}

CK_RV C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR n)
{
    CALL(mechanism_list(slot, list, n));
}

CK_RV C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info)
{
    CALL(mechanism_info(slot, type, info));
}

CK_RV C_InitToken(CK_SLOT_ID slot, CK_UTF8CHAR_PTR UNUSED pin, CK_ULONG UNUSED pin_len,
                  CK_UTF8CHAR_PTR UNUSED label)
{
    CK_RV rv = CKR_OK;
    CALL((rv = slot_check(slot)) != CKR_OK ? rv : CKR_FUNCTION_NOT_SUPPORTED);
}

CK_RV C_InitPIN(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR UNUSED pin, CK_ULONG UNUSED len)
{
    NOT_HERE(session);
}

CK_RV C_SetPIN(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR UNUSED old, CK_ULONG UNUSED old_len,
               CK_UTF8CHAR_PTR UNUSED pin, CK_ULONG UNUSED len)
{
    NOT_HERE(session);
}

/* ---- sessions, section 5.6 ---- */

CK_RV C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void UNUSED *application, CK_NOTIFY UNUSED notify,
                    CK_SESSION_HANDLE_PTR session)
{
    CALL(p11_session_open(slot, flags, session));
}

CK_RV C_CloseSession(CK_SESSION_HANDLE session)
{
    CALL(p11_session_close(session));
}

CK_RV C_CloseAllSessions(CK_SLOT_ID slot)
{
    CALL(p11_session_close_all(slot));
}

CK_RV C_GetSessionInfo(CK_SESSION_HANDLE session, CK_SESSION_INFO_PTR info)
{
    CALL_IN(session, session_info(s, info));
}

CK_RV C_GetOperationState(CK_SESSION_HANDLE session, CK_BYTE_PTR UNUSED state, CK_ULONG_PTR UNUSED len)
{
    NOT_HERE(session);
}

CK_RV C_SetOperationState(CK_SESSION_HANDLE session, CK_BYTE_PTR UNUSED state, CK_ULONG UNUSED len,
                          CK_OBJECT_HANDLE UNUSED encryption, CK_OBJECT_HANDLE UNUSED authentication)
{
    NOT_HERE(session);
}

CK_RV C_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG len)
{
    CALL_IN(session, session_login(s, user, pin, len));
}

CK_RV C_Logout(CK_SESSION_HANDLE session)
{
    CALL_IN(session, session_logout(s));
}

/* ---- objects, section 5.7 ---- */

CK_RV C_CreateObject(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR template, CK_ULONG n,
                     CK_OBJECT_HANDLE_PTR object)
{
    CALL_IN(session, create_object(s, template, n, object));
}

CK_RV C_CopyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE UNUSED object,
                   CK_ATTRIBUTE_PTR UNUSED template, CK_ULONG UNUSED n, CK_OBJECT_HANDLE_PTR UNUSED copy)
{
    NOT_HERE(session);
}

CK_RV C_DestroyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    CALL_IN(session, destroy_object(s, object));
}

CK_RV C_GetObjectSize(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ULONG_PTR size)
{
    CALL_IN(session, object_size(s, object, size));
}

CK_RV C_GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR template,
                          CK_ULONG n)
{
    CALL_IN(session, object_get_attributes(s, object, template, n));
}

CK_RV C_SetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR template,
                          CK_ULONG n)
{
    CALL_IN(session, object_set_attributes(s, object, template, n));
}

CK_RV C_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR template, CK_ULONG n)
{
    CALL_IN(session, object_search(s, template, n));
}

CK_RV C_FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR objects, CK_ULONG max, CK_ULONG_PTR n)
{
    CALL_IN(session, object_search_next(s, objects, max, n));
}

CK_RV C_FindObjectsFinal(CK_SESSION_HANDLE session)
{
    CALL_IN(session, object_search_end(s));
}

/* ---- encryption, section 5.8: none; decryption, section 5.9 ---- */

CK_RV C_EncryptInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR UNUSED m, CK_OBJECT_HANDLE UNUSED key)
{
    NOT_HERE(session);
}

CK_RV C_Encrypt(CK_SESSION_HANDLE session, CK_BYTE_PTR UNUSED in, CK_ULONG UNUSED in_len,
                CK_BYTE_PTR UNUSED out, CK_ULONG_PTR UNUSED out_len)
{
    NOT_HERE(session);
}

CK_RV C_EncryptUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR UNUSED in, CK_ULONG UNUSED in_len,
                      CK_BYTE_PTR UNUSED out, CK_ULONG_PTR UNUSED out_len)
{
    NOT_HERE(session);
}

CK_RV C_EncryptFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR UNUSED out, CK_ULONG_PTR UNUSED out_len)
{
    NOT_HERE(session);
}

CK_RV C_DecryptInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key)
{
    CALL_IN(session, decrypt_init(s, m, key));
}

CK_RV C_Decrypt(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG in_len, CK_BYTE_PTR out,
                CK_ULONG_PTR out_len)
{
    CALL_IN(session, decrypt_whole(s, in, in_len, out, out_len));
}

CK_RV C_DecryptUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR UNUSED in, CK_ULONG UNUSED in_len,
                      CK_BYTE_PTR UNUSED out, CK_ULONG_PTR UNUSED out_len)
{
    NOT_HERE(session);
}

CK_RV C_DecryptFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR UNUSED out, CK_ULONG_PTR UNUSED out_len)
{
    NOT_HERE(session);
}

/* ---- digests, section 5.10 ---- */

CK_RV C_DigestInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m)
{
    CALL_IN(session, digest_init(s, m));
}

CK_RV C_Digest(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG data_len, CK_BYTE_PTR digest,
               CK_ULONG_PTR len)
{
    CALL_IN(session, digest_whole(s, data, data_len, digest, len));
}

CK_RV C_DigestUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG len)
{
    CALL_IN(session, digest_update(s, part, len));
}

CK_RV C_DigestKey(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE UNUSED key)
{
    CALL_IN(session, s->digest.active ? CKR_KEY_INDIGESTIBLE : CKR_OPERATION_NOT_INITIALIZED);
}

CK_RV C_DigestFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR digest, CK_ULONG_PTR len)
{
    CALL_IN(session, digest_final(s, digest, len));
}

/* ---- signatures, section 5.11 ---- */

CK_RV C_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key)
{
    CALL_IN(session, sign_init(s, m, key));
}

CK_RV C_Sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG data_len, CK_BYTE_PTR sig,
             CK_ULONG_PTR len)
{
    CALL_IN(session, sign_whole(s, data, data_len, sig, len));
}

CK_RV C_SignUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG len)
{
    CALL_IN(session, sign_update(s, part, len));
}

CK_RV C_SignFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR sig, CK_ULONG_PTR len)
{
    CALL_IN(session, sign_final(s, sig, len));
}

CK_RV C_SignRecoverInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR UNUSED m, CK_OBJECT_HANDLE UNUSED key)
{
    NOT_HERE(session);
}

CK_RV C_SignRecover(CK_SESSION_HANDLE session, CK_BYTE_PTR UNUSED in, CK_ULONG UNUSED in_len,
                    CK_BYTE_PTR UNUSED out, CK_ULONG_PTR UNUSED out_len)
{
    NOT_HERE(session);
}

/* ---- verification, section 5.12 ---- */

CK_RV C_VerifyInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key)
{
    CALL_IN(session, verify_init(s, m, key));
}

CK_RV C_Verify(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG data_len, CK_BYTE_PTR sig, CK_ULONG len)
{
    CALL_IN(session, verify_whole(s, data, data_len, sig, len));
}

CK_RV C_VerifyUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG len)
{
    CALL_IN(session, verify_update(s, part, len));
}

CK_RV C_VerifyFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR sig, CK_ULONG len)
{
    CALL_IN(session, verify_final(s, sig, len));
}

CK_RV C_VerifyRecoverInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR UNUSED m, CK_OBJECT_HANDLE UNUSED key)
{
    NOT_HERE(session);
}

CK_RV C_VerifyRecover(CK_SESSION_HANDLE session, CK_BYTE_PTR UNUSED in, CK_ULONG UNUSED in_len,
                      CK_BYTE_PTR UNUSED out, CK_ULONG_PTR UNUSED out_len)
{
    NOT_HERE(session);
}

/* ---- two at once, section 5.13: none ---- */

CK_RV C_DigestEncryptUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR UNUSED in, CK_ULONG UNUSED in_len,
                            CK_BYTE_PTR UNUSED out, CK_ULONG_PTR UNUSED out_len)
{
    NOT_HERE(session);
}

CK_RV C_DecryptDigestUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR UNUSED in, CK_ULONG UNUSED in_len,
                            CK_BYTE_PTR UNUSED out, CK_ULONG_PTR UNUSED out_len)
{
    NOT_HERE(session);
}

CK_RV C_SignEncryptUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR UNUSED in, CK_ULONG UNUSED in_len,
                          CK_BYTE_PTR UNUSED out, CK_ULONG_PTR UNUSED out_len)
{
    NOT_HERE(session);
}

CK_RV C_DecryptVerifyUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR UNUSED in, CK_ULONG UNUSED in_len,
                            CK_BYTE_PTR UNUSED out, CK_ULONG_PTR UNUSED out_len)
{
    NOT_HERE(session);
}

/* ---- keys, section 5.14 ---- */

CK_RV C_GenerateKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR UNUSED m, CK_ATTRIBUTE_PTR UNUSED template,
                    CK_ULONG UNUSED n, CK_OBJECT_HANDLE_PTR UNUSED object)
{
    NOT_HERE(session);
}

CK_RV C_GenerateKeyPair(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR pub, CK_ULONG pub_len,
                        CK_ATTRIBUTE_PTR priv, CK_ULONG priv_len, CK_OBJECT_HANDLE_PTR pub_key,
                        CK_OBJECT_HANDLE_PTR priv_key)
{
    CALL_IN(session, create_key_pair(s, m, pub, pub_len, priv, priv_len, pub_key, priv_key));
}

CK_RV C_WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR UNUSED m, CK_OBJECT_HANDLE UNUSED key,
                CK_OBJECT_HANDLE UNUSED wrapped, CK_BYTE_PTR UNUSED out, CK_ULONG_PTR UNUSED out_len)
{
    NOT_HERE(session);
}

CK_RV C_UnwrapKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR UNUSED m, CK_OBJECT_HANDLE UNUSED key,
                  CK_BYTE_PTR UNUSED in, CK_ULONG UNUSED in_len, CK_ATTRIBUTE_PTR UNUSED template,
                  CK_ULONG UNUSED n, CK_OBJECT_HANDLE_PTR UNUSED object)
{
    NOT_HERE(session);
}

CK_RV C_DeriveKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key,
                  CK_ATTRIBUTE_PTR template, CK_ULONG n, CK_OBJECT_HANDLE_PTR object)
{
    CALL_IN(session, derive_key(s, m, key, template, n, object));
}

/* ---- random numbers, section 5.15; legacy, section 5.16 ---- */

CK_RV C_SeedRandom(CK_SESSION_HANDLE session, CK_BYTE_PTR UNUSED seed, CK_ULONG UNUSED len)
{
    CALL_IN(session, ((void)s, CKR_RANDOM_SEED_NOT_SUPPORTED));
}

CK_RV C_GenerateRandom(CK_SESSION_HANDLE session, CK_BYTE_PTR to, CK_ULONG n)
{
    CALL_IN(session, ((void)s, random_generate(to, n)));
}

CK_RV C_GetFunctionStatus(CK_SESSION_HANDLE session)
{
    CALL_IN(session, ((void)s, CKR_FUNCTION_NOT_PARALLEL));
}

CK_RV C_CancelFunction(CK_SESSION_HANDLE session)
{
    CALL_IN(session, ((void)s, CKR_FUNCTION_NOT_PARALLEL));
}

/* ---- 3.0 ---- */

static CK_RV v3_LoginUser(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG len,
                          CK_UTF8CHAR_PTR UNUSED name, CK_ULONG UNUSED name_len)
{
    CALL_IN(session, session_login(s, user, pin, len)); /* whoever has the PIN is the user */
}

static CK_RV v3_SessionCancel(CK_SESSION_HANDLE session, CK_FLAGS flags)
{
    CALL_IN(session, session_cancel(s, flags));
}

static CK_RV v3_message_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR UNUSED m,
                             CK_OBJECT_HANDLE UNUSED key)
{
    NOT_HERE(session);
}

static CK_RV v3_message(CK_SESSION_HANDLE session, void UNUSED *parameter, CK_ULONG UNUSED parameter_len,
                        CK_BYTE_PTR UNUSED aad, CK_ULONG UNUSED aad_len, CK_BYTE_PTR UNUSED in,
                        CK_ULONG UNUSED in_len, CK_BYTE_PTR UNUSED out, CK_ULONG_PTR UNUSED out_len)
{
    NOT_HERE(session);
}

static CK_RV v3_message_begin(CK_SESSION_HANDLE session, void UNUSED *parameter,
                              CK_ULONG UNUSED parameter_len, CK_BYTE_PTR UNUSED aad, CK_ULONG UNUSED aad_len)
{
    NOT_HERE(session);
}

static CK_RV v3_message_next(CK_SESSION_HANDLE session, void UNUSED *parameter, CK_ULONG UNUSED parameter_len,
                             CK_BYTE_PTR UNUSED in, CK_ULONG UNUSED in_len, CK_BYTE_PTR UNUSED out,
                             CK_ULONG_PTR UNUSED out_len, CK_FLAGS UNUSED flags)
{
    NOT_HERE(session);
}

static CK_RV v3_message_final(CK_SESSION_HANDLE session)
{
    NOT_HERE(session);
}

static CK_RV v3_sign_message(CK_SESSION_HANDLE session, void UNUSED *parameter, CK_ULONG UNUSED parameter_len,
                             CK_BYTE_PTR UNUSED in, CK_ULONG UNUSED in_len, CK_BYTE_PTR UNUSED out,
                             CK_ULONG_PTR UNUSED out_len)
{
    NOT_HERE(session);
}

static CK_RV v3_sign_message_begin(CK_SESSION_HANDLE session, void UNUSED *parameter,
                                   CK_ULONG UNUSED parameter_len)
{
    NOT_HERE(session);
}

static CK_RV v3_verify_message(CK_SESSION_HANDLE session, void UNUSED *parameter,
                               CK_ULONG UNUSED parameter_len, CK_BYTE_PTR UNUSED in, CK_ULONG UNUSED in_len,
                               CK_BYTE_PTR UNUSED sig, CK_ULONG UNUSED sig_len)
{
    NOT_HERE(session);
}

/* ---- the lists ---- */

static CK_FUNCTION_LIST functions_2_40 = {
    .version = {2, 40},
#define CRYPTOKI_2_40(name) .name = name,
#include "pkcs11/functions_2_40.h"
#undef CRYPTOKI_2_40
};

EXPORTED CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
    if (list == NULL)
        return CKR_ARGUMENTS_BAD;
    *list = &functions_2_40;
    return CKR_OK;
}

EXPORTED CK_RV C_GetInterfaceList(CK_INTERFACE_PTR list, CK_ULONG_PTR n);
EXPORTED CK_RV C_GetInterface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR interface,
                              CK_FLAGS flags);

static CK_FUNCTION_LIST_3_0 functions_3_0 = {
    .version = {3, 0},
#define CRYPTOKI_2_40(name) .name = name,
#include "pkcs11/functions_2_40.h"
#undef CRYPTOKI_2_40
    .C_GetInterfaceList = C_GetInterfaceList,
    .C_GetInterface = C_GetInterface,
    .C_LoginUser = v3_LoginUser,
    .C_SessionCancel = v3_SessionCancel,
    .C_MessageEncryptInit = v3_message_init,
    .C_EncryptMessage = v3_message,
    .C_EncryptMessageBegin = v3_message_begin,
    .C_EncryptMessageNext = v3_message_next,
    .C_MessageEncryptFinal = v3_message_final,
    .C_MessageDecryptInit = v3_message_init,
    .C_DecryptMessage = v3_message,
    .C_DecryptMessageBegin = v3_message_begin,
    .C_DecryptMessageNext = v3_message_next,
    .C_MessageDecryptFinal = v3_message_final,
    .C_MessageSignInit = v3_message_init,
    .C_SignMessage = v3_sign_message,
    .C_SignMessageBegin = v3_sign_message_begin,
    .C_SignMessageNext = v3_sign_message,
    .C_MessageSignFinal = v3_message_final,
    .C_MessageVerifyInit = v3_message_init,
    .C_VerifyMessage = v3_verify_message,
    .C_VerifyMessageBegin = v3_sign_message_begin,
    .C_VerifyMessageNext = v3_verify_message,
    .C_MessageVerifyFinal = v3_message_final,
};

/* The default comes first (3.0, section 5.4, C_GetInterface). p11-kit's headers disagree about the sign of
 * the name's characters. */
static CK_INTERFACE interfaces[] = {{(void *)(uintptr_t) "PKCS 11", &functions_3_0, 0},
                                    {(void *)(uintptr_t) "PKCS 11", &functions_2_40, 0}};

CK_RV C_GetInterfaceList(CK_INTERFACE_PTR list, CK_ULONG_PTR n)
{
    if (n == NULL)
        return CKR_ARGUMENTS_BAD;
    CK_ULONG room = *n;
    *n = TT_COUNT(interfaces);
    if (list == NULL)
        return CKR_OK;
    if (room < TT_COUNT(interfaces))
        return CKR_BUFFER_TOO_SMALL;
    memcpy(list, interfaces, sizeof interfaces);
    return CKR_OK;
}

CK_RV C_GetInterface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR interface,
                     CK_FLAGS flags)
{
    if (interface == NULL)
        return CKR_ARGUMENTS_BAD;
    for (size_t i = 0; i < TT_COUNT(interfaces); i++) {
        const CK_VERSION *has = interfaces[i].pFunctionList; /* every list starts with it */
        if ((name == NULL || strcmp((const char *)name, (const char *)interfaces[i].pInterfaceName) == 0) &&
            (version == NULL || (version->major == has->major && version->minor == has->minor)) &&
            (flags & ~interfaces[i].flags) == 0) {
            *interface = &interfaces[i];
            return CKR_OK;
        }
    }
    return CKR_FUNCTION_FAILED;
}
