/* pki/csr.h: a certificate request that was read and checked. Layer: pki. */
#ifndef PKI_CSR_H
#define PKI_CSR_H

#include "pki/flaw.h"
#include "pki/x509.h"

/* struct csr: what a CA takes from a request; everything else in it was checked and is dropped. */
struct csr {
    X509_REQ *req;       /* owned */
    GENERAL_NAMES *sans; /* owned; NULL when it asks for none */
    enum csr_flaw
        flaw; /* when csr_read failed and nothing else of this is set: why; FLAW_NONE: our failure */
};

/* csr_read: PEM or DER; the form, the key, the proof of possession and what it asks for are checked. On
 * failure ret->flaw alone is set. */
TT_MUST_USE tt_rc csr_read(struct csr *ret, struct tt_bytes text, struct tt_error *err);
void csr_free(struct csr *csr);

/* csr_create_like: tt_csr_create with the subject and the alternative names of a certificate that is to be
 * renewed, byte for byte (RFC 7030 section 4.2.2); of params the attributes count. */
TT_MUST_USE tt_rc csr_create_like(char **ret_pem, struct tt_bytes cert, const struct tt_csr_params *params,
                                  const struct tt_pki_signer *signer, struct tt_error *err);

/* csr_asks_the_same: is this PEM what tt_csr_create would make, but for the signature, which is good?
 * csr_is_like: what csr_create_like would make. */
bool csr_asks_the_same(const char *pem, const struct tt_csr_params *params,
                       const struct tt_pki_signer *signer);
bool csr_is_like(const char *pem, struct tt_bytes cert, const struct tt_csr_params *params,
                 const struct tt_pki_signer *signer);

#endif
