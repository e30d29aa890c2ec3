/* cli/cmd_ca.c: `tpmtls ca init|sign|show|list`: a small CA in a directory. Layer: cli. Reads the clock for
 * pki, which does not; opens keys for it. */
#include "cli/command.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/event.h"
#include "cli/key_signer.h"
#include "net/files.h"

struct ca_options {
    const char *dir, *subject, *key, *out, *word;
    enum tt_ca_profile profile;
    unsigned long days; /* 0: not given */
    bool chain, delegation, force;
};

/* ---- output ---- */

static int print_json(json_t *root)
{
    int rc = root == NULL ? -1 : json_dumpf(root, stdout, JSON_INDENT(2));
    (void)putchar('\n');
    json_decref(root);
    return rc == 0 ? CLI_OK : CLI_FAILURE;
}

static json_t *info_json(const struct tt_cert_info *i)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "serial", i->serial, "subject", i->subject,
                     "issuer", i->issuer, "notBefore", i->not_before_text, "notAfter", i->not_after_text,
                     "sha256", i->sha256, "key", i->key, "subjectAltName", i->sans);
}

static void info_print(const struct tt_cert_info *i)
{
    printf("subject:     %s\nissuer:      %s\nserial:      %s\nkey:         %s\n", i->subject, i->issuer,
           i->serial, i->key);
    if (i->sans[0] != '\0')
        printf("names:       %s\n", i->sans);
    printf("not before:  %s\nnot after:   %s\nsha256:      %s\n", i->not_before_text, i->not_after_text,
           i->sha256);
}

static enum file_over over(const struct ca_options *o)
{
    return o->force ? FILE_FORCE : FILE_REPLACE;
}

static tt_rc write_pem(const struct ca_options *o, const struct tt_cert_list *list, size_t n,
                       struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_TRY(tt_cert_list_to_pem(&pem, list, n, err));
    return cli_write_file(o->out, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)},
                          (struct file_want){0644, over(o)}, err);
}

/* ---- init ---- */

/* The key of a new CA: the given one, or a fresh software key whose text then goes into DIR. */
static tt_rc init_key(struct cli_key *ret, char **ret_pem, const struct cli *cli, const struct ca_options *o,
                      struct tt_error *err)
{
    if (o->key != NULL)
        return cli_open_key(ret, cli, o->key, err);
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_TRY(tt_ca_key_generate(&pem, err));
    TT_TRY(tt_key_open_software(&ret->key, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)}, NULL, err));
    *ret_pem = TT_TAKE(pem);
    return TT_OK;
}

/* Who can put a key or a certificate there issues, or decides who does. */
static tt_rc open_ca(struct tt_ca **ret, const char *dir, struct tt_error *err)
{
    static const struct {
        const char *name;
        enum file_kind kind;
    } files[] = {{TT_CA_KEY_FILE, FILE_SECRET}, {TT_CA_CERT_FILE, FILE_TRUSTED}, {"ca.db", FILE_TRUSTED}};
    char path[PATH_MAX];
    TT_TRY(file_check_path(dir, FILE_TRUSTED, err));
    for (size_t i = 0; i < TT_COUNT(files); i++) {
        int n = snprintf(path, sizeof path, "%s/%s", dir, files[i].name);
        if (n > 0 && (size_t)n < sizeof path)
            TT_TRY(file_check_path(path, files[i].kind, err));
    }
    return tt_ca_open(ret, dir, err);
}

static json_t *path_json(const char *dir)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/" TT_CA_CERT_FILE, dir);
    return cli_json_text(path);
}

static int init_report(const struct cli *cli, const struct ca_options *o, bool software, bool in_tpm)
{
    struct tt_error err = {0};
    struct tt_ca *ca = NULL;
    struct tt_cert_info *info = NULL;
    if (open_ca(&ca, o->dir, &err) != TT_OK)
        return cli_fail(&err);
    tt_rc rc = tt_cert_describe(&info, tt_ca_certificate(ca), &err);
    tt_ca_close(ca);
    if (rc != TT_OK)
        return cli_fail(&err);
    cli_note("made the CA %s in %s, valid until %s", info->subject, o->dir, info->not_after_text);
    if (software) {
        cli_note("its key is a software key, %s/" TT_CA_KEY_FILE
                 ": whoever reads that file can issue certificates",
                 o->dir);
        cli_hint("--key FILE makes a CA whose key is in the TPM");
    } else if (in_tpm) {
        cli_note("its key is in the TPM");
    }
    int code = CLI_OK;
    if (cli->json) {
        json_t *root = info_json(info);
        (void)json_object_set_new(root, "certificate", path_json(o->dir));
        code = print_json(root);
    }
    tt_cert_info_free(info);
    return code;
}

