/* pkcs11/session.c: see session.h. Layer: pkcs11. PKCS#11 2.40, section 5.6. */
#include "pkcs11/session.h"

#include <string.h>

#include "pkcs11/temporary.h"
#include "pkcs11/vault.h"

#define NUMBER_BITS                                                                                          \
    20 /* of a handle: its place; above it a serial number, so that an old one is not reused */
#define SESSIONS_MAX ((size_t)1 << NUMBER_BITS)

void operation_end(struct operation *op)
{
    contents_free(op->contents);
    apart_digest_free(op->digest);
    mem_wipe(op, sizeof *op);
}

static void session_destroy(struct session *s)
{
    operation_end(&s->digest);
    operation_end(&s->sign);
    operation_end(&s->verify);
    operation_end(&s->decrypt);
    mutex_destroy(&s->mutex);
    mem_free(s);
}

/* With module.mutex held. */
static void unref(struct session *s)
{
    if (--s->refs == 0)
        session_destroy(s);
}

static struct session *session_find(CK_SESSION_HANDLE handle)
{
    size_t place = handle & (SESSIONS_MAX - 1);
    struct session *s = place < module.sessions_cap ? module.sessions[place] : NULL;
    return s != NULL && s->handle == handle ? s : NULL;
}

CK_RV session_take(struct session **ret, CK_SESSION_HANDLE handle)
{
    mutex_take(&module.mutex);
    struct session *s = session_find(handle);
    if (s != NULL)
        s->refs++;
    mutex_give(&module.mutex);
    if (s == NULL)
        return CKR_SESSION_HANDLE_INVALID;
    mutex_take(&s->mutex);
    *ret = s;
    if (!s->closed)
        return CKR_OK;
    session_give(s);
    return CKR_SESSION_CLOSED;
}

void session_give(struct session *s)
{
    mutex_give(&s->mutex);
    mutex_take(&module.mutex);
    unref(s);
    mutex_give(&module.mutex);
}

/* ---- opening ---- */

static CK_RV free_place(size_t *ret)
{
    for (size_t i = 0; module.sessions_open < module.sessions_cap && i < module.sessions_cap; i++)
        if (module.sessions[i] == NULL) {
            *ret = i;
            return CKR_OK;
        }
    size_t cap = module.sessions_cap == 0 ? 16 : 2 * module.sessions_cap;
    if (cap > SESSIONS_MAX)
        return CKR_SESSION_COUNT;
    struct session **more = mem_resize(module.sessions, cap * sizeof(struct session *));
    if (more == NULL)
        return CKR_HOST_MEMORY;
    *ret = module.sessions_cap;
    module.sessions = more;
    module.sessions_cap = cap;
    return CKR_OK;
}

static CK_RV session_add(struct token *t, bool is_rw, CK_SESSION_HANDLE *ret)
{
    size_t place;
    CK_RV rv = free_place(&place);
    if (rv != CKR_OK)
        return rv;
    struct session *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return CKR_HOST_MEMORY;
    rv = mutex_init(&s->mutex, &module.maker);
    if (rv != CKR_OK) {
        mem_free(s);
        return CKR_FUNCTION_FAILED;
    }
    s->token = t;
    s->is_rw = is_rw;
    s->refs = 1;
    *ret = s->handle = ++module.sessions_made << NUMBER_BITS | place;
    module.sessions[place] = s;
    module.sessions_open++;
    t->sessions++;
    t->rw_sessions += is_rw;
    return CKR_OK;
}

CK_RV p11_session_open(CK_SLOT_ID slot, CK_FLAGS flags, CK_SESSION_HANDLE_PTR ret)
{
    if (ret == NULL)
        return CKR_ARGUMENTS_BAD;
    if ((flags & CKF_SERIAL_SESSION) == 0)
        return CKR_SESSION_PARALLEL_NOT_SUPPORTED;
    mutex_take(&module.mutex);
    struct token *t = token_of_slot(slot);
    CK_RV rv = t == NULL     ? CKR_SLOT_ID_INVALID
               : !t->present ? CKR_TOKEN_NOT_PRESENT
                             : session_add(t, (flags & CKF_RW_SESSION) != 0, ret);
    mutex_give(&module.mutex);
    return rv;
}

/* ---- closing ---- */

static void forget_login(struct token *t)
{
    t->logged_in = false;
    t->pin_len = 0;
    mem_wipe(t->pin, sizeof t->pin);
}

/* With module.mutex held. True: it was the token's last one, which ends the login. */
static bool session_remove(struct session *s)
{
    struct token *t = s->token;
    module.sessions[s->handle & (SESSIONS_MAX - 1)] = NULL;
    module.sessions_open--;
    s->closed = true;
    t->rw_sessions -= s->is_rw;
    temporaries_end(t, s->handle);
    bool last = --t->sessions == 0;
    if (last)
        forget_login(t);
    unref(s);
    return last;
}

/* What is no longer needed after sessions were closed: a token's key, or the whole TPM. */
static void give_back(struct token *t, bool last, bool none_left)
{
    if (none_left)
        vault_close();
    else if (last)
        vault_logout(t);
}

