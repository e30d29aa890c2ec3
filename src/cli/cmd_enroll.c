/* cli/cmd_enroll.c: `tpmtls enroll`: from nothing to a certificate that is renewed by itself. Layer: cli. */
#include "cli/command.h"

#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "cli/enroll.h"
#include "cli/event.h"
#include "net/pin.h"

struct enroll_options {
    const char *server, *ca, *fingerprint, *key, *type, *subject, *token_file, *cert, *chain, *exec_after,
        *name, *identity;
    struct option_list sans;
    unsigned long wait;
    const char *ek_cert;
    bool tofu, force, attest;
};

/* struct enroll: the options as they are remembered: paths absolute. */
struct enroll {
    const struct cli *cli;
    const struct enroll_options *o;
    char *dir, *name;
    char *key, *cert, *chain, *ca, *token_file, *ek_cert, *auth_from, *endorsement_from;
    char sha256[65];
    struct enrolled e;
};

static void enroll_free(struct enroll *x)
{
    char *const all[] = {x->dir, x->name,       x->key,     x->cert,      x->chain,
                         x->ca,  x->token_file, x->ek_cert, x->auth_from, x->endorsement_from};
    enrolled_free(&x->e);
    for (size_t i = 0; i < TT_COUNT(all); i++)
        mem_free(all[i]);
}

/* ---- where things lie ---- */

static tt_rc join(char **ret, const char *dir, const char *file, struct tt_error *err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", dir, file) >= (int)sizeof path)
        return error_set(err, TT_ERR_USAGE, "the path %.100s is too long", dir);
    *ret = mem_strdup(path);
    return *ret != NULL ? TT_OK : error_set(err, TT_ERR_MEMORY, "out of memory");
}

/* --identity NAME: key.pem and cert.pem of the directory that every program finds. */
static tt_rc identity_paths(struct enroll *x, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *home = NULL, *dir = NULL;
    if (!tt_identity_name_is_valid(x->o->identity))
        return error_set(err, TT_ERR_USAGE,
                         "'%.40s' is no name of an identity: 1 to 32 of A-Z a-z 0-9 . _ @ + -",
                         x->o->identity);
    TT_TRY(tt_identities_home(&home, err));
    TT_TRY(join(&dir, home, x->o->identity, err));
    TT_TRY(file_directories(dir, 0755, 0755, err));
    TT_TRY(tt_identity_check(dir, err));
    TT_TRY(join(&x->key, dir, TT_IDENTITY_KEY_FILE, err));
    return join(&x->cert, dir, TT_IDENTITY_CERT_FILE, err);
}

static tt_rc absolute(char **ret, const char *path, struct tt_error *err)
{
    return path == NULL ? TT_OK : enrolled_path(ret, path, err);
}

static tt_rc own_paths(struct enroll *x, struct tt_error *err)
{
    if (x->o->identity != NULL)
        return identity_paths(x, err);
    TT_TRY(enrolled_path(&x->cert, x->o->cert, err));
    if (!cli_is_handle(x->o->key))
        return enrolled_path(&x->key, x->o->key, err);
    x->key = mem_strdup(x->o->key);
    return x->key != NULL ? TT_OK : error_set(err, TT_ERR_MEMORY, "out of memory");
}

static tt_rc find_paths(struct enroll *x, struct tt_error *err)
{
    const struct enroll_options *o = x->o;
    TT_TRY(enrolled_dir(&x->dir, err));
    TT_TRY(own_paths(x, err));
    TT_TRY(absolute(&x->chain, o->chain, err));
    TT_TRY(absolute(&x->token_file, o->token_file, err));
    TT_TRY(absolute(&x->ek_cert, o->ek_cert, err));
    if (o->ca != NULL && strcmp(o->ca, "system") != 0)
        TT_TRY(enrolled_path(&x->ca, o->ca, err));
    if (x->cli->auth.kind == CLI_AUTH_FILE)
        TT_TRY(enrolled_path(&x->auth_from, x->cli->auth.value, err));
    if (x->cli->endorsement_auth.kind == CLI_AUTH_FILE)
        TT_TRY(enrolled_path(&x->endorsement_from, x->cli->endorsement_auth.value, err));
    if (o->name == NULL)
        return enrolled_name_for(&x->name, x->dir, x->cert, err);
    if (!enrolled_name_is_valid(o->name))
        return error_set(
            err, TT_ERR_USAGE,
            "'%.64s' is no name: 1 to 64 of A-Z a-z 0-9 . _ @ + -, the first one a letter or a digit",
            o->name);
    x->name = mem_strdup(o->name);
    return x->name != NULL ? TT_OK : error_set(err, TT_ERR_MEMORY, "out of memory");
}

