/* cli/cmd_renew.c: `tpmtls renew`: what was enrolled, renewed in time; for a timer. Layer: cli. When, and
 * whether what came is good, is decided in est/plan.c and est/renewal.c. */
#include "cli/command.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/enroll.h"
#include "cli/event.h"
#include "est/attested.h"
#include "net/clock.h"

struct renew_options {
    struct option_list which;
    bool all, status, force, bootstrap;
    unsigned long wait;
};

struct renew {
    const struct cli *cli;
    const struct renew_options *o;
    char *dir;
    json_t *list; /* --json */
    int code;     /* the worst */
    /* Of the one that is under way. */
    bool is_key_lost, is_refused, is_new, keeps_request;
    unsigned long long tpm_commands;
};

/* ---- exit codes ---- */

/* What a person has to look at comes first; then what is urgent. */
static int rank(int code)
{
    static const int order[] = {CLI_OK,    CLI_AGAIN,   CLI_AGAIN_URGENT, CLI_FAILURE,
                                CLI_USAGE, CLI_REFUSED, CLI_NOT_TRUSTED,  CLI_TPM};
    for (size_t i = 0; i < TT_COUNT(order); i++)
        if (order[i] == code)
            return (int)i;
    return 0;
}

static void worse(struct renew *x, int code)
{
    if (rank(code) > rank(x->code))
        x->code = code;
}

static bool is_for_later(tt_rc rc)
{
    return rc == TT_ERR_BUSY || rc == TT_ERR_IO || rc == TT_ERR_CLOSED || rc == TT_ERR_DEADLINE ||
           rc == TT_ERR_MEMORY;
}

/* ---- the exchange ---- */

static void auth_again(struct cli_auth *auth, const char *kind, const char *value)
{
    if (auth->kind == CLI_AUTH_NONE && kind != NULL && value != NULL)
        *auth = (struct cli_auth){strcmp(kind, "file") == 0 ? CLI_AUTH_FILE : CLI_AUTH_CREDENTIAL, value};
}

/* The TPM and the passwords as they were at the enrolment, unless said otherwise. */
static struct cli cli_for(const struct renew *x, const struct enrolled *e)
{
    struct cli cli = enroll_trace(x->cli);
    const char *from_environment = getenv("TPMTLS_TPM");
    if (cli.tpm == NULL && (from_environment == NULL || from_environment[0] == '\0'))
        cli.tpm = e->tpm;
    auth_again(&cli.auth, e->auth_kind, e->auth_value);
    auth_again(&cli.endorsement_auth, e->endorsement_kind, e->endorsement_value);
    cli.unattended = true;
    return cli;
}

/* The key cannot be had, and the TPM works: so it is the key that is gone. */
static bool key_is_lost(const struct cli *cli, tt_rc rc)
{
    struct tt_tpm *tpm = NULL;
    TT_AUTO(mem_free_auto) struct tt_persistent *list = NULL;
    size_t n = 0;
    if (rc == TT_ERR_NOT_FOUND)
        return true;
    if (rc != TT_ERR_TPM || cli_open_tpm(&tpm, cli, NULL) != TT_OK)
        return false;
    bool works = tt_persistent_list(&list, &n, tpm, NULL) == TT_OK;
    tt_tpm_close(tpm);
    return works;
}

static tt_rc open_key(struct cli_key *ret, struct renew *x, const struct cli *cli, const struct enrolled *e,
                      struct tt_error *err)
{
    tt_rc rc = cli_open_key(ret, cli, e->key, err);
    if (rc == TT_OK)
        return TT_OK;
    x->is_key_lost = key_is_lost(cli, rc);
    if (x->is_key_lost && !x->o->bootstrap) {
        err->hint[0] = '\0';
        error_hint(err,
                   "the identity is lost with its key; `tpmtls renew --bootstrap %s` makes a new key and "
                   "enrolls it by the token's file, or by attestation",
                   e->name);
    }
    return rc;
}

