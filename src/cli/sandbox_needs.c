/* cli/sandbox_needs.c: see sandbox_needs.h. Layer: cli. */
#include "cli/sandbox_needs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/attest_policy.h"
#include "proxy/report.h"
#include "proxy/sandbox.h"

/* ---- to be read ---- */

void needs_file(struct needs *n, const char *path)
{
    if (path != NULL && path[0] != '\0' && n->files_len < NEEDS_FILES)
        n->files[n->files_len++] = path;
}

void needs_list(struct needs *n, const struct option_list *list)
{
    for (size_t i = 0; i < list->len; i++)
        needs_file(n, list->at[i]);
}

void needs_identity(struct needs *n, const struct tls_options *o)
{
    needs_list(n, &o->keys);
    needs_list(n, &o->certs);
    for (size_t i = 0; i < o->certs.len; i++)
        needs_file(n, o->staples[i]);
}

/* It keeps a copy: the sandbox is entered once. */
static void policy_file(void *arg, const char *path)
{
    static char *copies[NEEDS_FILES];
    static size_t len;
    if (len < NEEDS_FILES && (copies[len] = mem_strdup(path)) != NULL)
        needs_file(arg, copies[len++]);
}

void needs_policy(struct needs *n, const char *path)
{
    attest_policy_files(path, policy_file, n);
}

/* ---- to be written below ---- */

void needs_folder(struct needs *n, const char *path)
{
    if (path == NULL || n->state_len == NEEDS_STATE || realpath(path, n->state_text[n->state_len]) == NULL)
        return;
    n->state[n->state_len] = n->state_text[n->state_len];
    n->state_len++;
}

void needs_folder_of(struct needs *n, const char *path)
{
    char folder[PATH_MAX];
    if (path == NULL || snprintf(folder, sizeof folder, "%s", path) >= PATH_MAX)
        return;
    char *slash = strrchr(folder, '/');
    if (slash != NULL)
        slash[slash == folder] = '\0';
    needs_folder(n, slash == NULL ? "." : folder);
}

void needs_socket(struct needs *n, const char *where)
{
    if (where != NULL && strncmp(where, "unix:", 5) == 0)
        needs_folder_of(n, where + 5);
}

void needs_state(struct needs *n, const char *base, const char *below)
{
    if (base == NULL || base[0] != '/' || n->state_len == NEEDS_STATE)
        return;
    char *at = n->state_text[n->state_len];
    if (snprintf(at, PATH_MAX, "%s%s", base, below) < PATH_MAX &&
        file_directories(at, 0700, 0700, NULL) == TT_OK) /* what fails here is told by who needs it */
        n->state[n->state_len++] = at;
}

void needs_own_state(struct needs *n)
{
    const char *state = getenv("XDG_STATE_HOME");
    if (state != NULL)
        needs_state(n, state, "/tpmtls");
    else
        needs_state(n, getenv("HOME"), "/.local/state/tpmtls");
}

/* ---- what every service needs ---- */

static void needs_passwords(struct needs *n, const struct cli *cli)
{
    needs_file(n, cli->key_password_file);
    if (cli->auth.kind == CLI_AUTH_FILE)
        needs_file(n, cli->auth.value);
    if (cli->owner_auth.kind == CLI_AUTH_FILE)
        needs_file(n, cli->owner_auth.value);
    if (cli->endorsement_auth.kind == CLI_AUTH_FILE)
        needs_file(n, cli->endorsement_auth.value);
    needs_file(n, getenv("CREDENTIALS_DIRECTORY"));
}

/* tpm/loaded.c's record, and an embedded TPM's own state; where its place is not named, it is ours. */
static void needs_tpm(struct needs *n, const char *spec, bool is_embedded)
{
    const char *run = getenv("XDG_RUNTIME_DIR");
    needs_state(n, run != NULL ? run : geteuid() == 0 ? "/run" : NULL, "/tpmtls");
    if (is_embedded && spec[8] == ':' && spec[9] != '/')
        needs_folder(n, spec + 9);
    else if (is_embedded && spec[8] == ':')
        needs_state(n, spec + 9, "");
    else if (is_embedded)
        needs_own_state(n);
}

tt_rc needs_enter(struct needs *n, const struct cli *cli, const char *user, bool off, struct tt_error *err)
{
    const char *spec = cli_tpm_choice(cli);
    bool is_embedded = spec != NULL && strncmp(spec, "embedded", 8) == 0;
    struct sandbox_report done;
    if (off) {
        report(REPORT_WARNING, NULL, "sandbox", json_pack("{s:s}", "state", "off, as asked"));
        return TT_OK;
    }
    needs_passwords(n, cli);
    needs_tpm(n, spec, is_embedded);
    const struct sandbox_options opt = {.user = user,
                                        .files = n->files,
                                        .files_len = n->files_len,
                                        .state = n->state,
                                        .state_len = n->state_len,
                                        .opens_device = !is_embedded,
                                        .runs_swtpm = is_embedded};
    TT_TRY(sandbox_enter(&done, &opt, err));
    report(REPORT_NOTICE, NULL, "sandbox", json_pack("{s:s}", "state", done.text));
    return TT_OK;
}
