/* tpm/doctor_ek.c: the endorsement key: its usual handles, and its certificates in NV memory. Layer: tpm. TCG
 * EK Credential Profile, section 2.2.1.4 (low range) and 2.2.1.5 (high range). */
#include <string.h>

#include "tpm/context.h"
#include "tpm/doctor.h"
#include "wire/der.h"

#define MAX_CERT 8192
#define CHUNK    512

static bool open_handle(ESYS_TR *ret, struct tt_tpm *tpm, uint32_t handle)
{
    struct tpm_op op = tpm_op_start(tpm, "look at a handle");
    do
        op.rc = Esys_TR_FromTPMPublic(tpm->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ret);
    while (tpm_op_again(&op));
    return op.rc == TSS2_RC_SUCCESS;
}

static bool handle_exists(struct tt_tpm *tpm, uint32_t handle)
{
    ESYS_TR object = ESYS_TR_NONE;
    bool there = open_handle(&object, tpm, handle);
    if (there)
        (void)Esys_TR_Close(tpm->esys, &object);
    return there;
}

/* struct nv: an index, and by whose empty password it may be read; ESYS_TR_NONE: by nobody's. */
struct nv {
    ESYS_TR index, reader;
    size_t size;
};

static bool nv_open(struct nv *ret, const struct tt_doctor *d, struct tt_tpm *tpm, uint32_t handle)
{
    struct nv nv = {.index = ESYS_TR_NONE, .reader = ESYS_TR_NONE};
    TPM2B_NV_PUBLIC *pub = NULL;
    if (!open_handle(&nv.index, tpm, handle))
        return false;
    struct tpm_op op = tpm_op_start(tpm, "look at an NV index");
    do
        op.rc = Esys_NV_ReadPublic(tpm->esys, nv.index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &pub, NULL);
    while (tpm_op_again(&op));
    if (op.rc == TSS2_RC_SUCCESS) {
        TPMA_NV a = pub->nvPublic.attributes;
        nv.size = pub->nvPublic.dataSize;
        /* An empty password is not tried where a wrong one would count. */
        if ((a & TPMA_NV_AUTHREAD) != 0 && (a & TPMA_NV_NO_DA) != 0)
            nv.reader = nv.index;
        else if ((a & TPMA_NV_OWNERREAD) != 0 && !d->owner_auth)
            nv.reader = ESYS_TR_RH_OWNER;
        Esys_Free(pub);
    }
    *ret = nv;
    return true;
}

static bool nv_read(struct nv *nv, struct tt_tpm *tpm, uint8_t *to)
{
    for (size_t at = 0; at < nv->size;) {
        size_t n = nv->size - at < CHUNK ? nv->size - at : CHUNK;
        TPM2B_MAX_NV_BUFFER *data = NULL;
        struct tpm_op op = tpm_op_start(tpm, "read a certificate");
        do
            op.rc = Esys_NV_Read(tpm->esys, nv->reader, nv->index, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                 ESYS_TR_NONE, (UINT16)n, (UINT16)at, &data);
        while (tpm_op_again(&op));
        if (op.rc != TSS2_RC_SUCCESS)
            return false;
        bool right = data->size == n;
        if (right)
            memcpy(to + at, data->buffer, n);
        Esys_Free(data);
        if (!right)
            return false;
        at += n;
    }
    return true;
}

/* Vendors pad the index: only the SEQUENCE at its front counts. */
static size_t der_size(const uint8_t *data, size_t len)
{
    struct reader r = reader_of((struct tt_bytes){data, len});
    (void)der_get(&r, DER_SEQUENCE);
    return rd_status(&r) == TT_OK ? (size_t)(r.at - data) : 0;
}

static void certificate(struct tt_doctor *d, struct tt_tpm *tpm, uint32_t handle)
{
    struct nv nv;
    if (d->eks_len == TT_DOCTOR_EKS || !nv_open(&nv, d, tpm, handle))
        return;
    uint8_t *data = nv.reader == ESYS_TR_NONE || nv.size > MAX_CERT ? NULL : mem_alloc(nv.size);
    if (data != NULL && nv_read(&nv, tpm, data)) {
        size_t size = der_size(data, nv.size);
        d->eks[d->eks_len++] = (struct tt_doctor_ek){.nv_index = handle, .der = data, .der_len = size};
        data = NULL;
    }
    mem_free(data);
    (void)Esys_TR_Close(tpm->esys, &nv.index);
}

void doctor_endorsement(struct tt_doctor *d, struct tt_tpm *tpm)
{
    /* RSA-2048 and P-256 of the low range; RSA-2048, P-256, P-384, P-521, RSA-3072, RSA-4096 of the high one.
     */
    static const uint32_t indexes[] = {0x01c00002, 0x01c0000a, 0x01c00012, 0x01c00014,
                                       0x01c00016, 0x01c00018, 0x01c0001c, 0x01c0001e};
    d->ek_rsa_handle = handle_exists(tpm, 0x81010001);
    d->ek_ecc_handle = handle_exists(tpm, 0x81010002);
    for (size_t i = 0; i < TT_COUNT(indexes); i++)
        certificate(d, tpm, indexes[i]);
}
