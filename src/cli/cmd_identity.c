/* cli/cmd_identity.c: `tpmtls identity`: the directories that the PKCS#11 module shows as tokens. Layer: cli.
 */
#include "cli/command.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/event.h"
#include "net/files.h"
#include "tpmtls/pki.h"

TT_DEFINE_AUTO(struct tt_cert_list, tt_cert_list_free)

static struct tt_bytes text_bytes(const char *text)
{
    return (struct tt_bytes){(const uint8_t *)text, text != NULL ? strlen(text) : 0};
}

static tt_rc path_join(char ret[PATH_MAX], const char *dir, const char *name, struct tt_error *err)
{
    int n = snprintf(ret, PATH_MAX, "%s/%s", dir, name);
    return n > 0 && n < PATH_MAX ? TT_OK : error_set(err, TT_ERR_IO, "the path is too long");
}

static tt_rc check_name(const char *name, struct tt_error *err)
{
    if (tt_identity_name_is_valid(name))
        return TT_OK;
    (void)error_set(err, TT_ERR_USAGE, "'%.40s' cannot be an identity's name", name);
    error_hint(err, "1 to 32 of A-Z a-z 0-9 . _ @ + -, the first one a letter or a digit");
    return TT_ERR_USAGE;
}

/* ---- add ---- */

struct add_options {
    const char *name, *key, *cert;
    bool replace;
};

static tt_rc handle_text(char **ret, const struct cli *cli, const char *spec, struct tt_error *err)
{
    struct tt_tpm *tpm = NULL;
    uint32_t handle;
    TT_TRY(cli_parse_handle(&handle, spec, err));
    if (handle >> 24 != 0x81)
        return error_set(err, TT_ERR_USAGE, "'%s' is not a persistent handle", spec);
    bool has_password = cli->auth.kind != CLI_AUTH_NONE && cli->auth.kind != CLI_AUTH_EMPTY;
    TT_TRY(cli_open_tpm(&tpm, cli, err));
    tt_rc rc = cli_tpm_says(tt_identity_handle_text(ret, tpm, handle, has_password, err), err);
    tt_tpm_close(tpm);
    return rc;
}

/* *ret_spki, *ret_len: its public key. */
static tt_rc key_text(char **ret, uint8_t **ret_spki, size_t *ret_len, const struct cli *cli,
                      const char *spec, struct tt_error *err)
{
    size_t len = 0;
    if (cli_is_handle(spec))
        TT_TRY(handle_text(ret, cli, spec, err));
    else
        TT_TRY(cli_read_file(ret, &len, spec, err));
    struct tt_error why = {0};
    tt_rc rc = tt_identity_key_spki(ret_spki, ret_len, text_bytes(*ret), &why);
    if (rc == TT_OK)
        return TT_OK;
    (void)error_set(err, rc, "%.120s is not a key in the TPM: %.150s", spec, why.text);
    error_hint(err, "a key is a TSS2 PRIVATE KEY file (`tpmtls key create`, `tpmtls key import`) or "
                    "handle:0x81...");
    return rc;
}

/* From NV memory it is copied: whoever looks at the identity needs no TPM. */
static tt_rc cert_text(char **ret, const struct cli *cli, const char *spec, struct tt_error *err)
{
    struct tt_tpm *tpm = NULL;
    size_t len = 0;
    tt_rc rc = cli_read_certificates(ret, &len, cli, &tpm, spec, err);
    tt_tpm_close(tpm);
    return rc;
}

static tt_rc check_cert(const char *path, const char *text, struct tt_bytes spki, struct tt_error *err)
{
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *list = NULL;
    TT_TRY(tt_cert_list_from_pem(&list, text_bytes(text), err));
    if (tt_cert_matches_key(list->certs[0], spki))
        return TT_OK;
    (void)error_set(err, TT_ERR_DECODE, "the first certificate of %.200s is not for this key", path);
    error_hint(err, "the key's own certificate comes first, then the one of its issuer");
    return TT_ERR_DECODE;
}

static tt_rc put(const char *dir, const char *file, const char *text, const struct add_options *o,
                 struct tt_error *err)
{
    char path[PATH_MAX];
    if (text == NULL)
        return TT_OK;
    TT_TRY(path_join(path, dir, file, err));
    unsigned mode = strcmp(file, TT_IDENTITY_KEY_FILE) == 0 ? 0600 : 0644;
    return cli_write_file(path, text_bytes(text),
                          (struct file_want){mode, o->replace ? FILE_FORCE : FILE_NEW}, err);
}

