/* tpm/session_own.c: see session_own.h. Layer: tpm. A response is hostile: nothing of it is used before its
 * HMAC is right. */
#include "tpm/session_own.h"

#include <string.h>
#include <sys/random.h>

#include "crypto/hash.h"
#include "tpm/session.h"
#include "wire/reader.h"
#include "wire/writer.h"

#define NONCE       32 /* SHA-256's size: nonces, the salt, the key */
#define REPEATS     5  /* of a command that the TPM wants to have again: as many as ESAPI's */
#define SIZED       (2 + NONCE)
#define ATTRIBUTES  TPMA_SESSION_CONTINUESESSION
#define COMMAND_MAX 2048

static struct tt_bytes view(const uint8_t *data, size_t len)
{
    return (struct tt_bytes){data, len};
}

/* ---- what ESAPI knows of the session ---- */

/* What Esys_TR_Serialize writes of a session that we started: its handle, its name (the handle), the kind of
 * resource, then IESYS_SESSION: bound entity, encryptedSalt, salt, symmetric, authHash, sessionKey,
 * sessionType, sessionAttributes, nonceCaller, nonceTPM, and what is of no use here.
 * Whatever is not exactly this is not believed; nonceTPM is known from elsewhere. */
struct layout {
    uint8_t *key, *caller, *nonce;
};

static bool layout_read(struct layout *ret, uint8_t *blob, size_t len, const TPM2B_NONCE *nonce)
{
    struct reader r = reader_of(view(blob, len));
    uint32_t handle = rd_u32(&r);
    struct tt_bytes name = rd_vec16(&r, 4);
    struct reader in_name = reader_of(name);
    bool right =
        rd_u32(&in_name) == handle && rd_done(&in_name) == TT_OK && handle >> 24 == TPM2_HT_HMAC_SESSION;
    (void)rd_u32(&r);
    for (int i = 0; i < 3; i++)
        (void)rd_vec16(&r, 0);
    right = rd_u16(&r) == TPM2_ALG_AES && right;
    right = rd_u16(&r) == 128 && right;
    right = rd_u16(&r) == TPM2_ALG_CFB && right;
    right = rd_u16(&r) == TPM2_ALG_SHA256 && right;
    struct tt_bytes key = rd_vec16(&r, 0);
    right = rd_u8(&r) == TPM2_SE_HMAC && right;
    (void)rd_u8(&r);
    struct tt_bytes caller = rd_vec16(&r, 0), theirs = rd_vec16(&r, 0);
    if (r.failed || !right || key.len != NONCE || caller.len != NONCE || theirs.len != NONCE ||
        nonce->size != NONCE || memcmp(theirs.data, nonce->buffer, NONCE) != 0)
        return false;
    *ret = (struct layout){.key = blob + (key.data - blob),
                           .caller = blob + (caller.data - blob),
                           .nonce = blob + (theirs.data - blob)};
    return true;
}

/* struct blob: the session as ESAPI writes it down; with secrets. */
struct blob {
    uint8_t *data;
    size_t len;
    struct layout at;
};

static bool blob_get(struct blob *ret, struct tt_tpm *tpm)
{
    ESYS_TR handle = tpm->sessions[TPM_SESSION_HMAC].handle;
    TPM2B_NONCE *nonce = NULL;
    bool right = false;
    *ret = (struct blob){.data = NULL};
    if (Esys_TRSess_GetNonceTPM(tpm->esys, handle, &nonce) == TSS2_RC_SUCCESS &&
        Esys_TR_Serialize(tpm->esys, handle, &ret->data, &ret->len) == TSS2_RC_SUCCESS)
        right = layout_read(&ret->at, ret->data, ret->len, nonce);
    Esys_Free(nonce);
    return right;
}

static void blob_free(struct blob *b)
{
    if (b->data != NULL)
        mem_wipe(b->data, b->len);
    Esys_Free(b->data);
}

static void take_nonces(struct tpm_session_own *own, const struct blob *b)
{
    memcpy(own->nonce_tpm, b->at.nonce, NONCE);
    memcpy(own->nonce_caller, b->at.caller, NONCE);
    own->behind = false;
}

void session_own_learn(struct tt_tpm *tpm)
{
    struct tpm_session *s = &tpm->sessions[TPM_SESSION_HMAC];
    struct blob b;
    if (blob_get(&b, tpm) && Esys_TR_GetTpmHandle(tpm->esys, s->handle, &s->own.handle) == TSS2_RC_SUCCESS) {
        memcpy(s->own.key, b.at.key, NONCE);
        take_nonces(&s->own, &b);
        s->own.known = true;
    }
    blob_free(&b);
}

