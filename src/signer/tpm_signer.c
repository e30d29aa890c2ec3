/* signer/tpm_signer.c: a key in the TPM as a signer. Layer: signer. The digest and, for RSA-PSS, the padding
 * are made in software; the chip does one private operation; the result is verified before it leaves (a wrong
 * key, a wrong salt, a crossed answer and a glitched chip all show there). RFC 9846 section 4.3.3. */
#include <string.h>

#include "crypto/sig.h"
#include "signer/made.h"
#include "signer/mldsa_signer.h"
#include "signer/pss.h"
#include "signer/signer.h"
#include "tpm/key.h"
#include "tpm/mldsa.h"
#include "tpm/reopen.h"

struct tpm_signer {
    struct tt_key key; /* must be first */
    struct crypto_lib *lib;
    struct pubkey *pub;
    struct tpm_key *tpm;
};

static struct tpm_signer *signer_of(struct tt_key *key)
{
    return (struct tpm_signer *)key;
}

static uint16_t tpm_hash_of(enum hash_id hash)
{
    return hash == HASH_SHA384 ? TPM_HASH_SHA384 : hash == HASH_SHA512 ? TPM_HASH_SHA512 : TPM_HASH_SHA256;
}

static bool is_pss(uint16_t scheme)
{
    return scheme == TT_SCHEME_RSA_PSS_RSAE_SHA256 || scheme == TT_SCHEME_RSA_PSS_RSAE_SHA384 ||
           scheme == TT_SCHEME_RSA_PSS_RSAE_SHA512;
}

/* struct tpm_job: one signature on its way. */
struct tpm_job {
    struct tpm_signer *signer;
    uint16_t scheme;
    enum hash_id hash;
    uint8_t digest[HASH_MAX_SIZE];
    uint8_t *sig; /* the caller's buffer */
    size_t cap, len;
};

static struct tt_bytes job_digest(const struct tpm_job *job)
{
    return (struct tt_bytes){job->digest, hash_size(job->hash)};
}

static tt_rc sign_ecdsa(struct tpm_job *job, struct tt_error *err)
{
    struct buf der = {.max = job->cap};
    tt_rc rc = tpm_key_sign_ecdsa(&der, job->signer->tpm, tpm_hash_of(job->hash), job_digest(job), err);
    if (rc == TT_OK) {
        job->len = buf_size(&der);
        memcpy(job->sig, buf_front(&der), job->len);
    }
    buf_free(&der);
    return rc;
}

static tt_rc sign_pss_raw(struct tpm_job *job, struct tt_error *err)
{
    uint8_t salt[HASH_MAX_SIZE], padded[PSS_MAX_BYTES];
    if (!crypto_random(NULL, salt, hash_size(job->hash)))
        return error_set(err, TT_ERR_INTERNAL, "there is no randomness for the signature's salt");
    struct pss_request req = {.hash = job->hash,
                              .modulus_bits = tpm_key_info(job->signer->tpm)->bits,
                              .digest = job->digest,
                              .salt = {salt, hash_size(job->hash)}};
    tt_rc rc = pss_encode(padded, job->signer->lib, &req);
    if (rc != TT_OK)
        return error_set(err, rc, "cannot pad the message for this key");
    return tpm_key_rsa_raw(job->sig, job->signer->tpm, (struct tt_bytes){padded, req.modulus_bits / 8}, err);
}

static tt_rc sign_rsa(struct tpm_job *job, struct tt_error *err)
{
    const struct tpm_key_info *info = tpm_key_info(job->signer->tpm);
    job->len = info->bits / 8;
    if (job->cap < job->len)
        return error_set(err, TT_ERR_USAGE, "the buffer for the signature is too small");
    bool pss = is_pss(job->scheme);
    if (pss && info->raw) {
        struct tt_error why = {0};
        tt_rc rc = sign_pss_raw(job, &why);
        if (rc != TT_ERR_UNSUPPORTED) {
            if (rc != TT_OK && err != NULL)
                *err = why;
            return rc;
        }
        tpm_key_avoid_raw(job->signer->tpm); /* the chip's own PSS may do; it is verified like the other */
    }
    return tpm_key_sign_rsa(job->sig, job->signer->tpm, pss ? TPM_PADDING_PSS : TPM_PADDING_PKCS1,
                            tpm_hash_of(job->hash), job_digest(job), err);
}

