/* pki/ek_chain.h: an endorsement certificate: what it says, and whether it leads to a vendor's root. Layer:
 * pki. TCG EK Credential Profile for TPM 2.0, section 3.2; what vendors have made of it is in
 * docs/attestation.md. */
#ifndef PKI_EK_CHAIN_H
#define PKI_EK_CHAIN_H

#include "pki/x509.h"

/* struct ek_roots: vendors' certificates, read once. Immutable; may be shared between threads. */
struct ek_roots;
TT_MUST_USE tt_rc ek_roots_new(struct ek_roots **ret, const struct tt_cert_list *roots, struct tt_error *err);
void ek_roots_free(struct ek_roots *r);

/* struct ek_facts: what it says. Texts are printable. */
struct ek_facts {
    char manufacturer[16], model[40], version[40];
    char issuer[200], serial[80];
    struct tt_bytes spki; /* a view into the certificate */
    struct tt_bytes
        public_key; /* the content of its BIT STRING: with it, what the algorithm is called does not matter */
};

enum ek_refusal {
    EK_GOOD,
    EK_MALFORMED,
    EK_USAGE,
    EK_EXTENSION,
    EK_TIME,
    EK_UNTRUSTED
};
/* ek_chain_judge: certs: the certificate, then what may stand between. TT_ERR_VERIFY: refused, *ret_refusal
 * and err say why. The facts are filled in as far as it could be read. No revocation: vendors offer none for
 * these. */
struct ek_chain {
    const struct tt_bytes *certs;
    size_t len; /* at least 1 */
    int64_t now;
};
TT_MUST_USE tt_rc ek_chain_judge(struct ek_facts *ret, enum ek_refusal *ret_refusal,
                                 const struct ek_roots *roots, const struct ek_chain *chain,
                                 struct tt_error *err);
/* ek_facts_read: without judging. TT_ERR_DECODE. */
TT_MUST_USE tt_rc ek_facts_read(struct ek_facts *ret, struct tt_bytes der);

#endif