bool session_own_ready(struct tt_tpm *tpm)
{
    struct tpm_session *s = &tpm->sessions[TPM_SESSION_HMAC];
    struct blob b;
    if (!s->open || !s->own.known || !s->own.behind)
        return s->open && s->own.known;
    bool right = blob_get(&b, tpm) && mem_equal_ct(b.at.key, s->own.key, NONCE);
    if (right)
        take_nonces(&s->own, &b);
    blob_free(&b);
    return right;
}

bool session_own_give_back(struct tt_tpm *tpm)
{
    struct tpm_session *s = &tpm->sessions[TPM_SESSION_HMAC];
    struct blob b;
    ESYS_TR again = ESYS_TR_NONE;
    if (!s->own.known)
        return true;
    if (s->own.ahead) {
        bool right = blob_get(&b, tpm);
        if (right) {
            memcpy(b.at.nonce, s->own.nonce_tpm, NONCE);
            memcpy(b.at.caller, s->own.nonce_caller, NONCE);
            right = Esys_TR_Deserialize(tpm->esys, b.data, b.len, &again) == TSS2_RC_SUCCESS;
        }
        blob_free(&b);
        if (!right)
            return false;
        (void)Esys_TR_Close(tpm->esys, &s->handle);
        s->handle = again;
    }
    s->own.ahead = false;
    s->own.behind = true; /* ESAPI rolls the nonces now */
    return true;
}

/* ---- a command ---- */

/* struct call: what the HMACs of one command are made with. */
struct call {
    struct tt_tpm *tpm;
    const struct crypto_lib *lib;
    struct tpm_session_own *own;
    const struct own_command *c;
    uint8_t caller[NONCE];
    uint8_t key[NONCE + sizeof(TPMU_HA)]; /* sessionKey and authValue */
    size_t key_len;
};

/* Trailing zeros do not belong to an authValue (part 1, section 19.6.5). */
static void make_key(struct call *call)
{
    const TPM2B_AUTH *auth = &call->c->object->password;
    size_t len = auth->size <= sizeof auth->buffer ? auth->size : 0;
    while (len > 0 && auth->buffer[len - 1] == 0)
        len--;
    memcpy(call->key, call->own->key, NONCE);
    memcpy(call->key + NONCE, auth->buffer, len);
    call->key_len = NONCE + len;
}

/* struct side: one direction: the hash of what is authorized, the newer nonce, the older one. */
struct side {
    const uint8_t *hash, *newer, *older;
    uint8_t attributes;
};

static bool side_hmac(uint8_t ret[NONCE], const struct call *call, const struct side *s)
{
    const struct tt_bytes data[] = {view(s->hash, NONCE), view(s->newer, NONCE), view(s->older, NONCE),
                                    view(&s->attributes, 1)};
    return hmac(call->lib, HASH_SHA256, view(call->key, call->key_len), data, TT_COUNT(data), ret) == TT_OK;
}

static void put32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* cpHash and rpHash: of three pieces. */
static bool hash_of(uint8_t ret[NONCE], const struct call *call, struct tt_bytes a, struct tt_bytes b,
                    struct tt_bytes c)
{
    struct hash_ctx *h = NULL;
    bool right = hash_new(&h, call->lib, HASH_SHA256) == TT_OK && hash_update(h, a) == TT_OK &&
                 hash_update(h, b) == TT_OK && hash_update(h, c) == TT_OK && hash_peek(h, ret) == TT_OK;
    hash_free(h);
    return right;
}

static bool command_hmac(uint8_t ret[NONCE], const struct call *call)
{
    uint8_t code[4], hash[NONCE];
    const TPM2B_NAME *name = &call->c->object->name;
    put32(code, call->c->code);
    return hash_of(hash, call, view(code, 4), view(name->name, name->size), call->c->parameters) &&
           side_hmac(ret, call,
                     &(struct side){hash, call->caller, call->own->nonce_tpm, (uint8_t)ATTRIBUTES});
}

static bool command_write(struct buf *to, const struct call *call)
{
    uint8_t mac[NONCE];
    TPM2_HANDLE object;
    if (Esys_TR_GetTpmHandle(call->tpm->esys, call->c->object->handle, &object) != TSS2_RC_SUCCESS ||
        !command_hmac(mac, call))
        return false;
    const size_t authorization = 4 + SIZED + 1 + SIZED;
    struct writer w = writer_to(to);
    wr_u16(&w, TPM2_ST_SESSIONS);
    wr_u32(&w, (uint32_t)(10 + 4 + 4 + authorization + call->c->parameters.len));
    wr_u32(&w, call->c->code);
    wr_u32(&w, object);
    wr_u32(&w, (uint32_t)authorization);
    wr_u32(&w, call->own->handle);
    wr_vec16(&w, view(call->caller, NONCE));
    wr_u8(&w, (uint8_t)ATTRIBUTES);
    wr_vec16(&w, view(mac, NONCE));
    wr_bytes(&w, call->c->parameters);
    return wr_status(&w) == TT_OK;
}

