/* cli/ca_make.c: `tpmtls ca init` and `tpmtls ca sign`. Layer: cli. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/ca_cli.h"
#include "cli/event.h"
#include "cli/key_signer.h"

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

static json_t *path_json(const char *dir)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/" CA_CERT_FILE, dir);
    return cli_json_text(path);
}

static int init_report(const struct cli *cli, const struct ca_options *o, bool software, bool in_tpm)
{
    struct tt_error err = {0};
    struct ca *ca = NULL;
    struct tt_cert_info *info = NULL;
    if (ca_cli_open(&ca, o, &err) != TT_OK)
        return cli_fail(&err);
    tt_rc rc = tt_cert_describe(&info, ca_certificate(ca), &err);
    ca_close(ca);
    if (rc != TT_OK)
        return cli_fail(&err);
    cli_note("made the CA %s in %s, valid until %s", info->subject, o->dir, info->not_after_text);
    if (software) {
        cli_note("its key is a software key, %s/" CA_KEY_FILE
                 ": whoever reads that file can issue certificates",
                 o->dir);
        cli_hint("--key FILE makes a CA whose key is in the TPM");
    } else if (in_tpm) {
        cli_note("its key is in the TPM");
    }
    int code = CLI_OK;
    if (cli->json) {
        json_t *root = ca_cli_info_json(info);
        (void)json_object_set_new(root, "certificate", path_json(o->dir));
        code = ca_cli_json(root);
    }
    tt_cert_info_free(info);
    return code;
}

static struct tt_bytes text_bytes(const char *text)
{
    return (struct tt_bytes){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}

/* The CA above, with its key, on the TPM of the new one's key if both have one. */
static tt_rc parent_open(struct ca **ret, struct ca_keys *keys, const struct ca_options *o,
                         const struct cli_key *beside, struct tt_error *err)
{
    struct ca_options above = {.dir = o->parent};
    TT_AUTO(ca_close_auto) struct ca *ca = NULL;
    TT_TRY(ca_cli_open(&ca, &above, err));
    keys->tpm = beside->tpm;
    TT_TRY(ca_keys_give(keys, ca, err));
    *ret = TT_TAKE(ca);
    return TT_OK;
}

static tt_rc init_make(const struct cli *cli, const struct ca_options *o, struct cli_key *key,
                       const char *pem, struct tt_error *err)
{
    bool is_file = o->key != NULL && !cli_is_handle(o->key);
    char absolute[PATH_MAX]; /* later commands run in other directories */
    struct ca *parent = NULL;
    struct ca_keys parent_keys = {.cli = cli};
    const struct ca_make make = {
        .place = {o->dir, o->store},
        .subject = o->subject,
        .key_pem = pem,
        .key = is_file && realpath(o->key, absolute) != NULL ? absolute : o->key,
        .days = (unsigned)o->days,
        .path_len = (unsigned)o->path_len,
        .crl_url = text_bytes(o->crl_url),
        .aia_url = text_bytes(o->issuer_url),
        .ocsp_url = text_bytes(o->ocsp_url),
        .now = (int64_t)time(NULL),
    };
    struct tt_pki_signer signer = key_signer(key->key);
    tt_rc rc = o->parent != NULL ? parent_open(&parent, &parent_keys, o, key, err) : TT_OK;
    if (rc == TT_OK)
        rc = ca_make(&make, &signer, parent, err);
    ca_close(parent);
    if (parent_keys.tpm == key->tpm)
        parent_keys.tpm = NULL; /* it is the other's to close */
    ca_keys_close(&parent_keys);
    return rc;
}

int run_ca_init(const struct cli *cli, void *options)
{
    const struct ca_options *o = options;
    struct tt_error err = {0};
    struct cli_key key = {0};
    TT_AUTO(mem_free_auto) char *pem = NULL;
    if (init_key(&key, &pem, cli, o, &err) != TT_OK)
        return cli_fail(&err);
    tt_rc rc = init_make(cli, o, &key, pem, &err);
    bool in_tpm = tt_key_is_tpm(key.key);
    cli_close_key(&key);
    return rc == TT_OK ? init_report(cli, o, pem != NULL, in_tpm) : cli_fail(&err);
}

/* ---- sign ---- */

static bool same_key(struct tt_bytes a, struct tt_bytes b)
{
    struct tt_cert_info *one = NULL, *other = NULL;
    bool same = tt_cert_describe(&one, a, NULL) == TT_OK && tt_cert_describe(&other, b, NULL) == TT_OK &&
                strcmp(one->spki_sha256, other->spki_sha256) == 0;
    tt_cert_info_free(one);
    tt_cert_info_free(other);
    return same;
}

