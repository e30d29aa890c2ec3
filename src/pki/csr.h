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

#endif
