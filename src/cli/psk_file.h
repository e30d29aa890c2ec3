/* cli/psk_file.h: files of external PSKs: which end it is for, the session without or with its secret, and
 * for one that the TPM holds its two key files. Layer: cli. */
#ifndef CLI_PSK_FILE_H
#define CLI_PSK_FILE_H

#include "cli/cli.h"
#include "net/held.h"
#include "tpmtls/tls.h"

struct psk_file {
    enum tt_role role; /* "they never switch roles" (RFC 9257 section 4) */
    struct tt_session *session;
    struct held_psk *held; /* NULL: a software PSK, or one that was not opened */
};

/* psk_file_text: the file; files is NULL for a software PSK. *ret is to be freed with tt_free. */
TT_MUST_USE tt_rc psk_file_text(char **ret, enum tt_role role, const struct tt_session *s,
                                const struct held_files *files, struct tt_error *err);
/* psk_file_read: without touching a TPM; `held` stays NULL. */
TT_MUST_USE tt_rc psk_file_read(struct psk_file *ret, const char *path, struct tt_error *err);
/* psk_file_open: read it, and where the TPM holds it open and load its keys. *tpm is opened when it is NULL.
 */
TT_MUST_USE tt_rc psk_file_open(struct psk_file *ret, const char *path, struct tt_tpm **tpm,
                                const struct cli *cli, struct tt_error *err);
void psk_file_close(struct psk_file *f);

/* psk_identity_text: for a person: the identity, of an imported PSK (RFC 9258) its external_identity, and its
 * context in brackets; what is not printable ASCII as \xNN. *ret is to be freed with mem_free. */
TT_MUST_USE tt_rc psk_identity_text(char **ret, struct tt_bytes identity, bool imported);

#endif