static int run_init(const struct cli *cli, void *options)
{
    const struct ca_options *o = options;
    struct tt_error err = {0};
    struct cli_key key = {0};
    TT_AUTO(mem_free_auto) char *pem = NULL;
    if (init_key(&key, &pem, cli, o, &err) != TT_OK)
        return cli_fail(&err);
    bool is_file = o->key != NULL && !cli_is_handle(o->key);
    char absolute[PATH_MAX]; /* later commands run in other directories */
    struct tt_ca_params params = {
        .dir = o->dir,
        .subject = o->subject,
        .key_pem = pem,
        .key = is_file && realpath(o->key, absolute) != NULL ? absolute : o->key,
        .days = (unsigned)o->days,
        .now = (int64_t)time(NULL),
    };
    struct tt_pki_signer signer = key_signer(key.key);
    tt_rc rc = tt_ca_create(&params, &signer, &err);
    bool in_tpm = tt_key_is_tpm(key.key);
    cli_close_key(&key);
    return rc == TT_OK ? init_report(cli, o, pem != NULL, in_tpm) : cli_fail(&err);
}

/* ---- sign ---- */

static int sign_report(const struct cli *cli, const struct ca_options *o, const struct tt_cert_list *list)
{
    struct tt_error err = {0};
    struct tt_cert_info *info = NULL;
    TT_AUTO(mem_free_auto) char *pem = NULL;
    size_t n = o->chain ? 2 : 1;
    if (tt_cert_describe(&info, list->certs[0], &err) != TT_OK)
        return cli_fail(&err);
    int code = CLI_OK;
    if ((o->out != NULL || !cli->json) && write_pem(o, list, n, &err) != TT_OK) {
        code = cli_fail(&err);
        cli_hint("the certificate was issued and is kept: tpmtls ca show --dir %s %s -o FILE", o->dir,
                 info->serial);
    } else if (cli->json) {
        json_t *root = info_json(info);
        if (o->out == NULL && tt_cert_list_to_pem(&pem, list, n, &err) == TT_OK)
            (void)json_object_set_new(root, "pem", json_string(pem));
        code = print_json(root);
    } else if (o->out != NULL && strcmp(o->out, "-") != 0) {
        cli_note("issued %s, valid until %s, wrote %s", info->subject, info->not_after_text, o->out);
    }
    tt_cert_info_free(info);
    return code;
}

static tt_rc sign_csr(struct tt_cert_list **ret, const struct cli *cli, struct tt_ca *ca,
                      const struct ca_options *o, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *csr = NULL;
    size_t len = 0;
    struct cli_key key = {0};
    TT_TRY(cli_read_file(&csr, &len, o->word, err));
    TT_TRY(cli_open_key(&key, cli, tt_ca_key(ca), err));
    struct tt_ca_request req = {.csr = {(const uint8_t *)csr, len},
                                .profile = o->profile,
                                .days = (unsigned)o->days,
                                .now = (int64_t)time(NULL),
                                .delegation = o->delegation};
    struct tt_pki_signer signer = key_signer(key.key);
    struct tt_error why = {0};
    tt_rc rc = tt_ca_sign(ret, ca, &req, &signer, &why);
    cli_close_key(&key);
    if (rc == TT_OK)
        return rc;
    bool bytes = rc == TT_ERR_DECODE || rc == TT_ERR_VERIFY; /* pki saw those, not the file */
    const char *is =
        rc == TT_ERR_DECODE && strstr(why.text, "there is no") != NULL && strstr(why.text, "but a") == NULL
            ? cli_pem_content(req.csr)
            : NULL;
    error_hint(err, "%s", why.hint);
    return error_set(err, rc, "%.100s%s%s%s%s", bytes ? o->word : "", bytes ? ": " : "", why.text,
                     is != NULL ? ": it is " : "", is != NULL ? is : "");
}

