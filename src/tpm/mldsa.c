/* tpm/mldsa.c: see mldsa.h. Layer: tpm. TPM 2.0 version 1.85: part 2, sections 12.2.3.6 (TPMS_MLDSA_PARMS)
 * and 12.2.4 (TPMT_PUBLIC); part 3, sections 12.1 (Create), 12.2 (Load), 17.5 (SignSequenceStart), 17.7
 * (SequenceUpdate), 20.6 (SignSequenceComplete). TPM2_SignDigest with an external mu would be one command,
 * but a TPM need not have that. Answers are hostile: sizes are checked, names computed. */
#include "tpm/mldsa.h"

#include <string.h>

#include "tpm/guard.h"
#include "tpm/keyfile.h"
#include "tpm/name.h"
#include "tpm/reopen.h"
#include "tpm/session_own.h"
#include "wire/reader.h"
#include "wire/writer.h"

#define ALG_MLDSA            0x00a1
#define CC_SEQUENCE_COMPLETE 0x000001a4U /* SignSequenceComplete */
#define CC_SEQUENCE_START    0x000001aaU /* SignSequenceStart */
#define PIECE                1024U       /* of a message, TPM2B_MAX_BUFFER */
#define COMMAND_MAX          4096
#define ATTRIBUTES                                                                                           \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |                      \
     TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT)

/* FIPS 204, table 2. */
static const struct {
    size_t public_len, signature_len;
} sets[] = {[TPM_MLDSA_44] = {1312, 2420}, [TPM_MLDSA_65] = {1952, 3309}, [TPM_MLDSA_87] = {2592, 4627}};

/* ---- public areas ---- */

struct area {
    struct tt_bytes bytes; /* TPMT_PUBLIC */
    uint16_t name_alg, set;
    uint32_t attributes;
    struct tt_bytes policy, key;
};

static bool area_read(struct area *ret, struct tt_bytes tpm2b)
{
    struct reader outer = reader_of(tpm2b);
    struct area a = {.bytes = rd_vec16(&outer, 1)};
    struct reader r = reader_of(a.bytes);
    uint16_t type = rd_u16(&r);
    a.name_alg = rd_u16(&r);
    a.attributes = rd_u32(&r);
    a.policy = rd_vec16(&r, 0);
    a.set = rd_u16(&r);
    (void)rd_u8(&r); /* allowExternalMu */
    a.key = rd_vec16(&r, 0);
    if (rd_done(&outer) != TT_OK || rd_done(&r) != TT_OK || type != ALG_MLDSA || a.set < TPM_MLDSA_44 ||
        a.set > TPM_MLDSA_87 || a.key.len != sets[a.set].public_len)
        return false;
    *ret = a;
    return true;
}

static void template_write(struct writer *w, enum tpm_mldsa_set set)
{
    struct wr_mark m = wr_open16(w);
    wr_u16(w, ALG_MLDSA);
    wr_u16(w, TPM2_ALG_SHA256);
    wr_u32(w, ATTRIBUTES);
    wr_u16(w, 0); /* no policy */
    wr_u16(w, (uint16_t)set);
    wr_u8(w, TPM2_NO); /* allowExternalMu */
    wr_u16(w, 0);
    wr_close(w, m);
}

bool tpm_mldsa_is(struct tt_bytes pem)
{
    struct keyfile f;
    if (keyfile_parse(&f, pem, NULL) != TT_OK)
        return false;
    struct reader r = reader_of(f.pubkey);
    (void)rd_u16(&r);
    bool is = rd_u16(&r) == ALG_MLDSA && !r.failed;
    keyfile_free(&f);
    return is;
}

bool tpm_mldsa_public_read(struct soft_public *ret, struct tt_bytes tpm2b)
{
    struct area a;
    if (!area_read(&a, tpm2b) || a.policy.len > sizeof ret->auth_policy)
        return false;
    struct soft_public p = {.area = a.bytes,
                            .alg = ALG_MLDSA,
                            .type = (enum tt_key_type)(TT_KEY_MLDSA44 + (a.set - TPM_MLDSA_44)),
                            .name_alg = a.name_alg,
                            .attributes = a.attributes,
                            .auth_policy_len = a.policy.len};
    if (a.policy.len > 0)
        memcpy(p.auth_policy, a.policy.data, a.policy.len);
    *ret = p;
    return true;
}