/* ---- what is remembered ---- */

/* Where a password is found again; one that was typed is not remembered. */
static void remember_auth(const char **ret_kind, const char **ret_value, const struct cli_auth *auth,
                          const char *path)
{
    if (auth->kind == CLI_AUTH_FILE) {
        *ret_kind = "file";
        *ret_value = path;
    } else if (auth->kind == CLI_AUTH_CREDENTIAL) {
        *ret_kind = "credential";
        *ret_value = auth->value;
    }
}

static void remember(struct enroll *x)
{
    const struct enroll_options *o = x->o;
    struct enrolled *e = &x->e;
    e->name = x->name;
    e->server = o->server;
    e->ca = o->ca != NULL && x->ca == NULL ? "system" : x->ca;
    e->key = x->key;
    e->cert = x->cert;
    e->chain = x->chain;
    e->tpm = cli_tpm_choice(x->cli);
    e->subject = o->subject;
    for (; e->sans_len < o->sans.len; e->sans_len++)
        e->sans[e->sans_len] = o->sans.at[e->sans_len];
    e->type = o->type;
    e->token_file = x->token_file;
    e->attest = o->attest;
    e->ek_cert = x->ek_cert;
    e->exec_after = o->exec_after;
    remember_auth(&e->auth_kind, &e->auth_value, &x->cli->auth, x->auth_from);
    remember_auth(&e->endorsement_kind, &e->endorsement_value, &x->cli->endorsement_auth,
                  x->endorsement_from);
    if (getrandom(&e->jitter, sizeof e->jitter, 0) != (ssize_t)sizeof e->jitter)
        e->jitter = 0;
}

static tt_rc fingerprint_read(struct enroll *x, struct tt_error *err)
{
    uint8_t pin[32];
    if (x->o->fingerprint == NULL)
        return TT_OK;
    TT_TRY(pin_parse(pin, x->o->fingerprint, err));
    for (size_t i = 0; i < sizeof pin; i++)
        (void)snprintf(x->sha256 + 2 * i, 3, "%02x", pin[i]);
    return TT_OK;
}

/* ---- the command ---- */

static void tell(const struct enroll *x, const struct enroll_first *f)
{
    TT_AUTO(renewal_state_free) struct renewal_state s = {0};
    if (renewal_look(&s, &x->e, x->dir, x->e.renewed_at, NULL) != TT_OK)
        return;
    if (x->cli->json) {
        json_t *o = json_pack("{s:s, s:o, s:o, s:s, s:s, s:I}", "name", x->name, "key", cli_json_text(x->key),
                              "certificate", cli_json_text(x->cert), "subject", s.info->subject, "not_after",
                              s.info->not_after_text, "tpm_commands", (json_int_t)f->tpm_commands);
        (void)json_dumpf(o, stdout, JSON_COMPACT);
        (void)putchar('\n');
        json_decref(o);
        return;
    }
    cli_note("wrote %s: %s, until %s; renewed by `tpmtls renew %s`", x->cert, s.info->subject,
             s.info->not_after_text, x->name);
    if (x->cli->verbose > 0)
        cli_note("%llu TPM commands", f->tpm_commands);
}

/* What can be refused is refused before the TPM works and the token is spent. */
static tt_rc run_all(struct enroll *x, struct enroll_first *f, struct tt_error *err)
{
    const enum file_over over = x->o->force ? FILE_FORCE : FILE_REPLACE;
    struct est_at at;
    TT_TRY(est_at_parse(&at, x->o->server, err));
    TT_TRY(fingerprint_read(x, err));
    TT_TRY(find_paths(x, err));
    TT_TRY(cli_may_write(x->cert, HOLDS_CERTIFICATE, over, err));
    if (x->chain != NULL)
        TT_TRY(cli_may_write(x->chain, HOLDS_CERTIFICATE, over, err));
    remember(x);
    TT_TRY(enrolled_lock(&x->e, x->dir, err));
    *f = (struct enroll_first){.cli = x->cli,
                               .dir = x->dir,
                               .e = &x->e,
                               .sha256 = x->sha256[0] != '\0' ? x->sha256 : NULL,
                               .wait_s = (unsigned)x->o->wait,
                               .force = x->o->force};
    return enroll_first(f, err);
}

