/* cli/enroll.c: see enroll.h. Layer: cli. RFC 7030 sections 4.1, 4.2.1. */
#include "cli/enroll.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/mem.h"
#include "cli/term.h"
#include "cli/trust_options.h"
#include "net/clock.h"
#include "net/files.h"
#include "net/identity.h"

TT_DEFINE_AUTO(struct tt_trust, tt_trust_free)
TT_DEFINE_AUTO(struct tt_config, tt_config_free)

#define AFTER_S 60

/* ---- whom to believe, who we are ---- */

tt_rc enroll_read_ca(struct tt_cert_list **ret, const char *ca, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *text = NULL;
    size_t len = 0;
    struct tt_error why = {0};
    TT_TRY(cli_read_file(&text, &len, strcmp(ca, "system") == 0 ? TRUST_SYSTEM_STORE : ca, err));
    tt_rc rc = tt_cert_list_from_pem(ret, (struct tt_bytes){(const uint8_t *)text, len}, &why);
    if (rc == TT_OK)
        return TT_OK;
    error_hint(err, "%s", why.hint);
    return error_set(err, rc, "%s: %s", ca, why.text);
}

static tt_rc add_roots(struct tt_trust *trust, const struct tt_cert_list *roots, struct tt_error *err)
{
    for (size_t i = 0; roots != NULL && i < roots->len; i++)
        TT_TRY(tt_trust_add_der(trust, roots->certs[i], err));
    return TT_OK;
}

static tt_rc add_identity(struct tt_config *cfg, const struct enroll_peer *p, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    bool staple = false;
    TT_TRY(tt_cert_list_to_pem(&pem, p->chain, p->chain->len, err));
    const struct identity_source source = {.key = p->key->key,
                                           .chain_pem = {(const uint8_t *)pem, strlen(pem)},
                                           .key_name = "the key",
                                           .chain_name = "the certificate",
                                           .role = TT_CLIENT};
    return identity_add(cfg, &source, &staple, err);
}

static tt_rc config_make(struct tt_config **ret, const struct enroll_peer *p, struct tt_error *err)
{
    TT_AUTO(tt_config_free_auto) struct tt_config *cfg = NULL;
    TT_AUTO(tt_trust_free_auto) struct tt_trust *trust = NULL;
    TT_TRY(tt_config_new(&cfg, TT_CLIENT, err));
    if (p->roots == NULL && p->more_roots == NULL) {
        TT_TRY(tt_config_insecure_accept_any_certificate(cfg));
    } else {
        TT_TRY(tt_trust_new(&trust, err));
        TT_TRY(add_roots(trust, p->roots, err));
        TT_TRY(add_roots(trust, p->more_roots, err));
        TT_TRY(tt_config_set_trust(cfg, trust));
    }
    if (p->key != NULL)
        TT_TRY(add_identity(cfg, p, err));
    TT_TRY(tt_config_freeze(cfg, err));
    *ret = TT_TAKE(cfg);
    return TT_OK;
}

/* "USER:PASSWORD", or a password alone: the first line of the file. *ret is wiped when it is freed. */
static tt_rc authorization_make(char **ret, const char *path, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf file = {0};
    TT_AUTO(mem_free_auto) char *text = NULL;
    size_t len = 0;
    tt_rc rc = file_read_owned(&file, FILE_SECRET, path, err);
    if (rc == TT_ERR_IO && err != NULL)
        err->rc = rc = TT_ERR_DECODE; /* it is not the network that failed */
    TT_TRY(rc);
    TT_TRY(file_text_of(&text, &len, &file, path, err));
    len = strcspn(text, "\r\n");
    text[len] = '\0';
    if (len == 0 || len > 192)
        return error_set(err, TT_ERR_USAGE, "the first line of %s is not a token", path);
    return est_basic_make(ret, text, err);
}

tt_rc enroll_client(struct est_client **ret, const struct enroll_peer *p, struct tt_error *err)
{
    TT_AUTO(tt_config_free_auto) struct tt_config *cfg = NULL;
    TT_AUTO(mem_free_auto) char *authorization = NULL;
    struct est_client_options opt = {.has_identity = p->key != NULL,
                                     .tpm = p->key != NULL ? p->key->tpm : NULL};
    TT_TRY(est_at_parse(&opt.at, p->server, err));
    TT_TRY(config_make(&cfg, p, err));
    if (p->token_file != NULL)
        TT_TRY(authorization_make(&authorization, p->token_file, err));
    opt.config = cfg;
    opt.authorization = authorization;
    return est_client_new(ret, &opt, err);
}

