/* signer/raw.c: see raw.h. Layer: signer. What a TPM can sign is less than what PKCS#11 asks for: an ECDSA
 * digest is brought to the length of a hash that every key takes, RSA blocks are padded here and put through
 * TPM2_RSA_Decrypt, and only where a key does not allow that TPM2_Sign is asked for its own padding. */
#include "signer/raw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "signer/pss.h"
#include "tpm/reopen.h"
#include "tpm/software.h"
#include "wire/der.h"
#include "wire/pem.h"

#define HANDLE_PREFIX       "handle:"
#define PASSWORD_LINE       "password: yes"
#define PUBLIC_LABEL        "TPM2B_PUBLIC"
#define ATTRIBUTE_FIXED_TPM 0x00000002U
#define ATTRIBUTE_LOCAL     0x00000020U
#define TPM_HANDLE_MASK     0xff000000U
#define FIELD_MAX           66 /* P-521 */

struct raw_key {
    const struct raw_info *info;
    const struct apart *apart;
    struct tt_tpm *tpm;
    struct tpm_key *key;
    struct apart_key *pub;
    bool raw; /* RSA: TPM2_RSA_Decrypt without padding works */
};

/* ---- what a key is ---- */

/* A line of the text that starts with this; NULL: none. */
static const char *line_with(struct tt_bytes text, const char *start)
{
    size_t n = strlen(start);
    for (size_t at = 0; at + n <= text.len; at++) {
        if (memcmp(text.data + at, start, n) == 0)
            return (const char *)text.data + at;
        const uint8_t *end = memchr(text.data + at, '\n', text.len - at);
        if (end == NULL)
            return NULL;
        at = (size_t)(end - text.data);
    }
    return NULL;
}

/* The number after "handle:"; 0 where there is none. */
static uint32_t handle_of(struct tt_bytes text)
{
    char number[16] = {0};
    const char *line = line_with(text, HANDLE_PREFIX);
    if (line == NULL)
        return 0;
    size_t left = text.len - (size_t)(line - (const char *)text.data) - strlen(HANDLE_PREFIX);
    memcpy(number, line + strlen(HANDLE_PREFIX), left < sizeof number - 1 ? left : sizeof number - 1);
    number[strcspn(number, "\r\n")] = '\0';
    char *end;
    unsigned long v = strtoul(number, &end, 0);
    return *end == '\0' && v >> 24 == 0x81 ? (uint32_t)v : 0;
}

static tt_rc take_public(struct raw_info *info, struct tt_bytes area, struct tt_error *err)
{
    struct soft_public pub;
    struct buf spki = {0};
    TT_TRY(soft_public_read(&pub, area, err));
    TT_TRY(soft_public_describe_any(&info->key, area, err));
    if (!info->key.can_sign && !info->key.decrypts)
        return error_set(err, TT_ERR_UNSUPPORTED, "the key neither signs nor decrypts");
    info->local = (pub.attributes & ATTRIBUTE_LOCAL) != 0;
    info->fixed = (pub.attributes & ATTRIBUTE_FIXED_TPM) != 0;
    info->has_policy = info->has_policy && pub.auth_policy_len > 0;
    tt_rc rc = soft_public_spki(&spki, area);
    if (rc == TT_OK) {
        info->spki_len = buf_size(&spki);
        info->spki = mem_dup(buf_front(&spki), buf_size(&spki));
        rc = info->spki == NULL ? TT_ERR_MEMORY : TT_OK;
    }
    buf_free(&spki);
    return rc == TT_OK ? TT_OK : error_set(err, rc, "the key's public part is damaged");
}

static tt_rc read_handle(struct raw_info *info, struct tt_bytes text, struct tt_bytes spki,
                         struct tt_error *err)
{
    struct pem_block block = {0};
    struct buf area = {0};
    info->needs_password = line_with(text, PASSWORD_LINE) != NULL;
    tt_rc rc = pem_find(&block, text, PUBLIC_LABEL);
    if (rc == TT_OK) {
        rc = take_public(info, (struct tt_bytes){block.der, block.len}, err);
    } else if (rc == TT_ERR_NOT_FOUND && spki.len > 0) {
        rc = soft_public_verifier(&area, spki, TPM_HASH_SHA256);
        if (rc == TT_OK)
            rc = take_public(info, buf_bytes(&area), err);
        info->local = info->fixed = false; /* nobody says so */
        info->key.counts_failures = true;
        info->key.raw = info->key.rsa;
    }
    pem_block_free(&block);
    buf_free(&area);
    return rc == TT_OK ? TT_OK : error_set(err, rc, "the text of the handle does not say which key it is");
}

