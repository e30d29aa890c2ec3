/* cli/cli.h: what every command of the program shares. Layer: cli. One command, one file: cmd_NAME.c.
 *
 * Commands return an exit code. Messages for a person go to stderr in the program's voice ("tpmtls: ...",
 * then "tpmtls: hint: ..."); results go to stdout. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdio.h>

#include "net/file_write.h"
#include "tpmtls/error.h"
#include "tpmtls/key.h"

/* Exit codes; a contract, in the README. */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILURE = 1,
    CLI_USAGE = 2,
    CLI_NOT_TRUSTED = 3, /* the peer is not trusted */
    CLI_TPM = 4,
    CLI_REFUSED = 5,     /* refused by the peer */
    CLI_AGAIN = 6,       /* not now: the same may work later (enroll, renew) */
    CLI_AGAIN_URGENT = 7 /* the same, and a certificate is near its end */
};

/* struct cli_auth: where the password of a TPM key comes from: the options --auth-*, which every command
 * takes. */
enum cli_auth_kind {
    CLI_AUTH_NONE, /* nothing was said: asked on the terminal where a key needs one */
    CLI_AUTH_FILE,
    CLI_AUTH_FD,
    CLI_AUTH_CREDENTIAL, /* of systemd: a file in $CREDENTIALS_DIRECTORY */
    CLI_AUTH_ASK,
    CLI_AUTH_EMPTY
};
struct cli_auth {
    enum cli_auth_kind kind;
    const char *value;
};

/* struct cli: the global options (their rows are in main.c). */
struct cli {
    const char *tpm;           /* --tpm, or NULL */
    unsigned long tpm_timeout; /* seconds */
    const char *srk_name;      /* --srk-name, or NULL */
    bool json, wants_help, wants_version;
    int verbose;
    bool unattended;               /* nobody may be asked: a server would stand still */
    char help[160];                /* "tpmtls help key create": what tells about the command that runs */
    const char *key_password_file; /* --key-password-file: a path or "fd:N", or NULL: ask on the terminal */
    struct cli_auth auth;          /* --auth-file, --auth-fd, --auth-credential, --auth-ask, --auth-empty */
    struct cli_auth owner_auth;    /* the same of the TPM's owner */
    struct cli_auth endorsement_auth; /* and of its endorsement hierarchy */
    tt_tpm_trace_fn tpm_trace;        /* told of each TPM command while a key is opened; may be NULL */
    void *tpm_trace_arg;
};

/* cli_fail: print the error and its hint, and return the exit code that fits err->rc (USAGE 2, VERIFY 3, TPM
 * and AUTH 4, PEER_ALERT 5, else 1). */
int cli_fail(const struct tt_error *err);
/* cli_usage: print "tpmtls: <sentence>" and the hint which help to read, return CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *fmt, ...) TT_PRINTF(2, 3);
/* cli_say_json: from now on notes, hints and failures are JSON events, too: with --json there is nothing else
 * on stderr. */
void cli_say_json(bool on);
/* cli_note: a line on stderr for a person ("tpmtls: ..."). */
void cli_note(const char *fmt, ...) TT_PRINTF(1, 2);

/* cli_hint: the second line of a message ("tpmtls: hint: ..."). */
void cli_hint(const char *fmt, ...) TT_PRINTF(1, 2);

/* cli_read_file: whole file ("-" = stdin), NUL-terminated behind len; at most 16 MiB; free with tt_free. */
TT_MUST_USE tt_rc cli_read_file(char **ret, size_t *ret_len, const char *path, struct tt_error *err);
/* cli_pem_content: what a PEM text holds: "a private key", "a certificate", ...; NULL: nothing that is known.
 */
const char *cli_pem_content(struct tt_bytes text);
/* cli_wrote: say that a file was written, and what it is; not where it is standard output ("-" or NULL). */
void cli_wrote(const char *path, const char *what);
/* cli_write_file: atomically; path NULL or "-" = stdout. over says what it may take the place of, which is
 * said on stderr; else TT_ERR_EXISTS. cli_may_write: the same question before the work is done. */
TT_MUST_USE tt_rc cli_write_file(const char *path, struct tt_bytes data, struct file_want want,
                                 struct tt_error *err);
TT_MUST_USE tt_rc cli_may_write(const char *path, enum file_holds what, enum file_over over,
                                struct tt_error *err);
/* CLI_FORCE_ROW: --force, of a command that writes what can be made again: FILE_FORCE. */
#define CLI_FORCE_ROW(place)                                                                                 \
    {                                                                                                        \
        "force", NULL,                                                                                       \
            "write over a FILE that holds something else; never over a private key or another secret", place \
    }

/* cli_from_hex: in place; white space around it is fine. False for what is no hexadecimal. */
bool cli_from_hex(char *text, size_t *len);

/* cli_patience_ms: how long a TPM command may take before the TPM is given up. */
unsigned cli_patience_ms(const struct cli *cli);

/* cli_open_tpm: --tpm, else TPMTLS_TPM, else /dev/tpmrm0 when it is there; else an error that names the
 * choices. Says on stderr, once, that an emulated TPM protects nothing that file permissions do not. */
TT_MUST_USE tt_rc cli_open_tpm(struct tt_tpm **ret, const struct cli *cli, struct tt_error *err);

/* cli_open_tpm_under: the same, to make something under the storage key at the handle `parent`, as --parent
 * says (CLI_PARENT_ROW); NULL: under the storage root key. */
