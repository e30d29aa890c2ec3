/* signer/wrap.c: encrypt a software key for a TPM's storage key, as TPM2_Duplicate does, without any TPM.
 * Layer: signer. TPM 2.0 part 1, sections 11.4.10 (KDFa, KDFe), 23.3 (protected storage: duplication),
 * annexes B.10.4 (RSA secret) and C.6.1 (ECC secret): outer wrapper only, as draft-bottomley-tpm2-keys,
 * "secret", demands. */
#include "crypto/wrap.h"

#include <string.h>

#include "crypto/kdf.h"
#include "crypto/kx.h"
#include "signer/policy.h"
#include "signer/signer.h"
#include "wire/writer.h"

#define PARENT_OWNER  0x40000001U
#define PARENT_EK_RSA 0x81010001U
#define PARENT_EK_ECC 0x81010002U
#define ALG_RSA       0x0001

/* struct wrap_parent: the key it is encrypted for. */
struct wrap_parent {
    struct buf spki;
    bool rsa;
    enum hash_id hash; /* name algorithm: of the seed and all that is derived from it */
    uint16_t sym_bits; /* AES-CFB */
    uint32_t handle;
};

/* struct wrapper: one object being wrapped. */
struct wrapper {
    const struct crypto_lib *lib;
    struct wrap_parent parent;
    uint8_t seed[HASH_MAX_SIZE];
    uint8_t name[66]; /* of the object */
    size_t name_len;
    struct buf object, sensitive; /* TPM2B_PUBLIC, TPM2B_SENSITIVE */
    struct buf secret, duplicate; /* TPM2B_ENCRYPTED_SECRET, TPM2B_PRIVATE */
};

static void wrapper_free(struct wrapper *w)
{
    buf_free(&w->parent.spki);
    buf_free(&w->object);
    buf_free(&w->sensitive);
    buf_free(&w->secret);
    buf_free(&w->duplicate);
    mem_wipe(w->seed, sizeof w->seed);
}

/* ---- the seed ---- */

/* One-pass Diffie-Hellman with an ephemeral key: TPMS_ECC_POINT travels. */
static tt_rc seed_ecc(struct wrapper *w)
{
    struct tt_bytes point = wrap_spki_point(buf_bytes(&w->parent.spki));
    size_t field = point.len / 2;
    struct kx_response ours;
    if (field != 32 && field != 48)
        return TT_ERR_UNSUPPORTED;
    TT_TRY(kx_respond(&ours, w->lib, field == 32 ? TT_GROUP_SECP256R1 : TT_GROUP_SECP384R1,
                      (struct kx_random){crypto_random, NULL}, point));
    struct tt_bytes x = {ours.share + 1, field}, y = {ours.share + 1 + field, field};
    const struct kdf seed = {.lib = w->lib,
                             .hash = w->parent.hash,
                             .key = {ours.secret.data, ours.secret.len},
                             .label = "DUPLICATE",
                             .u = x,
                             .v = {point.data + 1, field}};
    tt_rc rc = ours.share_len == 1 + 2 * field ? kdf_e(w->seed, &seed) : TT_ERR_INTERNAL;
    mem_wipe(&ours.secret, sizeof ours.secret);
    TT_TRY(rc);
    struct writer to = writer_to(&w->secret);
    struct wr_mark all = wr_open16(&to);
    wr_vec16(&to, x);
    wr_vec16(&to, y);
    wr_close(&to, all);
    return wr_status(&to);
}

static tt_rc seed_rsa(struct wrapper *w)
{
    static const char label[] = "DUPLICATE";
    struct wrap_oaep key = {.spki = buf_bytes(&w->parent.spki),
                            .hash = w->parent.hash,
                            .label = {(const uint8_t *)label, sizeof label}};
    if (!crypto_random(NULL, w->seed, hash_size(w->parent.hash)))
        return TT_ERR_INTERNAL;
    struct buf text = {0};
    tt_rc rc = wrap_oaep(&text, &key, (struct tt_bytes){w->seed, hash_size(w->parent.hash)});
    struct writer to = writer_to(&w->secret);
    if (rc == TT_OK) {
        wr_vec16(&to, buf_bytes(&text));
        rc = wr_status(&to);
    }
    buf_free(&text);
    return rc;
}

/* ---- the outer wrapper ---- */