static tt_rc job_verify(struct tpm_job *job, struct tt_bytes message, struct tt_error *err)
{
    struct tpm_signer *s = job->signer;
    const struct tpm_key_info *info = tpm_key_info(s->tpm);
    tt_rc rc = pubkey_verify(s->lib, s->pub, job->scheme, message, (struct tt_bytes){job->sig, job->len});
    if (rc != TT_ERR_VERIFY)
        return rc == TT_OK ? TT_OK : error_set(err, rc, "out of memory");
    if (is_pss(job->scheme) && !info->raw) {
        (void)error_set(
            err, TT_ERR_UNSUPPORTED,
            "this TPM signs RSA-PSS with a salt that TLS 1.3 does not allow, and the key cannot be used "
            "another way since it is for signing only");
        error_hint(err,
                   "make a key that works here: `tpmtls key create --type %s` (or the faster --type p256)",
                   s->key.type == TT_KEY_OTHER ? "rsa2048" : tt_key_type_name(s->key.type));
        tpm_probe_set(s->tpm, false);
        return TT_ERR_UNSUPPORTED;
    }
    (void)error_set(err, TT_ERR_TPM,
                    "the TPM's signature is wrong: it does not verify with the key's public part");
    error_hint(err, "try again; if it stays, the TPM or the way to it is faulty or tampered with");
    return TT_ERR_TPM;
}

/* What a restricted key signs has to be hashed by the TPM, again after each loss. */
static tt_rc job_once(struct tpm_job *job, struct tt_bytes message, struct tt_error *err)
{
    struct tpm_key *key = job->signer->tpm;
    const struct tpm_key_info *info = tpm_key_info(key);
    if (info->restricted)
        TT_TRY(tpm_key_hash(job->digest, hash_size(job->hash), key, tpm_hash_of(job->hash), message, err));
    return info->rsa ? sign_rsa(job, err) : sign_ecdsa(job, err);
}

/* A TPM that went away, or forgot the key, is opened again and asked once more. */
static tt_rc job_ask(struct tpm_job *job, struct tt_bytes message, struct tt_error *err)
{
    struct tt_error why = {0};
    struct tpm_key *key = job->signer->tpm;
    tt_rc rc = TPM_TWICE(tpm_key_tpm(key), &why, job_once(job, message, &why));
    if (rc != TT_OK) {
        (void)error_set(err, rc, "%s", why.text);
        error_hint(err, "%s", why.hint);
    }
    return rc;
}

static tt_rc tpm_signer_sign(struct tt_key *key, uint16_t scheme, struct tt_bytes message, uint8_t *ret_sig,
                             size_t cap, size_t *ret_len, struct tt_error *err)
{
    struct tpm_job job = {
        .signer = signer_of(key), .scheme = scheme, .hash = scheme_hash(scheme), .sig = ret_sig, .cap = cap};
    if (hash_size(job.hash) == 0)
        return error_set(err, TT_ERR_USAGE, "no TPM key signs with %s", tt_scheme_name(scheme));
    tt_rc rc = hash_digest(job.signer->lib, job.hash, message, job.digest);
    if (rc != TT_OK)
        return error_set(err, rc, "cannot compute the digest to sign");
    TT_TRY(job_ask(&job, message, err));
    rc = job_verify(&job, message, err);
    /* Since a restart of the TPM somebody else's key may have this one's handle. */
    if (rc != TT_OK && rc != TT_ERR_MEMORY && tpm_key_recheck(job.signer->tpm)) {
        error_clear(err);
        mem_wipe(ret_sig, job.len);
        TT_TRY(job_ask(&job, message, err));
        rc = job_verify(&job, message, err);
    }
    if (rc != TT_OK) {
        mem_wipe(ret_sig, job.len); /* a glitched signature can give the key away */
        return rc;
    }
    *ret_len = job.len;
    return TT_OK;
}

static void tpm_signer_free(struct tt_key *key)
{
    struct tpm_signer *s = signer_of(key);
    tpm_key_free(s->tpm);
    pubkey_free(s->pub);
    crypto_lib_free(s->lib);
}

static void offer(struct tt_key *key, uint16_t scheme)
{
    key->schemes[key->schemes_len++] = scheme;
}

