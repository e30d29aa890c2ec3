/* lab/mldsa.c: see mldsa.h. Layer: lab. TPM 2.0 version 1.85, part 3: Create (12.1), Load (12.2),
 * SignSequenceStart (17.5), SequenceUpdate (17.7), SignSequenceComplete (20.6), FlushContext, GetCapability.
 */
#include "lab/mldsa.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>
#include <tss2/tss2_tpm2_types.h>

#include "base/mem.h"
#include "wire/writer.h"

#define ALG_MLDSA    0x00a1
#define SEED         32
#define FIRST_KEY    0x80ffff00U
#define SEQUENCE     0x80ffff80U
#define CC_COMPLETE  0x000001a4U
#define CC_START     0x000001aaU
#define PUBLIC_MAX   2592
#define RESPONSE_MAX (LAB_MAX_MESSAGE - LAB_HEADER)

static const char *const names[] = {NULL, "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"};

bool lab_mldsa_possible(void)
{
    EVP_KEYMGMT *m = EVP_KEYMGMT_fetch(NULL, names[2], NULL);
    EVP_KEYMGMT_free(m);
    return m != NULL;
}

/* ---- public areas ---- */

struct area {
    struct tt_bytes bytes;
    struct tt_bytes head; /* up to the parameter set, with it and allowExternalMu */
    uint16_t set;
};

static bool area_read(struct area *ret, struct reader *from)
{
    struct area a = {.bytes = rd_vec16(from, 1)};
    struct reader r = reader_of(a.bytes);
    uint16_t type = rd_u16(&r), name_alg = rd_u16(&r);
    (void)rd_u32(&r);
    size_t policy = rd_vec16(&r, 0).len;
    a.set = rd_u16(&r);
    (void)rd_u8(&r);
    a.head = (struct tt_bytes){a.bytes.data, 8 + 2 + policy + 3};
    (void)rd_vec16(&r, 0);
    *ret = a;
    return rd_done(&r) == TT_OK && type == ALG_MLDSA && name_alg == TPM2_ALG_SHA256;
}

static EVP_PKEY *key_of_seed(uint16_t set, const uint8_t *seed)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string("seed", (void *)(uintptr_t)seed, SEED),
                           OSSL_PARAM_construct_end()};
    if (set < 1 || set >= TT_COUNT(names))
        return NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, names[set], NULL);
    if (ctx == NULL || EVP_PKEY_keygen_init(ctx) != 1 ||
        (seed != NULL && EVP_PKEY_CTX_set_params(ctx, params) != 1) || EVP_PKEY_generate(ctx, &key) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* ---- answers ---- */

struct answer {
    struct buf *to;
    const struct lab_command *c;
    uint32_t handle; /* 0: none */
    struct tt_bytes parameters;
};

static bool answer_write(const struct answer *a)
{
    bool sessions = a->c->tag == TPM2_ST_SESSIONS;
    size_t auths = sessions ? a->c->auth.len / 9 : 0; /* passwords */
    size_t len =
        LAB_HEADER + (a->handle != 0 ? 4U : 0U) + (sessions ? 4U : 0U) + a->parameters.len + 5 * auths;
    struct writer w = writer_to(a->to);
    wr_u16(&w, a->c->tag);
    wr_u32(&w, (uint32_t)len);
    wr_u32(&w, TPM2_RC_SUCCESS);
    if (a->handle != 0)
        wr_u32(&w, a->handle);
    if (sessions)
        wr_u32(&w, (uint32_t)a->parameters.len);
    wr_bytes(&w, a->parameters);
    for (size_t i = 0; i < auths; i++) {
        wr_u16(&w, 0);
        wr_u8(&w, TPMA_SESSION_CONTINUESESSION);
        wr_u16(&w, 0);
    }
    return wr_status(&w) == TT_OK;
}

static bool answer(struct buf *to, const struct lab_command *c, uint32_t handle, struct tt_bytes parameters)
{
    return answer_write(&(struct answer){to, c, handle, parameters});
}

static bool refuse(struct buf *to, uint32_t rc)
{
    struct writer w = writer_to(to);
    wr_u16(&w, TPM2_ST_NO_SESSIONS);
    wr_u32(&w, LAB_HEADER);
    wr_u32(&w, rc);
    return wr_status(&w) == TT_OK;
}

/* ---- commands ---- */

/* outPrivate, outPublic, and of what nobody looks at empty forms. */
static bool create_write(struct buf *parameters, const struct area *a, EVP_PKEY *key)
{
    uint8_t seed[SEED], public[PUBLIC_MAX];
    size_t seed_len = 0, public_len = 0;
    if (EVP_PKEY_get_octet_string_param(key, "seed", seed, sizeof seed, &seed_len) != 1 ||
        EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, public, sizeof public, &public_len) !=
            1)
        return false;
    struct writer w = writer_to(parameters);
    wr_vec16(&w, (struct tt_bytes){seed, seed_len});
    struct wr_mark m = wr_open16(&w);
    wr_bytes(&w, a->head);
    wr_vec16(&w, (struct tt_bytes){public, public_len});
    wr_close(&w, m);
    wr_u16(&w, 0); /* creationData */
    wr_u16(&w, 0); /* creationHash */
    wr_u16(&w, TPM2_ST_CREATION);
    wr_u32(&w, TPM2_RH_OWNER);
    wr_u16(&w, 0);
    return wr_status(&w) == TT_OK;
}