/* ---- a command past ESAPI ---- */

/* struct command: each of the first `auths` handles is authorized with the empty password. */
struct command {
    const char *what; /* completes "cannot ..." */
    uint32_t code;
    uint32_t handles[2];
    size_t handles_len, auths;
    struct tt_bytes parameters;
    uint32_t *ret_handle; /* where the answer has one */
};

static bool command_write(struct buf *to, const struct command *c)
{
    const size_t authorization = 9;
    size_t len =
        10 + 4 * c->handles_len + (c->auths > 0 ? 4 + authorization * c->auths : 0) + c->parameters.len;
    struct writer w = writer_to(to);
    wr_u16(&w, c->auths > 0 ? TPM2_ST_SESSIONS : TPM2_ST_NO_SESSIONS);
    wr_u32(&w, (uint32_t)len);
    wr_u32(&w, c->code);
    for (size_t i = 0; i < c->handles_len; i++)
        wr_u32(&w, c->handles[i]);
    if (c->auths > 0)
        wr_u32(&w, (uint32_t)(authorization * c->auths));
    for (size_t i = 0; i < c->auths; i++) {
        wr_u32(&w, TPM2_RS_PW);
        wr_u16(&w, 0);
        wr_u8(&w, 0);
        wr_u16(&w, 0);
    }
    wr_bytes(&w, c->parameters);
    return wr_status(&w) == TT_OK;
}

static TSS2_RC answer_read(struct tt_bytes *ret, const struct command *c, struct tt_bytes response)
{
    struct reader r = reader_of(response);
    uint16_t tag = rd_u16(&r);
    (void)rd_bytes(&r, 8);
    if (c->ret_handle != NULL)
        *c->ret_handle = rd_u32(&r);
    *ret = c->auths > 0 ? rd_bytes(&r, rd_u32(&r)) : rd_rest(&r);
    bool right = !r.failed && tag == (c->auths > 0 ? TPM2_ST_SESSIONS : TPM2_ST_NO_SESSIONS);
    return right ? TSS2_RC_SUCCESS : TSS2_ESYS_RC_MALFORMED_RESPONSE;
}

/* response has SESSION_OWN_RESPONSE bytes; *ret views into it. */
static tt_rc run(struct tt_bytes *ret, uint8_t *response, struct tt_tpm *tpm, const struct command *c,
                 struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf command = {.max = COMMAND_MAX};
    size_t len = 0;
    if (!command_write(&command, c))
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    struct tpm_op op = tpm_op_start(tpm, c->what);
    do {
        op.rc = session_own_exchange(response, &len, tpm, buf_bytes(&command));
        if (op.rc == TSS2_RC_SUCCESS)
            op.rc = answer_read(ret, c, (struct tt_bytes){response, len});
    } while (tpm_op_again(&op));
    return tpm_op_end(&op, err);
}

static void flush(struct tt_tpm *tpm, uint32_t handle)
{
    uint8_t response[SESSION_OWN_RESPONSE];
    struct tt_bytes unused = {NULL, 0};
    const struct command c = {
        .what = "unload an object", .code = TPM2_CC_FlushContext, .handles = {handle}, .handles_len = 1};
    if (tpm_is_ours(tpm) && !tpm->meter.broken)
        (void)run(&unused, response, tpm, &c, NULL);
}

/* ---- creating ---- */

/* The TPM says so itself: TPM_CAP_ALGS. */
static tt_rc require_mldsa(struct tt_tpm *tpm, struct tt_error *err)
{
    TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;
    struct tpm_op op = tpm_op_start(tpm, "ask the TPM whether it has ML-DSA");
    do
        op.rc = Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_ALGS,
                                   ALG_MLDSA, 1, &more, &data);
    while (tpm_op_again(&op));
    TT_TRY(tpm_op_end(&op, err));
    bool has = data->capability == TPM2_CAP_ALGS && data->data.algorithms.count > 0 &&
               data->data.algorithms.algProperties[0].alg == ALG_MLDSA;
    Esys_Free(data);
    if (has)
        return TT_OK;
    (void)error_set(err, TT_ERR_UNSUPPORTED,
                    "this TPM has no ML-DSA, which came with version 1.85 of the TPM's specification");
    error_hint(err, "choose another --type");
    return TT_ERR_UNSUPPORTED;
}

