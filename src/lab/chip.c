/* lab/chip.c: commands without sessions, built and read byte by byte. Layer: lab. TPM 2.0 part 3,
 * sections 12.4 (ReadPublic), 15.4 (Hash), 28 (contexts), 30.2 (GetCapability). */
#include "lab/chip.h"

#include <string.h>
#include <tss2/tss2_tpm2_types.h>

#define MAX_HANDLES 64

void lab_put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

void lab_put32(uint8_t *p, uint32_t v)
{
    lab_put16(p, (uint16_t)(v >> 16));
    lab_put16(p + 2, (uint16_t)v);
}

bool lab_chip_run(struct lab_chip *chip, struct tt_bytes command, uint8_t *ret, size_t *ret_len)
{
    size_t len = LAB_MAX_MESSAGE;
    if (Tss2_Tcti_Transmit(chip->inner, command.len, command.data) != TSS2_RC_SUCCESS ||
        Tss2_Tcti_Receive(chip->inner, &len, ret, TSS2_TCTI_TIMEOUT_BLOCK) != TSS2_RC_SUCCESS ||
        len < LAB_HEADER || len > LAB_MAX_MESSAGE)
        return false;
    *ret_len = len;
    return true;
}

/* body has room for a header in front of its parameters. The reader stands behind the answer's header. */
static struct reader own(struct lab_chip *chip, uint32_t code, uint8_t *body, size_t len)
{
    size_t got = 0;
    lab_put16(body, TPM2_ST_NO_SESSIONS);
    lab_put32(body + 2, (uint32_t)len);
    lab_put32(body + 6, code);
    if (!lab_chip_run(chip, (struct tt_bytes){body, len}, chip->answer, &got))
        got = 0;
    struct reader r = reader_of((struct tt_bytes){chip->answer, got});
    (void)rd_bytes(&r, 6);
    if (rd_u32(&r) != TPM2_RC_SUCCESS)
        rd_fail(&r);
    return r;
}

size_t lab_chip_handles(struct lab_chip *chip, uint32_t first, uint32_t *ret, size_t cap)
{
    uint8_t body[LAB_HEADER + 12];
    lab_put32(body + LAB_HEADER, TPM2_CAP_HANDLES);
    lab_put32(body + LAB_HEADER + 4, first);
    lab_put32(body + LAB_HEADER + 8, (uint32_t)cap);
    struct reader r = own(chip, TPM2_CC_GetCapability, body, sizeof body);
    (void)rd_u8(&r);
    (void)rd_u32(&r);
    size_t n = 0;
    for (uint32_t left = rd_u32(&r); left > 0 && n < cap && rd_left(&r) >= 4; left--)
        ret[n++] = rd_u32(&r);
    return n;
}

struct lab_public lab_chip_public(struct lab_chip *chip, uint32_t handle)
{
    uint8_t body[LAB_HEADER + 4];
    lab_put32(body + LAB_HEADER, handle);
    struct reader r = own(chip, TPM2_CC_ReadPublic, body, sizeof body);
    return lab_public_parse(rd_rest(&r));
}

bool lab_chip_hash(struct lab_chip *chip, uint16_t alg, struct tt_bytes data, uint8_t *ret, size_t size)
{
    uint8_t body[LAB_HEADER + 2 + 1024 + 6];
    if (data.len > 1024) /* MAX_DIGEST_BUFFER of every chip */
        return false;
    uint8_t *p = body + LAB_HEADER;
    lab_put16(p, (uint16_t)data.len);
    memcpy(p + 2, data.data, data.len);
    lab_put16(p + 2 + data.len, alg);
    lab_put32(p + 4 + data.len, TPM2_RH_NULL);
    struct reader r = own(chip, TPM2_CC_Hash, body, LAB_HEADER + data.len + 8);
    struct tt_bytes digest = rd_vec16(&r, 0);
    if (digest.len != size)
        return false;
    memcpy(ret, digest.data, size);
    return true;
}

/* ---- restarts ---- */

void lab_chip_forget(struct lab_chip *chip)
{
    static const uint32_t kinds[] = {LAB_TRANSIENT, LAB_LOADED_SESSIONS, LAB_SAVED_SESSIONS};
    uint32_t handles[MAX_HANDLES];
    for (size_t k = 0; k < TT_COUNT(kinds); k++) {
        size_t n = lab_chip_handles(chip, kinds[k], handles, MAX_HANDLES);
        for (size_t i = 0; i < n; i++) {
            uint8_t body[LAB_HEADER + 4];
            lab_put32(body + LAB_HEADER, handles[i]);
            (void)own(chip, TPM2_CC_FlushContext, body, sizeof body);
        }
    }
    chip->stale = chip->newest;
}

/* TPMS_CONTEXT: sequence, savedHandle, ... Zero when it is not the context of an object. */
static uint64_t context_sequence(struct tt_bytes context)
{
    struct reader r = reader_of(context);
    uint64_t sequence = rd_u64(&r);
    uint32_t saved = rd_u32(&r);
    return rd_status(&r) == TT_OK && saved >> 24 == TPM2_HT_TRANSIENT ? sequence : 0;
}

void lab_chip_watch(struct lab_chip *chip, const struct lab_command *c, struct tt_bytes response)
{
    struct reader r = reader_of(response);
    (void)rd_bytes(&r, 6);
    if (c->code != TPM2_CC_ContextSave || rd_u32(&r) != TPM2_RC_SUCCESS)
        return;
    uint64_t sequence = context_sequence(rd_rest(&r));
    if (sequence > chip->newest)
        chip->newest = sequence;
}

bool lab_chip_is_stale(const struct lab_chip *chip, const struct lab_command *c)
{
    if (c->code != TPM2_CC_ContextLoad || chip->stale == 0)
        return false;
    uint64_t sequence = context_sequence(c->params);
    return sequence != 0 && sequence <= chip->stale;
}