static bool create(struct buf *to, const struct lab_command *c)
{
    TT_AUTO(buf_free) struct buf parameters = {.max = RESPONSE_MAX};
    struct reader r = reader_of(c->params);
    struct area a;
    (void)rd_vec16(&r, 0);
    if (!area_read(&a, &r))
        return false;
    EVP_PKEY *key = key_of_seed(a.set, NULL);
    bool made = key != NULL && create_write(&parameters, &a, key);
    EVP_PKEY_free(key);
    return made ? answer(to, c, 0, buf_bytes(&parameters))
                : refuse(to, TPM2_RC_VALUE | TPM2_RC_P | TPM2_RC_2);
}

static bool load(struct lab_mldsa *m, struct buf *to, const struct lab_command *c)
{
    struct reader r = reader_of(c->params);
    struct tt_bytes seed = rd_vec16(&r, 0);
    struct area a;
    size_t at = 0;
    if (!area_read(&a, &r))
        return false;
    while (at < LAB_MLDSA_KEYS && m->keys[at].pkey != NULL)
        at++;
    if (at == LAB_MLDSA_KEYS)
        return refuse(to, TPM2_RC_OBJECT_MEMORY);
    struct lab_mldsa_key *k = &m->keys[at];
    uint8_t name[2 + sizeof k->name] = {0, sizeof k->name, 0, TPM2_ALG_SHA256};
    if (EVP_Digest(a.bytes.data, a.bytes.len, name + 4, NULL, EVP_sha256(), NULL) != 1)
        return refuse(to, TPM2_RC_FAILURE);
    k->pkey = seed.len == SEED ? key_of_seed(a.set, seed.data) : NULL;
    if (k->pkey == NULL)
        return refuse(to, TPM2_RC_INTEGRITY | TPM2_RC_P | TPM2_RC_1);
    return answer(to, c, FIRST_KEY + (uint32_t)at, (struct tt_bytes){name, sizeof name});
}

static struct lab_mldsa_key *key_at(struct lab_mldsa *m, uint32_t handle)
{
    size_t at = handle - FIRST_KEY;
    return handle >= FIRST_KEY && at < LAB_MLDSA_KEYS && m->keys[at].pkey != NULL ? &m->keys[at] : NULL;
}

static void sequence_end(struct lab_mldsa *m)
{
    mem_free(TT_TAKE(m->message));
    m->signing = NULL;
    m->message_len = 0;
}

static bool start(struct lab_mldsa *m, struct buf *to, const struct lab_command *c)
{
    struct reader r = reader_of(c->params);
    struct lab_mldsa_key *k = key_at(m, c->handle[0]);
    size_t given = rd_vec16(&r, 0).len + rd_vec16(&r, 0).len; /* a password, a context */
    if (rd_done(&r) != TT_OK || given > 0)
        return refuse(to, TPM2_RC_SIZE | TPM2_RC_P | TPM2_RC_1);
    if (k == NULL)
        return refuse(to, TPM2_RC_REFERENCE_H0);
    sequence_end(m); /* one whose handle got lost on the way: there is room for a single one */
    m->message = mem_alloc(LAB_MLDSA_MESSAGE);
    if (m->message == NULL)
        return refuse(to, TPM2_RC_MEMORY);
    m->signing = k;
    return answer(to, c, SEQUENCE, (struct tt_bytes){NULL, 0});
}

