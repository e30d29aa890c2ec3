/* tpm/alg.h: algorithms, curves and handles of a TPM in words, for sentences. Layer: tpm. TPM 2.0 part 2, 6.3
 * (TPM_ALG_ID), 6.4 (TPM_ECC_CURVE), 7 (handles); TCG algorithm registry. */
#ifndef TPM_ALG_H
#define TPM_ALG_H

#include <stdint.h>

/* struct alg_text: handed out by value: alg_text(x).text lives as long as the full expression. */
struct alg_text {
    char text[48];
};
/* alg_text: "SHA-384", "ECDAA"; a number that is none we know: "TPM_ALG_ID 0x1234". */
struct alg_text alg_text(uint16_t alg);
/* alg_curve_text: "NIST P-224", "SM2"; else "TPM_ECC_CURVE 0x1234". */
struct alg_text alg_curve_text(uint16_t curve);
/* alg_handle_text: what kind of thing has such a handle: "0x01c00002, an NV index". */
struct alg_text alg_handle_text(uint32_t handle);

#endif