static tt_rc outer_wrapper(struct wrapper *w)
{
    uint8_t key[32], mac_key[HASH_MAX_SIZE], mac[HASH_MAX_SIZE];
    size_t h = hash_size(w->parent.hash), key_len = w->parent.sym_bits / 8;
    struct tt_bytes name = {w->name, w->name_len};
    struct kdf k = {
        .lib = w->lib, .hash = w->parent.hash, .key = {w->seed, h}, .label = "STORAGE", .u = name};
    TT_TRY(kdf_a(key, key_len, &k));
    k.label = "INTEGRITY";
    k.u = (struct tt_bytes){NULL, 0};
    TT_TRY(kdf_a(mac_key, h, &k));
    tt_rc rc = wrap_cfb(buf_front(&w->sensitive), buf_size(&w->sensitive), (struct tt_bytes){key, key_len});
    const struct tt_bytes data[] = {buf_bytes(&w->sensitive), name};
    if (rc == TT_OK)
        rc = hmac(w->lib, w->parent.hash, (struct tt_bytes){mac_key, h}, data, TT_COUNT(data), mac);
    mem_wipe(key, sizeof key);
    mem_wipe(mac_key, sizeof mac_key);
    TT_TRY(rc);
    struct writer to = writer_to(&w->duplicate);
    struct wr_mark all = wr_open16(&to);
    wr_vec16(&to, (struct tt_bytes){mac, h});
    wr_bytes(&to, buf_bytes(&w->sensitive));
    wr_close(&to, all);
    return wr_status(&to);
}

/* ---- who it is for ---- */

static bool is_pem(struct tt_bytes b)
{
    return b.len > 0 && memmem(b.data, b.len, "-----BEGIN", 10) != NULL;
}

/* A PEM says nothing of the template: it is taken for the storage root key's or endorsement key's, which have
 * SHA-256 and AES-128 alike. */
static tt_rc parent_from_pem(struct wrap_parent *p, const struct crypto_lib *lib, struct tt_bytes pem,
                             struct tt_error *err)
{
    TT_AUTO(pubkey_free_auto) struct pubkey *key = NULL;
    if (wrap_spki_from_pem(&p->spki, pem) != TT_OK ||
        pubkey_from_spki(&key, lib, buf_bytes(&p->spki)) != TT_OK) {
        (void)error_set(err, TT_ERR_DECODE,
                        "the parent's public key is not a PEM PUBLIC KEY or a TPM2B_PUBLIC");
        error_hint(err, "on the target: `tpmtls key srk -o srk.pub`, or `tpm2_readpublic -c 0x81000001 -o "
                        "srk.pub`");
        return TT_ERR_DECODE;
    }
    p->rsa = pubkey_fits(key, TT_SCHEME_RSA_PSS_RSAE_SHA256);
    if (p->rsa ? pubkey_bits(key) != 2048 : !pubkey_fits(key, TT_SCHEME_ECDSA_SECP256R1_SHA256))
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the parent is neither P-256 nor RSA-2048, so it is no storage root key by its "
                         "template: give its TPM2B_PUBLIC");
    p->hash = HASH_SHA256;
    p->sym_bits = 128;
    p->handle = PARENT_OWNER;
    return TT_OK;
}

static tt_rc parent_from_area(struct wrap_parent *p, struct tt_bytes area, struct tt_error *err)
{
    struct soft_public pub;
    TT_TRY(soft_public_read(&pub, area, err));
    p->rsa = pub.alg == ALG_RSA;
    p->hash = hash_of_alg(pub.name_alg);
    p->sym_bits = pub.sym_bits;
    p->handle = !pub.ek ? PARENT_OWNER : p->rsa ? PARENT_EK_RSA : PARENT_EK_ECC;
    if (!pub.storage || p->hash == HASH_NONE || p->sym_bits == 0 || p->sym_bits > 256)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the parent is not a storage key (restricted, decrypt, AES-CFB) that keys can be "
                         "wrapped for");
    tt_rc rc = soft_public_spki(&p->spki, area);
    return rc == TT_OK ? TT_OK : error_set(err, rc, "the parent's public key is damaged");
}

static tt_rc parent_take(struct wrapper *w, const struct tt_wrap_params *params, struct tt_error *err)
{
    if (is_pem(params->parent_public))
        TT_TRY(parent_from_pem(&w->parent, w->lib, params->parent_public, err));
    else
        TT_TRY(parent_from_area(&w->parent, params->parent_public, err));
    if (params->parent != 0)
        w->parent.handle = params->parent;
    return TT_OK;
}

/* ---- what is wrapped ---- */

static struct tt_bytes wrap_password(const struct tt_wrap_params *params)
{
    return params->params.password != NULL ? *params->params.password : (struct tt_bytes){NULL, 0};
}

static tt_rc object_marshal(struct wrapper *w, const struct privkey *key, const struct tt_wrap_params *params,
                            struct tt_error *err)
{
    struct tt_bytes password = wrap_password(params);
    uint8_t *spki = NULL;
    size_t spki_len = 0;
    struct buf number = {0};
    tt_rc rc = privkey_spki(key, &spki, &spki_len);
    if (rc == TT_OK)
        rc = privkey_secret(&number, key);
    if (rc == TT_OK)
        rc = soft_private_marshal(
            &w->object, &w->sensitive,
            &(struct soft_private){.spki = {spki, spki_len},
                                   .secret = buf_bytes(&number),
                                   .password = password,
                                   .counts_failures = password.len > 0 && params->params.count_failures},
            err);
    mem_free(spki);
    buf_free(&number);
    return rc == TT_OK ? TT_OK : error_set(err, rc, "this kind of key cannot be put into a TPM");
}