static tt_rc create_under(char **ret_pem, struct keyfile *f, struct tt_tpm *tpm,
                          const struct tpm_parent *parent, enum tpm_mldsa_set set, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf parameters = {.max = COMMAND_MAX};
    uint8_t response[SESSION_OWN_RESPONSE];
    struct tt_bytes answer = {NULL, 0};
    struct area area;
    uint32_t handle;
    struct writer w = writer_to(&parameters);
    wr_u16(&w, 4); /* TPM2B_SENSITIVE_CREATE: no password, no data */
    wr_u32(&w, 0);
    template_write(&w, set);
    wr_u16(&w, 0); /* outsideInfo */
    wr_u32(&w, 0); /* creationPCR */
    if (wr_status(&w) != TT_OK)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    TT_TRY(guard_parent(tpm, parent, err));
    if (parent->ek || Esys_TR_GetTpmHandle(tpm->esys, parent->object, &handle) != TSS2_RC_SUCCESS)
        return error_set(err, TT_ERR_UNSUPPORTED, "an ML-DSA key cannot be made under this key");
    TT_TRY(run(&answer, response, tpm,
               &(struct command){.what = "create the key",
                                 .code = TPM2_CC_Create,
                                 .handles = {handle},
                                 .handles_len = 1,
                                 .auths = 1,
                                 .parameters = buf_bytes(&parameters)},
               err));
    struct reader r = reader_of(answer);
    f->privkey = (struct tt_bytes){answer.data, 2 + rd_vec16(&r, 1).len};
    f->pubkey = (struct tt_bytes){answer.data + f->privkey.len, 2 + rd_vec16(&r, 1).len};
    if (r.failed || !area_read(&area, f->pubkey) || area.set != set)
        return error_set(err, TT_ERR_TPM, "the TPM returned a malformed key");
    return keyfile_text(ret_pem, f, err);
}

static tt_rc create_once(char **ret_pem, struct tt_tpm *tpm, enum tpm_mldsa_set set,
                         struct tt_bytes description, struct tt_error *err)
{
    struct keyfile f = {.kind = KEYFILE_LOADABLE, .empty_auth = true, .description = description};
    struct tpm_parent parent;
    TT_TRY(require_mldsa(tpm, err));
    object_evict(tpm);
    TT_TRY(parent_for_new_key(&parent, &f.parent, tpm, true, err));
    f.parent_name.len = parent.name.size <= KEYFILE_MAX_NAME ? parent.name.size : 0;
    memcpy(f.parent_name.data, parent.name.name, f.parent_name.len);
    tt_rc rc = create_under(ret_pem, &f, tpm, &parent, set, err);
    parent_release(tpm, &parent);
    return rc;
}

tt_rc tpm_mldsa_create(char **ret_pem, struct tt_tpm *tpm, enum tpm_mldsa_set set,
                       struct tt_bytes description, struct tt_error *err)
{
    return TPM_TWICE(tpm, err, create_once(ret_pem, tpm, set, description, err));
}

/* ---- loading ---- */

struct tpm_mldsa {
    struct tt_tpm *tpm;  /* not owned */
    struct keyfile file; /* owns what area views */
    struct area area;
    TPM2B_NAME name, parent_name;
    uint32_t handle; /* while loaded */
    bool loaded;
    unsigned opening; /* of the TPM; the handle is of that one */
};

void tpm_mldsa_free(struct tpm_mldsa *k)
{
    if (k == NULL)
        return;
    if (k->loaded && k->opening == k->tpm->meter.openings)
        flush(k->tpm, k->handle);
    keyfile_free(&k->file);
    mem_free(k);
}

static tt_rc judge(const struct tpm_mldsa *k, struct tt_error *err)
{
    const struct keyfile *f = &k->file;
    uint32_t demanded = TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA;
    if (f->kind != KEYFILE_LOADABLE)
        return error_set(err, TT_ERR_UNSUPPORTED, "an ML-DSA key cannot be imported into a TPM here");
    if (!f->empty_auth || f->has_policy || f->has_auth_policy || k->area.policy.len > 0)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "an ML-DSA key in the TPM with a password or a policy cannot be used here");
    if ((k->area.attributes & (demanded | TPMA_OBJECT_RESTRICTED)) != demanded)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the ML-DSA key's attributes do not let it sign without a password");
    return TT_OK;
}

