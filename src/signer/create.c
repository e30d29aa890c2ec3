/* signer/create.c: new keys and sealed data, with their policy. Layer: signer. draft-bottomley-tpm2-keys,
 * "TPMPolicy Syntax": what is demanded, in the order in which it is executed. */
#include <string.h>

#include "base/mem.h"
#include "crypto/wrap.h"
#include "signer/made.h"
#include "signer/policy.h"
#include "signer/signer.h"
#include "tpm/mldsa.h"

#define POLICY_REF_SIZE 32 /* "a high entropy nonce", against swapping signed policies between keys */

static const struct {
    const char *name;
    uint32_t handle;
} hierarchies[] = {{"owner", 0x40000001}, {"endorsement", 0x4000000b}, {"lockout", 0x4000000a}};

static tt_rc add_secret(struct policy *p, const char *who, struct tt_error *err)
{
    for (size_t i = 0; i < TT_COUNT(hierarchies); i++)
        if (strcmp(who, hierarchies[i].name) == 0)
            return policy_add_secret(p, hierarchies[i].handle);
    return error_set(err, TT_ERR_USAGE, "'%s' is not one of owner, endorsement and lockout", who);
}

static tt_rc add_pcrs(struct policy *p, struct tt_tpm *tpm, const char *spec, struct tt_error *err)
{
    struct tpm_pcrs pcrs;
    TT_TRY(tpm_pcrs_parse(&pcrs, spec, err));
    TT_TRY(tpm_pcrs_read(&pcrs, tpm, err));
    return policy_add_pcrs(p, &pcrs);
}

/* The key that signs policies; its name algorithm is the hash that it signs with. */
static tt_rc add_signer(struct policy *p, struct tt_bytes spki, struct tt_error *err)
{
    TT_AUTO(pubkey_free_auto) struct pubkey *key = NULL;
    uint8_t ref[POLICY_REF_SIZE];
    if (pubkey_from_spki(&key, p->lib, spki) != TT_OK)
        return error_set(err, TT_ERR_DECODE, "the policy key is not a public key (PEM PUBLIC KEY)");
    uint16_t alg = pubkey_fits(key, TT_SCHEME_ECDSA_SECP384R1_SHA384)   ? TPM_HASH_SHA384
                   : pubkey_fits(key, TT_SCHEME_ECDSA_SECP521R1_SHA512) ? TPM_HASH_SHA512
                                                                        : TPM_HASH_SHA256;
    if (!crypto_random(NULL, ref, sizeof ref))
        return error_set(err, TT_ERR_INTERNAL, "there is no randomness for the policy's nonce");
    struct buf area = {0};
    tt_rc rc = soft_public_verifier(&area, spki, alg);
    if (rc == TT_OK)
        rc = policy_add_authorize(
            p, &(struct policy_authority){.signer = buf_bytes(&area), .ref = {ref, sizeof ref}});
    buf_free(&area);
    return rc == TT_OK ? rc : error_set(err, rc, "the policy key is of a kind that TPMs do not verify with");
}

/* PEM or DER. */
static tt_rc add_signer_text(struct policy *p, struct tt_bytes text, struct tt_error *err)
{
    struct buf spki = {0};
    bool pem = wrap_spki_from_pem(&spki, text) == TT_OK;
    tt_rc rc = add_signer(p, pem ? buf_bytes(&spki) : text, err);
    buf_free(&spki);
    return rc;
}

static bool has_password(const struct tt_key_params *params)
{
    return params->password != NULL && params->password->len > 0;
}

tt_rc password_check(const struct tt_bytes *password, struct tt_error *err)
{
    if (password->len > 32) /* the name algorithm's digest, TPM 2.0 part 1, section 19.6.5 */
        return error_set(err, TT_ERR_USAGE, "the password is too long: a TPM takes at most 32 bytes");
    if (password->data[password->len - 1] != 0)
        return TT_OK;
    (void)error_set(err, TT_ERR_USAGE,
                    "the password ends in a zero byte, which a TPM drops: a shorter one would do");
    error_hint(err, "take a password that ends otherwise; hexadecimal or base64 text never has one");
    return TT_ERR_USAGE;
}

static tt_rc policy_build(struct policy *p, struct tt_tpm *tpm, const struct tt_key_params *params,
                          struct tt_error *err)
{
    if (params->signer.len > 0)
        TT_TRY(add_signer_text(p, params->signer, err));
    if (params->pcrs != NULL)
        TT_TRY(add_pcrs(p, tpm, params->pcrs, err));
    if (params->secret_of != NULL)
        TT_TRY(add_secret(p, params->secret_of, err));
    /* A password of its own is then demanded by the signed policies that want it. */
    if (p->count > 0 && has_password(params) && params->signer.len == 0)
        TT_TRY(policy_add_auth_value(p));
    return TT_OK;
}

static tt_rc params_check(const struct tt_key_params *params, struct tt_error *err)
{
    if (has_password(params) && params->secret_of != NULL) {
        (void)error_set(err, TT_ERR_USAGE, "a key cannot demand both its own password and another one");
        error_hint(err, "programs ask for one password a key (draft-bottomley-tpm2-keys)");
        return TT_ERR_USAGE;
    }
    return has_password(params) ? password_check(params->password, err) : TT_OK;
}

