/* cli/tls_identities.c: from --key, --cert, --ocsp-response and --raw-public-key to identities. Layer: cli.
 */
#include "base/mem.h"
#include "base/rc.h"
#include "cli/tls_options.h"
#include "net/identity.h"

const char *tls_identities_conflict(const struct tls_options *o)
{
    if (o->keys.len != o->certs.len && !(o->raw_public_key && o->certs.len == 0))
        return "--key and --cert go together";
    if (o->delegate_s > 0 && o->keys.len > 1)
        return "--delegate goes with one --key and --cert only";
    return o->stray_staple ? "--ocsp-response goes behind the --cert it belongs to" : NULL;
}

static tt_rc add_identity(struct tt_config *cfg, struct tls_identities *ids, enum tt_role role,
                          const struct cli *cli, const struct tls_options *o, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_AUTO(mem_free_auto) char *staple = NULL;
    const size_t i = ids->len;
    size_t pem_len = 0, staple_len = 0;
    struct cli_key *k = &ids->keys[i];
    if (i < o->certs.len)
        TT_TRY(cli_read_file(&pem, &pem_len, o->certs.at[i], err));
    if (o->staples[i] != NULL)
        TT_TRY(cli_read_file(&staple, &staple_len, o->staples[i], err));
    TT_TRY(cli_open_key_beside(k, cli, o->keys.at[i], ids->tpm, err));
    ids->len++;
    ids->tpm = k->tpm != NULL ? k->tpm : ids->tpm;
    const struct identity_source source = {
        .key = k->key,
        .chain_pem = {(const uint8_t *)pem, pem_len},
        .ocsp_response = {(const uint8_t *)staple, staple_len},
        .raw_public_key = o->raw_public_key,
        .key_name = o->keys.at[i],
        .chain_name = o->certs.at[i],
        .role = role,
        .ret_delegation = o->delegate_s > 0 ? &ids->delegation : NULL,
    };
    bool wants_staple = false;
    TT_TRY(identity_add(cfg, &source, &wants_staple, err));
    if (wants_staple && staple_len == 0)
        cli_note("%s demands an OCSP response (must-staple) and none was given: clients will refuse it; "
                 "--ocsp-response FILE staples one",
                 o->certs.at[i]);
    return TT_OK;
}

tt_rc tls_config_identities(struct tt_config *cfg, struct tls_identities *ret, enum tt_role role,
                            const struct cli *cli, const struct tls_options *o, struct tt_error *err)
{
    struct tls_identities ids = {0};
    tt_rc rc = TT_OK;
    while (rc == TT_OK && ids.len < o->keys.len && ids.len < TLS_IDENTITIES)
        rc = add_identity(cfg, &ids, role, cli, o, err);
    if (rc == TT_OK)
        *ret = ids;
    else
        tls_identities_close(&ids);
    return rc;
}

void tls_identities_close(struct tls_identities *ids)
{
    tt_delegation_free(ids->delegation);
    for (size_t i = 0; i < ids->len; i++) {
        ids->keys[i].tpm = NULL; /* one for all */
        cli_close_key(&ids->keys[i]);
    }
    struct cli_key tpm = {.tpm = ids->tpm};
    cli_close_key(&tpm);
    *ids = (struct tls_identities){0};
}
