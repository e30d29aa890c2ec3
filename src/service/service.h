/* service/service.h: the CA as a service: EST over TLS, what is published in the clear, the operator's page,
 * the status; start, reload, end. Layer: service. Opens no key and reads no file: that is the program's. */
#ifndef SERVICE_SERVICE_H
#define SERVICE_SERVICE_H

#include "ca/ca.h"
#include "est/server.h"
#include "net/sign_queue.h"
#include "service/attest.h"
#include "tpmtls/tls.h"

#define SERVICE_BODY_MAX 65536 /* a request with evidence */

/* struct service_setup: what a reload makes anew. */
struct service_setup {
    struct tt_config *config; /* frozen; of a server that asks for certificates of the CA; a reference */
    enum est_binding binding;
    unsigned a_minute, retry_after_s;
};

struct service_options {
    struct event_base *base;
    struct ca *ca; /* open, with its signer; the service's from service_run on, in any case */
    struct ca_place place;
    /* On the CA's thread: the CA was opened again, and its keys are to sign for it. */
    tt_rc (*keys)(void *arg, struct ca *ca, struct tt_error *err);
    struct attest_desk attest;             /* its policy NULL: no evidence is asked for */
    const char *listen, *publish, *status; /* publish, status: NULL for none */
    size_t connections;
    unsigned shutdown_timeout_s;
    struct tt_tpm *const *tpm; /* of the server's own key, once make opened it */
    unsigned sign_deadline_ms;
    const char *const *watched; /* files: a change of one is a reload */
    size_t watched_len;
    /* At the start, then at each reload, where it is called on the TPM's thread. certs: the CA's chain, then
     * those of a change of keys. */
    tt_rc (*make)(void *arg, struct service_setup *ret, const struct tt_cert_list *certs,
                  struct tt_error *err);
    void (*started)(void *arg); /* nobody may be asked for anything from now on */
    void *arg;
};
/* service_run: until a signal. TT_OK when it was told to end. */
TT_MUST_USE tt_rc service_run(const struct service_options *opt, struct tt_error *err);

#endif
