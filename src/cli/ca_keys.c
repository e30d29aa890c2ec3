/* cli/ca_keys.c: see ca_keys.h. Layer: cli. */
#include "cli/ca_keys.h"

#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "cli/key_signer.h"

static tt_rc open_one(struct cli_key *ret, struct ca_keys *k, const char *name, struct tt_error *err)
{
    struct cli_key key = {0};
    if (k->tpm != NULL)
        TT_TRY(cli_open_key_beside(&key, k->cli, name, k->tpm, err));
    else
        TT_TRY(cli_open_key(&key, k->cli, name, err));
    if (key.tpm != NULL)
        k->tpm = key.tpm;
    key.tpm = NULL; /* it is that of all of them */
    *ret = key;
    return TT_OK;
}

/* A file may hold another key than before: the one that signs is told by what it is, not by its name. */
static tt_rc open_at(struct tt_key **ret, struct ca_keys *k, const char *name, struct tt_error *err)
{
    if (k->len == CA_KEYS_MAX || strlen(name) >= PATH_MAX)
        return error_set(err, TT_ERR_UNSUPPORTED, "the CA has had too many keys since this was started");
    TT_TRY(open_one(&k->at[k->len].key, k, name, err));
    (void)snprintf(k->at[k->len].name, PATH_MAX, "%s", name);
    *ret = k->at[k->len++].key.key;
    return TT_OK;
}

/* former: -1: the key of today. */
static tt_rc give(struct ca *ca, long former, struct tt_key *key, struct tt_error *err)
{
    struct tt_pki_signer signer = key_signer(key);
    return former < 0 ? ca_set_signer(ca, &signer, err)
                      : ca_set_former_signer(ca, (size_t)former, &signer, err);
}

static tt_rc give_named(struct ca_keys *k, struct ca *ca, long former, const char *name, struct tt_error *err)
{
    struct tt_key *key = NULL;
    for (size_t i = 0; i < k->len; i++)
        if (strcmp(k->at[i].name, name) == 0 && give(ca, former, k->at[i].key.key, NULL) == TT_OK)
            return TT_OK;
    TT_TRY(open_at(&key, k, name, err));
    return give(ca, former, key, err);
}

tt_rc ca_keys_give(struct ca_keys *k, struct ca *ca, struct tt_error *err)
{
    int64_t now = (int64_t)time(NULL);
    TT_TRY(give_named(k, ca, -1, ca_key_name(ca), err));
    for (size_t i = 0; i < ca_former_count(ca); i++) {
        struct ca_former f;
        struct tt_error why = {0};
        TT_TRY(ca_former(ca, &f, i, now, err));
        if (f.certificates == 0 || now >= f.not_after || give_named(k, ca, (long)i, f.key, &why) == TT_OK)
            continue;
        cli_note("the CA's former key cannot be used, and its CRL and OCSP answers end: %s", why.text);
        cli_hint("%lld of its certificates are in use still: tpmtls ca show", (long long)f.certificates);
    }
    return TT_OK;
}

void ca_keys_close(struct ca_keys *k)
{
    for (size_t i = 0; i < k->len; i++)
        cli_close_key(&k->at[i].key);
    tt_tpm_close(k->tpm);
    k->len = 0;
    k->tpm = NULL;
}