/* Who was enrolled by evidence shows it again, as far as the server asks. */
static tt_rc ask_server(struct renew *x, struct est_client *client, const struct cli_key *key,
                        const struct enrolled *e, const struct tt_cert_list *current, struct est_issued *ret,
                        unsigned *ret_retry_s, struct tt_error *err)
{
    TT_AUTO(est_csrattrs_free) struct est_csrattrs attrs = {0};
    struct est_attest_wish wish;
    struct est_wants wants;
    TT_TRY(est_client_cacerts(&ret->cacerts, client, err));
    TT_TRY(est_client_csrattrs(&attrs, client, err));
    est_wants_read(&wants, &attrs);
    const struct enroll_asking asking = {.client = client,
                                         .attrs = &attrs,
                                         .wants = &wants,
                                         .key = key,
                                         .e = e,
                                         .dir = x->dir,
                                         .like = current->certs[0],
                                         .attest = e->attest && est_attest_wish_get(&wish, &attrs),
                                         .wait_s = (unsigned)x->o->wait};
    TT_TRY(enroll_ask(&ret->issued, &asking, ret_retry_s, err));
    x->keeps_request = !asking.attest && !wants.bound;
    return TT_OK;
}

static tt_rc exchange(void *arg, const struct enrolled *e, const struct tt_cert_list *current,
                      const struct tt_cert_list *roots, struct est_issued *ret, int64_t *ret_retry_at,
                      struct tt_error *err)
{
    struct renew *x = arg;
    const struct cli cli = cli_for(x, e);
    struct cli_key key = {.key = NULL};
    struct est_client *client = NULL;
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *ca = NULL;
    const struct tt_cert_list chain = renewal_shown(current);
    unsigned retry_s = 0;
    if (e->ca != NULL && enroll_read_ca(&ca, e->ca, NULL) != TT_OK)
        cli_note("%s: %s cannot be read any more; only the CA that was enrolled with is believed", e->name,
                 e->ca);
    TT_TRY(open_key(&key, x, &cli, e, err));
    tt_rc rc = enroll_client(
        &client,
        &(struct enroll_peer){
            .server = e->server, .roots = roots, .more_roots = ca, .key = &key, .chain = &chain},
        err);
    if (rc == TT_OK)
        rc = ask_server(x, client, &key, e, current, ret, &retry_s, err);
    est_client_free(client);
    x->is_refused = rc == TT_ERR_PEER_ALERT;
    *ret_retry_at = retry_s > 0 ? clock_wall_s() + retry_s : 0;
    if (key.tpm != NULL)
        x->tpm_commands = tt_tpm_command_count(key.tpm);
    cli_close_key(&key);
    return rc;
}

static void installed(void *arg, const struct enrolled *e, bool changed_roots)
{
    struct renew *x = arg;
    x->is_new = true;
    enrolled_request_answered(e, x->dir, x->keeps_request);
    if (changed_roots)
        cli_note("%s: the CA has a new root, for which the old one vouches: it is believed from now on",
                 e->name);
}

/* ---- anew ---- */

/* A key that is lost is kept beside, for whoever finds the TPM again. */
static tt_rc move_key(const struct enrolled *e, struct tt_error *err)
{
    char old[PATH_MAX];
    if (cli_is_handle(e->key)) {
        (void)error_set(err, TT_ERR_UNSUPPORTED, "%s: a new key is not made at a handle", e->name);
        error_hint(err, "make one (`tpmtls key create --persist`), then `tpmtls enroll`");
        return TT_ERR_UNSUPPORTED;
    }
    if (access(e->key, F_OK) != 0)
        return TT_OK;
    if (snprintf(old, sizeof old, "%s.lost-%" PRId64, e->key, clock_wall_s()) >= (int)sizeof old ||
        rename(e->key, old) != 0)
        return error_set(err, TT_ERR_IO, "cannot move %s away", e->key);
    cli_note("%s: the key is lost; its file is now %s", e->name, old);
    return TT_OK;
}

