/* cli/password.c: passwords: of encrypted software keys, and of keys in the TPM. Layer: cli. From a file or
 * descriptor that was named, else from the terminal; never from argv or the environment, never from stdin
 * (which may be the connection). */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/options.h"
#include "cli/password_source.h"

#define MACHINE_PASSWORD 16 /* bytes, from which on nobody guesses it */

const struct tt_bytes *cli_password_of(const struct cli_password *p)
{
    return p->given ? &p->bytes : NULL;
}

static tt_rc ask_nobody(const char *what, struct tt_error *err)
{
    return error_set(err, TT_ERR_AUTH, "%s needs a password, and nobody is asked while the server runs",
                     what);
}

tt_rc cli_read_password(struct cli_password *ret, const struct cli *cli, const char *what,
                        struct tt_error *err)
{
    const struct password_question q = {
        what, "is encrypted", "--key-password-file FILE reads it from a file (fd:N: from a descriptor)"};
    if (cli->key_password_file != NULL)
        return password_from_file(ret, cli->key_password_file, err);
    return cli->unattended ? ask_nobody(what, err) : password_from_terminal(ret, &q, err);
}

/* ---- keys in the TPM ---- */

static tt_rc from_credential(struct cli_password *ret, const char *name, struct tt_error *err)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    char path[4096];
    if (dir == NULL || dir[0] == '\0') {
        (void)error_set(err, TT_ERR_USAGE,
                        "there are no credentials here ($CREDENTIALS_DIRECTORY is not set)");
        error_hint(err, "systemd hands them to a service: LoadCredentialEncrypted=%s", name);
        return TT_ERR_USAGE;
    }
    if (strchr(name, '/') != NULL || (size_t)snprintf(path, sizeof path, "%s/%s", dir, name) >= sizeof path)
        return error_set(err, TT_ERR_USAGE, "'%s' is not the name of a credential", name);
    return password_from_file(ret, path, err);
}

/* What a service's unit may hand over without an option being said: the shipped units do. */
#define SERVICE_CREDENTIAL "tpmtls.auth"

static bool has_service_credential(void)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    char path[4096];
    return dir != NULL && (size_t)snprintf(path, sizeof path, "%s/" SERVICE_CREDENTIAL, dir) < sizeof path &&
           access(path, F_OK) == 0;
}

bool cli_can_ask(void)
{
    return has_service_credential() || cli_has_terminal();
}

static tt_rc from_descriptor(struct cli_password *ret, const char *number, struct tt_error *err)
{
    char source[32];
    (void)snprintf(source, sizeof source, "fd:%.20s", number);
    return password_from_file(ret, source, err);
}

static tt_rc ask(struct cli_password *ret, const struct cli_auth_want *want, struct tt_error *err)
{
    char again[256];
    TT_AUTO(cli_password_free) struct cli_password first = {.given = false};
    TT_AUTO(cli_password_free) struct cli_password second = {.given = false};
    static const char hint[] = "give it with --auth-file FILE, --auth-fd N or --auth-credential NAME";
    const struct password_question q = {want->what, "needs a password", hint},
                                   q2 = {again, "needs a password", hint};
    TT_TRY(password_from_terminal(&first, &q, err));
    (void)snprintf(again, sizeof again, "%s, again", want->what);
    if (want->is_new) {
        TT_TRY(password_from_terminal(&second, &q2, err));
        if (first.bytes.len != second.bytes.len ||
            memcmp(first.bytes.data, second.bytes.data, first.bytes.len) != 0)
            return error_set(err, TT_ERR_USAGE, "the two passwords are not the same");
    }
    *ret = first;
    first.bytes.data = NULL;
    return TT_OK;
}

static tt_rc auth_password(struct cli_password *ret, const struct cli_auth *auth,
                           const struct cli_auth_want *want, struct tt_error *err)
{
    switch (auth->kind) {
    case CLI_AUTH_FILE:
        return password_from_file(ret, auth->value, err);
    case CLI_AUTH_FD:
        return from_descriptor(ret, auth->value, err);
    case CLI_AUTH_CREDENTIAL:
        return from_credential(ret, auth->value, err);
    case CLI_AUTH_ASK:
        return ask(ret, want, err);
    case CLI_AUTH_EMPTY:
        *ret = (struct cli_password){.given = true};
        return TT_OK;
    default:
        *ret = (struct cli_password){.given = false};
        return want->ask ? ask(ret, want, err) : TT_OK;
    }
}

tt_rc cli_auth_password(struct cli_password *ret, const struct cli *cli, const struct cli_auth_want *want,
                        struct tt_error *err)
{
    bool asks = cli->auth.kind == CLI_AUTH_ASK || (cli->auth.kind == CLI_AUTH_NONE && want->ask);
    if (cli->auth.kind == CLI_AUTH_NONE && asks && !want->is_new && has_service_credential())
        return from_credential(ret, SERVICE_CREDENTIAL, err);
    return cli->unattended && asks ? ask_nobody(want->what, err) : auth_password(ret, &cli->auth, want, err);
}

tt_rc cli_owner_password(struct cli_password *ret, const struct cli *cli, struct tt_error *err)
{
    return auth_password(ret, &cli->owner_auth, &(struct cli_auth_want){.what = "the TPM's owner"}, err);
}

tt_rc cli_endorsement_password(struct cli_password *ret, const struct cli *cli, struct tt_error *err)
{
    return auth_password(ret, &cli->endorsement_auth,
                         &(struct cli_auth_want){.what = "the TPM's endorsement hierarchy"}, err);
}

tt_rc cli_no_auth(const struct cli *cli, const char *command, struct tt_error *err)
{
    if (cli->auth.kind == CLI_AUTH_NONE || cli->auth.kind == CLI_AUTH_EMPTY)
        return TT_OK;
    return error_set(err, TT_ERR_USAGE, "what %s makes has no password: --auth-... does not go with it",
                     command);
}

bool cli_password_counts(const struct cli *cli, const struct cli_password *p)
{
    bool machine = cli->auth.kind == CLI_AUTH_FILE || cli->auth.kind == CLI_AUTH_FD ||
                   cli->auth.kind == CLI_AUTH_CREDENTIAL;
    return p->bytes.len > 0 && (!machine || p->bytes.len < MACHINE_PASSWORD);
}

tt_rc cli_take_auth(const struct option_row *row, void *at, const char *value, struct tt_error *err)
{
    struct cli_auth *auth = at;
    if (auth->kind != CLI_AUTH_NONE)
        return error_set(err, TT_ERR_USAGE, "where does the password come from? one option --%s... only",
                         strncmp(row->name, "owner", 5) == 0          ? "owner-auth-"
                         : strncmp(row->name, "endorsement", 11) == 0 ? "endorsement-auth-"
                                                                      : "auth-");
    *auth = (struct cli_auth){(enum cli_auth_kind)row->min, value};
    return TT_OK;
}
