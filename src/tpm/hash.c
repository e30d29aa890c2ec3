/* tpm/hash.c: what a restricted key is to sign is hashed by the TPM, whose ticket says that it does not look
 * like something that the TPM itself attests. Layer: tpm. TPM 2.0 part 1, section 31.2; part 3, sections 15.4
 * (Hash), 17.3 to 17.6 (sequences). */
#include <string.h>

#include "tpm/key_internal.h"

#define PIECE 1024 /* TPM2_MAX_DIGEST_BUFFER: what all TPMs take in one command */

/* struct hashing: a message on its way through the TPM. */
struct hashing {
    struct tt_tpm *tpm;
    uint16_t hash;
    TPM2B_DIGEST *digest;
    TPMT_TK_HASHCHECK *ticket;
};

static TPM2B_MAX_BUFFER piece_of(struct tt_bytes b)
{
    TPM2B_MAX_BUFFER piece = {.size = (UINT16)b.len};
    if (b.len > 0)
        memcpy(piece.buffer, b.data, b.len);
    return piece;
}

static tt_rc hash_at_once(struct hashing *h, struct tt_bytes message, struct tt_error *err)
{
    const TPM2B_MAX_BUFFER in = piece_of(message);
    struct tpm_op op = tpm_op_start(h->tpm, "have the TPM hash what is signed");
    do
        op.rc = Esys_Hash(h->tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &in, h->hash,
                          ESYS_TR_RH_OWNER, &h->digest, &h->ticket);
    while (tpm_op_again(&op));
    return tpm_op_end(&op, err);
}

static tt_rc sequence_update(const struct hashing *h, ESYS_TR sequence, struct tt_bytes part,
                             struct tt_error *err)
{
    const TPM2B_MAX_BUFFER in = piece_of(part);
    struct tpm_op op = tpm_op_start(h->tpm, "have the TPM hash what is signed");
    do
        op.rc =
            Esys_SequenceUpdate(h->tpm->esys, sequence, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &in);
    while (tpm_op_again(&op));
    return tpm_op_end(&op, err);
}

/* The sequence ends with success. */
static tt_rc sequence_complete(struct hashing *h, ESYS_TR sequence, struct tt_bytes part,
                               struct tt_error *err)
{
    const TPM2B_MAX_BUFFER in = piece_of(part);
    struct tpm_op op = tpm_op_start(h->tpm, "have the TPM hash what is signed");
    do
        op.rc = Esys_SequenceComplete(h->tpm->esys, sequence, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                      &in, ESYS_TR_RH_OWNER, &h->digest, &h->ticket);
    while (tpm_op_again(&op));
    return tpm_op_end(&op, err);
}

static tt_rc sequence_run(struct hashing *h, ESYS_TR sequence, struct tt_bytes message, struct tt_error *err)
{
    while (message.len > PIECE) {
        TT_TRY(sequence_update(h, sequence, (struct tt_bytes){message.data, PIECE}, err));
        message = (struct tt_bytes){message.data + PIECE, message.len - PIECE};
    }
    return sequence_complete(h, sequence, message, err);
}

static tt_rc hash_in_pieces(struct hashing *h, struct tt_bytes message, struct tt_error *err)
{
    static const TPM2B_AUTH none = {.size = 0};
    ESYS_TR sequence = ESYS_TR_NONE;
    struct tpm_op op = tpm_op_start(h->tpm, "have the TPM hash what is signed");
    do
        op.rc = Esys_HashSequenceStart(h->tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &none, h->hash,
                                       &sequence);
    while (tpm_op_again(&op));
    TT_TRY(tpm_op_end(&op, err));
    tt_rc rc = sequence_run(h, sequence, message, err);
    if (rc != TT_OK)
        tpm_flush(h->tpm, &sequence);
    return rc;
}

tt_rc tpm_key_hash(uint8_t *ret, size_t size, struct tpm_key *k, uint16_t hash, struct tt_bytes message,
                   struct tt_error *err)
{
    struct hashing h = {.tpm = k->object->tpm, .hash = hash};
    TT_TRY(message.len > PIECE ? hash_in_pieces(&h, message, err) : hash_at_once(&h, message, err));
    bool right = h.digest != NULL && h.ticket != NULL && h.digest->size == size;
    if (right) {
        memcpy(ret, h.digest->buffer, size);
        k->ticket = *h.ticket;
    }
    Esys_Free(h.digest);
    Esys_Free(h.ticket);
    return right ? TT_OK : error_set(err, TT_ERR_TPM, "the TPM returned a malformed digest");
}