/* The parameters, once the TPM has shown that they are its own; and its nonce. */
static TSS2_RC response_read(struct tt_bytes *ret, struct call *call, struct tt_bytes response)
{
    static const uint8_t success[4] = {0};
    uint8_t code[4], hash[NONCE], mac[NONCE];
    struct reader r = reader_of(response);
    uint16_t tag = rd_u16(&r);
    (void)rd_bytes(&r, 8);
    struct tt_bytes parameters = rd_bytes(&r, rd_u32(&r));
    struct tt_bytes nonce = rd_vec16(&r, 0);
    uint8_t attributes = rd_u8(&r);
    struct tt_bytes theirs = rd_vec16(&r, 0);
    if (rd_done(&r) != TT_OK || tag != TPM2_ST_SESSIONS || nonce.len != NONCE || theirs.len != NONCE)
        return TSS2_ESYS_RC_MALFORMED_RESPONSE;
    put32(code, call->c->code);
    if (!hash_of(hash, call, view(success, 4), view(code, 4), parameters) ||
        !side_hmac(mac, call, &(struct side){hash, nonce.data, call->caller, attributes}))
        return TSS2_ESYS_RC_GENERAL_FAILURE;
    if (!mem_equal_ct(theirs.data, mac, NONCE))
        return TSS2_ESYS_RC_RSP_AUTH_FAILED;
    memcpy(call->own->nonce_tpm, nonce.data, NONCE);
    memcpy(call->own->nonce_caller, call->caller, NONCE);
    call->own->ahead = true;
    *ret = parameters;
    return TSS2_RC_SUCCESS;
}

static TSS2_RC exchange_once(uint8_t *response, size_t *len, struct tt_tpm *tpm, struct tt_bytes command)
{
    TSS2_TCTI_CONTEXT *tcti = meter_tcti(&tpm->meter);
    *len = SESSION_OWN_RESPONSE;
    TSS2_RC rc = Tss2_Tcti_Transmit(tcti, command.len, command.data);
    if (rc == TSS2_RC_SUCCESS)
        rc = Tss2_Tcti_Receive(tcti, len, response, TSS2_TCTI_TIMEOUT_BLOCK);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    struct reader r = reader_of(view(response, *len));
    (void)rd_bytes(&r, 6);
    return rd_u32(&r);
}

TSS2_RC session_own_exchange(uint8_t response[SESSION_OWN_RESPONSE], size_t *len, struct tt_tpm *tpm,
                             struct tt_bytes command)
{
    TSS2_RC rc;
    int tries = 0;
    do
        rc = exchange_once(response, len, tpm, command);
    while (meter_wants_retry(rc) && ++tries < REPEATS);
    return rc;
}

static TSS2_RC run(struct tt_bytes *ret, struct call *call, uint8_t response[SESSION_OWN_RESPONSE])
{
    TT_AUTO(buf_free) struct buf command = {.max = COMMAND_MAX};
    size_t len = 0;
    if (call->lib == NULL || getrandom(call->caller, NONCE, 0) != NONCE || !command_write(&command, call))
        return TSS2_ESYS_RC_GENERAL_FAILURE;
    TSS2_RC rc = session_own_exchange(response, &len, call->tpm, buf_bytes(&command));
    return rc == TSS2_RC_SUCCESS ? response_read(ret, call, view(response, len)) : rc;
}

TSS2_RC session_own_run(uint8_t *ret, size_t cap, size_t *ret_len, struct tt_tpm *tpm,
                        const struct own_command *c)
{
    struct call call = {
        .tpm = tpm, .lib = tpm_lib(tpm, NULL), .own = &tpm->sessions[TPM_SESSION_HMAC].own, .c = c};
    uint8_t response[SESSION_OWN_RESPONSE];
    struct tt_bytes parameters = {NULL, 0};
    make_key(&call);
    TSS2_RC rc = run(&parameters, &call, response);
    mem_wipe(call.key, sizeof call.key);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    if (parameters.len > cap)
        return TSS2_ESYS_RC_MALFORMED_RESPONSE;
    memcpy(ret, parameters.data, parameters.len);
    *ret_len = parameters.len;
    return TSS2_RC_SUCCESS;
}
