/* net/identity.c: loading an identity. Layer: net. */
#include "net/identity.h"

#include <string.h>

#include "base/rc.h"
#include "tpmtls/pki.h"
#include "tpmtls/stream.h"

TT_DEFINE_AUTO(struct tt_cert_list, tt_cert_list_free)
TT_DEFINE_AUTO(struct tt_cert_info, tt_cert_info_free)

static tt_rc read_chain(struct tt_cert_list **ret, const struct identity_source *src, struct tt_error *err)
{
    struct tt_error why = {0};
    tt_rc rc = tt_cert_list_from_pem(ret, src->chain_pem, &why);
    if (rc == TT_OK)
        return TT_OK;
    (void)error_set(err, rc, "%s: %s", src->chain_name, why.text);
    error_hint(err,
               why.hint[0] != '\0' ? "%s" : "the file must hold certificates in PEM form, the leaf first",
               why.hint);
    return rc;
}

/* The commonest mistakes: the files of two machines mixed, and the CA's certificate in front of the leaf's.
 */
static tt_rc refuse_pair(const struct tt_cert_list *chain, const struct identity_source *src,
                         struct tt_error *err)
{
    (void)error_set(err, TT_ERR_USAGE, "the certificate in %s does not belong to the key %s", src->chain_name,
                    src->key_name);
    for (size_t i = 1; i < chain->len; i++) {
        if (tt_cert_matches_key(chain->certs[i], tt_key_spki(src->key)))
            error_hint(err, "certificate number %zu in that file does: the leaf must come first", i + 1);
    }
    error_hint(err, "a certificate is issued for one key: `tpmtls csr --key %s` asks for a new one",
               src->key_name);
    return TT_ERR_USAGE;
}

static tt_rc open_chain(struct tt_cert_list **ret, bool *ret_wants_staple, const struct identity_source *src,
                        struct tt_error *err)
{
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *chain = NULL;
    TT_TRY(read_chain(&chain, src, err));
    if (!tt_cert_matches_key(chain->certs[0], tt_key_spki(src->key)))
        return refuse_pair(chain, src, err);
    TT_AUTO(tt_cert_info_free_auto) struct tt_cert_info *info = NULL;
    *ret_wants_staple = tt_cert_describe(&info, chain->certs[0], NULL) == TT_OK && info->must_staple;
    *ret = TT_TAKE(chain);
    return TT_OK;
}

tt_rc identity_add(struct tt_config *cfg, const struct identity_source *src, bool *ret_wants_staple,
                   struct tt_error *err)
{
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *chain = NULL;
    if (src->chain_pem.len > 0)
        TT_TRY(open_chain(&chain, ret_wants_staple, src, err));
    uint16_t schemes[16];
    size_t n = tt_key_schemes(src->key, schemes, TT_COUNT(schemes));
    struct tt_identity id = {
        .chain = chain != NULL ? chain->certs : NULL,
        .chain_len = chain != NULL ? chain->len : 0,
        .key = src->key,
        .schemes = schemes,
        .schemes_len = n < TT_COUNT(schemes) ? n : TT_COUNT(schemes),
        .ocsp_response = src->ocsp_response,
        .raw_public_key = src->raw_public_key ? tt_key_spki(src->key) : (struct tt_bytes){NULL, 0},
    };
    if (n == 0) {
        (void)error_set(
            err, TT_ERR_UNSUPPORTED,
            tt_key_x509_scheme(src->key) == 0
                ? "the key %s can sign under no TLS 1.3 scheme"
                : "the key %s is restricted (an attestation key): it signs certificate requests and "
                  "what the TPM attests, and no TLS handshake",
            src->key_name);
        error_hint(err, "`tpmtls key create --type p256` makes one that can");
        return TT_ERR_UNSUPPORTED;
    }
    if (src->ret_delegation == NULL || chain == NULL)
        return tt_config_add_identity(cfg, &id, err);
    TT_TRY(tt_delegation_new(&id.delegation, src->role, chain->certs[0], err));
    tt_rc rc = tt_config_add_identity(cfg, &id, err);
    if (rc == TT_OK)
        *src->ret_delegation = id.delegation;
    else
        tt_delegation_free(id.delegation);
    return rc;
}

tt_rc tt_config_add_key(struct tt_config *cfg, struct tt_key *key, struct tt_bytes chain_pem,
                        struct tt_error *err)
{
    const struct identity_source source = {
        .key = key, .chain_pem = chain_pem, .key_name = "FILE", .chain_name = "the chain"};
    bool wants_staple = false;
    return identity_add(cfg, &source, &wants_staple, err);
}
