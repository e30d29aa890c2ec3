/* ca/ocsp.h: the OCSP responder's key and certificate. Layer: ca. RFC 6960 section 4.2.2.2. */
#ifndef CA_OCSP_H
#define CA_OCSP_H

#include "ca/authority.h"

#define OCSP_KEY_FILE  "ocsp.key"
#define OCSP_CERT_FILE "ocsp.pem"

struct ocsp_responder {
    X509 *cert;
    EVP_PKEY *key;
    int64_t renew, end; /* when to ask for another certificate; when this one is over */
};
void ocsp_responder_free(struct ocsp_responder *r);
/* ocsp_responder_ready: read from the CA's directory, or made and certified if there is a signer and the time
 * has come. TT_ERR_NOT_FOUND: there is none, and no signer. */
TT_MUST_USE tt_rc ocsp_responder_ready(struct ocsp_responder *r, struct ca *ca, int64_t now,
                                       bool *ret_renewed, struct tt_error *err);
#endif