static tt_rc read_file(struct raw_info *info, struct tt_bytes text, struct tt_error *err)
{
    struct keyfile f;
    TT_TRY(keyfile_parse(&f, text, err));
    info->needs_password = !f.empty_auth;
    info->has_policy = f.has_policy || f.has_auth_policy;
    tt_rc rc = f.kind == KEYFILE_SEALED
                   ? error_set(err, TT_ERR_UNSUPPORTED, "the file holds sealed data, not a key")
                   : take_public(info, f.pubkey, err);
    keyfile_free(&f);
    return rc;
}

tt_rc raw_info_read(struct raw_info *ret, struct tt_bytes text, struct tt_bytes spki, struct tt_error *err)
{
    struct raw_info info = {.handle = handle_of(text)};
    tt_rc rc = info.handle != 0 ? read_handle(&info, text, spki, err) : read_file(&info, text, err);
    if (rc == TT_OK)
        *ret = info;
    else
        raw_info_free(&info);
    return rc;
}

tt_rc raw_info_of_public(struct raw_info *ret, struct tt_bytes spki, struct tt_error *err)
{
    struct raw_info info = {0};
    TT_AUTO(buf_free) struct buf area = {0};
    tt_rc rc = soft_public_verifier(&area, spki, TPM_HASH_SHA256);
    if (rc == TT_OK)
        rc = take_public(&info, buf_bytes(&area), err);
    info.local = info.fixed = false;
    info.key.raw = info.key.rsa;
    if (rc == TT_OK)
        *ret = info;
    else
        raw_info_free(&info);
    return rc;
}

void raw_info_free(struct raw_info *info)
{
    mem_free(info->spki);
    info->spki = NULL;
}

size_t raw_signature_size(const struct raw_info *info)
{
    size_t bytes = (info->key.bits + 7) / 8;
    return info->key.rsa ? bytes : 2 * bytes;
}