static tt_rc take_names(struct tpm_mldsa *k, struct tt_error *err)
{
    const struct soft_public area = {.area = k->area.bytes, .name_alg = k->area.name_alg};
    const struct crypto_lib *lib = tpm_lib(k->tpm, err);
    size_t len = 0;
    if (lib == NULL)
        return TT_ERR_MEMORY;
    if (name_of_public(k->name.name, &len, lib, &area) != TT_OK)
        return error_set(err, TT_ERR_UNSUPPORTED, "the name of the ML-DSA key cannot be computed");
    k->name.size = (UINT16)len;
    k->parent_name.size = (UINT16)k->file.parent_name.len;
    memcpy(k->parent_name.name, k->file.parent_name.data, k->file.parent_name.len);
    return TT_OK;
}

static tt_rc load_under(struct tpm_mldsa *k, const struct tpm_parent *parent, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf parameters = {.max = COMMAND_MAX};
    uint8_t response[SESSION_OWN_RESPONSE];
    struct tt_bytes answer = {NULL, 0};
    uint32_t handle, loaded = 0;
    struct writer w = writer_to(&parameters);
    wr_bytes(&w, k->file.privkey);
    wr_bytes(&w, k->file.pubkey);
    if (wr_status(&w) != TT_OK)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    TT_TRY(guard_parent(k->tpm, parent, err));
    if (parent->ek || Esys_TR_GetTpmHandle(k->tpm->esys, parent->object, &handle) != TSS2_RC_SUCCESS)
        return error_set(err, TT_ERR_UNSUPPORTED, "an ML-DSA key cannot be loaded under this key");
    TT_TRY(run(&answer, response, k->tpm,
               &(struct command){.what = "load the key",
                                 .code = TPM2_CC_Load,
                                 .handles = {handle},
                                 .handles_len = 1,
                                 .auths = 1,
                                 .parameters = buf_bytes(&parameters),
                                 .ret_handle = &loaded},
               err));
    struct reader r = reader_of(answer);
    struct tt_bytes name = rd_vec16(&r, 0);
    k->handle = loaded;
    k->opening = k->tpm->meter.openings;
    k->loaded = true;
    return rd_done(&r) == TT_OK && name.len == k->name.size && memcmp(name.data, k->name.name, name.len) == 0
               ? TT_OK
               : error_set(err, TT_ERR_TPM, "the TPM loaded another key than it was given");
}

static tt_rc make_ready(struct tpm_mldsa *k, struct tt_error *err)
{
    const struct parent_want want = {
        .handle = k->file.parent, .rsa = k->file.rsa_parent, .name = &k->parent_name};
    struct tpm_parent parent;
    if (k->loaded && k->opening == k->tpm->meter.openings)
        return TT_OK;
    object_evict(k->tpm);
    TT_TRY(parent_acquire(&parent, k->tpm, &want, err));
    tt_rc rc = load_under(k, &parent, err);
    parent_release(k->tpm, &parent);
    return rc;
}

