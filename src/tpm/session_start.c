/* tpm/session_start.c: see session_start.h. Layer: tpm. The name of the key that salts was checked before. */
#include "tpm/session_start.h"

#include <string.h>
#include <sys/random.h>

#include "crypto/agree.h"
#include "crypto/hash.h"
#include "tpm/session_own.h"
#include "wire/reader.h"
#include "wire/writer.h"

#define NONCE   32
#define COMMAND 256
#define LABEL   7 /* "SECRET" with its NUL */

static struct tt_bytes view(const uint8_t *data, size_t len)
{
    return (struct tt_bytes){data, len};
}

static bool random_bytes(void *unused, uint8_t *ret, size_t n)
{
    (void)unused;
    return getrandom(ret, n, 0) == (ssize_t)n;
}

bool session_start_possible(const struct tt_tpm *tpm, const struct tpm_parent *salt)
{
    const TPMT_PUBLIC *p = &salt->pub.publicArea;
    return !tpm->sessions_by_esapi && p->type == TPM2_ALG_ECC && p->nameAlg == TPM2_ALG_SHA256 &&
           p->parameters.eccDetail.curveID == TPM2_ECC_NIST_P256 && p->unique.ecc.x.size <= AGREE_FIELD &&
           p->unique.ecc.y.size <= AGREE_FIELD;
}

/* struct start: one session being started. */
struct start {
    const struct crypto_lib *lib;
    struct agree_point own; /* the ephemeral key */
    uint8_t salt[NONCE], caller[NONCE];
    struct tpm_session_own session;
};

/* Some TPMs leave out the zeros in front. */
static void coordinate(uint8_t ret[AGREE_FIELD], const TPM2B_ECC_PARAMETER *from)
{
    memset(ret, 0, AGREE_FIELD);
    memcpy(ret + AGREE_FIELD - from->size, from->buffer, from->size);
}

/* salt = KDFe(SHA256, Z, "SECRET", ephemeral x, static x, 256): one block. */
static bool make_salt(struct start *s, const TPMS_ECC_POINT *to)
{
    static const uint8_t counter[4] = {0, 0, 0, 1}, label[LABEL] = "SECRET";
    struct agree_point peer;
    uint8_t all[sizeof counter + AGREE_FIELD + LABEL + 2 * AGREE_FIELD];
    const struct kx_random random = {random_bytes, NULL};
    uint8_t *z = all + sizeof counter;
    coordinate(peer.x, &to->x);
    coordinate(peer.y, &to->y);
    memcpy(all, counter, sizeof counter);
    bool ok = agree_p256(&s->own, z, &peer, random) == TT_OK;
    memcpy(z + AGREE_FIELD, label, LABEL);
    memcpy(z + AGREE_FIELD + LABEL, s->own.x, AGREE_FIELD);
    memcpy(z + AGREE_FIELD + LABEL + AGREE_FIELD, peer.x, AGREE_FIELD);
    ok = ok && hash_digest(s->lib, HASH_SHA256, view(all, sizeof all), s->salt) == TT_OK;
    mem_wipe(all, sizeof all);
    return ok;
}

/* sessionKey = KDFa(SHA256, salt, "ATH", nonceTPM, nonceCaller, 256): one block. */
static bool make_key(struct start *s)
{
    static const uint8_t head[] = {0, 0, 0, 1, 'A', 'T', 'H', 0}, bits[] = {0, 0, 1, 0};
    const struct tt_bytes data[] = {view(head, sizeof head), view(s->session.nonce_tpm, NONCE),
                                    view(s->caller, NONCE), view(bits, sizeof bits)};
    return hmac(s->lib, HASH_SHA256, view(s->salt, NONCE), data, TT_COUNT(data), s->session.key) == TT_OK;
}

static tt_rc write_symmetric(struct writer *w)
{
    wr_u16(w, TPM2_ALG_AES);
    wr_u16(w, 128);
    wr_u16(w, TPM2_ALG_CFB);
    wr_u16(w, TPM2_ALG_SHA256);
    return wr_status(w);
}

static bool command_write(struct buf *to, const struct start *s, TPM2_HANDLE key)
{
    const size_t point = 2 * (2 + AGREE_FIELD);
    struct writer w = writer_to(to);
    wr_u16(&w, TPM2_ST_NO_SESSIONS);
    wr_u32(&w, (uint32_t)(10 + 4 + 4 + 2 + NONCE + 2 + point + 1 + 8));
    wr_u32(&w, TPM2_CC_StartAuthSession);
    wr_u32(&w, key);
    wr_u32(&w, TPM2_RH_NULL);
    wr_vec16(&w, view(s->caller, NONCE));
    wr_u16(&w, (uint16_t)point);
    wr_vec16(&w, view(s->own.x, AGREE_FIELD));
    wr_vec16(&w, view(s->own.y, AGREE_FIELD));
    wr_u8(&w, TPM2_SE_HMAC);
    return write_symmetric(&w) == TT_OK;
}