/* Before the certificate is written, which is for the new one. */
static tt_rc no_other_key(const char *dir, const char *key, const struct add_options *o, struct tt_error *err)
{
    char path[PATH_MAX];
    if (key == NULL || !o->replace)
        return TT_OK;
    TT_TRY(path_join(path, dir, TT_IDENTITY_KEY_FILE, err));
    struct tt_error why = {0};
    tt_rc rc = file_may_write(NULL, path, text_bytes(key), FILE_FORCE, &why);
    if (rc == TT_OK)
        return TT_OK;
    error_hint(err, "--replace takes another certificate for the same key; else move the key file away, or "
                    "`tpmtls identity remove`");
    return error_set(err, rc, "%s", why.text);
}

/* The certificate goes first: with the key and no certificate it would be seen as another identity than it is
 * about to be, with a certificate for another key as a broken one. */
static tt_rc add(const struct cli *cli, const struct add_options *o, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *key = NULL, *cert = NULL, *home = NULL;
    TT_AUTO(mem_free_auto) uint8_t *spki = NULL;
    char dir[PATH_MAX];
    size_t spki_len = 0;
    TT_TRY(check_name(o->name, err));
    if (o->key != NULL)
        TT_TRY(key_text(&key, &spki, &spki_len, cli, o->key, err));
    if (o->cert != NULL)
        TT_TRY(cert_text(&cert, cli, o->cert, err));
    if (cert != NULL)
        TT_TRY(check_cert(o->cert, cert, (struct tt_bytes){spki, spki_len}, err));
    TT_TRY(tt_identities_home(&home, err));
    TT_TRY(path_join(dir, home, o->name, err));
    if (access(dir, F_OK) == 0 && !o->replace) {
        (void)error_set(err, TT_ERR_EXISTS, "there is an identity %s already: %s", o->name, dir);
        error_hint(err, "--replace writes over it; `tpmtls identity remove` removes it");
        return TT_ERR_EXISTS;
    }
    TT_TRY(file_directories(dir, 0755, 0755, err));
    TT_TRY(no_other_key(dir, key, o, err));
    TT_TRY(put(dir, TT_IDENTITY_CERT_FILE, cert, o, err));
    TT_TRY(put(dir, TT_IDENTITY_KEY_FILE, key, o, err));
    cli_note("%s is there: %s", o->name, dir);
    return TT_OK;
}

static int add_run(const struct cli *cli, void *options)
{
    struct tt_error err = {0};
    return add(cli, options, &err) == TT_OK ? CLI_OK : cli_fail(&err);
}

/* ---- list ---- */

struct about {
    const char *name, *path;
    const char *trouble; /* or NULL */
    struct tt_cert_info *cert;
    bool has_key;
};

static tt_rc describe(struct about *a, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *key = NULL, *cert = NULL;
    TT_AUTO(mem_free_auto) uint8_t *spki = NULL;
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *list = NULL;
    char path[PATH_MAX];
    size_t spki_len = 0, len;
    TT_TRY(tt_identity_check(a->path, err));
    TT_TRY(path_join(path, a->path, TT_IDENTITY_CERT_FILE, err));
    if (access(path, F_OK) == 0) {
        TT_TRY(file_read_owned_text(&cert, &len, FILE_TRUSTED, path, err));
        TT_TRY(tt_cert_list_from_pem(&list, text_bytes(cert), err));
        TT_TRY(tt_cert_describe(&a->cert, list->certs[0], err));
    }
    TT_TRY(path_join(path, a->path, TT_IDENTITY_KEY_FILE, err));
    if (access(path, F_OK) != 0)
        return TT_OK;
    a->has_key = true;
    TT_TRY(file_read_owned_text(&key, &len, FILE_TRUSTED, path, err));
    if (list != NULL && strncmp(key, "handle:", 7) == 0 && strstr(key, "-----BEGIN") == NULL)
        return TT_OK; /* the certificate says which key it is */
    TT_TRY(tt_identity_key_spki(&spki, &spki_len, text_bytes(key), err));
    if (list != NULL && !tt_cert_matches_key(list->certs[0], (struct tt_bytes){spki, spki_len}))
        return error_set(err, TT_ERR_DECODE, "the first certificate is not for the key");
    return TT_OK;
}