tt_rc tpm_mldsa_load(struct tpm_mldsa **ret, struct tt_tpm *tpm, struct tt_bytes pem, struct tt_error *err)
{
    TT_AUTO(tpm_mldsa_free_auto) struct tpm_mldsa *k = mem_alloc(sizeof *k);
    if (k == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    k->tpm = tpm;
    TT_TRY(keyfile_parse(&k->file, pem, err));
    if (!area_read(&k->area, k->file.pubkey))
        return error_set(err, TT_ERR_DECODE, "the key file's public area is damaged");
    TT_TRY(judge(k, err));
    TT_TRY(take_names(k, err));
    TT_TRY(TPM_TWICE(tpm, err, make_ready(k, err)));
    *ret = TT_TAKE(k);
    return TT_OK;
}

enum tpm_mldsa_set tpm_mldsa_set(const struct tpm_mldsa *k)
{
    return (enum tpm_mldsa_set)k->area.set;
}

struct tt_bytes tpm_mldsa_public(const struct tpm_mldsa *k)
{
    return k->area.key;
}

struct tt_bytes tpm_mldsa_name(const struct tpm_mldsa *k)
{
    return (struct tt_bytes){k->name.name, k->name.size};
}

/* ---- signing ---- */

static tt_rc piece_send(struct tt_bytes *ret, uint8_t *response, struct tpm_mldsa *k, struct command *c,
                        struct tt_bytes piece, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf parameters = {.max = COMMAND_MAX};
    struct writer w = writer_to(&parameters);
    wr_vec16(&w, piece);
    if (wr_status(&w) != TT_OK)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    c->parameters = buf_bytes(&parameters);
    return run(ret, response, k->tpm, c, err);
}

static tt_rc signature_take(uint8_t *ret, size_t *ret_len, const struct tpm_mldsa *k, struct tt_bytes answer,
                            struct tt_error *err)
{
    struct reader r = reader_of(answer);
    uint16_t alg = rd_u16(&r);
    struct tt_bytes sig = rd_vec16(&r, 0);
    if (rd_done(&r) != TT_OK || alg != ALG_MLDSA || sig.len != sets[k->area.set].signature_len)
        return error_set(err, TT_ERR_TPM, "the TPM returned a malformed signature");
    memcpy(ret, sig.data, sig.len);
    *ret_len = sig.len;
    return TT_OK;
}

/* The sequence ends with its last command, if that succeeds. */
static tt_rc sequence_run(uint8_t *ret, size_t *ret_len, struct tpm_mldsa *k, uint32_t sequence,
                          struct tt_bytes message, struct tt_error *err)
{
    uint8_t response[SESSION_OWN_RESPONSE];
    struct tt_bytes answer = {NULL, 0};
    struct command update = {
        .what = "sign", .code = TPM2_CC_SequenceUpdate, .handles = {sequence}, .handles_len = 1, .auths = 1};
    struct command complete = {.what = "sign",
                               .code = CC_SEQUENCE_COMPLETE,
                               .handles = {sequence, k->handle},
                               .handles_len = 2,
                               .auths = 2};
    for (; message.len > PIECE; message.data += PIECE, message.len -= PIECE)
        TT_TRY(piece_send(&answer, response, k, &update, (struct tt_bytes){message.data, PIECE}, err));
    TT_TRY(piece_send(&answer, response, k, &complete, message, err));
    return signature_take(ret, ret_len, k, answer, err);
}

static tt_rc sign_once(uint8_t *ret, size_t *ret_len, struct tpm_mldsa *k, struct tt_bytes message,
                       struct tt_error *err)
{
    static const uint8_t nothing[4]; /* no password of the sequence's own, no context */
    uint8_t response[SESSION_OWN_RESPONSE];
    struct tt_bytes answer = {NULL, 0};
    uint32_t sequence = 0;
    TT_TRY(make_ready(k, err));
    object_evict(k->tpm); /* the sequence needs a place */
    TT_TRY(run(&answer, response, k->tpm,
               &(struct command){.what = "sign",
                                 .code = CC_SEQUENCE_START,
                                 .handles = {k->handle},
                                 .handles_len = 1,
                                 .parameters = {nothing, sizeof nothing},
                                 .ret_handle = &sequence},
               err));
    tt_rc rc = sequence_run(ret, ret_len, k, sequence, message, err);
    if (rc != TT_OK)
        flush(k->tpm, sequence);
    return rc;
}

/* A restarted TPM has forgotten the key, and says so of its handle. */
static tt_rc sign_or_reload(uint8_t *ret, size_t *ret_len, struct tpm_mldsa *k, struct tt_bytes message,
                            struct tt_error *err)
{
    struct tt_error why = {0};
    tt_rc rc = sign_once(ret, ret_len, k, message, &why);
    if (rc != TT_OK && (tpm_rc_is(k->tpm->last_failure, TPM2_RC_REFERENCE_H0) ||
                        tpm_rc_is(k->tpm->last_failure, TPM2_RC_HANDLE))) {
        k->loaded = false;
        return sign_once(ret, ret_len, k, message, err);
    }
    if (rc != TT_OK && err != NULL)
        *err = why;
    return rc;
}

tt_rc tpm_mldsa_sign(uint8_t ret[TPM_MLDSA_SIGNATURE_MAX], size_t *ret_len, struct tpm_mldsa *k,
                     struct tt_bytes message, struct tt_error *err)
{
    k->tpm->last_failure = TSS2_RC_SUCCESS;
    return TPM_TWICE(k->tpm, err, sign_or_reload(ret, ret_len, k, message, err));
}
