/* pkcs11/crypt.c: see crypt.h. Layer: pkcs11. An operation that fails is over; only a question for the length
 * and a buffer that is too small leave it as it was (section 5.2). */
#include "pkcs11/crypt.h"

#include <string.h>

#include "pkcs11/object.h"
#include "pkcs11/template.h"
#include "pkcs11/temporary.h"
#include "pkcs11/vault.h"

static CK_RV rv_of(tt_rc rc)
{
    return rc == TT_OK ? CKR_OK : rc == TT_ERR_MEMORY ? CKR_HOST_MEMORY : CKR_FUNCTION_FAILED;
}

static CK_RV operation_start(struct operation *op, const struct request *request)
{
    op->request = *request;
    op->active = true;
    if (request->mechanism->hash == APART_NO_HASH)
        return CKR_OK;
    CK_RV rv = rv_of(apart_digest_new(&op->digest, module.apart, request->mechanism->hash));
    if (rv != CKR_OK)
        operation_end(op);
    return rv;
}

/* Into the hash, or, where there is none, kept until the end. */
static CK_RV operation_take(struct operation *op, const CK_BYTE *part, CK_ULONG len)
{
    if (op->digest != NULL)
        return rv_of(apart_digest_update(op->digest, (struct tt_bytes){part, len}));
    if (len > sizeof op->data - op->data_len)
        return CKR_DATA_LEN_RANGE;
    if (len > 0)
        memcpy(op->data + op->data_len, part, len);
    op->data_len += len;
    return CKR_OK;
}

static CK_RV operation_update(struct operation *op, const CK_BYTE *part, CK_ULONG len)
{
    if (!op->active)
        return CKR_OPERATION_NOT_INITIALIZED;
    CK_RV rv = part == NULL && len > 0 ? CKR_ARGUMENTS_BAD : operation_take(op, part, len);
    op->updated = true;
    if (rv != CKR_OK)
        operation_end(op);
    return rv;
}

/* May this call be made now? whole: it brings all of the data. */
static CK_RV operation_check(const struct operation *op, bool whole, bool arguments)
{
    if (!op->active || (whole && op->updated))
        return CKR_OPERATION_NOT_INITIALIZED;
    return arguments ? CKR_OK : CKR_ARGUMENTS_BAD;
}

/* True: answered, with *rv, without ending anything: the length was asked for, or there is no room. */
static bool only_length(CK_RV *rv, const CK_BYTE *to, CK_ULONG_PTR len, size_t needed)
{
    if (to != NULL && *len >= needed)
        return false;
    *rv = to == NULL ? CKR_OK : CKR_BUFFER_TOO_SMALL;
    *len = needed;
    return true;
}

/* ---- digests ---- */

CK_RV digest_init(struct session *s, CK_MECHANISM_PTR m)
{
    struct request request;
    if (m == NULL && s->digest.active) { /* 3.0: ends it */
        operation_end(&s->digest);
        return CKR_OK;
    }
    if (m == NULL)
        return CKR_ARGUMENTS_BAD;
    if (s->digest.active)
        return CKR_OPERATION_ACTIVE;
    CK_RV rv = request_read(&request, m, MECHANISM_DIGEST);
    return rv == CKR_OK ? operation_start(&s->digest, &request) : rv;
}

CK_RV digest_update(struct session *s, CK_BYTE_PTR part, CK_ULONG len)
{
    return operation_update(&s->digest, part, len);
}

static CK_RV digest_end(struct operation *op, CK_BYTE_PTR digest, CK_ULONG_PTR len)
{
    uint8_t out[APART_HASH_MAX];
    CK_RV rv = rv_of(apart_digest_final(op->digest, out));
    if (rv == CKR_OK)
        rv = give_bytes(digest, len, out, apart_hash_size(op->request.mechanism->hash));
    operation_end(op);
    return rv;
}

CK_RV digest_final(struct session *s, CK_BYTE_PTR digest, CK_ULONG_PTR len)
{
    CK_RV rv = operation_check(&s->digest, false, len != NULL);
    if (rv != CKR_OK || only_length(&rv, digest, len, apart_hash_size(s->digest.request.mechanism->hash)))
        return rv;
    return digest_end(&s->digest, digest, len);
}

CK_RV digest_whole(struct session *s, CK_BYTE_PTR data, CK_ULONG data_len, CK_BYTE_PTR digest,
                   CK_ULONG_PTR len)
{
    CK_RV rv = operation_check(&s->digest, true, len != NULL && (data != NULL || data_len == 0));
    if (rv != CKR_OK || only_length(&rv, digest, len, apart_hash_size(s->digest.request.mechanism->hash)))
        return rv;
    rv = digest_update(s, data, data_len);
    return rv == CKR_OK ? digest_end(&s->digest, digest, len) : rv;
}

