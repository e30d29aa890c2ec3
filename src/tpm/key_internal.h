/* tpm/key_internal.h: struct tpm_key, for key.c and sign.c. Layer: tpm. */
#ifndef TPM_KEY_INTERNAL_H
#define TPM_KEY_INTERNAL_H

#include "tpm/object.h"

struct tpm_key {
    struct tpm_object *object;
    struct tpm_key_info info;
    TPMT_TK_HASHCHECK ticket; /* of the digest that tpm_key_hash made last */
};

#endif
