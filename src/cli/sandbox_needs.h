/* cli/sandbox_needs.h: which files a service needs, before it gives all others up. Layer: cli. Collected
 * before the first thread and the first key: what can be read then is what a reload can read. */
#ifndef CLI_SANDBOX_NEEDS_H
#define CLI_SANDBOX_NEEDS_H

#include <limits.h>

#include "cli/tls_options.h"

#define NEEDS_FILES 1024
#define NEEDS_STATE 80

/* struct needs: large; a process has one, and enters its sandbox once. Paths that are added live as long. */
struct needs {
    const char *files[NEEDS_FILES];
    size_t files_len;
    const char *state[NEEDS_STATE];
    char state_text[NEEDS_STATE][PATH_MAX];
    size_t state_len;
};

/* Each takes NULL for "none". */
void needs_file(struct needs *n, const char *path);
void needs_list(struct needs *n, const struct option_list *list);
/* needs_identity: keys, certificates, and the OCSP responses beside them. */
void needs_identity(struct needs *n, const struct tls_options *o);
/* needs_policy: of an attestation, with the roots it names. */
void needs_policy(struct needs *n, const char *path);
/* needs_folder: one that is there, to write below it. */
void needs_folder(struct needs *n, const char *path);
/* needs_folder_of: that in which the file is. */
void needs_folder_of(struct needs *n, const char *path);
/* needs_socket: of unix:PATH the directory, in which the socket is made and removed; of others nothing. */
void needs_socket(struct needs *n, const char *where);
/* needs_state: base and below as one path, made where it is missing: below the fence it could not be. */
void needs_state(struct needs *n, const char *base, const char *below);
/* needs_own_state: where programs of this user keep theirs: below $XDG_STATE_HOME, or ~/.local/state. */
void needs_own_state(struct needs *n);

/* needs_enter: with what every service needs besides (passwords, credentials, the TPM), into the sandbox as
 * `user` (NULL: as who it is), or, if that is asked, not at all; the log says which. */
TT_MUST_USE tt_rc needs_enter(struct needs *n, const struct cli *cli, const char *user, bool off,
                              struct tt_error *err);

#endif
