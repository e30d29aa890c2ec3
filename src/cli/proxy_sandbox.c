/* cli/proxy_sandbox.c: which files `tpmtls proxy` needs, before it gives all others up. Layer: cli. Before
 * the first thread and the first key: what can be read now is what a reload can read. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/attest_policy.h"
#include "cli/proxy.h"
#include "proxy/report.h"
#include "proxy/sandbox.h"

#define FILES_MAX 1024
#define STATE_MAX (PROXY_TUNNELS_MAX + 8)

struct needs {
    const char *files[FILES_MAX];
    size_t files_len;
    const char *state[STATE_MAX];
    char state_text[STATE_MAX][PATH_MAX];
    size_t state_len;
};

static void need_file(struct needs *n, const char *path)
{
    if (path != NULL && path[0] != '\0' && n->files_len < FILES_MAX)
        n->files[n->files_len++] = path;
}

/* It keeps a copy: the sandbox is entered once. */
static void need_policy_file(void *arg, const char *path)
{
    static char *copies[FILES_MAX];
    static size_t n;
    if (n < FILES_MAX && (copies[n] = mem_strdup(path)) != NULL)
        need_file(arg, copies[n++]);
}

static void need_list(struct needs *n, const struct option_list *list)
{
    for (size_t i = 0; i < list->len; i++)
        need_file(n, list->at[i]);
}

/* Made where it is missing, with what is above it: below the fence it could not be. */
static void make_directories(const char *path)
{
    char part[PATH_MAX];
    for (const char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        (void)snprintf(part, sizeof part, "%.*s", slash != NULL ? (int)(slash - path) : (int)strlen(path),
                       path);
        (void)mkdir(part, 0700); /* what fails here is told by who needs it */
        if (slash == NULL)
            return;
    }
}

static void need_state(struct needs *n, const char *base, const char *below)
{
    if (base == NULL || base[0] != '/' || n->state_len == STATE_MAX)
        return;
    char *at = n->state_text[n->state_len];
    if (snprintf(at, PATH_MAX, "%s%s", base, below) >= PATH_MAX)
        return;
    make_directories(at);
    n->state[n->state_len++] = at;
}

/* Of unix:PATH the directory, in which the socket is made and removed. */
static void need_socket(struct needs *n, const char *where)
{
    char path[PATH_MAX], dir[PATH_MAX];
    if (where == NULL || strncmp(where, "unix:", 5) != 0 || n->state_len == STATE_MAX)
        return;
    (void)snprintf(path, sizeof path, "%s", where + 5);
    char *slash = strrchr(path, '/');
    if (slash != NULL)
        slash[slash == path] = '\0';
    if (realpath(slash == NULL ? "." : path, dir) == NULL)
        return;
    (void)snprintf(n->state_text[n->state_len], PATH_MAX, "%s", dir);
    n->state[n->state_len] = n->state_text[n->state_len];
    n->state_len++;
}

static void need_tunnel(struct needs *n, const struct proxy_tunnel *t)
{
    need_list(n, &t->tls.keys);
    need_list(n, &t->tls.certs);
    need_list(n, &t->trust.ca);
    attest_policy_files(t->attestation, need_policy_file, n);
    need_file(n, t->ek_cert);
    need_list(n, &t->trust.crls);
    for (size_t i = 0; i < t->tls.certs.len; i++)
        need_file(n, t->tls.staples[i]);
    need_file(n, t->tickets.key);
    need_list(n, &t->ech_keys);
    if (t->ech.ech != NULL && access(t->ech.ech, F_OK) == 0)
        need_file(n, t->ech.ech);
    need_socket(n, t->listen);
}

static void need_passwords(struct needs *n, const struct cli *cli)
{
    need_file(n, cli->key_password_file);
    if (cli->auth.kind == CLI_AUTH_FILE)
        need_file(n, cli->auth.value);
    if (cli->owner_auth.kind == CLI_AUTH_FILE)
        need_file(n, cli->owner_auth.value);
}

tt_rc proxy_sandbox(const struct proxy_plan *plan, struct tt_error *err)
{
    static struct needs n; /* large, and used once */
    const char *spec = cli_tpm_choice(plan->cli), *home = getenv("HOME"), *state = getenv("XDG_STATE_HOME"),
               *run = getenv("XDG_RUNTIME_DIR");
    struct sandbox_report done;
    bool is_embedded = spec != NULL && strncmp(spec, "embedded", 8) == 0;
    if (plan->common->sandbox == SANDBOX_OFF) {
        report(REPORT_WARNING, NULL, "sandbox", json_pack("{s:s}", "state", "off, as asked"));
        return TT_OK;
    }
    for (size_t i = 0; i < plan->tunnels_len; i++)
        need_tunnel(&n, &plan->tunnels[i]);
    need_passwords(&n, plan->cli);
    need_file(&n, plan->file);
    need_file(&n, getenv("CREDENTIALS_DIRECTORY"));
    need_socket(&n, plan->common->status);
    need_socket(&n, plan->common->takeover);
    need_state(&n, state, "/tpmtls");
    if (state == NULL)
        need_state(&n, home, "/.local/state/tpmtls");
    need_state(&n, run != NULL ? run : geteuid() == 0 ? "/run" : NULL, "/tpmtls");
    if (is_embedded && spec[8] == ':')
        need_state(&n, spec + 9, "");
    const struct sandbox_options opt = {.user = plan->common->user,
                                        .files = n.files,
                                        .files_len = n.files_len,
                                        .state = n.state,
                                        .state_len = n.state_len,
                                        .opens_device = !is_embedded,
                                        .runs_swtpm = is_embedded};
    TT_TRY(sandbox_enter(&done, &opt, err));
    report(REPORT_NOTICE, NULL, "sandbox", json_pack("{s:s}", "state", done.text));
    return TT_OK;
}