static bool append(struct lab_mldsa *m, const struct lab_command *c)
{
    struct reader r = reader_of(c->params);
    struct tt_bytes piece = rd_vec16(&r, 0);
    if (rd_done(&r) != TT_OK || piece.len > 1024 || m->message_len + piece.len > LAB_MLDSA_MESSAGE)
        return false;
    if (piece.len > 0)
        memcpy(m->message + m->message_len, piece.data, piece.len);
    m->message_len += piece.len;
    return true;
}

static bool complete(struct lab_mldsa *m, struct buf *to, const struct lab_command *c)
{
    TT_AUTO(buf_free) struct buf parameters = {.max = RESPONSE_MAX};
    uint8_t sig[5120];
    size_t len = sizeof sig;
    if (c->handle[0] != SEQUENCE || m->signing == NULL || key_at(m, c->handle[1]) != m->signing)
        return refuse(to, TPM2_RC_HANDLE | TPM2_RC_1);
    if (c->tag != TPM2_ST_SESSIONS || c->auth.len != 18)
        return refuse(to, TPM2_RC_AUTH_MISSING);
    if (!append(m, c))
        return refuse(to, TPM2_RC_SIZE | TPM2_RC_P | TPM2_RC_1);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool done = ctx != NULL &&
                EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, m->signing->pkey, NULL) == 1 &&
                EVP_DigestSign(ctx, sig, &len, m->message, m->message_len) == 1;
    EVP_MD_CTX_free(ctx);
    sequence_end(m);
    if (!done)
        return refuse(to, TPM2_RC_FAILURE);
    struct writer w = writer_to(&parameters);
    wr_u16(&w, ALG_MLDSA);
    wr_vec16(&w, (struct tt_bytes){sig, len});
    return wr_status(&w) == TT_OK && answer(to, c, 0, buf_bytes(&parameters));
}

static bool flush(struct lab_mldsa *m, struct buf *to, const struct lab_command *c)
{
    struct reader r = reader_of(c->params);
    uint32_t handle = rd_u32(&r);
    struct lab_mldsa_key *k = key_at(m, handle);
    if (k == NULL && handle != SEQUENCE)
        return false;
    if (k != NULL)
        EVP_PKEY_free(TT_TAKE(k->pkey));
    if (k == NULL || k == m->signing)
        sequence_end(m);
    return answer(to, c, 0, (struct tt_bytes){NULL, 0});
}

/* TPM_CAP_ALGS from ML-DSA on: asymmetric, object, signing. */
static bool capability(struct buf *to, const struct lab_command *c)
{
    static const uint8_t list[] = {TPM2_NO, 0, 0, 0, 0, 0, 0, 0, 1, 0, ALG_MLDSA, 0, 0, 0x01, 0x09};
    struct reader r = reader_of(c->params);
    uint32_t what = rd_u32(&r), from = rd_u32(&r);
    return what == TPM2_CAP_ALGS && from == ALG_MLDSA &&
           answer(to, c, 0, (struct tt_bytes){list, sizeof list});
}

static bool run(struct lab_mldsa *m, struct buf *to, const struct lab_command *c)
{
    switch (c->code) {
    case TPM2_CC_GetCapability:
        return capability(to, c);
    case TPM2_CC_Create:
        return create(to, c);
    case TPM2_CC_Load:
        return load(m, to, c);
    case TPM2_CC_FlushContext:
        return flush(m, to, c);
    case CC_START:
        return start(m, to, c);
    case TPM2_CC_SequenceUpdate:
        if (c->handle[0] != SEQUENCE || m->signing == NULL)
            return false;
        return append(m, c) ? answer(to, c, 0, (struct tt_bytes){NULL, 0})
                            : refuse(to, TPM2_RC_SIZE | TPM2_RC_P | TPM2_RC_1);
    case CC_COMPLETE:
        return complete(m, to, c);
    default:
        return false;
    }
}

bool lab_mldsa_answer(struct lab_mldsa *m, const struct lab_command *c, uint8_t *response, size_t *ret_len)
{
    TT_AUTO(buf_free) struct buf to = {.max = LAB_MAX_MESSAGE};
    if (!run(m, &to, c))
        return false;
    *ret_len = buf_size(&to);
    memcpy(response, buf_front(&to), *ret_len);
    return true;
}

void lab_mldsa_forget(struct lab_mldsa *m)
{
    sequence_end(m);
    for (size_t i = 0; i < LAB_MLDSA_KEYS; i++)
        EVP_PKEY_free(TT_TAKE(m->keys[i].pkey));
}