static tt_rc refuse_hash(const struct tpm_key_info *info, struct tt_error *err)
{
    (void)error_set(err, TT_ERR_UNSUPPORTED, "this TPM lacks the hash that TLS 1.3 signs with under a %s key",
                    tt_key_type_name(info->type));
    error_hint(err, "make a key that works: `tpmtls key create --type p256`");
    return TT_ERR_UNSUPPORTED;
}

/* SHA-256 is in every TPM; only others are asked for, since that costs a command. */
static bool chip_has(const struct tpm_signer *s, uint16_t hash)
{
    return hash == TPM_HASH_SHA256 || tpm_has_hash(tpm_key_tpm(s->tpm), hash);
}

static tt_rc choose_ecdsa(struct tpm_signer *s, const struct tpm_key_info *info, struct tt_error *err)
{
    if (!chip_has(s, info->hash))
        return refuse_hash(info, err);
    offer(&s->key, info->type == TT_KEY_P256   ? TT_SCHEME_ECDSA_SECP256R1_SHA256
                   : info->type == TT_KEY_P384 ? TT_SCHEME_ECDSA_SECP384R1_SHA384
                                               : TT_SCHEME_ECDSA_SECP521R1_SHA512);
    s->key.x509_scheme = s->key.schemes[0];
    return TT_OK;
}

/* An attestation key: for requests and certificates, whose bytes the TPM hashes, and not for TLS. */
static tt_rc choose_restricted(struct tpm_signer *s, const struct tpm_key_info *info, struct tt_error *err)
{
    static const struct {
        uint16_t hash, pss, pkcs1;
    } rsa[] = {{TPM_HASH_SHA256, TT_SCHEME_RSA_PSS_RSAE_SHA256, TT_SCHEME_RSA_PKCS1_SHA256},
               {TPM_HASH_SHA384, TT_SCHEME_RSA_PSS_RSAE_SHA384, TT_SCHEME_RSA_PKCS1_SHA384},
               {TPM_HASH_SHA512, TT_SCHEME_RSA_PSS_RSAE_SHA512, TT_SCHEME_RSA_PKCS1_SHA512}};
    if (!info->rsa) {
        TT_TRY(choose_ecdsa(s, info, err));
        s->key.schemes_len = 0;
        return TT_OK;
    }
    for (size_t i = 0; i < TT_COUNT(rsa); i++)
        if (info->hash == rsa[i].hash)
            s->key.x509_scheme = info->padding == TPM_PADDING_PSS ? rsa[i].pss : rsa[i].pkcs1;
    return s->key.x509_scheme != 0
               ? TT_OK
               : error_set(err, TT_ERR_UNSUPPORTED,
                           "the attestation key's hash is not one of SHA-256, SHA-384 and SHA-512");
}

/* Offer only what the key can do: by its curve, or its scheme and hash, and what the chip has. */
static tt_rc choose_schemes(struct tpm_signer *s, const struct tpm_key_info *info, struct tt_error *err)
{
    static const struct {
        uint16_t hash, pss;
    } rsa[] = {{TPM_HASH_SHA256, TT_SCHEME_RSA_PSS_RSAE_SHA256},
               {TPM_HASH_SHA384, TT_SCHEME_RSA_PSS_RSAE_SHA384},
               {TPM_HASH_SHA512, TT_SCHEME_RSA_PSS_RSAE_SHA512}};
    if (info->restricted)
        return choose_restricted(s, info, err);
    if (!info->rsa)
        return choose_ecdsa(s, info, err);
    for (size_t i = 0; i < TT_COUNT(rsa); i++)
        if (info->padding != TPM_PADDING_PKCS1 && (info->hash == TPM_HASH_ANY || info->hash == rsa[i].hash) &&
            (info->raw || chip_has(s, rsa[i].hash)))
            offer(&s->key, rsa[i].pss);
    if (s->key.schemes_len == 0) {
        (void)error_set(err, TT_ERR_UNSUPPORTED,
                        "the key can sign only with PKCS#1 v1.5 or a hash that TLS 1.3 does not allow");
        error_hint(err,
                   "make a key that works: `tpmtls key create --type rsa2048` (or the faster --type p256)");
        return TT_ERR_UNSUPPORTED;
    }
    s->key.x509_scheme =
        info->padding == TPM_PADDING_PSS ? s->key.schemes[0] : (uint16_t)TT_SCHEME_RSA_PKCS1_SHA256;
    return TT_OK;
}

