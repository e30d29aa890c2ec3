/* cli/ca_change.c: `tpmtls ca revoke|unrevoke|crl|approve|reject` and `ca token create|revoke`. Layer: cli.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/ca_cli.h"

/* The CRL that says so: the revocation stands also where the CA's key is not at hand. */
static void crl_renew(const struct cli *cli, struct ca *ca, const struct ca_options *o)
{
    struct tt_error err = {0};
    struct ca_keys keys = {.cli = cli};
    if (o->no_crl)
        return;
    tt_rc rc = ca_keys_give(&keys, ca, &err);
    if (rc == TT_OK)
        rc = ca_tend(ca, (int64_t)time(NULL), &err);
    ca_keys_close(&keys);
    if (rc == TT_OK)
        return;
    cli_note("the CRL is still the old one: %s", err.text);
    cli_hint("tpmtls ca crl --dir %s makes a new one, and tpmtls ca serve does", o->dir);
}

static int change(const struct cli *cli, const struct ca_options *o, bool revoke)
{
    struct tt_error err = {0};
    struct ca *ca = NULL;
    int64_t now = (int64_t)time(NULL);
    int reason = o->reason == NULL ? 0 : ca_reason_of(o->reason);
    if (reason < 0 || reason == 8)
        return cli_usage(
            cli,
            "--reason: '%s' is no reason of RFC 5280: keyCompromise, affiliationChanged, superseded, "
            "cessationOfOperation, certificateHold, privilegeWithdrawn, ...",
            o->reason);
    tt_rc rc = ca_cli_open(&ca, o, &err);
    if (rc == TT_OK)
        rc = revoke ? ca_revoke(ca, o->word, reason, ca_cli_person(), now, &err)
                    : ca_release(ca, o->word, ca_cli_person(), now, &err);
    if (rc == TT_OK)
        crl_renew(cli, ca, o);
    ca_close(ca);
    if (rc != TT_OK)
        return cli_fail(&err);
    if (cli->json)
        return ca_cli_json(json_pack("{s:s, s:s}", "serial", o->word, "status",
                                     !revoke       ? "valid"
                                     : reason == 6 ? "held"
                                                   : "revoked"));
    cli_note("%s is %s", o->word, !revoke ? "valid again" : reason == 6 ? "on hold" : "revoked");
    return CLI_OK;
}

int run_ca_revoke(const struct cli *cli, void *options)
{
    return change(cli, options, true);
}

int run_ca_unrevoke(const struct cli *cli, void *options)
{
    return change(cli, options, false);
}

/* ---- crl ---- */

static tt_rc crl_get(struct buf *ret, struct ca_fresh *fresh, const struct cli *cli,
                     const struct ca_options *o, struct tt_error *err)
{
    TT_AUTO(ca_keys_close) struct ca_keys keys = {.cli = cli};
    TT_AUTO(ca_close_auto) struct ca *ca = NULL;
    int64_t now = (int64_t)time(NULL);
    TT_TRY(ca_cli_open(&ca, o, err));
    if (!o->no_crl)
        TT_TRY(ca_keys_give(&keys, ca, err));
    tt_rc rc = o->delta            ? ca_crl_delta(ca, ret, fresh, now, err)
               : o->key_id != NULL ? ca_crl_of(ca, o->key_id, ret, fresh, now, err)
                                   : ca_crl(ca, ret, fresh, now, err);
    return rc == TT_OK && !o->no_crl ? ca_tend(ca, now, err) : rc;
}

