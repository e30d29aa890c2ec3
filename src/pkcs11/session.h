/* pkcs11/session.h: sessions, with what is under way in them. Layer: pkcs11. */
#ifndef PKCS11_SESSION_H
#define PKCS11_SESSION_H

#include "pkcs11/mechanism.h"
#include "pkcs11/module.h"

/* struct operation: a digest, a signature or a verification between Init and its end. */
struct operation {
    bool active, updated; /* updated: by parts, so it ends with Final */
    struct request request;
    struct contents *contents;   /* of the key; a reference */
    struct apart_digest *digest; /* where the mechanism has a hash */
    uint8_t data[RAW_SIGNATURE_MAX];
    size_t data_len; /* else: what is signed as it is */
};
void operation_end(struct operation *op);

#define FOUND_MAX (TOKEN_MAX_CERTS + 2 + TOKEN_MAX_TEMPORARIES)

struct session {
    CK_SESSION_HANDLE handle;
    struct token *token;
    bool is_rw;
    atomic_bool closed;
    unsigned refs;
    struct mutex mutex;
    struct operation digest, sign, verify, decrypt;
    bool finding;
    CK_OBJECT_HANDLE found[FOUND_MAX];
    size_t found_len, found_at;
};

CK_RV p11_session_open(CK_SLOT_ID slot, CK_FLAGS flags, CK_SESSION_HANDLE_PTR ret);
CK_RV p11_session_close(CK_SESSION_HANDLE handle);
CK_RV p11_session_close_all(CK_SLOT_ID slot);
/* session_take: find it and keep others out; session_give after that. */
CK_RV session_take(struct session **ret, CK_SESSION_HANDLE handle);
void session_give(struct session *s);
void sessions_free(void);

CK_RV session_info(const struct session *s, CK_SESSION_INFO_PTR info);
CK_RV session_login(struct session *s, CK_USER_TYPE user, const CK_UTF8CHAR *pin, CK_ULONG len);
CK_RV session_logout(struct session *s);
CK_RV session_cancel(struct session *s, CK_FLAGS flags);

#endif