static int run_sign(const struct cli *cli, void *options)
{
    const struct ca_options *o = options;
    struct tt_error err = {0};
    struct tt_ca *ca = NULL;
    struct tt_cert_list *list = NULL;
    /* Before it is issued, for ever. */
    tt_rc rc = cli_may_write(o->out, HOLDS_CERTIFICATE, over(o), &err);
    if (rc == TT_OK)
        rc = open_ca(&ca, o->dir, &err);
    if (rc == TT_OK)
        rc = sign_csr(&list, cli, ca, o, &err);
    tt_ca_close(ca);
    if (rc != TT_OK)
        return cli_fail(&err);
    int code = sign_report(cli, o, list);
    tt_cert_list_free(list);
    return code;
}

/* ---- show, list ---- */

/* struct gathered: all entries, gathered before anything is printed: a slow reader of our output must not
 * hold the store against `ca sign`. */
struct gathered {
    json_t *entries;
    int64_t now;
};

static tt_rc gather(void *arg, const struct tt_ca_entry *e)
{
    struct gathered *g = arg;
    struct tt_cert_info *info = NULL;
    TT_TRY(tt_cert_describe(&info, e->der, NULL));
    json_t *entry = info_json(info);
    bool expired = strcmp(e->status, "valid") == 0 && e->not_after < g->now;
    (void)json_object_set_new(entry, "status", json_string(expired ? "expired" : e->status));
    tt_cert_info_free(info);
    return json_array_append_new(g->entries, entry) == 0 ? TT_OK : TT_ERR_MEMORY;
}

static const char *member(const json_t *entry, const char *name)
{
    const char *text = json_string_value(json_object_get(entry, name));
    return text == NULL ? "" : text;
}

static int list_print(const json_t *entries)
{
    size_t i;
    json_t *e;
    printf("%-32s  %-20s  %-7s  %s\n", "SERIAL", "NOT AFTER", "STATUS", "SUBJECT");
    json_array_foreach(entries, i, e) printf(
        "%-32s  %-20s  %-7s  %s%s%s\n", member(e, "serial"), member(e, "notAfter"), member(e, "status"),
        member(e, "subject"), member(e, "subject")[0] == '\0' ? "" : "  ", member(e, "subjectAltName"));
    return CLI_OK;
}

static int run_list(const struct cli *cli, void *options)
{
    const struct ca_options *o = options;
    struct tt_error err = {0};
    struct tt_ca *ca = NULL;
    struct gathered g = {.entries = json_array(), .now = (int64_t)time(NULL)};
    tt_rc rc = open_ca(&ca, o->dir, &err);
    if (rc == TT_OK)
        rc = tt_ca_each(ca, NULL, gather, &g, &err);
    tt_ca_close(ca);
    int code = CLI_OK;
    if (rc != TT_OK)
        code = cli_fail(&err);
    else
        code = cli->json ? print_json(json_incref(g.entries)) : list_print(g.entries);
    json_decref(g.entries);
    return code;
}

static tt_rc take_der(void *arg, const struct tt_ca_entry *e)
{
    struct tt_bytes *to = arg;
    const uint8_t *copy = mem_dup(e->der.data, e->der.len);
    *to = (struct tt_bytes){copy, e->der.len};
    return copy == NULL ? TT_ERR_MEMORY : TT_OK;
}

static tt_rc show_cert(const struct cli *cli, struct tt_bytes der, const struct ca_options *o,
                       struct tt_error *err)
{
    struct tt_cert_info *info = NULL;
    if (o->out != NULL)
        return write_pem(o, &(struct tt_cert_list){&der, 1}, 1, err);
    TT_TRY(tt_cert_describe(&info, der, err));
    if (cli->json)
        (void)print_json(info_json(info));
    else
        info_print(info);
    tt_cert_info_free(info);
    return TT_OK;
}

static int run_show(const struct cli *cli, void *options)
{
    const struct ca_options *o = options;
    struct tt_error err = {0};
    struct tt_ca *ca = NULL;
    struct tt_bytes issued = {NULL, 0};
    tt_rc rc = open_ca(&ca, o->dir, &err);
    if (rc == TT_OK && o->word != NULL)
        rc = tt_ca_each(ca, o->word, take_der, &issued, &err);
    if (rc == TT_OK)
        rc = show_cert(cli, o->word != NULL ? issued : tt_ca_certificate(ca), o, &err);
    if (rc == TT_OK && o->word == NULL && o->out == NULL && !cli->json)
        printf("CA's key:    %s\ncertificate: %s/" TT_CA_CERT_FILE "\n", tt_ca_key(ca), o->dir);
    tt_ca_close(ca);
    mem_free((void *)(uintptr_t)issued.data);
    return rc == TT_OK ? CLI_OK : cli_fail(&err);
}

