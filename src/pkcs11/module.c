/* pkcs11/module.c: the module's life: initialised, forked, finalised; and the few things that every call
 * needs. Layer: pkcs11. PKCS#11 2.40, sections 5.2 and 5.4; [PKCS11-UG] 2.40, section 2.5.2 (processes). */
#include "pkcs11/module.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pkcs11/session.h"
#include "pkcs11/vault.h"

struct module module;

/* C_Initialize and C_Finalize of several threads at once: the state itself is what a lock is missing for. */
static struct lock life = {PTHREAD_MUTEX_INITIALIZER};

void debug_line(const char *fmt, ...)
{
    const char *wanted = secure_getenv("TPMTLS_PKCS11_DEBUG");
    char line[1024];
    if (wanted == NULL || wanted[0] == '\0')
        return;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    (void)fprintf(stderr, "tpmtls-pkcs11: %s\n", line);
}

void debug_error(const char *what, const struct tt_error *err)
{
    debug_line("%s: %s%s%s", what, err->text, err->hint[0] != '\0' ? "; " : "", err->hint);
}

/* struct fork_mark: a page that is empty in a child; so not every call has to ask for the process's number,
 * which is what a call would mostly cost. Where there is no such page, each asks. */
struct fork_mark {
    bool is_parent;
};

static const struct fork_mark *mark_new(void)
{
    /* cppcheck-suppress invalidFunctionArg ; no descriptor */
    struct fork_mark *m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED)
        return NULL;
    if (madvise(m, sizeof *m, MADV_WIPEONFORK) != 0) {
        (void)munmap(m, sizeof *m);
        return NULL;
    }
    m->is_parent = true;
    return m;
}

static void mark_free(void)
{
    if (module.mark != NULL)
        (void)munmap((void *)(uintptr_t)module.mark, sizeof *module.mark);
    module.mark = NULL;
}

/* A child of the process that initialised it has to do so itself (the connection to the TPM is the parent's).
 */
CK_RV module_begin(void)
{
    bool same = module.mark != NULL && module.mark->is_parent;
    if (module.process == 0 || (!same && module.process != getpid()))
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    (void)atomic_fetch_add(&module.calls, 1);
    vault_check_idle();
    return CKR_OK;
}

void module_end(void)
{
    (void)atomic_fetch_sub(&module.calls, 1);
}

static void state_free(void)
{
    sessions_free();
    vault_close();
    for (size_t i = 0; i < module.tokens_len; i++)
        token_free(module.tokens[i]);
    mem_free(module.tokens);
    apart_free(module.apart);
    mutex_destroy(&module.tpm_mutex);
    mutex_destroy(&module.mutex);
}

static void state_forget(void)
{
    mark_free();
    memset(&module, 0, sizeof module);
}

/* What the parent had is freed in the child, the TPM's connection included, unless the fork came in the
 * middle of a call of another thread: then nobody knows what is whole, and it is left alone. */
static void state_of_parent(void)
{
    if (atomic_load(&module.calls) == 0)
        state_free();
    state_forget();
}

static CK_RV state_new(const CK_C_INITIALIZE_ARGS *args)
{
    CK_RV rv = mutex_maker_choose(&module.maker, args);
    if (rv == CKR_OK)
        rv = mutex_init(&module.mutex, &module.maker);
    if (rv == CKR_OK)
        rv = mutex_init(&module.tpm_mutex, &module.maker);
    raw_silence();
    struct tt_error why = {0};
    if (rv == CKR_OK && apart_new(&module.apart, &why) != TT_OK) {
        debug_error("libcrypto", &why);
        rv = CKR_HOST_MEMORY;
    }
    if (rv != CKR_OK) {
        mutex_destroy(&module.tpm_mutex);
        mutex_destroy(&module.mutex);
        state_forget();
    }
    return rv;
}

CK_RV module_initialize(const CK_C_INITIALIZE_ARGS *args)
{
    CK_RV rv = CKR_OK;
    lock_take(&life);
    if (module.process == getpid())
        rv = CKR_CRYPTOKI_ALREADY_INITIALIZED;
    else if (module.process != 0)
        state_of_parent();
    if (rv == CKR_OK)
        rv = state_new(args);
    if (rv == CKR_OK) {
        module.mark = mark_new();
        module.process = getpid();
    }
    lock_give(&life);
    return rv;
}

/* At the end of a process libcrypto may have cleaned up before us; then memory is left to the kernel. */
CK_RV module_finalize(void)
{
    lock_take(&life);
    CK_RV rv = module.process == getpid() ? CKR_OK : CKR_CRYPTOKI_NOT_INITIALIZED;
    if (rv == CKR_OK) {
        if (!apart_is_over())
            state_free();
        state_forget();
    }
    lock_give(&life);
    return rv;
}

CK_RV give_bytes(CK_BYTE_PTR to, CK_ULONG_PTR len, const void *data, size_t n)
{
    CK_ULONG room = *len;
    *len = n;
    if (to == NULL)
        return CKR_OK;
    if (room < n)
        return CKR_BUFFER_TOO_SMALL;
    if (n > 0)
        memcpy(to, data, n);
    return CKR_OK;
}

void put_padded(CK_UTF8CHAR *to, size_t n, const char *text)
{
    size_t len = strlen(text);
    memset(to, ' ', n);
    memcpy(to, text, len < n ? len : n);
}