/* ---- keys ---- */

/* The key of an operation: there, of the right class, fit for the mechanism. Its contents are a reference. */
static CK_RV key_for(struct operation *op, struct session *s, const struct request *request,
                     CK_OBJECT_HANDLE handle, CK_OBJECT_CLASS class)
{
    struct object o;
    mutex_take(&module.mutex);
    struct contents *c = object_contents(s->token, handle);
    bool logged_in = s->token->logged_in;
    mutex_give(&module.mutex);
    CK_RV rv = object_find(&o, s->token, c, logged_in, handle);
    if (rv == CKR_OBJECT_HANDLE_INVALID || (rv == CKR_OK && o.class == CKO_CERTIFICATE))
        rv = CKR_KEY_HANDLE_INVALID;
    else if (rv == CKR_OK && o.class != class)
        rv = CKR_KEY_FUNCTION_NOT_PERMITTED;
    else if (rv == CKR_OK && (request->mechanism->form == APART_ECDSA) == c->info.key.rsa)
        rv = CKR_KEY_TYPE_INCONSISTENT;
    if (rv == CKR_OK && !mechanism_permitted(request->mechanism->kind, &c->info))
        rv = CKR_KEY_FUNCTION_NOT_PERMITTED;
    else if (rv == CKR_OK && !mechanism_fits(request->mechanism, &c->info))
        rv = CKR_MECHANISM_INVALID; /* CKA_ALLOWED_MECHANISMS does not have it */
    if (rv == CKR_OK)
        rv = operation_start(op, request);
    if (rv == CKR_OK)
        op->contents = c;
    else
        contents_free(c);
    return rv;
}

static CK_RV key_init(struct operation *op, struct session *s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key,
                      enum mechanism_kind kind, CK_OBJECT_CLASS class)
{
    struct request request;
    if (m == NULL && op->active) { /* 3.0: ends it */
        operation_end(op);
        return CKR_OK;
    }
    if (m == NULL)
        return CKR_ARGUMENTS_BAD;
    if (op->active)
        return CKR_OPERATION_ACTIVE;
    CK_RV rv = request_read(&request, m, kind);
    return rv == CKR_OK ? key_for(op, s, &request, key, class) : rv;
}

/* ---- what is signed ---- */

struct signed_block {
    struct apart_signed what;
    uint8_t bytes[RAW_SIGNATURE_MAX];
};

static CK_RV check_length(const struct operation *op, size_t modulus)
{
    size_t n = op->data_len;
    switch (op->request.mechanism->form) {
    case APART_ECDSA:
        return n > 0 ? CKR_OK : CKR_DATA_LEN_RANGE;
    case APART_PKCS1: /* nothing cannot be verified by libcrypto, and nobody signs it */
        return n > 0 && n + 11 <= modulus ? CKR_OK : CKR_DATA_LEN_RANGE;
    case APART_PSS:
        return n == apart_hash_size(op->request.hash) ? CKR_OK : CKR_DATA_LEN_RANGE;
    default:
        return n <= modulus ? CKR_OK : CKR_DATA_LEN_RANGE;
    }
}

static bool is_below(const uint8_t *number, struct tt_bytes modulus)
{
    return memcmp(number, modulus.data, modulus.len) < 0;
}

/* CKM_RSA_X_509 takes numbers; a short one has zeros in front. */
static CK_RV put_number(struct signed_block *b, const struct operation *op, size_t modulus_len)
{
    struct reader outer =
        reader_of(spki_public_key((struct tt_bytes){op->contents->info.spki, op->contents->info.spki_len}));
    struct reader rsa = der_enter(&outer, DER_SEQUENCE);
    struct tt_bytes modulus = der_get_uint(&rsa);
    memset(b->bytes, 0, modulus_len);
    memcpy(b->bytes + modulus_len - op->data_len, op->data, op->data_len);
    b->what.data = (struct tt_bytes){b->bytes, modulus_len};
    return modulus.len == modulus_len && is_below(b->bytes, modulus) ? CKR_OK : CKR_DATA_INVALID;
}

