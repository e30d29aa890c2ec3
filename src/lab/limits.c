/* lab/limits.c: refusing what the lesser chip lacks, and leaving it out of its answers. Layer: lab. TPM 2.0
 * part 2, sections 6.3 (algorithms), 6.4 (curves), 6.13 (properties), 10.10 (capability structures). PCR
 * banks are left as they are. */
#include "lab/limits.h"

#include <string.h>
#include <tss2/tss2_tpm2_types.h>

#define MAX_SLOTS 64

static bool lacks_alg(const struct lab_options *o, uint32_t alg)
{
    return (alg == TPM2_ALG_SHA1 && (o->lacks & LAB_NO_SHA1) != 0) ||
           (alg == TPM2_ALG_SHA384 && (o->lacks & LAB_NO_SHA384) != 0) ||
           (alg == TPM2_ALG_SHA512 && (o->lacks & LAB_NO_SHA512) != 0);
}

static bool lacks_curve(const struct lab_options *o, uint32_t curve)
{
    return (curve == TPM2_ECC_NIST_P256 && (o->lacks & LAB_NO_P256) != 0) ||
           (curve == TPM2_ECC_NIST_P384 && (o->lacks & LAB_NO_P384) != 0) ||
           (curve == TPM2_ECC_NIST_P521 && (o->lacks & LAB_NO_P521) != 0);
}

static bool lacks_rsa(const struct lab_options *o, unsigned bits)
{
    return (bits == 2048 && (o->lacks & LAB_NO_RSA2048) != 0) ||
           (bits == 3072 && (o->lacks & LAB_NO_RSA3072) != 0) ||
           (bits == 4096 && (o->lacks & LAB_NO_RSA4096) != 0);
}

static uint32_t refuse_public(const struct lab_options *o, const struct lab_command *c)
{
    struct lab_public p = lab_command_public(c);
    uint32_t where = TPM2_RC_P | (c->code == TPM2_CC_TestParms ? TPM2_RC_1 : TPM2_RC_2);
    if (p.type == 0)
        return 0;
    if (lacks_alg(o, p.name_alg) || lacks_alg(o, p.hash))
        return TPM2_RC_HASH | where;
    if (p.type == TPM2_ALG_ECC && lacks_curve(o, p.curve))
        return TPM2_RC_CURVE | where;
    if (p.type == TPM2_ALG_RSA && lacks_rsa(o, p.bits))
        return TPM2_RC_VALUE | where;
    return 0;
}

static uint32_t refuse_algorithm(const struct lab_options *o, const struct lab_command *c)
{
    struct reader r = reader_of(c->params);
    (void)rd_vec16(&r, 0);
    if (c->code == TPM2_CC_Sign) {
        (void)rd_u16(&r); /* scheme */
        return lacks_alg(o, rd_u16(&r)) ? TPM2_RC_HASH | TPM2_RC_P | TPM2_RC_2 : 0;
    }
    if (c->code == TPM2_CC_Hash || c->code == TPM2_CC_HashSequenceStart || c->code == TPM2_CC_HMAC)
        return lacks_alg(o, rd_u16(&r)) ? TPM2_RC_HASH | TPM2_RC_P | TPM2_RC_2 : 0;
    return refuse_public(o, c);
}

/* ---- slots ---- */

static size_t loaded(struct lab_chip *chip)
{
    uint32_t handles[MAX_SLOTS];
    return lab_chip_handles(chip, LAB_TRANSIENT, handles, MAX_SLOTS);
}

/* While a command runs, a persistent object it names takes a slot as well. */
static uint32_t refuse_slot(const struct lab_options *o, struct lab_chip *chip, const struct lab_command *c)
{
    size_t needs = c->kind->needs_slot ? 1 : 0;
    struct reader r = reader_of(c->params);
    (void)rd_u64(&r);
    if (c->code == TPM2_CC_ContextLoad && rd_u32(&r) >> 24 != TPM2_HT_TRANSIENT)
        needs = 0; /* a session */
    for (unsigned i = 0; i < c->kind->handles; i++)
        needs += c->handle[i] >> 24 == TPM2_HT_PERSISTENT;
    return needs > 0 && loaded(chip) + needs > o->slots ? TPM2_RC_OBJECT_MEMORY : 0;
}