CK_RV p11_session_close(CK_SESSION_HANDLE handle)
{
    mutex_take(&module.mutex);
    struct session *s = session_find(handle);
    struct token *t = s == NULL ? NULL : s->token;
    bool last = s != NULL && session_remove(s), none_left = module.sessions_open == 0;
    mutex_give(&module.mutex);
    if (s == NULL)
        return CKR_SESSION_HANDLE_INVALID;
    give_back(t, last, none_left);
    return CKR_OK;
}

CK_RV p11_session_close_all(CK_SLOT_ID slot)
{
    mutex_take(&module.mutex);
    struct token *t = token_of_slot(slot);
    bool last = false;
    for (size_t i = 0; t != NULL && i < module.sessions_cap; i++)
        if (module.sessions[i] != NULL && module.sessions[i]->token == t)
            last = session_remove(module.sessions[i]);
    bool none_left = module.sessions_open == 0;
    mutex_give(&module.mutex);
    if (t == NULL)
        return CKR_SLOT_ID_INVALID;
    give_back(t, last, last && none_left);
    return CKR_OK;
}

void sessions_free(void)
{
    for (size_t i = 0; i < module.sessions_cap; i++)
        if (module.sessions[i] != NULL)
            (void)session_remove(module.sessions[i]);
    for (size_t i = 0; i < module.tokens_len; i++) {
        forget_login(module.tokens[i]);
        mem_wipe(module.tokens[i]->refused, sizeof module.tokens[i]->refused);
    }
    mem_free(TT_TAKE(module.sessions));
    module.sessions_cap = 0;
}

/* ---- login ---- */

CK_RV session_info(const struct session *s, CK_SESSION_INFO_PTR info)
{
    if (info == NULL)
        return CKR_ARGUMENTS_BAD;
    mutex_take(&module.mutex);
    bool user = s->token->logged_in;
    mutex_give(&module.mutex);
    CK_STATE state = s->is_rw ? (user ? CKS_RW_USER_FUNCTIONS : CKS_RW_PUBLIC_SESSION)
                              : (user ? CKS_RO_USER_FUNCTIONS : CKS_RO_PUBLIC_SESSION);
    *info = (CK_SESSION_INFO){.slotID = s->token->slot,
                              .state = state,
                              .flags = CKF_SERIAL_SESSION | (s->is_rw ? CKF_RW_SESSION : 0)};
    return CKR_OK;
}

/* A key without a password has nothing that a PIN could be compared with: any is taken, and goes nowhere. */
static CK_RV check_pin(struct session *s, struct contents *c, struct tt_bytes pin)
{
    if (!token_has_pin(c) && pin.len == 0)
        return CKR_OK;
    if (!token_has_pin(c) && c->info.handle == 0)
        return CKR_OK;
    if (pin.len == 0 || pin.len > TOKEN_PIN_MAX)
        return CKR_PIN_INCORRECT; /* no key has such a password */
    return vault_login(s->token, c, pin);
}

CK_RV session_login(struct session *s, CK_USER_TYPE user, const CK_UTF8CHAR *pin, CK_ULONG len)
{
    struct token *t = s->token;
    if (pin == NULL && len > 0)
        return CKR_ARGUMENTS_BAD;
    if (user == CKU_CONTEXT_SPECIFIC) /* no key has CKA_ALWAYS_AUTHENTICATE */
        return CKR_OPERATION_NOT_INITIALIZED;
    if (user != CKU_USER)
        return CKR_USER_TYPE_INVALID;
    mutex_take(&module.mutex);
    bool already = t->logged_in;
    struct contents *c = token_contents(t);
    mutex_give(&module.mutex);
    CK_RV rv = already ? CKR_USER_ALREADY_LOGGED_IN : check_pin(s, c, (struct tt_bytes){pin, len});
    if (rv == CKR_OK) {
        mutex_take(&module.mutex);
        t->logged_in = true;
        t->pin_len = token_has_pin(c) || c->info.handle != 0 ? len : 0;
        if (t->pin_len > 0)
            memcpy(t->pin, pin, t->pin_len);
        mutex_give(&module.mutex);
    }
    contents_free(c);
    return rv;
}

CK_RV session_logout(struct session *s)
{
    mutex_take(&module.mutex);
    bool was = s->token->logged_in;
    forget_login(s->token);
    mutex_give(&module.mutex);
    if (!was)
        return CKR_USER_NOT_LOGGED_IN;
    vault_logout(s->token);
    return CKR_OK;
}

CK_RV session_cancel(struct session *s, CK_FLAGS flags)
{
    if ((flags & CKF_DIGEST) != 0)
        operation_end(&s->digest);
    if ((flags & CKF_SIGN) != 0)
        operation_end(&s->sign);
    if ((flags & CKF_VERIFY) != 0)
        operation_end(&s->verify);
    if ((flags & CKF_DECRYPT) != 0)
        operation_end(&s->decrypt);
    return CKR_OK;
}