TT_MUST_USE tt_rc cli_open_tpm_under(struct tt_tpm **ret, const struct cli *cli, const char *parent,
                                     struct tt_error *err);
#define CLI_PARENT_ROW(place)                                                                                \
    {                                                                                                        \
        "parent", "HANDLE",                                                                                  \
            "make it under the storage key at this handle, such as 0x81000002; default: under the storage "  \
            "root key, which the TPM derives or has at 0x81000001",                                          \
            place                                                                                            \
    }

/* cli_is_handle: "handle:..." or "0x81000010": a name of a key, or of an NV index, that is no file's.
 * cli_parse_handle: with "handle:" or "0x" or both, and eight digits. TT_ERR_USAGE. */
bool cli_is_handle(const char *text);
TT_MUST_USE tt_rc cli_parse_handle(uint32_t *ret, const char *text, struct tt_error *err);
/* cli_parse_persistent: one where the owner may put something. */
TT_MUST_USE tt_rc cli_parse_persistent(uint32_t *ret, const char *text, struct tt_error *err);

/* cli_owner_password, cli_endorsement_password: what --owner-auth-*, --endorsement-auth-* say; else none is
 * given. */
struct cli_password;
TT_MUST_USE tt_rc cli_owner_password(struct cli_password *ret, const struct cli *cli, struct tt_error *err);
TT_MUST_USE tt_rc cli_endorsement_password(struct cli_password *ret, const struct cli *cli,
                                           struct tt_error *err);

/* cli_tpm_says: what a TPM answered, whatever it is called (nothing is at that handle): exit code 4. */
TT_MUST_USE tt_rc cli_tpm_says(tt_rc rc, struct tt_error *err);

/* cli_tpm_choice: the TPM it would open, or NULL. */
const char *cli_tpm_choice(const struct cli *cli);

/* struct cli_key: a key with the TPM it may need. */
struct cli_key {
    struct tt_key *key;
    struct tt_tpm *tpm; /* NULL for a software key */
};
/* cli_open_key: spec is a file with a TSS2 PRIVATE KEY or a software key, or "handle:0x81...". Says on stderr
 * when it is a software key. */
TT_MUST_USE tt_rc cli_open_key(struct cli_key *ret, const struct cli *cli, const char *spec,
                               struct tt_error *err);
/* cli_open_key_beside: another key next to one that is open: on the same TPM, which stays the other's. */
TT_MUST_USE tt_rc cli_open_key_beside(struct cli_key *ret, const struct cli *cli, const char *spec,
                                      struct tt_tpm *tpm, struct tt_error *err);
void cli_close_key(struct cli_key *k);
/* cli_read_certificates: a file of certificates, or "handle:0x01...": as PEM, NUL-terminated; tt_free. The
 * TPM is *tpm, which is opened where it is NULL and an NV index is meant, and is the caller's to close. */
TT_MUST_USE tt_rc cli_read_certificates(char **ret, size_t *ret_len, const struct cli *cli,
                                        struct tt_tpm **tpm, const char *spec, struct tt_error *err);
/* cli_name_key: put the key's name in front of an error that lacks it. */
void cli_name_key(struct tt_error *err, const char *spec);

/* cli_no_auth: for a command that makes something without a password: TT_ERR_USAGE where --auth-* gives one.
 */
TT_MUST_USE tt_rc cli_no_auth(const struct cli *cli, const char *command, struct tt_error *err);
/* struct cli_password: bytes with a length. given and of no length: it is empty, said on purpose. */
struct cli_password {
    bool given;
    struct tt_bytes bytes; /* owned */
};
void cli_password_free(struct cli_password *p); /* wipes */
/* cli_password_of: as tpmtls/key.h wants it: NULL when none was given. Valid as long as p. */
const struct tt_bytes *cli_password_of(const struct cli_password *p);

/* cli_read_password: the password of a software key, from --key-password-file (its first line), else asked on
 * the terminal (never on stdin). what names the key in the prompt. An empty one is TT_ERR_USAGE. */
TT_MUST_USE tt_rc cli_read_password(struct cli_password *ret, const struct cli *cli, const char *what,
                                    struct tt_error *err);

/* cli_take_auth: an option --auth-*: the row's min is its enum cli_auth_kind, at a struct cli_auth. */
struct option_row;
TT_MUST_USE tt_rc cli_take_auth(const struct option_row *row, void *at, const char *value,
                                struct tt_error *err);
/* cli_auth_password: what --auth-* says, else none is given. With ask, the terminal is asked where nothing
 * was said; twice where is_new. What --auth-* names and is empty is TT_ERR_USAGE: only --auth-empty says
 * that. */
struct cli_auth_want {
    const char *what; /* for the prompt */
    bool ask, is_new;
};
TT_MUST_USE tt_rc cli_auth_password(struct cli_password *ret, const struct cli *cli,
                                    const struct cli_auth_want *want, struct tt_error *err);
/* cli_password_counts: do wrong passwords of a new key count towards the TPM's lockout, where nobody said? A
 * word that a person typed, or could, has to be guarded that way. One that a machine keeps, of at least 16
 * bytes, is not guessed; and a TPM that loses its power counts one against each such key that was in use. */
bool cli_password_counts(const struct cli *cli, const struct cli_password *p);
/* cli_has_terminal: somebody can be asked. */
bool cli_has_terminal(void);
/* cli_can_ask: a password that nobody gave can be had: from somebody, or from the service's manager. */
bool cli_can_ask(void);

#endif
