/* tpm/keyfile.h: the TSS2 PRIVATE KEY file, every field of draft-bottomley-tpm2-keys, "TPMkey Syntax". Layer:
 * tpm. Reads and writes; sends no command and judges nothing but the form. */
#ifndef TPM_KEYFILE_H
#define TPM_KEYFILE_H

#include "base/buf.h"

#define KEYFILE_LABEL        "TSS2 PRIVATE KEY"
#define KEYFILE_PARENT_OWNER 0x40000001U /* TPM_RH_OWNER: a primary derived from the storage seed */
#define KEYFILE_MAX_NAME     66          /* TPM_ALG_ID and a digest */
#define KEYFILE_PARENT_SRK   0x81000001U /* where the provisioning guidance puts the storage root key */

enum keyfile_kind {
    KEYFILE_LOADABLE = 3, /* the last arc of the type's OID, id-tpmkey */
    KEYFILE_IMPORTABLE = 4,
    KEYFILE_SEALED = 5
};

/* struct keyfile: views are into `der`, or, for writing, into whatever the caller has. An absent optional
 * field is empty; policy and auth_policy are the content of their SEQUENCE OF, each element checked for its
 * form. */
struct keyfile {
    enum keyfile_kind kind;
    /* Not in the draft: the name of the parent at the time the key was made, so that another key in its place
     * is noticed before a secret is sent to it. It stands in the text behind the PEM block, where other
     * programs do not look: "tpmtls-parent-name: HEX". */
    struct {
        uint8_t data[KEYFILE_MAX_NAME];
        size_t len;
    } parent_name;
    bool empty_auth;
    bool has_policy, has_auth_policy;
    bool rsa_parent;
    uint32_t parent;
    struct tt_bytes policy;
    struct tt_bytes secret; /* TPM2B_ENCRYPTED_SECRET */
    struct tt_bytes auth_policy;
    struct tt_bytes description;
    struct tt_bytes pubkey;  /* TPM2B_PUBLIC */
    struct tt_bytes privkey; /* TPM2B_PRIVATE */
    uint8_t *der;            /* owned after keyfile_parse */
};

/* keyfile_parse: from a PEM text. TT_ERR_NOT_FOUND: no such block; TT_ERR_DECODE: broken; TT_ERR_UNSUPPORTED:
 * an unknown type or field. */
TT_MUST_USE tt_rc keyfile_parse(struct keyfile *ret, struct tt_bytes pem, struct tt_error *err);
void keyfile_free(struct keyfile *f);

/* keyfile_write: append the PEM text. Fields that say nothing are left out. */
TT_MUST_USE tt_rc keyfile_write(struct buf *to, const struct keyfile *f);

/* keyfile_text: the same as a NUL-terminated text, to be freed with mem_free. */
TT_MUST_USE tt_rc keyfile_text(char **ret, const struct keyfile *f, struct tt_error *err);

/* struct keyfile_policy: one statement, TPMPolicy. */
struct keyfile_policy {
    uint32_t command; /* TPM_CC */
    struct tt_bytes body;
};
/* keyfile_policy_next: take one statement off the content of a SEQUENCE OF TPMPolicy; false at the end (or
 * where its form is wrong, which keyfile_parse has excluded). */
bool keyfile_policy_next(struct keyfile_policy *ret, struct tt_bytes *content);
/* keyfile_policy_put: append one. */
TT_MUST_USE tt_rc keyfile_policy_put(struct buf *to, uint32_t command, struct tt_bytes body);

/* struct keyfile_branch: one signed policy, TPMAuthPolicy. */
struct keyfile_branch {
    struct tt_bytes name;
    struct tt_bytes policy;
};
bool keyfile_branch_next(struct keyfile_branch *ret, struct tt_bytes *content);
TT_MUST_USE tt_rc keyfile_branch_put(struct buf *to, const struct keyfile_branch *branch);

#endif
