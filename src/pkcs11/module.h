/* pkcs11/module.h: the module's one state, and what its files share. Layer: pkcs11: above signer and pki;
 * nothing of net, no thread, no event loop; prints only when TPMTLS_PKCS11_DEBUG asks for it.
 *
 * Locks, in the order in which they are taken:
 *     session->mutex   one call at a time in a session
 *     module.tpm_mutex whoever talks to the TPM, and token->key
 *     module.mutex     everything else: slots, what they hold, sessions, logins; never held over a TPM
 * command
 *
 * A call comes in through functions.c, which sees to it that the module is initialised, in this process, and
 * that the session is there. */
#ifndef PKCS11_MODULE_H
#define PKCS11_MODULE_H

#include <stdatomic.h>
#include <sys/types.h>

#include "pkcs11/mutex.h"
#include "pkcs11/token.h"
#include "signer/raw.h"

#define MODULE_MANUFACTURER "tpmtls"
#define MODULE_IDLE_S       30 /* after so long without work the next call gives the TPM back */

struct module {
    pid_t process;                /* that initialised it; 0: nobody */
    const struct fork_mark *mark; /* of a process; or NULL */
    atomic_uint calls;
    struct mutex_maker maker;
    struct mutex mutex, tpm_mutex;
    struct apart *apart;
    struct token **tokens;
    size_t tokens_len, slot_asked;
    bool scanned;              /* the directories were looked at */
    struct session **sessions; /* by number; NULL: free */
    size_t sessions_cap, sessions_open;
    CK_ULONG sessions_made;
    unsigned generations; /* of contents */
    struct tt_tpm *tpm;
    atomic_llong tpm_used; /* seconds of CLOCK_MONOTONIC; 0: it is closed */
};
extern struct module module;

/* module_begin: is it initialised, in this process? Then module_end has to follow. */
CK_RV module_begin(void);
void module_end(void);
CK_RV module_initialize(const CK_C_INITIALIZE_ARGS *args);
CK_RV module_finalize(void);

/* debug_line: on stderr, where TPMTLS_PKCS11_DEBUG is set. */
void debug_line(const char *fmt, ...) TT_PRINTF(1, 2);
void debug_error(const char *what, const struct tt_error *err);

/* ---- output conventions (PKCS#11 2.40, section 5.2) ---- */

/* give_bytes: into the caller's buffer, which may be NULL: then only the length is told. */
CK_RV give_bytes(CK_BYTE_PTR to, CK_ULONG_PTR len, const void *data, size_t n);
/* put_padded: text, padded with blanks and not terminated. */
void put_padded(CK_UTF8CHAR *to, size_t n, const char *text);

#endif
