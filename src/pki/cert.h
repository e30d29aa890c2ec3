/* pki/cert.h: what the rest of this layer uses of pki/cert.c. Layer: pki. */
#ifndef PKI_CERT_H
#define PKI_CERT_H

#include "pki/x509.h"

TT_DEFINE_AUTO(struct tt_cert_list, tt_cert_list_free)

/* cert_list_add: der (of mem_alloc) becomes the list's, unless this fails. */
TT_MUST_USE tt_rc cert_list_add(struct tt_cert_list *list, uint8_t *der, size_t len);

/* cert_time: seconds since 1970. */
TT_MUST_USE tt_rc cert_time(int64_t *ret, const ASN1_TIME *t);

/* cert_spki: its SubjectPublicKeyInfo, DER; mem_free. */
TT_MUST_USE tt_rc cert_spki(uint8_t **ret, size_t *ret_len, struct tt_bytes der, struct tt_error *err);

#endif
