/* cli/attest_policy.h: a file that says what is demanded of an attestation. Layer: cli. */
#ifndef CLI_ATTEST_POLICY_H
#define CLI_ATTEST_POLICY_H

#include "tpmtls/attest.h"

/* attest_policy_read: an INI file without sections; docs/attestation.md has its keys. Paths in it are
 * relative to it. */
TT_MUST_USE tt_rc attest_policy_read(struct tt_attest_policy **ret, const char *path, struct tt_error *err);
/* attest_policy_files: fn with each file that reading it takes, itself among them: for a sandbox. What cannot
 * be read is told by who reads it. */
void attest_policy_files(const char *path, void (*fn)(void *arg, const char *file), void *arg);
/* attest_key_draw: one for as long as the process lives. attest_key_read: the secret that nonces and
 * challenges are sealed under: 64 hexadecimal digits. */
TT_MUST_USE tt_rc attest_key_draw(uint8_t ret[TT_ATTEST_KEY_SIZE], struct tt_error *err);
TT_MUST_USE tt_rc attest_key_read(uint8_t ret[TT_ATTEST_KEY_SIZE], const char *path, struct tt_error *err);

#endif