static TSS2_RC response_read(struct start *s, struct tt_bytes response)
{
    struct reader r = reader_of(response);
    uint16_t tag = rd_u16(&r);
    (void)rd_bytes(&r, 8);
    s->session.handle = rd_u32(&r);
    struct tt_bytes nonce = rd_vec16(&r, 0);
    if (rd_done(&r) != TT_OK || tag != TPM2_ST_NO_SESSIONS || nonce.len != NONCE ||
        s->session.handle >> 24 != TPM2_HT_HMAC_SESSION)
        return TSS2_ESYS_RC_MALFORMED_RESPONSE;
    memcpy(s->session.nonce_tpm, nonce.data, NONCE);
    memcpy(s->session.nonce_caller, s->caller, NONCE);
    return make_key(s) ? TSS2_RC_SUCCESS : TSS2_ESYS_RC_GENERAL_FAILURE;
}

/* What Esys_TR_Serialize writes of such a session: session_own.c has the fields. The last ones: whether
 * parameters are encrypted and decrypted, what a policy wants, two sizes. */
static bool blob_write(struct buf *to, const struct start *s)
{
    static const uint8_t rest[16];
    const uint32_t kind = 3; /* of resource: a session */
    struct writer w = writer_to(to);
    wr_u32(&w, s->session.handle);
    wr_u16(&w, 4);
    wr_u32(&w, s->session.handle);
    wr_u32(&w, kind);
    for (int i = 0; i < 3; i++)
        wr_u16(&w, 0); /* bound entity, encryptedSalt, salt */
    (void)write_symmetric(&w);
    wr_vec16(&w, view(s->session.key, NONCE));
    wr_u8(&w, TPM2_SE_HMAC);
    wr_u8(&w, TPMA_SESSION_CONTINUESESSION);
    wr_vec16(&w, view(s->session.nonce_caller, NONCE));
    wr_vec16(&w, view(s->session.nonce_tpm, NONCE));
    wr_bytes(&w, view(rest, sizeof rest));
    return wr_status(&w) == TT_OK;
}

/* ESAPI has understood it if it writes down the same again. */
static bool adopt(ESYS_TR *ret, struct tt_tpm *tpm, struct tt_bytes blob)
{
    uint8_t *again = NULL;
    size_t len = 0;
    ESYS_TR session = ESYS_TR_NONE;
    if (Esys_TR_Deserialize(tpm->esys, blob.data, blob.len, &session) != TSS2_RC_SUCCESS)
        return false;
    bool same = Esys_TR_Serialize(tpm->esys, session, &again, &len) == TSS2_RC_SUCCESS && again != NULL &&
                blob.data != NULL && len == blob.len && memcmp(again, blob.data, len) == 0;
    if (again != NULL)
        mem_wipe(again, len);
    Esys_Free(again);
    if (same)
        *ret = session;
    else
        (void)Esys_TR_Close(tpm->esys, &session);
    return same;
}

static void flush(struct tt_tpm *tpm, TPM2_HANDLE handle)
{
    uint8_t command[14] =
        {0x80, 0x01, 0, 0, 0, sizeof command, 0, 0, TPM2_CC_FlushContext >> 8, TPM2_CC_FlushContext & 0xff},
            response[SESSION_OWN_RESPONSE];
    size_t len = 0;
    for (int i = 0; i < 4; i++)
        command[10 + i] = (uint8_t)(handle >> (24 - 8 * i));
    (void)session_own_exchange(response, &len, tpm, view(command, sizeof command));
}

static TSS2_RC run(ESYS_TR *ret, struct start *s, struct tt_tpm *tpm, const struct tpm_parent *salt)
{
    TT_AUTO(buf_free) struct buf command = {.max = COMMAND}, blob = {.max = COMMAND};
    uint8_t response[SESSION_OWN_RESPONSE];
    TPM2_HANDLE key;
    size_t len = 0;
    if (s->lib == NULL || Esys_TR_GetTpmHandle(tpm->esys, salt->object, &key) != TSS2_RC_SUCCESS ||
        !random_bytes(NULL, s->caller, NONCE) || !make_salt(s, &salt->pub.publicArea.unique.ecc) ||
        !command_write(&command, s, key))
        return TSS2_ESYS_RC_GENERAL_FAILURE;
    TSS2_RC rc = session_own_exchange(response, &len, tpm, buf_bytes(&command));
    if (rc == TSS2_RC_SUCCESS)
        rc = response_read(s, view(response, len));
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    bool written = blob_write(&blob, s);
    if (written && adopt(ret, tpm, buf_bytes(&blob)))
        return TSS2_RC_SUCCESS;
    flush(tpm, s->session.handle);
    tpm->sessions_by_esapi = written;
    return written ? TSS2_ESYS_RC_NOT_IMPLEMENTED : TSS2_ESYS_RC_MEMORY;
}

TSS2_RC session_start(struct tpm_session *ret, struct tt_tpm *tpm, const struct tpm_parent *salt)
{
    struct start s = {.lib = tpm_lib(tpm, NULL), .session = {.known = true}};
    TSS2_RC rc = run(&ret->handle, &s, tpm, salt);
    if (rc == TSS2_RC_SUCCESS)
        ret->own = s.session;
    mem_wipe(&s, sizeof s);
    return rc;
}
