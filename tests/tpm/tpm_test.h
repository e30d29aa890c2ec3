/* tests/tpm/tpm_test.h: what the TPM tests share: assertions with the library's own sentence, a recorder of
 * commands, signatures verified by libcrypto alone. */
#ifndef TPM_TEST_H
#define TPM_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/rc.h"
#include "tpmtls/key.h"

/* assert_ok: TT_OK, else the test fails with the error's text. */
#define assert_ok(expr, err)                                                                                 \
    do {                                                                                                     \
        tt_rc assert_rc_ = (expr);                                                                           \
        if (assert_rc_ != TT_OK)                                                                             \
            fail_msg("%s: %s: %s (hint: %s)", #expr, tt_rc_name(assert_rc_), (err)->text, (err)->hint);      \
    } while (0)

static inline struct tt_bytes text_bytes(const char *s)
{
    return (struct tt_bytes){(const uint8_t *)s, strlen(s)};
}

/* BYTES_OF: the bytes of a string literal, as a password: with the zero bytes that it holds. password_of: of
 * a string; NULL stays NULL. */
#define BYTES_OF(literal) (&(const struct tt_bytes){(const uint8_t *)(literal), sizeof(literal) - 1})
static inline const struct tt_bytes *password_of(struct tt_bytes *keep, const char *s)
{
    if (s != NULL)
        *keep = text_bytes(s);
    return s != NULL ? keep : NULL;
}

/* struct recorder: the commands a struct tt_tpm ran, by name. */
struct recorder {
    unsigned count;
    const char *names[64];
    uint32_t responses[64];
};
void record(void *recorder, const struct tt_tpm_event *event);
/* recorder_text: "TPM2_Load TPM2_Sign", in a buffer of its own that the next call overwrites. */
const char *recorder_text(const struct recorder *r);

/* open_tpm / open_key: with assertions; close with the library's functions. */
struct tt_tpm *open_tpm(const char *spec);
struct tt_key *open_key(struct tt_tpm *tpm, const char *pem);
char *create_key(struct tt_tpm *tpm, enum tt_key_type type);

/* try_sign: with the key's first scheme. *err is cleared first. */
tt_rc try_sign(struct tt_key *key, struct tt_error *err);

/* sign_and_verify: signs a fixed message and verifies with libcrypto; for RSA-PSS the salt must have exactly
 * the digest's length. */
void sign_and_verify(struct tt_key *key, uint16_t scheme);

#endif
