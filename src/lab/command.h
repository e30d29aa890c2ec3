/* lab/command.h: TPM commands as the lab sees them: name, handles, parameters, and public areas inside them.
 * Layer: lab. TPM 2.0 part 1, section 18 (structure), part 3 (each command). Never allocates; what does not
 * parse is passed on to the chip as it is. */
#ifndef LAB_COMMAND_H
#define LAB_COMMAND_H

#include "wire/reader.h"

#define LAB_HEADER      10
#define LAB_MAX_MESSAGE 8192
#define LAB_TSS_MESSAGE 4096 /* all that tpm2-tss has room for */
#define LAB_MAX_HANDLES 3

/* enum lab_work: what a command keeps a chip busy with; the columns of a profile. */
enum lab_work {
    LAB_SHORT, /* no asymmetric arithmetic */
    LAB_SIGN,
    LAB_VERIFY,
    LAB_RSA_PRIVATE,
    LAB_RSA_PUBLIC,
    LAB_ECDH,
    LAB_CREATE,
    LAB_CREATE_PRIMARY,
    LAB_LOAD,
    LAB_CONTEXT,
    LAB_SESSION,
    LAB_HMAC
};

/* struct lab_kind: one row a command the lab knows. */
struct lab_kind {
    uint32_t code; /* TPM_CC */
    const char *name;
    uint8_t handles;
    enum lab_work work;
    bool needs_slot; /* takes a transient object slot, if only while it runs */
};

/* lab_kind_find / lab_kind_by_name: NULL when unknown. Names are without "TPM2_", in any case of letters. */
const struct lab_kind *lab_kind_find(uint32_t code);
const struct lab_kind *lab_kind_by_name(const char *name);

struct lab_command {
    uint16_t tag;
    uint32_t code;
    const struct lab_kind *kind; /* NULL: unknown */
    uint32_t handle[LAB_MAX_HANDLES];
    struct tt_bytes auth;   /* the authorisation area, its size field not included */
    struct tt_bytes params; /* parsed only for a known command, else empty */
    struct tt_bytes whole;
};

/* lab_command_parse: views into bytes. A command that is cut short has an empty params. */
struct lab_command lab_command_parse(struct tt_bytes bytes);

/* struct lab_public: what the lab wants to know about a public area (TPMT_PUBLIC, TPMT_PUBLIC_PARMS). */
struct lab_public {
    uint16_t type;     /* TPM_ALG_RSA, TPM_ALG_ECC, or another; 0: none found */
    uint16_t name_alg; /* 0 in TPMT_PUBLIC_PARMS */
    uint16_t hash;     /* of its scheme; 0: none */
    uint16_t curve;
    uint16_t bits;
    uint32_t attributes;
    uint16_t scheme;
};

/* lab_public_parse: a TPM2B_PUBLIC. lab_parms_parse: a TPMT_PUBLIC_PARMS. type is 0 when it does not parse.
 */
struct lab_public lab_public_parse(struct tt_bytes tpm2b_public);
struct lab_public lab_parms_parse(struct reader *r, uint16_t type);

/* lab_command_public: the public area among a command's parameters; type 0 when it has none. */
struct lab_public lab_command_public(const struct lab_command *c);

#endif