uint32_t lab_limits_refuse(const struct lab_options *o, struct lab_chip *chip, const struct lab_command *c)
{
    uint32_t rc = 0;
    if (c->kind == NULL)
        return 0;
    if (o->lacks != 0)
        rc = refuse_algorithm(o, c);
    if (rc == 0 && o->slots != 0)
        rc = refuse_slot(o, chip, c);
    return rc;
}

/* ---- TPM2_GetCapability ---- */

/* struct list: a TPML at the end of a response, whose entries begin with a number of `number` bytes. */
struct list {
    size_t at; /* of the count */
    size_t entry, number;
};

static uint32_t number_at(const uint8_t *p, size_t size)
{
    uint32_t v = 0;
    for (size_t i = 0; i < size; i++)
        v = v << 8 | p[i];
    return v;
}

static void list_filter(const struct list *l, uint8_t *response, size_t *len,
                        bool (*drop)(const struct lab_options *o, uint32_t number),
                        const struct lab_options *o)
{
    size_t count = number_at(response + l->at, 4), from = l->at + 4, to = from, kept = 0;
    for (size_t i = 0; i < count && from + l->entry <= *len; i++, from += l->entry) {
        if (drop(o, number_at(response + from, l->number)))
            continue;
        memmove(response + to, response + from, l->entry);
        to += l->entry;
        kept++;
    }
    lab_put32(response + l->at, (uint32_t)kept);
    lab_put32(response + 2, (uint32_t)to);
    *len = to;
}

static void properties_edit(const struct lab_options *o, struct lab_chip *chip, uint8_t *response, size_t len)
{
    size_t count = number_at(response + LAB_HEADER + 5, 4), at = LAB_HEADER + 9;
    for (size_t i = 0; i < count && at + 8 <= len; i++, at += 8) {
        uint32_t property = number_at(response + at, 4), value = number_at(response + at + 4, 4);
        if (property == TPM2_PT_MODES && o->fips)
            value |= TPMA_MODES_FIPS_140_2;
        if (property == TPM2_PT_HR_TRANSIENT_MIN && o->slots > 0)
            value = o->slots;
        if (property == TPM2_PT_HR_TRANSIENT_AVAIL && o->slots > 0) {
            size_t used = loaded(chip);
            value = used < o->slots ? o->slots - (uint32_t)used : 0;
        }
        lab_put32(response + at + 4, value);
    }
}

void lab_limits_answer(const struct lab_options *o, struct lab_chip *chip, const struct lab_command *c,
                       uint8_t *response, size_t *len)
{
    struct reader r = reader_of((struct tt_bytes){response, *len});
    uint16_t tag = rd_u16(&r);
    (void)rd_u32(&r);
    uint32_t rc = rd_u32(&r);
    (void)rd_u8(&r); /* moreData */
    uint32_t capability = rd_u32(&r);
    (void)rd_u32(&r); /* count */
    if (c->code != TPM2_CC_GetCapability || tag != TPM2_ST_NO_SESSIONS || rc != TPM2_RC_SUCCESS || r.failed)
        return;
    if (capability == TPM2_CAP_ALGS)
        list_filter(&(struct list){LAB_HEADER + 5, 6, 2}, response, len, lacks_alg, o);
    else if (capability == TPM2_CAP_ECC_CURVES)
        list_filter(&(struct list){LAB_HEADER + 5, 2, 2}, response, len, lacks_curve, o);
    else if (capability == TPM2_CAP_TPM_PROPERTIES)
        properties_edit(o, chip, response, *len);
}