static CK_RV operation_block(struct signed_block *b, struct operation *op)
{
    const struct mechanism *m = op->request.mechanism;
    size_t modulus = (op->contents->info.key.bits + 7) / 8, at = 0;
    b->what =
        (struct apart_signed){.form = m->form, .hash = op->request.hash, .salt_len = op->request.salt_len};
    if (op->digest != NULL) {
        struct tt_bytes prefix = m->form == APART_PKCS1 ? raw_digest_info(m->hash) : (struct tt_bytes){0};
        if (prefix.len > 0)
            memcpy(op->data, prefix.data, prefix.len);
        at = prefix.len;
        CK_RV rv = rv_of(apart_digest_final(op->digest, op->data + at));
        if (rv != CKR_OK)
            return rv;
        op->data_len = at + apart_hash_size(m->hash);
    }
    CK_RV rv = check_length(op, modulus);
    if (rv != CKR_OK)
        return rv;
    b->what.data = (struct tt_bytes){op->data, op->data_len};
    return m->form == APART_X509 ? put_number(b, op, modulus) : CKR_OK;
}

/* ---- signing ---- */

CK_RV sign_init(struct session *s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key)
{
    return key_init(&s->sign, s, m, key, MECHANISM_SIGN, CKO_PRIVATE_KEY);
}

CK_RV sign_update(struct session *s, CK_BYTE_PTR part, CK_ULONG len)
{
    return operation_update(&s->sign, part, len);
}

static CK_RV sign_end(struct session *s, CK_BYTE_PTR sig, CK_ULONG_PTR len)
{
    struct operation *op = &s->sign;
    struct signed_block block;
    uint8_t out[RAW_SIGNATURE_MAX];
    size_t out_len = 0;
    CK_RV rv = operation_block(&block, op);
    if (rv == CKR_OK)
        rv = vault_sign(s->token, op->contents, &block.what, out, &out_len);
    if (rv == CKR_OK)
        rv = give_bytes(sig, len, out, out_len);
    mem_wipe(&block, sizeof block);
    operation_end(op);
    return rv;
}

CK_RV sign_final(struct session *s, CK_BYTE_PTR sig, CK_ULONG_PTR len)
{
    CK_RV rv = operation_check(&s->sign, false, len != NULL);
    if (rv != CKR_OK || only_length(&rv, sig, len, raw_signature_size(&s->sign.contents->info)))
        return rv;
    return sign_end(s, sig, len);
}

CK_RV sign_whole(struct session *s, CK_BYTE_PTR data, CK_ULONG data_len, CK_BYTE_PTR sig, CK_ULONG_PTR len)
{
    CK_RV rv = operation_check(&s->sign, true, len != NULL && (data != NULL || data_len == 0));
    if (rv != CKR_OK || only_length(&rv, sig, len, raw_signature_size(&s->sign.contents->info)))
        return rv;
    rv = sign_update(s, data, data_len);
    return rv == CKR_OK ? sign_end(s, sig, len) : rv;
}

/* ---- verifying ---- */

CK_RV verify_init(struct session *s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key)
{
    return key_init(&s->verify, s, m, key, MECHANISM_SIGN, CKO_PUBLIC_KEY);
}

CK_RV verify_update(struct session *s, CK_BYTE_PTR part, CK_ULONG len)
{
    return operation_update(&s->verify, part, len);
}

static CK_RV verify_end(struct operation *op, CK_BYTE_PTR sig, CK_ULONG len)
{
    struct signed_block block;
    CK_RV rv = operation_block(&block, op);
    if (rv == CKR_OK && len != raw_signature_size(&op->contents->info))
        rv = CKR_SIGNATURE_LEN_RANGE;
    if (rv == CKR_OK) {
        tt_rc rc = raw_verify(module.apart, &op->contents->info, &block.what, (struct tt_bytes){sig, len});
        rv = rc == TT_ERR_VERIFY ? CKR_SIGNATURE_INVALID : rv_of(rc);
    }
    operation_end(op);
    return rv;
}

CK_RV verify_final(struct session *s, CK_BYTE_PTR sig, CK_ULONG len)
{
    CK_RV rv = operation_check(&s->verify, false, sig != NULL);
    return rv == CKR_OK ? verify_end(&s->verify, sig, len) : rv;
}

CK_RV verify_whole(struct session *s, CK_BYTE_PTR data, CK_ULONG data_len, CK_BYTE_PTR sig, CK_ULONG len)
{
    CK_RV rv = operation_check(&s->verify, true, sig != NULL && (data != NULL || data_len == 0));
    if (rv == CKR_OK)
        rv = verify_update(s, data, data_len);
    return rv == CKR_OK ? verify_end(&s->verify, sig, len) : rv;
}

/* ---- decrypting ---- */

CK_RV decrypt_init(struct session *s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key)
{
    return key_init(&s->decrypt, s, m, key, MECHANISM_DECRYPT, CKO_PRIVATE_KEY);
}