/* What the certificate and those above it are, in the order a server sends them. */
static tt_rc sign_write(const struct ca_options *o, const struct ca *ca, struct tt_bytes leaf,
                        struct tt_error *err)
{
    const struct tt_cert_list *above = ca_chain(ca), *more = ca_rollover(ca);
    struct tt_bytes certs[17] = {leaf};
    size_t n = 1;
    for (size_t i = 0; o->chain && i < more->len && n < TT_COUNT(certs) / 2; i++)
        if (same_key(more->certs[i], ca_certificate(ca))) /* NewWithOld: for who knows the old key */
            certs[n++] = more->certs[i];
    for (size_t i = 0; o->chain && i < above->len && n < TT_COUNT(certs); i++)
        certs[n++] = above->certs[i];
    return ca_cli_pem(o, &(struct tt_cert_list){certs, n}, n, err);
}

static int sign_json(const struct ca_options *o, const struct tt_cert_info *info, struct tt_bytes leaf)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    json_t *root = ca_cli_info_json(info);
    if (o->out == NULL && tt_cert_list_to_pem(&pem, &(struct tt_cert_list){&leaf, 1}, 1, NULL) == TT_OK)
        (void)json_object_set_new(root, "pem", json_string(pem));
    return ca_cli_json(root);
}

static int sign_report(const struct cli *cli, const struct ca_options *o, const struct ca *ca,
                       struct tt_bytes leaf)
{
    struct tt_error err = {0};
    struct tt_cert_info *info = NULL;
    if (tt_cert_describe(&info, leaf, &err) != TT_OK)
        return cli_fail(&err);
    int code = CLI_OK;
    if ((o->out != NULL || !cli->json) && sign_write(o, ca, leaf, &err) != TT_OK) {
        code = cli_fail(&err);
        cli_hint("the certificate was issued and is kept: tpmtls ca show --dir %s %s -o FILE", o->dir,
                 info->serial);
    } else if (cli->json) {
        code = sign_json(o, info, leaf);
    } else if (o->out != NULL && strcmp(o->out, "-") != 0) {
        cli_note("issued %s, valid until %s, wrote %s", info->subject, info->not_after_text, o->out);
    }
    tt_cert_info_free(info);
    return code;
}

/* What was refused, in the words for whoever named the file. */
static tt_rc refused(const struct ca_options *o, struct tt_bytes csr, const struct ca_answer *a,
                     struct tt_error *err)
{
    const struct tt_error *why = &a->reason;
    bool bytes = why->rc == TT_ERR_DECODE || why->rc == TT_ERR_VERIFY; /* pki saw those, not the file */
    const char *is = why->rc == TT_ERR_DECODE && strstr(why->text, "there is no") != NULL &&
                             strstr(why->text, "but a") == NULL
                         ? cli_pem_content(csr)
                         : NULL;
    error_hint(err, "%s", why->hint);
    return error_set(err, why->rc, "%.100s%s%s%s%s", bytes ? o->word : "", bytes ? ": " : "", why->text,
                     is != NULL ? ": it is " : "", is != NULL ? is : "");
}

static tt_rc sign_csr(struct ca_answer *ret, const struct cli *cli, struct ca *ca, const struct ca_options *o,
                      struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *csr = NULL;
    size_t len = 0;
    struct ca_keys keys = {.cli = cli};
    TT_TRY(cli_read_file(&csr, &len, o->word, err));
    tt_rc rc = ca_keys_give(&keys, ca, err);
    const struct ca_order order = {.csr = {(const uint8_t *)csr, len},
                                   .profile = o->profile,
                                   .by = {.who = CA_BY_OPERATOR, .id = ca_cli_person()},
                                   .days = (unsigned)o->days,
                                   .delegation = o->delegation};
    if (rc == TT_OK)
        rc = ca_issue(ca, &order, ret, 1, (int64_t)time(NULL), err);
    ca_keys_close(&keys);
    return rc != TT_OK || ret->verdict != CA_REFUSED ? rc : refused(o, order.csr, ret, err);
}

int run_ca_sign(const struct cli *cli, void *options)
{
    const struct ca_options *o = options;
    struct tt_error err = {0};
    struct ca *ca = NULL;
    struct ca_answer answer = {0};
    /* Before it is issued, for ever. */
    tt_rc rc = cli_may_write(o->out, HOLDS_CERTIFICATE, ca_cli_over(o), &err);
    if (rc == TT_OK)
        rc = ca_cli_open(&ca, o, &err);
    if (rc == TT_OK)
        rc = sign_csr(&answer, cli, ca, o, &err);
    int code = rc == TT_OK ? sign_report(cli, o, ca, answer.certificate) : cli_fail(&err);
    ca_answer_free(&answer);
    ca_close(ca);
    return code;
}