static int run(const struct cli *cli, void *options)
{
    const struct enroll_options *o = options;
    const struct cli traced = enroll_trace(cli);
    TT_AUTO(enroll_free) struct enroll x = {.cli = &traced, .o = o};
    struct enroll_first f = {0};
    struct tt_error err = {0};
    if (o->identity == NULL && (o->key == NULL || o->cert == NULL))
        return cli_usage(cli,
                         "where do the key and the certificate go? --key FILE -o CERT, or --identity NAME");
    if (o->ca == NULL && !o->tofu)
        return cli_usage(cli,
                         "who is believed as the server? --ca FILE, or --trust-on-first-use --fingerprint "
                         "sha256:...");
    tt_rc rc = run_all(&x, &f, &err);
    if (rc == TT_ERR_BUSY || rc == TT_ERR_IO || rc == TT_ERR_CLOSED || rc == TT_ERR_DEADLINE) {
        (void)cli_fail(&err);
        return CLI_AGAIN;
    }
    if (rc != TT_OK)
        return cli_fail(&err);
    tell(&x, &f);
    return enroll_after(&x.e) ? CLI_OK : CLI_FAILURE;
}

#define TO(member) OPTION_TO(struct enroll_options, member)

static const struct option_row server_rows[] = {
    {"server", "HOST[:PORT][/LABEL]", "the EST server (RFC 7030); port 443 unless it is named", TO(server),
     .needed = "which EST server?", .elsewhere = "url"},
    {"ca", "FILE|system", "whom to believe as the server; and, if it is the CA of the certificates, as them",
     TO(ca), .elsewhere = "cacert"},
    {"trust-on-first-use", NULL,
     "believe the CA whose fingerprint is given, which the server itself shows: where no file of it is at "
     "hand",
     TO(tofu), .not_with = "ca", .needs = "fingerprint"},
    {"fingerprint", "sha256:...", "of the CA's certificate (of its DER form), as its operator told it",
     TO(fingerprint), .needs = "trust-on-first-use"},
    {"token-file", "FILE", "a token, or USER:PASSWORD, in its first line; only you may read it",
     TO(token_file)},
    {"attest", NULL,
     "show the server, which has to ask for it, that the key is in this TPM (docs/attestation.md): with a "
     "token, or in "
     "place of one",
     TO(attest)},
    {"ek-cert", "FILE",
     "the certificate of the TPM's endorsement key, and more of its chain, where the TPM has none",
     TO(ek_cert), .needs = "attest"},
    {"wait", "S", "how long the server may take to decide", TO(wait), .max = 604800, .initial = 300},
    {0},
};
static const struct option_row what_rows[] = {
    {"key", "KEY", "the key's file, made where it is not there yet; or handle:0x81...", TO(key),
     .not_with = "identity"},
    {"type", "TYPE", "of a new key; default: what the server wants, else p256", TO(type),
     .words = "p256 p384 p521 rsa2048 rsa3072 rsa4096", .letter = 't'},
    {"subject", "DN", "for instance '/O=Example/CN=device-1'; / alone: none, only the names of --san",
     TO(subject), .needed = "for whom is the certificate?", .elsewhere = "subj"},
    {"san", "NAME", "as in `tpmtls csr`", TO(sans), .max = ENROLLED_SANS, .words = "DNS: IP: URI: email:"},
    {"out", "CERT", "where the certificate goes, with those up to the root", TO(cert), .letter = 'o',
     .not_with = "identity", .elsewhere = "output"},
    {"chain", "FILE", "where the CA's certificates go, the root the last", TO(chain)},
    {"identity", "NAME", "key and certificate go where every program finds them (`tpmtls identity`)",
     TO(identity)},
    {"exec-after", "CMD",
     "run by sh when there is a new certificate, such as 'systemctl reload nginx'; the proxy and `tpmtls "
     "serve` "
     "notice by themselves",
     TO(exec_after)},
    {"name", "NAME", "what `tpmtls renew` calls it; default: made from the certificate's path", TO(name)},
    CLI_FORCE_ROW(TO(force)),
    {0},
};
static const struct option_part parts[] = {{"server", server_rows, 0}, {"certificate", what_rows, 0}, {0}};

const struct command command_enroll = {
    .name = "enroll",
    .summary = "get a certificate from an EST server, for a key that is made in the TPM",
    .about = "Makes the key where there is none, asks the server what it wants, sends a request, judges what "
             "comes, "
             "and writes the certificate. What is needed to renew it is remembered in "
             "$XDG_STATE_HOME/tpmtls/enrolments (root: /var/lib/tpmtls/enrolments): `tpmtls renew`.\n\n"
             "Exit status 6: not now, the same command may work later; nothing was written but the key.",
    .example = "  tpmtls enroll --server localhost:8446 --ca ca/ca.pem --token-file token --key est.key "
               "--subject /CN=device-1 "
               "-o est.pem",
    .parts = parts,
    .size = sizeof(struct enroll_options),
    .run = run,
};