/* How long the plaintext is shows only when it is there; a buffer that was too small then leaves the
 * operation as it was, and the TPM decrypts again. */
CK_RV decrypt_whole(struct session *s, CK_BYTE_PTR cipher, CK_ULONG cipher_len, CK_BYTE_PTR plain,
                    CK_ULONG_PTR len)
{
    struct operation *op = &s->decrypt;
    uint8_t out[RAW_SIGNATURE_MAX];
    CK_RV rv = operation_check(op, true, len != NULL && (cipher != NULL || cipher_len == 0));
    if (rv != CKR_OK)
        return rv;
    if (plain == NULL) {
        *len = raw_signature_size(&op->contents->info);
        return CKR_OK;
    }
    struct vault_job job = {
        .kind = MECHANISM_DECRYPT, .hash = op->request.hash, .data = {cipher, cipher_len}, .out = out};
    if (cipher_len != raw_signature_size(&op->contents->info))
        rv = CKR_ENCRYPTED_DATA_LEN_RANGE;
    if (rv == CKR_OK)
        rv = vault_do(s->token, op->contents, &job);
    if (rv == CKR_OK)
        rv = give_bytes(plain, len, out, job.out_len);
    if (rv != CKR_BUFFER_TOO_SMALL)
        operation_end(op);
    mem_wipe(out, sizeof out);
    return rv == CKR_DATA_INVALID ? CKR_ENCRYPTED_DATA_INVALID : rv;
}

/* ---- Diffie-Hellman ---- */

/* What the application wants to have: CKA_VALUE, no longer than what there is; shorter: its end
 * (PKCS #11 2.40, Current Mechanisms, section 2.3.8). */
static CK_RV secret_wanted(CK_KEY_TYPE *ret_type, CK_ULONG *ret_len, CK_ATTRIBUTE_PTR template, CK_ULONG n)
{
    const CK_ATTRIBUTE *type = template_find(template, n, CKA_KEY_TYPE),
                       *len = template_find(template, n, CKA_VALUE_LEN);
    const CK_RV checks[] = {template_demand_ulong(template, n, CKA_CLASS, CKO_SECRET_KEY),
                            template_demand_bool(template, n, CKA_TOKEN, false),
                            template_demand_bool(template, n, CKA_PRIVATE, false),
                            template_demand_bool(template, n, CKA_SENSITIVE, false),
                            template_demand_bool(template, n, CKA_EXTRACTABLE, true),
                            type == NULL ? CKR_OK : template_ulong(ret_type, type),
                            len == NULL ? CKR_OK : template_ulong(ret_len, len)};
    CK_RV rv = template_first_failure(checks, TT_COUNT(checks));
    return rv == CKR_OK && len != NULL && *ret_len == 0 ? CKR_ATTRIBUTE_VALUE_INVALID : rv;
}

CK_RV derive_key(struct session *s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE base, CK_ATTRIBUTE_PTR template,
                 CK_ULONG n, CK_OBJECT_HANDLE_PTR ret)
{
    struct operation op = {0};
    uint8_t out[RAW_SIGNATURE_MAX];
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_ULONG len = 0;
    if (m == NULL || ret == NULL || !template_is_whole(template, n))
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = secret_wanted(&type, &len, template, n);
    if (rv == CKR_OK)
        rv = key_init(&op, s, m, base, MECHANISM_DERIVE, CKO_PRIVATE_KEY);
    if (rv != CKR_OK)
        return rv;
    struct vault_job job = {.kind = MECHANISM_DERIVE, .data = op.request.point, .out = out};
    rv = vault_do(s->token, op.contents, &job);
    if (rv == CKR_DATA_INVALID || rv == CKR_DATA_LEN_RANGE)
        rv = CKR_MECHANISM_PARAM_INVALID;
    len = len == 0 ? job.out_len : len;
    if (rv == CKR_OK && len > job.out_len)
        rv = CKR_TEMPLATE_INCONSISTENT;
    if (rv == CKR_OK)
        rv = temporary_secret(s, (struct tt_bytes){out + job.out_len - len, len}, type, ret);
    mem_wipe(out, sizeof out);
    operation_end(&op);
    return rv;
}

/* ---- random numbers ---- */

CK_RV random_generate(CK_BYTE_PTR to, CK_ULONG n)
{
    if (to == NULL && n > 0)
        return CKR_ARGUMENTS_BAD;
    return n == 0 || apart_random(module.apart, to, n) ? CKR_OK : CKR_FUNCTION_FAILED;
}
