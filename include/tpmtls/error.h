/* tpmtls/error.h: result codes, error text, and the byte view used by every public header.
 *
 * Invariants
 *  - A function that returns tt_rc leaves its ret_ outputs untouched on failure.
 *  - The library never prints and never exits. Text for a person is written to the caller's struct tt_error
 * and nowhere else. */
#ifndef TPMTLS_ERROR_H
#define TPMTLS_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TT_MUST_USE          __attribute__((warn_unused_result))
#define TT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#if defined(TT_BUILDING)
#define TT_API __attribute__((visibility("default")))
#else
#define TT_API
#endif

typedef enum tt_rc {
    TT_OK = 0,
    TT_ERR_USAGE,       /* the caller broke the API's rules, or a configuration is incomplete */
    TT_ERR_MEMORY,      /* no memory */
    TT_ERR_INTERNAL,    /* libcrypto failed, or an invariant of ours broke */
    TT_ERR_DECODE,      /* bytes that do not have the form their standard demands */
    TT_ERR_PROTOCOL,    /* the peer broke TLS 1.3; an alert was sent */
    TT_ERR_PEER_ALERT,  /* the peer refused us with an alert */
    TT_ERR_VERIFY,      /* the peer's certificate is not trusted, or its signature is wrong */
    TT_ERR_CLOSED,      /* the transport ended without close_notify */
    TT_ERR_IO,          /* file, socket or system call */
    TT_ERR_NOT_FOUND,   /* a file, handle or entry that is not there */
    TT_ERR_EXISTS,      /* refusing to overwrite */
    TT_ERR_UNSUPPORTED, /* this chip, libcrypto or build cannot do it */
    TT_ERR_AUTH,        /* wrong or missing password or policy */
    TT_ERR_TPM,         /* the TPM, or the way to it, failed */
    TT_ERR_DEADLINE,    /* not done in time */
    TT_ERR_BUSY,        /* somebody else holds it */
    TT_ERR_ECH_REJECTED /* the server, whose public name was verified, rejected Encrypted Client Hello */
} tt_rc;

/* struct tt_error: what went wrong, for a person. `text` is one lower-case sentence without a full stop;
 * `hint` is what to do about it, or empty. Both are always NUL-terminated. Zero-initialise before first use.
 */
struct tt_error {
    tt_rc rc;
    char text[320];
    char hint[320];
};

/* struct tt_bytes: a view of bytes owned by somebody else. `data` may be NULL when `len` is 0. */
struct tt_bytes {
    const uint8_t *data;
    size_t len;
};

/* tt_rc_name: the constant's name, e.g. "TT_ERR_VERIFY"; never NULL. */
TT_API const char *tt_rc_name(tt_rc rc);

/* tt_version: "MAJOR.MINOR.PATCH". */
TT_API const char *tt_version(void);

#ifdef __cplusplus
}
#endif
#endif
