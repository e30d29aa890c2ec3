/* attest/structures.h: the TPM's structures as they come from somebody else: public areas, attestations,
 * signatures; read without a TPM and without its software stack. Layer: attest; for the files of src/attest
 * only. TPM 2.0 part 2, sections 10.12 (TPMS_ATTEST), 11.3 (TPMT_SIGNATURE), 12.2 (TPMT_PUBLIC). All of it is
 * hostile; views. */
#ifndef ATTEST_STRUCTURES_H
#define ATTEST_STRUCTURES_H

#include "base/buf.h"
#include "crypto/hash.h"
#include "tpmtls/iana.h"

enum {
    ALG_RSA = 0x0001,
    ALG_SHA1 = 0x0004,
    ALG_AES = 0x0006,
    ALG_SHA256 = 0x000b,
    ALG_SHA384 = 0x000c,
    ALG_SHA512 = 0x000d,
    ALG_NULL = 0x0010,
    ALG_RSASSA = 0x0014,
    ALG_RSAPSS = 0x0016,
    ALG_ECDSA = 0x0018,
    ALG_ECC = 0x0023,
    ALG_CFB = 0x0043
};
enum {
    ATTR_FIXED_TPM = 1U << 1,
    ATTR_ST_CLEAR = 1U << 2,
    ATTR_FIXED_PARENT = 1U << 4,
    ATTR_SENSITIVE_DATA_ORIGIN = 1U << 5,
    ATTR_ENCRYPTED_DUPLICATION = 1U << 11,
    ATTR_RESTRICTED = 1U << 16,
    ATTR_DECRYPT = 1U << 17,
    ATTR_SIGN = 1U << 18
};
#define ATTEST_MAGIC        0xff544347U /* TPM_GENERATED_VALUE: 0xff "TCG" */
#define ATTEST_TYPE_CERTIFY 0x8017
#define ATTEST_TYPE_QUOTE   0x8018
#define RH_ENDORSEMENT      0x4000000bU
#define NAME_MAX_SIZE       66

/* struct at_public: TPMT_PUBLIC of an asymmetric key. */
struct at_public {
    struct tt_bytes area; /* the whole of it: what the name is the digest of */
    uint16_t type, name_alg;
    uint32_t attributes;
    struct tt_bytes policy;
    uint16_t sym_alg, sym_bits, sym_mode; /* of a storage key; else ALG_NULL */
    uint16_t scheme, scheme_hash;         /* ALG_NULL: any */
    uint16_t bits;                        /* RSA */
    uint32_t exponent;                    /* RSA; never 0 */
    struct tt_bytes modulus;
    uint16_t curve; /* TPM_ECC_CURVE */
    struct tt_bytes x, y;
};
/* at_public_read: TT_ERR_DECODE; TT_ERR_UNSUPPORTED: neither RSA nor ECC. */
TT_MUST_USE tt_rc at_public_read(struct at_public *ret, struct tt_bytes area);
/* at_kinds: what keys are called: "rsa2048", "p256", ...; at_kind_of: which one it is, or AT_KINDS. */
#define AT_KINDS 6
extern const char *const at_kinds[AT_KINDS];
size_t at_kind_of(const struct at_public *p);

/* at_public_spki: append its DER SubjectPublicKeyInfo. TT_ERR_UNSUPPORTED: a curve that we lack. */
TT_MUST_USE tt_rc at_public_spki(struct buf *to, const struct at_public *p);

/* struct at_name: nameAlg || digest (part 1, section 16). */
struct at_name {
    uint8_t data[NAME_MAX_SIZE];
    size_t len;
};
TT_MUST_USE tt_rc at_name_of(struct at_name *ret, const struct crypto_lib *lib, const struct at_public *p);
/* at_qualified: the qualified name of an object of this name under a parent of that qualified name. */
TT_MUST_USE tt_rc at_qualified(struct at_name *ret, const struct crypto_lib *lib, struct tt_bytes parent,
                               const struct at_name *name);
bool at_name_is(const struct at_name *name, struct tt_bytes bytes);

/* struct at_attest: TPMS_ATTEST of a certification or a quote. */
struct at_attest {
    uint32_t magic;
    uint16_t type;
    struct tt_bytes signer, extra; /* qualifiedSigner, extraData */
    uint64_t clock;
    uint32_t resets, restarts;
    uint8_t safe;
    uint64_t firmware;
    struct tt_bytes name, qualified_name; /* of a certification */
    struct tt_bytes selection, digest;    /* of a quote: TPML_PCR_SELECTION */
};
/* at_attest_read: of another magic or type only what stands before `attested` is read. */
TT_MUST_USE tt_rc at_attest_read(struct at_attest *ret, struct tt_bytes attest);

/* at_selection_read: TPML_PCR_SELECTION as a list in a canonical form: bit n of bits[i]: PCR n of bank
 * alg[i]. */
#define AT_BANKS 8
struct at_selection {
    size_t len;
    uint16_t alg[AT_BANKS];
    uint32_t bits[AT_BANKS];
};
TT_MUST_USE tt_rc at_selection_read(struct at_selection *ret, struct tt_bytes list);
/* at_selection_parse: "sha256:0,7", several banks joined with "+". TT_ERR_USAGE. */
TT_MUST_USE tt_rc at_selection_parse(struct at_selection *ret, const char *text);
/* at_selection_same: the same PCRs; what selects none does not count. */
bool at_selection_same(const struct at_selection *a, const struct at_selection *b);
/* at_selection_text: "sha256:0,7" or "none". */
void at_selection_text(char *ret, size_t cap, const struct at_selection *s);

/* struct at_signature: TPMT_SIGNATURE by RSASSA, RSAPSS or ECDSA. */
struct at_signature {
    uint16_t alg, hash;
    struct tt_bytes rsa, r, s;
};
TT_MUST_USE tt_rc at_signature_read(struct at_signature *ret, struct tt_bytes signature);

/* at_hash: HASH_NONE for one we lack. at_alg_text: "sha256"; never NULL. */
enum hash_id at_hash(uint16_t alg);
const char *at_alg_text(uint16_t alg);
/* at_attributes_text: as tpm2-tools write them: "fixedtpm|..." */
void at_attributes_text(char *ret, size_t cap, uint32_t attributes);

#endif