static tt_rc start_anew(struct renew *x, struct enrolled *e, struct tt_error *err)
{
    const struct cli cli = cli_for(x, e);
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *roots = NULL;
    if (e->token_file == NULL && !e->attest) {
        (void)error_set(
            err, TT_ERR_USAGE,
            "%s was enrolled without a token and without attestation, so nothing can start it anew", e->name);
        error_hint(err, "`tpmtls enroll` with a new --token-file, or with --attest");
        return TT_ERR_USAGE;
    }
    TT_TRY(enrolled_certs_read(&roots, e, x->dir, ENROLLED_TRUST, err));
    if (x->is_key_lost)
        TT_TRY(move_key(e, err));
    struct enroll_first f = {
        .cli = &cli, .dir = x->dir, .e = e, .roots = roots, .wait_s = (unsigned)x->o->wait, .force = true};
    TT_TRY(enroll_first(&f, err));
    x->tpm_commands = f.tpm_commands;
    x->is_new = true;
    return TT_OK;
}

/* ---- one of them ---- */

static const char *word_of(enum renewal_result r)
{
    static const char *const words[] = {[RENEWAL_NOTHING] = "not-due",
                                        [RENEWAL_DONE] = "renewed",
                                        [RENEWAL_MENDED] = "mended",
                                        [RENEWAL_LATER] = "later",
                                        [RENEWAL_FAILED] = "failed"};
    return words[r];
}

static const char *state_of(const struct renewal_state *s)
{
    static const char *const words[] = {
        [PLAN_WAIT] = "good", [PLAN_RENEW] = "due", [PLAN_BACK_OFF] = "waiting", [PLAN_CLOCK] = "clock"};
    return s->info == NULL ? "broken" : s->plan.ended ? "ended" : words[s->plan.verdict];
}