/* Whether the chip's own PSS has the salt that TLS 1.3 demands shows in a signature and nowhere else: one is
 * made when the key is opened, once a key. */
static tt_rc probe_pss(struct tpm_signer *s, struct tt_error *err)
{
    static const struct tt_bytes message = {(const uint8_t *)"tpmtls: which salt?", 19};
    const struct tpm_key_info *info = tpm_key_info(s->tpm);
    uint8_t sig[PSS_MAX_BYTES];
    size_t len;
    bool works = false;
    if (!info->rsa || info->raw || info->restricted || (tpm_probe_get(&works, s->tpm) && works))
        return TT_OK;
    tt_rc rc = tpm_signer_sign(&s->key, s->key.schemes[0], message, sig, sizeof sig, &len, err);
    if (rc == TT_OK)
        tpm_probe_set(s->tpm, true);
    return rc;
}

static tt_rc signer_fill(struct tpm_signer *s, struct tt_error *err)
{
    const struct tpm_key_info *info = tpm_key_info(s->tpm);
    struct tt_bytes name = tpm_key_name(s->tpm);
    s->key.type = info->type;
    s->key.is_tpm = true;
    if (name.len > sizeof s->key.name)
        return error_set(err, TT_ERR_TPM, "the TPM returned a malformed name");
    memcpy(s->key.name, name.data, name.len);
    s->key.name_len = name.len;
    TT_TRY(choose_schemes(s, info, err));
    TT_TRY(crypto_lib_new(&s->lib, err));
    tt_rc rc = tpm_key_spki(&s->key.spki, &s->key.spki_len, s->tpm);
    if (rc == TT_OK)
        rc = pubkey_from_spki(&s->pub, s->lib, tt_key_spki(&s->key));
    if (rc != TT_OK)
        return error_set(err, rc, "the key's public part is not a valid public key");
    return probe_pss(s, err);
}

tt_rc signer_from_tpm(struct tt_key **ret, struct tpm_key *tpm, struct tt_error *err)
{
    static const struct signer_ops ops = {.sign = tpm_signer_sign, .free = tpm_signer_free};
    struct tpm_signer *s = mem_alloc(sizeof *s);
    if (s == NULL) {
        tpm_key_free(tpm);
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    }
    s->key.ops = &ops;
    s->tpm = tpm;
    tt_rc rc = signer_fill(s, err);
    if (rc != TT_OK) {
        tt_key_free(&s->key);
        return rc;
    }
    *ret = &s->key;
    return TT_OK;
}

/* A key that is no use for TLS 1.3: what would be. */
static tt_rc refused(tt_rc rc, struct tt_error *err)
{
    if (rc == TT_ERR_UNSUPPORTED)
        error_hint(err, "make a key that works: `tpmtls key create`");
    return rc;
}

struct tpm_key *signer_tpm_key(struct tt_key *key)
{
    return key != NULL && key->ops->sign == tpm_signer_sign ? signer_of(key)->tpm : NULL;
}

tt_rc tt_key_open_pem_with(struct tt_key **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                           const struct tt_bytes *password, struct tt_error *err)
{
    struct tpm_key *k = NULL;
    if (tpm_mldsa_is(pem))
        return mldsa_signer_open(ret, tpm, pem, password, err);
    tt_rc rc = tpm_key_load(&k, tpm, pem, password, err);
    return rc == TT_OK ? signer_from_tpm(ret, k, err) : refused(rc, err);
}

tt_rc tt_key_open_handle_with(struct tt_key **ret, struct tt_tpm *tpm, uint32_t handle,
                              const struct tt_bytes *password, struct tt_error *err)
{
    struct tpm_key *k = NULL;
    tt_rc rc = tpm_key_persistent(&k, tpm, handle, password, err);
    return rc == TT_OK ? signer_from_tpm(ret, k, err) : refused(rc, err);
}

tt_rc tt_key_open_pem(struct tt_key **ret, struct tt_tpm *tpm, struct tt_bytes pem, struct tt_error *err)
{
    return tt_key_open_pem_with(ret, tpm, pem, NULL, err);
}

tt_rc tt_key_open_handle(struct tt_key **ret, struct tt_tpm *tpm, uint32_t handle, struct tt_error *err)
{
    return tt_key_open_handle_with(ret, tpm, handle, NULL, err);
}