/* ---- the commands ---- */

#define TO(member) OPTION_TO(struct ca_options, member)

static const struct option_row dir_rows[] = {
    {"dir", "DIR",
     "the CA: its certificate (ca.pem: give it to those who shall trust it) and what it issued (ca.db)",
     TO(dir), .needed = "which CA?"},
    {0},
};
static const struct option_row init_rows[] = {
    {"subject", "DN", "what the CA is called, such as '/O=Example/CN=Example CA'", TO(subject),
     .needed = "what is the CA called?", .elsewhere = "subj"},
    {"key", "KEY",
     "its key, which may live in the TPM: a TSS2 PRIVATE KEY file or handle:0x81...; default: a P-256 "
     "software key that "
     "is made in DIR/ca.key",
     TO(key)},
    {"days", "N", "how long it is valid; default: 3650", TO(days), .min = 1, .max = 36500},
    {0},
};
static const struct option_row sign_rows[] = {
    {NULL, "CSR|-", "the request, a file or standard input", TO(word), .needed = "which request?"},
    {"profile", NULL,
     "what the certificate may be used for, which the request does not decide; default: client", TO(profile),
     .choices = "client server both"},
    {"days", "N", "how long it is valid, never longer than the CA itself; default: 365", TO(days), .min = 1,
     .max = 36500},
    {"delegation", NULL, "let its key sign delegated credentials (RFC 9345): serve and connect --delegate",
     TO(delegation)},
    {"out", "FILE", "where it goes, over a former certificate if one is there; default: standard output",
     TO(out), .letter = 'o', .elsewhere = "output"},
    CLI_FORCE_ROW(TO(force)),
    {"chain", NULL, "append the CA's certificate", TO(chain)},
    {0},
};
static const struct option_row show_rows[] = {
    {NULL, "SERIAL", "of one certificate that the CA issued; none: the CA's own", TO(word)},
    {"out", "FILE", "write that certificate there as PEM", TO(out), .letter = 'o', .elsewhere = "output"},
    CLI_FORCE_ROW(TO(force)),
    {0},
};
static const struct option_part init_parts[] = {{NULL, dir_rows, 0}, {NULL, init_rows, 0}, {0}};
static const struct option_part sign_parts[] = {{NULL, dir_rows, 0}, {NULL, sign_rows, 0}, {0}};
static const struct option_part show_parts[] = {{NULL, dir_rows, 0}, {NULL, show_rows, 0}, {0}};
static const struct option_part list_parts[] = {{NULL, dir_rows, 0}, {0}};

static const struct command command_init = {
    .name = "init",
    .summary = "make a CA in a new directory",
    .example = "  tpmtls ca init --dir ca --subject '/O=Example/CN=Example CA'",
    .parts = init_parts,
    .size = sizeof(struct ca_options),
    .run = run_init,
};
static const struct command command_sign = {
    .name = "sign",
    .summary = "check a request and issue a certificate",
    .example = "  tpmtls ca sign --dir ca device.csr -o device.pem",
    .parts = sign_parts,
    .size = sizeof(struct ca_options),
    .run = run_sign,
};
static const struct command command_show = {
    .name = "show",
    .summary = "tell about the CA, or about one certificate it issued",
    .example = "  tpmtls ca show --dir ca",
    .parts = show_parts,
    .size = sizeof(struct ca_options),
    .run = run_show,
};
static const struct command command_list = {
    .name = "list",
    .summary = "show all it issued",
    .example = "  tpmtls ca list --dir ca",
    .parts = list_parts,
    .size = sizeof(struct ca_options),
    .run = run_list,
};

static const struct command *const subcommands[] = {&command_init, &command_sign, &command_show,
                                                    &command_list, NULL};

const struct command command_ca = {
    .name = "ca",
    .summary = "a small CA: issue certificates",
    .about = "A small CA. DIR holds its certificate (ca.pem: give it to those who shall trust it) and what "
             "it issued (ca.db).",
    .subcommands = subcommands,
};