static void say_command(void *arg, const struct tt_tpm_event *event)
{
    (void)arg;
    cli_note("TPM: %s, %.2f ms%s", event->name, (double)event->nanoseconds / 1e6,
             event->response == 0 ? "" : ", refused");
}

struct cli enroll_trace(const struct cli *cli)
{
    struct cli traced = *cli;
    if (cli->verbose > 1)
        traced.tpm_trace = say_command;
    return traced;
}

/* ---- a first enrolment ---- */

struct first {
    struct enroll_first *f;
    struct tt_cert_list *ca, *cacerts, *roots;
    struct est_client *client;
    struct est_csrattrs attrs;
    struct est_wants wants;
    struct cli_key key;
};

static void first_free(struct first *x)
{
    est_client_free(x->client);
    cli_close_key(&x->key);
    tt_cert_list_free(x->ca);
    tt_cert_list_free(x->cacerts);
    tt_cert_list_free(x->roots);
    est_csrattrs_free(&x->attrs);
}

/* RFC 7030 section 4.1.1: provisionally, for cacerts alone, without a password; then all again. */
static tt_rc look_by_fingerprint(struct first *x, struct tt_error *err)
{
    TT_AUTO(est_client_free_auto) struct est_client *anybody = NULL;
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *cacerts = NULL;
    bool told;
    TT_TRY(enroll_client(&anybody, &(struct enroll_peer){.server = x->f->e->server}, err));
    TT_TRY(est_client_cacerts(&cacerts, anybody, err));
    return renewal_first_roots(&x->ca, &told, cacerts, NULL, x->f->sha256, clock_wall_s(), err);
}

static void say_told(const struct tt_cert_list *roots, const char *server)
{
    for (size_t i = 0; i < roots->len; i++) {
        TT_AUTO(tt_cert_info_free_auto) struct tt_cert_info *info = NULL;
        if (tt_cert_describe(&info, roots->certs[i], NULL) == TT_OK)
            cli_note("believed because %s says so: the CA %s, sha256:%s", server, info->subject,
                     info->sha256);
    }
}

static tt_rc find_roots(struct first *x, struct tt_error *err)
{
    struct enrolled *e = x->f->e;
    bool told = false;
    if (x->f->roots == NULL && x->f->sha256 != NULL)
        TT_TRY(look_by_fingerprint(x, err));
    else if (e->ca != NULL)
        TT_TRY(enroll_read_ca(&x->ca, e->ca, err));
    const struct enroll_peer peer = {
        .server = e->server, .roots = x->f->roots, .more_roots = x->ca, .token_file = e->token_file};
    if (peer.roots == NULL && peer.more_roots == NULL)
        return error_set(err, TT_ERR_USAGE, "nobody is believed as the server");
    TT_TRY(enroll_client(&x->client, &peer, err));
    TT_TRY(est_client_cacerts(&x->cacerts, x->client, err));
    if (x->f->roots != NULL)
        return TT_OK;
    TT_TRY(renewal_first_roots(&x->roots, &told, x->cacerts, x->ca, x->f->sha256, clock_wall_s(), err));
    if (told)
        say_told(x->roots, e->server);
    else if (x->roots->len == x->ca->len)
        e->ca = NULL; /* all that is in its file is remembered anyhow */
    return TT_OK;
}

static tt_rc find_wants(struct first *x, struct tt_error *err)
{
    TT_TRY(est_client_csrattrs(&x->attrs, x->client, err));
    est_wants_read(&x->wants, &x->attrs);
    if (x->wants.sans && x->f->e->sans_len == 0)
        cli_note("the server wants alternative names in the request, and none was given (--san)");
    return TT_OK;
}

/* ---- the key ---- */

