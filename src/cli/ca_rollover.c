/* cli/ca_rollover.c: `tpmtls ca rollover`. Layer: cli. */
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "cli/ca_cli.h"
#include "cli/key_signer.h"

struct rollover {
    const struct cli *cli;
    const struct ca_options *o;
    struct ca *ca, *parent;
    struct ca_keys keys, parent_keys;
    struct cli_key next;
    char *pem; /* of a software key */
    char where[PATH_MAX];
};

static void rollover_free(struct rollover *r)
{
    ca_close(r->ca);
    ca_close(r->parent);
    cli_close_key(&r->next); /* what is on the TPM of the others goes before it */
    if (r->parent_keys.tpm == r->keys.tpm)
        r->parent_keys.tpm = NULL;
    ca_keys_close(&r->parent_keys);
    ca_keys_close(&r->keys);
    mem_free(r->pem);
}

static tt_rc next_from_pem(struct rollover *r, struct tt_error *err)
{
    const struct tt_bytes text = {(const uint8_t *)r->pem, strlen(r->pem)};
    return tt_key_open_software(&r->next.key, text, NULL, err);
}

/* The one that --key names; else that of a change that was interrupted; else one that is made. *ret_done: the
 * interrupted one had come as far as that its key is in force. */
static tt_rc next_key(struct rollover *r, bool *ret_done, struct tt_error *err)
{
    struct tt_error none = {0};
    *ret_done = false;
    tt_rc rc = ca_next_key(r->ca, &r->pem, &none);
    if (rc == TT_OK) {
        TT_TRY(next_from_pem(r, err));
        *ret_done = tt_cert_matches_key(ca_certificate(r->ca), tt_key_spki(r->next.key));
        if (r->o->key == NULL || *ret_done)
            return TT_OK;
        return error_set(err, TT_ERR_EXISTS,
                         "a change to another key was interrupted; without --key it is brought to its end");
    }
    if (rc != TT_ERR_NOT_FOUND)
        return error_set(err, rc, "%s", none.text);
    if (r->o->key != NULL) {
        if (r->keys.tpm != NULL)
            TT_TRY(cli_open_key_beside(&r->next, r->cli, r->o->key, r->keys.tpm, err));
        else
            TT_TRY(cli_open_key(&r->next, r->cli, r->o->key, err));
        if (r->next.tpm == r->keys.tpm)
            r->next.tpm = NULL; /* it is the others' to close */
        return TT_OK;
    }
    TT_TRY(tt_ca_key_generate(&r->pem, err));
    return next_from_pem(r, err);
}

static tt_rc change_key(struct rollover *r, struct tt_error *err)
{
    const struct ca_options *o = r->o;
    const struct ca_options above = {.dir = o->parent};
    bool is_file = o->key != NULL && !cli_is_handle(o->key);
    const struct ca_change change = {
        .key_pem = r->pem,
        .key = is_file && realpath(o->key, r->where) != NULL ? r->where : o->key,
        .days = (unsigned)o->days,
        .by = ca_cli_person(),
        .now = (int64_t)time(NULL),
    };
    struct tt_pki_signer signer = key_signer(r->next.key);
    r->parent_keys.cli = r->cli;
    if (o->parent != NULL) {
        TT_TRY(ca_cli_open(&r->parent, &above, err));
        r->parent_keys.tpm = r->keys.tpm;
        TT_TRY(ca_keys_give(&r->parent_keys, r->parent, err));
    }
    return ca_change_key(r->ca, &change, &signer, r->parent, err);
}

/* As the new CA: its CRL, and that of the former key. */
static tt_rc go_on(struct rollover *r, struct tt_error *err)
{
    ca_close(r->ca);
    r->ca = NULL;
    cli_close_key(&r->next);
    TT_TRY(ca_cli_open(&r->ca, r->o, err));
    struct tt_error why = {0};
    tt_rc rc = ca_keys_give(&r->keys, r->ca, &why);
    if (rc == TT_OK)
        rc = ca_tend(r->ca, (int64_t)time(NULL), &why);
    if (rc == TT_OK)
        return TT_OK;
    cli_note("the CA has its new key, and no CRL by it yet: %s", why.text);
    cli_hint("tpmtls ca crl --dir %s makes it, and tpmtls ca serve does", r->o->dir);
    return TT_OK;
}

static tt_rc run(struct rollover *r, struct tt_error *err)
{
    bool done = false;
    TT_TRY(ca_cli_open(&r->ca, r->o, err));
    TT_TRY(ca_keys_give(&r->keys, r->ca, err));
    TT_TRY(next_key(r, &done, err));
    if (done)
        ca_next_key_done(r->ca);
    else
        TT_TRY(change_key(r, err));
    return go_on(r, err);
}

static int say(const struct rollover *r)
{
    struct tt_error err = {0};
    struct tt_cert_info *info = NULL;
    if (tt_cert_describe(&info, ca_certificate(r->ca), &err) != TT_OK)
        return cli_fail(&err);
    int code = CLI_OK;
    if (r->cli->json) {
        json_t *root = ca_cli_info_json(info), *former = ca_cli_former_json(r->ca);
        if (former != NULL)
            (void)json_object_set_new(root, "former", former);
        code = ca_cli_json(root);
    } else {
        cli_note("the CA %s has a new key, %s; its certificate in %s/" CA_CERT_FILE " is valid until %s",
                 info->subject, ca_key_name(r->ca), r->o->dir, info->not_after_text);
        cli_note(
            "its former key signs CRLs and OCSP answers until the last certificate of it has ended: keep it "
            "where it is (tpmtls ca show)");
        cli_hint("give %s/" CA_CERT_FILE
                 " to those who shall trust it; devices that renew get it by themselves",
                 r->o->dir);
    }
    tt_cert_info_free(info);
    return code;
}

int run_ca_rollover(const struct cli *cli, void *options)
{
    struct tt_error err = {0};
    struct rollover *r = mem_alloc(sizeof *r);
    if (r == NULL)
        return CLI_FAILURE;
    r->cli = cli;
    r->o = options;
    r->keys.cli = cli;
    int code = run(r, &err) == TT_OK ? say(r) : cli_fail(&err);
    rollover_free(r);
    mem_free(r);
    return code;
}
