/* signer/policy_sign.c: a signed policy for a key that allows them (PolicyAuthorize). Layer: signer.
 * draft-bottomley-tpm2-keys, "TPMAuthPolicy Syntax"; TPM 2.0 part 3, section 23.16: the signature is over
 * H(approvedPolicy || policyRef). */
#include <string.h>

#include "signer/policy.h"
#include "signer/signer.h"

/* struct signing: one signed policy being made. */
struct signing {
    const struct tt_policy_params *params;
    struct policy policy;
    struct soft_authorize authority; /* the key's own first statement */
    enum hash_id hash;
    uint16_t hash_alg;
};

static tt_rc find_authority(struct signing *s, const struct keyfile *f, struct tt_error *err)
{
    struct keyfile_policy first;
    struct tt_bytes policy = f->policy;
    if (!f->has_policy || !keyfile_policy_next(&first, &policy) || first.command != SOFT_POLICY_AUTHORIZE ||
        soft_authorize_read(&s->authority, first.body) != TT_OK) {
        (void)error_set(err, TT_ERR_USAGE, "the key does not take signed policies");
        error_hint(err, "that is decided when a key is made: `tpmtls key create --policy-key PUBLIC ...`");
        return TT_ERR_USAGE;
    }
    return TT_OK;
}

/* The public key in the file must be the signer's, else no TPM accepts the signature. */
static tt_rc check_signer(struct signing *s, struct tt_error *err)
{
    struct soft_public pub;
    struct buf spki = {0};
    struct tt_bytes own = tt_key_spki(s->params->signer);
    TT_TRY(soft_public_read(&pub, s->authority.signer, err));
    bool same = soft_public_spki(&spki, s->authority.signer) == TT_OK && buf_size(&spki) == own.len &&
                memcmp(buf_front(&spki), own.data, own.len) == 0;
    buf_free(&spki);
    if (!same)
        return error_set(err, TT_ERR_USAGE, "the key takes policies signed by another key than this one");
    s->hash_alg = pub.name_alg;
    s->hash = hash_of_alg(pub.name_alg);
    if (s->hash == HASH_NONE || scheme_hash(tt_key_x509_scheme(s->params->signer)) != s->hash)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the policy key cannot sign with the hash that the key wants");
    return TT_OK;
}

static tt_rc build(struct signing *s, struct tt_tpm *tpm, struct tt_error *err)
{
    if (s->params->pcrs != NULL) {
        struct tpm_pcrs pcrs;
        TT_TRY(tpm_pcrs_parse(&pcrs, s->params->pcrs, err));
        if (tpm == NULL)
            return error_set(err, TT_ERR_USAGE, "a TPM is needed to read the PCRs from");
        TT_TRY(tpm_pcrs_read(&pcrs, tpm, err));
        TT_TRY(policy_add_pcrs(&s->policy, &pcrs));
    }
    return s->params->with_password ? policy_add_auth_value(&s->policy) : TT_OK;
}

static tt_rc sign(struct buf *ret_signature, struct signing *s, struct tt_error *err)
{
    struct tt_key *key = s->params->signer;
    uint8_t sig[1024];
    size_t len = 0;
    uint16_t scheme = tt_key_x509_scheme(key);
    struct buf message = {0};
    tt_rc rc = buf_append(&message, s->policy.digest, sizeof s->policy.digest);
    if (rc == TT_OK)
        rc = buf_append(&message, s->authority.ref.data, s->authority.ref.len);
    if (rc == TT_OK)
        rc = tt_key_sign(key, scheme, buf_bytes(&message), sig, sizeof sig, &len, err);
    buf_free(&message);
    TT_TRY(rc);
    return soft_signature(ret_signature, scheme == TT_SCHEME_RSA_PKCS1_SHA256, s->hash_alg,
                          (struct tt_bytes){sig, len});
}

/* The new one first: the draft wants the likeliest in front. */
static tt_rc branches(struct buf *ret, struct signing *s, const struct keyfile *f, struct tt_error *err)
{
    const char *name = s->params->name;
    struct buf signature = {0};
    tt_rc rc = sign(&signature, s, err);
    if (rc == TT_OK)
        rc = policy_add_authorize(&s->policy, &(struct policy_authority){.signer = s->authority.signer,
                                                                         .ref = s->authority.ref,
                                                                         .signature = buf_bytes(&signature)});
    buf_free(&signature);
    TT_TRY(rc);
    struct keyfile_branch branch = {.policy = buf_bytes(&s->policy.statements)};
    if (name != NULL)
        branch.name = (struct tt_bytes){(const uint8_t *)name, strlen(name)};
    TT_TRY(keyfile_branch_put(ret, &branch));
    return buf_append(ret, f->auth_policy.data, f->auth_policy.len);
}

static tt_rc run(char **ret_pem, struct signing *s, struct keyfile *f, struct tt_tpm *tpm,
                 struct tt_error *err)
{
    struct buf all = {0};
    TT_TRY(find_authority(s, f, err));
    TT_TRY(check_signer(s, err));
    TT_TRY(build(s, tpm, err));
    tt_rc rc = branches(&all, s, f, err);
    struct keyfile out = *f; /* views only */
    out.has_auth_policy = true;
    out.auth_policy = buf_bytes(&all);
    out.empty_auth = out.empty_auth && !s->params->with_password;
    if (rc == TT_OK)
        rc = keyfile_text(ret_pem, &out, err);
    buf_free(&all);
    return rc == TT_OK ? TT_OK : error_set(err, rc, "cannot write the signed policy");
}

tt_rc tt_policy_sign(char **ret_pem, const struct tt_policy_params *params, struct tt_tpm *tpm,
                     struct tt_error *err)
{
    TT_AUTO(crypto_lib_free_auto) struct crypto_lib *lib = NULL;
    struct keyfile f;
    TT_TRY(crypto_lib_new(&lib, err));
    TT_TRY(keyfile_parse(&f, params->pem, err));
    struct signing s = {.params = params, .policy = {.lib = lib}};
    tt_rc rc = run(ret_pem, &s, &f, tpm, err);
    policy_free(&s.policy);
    keyfile_free(&f);
    return rc;
}