static void print_text(const struct about *a)
{
    if (a->trouble != NULL)
        printf("%-20s broken: %s (%s)\n", a->name, a->trouble, a->path);
    else if (a->cert != NULL)
        printf("%-20s %-10s until %s  %s\n", a->name, a->cert->key, a->cert->not_after_text,
               a->cert->subject);
    else
        printf("%-20s %s\n", a->name, a->has_key ? "a key without a certificate" : "empty");
}

static void print_json(json_t *list, const struct about *a)
{
    json_t *o = json_pack("{s:o, s:o, s:b}", "name", cli_json_text(a->name), "path", cli_json_text(a->path),
                          "has_key", a->has_key);
    if (a->trouble != NULL)
        (void)json_object_set_new(o, "broken", cli_json_text(a->trouble));
    if (a->cert != NULL) {
        (void)json_object_set_new(o, "subject", json_string(a->cert->subject));
        (void)json_object_set_new(o, "key", json_string(a->cert->key));
        (void)json_object_set_new(o, "not_after", json_string(a->cert->not_after_text));
    }
    (void)json_array_append_new(list, o);
}

static tt_rc list_one(void *arg, const char *name, const char *path)
{
    json_t *list = arg;
    struct tt_error why = {0};
    struct about a = {.name = name, .path = path};
    if (describe(&a, &why) != TT_OK)
        a.trouble = why.text;
    if (list != NULL)
        print_json(list, &a);
    else
        print_text(&a);
    tt_cert_info_free(a.cert);
    return a.trouble != NULL ? TT_ERR_DECODE : TT_OK;
}

static int list_run(const struct cli *cli, void *options)
{
    (void)options;
    struct tt_error err = {0};
    json_t *list = cli->json ? json_array() : NULL;
    tt_rc rc = tt_identities_each(list_one, list, &err);
    if (rc == TT_OK && list != NULL) {
        (void)json_dumpf(list, stdout, JSON_COMPACT);
        (void)putchar('\n');
    }
    json_decref(list);
    return rc == TT_OK ? CLI_OK : cli_fail(&err);
}

/* ---- one of them ---- */

struct wanted {
    const char *name;
    char path[PATH_MAX];
};

static tt_rc find_one(void *arg, const char *name, const char *path)
{
    struct wanted *w = arg;
    if (strcmp(name, w->name) != 0)
        return TT_OK;
    (void)snprintf(w->path, sizeof w->path, "%s", path);
    return TT_OK;
}

static tt_rc find(struct wanted *w, struct tt_error *err)
{
    TT_TRY(tt_identities_each(find_one, w, err));
    if (w->path[0] != '\0')
        return TT_OK;
    (void)error_set(err, TT_ERR_NOT_FOUND, "there is no identity '%.40s'", w->name);
    error_hint(err, "`tpmtls identity list` shows them");
    return TT_ERR_NOT_FOUND;
}

struct name_options {
    const char *name;
    unsigned type;
};

static tt_rc remove_files(const struct wanted *w, struct tt_error *err)
{
    static const char *const files[] = {TT_IDENTITY_KEY_FILE, TT_IDENTITY_CERT_FILE};
    char path[PATH_MAX];
    for (size_t i = 0; i < TT_COUNT(files); i++) {
        TT_TRY(path_join(path, w->path, files[i], err));
        if (unlink(path) != 0 && errno != ENOENT)
            return error_set(err, TT_ERR_IO, "cannot remove %s: %s", path, strerror(errno));
    }
    if (rmdir(w->path) != 0)
        return error_set(err, TT_ERR_IO, "cannot remove %s: %s", w->path, strerror(errno));
    return TT_OK;
}

static int remove_run(const struct cli *cli, void *options)
{
    const struct name_options *o = options;
    struct tt_error err = {0};
    struct wanted w = {.name = o->name};
    (void)cli;
    if (find(&w, &err) != TT_OK || remove_files(&w, &err) != TT_OK)
        return cli_fail(&err);
    cli_note("%s is removed, with its key file and certificate: %s", o->name, w.path);
    return CLI_OK;
}