static void time_text(char ret[24], int64_t at)
{
    time_t t = (time_t)at;
    struct tm utc;
    if (gmtime_r(&t, &utc) == NULL || strftime(ret, 24, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        (void)snprintf(ret, 24, "?");
}

static void add_time(json_t *o, const char *key, int64_t at)
{
    char text[24];
    if (at == 0)
        return;
    time_text(text, at);
    (void)json_object_set_new(o, key, json_string(text));
}

static json_t *json_of(const struct renew *x, const struct enrolled *e, const struct renewal_state *s)
{
    json_t *o =
        json_pack("{s:s, s:o, s:o, s:s, s:i}", "name", e->name, "server", cli_json_text(e->server),
                  "certificate", cli_json_text(e->cert), "state", state_of(s), "failures", (int)e->failures);
    if (s->info != NULL) {
        (void)json_object_set_new(o, "subject", json_string(s->info->subject));
        add_time(o, "not_after", s->info->not_after);
        add_time(o, "renew_at", s->plan.verdict == PLAN_BACK_OFF ? s->plan.at : s->due);
    }
    add_time(o, "renewed_at", e->renewed_at);
    add_time(o, "failed_at", e->failed_at);
    if (e->last_error != NULL)
        (void)json_object_set_new(o, "last_error", cli_json_text(e->last_error));
    if (x->tpm_commands > 0)
        (void)json_object_set_new(o, "tpm_commands", json_integer((json_int_t)x->tpm_commands));
    return o;
}

static void print_status(const struct enrolled *e, const struct renewal_state *s, const struct tt_error *why)
{
    char at[24] = "";
    if (s->info == NULL) {
        printf("%-20s broken: %s\n", e->name, why->text);
        return;
    }
    time_text(at, s->plan.verdict == PLAN_BACK_OFF ? s->plan.at : s->due);
    printf("%-20s %-8s until %s, renewed from %s on  %s\n", e->name, state_of(s), s->info->not_after_text, at,
           s->info->subject);
    if (e->failures > 0)
        printf("%-20s failed %u time%s: %s\n", "", e->failures, e->failures == 1 ? "" : "s",
               e->last_error != NULL ? e->last_error : "?");
}

static void show_status(struct renew *x, const struct enrolled *e)
{
    TT_AUTO(renewal_state_free) struct renewal_state s = {0};
    struct tt_error why = {0};
    if (renewal_look(&s, e, x->dir, clock_wall_s(), &why) != TT_OK)
        worse(x, CLI_FAILURE);
    else if (s.plan.ended)
        worse(x, CLI_AGAIN_URGENT);
    if (x->list == NULL)
        print_status(e, &s, &why);
    else
        (void)json_array_append_new(x->list, json_of(x, e, &s));
}

static void say_result(struct renew *x, const struct enrolled *e, const struct renewal_state *s,
                       enum renewal_result r)
{
    char at[24];
    if (r == RENEWAL_DONE)
        cli_note("%s: renewed, %s until %s", e->name, e->cert, s->info->not_after_text);
    else if (r == RENEWAL_MENDED)
        cli_note("%s: a file was not what was installed and is put right: %s", e->name, e->cert);
    if (r == RENEWAL_LATER) {
        time_text(at, s->plan.at);
        cli_note("%s: it failed lately, and is tried again from %s on (--force: now): %s", e->name, at,
                 e->last_error != NULL ? e->last_error : "?");
    }
    if (r == RENEWAL_NOTHING && (!x->o->all || x->cli->verbose > 0)) {
        time_text(at, s->due);
        cli_note("%s: not due before %s (--force: now)", e->name, at);
    }
    if (r == RENEWAL_DONE && x->cli->verbose > 0)
        cli_note("%llu TPM commands", x->tpm_commands);
}

/* The exit code of a failure; a certificate near its end makes waiting urgent. */
static int code_of(const struct renewal_state *s, enum renewal_result r, const struct tt_error *err)
{
    bool urgent = s->info == NULL || s->plan.urgent || s->plan.ended;
    if (r == RENEWAL_LATER || (r == RENEWAL_FAILED && is_for_later(err->rc)))
        return urgent ? CLI_AGAIN_URGENT : CLI_AGAIN;
    return CLI_OK;
}

static enum renewal_result run_one(struct renew *x, struct enrolled *e, struct tt_error *err)
{
    const struct renewal_world world = {.dir = x->dir,
                                        .now = clock_wall_s(),
                                        .force = x->o->force,
                                        .exchange = exchange,
                                        .installed = installed,
                                        .arg = x};
    enum renewal_result r = renewal_run(e, &world, err);
    bool lost = x->is_key_lost || (r == RENEWAL_FAILED && err->rc == TT_ERR_NOT_FOUND);
    if (r != RENEWAL_FAILED || !x->o->bootstrap || (!lost && !x->is_refused))
        return r;
    cli_note("%s: %s", e->name, err->text);
    *err = (struct tt_error){0};
    return start_anew(x, e, err) == TT_OK ? RENEWAL_DONE : RENEWAL_FAILED;
}

static void name_error(struct tt_error *err, const char *name)
{
    struct tt_error named = {0};
    (void)error_set(&named, err->rc, "%s: %s", name, err->text);
    memcpy(err->text, named.text, sizeof err->text);
}

static void renew_one(struct renew *x, struct enrolled *e)
{
    struct tt_error err = {0};
    enum renewal_result r = run_one(x, e, &err);
    TT_AUTO(renewal_state_free) struct renewal_state s = {0};
    (void)!renewal_look(&s, e, x->dir, clock_wall_s(), NULL);
    int code = code_of(&s, r, &err);
    say_result(x, e, &s, r);
    if (r == RENEWAL_FAILED) {
        name_error(&err, e->name);
        int plain = cli_fail(&err);
        code = code != CLI_OK ? code : plain;
    }
    worse(x, code);
    if (x->is_new && !enroll_after(e))
        worse(x, CLI_FAILURE);
    if (x->list == NULL)
        return;
    json_t *o = json_of(x, e, &s);
    (void)json_object_set_new(o, "result", json_string(word_of(r)));
    if (r == RENEWAL_FAILED)
        (void)json_object_set_new(o, "error", cli_json_text(err.text));
    (void)json_array_append_new(x->list, o);
}

static tt_rc on_name(void *arg, const char *name)
{
    struct renew *x = arg;
    TT_AUTO(enrolled_free) struct enrolled e = {.name = name};
    struct tt_error err = {0};
    x->is_key_lost = x->is_refused = x->is_new = false;
    x->tpm_commands = 0;
    tt_rc rc = x->o->status ? TT_OK : enrolled_lock(&e, x->dir, &err);
    if (rc == TT_OK)
        rc = enrolled_read(&e, x->dir, name, &err);
    if (rc != TT_OK) {
        int code = cli_fail(&err);
        worse(x, rc == TT_ERR_BUSY ? CLI_AGAIN : code);
        return TT_OK;
    }
    if (x->o->status)
        show_status(x, &e);
    else
        renew_one(x, &e);
    return TT_OK;
}

/* ---- the command ---- */

static tt_rc each_one(struct renew *x, struct tt_error *err)
{
    TT_TRY(enrolled_dir(&x->dir, err));
    if (x->o->all)
        return enrolled_each(on_name, x, x->dir, err);
    for (size_t i = 0; i < x->o->which.len; i++) {
        TT_AUTO(mem_free_auto) char *name = NULL;
        TT_TRY(enrolled_find(&name, x->dir, x->o->which.at[i], err));
        TT_TRY(on_name(x, name));
    }
    return TT_OK;
}

static int run(const struct cli *cli, void *options)
{
    const struct renew_options *o = options;
    struct renew x = {.cli = cli, .o = o, .list = cli->json ? json_array() : NULL};
    struct tt_error err = {0};
    if (o->all == (o->which.len > 0))
        return cli_usage(cli, "%s",
                         o->all ? "--all is all of them: leave the others out"
                                : "which one? its certificate or its name, or --all");
    tt_rc rc = each_one(&x, &err);
    if (x.list != NULL) {
        (void)json_dumpf(x.list, stdout, JSON_COMPACT);
        (void)putchar('\n');
        json_decref(x.list);
    }
    mem_free(x.dir);
    return rc == TT_OK ? x.code : cli_fail(&err);
}

#define TO(member) OPTION_TO(struct renew_options, member)

static const struct option_row rows[] = {
    {NULL, "CERT", "a certificate that `tpmtls enroll` wrote, or the name of its enrolment", TO(which),
     .max = OPTION_LIST_MAX},
    {"all", NULL, "all that were enrolled by this user", TO(all)},
    {"status", NULL, "only tell how they stand", TO(status), .not_with = "force bootstrap"},
    {"force", NULL, "also what is not due, or failed lately", TO(force)},
    {"bootstrap", NULL,
     "where the key is lost (the TPM was cleared or replaced), or the certificate has ended and the server "
     "refuses it: a new "
     "enrolment by the token's file, with a new key if need be",
     TO(bootstrap)},
    {"wait", "S", "how long the server may take to decide", TO(wait), .max = 604800, .initial = 60},
    {0},
};
static const struct option_part parts[] = {{NULL, rows, 0}, {0}};

const struct command command_renew = {
    .name = "renew",
    .summary = "renew what was enrolled, when two thirds of its life have passed",
    .about = "Made for a timer: tpmtls-renew@NAME.timer of systemd. What fails is tried again after a time "
             "that doubles, and no file "
             "changes before the new certificate was judged.\n\n"
             "Exit status 6: not now, tried again later; 7: the same, and the certificate has a tenth of its "
             "life left or less. With "
             "any other but 0 somebody has to look.",
    .example = "  tpmtls renew --all --status\n  tpmtls renew --all",
    .parts = parts,
    .size = sizeof(struct renew_options),
    .run = run,
};