static tt_rc make_key(struct first *x, struct tt_error *err)
{
    const struct enrolled *e = x->f->e;
    TT_AUTO(mem_free_auto) char *pem = NULL;
    struct tt_key_params params = {.type = x->wants.has_type ? x->wants.type : TT_KEY_P256};
    TT_AUTO(cli_password_free) struct cli_password password = {.given = false};
    if (e->type != NULL)
        TT_TRY(tt_key_type_parse(&params.type, e->type));
    TT_TRY(cli_auth_password(&password, x->f->cli,
                             &(struct cli_auth_want){.what = "the new key", .is_new = true}, err));
    params.password = cli_password_of(&password);
    params.count_failures = cli_password_counts(x->f->cli, &password);
    if (x->key.tpm == NULL)
        TT_TRY(cli_open_tpm(&x->key.tpm, x->f->cli, err));
    term_busy("making the key in the TPM", x->f->cli->json);
    tt_rc rc = est_key_make(&x->key.key, &pem, x->key.tpm, &params, err);
    term_done();
    TT_TRY(rc);
    const struct tt_bytes text = {(const uint8_t *)pem, strlen(pem)};
    TT_TRY(cli_write_file(e->key, text, (struct file_want){0600, FILE_NEW}, err));
    cli_note("made a %s key in the TPM, wrote %s", tt_key_type_name(params.type), e->key);
    return TT_OK;
}

static tt_rc find_key(struct first *x, struct tt_error *err)
{
    const char *key = x->f->e->key;
    bool is_there = cli_is_handle(key) || access(key, F_OK) == 0;
    return is_there ? cli_open_key(&x->key, x->f->cli, key, err) : make_key(x, err);
}

static tt_rc first_run(struct first *x, struct tt_error *err)
{
    struct enrolled *e = x->f->e;
    TT_AUTO(est_issued_free) struct est_issued issued = {0};
    const struct tt_csr_params asked = {.subject = e->subject, .sans = e->sans, .sans_len = e->sans_len};
    bool changed = false;
    TT_TRY(find_roots(x, err));
    TT_TRY(find_wants(x, err));
    TT_TRY(find_key(x, err));
    const struct enroll_asking asking = {.client = x->client,
                                         .attrs = &x->attrs,
                                         .wants = &x->wants,
                                         .key = &x->key,
                                         .e = e,
                                         .dir = x->f->dir,
                                         .asked = &asked,
                                         .attest = e->attest,
                                         .wait_s = x->f->wait_s};
    TT_TRY(enroll_ask(&issued.issued, &asking, &x->f->retry_s, err));
    issued.cacerts = TT_TAKE(x->cacerts);
    const struct renewal_judge judge = {.dir = x->f->dir,
                                        .asked = &asked,
                                        .spki = tt_key_spki(x->key.key),
                                        .roots = x->f->roots != NULL ? x->f->roots : x->roots,
                                        .now = clock_wall_s(),
                                        .force = x->f->force};
    TT_TRY(renewal_accept(e, &issued, &judge, &changed, err));
    enrolled_request_answered(e, x->f->dir, !e->attest && !x->wants.bound);
    e->renewed_at = judge.now;
    e->failures = 0;
    e->failed_at = e->retry_at = 0;
    e->last_error = NULL;
    return enrolled_write(e, x->f->dir, err);
}

tt_rc enroll_first(struct enroll_first *f, struct tt_error *err)
{
    struct first x = {.f = f};
    tt_rc rc = first_run(&x, err);
    if (x.key.tpm != NULL)
        f->tpm_commands = tt_tpm_command_count(x.key.tpm);
    first_free(&x);
    return rc;
}

/* ---- afterwards ---- */

static int wait_for(pid_t child)
{
    int status = 0;
    for (unsigned ms = 0; ms < AFTER_S * 1000; ms += 20) {
        if (waitpid(child, &status, WNOHANG) == child)
            return status;
        (void)usleep(20000);
    }
    child_end(child);
    return -1;
}

bool enroll_after(const struct enrolled *e)
{
    extern char **environ;
    char shell[] = "sh", c[] = "-c", *argv[4] = {shell, c, (char *)(uintptr_t)e->exec_after, NULL};
    pid_t child;
    if (e->exec_after == NULL)
        return true;
    (void)setenv("TPMTLS_CERTIFICATE", e->cert, 1);
    (void)setenv("TPMTLS_ENROLMENT", e->name, 1);
    int rc = posix_spawn(&child, "/bin/sh", NULL, NULL, argv, environ);
    int status = rc == 0 ? wait_for(child) : -1;
    if (status == 0)
        return true;
    if (rc != 0)
        cli_note("%s: the command for afterwards could not be started: %s", e->name, strerror(rc));
    else if (status == -1)
        cli_note("%s: the command for afterwards was ended after %d s: %s", e->name, AFTER_S, e->exec_after);
    else
        cli_note("%s: the command for afterwards failed (%d): %s", e->name,
                 WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), e->exec_after);
    return false;
}
