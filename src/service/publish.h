/* service/publish.h: what a CA tells everybody, by HTTP in the clear (RFC 5280 section 4.2.1.13, RFC 6960
 * appendix A, RFC 5019 section 6): all of it is signed.
 *
 *      GET /ca.crl            the CRL, DER
 *      GET /ca-delta.crl      what has changed since an older one, DER
 *      GET /ca-ID.crl         the CRL that this key of the CA signs, now or formerly its key: ID is the
 * subject key identifier in hexadecimal; /ca-ID.cer: its certificate GET /ca.cer (or .crt)  the CA's
 * certificate, DER; GET /ca.pem: its chain, PEM POST /ocsp             an OCSP request; or any path with
 * Content-Type application/ocsp-request GET /ocsp/BASE64       the same, percent-encoded
 *
 * Layer: service. With ETag, Last-Modified and Cache-Control; answers to OCSP without a nonce are kept for a
 * few seconds, so that a popular certificate costs the CA's thread nothing. */
#ifndef SERVICE_PUBLISH_H
#define SERVICE_PUBLISH_H

#include "http/server.h"
#include "service/worker.h"

#define PUBLISH_KEEP_S   5    /* how old a revocation may be before it is told */
#define PUBLISH_MAX_AGE  3600 /* how long others may keep an answer */
#define PUBLISH_OCSP_MAX 16384

struct publish;

TT_MUST_USE tt_rc publish_new(struct publish **ret, struct worker *w, struct tt_error *err);
void publish_free(struct publish *p); /* after worker_end; NULL is fine */
/* struct publish_shown: what the CA's certificates are now, its own first, and those of its keys. */
#define PUBLISH_KEYS_MAX 8
struct publish_key {
    char id[CA_KEY_ID_SIZE];
    struct tt_bytes certificate;
};
struct publish_shown {
    struct tt_cert_list chain;
    const struct publish_key *keys;
    size_t keys_len;
};
/* publish_set: copied. */
TT_MUST_USE tt_rc publish_set(struct publish *p, const struct publish_shown *shown, struct tt_error *err);
/* publish_take: a request of the HTTP server in the clear; answers it in any case. */
void publish_take(struct publish *p, struct http_request *r);

/* publish_counts: for the metrics. */
struct publish_counts {
    uint64_t crl, ocsp, ocsp_kept, others;
};
struct publish_counts publish_look(const struct publish *p);

#endif
