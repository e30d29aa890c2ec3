/* tpm/doctor.h: the facts of tt_doctor that the chip tells. Layer: tpm. signer/doctor.c tries keys and draws
 * conclusions.
 */
#ifndef TPM_DOCTOR_H
#define TPM_DOCTOR_H

#include "tpmtls/doctor.h"

/* doctor_places: the places a TPM could be at, and why each was used or passed over. Opens devices, sends
 * nothing. */
void doctor_places(struct tt_doctor *d, const char *spec);

/* doctor_identify: only who made it, which firmware, which kind: one or two commands. */
void doctor_identify(struct tt_doctor *d, struct tt_tpm *tpm);
/* doctor_chip: all that is read with TPM2_GetCapability, TPM2_ReadClock, TPM2_ReadPublic, TPM2_NV_Read; and
 * the storage root key, which is derived for comparison. What cannot be read stays zero. */
void doctor_chip(struct tt_doctor *d, struct tt_tpm *tpm);
/* doctor_endorsement: the endorsement keys that are kept, their certificates, and the chain. Where a
 * certificate is of none of those, the key that the profile puts beside it is derived (an RSA key only
 * without quick). */
void doctor_endorsement(struct tt_doctor *d, struct tt_tpm *tpm, bool quick);
void doctor_endorsement_free(struct tt_doctor *d);

/* doctor_salt: make an RSA-2048 key in the null hierarchy, sign, and look at the salt. */
void doctor_salt(struct tt_doctor *d, struct tt_tpm *tpm);

#endif