int run_ca_crl(const struct cli *cli, void *options)
{
    const struct ca_options *o = options;
    struct tt_error err = {0};
    struct ca_fresh fresh = {0};
    TT_AUTO(buf_free) struct buf der = {0};
    TT_AUTO(mem_free_auto) char *pem = NULL;
    tt_rc rc = cli_may_write(o->out, HOLDS_CRL, ca_cli_over(o), &err);
    if (rc == TT_OK)
        rc = crl_get(&der, &fresh, cli, o, &err);
    if (rc == TT_OK && !o->der)
        rc = ca_crl_to_pem(&pem, buf_bytes(&der), &err);
    if (rc != TT_OK)
        return cli_fail(&err);
    struct tt_bytes text = o->der ? buf_bytes(&der) : (struct tt_bytes){(const uint8_t *)pem, strlen(pem)};
    if (o->out != NULL || !cli->json) {
        if (cli_write_file(o->out, text, (struct file_want){0644, ca_cli_over(o)}, &err) != TT_OK)
            return cli_fail(&err);
    }
    char from[24], to[24];
    ca_cli_time(from, fresh.this_update);
    ca_cli_time(to, fresh.next_update);
    if (cli->json)
        return ca_cli_json(
            json_pack("{s:s, s:s, s:i}", "thisUpdate", from, "nextUpdate", to, "bytes", (int)buf_size(&der)));
    if (o->out != NULL && strcmp(o->out, "-") != 0)
        cli_note("wrote the %sCRL of %s, valid until %s, to %s", o->delta ? "delta " : "", from, to, o->out);
    return CLI_OK;
}

/* ---- approve, reject ---- */

static int decide(const struct cli *cli, const struct ca_options *o, bool approve)
{
    struct tt_error err = {0};
    struct ca *ca = NULL;
    tt_rc rc = ca_cli_open(&ca, o, &err);
    if (rc == TT_OK)
        rc = ca_decide(ca, o->word, approve, ca_cli_person(), (int64_t)time(NULL), &err);
    ca_close(ca);
    if (rc != TT_OK)
        return cli_fail(&err);
    if (cli->json)
        return ca_cli_json(
            json_pack("{s:s, s:s}", "id", o->word, "state", approve ? "approved" : "rejected"));
    cli_note(approve ? "request %s is approved: whoever made it gets the certificate when he asks again"
                     : "request %s is rejected",
             o->word);
    return CLI_OK;
}

int run_ca_approve(const struct cli *cli, void *options)
{
    return decide(cli, options, true);
}

int run_ca_reject(const struct cli *cli, void *options)
{
    return decide(cli, options, false);
}

/* ---- tokens ---- */

int run_ca_token_create(const struct cli *cli, void *options)
{
    const struct ca_options *o = options;
    struct tt_error err = {0};
    struct ca *ca = NULL;
    int64_t now = (int64_t)time(NULL);
    char id[CA_ID_HEX], password[CA_PASSWORD_MAX], until[24];
    struct ca_token_plan plan = {.subject = o->subject,
                                 .profile = o->profile,
                                 .uses = (unsigned)o->uses,
                                 .by = ca_cli_person(),
                                 .names = o->sans.at,
                                 .names_len = o->sans.len};
    tt_rc rc = ca_cli_until(&plan.expires, o->expires == NULL ? "1h" : o->expires, now, &err);
    if (rc == TT_OK)
        rc = ca_cli_open(&ca, o, &err);
    if (rc == TT_OK)
        rc = ca_token_create(ca, id, password, &plan, now, &err);
    ca_close(ca);
    if (rc != TT_OK)
        return cli_fail(&err);
    ca_cli_time(until, plan.expires);
    int code = CLI_OK;
    if (cli->json)
        code = ca_cli_json(json_pack("{s:s, s:s, s:s}", "id", id, "token", password, "expires", until));
    else
        printf("%s\n", password);
    mem_wipe(password, sizeof password);
    if (!cli->json)
        cli_note("token %s, good until %s; it is shown this once", id, until);
    return code;
}

int run_ca_token_revoke(const struct cli *cli, void *options)
{
    const struct ca_options *o = options;
    struct tt_error err = {0};
    struct ca *ca = NULL;
    tt_rc rc = ca_cli_open(&ca, o, &err);
    if (rc == TT_OK)
        rc = ca_token_revoke(ca, o->word, ca_cli_person(), (int64_t)time(NULL), &err);
    ca_close(ca);
    if (rc != TT_OK)
        return cli_fail(&err);
    if (cli->json)
        return ca_cli_json(json_pack("{s:s}", "id", o->word));
    cli_note("token %s is revoked", o->word);
    return CLI_OK;
}