/* RFC 7512. The characters of a name need no quoting there. */
static int uri_run(const struct cli *cli, void *options)
{
    static const char *const types[] = {"", ";type=private", ";type=public", ";type=cert"};
    const struct name_options *o = options;
    struct tt_error err = {0};
    struct wanted w = {.name = o->name};
    (void)cli;
    if (find(&w, &err) != TT_OK)
        return cli_fail(&err);
    printf("pkcs11:manufacturer=tpmtls;token=%s;object=%s%s\n", o->name, o->name, types[o->type]);
    return CLI_OK;
}

/* ---- words ---- */

struct offering {
    option_put *put;
    void *to;
};

static tt_rc offer_one(void *arg, const char *name, const char *path)
{
    const struct offering *o = arg;
    (void)path;
    o->put(o->to, name);
    return TT_OK;
}

static void offer_names(option_put *offered, void *to)
{
    struct offering o = {offered, to};
    struct tt_error err = {0};
    tt_rc rc = tt_identities_each(offer_one, &o, &err);
    (void)rc; /* what cannot be read is not offered */
}

static const struct option_row add_rows[] = {
    {NULL, "NAME", "what it is called: 1 to 32 of A-Z a-z 0-9 . _ @ + -", OPTION_TO(struct add_options, name),
     .needed = "what is it called?"},
    {"key", "KEY",
     "a TSS2 PRIVATE KEY file, or handle:0x81...; with --auth-... a handle's key has a password. Without it "
     "the identity is an empty token, for a program that makes its key through PKCS#11",
     OPTION_TO(struct add_options, key)},
    {"cert", "FILE", "its certificate, then its chain (PEM), or handle:0x01..., an NV index that holds them",
     OPTION_TO(struct add_options, cert), .needs = "key"},
    {"replace", NULL, "write over an identity that is there", OPTION_TO(struct add_options, replace)},
    {0},
};
static const struct option_row remove_rows[] = {
    {NULL, "NAME", "which one", OPTION_TO(struct name_options, name), .needed = "which identity?",
     .offer = offer_names},
    {0},
};
static const struct option_row uri_rows[] = {
    {NULL, "NAME", "which one", OPTION_TO(struct name_options, name), .needed = "which identity?",
     .offer = offer_names},
    {"type", NULL, "of which object", OPTION_TO(struct name_options, type),
     .choices = "all private public cert"},
    {0},
};
static const struct option_part add_parts[] = {{NULL, add_rows, 0}, {0}};
static const struct option_part remove_parts[] = {{NULL, remove_rows, 0}, {0}};
static const struct option_part uri_parts[] = {{NULL, uri_rows, 0}, {0}};

static const struct command command_add = {
    .name = "add",
    .summary = "put a key and its certificate where every program finds them",
    .about = "Copies both into $XDG_CONFIG_HOME/tpmtls/identities/NAME (~/.config), or into the first "
             "directory that TPMTLS_IDENTITIES names. Programs that are running see a new certificate when "
             "they search again.",
    .example = "  tpmtls identity add vpn --key device.key --cert device.pem",
    .parts = add_parts,
    .size = sizeof(struct add_options),
    .run = add_run,
};
static const struct command command_list = {
    .name = "list",
    .summary = "one line for each; --json: an array",
    .example = "  tpmtls identity list",
    .run = list_run,
};
static const struct command command_remove = {
    .name = "remove",
    .summary = "remove one, its key file included",
    .about = "A persistent key stays in the TPM. A key whose only file this is, is lost.",
    .example = "  tpmtls identity remove vpn",
    .parts = remove_parts,
    .size = sizeof(struct name_options),
    .run = remove_run,
};
static const struct command command_uri = {
    .name = "uri",
    .summary = "the PKCS#11 URI (RFC 7512) that other programs want",
    .example = "  tpmtls identity uri vpn --type private",
    .parts = uri_parts,
    .size = sizeof(struct name_options),
    .run = uri_run,
};
static const struct command *const subcommands[] = {&command_add, &command_list, &command_remove,
                                                    &command_uri, NULL};

const struct command command_identity = {
    .name = "identity",
    .summary = "keys for every program: what the PKCS#11 module shows",
    .about = "An identity is a directory with key.pem and cert.pem. libtpmtls-pkcs11.so shows each one as a "
             "token to browsers, OpenSSH, curl, GnuTLS, Java (docs/pkcs11.md).",
    .subcommands = subcommands,
};
