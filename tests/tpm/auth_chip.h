/* tests/tpm/auth_chip.h: a swtpm of a test's own with keys under passwords and policies, for test_auth.c and
 * test_policy.c. Each function fails the test when it does not work, but for those that return a tt_rc. */
#ifndef TESTS_TPM_AUTH_CHIP_H
#define TESTS_TPM_AUTH_CHIP_H

#include "own_chip.h"
#include "support/script_tcti.h"
#include "tpm_test.h"

#define PASSWORD      "correct horse battery"
#define PASSWORD_WORD "correct-horse" /* for a shell */

void run(const char *command);
char *create_with(struct tt_tpm *tpm, const struct tt_key_params *params);
tt_rc open_with(struct tt_key **ret, struct tt_tpm *tpm, const char *pem, const char *password,
                struct tt_error *err);
struct tt_key *must_open(struct tt_tpm *tpm, const char *pem, const char *password);
void sign_all(struct tt_key *key);
uint32_t property(struct tt_tpm *tpm, uint32_t which);
struct tt_tpm *open_scripted(struct script *script);
/* spy: a script's ear: counts in `spied` what holds the word. */
extern const char *spied_word;
extern unsigned spied;
void spy(struct script *s, const uint8_t *bytes, size_t len);

#endif