tt_rc tt_identity_handle_text(char **ret, struct tt_tpm *tpm, uint32_t handle, bool needs_password,
                              struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf area = {0}, text = {0};
    char line[64];
    TT_TRY(tpm_persistent_public(&area, tpm, handle, err));
    int n = snprintf(line, sizeof line, HANDLE_PREFIX "0x%08x\n%s", handle,
                     needs_password ? PASSWORD_LINE "\n" : "");
    if (buf_append(&text, line, (size_t)n) != TT_OK ||
        pem_write(&text, PUBLIC_LABEL, buf_bytes(&area)) != TT_OK ||
        (*ret = mem_dup(buf_front(&text), buf_size(&text))) == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    return TT_OK;
}

tt_rc tt_identity_key_spki(uint8_t **ret, size_t *ret_len, struct tt_bytes text, struct tt_error *err)
{
    struct raw_info info = {0};
    TT_TRY(raw_info_read(&info, text, (struct tt_bytes){NULL, 0}, err));
    *ret = TT_TAKE(info.spki);
    *ret_len = info.spki_len;
    return TT_OK;
}

/* ---- opening ---- */

void raw_silence(void)
{
    tpm_silence();
}

tt_rc raw_tpm_open(struct tt_tpm **ret, const struct apart *a, const char *spec, struct tt_error *err)
{
    TT_TRY(tt_tpm_open(ret, spec, err));
    tpm_never_reopen(*ret);
    tpm_use_lib(*ret, apart_lib(a));
    return TT_OK;
}

static enum raw_result result_of(const struct raw_info *info, struct tt_tpm *tpm, tt_rc rc)
{
    if (rc == TT_OK)
        return RAW_OK;
    if (rc == TT_ERR_MEMORY)
        return RAW_MEMORY;
    enum tpm_refusal why = tpm_last_refusal(tpm);
    if (why == TPM_REFUSED_LOCKED)
        return RAW_LOCKED;
    if (rc == TT_ERR_AUTH)
        return why == TPM_REFUSED_PASSWORD ? RAW_PASSWORD : info->has_policy ? RAW_POLICY : RAW_NO_PASSWORD;
    if (rc == TT_ERR_BUSY)
        return RAW_BUSY;
    if (info->has_policy && rc != TT_ERR_TPM)
        return RAW_POLICY;
    if (rc == TT_ERR_UNSUPPORTED)
        return RAW_UNSUPPORTED;
    return tpm_is_lost(tpm) ? RAW_LOST : RAW_FAILED;
}

static enum raw_result key_open(struct raw_key *k, struct tt_bytes text, const struct tt_bytes *password,
                                struct tt_error *err)
{
    tt_rc rc = apart_key_new(&k->pub, k->apart, (struct tt_bytes){k->info->spki, k->info->spki_len});
    if (rc != TT_OK)
        return rc == TT_ERR_MEMORY ? RAW_MEMORY : RAW_FAILED;
    bool decrypts = k->info->key.decrypts;
    if (k->info->handle != 0)
        rc = decrypts ? tpm_key_persistent_decryption(&k->key, k->tpm, k->info->handle, password, err)
                      : tpm_key_persistent(&k->key, k->tpm, k->info->handle, password, err);
    else
        rc = decrypts ? tpm_key_load_decryption(&k->key, k->tpm, text, password, err)
                      : tpm_key_load(&k->key, k->tpm, text, password, err);
    if (rc == TT_OK)
        k->raw = tpm_key_info(k->key)->raw;
    return result_of(k->info, k->tpm, rc);
}

enum raw_result raw_key_open(struct raw_key **ret, const struct apart *apart, struct tt_tpm *tpm,
                             const struct raw_info *info, struct tt_bytes text,
                             const struct tt_bytes *password, struct tt_error *err)
{
    struct raw_key *k = mem_alloc(sizeof *k);
    if (k == NULL)
        return RAW_MEMORY;
    k->info = info;
    k->apart = apart;
    k->tpm = tpm;
    enum raw_result result = key_open(k, text, password, err);
    if (result == RAW_OK)
        *ret = k;
    else
        raw_key_free(k);
    return result;
}

void raw_key_free(struct raw_key *k)
{
    if (k == NULL)
        return;
    tpm_key_free(k->key);
    apart_key_free(k->pub);
    mem_free(k);
}

/* ---- hashes by both their names ---- */

static uint16_t tpm_hash_of(enum apart_hash hash)
{
    static const uint16_t ids[APART_HASHES] = {[APART_SHA1] = 0x0004,
                                               [APART_SHA256] = TPM_HASH_SHA256,
                                               [APART_SHA384] = TPM_HASH_SHA384,
                                               [APART_SHA512] = TPM_HASH_SHA512};
    return ids[hash];
}

static enum hash_id hash_id_of(enum apart_hash hash)
{
    return hash == APART_SHA256   ? HASH_SHA256
           : hash == APART_SHA384 ? HASH_SHA384
           : hash == APART_SHA512 ? HASH_SHA512
                                  : HASH_NONE;
}

static size_t size_of_tpm_hash(uint16_t hash)
{
    for (enum apart_hash h = APART_SHA1; h < APART_HASHES; h++)
        if (tpm_hash_of(h) == hash)
            return apart_hash_size(h);
    return 0;
}

struct tt_bytes raw_digest_info(enum apart_hash hash)
{
    static const uint8_t sha1[] = {0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e,
                                   0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14};
#define SHA2_INFO(total, arc, size)                                                                          \
    {                                                                                                        \
        0x30, total, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, arc, 0x05,      \
            0x00, 0x04, size                                                                                 \
    }
    static const uint8_t sha2[][19] = {SHA2_INFO(0x2d, 4, 0x1c), SHA2_INFO(0x31, 1, 0x20),
                                       SHA2_INFO(0x41, 2, 0x30), SHA2_INFO(0x51, 3, 0x40)};
    if (hash == APART_NO_HASH)
        return (struct tt_bytes){NULL, 0};
    return hash == APART_SHA1 ? (struct tt_bytes){sha1, sizeof sha1}
                              : (struct tt_bytes){sha2[hash - APART_SHA224], sizeof sha2[0]};
}

/* ---- ECDSA ---- */

/* ECDSA uses a digest as a number, of which it takes the leftmost bits. So any digest can be given to the TPM
 * as one of the length that its key is for. False: this number does not fit. */
static bool fit_digest(uint8_t *ret, size_t size, size_t field, struct tt_bytes digest)
{
    uint8_t e[FIELD_MAX] = {0};
    size_t n = digest.len < field ? digest.len : field;
    memcpy(e + (field - n), digest.data, n);
    memset(ret, 0, size);
    if (size >= field) {
        memcpy(ret, e, field);
        return true;
    }
    memcpy(ret, e + (field - size), size);
    for (size_t i = 0; i < field - size; i++)
        if (e[i] != 0)
            return false;
    return true;
}

/* Ecdsa-Sig-Value to r and s. */
static bool split_signature(uint8_t *ret, size_t field, struct tt_bytes der)
{
    struct reader outer = reader_of(der);
    struct reader r = der_enter(&outer, DER_SEQUENCE);
    struct tt_bytes parts[2] = {der_get_uint(&r), der_get_uint(&r)};
    if (rd_done(&r) != TT_OK || rd_done(&outer) != TT_OK)
        return false;
    memset(ret, 0, 2 * field);
    for (size_t i = 0; i < 2; i++) {
        if (parts[i].len > field)
            return false;
        if (parts[i].len > 0)
            memcpy(ret + (i + 1) * field - parts[i].len, parts[i].data, parts[i].len);
    }
    return true;
}

static tt_rc join_signature(struct buf *ret, size_t field, struct tt_bytes sig)
{
    struct writer w = writer_to(ret);
    struct der_mark m = der_open(&w, DER_SEQUENCE);
    der_put_uint(&w, (struct tt_bytes){sig.data, field});
    der_put_uint(&w, (struct tt_bytes){sig.data + field, field});
    der_close(&w, m);
    return wr_status(&w);
}

static tt_rc sign_ecdsa(struct raw_key *k, struct tt_bytes digest, uint8_t *ret, struct tt_error *err)
{
    uint8_t fitted[APART_HASH_MAX];
    size_t field = (k->info->key.bits + 7) / 8;
    uint16_t hash = tpm_key_info(k->key)->hash;
    if (hash == TPM_HASH_ANY)
        hash = field <= 32 ? TPM_HASH_SHA256 : field <= 48 ? TPM_HASH_SHA384 : TPM_HASH_SHA512;
    size_t size = size_of_tpm_hash(hash);
    if (size == 0 || digest.len == 0 || !fit_digest(fitted, size, field, digest))
        return error_set(err, TT_ERR_USAGE, "the digest does not fit the key");
    struct buf der = {0};
    tt_rc rc = tpm_key_sign_ecdsa(&der, k->key, hash, (struct tt_bytes){fitted, size}, err);
    if (rc == TT_OK && !split_signature(ret, field, buf_bytes(&der)))
        rc = error_set(err, TT_ERR_TPM, "the TPM returned a malformed signature");
    buf_free(&der);
    return rc;
}

/* ---- RSA ---- */

static tt_rc pad_pkcs1(uint8_t *ret, size_t k, struct tt_bytes data, struct tt_error *err)
{
    if (data.len + 11 > k) /* RFC 8017 section 9.2, step 3 */
        return error_set(err, TT_ERR_USAGE, "the data is too long for the key");
    memset(ret, 0xff, k);
    ret[0] = 0;
    ret[1] = 1;
    ret[k - data.len - 1] = 0;
    if (data.len > 0)
        memcpy(ret + k - data.len, data.data, data.len);
    return TT_OK;
}

static tt_rc pad_pss(uint8_t *ret, const struct raw_key *k, const struct apart_signed *what,
                     struct tt_error *err)
{
    uint8_t salt[PSS_MAX_BYTES];
    if (what->salt_len > sizeof salt)
        return error_set(err, TT_ERR_USAGE, "the salt is too long");
    if (!apart_random(k->apart, salt, what->salt_len))
        return error_set(err, TT_ERR_INTERNAL, "there is no randomness for the signature's salt");
    struct pss_request req = {.hash = hash_id_of(what->hash),
                              .modulus_bits = k->info->key.bits,
                              .digest = what->data.data,
                              .salt = {salt, what->salt_len}};
    tt_rc rc = pss_encode(ret, apart_lib(k->apart), &req);
    return rc == TT_OK ? TT_OK : error_set(err, rc, "the salt is too long for the key");
}

static tt_rc pad(uint8_t *ret, const struct raw_key *k, const struct apart_signed *what, struct tt_error *err)
{
    size_t size = k->info->key.bits / 8;
    if (what->form == APART_PSS)
        return pad_pss(ret, k, what, err);
    if (what->form == APART_PKCS1)
        return pad_pkcs1(ret, size, what->data, err);
    memcpy(ret, what->data.data, size);
    return TT_OK;
}

/* A key that is for signing only pads itself, and wants to know the hash: it stands in the DigestInfo. */
static tt_rc sign_padded_by_tpm(struct raw_key *k, const struct apart_signed *what, uint8_t *ret,
                                struct tt_error *err)
{
    if (what->form == APART_PSS)
        return tpm_key_sign_rsa(ret, k->key, TPM_PADDING_PSS, tpm_hash_of(what->hash), what->data, err);
    for (enum apart_hash h = APART_SHA1; what->form == APART_PKCS1 && h < APART_HASHES; h++) {
        struct tt_bytes info = raw_digest_info(h);
        if (tpm_hash_of(h) != 0 && what->data.len == info.len + apart_hash_size(h) &&
            memcmp(what->data.data, info.data, info.len) == 0)
            return tpm_key_sign_rsa(ret, k->key, TPM_PADDING_PKCS1, tpm_hash_of(h),
                                    (struct tt_bytes){what->data.data + info.len, apart_hash_size(h)}, err);
    }
    return error_set(err, TT_ERR_DECODE, "the key signs only a DigestInfo with a hash that the TPM knows");
}

static tt_rc sign_rsa(struct raw_key *k, const struct apart_signed *what, uint8_t *ret, struct tt_error *err)
{
    uint8_t block[RAW_SIGNATURE_MAX];
    if (!k->raw)
        return sign_padded_by_tpm(k, what, ret, err);
    TT_TRY(pad(block, k, what, err));
    return tpm_key_rsa_raw(ret, k->key, (struct tt_bytes){block, k->info->key.bits / 8}, err);
}

/* ---- both ---- */

static tt_rc check_sizes(const struct raw_key *k, const struct apart_signed *what, struct tt_error *err)
{
    const struct tpm_key_info *info = &k->info->key;
    bool right = (what->form == APART_ECDSA) == !info->rsa;
    if (what->form == APART_ECDSA)
        right = right && info->bits <= 8 * FIELD_MAX;
    else
        right = right && info->bits % 8 == 0 && info->bits / 8 <= RAW_SIGNATURE_MAX;
    if (what->form == APART_PSS)
        right = right && what->data.len == apart_hash_size(what->hash) && what->data.len > 0;
    if (what->form == APART_X509)
        right = right && what->data.len == info->bits / 8;
    return right ? TT_OK : error_set(err, TT_ERR_USAGE, "the data does not fit the key");
}

static tt_rc sign(struct raw_key *k, const struct apart_signed *what, uint8_t *ret, struct tt_error *err)
{
    TT_TRY(check_sizes(k, what, err));
    return TPM_TWICE(k->tpm, err,
                     k->info->key.rsa ? sign_rsa(k, what, ret, err) : sign_ecdsa(k, what->data, ret, err));
}

static tt_rc verify_with(const struct apart_key *pub, const struct raw_info *info,
                         const struct apart_signed *what, struct tt_bytes sig)
{
    size_t field = (info->key.bits + 7) / 8;
    if (sig.len != raw_signature_size(info))
        return TT_ERR_VERIFY;
    if (info->key.rsa)
        return apart_verify(pub, what, sig);
    struct buf der = {0};
    tt_rc rc = join_signature(&der, field, sig);
    if (rc == TT_OK)
        rc = apart_verify(pub, what, buf_bytes(&der));
    buf_free(&der);
    return rc;
}

enum raw_result raw_sign(struct raw_key *k, const struct apart_signed *what, uint8_t ret[RAW_SIGNATURE_MAX],
                         size_t *ret_len, struct tt_error *err)
{
    tt_rc rc = sign(k, what, ret, err);
    if (rc == TT_ERR_USAGE)
        return RAW_LENGTH;
    if (rc == TT_ERR_DECODE)
        return RAW_DATA;
    if (rc != TT_OK)
        return result_of(k->info, k->tpm, rc);
    size_t len = raw_signature_size(k->info);
    rc = verify_with(k->pub, k->info, what, (struct tt_bytes){ret, len});
    if (rc == TT_OK) {
        *ret_len = len;
        return RAW_OK;
    }
    mem_wipe(ret, len); /* a glitched signature can give the key away */
    if (rc == TT_ERR_MEMORY)
        return RAW_MEMORY;
    if (what->form == APART_PSS && !k->raw) {
        (void)error_set(err, TT_ERR_UNSUPPORTED, "this TPM signs RSA-PSS with another salt than asked for");
        return RAW_UNSUPPORTED;
    }
    (void)error_set(err, TT_ERR_TPM, "the TPM's signature does not verify with the key's public part");
    return RAW_FAILED;
}

/* ---- decryption ---- */

static enum raw_result result_of_input(struct raw_key *k, tt_rc rc)
{
    return rc == TT_ERR_DECODE ? RAW_DATA : rc == TT_ERR_USAGE ? RAW_LENGTH : result_of(k->info, k->tpm, rc);
}

enum raw_result raw_decrypt(struct raw_key *k, enum apart_hash oaep, struct tt_bytes cipher, uint8_t *ret,
                            size_t *ret_len, struct tt_error *err)
{
    tt_rc rc =
        TPM_TWICE(k->tpm, err, tpm_key_decrypt_rsa(ret, ret_len, k->key, tpm_hash_of(oaep), cipher, err));
    return result_of_input(k, rc);
}

enum raw_result raw_derive(struct raw_key *k, struct tt_bytes point, uint8_t *ret, size_t *ret_len,
                           struct tt_error *err)
{
    if (point.len == 0 || point.data[0] != 4)
        return RAW_DATA;
    struct tt_bytes xy = {point.data + 1, point.len - 1};
    *ret_len = (k->info->key.bits + 7) / 8;
    return result_of_input(k, TPM_TWICE(k->tpm, err, tpm_key_ecdh(ret, k->key, xy, err)));
}

/* With a number below every modulus of its length; with the key's own point. */
static enum raw_result prove_decryption(struct raw_key *k, struct tt_error *err)
{
    uint8_t block[RAW_SIGNATURE_MAX] = {0, 1}, out[RAW_SIGNATURE_MAX];
    size_t len = 0;
    enum raw_result result;
    if (k->info->key.rsa) {
        tt_rc rc = TPM_TWICE(
            k->tpm, err, tpm_key_rsa_raw(out, k->key, (struct tt_bytes){block, k->info->key.bits / 8}, err));
        result = result_of(k->info, k->tpm, rc);
    } else {
        struct tt_bytes spki = {k->info->spki, k->info->spki_len}; /* its end is the point */
        size_t n = 2 * ((k->info->key.bits + 7) / 8) + 1;
        result = n > spki.len ? RAW_FAILED
                              : raw_derive(k, (struct tt_bytes){spki.data + spki.len - n, n}, out, &len, err);
    }
    mem_wipe(out, sizeof out);
    return result;
}

enum raw_result raw_prove(struct raw_key *k, struct tt_error *err)
{
    bool proven = false;
    if (k->info->key.decrypts)
        return prove_decryption(k, err);
    tt_rc rc = TPM_TWICE(k->tpm, err, tpm_key_prove(&proven, k->key, err));
    if (rc != TT_OK || proven)
        return result_of(k->info, k->tpm, rc);
    static const uint8_t digest[APART_HASH_MAX] = "tpmtls: is the password right?";
    uint8_t sig[RAW_SIGNATURE_MAX], block[RAW_SIGNATURE_MAX];
    size_t len;
    struct apart_signed what = {.form = APART_ECDSA, .data = {digest, 32}};
    if (k->info->key.rsa) {
        bool pss = k->info->key.padding == TPM_PADDING_PSS;
        struct tt_bytes info = raw_digest_info(APART_SHA256);
        memcpy(block, info.data, info.len);
        memcpy(block + info.len, digest, 32);
        what.form = pss ? APART_PSS : APART_PKCS1;
        what.hash = APART_SHA256;
        what.salt_len = 32;
        if (!pss)
            what.data = (struct tt_bytes){block, info.len + 32};
    }
    enum raw_result result = raw_sign(k, &what, sig, &len, err);
    return result == RAW_UNSUPPORTED ? RAW_OK : result; /* the TPM signed: the password is right */
}

tt_rc raw_verify(const struct apart *apart, const struct raw_info *info, const struct apart_signed *what,
                 struct tt_bytes sig)
{
    TT_AUTO(apart_key_free_auto) struct apart_key *pub = NULL;
    TT_TRY(apart_key_new(&pub, apart, (struct tt_bytes){info->spki, info->spki_len}));
    return verify_with(pub, info, what, sig);
}