static tt_rc object_take(struct wrapper *w, const struct tt_wrap_params *params, struct tt_error *err)
{
    TT_AUTO(privkey_free_auto) struct privkey *key = NULL;
    struct soft_public pub;
    TT_TRY(privkey_from_pem(&key, w->lib, params->key, params->key_password, err));
    TT_TRY(object_marshal(w, key, params, err));
    TT_TRY(soft_public_read(&pub, buf_bytes(&w->object), err));
    return name_of_public(w->name, &w->name_len, w->lib, &pub);
}

static tt_rc wrapper_run(struct wrapper *w, const struct tt_wrap_params *params, struct tt_error *err)
{
    if (params->params.pcrs != NULL || params->params.secret_of != NULL || params->params.signer.len > 0)
        return error_set(err, TT_ERR_UNSUPPORTED, "a wrapped key can have a password, but no policy");
    if (wrap_password(params).len > 0)
        TT_TRY(password_check(params->params.password, err));
    TT_TRY(parent_take(w, params, err));
    TT_TRY(object_take(w, params, err));
    tt_rc rc = w->parent.rsa ? seed_rsa(w) : seed_ecc(w);
    if (rc == TT_OK)
        rc = outer_wrapper(w);
    return rc == TT_OK ? TT_OK : error_set(err, rc, "cannot encrypt the key for its parent");
}

static tt_rc wrapper_text(char **ret_pem, const struct wrapper *w, const struct tt_wrap_params *params,
                          struct tt_error *err)
{
    const char *description = params->params.description;
    struct keyfile f = {.kind = KEYFILE_IMPORTABLE,
                        .empty_auth = wrap_password(params).len == 0,
                        .secret = buf_bytes(&w->secret),
                        .rsa_parent = w->parent.rsa && w->parent.handle >> 24 == 0x40,
                        .parent = w->parent.handle,
                        .pubkey = buf_bytes(&w->object),
                        .privkey = buf_bytes(&w->duplicate)};
    if (description != NULL)
        f.description = (struct tt_bytes){(const uint8_t *)description, strlen(description)};
    /* Where the parent's public area is known, so is its name. */
    struct soft_public pub;
    if (!is_pem(params->parent_public) && soft_public_read(&pub, params->parent_public, NULL) == TT_OK &&
        name_of_public(f.parent_name.data, &f.parent_name.len, w->lib, &pub) != TT_OK)
        f.parent_name.len = 0;
    return keyfile_text(ret_pem, &f, err);
}

tt_rc tt_key_wrap(char **ret_pem, const struct tt_wrap_params *params, struct tt_error *err)
{
    TT_AUTO(crypto_lib_free_auto) struct crypto_lib *lib = NULL;
    TT_TRY(crypto_lib_new(&lib, err));
    struct wrapper w = {.lib = lib};
    tt_rc rc = wrapper_run(&w, params, err);
    if (rc == TT_OK)
        rc = wrapper_text(ret_pem, &w, params, err);
    wrapper_free(&w);
    return rc;
}

tt_rc tt_key_import(char **ret_pem, struct tt_tpm *tpm, const struct tt_wrap_params *params,
                    struct tt_error *err)
{
    static const char label[] = "-----BEGIN TSS2 PRIVATE KEY-----";
    if (params->key.len > 0 && memmem(params->key.data, params->key.len, label, sizeof label - 1) != NULL)
        return tpm_file_import(ret_pem, tpm, params->key, err);
    struct tpm_storage srk;
    TT_TRY(tpm_storage_public(&srk, tpm, err));
    struct tt_wrap_params wrap = *params;
    wrap.parent_public = (struct tt_bytes){srk.pub, srk.pub_len};
    wrap.parent = srk.handle;
    TT_AUTO(mem_free_auto) char *importable = NULL;
    TT_TRY(tt_key_wrap(&importable, &wrap, err));
    return tpm_file_import(ret_pem, tpm, (struct tt_bytes){(const uint8_t *)importable, strlen(importable)},
                           err);
}

tt_rc tt_storage_public(uint8_t **ret, size_t *ret_len, struct tt_tpm *tpm, struct tt_error *err)
{
    struct tpm_storage srk;
    TT_TRY(tpm_storage_public(&srk, tpm, err));
    uint8_t *copy = mem_dup(srk.pub, srk.pub_len);
    if (copy == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    *ret = copy;
    *ret_len = srk.pub_len;
    return TT_OK;
}

tt_rc tt_public_name(uint8_t *ret, size_t *ret_len, struct tt_bytes tpm2b_public, struct tt_error *err)
{
    TT_AUTO(crypto_lib_free_auto) struct crypto_lib *lib = NULL;
    struct soft_public pub;
    TT_TRY(soft_public_read(&pub, tpm2b_public, err));
    TT_TRY(crypto_lib_new_apart(&lib, NULL, err));
    tt_rc rc = name_of_public(ret, ret_len, lib, &pub);
    return rc == TT_OK ? TT_OK : error_set(err, rc, "the name's hash 0x%04x is not known", pub.name_alg);
}
