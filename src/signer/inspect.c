/* signer/inspect.c: what a key file says, field by field, and the persistent keys of a TPM. Layer: signer.
 * draft-bottomley-tpm2-keys, "TPMkey Syntax"; RFC 6920 section 3 (ni URIs); TPM 2.0 part 2, section 8.3
 * (TPMA_OBJECT). */
#include <stdio.h>
#include <string.h>

#include "signer/policy.h"
#include "signer/signer.h"

#define ALG_KEYEDHASH         0x0008
#define ATTRIBUTE_FIXEDTPM    0x00000002U
#define ATTRIBUTE_FIXEDPARENT 0x00000010U

void tt_attributes_text(char *ret, size_t cap, uint32_t attributes)
{
    /* The words of tpm2-tools. */
    static const char *const names[32] = {
        [1] = "fixedtpm",     [2] = "stclear",         [4] = "fixedparent", [5] = "sensitivedataorigin",
        [6] = "userwithauth", [7] = "adminwithpolicy", [10] = "noda",       [11] = "encryptedduplication",
        [16] = "restricted",  [17] = "decrypt",        [18] = "sign",       [19] = "x509sign"};
    size_t n = 0;
    if (cap > 0)
        ret[0] = '\0';
    for (unsigned i = 0; i < 32; i++)
        if ((attributes >> i & 1) != 0 && names[i] != NULL && n < cap)
            n += (size_t)snprintf(ret + n, cap - n, "%s%s", n > 0 ? "|" : "", names[i]);
}

static void type_text(char *ret, size_t cap, uint16_t alg, enum tt_key_type type, uint32_t attributes)
{
    const char *name = alg == ALG_KEYEDHASH ? "sealed data or HMAC key" : tt_key_type_name(type);
    bool storage = (attributes & 0x00010000U) != 0 && (attributes & 0x00020000U) != 0;
    bool attest = (attributes & 0x00010000U) != 0 && (attributes & 0x00040000U) != 0;
    (void)snprintf(ret, cap, "%s%s", name, storage ? " storage" : attest ? " attestation" : "");
}

bool tt_name_uri(char *ret, size_t cap, struct tt_bytes name)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    static const char prefix[] = "ni:///sha-256;";
    if (name.len != 34 || name.data[0] != 0 || name.data[1] != 0x0b || cap < sizeof prefix + 43)
        return false;
    char *at = ret + snprintf(ret, cap, "%s", prefix);
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 2; i < name.len; i++) {
        bits = bits << 8 | name.data[i];
        for (have += 8; have >= 6; have -= 6)
            *at++ = digits[bits >> (have - 6) & 63];
    }
    *at++ = digits[bits << (6 - have) & 63]; /* 256 bits: four are left; no padding */
    *at = '\0';
    return true;
}

/* Text from a file goes to a terminal: nothing that could steer it. */
static void take_text(char *ret, size_t cap, struct tt_bytes text)
{
    size_t n = text.len < cap - 1 ? text.len : cap - 1;
    for (size_t i = 0; i < n; i++)
        ret[i] = text.data[i] < 0x20 || text.data[i] == 0x7f ? '?' : (char)text.data[i];
    ret[n] = '\0';
}

static void take_policy(struct tt_policy_info *ret, struct tt_bytes content)
{
    struct keyfile_policy p;
    while (content.len > 0 && ret->len < TT_POLICY_MAX && keyfile_policy_next(&p, &content)) {
        struct tt_policy_step *step = &ret->steps[ret->len++];
        step->command = p.command;
        soft_policy_text(step->text, sizeof step->text, &p);
    }
}

static void take_branches(struct tt_keyfile_info *ret, struct tt_bytes content)
{
    struct keyfile_branch branch;
    while (content.len > 0 && ret->branches_len < TT_BRANCHES_MAX && keyfile_branch_next(&branch, &content)) {
        struct tt_policy_info *info = &ret->branches[ret->branches_len++];
        take_text(info->name, sizeof info->name, branch.name);
        take_policy(info, branch.policy);
    }
}

static enum tt_exportable exportable_of(const struct soft_public *pub)
{
    if ((pub->attributes & ATTRIBUTE_FIXEDTPM) != 0)
        return TT_EXPORT_NEVER;
    if ((pub->attributes & ATTRIBUTE_FIXEDPARENT) != 0)
        return TT_EXPORT_WITH_PARENT;
    return pub->auth_policy_len == 0 ? TT_EXPORT_NOT_ALLOWED : TT_EXPORT_BY_POLICY;
}