/* ret_key: NULL, or it is opened, too. */
static tt_rc create(struct tpm_key **ret_key, char **ret_pem, struct tt_tpm *tpm,
                    const struct tt_key_params *params, struct tpm_new *what, struct tt_error *err)
{
    TT_AUTO(crypto_lib_free_auto) struct crypto_lib *lib = NULL;
    TT_TRY(params_check(params, err));
    TT_TRY(crypto_lib_new(&lib, err));
    struct policy policy = {.lib = lib};
    tt_rc rc = policy_build(&policy, tpm, params, err);
    if (rc == TT_OK && policy.count > 0) {
        what->auth_policy = (struct tt_bytes){policy.digest, sizeof policy.digest};
        what->policy = buf_bytes(&policy.statements);
        what->policy_has_password = policy.needs_password;
    }
    if (has_password(params)) {
        what->password = *params->password;
        what->counts_failures = params->count_failures;
    }
    if (params->description != NULL)
        what->description =
            (struct tt_bytes){(const uint8_t *)params->description, strlen(params->description)};
    if (rc == TT_OK)
        rc = ret_key != NULL ? tpm_create_key(ret_key, ret_pem, tpm, what, err)
                             : tpm_create(ret_pem, tpm, what, err);
    what->auth_policy = what->policy = (struct tt_bytes){NULL, 0}; /* they end with this function */
    policy_free(&policy);
    return rc == TT_OK ? TT_OK : error_set(err, rc, "cannot make the key's policy");
}

static tt_rc create_mldsa(char **ret_pem, struct tt_tpm *tpm, const struct tt_key_params *params,
                          struct tt_error *err)
{
    struct tt_bytes description = {NULL, 0};
    if (has_password(params) || params->pcrs != NULL || params->secret_of != NULL || params->signer.len > 0) {
        (void)error_set(err, TT_ERR_UNSUPPORTED,
                        "an ML-DSA key in the TPM cannot have a password or a policy here");
        return TT_ERR_UNSUPPORTED;
    }
    if (params->description != NULL)
        description = (struct tt_bytes){(const uint8_t *)params->description, strlen(params->description)};
    return tpm_mldsa_create(ret_pem, tpm, (enum tpm_mldsa_set)(params->type - TT_KEY_MLDSA44 + TPM_MLDSA_44),
                            description, err);
}

tt_rc tt_key_create_with(char **ret_pem, struct tt_tpm *tpm, const struct tt_key_params *params,
                         struct tt_error *err)
{
    if ((size_t)params->type >= TT_KEY_OTHER)
        return error_set(err, TT_ERR_USAGE, "no such key type");
    if (params->type >= TT_KEY_MLDSA44)
        return create_mldsa(ret_pem, tpm, params, err);
    struct tpm_new what = {.type = params->type};
    return create(NULL, ret_pem, tpm, params, &what, err);
}

static tt_rc make_mldsa(struct tt_key **ret, char **ret_pem, struct tt_tpm *tpm,
                        const struct tt_key_params *params, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_TRY(create_mldsa(&pem, tpm, params, err));
    const struct tt_bytes text = {(const uint8_t *)pem, strlen(pem)};
    TT_TRY(tt_key_open_pem_with(ret, tpm, text, params->password, err));
    *ret_pem = TT_TAKE(pem);
    return TT_OK;
}

tt_rc signer_make(struct tt_key **ret, char **ret_pem, struct tt_tpm *tpm, const struct tt_key_params *params,
                  struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    struct tpm_key *key = NULL;
    struct tpm_new what = {.type = params->type};
    if ((size_t)params->type >= TT_KEY_OTHER)
        return error_set(err, TT_ERR_USAGE, "no such key type");
    if (params->type >= TT_KEY_MLDSA44)
        return make_mldsa(ret, ret_pem, tpm, params, err);
    TT_TRY(create(&key, &pem, tpm, params, &what, err));
    TT_TRY(signer_from_tpm(ret, key, err));
    *ret_pem = TT_TAKE(pem);
    return TT_OK;
}

tt_rc tt_key_create(char **ret_pem, struct tt_tpm *tpm, enum tt_key_type type, struct tt_error *err)
{
    return tt_key_create_with(ret_pem, tpm, &(struct tt_key_params){.type = type}, err);
}

tt_rc tt_seal(char **ret_pem, struct tt_tpm *tpm, struct tt_bytes data, const struct tt_key_params *params,
              struct tt_error *err)
{
    if (data.len == 0 || data.data == NULL)
        return error_set(err, TT_ERR_USAGE, "there is nothing to seal");
    struct tpm_new what = {.kind = TPM_NEW_SEALED, .data = data};
    return create(NULL, ret_pem, tpm, params, &what, err);
}

tt_rc tt_hmac_create(char **ret_pem, struct tt_tpm *tpm, struct tt_bytes secret,
                     const struct tt_key_params *params, struct tt_error *err)
{
    if (secret.len > 64) /* the hash's block */
        return error_set(err, TT_ERR_USAGE, "the secret of an HMAC key has at most 64 bytes");
    struct tpm_new what = {.kind = TPM_NEW_HMAC, .data = secret};
    return create(NULL, ret_pem, tpm, params, &what, err);
}

tt_rc tt_ecdh_create(char **ret_pem, struct tt_tpm *tpm, const struct tt_key_params *params,
                     struct tt_error *err)
{
    struct tpm_new what = {.kind = TPM_NEW_ECDH};
    return create(NULL, ret_pem, tpm, params, &what, err);
}

tt_rc tt_unseal(uint8_t **ret, size_t *ret_len, struct tt_tpm *tpm, struct tt_bytes pem,
                const struct tt_bytes *password, struct tt_error *err)
{
    return tpm_unseal(ret, ret_len, tpm, pem, password, err);
}