static tt_rc take_public(struct tt_keyfile_info *ret, const struct keyfile *f, struct tt_error *err)
{
    struct soft_public pub;
    TT_AUTO(crypto_lib_free_auto) struct crypto_lib *lib = NULL;
    TT_TRY(soft_public_read(&pub, f->pubkey, err));
    TT_TRY(crypto_lib_new(&lib, err));
    type_text(ret->type, sizeof ret->type, pub.alg, pub.type, pub.attributes);
    ret->name_alg = pub.name_alg;
    ret->attributes = pub.attributes;
    ret->auth_policy_len = pub.auth_policy_len;
    memcpy(ret->auth_policy, pub.auth_policy, pub.auth_policy_len);
    ret->exportable = exportable_of(&pub);
    if (name_of_public(ret->name, &ret->name_len, lib, &pub) != TT_OK)
        ret->name_len = 0;
    return TT_OK;
}

static tt_rc take_file(struct tt_keyfile_info *ret, const struct keyfile *f, struct tt_error *err)
{
    ret->kind = f->kind == KEYFILE_SEALED       ? "sealed data"
                : f->kind == KEYFILE_IMPORTABLE ? "importable"
                                                : "loadable";
    ret->needs_password = !f->empty_auth;
    ret->has_policy = f->has_policy;
    ret->has_auth_policy = f->has_auth_policy;
    ret->has_secret = f->secret.len > 0;
    ret->rsa_parent = f->rsa_parent;
    ret->parent = f->parent;
    ret->parent_name_len = f->parent_name.len;
    memcpy(ret->parent_name, f->parent_name.data, f->parent_name.len);
    ret->private_len = f->privkey.len;
    take_text(ret->description, sizeof ret->description, f->description);
    take_policy(&ret->policy, f->policy);
    take_branches(ret, f->auth_policy);
    return take_public(ret, f, err);
}

tt_rc tt_keyfile_inspect(struct tt_keyfile_info *ret, struct tt_bytes pem, struct tt_error *err)
{
    struct keyfile f;
    TT_TRY(keyfile_parse(&f, pem, err));
    struct tt_keyfile_info *info = mem_alloc(sizeof *info);
    tt_rc rc = info == NULL ? error_set(err, TT_ERR_MEMORY, "out of memory") : take_file(info, &f, err);
    if (rc == TT_OK && info != NULL)
        *ret = *info;
    mem_free(info);
    keyfile_free(&f);
    return rc;
}

tt_rc tt_keyfile_try_load(struct tt_tpm *tpm, struct tt_bytes pem, struct tt_error *err)
{
    return tpm_file_load(tpm, pem, err);
}

/* ---- persistent keys ---- */

tt_rc tt_persistent_list(struct tt_persistent **ret, size_t *ret_len, struct tt_tpm *tpm,
                         struct tt_error *err)
{
    struct buf found = {0};
    tt_rc rc = tpm_persistent_list(&found, tpm, err);
    size_t n = buf_size(&found) / sizeof(struct tpm_persistent);
    struct tt_persistent *list = rc == TT_OK ? mem_alloc((n + 1) * sizeof *list) : NULL;
    for (size_t i = 0; list != NULL && i < n; i++) {
        struct tpm_persistent e;
        memcpy(&e, buf_front(&found) + i * sizeof e, sizeof e);
        list[i] =
            (struct tt_persistent){.handle = e.handle, .attributes = e.attributes, .name_len = e.name_len};
        memcpy(list[i].name, e.name, e.name_len);
        type_text(list[i].type, sizeof list[i].type, e.alg, e.type, e.attributes);
    }
    buf_free(&found);
    if (list == NULL)
        return error_set(err, rc == TT_OK ? TT_ERR_MEMORY : rc, "out of memory");
    *ret = list;
    *ret_len = n;
    return TT_OK;
}

tt_rc tt_key_persist(struct tt_tpm *tpm, struct tt_bytes pem, uint32_t handle, struct tt_error *err)
{
    return tpm_file_persist(tpm, pem, handle, err);
}

tt_rc tt_key_evict(struct tt_tpm *tpm, uint32_t handle, struct tt_error *err)
{
    return tpm_persistent_evict(tpm, handle, err);
}
